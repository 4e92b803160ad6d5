/**
 * TCP and TLS over Deno's own sockets. Needs `--allow-net` and nothing else.
 *
 * @module
 */
import type { Socket } from "node:net";
import type nodeProcess from "node:process";
import { type ByteChannel, ChannelTransport, failureReason, ReadBlocks } from "./channel.ts";
import { ConnectionError } from "../base/errors.ts";
import {
  addressText,
  type Listener,
  type SocketAdapter,
  type SocketAddress,
  type TlsOptions,
  type Transport,
} from "./transport.ts";

declare const process: typeof nodeProcess;

/** The adapter for Deno. */
export const denoAdapter: SocketAdapter = { connect, listen };

async function connect(address: SocketAddress): Promise<Transport> {
  const { tls, signal } = address;
  signal?.throwIfAborted();
  try {
    const tcp = await connectTcp(address);
    setNoDelay(tcp);
    if (tls === undefined) return toTransport(tcp, addressText(address));
    if (tls.cert !== undefined || tls.key !== undefined) return await startNodeTls(tcp, address);
    return toTransport(await startTls(tcp, address, tls), addressText(address));
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof ConnectionError) throw cause;
    throw new ConnectionError(`Cannot connect to ${addressText(address)}: ${failureReason(cause)}`, { cause });
  }
}

function setNoDelay(conn: Deno.TcpConn): void {
  try {
    conn.setNoDelay(true);
  } catch {
    // Some systems refuse when the far end has hung up already; whoever reads will be told.
  }
}

/** Milliseconds between the wish to cancel a connection and the cancelling. */
const CANCEL_DELAY = 20;

async function connectTcp({ hostname, port, signal }: SocketAddress): Promise<Deno.TcpConn> {
  if (signal === undefined) return await Deno.connect({ hostname, port });
  // Deno forgets to close a connection that was made in the very turn in which the signal is aborted. A little later it
  // either has been made, and is closed here, or it is one that takes its time, and is cancelled.
  const attempt = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const abort = () => void (timer = setTimeout(() => attempt.abort(signal.reason), CANCEL_DELAY));
  signal.addEventListener("abort", abort, { once: true });
  try {
    const conn = await Deno.connect({ hostname, port, signal: attempt.signal });
    if (signal.aborted) conn.close();
    signal.throwIfAborted();
    return conn;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

async function startTls(
  tcp: Deno.TcpConn,
  { hostname, signal }: SocketAddress,
  tls: TlsOptions,
): Promise<Deno.TlsConn> {
  const conn = await Deno.startTls(tcp, {
    hostname: tls.serverName ?? hostname,
    caCerts: tls.caCerts ?? [],
    unsafelyDisableHostnameVerification: tls.unsafelyDisableHostnameVerification ?? false,
  }).catch((error) => {
    tcp[Symbol.dispose](); // A name that cannot be one is refused before the socket is taken over.
    throw error;
  });
  const abort = () => conn[Symbol.dispose]();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    signal?.throwIfAborted();
    // Without this the handshake would wait for the first read or write, and fail there.
    await conn.handshake();
    signal?.throwIfAborted();
    return conn;
  } catch (error) {
    conn[Symbol.dispose](); // as `close`, but may be called twice
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/**
 * TLS with a client certificate, by the `node:tls` that Deno has. Deno's own `startTls` takes none; its `connectTls`
 * does, but cannot be cancelled and leaves Nagle's algorithm on. `node:tls` connecting by itself would not do either: it
 * goes on reading, without bounds, when its socket is paused. So it works on a stream that stops.
 */
async function startNodeTls(tcp: Deno.TcpConn, address: SocketAddress): Promise<Transport> {
  const { dial, toTransport } = await import("./transport_node.ts");
  const { Duplex } = process.getBuiltinModule("node:stream");
  let secured: Socket | undefined;
  const blocks = new ReadBlocks();
  const socket = new Duplex({
    async read() {
      if (secured?.isPaused()) await new Promise((resolve) => secured!.once("resume", resolve));
      tcp.read(blocks.space).then(
        (length) => this.push(length === null ? null : blocks.take(length)),
        (error) => this.destroy(error),
      );
    },
    write(bytes: Uint8Array, _encoding, done) {
      const writeRest = async (written: number) => {
        while (written < bytes.length) written += await tcp.write(bytes.subarray(written));
      };
      writeRest(0).then(() => done(), done);
    },
    final(done) {
      tcp.closeWrite().then(() => done(), done);
    },
    destroy(error, done) {
      tcp[Symbol.dispose]();
      done(error);
    },
  });
  try {
    return await dial(address, (socket) => toTransport(secured = socket, addressText(address)), { socket });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function toTransport(conn: Deno.TcpConn | Deno.TlsConn, peer: string): Transport {
  return new DenoChannel(conn, peer).transport;
}

class DenoChannel implements ByteChannel {
  readonly transport: ChannelTransport;
  readonly #conn: Deno.TcpConn | Deno.TlsConn;
  readonly #blocks = new ReadBlocks(() => this.transport.room());
  #reading: Promise<void> | undefined;
  #writing: Promise<unknown> | undefined;

  constructor(conn: Deno.TcpConn | Deno.TlsConn, peer: string) {
    this.#conn = conn;
    this.transport = new ChannelTransport(peer, this);
  }

  pull(): void {
    this.#reading ??= this.#conn.read(this.#blocks.space).then(this.#onRead, this.#onReadError);
  }

  release(bytes: Uint8Array): void {
    this.#blocks.release(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    const promise = this.#conn.write(bytes).then(
      (length) => length === bytes.length ? undefined : this.#writeRest(bytes.subarray(length)),
      (error) => {
        throw this.transport.writeFailed(error);
      },
    );
    this.#writing = promise;
    return promise;
  }

  shutdown(): Promise<void> {
    return this.#conn.closeWrite();
  }

  async destroy(): Promise<void> {
    this.#conn.close();
    // Closing cancels both; a caller who has awaited this finds nothing of the socket left.
    await Promise.allSettled([this.#reading, this.#writing]);
  }

  readonly #onRead = (length: number | null): void => {
    this.#reading = undefined;
    if (length === null) this.transport.atEnd();
    else if (this.transport.deliver(this.#blocks.take(length))) this.pull();
  };

  readonly #onReadError = (error: unknown): void => {
    this.#reading = undefined;
    this.transport.fail(error);
  };

  async #writeRest(bytes: Uint8Array): Promise<void> {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.#conn.write(bytes));
    } catch (error) {
      throw this.transport.writeFailed(error);
    }
  }
}

// deno-lint-ignore require-await -- what fails at once must reject, as it does in the other adapters
async function listen(
  address: { hostname: string; port: number },
  accept: (transport: Transport) => void,
): Promise<Listener> {
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: address.hostname, port: address.port });
  } catch (cause) {
    throw new ConnectionError(`Cannot listen on ${addressText(address)}: ${failureReason(cause)}`, { cause });
  }
  let open = true;
  let wake = () => {};
  const accepting = (async () => {
    while (open) {
      let conn: Deno.TcpConn;
      try {
        conn = await listener.accept();
      } catch {
        // Out of file handles, or a peer that gave up while it waited. Neither is the end, but the first would spin.
        if (open) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, 20);
            wake = () => (clearTimeout(timer), resolve());
          });
        }
        continue;
      }
      setNoDelay(conn);
      accept(toTransport(conn, addressText(conn.remoteAddr)));
    }
  })();
  return {
    hostname: listener.addr.hostname,
    port: listener.addr.port,
    async close() {
      if (open) {
        open = false;
        listener.close();
        wake();
      }
      await accepting;
    },
  };
}
