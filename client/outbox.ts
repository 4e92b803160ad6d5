/**
 * Messages that were given to the client and are not confirmed yet. They outlive a connection.
 *
 * A message goes through these states:
 *
 * | state     | where it is                                        | counts towards the limits |
 * | --------- | -------------------------------------------------- | ------------------------- |
 * | waiting   | `#waiting`: the limits are reached                 | no                        |
 * | accepted  | `#accepted` and `#unsent`: not on a connection yet | yes                       |
 * | sent      | `#accepted`: its receipt is open on a session      | yes                       |
 * | settled   | nowhere: confirmed, refused or given up            | no                        |
 *
 * When the connection is lost, what was sent becomes accepted again. What an ERROR or the silent end of a connection put
 * in doubt is sent one message at a time, see `pending_send.ts`.
 *
 * @module
 */
import { checkLimit } from "../base/checks.ts";
import {
  checkTimeout,
  type Clock,
  LATE_MS,
  onGiveUp,
  SECOND_LOOK_MS,
  systemClock,
  type WaitOptions,
  within,
} from "../base/timers.ts";
import { ConnectionError, OutboxFullError, type StompError, TimeoutError, traced } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { isOutageError } from "../dialects/registry.ts";
import { Fifo } from "../base/fifo.ts";
import type { Verdict } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";
import {
  noteSuspicion,
  type OutgoingKeeper,
  type OutgoingMessage,
  PendingSend,
  Trial,
  whetherWritten,
} from "./pending_send.ts";

/** How much a client holds that is not confirmed. */
export interface OutboxLimits {
  /** Messages. Default 10,000. */
  messages?: number | undefined;
  /** Bytes of bodies; a body that is text counts with its length. Default 67,108,864 (64 MiB). */
  bytes?: number | undefined;
}

/** What an outbox needs of its client. */
export interface OutboxOwner {
  /** Keeps the connection. */
  readonly reconnector: {
    /** The open session. */
    readonly session: Session | undefined;
    /** Why nothing gets through, as far as that is known. */
    readonly trouble?: StompError | undefined;
  };
  /** Messages begin to wait for their place. */
  onStalled(pending: number): void;
}

/** Options of a message. */
export interface OutgoingOptions extends WaitOptions {
  /** `false`: fail rather than wait for a place, a connection, or room on it. */
  wait?: boolean | undefined;
}

/** The unconfirmed messages of a client, in the order they were sent. */
export class Outbox implements OutgoingKeeper {
  readonly #owner: OutboxOwner;
  readonly #clock: Clock;
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #timeout: number;
  readonly #accepted = new Set<PendingSend>();
  #unsent = new Fifo<PendingSend>(); // settled ones among them are passed over
  #waiting = new Fifo<PendingSend>(); // settled ones here as well
  #waitingCount = 0; // without the settled ones
  #trial: Trial | undefined;
  readonly #postponed = new Set<PendingSend>(); // the broker speaks of an outage
  #cancelRetry: (() => void) | undefined; // of those
  #moving = false; // messages move on: one that settles meanwhile does not begin that again
  #awaitsRoom = false;
  #retrying = false;
  #bytes = 0;
  #cancelTimer: (() => void) | undefined;
  #timerDue = Infinity;
  #idle: (() => void)[] = [];

  /**
   * Creates an outbox.
   *
   * @param timeout what holds for messages that bring none, in milliseconds.
   * @throws {RangeError} when a limit leaves no room at all.
   */
  constructor(limits: OutboxLimits, timeout: number, owner: OutboxOwner, clock: Clock = systemClock) {
    const { messages = 10_000, bytes = 1 << 26 } = limits;
    checkLimit("send", "outbox.messages", messages);
    checkLimit("send", "outbox.bytes", bytes);
    this.#maxMessages = messages;
    this.#maxBytes = bytes;
    this.#timeout = checkTimeout(timeout);
    this.#owner = owner;
    this.#clock = clock;
  }

  /** How many messages are not confirmed. */
  get size(): number {
    return this.#accepted.size;
  }

  /** The bytes of their bodies, or, of text, its length. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes a message. Resolves to its RECEIPT, over whichever connection that comes.
   *
   * @throws {OutboxFullError} when it would have to wait for a place or a connection, and the caller does not want that.
   * @throws {TimeoutError} when the time is over; the signal's reason when that has aborted.
   */
  send(parcel: OutgoingMessage, options: OutgoingOptions): Promise<Frame> {
    const { session } = this.#owner.reconnector;
    const full = this.#isFull();
    if (options.wait === false && (full || session === undefined)) throw this.#wouldWait(parcel, full);
    const outgoing = this.#take(parcel, true, options);
    if (full) {
      this.#wait(outgoing);
    } else if (session !== undefined && this.#isClear(session)) {
      this.#add(outgoing);
      outgoing.transmit(session);
      this.#awaitRoom(session.ready());
    } else {
      this.#add(outgoing);
      this.#unsent.push(outgoing);
      this.#move();
    }
    return outgoing.promise as Promise<Frame>;
  }

  /** The same without a receipt. Resolves when the connection has room for more. */
  sendUnconfirmed(parcel: OutgoingMessage, options: OutgoingOptions): Promise<undefined> {
    const { session } = this.#owner.reconnector;
    if (session !== undefined && this.#isClear(session)) {
      const room = parcel.write(session);
      this.#awaitRoom(room);
      return room === undefined ? DONE : traced(within(room.then(nothing), options, "room to send"));
    }
    const full = this.#isFull();
    if (options.wait === false) throw this.#wouldWait(parcel, full);
    const outgoing = this.#take(parcel, false, options);
    if (full) {
      this.#wait(outgoing);
    } else {
      this.#add(outgoing);
      this.#unsent.push(outgoing);
      this.#move();
    }
    return outgoing.promise as Promise<undefined>;
  }

  /** Sends everything again, in order, over a new connection. Suspects go first, one by one. */
  flush(): void {
    this.#resend();
  }

  /** Resolves when everything is settled. */
  idle(): Promise<void> {
    if (this.#accepted.size === 0 && this.#waitingCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Fails everything. */
  failAll(error: StompError): void {
    this.#failTogether([...this.#waiting, ...this.#accepted], (outgoing) => {
      const what = `${outgoing.describe()}: ${whetherWritten(outgoing)}`;
      return new ConnectionError(`Cannot confirm ${what}: ${error.message}`, { cause: error });
    });
    this.#cancelTimer?.();
    this.#cancelRetry?.();
    this.#cancelTimer = this.#cancelRetry = undefined;
  }

  /** For its messages: one is confirmed, refused or given up. */
  onSettled(outgoing: PendingSend): void {
    if (this.#accepted.delete(outgoing)) this.#bytes -= outgoing.parcel.size;
    else this.#waitingCount--;
    if (this.#trial?.release(outgoing)) this.#trial = undefined;
    this.#move();
    if (this.#idle.length === 0 || this.#accepted.size > 0 || this.#waitingCount > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** For its messages: the receipt of one does not come. */
  onFailed(outgoing: PendingSend, error: StompError, verdict: Verdict): void {
    if (verdict !== "refused") noteSuspicion(outgoing, error, verdict);
    else if (error.frame !== undefined && isOutageError(error.frame)) return this.#postpone(outgoing);
    const guilty = verdict === "refused" ? error : this.#trial?.judge(outgoing, error, verdict);
    if (guilty !== undefined) {
      this.#trial?.acquit();
      this.#trial = undefined;
      this.#owner.reconnector.session?.progress.convicted();
      return outgoing.fail(guilty);
    }
    // After an ERROR that the connection survived, no new session asks for the messages.
    if (verdict !== "doubt" || this.#retrying) return;
    this.#retrying = true;
    queueMicrotask(() => {
      this.#retrying = false;
      if (this.#owner.reconnector.session?.isOpen) this.#resend();
    });
  }

  /** A part of the broker is out of order, such as the node that has the queue: the same may succeed later. */
  #postpone(outgoing: PendingSend): void {
    if (this.#trial?.release(outgoing)) this.#trial = undefined;
    this.#postponed.add(outgoing);
    this.#cancelRetry ??= this.#clock.after(OUTAGE_RETRY_MS, () => {
      this.#cancelRetry = undefined;
      this.#postponed.clear();
      this.#resend();
    });
    this.#move();
  }

  /** Queues all that is on no connection, and does not wait for the end of an outage. */
  #resend(): void {
    const messages = [...this.#accepted].filter((outgoing) => !outgoing.isSent && !this.#postponed.has(outgoing));
    const trial = this.#trial = Trial.of(messages, () => this.#clock.now());
    this.#unsent = new Fifo();
    // Suspects come first: nothing else is sent before the trial is over.
    for (const outgoing of messages) if (trial?.isSuspect(outgoing)) this.#unsent.push(outgoing);
    for (const outgoing of messages) if (!trial?.isSuspect(outgoing)) this.#unsent.push(outgoing);
    this.#move();
  }

  #take(parcel: OutgoingMessage, confirms: boolean, { signal, timeout }: OutgoingOptions): PendingSend {
    signal?.throwIfAborted();
    const limit = checkTimeout(timeout ?? this.#timeout);
    const due = limit === Infinity ? Infinity : this.#clock.now() + limit;
    const outgoing = new PendingSend(parcel, confirms, due, signal, this);
    if (signal !== undefined || timeout !== undefined) {
      outgoing.stop = onGiveUp({ signal, timeout: limit }, "", (reason) => {
        outgoing.withdraw();
        outgoing.fail(reason instanceof TimeoutError ? this.#timedOut(outgoing, limit) : reason);
      });
    } else if (due !== Infinity && this.#cancelTimer === undefined) {
      this.#setTimer(due, limit);
    }
    return outgoing;
  }

  #wait(outgoing: PendingSend): void {
    if (this.#waitingCount === 0) this.#owner.onStalled(this.#accepted.size);
    this.#waiting.push(outgoing);
    this.#waitingCount++;
  }

  #add(outgoing: PendingSend): void {
    this.#accepted.add(outgoing);
    this.#bytes += outgoing.parcel.size;
  }

  #isFull(): boolean {
    return this.#waitingCount > 0 || !this.#hasCapacity();
  }

  #hasCapacity(): boolean {
    return this.#accepted.size < this.#maxMessages && this.#bytes < this.#maxBytes;
  }

  /** Whether a message can be written at once, without overtaking another one. */
  #isClear(session: Session): boolean {
    return !this.#awaitsRoom && this.#unsent.length === 0 && this.#trial === undefined && session.isOpen;
  }

  /** Accepts what waits, and sends what is accepted, as far as limits, connection and trial allow. */
  #move(): void {
    if (this.#moving) return;
    this.#waiting = withoutSettled(this.#waiting, this.#waitingCount);
    this.#unsent = withoutSettled(this.#unsent, this.#accepted.size);
    if (this.#waitingCount === 0 && this.#unsent.length === 0) return;
    this.#moving = true;
    do this.#accept(); while (this.#transmit());
    this.#moving = false;
  }

  #accept(): void {
    while (this.#waitingCount > 0 && this.#hasCapacity()) {
      const outgoing = this.#waiting.shift();
      if (outgoing === undefined) return; // those that are left are about to be given up
      if (this.#isOver(outgoing)) continue;
      this.#waitingCount--;
      this.#add(outgoing);
      this.#unsent.push(outgoing);
    }
  }

  /** Sends what is accepted. Returns whether places were freed meanwhile that others wait for. */
  #transmit(): boolean {
    const { session } = this.#owner.reconnector;
    const before = this.#accepted.size;
    while (session?.isOpen) {
      const outgoing = this.#unsent.peek();
      if (outgoing === undefined) break;
      if (!this.#isOver(outgoing)) {
        const room = session.ready();
        if (room !== undefined) {
          this.#awaitRoom(room);
          break;
        }
        if (this.#trial !== undefined && !this.#trial.admit(outgoing)) break;
        this.#unsent.shift();
        outgoing.transmit(session);
      } else {
        this.#unsent.shift();
      }
    }
    return this.#accepted.size < before && this.#waitingCount > 0 && this.#waiting.length > 0;
  }

  /** Whether it is settled, or is about to be by a signal or a timer that has told others first. */
  #isOver(outgoing: PendingSend): boolean {
    if (outgoing.settled || outgoing.signal?.aborted) return true;
    if (this.#clock.now() < outgoing.due) return false;
    // The common timer does not look for it here any more.
    if (outgoing.stop === undefined) outgoing.fail(this.#timedOut(outgoing, this.#timeout));
    return true;
  }

  #awaitRoom(room: Promise<void> | undefined): void {
    if (room === undefined || this.#awaitsRoom) return;
    this.#awaitsRoom = true;
    room.catch(nothing).then(() => {
      this.#awaitsRoom = false;
      this.#move();
    });
  }

  #wouldWait(parcel: OutgoingMessage, full: boolean): OutboxFullError {
    const why = full
      ? `${this.#accepted.size} messages of ${this.#bytes} bytes are not confirmed yet`
      : this.#owner.reconnector.session === undefined
      ? "there is no connection now"
      : "the connection takes no more now";
    return new OutboxFullError(`Cannot send to ${parcel.destination} without waiting: ${why}`);
  }

  #timedOut(outgoing: PendingSend, timeout: number): TimeoutError {
    const what = outgoing.confirms ? `the receipt of ${outgoing.describe()}` : `room for ${outgoing.describe()}`;
    const { trouble } = this.#owner.reconnector;
    return new TimeoutError(
      `Timed out after ${timeout} ms waiting for ${what}: ${whetherWritten(outgoing)}`,
      trouble && { cause: trouble },
    );
  }

  /** One timer for all: messages with the common timeout are due in the order they were sent. */
  #setTimer(due: number, wait: number): void {
    this.#timerDue = due;
    this.#cancelTimer = this.#clock.after(wait, () => this.#expire());
  }

  #expire(): void {
    this.#cancelTimer = undefined;
    const now = this.#clock.now();
    // A process that was busy has not read yet what may have come in time.
    if (now - this.#timerDue >= LATE_MS) return this.#setTimer(Infinity, SECOND_LOOK_MS);
    const overdue: PendingSend[] = [];
    for (const outgoing of [...this.#accepted, ...this.#waiting]) {
      if (outgoing.settled || outgoing.stop !== undefined || outgoing.due === Infinity) continue;
      if (outgoing.due > now) {
        this.#setTimer(outgoing.due, outgoing.due - now);
        break;
      }
      overdue.push(outgoing);
    }
    this.#failTogether(overdue, (outgoing) => this.#timedOut(outgoing, this.#timeout));
  }

  /** Fails messages together, so that none takes the place of one before it. */
  #failTogether(all: readonly PendingSend[], errorFor: (outgoing: PendingSend) => StompError): void {
    const wasMoving = this.#moving;
    this.#moving = true;
    for (const outgoing of all) {
      if (outgoing.settled) continue;
      outgoing.withdraw();
      outgoing.fail(errorFor(outgoing));
    }
    this.#moving = wasMoving;
    this.#move();
  }
}

/** After an outage of a part of the broker: each try may cost the connection. */
const OUTAGE_RETRY_MS = 3000;

const DONE: Promise<undefined> = Promise.resolve(undefined);
const nothing = () => undefined;

/** The queue, without the settled messages once they are most of it. */
function withoutSettled(queue: Fifo<PendingSend>, atMost: number): Fifo<PendingSend> {
  if (queue.length <= 2 * atMost + 64) return queue;
  const left = new Fifo<PendingSend>();
  for (const outgoing of queue) if (!outgoing.settled) left.push(outgoing);
  return left;
}
