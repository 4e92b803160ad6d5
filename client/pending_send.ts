/**
 * One message on its way: it may be sent over several connections, until it is confirmed, refused or given up.
 *
 * Finds the one message that the broker refuses without naming it.
 *
 * RabbitMQ's ERROR names no receipt, and some frames end the connection without a word. Then any message that was open
 * is a suspect. A trial sends the suspects one at a time, in order: the one that is refused alone is the culprit, and the
 * others are confirmed. Brokers handle the frames of a connection in order, so the culprit is close to the first suspect,
 * and a message that was accepted before it is sent twice at most.
 *
 * @module
 */
import { BrokerErrorResponse, ConnectionError, rejection, type StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import type { ReceiptWaiter, Verdict } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";

/** A message to be sent, over whichever connection. */
export interface OutgoingMessage {
  /** Its destination. */
  readonly destination: string;
  /** Bytes of its body, or, for text, its length. */
  readonly size: number;
  /** Sends it with a receipt, and returns the id of that. */
  confirm(session: Session, waiter: ReceiptWaiter): string;
  /** Sends it without one. Returns a promise to wait for before more is sent. */
  write(session: Session): Promise<void> | undefined;
}

/** What keeps messages that are on their way. */
export interface OutgoingKeeper {
  /** One is confirmed, refused or given up. */
  onSettled(outgoing: PendingSend): void;
  /** The receipt of one does not come over its connection. */
  onFailed(outgoing: PendingSend, error: StompError, verdict: Verdict): void;
}

/** One message on its way. */
export class PendingSend implements ReceiptWaiter, Suspect {
  /** It is for a SEND. */
  readonly isSend = true;
  /** What is sent. */
  readonly parcel: OutgoingMessage;
  /** Whether it asks for a receipt. */
  readonly confirms: boolean;
  /** When it is given up, by the clock. */
  readonly due: number;
  /** Gives it up. */
  readonly signal: AbortSignal | undefined;
  /** Of its RECEIPT. */
  readonly promise: Promise<Frame | undefined>;
  /** Ends its own deadline, if it has one. */
  stop: (() => void) | undefined;
  /** Whether it is confirmed, refused or given up. */
  settled = false;
  /** What is known against it. */
  suspicion: Suspicion | undefined;
  /** Whether the broker may have it. */
  written = false;
  readonly #reconnector: OutgoingKeeper;
  #resolve!: (receipt: Frame | undefined | Promise<never>) => void;
  #session: Session | undefined;
  #receipt = "";
  #start = 0; // its place among the bytes of the session
  #end = 0;

  /** It is on no connection yet. */
  constructor(
    parcel: OutgoingMessage,
    confirms: boolean,
    due: number,
    signal: AbortSignal | undefined,
    reconnector: OutgoingKeeper,
  ) {
    this.parcel = parcel;
    this.confirms = confirms;
    this.due = due;
    this.signal = signal;
    this.#reconnector = reconnector;
    this.promise = new Promise((resolve) => this.#resolve = resolve);
  }

  /** Whether it is on a connection. */
  get isSent(): boolean {
    return this.#session !== undefined;
  }

  /** Sends it over a connection. */
  transmit(session: Session): void {
    try {
      this.#start = session.position;
      let room: Promise<void> | undefined;
      if (this.confirms) this.#receipt = this.parcel.confirm(session, this);
      else room = this.parcel.write(session);
      this.#end = session.position;
      this.#session = session;
      if (this.confirms) return;
      if (room === undefined) this.confirmed(undefined);
      else room.then(() => this.confirmed(undefined), (error) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Bytes of its body, or, for text, its length. */
  get size(): number {
    return this.parcel.size;
  }

  /** What it is, for messages. */
  describe(): string {
    return `SEND to ${this.parcel.destination}`;
  }

  /** Its RECEIPT has come, or it needs none. */
  confirmed(receipt: Frame | undefined): void {
    if (this.settled) return; // without a receipt it may be given up while there is no room
    this.#settle();
    this.#resolve(receipt);
  }

  /** Its RECEIPT does not come over this connection. */
  failed(error: StompError, verdict: Verdict): void {
    this.#session = undefined;
    this.written = true;
    this.#reconnector.onFailed(this, error, verdict);
  }

  /** Ends it with an error, and takes it off the connection where that can be. */
  fail(error: unknown): void {
    if (this.settled) return;
    this.withdraw();
    this.#settle();
    this.#resolve(rejection(error)); // with the caller in its stack
  }

  /** Takes it off the connection. `written` tells afterwards whether the broker may have it. */
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
    this.#reconnector.onSettled(this);
  }
}

/** Whether the broker may have a message that is given up, for people. */
export function whetherWritten({ written }: PendingSend): string {
  return written ? "it was written, so the broker may have it" : "it was never written";
}

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
