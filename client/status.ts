/**
 * Client lifecycle events, as async iterators.
 *
 * @module
 */
import type { StompError } from "../base/errors.ts";

/** An event in the life of a client. */
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
    /** Why the session is over. */
    readonly error: StompError;
  }
  | {
    /** A new session will be tried. */
    readonly type: "reconnecting";
    /** The number of the attempt, from 1. */
    readonly attempt: number;
    /** Milliseconds until the attempt. */
    readonly delay: number;
    /** Why the attempt before it failed, or the session ended. */
    readonly error: unknown;
  }
  | {
    /**
     * The credentials expire soon. The client asks for new ones, waits for calls under way, and connects with them.
     * `connected` follows, without `disconnected` before it.
     */
    readonly type: "renewing";
    /** When they expire. */
    readonly expiresAt: Date;
    /** Why the client got none when it asked before; `undefined` the first time. */
    readonly error: unknown;
  }
  | {
    /** A subscription's queue is full. Reading has stopped, except for awaited answers of the broker. */
    readonly type: "slow-consumer";
    /** The subscription's id. */
    readonly subscription: string;
    /** The subscription's destination. */
    readonly destination: string;
    /** How many messages wait in its queue. */
    readonly queued: number;
    /**
     * Whether the queue holds eight times its limits, or all queues together 64 MiB, because answers were awaited. Then
     * nothing is read until messages are taken, and whatever waits for an answer waits for that, too.
     */
    readonly blocked: boolean;
  }
  | {
    /** The limits of the outbox are reached, so sends wait. */
    readonly type: "stalled";
    /** How many messages are not confirmed. */
    readonly pending: number;
  }
  | {
    /**
     * The broker has answered nothing for 5 s although receipts are awaited, or has read nothing although data is
     * unsent. It may have stopped reading, as RabbitMQ does when it is short of memory or disk space.
     */
    readonly type: "blocked";
    /** How many receipts are awaited. */
    readonly pending: number;
    /** The same as an error, as it becomes the cause of calls that time out. */
    readonly error: StompError;
  }
  | {
    /** The broker answers again. */
    readonly type: "unblocked";
  }
  | {
    /** The broker sent an ERROR frame, or a function of the program failed: `headers`, `onUnclaimedMessage`. */
    readonly type: "error";
    /** The error, with the frame if there is one. */
    readonly error: StompError;
  }
  | {
    /** The client is closed for good. */
    readonly type: "closed";
    /** Why the client is closed; `undefined` when the program closed it. */
    readonly error: StompError | undefined;
  };

/** How many events are kept for watchers that do not keep up. */
const MAX_KEPT_EVENTS = 100;

/**
 * Hands each event to all watchers. Events are kept once for all of them, and a watcher is registered only while it
 * waits, so that a forgotten one costs nothing.
 */
export class StatusHub {
  /** The last events in a ring, by number; `undefined` before the first watcher. */
  #kept: Status[] | undefined;
  #count = 0;
  #isClosed = false;
  #waiting: (() => void)[] = [];

  /** The number of the next event. */
  get count(): number {
    return this.#count;
  }

  /** Hands an event to all watchers. After `closed` there are none. */
  emit(status: Status): void {
    if (this.#isClosed) return;
    this.#isClosed = status.type === "closed";
    if (this.#kept === undefined) return;
    this.#kept[this.#count++ % MAX_KEPT_EVENTS] = status;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Returns a new watcher of the events from now on. */
  watch(): AsyncIterableIterator<Status> {
    this.#kept ??= [];
    return new Watcher(this);
  }

  /**
   * Returns the first event that is kept and has that number or a later one, with the number of the next event;
   * `undefined` when there is none yet, `"closed"` when there will be none.
   */
  from(number: number): { readonly status: Status; readonly next: number } | "closed" | undefined {
    const first = Math.max(number, this.#count - MAX_KEPT_EVENTS);
    if (first < this.#count) return { status: this.#kept![first % MAX_KEPT_EVENTS]!, next: first + 1 };
    return this.#isClosed ? "closed" : undefined;
  }

  /** Calls `wake` at the next event. */
  wait(wake: () => void): void {
    this.#waiting.push(wake);
  }

  /** Undoes `wait`. */
  leave(wake: () => void): void {
    this.#waiting = this.#waiting.filter((one) => one !== wake);
  }
}

class Watcher implements AsyncIterableIterator<Status> {
  readonly #hub: StatusHub;
  #next: number;
  #isEnded = false;
  #wake: (() => void) | undefined; // while it waits

  constructor(hub: StatusHub) {
    this.#hub = hub;
    this.#next = hub.count;
  }

  next(): Promise<IteratorResult<Status, undefined>> {
    // A second call before the first has its event takes its place: a watcher has one reader.
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
    this.#isEnded = true;
    this.#stopWaiting();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next result, if it is known. */
  #take(): IteratorResult<Status, undefined> | undefined {
    const event = this.#isEnded ? "closed" : this.#hub.from(this.#next);
    if (event === undefined) return undefined;
    if (event === "closed") return DONE;
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
