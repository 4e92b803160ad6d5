/**
 * Bytes to text: a received chunk and the strings that are cut from it.
 *
 * Making one string of a whole chunk and slicing that is several times faster than decoding every header and body by
 * itself, so a {@linkcode Chunk} makes its string once, when somebody first asks for it.
 *
 * @module
 */

/** Bytes in memory that nobody shares with another thread, as `Blob` and most of the platform wants them. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** The part of `node:buffer` that helps here; absent in browsers. */
interface BufferModule {
  Buffer: { prototype: { latin1Slice: Slice; utf8Slice: Slice } };
  isAscii(bytes: Uint8Array): boolean;
}

/** Makes a string of a range of bytes. */
type Slice = (this: Uint8Array, start: number, end: number) => string;

/**
 * Bytes that are decoded the way that works everywhere, before `node:buffer` is looked for. Under Deno the mere mention
 * of `process` loads what is behind it, for 25 ms: worth it for a stream of messages, not for the few of a small program.
 */
const LOAD_AFTER = 1 << 18;

let decoded = 0;
let nodeBuffer: BufferModule | undefined;
let latin1Slice: Slice | undefined;
const latin1Decoder = new TextDecoder("latin1");

/** Notes that bytes are decoded. Returns whether `node:buffer` can do it. */
function hasNodeBuffer(length: number): boolean {
  if (decoded > LOAD_AFTER) return latin1Slice !== undefined;
  decoded += length;
  if (decoded <= LOAD_AFTER) return false;
  // Node, Deno and Bun all have this accessor; through it no static import ties the module to a runtime.
  nodeBuffer = (globalThis as { process?: { getBuiltinModule?: (id: string) => unknown } }).process
    ?.getBuiltinModule?.("node:buffer") as BufferModule | undefined;
  latin1Slice = nodeBuffer?.Buffer.prototype.latin1Slice;
  return latin1Slice !== undefined;
}

// `ignoreBOM` keeps a leading U+FEFF: it is data, in a header as in a body.
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const textEncoder = new TextEncoder();
const strictUtf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Below this share of its chunk, a body is cheaper as a slice of the chunk's string than decoded by itself. */
const SMALL_SHARE = 8;

const FIRST_OF_BOM = 0xef;

/** Up to this many bytes `node:buffer` is twice as fast as a `TextDecoder`; above, it can be slower. */
const SHORT = 1 << 12;

/** Above this many bytes a chunk never gets a string of its own, which would double the memory it takes. */
const WHOLE = 1 << 20;

/** Whose memory the bytes of a chunk are in. */
export interface ChunkMemory {
  /**
   * Whether the bytes stay what they are, because nobody wants their memory back. Then strings are made of them, and not
   * of the text of all.
   */
  readonly isKept?: boolean | undefined;
  /** Whether others will get the memory: nobody may have a view on it. */
  readonly isBorrowed?: boolean | undefined;
  /**
   * Takes memory that somebody else can use, once the chunk needs it no longer. Then the chunk is to be read as a whole.
   */
  readonly giveBack?: ((bytes: Bytes) => void) | undefined;
}

const USUAL: ChunkMemory = {};

/**
 * A stretch of received bytes, together with its text. Where all bytes are ASCII the text says everything that they do:
 * then the chunk can give them up, and their memory is used again.
 */
export class Chunk {
  /** How many bytes. */
  readonly length: number;
  readonly #isKept: boolean;
  readonly #isBorrowed: boolean;
  #bytes: Bytes | undefined;
  #view: DataView | undefined;
  #text: string | undefined; // one character a byte
  #ascii: boolean | undefined;
  #plain: boolean | undefined;
  #lent = false; // somebody has a view on the bytes
  #giveBack: ((bytes: Bytes) => void) | undefined;

  /** Wraps bytes without copying them. */
  constructor(bytes: Bytes, memory: ChunkMemory = USUAL) {
    this.length = bytes.length;
    this.#isKept = memory.isKept ?? false;
    this.#isBorrowed = memory.isBorrowed ?? false;
    this.#bytes = bytes;
    this.#giveBack = memory.giveBack;
  }

  /** The bytes, to be looked at and not to be kept. Once they were given up, what gives them anew. */
  get bytes(): Bytes {
    return this.#bytes ?? textEncoder.encode(this.#text);
  }

  /** The same, to read several at a time. */
  get view(): DataView {
    return this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.length);
  }

  /** A range of the bytes, to be kept: a view while they are there, else made anew. Of borrowed memory it is a copy. */
  part(start: number, end: number): Bytes {
    const bytes = this.#bytes;
    if (bytes === undefined) return textEncoder.encode(this.#text!.slice(start, end));
    if (this.#isBorrowed) return bytes.slice(start, end);
    if (this.#giveBack !== undefined) return this.#lendWhole(bytes);
    this.#lent = true;
    return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
  }

  /**
   * Gives up the bytes where the text says the same, and nobody has a part of them. Returns whether nothing holds on to
   * them any more.
   */
  letGo(): boolean {
    if (this.#lent || this.#isKept || this.length > WHOLE || !this.isAscii) return false;
    this.#all();
    this.#bytes = this.#view = undefined;
    return true;
  }

  /** Gives borrowed memory up, for a copy where it has to be. */
  moveOut(): void {
    if (this.letGo()) return;
    this.#bytes = this.#bytes!.slice();
    this.#view = undefined;
  }

  /** Copies a range to `at` in `target`. */
  copy(start: number, end: number, target: Uint8Array, at: number): void {
    if (this.#bytes !== undefined) target.set(this.#bytes.subarray(start, end), at);
    else textEncoder.encodeInto(this.#text!.slice(start, end), target.subarray(at));
  }

  /** What is kept in memory as long as the chunk is: the chunk, or memory that it shares with others. */
  get memory(): object {
    if (this.#bytes === undefined || this.#isBorrowed) return this;
    // ASCII is let go of when the chunk is done; a large body is not looked at for that.
    return this.#giveBack === undefined && !this.#lent && this.hasText ? this : this.#bytes.buffer;
  }

  /** Bytes of that memory, and of the text that was made of it. */
  get memorySize(): number {
    if (this.memory === this) return this.length;
    return this.#bytes!.buffer.byteLength + (this.#text === undefined ? 0 : this.length);
  }

  /** A range as a string of one character a byte. */
  latin1(start: number, end: number): string {
    if (this.#text === undefined && (this.#isKept || this.length > WHOLE)) return toLatin1(this.#bytes!, start, end);
    return this.#all().slice(start, end);
  }

  /** Whether it is ASCII and its text is or will be made in any case. */
  get hasText(): boolean {
    return !this.#isKept && this.length <= WHOLE && this.isAscii;
  }

  /** Whether all bytes are ASCII. */
  get isAscii(): boolean {
    return this.#ascii ??= isAscii(this.#bytes!);
  }

  /**
   * Whether it is known that no byte needs a second look in a header: all are ASCII, and none is a backslash or a CR.
   * Of a large chunk it is not known.
   */
  get isPlain(): boolean {
    return this.#plain ??= !this.#isKept && this.length <= WHOLE && this.isAscii && hasNoneOf(this.#all(), "\\", "\r");
  }

  /** Where the next NUL is; -1 when there is none. */
  indexOfNul(from: number): number {
    if (this.#isKept || this.length > WHOLE) return this.#bytes!.indexOf(0, from);
    // In a string it is found several times sooner than in bytes.
    return this.#all().indexOf("\0", from);
  }

  /** UTF-8 text of a range; bytes that are not UTF-8 become U+FFFD. */
  text(start: number, end: number): string {
    if (start === end) return "";
    if (this.#isKept) return this.isAscii ? toLatin1(this.#bytes!, start, end) : toUtf8(this.#bytes!, start, end);
    const length = end - start;
    const whole = this.#text !== undefined || this.#giveBack !== undefined ||
      (length * SMALL_SHARE <= this.length && this.length <= WHOLE);
    if (!whole || !this.isAscii) return toUtf8(this.#bytes!, start, end);
    const text = this.#all();
    if (this.#giveBack !== undefined) this.#return(undefined);
    return length === this.length ? text : text.slice(start, end);
  }

  /** Lends bytes that were to be given back: those themselves, if their memory has no room for more than them. */
  #lendWhole(bytes: Bytes): Bytes {
    this.#lent = true;
    if (bytes.length === bytes.buffer.byteLength) {
      this.#giveBack = undefined;
      return bytes;
    }
    const copy = bytes.slice();
    this.#return(copy);
    return copy;
  }

  /** Gives memory back, and has other bytes in its place, or only the text. */
  #return(bytes: Bytes | undefined): void {
    const giveBack = this.#giveBack!;
    this.#giveBack = undefined;
    giveBack(this.#bytes!);
    this.#bytes = bytes;
    this.#view = undefined;
  }

  /** All of it as a string of one character a byte. */
  #all(): string {
    return this.#text ??= toLatin1(this.#bytes!, 0, this.length);
  }
}

/** Decodes UTF-8; throws a `TypeError` when the bytes are not UTF-8. */
export function decodeStrict(bytes: Uint8Array): string {
  return strictUtf8Decoder.decode(bytes);
}

/** The same text for itself: a slice of a string keeps the whole string, and a trip through bytes makes a new one. */
export function ownText(text: string): string {
  return utf8Decoder.decode(textEncoder.encode(text));
}

/** Decodes UTF-8; what is not UTF-8 becomes U+FFFD. */
export function decodeLenient(bytes: Uint8Array): string {
  return utf8Decoder.decode(bytes);
}

/**
 * The `charset` of a `content-type`; `undefined` when it names none, or UTF-8, which is what text is in anyway ("Header
 * content-type" in the 1.2 text).
 */
export function charsetOf(contentType: string | undefined): string | undefined {
  if (contentType === undefined || !contentType.includes(";")) return undefined;
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1];
  return charset === undefined || /^utf-?8$/i.test(charset) ? undefined : charset;
}

// Unlike `instanceof` this getter, which `Symbol.toStringTag` has on typed arrays, knows those of other realms.
const kindOfArray = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!;

/** Whether a value is a `Uint8Array`, of this realm or of another: test frameworks bring their own globals. */
export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || kindOfArray.call(value) === "Uint8Array";
}

/**
 * The bytes as a plain `Uint8Array`, without copying them where their memory is not shared. Node's `Buffer` is one too,
 * but its `slice` copies nothing, and who calls that to let go of a chunk would keep it.
 */
export function plainBytes(bytes: Uint8Array): Bytes {
  const own = unshared(bytes);
  if (Object.getPrototypeOf(own) === Uint8Array.prototype) return own;
  return new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
}

/** The same bytes; a copy where their memory is shared with other threads, which may write to it meanwhile. */
export function unshared(bytes: Uint8Array): Bytes {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer || Object.prototype.toString.call(buffer) === "[object ArrayBuffer]") {
    return bytes as Bytes;
  }
  return new Uint8Array(bytes);
}

/** Whether all bytes are below 128. */
export function isAscii(bytes: Uint8Array): boolean {
  if (nodeBuffer) return nodeBuffer.isAscii(bytes);
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 127) return false;
  return true;
}

function hasNoneOf(text: string, ...chars: string[]): boolean {
  return !chars.some((char) => text.includes(char));
}

function toLatin1(bytes: Uint8Array, start: number, end: number): string {
  // `TextDecoder("latin1")` is windows-1252 by the standard, which differs in 0x80 to 0x9f; those bytes are only ever
  // looked at as UTF-8 again, but their positions must stay, which they do.
  return hasNodeBuffer(end - start)
    ? latin1Slice!.call(bytes, start, end)
    : latin1Decoder.decode(bytes.subarray(start, end));
}

/** Decodes UTF-8; what is not UTF-8 becomes U+FFFD. */
function toUtf8(bytes: Uint8Array, start: number, end: number): string {
  // Not every release of every runtime keeps a BOM there.
  return end - start <= SHORT && bytes[start] !== FIRST_OF_BOM && hasNodeBuffer(end - start)
    ? nodeBuffer!.Buffer.prototype.utf8Slice.call(bytes, start, end)
    : utf8Decoder.decode(bytes.subarray(start, end));
}
