/**
 * The state of one connection, whatever carries it. An adapter says what its sockets can do, as a
 * {@linkcode SocketDriver}; {@linkcode SocketTransport} makes a transport of that: it knows which direction is open, what
 * ended it, what was read and not taken yet, and when the socket is freed.
 *
 * Reading goes through these states:
 *
 * | state     | meaning                                                  | goes to                                   |
 * | --------- | -------------------------------------------------------- | ----------------------------------------- |
 * | `paused`  | no sink yet, or it wants no more; chunks that come wait  | `flowing` by `read` and `resume`          |
 * | `flowing` | chunks go to the sink                                    | `paused` by the sink, `ended` by the end  |
 * | `ended`   | `done` of the sink was called                            |                                           |
 *
 * An end that comes while reading is paused waits until the chunks before it are taken. Writing is open until there is a
 * `#writeError`. The socket is freed by `close`, by a connection that breaks, and once both directions have ended.
 *
 * @module
 */
import { ConnectionError } from "../base/errors.ts";

/** Receives what a transport reads. Its methods must not throw. */
export interface ByteSink {
  /**
   * Called for each chunk, which is not written to again unless it is released. Return `false` to stop reading until
   * {@linkcode DirectIo.resume}, which slows the peer down.
   */
  chunk(bytes: Uint8Array): boolean;
  /**
   * Called when nothing more comes: the peer closed cleanly, or `close` was called; with an error, the connection
   * broke.
   */
  done(error: ConnectionError | undefined): void;
  /**
   * The memory that the next bytes belong in, and no others, or `undefined` when that is not known. A transport that can
   * read them straight into it saves a copy.
   */
  readTarget?(): Uint8Array | undefined;
}

/**
 * Both directions of a transport by plain calls: the same bytes as the streams carry, with the same back-pressure, but
 * without a promise and a queue for each chunk. That takes a fifth off a round trip on loopback.
 */
export interface DirectIo {
  /**
   * Whether no two chunks share memory, so that keeping one keeps no other alive.
   *
   * @default {false}
   */
  readonly ownChunks?: boolean | undefined;
  /**
   * Whether {@linkcode DirectIo.write} needs to know where frames end, because the transport puts each into a message.
   *
   * @default {false}
   */
  readonly wantsFrameEnds?: boolean | undefined;
  /** Starts reading. Call it once. */
  read(sink: ByteSink): void;
  /** Reads on after {@linkcode ByteSink.chunk} has returned `false`. */
  resume(): void;
  /**
   * Says, inside {@linkcode ByteSink.chunk}, that no view on `bytes` was kept: their memory may be read into again, or
   * freed, which makes bulk up to a third faster to read. Never necessary.
   */
  release(bytes: Uint8Array): void;
  /**
   * Writes whole frames, and does not keep the bytes. Returns nothing when they were taken at once, else a promise to
   * await before the next write. A failure is a promise that rejects with a `ConnectionError`.
   *
   * @param frameEnds where each frame in `bytes` ends, and each line end between frames, if
   * {@linkcode DirectIo.wantsFrameEnds} is `true`.
   */
  write(bytes: Uint8Array, frameEnds?: readonly number[]): Promise<void> | void;
  /** Closes the sending direction (FIN); reading continues. Not to be called while a write is pending. */
  end(): Promise<void>;
  /**
   * Sets the largest message to send, in bytes, where the program has set none. Only a transport that sends messages
   * has it.
   */
  limitMessages?(maxBytes: number): void;
}

/** What a socket can do. */
export interface SocketDriver {
  /** As {@linkcode DirectIo.ownChunks}. */
  readonly ownChunks?: boolean | undefined;
  /** As {@linkcode DirectIo.wantsFrameEnds}. */
  readonly wantsFrameEnds?: boolean | undefined;
  /** Reads on, and hands each chunk to {@linkcode SocketTransport.deliver}. May be called while it does so already. */
  pull(): void;
  /**
   * Writes all of `bytes`; returns nothing when they were taken at once. What it throws or rejects with is made by
   * {@linkcode SocketTransport.writeFailed}. Never called while a write is pending.
   */
  write(bytes: Uint8Array, frameEnds: readonly number[] | undefined): Promise<void> | void;
  /** Closes the sending direction (FIN). Never called while a write is pending. */
  shutdown(): Promise<void> | void;
  /** Frees the socket at once; pending calls must settle soon. Called once. */
  destroy(): Promise<void> | void;
  /** As {@linkcode DirectIo.release}. */
  release?(bytes: Uint8Array): void;
  /** As {@linkcode DirectIo.limitMessages}. */
  limitMessages?(maxBytes: number): void;
}

/**
 * A transport over a {@linkcode SocketDriver}. Cancelling `readable` and aborting `writable` give up both directions, as
 * `close` does. Once both directions have ended cleanly, the socket frees itself.
 */
export class SocketTransport implements DirectIo {
  /** The name of the peer, for messages. */
  readonly peer: string;
  readonly #driver: SocketDriver;
  #sink: ByteSink | undefined;
  #state: "paused" | "flowing" | "ended" = "paused";
  #waiting: Uint8Array[] | undefined; // came while paused; the socket pauses as well, so this is a chunk or two
  #end: { error: ConnectionError | undefined } | undefined;
  #writeError: ConnectionError | undefined; // what the next write fails with
  #freed: Promise<void> | undefined;
  #isDirect = false;
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;
  #writableController: WritableStreamDefaultController | undefined;

  /** Makes a transport. Nothing is read before `readable` is used, or `read` is called. */
  constructor(peer: string, driver: SocketDriver) {
    this.peer = peer;
    this.#driver = driver;
  }

  /** As {@linkcode DirectIo.ownChunks}. */
  get ownChunks(): boolean {
    return this.#driver.ownChunks ?? false;
  }

  /** As {@linkcode DirectIo.wantsFrameEnds}. */
  get wantsFrameEnds(): boolean {
    return this.#driver.wantsFrameEnds ?? false;
  }

  // The streams are made when they are first used: connections that are used directly save their memory.

  /** What the peer sends. */
  get readable(): ReadableStream<Uint8Array> {
    if (this.#readable !== undefined) return this.#readable;
    this.#checkStreams();
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    let isCancelled = false;
    // With a mark of 0 a reader that waits gets its chunk without a stop in the queue, and any other chunk pauses.
    this.#readable = new ReadableStream<Uint8Array>({
      start: (given) => void (controller = given),
      pull: () => this.resume(),
      cancel: () => {
        isCancelled = true;
        return this.close();
      },
    }, { highWaterMark: 0 });
    this.read({
      chunk(bytes) {
        controller.enqueue(bytes);
        return controller.desiredSize! >= 0;
      },
      done(error) {
        if (error !== undefined) controller.error(error);
        else if (!isCancelled) controller.close();
      },
    });
    return this.#readable;
  }

  /** What goes to the peer. */
  get writable(): WritableStream<Uint8Array> {
    if (this.#writable !== undefined) return this.#writable;
    this.#checkStreams();
    return this.#writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#writableController = controller;
        if (this.#writeError !== undefined) controller.error(this.#writeError);
      },
      write: (bytes) => this.write(bytes),
      close: () => this.end(),
      abort: () => this.close(),
    });
  }

  /** Returns both directions as plain calls, in place of the streams. */
  direct(): DirectIo {
    if (this.#readable !== undefined || this.#writable !== undefined) {
      throw new TypeError(`Cannot use ${this.peer} directly: its streams are in use`);
    }
    this.#checkStreams();
    this.#isDirect = true;
    return this;
  }

  /** As {@linkcode DirectIo.read}. This and its siblings are for the streams, and for the caller of `direct`. */
  read(sink: ByteSink): void {
    this.#sink = sink;
    this.resume();
  }

  /** As {@linkcode DirectIo.resume}. */
  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "flowing";
    while (this.#waiting !== undefined && this.#waiting.length > 0) {
      if (!this.#pass(this.#waiting.shift()!)) return;
    }
    if (this.#end === undefined) this.#driver.pull();
    else this.#endSink();
  }

  /** As {@linkcode DirectIo.release}. */
  release(bytes: Uint8Array): void {
    this.#driver.release?.(bytes);
  }

  /** As {@linkcode DirectIo.limitMessages}. */
  limitMessages(maxBytes: number): void {
    this.#driver.limitMessages?.(maxBytes);
  }

  /** As {@linkcode DirectIo.write}. */
  write(bytes: Uint8Array, frameEnds?: readonly number[]): Promise<void> | void {
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError);
    if (bytes.length === 0) return;
    try {
      return this.#driver.write(bytes, frameEnds);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** As {@linkcode DirectIo.end}. */
  async end(): Promise<void> {
    if (this.#writeError !== undefined) throw this.#writeError;
    try {
      await this.#driver.shutdown();
    } catch (cause) {
      throw this.writeFailed(cause);
    }
    this.#writeError ??= this.#closedError();
    if (this.#end !== undefined) this.#free();
  }

  /** For the driver: the memory to read into, if the sink knows. While chunks wait, other bytes are next. */
  readTarget(): Uint8Array | undefined {
    return this.#state === "flowing" ? this.#sink?.readTarget?.() : undefined;
  }

  /** For the driver: hands over what was read. Returns `false` to stop reading until `pull`. */
  deliver(bytes: Uint8Array): boolean {
    if (this.#end !== undefined) return false;
    if (this.#state === "flowing") return this.#pass(bytes);
    (this.#waiting ??= []).push(bytes);
    return false;
  }

  /** For the driver: the peer has closed its sending direction. */
  atEnd(): void {
    this.#endReading(undefined);
    if (this.#writeError !== undefined) this.#free();
  }

  /**
   * For the driver: the connection broke. Ends both directions, but chunks that were read before are still handed over:
   * brokers send ERROR and close right after it.
   */
  fail(cause: unknown): void {
    if (this.#freed !== undefined) return;
    this.#endReading(new ConnectionError(`Cannot read from ${this.peer}: ${describeSocketError(cause)}`, { cause }));
    const error = this.writeFailed(cause);
    this.#writableController?.error(error);
    this.#free();
  }

  /**
   * For the driver: a write failed. Returns the error to throw. Reading continues, because what the peer sent before it
   * closed, often the reason, may still have to be read.
   */
  writeFailed(cause: unknown): ConnectionError {
    this.#writeError ??= new ConnectionError(`Cannot write to ${this.peer}: ${describeSocketError(cause)}`, { cause });
    if (this.#end !== undefined) this.#free();
    return this.#writeError;
  }

  /** Gives up both directions at once and frees the socket. */
  close(): Promise<void> {
    if (this.#writeError === undefined) {
      this.#writeError = this.#closedError();
      this.#writableController?.error(this.#writeError);
    }
    if (this.#end === undefined) {
      this.#waiting = undefined;
      if (this.#sink !== undefined) this.#state = "flowing";
      this.#endReading(undefined);
    }
    return this.#free();
  }

  #checkStreams(): void {
    if (this.#isDirect) throw new TypeError(`Cannot use the streams of ${this.peer}: it is used directly`);
  }

  /** Hands a chunk to the sink. Returns whether it wants more. */
  #pass(bytes: Uint8Array): boolean {
    // The sink may close the transport meanwhile.
    if (!this.#sink!.chunk(bytes) && this.#state === "flowing") this.#state = "paused";
    return this.#state === "flowing";
  }

  #endReading(error: ConnectionError | undefined): void {
    this.#end ??= { error };
    if (this.#state === "flowing") this.#endSink();
  }

  #endSink(): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#sink?.done(this.#end!.error);
  }

  #free(): Promise<void> {
    // A failure to free the socket is dropped: it is gone either way, and no caller could do better.
    return this.#freed ??= Promise.resolve().then(() => this.#driver.destroy()).catch(() => {});
  }

  #closedError(): ConnectionError {
    return new ConnectionError(`Cannot write to ${this.peer}: the connection is closed`);
  }
}

/** What the runtimes call common failures: by code where there is one, else by their words. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, "connection refused"],
  [/ENOTFOUND|EAI_NONAME|failed to lookup address|No address associated/, "host name not found"],
  [/EAI_AGAIN/, "host name could not be looked up"],
  [/ETIMEDOUT/, "no answer"],
  [/EHOSTUNREACH|ENETUNREACH/, "host cannot be reached"],
  [/EADDRINUSE/, "address already in use"],
  [/EADDRNOTAVAIL/, "address is not one of this machine"],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID|not valid for name|NotValidForName/,
    "its certificate is for another host (tls.serverName names another)",
  ],
  [/CERT_HAS_EXPIRED|certificate expired|: Expired/, "its certificate has expired"],
  [/CERT_NOT_YET_VALID|not valid before|NotValidYet/, "its certificate is not valid yet"],
  [
    /UNABLE_TO_(GET|VERIFY)|SELF_SIGNED|UnknownIssuer/,
    "its certificate is from an unknown issuer (a private authority goes into tls.caCerts)",
  ],
  [/CERTIFICATE_REQUIRED|CertificateRequired/, "it asks for a client certificate (tls.cert and tls.key)"],
  [/WRONG_VERSION_NUMBER|InvalidContentType/, "it does not speak TLS (brokers have another port for TLS)"],
  [/before secure TLS connection|unexpected end of file|UnexpectedEof|handshake eof/, "it closed the connection"],
  [/ECONNRESET|EPIPE|ECONNABORTED|BrokenPipe/, "connection reset"],
];

/** Returns why something failed, in a few words that fit after a colon. Never quotes a key or a certificate. */
export function describeSocketError(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const text = `${"code" in cause ? cause.code : ""} ${cause.name}: ${cause.message}`;
  const known = REASONS.find(([pattern]) => pattern.test(text));
  if (known !== undefined) return known[1];
  // The first line of the runtime's words, without the file names of OpenSSL that follow.
  return cause.message.split(/[\r\n]/, 1)[0]!.replace(/[.\s]+$/, "") || cause.name;
}
