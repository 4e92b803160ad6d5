/**
 * What a message says about its earlier deliveries, and how to recognize it when it is delivered again.
 *
 * @module
 */

/** The parts of a message that identify it. */
export interface RedeliveredFrame {
  /** Returns one header. */
  header(name: string): string | undefined;
  /** The headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body. */
  readonly body: Uint8Array;
}

/** A message-id of RabbitMQ: it identifies a delivery (subscription, session, delivery tag), elsewhere the message. */
const RABBITMQ_DELIVERY_ID = /^T_.*@@.*@@\d+$/;

/** Headers that differ from one delivery of a message to the next. */
const CHANGING_HEADERS: ReadonlySet<string> = new Set([
  "ack",
  "message-id",
  "redelivered",
  "subscription",
  "x-acquired-count",
  "x-delivery-count",
]);

/** At most this many bytes of a body are hashed: enough to tell messages apart, at a limited cost. */
const MAX_HASHED_BYTES = 1 << 16;

/**
 * Returns how many earlier deliveries of a message the broker has counted; `undefined` where it does not count.
 *
 * Quorum queues of RabbitMQ set `x-delivery-count`. Since 4.3 it excludes deliveries that a consumer refused with NACK;
 * `x-acquired-count` includes them. The first delivery has neither header.
 */
export function countedDeliveries(message: RedeliveredFrame): number | undefined {
  const counts = [message.header("x-delivery-count"), message.header("x-acquired-count")]
    .map(Number)
    .filter((count) => Number.isSafeInteger(count) && count >= 0);
  return counts.length > 0 ? Math.max(...counts) : undefined;
}

/** Whether the broker says that this is the first delivery. False for brokers that mark only redeliveries. */
export function isFirstDelivery(message: RedeliveredFrame): boolean {
  return message.header("redelivered") === "false";
}

/**
 * Returns a text that is the same for each delivery of a message: its message-id, or a hash of its contents where the id
 * changes with each delivery. Messages with equal headers and bodies then count as one.
 */
export function identityOf(message: RedeliveredFrame): string {
  const id = message.header("message-id") ?? "";
  if (id !== "" && !RABBITMQ_DELIVERY_ID.test(id)) return id;
  const headers = Object.entries(message.headers).filter(([name]) => !CHANGING_HEADERS.has(name)).sort();
  const { body } = message;
  const hash = new Hash();
  for (const [name, value] of headers) hash.addText(`${name}:${value}\n`);
  hash.addBytes(body.subarray(0, MAX_HASHED_BYTES));
  return `${message.header("destination") ?? ""} ${body.length} ${hash.digest()}`;
}

/** FNV-1a, twice with different seeds. Not for secrets. */
class Hash {
  #one = 0x811c9dc5;
  #two = 0x9e3779b9;

  addText(text: string): void {
    for (let i = 0; i < text.length; i++) this.#add(text.charCodeAt(i));
  }

  addBytes(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.#add(bytes[i]!);
  }

  digest(): string {
    return (this.#one >>> 0).toString(36) + (this.#two >>> 0).toString(36);
  }

  #add(unit: number): void {
    this.#one = Math.imul(this.#one ^ unit, 0x01000193);
    this.#two = Math.imul(this.#two ^ unit, 0x01000193) ^ (this.#two >>> 15);
  }
}
