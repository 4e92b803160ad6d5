/**
 * The commands of STOMP: their names, and how they are told apart in bytes.
 *
 * @module
 */
import { UnknownBrokerResponseError } from "../base/errors.ts";
import { decodeLenient } from "./text.ts";

// The ones a busy client receives most come first.
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

const NAMES: ReadonlySet<string> = new Set(COMMANDS.map(({ name }) => name));

const CR = 13;

/** Whether this is a command of STOMP. */
export function isCommand(name: string): boolean {
  return NAMES.has(name);
}

/** Whether frames of this command may have a body ("Body" in the 1.2 text). */
export function mayHaveBody(command: string): boolean {
  return command === "MESSAGE" || command === "SEND" || command === "ERROR";
}

/** Whether the headers of this command travel without escapes. STOMP is CONNECT by another name. */
export function isLiteral(command: string): boolean {
  return command === "CONNECT" || command === "CONNECTED" || command === "STOMP";
}

/** The command that stands in a range of bytes; `undefined` when it is none. Case counts. */
export function findCommand(bytes: Uint8Array, start: number, end: number): string | undefined {
  for (const { name, bytes: known } of COMMANDS) {
    if (known.length === end - start && beginsWith(known, bytes, start, end)) return name;
  }
  return undefined;
}

/** Whether a range of bytes may still become a command, so that a port that speaks something else is found out. */
export function mayBecomeCommand(bytes: Uint8Array, start: number, end: number): boolean {
  // Nothing but LF can follow the CR.
  if (bytes[end - 1] === CR) return findCommand(bytes, start, end - 1) !== undefined;
  return COMMANDS.some(({ bytes: known }) => known.length >= end - start && beginsWith(known, bytes, start, end));
}

/** The error for bytes that are no command; says so when they look like another protocol. */
export function unknownCommand(bytes: Uint8Array, start: number, end: number): UnknownBrokerResponseError {
  const shown = decodeLenient(bytes.subarray(start, Math.min(end, start + 40)));
  const guess = guessProtocol(shown);
  return new UnknownBrokerResponseError(
    `Cannot decode frame: ${JSON.stringify(shown)} is no STOMP command${guess && `: the far end speaks ${guess}`}`,
  );
}

/** The protocol that begins like that, of those that are met where STOMP was expected; else an empty string. */
function guessProtocol(beginning: string): string {
  if (beginning.startsWith("HTTP/")) return "HTTP";
  if (beginning === "\x15" || beginning.startsWith("\x15\x03")) return "TLS"; // an alert
  if (beginning.startsWith("AMQP")) return "AMQP"; // RabbitMQ's first port
  if (beginning.startsWith("\0") && beginning.includes("\x01ActiveMQ")) return "OpenWire"; // ActiveMQ's first port
  return "";
}

function beginsWith(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== known[i - start]) return false;
  return true;
}
