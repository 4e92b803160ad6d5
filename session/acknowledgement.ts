/**
 * ACK and NACK frames: which headers name a message in each version.
 *
 * @module
 */
import { AcknowledgeError, SubscriptionError } from "../base/errors.ts";
import { type AckMode, isAckMode } from "../codec/protocol.ts";
import { escapedHeaderOf, Frame } from "../codec/frame.ts";
import { encodeValue, headerRules } from "../codec/headers.ts";
import type { Version } from "../codec/protocol.ts";
import { offsetOf } from "../dialects/stream.ts";

/**
 * Reads an ack mode. Default `auto`.
 *
 * @throws {TypeError} when there is no such mode.
 */
export function readAckMode(ack: string | undefined): AckMode {
  if (ack === undefined) return "auto";
  if (isAckMode(ack)) return ack;
  throw new TypeError(`Cannot subscribe: ack is ${JSON.stringify(ack)}, not auto, client or client-individual`);
}

/**
 * Checks that the version has an ack mode.
 *
 * @throws {SubscriptionError} when it does not.
 */
export function checkAckMode(mode: string | undefined, version: Version, destination: string): void {
  if (version !== "1.0" || mode !== "client-individual") return;
  throw new SubscriptionError(
    `Cannot subscribe to ${destination}: STOMP 1.0, which the broker chose, has no client-individual mode`,
  );
}

/**
 * Returns the frame that acknowledges a message.
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
  return new Frame().buildFrame({ command, headers: { ...headersNaming(message, version), ...headers } });
}

/**
 * Returns the frame that gives a message back to RabbitMQ: the NACK that requeues it, which RabbitMQ knows in 1.0 as well.
 * A message of a stream stays there in any case and gets an ACK, because 3.10 breaks the connection at a NACK.
 */
export function requeueFrame(message: Frame, version: Version): Frame {
  const command = offsetOf(message) === undefined ? "NACK" : "ACK";
  return new Frame().buildFrame({ command, headers: headersNaming(message, version) });
}

function headersNaming(message: Frame, version: Version): Record<string, string | undefined> {
  const messageId = message.header("message-id");
  return version === "1.2"
    // Where a 1.2 broker sends no `ack` header, the message-id is the only name left.
    ? { id: message.header("ack") ?? messageId }
    : { subscription: message.header("subscription"), "message-id": messageId };
}

/**
 * Returns the frame that acknowledges a message as text without its NUL, in the common case: version 1.2, where one value
 * names the message, and no further headers. Returns `undefined` in any other case.
 */
export function plainAcknowledgement(command: "ACK" | "NACK", message: Frame, version: Version): string | undefined {
  if (version !== "1.2") return undefined;
  // The received value is escaped already: ActiveMQ's has colons in it.
  const id = escapedHeaderOf(message, "ack") ?? escapedId(message);
  return id !== undefined && PLAIN.test(id) ? `${command}\nid:${id}\n\n` : undefined;
}

function escapedId(message: Frame): string | undefined {
  const id = message.header("ack");
  return id === undefined ? undefined : encodeValue("id", id, RULES);
}

const RULES = headerRules("ACK", "1.2");

/** ASCII without a colon. A broker may write a colon without escaping it; this library does not. */
const PLAIN = /^[ -9;-~]+$/;
