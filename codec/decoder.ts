/**
 * Bytes to frames: `FrameDecoder`, which is pushed chunks of any size, and the streams built on it.
 *
 * @module
 */
import { endOfBody } from "./body.ts";
import { assertVersion, mayHaveBody, type Version } from "./protocol.ts";
import { PartialFrame } from "./partial_frame.ts";
import { Frame } from "./frame.ts";
import { HeadParser } from "./head_parser.ts";
import { malformed } from "./headers.ts";
import { completeLimits, type DecoderLimits, type Limits } from "./limits.ts";
import { type Bytes, CR, isBytes, LF, plainBytes } from "./bytes.ts";
import { Chunk, type ChunkKind } from "./chunk.ts";

/** Options of a {@linkcode FrameDecoder}. */
export interface FrameDecoderOptions extends DecoderLimits {
  /** The version whose rules are used. Default `"1.2"`. CONNECT and CONNECTED are read the same way in all. */
  version?: Version | undefined;
  /** Called with each frame, while `push` runs. */
  onFrame: (frame: Frame) => void;
  /** Called for each line end between frames. The one that brokers write behind a frame is not told apart. */
  onHeartbeat?: (() => void) | undefined;
  /**
   * Whether the far end may go on with CRLF once the command line of its CONNECT ended so: then each frame whose command
   * line ends in CRLF may end all its lines so, also in 1.0 and 1.1, where the CR is otherwise a part of the line. A
   * courtesy of servers to people who type frames by hand. Default `false`.
   */
  followsCrlf?: boolean | undefined;
  /** The class of MESSAGE frames, for who needs more than a `Frame`. Default `Frame`. */
  messageType?: (new () => Frame) | undefined;
  /**
   * Whether each chunk is in memory of its own, that is not read into again.
   *
   * @internal
   */
  ownChunks?: boolean | undefined;
}

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
  readonly #head: HeadParser;
  readonly #chunkKind: ChunkKind;
  #version: Version;
  #failure: { error: unknown } | undefined;
  #pushing = false;
  #thrown: { error: unknown } | undefined; // by a callback

  #cut: PartialFrame | undefined; // once a chunk has ended inside of a frame
  #afterCr = false; // between frames, a CR waits for its LF
  #crlf = true; // the lines of the frame before this one could end so
  #at = 0; // between frames: the next byte of the chunk to look at
  #holdsChunk = false; // frames have views on it

  /** Creates a decoder. */
  constructor(options: FrameDecoderOptions) {
    const { version = "1.2" } = options;
    assertVersion(version);
    this.#version = version;
    this.#onFrame = options.onFrame;
    this.#onHeartbeat = options.onHeartbeat;
    this.#messageType = options.messageType ?? Frame;
    this.#chunkKind = options.ownChunks ? "owned" : "received";
    this.#limits = completeLimits(options);
    this.#head = new HeadParser(this.#limits, options.followsCrlf ?? false);
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
    return this.#cut?.isOpen ?? false;
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
    return this.#cut?.readTarget;
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
    this.#cut = undefined;
    this.#thrown = undefined;
  }

  #decode(bytes: Bytes): void {
    this.#at = 0;
    this.#holdsChunk = false;
    const chunk = new Chunk(bytes, this.#chunkKind);
    if (this.#cut?.isOpen && !this.#finishCut(this.#cut, chunk)) return;
    const { maxBodyBytes } = this.#limits;
    while (this.#at < bytes.length && this.#beginFrame(bytes)) {
      if (!this.#head.read(chunk)) {
        this.#cutFrame().keepHead(bytes);
        break;
      }
      const start = this.#head.end;
      const end = endOfBody(chunk, start, this.#head.contentLength, maxBodyBytes);
      if (end < 0) {
        this.#cutFrame().keepBody(bytes);
        break;
      }
      this.#at = end + 1;
      this.#holdsChunk = true;
      this.#deliver(chunk, chunk, start, end);
    }
    if (this.#holdsChunk) this.#holdsChunk = !chunk.release();
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
    this.#head.begin(at, this.#version);
    return true;
  }

  /** Between frames a CR may stand before LF in 1.2, at the start of a stream, and behind a frame that could use it. */
  #crlfAllowed(): boolean {
    return this.#crlf || this.#version === "1.2";
  }

  #heartbeat(): void {
    try {
      this.#onHeartbeat?.();
    } catch (error) {
      this.#thrown ??= { error };
    }
  }

  #cutFrame(): PartialFrame {
    return this.#cut ??= new PartialFrame(this.#head, this.#limits);
  }

  /** Reads on in the frame that began in an earlier chunk. Returns whether it ends in this one. */
  #finishCut(cut: PartialFrame, chunk: Chunk): boolean {
    const end = cut.readOn(chunk);
    if (end < 0) return false;
    this.#at = end;
    this.#holdsChunk = cut.bodyChunk === chunk;
    this.#deliver(cut.headChunk, cut.bodyChunk, cut.bodyStart, cut.bodyEnd);
    cut.clear();
    return true;
  }

  #deliver(headChunk: Chunk, bodyChunk: Chunk, start: number, end: number): void {
    const { command } = this.#head;
    this.#crlf = this.#head.crlf;
    if (end > start && !mayHaveBody(command)) {
      if (this.#head.version !== "1.0") checkStrayBody(command, bodyChunk.view(start, end));
      end = start;
    }
    const found = this.#head.found(headChunk, bodyChunk, start, end);
    const frame = Frame.found(command === "MESSAGE" ? this.#messageType : Frame, command, found);
    try {
      this.#onFrame(frame);
    } catch (error) {
      this.#thrown ??= { error };
    }
  }
}

/** 1.0 allows a body anywhere and ignores it; old clients end CONNECT with a line too many in any version. */
function checkStrayBody(command: string, body: Uint8Array): void {
  if (body.every((byte) => byte === LF || byte === CR)) return;
  throw malformed(`${command} has a body of ${body.length} bytes, and takes none`);
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
