/**
 * Bytes to frames: `FrameDecoder`, which is pushed chunks of any size, and the streams built on it.
 *
 * @module
 */
import { endOfBody } from "./body.ts";
import { type Bytes, CR, isBytes, LF, plainBytes } from "./bytes.ts";
import { Chunk, type ChunkKind } from "./chunk.ts";
import { Frame, receivedFrame } from "./frame.ts";
import { HeadCache } from "./head_cache.ts";
import { HeadParser } from "./head_parser.ts";
import { malformed } from "./headers.ts";
import { completeLimits, type DecoderLimits, type Limits } from "./limits.ts";
import { PartialFrame } from "./partial_frame.ts";
import { assertVersion, mayHaveBody, type Version } from "./protocol.ts";

/** Options of a {@linkcode FrameDecoder}. */
export interface FrameDecoderOptions extends DecoderLimits {
  /**
   * The version whose rules apply. CONNECT and CONNECTED are read the same way in all.
   *
   * @default {"1.2"}
   */
  version?: Version | undefined;
  /** Called with each frame, while `push` runs. */
  onFrame: (frame: Frame) => void;
  /** Called for each line end between frames. The line end that brokers write after a frame counts as well. */
  onHeartbeat?: (() => void) | undefined;
  /**
   * Whether a peer whose CONNECT line ended in CRLF may go on like that: each frame whose command line ends in CRLF may
   * then end all its lines so, also in 1.0 and 1.1, where the CR is otherwise a part of the line. Servers allow it to
   * people who type frames by hand.
   *
   * @default {false}
   */
  followsCrlf?: boolean | undefined;
  /**
   * The class of MESSAGE frames; a subclass can add to `Frame`.
   *
   * @default {Frame}
   */
  messageType?: (new () => Frame) | undefined;
}

/** What the library's own modules choose beyond the options. */
export interface DecoderInternals {
  /** Whether the memory of each chunk is never written to again, so that nothing is gained by releasing it. */
  ownsChunks?: boolean | undefined;
  /** Whether heads are compared with earlier ones before they are parsed. */
  hasHeadCache?: boolean | undefined;
}

/** Creates a decoder with options that are not public. */
export let createDecoder: (options: FrameDecoderOptions, internals: DecoderInternals) => FrameDecoder;

/** Whether frames of the last chunk may still have views on it. If not, its memory can be written to again. */
export let holdsChunk: (decoder: FrameDecoder) => boolean;

/** Returns where the next bytes go, if they belong to a large body: reading them there and pushing them saves a copy. */
export let readTargetOf: (decoder: FrameDecoder) => Uint8Array | undefined;

/**
 * Splits a stream of bytes into frames. The frames do not depend on how the bytes are split into chunks.
 *
 * @example
 * ```ts
 * import { FrameDecoder } from "@x/stompy/decoder";
 *
 * const decoder = new FrameDecoder({ onFrame: (frame) => console.log(frame.command, frame.headers) });
 * decoder.push(new TextEncoder().encode("RECEIPT\nreceipt-"));
 * decoder.push(new TextEncoder().encode("id:7\n\n\0")); // prints: RECEIPT and its headers
 * ```
 */
export class FrameDecoder {
  readonly #onFrame: (frame: Frame) => void;
  readonly #onHeartbeat: (() => void) | undefined;
  readonly #messageType: new () => Frame;
  readonly #limits: Limits;
  #head: HeadParser;
  #chunkKind: ChunkKind = "received";
  #version: Version;
  #failure: { error: unknown } | undefined;
  #isPushing = false;
  #thrown: { error: unknown } | undefined; // by a callback

  #partial: PartialFrame | undefined; // made when a chunk first ends inside a frame
  #isAfterCr = false; // between frames: a CR waits for its LF
  #isCrlfAllowed = true; // the lines of the previous frame could end so
  #at = 0; // between frames: the next byte of the chunk to look at
  #holdsChunk = false; // frames have views on it

  static {
    createDecoder = (options, { ownsChunks = false, hasHeadCache = true }) => {
      const decoder = new FrameDecoder(options);
      if (ownsChunks) decoder.#chunkKind = "owned";
      if (!hasHeadCache) decoder.#head = new HeadParser(decoder.#limits, options.followsCrlf ?? false, undefined);
      return decoder;
    };
    holdsChunk = (decoder) => decoder.#holdsChunk;
    readTargetOf = (decoder) => decoder.#partial?.readTarget;
  }

  /**
   * Creates a decoder.
   *
   * @throws {TypeError} when the version is unknown.
   * @throws {RangeError} when a limit is not a number of 0 or more.
   */
  constructor(options: FrameDecoderOptions) {
    const { version = "1.2" } = options;
    assertVersion(version);
    this.#version = version;
    this.#onFrame = options.onFrame;
    this.#onHeartbeat = options.onHeartbeat;
    this.#messageType = options.messageType ?? Frame;
    this.#limits = completeLimits(options);
    this.#head = new HeadParser(this.#limits, options.followsCrlf ?? false, new HeadCache());
  }

  /** The version whose rules apply from the next frame on. */
  get version(): Version {
    return this.#version;
  }

  /** Changes the version; set inside `onFrame`, it applies from the next frame of the same chunk on. */
  set version(version: Version) {
    assertVersion(version);
    this.#version = version;
  }

  /** Whether the bytes so far end inside a frame. */
  get pending(): boolean {
    return this.#partial?.isOpen ?? false;
  }

  /**
   * Decodes the next bytes, and calls `onFrame` for each frame that they complete. Frames may have views on the chunk: it
   * must not be written to afterwards.
   *
   * An error that a callback throws is thrown here after the rest of the chunk was decoded, so that no frame is lost.
   *
   * @throws {UnknownBrokerResponseError} when the bytes are not STOMP, or over a limit. The frames before the fault
   * were delivered; later calls throw the same error.
   * @throws {TypeError} when the chunk is not a `Uint8Array`, or the call comes from a callback of this decoder.
   */
  push(chunk: Uint8Array): void {
    if (this.#failure) throw this.#failure.error;
    if (this.#isPushing) throw new TypeError("Cannot push: the decoder is inside a push already");
    if (!isBytes(chunk)) throw new TypeError("Cannot push: the chunk is not a Uint8Array");
    this.#isPushing = true;
    try {
      if (chunk.length > 0) this.#decode(plainBytes(chunk));
    } catch (error) {
      this.#failure = { error };
      this.#partial = this.#thrown = undefined;
      throw error;
    } finally {
      this.#isPushing = false;
    }
    if (this.#thrown) {
      const { error } = this.#thrown;
      this.#thrown = undefined;
      throw error;
    }
  }

  #decode(bytes: Bytes): void {
    this.#at = 0;
    this.#holdsChunk = false;
    const chunk = new Chunk(bytes, this.#chunkKind);
    if (this.#partial?.isOpen && !this.#finishPartial(this.#partial, chunk)) return;
    const { maxBodyBytes } = this.#limits;
    while (this.#at < bytes.length && this.#beginFrame(bytes)) {
      if (!this.#head.read(chunk)) {
        this.#openPartial().keepHead(bytes);
        break;
      }
      const start = this.#head.end;
      const end = endOfBody(chunk, start, this.#head.contentLength, maxBodyBytes);
      if (end < 0) {
        this.#openPartial().keepBody(bytes);
        break;
      }
      this.#at = end + 1;
      this.#holdsChunk = true;
      this.#deliver(chunk, chunk, start, end);
    }
    if (this.#holdsChunk) this.#holdsChunk = !chunk.release();
  }

  /**
   * Skips the line ends between frames: LF and, in 1.2, at the start of a stream and after a frame that could use it,
   * CRLF. Returns whether a frame begins in this chunk.
   */
  #beginFrame(bytes: Uint8Array): boolean {
    const { length } = bytes;
    let at = this.#at;
    for (; at < length; at++) {
      const byte = bytes[at];
      if (byte === LF) {
        this.#isAfterCr = false;
        this.#heartbeat();
      } else if (byte === CR && !this.#isAfterCr && (this.#isCrlfAllowed || this.#version === "1.2")) {
        this.#isAfterCr = true;
      } else break;
    }
    this.#at = at;
    if (at === length) return false;
    if (this.#isAfterCr) throw malformed("between frames is a carriage return without a line feed");
    this.#head.begin(at, this.#version);
    return true;
  }

  #heartbeat(): void {
    try {
      this.#onHeartbeat?.();
    } catch (error) {
      this.#thrown ??= { error };
    }
  }

  #openPartial(): PartialFrame {
    return this.#partial ??= new PartialFrame(this.#head, this.#limits);
  }

  /** Reads on in the frame that an earlier chunk began. Returns whether it ends in this one. */
  #finishPartial(partial: PartialFrame, chunk: Chunk): boolean {
    const end = partial.readOn(chunk);
    if (end < 0) return false;
    this.#at = end;
    this.#holdsChunk = partial.bodyChunk === chunk;
    this.#deliver(partial.headChunk!, partial.bodyChunk!, partial.bodyStart, partial.bodyEnd);
    partial.clear();
    return true;
  }

  #deliver(headChunk: Chunk, bodyChunk: Chunk, start: number, end: number): void {
    const { command } = this.#head;
    this.#isCrlfAllowed = this.#head.crlf;
    if (end > start && !mayHaveBody(command)) {
      if (this.#head.version !== "1.0") checkStrayBody(command, bodyChunk.view(start, end));
      end = start;
    }
    const view = this.#head.takeView(headChunk, bodyChunk, start, end);
    const frame = receivedFrame(command === "MESSAGE" ? this.#messageType : Frame, command, view);
    try {
      this.#onFrame(frame);
    } catch (error) {
      this.#thrown ??= { error };
    }
  }
}

/** 1.0 allows a body anywhere and ignores it; old clients end CONNECT with an extra line in any version. */
function checkStrayBody(command: string, body: Uint8Array): void {
  if (body.every((byte) => byte === LF || byte === CR)) return;
  throw malformed(`${command} has a body of ${body.length} bytes, and takes none`);
}

/**
 * A `TransformStream` from the bytes of a connection to its frames.
 *
 * On malformed input, and on input that ends inside a frame, `readable` errors with `UnknownBrokerResponseError` after the
 * frames before that were read; `writable` errors, too.
 *
 * @example
 * ```ts
 * import { FrameDecoderStream } from "@x/stompy/decoder";
 *
 * const bytes = new Blob(["MESSAGE\n\nhello\0"]).stream(); // or what a socket receives
 * for await (const frame of bytes.pipeThrough(new FrameDecoderStream())) {
 *   console.log(frame.command, frame.text()); // MESSAGE hello
 * }
 * ```
 */
export class FrameDecoderStream implements TransformStream<Uint8Array, Frame> {
  /** The frames. */
  readonly readable: ReadableStream<Frame>;
  /** Takes the bytes. It is ready for more when the frames so far have been read. */
  readonly writable: WritableStream<Uint8Array>;

  /**
   * Creates the stream.
   *
   * @throws {TypeError} when the version is unknown.
   * @throws {RangeError} when a limit is not a number of 0 or more.
   */
  constructor(options: Omit<FrameDecoderOptions, "onFrame"> = {}) {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const chunks = readable.getReader();
    let frames: ReadableStreamDefaultController<Frame>;
    let hasEnqueued = false;
    let failure: { error: unknown } | undefined;
    const decoder = new FrameDecoder({
      ...options,
      onFrame: (frame) => {
        hasEnqueued = true;
        frames.enqueue(frame);
      },
    });
    this.writable = writable;
    this.readable = new ReadableStream<Frame>({
      start: (controller) => void (frames = controller),
      // Called when all frames so far have been read. An error discards what a stream still holds, so it waits until
      // then; the `transform` of a real TransformStream could not.
      pull: async () => {
        hasEnqueued = false;
        while (!hasEnqueued) {
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

/**
 * A `TransformStream` from frames to the bytes of a connection. It errors with `TypeError` on a frame that the version
 * cannot carry.
 *
 * @example
 * ```ts
 * import { Frame, FrameEncoderStream } from "@x/stompy/decoder";
 *
 * const stream = new FrameEncoderStream();
 * const writer = stream.writable.getWriter();
 * const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/queue/a" }, body: "hello" });
 * const [{ value }] = await Promise.all([stream.readable.getReader().read(), writer.write(frame)]);
 * console.log(value?.length); // 49 bytes for a socket
 * ```
 */
export class FrameEncoderStream extends TransformStream<Frame, Uint8Array> {
  /**
   * Creates the stream; `version` is the one that frames are encoded in.
   *
   * @throws {TypeError} when the version is unknown.
   */
  constructor(version: Version = "1.2") {
    assertVersion(version);
    super({ transform: (frame, controller) => controller.enqueue(frame.encode(version)) });
  }
}
