/**
 * A subscription as the embedded broker sees it: what went out on it, and what of that was acknowledged.
 *
 * @module
 */
import type { Entry, Queue, Taker } from "./broker_queue.ts";
import { Frame } from "../codec/frame.ts";
import { encodeHeader, headerRules, type Headers, parseHeaders, type Version } from "../codec/headers.ts";

/** How messages are acknowledged. */
export type AckMode = "auto" | "client" | "client-individual";

/** Whether a text is one of the three modes. Case counts. */
export function isAckMode(text: string): text is AckMode {
  return text === "auto" || text === "client" || text === "client-individual";
}

/** A message that went out and has to be acknowledged. */
export interface Delivery {
  /** The subscription that it went out on. */
  readonly consumer: Consumer;
  /** The message, and its place in the queue. */
  readonly entry: Entry;
  /** Its place among all that went out on the connection. */
  readonly number: number;
  /** What an ACK finds it by: the ack id in 1.2; before, {@linkcode Consumer.key}. */
  readonly key: string;
  /** Whether it waits for its ACK or NACK. */
  open: boolean;
}

/** The connection that a subscription belongs to. */
export interface ConsumerHost {
  /** The version that was negotiated. */
  readonly version: Version;
  /** Whether more can be sent without piling up in memory. */
  readonly hasRoom: boolean;
  /** What waits for its ACK or NACK, by key. */
  readonly deliveries: Map<string, Delivery>;
  /** The number of the next delivery. */
  nextNumber(): number;
  /** Makes an `ack` header of such a number. */
  ackId(number: number): string;
  /** Sends a frame. */
  send(frame: Frame): void;
  /** Wakes the consumer when there is room again. */
  waitForRoom(consumer: Consumer): void;
  /** Sends the subscriber away. */
  tooSlow(consumer: Consumer): void;
}

/** What a SUBSCRIBE asks for. */
export interface ConsumerOptions {
  /** The `id`; 1.0 may leave it out. */
  id: string | undefined;
  /** The destination. */
  destination: string;
  /** How messages are acknowledged. */
  ack: AckMode;
  /** How many messages may be out without an ACK or NACK; 0 for any number. */
  prefetch: number;
}

/** One subscription of one connection. */
export class Consumer implements Taker {
  /** The `id`. */
  readonly id: string | undefined;
  /** The destination. */
  readonly destination: string;
  /** How messages are acknowledged. */
  readonly ack: AckMode;
  /** The queue's note of whether it stands in line. */
  inLine = false;
  /** The host's note of whether it waits for room. */
  waiting = false;
  readonly #host: ConsumerHost;
  readonly #prefetch: number;
  readonly #prefix: string;
  readonly #outstanding = new Outstanding();
  readonly #number: number;
  #closed = false;
  #held = 0; // acknowledged in transactions that are still open
  #queue: Queue | undefined;

  /**
   * Creates a subscription.
   *
   * @throws {TypeError} when the version cannot carry the id or the destination, which every MESSAGE has to.
   */
  constructor(options: ConsumerOptions, host: ConsumerHost) {
    const { id, destination } = options;
    this.id = id;
    this.destination = destination;
    this.ack = options.ack;
    this.#prefetch = options.prefetch;
    this.#host = host;
    this.#number = host.nextNumber();
    const rules = headerRules("MESSAGE", host.version);
    // 1.0 may subscribe without an id, and then gets none.
    this.#prefix = (id === undefined ? "" : encodeHeader("subscription", id, rules)) +
      encodeHeader("destination", destination, rules);
  }

  /** Begins to take from a queue. */
  start(queue: Queue): void {
    this.#queue = queue;
  }

  /** The queue that it takes from. */
  get queue(): Queue {
    return this.#queue!;
  }

  /** Whether another message may go out. Nothing is outstanding in `auto` mode, so prefetch means nothing there. */
  get ready(): boolean {
    return this.#host.hasRoom && (this.#prefetch === 0 || this.#outstanding.size + this.#held < this.#prefetch);
  }

  /** What an ACK of 1.1 or 1.0 finds a delivery by: at a topic, several subscriptions get the same message. */
  key(messageId: string): string {
    return `${this.#number} ${messageId}`;
  }

  /** Sends a message to the subscriber. */
  take(entry: Entry): void {
    const host = this.#host;
    const { message } = entry;
    const { version } = host;
    let head = `${this.#prefix}message-id:${message.id}\n`;
    if (this.ack === "auto") {
      this.queue.settle(entry);
    } else {
      const number = host.nextNumber();
      let key: string;
      if (version === "1.2") {
        key = host.ackId(number);
        head += `ack:${key}\n`;
      } else {
        key = this.key(message.id);
      }
      const delivery: Delivery = { consumer: this, entry, number, key, open: true };
      host.deliveries.set(key, delivery);
      this.#outstanding.add(delivery);
    }
    if (entry.redelivered) head += "redelivered:true\n";
    head += message.lines(version);
    host.send(new MessageFrame(`${head}content-length:${message.body.length}\n`, message.body, version));
  }

  /** Waits for room, if that is what was missing; otherwise the next ACK wakes it. */
  passedOver(): void {
    if (!this.#host.hasRoom) this.#host.waitForRoom(this);
  }

  /** Sends the subscriber away. */
  tooSlow(): void {
    this.#host.tooSlow(this);
  }

  /** Stands in line for the next message, now that something has changed. */
  wake(): void {
    this.queue.wake(this);
  }

  /** Takes out what an ACK or NACK of a delivery means: in `client` mode all that went out before it, too. */
  acknowledge(delivery: Delivery): Delivery[] {
    const { deliveries } = this.#host;
    if (this.ack === "client") {
      const all = this.#outstanding.takeUpTo(delivery);
      for (const { key } of all) deliveries.delete(key);
      return all;
    }
    this.#outstanding.take(delivery);
    deliveries.delete(delivery.key);
    return [delivery];
  }

  /** Counts acknowledged deliveries whose transaction is still open; negative when it has ended. */
  hold(count: number): void {
    this.#held += count;
  }

  /** Makes deliveries wait for their ACK again; when the subscription has ended, they go back to the queue. */
  reopen(all: readonly Delivery[]): void {
    for (const delivery of all) {
      if (this.#closed) {
        this.queue.putBack(delivery.entry);
      } else {
        this.#outstanding.add(delivery);
        this.#host.deliveries.set(delivery.key, delivery);
      }
    }
  }

  /** Ends the subscription's part: what waited for its ACK goes back to the queue. */
  release(): void {
    this.#closed = true;
    for (const { key, entry } of this.#outstanding.takeUpTo(undefined)) {
      this.#host.deliveries.delete(key);
      this.queue.putBack(entry);
    }
  }
}

/** The deliveries of one subscription that wait for their ACK, in the order in which they went out. */
class Outstanding {
  // A delivery that is taken out of the middle stays here, not open, until what is not open is the larger half.
  #items: (Delivery | undefined)[] = [];
  #head = 0;
  #size = 0;
  #last = 0;
  #ordered = true;

  get size(): number {
    return this.#size;
  }

  add(delivery: Delivery): void {
    delivery.open = true;
    // One that comes back from an aborted transaction may still be here as well.
    if (delivery.number <= this.#last) this.#ordered = false;
    else this.#last = delivery.number;
    this.#items.push(delivery);
    this.#size++;
  }

  take(delivery: Delivery): void {
    delivery.open = false;
    this.#size--;
    this.#tidy();
  }

  /** Takes out a delivery and all before it; all of them without an argument. */
  takeUpTo(delivery: Delivery | undefined): Delivery[] {
    if (!this.#ordered) this.#order();
    const taken: Delivery[] = [];
    const items = this.#items;
    while (this.#head < items.length) {
      const item = items[this.#head]!;
      items[this.#head++] = undefined;
      if (item.open) {
        item.open = false;
        this.#size--;
        taken.push(item);
      }
      if (item === delivery) break;
    }
    this.#tidy();
    return taken;
  }

  #tidy(): void {
    const items = this.#items;
    while (this.#head < items.length && !items[this.#head]!.open) items[this.#head++] = undefined;
    if (this.#head === items.length) {
      items.length = this.#head = 0;
    } else if (items.length > 1024 && items.length > this.#size * 2) {
      this.#items = items.filter((item) => item?.open);
      this.#head = 0;
    }
  }

  #order(): void {
    const open = this.#items.filter((item) => item?.open) as Delivery[];
    this.#items = [...new Set(open)].sort((a, b) => a.number - b.number);
    this.#head = 0;
    this.#ordered = true;
  }
}

/**
 * A MESSAGE whose header lines were written when it was made, for one version: the broker sends as many as it receives,
 * and an object of headers in between would cost more than all the rest.
 */
class MessageFrame extends Frame {
  readonly #lines: string;
  readonly #version: Version;

  constructor(lines: string, body: Uint8Array, version: Version) {
    super();
    this.command = "MESSAGE";
    this.body = body;
    this.#lines = lines;
    this.#version = version;
  }

  override get headers(): Headers {
    return parseHeaders(this.#lines, headerRules("MESSAGE", this.#version));
  }

  override set headers(_headers: Headers) {
    throw new TypeError("Cannot set headers: the frame was written already");
  }

  override encodeHead(): string {
    return `MESSAGE\n${this.#lines}\n`;
  }
}
