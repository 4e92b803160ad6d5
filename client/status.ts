/**
 * What happens to a client, for who wants to watch.
 *
 * @module
 */
import type { StompError } from "../base/errors.ts";

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
    /** A subscription's queue is full, so reading has stopped but for answers of the broker that are awaited. */
    readonly type: "slow-consumer";
    /** Its id. */
    readonly subscription: string;
    /** Its destination. */
    readonly destination: string;
    /** Messages that wait in its queue. */
    readonly queued: number;
    /**
     * Whether eight times its limits wait in the queue, or 64 MiB in all queues, while answers were awaited. Then nothing
     * is read until messages are taken, and whatever waits for an answer waits for that, too.
     */
    readonly blocked: boolean;
  }
  | {
    /** More was sent than the broker takes: sends wait. */
    readonly type: "stalled";
    /** Messages that are not confirmed. */
    readonly pending: number;
  }
  | {
    /**
     * Receipts are awaited, or what is sent is not taken, and the broker has done nothing about it for 5 s: it may have
     * stopped reading, as RabbitMQ does when it is short of memory or disk space.
     */
    readonly type: "blocked";
    /** How many receipts are awaited. */
    readonly pending: number;
    /** The same in words. */
    readonly error: StompError;
  }
  | {
    /** The broker answers again. */
    readonly type: "unblocked";
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

/** Who does not keep up loses the oldest of what is waiting. */
const KEPT = 100;

/**
 * Hands each status to all who watch. The events are kept once for all of them, and no watcher is registered but while it
 * waits, so that a forgotten one costs nothing.
 */
export class StatusHub {
  /** The last events, each at the place of its number; since there was a watcher. */
  #kept: Status[] | undefined;
  #count = 0;
  #closed = false;
  #waiting: (() => void)[] = [];

  /** The number of the next event. */
  get count(): number {
    return this.#count;
  }

  /** Tells everybody. */
  emit(status: Status): void {
    if (this.#closed) return;
    this.#closed = status.type === "closed";
    if (this.#kept === undefined) return;
    this.#kept[this.#count++ % KEPT] = status;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** A new watcher: it sees what happens from now on. */
  watch(): AsyncIterableIterator<Status> {
    this.#kept ??= [];
    return new Watcher(this);
  }

  /**
   * The first event of that number or later that is still there, with the number of the next one; `undefined` when
   * there is none yet, `"over"` when there will be none.
   */
  from(number: number): { readonly status: Status; readonly next: number } | "over" | undefined {
    const first = Math.max(number, this.#count - KEPT);
    if (first < this.#count) return { status: this.#kept![first % KEPT]!, next: first + 1 };
    return this.#closed ? "over" : undefined;
  }

  /** Calls `wake` at the next event. */
  wait(wake: () => void): void {
    this.#waiting.push(wake);
  }

  /** Calls it no more. */
  leave(wake: () => void): void {
    this.#waiting = this.#waiting.filter((one) => one !== wake);
  }
}

class Watcher implements AsyncIterableIterator<Status> {
  readonly #hub: StatusHub;
  #next: number;
  #ended = false;
  #wake: (() => void) | undefined; // while it waits

  constructor(hub: StatusHub) {
    this.#hub = hub;
    this.#next = hub.count;
  }

  next(): Promise<IteratorResult<Status, undefined>> {
    // A second call before the first was answered takes its place: nobody shares a watcher.
    this.#stopWaiting();
    const result = this.#take();
    if (result !== undefined) return Promise.resolve(result);
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve(this.#take() ?? DONE);
      };
      this.#hub.wait(this.#wake);
    });
  }

  return(): Promise<IteratorResult<Status, undefined>> {
    this.#ended = true;
    this.#stopWaiting();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** What comes next, if that is known. */
  #take(): IteratorResult<Status, undefined> | undefined {
    const event = this.#ended ? "over" : this.#hub.from(this.#next);
    if (event === undefined) return undefined;
    if (event === "over") return DONE;
    this.#next = event.next;
    return { done: false, value: event.status };
  }

  #stopWaiting(): void {
    const wake = this.#wake;
    if (wake === undefined) return;
    this.#hub.leave(wake);
    wake();
  }
}

const DONE: IteratorResult<Status, undefined> = { done: true, value: undefined };
