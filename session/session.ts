/**
 * One live connection, from CONNECTED to its end. A client that reconnects makes a new `Session`; nothing is carried
 * over.
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
import type { BrokerFamily, Dialect, FrameLimits } from "../dialects/dialect.ts";
import type { Declarations } from "../dialects/queue.ts";
import { dialectOf } from "../dialects/registry.ts";
import { FrameCheck } from "./frame_limits.ts";
import { FrameSender } from "./frame_sender.ts";
import { ReceiptlessSender } from "./receiptless_sender.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  NotConnectedError,
  type StompError,
  UnknownBrokerResponseError,
} from "../base/errors.ts";
import type { Frame, FrameSocket } from "../codec/frame.ts";
import type { QueueFill } from "../base/bounded_queue.ts";
import { type Agreement, type ConnectDetails, disconnectFrame, handshake } from "./handshake.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { Heartbeat, type HeartbeatTolerance } from "../connection/heartbeat.ts";
import type { SendParts } from "./send_head_cache.ts";
import { LivenessProbe } from "./liveness_probe.ts";
import { type Blockage, Progress } from "./progress.ts";
import { RawFrames } from "./raw_frames.ts";
import { ReadGate } from "./read_gate.ts";
import { Receipts } from "./receipts.ts";
import { FrameConnection, type FrameSink } from "../connection/frame_connection.ts";
import { Dispatcher } from "./dispatcher.ts";
import { SessionSubscriptions } from "./subscriptions.ts";
import { OpenTransactions } from "./transactions.ts";
import type { Transport } from "../transport/transport.ts";
import type { Version } from "../codec/protocol.ts";

/** Options of a {@linkcode Session}. */
export interface SessionOptions extends ConnectDetails, DecoderLimits {
  /** Milliseconds that a call waits for a receipt by default. */
  timeout: number;
  /** The broker's family. Default: what its CONNECTED says. */
  broker?: BrokerFamily | undefined;
  /** What the broker accepts in one frame. Default: what it is known to accept. */
  frameLimits?: Partial<FrameLimits> | undefined;
  /** The queues that the client declares. Default none. */
  declarations?: Declarations | undefined;
  /** How late heart-beats may be. */
  tolerance?: HeartbeatTolerance | undefined;
  /** The class of MESSAGE frames. Default `Frame`. */
  messageType?: (new () => Frame) | undefined;
  /** The clock. Default the system's. */
  clock?: Clock | undefined;
  /** Called once when the session is over: with the reason, or `undefined` after `disconnect`. */
  onEnd?: ((session: Session, reason: StompError | undefined) => void) | undefined;
  /** Called for each ERROR frame. The connection may go on after it. */
  onError?: ((error: BrokerErrorResponse) => void) | undefined;
  /** Called with each message that no subscription asked for, while a chunk is decoded; must not throw. */
  onUnclaimed?: ((session: Session, message: Frame) => void) | undefined;
  /** Called when the broker stops answering, and with `undefined` when it answers again. */
  onBlocked?: ((session: Session, blockage: Blockage | undefined) => void) | undefined;
}

const NO_HEADERS: ExtraHeaders = {};

/** How long the broker may take to answer DISCONNECT by default. */
const DISCONNECT_TIMEOUT_MS = 5000;

type ExtraHeaders = Readonly<Record<string, string>>;

let epochs = 0;

/** A connection to a broker. */
export class Session implements FrameSocket, FrameSink {
  /** Number of the session within the process: a message of an earlier session cannot be acknowledged. */
  readonly epoch: number = ++epochs;
  /** The virtual host that CONNECT named. */
  readonly host: string;
  /** The `client-id` that CONNECT named. */
  readonly clientId: string | undefined;
  /** The headers of CONNECTED. */
  readonly connected: FrameHeaders;
  /** What differs from one broker to the next. */
  readonly dialect: Dialect;
  /** Watches whether the broker answers. */
  readonly progress: Progress;
  /** Decides when to read. */
  readonly gate: ReadGate;
  /** Begins and ends subscriptions. */
  readonly subscriptions: SessionSubscriptions;
  /** The open transactions. */
  readonly transactions: OpenTransactions;
  /** Sends frames. */
  readonly sender: FrameSender;

  readonly #connection: FrameConnection;
  readonly #onEnd: SessionOptions["onEnd"];
  readonly #onError: SessionOptions["onError"];
  readonly #heartbeat: Heartbeat;
  readonly #dispatcher: Dispatcher;
  readonly #receipts = new Receipts(() => this.#onReceiptsChange());
  readonly #errors: ErrorFrames;
  readonly #probe: LivenessProbe;
  #raw: RawFrames | undefined; // almost no program uses it, and it has a queue
  #state: "open" | "disconnecting" | "closed" = "open";
  #reason: StompError | undefined;
  #disconnected: Promise<void> | undefined;
  #ended: Promise<void> | undefined;

  /**
   * Sends CONNECT over a transport and waits for CONNECTED. Closes the transport when that fails.
   *
   * @throws as {@linkcode handshake}.
   */
  static async open(transport: Transport, options: SessionOptions, wait: StepOptions = {}): Promise<Session> {
    let connection: FrameConnection;
    try {
      checkWait(wait);
      connection = new FrameConnection(transport, options);
    } catch (error) {
      await transport.close();
      throw error;
    }
    return await handshake(connection, options, wait, (agreement) => new Session(connection, options, agreement));
  }

  private constructor(connection: FrameConnection, options: SessionOptions, { plan, connected }: Agreement) {
    const clock = options.clock ?? systemClock;
    this.host = options.host;
    this.clientId = options.clientId ?? options.headers?.["client-id"];
    this.connected = connected;
    const dialect = this.dialect = dialectOf(connected, options.isWebSocket ?? false, options.broker);
    this.#connection = connection;
    this.#onEnd = options.onEnd;
    this.#onError = options.onError;
    this.#dispatcher = new Dispatcher(options.onUnclaimed?.bind(undefined, this));
    this.gate = new ReadGate(connection, () => this.#receipts.size > 0 || this.#raw?.awaitsReceipt === true);
    const check = new FrameCheck(dialect, connected["server"], options.frameLimits);
    const Sender = dialect.lacks?.receipts === undefined ? FrameSender : ReceiptlessSender;
    this.sender = new Sender(connection, this.#receipts, check, dialect, options.timeout, options.declarations);
    this.progress = new Progress(this.#receipts, connection, clock, options.onBlocked?.bind(undefined, this));
    this.subscriptions = new SessionSubscriptions(this.sender, this.#dispatcher, this.gate, clock);
    this.transactions = new OpenTransactions(this.sender);
    this.#errors = new ErrorFrames(dialect, clock, this.#receipts, this.#dispatcher, this.subscriptions);
    this.#probe = new LivenessProbe(connection, this.transactions);
    this.#heartbeat = new Heartbeat(plan, connection, {
      ...options.tolerance,
      clock,
      probe: { ask: () => this.#sendProbe(), timeout: options.tolerance?.probe },
      stopped: (silence, jump) => {
        const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(1)} s`;
        const after = jump === undefined ? "" : ` after the clock jumped by ${seconds(jump)}`;
        this.#end(new ConnectionError(`Connection to ${this.peer} lost: nothing came for ${seconds(silence)}${after}`));
      },
    });
  }

  /** The protocol version that was agreed on. */
  get version(): Version {
    return this.#connection.version;
  }

  /** Name of the peer, for people. */
  get peer(): string {
    return this.#connection.peer;
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
    return this.#connection.paused;
  }

  /** Number of bytes that were sent so far, including those that the transport has not taken yet. */
  get position(): number {
    return this.#connection.position;
  }

  /** Retracts the message that was sent between two positions. Returns whether none of it was written yet. */
  retract(start: number, end: number): boolean {
    return this.sender.retract(start, end);
  }

  /** Returns a promise to await before sending more; `undefined` when the connection accepts more now. */
  ready(): Promise<void> | undefined {
    return this.#connection.ready();
  }

  /** Sends a frame that a caller made. Returns and throws as {@linkcode FrameSender.send}. */
  send(frame: Frame): Promise<void> | undefined {
    const ready = this.sender.send(frame);
    this.transactions.note(frame);
    return ready;
  }

  /** Sends a frame that a caller made, and waits for its receipt. Throws as {@linkcode FrameSender.request}. */
  request(frame: Frame, wait?: WaitOptions): Promise<Frame> {
    const receipt = this.sender.request(frame, wait);
    this.transactions.note(frame);
    return receipt;
  }

  /** Sends a message without a receipt, as {@linkcode FrameSender.sendFast}. */
  sendFast(message: SendParts): Promise<void> | undefined {
    const ready = this.sender.sendFast(message);
    if (ready !== undefined) this.progress.watch();
    return ready;
  }

  /** Sends ACK or NACK. Brokers do not answer these, so the result is that of {@linkcode send}. */
  acknowledge(command: "ACK" | "NACK", message: Frame, headers: ExtraHeaders = NO_HEADERS): Promise<void> | undefined {
    this.sender.checkOpen(command);
    const { transaction } = headers;
    if (transaction !== undefined) this.transactions.check(transaction, command);
    const plain = headers === NO_HEADERS ? plainAcknowledgement(command, message, this.version) : undefined;
    if (plain !== undefined) return this.#connection.sendText(plain);
    return this.#connection.send(acknowledgement(command, message, this.version, headers));
  }

  /**
   * Ends gracefully: sends DISCONNECT with a receipt, and closes the socket when the receipt has come, the broker has
   * closed the connection, or the time is over (default 5 s). Drops messages that arrive meanwhile. Never rejects:
   * signal and timeout only end the connection sooner.
   */
  disconnect(headers: ExtraHeaders = {}, wait: WaitOptions = {}): Promise<void> {
    if (this.#state === "open") this.#disconnected = this.#disconnect(headers, wait);
    return this.#disconnected ?? this.#ended ?? Promise.resolve();
  }

  /** Resolves when no receipt is awaited. */
  whenConfirmed(): Promise<void> {
    return this.#receipts.whenEmpty();
  }

  /** Closes the connection at once. Calls that wait fail with the reason. */
  close(reason?: StompError): Promise<void> {
    return this.#end(reason);
  }

  /** Writes a raw frame. What answers it can be read with {@linkcode readFrame}. */
  async writeFrame(frame: Frame): Promise<void> {
    const { receipt } = frame.headers;
    if (receipt !== undefined) this.#receipts.checkFree(receipt);
    const ready = this.#rawFrames().write(frame, () => this.send(frame));
    this.#onReceiptsChange();
    await ready;
  }

  /** Returns the next frame that answers a raw frame, or is a message of a raw SUBSCRIBE. */
  readFrame(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#rawFrames().read(options);
  }

  /** Called by the connection for each frame. */
  onFrame(frame: Frame): void {
    switch (frame.command) {
      case "MESSAGE":
        this.#errors.survived();
        this.progress.delivered();
        this.#dispatcher.deliver(frame);
        return;
      case "RECEIPT":
        this.progress.answered();
        // A RECEIPT without a waiter may be for a frame that was answered with ERROR before: RabbitMQ does that.
        if (this.#receipts.settle(frame.header("receipt-id") ?? "", frame) || this.#raw?.answer(frame)) {
          this.#errors.survived();
          this.sender.noteReceipt();
          this.#onReceiptsChange();
        }
        return;
      case "ERROR": {
        const isForRawFrame = this.#raw?.answer(frame) ?? false;
        const { error, scope } = this.#errors.handle(frame, isForRawFrame, this.sender.hasUnconfirmed);
        this.#onError?.(error);
        if (scope === "connection") this.onEnd(error);
        return;
      }
      default:
        this.#end(
          new UnknownBrokerResponseError(`Cannot go on with ${this.peer}: it sent ${frame.command}`, { frame }),
        );
    }
  }

  /** Called by the connection when nothing more will come. */
  onEnd(error: StompError | undefined): void {
    if (this.#state === "disconnecting") {
      const failed = (what: string) =>
        new ConnectionError(`Cannot confirm ${what}: the broker closed the connection`, { cause: error });
      this.#receipts.failAll(failed, "lost");
      return;
    }
    const closed = () => new ConnectionError(`Connection to ${this.peer} lost: the broker closed it`);
    this.#end(this.#errors.recentError ?? error ?? closed());
  }

  #onReceiptsChange(): void {
    this.gate.update();
    this.progress.watch();
  }

  /** Sends a liveness probe. Returns whether that was possible. */
  #sendProbe(): boolean {
    if (!this.isOpen || this.dialect.lacks?.receipts !== undefined) return false;
    this.#probe.send();
    return true;
  }

  #rawFrames(): RawFrames {
    if (this.#raw !== undefined) return this.#raw;
    const onFill = (fill: QueueFill) =>
      fill === "free" ? this.gate.open(raw) : this.gate.close(raw, fill === "blocked");
    const raw = new RawFrames(this.#dispatcher, onFill, () => this.#onReceiptsChange());
    this.#receipts.reserve(raw.receipts);
    if (this.#ended !== undefined) raw.end(this.#rawEnd());
    return this.#raw = raw;
  }

  #rawEnd(): StompError {
    return this.#reason ?? new NotConnectedError("Cannot read frame: the session is over");
  }

  async #disconnect(headers: ExtraHeaders, wait: WaitOptions): Promise<void> {
    let left: () => WaitOptions;
    let answered: Promise<Frame>;
    try {
      left = beginSteps(wait, DISCONNECT_TIMEOUT_MS);
      answered = this.sender.request(disconnectFrame(headers, this.version), left());
    } catch {
      return await this.#end(undefined);
    }
    this.#state = "disconnecting";
    this.sender.close("it is disconnecting");
    this.#dispatcher.clear();
    this.gate.openAll();
    try {
      await answered;
    } catch (error) {
      // The broker need not answer: it may close at once ("Graceful Shutdown" in the 1.2 text).
      const isOver = error instanceof BrokerErrorResponse || error instanceof ConnectionError;
      if (!isOver) return await this.#end(undefined);
    }
    const stop = onGiveUp(left(), "the end of the connection", () => void this.#connection.close());
    await this.#end(undefined, true);
    stop();
  }

  #end(reason: StompError | undefined, inOrder = false): Promise<void> {
    if (this.#ended) return this.#ended;
    this.#state = "closed";
    this.#reason = reason;
    this.sender.close(describeEnd(reason), reason);
    this.#ended = inOrder ? this.#connection.end() : this.#connection.close();
    this.#heartbeat.stop();
    this.progress.stop();
    this.#errors.stop();
    this.subscriptions.stop(reason);
    this.#dispatcher.clear();
    this.transactions.clear();
    if (!this.#errors.failDoubtful()) {
      const lost = (what: string) =>
        new ConnectionError(`Cannot confirm ${what}: ${describeEnd(reason)}`, { cause: reason });
      this.#receipts.failAll(lost, "lost");
    }
    this.#raw?.end(this.#rawEnd());
    this.#onEnd?.(this, reason);
    return this.#ended;
  }
}

function describeEnd(reason: StompError | undefined): string {
  return reason ? reason.message : "the session is over";
}
