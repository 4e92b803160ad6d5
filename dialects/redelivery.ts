/**
 * What a message tells about its earlier deliveries, and how to recognize it when it comes again.
 *
 * @module
 */

/** What is read of a message. */
export interface RedeliveredFrame {
  /** One header. */
  header(name: string): string | undefined;
  /** All headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body. */
  readonly body: Uint8Array;
}

/** RabbitMQ's message-id names a delivery: subscription, session and delivery tag. Elsewhere it names the message. */
const DELIVERY_ID = /^T_.*@@.*@@\d+$/;

/** Headers that change from one delivery of a message to the next. */
const CHANGING: ReadonlySet<string> = new Set([
  "ack",
  "message-id",
  "redelivered",
  "subscription",
  "x-acquired-count",
  "x-delivery-count",
]);

/** Bytes of a body that count: enough to tell messages apart, and a bound on what it costs. */
const MAX_HASHED_BYTES = 1 << 16;

/**
 * How often the broker counts that a message was delivered before; `undefined` where it does not count.
 *
 * Quorum queues of RabbitMQ have `x-delivery-count`; since 4.3 that leaves out what a consumer gave back with NACK, and
 * `x-acquired-count` has all of it. Neither is there at the first delivery.
 */
export function countedDeliveries(message: RedeliveredFrame): number | undefined {
  const counts = [message.header("x-delivery-count"), message.header("x-acquired-count")]
    .map(Number)
    .filter((count) => Number.isSafeInteger(count) && count >= 0);
  return counts.length > 0 ? Math.max(...counts) : undefined;
}

/** Whether the message is known to be delivered for the first time. Brokers that only say when it is not: `false`. */
export function isFirstDelivery(message: RedeliveredFrame): boolean {
  return message.header("redelivered") === "false";
}

/**
 * The same text for each delivery of a message: its message-id, or what it holds where that changes with each delivery.
 * Messages with equal headers and bodies are then taken for one.
 */
export function identityOf(message: RedeliveredFrame): string {
  const id = message.header("message-id") ?? "";
  if (id !== "" && !DELIVERY_ID.test(id)) return id;
  const headers = Object.entries(message.headers).filter(([name]) => !CHANGING.has(name)).sort();
  const { body } = message;
  const hash = new Hash();
  for (const [name, value] of headers) hash.addText(`${name}:${value}\n`);
  hash.addBytes(body.subarray(0, MAX_HASHED_BYTES));
  return `${message.header("destination") ?? ""} ${body.length} ${hash.digest()}`;
}

/** FNV-1a, twice with different starts: no secret depends on it. */
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
