/**
 * A broker that a test scripts: each connection is a `RawPeer`, so the only code that it shares with the library is that
 * of the sockets. Every wait has a deadline.
 *
 * @module
 */
import { listen } from "../../transport/open.ts";
import type { Listener, Transport } from "../../transport/transport.ts";
import { type RawFrame, RawPeer } from "./raw_peer.ts";

/** Milliseconds to wait for a connection. */
const ACCEPT_TIMEOUT_MS = 10_000;

/** A listening socket whose connections are scripted. */
export class RawServer {
  /** The number of connections accepted so far. */
  count = 0;
  #listener: Listener | undefined;
  readonly #peers: RawPeer[] = [];
  readonly #ready: RawPeer[] = [];
  readonly #waiting: ((peer: RawPeer) => void)[] = [];

  /** Listens on 127.0.0.1, on a free port by default. */
  static async listen(port = 0): Promise<RawServer> {
    const server = new RawServer();
    server.#listener = await listen({ hostname: "127.0.0.1", port }, (transport) => server.#onConnection(transport));
    return server;
  }

  /** The port. */
  get port(): number {
    return this.#listener!.port;
  }

  /** The URL of the server. */
  get url(): string {
    return `stomp://127.0.0.1:${this.port}`;
  }

  /** Resolves to the next connection, in order of arrival. */
  accept(): Promise<RawPeer> {
    const peer = this.#ready.shift();
    if (peer) return Promise.resolve(peer);
    return new Promise((resolve, reject) => {
      const waiter = (peer: RawPeer) => {
        clearTimeout(timer);
        resolve(peer);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(new Error(`Waited ${ACCEPT_TIMEOUT_MS} ms for a connection`));
      }, ACCEPT_TIMEOUT_MS);
      this.#waiting.push(waiter);
    });
  }

  /** Accepts the next connection, reads CONNECT, and answers with CONNECTED and further header lines. */
  async welcome(version = "1.2", lines = ""): Promise<RawPeer> {
    const peer = await this.accept();
    await peer.frame("CONNECT");
    await peer.write(connected(version, lines));
    return peer;
  }

  /** Stops listening. Open connections stay. */
  async stopListening(): Promise<void> {
    await this.#listener?.close();
  }

  /** Stops listening and closes all connections. */
  async close(): Promise<void> {
    await this.#listener?.close();
    await Promise.all(this.#peers.map((peer) => peer.close()));
  }

  #onConnection(transport: Transport): void {
    this.count++;
    const peer = RawPeer.over(transport);
    this.#peers.push(peer);
    const waiter = this.#waiting.shift();
    if (waiter) waiter(peer);
    else this.#ready.push(peer);
  }
}

/** Returns CONNECTED with further header lines, each with its line end. */
export function connected(version = "1.2", lines = ""): string {
  return `CONNECTED\nversion:${version}\n${lines}\n\0`;
}

/** Returns the RECEIPT that a frame asks for. */
export function receiptFor(frame: RawFrame): string {
  const id = frame.get("receipt");
  if (id === undefined) throw new Error(`Expected a receipt header in ${frame.command}: ${frame.lines}`);
  return `RECEIPT\nreceipt-id:${id}\n\n\0`;
}

/** Returns an ERROR that names the frame by its receipt id. */
export function errorFor(frame: RawFrame, message: string): string {
  return `ERROR\nreceipt-id:${frame.get("receipt")}\nmessage:${message}\n\n\0`;
}

/** Returns a MESSAGE for a subscription. Its body is its id. */
export function message(subscription: string, id: string, lines = ""): string {
  return `MESSAGE\nsubscription:${subscription}\nmessage-id:${id}\nack:${id}\ndestination:/queue/a\n${lines}\n${id}\0`;
}

/** Reads the next frame, checks its command, and answers with RECEIPT. */
export async function confirm(peer: RawPeer, command?: string): Promise<RawFrame> {
  const frame = await peer.frame(command);
  await peer.write(receiptFor(frame));
  return frame;
}

/** Plays RabbitMQ after an UNSUBSCRIBE: returns the ids of the messages that the client requeues by NACK. */
export async function answerRequeue(peer: RawPeer): Promise<string[]> {
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
