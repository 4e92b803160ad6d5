/**
 * The ERROR policy of one connection: what each ERROR is about, and what happens to the receipts that are open then.
 *
 * | the ERROR is about            | receipts                                                                          |
 * | ----------------------------- | --------------------------------------------------------------------------------- |
 * | a frame that it names         | that one is refused                                                               |
 * | a frame that it does not name | the only open one is refused; several are in doubt once the connection has ended, |
 * |                               | or has gone on for a moment without their RECEIPTs                                |
 * | an ACK or NACK                | those of ACK and NACK are refused                                                 |
 * | a subscription                | none; the subscription is cancelled                                               |
 * | the connection                | all are lost                                                                      |
 * | `unclear`                     | all are lost when the connection ends now; else as a frame that it does not name  |
 *
 * @module
 */
import { type Dialect, type ErrorScope, errorScope } from "../dialects/dialect.ts";
import { BrokerErrorResponse } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import type { Clock } from "../base/timers.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Receipts, Verdict } from "./receipts.ts";
import type { SessionSubscriptions } from "./subscriptions.ts";

/** A connection that closes this soon after an ERROR is reported with that ERROR. */
const RECENT_ERROR_MS = 5000;

/** How long RECEIPTs may take after an ERROR that may be about their frames. */
const DOUBT_MS = 500;

/** A connection that stays open this long after an `unclear` ERROR shows that the ERROR was about a frame. */
const UNCLEAR_MS = 1000;

/** What an ERROR turned out to be. */
export interface ClassifiedError {
  /** The ERROR as an error. */
  readonly error: BrokerErrorResponse;
  /** What it is about. */
  readonly scope: ErrorScope;
}

/** Handles the ERROR frames of a connection. */
export class ErrorFrames {
  readonly #dialect: Dialect;
  readonly #clock: Clock;
  readonly #receipts: Receipts;
  readonly #dispatcher: Dispatcher;
  readonly #subscriptions: SessionSubscriptions;
  #last: { error: BrokerErrorResponse; inDoubt: boolean; at: number } | undefined; // until the broker goes on
  readonly #cancelVerdicts = new Set<() => void>(); // one for each verdict that is still to come

  /** Starts without an ERROR. */
  constructor(
    dialect: Dialect,
    clock: Clock,
    receipts: Receipts,
    dispatcher: Dispatcher,
    subscriptions: SessionSubscriptions,
  ) {
    this.#subscriptions = subscriptions;
    this.#dialect = dialect;
    this.#clock = clock;
    this.#receipts = receipts;
    this.#dispatcher = dispatcher;
  }

  /** The ERROR that explains the end of the connection, if it ends now. */
  get recentError(): BrokerErrorResponse | undefined {
    return this.#recent?.error;
  }

  /** Fails the receipts that a recent ERROR put in doubt, when the connection ends. Returns whether there was one. */
  failDoubtful(): boolean {
    const recent = this.#recent;
    if (!recent?.inDoubt) return false;
    this.#fail(recent.error.frame as Frame, "doubt", this.#receipts.ids);
    return true;
  }

  get #recent() {
    return this.#last && this.#clock.now() - this.#last.at <= RECENT_ERROR_MS ? this.#last : undefined;
  }

  /** Notes that the broker goes on. After a while the last ERROR no longer explains the end of the connection. */
  survived(): void {
    if (this.#last === undefined || (this.#last.inDoubt && this.#clock.now() - this.#last.at <= DOUBT_MS)) return;
    this.#last = undefined;
  }

  /**
   * Handles an ERROR. The end of the connection is left to the caller.
   *
   * @param isForRawFrame whether it answers a frame that a caller wrote
   * @param hasUnconfirmed whether it may be about a frame without a receipt
   */
  handle(frame: Frame, isForRawFrame: boolean, hasUnconfirmed: boolean): ClassifiedError {
    const error = new BrokerErrorResponse(frame);
    const id = frame.header("receipt-id");
    if (id !== undefined) {
      this.#remember(error, false);
      if (!isForRawFrame) this.#receipts.fail(id, error);
      return { error, scope: "frame" };
    }
    const scope = errorScope(frame, this.#dialect);
    const { ids } = this.#receipts;
    this.#remember(error, scope === "frame" && ids.length > 0);
    const isOnly = ids.length === 1 && !hasUnconfirmed && !this.#subscriptions.hasUnanswered;
    if (!isForRawFrame && (scope === "frame" || scope === "unclear")) {
      this.#subscriptions.refused(error, ids.length === 0 && !hasUnconfirmed, scope === "frame");
    }
    switch (scope) {
      case "frame":
        if (isOnly) this.#fail(frame, "refused", ids);
        else this.#decideLater(frame, ids, DOUBT_MS, false);
        break;
      case "unclear":
        this.#decideLater(frame, ids, UNCLEAR_MS, isOnly);
        break;
      case "acknowledgement":
        this.#fail(frame, "refused", this.#receipts.filter(ids, (waiter) => /^N?ACK\b/.test(waiter.describe())));
        break;
      case "subscription":
        this.#dispatcher.cancel(frame.header("subscription") ?? "", error);
        break;
      case "connection":
        break;
    }
    return { error, scope };
  }

  /** Cancels the verdicts that are still to come: the connection is over. */
  stop(): void {
    for (const cancel of this.#cancelVerdicts) cancel();
    this.#cancelVerdicts.clear();
  }

  /** Keeps the earlier ERROR where that is the reason: what RabbitMQ sends while a channel dies hides it. */
  #remember(error: BrokerErrorResponse, inDoubt: boolean): void {
    if (inDoubt || !this.#recent?.inDoubt) this.#last = { error, inDoubt, at: this.#clock.now() };
  }

  /** Decides about the receipts that are open now and still are after a while, unless the connection ends before. */
  #decideLater(frame: Frame, ids: readonly string[], milliseconds: number, isOnly: boolean): void {
    this.#receipts.withhold(ids);
    const cancel = this.#clock.after(milliseconds, () => {
      this.#cancelVerdicts.delete(cancel);
      this.#receipts.deliverWithheld();
      const due = this.#receipts.filter(ids, ({ isPostponed }) => isPostponed !== true);
      const open = due.length > 0 ? due : this.#receipts.filter(ids, () => true);
      // A SEND that is left is sent again alone, as a test. Any other frame would have been answered by now.
      const sends = this.#receipts.filter(open, ({ isSend }) => isSend === true);
      this.#fail(frame, isOnly || (open.length === 1 && sends.length === 0) ? "refused" : "doubt", open);
    });
    this.#cancelVerdicts.add(cancel);
  }

  #fail(frame: Frame, verdict: Verdict, ids: readonly string[]): void {
    this.#receipts.failAll((what) => new BrokerErrorResponse(frame, `Cannot confirm ${what}`), verdict, ids);
  }
}
