/**
 * A body that arrives in pieces.
 *
 * @module
 */

/** What is allocated at most on the word of a peer that has not sent it yet. */
const SEGMENT = 1 << 20;
const FIRST_SEGMENT = 1 << 12;

/**
 * Collects the pieces of one body. The pieces are copied, since a piece may be a small view on a large buffer; time is
 * linear in the size of the body, and memory at most twice that size, while the segments are joined.
 */
export class BodyBuilder {
  readonly #segments: Uint8Array[] = [];
  readonly #expected: number;
  #current: Uint8Array;
  #used = 0;
  #length = 0;

  /** Begins a body of `expected` bytes, or of unknown size when that is negative. */
  constructor(expected: number) {
    this.#expected = expected;
    this.#current = new Uint8Array(this.#nextSegment());
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Adds the bytes of `source` from `start` to `end`. */
  append(source: Uint8Array, start: number, end: number): void {
    while (start < end) {
      if (this.#used === this.#current.length) {
        this.#segments.push(this.#current);
        this.#current = new Uint8Array(this.#nextSegment());
        this.#used = 0;
      }
      const size = Math.min(end - start, this.#current.length - this.#used);
      this.#current.set(source.subarray(start, start + size), this.#used);
      this.#used += size;
      this.#length += size;
      start += size;
    }
  }

  /** The whole body. The builder is of no use afterwards. */
  finish(): Uint8Array {
    const { length } = this;
    if (this.#segments.length === 0) {
      // An empty rest would live as long as the body does.
      return this.#used === this.#current.length ? this.#current : this.#current.slice(0, length);
    }
    const whole = new Uint8Array(length);
    let at = 0;
    for (const segment of this.#segments) {
      whole.set(segment, at);
      at += segment.length;
    }
    whole.set(this.#current.subarray(0, this.#used), at);
    return whole;
  }

  #nextSegment(): number {
    const sofar = this.#length;
    if (this.#expected < 0) return Math.min(SEGMENT, Math.max(FIRST_SEGMENT, sofar));
    return Math.min(this.#expected - sofar, Math.max(SEGMENT, sofar));
  }
}
