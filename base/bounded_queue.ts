/**
 * A bounded queue between a socket and a slower consumer.
 *
 * @module
 */
import { checkWait, onGiveUp, type ReadOptions, type StepOptions } from "./timers.ts";
import { checkLimit } from "./checks.ts";
import { rejection, type StompError, traced } from "./errors.ts";
import { Fifo } from "./fifo.ts";

/** How much a queue holds before it is full. */
export interface QueueLimits {
  /**
   * Items, 1 or more.
   *
   * @default {1024}
   */
  items?: number | undefined;
  /**
   * Bytes, 1 or more.
   *
   * @default {4194304 (4 MiB)}
   */
  bytes?: number | undefined;
}

/** Measures items. One meter can serve many queues, and then knows the total of all. */
export interface Meter<T> {
  /** Starts counting the items of a queue, which is blocked at this many bytes. */
  enter(queue: Iterable<T>, bytes: number): void;
  /** Stops counting the items of a queue, including those that it still holds. */
  leave(queue: Iterable<T>): void;
  /** Counts an item that is about to be queued. Returns its bytes. */
  add(item: T): number;
  /** Counts an item that has left its queue. Returns the same number as `add`. */
  remove(item: T): number;
}

/**
 * How full a queue is. `free`: below its limits. `full`: reading should stop, as far as this queue is concerned.
 * `blocked`: far above its limits, because reading went on for others, so that all reading should stop.
 */
export type QueueFill = "free" | "full" | "blocked";

/** A queue is blocked at this many times its limits. */
const BLOCKED_FACTOR = 8;

/** A queue is blocked at this many bytes (64 MiB), where the factor would allow more. */
const MAX_BLOCKED_BYTES = 1 << 26;

/** Waits for an item. */
export interface QueueWaiter<T> {
  /** Gets the item; `undefined` when the queue has ended without an error. */
  onItem: (item: T | undefined) => void;
  /** Gets the error that the queue has ended with. */
  onError: (error: unknown) => void;
}

/**
 * A queue of items, or of waiters when there are no items. It reports when its limits are reached, when eight times as much
 * is queued, and when it is free again. Beyond the limits it still takes every item: they only say when to stop
 * reading. A full queue is free again when it is half empty. A blocked queue counts as full as soon as it is below
 * eight times its limits, so that a call that awaits an answer is delayed no longer than necessary.
 */
export class BoundedQueue<T> {
  // The fields that each message uses come first: with thousands of queues they then share one load from memory.
  #waiter: QueueWaiter<T> | undefined; // usually there is one or none
  #waiters: Fifo<QueueWaiter<T>> | undefined; // behind the first
  #items: Fifo<T> | undefined; // created for the first item that has no waiter
  #ended = false;
  #error: StompError | undefined;
  #bytes = 0;
  #fill: QueueFill = "free";
  #reported: QueueFill = "free"; // the last fill for which `onFill` got an item, since it was free
  readonly #meter: Meter<T>;
  readonly #onFill: (fill: QueueFill, item: T | undefined) => void;
  readonly #maxItems: number;
  readonly #maxBytes: number;
  #onEmpty: (() => void)[] | undefined;

  /**
   * Creates an empty queue.
   *
   * @param onFill Called when the fill changes. Gets the last item when the queue reaches this fill for the first time
   * since it was free.
   * @throws {RangeError} when a limit is below 1.
   */
  constructor(meter: Meter<T>, onFill: (fill: QueueFill, item: T | undefined) => void, limits: QueueLimits = {}) {
    checkLimit("queue", "items", limits.items);
    checkLimit("queue", "bytes", limits.bytes);
    this.#meter = meter;
    this.#onFill = onFill;
    this.#maxItems = limits.items ?? 1024;
    this.#maxBytes = limits.bytes ?? 1 << 22;
  }

  /** Queued items. */
  get length(): number {
    return this.#items?.length ?? 0;
  }

  /** Bytes of the queued items. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How full the queue is. */
  get fill(): QueueFill {
    return this.#fill;
  }

  /** Whether an item is awaited. */
  get awaited(): boolean {
    return this.#waiter !== undefined;
  }

  /** Whether the queue takes no more items. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Adds an item, or drops it when the queue has ended. */
  put(item: T): void {
    if (this.#ended) return;
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = this.#waiters?.shift();
      waiter.onItem(item);
      return;
    }
    const items = this.#items ??= this.#createItems();
    const bytes = this.#meter.add(item);
    this.#bytes += bytes;
    items.push(item);
    if (items.length >= this.#maxItems || this.#bytes >= this.#maxBytes) this.#updateAfterPut(item);
  }

  /** Takes the next item; `undefined` when there is none. */
  takeNow(): T | undefined {
    const item = this.#items?.shift();
    if (item === undefined) return undefined;
    this.#remove(item);
    this.#updateAfterTake();
    return item;
  }

  /** Resolves when the queue is empty. */
  whenEmpty(): Promise<void> {
    if (this.length === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty ??= []).push(resolve));
  }

  /** Waits for the next item, when the queue is empty. Cheaper than `take` while thousands wait. */
  wait(waiter: QueueWaiter<T>): void {
    if (this.#error) waiter.onError(this.#error);
    else if (this.#ended) waiter.onItem(undefined);
    else this.#addWaiter(waiter);
  }

  /**
   * Takes the next item, or waits for one. Items that were queued before the end can still be taken.
   *
   * @param onTaken Gets the item when it leaves the queue, before the promise resolves.
   * @returns `undefined` with `nb` when the queue is empty, and after an end without an error.
   * @throws the error of the end, the signal's reason, or a `TimeoutError`.
   */
  take(options: ReadOptions & StepOptions, what: string, onTaken?: (item: T) => void): Promise<T | undefined> {
    try {
      checkWait(options);
    } catch (error) {
      return Promise.reject(error);
    }
    const item = this.takeNow();
    if (item !== undefined) {
      onTaken?.(item);
      return Promise.resolve(item);
    }
    if (this.#error) return rejection(this.#error);
    if (this.#ended || options.nb) return Promise.resolve(undefined);
    return traced(
      new Promise((resolve, reject) => {
        const taken = (item: T | undefined) => {
          if (item !== undefined) onTaken?.(item);
          resolve(item);
        };
        const waiter: QueueWaiter<T> = { onItem: taken, onError: reject };
        this.#addWaiter(waiter);
        if (options.signal === undefined && options.timeout === undefined) return;
        const stop = onGiveUp(options, what, (error) => {
          if (this.#waiter === waiter) this.#waiter = this.#waiters?.shift();
          else this.#waiters?.remove(waiter);
          reject(error);
        });
        waiter.onItem = (item) => {
          stop();
          taken(item);
        };
        waiter.onError = (error) => {
          stop();
          reject(error);
        };
      }),
    );
  }

  /**
   * Ends the queue: waiters get the error, or `undefined`. Queued items can still be taken, and no longer count. Calls
   * after the first do nothing.
   */
  end(error?: StompError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (this.#items !== undefined) this.#meter.leave(this.#items);
    this.#bytes = 0;
    this.#setFill("free");
    for (let waiter = this.#waiter; waiter; waiter = this.#waiters?.shift()) {
      if (error) waiter.onError(error);
      else waiter.onItem(undefined);
    }
    this.#waiter = undefined;
  }

  /** Drops the queued items for which `unwanted` returns true. */
  drop(unwanted: (item: T) => boolean): void {
    const all = this.#items;
    if (all === undefined) return;
    const items = [...all];
    all.clear();
    const dropped: T[] = [];
    for (const item of items) (unwanted(item) ? dropped : all).push(item);
    for (const item of dropped) this.#remove(item);
    this.#updateAfterTake();
  }

  #createItems(): Fifo<T> {
    const items = new Fifo<T>();
    this.#meter.enter(items, this.#blockedBytes);
    return items;
  }

  /** Counts an item out. The meter may start reading again, so that more items arrive before this returns. */
  #remove(item: T): void {
    if (this.#ended) return;
    const bytes = this.#meter.remove(item);
    this.#bytes -= bytes; // not in one expression, which would read the old value first
  }

  get #blockedBytes(): number {
    return Math.max(this.#maxBytes, Math.min(this.#maxBytes * BLOCKED_FACTOR, MAX_BLOCKED_BYTES));
  }

  get #isBlocked(): boolean {
    return this.length >= this.#maxItems * BLOCKED_FACTOR || this.#bytes >= this.#blockedBytes;
  }

  #addWaiter(waiter: QueueWaiter<T>): void {
    if (this.#waiter === undefined) this.#waiter = waiter;
    else (this.#waiters ??= new Fifo()).push(waiter);
  }

  #updateAfterPut(item: T): void {
    if (this.#fill === "blocked") return;
    if (this.#isBlocked) this.#setFill("blocked", item);
    else if (this.#fill === "free") this.#setFill("full", item);
  }

  #updateAfterTake(): void {
    const { length } = this;
    if (length === 0 && this.#onEmpty !== undefined) {
      for (const resolve of this.#onEmpty.splice(0)) resolve();
    }
    if (this.#fill === "free") return;
    if (length * 2 <= this.#maxItems && this.#bytes * 2 <= this.#maxBytes) this.#setFill("free");
    else if (this.#fill === "blocked" && !this.#isBlocked) this.#setFill("full");
  }

  #setFill(fill: QueueFill, item?: T): void {
    if (fill === this.#fill) return;
    this.#fill = fill;
    const isFirst = item !== undefined && this.#reported !== fill;
    if (isFirst || fill === "free") this.#reported = fill;
    this.#onFill(fill, isFirst ? item : undefined);
  }
}
