/**
 * ACK and NACK: which headers name a message in which version.
 *
 * @module
 */
import { AcknowledgeError, SubscriptionError } from "../base/errors.ts";
import { escapedHeaderOf, Frame } from "../codec/frame.ts";
import { encodeValue, headerRules } from "../codec/headers.ts";
import { type AckMode, isAckMode, type Version } from "../codec/protocol.ts";

/** Reads an ack mode. */
export function readAckMode(ack: string | undefined): AckMode {
  if (ack === undefined) return "auto";
  if (isAckMode(ack)) return ack;
  throw new TypeError(`Cannot subscribe: ack is ${JSON.stringify(ack)}, not auto, client or client-individual`);
}

/** Fails when the version has no such mode. */
export function checkAckMode(mode: string | undefined, version: Version, destination: string): void {
  if (version !== "1.0" || mode !== "client-individual") return;
  throw new SubscriptionError(
    `Cannot subscribe to ${destination}: STOMP 1.0, which the broker chose, has no client-individual mode`,
  );
}

/**
 * The frame that acknowledges a message.
 *
 * 1.2 names it by the `ack` header of the MESSAGE, 1.1 by subscription and message-id, 1.0 by message-id, where the
 * subscription is added because brokers use it ("ACK" in the three texts).
 *
 * @param headers further headers, `transaction` for example.
 * @throws {AcknowledgeError} when the version has no such frame.
 */
export function acknowledgement(
  command: "ACK" | "NACK",
  message: Frame,
  version: Version,
  headers: Readonly<Record<string, string>>,
): Frame {
  if (command === "NACK" && version === "1.0") {
    throw new AcknowledgeError("Cannot send NACK: STOMP 1.0, which the broker chose, has none");
  }
  return new Frame().buildFrame({ command, headers: { ...namesOf(message, version), ...headers } });
}

/** The NACK that puts a message back on RabbitMQ, which knows it in 1.0 as well. */
export function requeueFrame(message: Frame, version: Version): Frame {
  return new Frame().buildFrame({ command: "NACK", headers: namesOf(message, version) });
}

function namesOf(message: Frame, version: Version): Record<string, string | undefined> {
  const messageId = message.header("message-id");
  return version === "1.2"
    // A 1.2 broker that sends no `ack` header is left with the only other name there is.
    ? { id: message.header("ack") ?? messageId }
    : { subscription: message.header("subscription"), "message-id": messageId };
}

/**
 * The same as text, without its NUL, for the common case: 1.2, where one value names the message, and no further headers.
 * `undefined` in any other case.
 */
export function plainAcknowledgement(command: "ACK" | "NACK", message: Frame, version: Version): string | undefined {
  if (version !== "1.2") return undefined;
  // Mostly it can stay as it is escaped already: ActiveMQ's has colons in it.
  const id = escapedHeaderOf(message, "ack") ?? escapedId(message);
  return id !== undefined && PLAIN.test(id) ? `${command}\nid:${id}\n\n` : undefined;
}

function escapedId(message: Frame): string | undefined {
  const id = message.header("ack");
  return id === undefined ? undefined : encodeValue("id", id, RULES);
}

const RULES = headerRules("ACK", "1.2");

/** ASCII, and no colon: a broker that writes one as it is is understood, but not imitated. */
const PLAIN = /^[ -9;-~]+$/;
