/**
 * A transport that carries frames: bytes are decoded as they come, and what is sent is gathered into few writes.
 *
 * Reading goes through these states:
 *
 * | state     | meaning                             | goes to                                                        |
 * | --------- | ----------------------------------- | -------------------------------------------------------------- |
 * | `idle`    | nothing is read yet                 | `reading` by `start`, or by `end` without it                   |
 * | `reading` | the transport hands over chunks     | `stopped` by `pause`, `broken` by what is not STOMP, `ended`   |
 * | `stopped` | the transport waits for `resume`    | `reading` by `resume` or `end`, `ended`                        |
 * | `broken`  | the peer does not speak STOMP       | `reading` by `end`, `ended`                                    |
 * | `ended`   | nothing more comes                  |                                                                |
 *
 * Frames are delivered while there is a sink. `end` and `close` drop it, and so does the end of the connection, after
 * `onEnd`.
 *
 * @module
 */
import type { ByteSink, DirectIo } from "../transport/socket_transport.ts";
import { OtherProtocolError, type Version } from "../codec/protocol.ts";
import { createDecoder, type FrameDecoder, holdsChunk, readTargetOf } from "../codec/decoder.ts";
import type { DecoderLimits } from "../codec/limits.ts";
import { ConnectionError, NotConnectedError, StompError, UnknownBrokerResponseError } from "../base/errors.ts";
import { encodeHeadOf, type Frame, textToSend } from "../codec/frame.ts";
import { type Clock, systemClock } from "../base/timers.ts";
import { directIo, type Transport } from "../transport/transport.ts";
import { WriteBuffer } from "./write_buffer.ts";

/** Receives what comes over a connection. Its methods are called while a chunk is decoded, and must not throw. */
export interface FrameSink {
  /** Called for each frame. */
  onFrame(frame: Frame): void;
  /** Called for each line end between frames. */
  onHeartbeat?(): void;
  /**
   * Called once when nothing more comes: with `undefined` when the peer closed cleanly, else with the reason. Not
   * called after `end` or `close`.
   */
  onEnd(error: StompError | undefined): void;
}

/** Options of a {@linkcode FrameConnection}. */
export interface FrameConnectionOptions extends DecoderLimits {
  /**
   * The version to begin with.
   *
   * @default {"1.2"}
   */
  version?: Version | undefined;
  /**
   * Whether the peer may continue with CRLF in all versions, see {@linkcode FrameDecoderOptions}.
   *
   * @default {false}
   */
  followsCrlf?: boolean | undefined;
  /**
   * The class of MESSAGE frames.
   *
   * @default {Frame}
   */
  messageType?: (new () => Frame) | undefined;
  /** The clock of `lastReceived` and `lastSent`. By default the system's. */
  clock?: Clock | undefined;
}

/**
 * After a failed write, what the peer sent before may still be read for this long: a broker that refuses something may
 * close before everything was sent to it, and its ERROR has the reason.
 */
const READ_AFTER_WRITE_FAILURE_MS = 1000;

const NO_HEADERS: readonly string[] = [];

/** Frames over one transport. */
export class FrameConnection implements ByteSink {
  /** When bytes last came, by the clock. */
  lastReceived: number;
  readonly #transport: Transport;
  readonly #decoder: FrameDecoder;
  readonly #clock: Clock;
  readonly #out: WriteBuffer;
  readonly #io: DirectIo;
  #sink: FrameSink | undefined;
  #state: "idle" | "reading" | "stopped" | "broken" | "ended" = "idle";
  #paused = false; // what the caller wants; the transport stops after the chunk that is under way
  #onPeerEnd: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #cancelReadAfterFailure: (() => void) | undefined;

  /** Takes over a transport. Nothing is read before `start`. */
  constructor(transport: Transport, options: FrameConnectionOptions = {}) {
    this.#transport = transport;
    this.#clock = options.clock ?? systemClock;
    this.lastReceived = this.#clock.now();
    this.#io = directIo(transport);
    this.#decoder = createDecoder({
      ...options,
      onFrame: (frame) => this.#sink?.onFrame(frame),
      onHeartbeat: () => this.#sink?.onHeartbeat?.(),
    }, { ownsChunks: this.#io.ownChunks });
    this.#out = new WriteBuffer(this.#io, this.#clock, () => this.#onWriteFailure());
  }

  /** The name of the peer, for messages. */
  get peer(): string {
    return this.#transport.peer;
  }

  /** The version of decoder and encoder. A change takes effect with the next frame in each direction. */
  get version(): Version {
    return this.#decoder.version;
  }

  /** Changes the version. */
  set version(version: Version) {
    this.#decoder.version = version;
  }

  /** When bytes last went out, by the clock. */
  get lastSent(): number {
    return this.#out.lastWrite;
  }

  /** Whether the caller has paused reading. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes that were sent and that the transport has not taken yet. */
  get buffered(): number {
    return this.#out.buffered;
  }

  /** Starts reading. */
  start(sink: FrameSink): void {
    if (this.#closing) return;
    if (this.#state !== "idle") throw new TypeError("Cannot start: the connection was started already");
    this.#sink = sink;
    this.#read();
  }

  /** Replaces the sink, from the next frame on: also within the chunk that is decoded at the moment. */
  handOver(sink: FrameSink): void {
    if (this.#sink !== undefined) this.#sink = sink;
  }

  /** Stops reading after the chunk that is under way, which slows the peer down. */
  pause(): void {
    this.#paused = true;
  }

  /** Reads again. */
  resume(): void {
    this.#paused = false;
    if (this.#state === "stopped") this.#readOn();
  }

  /**
   * Sends a frame.
   *
   * @returns `undefined`, or a promise to await before more is sent, which rejects when the connection breaks first.
   * @throws {TypeError} when the version cannot carry the frame; nothing was written then.
   * @throws {NotConnectedError} after `end` or `close`.
   */
  send(frame: Frame): Promise<void> | undefined {
    this.#checkOpen(frame.command);
    const text = textToSend(frame);
    if (text !== undefined) return this.#out.write(encodeHeadOf(frame, this.version, 0), NO_HEADERS, text);
    const { body } = frame;
    return this.#out.write(encodeHeadOf(frame, this.version, body.length), NO_HEADERS, body, false);
  }

  /**
   * Sends a SEND frame of its parts; `content-length` is added. Returns as `send` does.
   *
   * @param head command and header lines, without the empty line.
   * @param extraHeaders further headers, escaped already: a name, its value, the next name, …
   */
  sendMessage(head: Uint8Array, extraHeaders: readonly string[], body: string | Uint8Array): Promise<void> | undefined {
    this.#checkOpen("SEND");
    return this.#out.write(head, extraHeaders, body);
  }

  /** Sends a frame whose head is encoded for the version and has its `content-length`. Returns as `send` does. */
  sendEncoded(head: string, body: Uint8Array): Promise<void> | undefined {
    this.#checkOpen("frame");
    return this.#out.write(head, NO_HEADERS, body, false);
  }

  /** Sends a frame without a body, given as ASCII text without its NUL. Returns as `send` does. */
  sendText(frame: string): Promise<void> | undefined {
    this.#checkOpen("frame");
    return this.#out.writeText(frame);
  }

  /** Returns a promise to await before more is sent, or `undefined` when there is no need to wait. */
  ready(): Promise<void> | undefined {
    return this.#out.ready();
  }

  /** Bytes that were sent so far, whether the transport has taken them or not. */
  get position(): number {
    return this.#out.position;
  }

  /**
   * Retracts the frame between two positions. Does nothing in STOMP 1.0, whose brokers may take a line end for the
   * beginning of a command.
   *
   * @returns `false` when the frame is on its way.
   */
  retract(start: number, end: number): boolean {
    return this.version !== "1.0" && this.#out.retract(start, end);
  }

  /** Sets the largest WebSocket message to send, in bytes, where the program has set none. */
  limitMessages(maxBytes: number): void {
    this.#io.limitMessages?.(maxBytes);
  }

  /** Sends a heart-beat, which is a line end between frames. Does nothing while other bytes are on their way. */
  beat(): void {
    if (this.#closing || this.#out.buffered > 0) return;
    this.#out.writeLineEnd();
  }

  /** Resolves when the transport has taken everything that was sent; rejects when a write fails. */
  flush(): Promise<void> {
    return this.#out.flush();
  }

  /**
   * Ends gracefully: writes what is buffered, closes the sending direction, then reads and drops what the peer still
   * sends, so that it can read the last frame before the connection goes ("Connection Lingering" in the 1.2 text).
   *
   * @param linger milliseconds after which the connection is given up.
   * @returns a promise that never rejects.
   */
  end(linger = 1000): Promise<void> {
    return this.#closing ??= this.#end(linger);
  }

  /** Gives the connection up at once. Never rejects. */
  close(): Promise<void> {
    const closed = this.#giveUp();
    return this.#closing ??= closed;
  }

  async #end(linger: number): Promise<void> {
    this.#sink = undefined;
    const late = Promise.withResolvers<void>();
    const cancel = this.#clock.after(linger, late.resolve);
    await Promise.race([this.#finish(), late.promise]);
    cancel();
    await this.#giveUp();
  }

  async #finish(): Promise<void> {
    try {
      await this.#out.end();
      this.#paused = false;
      if (this.#state === "idle") this.#read();
      else if (this.#state === "stopped" || this.#state === "broken") this.#readOn();
      if (this.#state !== "ended") await new Promise<void>((resolve) => this.#onPeerEnd = resolve);
    } catch {
      // The connection broke: the peer reads nothing more.
    }
  }

  async #giveUp(): Promise<void> {
    this.#sink = undefined;
    this.#cancelReadAfterFailure?.();
    this.#out.abandon(new ConnectionError(`Connection to ${this.peer} was closed`));
    await this.#transport.close();
  }

  #read(): void {
    this.#state = "reading";
    this.#io.read(this);
  }

  #readOn(): void {
    this.#state = "reading";
    this.#io.resume();
  }

  /** For the transport: takes bytes. Returns whether more is wanted. */
  chunk(bytes: Uint8Array): boolean {
    if (this.#sink === undefined) return true; // read all the same, so that the peer can send its end
    this.lastReceived = this.#clock.now();
    this.#out.beginTurn();
    try {
      const isInPlace = readTargetOf(this.#decoder)?.buffer === bytes.buffer; // then it is part of a body, and stays one
      this.#decoder.push(bytes);
      if (!isInPlace && !holdsChunk(this.#decoder)) this.#io.release(bytes);
    } catch (error) {
      if (this.#state !== "ended") this.#state = "broken";
      this.#endSink(this.#reasonOf(error));
      return false;
    }
    if (!this.#paused) return true;
    if (this.#state !== "ended") this.#state = "stopped";
    return false;
  }

  /** For the transport: where the rest of a large body goes. */
  readTarget(): Uint8Array | undefined {
    return this.#sink === undefined ? undefined : readTargetOf(this.#decoder);
  }

  /** For the transport: nothing more comes. */
  done(error: ConnectionError | undefined): void {
    this.#state = "ended";
    this.#onPeerEnd?.();
    const cutOff = error === undefined && this.#decoder.pending;
    this.#endSink(
      cutOff ? new ConnectionError(`Connection to ${this.peer} lost: it ended inside a frame`) : error,
    );
  }

  #endSink(reason: StompError | undefined): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#sink = undefined;
    this.#cancelReadAfterFailure?.();
    sink.onEnd(reason);
  }

  #reasonOf(error: unknown): StompError {
    if (error instanceof OtherProtocolError) {
      const what = `it does not speak STOMP: it speaks ${error.protocol}`;
      return new UnknownBrokerResponseError(`Cannot read from ${this.peer}: ${what}`, { cause: error });
    }
    if (error instanceof UnknownBrokerResponseError) {
      return new UnknownBrokerResponseError(`${error.message}, received from ${this.peer}`, { cause: error });
    }
    if (error instanceof StompError) return error;
    return new ConnectionError(`Connection to ${this.peer} lost: ${String(error)}`, { cause: error });
  }

  #onWriteFailure(): void {
    if (this.#sink === undefined && this.#state !== "idle") return;
    const error = this.#out.failure!;
    this.#cancelReadAfterFailure = this.#clock.after(READ_AFTER_WRITE_FAILURE_MS, () => {
      this.#endSink(this.#reasonOf(error));
    });
  }

  #checkOpen(command: string): void {
    if (this.#closing) throw new NotConnectedError(`Cannot send ${command}: the connection to ${this.peer} is closed`);
  }
}
