/**
 * The head of an earlier frame, as a form that later ones are read by.
 *
 * Messages mostly have the same header lines as ones before them, and of most lines even the same values. So a form is
 * fixed text, with gaps where values were found to differ, each up to the end of its line. The text is compared eight
 * bytes at a time, and only in the gaps each byte is looked at. That costs a fraction of looking at all of them, and says
 * just as surely that each line has a name and a colon.
 *
 * @module
 */
import { BACKSLASH, COLON, CR, LF } from "./bytes.ts";
import type { HeaderRules } from "./headers.ts";
import type { HeadInfo } from "./frame_view.ts";
import { decodeLenient } from "./text.ts";
import type { Chunk } from "./chunk.ts";

const LETTER_C = 99;
const LETTER_N = 110;
const LETTER_R = 114;

/** Where something is in the bytes for each header line that a fact is in; -1 for none. */
export interface FactLines {
  /** For `content-length`. */
  contentLength: number;
  /** For `content-type`. */
  contentType: number;
  /** For `subscription`. */
  subscription: number;
}

/** From so many bytes on, a text is compared as such. */
const LONG = 1 << 8;

const FACTS = ["contentLength", "contentType", "subscription"] as const;

/** A text that is the same in each head of a form. */
interface Literal {
  /** Where it begins. */
  readonly from: number;
  /** How many bytes. */
  readonly size: number;
  /** The bytes, eight as a number, of which the last has some that were in the one before; if there are eight. */
  readonly words: Float64Array | undefined;
  /** What it is, if it is so long that texts are compared sooner than bytes. */
  readonly text: string | undefined;
  /** The fact that is in the line of the gap before it, if one is. */
  readonly fact: keyof FactLines | undefined;
  /** How many bytes before that gap the value begins. */
  readonly same: number;
}

/** A head that was read before, and checked: its lines are UTF-8, without a CR, and with such escapes as there are. */
export class HeadTemplate {
  /** What it says. */
  readonly facts: HeadInfo;
  /** Whether some of the facts may be other ones in the head that was matched last. */
  hasChanged = false;
  /** Where the values of those begin. */
  readonly changed: FactLines = { contentLength: -1, contentType: -1, subscription: -1 };
  /** Where that head ends: behind its empty line. */
  end = 0;
  /** Whether the one that was compared last goes on behind the bytes that there were, and is of this form so far. */
  isCut = false;

  readonly #bytes: Uint8Array;
  // Of each header line: where its colon and its LF are, and where in its value the gap begins; at the LF if there is none.
  readonly #colons: number[] = [];
  readonly #ends: number[] = [];
  readonly #gaps: number[] = [];
  readonly #facts: (keyof FactLines | undefined)[] = [];
  readonly #fixed: Literal[] = []; // before each but the first is a gap

  /**
   * Keeps a head to match others with. There is neither NUL nor CR in it.
   *
   * @param bytes the head, which will not be written to
   * @param at where in it the lines begin that the facts are in
   */
  constructor(bytes: Uint8Array, facts: HeadInfo, at: FactLines) {
    this.facts = facts;
    this.#bytes = bytes;
    const ends = this.#ends;
    for (let from = facts.commandEnd + 1; from < bytes.length - 1; from = ends.at(-1)! + 1) {
      this.#facts.push(FACTS.find((fact) => at[fact] === from));
      const colon = bytes.indexOf(COLON, from);
      const lf = bytes.indexOf(LF, colon);
      this.#colons.push(colon);
      ends.push(lf);
      this.#gaps.push(lf);
    }
    this.#layOut();
  }

  /**
   * Compares. Returns whether the head that begins at `start` has the fixed texts, is whole, and has only ASCII in the
   * gaps, without a CR and with the right escapes. Otherwise nothing is known of it.
   */
  match(chunk: Chunk, start: number): boolean {
    const { bytes, dataView: view } = chunk;
    if (this.hasChanged) this.#forgetChanged();
    this.isCut = false;
    const fixed = this.#fixed;
    let at = start;
    for (let i = 0; i < fixed.length; i++) {
      const { from, size, words, text, fact, same } = fixed[i]!;
      if (i > 0) {
        if (fact !== undefined) this.#noteChanged(fact, at - same);
        at = valueEnd(bytes, view, at, this.facts.rules);
        if (at < 0) {
          this.isCut = at === NOT_YET;
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
        if (!areSame(words, size, view, at)) return false;
      } else if (!isSame(this.#bytes, from, bytes, at, size)) return false;
      at += size;
    }
    this.end = at;
    return true;
  }

  /**
   * Opens gaps, or has them begin earlier, so that a head matches that has the same lines with other values. Returns
   * whether it is such a head.
   */
  adapt({ bytes, dataView: view }: Chunk, start: number): boolean {
    const known = this.#bytes;
    const gaps: number[] = [];
    let from = this.facts.commandEnd + 1;
    let at = start + from;
    if (firstDifference(known, 0, from, bytes, start) < from) return false;
    for (const [line, lf] of this.#ends.entries()) {
      const difference = firstDifference(known, from, lf + 1, bytes, at);
      if (difference <= this.#colons[line]!) return false;
      const gap = Math.min(this.#gaps[line]!, wholeBefore(known, difference));
      gaps.push(gap);
      at = difference > lf ? at + lf - from : valueEnd(bytes, view, at + gap - from, this.facts.rules);
      if (at < 0) return false;
      at++;
      from = lf + 1;
    }
    if (bytes[at] !== LF) return false;
    for (const [line, gap] of gaps.entries()) this.#gaps[line] = gap;
    this.#layOut();
    return true;
  }

  #noteChanged(fact: keyof FactLines, at: number): void {
    this.hasChanged = true;
    this.changed[fact] = at;
  }

  #forgetChanged(): void {
    this.hasChanged = false;
    for (const fact of FACTS) this.changed[fact] = -1;
  }

  #layOut(): void {
    this.#fixed.length = 0;
    let from = 0;
    let fact: keyof FactLines | undefined;
    let same = 0;
    for (const [line, lf] of this.#ends.entries()) {
      const gap = this.#gaps[line]!;
      if (gap === lf) continue;
      this.#fix(from, gap, fact, same);
      from = lf;
      fact = this.#facts[line];
      same = gap - this.#colons[line]! - 1;
    }
    this.#fix(from, this.#bytes.length, fact, same);
  }

  #fix(from: number, to: number, fact: keyof FactLines | undefined, same: number): void {
    const size = to - from;
    const bytes = this.#bytes.subarray(from, to);
    const words = size < 8 ? undefined : toWords(bytes);
    const text = size < LONG ? undefined : decodeLenient(bytes);
    this.#fixed.push({ from, size, words, text, fact, same });
  }
}

/** The first place between `from` and `to` where `known` differs from what is in `bytes` at `at`; else `to`. */
function firstDifference(known: Uint8Array, from: number, to: number, bytes: Uint8Array, at: number): number {
  let i = from;
  while (i < to && known[i] === bytes[at + i - from]) i++;
  return i;
}

/** The place at or before `i` where what is before it is right by itself: no half of a character or of an escape. */
function wholeBefore(known: Uint8Array, i: number): number {
  while ((known[i]! & 0xc0) === 0x80) i--;
  let backslashes = 0;
  while (known[i - 1 - backslashes] === BACKSLASH) backslashes++;
  return i - backslashes % 2;
}

/** Whether `size` bytes of `known` are what is in `bytes` at `at`. */
function isSame(known: Uint8Array, from: number, bytes: Uint8Array, at: number, size: number): boolean {
  return firstDifference(known, from, from + size, bytes, at) === from + size;
}

/** Eight bytes as a number each; the last eight, where some are left over, together with some before them. */
function toWords(bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const last = bytes.length - 8;
  return Float64Array.from({ length: Math.ceil(bytes.length / 8) }, (_, i) => {
    return view.getFloat64(Math.min(i * 8, last), true);
  });
}

/**
 * Whether the `size` bytes at `at` are those that `words` were made of, which are UTF-8 without NUL. Of such text eight
 * bytes read as a number are never NaN (DEL does not follow the first byte of a long character) and never zero, so equal
 * numbers are equal bytes.
 */
function areSame(words: Float64Array, size: number, view: DataView, at: number): boolean {
  const last = words.length - 1;
  for (let i = 0; i < last; i++) if (words[i] !== view.getFloat64(at + i * 8, true)) return false;
  return words[last] === view.getFloat64(at + size - 8, true);
}

// Four bytes at a time.
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;
const LFS = LF * ONES;
const CRS = CR * ONES;
const BACKSLASHES = BACKSLASH * ONES;

/** Of a line that does not end in the bytes that there are. */
const NOT_YET = -2;

/**
 * Where the line ends that goes on at `at`; `NOT_YET`; or -1 when a CR, an escape that the rules do not have, or anything
 * but ASCII comes before that.
 */
function valueEnd(bytes: Uint8Array, view: DataView, at: number, rules: HeaderRules): number {
  const { length } = bytes;
  for (; at + 4 <= length; at += 4) {
    const four = view.getInt32(at, true);
    if (((four | hasZero(four ^ LFS) | hasZero(four ^ CRS) | hasZero(four ^ BACKSLASHES)) & HIGH_BITS) !== 0) break;
  }
  for (; at < length; at++) {
    const byte = bytes[at]!;
    if (byte === LF) return at;
    if (byte === CR || byte > 127) return -1;
    if (byte === BACKSLASH && rules.escapes) {
      if (++at === length) return NOT_YET;
      if (!isEscape(bytes[at]!, rules)) return -1;
    }
  }
  return NOT_YET;
}

/** Has one of its high bits set when one of the four bytes is zero; the other bits mean nothing. */
function hasZero(four: number): number {
  return (four - ONES) & ~four;
}

/** Whether this byte behind a backslash makes an escape. */
function isEscape(byte: number, rules: HeaderRules): boolean {
  return byte === LETTER_C || byte === BACKSLASH || byte === LETTER_N || (byte === LETTER_R && rules.escapesCr);
}
