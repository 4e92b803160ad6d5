/**
 * The head of an earlier frame, kept to read later ones by.
 *
 * Messages mostly have the same header lines as the ones before them, and of most lines even the same values. So an
 * earlier head serves as a form: fixed text, with gaps where values were found to differ, each up to the end of its
 * line. The text is compared eight bytes at a time, and only in the gaps each byte is looked at. That costs a fraction of
 * looking at all of them, and says just as surely that each line has a name and a colon.
 *
 * @module
 */
import type { HeaderRules } from "./headers.ts";

const LF = 10;
const CR = 13;
const COLON = 58;
const BACKSLASH = 92;
const LETTER_C = 99;
const LETTER_N = 110;
const LETTER_R = 114;

// Four bytes at a time.
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;
const LFS = LF * ONES;
const CRS = CR * ONES;
const BACKSLASHES = BACKSLASH * ONES;

const NOTHING = new Uint8Array(0);

/** After so many heads in a row that were like no earlier one, only every sixteenth is remembered. */
const PATIENCE = 4;

/** What a head says that is needed for each frame. */
export interface HeadFacts {
  /** The command. */
  command: string;
  /** How the header lines are read. */
  rules: HeaderRules;
  /** Where the LF behind the command is, from the beginning of the head. */
  commandEnd: number;
  /** The `content-length`; -1 when there is none. */
  contentLength: number;
  /** Whether the `content-type` has parameters. */
  hasParameters: boolean;
  /** Whether the header lines are ASCII. */
  ascii: boolean;
  /** The `subscription`, where it is written as it is. */
  subscription: string | undefined;
}

/** Where something is in the bytes for each header line that a fact is in; -1 for none. */
export interface FactLines {
  /** For `content-length`. */
  contentLength: number;
  /** For `content-type`. */
  contentType: number;
  /** For `subscription`. */
  subscription: number;
}

/** A head that was read before, and checked: its lines are UTF-8, without a CR, and with such escapes as there are. */
export class LastHead {
  /** What it says. */
  facts: HeadFacts | undefined;
  /** Where the values begin that may be other ones in the head that was matched last. */
  readonly changed: FactLines = { contentLength: -1, contentType: -1, subscription: -1 };
  /** Where that head ends: behind its empty line. */
  end = 0;

  #bytes = NOTHING;
  #view = new DataView(NOTHING.buffer);
  // Of each header line: where its colon and its LF are.
  readonly #colons: number[] = [];
  readonly #ends: number[] = [];
  readonly #lines: FactLines = { contentLength: -1, contentType: -1, subscription: -1 }; // their numbers
  // Of each fixed text: where it begins and ends. None while nothing is remembered.
  readonly #froms: number[] = [];
  readonly #tos: number[] = [];
  readonly #gaps: number[] = []; // behind each fixed text but the last: the number of the line that the gap is in
  #misses = 0;

  /** Remembers nothing any more. */
  forget(): void {
    this.#froms.length = this.#tos.length = this.#gaps.length = 0;
  }

  /**
   * Compares. Returns whether the head that begins at `start` has the lines of the remembered one and is whole, and where
   * its values differ, they are ASCII without a CR and with the right escapes. Otherwise nothing is known of it.
   *
   * @param view on the same bytes
   */
  match(bytes: Uint8Array, view: DataView, start: number): boolean {
    const changed = this.changed;
    changed.contentLength = changed.contentType = changed.subscription = -1;
    const froms = this.#froms;
    const tos = this.#tos;
    let at = start;
    for (let part = 0; part < froms.length; part++) {
      if (part > 0) {
        this.#noteGap(part - 1, at);
        at = valueEnd(bytes, view, at, this.facts!.rules);
        if (at < 0) return false;
      }
      const from = froms[part]!;
      const size = tos[part]! - from;
      if (at + size > bytes.length) return false;
      if (!isSame(this.#view, from, view, at, size) && !this.#openGap(part, bytes, at)) return false;
      at += tos[part]! - from;
    }
    this.end = at;
    this.#misses = 0;
    return froms.length > 0;
  }

  /**
   * Remembers a head in the place of the one that was not matched, if that promises to be of use. It was checked.
   *
   * @param at where its lines begin that the facts are in
   */
  learn(bytes: Uint8Array, start: number, end: number, facts: HeadFacts, at: FactLines): void {
    this.#misses++;
    if (this.#misses > PATIENCE && this.#misses % 16 !== 0) return;
    this.forget();
    const size = end - start;
    if (size > this.#bytes.length) {
      this.#bytes = new Uint8Array(size);
      this.#view = new DataView(this.#bytes.buffer);
    }
    const known = this.#bytes;
    for (let i = 0; i < size; i++) {
      const byte = known[i] = bytes[start + i]!;
      // NUL would make `isSame` wrong; a CR may be the one before the LF of the command or of the empty line.
      if (byte === 0 || byte === CR) return;
    }
    this.facts = facts;
    this.#froms.push(0);
    this.#tos.push(size);
    const ends = this.#ends;
    const lines = this.#lines;
    this.#colons.length = ends.length = 0;
    lines.contentLength = lines.contentType = lines.subscription = -1;
    for (let from = facts.commandEnd + 1; from < size - 1; from = ends.at(-1)! + 1) {
      const line = ends.length;
      if (start + from === at.contentLength) lines.contentLength = line;
      else if (start + from === at.contentType) lines.contentType = line;
      else if (start + from === at.subscription) lines.subscription = line;
      const colon = known.indexOf(COLON, from);
      this.#colons.push(colon);
      ends.push(known.indexOf(LF, colon));
    }
  }

  /** Notes which fact, if any, has to be read anew because of a gap that was found at `at`. */
  #noteGap(gap: number, at: number): void {
    const line = this.#gaps[gap]!;
    const value = at - this.#tos[gap]! + this.#colons[line]! + 1;
    const lines = this.#lines;
    if (line === lines.contentLength) this.changed.contentLength = value;
    else if (line === lines.contentType) this.changed.contentType = value;
    else if (line === lines.subscription) this.changed.subscription = value;
  }

  /**
   * Ends a fixed text where it is another one in `bytes` at `at`: a gap begins there, or earlier than it did before.
   * Returns whether that can be, because it is a value that differs.
   */
  #openGap(part: number, bytes: Uint8Array, at: number): boolean {
    const known = this.#bytes;
    const from = this.#froms[part]!;
    const to = this.#tos[part]!;
    let i = from;
    while (known[i] === bytes[at + i - from]) i++;
    let line = 0;
    while (line < this.#ends.length && this.#ends[line]! < i) line++;
    if (line === this.#ends.length || i <= this.#colons[line]!) return false;
    // What is fixed has to be right by itself: it ends neither inside a character nor inside an escape.
    while ((known[i]! & 0xc0) === 0x80) i--;
    let backslashes = 0;
    while (known[i - 1 - backslashes] === BACKSLASH) backslashes++;
    i -= backslashes % 2;
    const lf = this.#ends[line]!;
    if (lf < to) {
      this.#froms.splice(part + 1, 0, lf);
      this.#tos.splice(part + 1, 0, to);
      this.#gaps.splice(part, 0, line);
    }
    this.#tos[part] = i;
    return true;
  }
}

/**
 * Whether two stretches are the same, of which `a` is UTF-8 without NUL. Of such text eight bytes read as a number are
 * never NaN (DEL does not follow the first byte of a long character) and never zero, so equal numbers are equal bytes.
 */
function isSame(a: DataView, atA: number, b: DataView, atB: number, size: number): boolean {
  if (size < 8) {
    for (let i = 0; i < size; i++) if (a.getInt8(atA + i) !== b.getInt8(atB + i)) return false;
    return true;
  }
  const last = size - 8;
  let i = 0;
  // Four at a time, because a turn of the loop costs about as much as a comparison.
  for (; i + 32 <= size; i += 32) {
    if (
      a.getFloat64(atA + i, true) !== b.getFloat64(atB + i, true) ||
      a.getFloat64(atA + i + 8, true) !== b.getFloat64(atB + i + 8, true) ||
      a.getFloat64(atA + i + 16, true) !== b.getFloat64(atB + i + 16, true) ||
      a.getFloat64(atA + i + 24, true) !== b.getFloat64(atB + i + 24, true)
    ) return false;
  }
  for (; i < last; i += 8) if (a.getFloat64(atA + i, true) !== b.getFloat64(atB + i, true)) return false;
  // The rest, together with some bytes that were compared before.
  return a.getFloat64(atA + last, true) === b.getFloat64(atB + last, true);
}

/**
 * Where the line ends that goes on at `at`; -1 when it does not in these bytes, or when a CR, an escape that the rules do
 * not have, or anything but ASCII comes before that.
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
    if (byte === BACKSLASH && rules.escapes && (++at === length || !isEscape(bytes[at]!, rules))) return -1;
  }
  return -1;
}

/** Whether this byte behind a backslash makes an escape. */
function isEscape(byte: number, rules: HeaderRules): boolean {
  return byte === LETTER_C || byte === BACKSLASH || byte === LETTER_N || (byte === LETTER_R && rules.escapesCr);
}

/** Has one of its high bits set when one of the four bytes is zero; the other bits mean nothing. */
function hasZero(four: number): number {
  return (four - ONES) & ~four;
}
