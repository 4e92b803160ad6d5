/**
 * A body that arrives in pieces.
 *
 * @module
 */

/** What is allocated at most on the word of a peer that has not sent it yet. */
const SEGMENT = 1 << 20;
const FIRST_SEGMENT = 1 << 12;

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Collects the pieces of one body. The pieces are copied, since a piece may be a small view on a large buffer; time is
 * linear in the size of the body, and memory at most twice that size.
 */
export class BodyBuilder {
  readonly #expected: number;
  readonly #full: Bytes[] = []; // segments of a body of unknown size, all but the last
  #current: Bytes;
  #used = 0; // of #current
  #length = 0;

  /** Begins a body of `expected` bytes, or of unknown size when that is negative. */
  constructor(expected: number) {
    this.#expected = expected;
    this.#current = new Uint8Array(expected < 0 ? FIRST_SEGMENT : Math.min(expected, SEGMENT));
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Adds the bytes of `source` from `start` to `end`: no more than were expected. */
  append(source: Uint8Array, start: number, end: number): void {
    while (start < end) {
      if (this.#used === this.#current.length) this.#makeRoom();
      const size = Math.min(end - start, this.#current.length - this.#used);
      this.#current.set(source.subarray(start, start + size), this.#used);
      this.#used += size;
      this.#length += size;
      start += size;
    }
  }

  /** The whole body. The builder is of no use afterwards. */
  finish(): Uint8Array {
    // An empty rest would live as long as the body does.
    if (this.#full.length === 0) {
      return this.#used === this.#current.length ? this.#current : this.#current.slice(0, this.#used);
    }
    const whole = new Uint8Array(this.#length);
    let at = 0;
    for (const segment of this.#full) {
      whole.set(segment, at);
      at += segment.length;
      release(segment);
    }
    whole.set(this.#current.subarray(0, this.#used), at);
    return whole;
  }

  #makeRoom(): void {
    const sofar = this.#length;
    if (this.#expected < 0) {
      // Doubling would end with up to twice the room that is needed, and the body beside it.
      this.#full.push(this.#current);
      this.#current = new Uint8Array(Math.min(sofar, SEGMENT));
      this.#used = 0;
    } else {
      // Twice as much each time, and all when a quarter is there: what was ever allocated stays below twice the size.
      const grown = new Uint8Array(sofar * 4 >= this.#expected ? this.#expected : sofar * 2);
      grown.set(this.#current);
      release(this.#current);
      this.#current = grown;
    }
  }
}

/** Gives memory back at once, where the runtime can do that; else the garbage collector will, in its own time. */
function release(bytes: Bytes): void {
  bytes.buffer.transfer?.(0);
}
