/**
 * A subscription in the embedded broker, and its deliveries that are not settled.
 *
 * @module
 */
import { SequenceMap } from "../base/sequence_map.ts";
import { encodeHeader, headerRules } from "../codec/headers.ts";
import type { AckMode, Version } from "../codec/protocol.ts";
import type { Entry, Queue, QueueConsumer } from "./queue.ts";
import { textBytes } from "./stored_message.ts";

/** A message that was delivered and has to be acknowledged. */
export interface Delivery {
  /** The subscription that it was delivered to. */
  readonly consumer: Consumer;
  /** The message, and its position in the queue. */
  readonly entry: Entry;
  /** Its position among all deliveries of the subscription. */
  readonly position: number;
  /** What an ACK finds it by: the ack id in 1.2, {@linkcode Consumer.key} in earlier versions. */
  readonly key: string;
  /** In `client-individual` mode: whether no transaction has acknowledged it. */
  isOpen: boolean;
}

/** Consecutive deliveries, by position. */
export interface Span {
  /** The first position. */
  readonly first: number;
  /** The last position, inclusive. */
  readonly last: number;
}

/** The connection of a subscription. */
export interface ConsumerHost {
  /** The negotiated version. */
  readonly version: Version;
  /** Whether a frame can be sent without piling up in memory. */
  readonly isWritable: boolean;
  /** Returns an id that is unique within the broker. */
  nextId(): string;
  /** Adds a delivery, so that an ACK or NACK finds it. */
  addDelivery(delivery: Delivery): void;
  /** Removes a delivery that is settled. */
  removeDelivery(delivery: Delivery): void;
  /** Sends a MESSAGE. Its head is encoded already, because an object of headers in between would cost the most of all. */
  sendMessage(head: string, body: Uint8Array): void;
  /** Wakes the consumer when the connection is writable again. */
  wakeWhenWritable(consumer: Consumer): void;
  /** Closes the connection because the backlog of a consumer is over the limit. */
  disconnectSlow(consumer: Consumer): void;
}

/** What a SUBSCRIBE asks for. */
export interface ConsumerOptions {
  /** The `id`, which is optional in 1.0. */
  id: string | undefined;
  /** The destination. */
  destination: string;
  /** How messages are acknowledged. */
  ack: AckMode;
  /** How many deliveries may be outstanding. */
  prefetch: number;
}

/** Roughly what a subscription costs beside its texts. */
const CONSUMER_OVERHEAD_BYTES = 512;

/** One subscription of one connection. */
export class Consumer implements QueueConsumer {
  /** The `id`. */
  readonly id: string | undefined;
  /** The destination. */
  readonly destination: string;
  /** Bytes that count towards the broker's limits. */
  readonly size: number;
  /** The queue that it consumes from; set before the first delivery. */
  queue!: Queue;
  /** Whether it is in the queue's rotation; kept here by the queue. */
  inRotation = false;
  /** Whether it waits until the connection is writable; kept here by the host. */
  isWaiting = false;
  readonly #host: ConsumerHost;
  readonly #ack: AckMode;
  readonly #prefetch: number;
  readonly #prefix: string;
  readonly #outstanding: OutstandingDeliveries;
  readonly #number: string;
  #isClosed = false;

  /**
   * Creates a subscription.
   *
   * @throws {TypeError} when the version cannot carry the id or the destination, which every MESSAGE has.
   */
  constructor(options: ConsumerOptions, host: ConsumerHost) {
    const { id, destination } = options;
    this.id = id;
    this.destination = destination;
    this.#ack = options.ack;
    this.#prefetch = options.prefetch;
    this.#outstanding = new OutstandingDeliveries(options.ack === "client");
    this.#host = host;
    this.#number = host.nextId();
    const rules = headerRules("MESSAGE", host.version);
    // A 1.0 client that subscribes without an id gets messages without one.
    this.#prefix = (id === undefined ? "" : encodeHeader("subscription", id, rules)) +
      encodeHeader("destination", destination, rules);
    // The texts themselves, the lines made of them, and the key that the connection finds it by.
    this.size = CONSUMER_OVERHEAD_BYTES + 3 * (textBytes(id ?? "") + textBytes(destination));
  }

  /** Whether another message can be delivered. In `auto` mode nothing is outstanding, so prefetch has no effect. */
  get isReady(): boolean {
    return this.#host.isWritable && this.#outstanding.size < this.#prefetch;
  }

  /** Returns what an ACK of 1.1 or 1.0 finds a delivery by: several subscriptions of a topic get the same message. */
  key(messageId: string): string {
    return `${this.#number} ${messageId}`;
  }

  /** Sends a message to the subscriber. */
  deliver(entry: Entry): void {
    const host = this.#host;
    const { message } = entry;
    const { version } = host;
    let head = `MESSAGE\n${this.#prefix}message-id:${message.id}\n`;
    if (this.#ack === "auto") {
      this.queue.remove(entry);
    } else {
      const key = version === "1.2" ? host.nextId() : this.key(message.id);
      if (version === "1.2") head += `ack:${key}\n`;
      const delivery: Delivery = {
        consumer: this,
        entry,
        position: this.#outstanding.nextPosition,
        key,
        isOpen: true,
      };
      host.addDelivery(delivery);
      this.#outstanding.add(delivery);
    }
    if (entry.isRedelivered) head += "redelivered:true\n";
    head += message.lines(version);
    host.sendMessage(`${head}content-length:${message.body.length}\n`, message.body);
  }

  /** Waits until the connection is writable, if it is not; otherwise the prefetch is used up and the next ACK wakes it. */
  onSkipped(): void {
    if (!this.#host.isWritable) this.#host.wakeWhenWritable(this);
  }

  /** Closes the connection. */
  onBacklogFull(): void {
    this.#host.disconnectSlow(this);
  }

  /** Returns to the rotation of its queue. */
  wake(): void {
    this.queue.wake(this);
  }

  /** Whether a delivery waits for its ACK or NACK and no open transaction holds it. */
  isOpen(delivery: Delivery): boolean {
    return this.#outstanding.isOpen(delivery);
  }

  /** Claims what an ACK or NACK of an open delivery covers: in `client` mode also all earlier deliveries. */
  claim(delivery: Delivery): readonly Span[] {
    return this.#outstanding.claim(delivery);
  }

  /** Settles claimed deliveries. `onSettled` removes or requeues each message. */
  settle(spans: readonly Span[], onSettled: (entry: Entry) => void): void {
    this.#outstanding.remove(spans, (delivery) => {
      this.#host.removeDelivery(delivery);
      onSettled(delivery.entry);
    });
  }

  /** Opens claimed deliveries again; requeues them if the subscription has ended. */
  reopen(spans: readonly Span[]): void {
    if (this.#isClosed) this.settle(spans, (entry) => this.queue.requeue(entry));
    else this.#outstanding.reopen(spans);
  }

  /** Ends the subscription and requeues its open deliveries. */
  close(): void {
    this.#isClosed = true;
    this.settle(this.#outstanding.claimAll(), (entry) => this.queue.requeue(entry));
  }
}

/** An empty map of deliveries is replaced once it has given out this many positions. */
const MAX_IDLE_POSITIONS = 1024;

/**
 * The deliveries of one subscription that are not settled, in order. Each is either open or claimed by an open
 * transaction. In `client` mode an ACK covers all earlier deliveries, so the open ones are kept as spans: a transaction
 * claims and reopens thousands of deliveries at the cost of one.
 */
export class OutstandingDeliveries {
  readonly #isCumulative: boolean;
  #items = new SequenceMap<Delivery>();
  #base = 0; // the position before number 1 of `#items`
  #open: Span[] = [{ first: 1, last: Infinity }]; // in `client` mode, highest positions first

  /** Creates an empty list, for `client` mode if `isCumulative`, otherwise for `client-individual`. */
  constructor(isCumulative: boolean) {
    this.#isCumulative = isCumulative;
  }

  /** How many deliveries are not settled. */
  get size(): number {
    return this.#items.size;
  }

  /** The position of the next delivery. */
  get nextPosition(): number {
    return this.#base + this.#items.next;
  }

  /** Adds an open delivery at the next position. */
  add(delivery: Delivery): void {
    this.#items.add(delivery);
  }

  /** Whether an outstanding delivery is open. */
  isOpen({ position, isOpen }: Delivery): boolean {
    if (!this.#isCumulative) return isOpen;
    const span = this.#open[this.#indexBelow(position + 1)];
    return span !== undefined && position <= span.last;
  }

  /** Claims what an ACK of an open delivery covers. */
  claim(delivery: Delivery): readonly Span[] {
    const { position } = delivery;
    if (this.#isCumulative) return this.#claimUpTo(position);
    delivery.isOpen = false;
    return [{ first: position, last: position }];
  }

  /** Claims all that is open. Nothing may be reopened afterwards. */
  claimAll(): readonly Span[] {
    if (this.#isCumulative) return this.#claimUpTo(this.nextPosition - 1);
    const spans: Span[] = [];
    for (const number of this.#items.numbers()) {
      const delivery = this.#items.get(number)!;
      if (delivery.isOpen) spans.push(...this.claim(delivery));
    }
    return spans;
  }

  /** Opens claimed deliveries again. */
  reopen(spans: readonly Span[]): void {
    for (const span of spans) {
      if (this.#isCumulative) this.#insert(span);
      else this.#items.get(span.first - this.#base)!.isOpen = true;
    }
  }

  /** Removes claimed deliveries. */
  remove(spans: readonly Span[], onRemoved: (delivery: Delivery) => void): void {
    for (const { first, last } of spans) {
      for (let position = first; position <= last; position++) onRemoved(this.#items.take(position - this.#base)!);
    }
    if (this.#items.size > 0 || this.#items.next <= MAX_IDLE_POSITIONS) return;
    this.#base += this.#items.next - 1;
    this.#items = new SequenceMap();
  }

  #claimUpTo(position: number): Span[] {
    const claimed: Span[] = [];
    const open = this.#open;
    for (let span; (span = open.at(-1)) !== undefined && span.first <= position;) {
      open.pop();
      claimed.push({ first: span.first, last: Math.min(span.last, position) });
      if (span.last > position) open.push({ first: position + 1, last: span.last });
    }
    return claimed;
  }

  /** Inserts a span and merges it with its neighbours, so that the spans do not become ever more and smaller. */
  #insert(span: Span): void {
    const at = this.#indexBelow(span.first);
    const above = this.#open[at - 1];
    const below = this.#open[at];
    const joinsAbove = above !== undefined && above.first === span.last + 1;
    const joinsBelow = below !== undefined && below.last + 1 === span.first;
    const joined = { first: joinsBelow ? below.first : span.first, last: joinsAbove ? above.last : span.last };
    this.#open.splice(joinsAbove ? at - 1 : at, Number(joinsAbove) + Number(joinsBelow), joined);
  }

  /** Returns the index of the last span that begins before a position, or the number of spans if none does. */
  #indexBelow(position: number): number {
    const open = this.#open;
    let low = 0;
    let high = open.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (open[middle]!.first < position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
