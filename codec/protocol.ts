/**
 * The words of STOMP: versions, commands and ack modes, and how commands are recognized in bytes.
 *
 * @module
 */
import { UnknownBrokerResponseError } from "../base/errors.ts";
import { CR, isSame } from "./bytes.ts";
import { decodeLenient } from "./text.ts";

/** A version of the protocol. */
export type Version = "1.0" | "1.1" | "1.2";

/** The versions that this library speaks, oldest first. */
export const VERSIONS: readonly Version[] = ["1.0", "1.1", "1.2"];

/** Whether the string is a version of the protocol. */
export function isVersion(version: string): version is Version {
  return (VERSIONS as readonly string[]).includes(version);
}

/** Throws a `TypeError` unless the string is a version of the protocol. */
export function assertVersion(version: string): asserts version is Version {
  if (!isVersion(version)) {
    throw new TypeError(`Cannot use version ${JSON.stringify(version)}: STOMP has 1.0, 1.1 and 1.2`);
  }
}

/** How a subscription confirms its messages. */
export type AckMode = "auto" | "client" | "client-individual";

/** Whether the string is an ack mode. Case counts. */
export function isAckMode(text: string): text is AckMode {
  return text === "auto" || text === "client" || text === "client-individual";
}

// In the order of how often a busy client receives them.
const COMMANDS = [
  "MESSAGE",
  "RECEIPT",
  "ERROR",
  "CONNECTED",
  "SEND",
  "ACK",
  "NACK",
  "SUBSCRIBE",
  "UNSUBSCRIBE",
  "BEGIN",
  "COMMIT",
  "ABORT",
  "DISCONNECT",
  "CONNECT",
  "STOMP",
].map((name) => ({ name, bytes: new TextEncoder().encode(name) }));

/** Bytes of unknown input that its error shows. */
const MAX_SHOWN_BYTES = 40;

const NAMES: ReadonlySet<string> = new Set(COMMANDS.map(({ name }) => name));

/** Whether this is a command of STOMP. */
export function isCommand(name: string): boolean {
  return NAMES.has(name);
}

/** Whether frames of this command may have a body ("Body" in the 1.2 text). */
export function mayHaveBody(command: string): boolean {
  return command === "MESSAGE" || command === "SEND" || command === "ERROR";
}

/** Whether headers of this command are never escaped. STOMP is another name of CONNECT. */
export function isLiteral(command: string): boolean {
  return command === "CONNECT" || command === "CONNECTED" || command === "STOMP";
}

/** Returns the command in a range of bytes; `undefined` when it is none. Case counts. */
export function findCommand(bytes: Uint8Array, start: number, end: number): string | undefined {
  for (const { name, bytes: known } of COMMANDS) {
    if (known.length === end - start && isSame(bytes, start, known, 0, end - start)) return name;
  }
  return undefined;
}

/** Whether a range of bytes can still become a command. It cannot when the port speaks another protocol. */
export function mayBecomeCommand(bytes: Uint8Array, start: number, end: number): boolean {
  // Only LF can follow a CR.
  if (bytes[end - 1] === CR) return findCommand(bytes, start, end - 1) !== undefined;
  return COMMANDS.some(({ bytes: known }) =>
    known.length >= end - start && isSame(bytes, start, known, 0, end - start)
  );
}

/** The error for bytes that begin another protocol than STOMP. */
export class OtherProtocolError extends UnknownBrokerResponseError {
  /** The protocol, and how to connect instead. */
  readonly protocol: string;

  /** Creates the error for these bytes. */
  constructor(shown: string, protocol: string) {
    super(`Cannot decode frame: ${JSON.stringify(shown)} is not a STOMP command: the peer speaks ${protocol}`);
    this.protocol = protocol;
    Object.defineProperty(this, "protocol", { enumerable: false });
  }
}

/** Creates the error for bytes that are not a command; it names the protocol that they look like. */
export function unknownCommand(bytes: Uint8Array, start: number, end: number): UnknownBrokerResponseError {
  const shown = decodeLenient(bytes.subarray(start, Math.min(end, start + MAX_SHOWN_BYTES)));
  const protocol = guessProtocol(shown);
  if (protocol !== undefined) return new OtherProtocolError(shown, protocol);
  return new UnknownBrokerResponseError(`Cannot decode frame: ${JSON.stringify(shown)} is not a STOMP command`);
}

/** Returns the protocol that begins like that, of those that a wrong port usually speaks. */
function guessProtocol(beginning: string): string | undefined {
  if (beginning.startsWith("HTTP/")) return "HTTP; for STOMP over WebSocket use ws://";
  if (beginning === "\x15" || beginning.startsWith("\x15\x03")) return "TLS; use stomp+ssl://"; // an alert
  if (beginning.startsWith("AMQP")) return "AMQP; STOMP has another port, by default 61613"; // RabbitMQ's main port
  if (beginning.startsWith("\0") && beginning.includes("\x01ActiveMQ")) { // ActiveMQ's main port
    return "OpenWire; STOMP has another port, by default 61613";
  }
  return beginning.startsWith("SSH-") ? "SSH" : undefined;
}
