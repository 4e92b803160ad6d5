/**
 * The head of a frame, its command line and header lines, parsed from bytes that may end anywhere.
 *
 * The parser reads line by line. With a {@linkcode HeadCache} it first compares a head with earlier ones, which is only
 * faster.
 *
 * @module
 */
import { bodyTooLarge } from "./body.ts";
import { BACKSLASH, beginsWith, COLON, CR, indexOfByte, LF, SEMICOLON, SPACE } from "./bytes.ts";
import type { Chunk } from "./chunk.ts";
import { FrameView, type HeadInfo } from "./frame_view.ts";
import type { HeadCache } from "./head_cache.ts";
import type { HeadTemplate, ReadHeaders } from "./head_template.ts";
import { checkHeaderLine, type HeaderRules, headerRules, linesText, malformed } from "./headers.ts";
import type { Limits } from "./limits.ts";
import { findCommand, isLiteral, mayBecomeCommand, mayHaveBody, unknownCommand, type Version } from "./protocol.ts";
import { decodeLenient, isAscii } from "./text.ts";

const textEncoder = new TextEncoder();
const CONTENT_LENGTH = textEncoder.encode("content-length:");
const CONTENT_TYPE = textEncoder.encode("content-type:");
const SUBSCRIPTION = textEncoder.encode("subscription:");

const CONTENT_LENGTH_NAME_BYTES = 14;
const CONTENT_TYPE_NAME_BYTES = 12; // and those of subscription
const LETTER_C = 99;
const LETTER_S = 115;
const DIGIT_0 = 48;

/** More digits would not stay exact in a double. */
const MAX_LENGTH_DIGITS = 15;

/** Bytes of a faulty line that its error shows. */
const MAX_SHOWN_BYTES = 40;

const NO_HEAD: HeadInfo = {
  command: "",
  rules: headerRules("MESSAGE", "1.2"),
  commandEnd: 0,
  contentLength: -1,
  ascii: true,
  hasParameters: false,
  subscription: undefined,
  layout: undefined,
};

/** A head that was cut once is compared once more; one that comes byte by byte is not compared each time. */
const MAX_MATCH_ATTEMPTS = 2;

/**
 * Parses the heads of one connection, one at a time. When a head continues in the next chunk, that chunk has to begin
 * with the bytes of the head so far: parsing continues where it stopped, or, for a head that matches a template so far,
 * compares it again from its start.
 */
export class HeadParser {
  readonly #limits: Limits;
  readonly #followsCrlf: boolean;
  #isCrlfSeen = false; // at the end of a CONNECT line
  #version: Version = "1.2";
  // Offsets into the bytes that are being read.
  #start = 0; // of the command
  #commandEnd = 0; // the LF after the command
  #scanned = 0; // the next byte to look at
  #line = 0; // where the line being read begins
  // The result.
  #info = NO_HEAD;
  #contentLength = -1;
  #subscription: string | undefined;
  // While a head is parsed line by line.
  #colon = -1; // the colon of the line, once it was seen
  #command = "";
  #rules = NO_HEAD.rules;
  #ascii = true;
  #lineCount = 0;
  #hasParameters = false; // of the content-type
  readonly #lines: ReadHeaders = { contentLength: -1, contentType: -1, subscription: -1 }; // where they begin
  #attemptsLeft = 0; // comparisons; 0 while the head is parsed line by line
  readonly #cache: HeadCache | undefined;

  /**
   * Creates a parser.
   *
   * @param followsCrlf the option of the decoder
   * @param cache templates to compare heads with; without one every head is parsed
   */
  constructor(limits: Limits, followsCrlf: boolean, cache: HeadCache | undefined) {
    this.#limits = limits;
    this.#followsCrlf = followsCrlf;
    this.#cache = cache;
  }

  /** The version whose rules apply to this frame. */
  get version(): Version {
    return this.#version;
  }

  /** The command, once the head is whole. */
  get command(): string {
    return this.#info.command;
  }

  /** The `content-length`, once the head is whole; -1 when there is none. */
  get contentLength(): number {
    return this.#contentLength;
  }

  /** Whether its lines may end in CRLF, once the head is whole. */
  get crlf(): boolean {
    return this.#info.rules.crlf;
  }

  /** Where the frame begins. */
  get start(): number {
    return this.#start;
  }

  /** Where the body begins: after the empty line that ends the head. */
  get end(): number {
    return this.#scanned;
  }

  /** Begins a head. The version applies to the end of its frame. */
  begin(start: number, version: Version): void {
    this.#start = start;
    this.#attemptsLeft = MAX_MATCH_ATTEMPTS;
    if (version === this.#version) return;
    this.#version = version;
    this.#cache?.clear(); // what the same bytes mean depends on the version
  }

  /** Moves all offsets, so that the frame begins at 0 in the next chunk. */
  rebase(): void {
    const start = this.#start;
    this.#scanned -= start;
    this.#line -= start;
    if (this.#colon >= 0) this.#colon -= start;
    if (this.#lines.subscription >= 0) this.#lines.subscription -= start;
    this.#commandEnd -= start;
    this.#start = 0;
  }

  /**
   * Reads on in the head. Returns whether it is whole.
   *
   * @throws {UnknownBrokerResponseError} when it is malformed, or over a limit.
   */
  read(chunk: Chunk): boolean {
    const { bytes } = chunk;
    const cache = this.#cache;
    const isFresh = this.#attemptsLeft > 0;
    if (isFresh) {
      if (cache !== undefined) {
        this.#attemptsLeft--;
        const template = cache.match(chunk, this.#start);
        if (template !== undefined) {
          this.#adopt(template, chunk);
          this.#checkSize(this.#scanned);
          return true;
        }
        if (cache.isCut && this.#attemptsLeft > 0) {
          this.#checkSize(bytes.length + 1); // at least one more byte belongs to it
          return false;
        }
      }
      this.#beginLines();
    }
    const whole = (this.#command !== "" || this.#readCommand(bytes)) && this.#readHeaderLines(bytes);
    this.#checkSize(whole ? this.#scanned : bytes.length + 1);
    if (!whole) return false;
    if (!chunk.isPlain) this.#checkLines(bytes);
    this.#conclude(chunk);
    if (isFresh && cache !== undefined && mayHaveBody(this.#command)) {
      cache.add(bytes, this.#start, this.#scanned, this.#info, this.#lines);
    }
    return true;
  }

  /** Returns the frame of the head, which is in the chunk that was read last, and of a body. To be called once. */
  takeView(chunk: Chunk, bodyChunk: Chunk, bodyStart: number, bodyEnd: number): FrameView {
    const info = this.#info;
    const subscription = this.#subscription;
    this.#info = NO_HEAD;
    this.#subscription = undefined; // a slice that may keep the text of the chunk
    return new FrameView(info, subscription, chunk, this.#commandEnd, this.#line, bodyChunk, bodyStart, bodyEnd);
  }

  #beginLines(): void {
    this.#attemptsLeft = 0;
    this.#scanned = this.#line = this.#start;
    this.#colon = -1;
    this.#command = "";
    this.#ascii = true;
    this.#lineCount = 0;
    this.#contentLength = -1;
    this.#hasParameters = false;
    this.#lines.contentLength = this.#lines.contentType = this.#lines.subscription = -1;
  }

  #checkSize(end: number): void {
    const { maxHeaderBytes } = this.#limits;
    if (end - this.#start <= maxHeaderBytes) return;
    throw malformed(`its headers are over the limit of ${maxHeaderBytes} bytes (maxHeaderBytes)`);
  }

  /** Takes over what the head of the template said, and reads what this one says differently. */
  #adopt(template: HeadTemplate, chunk: Chunk): void {
    const { info, end } = template;
    this.#info = info;
    this.#contentLength = info.contentLength;
    this.#subscription = info.subscription;
    this.#commandEnd = this.#start + info.commandEnd;
    this.#scanned = end;
    this.#line = end - 1;
    if (template.hasChanged) this.#adoptChanged(template.changed, chunk);
  }

  #adoptChanged(changed: ReadHeaders, chunk: Chunk): void {
    const { bytes } = chunk;
    const info = this.#info;
    const { rules } = info;
    if (changed.contentLength >= 0) this.#readContentLength(bytes, changed.contentLength, rules);
    if (changed.subscription >= 0) this.#subscription = valueAt(chunk, changed.subscription, rules);
    if (changed.contentType < 0) return;
    const hasParameters = lineHas(bytes, SEMICOLON, changed.contentType);
    if (hasParameters !== info.hasParameters) this.#info = { ...info, hasParameters };
  }

  /** Makes the result of a head that was parsed line by line. */
  #conclude(chunk: Chunk): void {
    const line = this.#lines.subscription;
    this.#subscription = line < 0 ? undefined : valueAt(chunk, line + SUBSCRIPTION.length, this.#rules);
    this.#info = {
      command: this.#command,
      rules: this.#rules,
      commandEnd: this.#commandEnd - this.#start,
      contentLength: this.#contentLength,
      ascii: this.#ascii,
      hasParameters: this.#hasParameters,
      subscription: this.#subscription,
      layout: undefined,
    };
  }

  #readCommand(bytes: Uint8Array): boolean {
    const start = this.#start;
    const lf = indexOfByte(bytes, LF, this.#scanned);
    if (lf === bytes.length) {
      this.#scanned = lf;
      if (!mayBecomeCommand(bytes, start, lf)) throw unknownCommand(bytes, start, lf);
      return false;
    }
    // Whether a CR may stand here depends on the command, so that is looked up without it.
    const end = bytes[lf - 1] === CR ? lf - 1 : lf;
    const command = findCommand(bytes, start, end);
    if (command === undefined) throw unknownCommand(bytes, start, end);
    this.#rules = headerRules(command, this.#version, end !== lf && this.#isCrlfSeen);
    if (end !== lf) {
      if (!this.#rules.crlf) throw unknownCommand(bytes, start, lf);
      this.#isCrlfSeen ||= this.#followsCrlf && isLiteral(command);
    }
    this.#command = command;
    this.#commandEnd = lf;
    this.#scanned = this.#line = lf + 1;
    return true;
  }

  /**
   * The hottest loop of the library: it looks at each byte of the header lines once, and only for what every line
   * must have. Escapes, CRs and UTF-8 are checked afterwards, in the few chunks that have any. It never reads past the
   * end of the array: one such read makes V8 compile the whole loop for it, at twice the time.
   */
  #readHeaderLines(bytes: Uint8Array): boolean {
    const { length } = bytes;
    const { maxHeaders } = this.#limits;
    let at = this.#scanned;
    let line = this.#line;
    let colon = this.#colon;
    let whole = false;
    while (at < length) {
      if (colon < 0) {
        if (at === line) {
          const first = bytes[at];
          if (first === LF || first === CR) {
            const end = this.#emptyLineEnd(bytes, at);
            if (end !== 0) {
              if (end > 0) {
                at = end;
                whole = true;
              }
              break;
            }
          }
          if (first === COLON) throw malformed("a header line has no name");
        }
        let byte = 0;
        for (; at < length && (byte = bytes[at]!) !== COLON; at++) {
          if (byte === LF) throw malformed("a header line has no colon");
        }
        if (at === length) break;
        colon = at;
      }
      while (at < length && bytes[at] !== LF) at++;
      if (at === length) break;
      if (++this.#lineCount > maxHeaders) throw malformed(`it has more than ${maxHeaders} headers (maxHeaders)`);
      const size = colon - line;
      if (size === CONTENT_LENGTH_NAME_BYTES || size === CONTENT_TYPE_NAME_BYTES) this.#noteLine(bytes, line, size);
      line = ++at;
      colon = -1;
    }
    this.#scanned = at;
    this.#line = line;
    this.#colon = colon;
    return whole;
  }

  /** Notes a line that the decoder itself reads. The caller has compared the size of its name, which is cheap. */
  #noteLine(bytes: Uint8Array, line: number, size: number): void {
    const first = bytes[line];
    const lines = this.#lines;
    if (size === CONTENT_LENGTH_NAME_BYTES) {
      if (lines.contentLength >= 0 || !beginsWith(bytes, line, CONTENT_LENGTH)) return;
      lines.contentLength = line;
      this.#readContentLength(bytes, line + CONTENT_LENGTH.length, this.#rules);
    } else if (first === LETTER_C) {
      if (lines.contentType >= 0 || !beginsWith(bytes, line, CONTENT_TYPE)) return;
      lines.contentType = line;
      this.#hasParameters = lineHas(bytes, SEMICOLON, line);
    } else if (first === LETTER_S && lines.subscription < 0 && beginsWith(bytes, line, SUBSCRIPTION)) {
      lines.subscription = line;
    }
  }

  /** Returns where the empty line at `at` ends; 0 when there is none, and -1 when the byte that decides has not come. */
  #emptyLineEnd(bytes: Uint8Array, at: number): number {
    if (bytes[at] === LF) return at + 1;
    if (bytes[at] !== CR || !this.#rules.crlf) return 0;
    if (at + 1 === bytes.length) return -1;
    return bytes[at + 1] === LF ? at + 2 : 0;
  }

  /** Checks header lines that may have escapes, CRs, or anything but ASCII in them. */
  #checkLines(bytes: Uint8Array): void {
    const block = bytes.subarray(this.#commandEnd + 1, this.#line);
    this.#ascii = isAscii(block);
    const isBare = !block.includes(BACKSLASH) && !block.includes(CR);
    if (this.#ascii && isBare) return;
    const text = linesText(block);
    if (isBare) return;
    for (const line of text.split("\n")) {
      if (line.includes("\\") || line.includes("\r")) checkHeaderLine(line, this.#rules);
    }
  }

  #readContentLength(bytes: Uint8Array, start: number, rules: HeaderRules): void {
    const lf = indexOfByte(bytes, LF, start);
    let at = start;
    let end = lf;
    if (rules.crlf && bytes[end - 1] === CR) end--;
    if (rules.padded) {
      while (bytes[at] === SPACE && at < end) at++;
      while (bytes[end - 1] === SPACE && at < end) end--;
    }
    let length = 0;
    const isValid = end > at && end - at <= MAX_LENGTH_DIGITS;
    for (; isValid && at < end; at++) {
      const digit = bytes[at]! - DIGIT_0;
      if (digit < 0 || digit > 9) break;
      length = length * 10 + digit;
    }
    if (!isValid || at < end) {
      const shown = decodeLenient(bytes.subarray(start, Math.min(lf, start + MAX_SHOWN_BYTES)));
      throw malformed(`its content-length is ${JSON.stringify(shown)}`);
    }
    const { maxBodyBytes } = this.#limits;
    if (length > maxBodyBytes) throw bodyTooLarge(`${length} bytes`, maxBodyBytes);
    this.#contentLength = length;
  }
}

/** Returns the value at `start`; `undefined` when it is not ASCII, or has an escape or a CR. */
function valueAt(chunk: Chunk, start: number, { padded, escapes }: HeaderRules): string | undefined {
  const { bytes } = chunk;
  while (padded && bytes[start] === SPACE) start++;
  let at = start;
  for (let byte = bytes[at]!; byte !== LF; byte = bytes[++at]!) {
    if (byte > 127 || byte === CR || (byte === BACKSLASH && escapes)) return undefined;
  }
  return chunk.latin1(start, at);
}

/** Whether the rest of the line, which must be whole, has a byte. */
function lineHas(bytes: Uint8Array, byte: number, start: number): boolean {
  while (bytes[start] !== LF && bytes[start] !== byte) start++;
  return bytes[start] === byte;
}
