/**
 * Bytes to text, by `node:buffer` where the runtime has it and it is faster.
 *
 * @module
 */

/** The part of `node:buffer` that helps here; absent in browsers. */
interface BufferModule {
  Buffer: { prototype: { latin1Slice: Slice; utf8Slice: Slice } };
  isAscii(bytes: Uint8Array): boolean;
}

/** Makes a string of a range of bytes. */
type Slice = (this: Uint8Array, start: number, end: number) => string;

/**
 * Bytes to decode before `node:buffer` is loaded. Under Deno the mere mention of `process` loads what is behind it, which
 * takes 25 ms: worth it for a stream of messages, not for the few messages of a small program.
 */
const LOAD_NODE_BUFFER_AFTER_BYTES = 1 << 18;

let decodedBytes = 0;
let nodeBuffer: BufferModule | undefined;
let latin1Slice: Slice | undefined;
const latin1Decoder = new TextDecoder("latin1");

/** Counts bytes that are about to be decoded. Returns whether `node:buffer` can do it. */
function hasNodeBuffer(length: number): boolean {
  if (decodedBytes > LOAD_NODE_BUFFER_AFTER_BYTES) return latin1Slice !== undefined;
  decodedBytes += length;
  if (decodedBytes <= LOAD_NODE_BUFFER_AFTER_BYTES) return false;
  // Node, Deno and Bun all have this accessor; unlike a static import it does not tie the module to a runtime.
  nodeBuffer = (globalThis as { process?: { getBuiltinModule?: (id: string) => unknown } }).process
    ?.getBuiltinModule?.("node:buffer") as BufferModule | undefined;
  latin1Slice = nodeBuffer?.Buffer.prototype.latin1Slice;
  return latin1Slice !== undefined;
}

// `ignoreBOM` keeps a leading U+FEFF: it is data, in a header as in a body.
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const textEncoder = new TextEncoder();

const FIRST_BYTE_OF_BOM = 0xef;

/** Up to this size `node:buffer` is twice as fast as a `TextDecoder`; above it, it can be slower. */
const MAX_UTF8_SLICE_BYTES = 1 << 12;

/** Decodes UTF-8; throws a `TypeError` when the bytes are not UTF-8. */
export function decodeStrict(bytes: Uint8Array): string {
  return strictUtf8Decoder.decode(bytes);
}

/** Decodes UTF-8; what is not UTF-8 becomes U+FFFD. */
export function decodeLenient(bytes: Uint8Array): string {
  return utf8Decoder.decode(bytes);
}

/** Decodes a range as one character a byte. */
export function decodeLatin1(bytes: Uint8Array, start: number, end: number): string {
  // `TextDecoder("latin1")` is windows-1252 by the standard and differs in 0x80 to 0x9f. Those bytes are only ever read
  // as UTF-8 again; what matters here is that positions stay, which they do.
  return hasNodeBuffer(end - start)
    ? latin1Slice!.call(bytes, start, end)
    : latin1Decoder.decode(bytes.subarray(start, end));
}

/** Decodes a range as UTF-8; what is not UTF-8 becomes U+FFFD. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  // Not every release of every runtime keeps a BOM in `utf8Slice`.
  return end - start <= MAX_UTF8_SLICE_BYTES && bytes[start] !== FIRST_BYTE_OF_BOM && hasNodeBuffer(end - start)
    ? nodeBuffer!.Buffer.prototype.utf8Slice.call(bytes, start, end)
    : utf8Decoder.decode(bytes.subarray(start, end));
}

/**
 * Decodes bytes in a charset that the platform knows.
 *
 * @throws {RangeError} when it does not.
 */
export function decodeCharset(bytes: Uint8Array, charset: string): string {
  return new TextDecoder(charset, { ignoreBOM: true }).decode(bytes);
}

/** Returns a copy of a text. A slice of a string keeps the whole string in memory; a trip through bytes frees it. */
export function ownText(text: string): string {
  return utf8Decoder.decode(textEncoder.encode(text));
}

/** Whether all bytes are below 128. */
export function isAscii(bytes: Uint8Array): boolean {
  if (nodeBuffer) return nodeBuffer.isAscii(bytes);
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 127) return false;
  return true;
}

/**
 * Returns the `charset` of a `content-type`; `undefined` when it names none, or UTF-8, the default for text ("Header
 * content-type" in the 1.2 text).
 */
export function charsetOf(contentType: string | undefined): string | undefined {
  if (contentType === undefined || !contentType.includes(";")) return undefined;
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1];
  return charset === undefined || /^utf-?8$/i.test(charset) ? undefined : charset;
}
