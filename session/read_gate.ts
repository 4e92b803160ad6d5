/**
 * Decides when a connection reads, and when it leaves received bytes in the socket.
 *
 * @module
 */

/** A connection that can stop reading. */
export interface Readable {
  /** Whether reading is paused. */
  readonly paused: boolean;
  /** Stops reading. */
  pause(): void;
  /** Reads again. */
  resume(): void;
}

/**
 * Stops reading while the queue of a consumer is full.
 *
 * An answer from the broker may stand behind that consumer's messages, and the consumer itself may be waiting for it. So
 * reading continues while an answer is awaited, until a consumer is blocked: then nothing is read.
 */
export class ReadGate {
  readonly #connection: Readable;
  readonly #awaitsReceipt: () => boolean;
  readonly #full = new Set<object>();
  readonly #blocked = new Set<object>(); // a subset of `#full`
  #awaitedReplies = 0;
  #isResuming = false;

  /** Starts open. `awaitsReceipt` tells whether a receipt is awaited. */
  constructor(connection: Readable, awaitsReceipt: () => boolean) {
    this.#connection = connection;
    this.#awaitsReceipt = awaitsReceipt;
  }

  /** Whether nothing is read, not even awaited answers. */
  get blocked(): boolean {
    return this.#blocked.size > 0;
  }

  /** Stops reading for a consumer whose queue is full; with `blocked`, not even awaited answers are read. */
  close(consumer: object, blocked: boolean = false): void {
    this.#full.add(consumer);
    if (blocked) this.#blocked.add(consumer);
    else this.#blocked.delete(consumer);
    this.#apply();
  }

  /** Reads again for a consumer that can take more, or that is gone. */
  open(consumer: object): void {
    this.#blocked.delete(consumer);
    if (this.#full.delete(consumer)) this.#apply();
  }

  /** Reads again for all consumers. */
  openAll(): void {
    this.#full.clear();
    this.#blocked.clear();
    this.#apply();
  }

  /** Counts a message that answers a request as awaited. Returns a function that ends this; call it once. */
  awaitReply(): () => void {
    const change = (by: number) => {
      this.#awaitedReplies += by;
      this.update();
    };
    change(1);
    return () => change(-1);
  }

  /**
   * Must be called when an answer begins to be awaited, or no longer is. Reads again in a microtask: received messages,
   * and the end of the connection, may come as soon as reading goes on, and the caller is still sending what is to be
   * answered.
   */
  update(): void {
    if (this.#full.size === 0) return; // the common case, for each frame with a receipt
    if (this.#pauses) return this.#apply();
    if (this.#isResuming || !this.#connection.paused) return;
    this.#isResuming = true;
    queueMicrotask(() => {
      this.#isResuming = false;
      this.#apply();
    });
  }

  #apply(): void {
    const pause = this.#pauses;
    if (pause === this.#connection.paused) return;
    if (pause) this.#connection.pause();
    else this.#connection.resume();
  }

  get #pauses(): boolean {
    return this.#full.size > 0 && (this.blocked || !this.#awaitsAnswer);
  }

  get #awaitsAnswer(): boolean {
    return this.#awaitedReplies > 0 || this.#awaitsReceipt();
  }
}
