/**
 * From the parts of a frame to its bytes: checks of the parts, the head as text, and whole frames written into the memory
 * that they are sent from.
 *
 * Text that is short and ASCII, as most names and values of headers are, is written character by character. Joining it
 * first and encoding it then would take twice as long.
 *
 * @module
 */
import { checkType, describeType } from "../base/checks.ts";
import { showControls } from "../base/errors.ts";
import { assertVersion, isCommand, mayHaveBody, type Version } from "./protocol.ts";
import { encodeHeader, type FrameHeaders, headerRules } from "./headers.ts";
import { charsetOf } from "./text.ts";
import { COLON, isBytes, LF } from "./bytes.ts";

const CONTENT_LENGTH = "content-length:";

/** The most bytes that the line of `content-length`, the empty line and the NUL take. */
const MAX_FRAMING_BYTES = 40;

/** Up to this length a loop over the characters is faster than a call of `TextEncoder`. */
const MAX_LOOP_LENGTH = 64;

const textEncoder = new TextEncoder();

/** A value that a header may be given. Numbers and booleans become text; `undefined` leaves the header out. */
export type HeaderValue = string | number | boolean | undefined;

/**
 * Headers that a frame may be given: an object, or an iterable of names and values, such as a `Map`, an array, or the
 * platform's `Headers`, which turns names into lower case. Of a repeated name the first counts.
 */
export type FrameHeadersInit =
  | Readonly<Record<string, HeaderValue>>
  | Iterable<readonly [name: string, value: HeaderValue]>;

/** The parts of a frame. */
export interface FrameParts {
  /** The command, for example `SEND`. */
  command: string;
  /** The headers. */
  headers?: FrameHeadersInit | undefined;
  /** The body; text is sent as UTF-8. */
  body?: string | Uint8Array | undefined;
}

const WRITTEN_AS_TEXT = new Set(["number", "boolean", "bigint"]);

/**
 * Copies headers into an object without a prototype, all values as text.
 *
 * @throws {TypeError} when they are not headers, or when a value is an object or anything else that is not text.
 */
export function toHeaders(given: FrameHeadersInit | null | undefined): FrameHeaders {
  const headers: FrameHeaders = Object.create(null);
  if (given === undefined || given === null) return headers;
  if (isIterable(given)) {
    for (const pair of given) {
      if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") {
        throw new TypeError("Cannot build frame: iterable headers must give pairs of a name and a value");
      }
      const [name, value] = pair as readonly [string, HeaderValue];
      if (value !== undefined && !(name in headers)) headers[name] = headerText(name, value);
    }
    return headers;
  }
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (value !== undefined) headers[name] = headerText(name, value);
  }
  return headers;
}

/**
 * Whether headers are an iterable of pairs.
 *
 * @throws {TypeError} when they are not an object.
 */
export function isIterable(
  given: FrameHeadersInit,
): given is Exclude<FrameHeadersInit, Readonly<Record<string, HeaderValue>>> {
  checkType("build frame", "headers", given, "object", "an object, a Map, Headers or an array of pairs");
  return Symbol.iterator in given;
}

/**
 * Returns the value of a header as text.
 *
 * @throws {TypeError} when it is an object or anything else that is not text.
 */
export function headerText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (WRITTEN_AS_TEXT.has(typeof value)) return String(value);
  throw new TypeError(
    `Cannot build frame: header ${JSON.stringify(name)} is ${describeType(value)}, but must be text`,
  );
}

/** Throws a `TypeError` unless the value can be a body, or is left out. */
export function assertBody(body: unknown): asserts body is FrameParts["body"] | null {
  if (body === undefined || body === null || typeof body === "string" || isBytes(body)) return;
  const is = `Cannot build frame: the body is ${describeType(body)}, but must be a string or a Uint8Array`;
  throw new TypeError(`${is}${adviceFor(body)}`);
}

/**
 * Throws a `TypeError` unless the value is a body. A body that is left out counts as a mistake.
 *
 * @param what the call, for the message: "send".
 */
export function assertGivenBody(what: string, body: unknown): asserts body is string | Uint8Array {
  if (body === undefined || body === null) {
    throw new TypeError(
      `Cannot ${what}: the body is ${body}, but must be a string or a Uint8Array; "" is an empty one`,
    );
  }
  assertBody(body);
}

function adviceFor(body: unknown): string {
  if (typeof body !== "object") return typeof body === "function" ? "" : "; String makes text of it";
  if (body instanceof ArrayBuffer) return "; new Uint8Array makes bytes of it";
  if (ArrayBuffer.isView(body)) return "; new Uint8Array makes bytes of its buffer";
  return "; JSON.stringify makes text of it";
}

/**
 * Checks that text, which is sent as UTF-8, reads the same in the charset that its `content-type` names.
 *
 * @throws {TypeError} when it does not.
 */
export function checkCharset(body: FrameParts["body"] | null, contentType: string | undefined): void {
  if (contentType === undefined || typeof body !== "string") return;
  const charset = charsetOf(contentType);
  if (charset === undefined || readsSameIn(charset, body)) return;
  const is = `the body is text, which is sent as UTF-8, and its content-type says ${showControls(charset)}`;
  throw new TypeError(`Cannot build frame: ${is}; encode it and pass the bytes, or leave the charset out`);
}

function readsSameIn(charset: string, text: string): boolean {
  try {
    return new TextDecoder(charset, { ignoreBOM: true }).decode(textEncoder.encode(text)) === text;
  } catch {
    return false; // an unknown charset
  }
}

/**
 * Command and header lines as they go over the wire, without the empty line.
 *
 * @param sized whether a body gets a `content-length`; one among the headers is corrected, or left out when `false`.
 * @throws {TypeError} when the version cannot carry the frame.
 */
export function encodeHead(
  command: string,
  headers: FrameHeaders,
  bodyLength: number,
  sized: boolean,
  version: Version,
): string {
  assertVersion(version);
  if (!isCommand(command) && !/^[A-Z]+$/.test(command)) {
    throw new TypeError(`Cannot encode frame: ${JSON.stringify(command)} is not a command`);
  }
  if (bodyLength > 0 && !mayHaveBody(command)) {
    throw new TypeError(`Cannot encode frame: ${command} takes no body, and has one of ${bodyLength} bytes`);
  }
  const rules = headerRules(command, version);
  let head = `${command}\n`;
  let missing = sized && bodyLength > 0;
  for (const name in headers) {
    if (name !== "content-length") {
      head += encodeHeader(name, headers[name]!, rules);
    } else if (sized) {
      head += `content-length:${bodyLength}\n`;
      missing = false;
    }
  }
  return missing ? `${head}content-length:${bodyLength}\n` : head;
}

/** The most bytes that {@linkcode writeFrame} writes for these parts: UTF-8 takes at most three for each UTF-16 unit. */
export function maxFrameBytes(
  head: string | Uint8Array,
  extraHeaders: readonly string[],
  body: string | Uint8Array,
): number {
  let max = maxBytes(head) + maxBytes(body) + MAX_FRAMING_BYTES + extraHeaders.length; // a colon or a line feed for each
  for (const text of extraHeaders) max += maxBytes(text);
  return max;
}

function maxBytes(content: string | Uint8Array): number {
  return typeof content === "string" ? content.length * 3 : content.length;
}

/**
 * Writes a frame with its NUL, and returns where it ends. The caller has made sure that it fits.
 *
 * @param head command and header lines, without the empty line.
 * @param extraHeaders further headers, escaped already: a name, its value, the next name, …
 * @param addsLength whether a `content-length` is added, unless the body is empty; `false` when the head has it.
 */
export function writeFrame(
  bytes: Uint8Array,
  start: number,
  head: string | Uint8Array,
  extraHeaders: readonly string[],
  body: string | Uint8Array,
  addsLength: boolean,
): number {
  const at = writeLines(bytes, write(bytes, start, head), extraHeaders);
  let length = body.length; // of text, as many bytes if it is ASCII: that is known once it is encoded
  let digits = addsLength ? String(length) : "0";
  let bodyAt = bodyStart(at, digits);
  if (typeof body !== "string") {
    bytes.set(body, bodyAt);
  } else if (length > 0) {
    length = textEncoder.encodeInto(body, bytes.subarray(bodyAt)).written;
    if (length !== body.length && addsLength) {
      digits = String(length);
      const moved = bodyStart(at, digits);
      bytes.copyWithin(moved, bodyAt, bodyAt + length);
      bodyAt = moved;
    }
  }
  writeLength(bytes, at, digits);
  bytes[bodyAt + length] = 0;
  return bodyAt + length + 1;
}

/** Writes ASCII text, and returns where it ends. */
export function writeAscii(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + text.length;
}

function writeText(bytes: Uint8Array, at: number, text: string): number {
  if (text.length <= MAX_LOOP_LENGTH) {
    let units = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      bytes[at + i] = unit;
      units |= unit;
    }
    if (units < 128) return at + text.length;
  }
  return at + textEncoder.encodeInto(text, bytes.subarray(at)).written;
}

function write(bytes: Uint8Array, at: number, content: string | Uint8Array): number {
  if (typeof content === "string") return writeText(bytes, at, content);
  bytes.set(content, at);
  return at + content.length;
}

function writeLines(bytes: Uint8Array, at: number, headers: readonly string[]): number {
  for (let i = 0; i < headers.length; i += 2) {
    at = writeText(bytes, at, headers[i]!);
    bytes[at++] = COLON;
    at = writeText(bytes, at, headers[i + 1]!);
    bytes[at++] = LF;
  }
  return at;
}

/** Where the body begins that has this `content-length`, when header lines end at `at`. No line is written for 0. */
function bodyStart(at: number, digits: string): number {
  return digits === "0" ? at + 1 : at + CONTENT_LENGTH.length + digits.length + 2;
}

/** Writes `content-length`, unless it is 0, and the empty line. */
function writeLength(bytes: Uint8Array, at: number, digits: string): void {
  if (digits !== "0") {
    at = writeAscii(bytes, at, CONTENT_LENGTH);
    at = writeAscii(bytes, at, digits);
    bytes[at++] = LF;
  }
  bytes[at] = LF;
}
