/**
 * Queues of frames: a FIFO that does not slow down as it grows, the same with bounds, and stompy's
 * {@linkcode IntermediateMessageQueue}.
 *
 * @module
 */

/** Places of a queue that is short; a longer one gives places back when most of them are empty. */
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
    if (this.#length === this.#ring.length) this.#resize(Math.max(4, this.#length * 2));
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
    if (ring.length > SHORT && this.#length * 8 <= ring.length) this.#resize(ring.length / 4);
    return item;
  }

  /** Takes one item out, wherever it is. Costs time in proportion to how many are before it. */
  remove(item: T): void {
    const ring = this.#ring;
    const mask = ring.length - 1;
    let at = 0;
    while (at < this.#length && ring[(this.#head + at) & mask] !== item) at++;
    if (at === this.#length) return;
    // Those before it move up by one, and the first place is free.
    for (; at > 0; at--) ring[(this.#head + at) & mask] = ring[(this.#head + at - 1) & mask];
    this.shift();
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

  #resize(size: number): void {
    const ring: (T | undefined)[] = [];
    for (let i = 0; i < this.#length; i++) ring.push(this.#ring[(this.#head + i) & (this.#ring.length - 1)]);
    while (ring.length < size) ring.push(undefined);
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
