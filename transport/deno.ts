/**
 * TCP over Deno's own sockets, and TLS over the `node:tls` that Deno has. Needs `--allow-net` and nothing else.
 *
 * @module
 */
import { describeSocketError, ReadBuffer, type SocketDriver, SocketTransport } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import { addressText, type Listener, type SocketAdapter, type SocketAddress, type Transport } from "./transport.ts";

/** The adapter for Deno. */
export const denoAdapter: SocketAdapter = { connect, listen };

async function connect(address: SocketAddress): Promise<Transport> {
  const { tls, signal } = address;
  signal?.throwIfAborted();
  if (tls !== undefined) return await connectTls(address);
  try {
    const tcp = await connectTcp(address);
    setNoDelay(tcp);
    return new DenoChannel(tcp, addressText(address)).transport;
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ConnectionError(`Cannot connect to ${addressText(address)}: ${describeSocketError(cause)}`, { cause });
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

/**
 * TLS by `node:tls`, because Deno's own keeps the sockets of handshakes that were given up and of connections that were
 * closed with data unsent: `docs/decisions.md` has the fault and the figures.
 *
 * Deno's `node:tls` goes on reading when its socket is paused, so it is the TCP socket below that stops and starts.
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
    // So Deno calls every certificate that it does not take, those with the wrong dates as well.
    const dates = await connectTcp().then((tcp) => certificateDates(tcp, address)).catch(() => undefined);
    address.signal?.throwIfAborted();
    const now = Date.now();
    if (dates === undefined || (dates.from <= now && now <= dates.to)) throw error;
    const code = dates.to < now ? "CERT_HAS_EXPIRED" : "CERT_NOT_YET_VALID";
    const reason = describeSocketError(Object.assign(new Error(cause.message), { code }));
    throw new ConnectionError(`Cannot connect to ${addressText(address)}: ${reason}`, { cause });
  }
}

class DenoChannel implements SocketDriver {
  readonly transport: SocketTransport;
  readonly #conn: Deno.TcpConn;
  readonly #blocks = new ReadBuffer(() => this.transport.room());
  #reading: Promise<void> | undefined;
  #writing: Promise<unknown> | undefined;

  constructor(conn: Deno.TcpConn, peer: string) {
    this.#conn = conn;
    this.transport = new SocketTransport(peer, this);
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
      accept(new DenoChannel(conn, addressText(conn.remoteAddr)).transport);
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
