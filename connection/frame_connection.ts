/**
 * A transport that carries frames: bytes are decoded as they come, and what is sent is gathered into few writes.
 *
 * @module
 */
import type { ByteSink, DirectIo } from "../transport/socket_transport.ts";
import { OtherProtocolError, type Version } from "../codec/protocol.ts";
import { createDecoder, type FrameDecoder, holdsChunk, readTargetOf } from "../codec/decoder.ts";
import type { DecoderLimits } from "../codec/limits.ts";
import { ConnectionError, NotConnectedError, StompError, UnknownBrokerResponseError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { type Clock, systemClock } from "../base/timers.ts";
import { directIo, type Transport } from "../transport/transport.ts";
import { WriteBuffer } from "./write_buffer.ts";

/** Who takes what a socket receives. Its methods are called while a chunk is decoded, and must not throw. */
export interface FrameSink {
  /** Takes a frame. */
  onFrame(frame: Frame): void;
  /** Called for each line end between frames. */
  onHeartbeat?(): void;
  /**
   * Called once when nothing more will come: with `undefined` when the far end closed in order, else with the reason.
   * Not called after `end` or `close`: who ends a socket knows.
   */
  onEnd(error: StompError | undefined): void;
}

/** Options of a {@linkcode FrameConnection}. */
export interface FrameConnectionOptions extends DecoderLimits {
  /** The version to begin with. Default `"1.2"`. */
  version?: Version | undefined;
  /** Whether the far end may go on with CRLF in all versions: see {@linkcode FrameDecoderOptions}. Default `false`. */
  followsCrlf?: boolean | undefined;
  /** The class of MESSAGE frames. Default `Frame`. */
  messageType?: (new () => Frame) | undefined;
  /** The time, for `lastReceived` and `lastSent`. */
  clock?: Clock | undefined;
}

/** Milliseconds that what the far end said before a write failed may take to be read. */
const LAST_WORDS = 1000;

/** Frames over one transport. */
export class FrameConnection implements ByteSink {
  readonly #transport: Transport;
  readonly #decoder: FrameDecoder;
  readonly #clock: Clock;
  readonly #out: WriteBuffer;
  readonly #io: DirectIo;
  #sink: FrameSink | undefined;
  #reading = false;
  #paused = false;
  #stopped = false; // the transport waits to be resumed
  #broken = false; // what comes is no STOMP
  #drained: (() => void) | undefined;
  #ended = false; // nothing more comes
  #over = false; // nothing is delivered to the sink any more
  #closing: Promise<void> | undefined;
  #cancelLastWords: (() => void) | undefined;
  #lastReceived: number;

  /** Takes over a transport. Nothing is read before `start`. */
  constructor(transport: Transport, options: FrameConnectionOptions = {}) {
    this.#transport = transport;
    this.#clock = options.clock ?? systemClock;
    this.#lastReceived = this.#clock.now();
    this.#io = directIo(transport);
    this.#decoder = createDecoder({
      ...options,
      onFrame: (frame) => {
        if (!this.#over) this.#sink!.onFrame(frame);
      },
      onHeartbeat: () => {
        if (!this.#over) this.#sink!.onHeartbeat?.();
      },
    }, { ownsChunks: this.#io.ownChunks });
    this.#out = new WriteBuffer(this.#io, this.#clock, () => this.#writeFailed());
  }

  /** Name of the far end, for people. */
  get peer(): string {
    return this.#transport.peer;
  }

  /** The version of decoder and encoder; a change takes effect with the next frame in each direction. */
  get version(): Version {
    return this.#decoder.version;
  }

  /** Changes the version. */
  set version(version: Version) {
    this.#decoder.version = version;
  }

  /** When bytes last came, by the clock. */
  get lastReceived(): number {
    return this.#lastReceived;
  }

  /** When bytes last went out, by the clock. */
  get lastSent(): number {
    return this.#out.lastWrite;
  }

  /** Whether reading is paused. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes that were sent and that the transport has not taken yet. */
  get buffered(): number {
    return this.#out.buffered;
  }

  /** Begins to read. */
  start(sink: FrameSink): void {
    if (this.#sink) throw new TypeError("Cannot start: the socket was started already");
    this.#sink = sink;
    this.#read();
  }

  /** Has another sink take what comes from now on, be it in the chunk that is under way. */
  handOver(sink: FrameSink): void {
    this.#sink = sink;
  }

  /** Stops reading after the chunk that is under way: the far end is slowed down. */
  pause(): void {
    this.#paused = true;
  }

  /** Reads again. */
  resume(): void {
    this.#paused = false;
    if (!this.#stopped || this.#broken) return;
    this.#stopped = false;
    this.#io.resume();
  }

  /**
   * Sends a frame.
   *
   * @returns `undefined` when there is room for more; else a promise to wait for, which rejects when the connection
   * breaks first.
   * @throws {TypeError} when the version cannot carry the frame; nothing was written then.
   * @throws {NotConnectedError} when the socket was ended.
   */
  send(frame: Frame): Promise<void> | undefined {
    this.#checkOpen(frame.command);
    const text = frame.textToSend;
    if (text !== undefined) return this.#out.sized(frame.encodeHead(this.version, 0).slice(0, -1), [], text);
    const { body } = frame;
    const head = frame.encodeHead(this.version, body.length);
    return this.#out.frame(head, body);
  }

  /**
   * Sends a SEND by the beginning of its head, further headers, and its body; `content-length` is added. Returns as `send`.
   *
   * @param headers names and values by turns, as they are written
   */
  sendMessage(head: Uint8Array, headers: readonly string[], body: string | Uint8Array): Promise<void> | undefined {
    this.#checkOpen("SEND");
    return this.#out.sized(head, headers, body);
  }

  /** Sends a frame without a body, given as ASCII text without its NUL. Returns as `send`. */
  sendText(frame: string): Promise<void> | undefined {
    this.#checkOpen("frame");
    return this.#out.ascii(frame);
  }

  /** A promise to wait for before more is sent; `undefined` when there is room now. */
  ready(): Promise<void> | undefined {
    return this.#out.room();
  }

  /** Bytes that were sent so far, whether the transport has taken them or not. */
  get position(): number {
    return this.#out.position;
  }

  /**
   * Takes back what was sent between two positions, if the transport does not have it yet. Returns whether that is so.
   * In 1.0 nothing is taken back: its brokers may take a line end for the beginning of a command.
   */
  retract(start: number, end: number): boolean {
    return this.version !== "1.0" && this.#out.retract(start, end);
  }

  /** Sends a heart-beat: one line end between frames. Does nothing while something else is on its way. */
  beat(): void {
    if (this.#closing || this.#out.buffered > 0) return;
    this.#out.lineEnd();
  }

  /** Resolves when all that was sent was taken by the transport; rejects when that fails. */
  flush(): Promise<void> {
    return this.#out.flush();
  }

  /**
   * Ends in order: writes what is buffered, says that nothing more will come, then reads what the far end still
   * sends, unseen, so that it can read our last frame before the connection goes ("Connection Lingering" in the 1.2
   * text).
   *
   * @param linger milliseconds after which the connection is given up. Default 1,000.
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
    this.#over = true;
    const late = Promise.withResolvers<void>();
    const cancel = this.#clock.after(linger, late.resolve);
    await Promise.race([this.#finish(), late.promise]);
    cancel();
    await this.#giveUp();
  }

  async #finish(): Promise<void> {
    try {
      await this.#out.end();
      this.#broken = false;
      this.resume();
      this.#read();
      if (!this.#ended) await new Promise<void>((resolve) => this.#drained = resolve);
    } catch {
      // Broken: there is nobody left to be polite to.
    }
  }

  async #giveUp(): Promise<void> {
    this.#over = true;
    this.#cancelLastWords?.();
    this.#out.abandon(new ConnectionError(`Connection to ${this.peer} was closed`));
    await this.#transport.close();
  }

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#io.read(this);
  }

  /** For the transport: takes bytes. Returns whether more is wanted. */
  chunk(bytes: Uint8Array): boolean {
    if (this.#over) return true; // read, so that the far end can go on to its end, but not looked at
    this.#lastReceived = this.#clock.now();
    this.#out.turn();
    try {
      const isInPlace = readTargetOf(this.#decoder)?.buffer === bytes.buffer; // then it is the body's, and stays so
      this.#decoder.push(bytes);
      if (!isInPlace && !holdsChunk(this.#decoder)) this.#io.release(bytes);
    } catch (error) {
      this.#broken = this.#stopped = true;
      this.#tell(this.#reasonOf(error));
      return false;
    }
    this.#stopped = this.#paused;
    return !this.#paused;
  }

  /** For the transport: where the rest of a large body goes. */
  room(): Uint8Array | undefined {
    return this.#over ? undefined : readTargetOf(this.#decoder);
  }

  /** For the transport: nothing more comes. */
  done(error: ConnectionError | undefined): void {
    this.#ended = true;
    this.#drained?.();
    const cutOff = error === undefined && this.#decoder.pending;
    this.#tell(
      cutOff ? new ConnectionError(`Connection to ${this.peer} lost: it ended inside a frame`) : error,
    );
  }

  /** Tells the sink, once, that nothing more will come. */
  #tell(reason: StompError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelLastWords?.();
    this.#sink!.onEnd(reason);
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

  /** A broker that refuses something may close before we have sent it all: its reason is still there to be read. */
  #writeFailed(): void {
    if (this.#over) return;
    const error = this.#out.failure!;
    this.#cancelLastWords = this.#clock.after(LAST_WORDS, () => {
      if (this.#sink) this.#tell(this.#reasonOf(error));
    });
  }

  #checkOpen(command: string): void {
    if (this.#closing) throw new NotConnectedError(`Cannot send ${command}: the connection to ${this.peer} is closed`);
  }
}
