/**
 * Finds the one message that the broker refuses without naming it.
 *
 * RabbitMQ's ERROR names no receipt, and some frames end the connection without a word. Then any message that was open
 * is a suspect. A trial sends the suspects one at a time, in order: the one that is refused alone is the culprit, and the
 * others are confirmed. Brokers handle the frames of a connection in order, so the culprit is close to the first suspect,
 * and a message that was accepted before it is sent twice at most.
 *
 * @module
 */
import { BrokerErrorResponse, ConnectionError, type StompError } from "../base/errors.ts";
import type { Verdict } from "../session/receipts.ts";

/** What is known against a message. */
export interface Suspicion {
  /** Whether an ERROR may have been about it. */
  accused: boolean;
  /** How many connections ended while its receipt was open. */
  losses: number;
  /** How many of these ended while it alone was open. */
  lossesAlone: number;
  /** How many ERRORs may have been about it while it was the only message that was open. */
  accusedAlone: number;
}

/** A message as a trial sees it. */
export interface Suspect {
  /** What is known against it; `undefined` when nothing is. */
  suspicion: Suspicion | undefined;
  /** Bytes of its body, or, for text, its length. */
  readonly size: number;
  /** What it is, for messages: "SEND to /queue/a". */
  describe(): string;
}

/** A body of this size may be more than a broker takes. */
const LARGE_BYTES = 1 << 20;

function likelyReason({ size }: Suspect): string {
  return size >= LARGE_BYTES
    ? `its body of ${size} bytes may be more than the broker takes`
    : "the broker may not take one of its headers, its queue may be full and reject it, or, where octets go over " +
      "RabbitMQ's Web STOMP, web_stomp.ws_frame has to be binary";
}

/** A message becomes a suspect when this many connections ended while its receipt was open. */
const SUSPICIOUS_LOSSES = 2;

/**
 * A message is guilty when this many connections ended, each at once, while it alone was open. Two may be a cluster that
 * fails over.
 */
const GUILTY_LOSSES = 3;

/** A message is guilty when this many ERRORs came while it was the only message, though not the only frame, that was open. */
const GUILTY_ERRORS = 3;

/** A connection that ends within this time may have ended because of the message that was sent last. */
const AT_ONCE_MS = 5000;

/** After this many messages that were confirmed alone, more are sent at a time. */
const CONFIRMED_ALONE = 256;

/** At most this many at a time: those that are open when the culprit is among them are sent once more. */
const MAX_WINDOW = 64;

/** Notes that the receipt of a message does not come, and that the message may not be to blame. */
export function noteSuspicion(message: Suspect, error: StompError, verdict: Verdict): void {
  const suspicion = message.suspicion ??= { accused: false, losses: 0, lossesAlone: 0, accusedAlone: 0 };
  if (verdict === "doubt") suspicion.accused = true;
  // An ERROR about the connection explains its end.
  else if (!(error.cause instanceof BrokerErrorResponse)) suspicion.losses++;
}

/** Sends suspects one at a time. */
export class Trial {
  readonly #suspects: Set<Suspect>;
  readonly #now: () => number;
  readonly #open = new Set<Suspect>();
  #openedAt = 0;
  #confirmed = 0;
  #window = 1;

  private constructor(suspects: Set<Suspect>, now: () => number) {
    this.#suspects = suspects;
    this.#now = now;
  }

  /** A trial of those messages that are suspects; `undefined` when none is. */
  static of(messages: Iterable<Suspect>, now: () => number): Trial | undefined {
    const suspects = new Set<Suspect>();
    for (const message of messages) {
      const { suspicion } = message;
      if (suspicion?.accused || (suspicion?.losses ?? 0) >= SUSPICIOUS_LOSSES) suspects.add(message);
    }
    return suspects.size > 0 ? new Trial(suspects, now) : undefined;
  }

  /** Whether a message is one of those that are tried. */
  isSuspect(message: Suspect): boolean {
    return this.#suspects.has(message);
  }

  /** Lets a message be sent, or has it wait: for those before it, and, where it is no suspect, for the end of the trial. */
  admit(message: Suspect): boolean {
    if (this.#open.size >= this.#window || !this.#suspects.has(message)) return false;
    this.#open.add(message);
    this.#openedAt = this.#now();
    return true;
  }

  /** A message is confirmed or given up. Returns whether the trial is over. */
  release(message: Suspect): boolean {
    this.#open.delete(message);
    if (this.#suspects.delete(message) && ++this.#confirmed > CONFIRMED_ALONE) {
      this.#window = Math.min(this.#window * 2, MAX_WINDOW);
    }
    return this.#suspects.size === 0;
  }

  /**
   * The receipt of a message does not come.
   *
   * @returns what the message is refused with, if it is the culprit.
   */
  judge(message: Suspect, error: StompError, verdict: Verdict): StompError | undefined {
    const alone = this.#open.size === 1;
    const { suspicion } = message;
    if (!this.#open.delete(message) || !alone || suspicion === undefined) return undefined;
    if (verdict === "doubt") return ++suspicion.accusedAlone >= GUILTY_ERRORS ? error : undefined;
    if (error.cause instanceof BrokerErrorResponse || this.#now() - this.#openedAt > AT_ONCE_MS) return undefined;
    if (++suspicion.lossesAlone < GUILTY_LOSSES) return undefined;
    const closed = "the broker closed the connection each time that it was sent, also when it was sent alone";
    return new ConnectionError(`Cannot confirm ${message.describe()}: ${closed}; ${likelyReason(message)}`, {
      cause: error,
    });
  }

  /** The culprit is found: the others are cleared. */
  acquit(): void {
    for (const message of this.#suspects) message.suspicion = undefined;
  }
}
