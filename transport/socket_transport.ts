/**
 * The state of one connection, whatever carries it: which direction is open, what ended it, what was read and not taken
 * yet, and who frees the socket when. An adapter says what its sockets can do, as a {@linkcode SocketDriver};
 * {@linkcode SocketTransport} makes a transport of that.
 *
 * @module
 */
import { ConnectionError } from "../base/errors.ts";

/** Takes what a transport reads. Its functions must not throw. */
export interface ByteSink {
  /**
   * Takes a chunk, which will not be written to again unless it is released. `false` says that it is enough: nothing more
   * comes until {@linkcode DirectIo.resume}, and the far end is slowed down.
   */
  chunk(bytes: Uint8Array): boolean;
  /** Nothing more will come: the far end closed in order, or `close` was called; with an error, the connection broke. */
  done(error: ConnectionError | undefined): void;
  /** Where the next bytes go in the end, and no others: who can may read them there. `undefined` when that is not known. */
  room?(): Uint8Array | undefined;
}

/**
 * Both directions of a transport by plain calls: the same bytes as the streams carry, with the same back-pressure, but
 * without a promise and a queue for each chunk. That takes a fifth off a round trip on loopback.
 */
export interface DirectIo {
  /** Whether each chunk is in memory of its own, so that nothing is gained by letting go of it. Default `false`. */
  readonly ownChunks?: boolean | undefined;
  /** Begins to read. To be called once. */
  read(sink: ByteSink): void;
  /** Goes on reading after {@linkcode ByteSink.chunk} has returned `false`. */
  resume(): void;
  /**
   * Says, inside {@linkcode ByteSink.chunk}, that no view on `bytes` was kept: its memory may be read into again, or
   * freed, which makes bulk up to a third faster to read. Never necessary.
   */
  release(bytes: Uint8Array): void;
  /**
   * Writes; returns nothing when the bytes were taken at once, else a promise to await before the next write. A failure
   * is a promise rejected with a `ConnectionError`. The bytes are not kept after that.
   */
  write(bytes: Uint8Array): Promise<void> | void;
  /** Says that nothing more will come (FIN); reading goes on. Not to be called while a write still runs. */
  end(): Promise<void>;
}

/** What a socket can do. */
export interface SocketDriver {
  /** As {@linkcode DirectIo.ownChunks}. */
  readonly ownChunks?: boolean | undefined;
  /** Go on reading, and hand each chunk to {@linkcode SocketTransport.deliver}. May be called while that goes on. */
  pull(): void;
  /**
   * Writes all of `bytes`; returns nothing when they were taken at once. What it throws or rejects with is made by
   * {@linkcode SocketTransport.writeFailed}. Never called while it still runs.
   */
  write(bytes: Uint8Array): Promise<void> | void;
  /** Says that nothing more will come (FIN). Never called while a write still runs. */
  shutdown(): Promise<void> | void;
  /** Frees the socket at once; what still runs must settle soon. Called once. */
  destroy(): Promise<void> | void;
  /** As {@linkcode DirectIo.release}. */
  release?(bytes: Uint8Array): void;
}

/**
 * A transport over a {@linkcode SocketDriver}. Cancelling `readable` and aborting `writable` give up both directions, as
 * `close` does. Once both directions have ended in order, the socket frees itself.
 */
export class SocketTransport implements DirectIo {
  /** Name of the far end for people. */
  readonly peer: string;
  readonly #channel: SocketDriver;
  #sink: ByteSink | undefined;
  /** Nobody takes chunks: there is no sink yet, or it had enough. */
  #paused = true;
  /** What came while paused, in order. The socket pauses as well, so this is a chunk or two. */
  #kept: Uint8Array[] | undefined;
  /** Set when reading is over, though what was kept may still have to be taken before the sink is told. */
  #ended: { error: ConnectionError | undefined; told: boolean } | undefined;
  /** Set when writing is over: what the next write gets to hear. */
  #writeError: ConnectionError | undefined;
  #freed: Promise<void> | undefined;
  #isDirect = false;
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;
  #writing: WritableStreamDefaultController | undefined;

  /** Nothing is read before someone asks for `readable` or reads directly. */
  constructor(peer: string, channel: SocketDriver) {
    this.peer = peer;
    this.#channel = channel;
  }

  /** As {@linkcode DirectIo.ownChunks}. */
  get ownChunks(): boolean {
    return this.#channel.ownChunks ?? false;
  }

  // The streams are made when asked for: whoever uses `direct` saves their memory as well.

  /** What the far end sends. */
  get readable(): ReadableStream<Uint8Array> {
    if (this.#readable !== undefined) return this.#readable;
    this.#checkStreams();
    let reading!: ReadableStreamDefaultController<Uint8Array>;
    let cancelled = false;
    // A mark of 0: who waits gets the chunk without a stop in the queue, and one chunk that nobody waits for pauses.
    this.#readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (reading = controller),
      pull: () => this.resume(),
      cancel: () => {
        cancelled = true;
        return this.close();
      },
    }, { highWaterMark: 0 });
    this.read({
      chunk(bytes) {
        reading.enqueue(bytes);
        return reading.desiredSize! >= 0;
      },
      done(error) {
        if (error !== undefined) reading.error(error);
        else if (!cancelled) reading.close();
      },
    });
    return this.#readable;
  }

  /** What goes to the far end. */
  get writable(): WritableStream<Uint8Array> {
    if (this.#writable !== undefined) return this.#writable;
    this.#checkStreams();
    return this.#writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#writing = controller;
        if (this.#writeError !== undefined) controller.error(this.#writeError);
      },
      write: (bytes) => this.write(bytes),
      close: () => this.end(),
      abort: () => this.close(),
    });
  }

  /** Both directions by plain calls, in the place of the streams. */
  direct(): DirectIo {
    if (this.#readable !== undefined || this.#writable !== undefined) {
      throw new TypeError(`Cannot use ${this.peer} directly: its streams are in use`);
    }
    this.#checkStreams();
    this.#isDirect = true;
    return this;
  }

  /** As {@linkcode DirectIo.read}; this and its four fellows are for its streams, and for who has asked for `direct`. */
  read(sink: ByteSink): void {
    this.#sink = sink;
    this.resume();
  }

  /** As {@linkcode DirectIo.resume}. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    while (this.#kept !== undefined && this.#kept.length > 0) {
      if (this.#sink!.chunk(this.#kept.shift()!)) continue;
      this.#paused = true;
      return;
    }
    if (this.#ended === undefined) this.#channel.pull();
    else this.#tell();
  }

  /** As {@linkcode DirectIo.release}. */
  release(bytes: Uint8Array): void {
    this.#channel.release?.(bytes);
  }

  /** As {@linkcode DirectIo.write}. */
  write(bytes: Uint8Array): Promise<void> | void {
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError);
    if (bytes.length === 0) return;
    try {
      return this.#channel.write(bytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** As {@linkcode DirectIo.end}. */
  async end(): Promise<void> {
    if (this.#writeError !== undefined) throw this.#writeError;
    try {
      await this.#channel.shutdown();
    } catch (cause) {
      throw this.writeFailed(cause);
    }
    this.#writeError ??= this.#closedError();
    if (this.#ended !== undefined) this.#free();
  }

  /** For the channel: where the next read may go to, if the sink knows. It does not while it has not got everything. */
  room(): Uint8Array | undefined {
    return this.#paused ? undefined : this.#sink?.room?.();
  }

  /** For the channel: hands over what was read. `false` means to read no more until `pull`. */
  deliver(bytes: Uint8Array): boolean {
    if (this.#ended !== undefined) return false;
    if (this.#paused) {
      (this.#kept ??= []).push(bytes);
      return false;
    }
    if (!this.#sink!.chunk(bytes)) this.#paused = true;
    return !this.#paused && this.#ended === undefined;
  }

  /** For the channel: the far end has said that nothing more will come. */
  atEnd(): void {
    this.#finish(undefined);
    if (this.#writeError !== undefined) this.#free();
  }

  /**
   * For the channel: the connection broke. Ends both directions, but what was read before is still given out: brokers
   * send ERROR and hang up in one breath.
   */
  fail(cause: unknown): void {
    if (this.#freed !== undefined) return;
    this.#finish(new ConnectionError(`Cannot read from ${this.peer}: ${describeSocketError(cause)}`, { cause }));
    const error = this.writeFailed(cause);
    this.#writing?.error(error);
    this.#free();
  }

  /**
   * For the channel: a write failed; returns the error to throw. Reading goes on, because what the far end sent before
   * it hung up, often the reason, may still have to be read.
   */
  writeFailed(cause: unknown): ConnectionError {
    this.#writeError ??= new ConnectionError(`Cannot write to ${this.peer}: ${describeSocketError(cause)}`, { cause });
    if (this.#ended !== undefined) this.#free();
    return this.#writeError;
  }

  /** Gives up both directions at once and frees the socket. */
  close(): Promise<void> {
    if (this.#writeError === undefined) {
      this.#writeError = this.#closedError();
      this.#writing?.error(this.#writeError);
    }
    if (this.#ended === undefined) {
      this.#kept = undefined;
      if (this.#sink !== undefined) this.#paused = false;
      this.#finish(undefined);
    }
    return this.#free();
  }

  #checkStreams(): void {
    if (this.#isDirect) throw new TypeError(`Cannot use the streams of ${this.peer}: it is used directly`);
  }

  #finish(error: ConnectionError | undefined): void {
    this.#ended ??= { error, told: false };
    if (!this.#paused) this.#tell();
  }

  #tell(): void {
    const { error, told } = this.#ended!;
    this.#ended!.told = true;
    if (!told) this.#sink?.done(error);
  }

  #free(): Promise<void> {
    // A failure to free is swallowed: it is gone either way, and nobody could do better with the reason.
    return this.#freed ??= Promise.resolve().then(() => this.#channel.destroy()).catch(() => {});
  }

  #closedError(): ConnectionError {
    return new ConnectionError(`Cannot write to ${this.peer}: the connection is closed`);
  }
}

/** Bytes of a block, where reads are small, and at most. */
const USUAL = 4 * 1024;
const MOST = 64 * 1024;

/**
 * Memory to read into, for runtimes that read into the caller's memory. What was read is never written to again, as
 * frames keep views on it, unless it is released; so small reads share a block, one behind the other, instead of
 * spending one each. The first block is for CONNECTED and a thousand idle connections; blocks grow while single reads
 * fill them.
 */
export class ReadBuffer {
  readonly #room: () => Uint8Array | undefined;
  #own: Uint8Array | undefined; // of the sink: where the read that is under way goes
  #block = new Uint8Array(512);
  #used = 0;
  #filled = false;
  #mayRelease = false;

  /** Blocks for what has no place of its own: `room` is asked for one before each read. */
  constructor(room: () => Uint8Array | undefined = () => undefined) {
    this.#room = room;
  }

  /** Where to read to. */
  get space(): Uint8Array {
    this.#own = this.#room();
    if (this.#own !== undefined) return this.#own;
    const { length } = this.#block;
    this.#mayRelease = false; // from here on a read may be under way, to the place behind
    // With less than half of it left, reads would become too small to be worth their system call.
    if (length - this.#used < length / 2) {
      this.#block = new Uint8Array(this.#filled ? Math.min(length * 8, MOST) : Math.max(length, USUAL));
      this.#used = 0;
    }
    return this.#used === 0 ? this.#block : this.#block.subarray(this.#used);
  }

  /** The first `length` bytes of {@linkcode ReadBuffer.space}, which have just been read. */
  take(length: number): Uint8Array {
    if (this.#own !== undefined) return this.#own.subarray(0, length);
    const start = this.#used;
    // A heart-beat: those of a day are not to use up a block.
    if (length <= 2) return this.#block.slice(start, start + length);
    this.#used += length;
    this.#filled = this.#used === this.#block.length;
    this.#mayRelease = true;
    return this.#block.subarray(start, this.#used);
  }

  /** Takes back what {@linkcode ReadBuffer.take} gave last; in vain once {@linkcode ReadBuffer.space} was asked for. */
  release(bytes: Uint8Array): void {
    const isLast = bytes.buffer === this.#block.buffer && bytes.byteOffset + bytes.length === this.#used;
    const mayGrow = this.#filled && this.#block.length < MOST;
    if (this.#mayRelease && isLast && !mayGrow) this.#used = bytes.byteOffset;
    this.#mayRelease = false; // what is before it now was not given last
  }
}

/** What the runtimes call the failures that people meet: by code where there is one, else by their words. */
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
    "its certificate is from an unknown issuer (an authority of your own goes into tls.caCerts)",
  ],
  [/CERTIFICATE_REQUIRED|CertificateRequired/, "it asks for a client certificate (tls.cert and tls.key)"],
  [/WRONG_VERSION_NUMBER|InvalidContentType/, "it does not speak TLS (brokers have another port for TLS)"],
  [/before secure TLS connection|unexpected end of file|UnexpectedEof|handshake eof/, "it closed the connection"],
  [/ECONNRESET|EPIPE|ECONNABORTED|BrokenPipe/, "connection reset"],
];

/** Why something failed, in a few words that fit behind a colon; never with the bytes of a key or a certificate. */
export function describeSocketError(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const told = `${"code" in cause ? cause.code : ""} ${cause.name}: ${cause.message}`;
  const known = REASONS.find(([pattern]) => pattern.test(told));
  // Where the runtime's own words are all there is: their first line, without OpenSSL's file names behind it.
  if (known !== undefined) return known[1];
  return cause.message.split(/[\r\n]/, 1)[0]!.replace(/[.\s]+$/, "") || cause.name;
}
