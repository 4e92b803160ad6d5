/**
 * A scripted RabbitMQ with one stream: it keeps batches of messages, sends as many as each subscription has credit for,
 * and can break its connections. Like RabbitMQ, it sends whole batches for `last`, times and filters.
 *
 * @module
 */
import { listen } from "../../transport/open.ts";
import type { Listener } from "../../transport/transport.ts";
import { type RawFrame, RawPeer } from "./raw_peer.ts";
import { connected } from "./raw_server.ts";

/** A message of the stream. */
interface Stored {
  readonly body: string;
  readonly filterValue: string | undefined;
}

/** A subscription on one connection. */
interface Reader {
  readonly id: string;
  readonly peer: RawPeer;
  readonly prefetch: number;
  next: number;
  unacknowledged: number;
}

/** A broker with a stream. */
export class StreamServer {
  /** The `x-stream-offset` of each SUBSCRIBE so far, other than those of the requeue destination. */
  readonly subscribes: RawFrame[] = [];
  /** How many ACKs came. */
  acks = 0;
  /** Called with each SUBSCRIBE before it is answered; returns a frame to answer instead. */
  onSubscribe: (frame: RawFrame) => string | undefined | Promise<string | undefined> = () => undefined;
  readonly #lines: string;
  #listener!: Listener;
  readonly #stored: Stored[] = [];
  #lastBatch = 0;
  readonly #readers = new Set<Reader>();
  readonly #peers = new Set<RawPeer>();

  private constructor(lines: string) {
    this.#lines = lines;
  }

  /** Listens on a free port. */
  static async listen(lines = "server:RabbitMQ/4.3.6\n"): Promise<StreamServer> {
    const server = new StreamServer(lines);
    server.#listener = await listen({ hostname: "127.0.0.1", port: 0 }, (transport) => {
      const peer = RawPeer.over(transport);
      server.#peers.add(peer);
      server.#serve(peer).catch(() => {}); // until the connection ends
    });
    return server;
  }

  /** The URL. */
  get url(): string {
    return `stomp://127.0.0.1:${this.#listener.port}`;
  }

  /** How many subscriptions are open. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Stores a batch of messages, and sends it to the subscriptions that have credit. */
  append(bodies: readonly string[], filterValue?: string): void {
    this.#lastBatch = this.#stored.length;
    for (const body of bodies) this.#stored.push({ body, filterValue });
    for (const reader of this.#readers) this.#deliver(reader);
  }

  /** Breaks all connections. */
  async breakAll(): Promise<void> {
    this.#readers.clear();
    const peers = [...this.#peers];
    this.#peers.clear();
    await Promise.all(peers.map((peer) => peer.close()));
  }

  /** Stops listening, and closes all connections. */
  async close(): Promise<void> {
    await this.#listener.close();
    await this.breakAll();
  }

  async #serve(peer: RawPeer): Promise<void> {
    await peer.frame("CONNECT");
    await peer.write(connected("1.2", this.#lines));
    for (;;) {
      const frame = await peer.frame();
      if (frame.command === "SUBSCRIBE" && frame.get("destination")!.includes("reply-to") === false) {
        this.subscribes.push(frame);
        const answer = await this.onSubscribe(frame);
        if (answer !== undefined) {
          await peer.write(answer);
          continue;
        }
      }
      const receipt = frame.get("receipt");
      if (receipt !== undefined) await peer.write(`RECEIPT\nreceipt-id:${receipt}\n\n\0`);
      this.#handle(peer, frame);
    }
  }

  #handle(peer: RawPeer, frame: RawFrame): void {
    const id = frame.get("id")!;
    const own = [...this.#readers].filter((reader) => reader.peer === peer);
    switch (frame.command) {
      case "SUBSCRIBE": {
        if (frame.get("destination")!.includes("reply-to")) return;
        const next = this.#offsetFor(frame.get("x-stream-offset")!);
        const reader = { id, peer, next, prefetch: Number(frame.get("prefetch-count")), unacknowledged: 0 };
        this.#readers.add(reader);
        return this.#deliver(reader);
      }
      case "UNSUBSCRIBE":
        for (const reader of own) if (reader.id === id) this.#readers.delete(reader);
        return;
      case "ACK":
        this.acks++;
        for (const reader of own) {
          if (!id.startsWith(`${reader.id}@`)) continue;
          reader.unacknowledged--;
          this.#deliver(reader);
        }
        return;
      case "SEND":
        return this.append([frame.body], frame.get("x-stream-filter-value"));
    }
  }

  #offsetFor(position: string): number {
    if (position === "first") return 0;
    if (position === "last") return this.#lastBatch;
    if (position.startsWith("offset=")) return Number(position.slice("offset=".length));
    return position.startsWith("timestamp=") ? Math.max(0, this.#lastBatch - 1) : this.#stored.length;
  }

  #deliver(reader: Reader): void {
    for (; reader.next < this.#stored.length && reader.unacknowledged < reader.prefetch; reader.next++) {
      const offset = reader.next;
      const { body, filterValue } = this.#stored[offset]!;
      const id = `${reader.id}@@${offset}`;
      const lines = [`subscription:${reader.id}`, `message-id:${id}`, `ack:${id}`, `x-stream-offset:${offset}`];
      if (filterValue !== undefined) lines.push(`x-stream-filter-value:${filterValue}`);
      reader.peer.write(`MESSAGE\n${lines.join("\n")}\ndestination:/queue/s\n\n${body}\0`).catch(() => {});
      reader.unacknowledged++;
    }
  }
}
