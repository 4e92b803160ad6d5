/**
 * Bytes to frames: `FrameDecoder`, which is pushed chunks of any size, and the streams built on it.
 *
 * @module
 */
import { BodyBuilder } from "./body.ts";
import { isLiteral, mayHaveBody } from "./commands.ts";
import type { UnknownBrokerResponseError } from "./errors.ts";
import { Frame } from "./frame.ts";
import { HeadReader } from "./head.ts";
import { assertVersion, malformed, type Version } from "./headers.ts";
import { bodyTooLarge, completeLimits, type DecoderLimits, type Limits } from "./limits.ts";
import type { Received } from "./received.ts";
import { Chunk, isBytes, plainBytes } from "./text.ts";

export type { DecoderLimits } from "./limits.ts";

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

const EMPTY_CHUNK = new Chunk(new Uint8Array(0));

/** Bytes that a head which was cut in two is read on by: more than most heads have. */
const CARRY_STEP = 1 << 10;

// Where a decoder is.
const BETWEEN = 0; // between frames: the next byte that is no line end begins a command
const HEAD = 1; // inside the command line or the header lines
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
  readonly #limits: Limits;
  readonly #head: HeadReader;
  #version: Version;
  #failure: { error: unknown } | undefined;
  #pushing = false;
  #thrown: { error: unknown } | undefined; // by a callback

  #state = BETWEEN;
  #afterCr = false; // between frames, a CR waits for its LF
  #crlfBefore = true; // the frame before this one may have ended its lines with CRLF
  #at = 0; // the next byte of the chunk to look at, outside a head
  #holdsChunk = false; // frames have views on it
  #carry: Uint8Array | undefined; // a head that goes on past its chunk, with room behind it
  #carried = 0;
  // A body that goes on past its chunk, and the head that it belongs to.
  #body: BodyBuilder | undefined;
  #bodyOf: Received | undefined;

  /** Creates a decoder. */
  constructor(options: FrameDecoderOptions) {
    const { version = "1.2" } = options;
    assertVersion(version);
    this.#version = version;
    this.#onFrame = options.onFrame;
    this.#onHeartbeat = options.onHeartbeat;
    this.#messageType = options.messageType ?? Frame;
    this.#limits = completeLimits(options);
    this.#head = new HeadReader(this.#limits);
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
   * Whether frames of the last chunk may still have views on it. Where not, its memory can be written to again.
   *
   * @internal
   */
  get holdsChunk(): boolean {
    return this.#holdsChunk;
  }

  /**
   * Where the next bytes go, if they are those of a large body: who reads them there and then pushes them saves a copy.
   *
   * @internal
   */
  get room(): Uint8Array | undefined {
    return this.#state === BODY && this.#head.contentLength >= 0 ? this.#body!.room : undefined;
  }

  /**
   * Takes the next bytes and calls `onFrame` for each frame that they complete. Frames may have views on the chunk: it
   * must not be written to afterwards.
   *
   * @throws {UnknownBrokerResponseError} when the bytes are not STOMP, or over a limit. The frames before the fault
   * were delivered; from then on the decoder refuses all input with the same error.
   * @throws {TypeError} when the chunk is no `Uint8Array`, or the call comes from a callback of this decoder.
   *
   * What a callback throws is thrown here too, after the rest of the chunk was decoded: it loses no frame.
   */
  push(chunk: Uint8Array): void {
    if (this.#failure) throw this.#failure.error;
    if (this.#pushing) throw new TypeError("Cannot push: the decoder is inside a push already");
    if (!isBytes(chunk)) throw new TypeError("Cannot push: the chunk is no Uint8Array");
    this.#pushing = true;
    try {
      if (chunk.length > 0) this.#decode(plainBytes(chunk));
    } catch (error) {
      this.#fail(error);
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

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#state = BETWEEN;
    this.#carry = undefined;
    this.#body = undefined;
    this.#bodyOf = undefined;
    this.#thrown = undefined;
  }

  #decode(bytes: Uint8Array): void {
    this.#at = 0;
    this.#holdsChunk = false;
    const chunk = new Chunk(bytes);
    if (this.#state === BODY && !this.#continueBody(bytes)) return;
    if (this.#state === HEAD && !this.#continueHead(chunk, bytes)) return;
    while (this.#at < bytes.length) {
      if (!this.#beginFrame(bytes)) break;
      if (!this.#head.read(chunk)) {
        this.#keepHead(bytes);
        break;
      }
      if (!this.#readBody(chunk, bytes, chunk, this.#head.end)) break;
    }
    if (this.#holdsChunk) this.#holdsChunk = !chunk.letGo();
  }

  /** Skips the line ends between frames. Returns whether a frame begins in this chunk. */
  #beginFrame(bytes: Uint8Array): boolean {
    const { length } = bytes;
    let at = this.#at;
    for (; at < length; at++) {
      const byte = bytes[at];
      if (byte === LF) {
        this.#afterCr = false;
        this.#heartbeat();
      } else if (byte === CR && !this.#afterCr && this.#crlfAllowed()) {
        this.#afterCr = true;
      } else break;
    }
    this.#at = at;
    if (at === length) return false;
    if (this.#afterCr) throw malformed("between frames is a carriage return without a line feed");
    this.#state = HEAD;
    this.#head.begin(at, this.#version);
    return true;
  }

  /** Between frames a CR may stand before LF in 1.2, at the start of a stream, and behind a frame that used it. */
  #crlfAllowed(): boolean {
    return this.#version === "1.2" || this.#crlfBefore;
  }

  #heartbeat(): void {
    try {
      this.#onHeartbeat?.();
    } catch (error) {
      this.#thrown ??= { error };
    }
  }

  /**
   * Reads the body, or begins to. Returns whether the frame was completed.
   *
   * @param headChunk what the head is in, which may have begun in an earlier chunk
   * @param start where the body begins
   */
  #readBody(chunk: Chunk, bytes: Uint8Array, headChunk: Chunk, start: number): boolean {
    const { contentLength } = this.#head;
    let end: number;
    if (contentLength >= 0) {
      end = start + contentLength;
      if (end >= bytes.length) return this.#beginBody(bytes, headChunk, start);
      if (bytes[end] !== 0) throw noNul(contentLength);
    } else {
      end = start < bytes.length && bytes[start] === 0 ? start : chunk.indexOfNul(start);
      if (end < 0) return this.#beginBody(bytes, headChunk, start);
      this.#checkBodySize(end - start);
    }
    this.#at = end + 1;
    this.#holdsChunk = true;
    const found = headChunk === chunk ? this.#head.found(chunk) : this.#head.foundCopy(headChunk);
    found.placeBody(chunk, start, end);
    this.#deliver(found);
    return true;
  }

  /** Moves what there is of a body into memory of its own; the chunk is let go. */
  #beginBody(bytes: Uint8Array, headChunk: Chunk, start: number): false {
    this.#bodyOf = this.#head.foundCopy(headChunk);
    this.#body = new BodyBuilder(this.#head.contentLength);
    this.#state = BODY;
    this.#at = start;
    this.#continueBody(bytes);
    return false;
  }

  /** Takes what belongs to the body that has begun, and the NUL. Returns whether that completed the frame. */
  #continueBody(bytes: Uint8Array): boolean {
    const body = this.#body!;
    const { contentLength } = this.#head;
    const start = this.#at;
    let end: number;
    if (contentLength >= 0) {
      end = Math.min(bytes.length, start + contentLength - body.length);
    } else {
      end = bytes.indexOf(0, start);
      if (end < 0) end = bytes.length;
      this.#checkBodySize(body.length + end - start);
    }
    body.append(bytes, start, end);
    if (end === bytes.length) return false;
    if (bytes[end] !== 0) throw noNul(contentLength);
    const found = this.#bodyOf!;
    this.#body = this.#bodyOf = undefined;
    this.#at = end + 1;
    const whole = body.finish();
    found.placeBody(whole, 0, whole.length);
    this.#deliver(found);
    return true;
  }

  #checkBodySize(length: number): void {
    const { maxBodyBytes } = this.#limits;
    if (length > maxBodyBytes) throw bodyTooLarge(`at least ${length} bytes`, maxBodyBytes);
  }

  #deliver(found: Received): void {
    const { command } = this.#head;
    this.#crlfBefore = isLiteral(command);
    this.#state = BETWEEN;
    if (!mayHaveBody(command) && found.bodyLength > 0) this.#dropStrayBody(command, found);
    const frame = Frame.found(command === "MESSAGE" ? this.#messageType : Frame, command, found);
    try {
      this.#onFrame(frame);
    } catch (error) {
      this.#thrown ??= { error };
    }
  }

  /** 1.0 allows a body anywhere and ignores it; old clients end CONNECT with a line too many in any version. */
  #dropStrayBody(command: string, found: Received): void {
    if (this.#head.version !== "1.0" && found.body().some((byte) => byte !== LF && byte !== CR)) {
      throw malformed(`${command} has a body of ${found.bodyLength} bytes, and takes none`);
    }
    found.placeBody(EMPTY_CHUNK, 0, 0);
  }

  /** Keeps the beginning of a frame whose head goes on in the next chunk. */
  #keepHead(bytes: Uint8Array): void {
    const { start } = this.#head;
    this.#carry = bytes.slice(start);
    this.#carried = bytes.length - start;
    this.#head.rebase();
  }

  /**
   * Reads on in a head that began in an earlier chunk: so much of this chunk is put behind what was kept as the head
   * needs. Room doubles, so that single bytes cost linear time.
   *
   * @returns whether frames may begin in the rest of the chunk.
   */
  #continueHead(chunk: Chunk, bytes: Uint8Array): boolean {
    for (;;) {
      const carried = this.#carried;
      const at = this.#at;
      const size = Math.min(bytes.length - at, Math.max(CARRY_STEP, carried));
      let carry = this.#carry!;
      if (carried + size > carry.length) {
        carry = new Uint8Array(Math.max(carried + size, carry.length * 2));
        carry.set(this.#carry!.subarray(0, carried));
        this.#carry = carry;
      }
      carry.set(bytes.subarray(at, at + size), carried);
      const headChunk = new Chunk(carry.subarray(0, carried + size));
      if (this.#head.read(headChunk)) {
        this.#carry = undefined;
        return this.#readBody(chunk, bytes, headChunk, at + this.#head.end - carried);
      }
      this.#carried += size;
      this.#at += size;
      if (this.#at === bytes.length) return false;
    }
  }
}

/**
 * A `TransformStream` from the bytes of a connection to its frames.
 *
 * `readable` errors with `UnknownBrokerResponseError` on malformed input, and when the input ends inside a frame; the
 * frames before that can all be read first. `writable` is then in error as well.
 */
export class FrameDecoderStream implements TransformStream<Uint8Array, Frame> {
  /** The frames. */
  readonly readable: ReadableStream<Frame>;
  /** Takes the bytes; has room for more when the frames of what it took have been read. */
  readonly writable: WritableStream<Uint8Array>;

  /** Creates the stream. */
  constructor(options: Omit<FrameDecoderOptions, "onFrame"> = {}) {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const chunks = readable.getReader();
    let frames: ReadableStreamDefaultController<Frame>;
    let some = false;
    let failure: { error: unknown } | undefined;
    const decoder = new FrameDecoder({
      ...options,
      onFrame: (frame) => {
        some = true;
        frames.enqueue(frame);
      },
    });
    this.writable = writable;
    this.readable = new ReadableStream<Frame>({
      start: (controller) => void (frames = controller),
      // Called when all frames so far have been read. An error throws away what a stream still holds, so it waits for
      // that; the `transform` of a real TransformStream could not.
      pull: async () => {
        some = false;
        while (!some) {
          if (failure) throw failure.error;
          const { done, value } = await chunks.read();
          if (done) {
            if (decoder.pending) throw malformed("the input ended inside a frame");
            return frames.close();
          }
          try {
            decoder.push(value);
          } catch (error) {
            failure = { error };
            await chunks.cancel(error);
          }
        }
      },
      cancel: (reason) => chunks.cancel(reason),
    }, { highWaterMark: 0 });
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

function noNul(length: number): UnknownBrokerResponseError {
  return malformed(`no NUL follows its body of ${length} bytes`);
}
