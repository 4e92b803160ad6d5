/**
 * A TCP proxy that injects faults, for tests of what a client does on a bad network.
 *
 * It uses `node:net`, which all three runtimes have, because `node:net` can reset a connection.
 *
 * @module
 */
import { createServer, type Server, type Socket } from "node:net";
import * as net from "node:net";

/** The way bytes go: `up` from the client to the broker, or `down` from the broker to the client. */
export type Direction = "up" | "down";

/** What the proxy does to one connection. */
export interface Fault {
  /** Milliseconds by which each chunk is delayed. */
  delay?: number;
  /** Whether each byte is written by itself. */
  singleBytes?: boolean;
  /** Bytes per second in each direction. */
  rate?: number;
  /** Cuts the connection after `after` bytes in that direction. The next byte is not passed on. */
  cut?: { direction: Direction; after: number; how: "fin" | "rst" };
  /** Passes nothing on after `after` bytes in that direction. The connection stays open. */
  silence?: { direction: Direction; after: number };
  /** Whether the connection is closed as soon as it is accepted. */
  refuse?: boolean;
}

/** Returns a pseudo-random number of at least 0 and below 1. */
export type Random = () => number;

/** Returns a generator of random numbers that repeats for the same seed (mulberry32). */
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

/** The address that the proxy connects to. */
export interface ProxyTarget {
  hostname?: string;
  port: number;
}

/** A TCP proxy on loopback that injects faults. */
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
   * @param plan returns what to do to a connection, by its number; the first is 1.
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
    // Half-open, so that a FIN from one side is passed on and does not end the other direction.
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

  /** Sends new connections to another address. Open ones stay. */
  swap(target: ProxyTarget): void {
    this.#target = target;
  }

  /** Sets what to do to new connections. */
  plan(plan: (connection: number) => Fault): void {
    this.#plan = plan;
  }

  /** Cuts all open connections. */
  cut(how: "fin" | "rst"): void {
    for (const link of [...this.#links]) link.cut(how);
  }

  /** Passes nothing on in that direction over the open connections, which stay open. */
  silence(direction: Direction): void {
    for (const link of this.#links) link.silent.add(direction);
  }

  /** Stops listening and cuts all connections. */
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
    // A connection that breaks on one side is reset on the other.
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
      // Bytes that were passed on before still arrive.
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
        // Silence still reads, so that the sender does not notice.
      }
      if (!to.destroyed) to.end();
    } catch {
      // The connection broke: the error handlers above close the other side.
    }
  }
}

function* singleBytes(chunk: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < chunk.length; i++) yield chunk.subarray(i, i + 1);
}

function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => socket.write(bytes, (error) => error ? reject(error) : resolve()));
}

/** Sleeps until the time is over or the socket closes, so that a closed proxy leaves no timer behind. */
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
