/**
 * The head of a frame, its command line and header lines, read from bytes that may end anywhere.
 *
 * @module
 */
import { BACKSLASH, beginsWith, COLON, CR, LF, SEMICOLON, SPACE } from "./bytes.ts";
import { findCommand, isLiteral, mayBecomeCommand, mayHaveBody, unknownCommand, type Version } from "./protocol.ts";
import { checkHeaderLine, type HeaderRules, headerRules, linesText, malformed } from "./headers.ts";
import type { FactLines, HeadTemplate } from "./head_template.ts";
import { HeadCache } from "./head_cache.ts";
import { bodyTooLarge, type Limits } from "./limits.ts";
import { FrameView, type HeadInfo } from "./frame_view.ts";
import { decodeLenient, isAscii } from "./text.ts";
import { Chunk } from "./chunk.ts";

/** "content-length:" */
const CONTENT_LENGTH = new TextEncoder().encode("content-length:");

/** "content-type:" */
const CONTENT_TYPE = new TextEncoder().encode("content-type:");

const LETTER_C = 99;
const LETTER_S = 115;
const SIZE_OF_LENGTH = 14; // of the name content-length
const SIZE_OF_TYPE = 12; // of the names content-type and subscription

/** "subscription:" */
const SUBSCRIPTION = new TextEncoder().encode("subscription:");

const NOTHING: HeadInfo = {
  command: "",
  rules: headerRules("MESSAGE", "1.2"),
  commandEnd: 0,
  contentLength: -1,
  ascii: true,
  hasParameters: false,
  subscription: undefined,
  names: undefined,
};

/** A head that was cut in two is compared once more; one that comes byte by byte is not, again and again. */
const ATTEMPTS = 2;

/**
 * Reads one head after the other. Of a head that goes on in the next chunk, that chunk has to begin with the bytes that
 * were there already: it is read on where it ended, or, if it is like a known one so far, compared again from its start.
 */
export class HeadParser {
  readonly #limits: Limits;
  readonly #followsCrlf: boolean;
  #crlfSeen = false; // CONNECT ended in one
  #version: Version = "1.2";
  // Offsets into the bytes that are being read.
  #start = 0; // of the command
  #head = 0; // the LF behind the command
  #scanned = 0; // the next byte to look at
  #line = 0; // where the line being read begins
  // What was found.
  #facts = NOTHING;
  #length = -1; // the content-length
  #subscription: string | undefined;
  // Of a head that is read line by line.
  #colon = -1; // the colon of the line, once it was seen
  #command = "";
  #rules = NOTHING.rules;
  #ascii = true;
  #count = 0; // header lines
  #hasParameters = false; // of the content-type
  readonly #lines: FactLines = { contentLength: -1, contentType: -1, subscription: -1 }; // where they begin
  #attempts = 0; // how often it may still be compared with known heads; 0 once it is read line by line
  readonly #known = new HeadCache();

  /** Creates a reader that keeps to limits; `followsCrlf` is the option of the decoder. */
  constructor(limits: Limits, followsCrlf: boolean) {
    this.#limits = limits;
    this.#followsCrlf = followsCrlf;
  }

  /** The version whose rules hold for this frame. */
  get version(): Version {
    return this.#version;
  }

  /** The command, once the head is whole. */
  get command(): string {
    return this.#facts.command;
  }

  /** The `content-length`, once the head is whole; -1 when there is none. */
  get contentLength(): number {
    return this.#length;
  }

  /** Whether its lines may end in CRLF, once the head is whole. */
  get crlf(): boolean {
    return this.#facts.rules.crlf;
  }

  /** Where the frame begins. */
  get start(): number {
    return this.#start;
  }

  /** Behind the empty line that ends the head: where the body begins. */
  get end(): number {
    return this.#scanned;
  }

  /** Begins a head; the version is the one that is read to its end. */
  begin(start: number, version: Version): void {
    this.#start = start;
    this.#attempts = ATTEMPTS;
    if (version === this.#version) return;
    this.#version = version;
    this.#known.clear(); // what the same bytes mean depends on the version
  }

  /** Says that the frame begins at 0 from the next chunk on. */
  rebase(): void {
    const start = this.#start;
    this.#scanned -= start;
    this.#line -= start;
    if (this.#colon >= 0) this.#colon -= start;
    if (this.#lines.subscription >= 0) this.#lines.subscription -= start;
    this.#head -= start;
    this.#start = 0;
  }

  /**
   * Reads on. Returns whether the head is whole.
   *
   * @throws {UnknownBrokerResponseError} when it is malformed, or over a limit.
   */
  read(chunk: Chunk): boolean {
    const { bytes } = chunk;
    const isFresh = this.#attempts > 0;
    if (isFresh) {
      this.#attempts--;
      const form = this.#known.match(chunk, this.#start);
      if (form !== undefined) {
        this.#adopt(form, chunk);
        this.#checkSize(this.#scanned);
        return true;
      }
      if (this.#known.isCut && this.#attempts > 0) {
        this.#checkSize(bytes.length + 1); // at least one more byte belongs to it
        return false;
      }
      this.#beginLines();
    }
    const whole = (this.#command !== "" || this.#readCommand(bytes)) && this.#readHeaderLines(bytes);
    this.#checkSize(whole ? this.#scanned : bytes.length + 1);
    if (!whole) return false;
    if (!chunk.isPlain) this.#checkLines(bytes);
    this.#conclude(chunk);
    if (isFresh && mayHaveBody(this.#command)) {
      this.#known.add(bytes, this.#start, this.#scanned, this.#facts, this.#lines);
    }
    return true;
  }

  /** What was found, in the chunk that was read, with the body that belongs to it. Can be had once. */
  found(chunk: Chunk, bodyChunk: Chunk, bodyStart: number, bodyEnd: number): FrameView {
    const facts = this.#facts;
    const subscription = this.#subscription;
    this.#facts = NOTHING;
    this.#subscription = undefined; // which may keep the chunk
    return new FrameView(facts, subscription, chunk, this.#head, this.#line, bodyChunk, bodyStart, bodyEnd);
  }

  #beginLines(): void {
    this.#attempts = 0;
    this.#scanned = this.#line = this.#start;
    this.#colon = -1;
    this.#command = "";
    this.#ascii = true;
    this.#count = 0;
    this.#length = -1;
    this.#hasParameters = false;
    this.#lines.contentLength = this.#lines.contentType = this.#lines.subscription = -1;
  }

  #checkSize(end: number): void {
    const { maxHeaderBytes } = this.#limits;
    if (end - this.#start <= maxHeaderBytes) return;
    throw malformed(`its headers are over the limit of ${maxHeaderBytes} bytes (maxHeaderBytes)`);
  }

  /** Takes over what an earlier head of this form said, and what this one says otherwise. */
  #adopt(form: HeadTemplate, chunk: Chunk): void {
    const { facts, end } = form;
    this.#facts = facts;
    this.#length = facts.contentLength;
    this.#subscription = facts.subscription;
    this.#head = this.#start + facts.commandEnd;
    this.#scanned = end;
    this.#line = end - 1;
    if (form.hasChanged) this.#adoptChanged(form.changed, chunk);
  }

  #adoptChanged(changed: FactLines, chunk: Chunk): void {
    const { bytes } = chunk;
    const facts = this.#facts;
    const { rules } = facts;
    if (changed.contentLength >= 0) this.#readContentLength(bytes, changed.contentLength, rules);
    if (changed.subscription >= 0) this.#subscription = valueAt(chunk, changed.subscription, rules);
    if (changed.contentType < 0) return;
    const hasParameters = lineHas(bytes, SEMICOLON, changed.contentType);
    if (hasParameters !== facts.hasParameters) this.#facts = { ...facts, hasParameters };
  }

  /** Puts together what the lines have said. */
  #conclude(chunk: Chunk): void {
    const line = this.#lines.subscription;
    this.#subscription = line < 0 ? undefined : valueAt(chunk, line + SUBSCRIPTION.length, this.#rules);
    this.#facts = {
      command: this.#command,
      rules: this.#rules,
      commandEnd: this.#head - this.#start,
      contentLength: this.#length,
      ascii: this.#ascii,
      hasParameters: this.#hasParameters,
      subscription: this.#subscription,
      names: undefined,
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
    this.#rules = headerRules(command, this.#version, end !== lf && this.#crlfSeen);
    if (end !== lf) {
      if (!this.#rules.crlf) throw unknownCommand(bytes, start, lf);
      this.#crlfSeen ||= this.#followsCrlf && isLiteral(command);
    }
    this.#command = command;
    this.#head = lf;
    this.#scanned = this.#line = lf + 1;
    return true;
  }

  /**
   * The hottest loop of the library: it looks at each byte of the header lines once, and only for what every line
   * must have. Escapes, CRs and UTF-8 are checked afterwards, in the few chunks that have any. It never reads behind
   * the end of the array: one such read makes V8 compile the whole loop for it, at twice the time.
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
      if (++this.#count > maxHeaders) throw malformed(`it has more than ${maxHeaders} headers (maxHeaders)`);
      const size = colon - line;
      if (size === SIZE_OF_LENGTH || size === SIZE_OF_TYPE) this.#noteLine(bytes, line, size);
      line = ++at;
      colon = -1;
    }
    this.#scanned = at;
    this.#line = line;
    this.#colon = colon;
    return whole;
  }

  /** Remembers the lines that are needed for each message. Their names are told apart by size first, which is cheap. */
  #noteLine(bytes: Uint8Array, line: number, size: number): void {
    const first = bytes[line];
    const lines = this.#lines;
    if (size === SIZE_OF_LENGTH) {
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

  /**
   * Where the empty line that begins here ends; 0 when there is none here, and -1 when the byte that would tell has not
   * come yet.
   */
  #emptyLineEnd(bytes: Uint8Array, at: number): number {
    if (bytes[at] === LF) return at + 1;
    if (bytes[at] !== CR || !this.#rules.crlf) return 0;
    if (at + 1 === bytes.length) return -1;
    return bytes[at + 1] === LF ? at + 2 : 0;
  }

  /** Checks header lines that may have escapes, CRs, or anything but ASCII in them. */
  #checkLines(bytes: Uint8Array): void {
    const block = bytes.subarray(this.#head + 1, this.#line);
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
    // 15 digits stay exact in a double.
    const valid = end > at && end - at <= 15;
    for (; valid && at < end; at++) {
      const digit = bytes[at]! - 48;
      if (digit < 0 || digit > 9) break;
      length = length * 10 + digit;
    }
    if (!valid || at < end) {
      const shown = decodeLenient(bytes.subarray(start, Math.min(lf, start + 40)));
      throw malformed(`its content-length is ${JSON.stringify(shown)}`);
    }
    const { maxBodyBytes } = this.#limits;
    if (length > maxBodyBytes) throw bodyTooLarge(`${length} bytes`, maxBodyBytes);
    this.#length = length;
  }
}

/** Like `indexOf`, but the end when there is none; for short distances faster than the call of a built-in. */
function indexOfByte(bytes: Uint8Array, byte: number, from: number): number {
  while (from < bytes.length && bytes[from] !== byte) from++;
  return from;
}

/** The value that begins there; `undefined` when it is not ASCII, or has an escape or a CR. */
function valueAt(chunk: Chunk, start: number, { padded, escapes }: HeaderRules): string | undefined {
  const { bytes } = chunk;
  while (padded && bytes[start] === SPACE) start++;
  let at = start;
  for (let byte = bytes[at]!; byte !== LF; byte = bytes[++at]!) {
    if (byte > 127 || byte === CR || (byte === BACKSLASH && escapes)) return undefined;
  }
  return chunk.latin1(start, at);
}

/** Whether a byte stands between `start` and the end of the line, which must be there. */
function lineHas(bytes: Uint8Array, byte: number, start: number): boolean {
  while (bytes[start] !== LF && bytes[start] !== byte) start++;
  return bytes[start] === byte;
}
