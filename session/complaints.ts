/**
 * ERROR frames of one connection: what each is about, and what becomes of the receipts that are awaited then.
 *
 * @module
 */
import { type BrokerFamily, type ErrorScope, errorScope } from "../dialects/dialect.ts";
import { BrokerErrorResponse } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import type { Clock } from "../connection/heartbeat.ts";
import type { Receipts } from "./receipts.ts";

/** Milliseconds in which the end of a connection is put down to the ERROR before it. */
const LAST_WORDS = 5000;

/** Milliseconds in which a connection has to end for an ERROR to have been about that, where its words leave it open. */
const UNCLEAR = 1000;

/** An ERROR that was taken. */
export interface Complaint {
  /** It, as an error. */
  readonly error: BrokerErrorResponse;
  /** What it is about. */
  readonly scope: ErrorScope;
}

/** Takes the ERROR frames of a connection. */
export class Complaints {
  readonly #family: BrokerFamily;
  readonly #clock: Clock;
  readonly #receipts: Receipts;
  #last: { error: BrokerErrorResponse; at: number } | undefined; // while nothing proves that it was survived
  readonly #open = new Set<() => void>(); // call off the judgement of what was unclear

  /** There was none yet. */
  constructor(family: BrokerFamily, clock: Clock, receipts: Receipts) {
    this.#family = family;
    this.#clock = clock;
    this.#receipts = receipts;
  }

  /** What the end of the connection is put down to, when it comes now. */
  get lastWords(): BrokerErrorResponse | undefined {
    const last = this.#last;
    return last && this.#clock.now() - last.at <= LAST_WORDS ? last.error : undefined;
  }

  /** The broker goes on: what it complained of was not the end. */
  survived(): void {
    this.#last = undefined;
  }

  /** Takes an ERROR; `byHand` when it answers a frame that was made by hand. */
  take(frame: Frame, byHand: boolean): Complaint {
    const error = new BrokerErrorResponse(frame);
    this.#last = { error, at: this.#clock.now() };
    const id = frame.header("receipt-id");
    if (id !== undefined) {
      if (!byHand) this.#receipts.fail(id, error);
      return { error, scope: "frame" };
    }
    const scope = errorScope(frame, this.#family);
    // Without an id it may be any of the open calls, so it is all of them.
    if (scope === "frame") this.#failAll(frame);
    if (scope === "unclear") this.#failLater(frame);
    return { error, scope };
  }

  /** The connection is over. */
  end(): void {
    for (const callOff of this.#open) callOff();
    this.#open.clear();
  }

  #failAll(frame: Frame, ids?: readonly string[]): void {
    this.#receipts.failAll((what) => new BrokerErrorResponse(frame, `Cannot confirm ${what}`), false, ids);
  }

  /** Fails what is awaited now and still is when the time is over; the end of the connection comes before that. */
  #failLater(frame: Frame): void {
    const ids = this.#receipts.ids;
    const callOff = this.#clock.after(UNCLEAR, () => {
      this.#open.delete(callOff);
      this.#failAll(frame, ids);
    });
    this.#open.add(callOff);
  }
}
