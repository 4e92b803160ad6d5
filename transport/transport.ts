/**
 * What carries the bytes: a pair of Web Streams with an end that always settles, and an in-memory pair of them.
 *
 * A transport is a value. Everything above this module takes one and does not care whether a socket, a WebSocket or
 * two queues in memory are behind it.
 *
 * @module
 */
import {
  type ByteSink,
  describeSocketError,
  type DirectIo,
  type SocketDriver,
  SocketTransport,
} from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import { Fifo } from "../base/fifo.ts";

/** A two-way byte stream. */
export interface Transport {
  /**
   * What the far end sends. Ends when the far end closed its side in order, and errors with a `ConnectionError` when
   * the connection broke. Not reading it is back-pressure: the far end is slowed down after a bounded amount.
   */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * What goes to the far end. `write` settles when the transport has taken the bytes, so awaiting it is back-pressure;
   * the bytes are not kept after that. `close` says that nothing more will come (FIN) and leaves reading open.
   */
  readonly writable: WritableStream<Uint8Array>;
  /** Name of the far end for people, for example `127.0.0.1:61613`. Never holds a user or a password. */
  readonly peer: string;
  /**
   * Gives up both directions at once and frees the socket. A read that waits ends, a write that waits rejects with a
   * `ConnectionError`. Idempotent; always resolves, never rejects.
   */
  close(): Promise<void>;
  /**
   * Takes both directions away from the streams, and gives them as plain calls that cost less. A transport need not
   * have it; {@linkcode directIo} works with any. Afterwards the streams cannot be used; throws a `TypeError` when they
   * are in use already.
   */
  direct?(): DirectIo;
}

/** How TLS is done. Certificates are verified against the runtime's own authorities unless `caCerts` is given. */
export interface TlsOptions {
  /** Certificate authorities to trust, PEM. They take the place of the system's where the runtime allows it. */
  caCerts?: string[];
  /** The client's certificate chain, PEM, for brokers that ask for one. */
  cert?: string;
  /** The private key of `cert`, PEM. */
  key?: string;
  /** The name that the broker's certificate must have, and that is sent as SNI. Default: the host connected to. */
  serverName?: string;
  /**
   * Accepts a certificate of a trusted authority that was made for another host. The chain is still verified.
   * Default `false`.
   */
  unsafelyDisableHostnameVerification?: boolean;
}

/** Where to connect, and how. */
export interface SocketAddress {
  /** Host name or IP address. */
  hostname: string;
  /** TCP port. */
  port: number;
  /** TLS options; TLS is used when this is present, with `{}` for the defaults. */
  tls?: TlsOptions | undefined;
  /** Ends the attempt; the call then rejects with the signal's reason and leaves no socket behind. */
  signal?: AbortSignal | undefined;
}

/** A listening socket. */
export interface Listener {
  /** The address listened on. */
  readonly hostname: string;
  /** The port listened on: the one the system chose where 0 was asked for. */
  readonly port: number;
  /** Stops listening; connections already accepted live on. Idempotent. */
  close(): Promise<void>;
}

/** What one runtime's adapter offers; `connect.ts` picks the adapter. */
export interface SocketAdapter {
  /** Opens a TCP or TLS connection. Rejects with a `ConnectionError` that names the address and keeps the cause. */
  connect(address: SocketAddress): Promise<Transport>;
  /** Listens on TCP and hands every accepted connection to `accept`. */
  listen(address: { hostname: string; port: number }, accept: (transport: Transport) => void): Promise<Listener>;
}

/**
 * Both directions of a transport by plain calls: the transport's own where it has them, else over its streams. Either
 * way the streams are locked afterwards; throws a `TypeError` when they are already.
 */
export function directIo(transport: Transport): DirectIo {
  return transport.direct?.() ?? new StreamIo(transport);
}

/** {@linkcode DirectIo} over Web Streams, for a transport that has nothing else. */
class StreamIo implements DirectIo {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #peer: string;
  #goOn: (() => void) | undefined;

  constructor({ readable, writable, peer }: Transport) {
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    this.#peer = peer;
  }

  read(sink: ByteSink): void {
    this.#pump(sink).then(
      () => sink.done(undefined),
      (cause) => sink.done(this.#wrap("read from", cause)),
    );
  }

  resume(): void {
    this.#goOn?.();
    this.#goOn = undefined;
  }

  release(): void {}

  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes).catch((cause) => {
      throw this.#wrap("write to", cause);
    });
  }

  end(): Promise<void> {
    return this.#writer.close().catch((cause) => {
      throw this.#wrap("write to", cause);
    });
  }

  async #pump(sink: ByteSink): Promise<void> {
    while (true) {
      const { value, done } = await this.#reader.read();
      if (done) return;
      if (!sink.chunk(value)) await new Promise<void>((resolve) => this.#goOn = resolve);
    }
  }

  #wrap(action: string, cause: unknown): ConnectionError {
    if (cause instanceof ConnectionError) return cause;
    return new ConnectionError(`Cannot ${action} ${this.#peer}: ${describeSocketError(cause)}`, { cause });
  }
}

/** Host and port for people and for messages: `localhost:61613`, `[::1]:61613`. */
export function addressText({ hostname, port }: { hostname: string; port: number }): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** How a pair of transports in memory is made. */
export interface MemoryPairOptions {
  /** A write waits while the far end has more than this many bytes unread. Default 65,536. */
  highWaterMark?: number;
}

/**
 * Two transports in memory; what is written to one is read from the other. They behave as a socket does: a write is
 * copied, and waits while the far end does not read; closing `writable` ends the far end's `readable` and leaves the
 * other direction open. After `close` the far end still reads what was written before, then the end, and its writes
 * reject with a `ConnectionError`.
 */
export function memoryPair(options: MemoryPairOptions = {}): [Transport, Transport] {
  const ends = [new MemoryEnd(options.highWaterMark), new MemoryEnd(options.highWaterMark)] as const;
  ends[0].far = ends[1];
  ends[1].far = ends[0];
  return [ends[0].transport, ends[1].transport];
}

/** One end of a pair, with what was written to it and not read yet. */
class MemoryEnd implements SocketDriver {
  readonly transport: SocketTransport = new SocketTransport("memory", this);
  far!: MemoryEnd;
  readonly #highWaterMark: number;
  readonly #kept = new Fifo<Uint8Array>();
  #size = 0;
  #wanted = false;
  #scheduled = false;
  #ended = false;
  #gone = false;
  /** Settles the far end's write that waits for space. */
  #space: { resolve: () => void; reject: (error: ConnectionError) => void } | undefined;

  constructor(highWaterMark = 64 * 1024) {
    this.#highWaterMark = highWaterMark;
  }

  pull(): void {
    this.#wanted = true;
    this.#schedule();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    if (this.far.#gone) throw this.#hungUp();
    return this.far.#receive(new Uint8Array(bytes)); // a copy; `slice` of a `Buffer` would be none
  }

  shutdown(): void {
    this.far.#end();
  }

  destroy(): void {
    this.#gone = true;
    this.#kept.clear();
    this.#space?.reject(this.far.#hungUp());
    this.far.#space?.reject(this.#hungUp());
    this.far.#end();
  }

  #receive(bytes: Uint8Array): Promise<void> | void {
    this.#kept.push(bytes);
    this.#size += bytes.length;
    this.#schedule();
    if (this.#size > this.#highWaterMark) {
      return new Promise((resolve, reject) => this.#space = { resolve, reject });
    }
  }

  #end(): void {
    this.#ended = true;
    this.#wanted ||= this.#kept.length === 0;
    this.#schedule();
  }

  /** Hands over in a microtask, so that two ends that answer each other do not do it in ever deeper calls. */
  #schedule(): void {
    if (this.#scheduled || !this.#wanted) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      while (this.#wanted && this.#kept.length > 0) {
        const bytes = this.#kept.shift()!;
        this.#size -= bytes.length;
        this.#wanted = this.transport.deliver(bytes);
      }
      if (this.#size <= this.#highWaterMark) this.#space?.resolve();
      if (this.#ended && this.#kept.length === 0) this.transport.atEnd();
    });
  }

  #hungUp(): ConnectionError {
    return this.transport.writeFailed(new Error("the far end has closed the connection"));
  }
}
