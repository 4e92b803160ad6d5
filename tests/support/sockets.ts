/**
 * Peers for the tests of the transports, over `node:net` and `node:tls`, which all three runtimes have. Everything made
 * here is gone when its `close` has resolved.
 *
 * @module
 */
import fs from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { Worker } from "node:worker_threads";
import type { SocketAdapter, Transport } from "../../transport/transport.ts";
import { readText } from "./project.ts";
import { runtime } from "./runtime.ts";

/** Loads the adapter of this runtime. */
export async function ownAdapter(): Promise<SocketAdapter> {
  if (runtime === "deno") return (await import("../../transport/deno.ts")).denoAdapter;
  if (runtime === "bun") return (await import("../../transport/bun.ts")).bunAdapter;
  return (await import("../../transport/node.ts")).nodeAdapter;
}

/** Reads a file of tests/fixtures/tls. */
export function pem(name: string): string {
  return readText(`tests/fixtures/tls/${name}`);
}

/** A server that accepts connections and does nothing with them by itself. */
export class Peer {
  /** The port it listens on, at 127.0.0.1. */
  readonly port: number;
  readonly #server: net.Server;
  readonly #sockets: net.Socket[] = [];
  readonly #closed: Promise<void>[] = [];
  readonly #waiting: ((socket: net.Socket) => void)[] = [];
  readonly #ready: net.Socket[] = [];

  private constructor(server: net.Server, event: string) {
    this.#server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (socket: net.Socket) => {
      this.#sockets.push(socket);
      this.#closed.push(new Promise((resolve) => socket.once("close", () => resolve())));
      socket.on("error", () => {}); // some tests are about resets
    });
    server.on(event, (socket: net.Socket) => {
      socket.on("error", () => {});
      const next = this.#waiting.shift();
      if (next !== undefined) next(socket);
      else this.#ready.push(socket);
    });
  }

  /** Listens on a free port of 127.0.0.1, with TLS if options are given. */
  static async listen(options?: tls.TlsOptions): Promise<Peer> {
    const both = { allowHalfOpen: true, pauseOnConnect: options === undefined, noDelay: true };
    const server = options === undefined ? net.createServer(both) : tls.createServer({ ...both, ...options });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Peer(server, options === undefined ? "connection" : "secureConnection");
  }

  /** Resolves to the next connection, in order of arrival. It is paused until it is read. */
  accept(): Promise<net.Socket> {
    const socket = this.#ready.shift();
    return socket === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(socket);
  }

  /** Destroys all connections and stops listening. */
  async close(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#closed);
    await stopped;
  }
}

/** Starts a proxy to a port. After `stop()` it reads nothing, like a peer whose receive buffer is full. */
export async function relay(port: number): Promise<{ port: number; stop(): void; close(): Promise<void> }> {
  const sockets: net.Socket[] = [];
  const closed: Promise<void>[] = [];
  const keep = (socket: net.Socket) => {
    sockets.push(socket);
    closed.push(new Promise((resolve) => socket.once("close", () => resolve())));
    socket.on("error", () => {});
  };
  const server = net.createServer({ noDelay: true }, (client) => {
    const target = net.connect({ port, host: "127.0.0.1", noDelay: true });
    [client, target].forEach(keep);
    client.pipe(target).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    stop() {
      for (const socket of sockets) socket.unpipe().pause();
    },
    async close() {
      const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await Promise.all([stopped, ...closed]);
    },
  };
}

/** Resolves to everything that the socket receives before the peer's FIN. */
export function readSocket(socket: net.Socket): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    socket.once("end", () => resolve(concat(chunks)));
    socket.once("error", reject);
    socket.resume();
  });
}

/** Writes to a socket. Resolves when the system has taken the bytes. */
export function writeSocket(socket: net.Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => socket.write(bytes, (error) => error ? reject(error) : resolve()));
}

/** Resolves to everything that the transport receives before it ends. */
export async function readTransport({ readable }: Transport): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readable) chunks.push(chunk);
  return concat(chunks);
}

/** Returns the chunks as one array. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/** Returns bytes that vary with their offset, with a period that is no common buffer size. */
export function pattern(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >> 8) * 13 + (i >> 16) * 29 + seed) % 251;
  return bytes;
}

/** Resolves to the count once it has stayed the same for 200 ms. */
export async function untilStable(count: () => number): Promise<number> {
  let last = -1;
  let since = 0;
  while (since < 10) {
    since = count() === last ? since + 1 : 0;
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return last;
}

/**
 * Listens on a port that does not answer: its queue of connections is full and is never emptied, so the system drops the
 * SYN of the next one, as an unreachable host would.
 */
export async function silentPort(): Promise<{ port: number; close(): Promise<void> }> {
  const source = `
    import net from "node:net";
    import { parentPort } from "node:worker_threads";
    const server = net.createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  const port = await new Promise<number>((resolve) => worker.once("message", resolve));
  const sockets: net.Socket[] = [];
  let connected = true;
  while (connected) {
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.on("error", () => {});
    sockets.push(socket);
    connected = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), 250);
      socket.once("connect", () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }
  return {
    port,
    async close() {
      await Promise.all(sockets.map((socket) => {
        return new Promise<void>((resolve) => {
          socket.once("close", () => resolve());
          socket.destroy();
        });
      }));
      await worker.terminate();
    },
  };
}

/** Returns how many sockets of this process are connected to a port. Works on Linux only. */
export function socketsTo(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const inodes = new Set<string>();
  for (const table of ["tcp", "tcp6"]) {
    for (const line of fs.readFileSync(`/proc/self/net/${table}`, "utf8").split("\n")) {
      // Number, local address, remote address, state, queues, timers, retransmissions, user, timeout, inode.
      const fields = line.trim().split(/\s+/);
      if (fields[2]?.endsWith(`:${hex}`)) inodes.add(`socket:[${fields[9]}]`);
    }
  }
  return fs.readdirSync("/proc/self/fd").filter((descriptor) => inodes.has(linkOf(descriptor))).length;
}

function linkOf(descriptor: string): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return ""; // closed in the meantime, as the descriptor that lists the folder is
  }
}
