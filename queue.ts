/**
 * Queues of frames: a FIFO that does not slow down as it grows, the same with bounds, and stompy's
 * {@linkcode IntermediateMessageQueue}.
 *
 * @module
 */

/** Places of a queue that is short; those of a longer one are given back when it has become empty. */
const SHORT = 512;

/** A first-in first-out queue. Adding and taking cost the same however long it is, unlike `Array.shift`. */
export class Fifo<T> {
  // A ring: its length is a power of two, or 0. It stays when all is taken, because most queues are short and busy.
  #ring: (T | undefined)[] = [];
  #head = 0;
  #length = 0;

  /** How many items wait. */
  get length(): number {
    return this.#length;
  }

  /** Adds an item at the end. */
  push(item: T): void {
    if (this.#length === this.#ring.length) this.#grow();
    this.#ring[(this.#head + this.#length) & (this.#ring.length - 1)] = item;
    this.#length++;
  }

  /** The item that `shift` would take, left in place. */
  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#ring[this.#head];
  }

  /** Takes the first item; `undefined` when there is none. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const ring = this.#ring;
    const item = ring[this.#head];
    ring[this.#head] = undefined; // let go of it
    this.#head = (this.#head + 1) & (ring.length - 1);
    this.#length--;
    if (this.#length === 0 && ring.length > SHORT) this.clear();
    return item;
  }

  /** Takes one item out, wherever it is. Costs time in proportion to the length. */
  remove(item: T): void {
    const items = [...this];
    const at = items.indexOf(item);
    if (at < 0) return;
    items.splice(at, 1);
    this.clear();
    for (const other of items) this.push(other);
  }

  /** Takes all items out. */
  clear(): void {
    this.#ring = [];
    this.#head = this.#length = 0;
  }

  /** The items in order, left in place. */
  *[Symbol.iterator](): Iterator<T> {
    for (let i = 0; i < this.#length; i++) yield this.#ring[(this.#head + i) & (this.#ring.length - 1)] as T;
  }

  #grow(): void {
    const { length } = this.#ring;
    const ring: (T | undefined)[] = [];
    for (let i = 0; i < length; i++) ring.push(this.#ring[(this.#head + i) & (length - 1)]);
    for (let i = Math.max(4, length); i > 0; i--) ring.push(undefined);
    this.#ring = ring;
    this.#head = 0;
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
