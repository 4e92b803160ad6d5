/**
 * `Chunk`: a stretch of received bytes, together with its text.
 *
 * One string of a whole chunk, from which headers and bodies are sliced, is several times faster than decoding each of
 * them alone. So a chunk makes its string once, when it is first needed. Where all bytes are ASCII the string says
 * everything that the bytes do, so the chunk can drop its bytes, and their memory is used again.
 *
 * What happens to the memory depends on who owns it; an arrow names the kind that a chunk becomes:
 *
 * | kind       | memory                   | `view()`      | `text()`                       | recycling                           |
 * | ---------- | ------------------------ | ------------- | ------------------------------ | ----------------------------------- |
 * | `received` | a transport's            | view → `lent` | from the string                | `release()`: ASCII → `released`     |
 * | `lent`     | a caller has a view      | view          | from the string                | never                               |
 * | `owned`    | not written to again     | view          | from the bytes                 | never                               |
 * | `borrowed` | a partial frame's        | copy          | from the string                | `moveOut()`: ASCII → `released`,    |
 * |            |                          |               |                                | other bytes are copied → `owned`    |
 * | `pooled`   | a pool's, one whole body | all → `lent`  | from the string → `released`   | by `text()`, or by `view()` where   |
 * |            |                          |               |                                | that makes a copy of a smaller body |
 * | `released` | none, only the string    | encoded       | from the string                | done                                |
 *
 * "From the string" holds for ASCII of up to a megabyte; other text is decoded from its bytes, and so is a body that is a
 * large share of its chunk.
 *
 * @module
 */
import type { BufferPool } from "../base/buffer_pool.ts";
import type { Bytes } from "./bytes.ts";
import { decodeLatin1, decodeUtf8, isAscii } from "./text.ts";

/** Who owns the memory of a chunk: see the table above. */
export type ChunkKind = "received" | "lent" | "owned" | "borrowed" | "pooled" | "released";

const textEncoder = new TextEncoder();

/** A body up to this share of its chunk is cheaper as a slice of the chunk's string than decoded from its bytes. */
const MAX_SLICED_SHARE = 1 / 8;

/** Larger chunks never get a string of the whole, which would double the memory they take. */
const MAX_STRING_BYTES = 1 << 20;

/** Received bytes, with their text. */
export class Chunk {
  /** Size in bytes. */
  readonly length: number;
  readonly #pool: BufferPool | undefined;
  #kind: ChunkKind;
  #bytes: Bytes | undefined; // while not released
  #dataView: DataView | undefined;
  #text: string | undefined; // one character a byte
  #isAscii: boolean | undefined;
  #isPlain: boolean | undefined;

  /** Wraps bytes without copying them; `pool` is where `pooled` ones go back to. */
  constructor(bytes: Bytes, kind: ChunkKind = "received", pool?: BufferPool) {
    this.length = bytes.length;
    this.#pool = pool;
    this.#kind = kind;
    this.#bytes = bytes;
  }

  /** The bytes, to look at and not to keep. A released chunk encodes them from its text. */
  get bytes(): Bytes {
    return this.#bytes ?? textEncoder.encode(this.#text);
  }

  /** The same bytes, to read several at a time. */
  get dataView(): DataView {
    return this.#dataView ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.length);
  }

  /** Returns a range of the bytes, to keep: a view where the memory allows it, otherwise a copy. */
  view(start: number, end: number): Bytes {
    const bytes = this.#bytes;
    switch (this.#kind) {
      case "released":
        return textEncoder.encode(this.#text!.slice(start, end));
      case "borrowed":
        return bytes!.slice(start, end);
      case "pooled":
        return this.#lendPooled(bytes!);
      case "received":
        this.#kind = "lent";
    }
    return start === 0 && end === bytes!.length ? bytes! : bytes!.subarray(start, end);
  }

  /** Drops the bytes if the text can replace them and no one has a view on them. Returns whether it did. */
  release(): boolean {
    const isReleasable = this.#kind === "received" || this.#kind === "borrowed";
    if (!isReleasable || this.length > MAX_STRING_BYTES || !this.isAscii) return false;
    this.#wholeText();
    this.#kind = "released";
    this.#bytes = this.#dataView = undefined;
    return true;
  }

  /** Returns borrowed memory to its owner. Bytes that the text cannot replace are copied first. */
  moveOut(): void {
    if (this.release()) return;
    this.#kind = "owned";
    this.#bytes = this.#bytes!.slice();
    this.#dataView = undefined;
  }

  /** Copies a range to `at` in `target`. */
  copy(start: number, end: number, target: Uint8Array, at: number): void {
    if (this.#bytes !== undefined) target.set(this.#bytes.subarray(start, end), at);
    else textEncoder.encodeInto(this.#text!.slice(start, end), target.subarray(at));
  }

  /** The object that stays in memory as long as the chunk does: the chunk itself, or memory that it shares. */
  get memory(): object {
    const kind = this.#kind;
    // ASCII is released when the decoder is done with the chunk. A large body is not scanned only to know that.
    const isOnlyText = kind === "released" || kind === "borrowed" || (kind === "received" && this.hasText);
    return isOnlyText ? this : this.#bytes!.buffer;
  }

  /** Bytes of that memory, and of the text that was made of it. */
  get memorySize(): number {
    if (this.memory === this) return this.length;
    return this.#bytes!.buffer.byteLength + (this.#text === undefined ? 0 : this.length);
  }

  /** Returns a range as one character a byte. */
  latin1(start: number, end: number): string {
    if (this.#text === undefined && !this.#mayHaveText()) return decodeLatin1(this.#bytes!, start, end);
    return this.#wholeText().slice(start, end);
  }

  /** Whether all is ASCII, and its text is or will be made in any case. */
  get hasText(): boolean {
    return this.#mayHaveText() && this.isAscii;
  }

  /** Whether all bytes are ASCII. */
  get isAscii(): boolean {
    return this.#isAscii ??= isAscii(this.#bytes!);
  }

  /**
   * Whether headers in it are known to need no second look: all bytes are ASCII, and none is a backslash or CR. `false`
   * for a chunk without a text of the whole.
   */
  get isPlain(): boolean {
    return this.#isPlain ??= this.hasText && !this.#wholeText().includes("\\") && !this.#wholeText().includes("\r");
  }

  /** Returns where the next NUL is; -1 when there is none. */
  indexOfNul(from: number): number {
    // In a string it is found several times sooner than in bytes.
    return this.#mayHaveText() ? this.#wholeText().indexOf("\0", from) : this.#bytes!.indexOf(0, from);
  }

  /** Returns a range as UTF-8 text; what is not UTF-8 becomes U+FFFD. */
  text(start: number, end: number): string {
    if (start === end) return "";
    if (this.#kind === "owned") {
      return this.isAscii ? decodeLatin1(this.#bytes!, start, end) : decodeUtf8(this.#bytes!, start, end);
    }
    const length = end - start;
    const isSliced = this.#text !== undefined || this.#kind === "pooled" ||
      (length <= this.length * MAX_SLICED_SHARE && this.length <= MAX_STRING_BYTES);
    if (!isSliced || !this.isAscii) return decodeUtf8(this.#bytes!, start, end);
    const text = this.#wholeText();
    if (this.#kind === "pooled") this.#returnToPool("released", undefined);
    return length === this.length ? text : text.slice(start, end);
  }

  /** Hands a whole pooled body out: the bytes themselves, unless their memory is larger than they are. */
  #lendPooled(bytes: Bytes): Bytes {
    if (bytes.length === bytes.buffer.byteLength) {
      this.#kind = "lent";
      return bytes;
    }
    const copy = bytes.slice();
    this.#returnToPool("lent", copy);
    return copy;
  }

  /** Returns the memory to the pool, and keeps other bytes in its place, or only the text. */
  #returnToPool(kind: ChunkKind, bytes: Bytes | undefined): void {
    this.#pool!.give(new Uint8Array(this.#bytes!.buffer));
    this.#kind = kind;
    this.#bytes = bytes;
    this.#dataView = undefined;
  }

  /** Whether a string of the whole may be made. */
  #mayHaveText(): boolean {
    return this.#kind !== "owned" && this.length <= MAX_STRING_BYTES;
  }

  /** The whole as one character a byte. */
  #wholeText(): string {
    return this.#text ??= decodeLatin1(this.#bytes!, 0, this.length);
  }
}
