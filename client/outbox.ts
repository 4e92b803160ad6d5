/**
 * `Outbox`: messages that were given to the client and are not confirmed yet. They outlive a connection.
 *
 * A message goes through these states:
 *
 * | state    | where it is                                        | counts towards the limits |
 * | -------- | -------------------------------------------------- | ------------------------- |
 * | waiting  | `#waiting`: the limits are reached                 | no                        |
 * | accepted | `#accepted` and `#unsent`: not on a connection yet | yes                       |
 * | sent     | `#accepted`: its receipt is open on a session      | yes                       |
 * | settled  | nowhere: confirmed, refused or given up            | no                        |
 *
 * When the connection is lost, what was sent becomes accepted again. Messages that an ERROR, or a connection that ended
 * without one, puts in doubt are sent one at a time, see `Isolation` in `pending_send.ts`.
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
import { receiptAdvice } from "../session/progress.ts";
import type { Verdict } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";
import type { OutboxLimits } from "./options.ts";
import { Isolation, noteSuspicion, type OutgoingMessage, PendingSend, type SendEvents } from "./pending_send.ts";
import type { Reconnector } from "./reconnector.ts";
import type { StatusHub } from "./status.ts";

/** Options of a send that concern the outbox. */
export interface OutgoingOptions extends WaitOptions {
  /** `false`: fail instead of waiting for the limits, or for a connection that accepts more. */
  wait?: boolean | undefined;
}

/** The unconfirmed messages of a client, in the order in which they were sent. */
export class Outbox implements SendEvents {
  readonly #reconnector: Reconnector;
  readonly #status: StatusHub;
  readonly #clock: Clock;
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #timeout: number;
  readonly #accepted = new Set<PendingSend>();
  #unsent = new Fifo<PendingSend>(); // settled sends in it are skipped
  #waiting = new Fifo<PendingSend>(); // here as well
  #waitingCount = 0; // without the settled ones
  #isolation: Isolation | undefined;
  readonly #postponed = new Set<PendingSend>(); // until the end of an outage
  #cancelRetry: (() => void) | undefined; // of the postponed ones
  #isMoving = false; // guards `#move` against sends that settle inside it
  #isAwaitingReady = false;
  #isResendQueued = false;
  #bytes = 0;
  #cancelTimer: (() => void) | undefined;
  #timerDue = Infinity;
  #onIdle: (() => void)[] = [];

  /**
   * Creates an empty outbox.
   *
   * @param timeout milliseconds that a send without a timeout may take.
   * @throws {RangeError} when a limit is below 1.
   */
  constructor(
    limits: OutboxLimits,
    timeout: number,
    reconnector: Reconnector,
    status: StatusHub,
    clock: Clock = systemClock,
  ) {
    const { messages = 10_000, bytes = 1 << 26 } = limits;
    checkLimit("send", "outbox.messages", messages);
    checkLimit("send", "outbox.bytes", bytes);
    this.#maxMessages = messages;
    this.#maxBytes = bytes;
    this.#timeout = checkTimeout(timeout);
    this.#reconnector = reconnector;
    this.#status = status;
    this.#clock = clock;
  }

  /** How many accepted messages are not confirmed. */
  get size(): number {
    return this.#accepted.size;
  }

  /**
   * Sends a message with a receipt, and again on each new connection until the RECEIPT comes. Resolves to that.
   *
   * @throws {OutboxFullError} when it would have to wait, and `wait` is `false`.
   * @throws {TimeoutError} when the time is over; the signal's reason after an abort.
   */
  send(message: OutgoingMessage, options: OutgoingOptions): Promise<Frame> {
    const { session } = this.#reconnector;
    const isFull = this.#isFull();
    if (options.wait === false && (isFull || session === undefined)) throw this.#wouldWait(message, isFull);
    const send = this.#create(message, true, options);
    if (!isFull && session !== undefined && this.#isClear(session)) {
      this.#accept(send);
      send.transmit(session);
      this.#awaitReady(session.ready());
    } else {
      this.#enqueue(send, isFull);
    }
    return send.promise as Promise<Frame>;
  }

  /** Sends a message once, without a receipt. Resolves when the connection accepts more. */
  sendUnconfirmed(message: OutgoingMessage, options: OutgoingOptions): Promise<undefined> {
    const { session } = this.#reconnector;
    if (session !== undefined && this.#isClear(session)) {
      const ready = message.write(session);
      this.#awaitReady(ready);
      return ready === undefined ? DONE : traced(within(ready.then(nothing), options, "the connection to accept more"));
    }
    const isFull = this.#isFull();
    if (options.wait === false) throw this.#wouldWait(message, isFull);
    const send = this.#create(message, false, options);
    this.#enqueue(send, isFull);
    return send.promise as Promise<undefined>;
  }

  /** Sends everything again, in order, over a new connection. Suspects go first, one at a time. */
  flush(): void {
    this.#resend();
  }

  /** Resolves when every message is settled. */
  idle(): Promise<void> {
    if (this.#accepted.size === 0 && this.#waitingCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Rejects every message, because the client is closed. */
  failAll(error: StompError): void {
    this.#failTogether([...this.#waiting, ...this.#accepted], (send) => {
      const what = `${send.describe()}: ${send.whetherWritten()}`;
      return new ConnectionError(`Cannot confirm ${what}: ${error.message}`, { cause: error });
    });
    this.#cancelTimer?.();
    this.#cancelRetry?.();
    this.#cancelTimer = this.#cancelRetry = undefined;
  }

  /** Forgets a send that is confirmed, refused or given up, and lets the next ones move up. */
  onSettled(send: PendingSend): void {
    if (this.#accepted.delete(send)) this.#bytes -= send.message.size;
    else this.#waitingCount--;
    if (this.#isolation?.remove(send)) this.#isolation = undefined;
    this.#move();
    if (this.#onIdle.length === 0 || this.#accepted.size > 0 || this.#waitingCount > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Decides what follows when the receipt of a send does not come: refuse it, postpone it, or send it again. */
  onFailed(send: PendingSend, error: StompError, verdict: Verdict): void {
    if (verdict !== "refused") noteSuspicion(send, error, verdict);
    else if (error.frame !== undefined && isOutageError(error.frame)) return this.#postpone(send);
    const refusal = verdict === "refused" ? error : this.#isolation?.refusalOf(send, error, verdict);
    if (refusal !== undefined) {
      this.#isolation?.clear();
      this.#isolation = undefined;
      this.#reconnector.session?.progress.foundCulprit();
      return send.fail(refusal);
    }
    // After an ERROR that the connection survived, there is no new session on which everything is sent again.
    if (verdict !== "doubt" || this.#isResendQueued) return;
    this.#isResendQueued = true;
    queueMicrotask(() => {
      this.#isResendQueued = false;
      if (this.#reconnector.session?.isOpen) this.#resend();
    });
  }

  /** Sends it again later: a part of the broker is down, such as the node that has the queue. */
  #postpone(send: PendingSend): void {
    if (this.#isolation?.remove(send)) this.#isolation = undefined;
    this.#postponed.add(send);
    this.#cancelRetry ??= this.#clock.after(OUTAGE_RETRY_MS, () => {
      this.#cancelRetry = undefined;
      this.#postponed.clear();
      this.#resend();
    });
    this.#move();
  }

  /** Queues everything that is on no connection, except what is postponed. */
  #resend(): void {
    const sends = [...this.#accepted].filter((send) => !send.isSent && !this.#postponed.has(send));
    const isolation = this.#isolation = Isolation.of(sends, this.#clock);
    this.#unsent = new Fifo();
    // Suspects come first: nothing else is sent before the isolation is over.
    for (const send of sends) if (isolation?.isSuspect(send)) this.#unsent.push(send);
    for (const send of sends) if (!isolation?.isSuspect(send)) this.#unsent.push(send);
    this.#move();
  }

  #create(message: OutgoingMessage, confirms: boolean, { signal, timeout }: OutgoingOptions): PendingSend {
    signal?.throwIfAborted();
    const limit = checkTimeout(timeout ?? this.#timeout);
    const due = limit === Infinity ? Infinity : this.#clock.now() + limit;
    const send = new PendingSend(message, confirms, due, signal, this);
    if (signal !== undefined || timeout !== undefined) {
      send.stop = onGiveUp({ signal, timeout: limit, clock: this.#clock }, "", (reason) => {
        send.withdraw();
        send.fail(reason instanceof TimeoutError ? this.#timedOut(send, limit) : reason);
      });
    } else if (due !== Infinity && this.#cancelTimer === undefined) {
      this.#setTimer(due, limit);
    }
    return send;
  }

  #enqueue(send: PendingSend, isFull: boolean): void {
    if (!isFull) {
      this.#accept(send);
      this.#unsent.push(send);
      return this.#move();
    }
    if (this.#waitingCount === 0) this.#status.emit({ type: "stalled", pending: this.#accepted.size });
    this.#waiting.push(send);
    this.#waitingCount++;
  }

  #accept(send: PendingSend): void {
    this.#accepted.add(send);
    this.#bytes += send.message.size;
  }

  #isFull(): boolean {
    return this.#waitingCount > 0 || !this.#hasCapacity();
  }

  #hasCapacity(): boolean {
    return this.#accepted.size < this.#maxMessages && this.#bytes < this.#maxBytes;
  }

  /** Whether a message can be written at once without overtaking another one. */
  #isClear(session: Session): boolean {
    return !this.#isAwaitingReady && this.#unsent.length === 0 && this.#isolation === undefined && session.isOpen;
  }

  /** Accepts what waits, and sends what is accepted, as far as limits, connection and isolation allow. */
  #move(): void {
    if (this.#isMoving) return;
    this.#waiting = withoutSettled(this.#waiting, this.#waitingCount);
    this.#unsent = withoutSettled(this.#unsent, this.#accepted.size);
    if (this.#waitingCount === 0 && this.#unsent.length === 0) return;
    this.#isMoving = true;
    do this.#acceptWaiting(); while (this.#transmit());
    this.#isMoving = false;
  }

  #acceptWaiting(): void {
    while (this.#waitingCount > 0 && this.#hasCapacity()) {
      const send = this.#waiting.shift();
      if (send === undefined) return; // the remaining ones are about to be given up
      if (this.#isOver(send)) continue;
      this.#waitingCount--;
      this.#accept(send);
      this.#unsent.push(send);
    }
  }

  /** Sends what is accepted. Returns whether sends settled meanwhile, so that waiting ones can be accepted. */
  #transmit(): boolean {
    const { session } = this.#reconnector;
    const before = this.#accepted.size;
    while (session?.isOpen) {
      const send = this.#unsent.peek();
      if (send === undefined) break;
      if (!this.#isOver(send)) {
        const ready = session.ready();
        if (ready !== undefined) {
          this.#awaitReady(ready);
          break;
        }
        if (this.#isolation !== undefined && !this.#isolation.admit(send)) break;
        this.#unsent.shift();
        send.transmit(session);
      } else {
        this.#unsent.shift();
      }
    }
    return this.#accepted.size < before && this.#waitingCount > 0 && this.#waiting.length > 0;
  }

  /** Whether a send is settled, or is about to be, by a signal whose other listeners run first or by the timer. */
  #isOver(send: PendingSend): boolean {
    if (send.settled || send.signal?.aborted) return true;
    if (this.#clock.now() < send.due) return false;
    // The common timer does not find it here any more.
    if (send.stop === undefined) send.fail(this.#timedOut(send, this.#timeout));
    return true;
  }

  #awaitReady(ready: Promise<void> | undefined): void {
    if (ready === undefined || this.#isAwaitingReady) return;
    this.#isAwaitingReady = true;
    this.#reconnector.session?.progress.watch(); // where no receipt is awaited, bytes alone show a blocked broker
    ready.catch(nothing).then(() => {
      this.#isAwaitingReady = false;
      this.#move();
    });
  }

  #wouldWait(message: OutgoingMessage, isFull: boolean): OutboxFullError {
    const why = isFull
      ? `${this.#accepted.size} messages of ${this.#bytes} bytes are not confirmed yet`
      : this.#reconnector.session === undefined
      ? "there is no connection now"
      : "the connection takes no more now";
    return new OutboxFullError(`Cannot send to ${message.destination} without waiting: ${why}`);
  }

  #timedOut(send: PendingSend, timeout: number): TimeoutError {
    const what = send.confirms ? `the receipt of ${send.describe()}` : `the connection to accept ${send.describe()}`;
    const { trouble, session } = this.#reconnector;
    const advice = send.confirms ? receiptAdvice(session) : "";
    return new TimeoutError(
      `Timed out after ${timeout} ms waiting for ${what}${advice}: ${send.whetherWritten()}`,
      trouble && { cause: trouble },
    );
  }

  /** Starts the one timer for all sends with the common timeout, which are due in the order in which they were sent. */
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
    for (const send of [...this.#accepted, ...this.#waiting]) {
      if (send.settled || send.stop !== undefined || send.due === Infinity) continue;
      if (send.due > now) {
        this.#setTimer(send.due, send.due - now);
        break;
      }
      overdue.push(send);
    }
    this.#failTogether(overdue, (send) => this.#timedOut(send, this.#timeout));
  }

  /** Rejects sends together, so that none of them is sent in place of one that was rejected before it. */
  #failTogether(sends: readonly PendingSend[], errorFor: (send: PendingSend) => StompError): void {
    const wasMoving = this.#isMoving;
    this.#isMoving = true;
    for (const send of sends) {
      if (send.settled) continue;
      send.withdraw();
      send.fail(errorFor(send));
    }
    this.#isMoving = wasMoving;
    this.#move();
  }
}

/** Milliseconds between tries of messages that an outage concerns: each try may cost the connection. */
const OUTAGE_RETRY_MS = 3000;

const DONE: Promise<undefined> = Promise.resolve(undefined);
const nothing = () => undefined;

/** Returns the queue, rebuilt without the settled sends once most of it is settled. */
function withoutSettled(queue: Fifo<PendingSend>, unsettled: number): Fifo<PendingSend> {
  if (queue.length <= 2 * unsettled + 64) return queue;
  const left = new Fifo<PendingSend>();
  for (const send of queue) if (!send.settled) left.push(send);
  return left;
}
