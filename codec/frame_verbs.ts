/**
 * The verbs of stompy's `Frame`: a frame that sends and receives frames over one socket. Messages and
 * replies have separate queues for what arrives while the other is awaited.
 *
 * @module
 */
import { BrokerErrorResponse, type ErrorFrame, NotConnectedError, UnknownBrokerResponseError } from "../base/errors.ts";
import { Fifo } from "../base/fifo.ts";
import { checkWait, type ReadOptions, type WaitOptions, within } from "../base/timers.ts";
import type { FrameHeaders } from "./headers.ts";
import { maskSecrets } from "./mask.ts";
import type { Version } from "./protocol.ts";

/** A connection that carries frames of type `F`. */
export interface SocketOf<F> {
  /** The version that frames are encoded in: `"1.2"` until CONNECTED has named another. */
  readonly version: Version;
  /** The virtual host that CONNECT asks for. */
  readonly host: string;
  /** Sends a frame. Resolves when the connection accepts more. */
  writeFrame(frame: F): Promise<void>;
  /** Takes the next frame that no one else awaits. */
  readFrame(options?: ReadOptions): Promise<F | undefined>;
  /** Ends the connection. */
  close(): Promise<void>;
}

/** Options of `Frame.connect`. */
export interface ConnectFrameOptions extends WaitOptions {
  /** The `login` header. */
  username?: string | undefined;
  /** The `passcode` header. */
  password?: string | undefined;
  /** The `client-id` header, which ActiveMQ needs for durable topic subscriptions. */
  clientId?: string | undefined;
}

/** What {@linkcode IntermediateMessageQueue} reads of a frame. */
export interface QueuedFrame {
  /** The headers. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Something that can take the next frame off a socket, as `Frame` can. */
export interface FrameSource<F> {
  /** Takes the next frame; with `nb`, resolves to `undefined` when none is waiting. */
  parseFrame(options?: { nb?: boolean | undefined }): Promise<F | undefined>;
}

/**
 * stompy's queue for messages that arrive while something else is awaited, for example a RECEIPT.
 *
 * @example
 * ```ts
 * import { Frame } from "@x/stompy/frame";
 * import { IntermediateMessageQueue } from "@x/stompy/queue";
 *
 * const queue = new IntermediateMessageQueue<Frame>();
 * queue.put(new Frame().buildFrame({ command: "MESSAGE", headers: { destination: "/queue/a" }, body: "hello" }));
 * console.log((await queue.get(new Frame()))?.text()); // hello
 * ```
 */
export class IntermediateMessageQueue<F extends QueuedFrame = QueuedFrame> {
  readonly #queue = new Fifo<F>();

  /** How many frames are kept. */
  get length(): number {
    return this.#queue.length;
  }

  /** Keeps a frame for later. A frame without a `destination` header is not a message, and is dropped. */
  put(frame: F): void {
    if ("destination" in frame.headers) this.#queue.push(frame);
  }

  /**
   * Takes the next frame; when none is kept, asks `frame` for the next one off its socket.
   *
   * @param frame what reads the socket
   * @param options `nb`: whether to resolve to `undefined` at once when no frame is waiting
   */
  async get<S extends F>(frame: FrameSource<S>, options: { nb?: boolean | undefined } = {}): Promise<F | undefined> {
    return this.#queue.shift() ?? await frame.parseFrame(options);
  }
}

/** The verbs of one frame, and what they keep between calls. */
export class FrameVerbs<F extends ErrorFrame> {
  /** The connection. */
  sock: SocketOf<F> | undefined;
  /** The headers of CONNECTED. */
  session: FrameHeaders | undefined;
  /** Messages that arrived while a reply was awaited. */
  readonly iqueue: IntermediateMessageQueue<F> = new IntermediateMessageQueue<F>();
  /** Replies that arrived while a message was awaited. */
  readonly rqueue: Fifo<F> = new Fifo<F>();

  #connect: Readonly<Record<string, string>> | undefined; // the headers of CONNECT
  #reading: Promise<unknown> | undefined; // one call reads; others wait for it, and then look at the queues
  readonly #awaited = new Set<string>(); // receipts that a `sendFrame` waits for, and `getReply` must not take

  /** Takes the next MESSAGE; `undefined` with `nb` when none is waiting. */
  getMessage(options: ReadOptions): Promise<F | undefined> {
    return this.#wait(options, async () => this.iqueue.length > 0 ? await this.iqueue.get(this) : undefined);
  }

  /** Takes the next frame that is not a MESSAGE; `undefined` with `nb` when none is waiting. */
  getReply(options: ReadOptions): Promise<F | undefined> {
    return this.#wait(options, () => {
      return this.#takeReply((reply) => !this.#awaited.has(reply.headers["receipt-id"] ?? ""));
    });
  }

  /** Takes the next frame off the socket; throws ERROR. */
  async parseFrame(options: ReadOptions = {}): Promise<F | undefined> {
    const frame = await this.#connectedSock("read").readFrame(options);
    if (frame?.command !== "ERROR") return frame;
    throw new BrokerErrorResponse(this.toShow(frame));
  }

  /** Returns a frame as an error may keep it, without the passcode: a broker may echo CONNECT. */
  toShow(frame: F): ErrorFrame {
    const masked = this.#connect && maskSecrets(frame, this.#connect);
    return masked ? { ...masked, text: () => masked.body } : frame;
  }

  /** Sends a frame, and waits for its RECEIPT where it asks for one. */
  async sendFrame(frame: F, options: WaitOptions): Promise<F | undefined> {
    const sock = this.#connectedSock("send");
    checkWait(options);
    const isConnect = frame.command === "CONNECT" || frame.command === "STOMP";
    if (isConnect) this.#connect = frame.headers;
    // A peer that does not read blocks the write.
    await within(sock.writeFrame(frame), options, `the connection to accept ${frame.command}`);
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

  /**
   * Sends CONNECT, and keeps the headers of CONNECTED.
   *
   * @throws {UnknownBrokerResponseError} when the broker answers with anything but CONNECTED.
   */
  async connect(frame: F, options: WaitOptions): Promise<void> {
    await this.sendFrame(frame, {});
    const reply = await this.getReply(options);
    if (reply?.command !== "CONNECTED") {
      throw new UnknownBrokerResponseError(`Cannot connect: the broker answered ${reply?.command ?? "nothing"}`, {
        frame: reply && this.toShow(reply),
      });
    }
    this.session = reply.headers;
  }

  /** Calls `take` until it returns a frame, and between calls reads, or waits for the call that reads. */
  async #wait(options: ReadOptions, take: () => F | undefined | Promise<F | undefined>): Promise<F | undefined> {
    for (;;) {
      const frame = await take();
      if (frame !== undefined) return frame;
      if (this.#reading === undefined) {
        if (!await this.#read(options)) return undefined;
      } else {
        if (options.nb) return undefined;
        await within(this.#reading.catch(throwBrokerError), options, "a frame");
      }
    }
  }

  /** Reads one frame into its queue. Returns whether there was one. */
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

  /** Takes the first reply that `matches`; the others keep their places. */
  #takeReply(matches: (reply: F) => boolean): F | undefined {
    for (const reply of this.rqueue) {
      if (!matches(reply)) continue;
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

/** An ERROR rejects every call that waits; the abort of one call does not reject the others. */
function throwBrokerError(error: unknown): void {
  if (error instanceof BrokerErrorResponse) throw error;
}
