/**
 * Sends the frames of one connection: with and without receipts, and messages the fast way.
 *
 * @module
 */
import { checkWait, type StepOptions } from "../base/timers.ts";
import { NotConnectedError, type StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import type { FrameConnection } from "../connection/frame_connection.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { Declarations } from "../dialects/queue.ts";
import type { FrameCheck } from "./frame_limits.ts";
import { QueueMaker } from "./queue_maker.ts";
import { ReceiptPromise, type Receipts, type ReceiptWaiter } from "./receipts.ts";
import { SendHeadCache, type SendParts } from "./send_head_cache.ts";
import type { Version } from "../codec/protocol.ts";

/** Why nothing can be sent any more. */
interface Closed {
  readonly state: string;
  readonly cause: StompError | undefined;
}

/** Sends frames over one connection until it is closed. */
export class FrameSender {
  /** What differs from one broker to the next. */
  readonly dialect: Dialect;
  /** Makes queues. */
  readonly queues: QueueMaker;
  readonly #connection: FrameConnection;
  readonly #receipts: Receipts;
  readonly #frameCheck: FrameCheck;
  readonly #heads: SendHeadCache;
  readonly #timeout: number;
  #hasUnconfirmed = false;
  readonly #made = new Map<number, number>(); // where frames that make queues begin and end
  #closed: Closed | undefined;

  /** Sends over a connection on which CONNECTED was received. `timeout` is the default wait for a receipt, in ms. */
  constructor(
    connection: FrameConnection,
    receipts: Receipts,
    frameCheck: FrameCheck,
    dialect: Dialect,
    timeout: number,
    declarations: Declarations = new Declarations(),
  ) {
    this.dialect = dialect;
    if (dialect.maxWebSocketMessageBytes !== undefined) connection.limitMessages(dialect.maxWebSocketMessageBytes);
    this.queues = new QueueMaker(declarations, dialect, (frame) => {
      const start = connection.position;
      connection.send(frame);
      this.#made.set(start, connection.position);
    });
    this.#connection = connection;
    this.#receipts = receipts;
    this.#frameCheck = frameCheck;
    this.#heads = new SendHeadCache(connection.version, dialect, this.queues);
    this.#timeout = timeout;
  }

  /** The protocol version. */
  get version(): Version {
    return this.#connection.version;
  }

  /** Whether frames can be sent. */
  get isOpen(): boolean {
    return this.#closed === undefined;
  }

  /** Whether a SEND without a receipt was sent since the last RECEIPT. An ERROR may be about it. */
  get hasUnconfirmed(): boolean {
    return this.#hasUnconfirmed;
  }

  /** Notes a RECEIPT: the broker has handled all frames before it. */
  noteReceipt(): void {
    this.#hasUnconfirmed = false;
  }

  /** Refuses all frames from now on. `state` says why in error messages. */
  close(state: string, cause?: StompError): void {
    this.#closed = { state, cause };
  }

  /**
   * Checks that frames can be sent.
   *
   * @throws {NotConnectedError} when the session is over or disconnecting.
   */
  checkOpen(command: string): void {
    if (this.#closed === undefined) return;
    const { state, cause } = this.#closed;
    throw new NotConnectedError(`Cannot send ${command}: ${state}`, cause ? { cause } : {});
  }

  /**
   * Sends a frame without a receipt.
   *
   * @returns `undefined` when the connection accepts more now, else a promise to await.
   * @throws {TypeError} when the frame cannot be encoded; nothing was written then.
   * @throws {RangeError} when the broker would close the connection for a frame of this size.
   * @throws {NotConnectedError} when the session is over.
   */
  send(frame: Frame): Promise<void> | undefined {
    this.checkOpen(frame.command);
    if (frame.command !== "SEND") return this.#connection.send(frame);
    if (this.#frameCheck.isSuspicious(frame.body, Object.keys(frame.headers).length)) {
      this.#frameCheck.checkFrame(frame);
    }
    const ready = this.#connection.send(frame);
    if (frame.headers["receipt"] === undefined) this.#hasUnconfirmed = true;
    return ready;
  }

  /**
   * Sends a frame with a receipt. The waiter learns when the receipt comes, or that it will not.
   *
   * @param _isDemanded whether the caller asked for the receipt.
   * @returns the id of the receipt.
   * @throws as {@linkcode send}.
   */
  confirm(frame: Frame, waiter: ReceiptWaiter, _isDemanded = false): string {
    const { headers } = frame;
    const given = headers["receipt"];
    const id = this.#receipts.open(waiter, given);
    try {
      headers["receipt"] = id;
      this.send(frame);
    } catch (error) {
      this.#receipts.cancel(id);
      if (given === undefined) delete headers["receipt"];
      throw error;
    }
    return id;
  }

  /**
   * Sends a frame with a receipt and waits for that. Rejects with a `BrokerErrorResponse` when the broker answers ERROR,
   * and with a `ConnectionError` when the connection ends first: whether the broker handled the frame is then unknown.
   *
   * @param takeBack makes the frame that undoes this one. It is sent when the wait is given up, because the broker may
   * still handle the frame.
   * @throws at once when nothing was written: as {@linkcode send}, or because the options are invalid or aborted.
   */
  request(frame: Frame, options?: StepOptions, takeBack?: () => Frame): Promise<Frame> {
    const wait = { ...options, timeout: options?.timeout ?? this.#timeout };
    checkWait(wait);
    const receipt = new ReceiptPromise(frame);
    const id = this.confirm(frame, receipt);
    receipt.limit(wait, () => {
      this.#receipts.cancel(id);
      try {
        if (takeBack) this.send(takeBack());
      } catch {
        // The connection is ending, which undoes everything that was requested over it.
      }
    });
    return receipt.promise;
  }

  /** Sends a message without a receipt. Returns and throws as {@linkcode send}; the body must be text or bytes. */
  sendFast(message: SendParts): Promise<void> | undefined {
    this.checkOpen("SEND");
    this.#hasUnconfirmed = true;
    const head = this.#heads.headFor(message);
    const headers = this.#heads.headersFor(message);
    const whole = headers.length === 0 ? head : this.#heads.headBeside(message, head);
    this.#checkSize(message, whole, headers);
    return this.#connection.sendMessage(whole, headers, message.body);
  }

  /** Sends a message with a receipt, as {@linkcode confirm}. */
  confirmFast(message: SendParts, waiter: ReceiptWaiter): string {
    this.checkOpen("SEND");
    let head = this.#heads.headFor(message);
    const headers = this.#heads.headersFor(message);
    const id = this.#receipts.open(waiter);
    try {
      // Most messages have no further headers, and spreading an empty array takes time as well.
      const all = headers.length === 0 ? ["receipt", id] : [...headers, "receipt", id];
      if (headers.length !== 0) head = this.#heads.headBeside(message, head);
      this.#checkSize(message, head, all);
      this.#connection.sendMessage(head, all, message.body);
    } catch (error) {
      this.#receipts.cancel(id);
      throw error;
    }
    return id;
  }

  /** Includes declarations that the client has made since. */
  declareAgain(): void {
    this.#heads.clear();
  }

  /**
   * Retracts the message that was sent between two positions. What was made for it stays, because others may need it.
   *
   * @returns whether none of the message was written yet.
   */
  retract(start: number, end: number): boolean {
    let own = start;
    for (let next = this.#made.get(own); next !== undefined; next = this.#made.get(own)) own = next;
    const isRetracted = this.#connection.retract(own, end);
    // An ERROR may be about what the broker gets of it, although no receipt of it is awaited.
    if (!isRetracted || own > start) this.#hasUnconfirmed = true;
    return isRetracted;
  }

  /** Cancels a receipt that no one awaits any more. */
  giveUp(receipt: string): void {
    this.#receipts.cancel(receipt);
  }

  #checkSize({ destination, body }: SendParts, head: Uint8Array, headers: readonly string[]): void {
    if (!this.#frameCheck.isSuspicious(body, headers.length / 2)) return;
    this.#frameCheck.check(destination, head, headers, body);
  }
}
