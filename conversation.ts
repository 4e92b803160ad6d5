/**
 * The conversation over one socket, as stompy holds it: replies are told from messages, and what comes at the wrong
 * moment waits in a queue.
 *
 * @module
 */
import { checkWait, type WaitOptions, within } from "./deadline.ts";
import { BrokerErrorResponse, type ErrorFrame, NotConnectedError } from "./errors.ts";
import type { Headers, Version } from "./headers.ts";
import { Fifo, IntermediateMessageQueue } from "./queue.ts";

export type { WaitOptions } from "./deadline.ts";

/** How to read the next frame. */
export interface ReadOptions extends WaitOptions {
  /** "Not blocking": give `undefined` at once when no frame is waiting. Default `false`. */
  nb?: boolean | undefined;
}

/** A connection that carries frames of type `F`. */
export interface SocketOf<F> {
  /** The version frames are encoded in: the rules of `"1.2"` until CONNECTED has said otherwise. */
  readonly version: Version;
  /** The virtual host that CONNECT asks for. */
  readonly host: string;
  /** Sends a frame. Resolves when the connection has room for more. */
  writeFrame(frame: F): Promise<void>;
  /** Takes the next frame that nobody else waits for. */
  readFrame(options?: ReadOptions): Promise<F | undefined>;
  /** Ends the connection. */
  close(): Promise<void>;
}

/** One side's view of what was said over a socket. */
export class Conversation<F extends ErrorFrame> {
  /** The connection. */
  sock: SocketOf<F> | undefined;
  /** The headers of CONNECTED. */
  session: Headers | undefined;
  /** Messages that arrived while a reply was awaited. */
  readonly iqueue: IntermediateMessageQueue<F> = new IntermediateMessageQueue<F>();
  /** Replies that arrived while a message was awaited. */
  readonly rqueue: Fifo<F> = new Fifo<F>();

  /** The next MESSAGE; `undefined` with `nb` when none is waiting. */
  async getMessage(options: ReadOptions): Promise<F | undefined> {
    for (;;) {
      const frame = await this.iqueue.get({ parseFrame: () => this.parseFrame(options) });
      if (frame === undefined || frame.command === "MESSAGE") return frame;
      this.rqueue.push(frame);
    }
  }

  /** The next frame that is no MESSAGE; `undefined` with `nb` when none is waiting. */
  async getReply(options: ReadOptions): Promise<F | undefined> {
    const waiting = this.rqueue.shift();
    if (waiting !== undefined) return waiting;
    for (;;) {
      const frame = await this.parseFrame(options);
      if (frame === undefined || frame.command !== "MESSAGE") return frame;
      this.iqueue.put(frame);
    }
  }

  /** The next frame off the socket; ERROR is thrown. */
  async parseFrame(options: ReadOptions): Promise<F | undefined> {
    const frame = await this.#connectedSock("read").readFrame(options);
    if (frame?.command === "ERROR") throw new BrokerErrorResponse(frame);
    return frame;
  }

  /** Sends a frame, and waits for its RECEIPT where it asks for one. */
  async sendFrame(frame: F, options: WaitOptions): Promise<F | undefined> {
    const sock = this.#connectedSock("send");
    checkWait(options);
    // A far end that reads nothing leaves no room to write.
    await within(sock.writeFrame(frame), options, `room to send ${frame.command}`);
    // CONNECT takes no receipt: its reply is CONNECTED ("receipt" in the 1.2 text).
    const receipt = frame.command === "CONNECT" || frame.command === "STOMP" ? undefined : frame.headers["receipt"];
    if (receipt === undefined) return undefined;
    const others: F[] = [];
    try {
      for (;;) {
        const reply = await this.getReply(options);
        if (reply === undefined || reply.headers["receipt-id"] === receipt) return reply;
        others.push(reply);
      }
    } finally {
      for (const reply of others) this.rqueue.push(reply);
    }
  }

  #connectedSock(what: string): SocketOf<F> {
    if (this.sock === undefined) {
      throw new NotConnectedError(`Cannot ${what} frame: it has no socket, call connect first`);
    }
    return this.sock;
  }
}
