/**
 * One message on its way: it may be sent over several connections, until it is confirmed, refused or given up.
 *
 * @module
 */
import { rejection, type StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import type { ReceiptWaiter, Verdict } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";
import type { Suspect, Suspicion } from "./trial.ts";

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
