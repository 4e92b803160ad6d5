/**
 * ERROR frames of one connection: what each is about, and what becomes of the receipts that are open then.
 *
 * | the ERROR is about            | receipts                                                                          |
 * | ----------------------------- | --------------------------------------------------------------------------------- |
 * | a frame that it names         | that one is refused                                                               |
 * | a frame that it does not name | the only open one is refused; several are in doubt once the connection has ended, |
 * |                               | or has gone on for a moment without their RECEIPTs                                |
 * | an ACK or NACK                | those of ACK and NACK are refused                                                 |
 * | a subscription                | none                                                                              |
 * | the connection                | all are lost                                                                      |
 * | `unclear`                     | all are lost when the connection ends now; else as a frame that it does not name  |
 *
 * @module
 */
import { type Dialect, type ErrorScope, errorScope } from "../dialects/dialect.ts";
import { BrokerErrorResponse } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import type { Clock } from "../base/timers.ts";
import type { Receipts, Verdict } from "./receipts.ts";

/** The end of a connection is put down to an ERROR that came at most this long before it. */
const RECENT_ERROR_MS = 5000;

/** How long RECEIPTs may take after an ERROR that may be about their frames. */
const DOUBT_MS = 500;

/** How long a connection stays open after an ERROR for that to have been about a frame, where its words leave it open. */
const UNCLEAR_MS = 1000;

/** An ERROR that was taken. */
export interface TakenError {
  /** It, as an error. */
  readonly error: BrokerErrorResponse;
  /** What it is about. */
  readonly scope: ErrorScope;
}

/** Takes the ERROR frames of a connection. */
export class ErrorFrames {
  readonly #dialect: Dialect;
  readonly #clock: Clock;
  readonly #receipts: Receipts;
  #last: { error: BrokerErrorResponse; inDoubt: boolean; at: number } | undefined; // until the broker goes on
  readonly #judgements = new Set<() => void>(); // each cancels one that is still to come

  /** There was no ERROR yet. */
  constructor(dialect: Dialect, clock: Clock, receipts: Receipts) {
    this.#dialect = dialect;
    this.#clock = clock;
    this.#receipts = receipts;
  }

  /** The ERROR that the end of the connection is put down to, when it ends now. */
  get recentError(): BrokerErrorResponse | undefined {
    return this.#recent?.error;
  }

  /** For the end of the connection: fails what may have caused it by an ERROR. Returns whether that was so. */
  failDoubtful(): boolean {
    const recent = this.#recent;
    if (!recent?.inDoubt) return false;
    const { ids } = this.#receipts;
    this.#fail(recent.error.frame as Frame, "doubt", ids);
    return true;
  }

  get #recent() {
    return this.#last && this.#clock.now() - this.#last.at <= RECENT_ERROR_MS ? this.#last : undefined;
  }

  /** The broker goes on. Once it has done so for a while, the last ERROR was not the end. */
  survived(): void {
    if (this.#last === undefined || (this.#last.inDoubt && this.#clock.now() - this.#last.at <= DOUBT_MS)) return;
    this.#last = undefined;
  }

  /**
   * Takes an ERROR.
   *
   * @param byHand whether it answers a frame that was made by hand
   * @param unconfirmed whether it may be about a frame that asked for no receipt
   */
  take(frame: Frame, byHand: boolean, unconfirmed: boolean): TakenError {
    const error = new BrokerErrorResponse(frame);
    const id = frame.header("receipt-id");
    if (id !== undefined) {
      this.#note(error, false);
      if (!byHand) this.#receipts.fail(id, error);
      return { error, scope: "frame" };
    }
    const scope = errorScope(frame, this.#dialect);
    const { ids } = this.#receipts;
    this.#note(error, scope === "frame" && ids.length > 0);
    const isOnly = ids.length === 1 && !unconfirmed;
    if (scope === "frame" && isOnly) this.#fail(frame, "refused", ids);
    else if (scope === "frame") this.#doubt(frame, ids, DOUBT_MS, false);
    else if (scope === "unclear") this.#doubt(frame, ids, UNCLEAR_MS, isOnly);
    else if (scope === "acknowledgement") {
      this.#fail(frame, "refused", this.#receipts.filter(ids, (waiter) => /^N?ACK\b/.test(waiter.describe())));
    }
    return { error, scope };
  }

  /** The connection is over. */
  end(): void {
    for (const cancel of this.#judgements) cancel();
    this.#judgements.clear();
  }

  /** What RabbitMQ says while a channel dies hides the reason, which came before. */
  #note(error: BrokerErrorResponse, inDoubt: boolean): void {
    if (inDoubt || !this.#recent?.inDoubt) this.#last = { error, inDoubt, at: this.#clock.now() };
  }

  /** Judges the receipts that are open now and still are after a while; the end of the connection comes before that. */
  #doubt(frame: Frame, ids: readonly string[], milliseconds: number, isOnly: boolean): void {
    this.#receipts.hold(ids);
    const cancel = this.#clock.after(milliseconds, () => {
      this.#judgements.delete(cancel);
      this.#receipts.release();
      const due = this.#receipts.filter(ids, ({ isPostponed }) => isPostponed !== true);
      const open = due.length > 0 ? due : this.#receipts.filter(ids, () => true);
      // A SEND that is left is sent again alone, for proof. Anything else would have been answered by now.
      const sends = this.#receipts.filter(open, ({ isSend }) => isSend === true);
      this.#fail(frame, isOnly || (open.length === 1 && sends.length === 0) ? "refused" : "doubt", open);
    });
    this.#judgements.add(cancel);
  }

  #fail(frame: Frame, verdict: Verdict, ids: readonly string[]): void {
    this.#receipts.failAll((what) => new BrokerErrorResponse(frame, `Cannot confirm ${what}`), verdict, ids);
  }
}
