/**
 * The embedded broker's destinations, in memory. No connections and no frames.
 *
 * @module
 */
import { Fifo } from "../base/fifo.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { ownText } from "../codec/text.ts";
import { Queue, type QueueConsumer, type QueueOwner } from "./queue.ts";
import { BodySlab, type StoredMessage, textBytes } from "./stored_message.ts";

/** The limits of a store. */
export interface StoreLimits {
  /** Bytes of all messages and queues together. Subscriptions and transactions get a quarter as much on top. */
  readonly maxStoredBytes: number;
  /** Bytes of messages that may wait for one subscriber of a topic. */
  readonly maxBacklogBytes: number;
}

/** Roughly what a queue or a topic costs beside its name. */
const QUEUE_OVERHEAD_BYTES = 384;

/** The share of `maxStoredBytes` that subscriptions and transactions may take on top of the messages. */
const STATE_SHARE = 1 / 4;

const MAX_BLOCK_BYTES = 8192;

/** All destinations. A name that begins with `/topic/` is a topic; every other name is a queue. */
export class Store implements QueueOwner {
  readonly #limits: StoreLimits;
  readonly #idPrefix: string;
  readonly #slab: BodySlab;
  readonly #queues = new Map<string, Queue>();
  readonly #topics = new Map<string, Map<QueueConsumer, Queue>>();
  readonly #scheduled = new Fifo<Queue>();
  #isDispatching = false;
  #lastId = 0;
  #bytes = 0;
  #stateBytes = 0;

  /** Creates an empty store; all its message ids begin with `idPrefix`. */
  constructor(idPrefix: string, limits: StoreLimits) {
    this.#idPrefix = idPrefix;
    this.#limits = limits;
    this.#slab = new BodySlab(Math.min(MAX_BLOCK_BYTES, Math.floor(limits.maxStoredBytes / 64)));
  }

  /** How many destinations and messages there are. */
  get stats(): { destinations: number; messages: number } {
    let messages = 0;
    for (const queue of this.#queues.values()) messages += queue.messages;
    for (const subscribers of this.#topics.values()) {
      for (const queue of subscribers.values()) messages += queue.messages;
    }
    return { destinations: this.#queues.size + this.#topics.size, messages };
  }

  /** Makes a message from the headers and the body of a SEND; `undefined` when it does not fit. */
  createMessage(headers: FrameHeaders, body: Uint8Array): StoredMessage | undefined {
    // Checked before anything is copied, and again when the size of the headers is known.
    if (!this.#fits(body.length)) return undefined;
    const message = this.#slab.createMessage(`${this.#idPrefix}-${++this.#lastId}`, headers, body);
    return this.#fits(message.size) ? message : undefined;
  }

  /** Puts a message into a queue, or into the queue of each subscriber of a topic. */
  publish(destination: string, message: StoredMessage): void {
    if (!isTopic(destination)) return this.#queue(destination).add(message);
    for (const [consumer, queue] of this.#topics.get(destination) ?? []) {
      if (queue.bytes < this.#limits.maxBacklogBytes) queue.add(message);
      else consumer.onBacklogFull();
    }
  }

  /** Adds a consumer to a destination. Returns its queue; each subscriber of a topic has a separate one. */
  subscribe(destination: string, consumer: QueueConsumer): Queue {
    let queue: Queue;
    if (isTopic(destination)) {
      let subscribers = this.#topics.get(destination);
      if (subscribers === undefined) {
        this.#topics.set(ownText(destination), subscribers = new Map());
        this.addBytes(QUEUE_OVERHEAD_BYTES + textBytes(destination));
      }
      subscribers.set(consumer, queue = new Queue(undefined, this));
      this.addBytes(QUEUE_OVERHEAD_BYTES);
    } else {
      queue = this.#queue(destination);
    }
    queue.addConsumer(consumer);
    return queue;
  }

  /** Removes a consumer. At a topic, messages that were queued for it are dropped. */
  unsubscribe(destination: string, consumer: QueueConsumer, queue: Queue): void {
    queue.removeConsumer(consumer);
    const subscribers = queue.name === undefined ? this.#topics.get(destination) : undefined;
    if (subscribers === undefined) return;
    queue.close();
    subscribers.delete(consumer);
    this.addBytes(-QUEUE_OVERHEAD_BYTES);
    if (subscribers.size > 0) return;
    this.#topics.delete(destination);
    this.addBytes(-QUEUE_OVERHEAD_BYTES - textBytes(destination));
  }

  /** Dispatches all scheduled queues, and deletes those that are unused. */
  dispatch(): void {
    // A delivery may end a connection, which requeues messages: the loop reaches those as well.
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    try {
      for (let queue; (queue = this.#scheduled.shift()) !== undefined;) {
        queue.isScheduled = false;
        queue.dispatch();
        if (queue.isUnused && queue.name !== undefined && this.#queues.delete(queue.name)) {
          this.addBytes(-QUEUE_OVERHEAD_BYTES - textBytes(queue.name));
        }
      }
    } finally {
      this.#isDispatching = false;
    }
  }

  /** Schedules a queue for the next `dispatch`. */
  schedule(queue: Queue): void {
    if (queue.isScheduled) return;
    queue.isScheduled = true;
    this.#scheduled.push(queue);
  }

  /** Adds to the bytes in use; negative to subtract. */
  addBytes(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * Reserves bytes for a subscription or a transaction, and returns whether they fit. Messages cannot use them up: a
   * consumer that comes to drain a full broker must be able to subscribe.
   */
  reserve(bytes: number): boolean {
    if (this.#stateBytes + bytes > this.#limits.maxStoredBytes * STATE_SHARE) return false;
    this.#stateBytes += bytes;
    return true;
  }

  /** Frees reserved bytes. */
  free(bytes: number): void {
    this.#stateBytes -= bytes;
  }

  #fits(bytes: number): boolean {
    return this.#bytes + bytes <= this.#limits.maxStoredBytes;
  }

  #queue(name: string): Queue {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      const own = ownText(name);
      this.#queues.set(own, queue = new Queue(own, this));
      this.addBytes(QUEUE_OVERHEAD_BYTES + textBytes(own));
    }
    return queue;
  }
}

/** Whether messages to a destination go to all its subscribers. */
function isTopic(destination: string): boolean {
  return destination.startsWith("/topic/");
}
