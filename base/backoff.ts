/**
 * How long to wait between attempts to connect, and how many to make.
 *
 * @module
 */
import { checkLimit } from "./checks.ts";

/** How a client reconnects. */
export interface ReconnectOptions {
  /**
   * Attempts in a row before the client gives up, not counting the first one of `connect`.
   *
   * @default {Infinity}
   */
  attempts?: number | undefined;
  /**
   * Milliseconds without a connection before the client gives up.
   *
   * @default {Infinity}
   */
  totalTime?: number | undefined;
  /**
   * Maximum milliseconds of the wait before the second attempt. The maximum doubles with each further attempt.
   *
   * @default {100}
   */
  delay?: number | undefined;
  /**
   * Maximum milliseconds of any wait. With the default a send, whose default timeout is 30 s, survives an outage of 20 s.
   *
   * @default {5000}
   */
  maxDelay?: number | undefined;
  /**
   * Whether to retry the first connect, too, when it fails.
   *
   * @default {false}
   */
  firstConnect?: boolean | undefined;
}

/** Doublings of the delay after which it no longer grows, so that it stays finite. */
const MAX_DOUBLINGS = 30;

/**
 * Exponential backoff with full jitter: each wait is a random share of its maximum, so that a thousand clients whose broker
 * comes back do not all connect at the same moment.
 */
export class Backoff {
  /** The number of the attempt that `next` allowed last. */
  attempt = 0;
  readonly #limits: Readonly<Record<"attempts" | "totalTime" | "delay" | "maxDelay", number>>;
  readonly #random: () => number;
  readonly #now: () => number;
  #startedAt: number;
  #step = 0;

  /**
   * Starts counting attempts and time.
   *
   * @throws {RangeError} when an option is not a number of 0 or more.
   */
  constructor(
    options: ReconnectOptions,
    random: () => number = Math.random,
    now: () => number = () => performance.now(),
  ) {
    const { attempts = Infinity, totalTime = Infinity, delay = 100, maxDelay = 5000 } = options;
    this.#limits = { attempts, totalTime, delay, maxDelay };
    for (const [name, value] of Object.entries(this.#limits)) checkLimit("reconnect", `reconnect.${name}`, value, 0);
    this.#random = random;
    this.#now = now;
    this.#startedAt = now();
  }

  /** Milliseconds that attempts and the waits between them may still take. */
  get left(): number {
    return Math.max(0, this.#limits.totalTime - (this.#now() - this.#startedAt));
  }

  /** Counts attempts and time from 0 again; the next wait is as long as after `step` attempts. */
  restart(step: number): void {
    this.attempt = 0;
    this.#step = step;
    this.#startedAt = this.#now();
  }

  /** Counts an attempt and returns the milliseconds to wait before it; `undefined` when there are no more. */
  next(): number | undefined {
    const { left } = this;
    const { attempts, delay, maxDelay } = this.#limits;
    if (this.attempt >= attempts || left === 0) return undefined;
    const max = Math.min(maxDelay, delay * 2 ** Math.min(this.#step++, MAX_DOUBLINGS));
    this.attempt++;
    return Math.min(this.#random() * max, left);
  }
}
