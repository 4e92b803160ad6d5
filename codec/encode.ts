/**
 * What goes into a frame, and how its command and headers become text for the wire.
 *
 * @module
 */
import { isCommand, mayHaveBody } from "./commands.ts";
import { assertVersion, encodeHeader, headerRules, type Headers, type Version } from "./headers.ts";
import { isBytes } from "./text.ts";

/** What goes into a frame. */
export interface FrameParts {
  /** The command, for example `SEND`. */
  command: string;
  /** The headers. Numbers and booleans are written as text; a header that is `undefined` is left out. */
  headers?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  /** The body; text goes out as UTF-8. */
  body?: string | Uint8Array | undefined;
}

const WRITTEN_AS_TEXT = new Set(["number", "boolean", "bigint"]);

/**
 * A copy of headers as they are given, all as text and without a prototype.
 *
 * @throws {TypeError} when a value is an object, or anything else that is no text.
 */
export function toHeaders(given: FrameParts["headers"]): Headers {
  const headers: Headers = Object.create(null);
  for (const name of Object.keys(given ?? {})) {
    const value = given![name];
    if (value !== undefined) headers[name] = headerText(name, value);
  }
  return headers;
}

/**
 * The value of a header as text.
 *
 * @throws {TypeError} when it is an object, or anything else that is no text.
 */
export function headerText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (WRITTEN_AS_TEXT.has(typeof value)) return String(value);
  throw new TypeError(`Cannot build frame: header ${JSON.stringify(name)} is ${kindOf(value)}, and has to be text`);
}

/** Fails with a `TypeError` unless the value can be a body. */
export function assertBody(body: unknown): asserts body is FrameParts["body"] | null {
  if (body === undefined || body === null || typeof body === "string" || isBytes(body)) return;
  throw new TypeError(`Cannot build frame: the body is ${kindOf(body)}, and has to be a string or a Uint8Array`);
}

/**
 * Command and headers as they go over the wire, up to the empty line.
 *
 * @param sized whether a body gets a `content-length`; one that is among the headers is corrected, or left out
 * @throws {TypeError} when the version cannot carry the frame.
 */
export function encodeHead(
  command: string,
  headers: Headers,
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

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return typeof value === "object" ? `a ${value.constructor?.name ?? "object"}` : `of type ${typeof value}`;
}
