/**
 * Queues of frames: a FIFO that does not slow down as it grows, the same with bounds, and stompy's
 * {@linkcode IntermediateMessageQueue}.
 *
 * @module
 */

/** A first-in first-out queue. Adding and taking cost the same however long it is, unlike `Array.shift`. */
export class Fifo<T> {
  // Taking moves `#head` on; the taken part is cut off when it is the larger half, so each item is moved once at most.
  #items: (T | undefined)[] = [];
  #head = 0;

  /** How many items wait. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Adds an item at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** The item that `shift` would take, left in place. */
  peek(): T | undefined {
    return this.#items[this.#head];
  }

  /** Takes the first item; `undefined` when there is none. */
  shift(): T | undefined {
    const items = this.#items;
    if (this.#head === items.length) return undefined;
    const item = items[this.#head];
    items[this.#head++] = undefined; // let go of it
    if (this.#head === items.length) {
      items.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= items.length) {
      items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes one item out, wherever it is. Costs time in proportion to the length. */
  remove(item: T): void {
    const at = this.#items.indexOf(item, this.#head);
    if (at >= 0) this.#items.splice(at, 1);
  }

  /** Takes all items out. */
  clear(): void {
    this.#items = [];
    this.#head = 0;
  }

  /** The items in order, left in place. */
  *[Symbol.iterator](): Iterator<T> {
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i] as T;
  }
}

/** What a queue needs to know of a frame. */
export interface QueuedFrame {
  /** The headers. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Something that can take the next frame off the socket, as `Frame` can. */
export interface FrameSource<F> {
  /** The next frame; with `nb`, `undefined` when none is waiting. */
  parseFrame(options?: { nb?: boolean | undefined }): Promise<F | undefined>;
}

/**
 * stompy's queue for messages that arrive while something else is awaited, for example the receipt of a command.
 */
export class IntermediateMessageQueue<F extends QueuedFrame = QueuedFrame> {
  readonly #queue = new Fifo<F>();

  /** How many frames wait. */
  get length(): number {
    return this.#queue.length;
  }

  /** Keeps a frame for later. A frame without a `destination` header is no message, and is not kept. */
  put(frame: F): void {
    if ("destination" in frame.headers) this.#queue.push(frame);
  }

  /**
   * Takes the next frame; when none is kept, asks `frame` for the next one off its socket.
   *
   * @param frame what reads the socket
   * @param options `nb`: do not wait, and give `undefined` when nothing is there. Default `false`.
   */
  async get<S extends F>(frame: FrameSource<S>, options: { nb?: boolean | undefined } = {}): Promise<F | undefined> {
    return this.#queue.shift() ?? await frame.parseFrame(options);
  }
}
