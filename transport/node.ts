/**
 * TCP and TLS over `node:net` and `node:tls`: for Node, and for what the sockets of Deno and Bun cannot do. Both have
 * these modules as well.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";
import type net from "node:net";
import type nodeProcess from "node:process";
import type { Duplex } from "node:stream";
import type tls from "node:tls";
import { ReadBuffer } from "./read_buffer.ts";
import { describeSocketError, type SocketDriver, SocketTransport } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import { addressText } from "./address.ts";
import type { Listener, SocketAdapter, SocketAddress, TlsOptions, Transport } from "./transport.ts";

// Looked up at run time, so that a bundle for browsers has no `import` of a Node module.
const { process } = globalThis as unknown as { process: typeof nodeProcess };
const { createServer, isIP, Socket } = process.getBuiltinModule("node:net");
const { createPrivateKey, X509Certificate } = process.getBuiltinModule("node:crypto");
const { connect: connectTls, checkServerIdentity } = process.getBuiltinModule("node:tls");

/** The adapter for Node. */
export const nodeAdapter: SocketAdapter = { connect, listen };

function connect(address: SocketAddress): Promise<Transport> {
  const reader = IS_NODE ? new OnReadBuffer() : undefined;
  const use = (socket: net.Socket) => toTransport(socket, addressText(address), { reader });
  return dial(address, use, reader && { onread: reader });
}

/** Whether this is Node itself. Deno and Bun have these modules too, but not the inside of Node's own. */
const IS_NODE = process.versions["deno"] === undefined && process.versions["bun"] === undefined;

/**
 * The `onread` option of a socket, which reads into memory of the caller and skips Node's own stream. That costs less, and
 * an error does not drop data that the stream had buffered.
 */
class OnReadBuffer implements net.OnReadOpts {
  readonly memory: ReadBuffer = new ReadBuffer(() => this.readTarget());
  onData!: (bytes: Uint8Array) => void;
  readTarget: () => Uint8Array | undefined = () => undefined;
  readonly buffer = (): Uint8Array => this.memory.space;
  readonly callback = (length: number): boolean => {
    this.onData(this.memory.take(length));
    return true;
  };
}

/**
 * A socket that reads on after a failed write, until the system reports the end. Node destroys a socket when a write
 * fails, and drops what was received and not read. But a broker that refuses something sends ERROR and closes, and a
 * client that is sending meets the reset before that reason.
 */
class ReadsOnSocket extends Socket {
  #writeFailed = false;

  override destroy(error?: Error & { syscall?: string }): this {
    if (error?.syscall === "write" && !this.#writeFailed && !this.readableEnded) {
      this.#writeFailed = true;
      return this;
    }
    return super.destroy(error);
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    // The end of reading: a stream with a failed write does not emit it.
    if (chunk === null && this.#writeFailed) this.destroy();
    return super.push(chunk, encoding);
  }
}

/**
 * Opens a TCP or TLS connection and passes its socket to `use` within the event that it is ready, before any data can
 * arrive. Rejects as {@linkcode SocketAdapter.connect} does, with nothing left open.
 *
 * @param extra `onread` of `node:net`; or `socket`, a connected stream, for TLS over it.
 */
export function dial<T>(
  address: SocketAddress,
  use: (socket: net.Socket) => T,
  extra: { onread?: net.OnReadOpts; socket?: Duplex } = {},
): Promise<T> {
  const { hostname, port, signal } = address;
  return new Promise<T>((resolve, reject) => {
    signal?.throwIfAborted();
    const fail = (cause: unknown) =>
      new ConnectionError(`Cannot connect to ${addressText(address)}: ${describeSocketError(cause)}`, { cause });
    const options = { host: hostname, port, allowHalfOpen: true, noDelay: true, ...extra };
    let socket: net.Socket;
    try {
      socket = address.tls === undefined
        ? new (IS_NODE ? ReadsOnSocket : Socket)(options).connect(options)
        : connectTls({
          ...options,
          // Deno sends this as the server name when there is none to send.
          ...(extra.socket !== undefined && { host: address.tls.serverName ?? hostname }),
          ...tlsOptions(address.tls, hostname),
        });
    } catch (cause) {
      return reject(fail(cause)); // an invalid certificate or key
    }
    let cause: unknown;
    const onReady = () => {
      // No runtime comes here with a certificate that it did not verify; but in another interface one did.
      if (address.tls !== undefined && !(socket as tls.TLSSocket).authorized) {
        return onError((socket as tls.TLSSocket).authorizationError);
      }
      socket.off("error", onError);
      socket.off("close", onClose);
      signal?.removeEventListener("abort", abort);
      socket.setNoDelay(true); // node:tls ignores the option
      resolve(use(socket));
    };
    const onError = (error: unknown) => {
      cause ??= error;
      socket.destroy();
    };
    // Rejects only after the close, so that nothing is left open.
    const onClose = () => {
      signal?.removeEventListener("abort", abort);
      if (signal?.aborted) return reject(signal.reason);
      reject(fail(cause));
    };
    const abort = () => void socket.destroy();
    socket.once(address.tls === undefined ? "connect" : "secureConnect", onReady);
    socket.on("error", onError);
    socket.on("close", onClose);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * Returns when the certificate of the peer is valid, for the reason of an error: nothing is verified and nothing is sent.
 * Returns `undefined` when the peer shows no certificate. Ends the connection.
 */
export function certificateDates(
  socket: net.Socket,
  { hostname, tls = {}, signal }: SocketAddress,
): Promise<{ from: number; to: number } | undefined> {
  return new Promise((resolve) => {
    const host = tls.serverName ?? hostname;
    const secured = connectTls({ socket, host, servername: isIP(host) ? "" : host, rejectUnauthorized: false });
    const finish = (dates?: { from: number; to: number }) => {
      signal?.removeEventListener("abort", abort);
      secured.destroy();
      resolve(dates);
    };
    const abort = () => finish();
    secured.once("secureConnect", () => {
      const { valid_from, valid_to } = secured.getPeerCertificate();
      finish({ from: Date.parse(valid_from), to: Date.parse(valid_to) });
    });
    secured.on("error", abort);
    secured.on("close", abort);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Translates TLS options for `node:tls`, defaults included. Throws when a certificate or the key is invalid. */
export function tlsOptions(options: TlsOptions, hostname: string): tls.ConnectionOptions {
  const key = readPem(options);
  const name = options.serverName ?? hostname;
  return {
    // TLS allows no IP address as a server name, but the certificate is checked against one all the same.
    servername: isIP(name) ? "" : name,
    checkServerIdentity: options.unsafelyDisableHostnameVerification
      ? () => undefined
      : (_host, certificate) => checkServerIdentity(name, certificate),
    // Explicit, because NODE_TLS_REJECT_UNAUTHORIZED=0 would change the default.
    rejectUnauthorized: true,
    ...(options.caCerts?.length && { ca: options.caCerts }),
    ...(options.cert !== undefined && { cert: options.cert }),
    ...(key !== undefined && { key }),
  };
}

/** Whether the PEM text of a key is encrypted, in either of the two formats. */
const IS_ENCRYPTED = /ENCRYPTED/;

/** How a socket is read, if not by its `data` event and `pause`. */
interface ReadControls {
  /** The `onread` option that the socket was made with. */
  reader?: OnReadBuffer | undefined;
  /** Starts and stops reading, for a socket that reads on when it is paused. */
  reading?: { start(): void; stop(): void };
}

/**
 * Checks certificates and key, and returns the key, decrypted. The runtimes report mistakes in OpenSSL's words, or not at
 * all: Deno connects without a key that it cannot read, and Node without an authority that it cannot read. And none of
 * their WebSockets takes a passphrase.
 */
export function readPem({ caCerts = [], cert, key, passphrase }: TlsOptions): string | undefined {
  for (const pem of caCerts) parse("one of tls.caCerts", () => new X509Certificate(pem));
  if (cert === undefined || key === undefined) return undefined;
  const certificate = parse("tls.cert", () => new X509Certificate(cert));
  const isEncrypted = IS_ENCRYPTED.test(key);
  const privateKey = isEncrypted ? decrypt(key, passphrase) : parse("tls.key", () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) throw new Error("tls.key is not the key of tls.cert");
  return isEncrypted ? privateKey.export({ type: "pkcs8", format: "pem" }) as string : key;
}

function decrypt(key: string, passphrase = ""): KeyObject {
  try {
    return createPrivateKey({ key, passphrase });
  } catch (cause) {
    const isWrong = /bad.decrypt/i.test(String((cause as Error).message));
    const why = isWrong
      ? "tls.passphrase is wrong"
      : "tls.passphrase is wrong, or this runtime does not know its encryption (all know aes-256-cbc)";
    throw new Error(`tls.key cannot be decrypted: ${why}`, { cause });
  }
}

function parse<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(`${what} cannot be read: it is not a valid PEM text`, { cause });
  }
}

/** A transport over a connected socket. */
export function toTransport(socket: net.Socket, peer: string, controls: ReadControls = {}): SocketTransport {
  return new NodeDriver(socket, peer, controls).transport;
}

/** How long unsent data may take at the end, in a runtime that would wait forever. */
const UNSENT_GRACE_MS = 500;

class NodeDriver implements SocketDriver {
  readonly transport: SocketTransport;
  readonly #socket: net.Socket;
  readonly #reader: OnReadBuffer | undefined;
  readonly #reading: ReadControls["reading"];
  #closed = false;
  #unwritten = 0;
  #onSent: (() => void) | undefined; // set while `destroy` waits
  #pendingWrite: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(socket: net.Socket, peer: string, { reader, reading }: ReadControls) {
    const transport = this.transport = new SocketTransport(peer, this);
    this.#socket = socket;
    this.#reader = reader;
    this.#reading = reading;
    const onData = (bytes: Uint8Array) => {
      if (transport.deliver(bytes)) return;
      socket.pause();
      reading?.stop();
    };
    if (reader !== undefined) {
      reader.onData = onData;
      reader.readTarget = () => transport.readTarget();
    } else {
      // Not as a `Buffer`, whose `slice` returns a view, unlike the `slice` of any other `Uint8Array`.
      socket.on("data", (chunk: Buffer) => onData(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)));
    }
    socket.on("end", () => transport.atEnd());
    socket.on("error", (error) => transport.fail(error));
    socket.on("close", () => {
      this.#closed = true;
      this.#pendingWrite?.reject(transport.writeFailed(new Error("the connection is closed"))); // Bun may not report it
      transport.atEnd();
    });
  }

  pull(): void {
    if (!this.#socket.isPaused()) return;
    this.#socket.resume();
    this.#reading?.start();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    const socket = this.#socket;
    this.#unwritten++;
    socket.write(bytes, this.#onWritten);
    // The system has taken all of it: no need to wait a turn for the callback.
    if (socket.writableLength === 0 && !socket.errored) return;
    return new Promise((resolve, reject) => this.#pendingWrite = { resolve, reject });
  }

  shutdown(): Promise<void> {
    return new Promise((resolve, reject) => this.#socket.end((error?: Error) => error ? reject(error) : resolve()));
  }

  destroy(): Promise<void> | void {
    if (this.#closed) return;
    return new Promise((resolve) => {
      this.#socket.once("close", () => resolve());
      const { _handle: handle } = this.#socket as { _handle?: { terminate?(): void } };
      if (this.#unwritten === 0 || handle?.terminate === undefined) {
        this.#socket.destroy();
        return;
      }
      // With data unsent, Bun would keep the socket for as long as the peer takes nothing. What it takes soon is sent.
      const end = () => {
        clearTimeout(timer);
        this.#onSent = undefined;
        if (this.#unwritten > 0) handle.terminate!();
        this.#socket.destroy();
      };
      const timer = setTimeout(end, UNSENT_GRACE_MS);
      this.#onSent = end;
    });
  }

  release(bytes: Uint8Array): void {
    this.#reader?.memory.release(bytes);
  }

  readonly #onWritten = (error?: Error | null): void => {
    this.#unwritten--;
    if (error) this.#pendingWrite?.reject(this.transport.writeFailed(error));
    else if (this.#unwritten === 0) this.#pendingWrite?.resolve();
    if (this.#unwritten === 0) this.#onSent?.();
  };
}

function listen(
  address: { hostname: string; port: number },
  accept: (transport: Transport) => void,
): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const peer = addressText({ hostname: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 });
    accept(toTransport(socket, peer));
  });
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      reject(new ConnectionError(`Cannot listen on ${addressText(address)}: ${describeSocketError(cause)}`, { cause }));
    });
    server.listen(address.port, address.hostname, () => {
      server.on("error", () => {}); // for example out of file handles: later connections may be accepted again
      const { address: hostname, port } = server.address() as net.AddressInfo;
      resolve({
        hostname,
        port,
        close() {
          // Not awaited: Node's callback comes only after the last connection has ended.
          server.close();
          return Promise.resolve();
        },
      });
    });
  });
}
