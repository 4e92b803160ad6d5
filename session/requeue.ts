/**
 * Ends subscriptions so that the broker delivers to others what was not acknowledged.
 *
 * RabbitMQ keeps such messages for the connection until that ends, and the consumer is needed to refuse them: a NACK
 * before UNSUBSCRIBE makes the broker deliver them to the same consumer again, a NACK after it is an ERROR. So the
 * subscription is moved to a destination that never has a message, under the same id; from there the messages are refused,
 * and then it is ended for good.
 *
 * @module
 */
import type { WaitOptions } from "../base/timers.ts";
import { Frame } from "../codec/frame.ts";
import type { Version } from "../codec/protocol.ts";
import { requeueFrame } from "./acknowledgement.ts";
import { type MessageSink, unsubscribeHeaders } from "./dispatcher.ts";

/** What it takes of the session. */
export interface GiveBackSession {
  /** The version of the protocol. */
  readonly version: Version;
  /** Sends a frame. */
  send(frame: Frame): Promise<void> | undefined;
  /** Sends a frame and waits for its receipt. */
  request(frame: Frame, wait?: WaitOptions): Promise<Frame>;
}

/** Ends the subscriptions of one connection, one after the other: the other destination takes one consumer at a time. */
export class Requeue {
  readonly #session: GiveBackSession;
  readonly #destination: string;
  #turn: Promise<unknown> = Promise.resolve();

  /** Moves subscriptions to `destination`. */
  constructor(session: GiveBackSession, destination: string) {
    this.#session = session;
    this.#destination = destination;
  }

  /**
   * Ends a subscription. Resolves to the RECEIPT of the UNSUBSCRIBE when the broker has all messages back.
   *
   * @param unsubscribe the frame that ends it
   * @param takeUnsettled gives the messages that are not settled, each once
   */
  end(
    target: MessageSink,
    unsubscribe: Frame,
    takeUnsettled: () => readonly Frame[],
    left: () => WaitOptions,
  ): Promise<Frame> {
    const ended = this.#turn.then(() => this.#end(target, unsubscribe, takeUnsettled, left));
    this.#turn = ended.catch(() => {});
    return ended;
  }

  async #end(
    target: MessageSink,
    unsubscribe: Frame,
    takeUnsettled: () => readonly Frame[],
    left: () => WaitOptions,
  ): Promise<Frame> {
    // Both at once: a message that is under way inside the broker finds the subscription in its new place.
    const unsubscribed = this.#session.request(unsubscribe, left());
    const moved = this.#move(target, left);
    moved.catch(() => {});
    const receipt = await unsubscribed;
    await moved;
    for (let messages = takeUnsettled();; await this.#move(target, left)) {
      for (const message of messages) this.#session.send(requeueFrame(message, this.#session.version));
      const headers = unsubscribeHeaders({ id: target.id, destination: this.#destination }, this.#session.version);
      await this.#session.request(new Frame().buildFrame({ command: "UNSUBSCRIBE", headers }), left());
      messages = takeUnsettled(); // which came meanwhile
      if (messages.length === 0) return receipt;
    }
  }

  #move({ id }: MessageSink, left: () => WaitOptions): Promise<Frame> {
    const headers = { id, destination: this.#destination, ack: "auto" };
    return this.#session.request(new Frame().buildFrame({ command: "SUBSCRIBE", headers }), left());
  }
}
