/**
 * All that the embedded broker keeps: its destinations, in memory. Knows neither connections nor frames.
 *
 * @module
 */
import { type Holding, Queue, type QueueKeeper, StoredMessage, type Taker, textBytes } from "./queue.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { Fifo } from "../base/fifo.ts";
import { decodeLenient } from "../codec/text.ts";

/** What a store holds at most. */
export interface StoreLimits {
  /** Bytes of messages and queues in all. Subscriptions and transactions have a quarter as much for themselves. */
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
  readonly #slab: Slab;
  readonly #queues = new Map<string, Queue>();
  readonly #topics = new Map<string, Map<Taker, Queue>>();
  readonly #touched = new Fifo<Queue>();
  #serving = false;
  #ids = 0;
  #bytes = 0;
  #stateBytes = 0;

  /** Creates an empty store; `session` begins all its message ids. */
  constructor(session: string, limits: StoreLimits) {
    this.#session = session;
    this.#limits = limits;
    this.#slab = new Slab(Math.min(MAX_BLOCK, Math.floor(limits.maxStoredBytes / 64)));
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
  message(headers: FrameHeaders, body: Uint8Array): StoredMessage | undefined {
    // Before anything is copied, and again when it is known what the headers take.
    if (!this.#hasRoomFor(body.length)) return undefined;
    const id = `${this.#session}-${++this.#ids}`;
    const message = this.#slab.message(id, headers, body);
    return this.#hasRoomFor(message.size) ? message : undefined;
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
      if (takers === undefined) {
        this.#topics.set(ownText(destination), takers = new Map());
        this.count(OVERHEAD + textBytes(destination));
      }
      takers.set(taker, queue = new Queue(undefined, this));
      this.count(OVERHEAD);
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
    this.count(-OVERHEAD);
    if (takers.size > 0) return;
    this.#topics.delete(destination);
    this.count(-OVERHEAD - textBytes(destination));
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
        if (queue.idle && queue.name !== undefined && this.#queues.delete(queue.name)) {
          this.count(-OVERHEAD - textBytes(queue.name));
        }
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

  /** Counts bytes that are kept; negative when they are fewer. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * Takes bytes for a subscription or a transaction. Returns whether there was room. Messages take none of it: who comes
   * to take them must find a place.
   */
  reserve(bytes: number): boolean {
    if (this.#stateBytes + bytes > this.#limits.maxStoredBytes * STATE_SHARE) return false;
    this.#stateBytes += bytes;
    return true;
  }

  /** Gives back what was reserved. */
  free(bytes: number): void {
    this.#stateBytes -= bytes;
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#bytes + bytes <= this.#limits.maxStoredBytes;
  }

  #queue(name: string): Queue {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      const own = ownText(name);
      this.#queues.set(own, queue = new Queue(own, this));
      this.count(OVERHEAD + textBytes(own));
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

/** What a queue or a topic costs beside its name, roughly. */
const OVERHEAD = 384;

/** What subscriptions and transactions may take beside the messages, as a part of the limit for those. */
const STATE_SHARE = 1 / 4;

const MAX_BLOCK = 8192;
const NOTHING = new Uint8Array(0);

/**
 * Copies bodies out of the chunks that they came in: a message may wait long, and a view would keep 64 KiB in memory
 * with it. Small bodies share a block, for a block of its own costs more than a small body. One of them keeps the whole
 * block, so that counts as long as any does.
 */
class Slab {
  readonly #size: number;
  #block: Block;
  #used = 0;

  /** Creates one with blocks of that size. */
  constructor(size: number) {
    this.#size = size;
    this.#block = new Block(0);
  }

  /** Makes a message with a body of its own. */
  message(id: string, headers: FrameHeaders, body: Uint8Array): StoredMessage {
    const { length } = body;
    if (length === 0) return new StoredMessage(id, headers, NOTHING);
    if (length > this.#size / 8) {
      // A large body that was received in pieces has memory of its own already.
      return new StoredMessage(id, headers, length * 2 > body.buffer.byteLength ? body : body.slice());
    }
    if (this.#used + length > this.#block.bytes.length) {
      this.#block = new Block(this.#size);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    const { bytes } = this.#block;
    bytes.set(body, start);
    return new StoredMessage(id, headers, bytes.subarray(start, this.#used), this.#block);
  }
}

/** Memory for many small bodies. */
class Block implements Holding {
  readonly bytes: Uint8Array;
  #holders = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  hold(): number {
    return this.#holders++ > 0 ? 0 : this.bytes.length;
  }

  release(): number {
    return --this.#holders > 0 ? 0 : this.bytes.length;
  }
}
