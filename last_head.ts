/**
 * The head of an earlier frame, kept to read later ones by.
 *
 * Messages mostly have the same header lines as the ones before them, and of most lines even the same values. So a head
 * is first compared with an earlier one, eight bytes at a time, and only where a value differs is it looked for where that
 * ends. That costs a fifth of looking at every byte, and says just as surely that each line has a name and a colon.
 *
 * @module
 */
import type { HeaderRules } from "./headers.ts";

const LF = 10;
const CR = 13;
const COLON = 58;
const BACKSLASH = 92;

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
  /** The `subscription`. */
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

/** A head that was read before, and had nothing unusual in it: no escape, no CR, only ASCII. */
export class LastHead {
  /** What it says. */
  facts: HeadFacts | undefined;
  /** Where the values begin that were other ones in the head that was matched last. */
  readonly changed: FactLines = { contentLength: -1, contentType: -1, subscription: -1 };
  /** Where that head ends: behind its empty line. */
  end = 0;

  #size = 0; // 0 while nothing is remembered
  #bytes = NOTHING;
  #view = new DataView(NOTHING.buffer);
  // Of each header line: where its colon and its LF are.
  readonly #colons: number[] = [];
  readonly #ends: number[] = [];
  readonly #lines: FactLines = { contentLength: -1, contentType: -1, subscription: -1 }; // their numbers
  #misses = 0;

  /** Remembers nothing any more. */
  forget(): void {
    this.#size = 0;
  }

  /**
   * Compares. Returns whether the head that begins at `start` has the lines of the remembered one, is whole, and has
   * nothing unusual in it either; where it is not, nothing is known of it.
   *
   * @param view on the same bytes
   */
  match(bytes: Uint8Array, view: DataView, start: number): boolean {
    const size = this.#size;
    if (size === 0) return false;
    const known = this.#bytes;
    const knownView = this.#view;
    const ends = this.#ends;
    const lines = this.#lines;
    const changed = this.changed;
    changed.contentLength = changed.contentType = changed.subscription = -1;
    let line = 0;
    let i = 0; // in the remembered head
    let shift = start; // from there to the bytes
    for (;;) {
      const last = Math.min(size, bytes.length - shift);
      // Of ASCII without NUL, eight bytes read as a number are never NaN or zero: equal numbers are equal bytes.
      while (i + 8 <= last && knownView.getFloat64(i, true) === view.getFloat64(i + shift, true)) i += 8;
      while (i < last && known[i] === bytes[i + shift]) i++;
      if (i === size) break;
      while (line < ends.length && ends[line]! < i) line++;
      // Only a value may be another one.
      if (line === ends.length || i <= this.#colons[line]!) return false;
      const value = shift + this.#colons[line]! + 1;
      if (line === lines.contentLength) changed.contentLength = value;
      else if (line === lines.contentType) changed.contentType = value;
      else if (line === lines.subscription) changed.subscription = value;
      let lf = i + shift;
      for (let byte = 0; lf < bytes.length && (byte = bytes[lf]!) !== LF; lf++) {
        if (byte === BACKSLASH || byte === CR || byte > 127) return false;
      }
      if (lf === bytes.length) return false;
      i = ends[line]!;
      shift = lf - i;
    }
    this.end = i + shift;
    this.#misses = 0;
    return true;
  }

  /**
   * Remembers a head in the place of the one that was not matched, if that promises to be of use.
   *
   * @param at where its lines begin that the facts are in
   */
  learn(bytes: Uint8Array, start: number, end: number, facts: HeadFacts, at: FactLines): void {
    this.#misses++;
    if (this.#misses > PATIENCE && this.#misses % 16 !== 0) return;
    const size = this.#size = end - start;
    if (size > this.#bytes.length) {
      this.#bytes = new Uint8Array(size);
      this.#view = new DataView(this.#bytes.buffer);
    }
    const known = this.#bytes;
    for (let i = 0; i < size; i++) {
      const byte = known[i] = bytes[start + i]!;
      // NUL would make `match` wrong; a CR may be the one before the LF of the command or of the empty line.
      if (byte === 0 || byte === CR) return this.forget();
    }
    this.facts = facts;
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
}
