/**
 * SUBSCRIBEs that the broker has refused: when they are said again.
 *
 * @module
 */
import { Backoff } from "../base/backoff.ts";
import { isOutageError } from "../dialects/registry.ts";
import { BrokerErrorResponse, ConnectionError, NotConnectedError } from "../base/errors.ts";
import type { Reconnector } from "./reconnector.ts";
import { isInDoubt } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";

/** A SUBSCRIBE that was refused and is said again. */
export interface SubscribeRetry {
  /** The waits before that. */
  readonly backoff: Backoff;
  /** Whether it waits just now. */
  waits: boolean;
  /** How many refusals in a row were for good, and can have meant nothing but this SUBSCRIBE. */
  count: number;
}

/** Milliseconds that the answer to one SUBSCRIBE may keep others waiting that have to be alone. */
const TURN = 5000;

/** When the refused SUBSCRIBEs of one client are said again. */
export class SubscribeRetries {
  readonly #reconnector: Reconnector;
  readonly #waits = new Set<() => void>(); // each ends one wait
  #turn: Promise<void> = Promise.resolve();
  #asked = 0;
  #answered = 0;

  /** There was none yet. */
  constructor(reconnector: Reconnector) {
    this.#reconnector = reconnector;
  }

  /** The first refusal of a SUBSCRIBE. `isNew`: of one that somebody waits for, who has a deadline. */
  begin(isNew: boolean): SubscribeRetry {
    const backoff = this.#reconnector.newBackoff() ?? new Backoff(isNew ? {} : { attempts: 0 });
    return { backoff, waits: false, count: 0 };
  }

  /** Calls `say` when it is time to say it again. Returns whether it is to be said again at all. */
  later(refusal: SubscribeRetry, say: () => void): boolean {
    const delay = refusal.backoff.next();
    if (delay === undefined) return false;
    refusal.waits = true;
    const end = () => {
      callOff();
      this.#waits.delete(end);
      refusal.waits = false;
      say();
    };
    const callOff = this.#reconnector.clock.after(delay, end);
    this.#waits.add(end);
    return true;
  }

  /** Calls `say`, which resolves with the broker's answer, when the one before it is answered, or takes too long. */
  inTurn(say: () => Promise<void> | undefined): void {
    this.#turn = this.#turn.then(() =>
      new Promise((resolve) => {
        const answered = say();
        if (answered === undefined) return resolve();
        const stop = this.#reconnector.clock.after(TURN, resolve);
        answered.then(stop).then(resolve);
      })
    );
  }

  /** A SUBSCRIBE is written. Returns what is called with its answer: whether no other one was under way meanwhile. */
  asked(): () => boolean {
    const number = ++this.#asked;
    const isOnly = this.#answered + 1 === number;
    return () => {
      this.#answered++;
      return isOnly && this.#asked === number;
    };
  }

  /** The client is closed: whoever waits is to see that. */
  end(): void {
    for (const end of [...this.#waits]) end();
  }
}

/** Whether the broker says that a part of it is out of order. */
export function isOutage(error: unknown): boolean {
  return error instanceof BrokerErrorResponse && isOutageError(error.frame!);
}

/** Whether something failed only because its connection was lost. */
export function isLoss(error: unknown, session: Session): boolean {
  if (session.isOpen) return false;
  return error instanceof ConnectionError || error instanceof NotConnectedError || isInDoubt(error);
}
