/**
 * `BrowsingConsumer`: a subscription that reads the messages of a queue without taking them, and ends after the last one.
 *
 * @module
 */
import { SubscriptionError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { endsBrowsing } from "../dialects/browsing.ts";
import type { Session } from "../session/session.ts";
import type { AckBehavior } from "./ack_tracker.ts";
import { Consumer } from "./consumer.ts";

/** The inside of a subscription that browses. */
export class BrowsingConsumer extends Consumer {
  #isOver = false;
  #isUnderstood = false; // a broker that does not know the header never ends the subscription

  /** Receives from a session, as any consumer. */
  override attach(session: Session, broker: AckBehavior, asksForReceipts: boolean): void {
    this.#isUnderstood = typeof session.dialect.subscription.browse !== "string";
    super.attach(session, broker, asksForReceipts);
  }

  /** Takes a message off the session. The frame after the last message ends the subscription once all are taken. */
  override deliver(frame: Frame): void {
    if (this.#isOver) return;
    if (!endsBrowsing(frame)) return super.deliver(frame);
    this.#isOver = true;
    this.whenEmpty().then(() => this.subscription.unsubscribe()).catch(() => {}); // it has ended in any case
  }

  /** Ends with an error when the session is lost midway: on the next one, all messages would come again. */
  override detach(): void {
    super.detach();
    if (this.#isOver || !this.#isUnderstood || this.received === 0) return;
    this.#isOver = true;
    const message = `Cannot browse ${this.destination} to its end: the connection was lost; browse again`;
    this.context.onCancelled(this, new SubscriptionError(message));
  }
}
