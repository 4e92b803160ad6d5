/**
 * Bodies: where they end, and how one that arrives in pieces is put together.
 *
 * @module
 */
import { BufferPool } from "../base/buffer_pool.ts";
import type { UnknownBrokerResponseError } from "../base/errors.ts";
import { type Bytes, NUL } from "./bytes.ts";
import { Chunk } from "./chunk.ts";
import { malformed } from "./headers.ts";

/** The most bytes that are allocated for a body before it arrives. */
const MAX_TRUSTED_BYTES = 1 << 20;

/** Bytes of the first piece, where the size of the body is not known or not believed. */
const FIRST_PIECE_BYTES = 1 << 12;

/** Smaller buffers are not worth pooling. */
const MIN_POOLED_BYTES = 1 << 14;

/** When fewer bytes of a body are missing, they are read together with what follows it. */
const MIN_DIRECT_READ_BYTES = 1 << 16;

/** Memory of earlier bodies. Few bodies arrive at a time, and many are of similar size. */
const POOL = new BufferPool(4);

/**
 * Collects the pieces of one body, and keeps nothing of the chunks that they came in. Time is linear in the size of the
 * body, and memory is at most twice that size.
 */
export class BodyBuilder {
  /** Bytes so far. */
  length = 0;
  readonly #expected: number;
  readonly #fullPieces: Bytes[] = [];
  #target: Bytes; // where the next bytes go: the last piece, or the whole body
  #filled = 0; // bytes of the target
  #isWhole: boolean; // the target holds the whole body, and there are no pieces

  /** Begins a body of `expected` bytes, or of unknown size when that is negative. */
  constructor(expected: number) {
    this.#expected = expected;
    this.#isWhole = expected >= 0 && expected <= MAX_TRUSTED_BYTES;
    this.#target = this.#isWhole ? takeBuffer(expected) : new Uint8Array(FIRST_PIECE_BYTES);
  }

  /** Where the rest of the body goes, if it is large and its place is known. */
  get readTarget(): Uint8Array | undefined {
    const isLarge = this.#isWhole && this.#expected - this.length >= MIN_DIRECT_READ_BYTES;
    return isLarge ? this.#target.subarray(this.length, this.#expected) : undefined;
  }

  /** Adds a range of `source`, no more than was expected. The bytes may be in the `readTarget` already. */
  append(source: Uint8Array, start: number, end: number): void {
    while (start < end) {
      if (this.#filled === this.#target.length) this.#grow();
      const size = Math.min(end - start, this.#target.length - this.#filled);
      if (source.buffer !== this.#target.buffer) {
        this.#target.set(source.subarray(start, start + size), this.#filled);
      }
      this.#filled += size;
      this.length += size;
      start += size;
    }
  }

  /** Returns the whole body. The builder is of no use afterwards. */
  finish(): Chunk {
    if (!this.#isWhole) this.#join(this.length);
    const bytes = this.#target.length === this.length ? this.#target : this.#target.subarray(0, this.length);
    const isPooled = bytes.length >= MIN_POOLED_BYTES && bytes.length <= MAX_TRUSTED_BYTES;
    return isPooled ? new Chunk(bytes, "pooled", POOL) : new Chunk(bytes);
  }

  #grow(): void {
    // Once a quarter has arrived the announced size is believed, and the rest goes straight into its final place.
    if (this.#expected >= 0 && this.length * 4 >= this.#expected) return this.#join(this.#expected);
    this.#fullPieces.push(this.#target);
    this.#target = new Uint8Array(Math.min(this.length, MAX_TRUSTED_BYTES));
    this.#filled = 0;
  }

  #join(size: number): void {
    const whole = new Uint8Array(size);
    const last = this.#target.subarray(0, this.#filled);
    let at = 0;
    for (const piece of [...this.#fullPieces.splice(0), last]) {
      whole.set(piece, at);
      at += piece.length;
      if (size > MAX_TRUSTED_BYTES) piece.buffer.transfer?.(0); // frees it at once, where the runtime can
    }
    this.#target = whole;
    this.#filled = at;
    this.#isWhole = true;
  }
}

function takeBuffer(size: number): Bytes {
  return (size < MIN_POOLED_BYTES ? undefined : POOL.take(size, size * 2)) ?? new Uint8Array(size);
}

/**
 * Returns where the body that begins at `start` ends: the place of its NUL, or -1 when that is not in the chunk.
 *
 * @throws {UnknownBrokerResponseError} when no NUL follows `contentLength` bytes, or the body is over the limit.
 */
export function endOfBody(chunk: Chunk, start: number, contentLength: number, maxBodyBytes: number): number {
  const { bytes } = chunk;
  if (contentLength >= 0) {
    const end = start + contentLength;
    if (end >= bytes.length) return -1;
    if (bytes[end] !== NUL) throw noNul(contentLength);
    return end;
  }
  const end = start < bytes.length && bytes[start] === NUL ? start : chunk.indexOfNul(start);
  checkBodySize(end - start, maxBodyBytes);
  return end;
}

/** Checks the size of a body that has no `content-length`. */
export function checkBodySize(size: number, maxBodyBytes: number): void {
  if (size > maxBodyBytes) throw bodyTooLarge(`at least ${size} bytes`, maxBodyBytes);
}

/** Creates the error for a body that goes on where its NUL should be. */
export function noNul(length: number): UnknownBrokerResponseError {
  return malformed(`no NUL follows its body of ${length} bytes`);
}

/** Creates the error for a body over the limit. */
export function bodyTooLarge(size: string, limit: number): UnknownBrokerResponseError {
  return malformed(`its body of ${size} is over the limit of ${limit} bytes (maxBodyBytes)`);
}
