/**
 * The embedded broker's queues: messages in order, dealt out to consumers in turn. No connections and no frames.
 *
 * @module
 */
import { Fifo } from "../base/fifo.ts";
import type { StoredMessage } from "./stored_message.ts";

/** Roughly what a queued message costs beside the message itself, including all that is kept for its delivery. */
const ENTRY_OVERHEAD_BYTES = 128;

/** A message in one queue. */
export class Entry {
  /** Its position in the queue: earlier messages have lower numbers. */
  readonly position: number;
  /** The message, which the queues of a topic's subscribers share. */
  readonly message: StoredMessage;
  /** How often it was refused with NACK. */
  nacks = 0;
  /** Whether it was delivered before. */
  isRedelivered = false;

  /** Puts a message at a position. */
  constructor(position: number, message: StoredMessage) {
    this.position = position;
    this.message = message;
  }
}

/** A consumer as its queue sees it. */
export interface QueueConsumer {
  /** Whether it can be given another message now. */
  readonly isReady: boolean;
  /** Whether it is in the queue's rotation; kept here by the queue. */
  inRotation: boolean;
  /** Delivers a message. */
  deliver(entry: Entry): void;
  /** Called when it was skipped because it is not ready. It is out of the rotation until `queue.wake`. */
  onSkipped(): void;
  /** Called when its backlog is over the limit: its connection is to be closed. */
  onBacklogFull(): void;
}

/** What a queue reports to its store. */
export interface QueueOwner {
  /** Called when the queue may have something to dispatch, or may no longer be needed. */
  schedule(queue: Queue): void;
  /** Adds to the bytes in use; negative to subtract. */
  addBytes(bytes: number): void;
}

/** Messages in order of arrival, and the consumers that get them in turn. */
export class Queue {
  /** The destination; `undefined` for the queue of one subscriber of a topic. */
  readonly name: string | undefined;
  /** Bytes of the messages that are queued or delivered and not settled. */
  bytes = 0;
  /** How many messages are queued or delivered and not settled. */
  messages = 0;
  /** Whether it is scheduled; kept here by the owner. */
  isScheduled = false;
  readonly #owner: QueueOwner;
  readonly #fresh = new Fifo<Entry>();
  readonly #requeued = new PositionHeap();
  readonly #rotation = new Fifo<QueueConsumer>();
  readonly #consumers = new Set<QueueConsumer>();
  #lastPosition = 0;
  #isClosed = false;

  /** Creates an empty queue. */
  constructor(name: string | undefined, owner: QueueOwner) {
    this.name = name;
    this.#owner = owner;
  }

  /** Whether it has neither messages nor consumers. */
  get isUnused(): boolean {
    return this.messages === 0 && this.#consumers.size === 0;
  }

  /** Adds a message at the end. */
  add(message: StoredMessage): void {
    this.#fresh.push(new Entry(++this.#lastPosition, message));
    this.messages++;
    this.bytes += message.size;
    this.#owner.addBytes(ENTRY_OVERHEAD_BYTES + message.retain());
    this.#owner.schedule(this);
  }

  /** Puts a delivered message back at its old position. */
  requeue(entry: Entry): void {
    if (this.#isClosed) return this.#drop(entry);
    entry.isRedelivered = true;
    this.#requeued.add(entry);
    this.#owner.schedule(this);
  }

  /** Drops a delivered message that is settled. */
  remove(entry: Entry): void {
    this.#drop(entry);
    if (this.isUnused) this.#owner.schedule(this);
  }

  /** Adds a consumer, at the end of the rotation. */
  addConsumer(consumer: QueueConsumer): void {
    this.#consumers.add(consumer);
    this.wake(consumer);
  }

  /** Removes a consumer. The consumer itself requeues the messages that it has not settled. */
  removeConsumer(consumer: QueueConsumer): void {
    this.#consumers.delete(consumer);
    if (consumer.inRotation) this.#rotation.remove(consumer);
    consumer.inRotation = false;
    this.#owner.schedule(this);
  }

  /** Puts a consumer that may be ready again back into the rotation. */
  wake(consumer: QueueConsumer): void {
    if (consumer.inRotation || !this.#consumers.has(consumer)) return;
    consumer.inRotation = true;
    this.#rotation.push(consumer);
    this.#owner.schedule(this);
  }

  /** Delivers queued messages, one to each consumer in turn, while any consumer is ready. */
  dispatch(): void {
    while (this.#requeued.length > 0 || this.#fresh.length > 0) {
      const consumer = this.#rotation.shift();
      if (consumer === undefined) return;
      if (consumer.isReady) {
        this.#rotation.push(consumer);
        consumer.deliver((this.#requeued.shift() ?? this.#fresh.shift())!);
      } else {
        consumer.inRotation = false;
        consumer.onSkipped();
      }
    }
  }

  /** Drops what is queued. Delivered messages are dropped when they are requeued. */
  close(): void {
    this.#isClosed = true;
    for (let entry; (entry = this.#requeued.shift() ?? this.#fresh.shift()) !== undefined;) this.#drop(entry);
  }

  #drop({ message }: Entry): void {
    this.messages--;
    this.bytes -= message.size;
    this.#owner.addBytes(-ENTRY_OVERHEAD_BYTES - message.release());
  }
}

/** Requeued entries, lowest position first. A binary heap, because a whole backlog may come back in any order. */
class PositionHeap {
  readonly #heap: Entry[] = [];

  get length(): number {
    return this.#heap.length;
  }

  add(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.position < entry.position) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  shift(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    const { length } = heap;
    if (length === 0 || last === undefined) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && heap[child + 1]!.position < heap[child]!.position) child++;
      if (heap[child]!.position > last.position) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
