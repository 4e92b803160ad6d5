/**
 * A subscription as the embedded broker sees it: what went out on it, and what of that was acknowledged.
 *
 * @module
 */
import { Outstanding, type Placed, type Span } from "./outstanding.ts";
import { type Entry, type Queue, type Taker, textBytes } from "./queue.ts";
import type { Frame } from "../codec/frame.ts";
import { EncodedFrame } from "../connection/frame_connection.ts";
import { encodeHeader, type FrameHeaders, headerRules, parseHeaders, type Version } from "../codec/headers.ts";

/** How messages are acknowledged. */
export type AckMode = "auto" | "client" | "client-individual";

/** Whether a text is one of the three modes. Case counts. */
export function isAckMode(text: string): text is AckMode {
  return text === "auto" || text === "client" || text === "client-individual";
}

/** A message that went out and has to be acknowledged. */
export interface Delivery extends Placed {
  /** The subscription that it went out on. */
  readonly consumer: Consumer;
  /** The message, and its place in the queue. */
  readonly entry: Entry;
  /** What an ACK finds it by: the ack id in 1.2; before, {@linkcode Consumer.key}. */
  readonly key: string;
}

/** The connection that a subscription belongs to. */
export interface ConsumerHost {
  /** The version that was negotiated. */
  readonly version: Version;
  /** Whether more can be sent without piling up in memory. */
  readonly hasRoom: boolean;
  /** The next number: no other subscription or delivery of the connection has it. */
  nextNumber(): number;
  /** Makes an `ack` header of such a number. */
  ackId(number: number): string;
  /** Keeps a delivery that an ACK or NACK will name. */
  expect(delivery: Delivery): void;
  /** Forgets a delivery that is settled. */
  forget(delivery: Delivery): void;
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

/** What a subscription costs beside its texts, roughly. */
const OVERHEAD = 512;

/** One subscription of one connection. */
export class Consumer implements Taker {
  /** The `id`. */
  readonly id: string | undefined;
  /** The destination. */
  readonly destination: string;
  /** How messages are acknowledged. */
  readonly ack: AckMode;
  /** Bytes that it counts for. */
  readonly size: number;
  /** The queue's note of whether it stands in line. */
  inLine = false;
  /** The host's note of whether it waits for room. */
  waiting = false;
  readonly #host: ConsumerHost;
  readonly #prefetch: number;
  readonly #prefix: string;
  readonly #outstanding: Outstanding<Delivery>;
  readonly #number: number;
  #closed = false;
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
    this.#outstanding = new Outstanding(options.ack === "client");
    this.#host = host;
    this.#number = host.nextNumber();
    const rules = headerRules("MESSAGE", host.version);
    // 1.0 may subscribe without an id, and then gets none.
    this.#prefix = (id === undefined ? "" : encodeHeader("subscription", id, rules)) +
      encodeHeader("destination", destination, rules);
    // The texts themselves, the lines made of them, and the key that the connection finds it by.
    this.size = OVERHEAD + 3 * (textBytes(id ?? "") + textBytes(destination));
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
    return this.#host.hasRoom && (this.#prefetch === 0 || this.#outstanding.size < this.#prefetch);
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
      const key = version === "1.2" ? host.ackId(host.nextNumber()) : this.key(message.id);
      if (version === "1.2") head += `ack:${key}\n`;
      const delivery: Delivery = { consumer: this, entry, place: this.#outstanding.nextPlace, key, open: true };
      host.expect(delivery);
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

  /** Whether a delivery of this subscription waits for its ACK or NACK, and no open transaction has one. */
  isOpen(delivery: Delivery): boolean {
    return this.#outstanding.isOpen(delivery);
  }

  /** Takes what an ACK or NACK of an open delivery means: in `client` mode all that went out before it, too. */
  acknowledge(delivery: Delivery): readonly Span[] {
    return this.#outstanding.take(delivery);
  }

  /** Settles deliveries that were acknowledged. `onSettled` does with the messages what that means for them. */
  settle(spans: readonly Span[], onSettled: (entry: Entry) => void): void {
    this.#outstanding.settle(spans, (delivery) => {
      this.#host.forget(delivery);
      onSettled(delivery.entry);
    });
  }

  /** Makes acknowledged deliveries wait for their ACK again; after the end of the subscription they go back. */
  reopen(spans: readonly Span[]): void {
    if (this.#closed) this.settle(spans, (entry) => this.queue.putBack(entry));
    else this.#outstanding.reopen(spans);
  }

  /** Ends the subscription's part: what waited for its ACK goes back to the queue. */
  release(): void {
    this.#closed = true;
    this.settle(this.#outstanding.takeAll(), (entry) => this.queue.putBack(entry));
  }
}

/**
 * A MESSAGE whose header lines were written when it was made, for one version: the broker sends as many as it receives,
 * and an object of headers in between would cost more than all the rest.
 */
class MessageFrame extends EncodedFrame {
  readonly #lines: string;
  readonly #version: Version;

  constructor(lines: string, body: Uint8Array, version: Version) {
    super();
    this.command = "MESSAGE";
    this.body = body;
    this.#lines = lines;
    this.#version = version;
  }

  override get headers(): FrameHeaders {
    return parseHeaders(this.#lines, headerRules("MESSAGE", this.#version));
  }

  override set headers(_headers: FrameHeaders) {
    throw new TypeError("Cannot set headers: the frame was written already");
  }

  get encodedHead(): string {
    return `MESSAGE\n${this.#lines}`;
  }
}
