/**
 * Bytes to text: a received chunk and the strings that are cut from it.
 *
 * Making one string of a whole chunk and slicing that is several times faster than decoding every header and body by
 * itself, so a {@linkcode Chunk} makes its string once, when somebody first asks for it.
 *
 * @module
 */

/** The part of `node:buffer` that helps here; absent in browsers. */
interface BufferModule {
  Buffer: { prototype: { latin1Slice(this: Uint8Array, start: number, end: number): string } };
  isAscii(bytes: Uint8Array): boolean;
}

// Node, Deno and Bun all have this accessor; through it no static import ties the module to a runtime.
const nodeBuffer = (globalThis as { process?: { getBuiltinModule?: (id: string) => unknown } }).process
  ?.getBuiltinModule?.("node:buffer") as BufferModule | undefined;

const latin1Slice = nodeBuffer?.Buffer.prototype.latin1Slice;
const isAsciiNative = nodeBuffer?.isAscii;
const latin1Decoder = latin1Slice ? undefined : latin1Fallback();

// `ignoreBOM` keeps a leading U+FEFF: it is data, in a header as in a body.
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Below this size one call for one body is cheaper than looking at the whole chunk. */
const SMALL_SHARE = 8;

/** A stretch of received bytes, together with its text. */
export class Chunk {
  /** The bytes. Frames keep views on them, so nobody may write to them any more. */
  readonly bytes: Uint8Array;
  #text: string | undefined;
  #ascii: boolean | undefined;
  #plain: boolean | undefined;

  /** Wraps bytes without copying them. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The whole chunk as a string of one character a byte. */
  get latin1(): string {
    return this.#text ??= toLatin1(this.bytes);
  }

  /** Whether all bytes are ASCII. */
  get isAscii(): boolean {
    return this.#ascii ??= isAscii(this.bytes);
  }

  /** Whether no byte needs a second look in a header: all are ASCII, and none is a backslash or a CR. */
  get isPlain(): boolean {
    return this.#plain ??= this.isAscii && !this.latin1.includes("\\") && !this.latin1.includes("\r");
  }

  /** UTF-8 text of a range; bytes that are not UTF-8 become U+FFFD. */
  text(start: number, end: number): string {
    const length = end - start;
    if (length === 0) return "";
    // A body that is most of its chunk is decoded by itself: the chunk's string would be made for it alone.
    if (length * SMALL_SHARE <= this.bytes.length || this.#text !== undefined) {
      if (this.isAscii) return this.latin1.slice(start, end);
    }
    return utf8Decoder.decode(this.bytes.subarray(start, end));
  }
}

/** Decodes UTF-8; throws a `TypeError` when the bytes are not UTF-8. */
export function decodeStrict(bytes: Uint8Array): string {
  return strictUtf8Decoder.decode(bytes);
}

/** Decodes UTF-8; what is not UTF-8 becomes U+FFFD. */
export function decodeLenient(bytes: Uint8Array): string {
  return utf8Decoder.decode(bytes);
}

/** Whether all bytes are below 128. */
export function isAscii(bytes: Uint8Array): boolean {
  if (isAsciiNative) return isAsciiNative(bytes);
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 127) return false;
  return true;
}

function toLatin1(bytes: Uint8Array): string {
  if (latin1Slice) return latin1Slice.call(bytes, 0, bytes.length);
  return latin1Decoder!(bytes);
}

/**
 * Latin-1 without `node:buffer`. `TextDecoder("latin1")` is windows-1252 by the standard, which differs in 0x80 to
 * 0x9f; those bytes are only ever looked at as UTF-8 again, but their positions must stay, which they do.
 */
function latin1Fallback(): (bytes: Uint8Array) => string {
  const decoder = new TextDecoder("latin1");
  return (bytes) => decoder.decode(bytes);
}
