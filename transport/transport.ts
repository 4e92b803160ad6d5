/**
 * What carries the bytes: a pair of Web Streams whose end always settles.
 *
 * A transport is a value. The modules above do not care whether a socket or a WebSocket is behind it.
 *
 * @module
 */
import type { DirectIo } from "./socket_transport.ts";
import { StreamIo } from "./stream_io.ts";

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
   * The passphrase of `key`, if that is encrypted.
   *
   * @default {undefined} `key` is not encrypted
   */
  passphrase?: string;
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

/** Where to connect, as a custom transport gets it: the URL without user and password. */
export interface TransportAddress {
  /** The scheme, in lower case: one of the library's, or any other. */
  readonly scheme: string;
  /** Host name or IP address; IPv6 without brackets. Empty where the URL has none, as in `stomp+unix:///run/broker.sock`. */
  readonly hostname: string;
  /** The port; 0 where the URL has none and the scheme is not one of the library's. */
  readonly port: number;
  /** Whether the scheme is one of the library's that ask for TLS, `stomp+ssl` or `wss`. */
  readonly tls: boolean;
  /**
   * The virtual host, which CONNECT names: for `stomp` and `stomp+ssl` the path of the URL without its first slash, else
   * `/`.
   */
  readonly host: string;
  /** Path and query as the URL has them, not decoded. Only `stomp` and `stomp+ssl` have none: there it is the host. */
  readonly path?: string | undefined;
}

/** What a custom transport is opened with. */
export interface TransportRequest {
  /** Aborts when the attempt is given up: at its deadline, or because the client is closed. */
  readonly signal: AbortSignal;
  /** Milliseconds that are left for the attempt; `Infinity` for no limit. */
  readonly timeout: number;
  /** The TLS options of the client. */
  readonly tls: TlsOptions | undefined;
}

/** What a custom transport returns: a {@linkcode Transport}, of which only the streams are needed. */
export interface TransportStreams {
  /** What the broker sends, as chunks that are not written to again. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What goes to the broker. */
  readonly writable: WritableStream<Uint8Array>;
  /**
   * The name of the broker for messages. Must not hold a password.
   *
   * @default {host and port of the URL, or its path}
   */
  readonly peer?: string | undefined;
  /**
   * Frees the connection at once. The streams are cancelled and aborted as well.
   *
   * @default {the streams are cancelled and aborted}
   */
  readonly close?: (() => unknown) | undefined;
}

/** Opens a connection in place of the library. */
export type TransportFactory = (
  address: TransportAddress,
  request: TransportRequest,
) => TransportStreams | Promise<TransportStreams>;

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
