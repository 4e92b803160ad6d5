/**
 * Ways to a broker other than plain TCP: a unix socket, an HTTP proxy, and TLS. Each forwards to a port of 127.0.0.1.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";

/** Listens and forwards until it is closed. */
export interface Forwarder {
  /** Breaks all connections. */
  breakAll(): void;
  /** Breaks all connections and stops listening. */
  close(): Promise<void>;
}

/** Keeps the sockets of a server, to break them. */
class Sockets {
  readonly #open = new Map<net.Socket, Promise<void>>();

  keep(socket: net.Socket): void {
    socket.on("error", () => {});
    this.#open.set(
      socket,
      new Promise((resolve) =>
        socket.once("close", () => {
          this.#open.delete(socket);
          resolve();
        })
      ),
    );
  }

  /** Joins two sockets, so that the end of one is the end of the other. */
  join(one: net.Socket, other: net.Socket): void {
    for (const socket of [one, other]) this.keep(socket);
    one.pipe(other).pipe(one);
    one.once("close", () => other.destroy());
    other.once("close", () => one.destroy());
  }

  breakAll(): void {
    for (const socket of this.#open.keys()) socket.destroy();
  }

  async close(server: net.Server): Promise<void> {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    const closed = [...this.#open.values()];
    this.breakAll();
    await Promise.all([stopped, ...closed]);
  }
}

function toPort(port: number): net.Socket {
  return net.connect({ port, host: "127.0.0.1", noDelay: true });
}

/** Listens on a unix socket in a temporary folder. */
export async function listenOnUnixSocket(port: number): Promise<Forwarder & { path: string }> {
  const folder = mkdtempSync(join(tmpdir(), "stompy-"));
  const path = join(folder, "broker.sock");
  const sockets = new Sockets();
  const server = net.createServer((socket) => sockets.join(socket, toPort(port)));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    breakAll: () => sockets.breakAll(),
    async close() {
      await sockets.close(server);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Listens with TLS. */
export async function listenWithTls(options: tls.TlsOptions, port: number): Promise<Forwarder & { port: number }> {
  const sockets = new Sockets();
  const server = tls.createServer(options, (socket) => sockets.join(socket, toPort(port)));
  server.on("connection", (socket: net.Socket) => sockets.keep(socket));
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    breakAll: () => sockets.breakAll(),
    close: () => sockets.close(server),
  };
}

/** How an HTTP proxy behaves. */
export interface HttpProxyOptions {
  /** The `user:password` to ask for. The default is none. */
  login?: string;
  /** What to answer in place of opening a tunnel; "" for nothing. */
  answer?: string;
}

/** Listens as an HTTP proxy that knows only CONNECT, to ports of this machine. */
export async function listenAsHttpProxy(
  options: HttpProxyOptions = {},
): Promise<Forwarder & { port: number; targets: string[] }> {
  const sockets = new Sockets();
  const targets: string[] = [];
  const onRequest = (socket: net.Socket, request: string) => {
    const [, target = "", port = ""] = /^CONNECT (.*:(\d+)) HTTP\/1\.1\r\nHost: /.exec(request) ?? [];
    const login = options.login && `Proxy-Authorization: Basic ${Buffer.from(options.login).toString("base64")}\r\n`;
    if (options.answer !== undefined) return void socket.write(options.answer);
    if (login && !request.includes(login)) return void socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    targets.push(target);
    const broker = toPort(Number(port));
    sockets.keep(broker);
    broker.once("connect", () => {
      socket.write("HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
      sockets.join(socket, broker);
    });
    broker.once("error", () => socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
  };
  const server = net.createServer((socket) => {
    sockets.keep(socket);
    let request = "";
    const onData = (chunk: Buffer) => {
      request += chunk.toString("latin1");
      if (!request.includes("\r\n\r\n")) return;
      socket.off("data", onData);
      socket.pause();
      onRequest(socket, request);
    };
    socket.on("data", onData);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    targets,
    breakAll: () => sockets.breakAll(),
    close: () => sockets.close(server),
  };
}
