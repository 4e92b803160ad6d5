/**
 * One live connection: everything that is true from CONNECTED on and ends with the socket. A client that reconnects
 * makes a new `Session`; nothing of the old one is carried over.
 *
 * @module
 */
import { acknowledgement, plainAcknowledgement } from "./acknowledgement.ts";
import { ErrorFrames } from "./error_frames.ts";
import {
  beginSteps,
  checkWait,
  type Clock,
  onGiveUp,
  type ReadOptions,
  type StepOptions,
  systemClock,
  type WaitOptions,
} from "../base/timers.ts";
import type { DecoderLimits } from "../codec/limits.ts";
import { type BrokerFamily, brokerFamily, type FrameLimits, givesBackFrom } from "../dialects/dialect.ts";
import { Requeue } from "./requeue.ts";
import { FrameCheck } from "./frame_limits.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  NotConnectedError,
  type StompError,
  UnknownBrokerResponseError,
} from "../base/errors.ts";
import { Frame, type FrameSocket } from "../codec/frame.ts";
import type { QueueFill } from "../base/bounded_queue.ts";
import { type Agreement, type ConnectDetails, disconnectFrame, shakeHands } from "./handshake.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import type { Version } from "../codec/protocol.ts";
import { Heartbeat, type HeartbeatTolerance } from "../connection/heartbeat.ts";
import { SendHeadCache, type SendParts } from "./send_head_cache.ts";
import { LivenessProbe } from "./liveness_probe.ts";
import { type Blockage, Progress } from "./progress.ts";
import { RawFrames } from "./raw_frames.ts";
import { ReadGate } from "./read_gate.ts";
import { Receipts, type ReceiptsOwner, type ReceiptWaiter } from "./receipts.ts";
import { FrameConnection, type FrameSink } from "../connection/frame_connection.ts";
import { Dispatcher, type MessageSink, unsubscribeHeaders } from "./dispatcher.ts";
import { OpenTransactions } from "./transactions.ts";
import type { Transport } from "../transport/transport.ts";

/** Options of a {@linkcode Session}. */
export interface SessionOptions extends ConnectDetails, DecoderLimits {
  /** Milliseconds that a receipt is waited for, where the call says nothing else. */
  timeout: number;
  /** Which broker it is; default: what it says itself. */
  broker?: BrokerFamily | undefined;
  /** What the broker takes in one frame; default: what it is known to take. */
  frameLimits?: Partial<FrameLimits> | undefined;
  /** How patient the heart-beat is. */
  tolerance?: HeartbeatTolerance | undefined;
  /** The class of MESSAGE frames. */
  messageType?: (new () => Frame) | undefined;
  /** The time. */
  clock?: Clock | undefined;
  /** Called once when the session is over: with the reason, or `undefined` after `disconnect`. */
  onEnd?: ((session: Session, reason: StompError | undefined) => void) | undefined;
  /** Called for an ERROR frame, which need not be the end of the connection. */
  onError?: ((error: BrokerErrorResponse) => void) | undefined;
  /** Called when the broker stops answering, and with `undefined` when it answers again. */
  onBlocked?: ((session: Session, blockage: Blockage | undefined) => void) | undefined;
}

const NO_HEADERS: ExtraHeaders = {};

/** Milliseconds that the broker has to answer DISCONNECT, where the call says nothing else. */
const DISCONNECT_TIMEOUT = 5000;

type ExtraHeaders = Readonly<Record<string, string>>;

let epochs = 0;

/**
 * A connection to a broker. What many connections never need is made when it is needed: there may be thousands of them
 * in one process.
 */
export class Session implements FrameSocket, FrameSink, ReceiptsOwner {
  /** Tells the sessions of a process apart. */
  readonly epoch: number = ++epochs;
  /** The virtual host that was asked for. */
  readonly host: string;
  /** What the broker knows the client as, where it was told. */
  readonly clientId: string | undefined;
  /** The headers of CONNECTED. */
  readonly connected: FrameHeaders;
  /** Which broker this is, as far as it is known. */
  readonly family: BrokerFamily;
  /** Whether the broker answers. */
  readonly progress: Progress;

  readonly #frameCheck: FrameCheck;
  readonly #socket: FrameConnection;
  readonly #timeout: number;
  readonly #clock: Clock;
  readonly #onEnd: SessionOptions["onEnd"];
  readonly #onError: SessionOptions["onError"];
  readonly #heartbeat: Heartbeat;
  readonly #targets = new Dispatcher();
  readonly #receipts = new Receipts(this);
  #madePlainHeads: SendHeadCache | undefined;
  #transactions: OpenTransactions | undefined;
  #giveBack: Requeue | undefined;
  #raw: RawFrames | undefined;
  #reading: ReadGate | undefined; // since a consumer had enough, or a reply was awaited
  #complaints: ErrorFrames | undefined; // since there was one
  #probe: LivenessProbe | undefined;
  #unconfirmed = 0; // SENDs without a receipt since the last RECEIPT
  #state: "open" | "disconnecting" | "closed" = "open";
  #reason: StompError | undefined;
  #leaving: Promise<void> | undefined;
  #ended: Promise<void> | undefined;

  /**
   * Says CONNECT over a transport and waits for CONNECTED. When that fails the transport is closed.
   *
   * @throws as {@linkcode shakeHands}.
   */
  static async open(transport: Transport, options: SessionOptions, wait: StepOptions = {}): Promise<Session> {
    let socket: FrameConnection;
    try {
      checkWait(wait);
      socket = new FrameConnection(transport, options);
    } catch (error) {
      await transport.close();
      throw error;
    }
    return await shakeHands(socket, options, wait, (agreement) => new Session(socket, options, agreement));
  }

  private constructor(socket: FrameConnection, options: SessionOptions, { plan, connected }: Agreement) {
    this.host = options.host;
    this.clientId = options.clientId ?? options.headers?.["client-id"];
    this.connected = connected;
    this.family = options.broker ?? brokerFamily(connected["server"]);
    this.#frameCheck = new FrameCheck(this.family, connected["server"], options.frameLimits);
    this.#socket = socket;
    this.#timeout = options.timeout;
    this.#clock = options.clock ?? systemClock;
    this.#onEnd = options.onEnd;
    this.#onError = options.onError;
    this.progress = new Progress(this.#receipts, socket, this.#clock, options.onBlocked?.bind(undefined, this));
    this.#heartbeat = new Heartbeat(plan, socket, {
      ...options.tolerance,
      clock: options.clock,
      probe: { ask: () => this.#askForLife(), timeout: options.tolerance?.probe },
      stopped: (silence, jump) => {
        const after = jump === undefined ? "" : ` after the clock jumped by ${seconds(jump)}`;
        this.#end(new ConnectionError(`Connection to ${this.peer} lost: nothing came for ${seconds(silence)}${after}`));
      },
    });
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
    this.#checkOpen(frame.command);
    if (frame.command === "SEND" && this.#frameCheck.isSuspicious(frame.body, Object.keys(frame.headers).length)) {
      this.#frameCheck.checkFrame(frame);
    }
    const room = this.#socket.send(frame);
    if (frame.command === "SEND" && frame.headers["receipt"] === undefined) this.#unconfirmed++;
    if (isAboutTransaction(frame.command)) this.#openTransactions().note(frame);
    return room;
  }

  /**
   * Sends a frame with a receipt; the promise is for the receipt. It rejects with a `BrokerErrorResponse` when the
   * broker answers ERROR, and with a `ConnectionError` when the connection ends first: whether the broker did it is
   * then unknown.
   *
   * @param takeBack makes the frame that undoes it. It is sent when the wait is given up, because the broker may still
   * do what was asked.
   * @throws at once when nothing was written: as {@linkcode send}, or because the options do not let it begin.
   */
  request(frame: Frame, wait?: WaitOptions, takeBack?: () => Frame): Promise<Frame> {
    return this.#receipts.request(frame, { ...wait, timeout: wait?.timeout ?? this.#timeout }, takeBack);
  }

  /** Bytes that were sent so far, whether the transport has taken them or not. */
  get position(): number {
    return this.#socket.position;
  }

  /** Takes back what was sent between two positions. Returns whether it was not written yet. */
  retract(start: number, end: number): boolean {
    return this.#socket.retract(start, end);
  }

  /** A promise to wait for before more is sent; `undefined` when there is room now. */
  ready(): Promise<void> | undefined {
    return this.#socket.ready();
  }

  /**
   * Sends a frame with a receipt; the waiter is told when that comes, or that it will not.
   *
   * @returns the id of the receipt.
   * @throws as {@linkcode send}.
   */
  confirm(frame: Frame, waiter: ReceiptWaiter): string {
    return this.#receipts.confirm(frame, waiter);
  }

  /** Sends a message without a receipt. Returns and throws as {@linkcode send}; the body must be text or bytes. */
  sendFast(message: SendParts): Promise<void> | undefined {
    this.#checkOpen("SEND");
    this.#unconfirmed++;
    const head = this.#plainHeads.of(message);
    const headers = this.#plainHeads.headersOf(message);
    this.#checkMessage(message, head, headers);
    return this.progress.watched(this.#socket.sendMessage(head, headers, message.body));
  }

  /** The same with a receipt, as {@linkcode confirm}. */
  confirmFast(message: SendParts, waiter: ReceiptWaiter): string {
    this.#checkOpen("SEND");
    const head = this.#plainHeads.of(message);
    const headers = this.#plainHeads.headersOf(message);
    return this.#receipts.add(waiter, (id) => {
      // Most have none, and to spread nothing takes its time as well.
      const all = headers.length === 0 ? ["receipt", id] : [...headers, "receipt", id];
      this.#checkMessage(message, head, all);
      this.#socket.sendMessage(head, all, message.body);
    });
  }

  /** Nobody waits for a receipt any more. */
  giveUp(receipt: string): void {
    this.#receipts.giveUp(receipt);
  }

  /** Subscribes. The target gets messages from now on, also before the promise resolves. */
  async subscribe(target: MessageSink, frame: Frame, wait?: WaitOptions): Promise<Frame> {
    this.#targets.add(target);
    let isWritten = false;
    try {
      const answered = this.request(frame, wait);
      isWritten = true;
      return await answered;
    } catch (error) {
      const isGivenUp = isWritten && this.isOpen && !(error instanceof BrokerErrorResponse);
      if (isGivenUp) this.#takeBack(target);
      else this.forget(target);
      throw error;
    }
  }

  /** Undoes a SUBSCRIBE that nobody waits for any more: the broker may do it, and may have delivered already. */
  #takeBack(target: MessageSink): void {
    const headers = unsubscribeHeaders(target, this.version);
    this.unsubscribe(target, new Frame().buildFrame({ command: "UNSUBSCRIBE", headers })).catch(() => {});
  }

  /**
   * Unsubscribes. The target gets what is under way, until the broker has confirmed.
   *
   * @param givesBack whether others are to get what is not settled, on a broker that would keep it
   */
  unsubscribe(
    target: MessageSink,
    frame: Frame,
    left: () => WaitOptions = () => ({}),
    givesBack: boolean = true,
  ): Promise<Frame> {
    const destination = givesBackFrom(this.family);
    const { takeUnsettled } = target;
    let ended: Promise<Frame>;
    if (destination === undefined || takeUnsettled === undefined || !givesBack) {
      ended = this.request(frame, left());
    } else {
      this.#checkOpen("UNSUBSCRIBE");
      this.#giveBack ??= new Requeue(this, destination);
      ended = this.#giveBack.end(target, frame, takeUnsettled, left);
    }
    return ended.finally(() => this.forget(target));
  }

  /** Delivers messages that come by this id, though nobody subscribed: RabbitMQ's replies, for example. */
  expect(target: MessageSink): void {
    this.#targets.add(target);
  }

  /** Delivers nothing more to a target. */
  forget(target: MessageSink): void {
    this.#targets.remove(target);
    this.release(target);
  }

  /** A consumer has enough: reading stops until it is released, but for awaited answers unless it is `blocked`. */
  hold(consumer: object, blocked: boolean = false): void {
    this.#madeReading().close(consumer, blocked);
  }

  /** The opposite of `hold`. */
  release(consumer: object): void {
    this.#reading?.open(consumer);
  }

  /** Somebody waits for a message that answers one of ours. Returns what ends that; to be called once. */
  awaitReply(): () => void {
    return this.#madeReading().awaitReply();
  }

  /**
   * Acknowledges a message, or says that it was not consumed. The broker gives no answer to that, so this waits only
   * for room.
   */
  acknowledge(command: "ACK" | "NACK", message: Frame, headers: ExtraHeaders = NO_HEADERS): Promise<void> | undefined {
    this.#checkOpen(command);
    const { transaction } = headers;
    if (transaction !== undefined) this.#openTransactions().check(transaction, command);
    const plain = headers === NO_HEADERS ? plainAcknowledgement(command, message, this.version) : undefined;
    if (plain !== undefined) return this.#socket.sendText(plain);
    return this.#socket.send(acknowledgement(command, message, this.version, headers));
  }

  /** Begins a transaction. */
  begin(id: string, headers?: ExtraHeaders, wait?: WaitOptions): Promise<void> {
    return this.#openTransactions().begin(id, headers, wait);
  }

  /**
   * Commits or aborts a transaction. However it ends, the transaction is over.
   *
   * @throws at once when nothing was written; the transaction is open then.
   */
  endTransaction(how: "COMMIT" | "ABORT", id: string, headers?: ExtraHeaders, wait?: WaitOptions): Promise<Frame> {
    this.#checkOpen(how);
    return this.#openTransactions().end(how, id, headers, wait);
  }

  /**
   * Ends in order: DISCONNECT with a receipt, and the socket closed when that has come, the broker has closed, or the
   * time is over (default 5 s). Messages that arrive meanwhile are dropped. Never rejects: signal and time out only
   * give the connection up sooner.
   */
  disconnect(headers: ExtraHeaders = {}, wait: WaitOptions = {}): Promise<void> {
    if (this.#state === "open") this.#leaving = this.#disconnect(headers, wait);
    return this.#leaving ?? this.#ended ?? Promise.resolve();
  }

  /** Gives the connection up at once, with the reason for those who wait. */
  close(reason?: StompError): Promise<void> {
    return this.#end(reason);
  }

  /** Sends a frame that was made by hand; what answers it can be read with `readFrame`. */
  async writeFrame(frame: Frame): Promise<void> {
    const { receipt } = frame.headers;
    if (receipt !== undefined) this.#receipts.checkFree(receipt);
    const room = this.#rawFrames().write(frame, () => this.send(frame));
    this.onChange();
    await room;
  }

  /** Takes the next frame that answers one made by hand, or is a message of a subscription made by hand. */
  readFrame(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#rawFrames().read(options);
  }

  /** For its receipts: whether the id belongs to a frame that was made by hand. */
  isTaken(id: string): boolean {
    return this.#raw?.awaits(id) ?? false;
  }

  /** For its receipts: whether an answer is awaited may have changed. */
  onChange(): void {
    this.#reading?.update();
    this.progress.watch();
  }

  /** For its socket: takes a frame. */
  onFrame(frame: Frame): void {
    switch (frame.command) {
      case "MESSAGE":
        this.#complaints?.survived();
        this.progress.delivered();
        this.#targets.deliver(frame);
        return;
      case "RECEIPT":
        this.progress.answered();
        // One that nobody waits for may be for a frame that ERROR was said of before: RabbitMQ does that.
        if (this.#receipts.settle(frame.header("receipt-id") ?? "", frame) || this.#raw?.answer(frame)) {
          this.#complaints?.survived();
          this.#unconfirmed = 0;
          this.onChange();
        }
        return;
      case "ERROR":
        this.#onErrorFrame(frame);
        return;
      default:
        this.#end(
          new UnknownBrokerResponseError(`Cannot go on with ${this.peer}: it sent ${frame.command}`, { frame }),
        );
    }
  }

  #checkMessage({ destination, body }: SendParts, head: Uint8Array, headers: readonly string[]): void {
    if (!this.#frameCheck.isSuspicious(body, headers.length / 2)) return;
    this.#frameCheck.check(destination, head, headers, body);
  }

  get #plainHeads(): SendHeadCache {
    return this.#madePlainHeads ??= new SendHeadCache(this.version, this.family);
  }

  /** Asks the broker for a sign of life. Returns whether that made sense. */
  #askForLife(): boolean {
    if (!this.isOpen) return false;
    this.#probe ??= new LivenessProbe({
      // Not by way of `send`: neither the receipt nor the transaction is anybody's.
      send: (frame) => this.#socket.send(frame),
      inTransaction: () => this.#transactions?.any ?? false,
    });
    this.#probe.send();
    return true;
  }

  #openTransactions(): OpenTransactions {
    return this.#transactions ??= new OpenTransactions((frame, wait, takeBack) => this.request(frame, wait, takeBack));
  }

  #madeReading(): ReadGate {
    return this.#reading ??= new ReadGate(this.#socket, () => this.#receipts.size > 0 || !!this.#raw?.awaitsReceipt);
  }

  #rawFrames(): RawFrames {
    if (this.#raw !== undefined) return this.#raw;
    const onFill = (fill: QueueFill) => fill === "room" ? this.release(raw) : this.hold(raw, fill === "blocked");
    const raw = new RawFrames(this.#targets, onFill, () => this.onChange());
    if (this.#ended !== undefined) raw.end(this.#rawEnd());
    return this.#raw = raw;
  }

  #rawEnd(): StompError {
    return this.#reason ?? new NotConnectedError("Cannot read frame: the session is over");
  }

  #onErrorFrame(frame: Frame): void {
    this.#complaints ??= new ErrorFrames(this.family, this.#clock, this.#receipts);
    const byHand = this.#raw?.answer(frame) ?? false;
    const { error, scope } = this.#complaints.take(frame, byHand, this.#unconfirmed > 0);
    this.#onError?.(error);
    if (scope === "connection") this.onEnd(error);
    if (scope === "subscription") this.#targets.cancel(frame.header("subscription") ?? "", error);
  }

  /** For its socket: nothing more comes. */
  onEnd(error: StompError | undefined): void {
    if (this.#state === "disconnecting") {
      const failed = (what: string) =>
        new ConnectionError(`Cannot confirm ${what}: the broker closed the connection`, { cause: error });
      this.#receipts.failAll(failed, "lost");
      return;
    }
    const told = this.#complaints?.recentError;
    this.#end(told ?? error ?? new ConnectionError(`Connection to ${this.peer} lost: the broker closed it`));
  }

  async #disconnect(headers: ExtraHeaders, wait: WaitOptions): Promise<void> {
    let left: () => WaitOptions;
    let answered: Promise<Frame>;
    try {
      left = beginSteps(wait, DISCONNECT_TIMEOUT);
      answered = this.request(disconnectFrame(headers, this.version), left());
    } catch {
      return await this.#end(undefined);
    }
    this.#state = "disconnecting";
    this.#targets.clear();
    this.#reading?.releaseAll();
    try {
      await answered;
    } catch (error) {
      // The broker need not answer: it may close at once ("Graceful Shutdown" in the 1.2 text).
      const isOver = error instanceof BrokerErrorResponse || error instanceof ConnectionError;
      if (!isOver) return await this.#end(undefined);
    }
    const stop = onGiveUp(left(), "the end of the connection", () => void this.#socket.close());
    await this.#end(undefined, true);
    stop();
  }

  #end(reason: StompError | undefined, inOrder = false): Promise<void> {
    if (this.#ended) return this.#ended;
    this.#state = "closed";
    this.#reason = reason;
    this.#ended = inOrder ? this.#socket.end() : this.#socket.close();
    this.#heartbeat.stop();
    this.progress.stop();
    this.#complaints?.end();
    this.#targets.clear();
    this.#transactions?.clear();
    if (this.#complaints?.failDoubtful() !== true) {
      const lost = (what: string) => new ConnectionError(`Cannot confirm ${what}: ${endOf(reason)}`, { cause: reason });
      this.#receipts.failAll(lost, "lost");
    }
    this.#raw?.end(this.#rawEnd());
    this.#onEnd?.(this, reason);
    return this.#ended;
  }

  #checkOpen(command: string): void {
    if (this.#state === "open") return;
    const state = this.#state === "disconnecting" ? "it is disconnecting" : endOf(this.#reason);
    throw new NotConnectedError(`Cannot send ${command}: ${state}`, this.#reason ? { cause: this.#reason } : {});
  }
}

function isAboutTransaction(command: string): boolean {
  return command === "BEGIN" || command === "COMMIT" || command === "ABORT";
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function endOf(reason: StompError | undefined): string {
  return reason ? reason.message : "the session is over";
}
