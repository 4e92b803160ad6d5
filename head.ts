/**
 * The head of a frame, its command line and header lines, read from bytes that may end anywhere.
 *
 * @module
 */
import { findCommand, mayBecomeCommand, unknownCommand } from "./commands.ts";
import type { UnknownBrokerResponseError } from "./errors.ts";
import { checkHeaderLine, type HeaderRules, headerRules, malformed, type Version } from "./headers.ts";
import { Received } from "./received.ts";
import { Chunk, decodeLenient, decodeStrict, isAscii } from "./text.ts";

/** What a decoder accepts at most. What is over a limit is an error before memory is spent on it. */
export interface DecoderLimits {
  /** Bytes of command line and header lines of one frame, the empty line included. Default 65,536 (64 KiB). */
  maxHeaderBytes?: number | undefined;
  /** Header lines of one frame. Default 1,000. */
  maxHeaders?: number | undefined;
  /** Bytes of one body. Default 134,217,728 (128 MiB). */
  maxBodyBytes?: number | undefined;
}

/** The limits, checked and complete. */
export type Limits = { readonly [name in keyof DecoderLimits]-?: number };

const LF = 10;
const CR = 13;
const COLON = 58;
const BACKSLASH = 92;
const SPACE = 32;

/** "content-length:" */
const CONTENT_LENGTH = new TextEncoder().encode("content-length:");

const NOTHING = new Uint8Array(0);

/** "content-type:" */
const CONTENT_TYPE = new TextEncoder().encode("content-type:");

const LETTER_C = 99;
const LETTER_S = 115;
const SIZE_OF_LENGTH = 14; // of the name content-length
const SIZE_OF_TYPE = 12; // of the names content-type and subscription

/** "subscription:" */
const SUBSCRIPTION = new TextEncoder().encode("subscription:");

/**
 * Completes limits.
 *
 * @throws {RangeError} when one is no number, or negative.
 */
export function completeLimits(limits: DecoderLimits): Limits {
  const { maxHeaderBytes = 1 << 16, maxHeaders = 1000, maxBodyBytes = 1 << 27 } = limits;
  const complete = { maxHeaderBytes, maxHeaders, maxBodyBytes };
  for (const [name, value] of Object.entries(complete)) {
    if (typeof value !== "number" || !(value >= 0)) {
      throw new RangeError(`Cannot use ${name} ${value}: a limit is a number of 0 or more, or Infinity`);
    }
  }
  return complete;
}

/**
 * Reads one head after the other. A head that goes on in the next chunk is read on where it ended, if that chunk
 * begins with the bytes of the head that were there already.
 */
export class HeadReader {
  readonly #limits: Limits;
  #version: Version = "1.2";
  // Offsets into the bytes that are being read.
  #start = 0; // of the command
  #scanned = 0; // the next byte to look at
  #line = 0; // where the line being read begins
  #colon = -1; // the colon of that line, once it was seen
  #head = 0; // the LF behind the command
  #command = "";
  #rules: HeaderRules = headerRules("MESSAGE", "1.2");
  #ascii = true;
  #count = 0; // header lines
  #length = -1;
  #contentType = 0; // where that line begins; 0 for none, as a command stands before it
  #subscription = 0; // the same
  // The last subscription line, and the id in it: mostly the next one is the same.
  #lastLine: Uint8Array = NOTHING;
  #lastId: string | undefined;

  /** Creates a reader that keeps to limits. */
  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** The version whose rules hold for this frame. */
  get version(): Version {
    return this.#version;
  }

  /** The command, once that line is whole. */
  get command(): string {
    return this.#command;
  }

  /** The `content-length`; -1 when there is none. */
  get contentLength(): number {
    return this.#length;
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
    // What the same bytes mean depends on the version.
    if (version !== this.#version) this.#lastLine = NOTHING;
    this.#start = this.#scanned = this.#line = start;
    this.#version = version;
    this.#colon = -1;
    this.#command = "";
    this.#ascii = true;
    this.#count = 0;
    this.#length = -1;
    this.#contentType = this.#subscription = 0;
  }

  /** Says that the frame will begin at 0 from the next chunk on. */
  rebase(): void {
    this.#scanned -= this.#start;
    this.#line -= this.#start;
    if (this.#colon >= 0) this.#colon -= this.#start;
    this.#head -= this.#start;
    if (this.#contentType > 0) this.#contentType -= this.#start;
    if (this.#subscription > 0) this.#subscription -= this.#start;
    this.#start = 0;
  }

  /**
   * Reads on. Returns whether the head is whole.
   *
   * @throws {UnknownBrokerResponseError} when it is malformed, or over a limit.
   */
  read(chunk: Chunk): boolean {
    const { bytes } = chunk;
    const whole = (this.#command !== "" || this.#readCommand(bytes)) && this.#readHeaderLines(bytes);
    // Where the head goes on, at least one more byte belongs to it.
    const size = (whole ? this.#scanned : bytes.length + 1) - this.#start;
    const { maxHeaderBytes } = this.#limits;
    if (size > maxHeaderBytes) {
      throw malformed(`its headers are over the limit of ${maxHeaderBytes} bytes (maxHeaderBytes)`);
    }
    if (whole && !chunk.isPlain) this.#checkLines(bytes);
    return whole;
  }

  /** What was found, in the chunk that was read. */
  found(chunk: Chunk): Received {
    const found = new Received(chunk, this.#head, this.#line, this.#ascii, this.#rules);
    found.contentTypeAt = this.#contentType;
    if (this.#subscription > 0) found.subscription = this.#idAt(chunk.bytes, found);
    return found;
  }

  /** The same, in a chunk of its own, so that the one that was read can be let go. */
  foundCopy(chunk: Chunk): Received {
    const head = new Chunk(chunk.bytes.slice(this.#head, this.#line));
    const found = new Received(head, 0, head.bytes.length, this.#ascii, this.#rules);
    if (this.#contentType > 0) found.contentTypeAt = this.#contentType - this.#head;
    return found;
  }

  /** The id in the subscription line. The same bytes as the last time give the same string, with its hash. */
  #idAt(bytes: Uint8Array, found: Received): string | undefined {
    const last = this.#lastLine;
    const start = this.#subscription;
    let i = 0;
    const most = Math.min(last.length, bytes.length - start);
    while (i < most && bytes[start + i] === last[i]) i++;
    if (i === last.length && i > 0) return this.#lastId;
    this.#lastId = found.header("subscription");
    this.#lastLine = bytes.slice(start, indexOfByte(bytes, LF, start) + 1);
    return this.#lastId;
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
    this.#rules = headerRules(command, this.#version);
    if (end !== lf && !this.#rules.crlf) throw unknownCommand(bytes, start, lf);
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
      if (size === SIZE_OF_LENGTH || size === SIZE_OF_TYPE) this.#noteLine(bytes, line, size, at);
      line = ++at;
      colon = -1;
    }
    this.#scanned = at;
    this.#line = line;
    this.#colon = colon;
    return whole;
  }

  /** Remembers the lines that are needed for each message. Their names are told apart by size first, which is cheap. */
  #noteLine(bytes: Uint8Array, line: number, size: number, lf: number): void {
    const first = bytes[line];
    if (size === SIZE_OF_LENGTH) {
      if (first === LETTER_C && this.#length < 0) this.#readContentLength(bytes, line, lf);
    } else if (first === LETTER_C) {
      if (this.#contentType === 0 && beginsWith(bytes, line, CONTENT_TYPE)) this.#contentType = line;
    } else if (first === LETTER_S && this.#subscription === 0 && beginsWith(bytes, line, SUBSCRIPTION)) {
      this.#subscription = line;
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

  /** Checks the header lines that have something unusual in them. */
  #checkLines(bytes: Uint8Array): void {
    const block = bytes.subarray(this.#head + 1, this.#line);
    this.#ascii = isAscii(block);
    if (this.#ascii && !block.includes(BACKSLASH) && !block.includes(CR)) return;
    for (let from = 0; from < block.length;) {
      const lf = indexOfByte(block, LF, from);
      checkHeaderLine(lineText(block, from, lf), this.#rules);
      from = lf + 1;
    }
  }

  #readContentLength(bytes: Uint8Array, start: number, lf: number): void {
    const valueStart = start + CONTENT_LENGTH.length;
    if (valueStart > lf) return;
    for (let i = 1; i < CONTENT_LENGTH.length; i++) if (bytes[start + i] !== CONTENT_LENGTH[i]) return;
    let at = valueStart;
    let end = lf;
    if (this.#rules.crlf && bytes[end - 1] === CR) end--;
    if (this.#rules.padded) {
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
      const shown = decodeLenient(bytes.subarray(valueStart, Math.min(lf, valueStart + 40)));
      throw malformed(`its content-length is ${JSON.stringify(shown)}`);
    }
    const { maxBodyBytes } = this.#limits;
    if (length > maxBodyBytes) throw bodyTooLarge(`${length} bytes`, maxBodyBytes);
    this.#length = length;
  }
}

/** The error for a body that is over the limit. */
export function bodyTooLarge(size: string, limit: number): UnknownBrokerResponseError {
  return malformed(`its body of ${size} is over the limit of ${limit} bytes (maxBodyBytes)`);
}

/** Like `indexOf`, but the end when there is none; for short distances faster than the call of a built-in. */
function indexOfByte(bytes: Uint8Array, byte: number, from: number): number {
  while (from < bytes.length && bytes[from] !== byte) from++;
  return from;
}

function beginsWith(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false;
  return true;
}

function lineText(bytes: Uint8Array, start: number, end: number): string {
  try {
    return decodeStrict(bytes.subarray(start, end));
  } catch {
    throw malformed("a header line is not UTF-8");
  }
}
