/**
 * Header lines: how they are escaped, written and read in each version of the protocol.
 *
 * STOMP 1.0 has no escapes. 1.1 has three (`\n`, `\c`, `\\`), 1.2 adds `\r`. CONNECT and CONNECTED are never escaped,
 * because they travel before the version is known ("Value Encoding" in the 1.1 and 1.2 texts).
 *
 * @module
 */
import { UnknownBrokerResponseError } from "../base/errors.ts";
import { BACKSLASH, COLON, CR, LF, SPACE } from "./bytes.ts";
import { isLiteral, type Version } from "./protocol.ts";
import { decodeStrict, ownText } from "./text.ts";

/** Header names and values. Objects that this library makes have no prototype, so `toString` is a name like any other. */
export type FrameHeaders = Record<string, string>;

/** Headers as pairs of name and value, in the order in which they are written. */
export type HeaderEntries = readonly (readonly [name: string, value: string])[];

/** How the header lines of one frame are read and written. */
export interface HeaderRules {
  /** The kind of frame, for error messages. */
  readonly name: string;
  /** Whether backslash begins an escape. */
  readonly escapes: boolean;
  /** Whether `\r` is an escape. */
  readonly escapesCr: boolean;
  /** Whether lines may end in CRLF. */
  readonly crlf: boolean;
  /** Whether any other CR is allowed in a line. */
  readonly crIsData: boolean;
  /** Whether spaces before a value are padding, as 1.0 peers write it. */
  readonly padded: boolean;
}

const RULES: Record<Version, HeaderRules> = {
  "1.0": { name: "a 1.0", escapes: false, escapesCr: false, crlf: false, crIsData: true, padded: true },
  "1.1": { name: "a 1.1", escapes: true, escapesCr: false, crlf: false, crIsData: true, padded: false },
  "1.2": { name: "a 1.2", escapes: true, escapesCr: true, crlf: true, crIsData: false, padded: false },
};

// A peer that does not know the version yet may end lines in LF or CRLF.
const CONNECT_RULES: Record<Version, HeaderRules> = {
  "1.0": { ...RULES["1.0"], name: "a CONNECT or CONNECTED", crlf: true, crIsData: false },
  "1.1": { ...RULES["1.0"], name: "a CONNECT or CONNECTED", crlf: true, crIsData: false, padded: false },
  "1.2": { ...RULES["1.0"], name: "a CONNECT or CONNECTED", crlf: true, crIsData: false, padded: false },
};

// For frames that people type by hand.
const CRLF_RULES: Record<Version, HeaderRules> = {
  "1.0": { ...RULES["1.0"], crlf: true },
  "1.1": { ...RULES["1.1"], crlf: true },
  "1.2": RULES["1.2"],
};

/** Returns the rules for the header lines of a frame. With `crlf` they may end in CRLF in any version. */
export function headerRules(command: string, version: Version, crlf = false): HeaderRules {
  return isLiteral(command) ? CONNECT_RULES[version] : crlf ? CRLF_RULES[version] : RULES[version];
}

const FIRST_SURROGATE = 0xd800;

// Characters that some rules escape or refuse. With `u`, the range matches only lone halves of surrogate pairs, which
// UTF-8 cannot encode.
const SPECIAL = /[\\\n\r:\ud800-\udfff]/u;
const SPECIALS = new RegExp(SPECIAL, "gu");

/** Whether a name or value is written without escapes in every version. */
export function isPlainHeader(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === COLON || unit === BACKSLASH || unit === LF || unit === CR) return false;
    if (unit >= FIRST_SURROGATE) return !SPECIAL.test(text);
  }
  return true;
}

/**
 * Returns a header line, `name:value\n`, escaped as the rules say.
 *
 * @throws {TypeError} when the rules cannot carry the name or the value.
 */
export function encodeHeader(name: string, value: string, rules: HeaderRules): string {
  return `${encodeName(name, rules)}:${encodeValue(name, value, rules)}\n`;
}

/** Escapes a name. Throws as {@linkcode encodeHeader} does. */
export function encodeName(name: string, rules: HeaderRules): string {
  if (name === "") throw new TypeError("Cannot encode header: its name is empty");
  return isPlainHeader(name) ? name : escape(name, rules, name, true);
}

/** Escapes the value of the header `name`. Throws as {@linkcode encodeHeader} does. */
export function encodeValue(name: string, value: string, rules: HeaderRules): string {
  if (typeof value !== "string") {
    throw new TypeError(`Cannot encode header ${JSON.stringify(name)}: its value is of type ${typeof value}`);
  }
  return isPlainHeader(value) ? value : escape(value, rules, name, false);
}

function escape(text: string, rules: HeaderRules, name: string, isName: boolean): string {
  return text.replace(SPECIALS, (char) => {
    switch (char) {
      case "\n":
        if (!rules.escapes) throw cannotCarry(name, "a line feed", rules);
        return "\\n";
      case "\r":
        // 1.1 has no escape for CR, and a bare one is lost or refused on the way: see AMB-06 in docs/conformance.md.
        if (!rules.escapesCr) throw cannotCarry(name, "a carriage return", rules);
        return "\\r";
      case ":":
        if (rules.escapes) return "\\c";
        if (isName) throw cannotCarry(name, "a colon in its name", rules);
        return ":";
      case "\\":
        return rules.escapes ? "\\\\" : "\\";
      default:
        throw cannotCarry(name, "half of a surrogate pair", rules);
    }
  });
}

function cannotCarry(name: string, what: string, rules: HeaderRules): TypeError {
  // The value stays out of the message: it may be a passcode.
  return new TypeError(
    `Cannot encode header ${JSON.stringify(name)}: it has ${what}, which ${rules.name} frame cannot carry`,
  );
}

/**
 * Replaces escapes by what they stand for, in one pass from the left.
 *
 * @throws {UnknownBrokerResponseError} on an escape that the version does not define, which the protocol calls fatal.
 */
export function unescapeHeader(text: string, rules: HeaderRules): string {
  let at = text.indexOf("\\");
  if (at < 0 || !rules.escapes) return text;
  let out = "";
  let from = 0;
  while (at >= 0) {
    out += text.slice(from, at);
    const next = text[at + 1];
    if (next === "n") out += "\n";
    else if (next === "c") out += ":";
    else if (next === "\\") out += "\\";
    else if (next === "r" && rules.escapesCr) out += "\r";
    else throw malformed(`its header has the undefined escape ${JSON.stringify("\\" + (next ?? ""))}`);
    from = at + 2;
    at = text.indexOf("\\", from);
  }
  return out + text.slice(from);
}

/** Creates the error for bytes that are not STOMP. */
export function malformed(what: string): UnknownBrokerResponseError {
  return new UnknownBrokerResponseError(`Cannot decode frame: ${what}`);
}

/**
 * Decodes a block of header lines.
 *
 * @throws {UnknownBrokerResponseError} when it is not UTF-8.
 */
export function linesText(block: Uint8Array): string {
  try {
    return decodeStrict(block);
  } catch {
    throw malformed("a header line is not UTF-8");
  }
}

/**
 * Checks a header line that has an escape, a CR, or a byte above 127.
 *
 * @throws {UnknownBrokerResponseError} when the line is not allowed.
 */
export function checkHeaderLine(line: string, rules: HeaderRules): void {
  if (rules.crlf && line.endsWith("\r")) line = line.slice(0, -1);
  if (!rules.crIsData && line.includes("\r")) throw malformed("a header line has a carriage return inside");
  const colon = line.indexOf(":");
  if (colon < 1) throw malformed(`a header line has no ${colon < 0 ? "colon" : "name"}`);
  if (rules.escapes) {
    unescapeHeader(line.slice(0, colon), rules);
    unescapeHeader(line.slice(colon + 1), rules);
  }
}

/** Parses a block of header lines, each ending in LF. Of repeated names the first counts. */
export function parseHeaders(block: string, rules: HeaderRules): FrameHeaders {
  const headers: FrameHeaders = Object.create(null);
  const hasEscapes = rules.escapes && block.includes("\\");
  let from = 0;
  while (from < block.length) {
    let end = block.indexOf("\n", from);
    if (end < 0) end = block.length;
    const colon = block.indexOf(":", from);
    if (colon < 0 || colon > end) throw malformed("a header line has no colon");
    if (colon === from) throw malformed("a header line has no name");
    let valueEnd = end;
    if (rules.crlf && block.charCodeAt(end - 1) === CR) valueEnd--;
    let valueStart = colon + 1;
    if (rules.padded) { while (block.charCodeAt(valueStart) === SPACE) valueStart++; }
    let name = block.slice(from, colon);
    let value = block.slice(valueStart, Math.max(valueStart, valueEnd));
    if (hasEscapes) {
      name = unescapeHeader(name, rules);
      value = unescapeHeader(value, rules);
    }
    if (!(name in headers)) headers[name] = value;
    from = end + 1;
  }
  return headers;
}

/**
 * Returns a copy without the spaces that 1.0 peers put before values, for CONNECT and CONNECTED, which are read before the
 * version is known.
 */
export function withoutPadding(headers: FrameHeaders): FrameHeaders {
  const result: FrameHeaders = Object.create(null);
  for (const name in headers) result[name] = headers[name]!.replace(/^ +/, "");
  return result;
}

/**
 * Returns one header of a block without parsing the others. The block begins with the LF before its first line.
 *
 * @returns the value, or `undefined` when no line has that name.
 */
export function findHeader(block: string, name: string, rules: HeaderRules): string | undefined {
  const value = findEscapedHeader(block, name, rules);
  return value !== undefined && rules.escapes ? unescapeHeader(value, rules) : value;
}

/** Like {@linkcode findHeader}, but returns the value as it is on the wire. */
export function findEscapedHeader(block: string, name: string, rules: HeaderRules): string | undefined {
  const key = `\n${name}:`;
  const at = block.indexOf(key);
  if (at < 0) return undefined;
  let start = at + key.length;
  let end = block.indexOf("\n", start);
  if (rules.crlf && block.charCodeAt(end - 1) === CR) end--;
  if (rules.padded) { while (block.charCodeAt(start) === SPACE) start++; }
  return block.slice(start, Math.max(start, end));
}

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
