/**
 * The conversation over one socket, as stompy holds it: replies are told from messages, and what comes at the wrong
 * moment waits in a queue.
 *
 * @module
 */
import { checkWait, type ReadOptions, type WaitOptions, within } from "../base/timers.ts";
import { BrokerErrorResponse, type ErrorFrame, NotConnectedError } from "../base/errors.ts";
import type { FrameHeaders } from "./headers.ts";
import type { Version } from "./protocol.ts";
import { maskPasscode } from "./mask.ts";
import { Fifo } from "../base/fifo.ts";

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

/** What a queue needs to know of a frame. */
export interface QueuedFrame {
  /** The headers. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Something that can take the next frame off the socket, as `Frame` can. */
export interface FrameSource<F> {
  /** The next frame; with `nb`, `undefined` when none is waiting. */
  parseFrame(options?: { nb?: boolean | undefined }): Promise<F | undefined>;
}

/**
 * stompy's queue for messages that arrive while something else is awaited, for example the receipt of a command.
 */
export class IntermediateMessageQueue<F extends QueuedFrame = QueuedFrame> {
  readonly #queue = new Fifo<F>();

  /** How many frames wait. */
  get length(): number {
    return this.#queue.length;
  }

  /** Keeps a frame for later. A frame without a `destination` header is no message, and is not kept. */
  put(frame: F): void {
    if ("destination" in frame.headers) this.#queue.push(frame);
  }

  /**
   * Takes the next frame; when none is kept, asks `frame` for the next one off its socket.
   *
   * @param frame what reads the socket
   * @param options `nb`: do not wait, and give `undefined` when nothing is there. Default `false`.
   */
  async get<S extends F>(frame: FrameSource<S>, options: { nb?: boolean | undefined } = {}): Promise<F | undefined> {
    return this.#queue.shift() ?? await frame.parseFrame(options);
  }
}

/** One side's view of what was said over a socket. */
export class FrameVerbs<F extends ErrorFrame> {
  /** The connection. */
  sock: SocketOf<F> | undefined;
  /** The headers of CONNECTED. */
  session: FrameHeaders | undefined;
  /** Messages that arrived while a reply was awaited. */
  readonly iqueue: IntermediateMessageQueue<F> = new IntermediateMessageQueue<F>();
  /** Replies that arrived while a message was awaited. */
  readonly rqueue: Fifo<F> = new Fifo<F>();

  #connect: Readonly<Record<string, string>> | undefined; // the headers of what was said
  #reading: Promise<unknown> | undefined; // one reads, and those who wait beside it look at what it has put away
  readonly #awaited = new Set<string>(); // receipts that somebody waits for: replies that are nobody else's

  /** The next MESSAGE; `undefined` with `nb` when none is waiting. */
  getMessage(options: ReadOptions): Promise<F | undefined> {
    return this.#wait(options, async () => this.iqueue.length > 0 ? await this.iqueue.get(this) : undefined);
  }

  /** The next frame that is no MESSAGE; `undefined` with `nb` when none is waiting. */
  getReply(options: ReadOptions): Promise<F | undefined> {
    return this.#wait(options, () => {
      return this.#takeReply((reply) => !this.#awaited.has(reply.headers["receipt-id"] ?? ""));
    });
  }

  /** The next frame off the socket; ERROR is thrown. */
  async parseFrame(options: ReadOptions = {}): Promise<F | undefined> {
    const frame = await this.#connectedSock("read").readFrame(options);
    if (frame?.command !== "ERROR") return frame;
    throw new BrokerErrorResponse(this.toShow(frame));
  }

  /** A frame as an error may keep it: a broker may echo what CONNECT told it. */
  toShow(frame: F): ErrorFrame {
    const masked = this.#connect && maskPasscode(frame, this.#connect);
    return masked ? { ...masked, text: () => masked.body } : frame;
  }

  /** Sends a frame, and waits for its RECEIPT where it asks for one. */
  async sendFrame(frame: F, options: WaitOptions): Promise<F | undefined> {
    const sock = this.#connectedSock("send");
    checkWait(options);
    const isConnect = frame.command === "CONNECT" || frame.command === "STOMP";
    if (isConnect) this.#connect = frame.headers;
    // A far end that reads nothing leaves no room to write.
    await within(sock.writeFrame(frame), options, `room to send ${frame.command}`);
    // CONNECT takes no receipt: its reply is CONNECTED ("receipt" in the 1.2 text).
    const receipt = isConnect ? undefined : frame.headers["receipt"];
    if (receipt === undefined) return undefined;
    this.#awaited.add(receipt);
    try {
      return await this.#wait(options, () => this.#takeReply((reply) => reply.headers["receipt-id"] === receipt));
    } finally {
      this.#awaited.delete(receipt);
    }
  }

  /** Takes what is wanted when it is there; until then reads, or waits for who is reading. */
  async #wait(options: ReadOptions, take: () => F | undefined | Promise<F | undefined>): Promise<F | undefined> {
    for (;;) {
      const frame = await take();
      if (frame !== undefined) return frame;
      if (this.#reading === undefined) {
        if (!await this.#read(options)) return undefined;
      } else {
        if (options.nb) return undefined;
        await within(this.#reading.catch(unlessForAll), options, "a frame");
      }
    }
  }

  /** Reads one frame and puts it away. Returns whether there was one. */
  async #read(options: ReadOptions): Promise<boolean> {
    const reading = this.parseFrame(options).then((frame) => {
      if (frame?.command === "MESSAGE") this.iqueue.put(frame);
      else if (frame !== undefined) this.rqueue.push(frame);
      return frame !== undefined;
    });
    this.#reading = reading;
    try {
      return await reading;
    } finally {
      this.#reading = undefined;
    }
  }

  /** Takes the first reply that fits; the others keep their places. */
  #takeReply(fits: (reply: F) => boolean): F | undefined {
    for (const reply of this.rqueue) {
      if (!fits(reply)) continue;
      this.rqueue.remove(reply);
      return reply;
    }
    return undefined;
  }

  #connectedSock(what: string): SocketOf<F> {
    if (this.sock === undefined) {
      throw new NotConnectedError(`Cannot ${what} frame: it has no socket, call connect first`);
    }
    return this.sock;
  }
}

/** What the broker says is for all who wait; that somebody else has given up is not. */
function unlessForAll(error: unknown): void {
  if (error instanceof BrokerErrorResponse) throw error;
}
