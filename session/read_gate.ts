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
 * Stops reading while a consumer has enough. An answer of the broker may stand behind that consumer's messages, and it
 * may be the consumer itself who awaits it: so reading goes on while an answer is awaited, until a consumer is blocked.
 */
export class ReadGate {
  readonly #socket: Readable;
  readonly #awaitsReceipt: () => boolean;
  readonly #full = new Set<object>();
  readonly #blocked = new Set<object>(); // some of them
  #replies = 0; // that are awaited

  /** Reads until someone has enough. */
  constructor(socket: Readable, awaitsReceipt: () => boolean) {
    this.#socket = socket;
    this.#awaitsReceipt = awaitsReceipt;
  }

  /** Whether nothing is read, be an answer awaited or not. */
  get blocked(): boolean {
    return this.#blocked.size > 0;
  }

  /** A consumer has enough; when it is blocked, not even answers are read for. */
  close(consumer: object, blocked: boolean): void {
    this.#full.add(consumer);
    if (blocked) this.#blocked.add(consumer);
    else this.#blocked.delete(consumer);
    this.update();
  }

  /** A consumer can take more, or is gone. */
  open(consumer: object): void {
    this.#blocked.delete(consumer);
    if (this.#full.delete(consumer)) this.update(true);
  }

  /** All of them are gone. */
  releaseAll(): void {
    this.#full.clear();
    this.#blocked.clear();
    this.update(true);
  }

  /** Somebody waits for a message that answers one of ours. Returns what ends that; to be called once. */
  awaitReply(): () => void {
    const change = (by: number) => {
      this.#replies += by;
      this.update();
    };
    change(1);
    return () => change(-1);
  }

  /** To be called when it has changed whether a receipt is awaited. */
  update(released: boolean = false): void {
    if (this.#full.size === 0 && !released) return; // the common case, for each frame with a receipt
    const pause = this.#full.size > 0 && (this.blocked || !this.#awaitsAnswer);
    if (pause === this.#socket.paused) return;
    if (pause) this.#socket.pause();
    else this.#socket.resume();
  }

  get #awaitsAnswer(): boolean {
    return this.#replies > 0 || this.#awaitsReceipt();
  }
}
