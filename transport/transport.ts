/**
 * What carries the bytes: a pair of Web Streams whose end always settles.
 *
 * A transport is a value. The modules above do not care whether a socket or a WebSocket is behind it.
 *
 * @module
 */
import { type ByteSink, describeSocketError, type DirectIo } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";

/** A two-way byte stream. */
export interface Transport {
  /**
   * What the peer sends. Ends when the peer closed its side cleanly, and errors with a `ConnectionError` when the
   * connection broke. Not reading it is back-pressure: the peer is slowed down after a bounded amount.
   */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * What goes to the peer. `write` settles when the transport has taken the bytes, so awaiting it is back-pressure; the
   * bytes are not kept after that. `close` closes this direction (FIN) and leaves reading open.
   */
  readonly writable: WritableStream<Uint8Array>;
  /** The name of the peer for messages, for example `127.0.0.1:61613`. Never holds a user or a password. */
  readonly peer: string;
  /**
   * Gives up both directions at once and frees the socket. A pending read ends, a pending write rejects with a
   * `ConnectionError`. Idempotent; always resolves, never rejects.
   */
  close(): Promise<void>;
  /**
   * Returns both directions as plain calls, which cost less than streams, and locks the streams. Optional:
   * {@linkcode directIo} works with any transport.
   *
   * @throws {TypeError} when the streams are in use.
   */
  direct?(): DirectIo;
}

/** How TLS is done. Certificates are always verified. */
export interface TlsOptions {
  /**
   * The certificate authorities to trust, PEM. They replace those of the system where the runtime allows it.
   *
   * @default {the authorities of the runtime}
   */
  caCerts?: string[];
  /** The client's certificate chain, PEM, for brokers that ask for one. */
  cert?: string;
  /** The private key of `cert`, PEM. */
  key?: string;
  /**
   * The name that the broker's certificate must have, and that is sent as SNI.
   *
   * @default {the host connected to}
   */
  serverName?: string;
  /**
   * Accepts a certificate of a trusted authority that was made for another host. The chain is still verified.
   *
   * @default {false}
   */
  unsafelyDisableHostnameVerification?: boolean;
}

/** Where to connect, and how. */
export interface SocketAddress {
  /** Host name or IP address. */
  hostname: string;
  /** TCP port. */
  port: number;
  /** TLS options. TLS is used when they are present; `{}` means the defaults. */
  tls?: TlsOptions | undefined;
  /** Ends the attempt; the call then rejects with the signal's reason and leaves no socket behind. */
  signal?: AbortSignal | undefined;
}

/** A listening socket. */
export interface Listener {
  /** The address listened on. */
  readonly hostname: string;
  /** The port listened on: the one that the system chose, if 0 was asked for. */
  readonly port: number;
  /** Stops listening; accepted connections live on. Idempotent. */
  close(): Promise<void>;
}

/** What the adapter of a runtime offers; `open.ts` picks the adapter. */
export interface SocketAdapter {
  /** Opens a TCP or TLS connection. Rejects with a `ConnectionError` that names the address and keeps the cause. */
  connect(address: SocketAddress): Promise<Transport>;
  /** Listens on TCP and hands every accepted connection to `accept`. */
  listen(address: { hostname: string; port: number }, accept: (transport: Transport) => void): Promise<Listener>;
}

/**
 * Returns both directions of a transport as plain calls: its own if it has them, else calls over its streams. The streams
 * are locked afterwards.
 *
 * @throws {TypeError} when the streams are in use.
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
