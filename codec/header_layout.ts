/**
 * The header names that all heads of one template share.
 *
 * @module
 */
import { SPACE } from "./bytes.ts";
import { type FrameHeaders, type HeaderRules, parseHeaders, unescapeHeader } from "./headers.ts";
import { ownText } from "./text.ts";

/**
 * Parses blocks of header lines that have the same names in the same order. Finding the names in each block again takes
 * twice as long as everything else.
 */
export class HeaderLayout {
  #names: readonly string[] | undefined; // empty when some are repeated or have escapes

  /** Parses a block as {@linkcode parseHeaders} does. No line may end in CR. */
  parse(block: string, rules: HeaderRules): FrameHeaders {
    this.#names ??= namesOf(block);
    if (this.#names.length === 0) return parseHeaders(block, rules);
    const headers: FrameHeaders = Object.create(null);
    const hasEscapes = rules.escapes && block.includes("\\");
    let from = 0;
    for (const name of this.#names) {
      let start = from + name.length + 1;
      const end = block.indexOf("\n", start);
      if (rules.padded) { while (block.charCodeAt(start) === SPACE) start++; }
      const value = block.slice(start, end);
      headers[name] = hasEscapes ? unescapeHeader(value, rules) : value;
      from = end + 1;
    }
    return headers;
  }
}

function namesOf(block: string): string[] {
  const names = block.split("\n").slice(0, -1).map((line) => ownText(line.slice(0, line.indexOf(":"))));
  const isUsable = new Set(names).size === names.length && !names.some((name) => name.includes("\\"));
  return isUsable ? names : [];
}
