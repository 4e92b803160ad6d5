/**
 * Bytes to frames: `FrameDecoder`, which is pushed chunks of any size, and the streams built on it.
 *
 * @module
 */
import { BodyBuilder } from "./body.ts";
import { findCommand, isLiteral, mayBecomeCommand, mayHaveBody, unknownCommand } from "./commands.ts";
import type { UnknownBrokerResponseError } from "./errors.ts";
import { Frame, type FrameLocation } from "./frame.ts";
import { assertVersion, checkHeaderLine, type HeaderRules, headerRules, malformed, type Version } from "./headers.ts";
import { Chunk, decodeStrict, isAscii } from "./text.ts";

/** What a decoder accepts at most. What is over a limit is an error before memory is spent on it. */
export interface DecoderLimits {
  /** Bytes of command line and header lines of one frame, the empty line included. Default 65,536 (64 KiB). */
  maxHeaderBytes?: number | undefined;
  /** Header lines of one frame. Default 1,000. */
  maxHeaders?: number | undefined;
  /** Bytes of one body. Default 134,217,728 (128 MiB). */
  maxBodyBytes?: number | undefined;
}

/** Options of a {@linkcode FrameDecoder}. */
export interface FrameDecoderOptions extends DecoderLimits {
  /** The version whose rules are used. Default `"1.2"`. CONNECT and CONNECTED are read the same way in all. */
  version?: Version | undefined;
  /** Called with each frame, while `push` runs. */
  onFrame: (frame: Frame) => void;
  /** Called for each line end between frames. The one that brokers write behind a frame is not told apart. */
  onHeartbeat?: (() => void) | undefined;
  /** The class of MESSAGE frames, for who needs more than a `Frame`. Default `Frame`. */
  messageType?: (new () => Frame) | undefined;
}

const LF = 10;
const CR = 13;
const COLON = 58;
const BACKSLASH = 92;

/** "content-length:" */
const CONTENT_LENGTH = new TextEncoder().encode("content-length:");

const EMPTY_CHUNK = new Chunk(new Uint8Array(0));

// Where a decoder is.
const BETWEEN = 0; // between frames: the next byte that is no line end begins a command
const HEADERS = 1; // inside the command line or the header lines
const BODY = 2; // inside a body that goes on past its chunk

/**
 * Cuts frames out of a stream of bytes. The frames do not depend on how the bytes are split.
 *
 * ```ts
 * import { FrameDecoder } from "@x/stompy/decoder";
 *
 * const decoder = new FrameDecoder({ onFrame: (frame) => console.log(frame.command, frame.headers) });
 * decoder.push(new TextEncoder().encode("RECEIPT\nreceipt-id:7\n\n\0"));
 * ```
 */
export class FrameDecoder {
  readonly #onFrame: (frame: Frame) => void;
  readonly #onHeartbeat: (() => void) | undefined;
  readonly #messageType: new () => Frame;
  readonly #maxHeaderBytes: number;
  readonly #maxHeaders: number;
  readonly #maxBodyBytes: number;
  #version: Version;
  #failure: UnknownBrokerResponseError | undefined;
  #pushing = false;
  #thrown: { error: unknown } | undefined; // by a callback

  #state = BETWEEN;
  // The bytes that are being looked at: the chunk that was pushed, behind what was left of the ones before it.
  #chunk = EMPTY_CHUNK;
  #carry: Uint8Array | undefined; // what was left, with room behind it
  #carried = 0;

  // The frame being read. Offsets are into `#chunk`.
  #start = 0; // of its command
  #scanned = 0; // the next byte to look at
  #line = 0; // where the line being read begins
  #inValue = false; // whether the colon of that line was seen
  #command = "";
  #head = 0; // the LF behind the command
  #rules: HeaderRules = headerRules("MESSAGE", "1.2");
  #ascii = true;
  #count = 0; // header lines
  #length = -1; // content-length; -1 when there is none
  #crlfBefore = true; // the frame before this one may have ended its lines with CRLF

  #body: BodyBuilder | undefined;
  #bodyAt: FrameLocation | undefined;

  /** Creates a decoder. */
  constructor(options: FrameDecoderOptions) {
    const { version = "1.2", maxHeaderBytes = 1 << 16, maxHeaders = 1000, maxBodyBytes = 1 << 27 } = options;
    assertVersion(version);
    this.#version = version;
    this.#onFrame = options.onFrame;
    this.#onHeartbeat = options.onHeartbeat;
    this.#messageType = options.messageType ?? Frame;
    this.#maxHeaderBytes = limit("maxHeaderBytes", maxHeaderBytes);
    this.#maxHeaders = limit("maxHeaders", maxHeaders);
    this.#maxBodyBytes = limit("maxBodyBytes", maxBodyBytes);
  }

  /** The version whose rules hold from the next frame on. */
  get version(): Version {
    return this.#version;
  }

  /** Changes the version; from within `onFrame` it takes effect with the next frame of the same chunk. */
  set version(version: Version) {
    assertVersion(version);
    this.#version = version;
  }

  /** Whether the bytes so far end inside a frame. */
  get pending(): boolean {
    return this.#state !== BETWEEN;
  }

  /**
   * Takes the next bytes and calls `onFrame` for each frame that they complete. The decoder keeps views on the chunk:
   * it must not be written to afterwards.
   *
   * @throws {UnknownBrokerResponseError} when the bytes are not STOMP, or over a limit. The frames before the fault
   * were delivered; from then on the decoder refuses all input with the same error.
   *
   * What `onFrame` throws is thrown here too, after the rest of the chunk was decoded: it loses no frame.
   */
  push(chunk: Uint8Array): void {
    if (this.#failure) throw this.#failure;
    if (this.#pushing) throw new TypeError("Cannot push: the decoder is inside a push already");
    this.#pushing = true;
    try {
      this.#decode(chunk);
    } catch (error) {
      this.#fail(error as UnknownBrokerResponseError);
      throw error;
    } finally {
      this.#pushing = false;
    }
    if (this.#thrown) {
      const { error } = this.#thrown;
      this.#thrown = undefined;
      throw error;
    }
  }

  #fail(error: UnknownBrokerResponseError): void {
    this.#failure = error;
    this.#state = BETWEEN;
    this.#chunk = EMPTY_CHUNK;
    this.#carry =
      this.#body =
      this.#bodyAt =
      this.#thrown =
        undefined;
  }

  #decode(chunk: Uint8Array): void {
    this.#scanned = 0;
    if (this.#state === BODY && !this.#continueBody(chunk)) return;
    if (this.#state === HEADERS) chunk = this.#joinCarry(chunk);
    this.#chunk = new Chunk(chunk);
    while (this.#scanned < chunk.length) {
      if (this.#state === BETWEEN && !this.#beginFrame(chunk)) break;
      if (!this.#readHead(chunk)) {
        this.#keepHead(chunk);
        return;
      }
      if (!this.#readBody(chunk)) break;
    }
    // Frames hold on to the chunk themselves; an idle decoder should not.
    this.#chunk = EMPTY_CHUNK;
    this.#carry = undefined;
  }

  /** Skips the line ends between frames. Returns whether a frame begins in this chunk. */
  #beginFrame(bytes: Uint8Array): boolean {
    let at = this.#scanned;
    const { length } = bytes;
    for (; at < length; at++) {
      const byte = bytes[at]!;
      if (byte === LF) this.#onHeartbeat?.();
      else if (byte !== CR || !this.#crlfAllowed()) break;
    }
    this.#scanned = at;
    if (at === length) return false;
    this.#state = HEADERS;
    this.#start = this.#line = at;
    this.#command = "";
    this.#ascii = true;
    this.#count = 0;
    this.#length = -1;
    return true;
  }

  /** Between frames a CR is a line end in 1.2, at the start of a stream, and behind a frame that used it. */
  #crlfAllowed(): boolean {
    return this.#version === "1.2" || this.#crlfBefore;
  }

  /** Reads command and header lines. Returns whether the empty line behind them was found. */
  #readHead(bytes: Uint8Array): boolean {
    const whole = (this.#command !== "" || this.#readCommand(bytes)) && this.#readHeaderLines(bytes);
    const size = this.#scanned - this.#start;
    // Where the head goes on, at least one more byte belongs to it.
    if (whole ? size > this.#maxHeaderBytes : size >= this.#maxHeaderBytes) {
      throw malformed(`its headers are over the limit of ${this.#maxHeaderBytes} bytes (maxHeaderBytes)`);
    }
    return whole;
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
    this.#inValue = false;
    return true;
  }

  /**
   * The hottest loop of the library: it looks at each byte of the header lines once, and only for what every line
   * must have. Escapes, CRs and UTF-8 are checked afterwards, in the few chunks that have any. It never reads behind
   * the end of the array: one such read makes V8 compile the whole loop for it, at twice the time.
   */
  #readHeaderLines(bytes: Uint8Array): boolean {
    const { length } = bytes;
    let at = this.#scanned;
    let line = this.#line;
    let inValue = this.#inValue;
    let whole = false;
    while (at < length) {
      if (!inValue) {
        if (at === line) {
          const end = this.#emptyLineEnd(bytes, at);
          if (end > 0) {
            at = end;
            whole = true;
            break;
          }
          if (bytes[at] === COLON) throw malformed("a header line has no name");
        }
        let byte = 0;
        for (; at < length && (byte = bytes[at]!) !== COLON; at++) {
          if (byte === LF) throw malformed("a header line has no colon");
        }
        if (at === length) break;
        inValue = true;
      }
      while (at < length && bytes[at] !== LF) at++;
      if (at === length) break;
      if (++this.#count > this.#maxHeaders) {
        throw malformed(`it has more than ${this.#maxHeaders} headers (maxHeaders)`);
      }
      if (bytes[line] === CONTENT_LENGTH[0] && this.#length < 0) this.#readContentLength(bytes, line, at);
      line = ++at;
      inValue = false;
    }
    this.#scanned = at;
    this.#line = line;
    this.#inValue = inValue;
    if (whole && !this.#chunk.isPlain) this.#checkLines(bytes);
    return whole;
  }

  /** Where the empty line that begins here ends; 0 when there is none here, or not all of it. */
  #emptyLineEnd(bytes: Uint8Array, at: number): number {
    if (bytes[at] === LF) return at + 1;
    if (bytes[at] !== CR || at + 1 === bytes.length) return 0;
    return bytes[at + 1] === LF && this.#rules.crlf ? at + 2 : 0;
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
      while (bytes[at] === 32 && at < end) at++;
      while (bytes[end - 1] === 32 && at < end) end--;
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
      throw malformed(
        `its content-length is ${JSON.stringify(lineText(bytes, valueStart, Math.min(lf, valueStart + 40)))}`,
      );
    }
    if (length > this.#maxBodyBytes) throw this.#bodyTooLarge(`${length} bytes`);
    this.#length = length;
  }

  #bodyTooLarge(size: string): UnknownBrokerResponseError {
    return malformed(`its body of ${size} is over the limit of ${this.#maxBodyBytes} bytes (maxBodyBytes)`);
  }

  /** Reads the body, or begins to. Returns whether the frame was completed. */
  #readBody(bytes: Uint8Array): boolean {
    const start = this.#scanned;
    let end: number;
    if (this.#length >= 0) {
      end = start + this.#length;
      if (end >= bytes.length) return this.#beginBody(bytes);
      if (bytes[end] !== 0) throw noNul(this.#length);
    } else {
      end = bytes[start] === 0 ? start : bytes.indexOf(0, start);
      if (end < 0) return this.#beginBody(bytes);
      if (end - start > this.#maxBodyBytes) throw this.#bodyTooLarge(`${end - start} bytes`);
    }
    this.#scanned = end + 1;
    this.#deliver(this.#location(), start, end);
    return true;
  }

  #location(): FrameLocation {
    return {
      chunk: this.#chunk,
      head: this.#head,
      headEnd: this.#line,
      ascii: this.#ascii,
      rules: this.#rules,
    };
  }

  #deliver(at: FrameLocation, bodyStart: number, bodyEnd: number, body?: Uint8Array): void {
    const command = this.#command;
    this.#crlfBefore = isLiteral(command);
    this.#state = BETWEEN;
    const type = command === "MESSAGE" ? this.#messageType : Frame;
    const frame = Frame.found(type, command, at, bodyStart, bodyEnd, body);
    if (!mayHaveBody(command) && frame.bodyLength > 0) this.#dropStrayBody(frame);
    try {
      this.#onFrame(frame);
    } catch (error) {
      this.#thrown ??= { error };
    }
  }

  /** 1.0 allows a body anywhere and ignores it; old clients end CONNECT with a line too many in any version. */
  #dropStrayBody(frame: Frame): void {
    if (this.#version !== "1.0" && frame.body.some((byte) => byte !== LF && byte !== CR)) {
      throw malformed(`${frame.command} has a body of ${frame.bodyLength} bytes, and takes none`);
    }
    frame.body = EMPTY_CHUNK.bytes;
  }

  /** Moves what there is of a body into memory of its own; the chunk is let go. */
  #beginBody(bytes: Uint8Array): false {
    // The head alone is kept, not the chunk around it.
    const head = this.#head;
    this.#bodyAt = {
      chunk: new Chunk(bytes.slice(head, this.#line)),
      head: 0,
      headEnd: this.#line - head,
      ascii: this.#ascii,
      rules: this.#rules,
    };
    this.#body = new BodyBuilder(this.#length);
    this.#state = BODY;
    this.#continueBody(bytes);
    return false;
  }

  /** Takes what belongs to the body that has begun, and the NUL. Returns whether that completed the frame. */
  #continueBody(bytes: Uint8Array): boolean {
    const body = this.#body!;
    const start = this.#scanned;
    let end: number;
    if (this.#length >= 0) {
      end = Math.min(bytes.length, start + this.#length - body.length);
    } else {
      end = bytes.indexOf(0, start);
      if (end < 0) end = bytes.length;
      const length = body.length + end - start;
      if (length > this.#maxBodyBytes) throw this.#bodyTooLarge(`at least ${length} bytes`);
    }
    body.append(bytes, start, end);
    if (end === bytes.length) return false;
    if (bytes[end] !== 0) throw noNul(this.#length);
    const at = this.#bodyAt!;
    this.#body = this.#bodyAt = undefined;
    this.#scanned = end + 1;
    this.#deliver(at, 0, 0, body.finish());
    return true;
  }

  /** Keeps the beginning of a frame whose headers go on in the next chunk. */
  #keepHead(bytes: Uint8Array): void {
    const start = this.#start;
    const left = bytes.length - start;
    // A carry that holds this frame alone goes on growing. Otherwise frames may have views on what was carried.
    if (this.#carry === undefined || start > 0) {
      this.#carry = new Uint8Array(Math.max(256, left * 2));
      this.#carry.set(bytes.subarray(start));
      this.#scanned -= start;
      this.#line -= start;
      this.#head -= start;
      this.#start = 0;
    }
    this.#carried = left;
    this.#chunk = EMPTY_CHUNK;
  }

  /** Puts a chunk behind what was kept. Room doubles, so that single bytes cost linear time. */
  #joinCarry(chunk: Uint8Array): Uint8Array {
    const carried = this.#carried;
    const length = carried + chunk.length;
    let carry = this.#carry!;
    if (length > carry.length) {
      const grown = new Uint8Array(Math.max(length, carry.length * 2));
      grown.set(carry.subarray(0, carried));
      this.#carry = carry = grown;
    }
    carry.set(chunk, carried);
    this.#scanned = carried;
    return carry.subarray(0, length);
  }
}

/** A `TransformStream` from the bytes of a connection to its frames. */
export class FrameDecoderStream extends TransformStream<Uint8Array, Frame> {
  /**
   * Creates the stream. It errors with `UnknownBrokerResponseError` on malformed input, and when the input ends inside
   * a frame.
   */
  constructor(options: Omit<FrameDecoderOptions, "onFrame"> = {}) {
    let decoder: FrameDecoder;
    super({
      start: (controller) => {
        decoder = new FrameDecoder({ ...options, onFrame: (frame) => controller.enqueue(frame) });
      },
      transform: (chunk) => decoder.push(chunk),
      flush: () => {
        if (decoder.pending) throw malformed("the input ended inside a frame");
      },
    });
  }
}

/** A `TransformStream` from frames to the bytes of a connection. */
export class FrameEncoderStream extends TransformStream<Frame, Uint8Array> {
  /** Creates the stream; it errors with `TypeError` on a frame that the version cannot carry. Default `"1.2"`. */
  constructor(version: Version = "1.2") {
    assertVersion(version);
    super({ transform: (frame, controller) => controller.enqueue(frame.encode(version)) });
  }
}

function limit(name: string, value: number): number {
  if (typeof value !== "number" || !(value >= 0)) {
    throw new RangeError(`Cannot use ${name} ${value}: a limit is a number of 0 or more, or Infinity`);
  }
  return value;
}

/** Like `indexOf`, but the end when there is none; for short distances faster than the call of a built-in. */
function indexOfByte(bytes: Uint8Array, byte: number, from: number): number {
  while (from < bytes.length && bytes[from] !== byte) from++;
  return from;
}

function noNul(length: number): UnknownBrokerResponseError {
  return malformed(`no NUL follows its body of ${length} bytes`);
}

function lineText(bytes: Uint8Array, start: number, end: number): string {
  try {
    return decodeStrict(bytes.subarray(start, end));
  } catch {
    throw malformed("a header line is not UTF-8");
  }
}
