/**
 * One live connection: everything that is true from CONNECT on and ends with the socket. A client that reconnects
 * makes a new `Session`; nothing of the old one is carried over.
 *
 * @module
 */
import { acknowledgement } from "./acknowledge.ts";
import type { ReadOptions, WaitOptions } from "./conversation.ts";
import { onGiveUp } from "./deadline.ts";
import type { DecoderLimits } from "./decoder.ts";
import { type BrokerFamily, brokerFamily } from "./dialect.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  NotConnectedError,
  type StompError,
  SubscriptionError,
  TimeoutError,
  UnknownBrokerResponseError,
} from "./errors.ts";
import { Frame, type FrameSocket } from "./frame.ts";
import { type ConnectDetails, connectFrame, readAnswer } from "./handshake.ts";
import type { Headers, Version } from "./headers.ts";
import { type Clock, Heartbeat, type HeartbeatPlan, type HeartbeatTolerance } from "./heartbeat.ts";
import { RawFrames } from "./raw_frames.ts";
import { Receipts, type ReceiptWaiter } from "./receipts.ts";
import { FramedSocket } from "./socket.ts";
import { OpenTransactions } from "./transactions.ts";
import type { Transport } from "./transport.ts";

/** How a subscription confirms its messages. */
export type AckMode = "auto" | "client" | "client-individual";

/** Where the messages of a subscription go. */
export interface MessageTarget {
  /** The id of the SUBSCRIBE. */
  readonly id: string;
  /** The destination, for brokers that send no `subscription` header. */
  readonly destination: string;
  /** Takes a message. Called while a chunk is decoded; must not throw. */
  deliver(message: Frame): void;
}

/** Options of a {@linkcode Session}. */
export interface SessionOptions extends ConnectDetails, DecoderLimits {
  /** Milliseconds that a receipt is waited for, where the call says nothing else. */
  timeout: number;
  /** How patient the heart-beat is. */
  tolerance?: HeartbeatTolerance | undefined;
  /** The class of MESSAGE frames. */
  messageType?: (new () => Frame) | undefined;
  /** The time. */
  clock?: Clock | undefined;
  /** Called once when an open session is over: with the reason, or `undefined` after `disconnect`. */
  onEnd?: ((session: Session, reason: StompError | undefined) => void) | undefined;
  /** Called for an ERROR frame, which need not be the end of the connection. */
  onError?: ((error: BrokerErrorResponse) => void) | undefined;
}

/** Milliseconds that the broker has to answer DISCONNECT, where the call says nothing else. */
const DISCONNECT_TIMEOUT = 5000;

let epochs = 0;

/** A connection to a broker. */
export class Session implements FrameSocket {
  /** Tells the sessions of a process apart. */
  readonly epoch: number = ++epochs;
  /** The virtual host that was asked for. */
  readonly host: string;
  /** The headers of CONNECTED. */
  connected: Headers = Object.create(null);
  /** Which broker this is, as far as it says. */
  family: BrokerFamily = "unknown";

  readonly #socket: FramedSocket;
  readonly #options: SessionOptions;
  readonly #receipts = new Receipts();
  readonly #targets = new Map<string, MessageTarget>();
  readonly #transactions = new OpenTransactions();
  readonly #full = new Set<object>(); // the consumers that asked for a pause
  readonly #raw: RawFrames;
  #heartbeat: Heartbeat | undefined;
  #lastError: BrokerErrorResponse | undefined; // while nothing came after it
  #state: "connecting" | "open" | "disconnecting" | "closed" = "connecting";
  #reason: StompError | undefined;
  #opened!: { resolve: () => void; reject: (error: unknown) => void };

  /**
   * Says CONNECT over a transport and waits for CONNECTED. When that fails the transport is closed.
   *
   * @throws {BrokerErrorResponse} when the broker refuses.
   * @throws {ConnectionError} when the connection ends first; a `ConnectionTimeoutError` when the time is over.
   * @throws {UnknownBrokerResponseError} when the answer is no STOMP, or a version that was not offered.
   */
  static async open(transport: Transport, options: SessionOptions, wait: WaitOptions = {}): Promise<Session> {
    const session = new Session(transport, options);
    const stop = onGiveUp(wait, "CONNECTED", (error) => {
      session.#end(
        error instanceof TimeoutError
          ? new ConnectionTimeoutError(`Cannot connect to ${transport.peer}: no CONNECTED within ${wait.timeout} ms`)
          : error as StompError,
      );
    });
    try {
      await session.#connect();
    } finally {
      stop();
    }
    return session;
  }

  private constructor(transport: Transport, options: SessionOptions) {
    this.host = options.host;
    this.#options = options;
    this.#socket = new FramedSocket(transport, options);

    this.#raw = new RawFrames((full) => full ? this.hold(this.#raw) : this.release(this.#raw));
  }

  /** The version of the protocol that was agreed on. */
  get version(): Version {
    return this.#socket.version;
  }

  /** Name of the far end, for people. */
  get peer(): string {
    return this.#socket.peer;
  }

  /** Whether frames can be sent. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Why the session is over, once it is; `undefined` after `disconnect`. */
  get reason(): StompError | undefined {
    return this.#reason;
  }

  /** Whether reading is paused because a consumer is slow. */
  get paused(): boolean {
    return this.#socket.paused;
  }

  /**
   * Sends a frame without a receipt.
   *
   * @returns `undefined` when there is room for more, else a promise to wait for.
   * @throws {TypeError} when the frame cannot be encoded; nothing was written then.
   * @throws {NotConnectedError} when the session is over.
   */
  send(frame: Frame): Promise<void> | undefined {
    this.#checkOpen(`send ${frame.command}`);
    return this.#socket.send(frame);
  }

  /**
   * Sends a frame with a receipt, and waits for that.
   *
   * @throws {BrokerErrorResponse} when the broker answers with an ERROR.
   * @throws {ConnectionError} when the connection ends first: whether the broker did it is then unknown.
   */
  request(frame: Frame, wait: WaitOptions = {}): Promise<Frame> {
    return new Promise((resolve, reject) => {
      wait.signal?.throwIfAborted();
      const describe = () => describeFrame(frame);
      const id = this.confirm(frame, {
        describe,
        confirmed: (receipt) => {
          stop();
          resolve(receipt);
        },
        failed: (error) => {
          stop();
          reject(error);
        },
      });
      const limits = { signal: wait.signal, timeout: wait.timeout ?? this.#options.timeout };
      const stop = onGiveUp(limits, `the receipt of ${describe()}`, (error) => {
        this.giveUp(id);
        reject(error);
      });
    });
  }

  /**
   * Sends a frame with a receipt; the waiter is told when that comes, or that it will not.
   *
   * @returns the id of the receipt.
   * @throws as {@linkcode send}.
   */
  confirm(frame: Frame, waiter: ReceiptWaiter): string {
    this.#checkOpen(`send ${frame.command}`);
    const id = frame.headers["receipt"] ??= this.#receipts.nextId();
    this.#receipts.checkFree(id);
    this.#socket.send(frame); // may throw: a frame that cannot be encoded leaves no receipt behind
    this.#receipts.add(id, waiter);
    if (this.#full.size > 0) this.#updateReading();
    return id;
  }

  /** Nobody waits for a receipt any more. */
  giveUp(receipt: string): void {
    this.#receipts.remove(receipt);
    if (this.#full.size > 0) this.#updateReading();
  }

  /** Resolves when the connection has room for more. */
  room(): Promise<void> | undefined {
    return this.#socket.room();
  }

  /** Subscribes. The target gets messages from now on, also before the promise resolves. */
  async subscribe(target: MessageTarget, frame: Frame, wait?: WaitOptions): Promise<void> {
    if (this.#targets.has(target.id)) {
      throw new SubscriptionError(`Cannot subscribe to ${target.destination}: the id ${target.id} is in use`);
    }
    if (this.version === "1.0" && frame.headers["ack"] === "client-individual") {
      throw new SubscriptionError(
        `Cannot subscribe to ${target.destination}: STOMP 1.0, which the broker chose, has no client-individual mode`,
      );
    }
    this.#targets.set(target.id, target);
    try {
      await this.request(frame, wait);
    } catch (error) {
      this.forget(target);
      throw error;
    }
  }

  /** Unsubscribes. Messages that are still under way are dropped. */
  async unsubscribe(target: MessageTarget, frame: Frame, wait?: WaitOptions): Promise<void> {
    this.forget(target);
    await this.request(frame, wait);
  }

  /** Delivers nothing more to a target. */
  forget(target: MessageTarget): void {
    if (this.#targets.get(target.id) === target) this.#targets.delete(target.id);
    this.release(target);
  }

  /** A consumer has enough: reading stops until it is released, unless an answer of the broker is awaited. */
  hold(consumer: object): void {
    this.#full.add(consumer);
    this.#updateReading();
  }

  /** The opposite of `hold`. */
  release(consumer: object): void {
    if (this.#full.delete(consumer)) this.#updateReading();
  }

  /**
   * Acknowledges a message, or says that it was not consumed. The broker gives no answer to that, so this waits only
   * for room.
   */
  acknowledge(
    command: "ACK" | "NACK",
    message: Frame,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> | undefined {
    this.#checkOpen(`send ${command}`);
    const { transaction } = headers;
    if (transaction !== undefined) this.#transactions.check(transaction, command);
    return this.#socket.send(acknowledgement(command, message, this.version, headers));
  }

  /** Begins a transaction. */
  async begin(id: string, headers: Readonly<Record<string, string>> = {}, wait?: WaitOptions): Promise<void> {
    this.#checkOpen("begin transaction");
    this.#transactions.open(id);
    try {
      await this.#requestTransaction("BEGIN", id, headers, wait);
    } catch (error) {
      this.#transactions.close(id);
      throw error;
    }
  }

  /** Commits or aborts a transaction. However it ends, the transaction is over. */
  async endTransaction(
    command: "COMMIT" | "ABORT",
    id: string,
    headers: Readonly<Record<string, string>> = {},
    wait?: WaitOptions,
  ): Promise<void> {
    this.checkTransaction(id, command);
    this.#transactions.close(id);
    await this.#requestTransaction(command, id, headers, wait);
  }

  /** Fails unless the transaction is open on this connection. */
  checkTransaction(id: string, what: string): void {
    this.#checkOpen(`send ${what}`);
    this.#transactions.check(id, what);
  }

  /**
   * Ends in order: DISCONNECT with a receipt, and the socket closed when that has come, the broker has closed, or the
   * time is over (default 5 s). Messages that arrive meanwhile are dropped. Never rejects; the signal only shortens
   * the wait.
   */
  async disconnect(headers: Readonly<Record<string, string>> = {}, wait: WaitOptions = {}): Promise<void> {
    if (this.#state !== "open") return;
    const frame = new Frame().buildFrame({ command: "DISCONNECT", headers });
    this.#targets.clear();
    this.#full.clear();
    this.#socket.resume();
    const answered = this.request(frame, { timeout: DISCONNECT_TIMEOUT, ...wait });
    this.#state = "disconnecting";
    try {
      await answered;
    } catch {
      // The broker need not answer: it may close at once ("Graceful Shutdown" in the 1.2 text).
    }
    await this.#end(undefined, true);
  }

  /** Gives the connection up at once, with the reason for those who wait. */
  close(reason?: StompError): Promise<void> {
    return this.#end(reason);
  }

  /** Sends a frame that was made by hand; what answers it can be read with `readFrame`. */
  async writeFrame(frame: Frame): Promise<void> {
    if (frame.command === "CONNECT" || frame.command === "STOMP") {
      throw new TypeError(`Cannot send ${frame.command}: the session is connected already`);
    }
    const { headers } = frame;
    const target = this.#rawTarget(headers);
    if (frame.command === "UNSUBSCRIBE") this.#targets.delete(target.id);
    if (frame.command === "SUBSCRIBE") this.#targets.set(target.id, target);
    const room = this.send(frame);
    this.#raw.wrote(frame);
    this.#updateReading();
    await room;
  }

  /** Takes the next frame that answers one made by hand, or is a message of a subscription made by hand. */
  readFrame(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#raw.read(options);
  }

  #rawTarget(headers: Headers): MessageTarget {
    const destination = headers["destination"] ?? "";
    return { id: headers["id"] ?? destination, destination, deliver: (message) => this.#raw.deliver(message) };
  }

  async #connect(): Promise<void> {
    const opened = new Promise<void>((resolve, reject) => this.#opened = { resolve, reject });
    opened.catch(() => {}); // it may fail before anybody waits
    if (this.#state === "closed") throw this.#reason;
    this.#socket.start({
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: (error) => this.#onSocketEnd(error),
    });
    try {
      this.#socket.send(connectFrame(this.#options));
    } catch (error) {
      this.#end(error as StompError);
    }
    await opened;
  }

  #onFrame(frame: Frame): void {
    switch (frame.command) {
      case "MESSAGE":
        this.#onMessage(frame);
        return;
      case "RECEIPT":
        this.#lastError = undefined;
        if (!this.#receipts.confirm(frame.header("receipt-id") ?? "", frame)) this.#raw.answer(frame);
        if (this.#full.size > 0) this.#updateReading();
        return;
      case "ERROR":
        if (this.#state === "connecting") this.#onAnswer(frame);
        else this.#onErrorFrame(frame);
        return;
      default:
        if (this.#state === "connecting") this.#onAnswer(frame);
        else this.#onUnexpected(frame);
    }
  }

  #onMessage(frame: Frame): void {
    if (this.#state === "connecting") return this.#onAnswer(frame);
    this.#lastError = undefined;
    const id = frame.header("subscription");
    // Not found: it was unsubscribed while the message was under way.
    if (id !== undefined) this.#targets.get(id)?.deliver(frame);
    else this.#targetByDestination(frame)?.deliver(frame);
  }

  /** 1.0 brokers, and RabbitMQ after a SUBSCRIBE without id, send no `subscription`. */
  #targetByDestination(frame: Frame): MessageTarget | undefined {
    const destination = frame.header("destination");
    for (const target of this.#targets.values()) if (target.destination === destination) return target;
    return undefined;
  }

  #onAnswer(frame: Frame): void {
    let plan: HeartbeatPlan;
    try {
      const agreement = readAnswer(frame, this.#options, this.peer);
      this.#socket.version = agreement.version;
      plan = agreement.plan;
    } catch (error) {
      this.#end(error as StompError);
      return;
    }
    this.connected = frame.headers;
    this.family = brokerFamily(frame.headers["server"]);
    this.#state = "open";
    this.#heartbeat = new Heartbeat(plan, this.#socket, {
      ...this.#options.tolerance,
      clock: this.#options.clock,
      stopped: (silence) => {
        const seconds = (silence / 1000).toFixed(1);
        this.#end(new ConnectionError(`Connection to ${this.peer} lost: nothing came for ${seconds} s`));
      },
    });
    this.#opened.resolve();
  }

  #onErrorFrame(frame: Frame): void {
    const error = new BrokerErrorResponse(frame);
    this.#lastError = error;
    const id = frame.header("receipt-id");
    const raw = this.#raw.answer(frame);
    // Without an id it may be any of the open calls, so it is all of them.
    if (id === undefined) {
      this.#receipts.failAll((what) => new BrokerErrorResponse(frame, `Cannot confirm ${what}`), false);
    }
    if (id !== undefined && !raw) this.#receipts.fail(id, error);
    this.#updateReading();
    this.#options.onError?.(error);
  }

  #onUnexpected(frame: Frame): void {
    this.#end(
      new UnknownBrokerResponseError(`Cannot go on with ${this.peer}: it sent ${frame.command}`, { frame }),
    );
  }

  #onSocketEnd(error: StompError | undefined): void {
    if (this.#state === "disconnecting") {
      this.#receipts.failAll(() => new ConnectionError("the broker closed the connection"), true);
      return;
    }
    const what = this.#state === "connecting"
      ? `Cannot connect to ${this.peer}: the broker closed the connection before CONNECTED`
      : `Connection to ${this.peer} lost: the broker closed it`;
    this.#end(this.#lastError ?? error ?? new ConnectionError(what));
  }

  /** Paused while a consumer is full, but never while an answer is awaited that may stand behind its messages. */
  #updateReading(): void {
    const pause = this.#full.size > 0 && this.#receipts.size === 0 && this.#raw.openReceipts === 0;
    if (pause === this.#socket.paused) return;
    if (pause) this.#socket.pause();
    else this.#socket.resume();
  }

  async #end(reason: StompError | undefined, inOrder = false): Promise<void> {
    if (this.#state === "closed") return;
    const wasConnecting = this.#state === "connecting";
    this.#state = "closed";
    this.#reason = reason;
    this.#heartbeat?.stop();
    this.#targets.clear();
    this.#transactions.clear();
    this.#full.clear();
    this.#receipts.failAll(
      (what) => new ConnectionError(`Cannot confirm ${what}: ${endOf(reason)}`, { cause: reason }),
      true,
    );
    this.#raw.end(reason ?? new NotConnectedError("Cannot read frame: the session is over"));
    const socketClosed = inOrder ? this.#socket.end() : this.#socket.close();
    if (wasConnecting) {
      await socketClosed;
      this.#opened?.reject(reason ?? new NotConnectedError("Cannot connect: the session was closed"));
    } else {
      this.#options.onEnd?.(this, reason);
      await socketClosed;
    }
  }

  #requestTransaction(
    command: string,
    id: string,
    headers: Readonly<Record<string, string>>,
    wait?: WaitOptions,
  ): Promise<Frame> {
    return this.request(new Frame().buildFrame({ command, headers: { transaction: id, ...headers } }), wait);
  }

  #checkOpen(what: string): void {
    if (this.#state === "open") return;
    const state = this.#state === "disconnecting" ? "it is disconnecting" : endOf(this.#reason);
    throw new NotConnectedError(`Cannot ${what}: ${state}`, this.#reason ? { cause: this.#reason } : {});
  }
}

function describeFrame(frame: Frame): string {
  const destination = frame.headers["destination"];
  return destination === undefined ? frame.command : `${frame.command} to ${destination}`;
}

function endOf(reason: StompError | undefined): string {
  return reason ? reason.message : "the session is over";
}
