/**
 * All that the embedded broker keeps: its destinations, in memory. Knows neither connections nor frames.
 *
 * @module
 */
import { Queue, type QueueKeeper, StoredMessage, type Taker } from "./broker_queue.ts";
import type { Headers } from "../codec/headers.ts";
import { Fifo } from "../base/queue.ts";
import { decodeLenient } from "../codec/text.ts";

/** What a store holds at most. */
export interface StoreLimits {
  /** Bytes of messages in all. */
  readonly maxStoredBytes: number;
  /** Bytes of messages that wait for one subscriber of a topic. */
  readonly maxBacklogBytes: number;
}

/** What a store holds. */
export interface StoreCounts {
  /** Queues and topics. */
  destinations: number;
  /** Messages that wait, or that were taken and not settled; for topics, once for each subscriber. */
  messages: number;
}

/** All destinations. One that begins with `/topic/` is a topic; every other name is a queue. */
export class Store implements QueueKeeper {
  readonly #limits: StoreLimits;
  readonly #session: string;
  readonly #slab = new Slab();
  readonly #queues = new Map<string, Queue>();
  readonly #topics = new Map<string, Map<Taker, Queue>>();
  readonly #touched = new Fifo<Queue>();
  #serving = false;
  #ids = 0;
  #bytes = 0;

  /** Creates an empty store; `session` begins all its message ids. */
  constructor(session: string, limits: StoreLimits) {
    this.#session = session;
    this.#limits = limits;
  }

  /** How much there is. */
  get counts(): StoreCounts {
    let messages = 0;
    for (const queue of this.#queues.values()) messages += queue.messages;
    for (const takers of this.#topics.values()) {
      for (const queue of takers.values()) messages += queue.messages;
    }
    return { destinations: this.#queues.size + this.#topics.size, messages };
  }

  /** Makes a message out of the headers and the body of a SEND; `undefined` when there is no room for it. */
  message(headers: Headers, body: Uint8Array): StoredMessage | undefined {
    if (this.#bytes + body.length > this.#limits.maxStoredBytes) return undefined;
    return new StoredMessage(`${this.#session}-${++this.#ids}`, headers, this.#slab.keep(body));
  }

  /** Puts a message into a queue, or into the queue of each subscriber of a topic. */
  publish(destination: string, message: StoredMessage): void {
    if (!isTopic(destination)) return this.#queue(destination).add(message);
    for (const [taker, queue] of this.#topics.get(destination) ?? []) {
      if (queue.bytes < this.#limits.maxBacklogBytes) queue.add(message);
      else taker.tooSlow();
    }
  }

  /** Lets a taker take from a destination. Returns the queue that it takes from: at a topic, one of its own. */
  subscribe(destination: string, taker: Taker): Queue {
    let queue: Queue;
    if (isTopic(destination)) {
      let takers = this.#topics.get(destination);
      if (takers === undefined) this.#topics.set(ownText(destination), takers = new Map());
      takers.set(taker, queue = new Queue(undefined, this));
    } else {
      queue = this.#queue(destination);
    }
    queue.join(taker);
    return queue;
  }

  /** Ends that. At a topic, what still waited for the taker is dropped. */
  unsubscribe(destination: string, taker: Taker, queue: Queue): void {
    queue.leave(taker);
    const takers = queue.name === undefined ? this.#topics.get(destination) : undefined;
    if (takers === undefined) return;
    queue.close();
    takers.delete(taker);
    if (takers.size === 0) this.#topics.delete(destination);
  }

  /** Hands out all that can be handed out. */
  serve(): void {
    // Handing out may end a connection, and that puts messages back: the loop comes to those as well.
    if (this.#serving) return;
    this.#serving = true;
    try {
      for (let queue; (queue = this.#touched.shift()) !== undefined;) {
        queue.touched = false;
        queue.serve();
        if (queue.idle && queue.name !== undefined) this.#queues.delete(queue.name);
      }
    } finally {
      this.#serving = false;
    }
  }

  /** Notes that a queue has to be served. */
  touch(queue: Queue): void {
    if (queue.touched) return;
    queue.touched = true;
    this.#touched.push(queue);
  }

  /** Counts bytes that are kept: those of messages in queues, and those that open transactions hold. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }

  #queue(name: string): Queue {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      const own = ownText(name);
      this.#queues.set(own, queue = new Queue(own, this));
    }
    return queue;
  }
}

/** Whether messages to that destination go to all subscribers. */
function isTopic(destination: string): boolean {
  return destination.startsWith("/topic/");
}

const textEncoder = new TextEncoder();

/** A copy of a text that was cut out of a received chunk, which would be kept in memory with it. */
export function ownText(text: string): string {
  return decodeLenient(textEncoder.encode(text));
}

const SLAB = 8192;
const NOTHING = new Uint8Array(0);

/**
 * Copies bodies out of the chunks that they came in: a message may wait long, and a view would keep 64 KiB in memory
 * with it. Small bodies share a block, for a block of its own costs more than a small body.
 */
class Slab {
  #block = NOTHING;
  #used = 0;

  keep(body: Uint8Array): Uint8Array {
    const { length } = body;
    if (length === 0) return NOTHING;
    // A large body that was received in pieces has memory of its own already.
    if (length > SLAB / 8) return length * 2 > body.buffer.byteLength ? body : body.slice();
    if (this.#used + length > this.#block.length) {
      this.#block = new Uint8Array(SLAB);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    this.#block.set(body, start);
    return this.#block.subarray(start, this.#used);
  }
}
