/**
 * TCP and TLS over `node:net` and `node:tls`: for Node, and for what the sockets of Deno and Bun cannot do, as both
 * have these modules too.
 *
 * @module
 */
import type net from "node:net";
import type nodeProcess from "node:process";
import type { Duplex } from "node:stream";
import type tls from "node:tls";
import { describeSocketError, ReadBuffer, type SocketDriver, SocketTransport } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import {
  addressText,
  type Listener,
  type SocketAdapter,
  type SocketAddress,
  type TlsOptions,
  type Transport,
} from "./transport.ts";

// Asked for by name at run time, so that no `import` of a Node module stands in what a bundler makes for browsers.
const { process } = globalThis as unknown as { process: typeof nodeProcess };
const { createServer, isIP, Socket } = process.getBuiltinModule("node:net");
const { createPrivateKey, X509Certificate } = process.getBuiltinModule("node:crypto");
const { connect: connectTls, checkServerIdentity } = process.getBuiltinModule("node:tls");

/** The adapter for Node. */
export const nodeAdapter: SocketAdapter = { connect, listen };

function connect(address: SocketAddress): Promise<Transport> {
  const reader = IS_NODE ? new BlockReader() : undefined;
  const use = (socket: net.Socket) => toTransport(socket, addressText(address), { reader });
  return dial(address, use, reader && { onread: reader });
}

/** Deno and Bun have these modules too, but what follows is about the inside of Node's own. */
const IS_NODE = process.versions["deno"] === undefined && process.versions["bun"] === undefined;

/**
 * The `onread` option of a socket: it reads into memory of ours and skips Node's own stream. That costs less, and no
 * data is kept where an error would throw it away.
 */
class BlockReader implements net.OnReadOpts {
  readonly blocks: ReadBuffer = new ReadBuffer(() => this.room());
  onData!: (bytes: Uint8Array) => void;
  room: () => Uint8Array | undefined = () => undefined;
  readonly buffer = (): Uint8Array => this.blocks.space;
  readonly callback = (length: number): boolean => {
    this.onData(this.blocks.take(length));
    return true;
  };
}

/**
 * Node destroys a socket when a write fails, with all that was received and not read. But it is then that something was
 * said: a broker sends ERROR and hangs up, and whoever was sending has the reset before the reason. This socket goes on
 * reading until the system says that there is no more.
 */
class PatientSocket extends Socket {
  #writeFailed = false;

  override destroy(error?: Error & { syscall?: string }): this {
    if (error?.syscall === "write" && !this.#writeFailed && !this.readableEnded) {
      this.#writeFailed = true;
      return this;
    }
    return super.destroy(error);
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    // The end. A stream with a failed write does not tell of it.
    if (chunk === null && this.#writeFailed) this.destroy();
    return super.push(chunk, encoding);
  }
}

/**
 * Opens a TCP or TLS connection and gives its socket to `use` in the very event that says it is ready, before any data
 * can arrive. Rejects as {@linkcode SocketAdapter.connect} does, with nothing left open.
 *
 * @param way `onread` as `node:net` has it; or `socket`, a stream that is connected already, for TLS over it.
 */
export function dial<T>(
  address: SocketAddress,
  use: (socket: net.Socket) => T,
  way: { onread?: net.OnReadOpts; socket?: Duplex } = {},
): Promise<T> {
  const { hostname, port, signal } = address;
  return new Promise<T>((resolve, reject) => {
    signal?.throwIfAborted();
    const fail = (cause: unknown) =>
      new ConnectionError(`Cannot connect to ${addressText(address)}: ${describeSocketError(cause)}`, { cause });
    const options = { host: hostname, port, allowHalfOpen: true, noDelay: true, ...way };
    let socket: net.Socket;
    try {
      socket = address.tls === undefined
        ? new (IS_NODE ? PatientSocket : Socket)(options).connect(options)
        : connectTls({
          ...options,
          // Deno sends it as the name where there is none to send.
          ...(way.socket !== undefined && { host: address.tls.serverName ?? hostname }),
          ...tlsOptions(address.tls, hostname),
        });
    } catch (cause) {
      return reject(fail(cause)); // a certificate or key that is none
    }
    let cause: unknown;
    const onReady = () => {
      // No runtime comes here with a certificate that it did not verify; but one did, in another of its interfaces.
      if (address.tls !== undefined && !(socket as tls.TLSSocket).authorized) {
        return onError((socket as tls.TLSSocket).authorizationError);
      }
      socket.off("error", onError);
      socket.off("close", onClose);
      signal?.removeEventListener("abort", abort);
      socket.setNoDelay(true); // node:tls does not look at the option
      resolve(use(socket));
    };
    const onError = (error: unknown) => {
      cause ??= error;
      socket.destroy();
    };
    // Only once it is closed is nothing left of it.
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
 * The time within which the certificate at the other end of a TCP connection is valid, for the reason of an error:
 * nothing is verified and nothing is sent. `undefined` when there is no certificate to be seen. Ends the connection.
 */
export function certificateDates(
  socket: net.Socket,
  { hostname, tls = {}, signal }: SocketAddress,
): Promise<{ from: number; to: number } | undefined> {
  return new Promise((resolve) => {
    const host = tls.serverName ?? hostname;
    const secured = connectTls({ socket, host, servername: isIP(host) ? "" : host, rejectUnauthorized: false });
    const settle = (dates?: { from: number; to: number }) => {
      signal?.removeEventListener("abort", abort);
      secured.destroy();
      resolve(dates);
    };
    const abort = () => settle();
    secured.once("secureConnect", () => {
      const { valid_from, valid_to } = secured.getPeerCertificate();
      settle({ from: Date.parse(valid_from), to: Date.parse(valid_to) });
    });
    secured.on("error", abort);
    secured.on("close", abort);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** What `node:tls` calls the options, all of them said; throws when the key is none. */
export function tlsOptions(options: TlsOptions, hostname: string): tls.ConnectionOptions {
  checkPem(options);
  const name = options.serverName ?? hostname;
  return {
    // TLS has no server names that are IP addresses; the certificate is checked against one all the same.
    servername: isIP(name) ? "" : name,
    checkServerIdentity: options.unsafelyDisableHostnameVerification
      ? () => undefined
      : (_host, certificate) => checkServerIdentity(name, certificate),
    // Said in so many words, because NODE_TLS_REJECT_UNAUTHORIZED=0 would change the default.
    rejectUnauthorized: true,
    ...(options.caCerts?.length && { ca: options.caCerts }),
    ...(options.cert !== undefined && { cert: options.cert }),
    ...(options.key !== undefined && { key: options.key }),
  };
}

/** How a socket is read. */
interface Way {
  /** What the socket was made with, where data does not come by the `data` event. */
  reader?: BlockReader | undefined;
  /** Starts and stops the reading of a socket that reads on when it is paused. */
  reading?: { start(): void; stop(): void };
}

/**
 * Checks what the runtimes do not, or in words of OpenSSL: a key that cannot be read Deno would go without, an authority
 * that cannot be read Node would.
 */
export function checkPem({ caCerts = [], cert, key }: TlsOptions): void {
  for (const pem of caCerts) parse("one of tls.caCerts", () => new X509Certificate(pem));
  if (cert === undefined || key === undefined) return;
  const certificate = parse("tls.cert", () => new X509Certificate(cert));
  const privateKey = parse("tls.key", () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) throw new Error("tls.key is not the key of tls.cert");
}

function parse<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(`${what} cannot be read: it is not a valid PEM text`, { cause });
  }
}

/** A transport over a connected socket. */
export function toTransport(socket: net.Socket, peer: string, way: Way = {}): SocketTransport {
  return new NodeChannel(socket, peer, way).transport;
}

/** How long data that is unsent at the end may take to be sent, where the runtime would wait for ever. */
const UNSENT_GRACE_MS = 500;

class NodeChannel implements SocketDriver {
  readonly transport: SocketTransport;
  readonly #socket: net.Socket;
  readonly #reader: BlockReader | undefined;
  readonly #reading: Way["reading"];
  #closed = false;
  #unwritten = 0;
  #onSent: (() => void) | undefined; // the socket is to be destroyed
  #waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(socket: net.Socket, peer: string, { reader, reading }: Way) {
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
      reader.room = () => transport.room();
    } else {
      // Not as a `Buffer`, whose `slice` does not copy as the one of every other `Uint8Array` does.
      socket.on("data", (chunk: Buffer) => onData(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)));
    }
    socket.on("end", () => transport.atEnd());
    socket.on("error", (error) => transport.fail(error));
    socket.on("close", () => {
      this.#closed = true;
      this.#waiting?.reject(transport.writeFailed(new Error("the connection is closed"))); // Bun may not tell
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
    // Nothing left over: the system has taken it, and there is no need to wait a turn for being told so.
    if (socket.writableLength === 0 && !socket.errored) return;
    return new Promise((resolve, reject) => this.#waiting = { resolve, reject });
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
      // With data unsent, Bun would keep the socket for as long as the far end takes nothing. What it takes soon is sent.
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
    this.#reader?.blocks.release(bytes);
  }

  readonly #onWritten = (error?: Error | null): void => {
    this.#unwritten--;
    if (error) this.#waiting?.reject(this.transport.writeFailed(error));
    else if (this.#unwritten === 0) this.#waiting?.resolve();
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
      server.on("error", () => {}); // out of file handles, say: the next connection may be accepted again
      const { address: hostname, port } = server.address() as net.AddressInfo;
      resolve({
        hostname,
        port,
        close() {
          // Not awaited: Node says that it is closed only when the last of its connections has ended.
          server.close();
          return Promise.resolve();
        },
      });
    });
  });
}
