/**
 * `PendingSend`: one message that is sent, over several connections if need be, until it is confirmed, refused or given
 * up. `Isolation`: how the one message is found that the broker refuses without naming it.
 *
 * RabbitMQ's ERROR names no receipt, and some frames end the connection without an ERROR. Then every message with an open
 * receipt is a suspect. Suspects are isolated: sent one at a time, in order, until one is refused alone; the others are
 * confirmed. Brokers handle the frames of a connection in order, so the refused message is close to the first suspect,
 * and a message that was accepted before it is sent twice at most.
 *
 * @module
 */
import { ConnectionError, rejection, type StompError } from "../base/errors.ts";
import type { Clock } from "../base/timers.ts";
import type { Frame } from "../codec/frame.ts";
import { isAboutConnection } from "./failures.ts";
import type { ReceiptWaiter, Verdict } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";

/** A message that can be written to any session. */
export interface OutgoingMessage {
  /** The destination. */
  readonly destination: string;
  /** Bytes of the body, or, for text, its length. */
  readonly size: number;
  /** Writes it with a receipt. Returns the receipt's id. */
  confirm(session: Session, waiter: ReceiptWaiter): string;
  /** Writes it without a receipt. Returns a promise to wait for before more is written, if the connection is full. */
  write(session: Session): Promise<void> | undefined;
}

/** What a {@linkcode PendingSend} reports to its outbox. */
export interface SendEvents {
  /** A send is confirmed, refused or given up. */
  onSettled(send: PendingSend): void;
  /** The receipt of a send does not come over the connection that it was written to. */
  onFailed(send: PendingSend, error: StompError, verdict: Verdict): void;
}

/** Why a message is a suspect. */
export interface Suspicion {
  /** Whether an ERROR may have been about it. */
  isInDoubt: boolean;
  /** How many connections ended while its receipt was open. */
  losses: number;
  /** How many of these ended while it was the only message with an open receipt. */
  lossesAlone: number;
  /** How many ERRORs may have been about it while it was the only message with an open receipt. */
  errorsAlone: number;
}

/** One message on its way to the broker. */
export class PendingSend implements ReceiptWaiter {
  /** Marks the waiter of a SEND. */
  readonly isSend = true;
  /** The message. */
  readonly message: OutgoingMessage;
  /** Whether it asks for a receipt. */
  readonly confirms: boolean;
  /** When it times out, by the outbox's clock. */
  readonly due: number;
  /** Gives it up. */
  readonly signal: AbortSignal | undefined;
  /** Resolves to the RECEIPT, or to `undefined` without one. */
  readonly promise: Promise<Frame | undefined>;
  /** Stops a timer and a listener that are only for this send, if it has them. */
  stop: (() => void) | undefined;
  /** Whether it is confirmed, refused or given up. */
  settled = false;
  /** Why the broker may have refused it. */
  suspicion: Suspicion | undefined;
  /** Whether the broker may have it. */
  written = false;
  readonly #events: SendEvents;
  #resolve!: (receipt: Frame | undefined | Promise<never>) => void;
  #session: Session | undefined; // since it was written there
  #receipt = "";
  #start = 0; // its position among the bytes of the session
  #end = 0;

  /** Creates a send that is not written yet. */
  constructor(
    message: OutgoingMessage,
    confirms: boolean,
    due: number,
    signal: AbortSignal | undefined,
    events: SendEvents,
  ) {
    this.message = message;
    this.confirms = confirms;
    this.due = due;
    this.signal = signal;
    this.#events = events;
    this.promise = new Promise((resolve) => this.#resolve = resolve);
  }

  /** Whether it is written to a connection that is still open. */
  get isSent(): boolean {
    return this.#session !== undefined;
  }

  /** Writes it to a connection. */
  transmit(session: Session): void {
    try {
      this.#start = session.position;
      let ready: Promise<void> | undefined;
      if (this.confirms) this.#receipt = this.message.confirm(session, this);
      else ready = this.message.write(session);
      this.#end = session.position;
      this.#session = session;
      if (this.confirms) return;
      if (ready === undefined) this.confirmed(undefined);
      else ready.then(() => this.confirmed(undefined), (error) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Bytes of the body, or, for text, its length. */
  get size(): number {
    return this.message.size;
  }

  /** Names it, for error messages. */
  describe(): string {
    return `SEND to ${this.message.destination}`;
  }

  /** Says whether the broker may have it after it was given up, for error messages. */
  whetherWritten(): string {
    return this.written ? "it was written, so the broker may have it" : "it was never written";
  }

  /** Resolves it, with its RECEIPT if it has one. */
  confirmed(receipt: Frame | undefined): void {
    if (this.settled) return; // without a receipt it may be given up while the connection is full
    this.#settle();
    this.#resolve(receipt);
  }

  /** Its RECEIPT does not come over this connection. */
  failed(error: StompError, verdict: Verdict): void {
    this.#session = undefined;
    this.written = true;
    this.#events.onFailed(this, error, verdict);
  }

  /** Rejects it, and retracts it from the connection where that is still possible. */
  fail(error: unknown): void {
    if (this.settled) return;
    this.withdraw();
    this.#settle();
    this.#resolve(rejection(error)); // with the caller in its stack
  }

  /**
   * Retracts it from the connection where that is still possible. Afterwards `written` tells whether the broker may
   * have it.
   */
  withdraw(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    session.sender.giveUp(this.#receipt);
    if (!session.retract(this.#start, this.#end)) this.written = true;
  }

  #settle(): void {
    this.settled = true;
    this.#session = undefined;
    this.stop?.();
    this.#events.onSettled(this);
  }
}

/** What `Isolation` needs of a send. */
export type Suspect = Pick<PendingSend, "suspicion" | "size" | "describe">;

/** A body of this size may be more than a broker accepts. */
const LARGE_BODY_BYTES = 1 << 20;

/** A message becomes a suspect when this many connections ended while its receipt was open. */
const LOSSES_OF_SUSPECT = 2;

/**
 * A message is refused when this many connections ended, each at once, while it alone was open. Two may be a cluster that
 * fails over.
 */
const MAX_LOSSES_ALONE = 3;

/** A message is refused when this many ERRORs came while it was the only message, though not the only frame, that was open. */
const MAX_ERRORS_ALONE = 3;

/** A connection that ends within this time may have ended because of the message that was sent last. */
const LOSS_AFTER_SEND_MS = 5000;

/** After this many messages that were confirmed alone, the window grows. */
const CONFIRMED_BEFORE_GROWTH = 256;

/** The largest window. When the refused message is among those that are open, the others are sent once more. */
const MAX_WINDOW = 64;

/** Notes that the receipt of a message does not come, without proof that the message is the reason. */
export function noteSuspicion(message: Suspect, error: StompError, verdict: Verdict): void {
  const suspicion = message.suspicion ??= { isInDoubt: false, losses: 0, lossesAlone: 0, errorsAlone: 0 };
  if (verdict === "doubt") suspicion.isInDoubt = true;
  else if (!isAboutConnection(error.cause)) suspicion.losses++;
}

/** Sends suspects one at a time, and nothing else until all of them are confirmed or failed. */
export class Isolation {
  readonly #suspects: Set<Suspect>;
  readonly #clock: Clock;
  readonly #open = new Set<Suspect>();
  #sentAt = 0;
  #confirmed = 0;
  #window = 1; // how many may be open

  private constructor(suspects: Set<Suspect>, clock: Clock) {
    this.#suspects = suspects;
    this.#clock = clock;
  }

  /** Isolates the suspects among the messages; `undefined` when there are none. */
  static of(messages: Iterable<Suspect>, clock: Clock): Isolation | undefined {
    const suspects = new Set<Suspect>();
    for (const message of messages) {
      const { suspicion } = message;
      if (suspicion?.isInDoubt || (suspicion?.losses ?? 0) >= LOSSES_OF_SUSPECT) suspects.add(message);
    }
    return suspects.size > 0 ? new Isolation(suspects, clock) : undefined;
  }

  /** Whether a message is one of the suspects. */
  isSuspect(message: Suspect): boolean {
    return this.#suspects.has(message);
  }

  /** Whether a message may be sent now. If not, it waits for those before it, or, when not a suspect, for the end. */
  admit(message: Suspect): boolean {
    if (this.#open.size >= this.#window || !this.#suspects.has(message)) return false;
    this.#open.add(message);
    this.#sentAt = this.#clock.now();
    return true;
  }

  /** Removes a message that is confirmed or given up. Returns whether it was the last suspect. */
  remove(message: Suspect): boolean {
    this.#open.delete(message);
    if (this.#suspects.delete(message) && ++this.#confirmed > CONFIRMED_BEFORE_GROWTH) {
      this.#window = Math.min(this.#window * 2, MAX_WINDOW);
    }
    return this.#suspects.size === 0;
  }

  /**
   * Judges a message whose receipt does not come.
   *
   * @returns the error to refuse the message with; `undefined` when it may not be to blame.
   */
  refusalOf(message: Suspect, error: StompError, verdict: Verdict): StompError | undefined {
    const isAlone = this.#open.size === 1;
    const { suspicion } = message;
    if (!this.#open.delete(message) || !isAlone || suspicion === undefined) return undefined;
    if (verdict === "doubt") return ++suspicion.errorsAlone >= MAX_ERRORS_ALONE ? error : undefined;
    const isLate = this.#clock.now() - this.#sentAt > LOSS_AFTER_SEND_MS;
    if (isAboutConnection(error.cause) || isLate) return undefined;
    if (++suspicion.lossesAlone < MAX_LOSSES_ALONE) return undefined;
    const closed = "the broker closed the connection each time that it was sent, also when it was sent alone";
    return new ConnectionError(`Cannot confirm ${message.describe()}: ${closed}; ${likelyReason(message)}`, {
      cause: error,
    });
  }

  /** Clears the suspicion of all suspects, after the refused message was found. */
  clear(): void {
    for (const message of this.#suspects) message.suspicion = undefined;
  }
}

function likelyReason({ size }: Suspect): string {
  return size >= LARGE_BODY_BYTES
    ? `its body of ${size} bytes may be more than the broker takes`
    : "the broker may not take one of its headers, its queue may be full and reject it, or, where octets go over " +
      "RabbitMQ's Web STOMP, web_stomp.ws_frame must be binary";
}
