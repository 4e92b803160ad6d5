/**
 * What goes into a frame, and how its command and headers become text for the wire.
 *
 * @module
 */
import { describeType } from "../base/checks.ts";
import { showControls } from "../base/errors.ts";
import { assertVersion, isCommand, mayHaveBody, type Version } from "./protocol.ts";
import { encodeHeader, type FrameHeaders, headerRules } from "./headers.ts";
import { charsetOf } from "./text.ts";
import { isBytes } from "./bytes.ts";

const textEncoder = new TextEncoder();

/** The value of a header as it may be given. Numbers and booleans are written as text; `undefined` leaves it out. */
export type HeaderValue = string | number | boolean | undefined;

/**
 * Headers as they may be given: an object, or what gives pairs of name and value, such as a `Map`, an array, or the
 * platform's `Headers`, which writes names in lower case. Of a repeated name the first counts.
 */
export type FrameHeadersInit =
  | Readonly<Record<string, HeaderValue>>
  | Iterable<readonly [name: string, value: HeaderValue]>;

/** What goes into a frame. */
export interface FrameParts {
  /** The command, for example `SEND`. */
  command: string;
  /** The headers. */
  headers?: FrameHeadersInit | undefined;
  /** The body; text goes out as UTF-8. */
  body?: string | Uint8Array | undefined;
}

const WRITTEN_AS_TEXT = new Set(["number", "boolean", "bigint"]);

/**
 * A copy of headers as they are given, all as text and without a prototype.
 *
 * @throws {TypeError} when they are no headers, or a value is an object, or anything else that is no text.
 */
export function toHeaders(given: FrameHeadersInit | null | undefined): FrameHeaders {
  const headers: FrameHeaders = Object.create(null);
  if (given === undefined || given === null) return headers;
  if (isIterable(given)) {
    for (const pair of given) {
      if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") {
        throw new TypeError("Cannot build frame: headers that are iterable have to give pairs of a name and a value");
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
 * Whether headers are given as pairs.
 *
 * @throws {TypeError} when they are no object.
 */
export function isIterable(
  given: FrameHeadersInit,
): given is Exclude<FrameHeadersInit, Readonly<Record<string, HeaderValue>>> {
  if (typeof given !== "object") {
    throw new TypeError(
      `Cannot build frame: headers is ${
        describeType(given)
      }, and has to be an object, a Map, Headers or an array of pairs`,
    );
  }
  return Symbol.iterator in given;
}

/**
 * The value of a header as text.
 *
 * @throws {TypeError} when it is an object, or anything else that is no text.
 */
export function headerText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (WRITTEN_AS_TEXT.has(typeof value)) return String(value);
  throw new TypeError(
    `Cannot build frame: header ${JSON.stringify(name)} is ${describeType(value)}, and has to be text`,
  );
}

/** Fails with a `TypeError` unless the value can be a body. */
export function assertBody(body: unknown): asserts body is FrameParts["body"] | null {
  if (body === undefined || body === null || typeof body === "string" || isBytes(body)) return;
  const is = `Cannot build frame: the body is ${describeType(body)}, and has to be a string or a Uint8Array`;
  throw new TypeError(`${is}${adviceFor(body)}`);
}

/**
 * Fails with a `TypeError` unless the value is a body. To leave it out is taken for a mistake.
 *
 * @param what what cannot be done without: "send".
 */
export function assertGivenBody(what: string, body: unknown): asserts body is string | Uint8Array {
  if (body === undefined || body === null) {
    throw new TypeError(
      `Cannot ${what}: the body is ${body}, and has to be a string or a Uint8Array; "" is an empty one`,
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
 * Text goes out as UTF-8, so a `content-type` that names another charset would be wrong about it.
 *
 * @throws {TypeError} when the body is text that reads otherwise in the charset that it is said to be in.
 */
export function checkCharset(body: FrameParts["body"] | null, contentType: string | undefined): void {
  if (contentType === undefined || typeof body !== "string") return;
  const charset = charsetOf(contentType);
  if (charset === undefined || isSameIn(charset, body)) return;
  throw new TypeError(
    `Cannot build frame: the body is text, which is sent as UTF-8, and its content-type says ${
      showControls(charset)
    }; ` +
      "encode it and pass the bytes, or leave the charset out",
  );
}

function isSameIn(charset: string, text: string): boolean {
  try {
    return new TextDecoder(charset, { ignoreBOM: true }).decode(textEncoder.encode(text)) === text;
  } catch {
    return false; // nobody knows it
  }
}

/**
 * Command and headers as they go over the wire, up to the empty line.
 *
 * @param sized whether a body gets a `content-length`; one that is among the headers is corrected, or left out
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
    throw new TypeError(`Cannot encode frame: ${JSON.stringify(command)} is no command`);
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
  if (missing) head += `content-length:${bodyLength}\n`;
  return head + "\n";
}
