/**
 * Frames written into memory, right where they are sent from.
 *
 * Text is written character by character where it is short and ASCII, as names and values of headers mostly are. To put
 * it together first would take twice as long.
 *
 * @module
 */

const SIZE = "content-length:";

/** Room for `content-length`, its digits, the empty line and the NUL. */
const SIZE_LINE = 40;

/** Up to so many characters an encoder is not worth its call. */
const SHORT = 64;

const LF = 10;
const COLON = 58;
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

/** How many bytes text or bytes may take: UTF-8 takes at most three for each unit of a string. */
export function mostBytes(content: string | Uint8Array): number {
  return typeof content === "string" ? content.length * 3 : content.length;
}

/** How many bytes a frame may take that {@linkcode writeSized} writes, with its NUL. */
export function mostBytesOfSized(
  head: string | Uint8Array,
  headers: readonly string[],
  body: string | Uint8Array,
): number {
  let most = mostBytes(head) + mostBytes(body) + SIZE_LINE + headers.length; // a colon or a line feed for each
  for (const text of headers) most += mostBytes(text);
  return most;
}

/**
 * Writes the beginning of a head, further headers, `content-length`, the empty line and a body; not the NUL. There has to
 * be room for it. Returns where it ends.
 *
 * @param headers names and values by turns, as they are written
 */
export function writeSized(
  bytes: Uint8Array,
  start: number,
  head: string | Uint8Array,
  headers: readonly string[],
  body: string | Uint8Array,
): number {
  const at = writeLines(bytes, write(bytes, start, head), headers);
  // As long as it is in characters, if it is ASCII: that is known once it is encoded.
  let size = body.length;
  let digits = String(size);
  let bodyAt = sizeLineEnd(at, digits);
  if (typeof body !== "string") {
    bytes.set(body, bodyAt);
  } else if (size > 0) {
    size = textEncoder.encodeInto(body, bytes.subarray(bodyAt)).written;
    if (size !== body.length) {
      digits = String(size);
      const moved = sizeLineEnd(at, digits);
      bytes.copyWithin(moved, bodyAt, bodyAt + size);
      bodyAt = moved;
    }
  }
  writeSizeLine(bytes, at, digits);
  return bodyAt + size;
}

/** What {@linkcode writeSized} writes before a body of so many bytes, as text. */
export function sizedHead(head: string | Uint8Array, headers: readonly string[], size: number): string {
  let text = typeof head === "string" ? head : textDecoder.decode(head);
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}:${headers[i + 1]}\n`;
  return size === 0 ? `${text}\n` : `${text}${SIZE}${size}\n\n`;
}

/** Writes text and returns where it ends. */
export function writeText(bytes: Uint8Array, at: number, text: string): number {
  if (text.length <= SHORT) {
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

/** Writes ASCII text and returns where it ends. */
export function writeAscii(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + text.length;
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

// The last header line and the empty line; an empty body has no size to tell.

function sizeLineEnd(at: number, digits: string): number {
  return digits === "0" ? at + 1 : at + SIZE.length + digits.length + 2;
}

function writeSizeLine(bytes: Uint8Array, at: number, digits: string): void {
  if (digits !== "0") {
    at = writeAscii(bytes, at, SIZE);
    at = writeAscii(bytes, at, digits);
    bytes[at++] = LF;
  }
  bytes[at] = LF;
}
