/**
 * When a connection reads, and when it leaves the bytes where they are.
 *
 * @module
 */

/** What can be told to read or not. */
export interface Readable {
  /** Whether it was told not to. */
  readonly paused: boolean;
  /** Reads no more. */
  pause(): void;
  /** Reads again. */
  resume(): void;
}

/**
 * Stops reading while a consumer has enough, but never while an answer of the broker is awaited, which may stand behind
 * that consumer's messages: it may be the consumer itself who awaits it.
 */
export class Reading {
  readonly #socket: Readable;
  readonly #awaitsAnswer: () => boolean;
  readonly #full = new Set<object>();

  /** Reads until someone has enough. */
  constructor(socket: Readable, awaitsAnswer: () => boolean) {
    this.#socket = socket;
    this.#awaitsAnswer = awaitsAnswer;
  }

  /** A consumer has enough. */
  hold(consumer: object): void {
    this.#full.add(consumer);
    this.update();
  }

  /** A consumer can take more, or is gone. */
  release(consumer: object): void {
    if (this.#full.delete(consumer)) this.update(true);
  }

  /** All of them are gone. */
  releaseAll(): void {
    this.#full.clear();
    this.update(true);
  }

  /** To be called when it has changed whether an answer is awaited. */
  update(released: boolean = false): void {
    if (this.#full.size === 0 && !released) return; // the common case, for each frame with a receipt
    const pause = this.#full.size > 0 && !this.#awaitsAnswer();
    if (pause === this.#socket.paused) return;
    if (pause) this.#socket.pause();
    else this.#socket.resume();
  }
}
