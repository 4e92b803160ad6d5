/**
 * Gathers frames into few large writes.
 *
 * | what is added                                   | when it is written                                        |
 * | ----------------------------------------------- | --------------------------------------------------------- |
 * | the first frame of a turn of the event loop     | at the end of the current task                            |
 * | further frames of that turn                     | in the next turn, or as soon as there are 64 KiB of them  |
 * | the first frame after bytes came, or after 2 ms | at the end of the current task, as if a turn had begun    |
 * | frames while a write is under way               | after it: in the next turn, if this turn had a write      |
 * | a frame larger than 64 KiB                      | at once, after what was gathered before it                |
 *
 * So a lone request is not delayed, and a caller that awaits each send does not cause a write for each.
 *
 * @module
 */
import { LF } from "../codec/bytes.ts";
import type { DirectIo } from "../transport/socket_transport.ts";
import { maxFrameBytes, writeAscii, writeFrame } from "../codec/encoder.ts";
import { BufferPool } from "../base/buffer_pool.ts";
import { afterMacrotask, type Clock } from "../base/timers.ts";
import { Fifo } from "../base/fifo.ts";

/** The most bytes of one write, unless a single frame is larger. */
const MAX_CHUNK_BYTES = 1 << 16;

/** Above this, `write` returns a promise… */
const HIGH_WATER_BYTES = 4 * MAX_CHUNK_BYTES;

/** …which resolves at this or below. */
const LOW_WATER_BYTES = 2 * MAX_CHUNK_BYTES;

const MIN_BUFFER_BYTES = 1024;
const MAX_POOLED_BUFFERS = 16;

/** A write longer ago than this counts as one of an earlier turn. */
const SAME_TURN_MS = 2;

const NO_BUFFER = new Uint8Array(0);
const textEncoder = new TextEncoder();
const pool = new BufferPool(MAX_POOLED_BUFFERS);

/** Bytes that wait for the write before them. */
interface QueuedChunk {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly frameEnds: number[] | undefined;
}

/** The outgoing frames of one connection. */
export class WriteBuffer {
  /** When the last write began, by the clock. */
  lastWrite: number;
  readonly #io: DirectIo;
  readonly #clock: Clock;
  readonly #onFailure: () => void;
  #buffer = NO_BUFFER; // from the pool while there is something to send; grows up to MAX_CHUNK_BYTES
  #used = 0;
  #frameEnds: number[] | undefined; // where the frames in the buffer end, if the transport wants to know
  readonly #queue = new Fifo<QueuedChunk>();
  #passedOn = 0; // bytes that have left `#buffer` so far, for the queue or the transport
  #taken = 0; // bytes that the transport has taken so far
  #writtenInTurn = 0; // bytes
  #isWriting = false;
  #isFlushScheduled = false; // for the end of this task
  #hasWrittenInTurn = false;
  #cancelTurn: (() => void) | undefined; // set while something waits for the next turn
  #ready: PromiseWithResolvers<void> | undefined;
  #emptied: PromiseWithResolvers<void> | undefined; // for `flush`
  #failure: unknown;
  #hasFailed = false;

  /** Writes to `io`; `onFailure` is called once when a write fails. */
  constructor(io: DirectIo, clock: Clock, onFailure: () => void) {
    this.#io = io;
    this.#clock = clock;
    this.lastWrite = clock.now();
    this.#onFailure = onFailure;
    if (io.wantsFrameEnds) this.#frameEnds = [];
  }

  /** Bytes that the transport has not taken yet. */
  get buffered(): number {
    return this.#passedOn + this.#used - this.#taken;
  }

  /** Bytes that were added so far: where the next frame begins. */
  get position(): number {
    return this.#passedOn + this.#used;
  }

  /** The error of the write that failed. */
  get failure(): unknown {
    return this.#failure;
  }

  /**
   * Adds a frame. Text is encoded right where it is sent from. Returns as {@linkcode ready} does.
   *
   * @param head command and header lines, without the empty line.
   * @param extraHeaders further headers, escaped already: a name, its value, the next name, …
   * @param addsLength whether a `content-length` is added, unless the body is empty; `false` when the head has it.
   */
  write(
    head: string | Uint8Array,
    extraHeaders: readonly string[],
    body: string | Uint8Array,
    addsLength = true,
  ): Promise<void> | undefined {
    if (this.#hasFailed) return rejected(this.#failure);
    const maxBytes = maxFrameBytes(head, extraHeaders, body);
    if (maxBytes > MAX_CHUNK_BYTES) {
      // Text first: as much memory as it might need is three times as much as it usually does.
      const bytes = typeof body === "string" ? textEncoder.encode(body) : body;
      const memory = new Uint8Array(maxFrameBytes(head, extraHeaders, bytes));
      this.#addLarge(memory.subarray(0, writeFrame(memory, 0, head, extraHeaders, bytes, addsLength)));
    } else {
      this.#reserve(maxBytes);
      this.#endFrame(writeFrame(this.#buffer, this.#used, head, extraHeaders, body, addsLength));
    }
    return this.ready();
  }

  /** Adds a whole frame that is ASCII, without its NUL. Returns as {@linkcode ready} does. */
  writeText(frame: string): Promise<void> | undefined {
    if (this.#hasFailed) return rejected(this.#failure);
    const length = frame.length + 1;
    if (length > MAX_CHUNK_BYTES) {
      const bytes = new Uint8Array(length); // the last one stays NUL
      writeAscii(bytes, 0, frame);
      this.#addLarge(bytes);
    } else {
      this.#reserve(length);
      const end = writeAscii(this.#buffer, this.#used, frame);
      this.#buffer[end] = 0;
      this.#endFrame(end + 1);
    }
    return this.ready();
  }

  /** Adds a line end. */
  writeLineEnd(): void {
    if (this.#hasFailed) return;
    this.#reserve(1);
    this.#buffer[this.#used] = LF;
    this.#endFrame(this.#used + 1);
  }

  /**
   * Returns a promise to await before more is added, or `undefined` when there is no need to wait. Bytes that were written
   * in this turn count as well: a caller that sends in a loop to a socket that takes everything at once would otherwise
   * never let the process read, or fire its timers.
   */
  ready(): Promise<void> | undefined {
    return this.buffered + this.#writtenInTurn > HIGH_WATER_BYTES ? this.#waitUntilReady() : undefined;
  }

  /**
   * Retracts the frame between two positions. Line ends take its place: STOMP 1.1 and 1.2 allow any number of them
   * between frames.
   *
   * @returns `false` when the transport has it already.
   */
  retract(start: number, end: number): boolean {
    if (this.#hasFailed) return false;
    if (start >= this.#passedOn) {
      this.#buffer.fill(LF, start - this.#passedOn, end - this.#passedOn);
      return true;
    }
    let chunkStart = this.#passedOn;
    for (const { bytes } of this.#queue) chunkStart -= bytes.length;
    for (const { bytes } of this.#queue) {
      if (start >= chunkStart && end <= chunkStart + bytes.length) {
        bytes.fill(LF, start - chunkStart, end - chunkStart);
        return true;
      }
      chunkStart += bytes.length;
    }
    return false;
  }

  /** Resolves when the transport has taken everything. */
  flush(): Promise<void> {
    if (this.#hasFailed) return rejected(this.#failure);
    this.#flush();
    if (this.buffered === 0) return Promise.resolve();
    return (this.#emptied ??= Promise.withResolvers<void>()).promise;
  }

  /** Writes everything, then closes this direction. */
  async end(): Promise<void> {
    await this.flush();
    await this.#io.end();
  }

  /** Drops what is buffered, and rejects every promise that is pending with `reason`. */
  abandon(reason: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#failure = reason;
    this.#cancelTurn?.();
    this.#cancelTurn = undefined;
    this.#queue.clear();
    this.#buffer = NO_BUFFER;
    this.#passedOn += this.#used;
    this.#taken = this.#passedOn;
    this.#used = this.#writtenInTurn = 0;
    this.#ready?.reject(reason);
    this.#ready = undefined;
    this.#emptied?.reject(reason);
    this.#emptied = undefined;
  }

  /** Notes that a new turn has begun. The reader knows that first, and may want to answer at once. */
  beginTurn(): void {
    if (!this.#hasWrittenInTurn) return;
    this.#cancelTurn?.();
    this.#onTurn();
  }

  readonly #onTurn = (): void => {
    this.#cancelTurn = undefined;
    this.#hasWrittenInTurn = false;
    this.#writtenInTurn = 0;
    if (!this.#isWriting) this.#flush();
    this.#resolveReady();
  };

  #waitUntilReady(): Promise<void> {
    if (this.#ready === undefined) {
      this.#ready = Promise.withResolvers<void>();
      this.#ready.promise.catch(() => {}); // a caller need not await it
      if (!this.#isWriting) this.#awaitTurn();
    }
    return this.#ready.promise;
  }

  #endFrame(end: number): void {
    this.#used = end;
    this.#frameEnds?.push(end);
    this.#schedule();
  }

  #addLarge(frame: Uint8Array<ArrayBuffer>): void {
    this.#passedOn += frame.length;
    this.#flush();
    this.#put(frame, this.#frameEnds && [frame.length]);
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes > this.#buffer.length) this.#makeSpace(bytes);
  }

  #makeSpace(bytes: number): void {
    if (this.#used + bytes > MAX_CHUNK_BYTES) this.#flush();
    if (this.#buffer === NO_BUFFER) this.#buffer = pool.take() ?? new Uint8Array(MIN_BUFFER_BYTES);
    if (this.#used + bytes <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.min(MAX_CHUNK_BYTES, Math.max(this.#buffer.length * 4, this.#used + bytes)));
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
  }

  #schedule(): void {
    // The end of the write that is under way, or the next turn, flushes this as well.
    if (!this.#isFlushScheduled && !this.#isWriting && !this.#cancelTurn) this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#hasWrittenInTurn) {
      if (this.#clock.now() - this.lastWrite < SAME_TURN_MS) return this.#awaitTurn();
      this.#hasWrittenInTurn = false; // `#writtenInTurn` stays: only a real turn lets timers fire and bytes come
    }
    this.#isFlushScheduled = true;
    queueMicrotask(() => {
      this.#isFlushScheduled = false;
      this.#flush();
    });
  }

  /** Writes what was gathered, now or after the write that is under way. */
  #flush(): void {
    if (this.#used === 0 || this.#hasFailed) return;
    const buffer = this.#buffer;
    const frameEnds = this.#frameEnds;
    const chunk = buffer.subarray(0, this.#used);
    this.#passedOn += this.#used;
    this.#used = 0;
    this.#buffer = NO_BUFFER;
    if (frameEnds !== undefined) this.#frameEnds = [];
    if (this.#put(chunk, frameEnds)) pool.give(buffer);
  }

  #awaitTurn(): void {
    this.#cancelTurn ??= afterMacrotask(this.#onTurn);
  }

  /** Returns whether the transport took the chunk at once. */
  #put(bytes: Uint8Array<ArrayBuffer>, frameEnds: number[] | undefined): boolean {
    if (this.#isWriting) {
      this.#queue.push({ bytes, frameEnds });
      return false;
    }
    this.#hasWrittenInTurn = true;
    this.lastWrite = this.#clock.now();
    const pending = this.#io.write(bytes, frameEnds);
    if (pending === undefined) {
      this.#onTaken(bytes.length);
      return true;
    }
    this.#isWriting = true;
    pending.then(() => this.#onWritten(bytes), (error) => this.#fail(error));
    return false;
  }

  #onWritten(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#hasFailed) return;
    this.#isWriting = false;
    if (bytes.buffer.byteLength <= MAX_CHUNK_BYTES) pool.give(new Uint8Array(bytes.buffer));
    this.#onTaken(bytes.length);
    let next = this.#queue.shift();
    while (next !== undefined && this.#put(next.bytes, next.frameEnds)) next = this.#queue.shift();
    // What was gathered meanwhile waits for the next turn, if this one has had a write.
    if (this.#isWriting || this.#used === 0) return;
    if (this.#hasWrittenInTurn) this.#awaitTurn();
    else this.#flush();
  }

  #onTaken(length: number): void {
    this.#taken += length;
    if (this.#hasWrittenInTurn) this.#writtenInTurn += length;
    this.#resolveReady();
    if (this.#emptied === undefined || this.buffered > 0) return;
    this.#emptied.resolve();
    this.#emptied = undefined;
  }

  #resolveReady(): void {
    if (this.#ready === undefined) return;
    if (this.buffered + this.#writtenInTurn > LOW_WATER_BYTES) {
      if (!this.#isWriting) this.#awaitTurn();
      return;
    }
    this.#ready.resolve();
    this.#ready = undefined;
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.abandon(error);
    this.#onFailure();
  }
}

/** A rejected promise that no one needs to handle. */
function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
