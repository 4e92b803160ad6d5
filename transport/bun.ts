/**
 * TCP over Bun's own sockets, and TLS over Bun's `node:tls`.
 *
 * @module
 */
import { describeSocketError, SocketTransport } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import { addressText } from "./address.ts";
import type { Listener, SocketAdapter, SocketAddress, Transport } from "./transport.ts";

/** The part of Bun's socket that is used here; `tests/types/bun_types.ts` compares it with Bun's own types. */
export interface BunSocket {
  /** Any value that belongs to this socket. */
  data: unknown;
  /** `-1` when closed, positive when open. */
  readonly readyState: number;
  /** The peer's address. */
  readonly remoteAddress: string;
  /** The peer's port. */
  readonly remotePort: number;
  /** Writes as much as the system takes, and returns how much that was; -1 when the socket is closed. Keeps nothing. */
  write(bytes: Uint8Array): number;
  /** Sends FIN; reading continues. */
  shutdown(): void;
  /** Closes both directions, with FIN. */
  end(): void;
  /** Closes both directions, with RST. */
  terminate(): void;
  /** Stops reading until `resume`. */
  pause(): void;
  /** Reads on. */
  resume(): void;
  /** Turns Nagle's algorithm off. */
  setNoDelay(noDelay: boolean): boolean;
  /** Replaces the handlers. */
  reload(options: { socket: BunSocketHandler }): void;
}

/** The callbacks of a socket. */
export interface BunSocketHandler {
  /** The type of the bytes that `data` gets. */
  binaryType: "uint8array";
  /** Called when a connection was accepted. */
  open?(socket: BunSocket): void;
  /** Called when bytes came; no two calls share memory. */
  data(socket: BunSocket, bytes: Uint8Array): void;
  /** Called when the system takes bytes again. */
  drain(socket: BunSocket): void;
  /** Called when the peer sent FIN. */
  end(socket: BunSocket): void;
  /** Called when the socket is closed; with an error when the connection broke. */
  close(socket: BunSocket, error?: Error): void;
  /** Called when a handler threw. */
  error(socket: BunSocket, error: Error): void;
}

/** The part of `Bun` that is used here. */
export interface BunSockets {
  /** Listens; throws when it cannot. */
  listen(options: { hostname: string; port: number; allowHalfOpen: boolean; socket: BunSocketHandler }): {
    readonly hostname: string;
    readonly port: number;
    stop(): void;
  };
}

/** The adapter for Bun. */
export const bunAdapter: SocketAdapter = { connect, listen };

/**
 * Connects with `node:net`, then takes Bun's own socket out of the wrapper that has Node's interface.
 *
 * `Bun.connect` cannot be cancelled: a host that does not answer would hold the process for the two minutes that the
 * system keeps trying. And in older releases its TLS accepted certificates that it could not verify
 * (oven-sh/bun#33846), which `node:tls` never did. So TLS uses the wrapper, and so does a TCP socket whose inside is not
 * the known one. For TCP, Bun's own socket takes a quarter less time per round trip than the wrapper.
 */
async function connect(address: SocketAddress): Promise<Transport> {
  const { dial, toTransport: toNodeTransport } = await import("./node.ts");
  const peer = addressText(address);
  return await dial(address, (socket) => {
    const inside = address.tls === undefined ? (socket as { _handle?: unknown })._handle : undefined;
    if (!isBunSocket(inside)) return toNodeTransport(socket, peer);
    inside.reload({ socket: HANDLER });
    return toTransport(inside, peer);
  });
}

function isBunSocket(value: unknown): value is BunSocket {
  if (typeof value !== "object" || value === null) return false;
  const methods = ["write", "shutdown", "end", "terminate", "pause", "resume", "setNoDelay", "reload"];
  return methods.every((name) => typeof Reflect.get(value, name) === "function");
}

/** The state that the callbacks of one socket share. */
interface SocketState {
  transport: SocketTransport;
  paused: boolean;
  /** The bytes of the pending write that Bun has not taken yet. */
  unwritten: Uint8Array | undefined;
  written: (() => void) | undefined;
  failed: ((cause: Error) => void) | undefined;
  closed: (() => void) | undefined;
}

const stateOf = (socket: BunSocket): SocketState => socket.data as SocketState;

/** From this size on, freeing a released chunk at once is cheaper than leaving it to the garbage collector. */
const MIN_FREED_BYTES = 1 << 14;

const CLOSED = new Error("the connection is closed");

/** The handlers of all sockets: Bun keeps those of a listener once, not per connection. */
const HANDLER: BunSocketHandler = {
  binaryType: "uint8array",
  data(socket, bytes) {
    const state = stateOf(socket);
    if (state.transport.deliver(bytes)) return;
    state.paused = true;
    socket.pause();
  },
  drain(socket) {
    const state = stateOf(socket);
    if (state.unwritten === undefined) return;
    const length = socket.write(state.unwritten);
    if (length < 0) return state.failed?.(CLOSED);
    state.unwritten = state.unwritten.subarray(length);
    if (state.unwritten.length > 0) return;
    state.unwritten = undefined;
    state.written?.();
  },
  end(socket) {
    stateOf(socket).transport.atEnd();
  },
  close(socket, error) {
    const state = stateOf(socket);
    if (error) state.transport.fail(error);
    else state.transport.atEnd();
    state.failed?.(error ?? CLOSED);
    state.closed?.();
  },
  error(socket, error) {
    stateOf(socket).transport.fail(error);
  },
};

function toTransport(socket: BunSocket, peer: string): Transport {
  socket.setNoDelay(true);
  const transport = new SocketTransport(peer, {
    ownChunks: true,
    pull() {
      if (!state.paused) return;
      state.paused = false;
      socket.resume();
    },
    write(bytes) {
      const length = socket.write(bytes);
      if (length === bytes.length) return;
      if (length < 0) throw transport.writeFailed(CLOSED);
      state.unwritten = bytes.subarray(length);
      return new Promise((resolve, reject) => {
        state.written = resolve;
        state.failed = (cause) => reject(transport.writeFailed(cause));
      });
    },
    shutdown() {
      socket.shutdown();
    },
    release(bytes) {
      const { buffer } = bytes;
      if (bytes.length >= MIN_FREED_BYTES && bytes.length === buffer.byteLength) (buffer as ArrayBuffer).transfer(0);
    },
    destroy() {
      state.unwritten = undefined;
      state.failed?.(CLOSED);
      if (socket.readyState <= 0) return;
      return new Promise((resolve) => {
        state.closed = resolve;
        socket.end();
        // If something keeps it from closing cleanly, for example a peer that does not read.
        if (socket.readyState > 0) socket.terminate();
      });
    },
  });
  const state: SocketState = {
    transport,
    paused: false,
    unwritten: undefined,
    written: undefined,
    failed: undefined,
    closed: undefined,
  };
  socket.data = state;
  return transport;
}

// deno-lint-ignore require-await -- a failure must reject, as in the other adapters
async function listen(
  address: { hostname: string; port: number },
  accept: (transport: Transport) => void,
): Promise<Listener> {
  const bun = (globalThis as unknown as { Bun: BunSockets }).Bun;
  try {
    const listener = bun.listen({
      hostname: address.hostname,
      port: address.port,
      allowHalfOpen: true,
      socket: {
        ...HANDLER,
        open(socket) {
          const peer = addressText({ hostname: socket.remoteAddress, port: socket.remotePort });
          accept(toTransport(socket, peer));
        },
      },
    });
    return {
      hostname: listener.hostname,
      port: listener.port,
      close() {
        listener.stop();
        return Promise.resolve();
      },
    };
  } catch (cause) {
    throw new ConnectionError(`Cannot listen on ${addressText(address)}: ${describeSocketError(cause)}`, { cause });
  }
}
