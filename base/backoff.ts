/**
 * How long to wait between attempts to connect, and when to give up.
 *
 * @module
 */

/** How a client reconnects. */
export interface ReconnectOptions {
  /** Attempts in a row before the client gives up, not counting the first one of `connect`. Default `Infinity`. */
  attempts?: number | undefined;
  /** Milliseconds without a connection before the client gives up. Default `Infinity`. */
  totalTime?: number | undefined;
  /** Milliseconds that the wait before the second attempt is at most; it doubles with each further one. Default 100. */
  delay?: number | undefined;
  /**
   * Milliseconds that any wait is at most. Default 5,000, so that a send with the default timeout of 30 s lives through
   * an outage of 20 s.
   */
  maxDelay?: number | undefined;
  /** Whether the first connect is tried again, too, when it fails. Default `false`. */
  firstConnect?: boolean | undefined;
}

/**
 * Exponential backoff with full jitter: each wait is a random share of its bound, so that a thousand clients whose
 * broker comes back do not all knock at once.
 */
export class Backoff {
  readonly #attempts: number;
  readonly #totalTime: number;
  readonly #delay: number;
  readonly #maxDelay: number;
  readonly #random: () => number;
  readonly #now: () => number;
  #begun: number;
  #attempt = 0;
  #step = 0;

  /**
   * Begins to count.
   *
   * @throws {RangeError} when a number is none, or negative.
   */
  constructor(
    options: ReconnectOptions,
    random: () => number = Math.random,
    now: () => number = () => performance.now(),
  ) {
    this.#attempts = options.attempts ?? Infinity;
    this.#totalTime = options.totalTime ?? Infinity;
    this.#delay = options.delay ?? 100;
    this.#maxDelay = options.maxDelay ?? 5000;
    this.#random = random;
    this.#now = now;
    this.#begun = now();
    for (const name of ["attempts", "totalTime", "delay", "maxDelay"] as const) {
      const number: unknown = options[name];
      if (number === undefined || (typeof number === "number" && number >= 0)) continue;
      throw new RangeError(`Cannot reconnect: reconnect.${name} is ${number}, and has to be a number of 0 or more`);
    }
  }

  /** The number of the attempt that `next` allowed last. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Milliseconds that attempts and the waits between them may still take. */
  get left(): number {
    return Math.max(0, this.#totalTime - (this.#now() - this.#begun));
  }

  /** Counts attempts and time from the beginning again, and waits as after that many attempts. */
  restart(step: number): void {
    this.#attempt = 0;
    this.#step = step;
    this.#begun = this.#now();
  }

  /** Milliseconds until the next attempt; `undefined` when there is to be none. */
  next(): number | undefined {
    const { left } = this;
    if (this.#attempt >= this.#attempts || left === 0) return undefined;
    const bound = Math.min(this.#maxDelay, this.#delay * 2 ** Math.min(this.#step++, 30));
    this.#attempt++;
    return Math.min(this.#random() * bound, left);
  }
}
