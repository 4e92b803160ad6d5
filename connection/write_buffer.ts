/**
 * Gathers frames into few large writes.
 *
 * @module
 */
import type { DirectIo } from "../transport/socket_transport.ts";
import { mostBytes, mostBytesOfSized, sizedHead, writeAscii, writeSized, writeText } from "../codec/frame_bytes.ts";
import { afterMacrotask, type Clock } from "../base/timers.ts";
import { Fifo } from "../base/fifo.ts";

/** Bytes of one write, where frames are small. */
const CHUNK = 1 << 16;

/** Above this many waiting bytes, who sends is asked to wait. */
const HIGH_WATER = 4 * CHUNK;

/** Below this many waiting bytes, who waits may go on. */
const LOW_WATER = 2 * CHUNK;

const NOTHING: Uint8Array = new Uint8Array(0);
const textEncoder = new TextEncoder();
const LF = 10;

/** Buffers that no connection has anything in, the last used one last: a thousand idle connections hold none. */
const BUFFERS: Uint8Array[] = [];
const MOST_BUFFERS = 16;
const FIRST_BUFFER = 1024;

function giveBuffer(buffer: Uint8Array): void {
  BUFFERS.push(buffer);
  if (BUFFERS.length > MOST_BUFFERS) BUFFERS.shift();
}

/** Milliseconds after a write from which on the next frame need not wait for a turn. */
const LONG_AGO = 2;

/** Someone who waits. */
interface Waiter {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * The first frame of a turn of the event loop leaves at the end of the current task, so that a lone request is not
 * delayed. What is sent after it in the same turn leaves together with the next turn, or as soon as there are 64 KiB of
 * it: awaiting each send does not make a write of each.
 */
export class WriteBuffer {
  readonly #io: DirectIo;
  readonly #clock: Clock;
  readonly #onFailure: () => void;
  #buffer: Uint8Array = NOTHING; // one of BUFFERS while there is something to send; grows to CHUNK when it is that much
  #used = 0;
  readonly #ready = new Fifo<Uint8Array>(); // chunks that wait for the write before them
  #buffered = 0;
  #passedOn = 0; // bytes that have left `#buffer` so far, for a chunk that waits or for the transport
  #lastWrite: number;
  #takenInTurn = 0;
  #writing = false;
  #scheduled = false; // a flush at the end of this task
  #hadWrite = false; // this turn has, so that what follows goes with the next one
  #cancelTurn: (() => void) | undefined; // a flush in the next turn, once something waits for that
  #room: Promise<void> | undefined;
  #roomWaiter: Waiter | undefined;
  #emptyWaiters: Waiter[] = [];
  #failure: unknown;
  #failed = false;

  /** Writes to `io`; `onFailure` is called once when a write fails. */
  constructor(io: DirectIo, clock: Clock, onFailure: () => void) {
    this.#io = io;
    this.#clock = clock;
    this.#lastWrite = clock.now();
    this.#onFailure = onFailure;
  }

  /** Bytes that were not taken yet. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Bytes that were added so far: where the next frame begins. */
  get position(): number {
    return this.#passedOn + this.#used;
  }

  /** When something was last written, by the clock. */
  get lastWrite(): number {
    return this.#lastWrite;
  }

  /** What a write failed with. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Adds a frame. Returns a promise to wait for when much is waiting already. */
  frame(head: string, body: Uint8Array): Promise<void> | undefined {
    if (this.#failed) return rejected(this.#failure);
    const most = mostBytes(head) + body.length + 1;
    if (most > CHUNK) {
      const bytes = textEncoder.encode(head);
      const whole = new Uint8Array(bytes.length + body.length + 1); // the last byte stays NUL
      whole.set(bytes);
      whole.set(body, bytes.length);
      this.#buffered += whole.length;
      this.#flush();
      this.#passedOn += whole.length;
      this.#put(whole);
    } else {
      this.#reserve(most);
      const bodyAt = writeText(this.#buffer, this.#used, head);
      this.#buffer.set(body, bodyAt);
      this.#end(bodyAt + body.length);
    }
    return this.room();
  }

  /**
   * Adds a frame by the beginning of its head, further headers, and its body. `content-length`, unless the body is empty,
   * and the empty line are put between. Text is encoded right where it is sent from, which makes this the fast way.
   *
   * @param headers names and values by turns, as they are written
   */
  sized(head: Uint8Array | string, headers: readonly string[], body: string | Uint8Array): Promise<void> | undefined {
    if (this.#failed) return rejected(this.#failure);
    const most = mostBytesOfSized(head, headers, body);
    if (most > CHUNK) {
      const bytes = typeof body === "string" ? textEncoder.encode(body) : body;
      return this.frame(sizedHead(head, headers, bytes.length), bytes);
    }
    this.#reserve(most);
    this.#end(writeSized(this.#buffer, this.#used, head, headers, body));
    return this.room();
  }

  /** Adds a frame that is ASCII, without its NUL. */
  ascii(frame: string): Promise<void> | undefined {
    if (this.#failed) return rejected(this.#failure);
    if (frame.length >= CHUNK) return this.frame(frame, NOTHING);
    this.#reserve(frame.length + 1);
    this.#end(writeAscii(this.#buffer, this.#used, frame));
    return this.room();
  }

  /**
   * A promise to wait for when much is waiting already, or much was sent in this turn: a socket that always has room
   * would otherwise never let who sends in a loop read, or hear its timers. `undefined` when there is room.
   */
  room(): Promise<void> | undefined {
    if (this.#failed || this.#buffered + this.#takenInTurn <= HIGH_WATER) return undefined;
    return this.#waitForRoom();
  }

  /**
   * Takes a frame back that is between two positions. Line ends take its place: STOMP 1.1 and 1.2 allow any number of
   * them between frames.
   *
   * @returns whether it was still here; what the transport has is on its way.
   */
  retract(start: number, end: number): boolean {
    if (this.#failed) return false;
    if (start >= this.#passedOn) {
      this.#buffer.fill(LF, start - this.#passedOn, end - this.#passedOn);
      return true;
    }
    let chunkStart = this.#passedOn;
    for (const chunk of this.#ready) chunkStart -= chunk.length;
    for (const chunk of this.#ready) {
      if (start >= chunkStart && end <= chunkStart + chunk.length) {
        chunk.fill(LF, start - chunkStart, end - chunkStart);
        return true;
      }
      chunkStart += chunk.length;
    }
    return false;
  }

  /** Adds a line end. */
  lineEnd(): void {
    if (this.#failed) return;
    this.#reserve(1);
    this.#buffer[this.#used++] = LF;
    this.#buffered++;
    this.#schedule();
  }

  /** Resolves when everything was taken. */
  flush(): Promise<void> {
    if (this.#failed) return rejected(this.#failure);
    this.#flush();
    if (this.#buffered === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.#emptyWaiters.push({ resolve, reject }));
  }

  /** Writes everything, then says that nothing more will come. */
  async end(): Promise<void> {
    await this.flush();
    await this.#io.end();
  }

  /** Drops what is waiting; everybody who waits is told the reason. */
  abandon(reason: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#failure = reason;
    this.#cancelTurn?.();
    this.#cancelTurn = undefined;
    this.#ready.clear();
    this.#buffer = NOTHING;
    this.#passedOn += this.#used;
    this.#used = this.#buffered = 0;
    this.#roomWaiter?.reject(reason);
    this.#room = this.#roomWaiter = undefined;
    for (const waiter of this.#emptyWaiters.splice(0)) waiter.reject(reason);
  }

  /** Says that a new turn has begun: who has just received something knows it first, and may want to answer at once. */
  turn(): void {
    if (!this.#hadWrite) return;
    this.#cancelTurn?.();
    this.#onTurn();
  }

  readonly #onTurn = (): void => {
    this.#cancelTurn = undefined;
    this.#hadWrite = false;
    this.#takenInTurn = 0;
    if (!this.#writing) this.#flush();
    this.#giveRoom();
  };

  #waitForRoom(): Promise<void> {
    if (!this.#room) {
      this.#room = new Promise((resolve, reject) => this.#roomWaiter = { resolve, reject });
      this.#room.catch(() => {}); // not everybody waits
      if (!this.#writing) this.#awaitTurn();
    }
    return this.#room;
  }

  /** Ends a frame: its NUL goes there. */
  #end(at: number): void {
    this.#buffer[at] = 0;
    this.#buffered += at + 1 - this.#used;
    this.#used = at + 1;
    this.#schedule();
  }

  #reserve(size: number): void {
    if (this.#used + size <= this.#buffer.length) return;
    if (this.#used + size > CHUNK) this.#flush();
    if (this.#buffer === NOTHING) this.#buffer = BUFFERS.pop() ?? new Uint8Array(FIRST_BUFFER);
    if (this.#used + size <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.min(CHUNK, Math.max(this.#buffer.length * 4, this.#used + size)));
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
  }

  #schedule(): void {
    // A write that is under way, or the next turn, takes it along.
    if (this.#scheduled || this.#writing || this.#cancelTurn) return;
    if (this.#hadWrite) {
      if (this.#clock.now() - this.#lastWrite < LONG_AGO) return this.#awaitTurn();
      this.#hadWrite = false; // but what was taken counts on: only a turn of the loop lets timers and reads through
    }
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** Writes what was gathered, now or after the write that is under way. */
  #flush(): void {
    if (this.#used === 0 || this.#failed) return;
    const buffer = this.#buffer;
    const chunk = buffer.subarray(0, this.#used);
    this.#passedOn += this.#used;
    this.#used = 0;
    this.#buffer = NOTHING;
    if (this.#put(chunk)) giveBuffer(buffer);
  }

  #awaitTurn(): void {
    this.#cancelTurn ??= afterMacrotask(this.#onTurn);
  }

  /** Returns whether the chunk was taken at once. */
  #put(chunk: Uint8Array): boolean {
    if (this.#writing) {
      this.#ready.push(chunk);
      return false;
    }
    this.#hadWrite = true;
    this.#lastWrite = this.#clock.now();
    const pending = this.#io.write(chunk);
    if (pending === undefined) {
      this.#taken(chunk);
      return true;
    }
    this.#writing = true;
    pending.then(() => this.#written(chunk), (error) => this.#fail(error));
    return false;
  }

  #written(chunk: Uint8Array): void {
    if (this.#failed) return;
    this.#writing = false;
    if (chunk.buffer.byteLength <= CHUNK) giveBuffer(new Uint8Array(chunk.buffer));
    this.#taken(chunk);
    let next = this.#ready.shift();
    while (next !== undefined && this.#put(next)) next = this.#ready.shift();
    // A turn that has had its write has no other one for what little has gathered since.
    if (this.#writing || this.#used === 0) return;
    if (this.#hadWrite) this.#awaitTurn();
    else this.#flush();
  }

  #taken(chunk: Uint8Array): void {
    this.#buffered -= chunk.length;
    if (this.#hadWrite) this.#takenInTurn += chunk.length;
    this.#giveRoom();
    if (this.#buffered === 0 && this.#emptyWaiters.length > 0) {
      for (const waiter of this.#emptyWaiters.splice(0)) waiter.resolve();
    }
  }

  #giveRoom(): void {
    if (this.#room === undefined) return;
    if (this.#buffered + this.#takenInTurn > LOW_WATER) {
      if (!this.#writing) this.#awaitTurn();
      return;
    }
    this.#roomWaiter?.resolve();
    this.#room = this.#roomWaiter = undefined;
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
