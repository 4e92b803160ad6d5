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
import type { WaitOptions } from "../base/timers.ts";
import { BrokerErrorResponse } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import { requeueFrame } from "./acknowledgement.ts";
import { type Dispatcher, type MessageSink, unsubscribeHeaders } from "./dispatcher.ts";
import type { FrameSender } from "./frame_sender.ts";
import type { ReadGate } from "./read_gate.ts";

const NO_LIMIT = (): WaitOptions => ({});

/** The subscriptions of one connection. */
export class SessionSubscriptions {
  readonly #sender: FrameSender;
  readonly #dispatcher: Dispatcher;
  readonly #gate: ReadGate;
  #requeueTurn: Promise<unknown> = Promise.resolve(); // the requeue destination takes one consumer at a time

  /** Starts without subscriptions. */
  constructor(sender: FrameSender, dispatcher: Dispatcher, gate: ReadGate) {
    this.#sender = sender;
    this.#dispatcher = dispatcher;
    this.#gate = gate;
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
      if (isGivenUp) this.#undo(sink);
      else this.forget(sink);
      throw error;
    }
  }

  /** Undoes a SUBSCRIBE that was given up: the broker may still accept it, and may have delivered already. */
  #undo(sink: MessageSink): void {
    const headers = unsubscribeHeaders(sink, this.#sender.version);
    this.unsubscribe(sink, new Frame().buildFrame({ command: "UNSUBSCRIBE", headers })).catch(() => {});
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

  /** Delivers messages with this id although there was no SUBSCRIBE: RabbitMQ's replies, for example. */
  expect(sink: MessageSink): void {
    this.#dispatcher.add(sink);
  }

  /** Delivers nothing more to a sink. */
  forget(sink: MessageSink): void {
    this.#dispatcher.remove(sink);
    this.#gate.open(sink);
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
