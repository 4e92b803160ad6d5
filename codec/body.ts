/**
 * Bodies: where they end, and those that arrive in pieces.
 *
 * @module
 */
import type { UnknownBrokerResponseError } from "../base/errors.ts";
import { malformed } from "./headers.ts";
import { bodyTooLarge } from "./limits.ts";
import { type Bytes, Chunk } from "./text.ts";

/** What is allocated at most on the word of a peer that has not sent it yet. */
const TRUST = 1 << 20;

/** Bytes of the first piece, where the size of the body is not known or not believed. */
const FIRST = 1 << 12;

/** Memory of this size and more is worth using again. */
const WORTH = 1 << 14;

/** So many bytes are worth a read of their own; fewer are read together with what follows them. */
const MUCH = 1 << 16;

const MOST_SPARE = 4;

/**
 * Memory that was given back, the last of it last; so much stays with the process. Few bodies are under way at a time, and
 * many are of like size.
 */
const SPARE: Bytes[] = [];

function takeRoom(size: number): Bytes {
  const at = size < WORTH ? -1 : SPARE.findLastIndex(({ length }) => length >= size && length <= size * 2);
  return at < 0 ? new Uint8Array(size) : SPARE.splice(at, 1)[0]!;
}

function giveBack(bytes: Bytes): void {
  SPARE.push(new Uint8Array(bytes.buffer));
  if (SPARE.length > MOST_SPARE) SPARE.shift();
}

/**
 * Collects the pieces of one body; nothing of the chunks that they came in is kept. Time is linear in the size of the
 * body, and memory at most twice that size.
 */
export class BodyBuilder {
  readonly #expected: number;
  readonly #pieces: Bytes[] = []; // full ones
  #target: Bytes; // where bytes go
  #at = 0; // up to there it is filled
  #isWhole: boolean; // it has room for the body, and there are no pieces besides
  #length = 0;

  /** Begins a body of `expected` bytes, or of unknown size when that is negative. */
  constructor(expected: number) {
    this.#expected = expected;
    this.#isWhole = expected >= 0 && expected <= TRUST;
    this.#target = this.#isWhole ? takeRoom(expected) : new Uint8Array(FIRST);
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Where the bytes go that are still to come, if they are many and their place is known. */
  get room(): Uint8Array | undefined {
    const isMuch = this.#isWhole && this.#expected - this.#length >= MUCH;
    return isMuch ? this.#target.subarray(this.#length, this.#expected) : undefined;
  }

  /** Adds the bytes of `source` from `start` to `end`: no more than were expected. They may be in the `room` already. */
  append(source: Uint8Array, start: number, end: number): void {
    while (start < end) {
      if (this.#at === this.#target.length) this.#makeRoom();
      const size = Math.min(end - start, this.#target.length - this.#at);
      if (source.buffer !== this.#target.buffer) {
        this.#target.set(source.subarray(start, start + size), this.#at);
      }
      this.#at += size;
      this.#length += size;
      start += size;
    }
  }

  /** The whole body. The builder is of no use afterwards. */
  finish(): Chunk {
    if (!this.#isWhole) this.#putTogether(this.#length);
    const bytes = this.#target.length === this.#length ? this.#target : this.#target.subarray(0, this.#length);
    return new Chunk(bytes, bytes.length >= WORTH && bytes.length <= TRUST ? { giveBack } : undefined);
  }

  #makeRoom(): void {
    // As soon as enough has come to believe in it, the rest goes where it is to stay.
    if (this.#expected >= 0 && this.#length * 4 >= this.#expected) return this.#putTogether(this.#expected);
    this.#pieces.push(this.#target);
    this.#target = new Uint8Array(Math.min(this.#length, TRUST));
    this.#at = 0;
  }

  #putTogether(size: number): void {
    const whole = new Uint8Array(size);
    const last = this.#target.subarray(0, this.#at);
    let at = 0;
    for (const piece of [...this.#pieces.splice(0), last]) {
      whole.set(piece, at);
      at += piece.length;
      if (size > TRUST) piece.buffer.transfer?.(0); // gives it back at once, where that can be
    }
    this.#target = whole;
    this.#at = at;
    this.#isWhole = true;
  }
}

/**
 * Where the body ends that begins at `start`: its NUL, or -1 when that is not in the chunk.
 *
 * @throws {UnknownBrokerResponseError} when no NUL follows so many bytes, or they are over the limit.
 */
export function endOfBody(chunk: Chunk, start: number, contentLength: number, maxBodyBytes: number): number {
  const { bytes } = chunk;
  if (contentLength >= 0) {
    const end = start + contentLength;
    if (end >= bytes.length) return -1;
    if (bytes[end] !== 0) throw noNul(contentLength);
    return end;
  }
  const end = start < bytes.length && bytes[start] === 0 ? start : chunk.indexOfNul(start);
  checkBodySize(end - start, maxBodyBytes);
  return end;
}

/** Checks the size of a body that has no `content-length`. */
export function checkBodySize(size: number, maxBodyBytes: number): void {
  if (size > maxBodyBytes) throw bodyTooLarge(`at least ${size} bytes`, maxBodyBytes);
}

/** The error for a body that does not end where it was to end. */
export function noNul(length: number): UnknownBrokerResponseError {
  return malformed(`no NUL follows its body of ${length} bytes`);
}
