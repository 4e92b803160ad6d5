/**
 * TCP over Deno's own sockets, and TLS over the `node:tls` that Deno has. Needs `--allow-net` and nothing else.
 *
 * @module
 */
import { ReadBuffer } from "./read_buffer.ts";
import { describeSocketError, type SocketDriver, SocketTransport } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import { addressText } from "./address.ts";
import type { Listener, SocketAdapter, SocketAddress, Transport } from "./transport.ts";

/** The adapter for Deno. */
export const denoAdapter: SocketAdapter = { connect, listen };

async function connect(address: SocketAddress): Promise<Transport> {
  const { tls, signal } = address;
  signal?.throwIfAborted();
  if (tls !== undefined) return await connectTls(address);
  try {
    const tcp = await connectTcp(address);
    setNoDelay(tcp);
    return new DenoDriver(tcp, addressText(address)).transport;
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ConnectionError(`Cannot connect to ${addressText(address)}: ${describeSocketError(cause)}`, { cause });
  }
}

function setNoDelay(conn: Deno.TcpConn): void {
  try {
    conn.setNoDelay(true);
  } catch {
    // Some systems refuse when the peer has closed already, which the next read will report.
  }
}

/** How long after the abort of its signal an attempt to connect is cancelled. */
const CANCEL_DELAY_MS = 20;

async function connectTcp({ hostname, port, signal }: SocketAddress): Promise<Deno.TcpConn> {
  if (signal === undefined) return await Deno.connect({ hostname, port });
  // Deno forgets to close a connection that was made in the same turn in which the signal aborts. A little later it has
  // either been made, and is closed here, or it takes long, and is cancelled.
  const attempt = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const abort = () => void (timer = setTimeout(() => attempt.abort(signal.reason), CANCEL_DELAY_MS));
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

/**
 * Connects with TLS by `node:tls`, because Deno's own TLS keeps the sockets of abandoned handshakes, and of
 * connections that were closed with data unsent: `docs/decisions.md` has the fault and the figures.
 *
 * Deno's `node:tls` reads on when its socket is paused, so the TCP socket below is stopped and started.
 */
async function connectTls(address: SocketAddress): Promise<Transport> {
  const { certificateDates, dial, toTransport } = await import("./node.ts");
  const connectTcp = () => dial({ ...address, tls: undefined }, (socket) => socket);
  const tcp = await connectTcp();
  const { _handle: handle } = tcp as unknown as { _handle: { readStart(): void; readStop(): void } };
  const reading = { start: () => handle.readStart(), stop: () => handle.readStop() };
  try {
    return await dial(address, (socket) => toTransport(socket, addressText(address), { reading }), { socket: tcp });
  } catch (error) {
    tcp.destroy();
    const { cause } = error as { cause?: Error & { code?: string } };
    if (cause?.code !== "UNABLE_TO_VERIFY_LEAF_SIGNATURE") throw error;
    // Deno's code for every certificate that it refuses, for wrong dates as well.
    const dates = await connectTcp().then((tcp) => certificateDates(tcp, address)).catch(() => undefined);
    address.signal?.throwIfAborted();
    const now = Date.now();
    if (dates === undefined || (dates.from <= now && now <= dates.to)) throw error;
    const code = dates.to < now ? "CERT_HAS_EXPIRED" : "CERT_NOT_YET_VALID";
    const reason = describeSocketError(Object.assign(new Error(cause.message), { code }));
    throw new ConnectionError(`Cannot connect to ${addressText(address)}: ${reason}`, { cause });
  }
}

class DenoDriver implements SocketDriver {
  readonly transport: SocketTransport;
  readonly #conn: Deno.TcpConn;
  readonly #buffer = new ReadBuffer(() => this.transport.readTarget());
  #reading: Promise<void> | undefined;
  #writing: Promise<unknown> | undefined;

  constructor(conn: Deno.TcpConn, peer: string) {
    this.#conn = conn;
    this.transport = new SocketTransport(peer, this);
  }

  pull(): void {
    this.#reading ??= this.#conn.read(this.#buffer.space).then(this.#onRead, this.#onReadError);
  }

  release(bytes: Uint8Array): void {
    this.#buffer.release(bytes);
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
    // Closing cancels both. A caller that has awaited this finds nothing of the socket left.
    await Promise.allSettled([this.#reading, this.#writing]);
  }

  readonly #onRead = (length: number | null): void => {
    this.#reading = undefined;
    if (length === null) this.transport.atEnd();
    else if (this.transport.deliver(this.#buffer.take(length))) this.pull();
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

/** How long accepting rests after a failure. */
const ACCEPT_RETRY_MS = 20;

// deno-lint-ignore require-await -- a failure must reject, as in the other adapters
async function listen(
  address: { hostname: string; port: number },
  accept: (transport: Transport) => void,
): Promise<Listener> {
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: address.hostname, port: address.port });
  } catch (cause) {
    throw new ConnectionError(`Cannot listen on ${addressText(address)}: ${describeSocketError(cause)}`, { cause });
  }
  let open = true;
  let wake = () => {};
  const accepting = (async () => {
    while (open) {
      let conn: Deno.TcpConn;
      try {
        conn = await listener.accept();
      } catch {
        // Out of file handles, or a peer that gave up while it waited. Accepting continues; the first would spin.
        if (open) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, ACCEPT_RETRY_MS);
            wake = () => (clearTimeout(timer), resolve());
          });
        }
        continue;
      }
      setNoDelay(conn);
      accept(new DenoDriver(conn, addressText(conn.remoteAddr)).transport);
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
