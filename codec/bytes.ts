/**
 * Bytes: the ASCII codes that the protocol is made of, and byte arrays of any origin.
 *
 * @module
 */

/** Bytes in memory that no other thread shares, as `Blob` and most of the platform want them. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Ends a frame. */
export const NUL = 0;
/** Ends a line. */
export const LF = 10;
/** May precede LF. */
export const CR = 13;
/** Padding before values in 1.0. */
export const SPACE = 32;
/** Separates name and value. */
export const COLON = 58;
/** Separates the parameters of a `content-type`. */
export const SEMICOLON = 59;
/** Begins an escape. */
export const BACKSLASH = 92;

// Unlike `instanceof`, the getter of `Symbol.toStringTag` on typed arrays also knows arrays of other realms.
const arrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!;

/** Whether a value is a `Uint8Array`, of this realm or of another: test frameworks bring their own globals. */
export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || arrayTag.call(value) === "Uint8Array";
}

/**
 * Returns the bytes as a plain `Uint8Array`, without a copy unless their memory is shared. Node's `Buffer` is a
 * `Uint8Array` too, but its `slice` is a view, so a caller that slices a body to free its chunk would keep the chunk.
 */
export function plainBytes(bytes: Uint8Array): Bytes {
  const own = unshared(bytes);
  if (Object.getPrototypeOf(own) === Uint8Array.prototype) return own;
  return new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
}

/** Returns the same bytes, or a copy where their memory is shared with other threads, which may write to it meanwhile. */
export function unshared(bytes: Uint8Array): Bytes {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer || Object.prototype.toString.call(buffer) === "[object ArrayBuffer]") {
    return bytes as Bytes;
  }
  return new Uint8Array(bytes);
}

/** Whether the bytes from `start` on are `prefix`. */
export function beginsWith(bytes: Uint8Array, start: number, prefix: Uint8Array): boolean {
  return isSame(bytes, start, prefix, 0, prefix.length);
}

/** Whether `length` bytes of `a` from `aStart` on are the same as those of `b` from `bStart` on. */
export function isSame(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}

/** Like `indexOf`, but returns the end when there is none. Over short distances a loop is faster than the built-in. */
export function indexOfByte(bytes: Uint8Array, byte: number, from: number): number {
  while (from < bytes.length && bytes[from] !== byte) from++;
  return from;
}
