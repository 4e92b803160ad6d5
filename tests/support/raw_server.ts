/**
 * A broker as a script: it takes connections, and says over each what the test says. What it writes and reads is
 * `RawPeer`'s, so that it shares no code with the library but the sockets. Every wait has a deadline.
 *
 * @module
 */
import { listen } from "../../transport/open.ts";
import type { Listener, Transport } from "../../transport/transport.ts";
import { type RawFrame, RawPeer } from "./raw_peer.ts";

/** Milliseconds that a connection may be waited for. */
const DEADLINE = 10_000;

/** A listening socket whose connections are scripted. */
export class RawServer {
  /** How many connections came. */
  count = 0;
  #listener: Listener | undefined;
  readonly #peers: RawPeer[] = [];
  readonly #ready: RawPeer[] = [];
  readonly #waiting: ((peer: RawPeer) => void)[] = [];

  /** Listens on a free port of 127.0.0.1. */
  static async listen(port = 0): Promise<RawServer> {
    const server = new RawServer();
    server.#listener = await listen({ hostname: "127.0.0.1", port }, (transport) => server.#onConnection(transport));
    return server;
  }

  /** The port. */
  get port(): number {
    return this.#listener!.port;
  }

  /** Where to connect to. */
  get url(): string {
    return `stomp://127.0.0.1:${this.port}`;
  }

  /** The next connection, in the order they came. */
  accept(): Promise<RawPeer> {
    const peer = this.#ready.shift();
    if (peer) return Promise.resolve(peer);
    return new Promise((resolve, reject) => {
      const taker = (peer: RawPeer) => {
        clearTimeout(timer);
        resolve(peer);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(taker), 1);
        reject(new Error(`Waited ${DEADLINE} ms for a connection`));
      }, DEADLINE);
      this.#waiting.push(taker);
    });
  }

  /** The next connection: takes CONNECT, and answers with CONNECTED and further header lines. */
  async welcome(version = "1.2", lines = ""): Promise<RawPeer> {
    const peer = await this.accept();
    await peer.frame("CONNECT");
    await peer.write(connected(version, lines));
    return peer;
  }

  /** Stops listening; connections live on. */
  async deafen(): Promise<void> {
    await this.#listener?.close();
  }

  /** Ends everything. */
  async close(): Promise<void> {
    await this.#listener?.close();
    await Promise.all(this.#peers.map((peer) => peer.close()));
  }

  #onConnection(transport: Transport): void {
    this.count++;
    const peer = RawPeer.over(transport);
    this.#peers.push(peer);
    const taker = this.#waiting.shift();
    if (taker) taker(peer);
    else this.#ready.push(peer);
  }
}

/** CONNECTED, with further header lines, each with its line end. */
export function connected(version = "1.2", lines = ""): string {
  return `CONNECTED\nversion:${version}\n${lines}\n\0`;
}

/** The RECEIPT that a frame asks for. */
export function receiptFor(frame: RawFrame): string {
  const id = frame.get("receipt");
  if (id === undefined) throw new Error(`Expected a receipt header in ${frame.command}: ${frame.lines}`);
  return `RECEIPT\nreceipt-id:${id}\n\n\0`;
}

/** The ERROR that names a frame. */
export function errorFor(frame: RawFrame, message: string): string {
  return `ERROR\nreceipt-id:${frame.get("receipt")}\nmessage:${message}\n\n\0`;
}

/** A MESSAGE for a subscription. Its body is its id. */
export function message(subscription: string, id: string, lines = ""): string {
  return `MESSAGE\nsubscription:${subscription}\nmessage-id:${id}\nack:${id}\ndestination:/queue/a\n${lines}\n${id}\0`;
}

/** Takes the next frame, which has to be of that command, and says RECEIPT. */
export async function confirm(peer: RawPeer, command?: string): Promise<RawFrame> {
  const frame = await peer.frame(command);
  await peer.write(receiptFor(frame));
  return frame;
}

/** Behind an UNSUBSCRIBE: plays RabbitMQ to a client that gives back what is not settled. Returns the ids. */
export async function takeBack(peer: RawPeer): Promise<string[]> {
  await confirm(peer, "SUBSCRIBE");
  const ids: string[] = [];
  for (let frame = await peer.frame();; frame = await peer.frame()) {
    if (frame.command === "NACK") {
      ids.push(frame.get("id") ?? frame.get("message-id") ?? "");
      continue;
    }
    await peer.write(receiptFor(frame));
    return ids;
  }
}
