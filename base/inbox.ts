/**
 * A bounded queue between a socket that delivers and a consumer that takes its time.
 *
 * @module
 */
import { checkWait, onGiveUp, type ReadOptions } from "./deadline.ts";
import type { StompError } from "./errors.ts";
import { Fifo } from "./queue.ts";

/** How much an inbox holds before it asks for a pause. */
export interface InboxLimits {
  /** Items. Default 1,024. */
  items?: number | undefined;
  /** Bytes of bodies. Default 4,194,304 (4 MiB). */
  bytes?: number | undefined;
}

/** What an inbox needs to know of an item. */
export interface InboxItem {
  /** Bytes that the item is counted with; must not change while it waits. */
  readonly bodyLength: number;
}

/** Somebody who waits for an item. */
export interface Taker<T> {
  /** Gets it; or `undefined` when there will be none. */
  onItem: (item: T | undefined) => void;
  /** There will be none, because of that. */
  onError: (error: unknown) => void;
}

/**
 * Items wait here for takers, or takers for items. When the limits are reached `onFull(true)` is called, and what
 * arrives nevertheless is kept, so the limits are where to stop reading and not where to lose things. When half of that
 * was taken, `onFull(false)`.
 */
export class Inbox<T extends InboxItem> {
  // What a message touches comes first: with thousands of inboxes that lets one load from memory do.
  #taker: Taker<T> | undefined; // who waits: mostly one, or nobody
  #takers: Fifo<Taker<T>> | undefined; // the others behind
  #items: Fifo<T> | undefined; // since one had to wait
  #ended = false;
  #error: StompError | undefined;
  #bytes = 0;
  #full = false;
  readonly #onFull: (full: boolean) => void;
  readonly #maxItems: number;
  readonly #maxBytes: number;
  #onEmpty: (() => void)[] | undefined;

  /**
   * Creates an inbox.
   *
   * @throws {RangeError} when a limit leaves no room at all.
   */
  constructor(onFull: (full: boolean) => void, limits: InboxLimits = {}) {
    this.#onFull = onFull;
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

  /** Whether the limits are reached. */
  get full(): boolean {
    return this.#full;
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
    const items = this.#items ??= new Fifo();
    items.push(item);
    this.#bytes += item.bodyLength;
    if (!this.#full && (items.length >= this.#maxItems || this.#bytes >= this.#maxBytes)) {
      this.#full = true;
      this.#onFull(true);
    }
  }

  /** Takes the next item if there is one. */
  takeNow(): T | undefined {
    const item = this.#items?.shift();
    if (item === undefined) return undefined;
    this.#bytes -= item.bodyLength;
    this.#onLess();
    return item;
  }

  /** Resolves when nothing waits any more. */
  whenEmpty(): Promise<void> {
    if (this.length === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty ??= []).push(resolve));
  }

  /** Has a taker wait for the next item, where none is there now: what costs the least while many wait. */
  wait(taker: Taker<T>): void {
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
    if (this.#error) return Promise.reject(this.#error);
    if (this.#ended || options.nb) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      const taken = (item: T | undefined) => {
        if (item !== undefined) onTaken?.(item);
        resolve(item);
      };
      const taker: Taker<T> = { onItem: taken, onError: reject };
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
    });
  }

  /** Says that nothing more will come. Who waits is told: with the error, or with `undefined`. The first end counts. */
  end(error?: StompError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
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
    this.#bytes = 0;
    for (const item of items) {
      if (unwanted(item)) continue;
      all.push(item);
      this.#bytes += item.bodyLength;
    }
    this.#onLess();
  }

  #queueUp(taker: Taker<T>): void {
    if (this.#taker === undefined) this.#taker = taker;
    else (this.#takers ??= new Fifo()).push(taker);
  }

  #onLess(): void {
    const { length } = this;
    if (length === 0 && this.#onEmpty !== undefined) {
      for (const resolve of this.#onEmpty.splice(0)) resolve();
    }
    if (this.#full && length * 2 <= this.#maxItems && this.#bytes * 2 <= this.#maxBytes) {
      this.#full = false;
      this.#onFull(false);
    }
  }
}
