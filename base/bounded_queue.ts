/**
 * A bounded queue between a socket that delivers and a consumer that takes its time.
 *
 * @module
 */
import { checkWait, onGiveUp, type ReadOptions } from "./timers.ts";
import { rejection, type StompError, traced } from "./errors.ts";
import { Fifo } from "./fifo.ts";

/** How much an inbox holds before it asks for a pause. */
export interface QueueLimits {
  /** Items. Default 1,024. */
  items?: number | undefined;
  /** Bytes. Default 4,194,304 (4 MiB). */
  bytes?: number | undefined;
}

/** Knows how large items are. One meter can serve many inboxes, and then knows how much waits in all of them. */
export interface Meter<T> {
  /** Counts the items of an inbox from now on. The number is the bytes at which that inbox is blocked. */
  enter(inbox: Iterable<T>, bytes: number): void;
  /** They do not any more; those that still wait are in it. */
  leave(inbox: Iterable<T>): void;
  /** An item is about to wait. Returns its bytes. */
  add(item: T): number;
  /** It waits no more. Returns the same number. */
  remove(item: T): number;
}

/**
 * How full an inbox is: there is `room`; it is `full`, so that nobody should read on for its sake; or it holds so much
 * more than that, because others had to read on, that nobody should read on at all: it is `blocked`.
 */
export type QueueFill = "room" | "full" | "blocked";

/** An inbox is blocked at this many times the limits at which it is full. */
const BLOCKED = 8;

/** And at this many bytes, if that is less: 64 MiB. */
const BLOCKED_BYTES = 1 << 26;

/** Somebody who waits for an item. */
export interface QueueWaiter<T> {
  /** Gets it; or `undefined` when there will be none. */
  onItem: (item: T | undefined) => void;
  /** There will be none, because of that. */
  onError: (error: unknown) => void;
}

/**
 * Items wait here for takers, or takers for items. `onFill` is called when the limits are reached, when eight times as
 * much waits, and when there is room again. What arrives nevertheless is kept, so the limits are where to stop reading
 * and not where to lose things. There is room again when half was taken; blocked is over with the first item below that
 * limit, because whoever waits for an answer should wait no longer than necessary.
 */
export class BoundedQueue<T> {
  // What a message touches comes first: with thousands of inboxes that lets one load from memory do.
  #taker: QueueWaiter<T> | undefined; // who waits: mostly one, or nobody
  #takers: Fifo<QueueWaiter<T>> | undefined; // the others behind
  #items: Fifo<T> | undefined; // since one had to wait
  #ended = false;
  #error: StompError | undefined;
  #bytes = 0;
  #fill: QueueFill = "room";
  #told: QueueFill = "room"; // the most that was told since there was room
  readonly #meter: Meter<T>;
  readonly #onFill: (fill: QueueFill, news: T | undefined) => void;
  readonly #maxItems: number;
  readonly #maxBytes: number;
  #onEmpty: (() => void)[] | undefined;

  /**
   * Creates an inbox. `onFill` also gets the last item when the inbox was not that full since there was room.
   *
   * @throws {RangeError} when a limit leaves no room at all.
   */
  constructor(meter: Meter<T>, onFill: (fill: QueueFill, news: T | undefined) => void, limits: QueueLimits = {}) {
    this.#meter = meter;
    this.#onFill = onFill;
    this.#maxItems = limits.items ?? 1024;
    this.#maxBytes = limits.bytes ?? 1 << 22;
    for (const limit of [this.#maxItems, this.#maxBytes]) {
      if (!(limit >= 1)) throw new RangeError(`Cannot queue up to ${limit}: a limit is a number of 1 or more`);
    }
  }

  /** Items that wait. */
  get length(): number {
    return this.#items?.length ?? 0;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How full it is. */
  get fill(): QueueFill {
    return this.#fill;
  }

  /** Whether somebody waits for an item. */
  get awaited(): boolean {
    return this.#taker !== undefined;
  }

  /** Whether nothing more will come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Adds an item. After the end it is dropped. */
  put(item: T): void {
    if (this.#ended) return;
    const taker = this.#taker;
    if (taker !== undefined) {
      this.#taker = this.#takers?.shift();
      taker.onItem(item);
      return;
    }
    const items = this.#items ??= this.#begin();
    const bytes = this.#meter.add(item);
    this.#bytes += bytes;
    items.push(item);
    if (items.length >= this.#maxItems || this.#bytes >= this.#maxBytes) this.#onMore(item);
  }

  /** Takes the next item if there is one. */
  takeNow(): T | undefined {
    const item = this.#items?.shift();
    if (item === undefined) return undefined;
    this.#remove(item);
    this.#onLess();
    return item;
  }

  /** Resolves when nothing waits any more. */
  whenEmpty(): Promise<void> {
    if (this.length === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty ??= []).push(resolve));
  }

  /** Has a taker wait for the next item, where none is there now: what costs the least while many wait. */
  wait(taker: QueueWaiter<T>): void {
    if (this.#error) taker.onError(this.#error);
    else if (this.#ended) taker.onItem(undefined);
    else this.#queueUp(taker);
  }

  /**
   * Takes the next item, or waits for one. What was there before the end can still be taken.
   *
   * @param onTaken told of the item in the moment that it leaves the inbox, before the promise can tell anybody.
   * @returns `undefined` with `nb` when nothing is there, and after an end without an error.
   * @throws the error of the end, the signal's reason, or a `TimeoutError`.
   */
  take(options: ReadOptions, what: string, onTaken?: (item: T) => void): Promise<T | undefined> {
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
        const taker: QueueWaiter<T> = { onItem: taken, onError: reject };
        this.#queueUp(taker);
        if (options.signal === undefined && options.timeout === undefined) return;
        const stop = onGiveUp(options, what, (error) => {
          if (this.#taker === taker) this.#taker = this.#takers?.shift();
          else this.#takers?.remove(taker);
          reject(error);
        });
        taker.onItem = (item) => {
          stop();
          taken(item);
        };
        taker.onError = (error) => {
          stop();
          reject(error);
        };
      }),
    );
  }

  /**
   * Says that nothing more will come: what waits can still be taken, and no longer counts. Who waits is told: with the
   * error, or with `undefined`. The first end counts.
   */
  end(error?: StompError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (this.#items !== undefined) this.#meter.leave(this.#items);
    this.#bytes = 0;
    this.#set("room");
    for (let taker = this.#taker; taker; taker = this.#takers?.shift()) {
      if (error) taker.onError(error);
      else taker.onItem(undefined);
    }
    this.#taker = undefined;
  }

  /** Drops the items that are of no use any more. */
  drop(unwanted: (item: T) => boolean): void {
    const all = this.#items;
    if (all === undefined) return;
    const items = [...all];
    all.clear();
    const dropped: T[] = [];
    for (const item of items) (unwanted(item) ? dropped : all).push(item);
    for (const item of dropped) this.#remove(item);
    this.#onLess();
  }

  #begin(): Fifo<T> {
    const items = new Fifo<T>();
    this.#meter.enter(items, this.#blockedBytes);
    return items;
  }

  /** The meter may find that there is room again, and then more items come before it returns. */
  #remove(item: T): void {
    if (this.#ended) return;
    const bytes = this.#meter.remove(item);
    this.#bytes -= bytes;
  }

  get #blockedBytes(): number {
    return Math.max(this.#maxBytes, Math.min(this.#maxBytes * BLOCKED, BLOCKED_BYTES));
  }

  get #isBlocked(): boolean {
    return this.length >= this.#maxItems * BLOCKED || this.#bytes >= this.#blockedBytes;
  }

  #queueUp(taker: QueueWaiter<T>): void {
    if (this.#taker === undefined) this.#taker = taker;
    else (this.#takers ??= new Fifo()).push(taker);
  }

  #onMore(item: T): void {
    if (this.#fill === "blocked") return;
    if (this.#isBlocked) this.#set("blocked", item);
    else if (this.#fill === "room") this.#set("full", item);
  }

  #onLess(): void {
    const { length } = this;
    if (length === 0 && this.#onEmpty !== undefined) {
      for (const resolve of this.#onEmpty.splice(0)) resolve();
    }
    if (this.#fill === "room") return;
    if (length * 2 <= this.#maxItems && this.#bytes * 2 <= this.#maxBytes) this.#set("room");
    else if (this.#fill === "blocked" && !this.#isBlocked) this.#set("full");
  }

  #set(fill: QueueFill, item?: T): void {
    if (fill === this.#fill) return;
    this.#fill = fill;
    const isNews = item !== undefined && this.#told !== fill;
    if (isNews || fill === "room") this.#told = fill;
    this.#onFill(fill, isNews ? item : undefined);
  }
}
