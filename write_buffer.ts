/**
 * Gathers frames into few large writes.
 *
 * @module
 */
import { Fifo } from "./queue.ts";

/** Bytes of one write, where frames are small. */
const CHUNK = 1 << 16;

/** Above this many waiting bytes, who sends is asked to wait. */
const HIGH_WATER = 4 * CHUNK;

/** Below this many waiting bytes, who waits may go on. */
const LOW_WATER = 2 * CHUNK;

const textEncoder = new TextEncoder();
const LF = 10;

/** Someone who waits. */
interface Waiter {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * What is sent while one write is under way goes out together with the next. So a lone frame leaves at the end of the
 * current task, and a flood of frames leaves in writes of 64 KiB, without a timer that would delay either.
 */
export class WriteBuffer {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #onFailure: () => void;
  #buffer: Uint8Array = new Uint8Array(1024); // grows to CHUNK when that much is sent
  #used = 0;
  #spare: Uint8Array | undefined; // a buffer that was written and can be filled again
  readonly #ready = new Fifo<Uint8Array>(); // full chunks
  #buffered = 0;
  #writing = false;
  #room: Promise<void> | undefined;
  #waiters: { room: Waiter | undefined; empty: Waiter[] } = { room: undefined, empty: [] };
  #failure: unknown;
  #failed = false;

  /** Writes to a stream; `onFailure` is called once when a write fails. */
  constructor(writable: WritableStream<Uint8Array>, onFailure: () => void) {
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {}); // the failing write tells
    this.#onFailure = onFailure;
  }

  /** Bytes that the stream has not taken yet. */
  get buffered(): number {
    return this.#buffered;
  }

  /** What a write failed with. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Adds a frame. Returns a promise to wait for when much is waiting already. */
  frame(head: string, body: Uint8Array): Promise<void> | undefined {
    if (this.#failed) return rejected(this.#failure);
    // UTF-8 takes at most three bytes for each unit of a string.
    const most = head.length * 3 + body.length + 1;
    if (most > CHUNK) {
      const bytes = textEncoder.encode(head);
      const whole = new Uint8Array(bytes.length + body.length + 1);
      whole.set(bytes);
      whole.set(body, bytes.length);
      this.#flushBuffer();
      this.#ready.push(whole);
      this.#buffered += whole.length;
    } else {
      this.#reserve(most);
      const start = this.#used;
      let end = start + textEncoder.encodeInto(head, this.#buffer.subarray(start)).written;
      this.#buffer.set(body, end);
      end += body.length;
      this.#buffer[end++] = 0;
      this.#used = end;
      this.#buffered += end - start;
    }
    this.#schedule();
    return this.room();
  }

  /** A promise to wait for when much is waiting already; `undefined` when there is room. */
  room(): Promise<void> | undefined {
    return this.#buffered > HIGH_WATER ? this.#waitForRoom() : undefined;
  }

  /** Adds a line end. */
  lineEnd(): void {
    if (this.#failed) return;
    this.#reserve(1);
    this.#buffer[this.#used++] = LF;
    this.#buffered++;
    this.#schedule();
  }

  /** Resolves when the stream has taken everything. */
  flush(): Promise<void> {
    if (this.#failed) return rejected(this.#failure);
    if (this.#buffered === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.empty.push({ resolve, reject }));
  }

  /** Writes everything, then closes the stream. */
  async end(): Promise<void> {
    await this.flush();
    await this.#writer.close();
  }

  /** Drops what is waiting; everybody who waits is told the reason. */
  abandon(reason: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#failure = reason;
    this.#ready.clear();
    this.#used = this.#buffered = 0;
    const { room, empty } = this.#waiters;
    this.#waiters = { room: undefined, empty: [] };
    room?.reject(reason);
    for (const waiter of empty) waiter.reject(reason);
  }

  #waitForRoom(): Promise<void> {
    if (!this.#room) {
      this.#room = new Promise((resolve, reject) => this.#waiters.room = { resolve, reject });
      this.#room.catch(() => {}); // not everybody waits
    }
    return this.#room;
  }

  #reserve(size: number): void {
    if (this.#used + size <= this.#buffer.length) return;
    if (this.#used + size > CHUNK) this.#flushBuffer();
    if (this.#used + size <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.min(CHUNK, Math.max(this.#buffer.length * 4, this.#used + size)));
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
  }

  /** Makes what was gathered ready to be written, and begins a new buffer. */
  #flushBuffer(): void {
    if (this.#used === 0) return;
    this.#ready.push(this.#buffer.subarray(0, this.#used));
    this.#buffer = this.#spare ?? new Uint8Array(this.#buffer.length);
    this.#spare = undefined;
    this.#used = 0;
  }

  #schedule(): void {
    if (this.#writing) return;
    this.#writing = true;
    // What is sent in the same task goes along.
    queueMicrotask(() => this.#write());
  }

  #write(): void {
    if (this.#failed) return;
    if (this.#ready.length === 0) this.#flushBuffer();
    const chunk = this.#ready.shift();
    if (chunk === undefined) {
      this.#writing = false;
      return;
    }
    this.#writer.write(chunk).then(() => this.#written(chunk), (error) => this.#fail(error));
  }

  #written(chunk: Uint8Array): void {
    if (this.#failed) return;
    this.#buffered -= chunk.length;
    if (chunk.buffer.byteLength >= this.#buffer.length && chunk.buffer.byteLength <= CHUNK) {
      this.#spare = new Uint8Array(chunk.buffer);
    }
    if (this.#buffered <= LOW_WATER && this.#room) {
      const { room } = this.#waiters;
      this.#room = this.#waiters.room = undefined;
      room?.resolve();
    }
    if (this.#buffered === 0 && this.#waiters.empty.length > 0) {
      const { empty } = this.#waiters;
      this.#waiters.empty = [];
      for (const waiter of empty) waiter.resolve();
    }
    this.#write();
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.abandon(error);
    this.#onFailure();
  }
}

/** A rejected promise that is no unhandled one when nobody waits for it. */
function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
