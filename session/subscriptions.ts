/**
 * Begins and ends the subscriptions of one connection.
 *
 * RabbitMQ keeps delivered and unacknowledged messages for the connection until that ends, and only their consumer can
 * refuse them: a NACK before UNSUBSCRIBE makes the broker deliver them to the same consumer again, and a NACK after it
 * is an ERROR. There a subscription is first moved, under the same id, to a destination that never has a message; from
 * there its messages are refused, and then it ends for good. So other consumers get these messages at once.
 *
 * @module
 */
import type { Clock, WaitOptions } from "../base/timers.ts";
import { BrokerErrorResponse, ConnectionError, type StompError } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import { requeueFrame } from "./acknowledgement.ts";
import { type Dispatcher, type MessageSink, unsubscribeHeaders } from "./dispatcher.ts";
import type { FrameSender } from "./frame_sender.ts";
import type { ReadGate } from "./read_gate.ts";
import { markInDoubt } from "./receipts.ts";

/** A SUBSCRIBE without a receipt counts as accepted when no ERROR has come for this long after it. */
const REFUSAL_MS = 2000;

/** A SUBSCRIBE that asked for no receipt. */
export interface UnconfirmedSubscribe {
  /** Resolves when the connection accepts more; rejects when it breaks before. `undefined` when it accepts more now. */
  readonly written: Promise<void> | undefined;
  /** Resolves when the broker seems to have accepted it; rejects with an ERROR that was or may have been about it. */
  readonly accepted: Promise<void>;
}

/** A SUBSCRIBE without a receipt that an ERROR can still be about. */
interface Unanswered {
  readonly resolve: () => void;
  readonly reject: (error: StompError) => void;
  readonly cancelTimer: () => void;
  /** Messages that the sink had received before: one more proves that the broker accepted the SUBSCRIBE. */
  readonly receivedBefore: number | undefined;
  /** The ERROR that may have been about it. */
  doubt: { readonly error: BrokerErrorResponse; readonly isAlone: boolean } | undefined;
}

const NO_LIMIT = (): WaitOptions => ({});

/** The subscriptions of one connection. */
export class SessionSubscriptions {
  readonly #sender: FrameSender;
  readonly #dispatcher: Dispatcher;
  readonly #gate: ReadGate;
  readonly #clock: Clock;
  readonly #unanswered = new Map<MessageSink, Unanswered>();
  #requeueTurn: Promise<unknown> = Promise.resolve(); // the requeue destination takes one consumer at a time

  /** Starts without subscriptions. */
  constructor(sender: FrameSender, dispatcher: Dispatcher, gate: ReadGate, clock: Clock) {
    this.#sender = sender;
    this.#dispatcher = dispatcher;
    this.#gate = gate;
    this.#clock = clock;
  }

  /** Whether an ERROR that names no frame may be about a SUBSCRIBE without a receipt. */
  get hasUnanswered(): boolean {
    return this.#unanswered.size > 0;
  }

  /** Subscribes. The sink gets messages from now on, even before the promise resolves. */
  async subscribe(sink: MessageSink, frame: Frame, wait?: WaitOptions): Promise<Frame> {
    this.#dispatcher.add(sink);
    let isWritten = false;
    try {
      this.#sender.checkOpen(frame.command);
      this.#sender.queues.completeSubscribe(frame);
      const answered = this.#sender.request(frame, wait);
      isWritten = true;
      return await answered;
    } catch (error) {
      const isGivenUp = isWritten && this.#sender.isOpen && !(error instanceof BrokerErrorResponse);
      if (isGivenUp) this.undo(sink);
      else this.forget(sink);
      throw error;
    }
  }

  /**
   * Subscribes without asking for a receipt. The sink gets messages from now on.
   *
   * @throws {NotConnectedError} at once when the session is over, and {TypeError} when the frame cannot be encoded.
   */
  subscribeUnconfirmed(sink: MessageSink, frame: Frame): UnconfirmedSubscribe {
    this.#dispatcher.add(sink);
    let written: Promise<void> | undefined;
    try {
      this.#sender.checkOpen(frame.command);
      this.#sender.queues.completeSubscribe(frame);
      written = this.#sender.send(frame);
    } catch (error) {
      this.forget(sink);
      throw error;
    }
    const { promise: accepted, resolve, reject } = Promise.withResolvers<void>();
    accepted.catch(() => {}); // the caller may only look at `written`
    const cancelTimer = this.#clock.after(REFUSAL_MS, () => {
      const doubt = this.#unanswered.get(sink)?.doubt;
      if (doubt?.isAlone) this.#settle(sink, doubt.error); // the connection lasts, so the ERROR was about a frame
      else this.#settle(sink);
    });
    const receivedBefore = sink.received;
    this.#unanswered.set(sink, { resolve, reject, cancelTimer, receivedBefore, doubt: undefined });
    return { written, accepted };
  }

  /**
   * Handles an ERROR that names no frame and was about one: rejects the only SUBSCRIBE that it can have meant.
   *
   * @param isAlone whether it can have meant nothing but a SUBSCRIBE without a receipt
   * @param isClear whether it is about a frame for sure, and not about the connection
   */
  refused(error: BrokerErrorResponse, isAlone: boolean, isClear: boolean): void {
    for (const [sink, { receivedBefore }] of this.#unanswered) {
      if (sink.received !== receivedBefore) this.#settle(sink);
    }
    const isOnly = isAlone && this.#unanswered.size === 1;
    for (const [sink, one] of this.#unanswered) {
      if (isOnly && isClear) this.#settle(sink, error);
      else one.doubt ??= { error, isAlone: isOnly };
    }
  }

  /** Ends the waits for an ERROR: the connection is over. */
  stop(reason: StompError | undefined): void {
    for (const [sink, { doubt }] of this.#unanswered) {
      const error = doubt?.error ??
        new ConnectionError("Connection lost before SUBSCRIBE took effect", { cause: reason });
      if (doubt) markInDoubt(error);
      this.#settle(sink, error);
    }
  }

  #settle(sink: MessageSink, error?: StompError): void {
    const one = this.#unanswered.get(sink);
    if (one === undefined) return;
    this.#unanswered.delete(sink);
    one.cancelTimer();
    if (error) one.reject(error);
    else one.resolve();
  }

  /** Undoes a SUBSCRIBE that was given up: the broker may still accept it, and may have delivered already. */
  undo(sink: MessageSink): void {
    const { isOpen, version, dialect } = this.#sender;
    if (!isOpen) return this.forget(sink);
    const frame = new Frame().buildFrame({ command: "UNSUBSCRIBE", headers: unsubscribeHeaders(sink, version) });
    const asksForReceipt = dialect.lacks?.receipts === undefined;
    const undone = asksForReceipt ? this.unsubscribe(sink, frame) : this.unsubscribeUnconfirmed(sink, frame);
    undone?.catch(() => {});
  }

  /**
   * Unsubscribes. The sink gets messages in flight until the broker has confirmed.
   *
   * @param requeues whether messages that are not acknowledged go to other consumers, on a broker that would keep them
   * @throws {NotConnectedError} at once when the session is over.
   */
  unsubscribe(
    sink: MessageSink,
    frame: Frame,
    left: () => WaitOptions = NO_LIMIT,
    requeues: boolean = true,
  ): Promise<Frame> {
    const destination = this.#sender.dialect.requeueDestination;
    const { takeUnsettled } = sink;
    let ended: Promise<Frame>;
    if (destination === undefined || takeUnsettled === undefined || !requeues) {
      ended = this.#sender.request(frame, left());
    } else {
      this.#sender.checkOpen("UNSUBSCRIBE");
      ended = this.#requeueTurn.then(() => this.#requeue(sink, frame, destination, takeUnsettled, left));
      this.#requeueTurn = ended.catch(() => {});
    }
    return ended.finally(() => this.forget(sink));
  }

  /** Unsubscribes without asking for a receipt. Messages that are in flight are dropped. Throws as {@linkcode unsubscribe}. */
  unsubscribeUnconfirmed(sink: MessageSink, frame: Frame): Promise<void> | undefined {
    const written = this.#sender.send(frame);
    this.forget(sink);
    return written;
  }

  /** Delivers messages with this id although there was no SUBSCRIBE: RabbitMQ's replies, for example. */
  expect(sink: MessageSink): void {
    this.#dispatcher.add(sink);
  }

  /** Delivers nothing more to a sink. */
  forget(sink: MessageSink): void {
    this.#dispatcher.remove(sink);
    this.#gate.open(sink);
    this.#settle(sink);
  }

  /** Ends a subscription by way of the dialect's requeue destination. Resolves to the RECEIPT of the UNSUBSCRIBE. */
  async #requeue(
    sink: MessageSink,
    unsubscribe: Frame,
    destination: string,
    takeUnsettled: () => readonly Frame[],
    left: () => WaitOptions,
  ): Promise<Frame> {
    const sender = this.#sender;
    // Both at once: a message that is in flight inside the broker finds the subscription in its new place.
    const unsubscribed = sender.request(unsubscribe, left());
    const moved = this.#move(sink, destination, left);
    moved.catch(() => {});
    const receipt = await unsubscribed;
    await moved;
    for (let messages = takeUnsettled();; await this.#move(sink, destination, left)) {
      for (const message of messages) sender.send(requeueFrame(message, sender.version));
      const headers = unsubscribeHeaders({ id: sink.id, destination }, sender.version);
      await sender.request(new Frame().buildFrame({ command: "UNSUBSCRIBE", headers }), left());
      messages = takeUnsettled(); // those that arrived meanwhile
      if (messages.length === 0) return receipt;
    }
  }

  #move({ id }: MessageSink, destination: string, left: () => WaitOptions): Promise<Frame> {
    const headers = { id, destination, ack: "auto" };
    return this.#sender.request(new Frame().buildFrame({ command: "SUBSCRIBE", headers }), left());
  }
}
