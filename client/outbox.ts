/**
 * Messages that were given to the client and are not confirmed yet. They outlive a connection.
 *
 * @module
 */
import { checkTimeout, onGiveUp, type WaitOptions } from "../base/deadline.ts";
import { ConnectionError, OutboxFullError, type StompError, TimeoutError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { Fifo } from "../base/queue.ts";
import type { ReceiptWaiter } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";

/** How much a client holds that is not confirmed. */
export interface OutboxLimits {
  /** Messages. Default 10,000. */
  messages?: number | undefined;
  /** Bytes of bodies; a body that is text counts with its length. Default 67,108,864 (64 MiB). */
  bytes?: number | undefined;
}

/** A message to be sent, over whichever connection. */
export interface Parcel {
  /** Its destination. */
  readonly destination: string;
  /** Bytes of its body, or, for text, its length. */
  readonly size: number;
  /** Sends it with a receipt, and returns the id of that. */
  confirm(session: Session, waiter: ReceiptWaiter): string;
}

/** What an outbox needs of its client. */
export interface OutboxOwner {
  /** Keeps the connection. */
  readonly keeper: { readonly session: Session | undefined };
  /** Messages begin to wait for their place. */
  onStalled(pending: number): void;
}

/** Options of a message. */
export interface OutgoingOptions extends WaitOptions {
  /** `false`: fail rather than wait for a place. */
  wait?: boolean | undefined;
}

/** One message on its way. */
class Outgoing implements ReceiptWaiter {
  readonly parcel: Parcel;
  /** When it is given up by the common timeout. */
  readonly due: number;
  readonly promise: Promise<Frame>;
  /** Ends its own deadline, if it has one. */
  stop: (() => void) | undefined;
  readonly #outbox: Outbox;
  #resolve!: (receipt: Frame) => void;
  #reject!: (error: unknown) => void;
  #session: Session | undefined;
  #receipt = "";

  constructor(parcel: Parcel, due: number, outbox: Outbox) {
    this.parcel = parcel;
    this.due = due;
    this.#outbox = outbox;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Sends it over a connection. */
  transmit(session: Session): void {
    try {
      this.#receipt = this.parcel.confirm(session, this);
      this.#session = session;
    } catch (error) {
      this.fail(error);
    }
  }

  describe(): string {
    return `SEND to ${this.parcel.destination}`;
  }

  confirmed(receipt: Frame): void {
    this.#end();
    this.#resolve(receipt);
  }

  failed(error: StompError, lost: boolean): void {
    this.#session = undefined;
    // Lost with the connection: it waits for the next one.
    if (!lost) this.fail(error);
  }

  /** It is over, and nobody waits for its receipt any more. */
  fail(error: unknown): void {
    this.#session?.giveUp(this.#receipt);
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.stop?.();
    this.#outbox.settled(this);
  }
}

/** The unconfirmed messages of a client, in the order they were sent. */
export class Outbox {
  readonly #owner: OutboxOwner;
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #timeout: number;
  readonly #sent = new Set<Outgoing>();
  readonly #waiting = new Fifo<Outgoing>(); // for a place
  #filling = false;
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #idle: (() => void)[] = [];

  /**
   * Creates an outbox.
   *
   * @param timeout what holds for messages that bring none, in milliseconds.
   * @throws {RangeError} when a limit leaves no room at all.
   */
  constructor(limits: OutboxLimits, timeout: number, owner: OutboxOwner) {
    const { messages = 10_000, bytes = 1 << 26 } = limits;
    for (const limit of [messages, bytes]) {
      if (!(limit >= 1)) throw new RangeError(`Cannot use maxPending ${limit}: a limit is a number of 1 or more`);
    }
    this.#maxMessages = messages;
    this.#maxBytes = bytes;
    this.#timeout = checkTimeout(timeout);
    this.#owner = owner;
  }

  /** How many messages are not confirmed. */
  get size(): number {
    return this.#sent.size;
  }

  /** The bytes of their bodies, or, of text, its length. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes a message. Resolves to its RECEIPT, over whichever connection that comes.
   *
   * @throws {OutboxFullError} when it is full, and the caller does not want to wait.
   * @throws {TimeoutError} when the time is over; the signal's reason when that has aborted.
   */
  send(parcel: Parcel, wait: OutgoingOptions): Promise<Frame> {
    const full = this.#waiting.length > 0 || !this.#hasRoom();
    if (full && wait.wait === false) {
      throw new OutboxFullError(
        `Cannot send to ${parcel.destination}: ${this.#sent.size} messages of ${this.#bytes} bytes are not confirmed yet`,
      );
    }
    const { signal, timeout = this.#timeout } = wait;
    const own = signal !== undefined || wait.timeout !== undefined;
    const due = own || timeout === Infinity ? Infinity : performance.now() + timeout;
    const outgoing = new Outgoing(parcel, due, this);
    if (own) {
      const what = `the receipt of ${outgoing.describe()}`;
      outgoing.stop = onGiveUp({ signal, timeout }, what, (error) => outgoing.fail(error));
    } else if (due !== Infinity) {
      this.#timer ??= setTimeout(() => this.#expire(), timeout);
    }
    if (full) {
      if (this.#waiting.length === 0) this.#owner.onStalled(this.#sent.size);
      this.#waiting.push(outgoing);
    } else {
      this.#place(outgoing);
    }
    return outgoing.promise;
  }

  /** Sends everything again, in order, over a new connection. */
  flush(session: Session): void {
    for (const outgoing of [...this.#sent]) {
      if (!session.isOpen) return;
      outgoing.transmit(session);
    }
  }

  /** Resolves when everything is settled. */
  idle(): Promise<void> {
    if (this.#sent.size === 0 && this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Fails everything. */
  failAll(error: StompError): void {
    // Those that wait come first: no place is made for them any more.
    for (const outgoing of [...this.#waiting, ...this.#sent]) {
      const message = `Cannot confirm ${outgoing.describe()}: ${error.message}`;
      outgoing.fail(new ConnectionError(message, { cause: error }));
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #hasRoom(): boolean {
    return this.#sent.size < this.#maxMessages && this.#bytes < this.#maxBytes;
  }

  #place(outgoing: Outgoing): void {
    this.#sent.add(outgoing);
    this.#bytes += outgoing.parcel.size;
    const session = this.#owner.keeper.session;
    if (session) outgoing.transmit(session);
  }

  /** For its messages: one is over. */
  settled(outgoing: Outgoing): void {
    if (this.#sent.delete(outgoing)) this.#bytes -= outgoing.parcel.size;
    else this.#waiting.remove(outgoing);
    this.#fill();
    if (this.#idle.length === 0 || this.#sent.size > 0 || this.#waiting.length > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Those who wait get the places that are free. One that cannot be sent frees its place within the loop. */
  #fill(): void {
    if (this.#filling) return;
    this.#filling = true;
    while (this.#waiting.length > 0 && this.#hasRoom()) this.#place(this.#waiting.shift()!);
    this.#filling = false;
  }

  /** One timer for all: messages with the common timeout are due in the order they were sent. */
  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const outgoing of [...this.#sent, ...this.#waiting]) {
      if (outgoing.due === Infinity) continue;
      if (outgoing.due > now) {
        this.#timer = setTimeout(() => this.#expire(), outgoing.due - now);
        return;
      }
      const what = outgoing.describe();
      outgoing.fail(
        new TimeoutError(`Cannot wait longer for the receipt of ${what}: ${this.#timeout} ms are over`),
      );
    }
  }
}
