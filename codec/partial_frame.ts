/**
 * A frame that the end of a chunk cuts: its beginning is kept until the rest comes.
 *
 * The head, and the body of a small frame, are collected in memory that the next cut frame uses again, since every chunk
 * may end inside a frame. A large body is collected in memory that it keeps.
 *
 * @module
 */
import { BufferPool } from "../base/buffer_pool.ts";
import { BodyBuilder, checkBodySize, endOfBody, noNul } from "./body.ts";
import { type Bytes, NUL } from "./bytes.ts";
import { Chunk } from "./chunk.ts";
import type { HeadParser } from "./head_parser.ts";
import type { Limits } from "./limits.ts";

/** Bytes of the next chunk that are added to a cut head at a time: more than most heads have. */
const HEAD_STEP_BYTES = 1 << 10;

/** Smaller frames are collected as a whole; the body of a larger one has separate memory. */
const MIN_BUILT_BODY_BYTES = 1 << 13;

const MIN_BUFFER_BYTES = 1 << 9;

/** A buffer that has grown beyond this is not used again. */
const MAX_POOLED_BYTES = 1 << 14;

/** Buffers of frames that are whole: a connection holds one only while a frame is cut. */
const POOL = new BufferPool(16);

const EMPTY: Bytes = new Uint8Array(0);

/** Bytes that are appended one range at a time, in pooled memory. */
class ReassemblyBuffer {
  /** Bytes so far. A smaller number drops the last of them. */
  length = 0;
  #buffer = EMPTY;
  #chunk: Chunk | undefined;

  /** Begins with a range of bytes. */
  begin(bytes: Uint8Array, start: number, end: number): void {
    this.#buffer = POOL.take() ?? EMPTY;
    this.length = 0;
    this.append(bytes, start, end);
  }

  /** Appends a range of bytes. The buffer doubles when it is full, so that single bytes cost linear time. */
  append(bytes: Uint8Array, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.#buffer.length) {
      const buffer = new Uint8Array(Math.max(MIN_BUFFER_BYTES, length, this.#buffer.length * 2));
      buffer.set(this.#buffer.subarray(0, this.length));
      this.#buffer = buffer;
    }
    this.#buffer.set(bytes.subarray(start, end), this.length);
    this.length = length;
  }

  /** Returns the bytes so far. */
  chunk(): Chunk {
    return this.#chunk = new Chunk(this.#buffer.subarray(0, this.length), "borrowed");
  }

  /** Returns the memory to the pool. The chunk that was returned last keeps its contents. */
  release(): void {
    if (this.#buffer.length <= MAX_POOLED_BYTES) {
      this.#chunk?.moveOut();
      POOL.give(this.#buffer);
    }
    this.#chunk = undefined;
    this.#buffer = EMPTY;
    this.length = 0;
  }
}

/** What the last chunk ended in. */
type State =
  | "none" // between frames
  | "head"
  | "small-body" // of a frame that is collected as a whole
  | "built-body"; // in a BodyBuilder

/** Reassembles the frames of one connection that chunks cut, one at a time. */
export class PartialFrame {
  readonly #head: HeadParser;
  readonly #limits: Limits;
  readonly #buffer = new ReassemblyBuffer();
  #state: State = "none";
  #body: BodyBuilder | undefined;
  /** The chunk of the head, once the frame is whole. */
  headChunk: Chunk | undefined;
  /** The chunk of the body, once the frame is whole. */
  bodyChunk: Chunk | undefined;
  /** Where the body begins in its chunk, once the frame is whole. */
  bodyStart = 0;
  /** Where the body ends in its chunk, once the frame is whole. */
  bodyEnd = 0;

  /** Creates an empty one; `head` reads the heads. */
  constructor(head: HeadParser, limits: Limits) {
    this.#head = head;
    this.#limits = limits;
  }

  /** Whether a frame is cut at the moment. */
  get isOpen(): boolean {
    return this.#state !== "none";
  }

  /** Where the next bytes go, if they belong to a large body of known size. */
  get readTarget(): Uint8Array | undefined {
    return this.#state === "built-body" && this.#head.contentLength >= 0 ? this.#body!.readTarget : undefined;
  }

  /** Keeps a frame whose head goes on past `bytes`. */
  keepHead(bytes: Uint8Array): void {
    this.#keep(bytes, bytes.length);
    this.#state = "head";
  }

  /** Keeps a frame whose head is whole and whose body goes on past `bytes`. */
  keepBody(bytes: Uint8Array): void {
    const { end } = this.#head;
    this.#keep(bytes, end);
    this.#beginBody(bytes, end);
  }

  /**
   * Reads on in the next chunk. Returns where the frame ends in it; -1 when it goes on past that chunk, too.
   *
   * @throws {UnknownBrokerResponseError} when it is malformed, or over a limit.
   */
  readOn(chunk: Chunk): number {
    if (this.#state === "head") return this.#readHead(chunk);
    return this.#state === "built-body" ? this.#readBody(chunk.bytes, 0) : this.#readSmallBody(chunk.bytes, 0);
  }

  /** Drops the frame after it was delivered. */
  clear(): void {
    this.headChunk = this.bodyChunk = undefined;
    this.#buffer.release();
  }

  #keep(bytes: Uint8Array, end: number): void {
    this.#buffer.begin(bytes, this.#head.start, end);
    this.#head.rebase();
  }

  #complete(headChunk: Chunk, bodyChunk: Chunk, start: number, end: number): void {
    this.#state = "none";
    this.headChunk = headChunk;
    this.bodyChunk = bodyChunk;
    this.bodyStart = start;
    this.bodyEnd = end;
  }

  #readHead(chunk: Chunk): number {
    const { bytes } = chunk;
    const { maxBodyBytes } = this.#limits;
    for (let at = 0; at < bytes.length;) {
      // Only as much of this chunk is appended as the head may need.
      const kept = this.#buffer.length;
      const size = Math.min(bytes.length - at, Math.max(HEAD_STEP_BYTES, kept));
      this.#buffer.append(bytes, at, at + size);
      const headChunk = this.#buffer.chunk();
      if (this.#head.read(headChunk)) {
        const start = at + this.#head.end - kept;
        const end = endOfBody(chunk, start, this.#head.contentLength, maxBodyBytes);
        if (end < 0) return this.#beginBody(bytes, start);
        this.#complete(headChunk, chunk, start, end);
        return end + 1;
      }
      at += size;
    }
    return -1;
  }

  /** Begins with the body at `start`, which goes on past `bytes`; the head is whole. */
  #beginBody(bytes: Uint8Array, start: number): number {
    const { end, contentLength } = this.#head;
    this.#buffer.length = end;
    if (end + Math.max(contentLength, bytes.length - start) >= MIN_BUILT_BODY_BYTES) {
      return this.#buildBody(bytes, start);
    }
    this.#state = "small-body";
    return this.#readSmallBody(bytes, start);
  }

  #readSmallBody(bytes: Uint8Array, start: number): number {
    const { end: bodyStart, contentLength } = this.#head;
    const kept = this.#buffer.length;
    const nul = contentLength < 0 ? bytes.indexOf(NUL, start) : start + bodyStart + contentLength - kept;
    const isWhole = nul >= 0 && nul < bytes.length;
    const end = isWhole ? nul : bytes.length;
    const bodyEnd = kept + end - start;
    if (contentLength < 0) {
      checkBodySize(bodyEnd - bodyStart, this.#limits.maxBodyBytes);
      if (bodyEnd >= MIN_BUILT_BODY_BYTES) return this.#moveBody(bytes, start);
    }
    if (isWhole && bytes[end] !== NUL) throw noNul(contentLength);
    this.#buffer.append(bytes, start, end);
    if (!isWhole) return -1;
    const chunk = this.#buffer.chunk();
    this.#complete(chunk, chunk, bodyStart, bodyEnd);
    return end + 1;
  }

  /** Moves a body without `content-length`, which has become too large for the buffer, into a builder. */
  #moveBody(bytes: Uint8Array, start: number): number {
    const kept = this.#buffer.chunk().bytes;
    const { end } = this.#head;
    this.#buffer.length = end;
    this.#buildBody(kept, end);
    return this.#readBody(bytes, start);
  }

  /** Starts building the body, whose first bytes are at `start`. */
  #buildBody(bytes: Uint8Array, start: number): number {
    this.#body = new BodyBuilder(this.#head.contentLength);
    this.#state = "built-body";
    return this.#readBody(bytes, start);
  }

  #readBody(bytes: Uint8Array, start: number): number {
    const body = this.#body!;
    const { contentLength } = this.#head;
    let end = contentLength < 0 ? bytes.indexOf(NUL, start) : start + contentLength - body.length;
    const isWhole = end >= 0 && end < bytes.length;
    if (!isWhole) end = bytes.length;
    if (contentLength < 0) checkBodySize(body.length + end - start, this.#limits.maxBodyBytes);
    body.append(bytes, start, end);
    if (!isWhole) return -1;
    if (bytes[end] !== NUL) throw noNul(contentLength);
    this.#body = undefined;
    const chunk = body.finish();
    this.#complete(this.#buffer.chunk(), chunk, 0, chunk.length);
    return end + 1;
  }
}
