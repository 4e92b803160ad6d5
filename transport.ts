/**
 * What carries the bytes: a pair of Web Streams with an end that always settles, and an in-memory pair of them.
 *
 * A transport is a value. Everything above this module takes one and does not care whether a socket, a WebSocket or
 * two queues in memory are behind it.
 *
 * @module
 */
import { ConnectionError } from "./errors.ts";

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
