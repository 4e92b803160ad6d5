/**
 * What happens to a client, for who wants to watch.
 *
 * @module
 */
import type { StompError } from "../base/errors.ts";
import { Fifo } from "../base/queue.ts";

/** Something that happened to a client. */
export type Status =
  | {
    /** A session is open, and the subscriptions were sent to it. */
    readonly type: "connected";
    /** The broker's address. */
    readonly peer: string;
    /** The `server` header of CONNECTED. */
    readonly server: string | undefined;
    /** The version of the protocol. */
    readonly version: string;
  }
  | {
    /** The session is over. */
    readonly type: "disconnected";
    /** Why. */
    readonly error: StompError;
  }
  | {
    /** A new session will be tried. */
    readonly type: "reconnecting";
    /** The number of the attempt, from 1. */
    readonly attempt: number;
    /** Milliseconds until then. */
    readonly delay: number;
    /** Why the attempt before it failed, or the session ended. */
    readonly error: unknown;
  }
  | {
    /** A subscription's queue is full, so reading has stopped. */
    readonly type: "slow consumer";
    /** Its id. */
    readonly subscription: string;
    /** Its destination. */
    readonly destination: string;
    /** Messages that wait in its queue. */
    readonly queued: number;
  }
  | {
    /** More was sent than the broker takes: sends wait. */
    readonly type: "stalled";
    /** Messages that are not confirmed. */
    readonly pending: number;
  }
  | {
    /** The broker sent an ERROR frame. */
    readonly type: "error";
    /** It. */
    readonly error: StompError;
  }
  | {
    /** The client is closed for good. */
    readonly type: "closed";
    /** Why, if not on request. */
    readonly error: StompError | undefined;
  };

/** Who does not keep up loses the oldest of what is waiting, so that a forgotten watcher costs no memory. */
const KEPT = 100;

/** Hands each status to all who watch. */
export class StatusHub {
  #watchers: Set<Watcher> | undefined; // since there was one
  #closed = false;

  /** Tells everybody. */
  emit(status: Status): void {
    const watchers = this.#watchers ?? [];
    for (const watcher of watchers) watcher.put(status);
    if (status.type === "closed") {
      this.#closed = true;
      for (const watcher of watchers) watcher.end();
      this.#watchers = undefined;
    }
  }

  /** A new watcher: it sees what happens from now on. */
  watch(): AsyncIterableIterator<Status> {
    const watcher = new Watcher(() => void this.#watchers?.delete(watcher));
    if (this.#closed) watcher.end();
    else (this.#watchers ??= new Set()).add(watcher);
    return watcher;
  }
}

class Watcher implements AsyncIterableIterator<Status> {
  readonly #waiting = new Fifo<Status>();
  readonly #leave: () => void;
  #taker: ((result: IteratorResult<Status, undefined>) => void) | undefined;
  #ended = false;

  constructor(leave: () => void) {
    this.#leave = leave;
  }

  put(status: Status): void {
    const taker = this.#taker;
    this.#taker = undefined;
    if (taker) return taker({ done: false, value: status });
    this.#waiting.push(status);
    if (this.#waiting.length > KEPT) this.#waiting.shift();
  }

  end(): void {
    this.#ended = true;
    this.#taker?.({ done: true, value: undefined });
    this.#taker = undefined;
  }

  next(): Promise<IteratorResult<Status, undefined>> {
    const value = this.#waiting.shift();
    if (value) return Promise.resolve({ done: false, value });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    // A second call before the first was answered takes its place: nobody shares a watcher.
    this.#taker?.({ done: true, value: undefined });
    return new Promise((resolve) => this.#taker = resolve);
  }

  return(): Promise<IteratorResult<Status, undefined>> {
    this.#leave();
    this.#waiting.clear();
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
