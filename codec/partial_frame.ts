/**
 * A frame that goes on past its chunk.
 *
 * @module
 */
import { BodyBuilder, checkBodySize, endOfBody, noNul } from "./body.ts";
import { ReassemblyBuffer } from "./reassembly_buffer.ts";
import type { HeadParser } from "./head_parser.ts";
import type { Limits } from "./limits.ts";
import type { Chunk } from "./text.ts";

/** Bytes that a head which was cut in two is read on by: more than most heads have. */
const STEP = 1 << 10;

/** Smaller frames are put together as they come; of larger ones the body is, in memory of its own. */
const SMALL = 1 << 13;

// What the chunk ended inside of.
const NOTHING = 0;
const HEAD = 1; // the command line or the header lines; what there is of the frame is carried
const SMALL_BODY = 2; // the body of a small frame, which is carried as well
const BODY = 3;

/** Puts together one frame after the other. */
export class PartialFrame {
  readonly #head: HeadParser;
  readonly #limits: Limits;
  readonly #carry = new ReassemblyBuffer();
  #state = NOTHING;
  #body: BodyBuilder | undefined;
  #headChunk: Chunk | undefined;
  #bodyChunk: Chunk | undefined;
  /** Where the body begins in its chunk, once the frame is whole. */
  bodyStart = 0;
  /** Where it ends. */
  bodyEnd = 0;

  /** Has heads read by `head`. */
  constructor(head: HeadParser, limits: Limits) {
    this.#head = head;
    this.#limits = limits;
  }

  /** Whether there is a frame that goes on. */
  get isOpen(): boolean {
    return this.#state !== NOTHING;
  }

  /** What the head is in, once the frame is whole. */
  get headChunk(): Chunk {
    return this.#headChunk!;
  }

  /** What the body is in. */
  get bodyChunk(): Chunk {
    return this.#bodyChunk!;
  }

  /** Where the next bytes go, if they are those of a large body. */
  get room(): Uint8Array | undefined {
    return this.#state === BODY && this.#head.contentLength >= 0 ? this.#body!.room : undefined;
  }

  /** Keeps a frame whose head goes on past `bytes`. */
  keepHead(bytes: Uint8Array): void {
    this.#keep(bytes, bytes.length);
    this.#state = HEAD;
  }

  /** Keeps a frame whose head is whole, and whose body goes on past `bytes`. */
  keepBody(bytes: Uint8Array): void {
    const { end } = this.#head;
    this.#keep(bytes, end);
    this.#beginBody(bytes, end);
  }

  /**
   * Reads on in the next chunk. Returns where the frame ends in it; -1 when it goes on past that, too.
   *
   * @throws {UnknownBrokerResponseError} when it is malformed, or over a limit.
   */
  readOn(chunk: Chunk): number {
    if (this.#state === HEAD) return this.#readHead(chunk);
    return this.#state === BODY ? this.#readBody(chunk.bytes, 0) : this.#readSmallBody(chunk.bytes, 0);
  }

  /** Lets go of the frame, which was delivered. */
  end(): void {
    this.#headChunk = this.#bodyChunk = undefined;
    this.#carry.end();
  }

  #keep(bytes: Uint8Array, end: number): void {
    this.#carry.begin(bytes, this.#head.start, end);
    this.#head.rebase();
  }

  #whole(headChunk: Chunk, bodyChunk: Chunk, start: number, end: number): void {
    this.#state = NOTHING;
    this.#headChunk = headChunk;
    this.#bodyChunk = bodyChunk;
    this.bodyStart = start;
    this.bodyEnd = end;
  }

  #readHead(chunk: Chunk): number {
    const { bytes } = chunk;
    const { maxBodyBytes } = this.#limits;
    for (let at = 0; at < bytes.length;) {
      // So much of this chunk is put behind what was kept as the head needs.
      const carried = this.#carry.length;
      const size = Math.min(bytes.length - at, Math.max(STEP, carried));
      this.#carry.append(bytes, at, at + size);
      const headChunk = this.#carry.chunk();
      if (this.#head.read(headChunk)) {
        const start = at + this.#head.end - carried;
        const end = endOfBody(chunk, start, this.#head.contentLength, maxBodyBytes);
        if (end < 0) return this.#beginBody(bytes, start);
        this.#whole(headChunk, chunk, start, end);
        return end + 1;
      }
      at += size;
    }
    return -1;
  }

  /** The head is whole, but not the body, which begins at `start`. */
  #beginBody(bytes: Uint8Array, start: number): number {
    const { end, contentLength } = this.#head;
    this.#carry.cut(end);
    if (end + Math.max(contentLength, bytes.length - start) >= SMALL) return this.#buildBody(bytes, start);
    this.#state = SMALL_BODY;
    return this.#readSmallBody(bytes, start);
  }

  #readSmallBody(bytes: Uint8Array, start: number): number {
    const { end: bodyStart, contentLength } = this.#head;
    const carried = this.#carry.length;
    const nul = contentLength < 0 ? bytes.indexOf(0, start) : start + bodyStart + contentLength - carried;
    const isWhole = nul >= 0 && nul < bytes.length;
    const end = isWhole ? nul : bytes.length;
    const bodyEnd = carried + end - start;
    if (contentLength < 0) {
      checkBodySize(bodyEnd - bodyStart, this.#limits.maxBodyBytes);
      if (bodyEnd >= SMALL) return this.#moveBody(bytes, start);
    }
    if (isWhole && bytes[end] !== 0) throw noNul(contentLength);
    this.#carry.append(bytes, start, end);
    if (!isWhole) return -1;
    const chunk = this.#carry.chunk();
    this.#whole(chunk, chunk, bodyStart, bodyEnd);
    return end + 1;
  }

  /** A body without `content-length` has become too large to be carried. */
  #moveBody(bytes: Uint8Array, start: number): number {
    const carried = this.#carry.chunk().bytes;
    const { end } = this.#head;
    this.#carry.cut(end);
    this.#buildBody(carried, end);
    return this.#readBody(bytes, start);
  }

  /** Moves a body that has begun at `start` into memory of its own. */
  #buildBody(bytes: Uint8Array, start: number): number {
    this.#body = new BodyBuilder(this.#head.contentLength);
    this.#state = BODY;
    return this.#readBody(bytes, start);
  }

  #readBody(bytes: Uint8Array, start: number): number {
    const body = this.#body!;
    const { contentLength } = this.#head;
    let end = contentLength < 0 ? bytes.indexOf(0, start) : start + contentLength - body.length;
    const isWhole = end >= 0 && end < bytes.length;
    if (!isWhole) end = bytes.length;
    if (contentLength < 0) checkBodySize(body.length + end - start, this.#limits.maxBodyBytes);
    body.append(bytes, start, end);
    if (!isWhole) return -1;
    if (bytes[end] !== 0) throw noNul(contentLength);
    this.#body = undefined;
    const whole = body.finish();
    this.#whole(this.#carry.chunk(), whole, 0, whole.length);
    return end + 1;
  }
}
