/**
 * A body that arrives in pieces.
 *
 * @module
 */
import { asciiText, Chunk } from "./text.ts";

/** From this size on a piece is worth a string of its own; smaller ones are gathered. */
const PIECE = 1 << 14;

/** A larger string is more than the collectors of memory handle well. */
const LARGEST = 1 << 16;

/** Room for what is gathered first, where nobody says how much there will be. */
const FIRST = 1 << 12;

/** What is allocated at most on the word of a peer that has not sent it yet. */
const TRUST = 1 << 20;

const textEncoder = new TextEncoder();

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Collects the pieces of one body; nothing of the chunks that they came in is kept. Time is linear in the size of the
 * body, and memory at most twice that size.
 *
 * Pieces that are ASCII are kept as strings: most bodies are text and read as such, and joining strings costs nothing
 * before somebody looks inside. Bytes are put together once something comes that is not ASCII.
 */
export class BodyBuilder {
  readonly #expected: number;
  readonly #pieces: (string | Bytes)[] = [];
  #gathered: Bytes | undefined; // small pieces
  #used = 0; // of #gathered
  #whole: Bytes | undefined; // where all of it goes, once it is clear that it is bytes and that they really come
  #length = 0;

  /** Begins a body of `expected` bytes, or of unknown size when that is negative. */
  constructor(expected: number) {
    this.#expected = expected;
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Adds the bytes of `source` from `start` to `end`: no more than were expected. */
  append(source: Uint8Array, start: number, end: number): void {
    while (start < end) {
      let size = Math.min(end - start, LARGEST);
      if (this.#used > 0 && this.#used === this.#gathered!.length) this.#addGathered();
      if (this.#whole !== undefined) {
        this.#whole.set(source.subarray(start, start + size), this.#length);
      } else if (this.#used === 0 && size >= PIECE) {
        this.#add(asciiText(source, start, start + size) ?? new Uint8Array(source.subarray(start, start + size)));
      } else {
        size = this.#gather(source, start, start + size);
      }
      start += size;
      this.#length += size;
    }
  }

  /** The whole body. The builder is of no use afterwards. */
  finish(): Chunk {
    const gathered = this.#gathered;
    if (this.#length === 0) return new Chunk("");
    if (this.#length === this.#used) {
      // An empty rest would live as long as the body does.
      return new Chunk(this.#used === gathered!.length ? gathered! : gathered!.slice(0, this.#used));
    }
    if (this.#used > 0) this.#addGathered();
    if (this.#pieces.some((piece) => typeof piece !== "string")) this.#putTogether(this.#length);
    return new Chunk(this.#whole ?? (this.#pieces as string[]).reduce((text, piece) => text + piece));
  }

  /** Copies what there is room for among the small pieces. Returns how much that was. */
  #gather(source: Uint8Array, start: number, end: number): number {
    const gathered = this.#gathered ??= new Uint8Array(this.#room());
    const size = Math.min(end - start, gathered.length - this.#used);
    gathered.set(source.subarray(start, start + size), this.#used);
    this.#used += size;
    return size;
  }

  #room(): number {
    if (this.#expected >= 0) return Math.min(this.#expected, PIECE);
    return this.#length === 0 ? FIRST : PIECE;
  }

  #addGathered(): void {
    const gathered = this.#gathered!;
    const used = this.#used;
    this.#used = 0;
    if (gathered.length < PIECE) this.#gathered = undefined; // the next one may be larger
    this.#add(asciiText(gathered, 0, used) ?? gathered.slice(0, used));
  }

  #add(piece: string | Bytes): void {
    this.#pieces.push(piece);
    if (typeof piece === "string" || this.#expected < 0) return;
    // Bytes have one place in the end, where the rest can go at once: as soon as enough has come to believe in it.
    if (this.#expected <= TRUST || this.#length * 4 >= this.#expected) this.#putTogether(this.#expected);
  }

  #putTogether(size: number): void {
    this.#whole = new Uint8Array(size);
    let at = 0;
    for (const piece of this.#pieces.splice(0)) {
      if (typeof piece === "string") textEncoder.encodeInto(piece, this.#whole.subarray(at));
      else this.#whole.set(piece, at);
      at += piece.length;
      if (typeof piece !== "string") piece.buffer.transfer?.(0); // gives it back at once, where that can be
    }
  }
}
