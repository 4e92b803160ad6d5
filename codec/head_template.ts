/**
 * Templates: the head of an earlier frame as a pattern for later ones. A reader may skip this module and `head_cache.ts`:
 * the parser is complete without them, and only slower.
 *
 * A broker's messages have the same header lines as the messages before them, and most lines even have the same values.
 * So a template is literal text with slots where values were found to differ:
 *
 * ```
 *   MESSAGE⏎subscription:0⏎message-id:T_7@@session-x@@41⏎redelivered:false⏎⏎
 *   MESSAGE⏎subscription:0⏎message-id:T_7@@session-x@@42⏎redelivered:false⏎⏎
 *   └───────────────────── literal ────────────────────┘└┘└──── literal ────┘
 *                                     └─── prefix ────┘ slot
 * ```
 *
 * A slot goes from the first byte that was ever different to the end of its line. What precedes it in the same value, the
 * prefix, is part of the literal. To match, literals are compared eight bytes at a time, and only the bytes in slots are
 * looked at one by one, for what would make a line invalid. That costs a fraction of parsing, and proves as much: each
 * line has a name and a colon, is UTF-8, and has no wrong escape.
 *
 * - `match` compares a head. It runs for each message.
 * - `widen` opens a slot, or has one begin earlier, so that a head matches that differs elsewhere. It runs a few times on
 *   a connection, and lays the literals out again.
 *
 * Of a head that matches the decoder needs three values: `content-length`, `content-type` and `subscription`. While they
 * are in literals they are the template's; a slot in one of their lines says where the new value begins.
 *
 * @module
 */
import { BACKSLASH, COLON, CR, isSame, LF } from "./bytes.ts";
import type { Chunk } from "./chunk.ts";
import type { HeadInfo } from "./frame_view.ts";
import type { HeaderRules } from "./headers.ts";
import { decodeLenient } from "./text.ts";

/** The headers that the decoder itself reads: `content-length`, `content-type` and `subscription`. */
const READ_HEADERS = ["contentLength", "contentType", "subscription"] as const;

/** An offset for each header that the decoder itself reads; -1 for none. */
export type ReadHeaders = Record<(typeof READ_HEADERS)[number], number>;

/** From this size on, a literal is compared as a string where the chunk has one. */
const MIN_STRING_COMPARE_BYTES = 1 << 8;

/** Text that is the same in each head of a template. All but the first follow a slot. */
interface Literal {
  /** Where it begins in the template's head. */
  readonly from: number;
  /** Its size in bytes. */
  readonly size: number;
  /** The bytes, eight to a number; the last number overlaps the one before it. `undefined` for less than eight bytes. */
  readonly words: Float64Array | undefined;
  /** The text, of literals that are compared as strings. */
  readonly text: string | undefined;
  /** The header that the slot before it belongs to, if the decoder reads that one. */
  readonly header: keyof ReadHeaders | undefined;
  /** Bytes of the prefix of that slot. */
  readonly prefix: number;
}

/** A head that was parsed and checked: its lines are UTF-8 without CR, and their escapes are right. */
export class HeadTemplate {
  /** What the parser found in it. */
  readonly info: HeadInfo;
  /** Whether the head that was matched last may have other values in the lines that the decoder reads. */
  hasChanged = false;
  /** Where those values begin. */
  readonly changed: ReadHeaders = { contentLength: -1, contentType: -1, subscription: -1 };
  /** Where that head ends, after its empty line. */
  end = 0;
  /** Whether the head that was compared last is cut by the end of the bytes, and matches so far. */
  isCut = false;

  readonly #bytes: Uint8Array;
  // For each header line: its colon, its LF, and where its slot begins; at the LF if it has none.
  readonly #colons: number[] = [];
  readonly #ends: number[] = [];
  readonly #slots: number[] = [];
  readonly #headers: (keyof ReadHeaders | undefined)[] = [];
  readonly #literals: Literal[] = [];

  /**
   * Makes a template without slots of a head, which has neither NUL nor CR.
   *
   * @param bytes the head; it must not be written to afterwards
   * @param lines where in it the lines begin that the decoder reads
   */
  constructor(bytes: Uint8Array, info: HeadInfo, lines: ReadHeaders) {
    this.info = info;
    this.#bytes = bytes;
    const ends = this.#ends;
    for (let from = info.commandEnd + 1; from < bytes.length - 1; from = ends.at(-1)! + 1) {
      this.#headers.push(READ_HEADERS.find((header) => lines[header] === from));
      const colon = bytes.indexOf(COLON, from);
      const lf = bytes.indexOf(LF, colon);
      this.#colons.push(colon);
      ends.push(lf);
      this.#slots.push(lf);
    }
    this.#rebuild();
  }

  // The hot part: for each message.

  /**
   * Whether the head at `start` is whole, has the literals, and has valid values in the slots: ASCII without CR, and with
   * the right escapes. When it does not match, nothing is known of the head.
   */
  match(chunk: Chunk, start: number): boolean {
    const { bytes, dataView } = chunk;
    if (this.hasChanged) this.#forgetChanged();
    this.isCut = false;
    const literals = this.#literals;
    let at = start;
    for (let i = 0; i < literals.length; i++) {
      const { from, size, words, text, header, prefix } = literals[i]!;
      if (i > 0) {
        if (header !== undefined) this.#noteChanged(header, at - prefix);
        at = valueEnd(bytes, dataView, at, this.info.rules);
        if (at < 0) {
          this.isCut = at === CUT;
          return false;
        }
      }
      if (at + size > bytes.length) {
        this.isCut = isSame(this.#bytes, from, bytes, at, bytes.length - at);
        return false;
      }
      if (text !== undefined && chunk.hasText) {
        if (chunk.latin1(at, at + size) !== text) return false;
      } else if (words !== undefined) {
        if (!hasWords(dataView, at, size, words)) return false;
      } else if (!isSame(this.#bytes, from, bytes, at, size)) return false;
      at += size;
    }
    this.end = at;
    return true;
  }

  #noteChanged(header: keyof ReadHeaders, at: number): void {
    this.hasChanged = true;
    this.changed[header] = at;
  }

  #forgetChanged(): void {
    this.hasChanged = false;
    for (const header of READ_HEADERS) this.changed[header] = -1;
  }

  // The rare part: a few times on a connection.

  /**
   * Opens slots, or has them begin earlier, so that a head with the same lines and other values matches. Returns whether
   * the head at `start` is such a head.
   */
  widen({ bytes, dataView }: Chunk, start: number): boolean {
    const own = this.#bytes;
    const slots: number[] = [];
    let from = this.info.commandEnd + 1;
    let at = start + from;
    if (at > bytes.length || !isSame(own, 0, bytes, start, from)) return false;
    for (const [line, lf] of this.#ends.entries()) {
      const difference = firstDifference(own, from, lf + 1, bytes, at);
      if (difference <= this.#colons[line]!) return false;
      const slot = Math.min(this.#slots[line]!, characterStart(own, difference));
      slots.push(slot);
      at = difference > lf ? at + lf - from : valueEnd(bytes, dataView, at + slot - from, this.info.rules);
      if (at < 0) return false;
      at++;
      from = lf + 1;
    }
    if (bytes[at] !== LF) return false;
    for (const [line, slot] of slots.entries()) this.#slots[line] = slot;
    this.#rebuild();
    return true;
  }

  /** Makes the literals between the slots. */
  #rebuild(): void {
    this.#literals.length = 0;
    let from = 0;
    let header: keyof ReadHeaders | undefined;
    let prefix = 0;
    for (const [line, lf] of this.#ends.entries()) {
      const slot = this.#slots[line]!;
      if (slot === lf) continue;
      this.#addLiteral(from, slot, header, prefix);
      from = lf;
      header = this.#headers[line];
      prefix = slot - this.#colons[line]! - 1;
    }
    this.#addLiteral(from, this.#bytes.length, header, prefix);
  }

  #addLiteral(from: number, to: number, header: keyof ReadHeaders | undefined, prefix: number): void {
    const size = to - from;
    const bytes = this.#bytes.subarray(from, to);
    const words = size < 8 ? undefined : toWords(bytes);
    const text = size < MIN_STRING_COMPARE_BYTES ? undefined : decodeLenient(bytes);
    this.#literals.push({ from, size, words, text, header, prefix });
  }
}

// Comparing, for each message.

/**
 * Whether the `size` bytes at `at` are those that `words` were made of, which are UTF-8 without NUL. Eight bytes of such
 * text read as a number are never NaN (DEL does not follow the first byte of a long character) and never zero, so equal
 * numbers are equal bytes.
 */
function hasWords(dataView: DataView, at: number, size: number, words: Float64Array): boolean {
  const last = words.length - 1;
  for (let i = 0; i < last; i++) if (words[i] !== dataView.getFloat64(at + i * 8, true)) return false;
  return words[last] === dataView.getFloat64(at + size - 8, true);
}

// Bytes in each of the four places of a 32-bit number.
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;
const LFS = LF * ONES;
const CRS = CR * ONES;
const BACKSLASHES = BACKSLASH * ONES;

const INVALID = -1;
const CUT = -2;

/**
 * Returns the LF of the line whose value goes on at `at`; `CUT` when the line does not end in these bytes; `INVALID` when
 * a CR, an escape that the rules do not have, or anything but ASCII precedes the LF.
 */
function valueEnd(bytes: Uint8Array, dataView: DataView, at: number, rules: HeaderRules): number {
  const { length } = bytes;
  for (; at + 4 <= length; at += 4) {
    const four = dataView.getInt32(at, true);
    if (((four | hasZero(four ^ LFS) | hasZero(four ^ CRS) | hasZero(four ^ BACKSLASHES)) & HIGH_BITS) !== 0) break;
  }
  for (; at < length; at++) {
    const byte = bytes[at]!;
    if (byte === LF) return at;
    if (byte === CR || byte > 127) return INVALID;
    if (byte === BACKSLASH && rules.escapes) {
      if (++at === length) return CUT;
      if (!isEscape(bytes[at]!, rules)) return INVALID;
    }
  }
  return CUT;
}

/** Sets one of the high bits when one of the four bytes is zero; the other bits mean nothing. */
function hasZero(four: number): number {
  return (four - ONES) & ~four;
}

const LETTER_C = 99;
const LETTER_N = 110;
const LETTER_R = 114;

/** Whether this byte makes an escape after a backslash. */
function isEscape(byte: number, rules: HeaderRules): boolean {
  return byte === LETTER_C || byte === BACKSLASH || byte === LETTER_N || (byte === LETTER_R && rules.escapesCr);
}

// Building, a few times on a connection.

/** Returns the first place between `from` and `to` where `own` differs from `bytes` at `at`; else `to`. */
function firstDifference(own: Uint8Array, from: number, to: number, bytes: Uint8Array, at: number): number {
  let i = from;
  while (i < to && own[i] === bytes[at + i - from]) i++;
  return i;
}

/** Returns the last place up to `i` that is not inside a character or an escape. */
function characterStart(own: Uint8Array, i: number): number {
  while ((own[i]! & 0xc0) === 0x80) i--;
  let backslashes = 0;
  while (own[i - 1 - backslashes] === BACKSLASH) backslashes++;
  return i - backslashes % 2;
}

/** Reads eight bytes a number; the last eight overlap those before them where the size is not a multiple of eight. */
function toWords(bytes: Uint8Array): Float64Array {
  const dataView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const last = bytes.length - 8;
  return Float64Array.from({ length: Math.ceil(bytes.length / 8) }, (_, i) => {
    return dataView.getFloat64(Math.min(i * 8, last), true);
  });
}
