/**
 * A TCP proxy that misbehaves as it is told: for tests of what a client does on a bad day.
 *
 * It uses `node:net`, which all three runtimes have, because that can reset a connection.
 *
 * @module
 */
import { createServer, type Server, type Socket } from "node:net";
import * as net from "node:net";

/** Which way bytes go: from the client to the broker, or back. */
export type Direction = "up" | "down";

/** What is done to one connection. */
export interface Fault {
  /** Milliseconds that each chunk waits. */
  delay?: number;
  /** Each byte is a write of its own. */
  singleBytes?: boolean;
  /** Bytes a second in each direction. */
  rate?: number;
  /** The connection is cut when that many bytes have gone that way: the byte after them is not passed on. */
  cut?: { direction: Direction; after: number; how: "fin" | "rst" };
  /** When that many bytes have gone that way, nothing goes that way any more, but the connection stays. */
  silence?: { direction: Direction; after: number };
  /** The connection is accepted and closed at once. */
  refuse?: boolean;
}

/** A pseudo-random number from 0 to below 1. */
export type Random = () => number;

/** Random numbers that a seed repeats (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Where the proxy sends connections. */
export interface ProxyTarget {
  hostname?: string;
  port: number;
}

/** The proxy. */
export class FaultProxy implements AsyncDisposable {
  /** Connections accepted so far. */
  connections = 0;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #target: ProxyTarget;
  #plan: (connection: number) => Fault;

  /**
   * Listens on a free loopback port.
   *
   * @param plan what is done to the first, second, … connection; counted from 1.
   */
  static async listen(target: ProxyTarget, plan: (connection: number) => Fault = () => ({})): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, plan);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  private constructor(target: ProxyTarget, plan: (connection: number) => Fault) {
    this.#target = target;
    this.#plan = plan;
    // Half-open, so that a FIN is passed on like anything else.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  /** The port listened on. */
  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#links.size;
  }

  /** From now on connections go elsewhere; the open ones stay. */
  swap(target: ProxyTarget): void {
    this.#target = target;
  }

  /** From now on other things are done to new connections. */
  plan(plan: (connection: number) => Fault): void {
    this.#plan = plan;
  }

  /** Cuts all open connections. */
  cut(how: "fin" | "rst"): void {
    for (const link of [...this.#links]) link.cut(how);
  }

  /** From now on nothing goes that way over the open connections, but they stay. */
  silence(direction: Direction): void {
    for (const link of this.#links) link.silent.add(direction);
  }

  /** Stops listening and cuts everything. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const links = [...this.#links].map((link) => link.closed);
    this.cut("rst");
    await Promise.all([closed, ...links]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(client: Socket): void {
    const fault = this.#plan(++this.connections);
    const { hostname = "127.0.0.1", port } = this.#target;
    if (fault.refuse) {
      client.on("error", () => {});
      client.destroy();
      return;
    }
    const broker = net.connect({ host: hostname, port, allowHalfOpen: true, noDelay: true });
    const link = new Link(client, broker, fault);
    this.#links.add(link);
    link.closed.then(() => this.#links.delete(link));
  }
}

/** The two sockets of one connection. */
class Link {
  readonly closed: Promise<void>;
  readonly silent = new Set<Direction>();
  readonly #client: Socket;
  readonly #broker: Socket;

  constructor(client: Socket, broker: Socket, fault: Fault) {
    this.#client = client;
    this.#broker = broker;
    const ends = [client, broker].map((socket) => new Promise<void>((resolve) => socket.once("close", resolve)));
    this.closed = Promise.all(ends).then(() => {});
    // One side broken is the other side's reset.
    client.on("error", () => broker.destroy());
    broker.on("error", () => client.destroy());
    client.once("close", () => broker.destroy());
    broker.once("close", () => client.destroy());
    this.#pass(client, broker, "up", fault);
    this.#pass(broker, client, "down", fault);
  }

  cut(how: "fin" | "rst"): void {
    for (const socket of [this.#client, this.#broker]) {
      if (socket.destroyed) continue;
      if (how === "rst") socket.resetAndDestroy();
      // What was passed on before still arrives.
      else socket.end(() => socket.destroy());
    }
  }

  async #pass(from: Socket, to: Socket, direction: Direction, fault: Fault): Promise<void> {
    let passed = 0;
    const { cut, silence } = fault;
    const allowed = Math.min(
      cut?.direction === direction ? cut.after : Infinity,
      silence?.direction === direction ? silence.after : Infinity,
    );
    try {
      for await (const chunk of from as AsyncIterable<Uint8Array>) {
        if (this.silent.has(direction)) continue;
        if (fault.delay) await sleep(fault.delay, from);
        const rest = chunk.subarray(0, Math.max(0, allowed - passed));
        for (const piece of fault.singleBytes ? singleBytes(rest) : [rest]) {
          if (fault.rate) await sleep(piece.length / fault.rate * 1000, from);
          if (piece.length > 0 && !to.destroyed) await write(to, piece);
        }
        passed += rest.length;
        if (rest.length < chunk.length && cut?.direction === direction && passed >= cut.after) return this.cut(cut.how);
        // Silent: it is read, so that the sender sees nothing of it.
      }
      if (!to.destroyed) to.end();
    } catch {
      // Broken off: the handlers above pass it on.
    }
  }
}

function* singleBytes(chunk: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < chunk.length; i++) yield chunk.subarray(i, i + 1);
}

function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => socket.write(bytes, (error) => error ? reject(error) : resolve()));
}

/** Sleeps, but not longer than the socket lives: a proxy that is closed leaves no timer behind. */
function sleep(milliseconds: number, socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.off("close", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    socket.once("close", done);
  });
}
