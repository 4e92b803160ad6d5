/**
 * The subscriptions of a client: each is subscribed once by the program, and again by the client on each new connection.
 *
 * @module
 */
import { Backoff } from "../base/backoff.ts";
import type { BoundedQueue } from "../base/bounded_queue.ts";
import { beginSteps, type WaitOptions, within } from "../base/timers.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  NotConnectedError,
  type StompError,
  SubscriptionError,
  TimeoutError,
} from "../base/errors.ts";
import { toHeaders } from "../codec/encoder.ts";
import type { Frame } from "../codec/frame.ts";
import { asksToBrowse } from "../dialects/browsing.ts";
import { isOutageError } from "../dialects/registry.ts";
import { readAckMode } from "../session/acknowledgement.ts";
import { Backlog } from "../session/backlog.ts";
import { OWN_ID } from "../session/dispatcher.ts";
import { receiptAdvice } from "../session/progress.ts";
import { isInDoubt, isLoss } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";
import { BrowsingConsumer } from "./browsing_consumer.ts";
import { RefusedMessages } from "./ack_tracker.ts";
import { Consumer, type ConsumerContext, consumerOf } from "./consumer.ts";
import type { Message } from "./message.ts";
import { checkSubscribe } from "./options.ts";
import type { Reconnector } from "./reconnector.ts";
import type { StatusHub } from "./status.ts";
import {
  type Attempt,
  type SubscribeRequest,
  SubscribeRequests,
  type TunedSubscribeOptions,
} from "./subscribe_request.ts";
import { endSubscription, Subscription } from "./subscription.ts";
import type { Transactions } from "./transaction_registry.ts";

/** A subscription, and its SUBSCRIBE on the current session. */
interface Entry {
  readonly subscription: Subscription;
  readonly consumer: Consumer;
  readonly options: SubscribeRequest;
  /** Whether a conf made it, so that its messages go to `receiveFrame`. */
  readonly byConf: boolean;
  /**
   * `new` until a broker confirms it for the first time: until then the caller of `subscribe` gets the errors. `written`
   * after a SUBSCRIBE without a receipt, until a broker seems to have accepted it.
   */
  phase: "new" | "written" | "confirmed";
  /** The SUBSCRIBE that was sent last. */
  attempt: Attempt | undefined;
  /** SUBSCRIBEs so far. */
  attempts: number;
  /** Set from a refusal to the next confirmation. */
  retry: Retry | undefined;
}

/** The waits and refusals of a SUBSCRIBE that is sent again. */
interface Retry {
  readonly backoff: Backoff;
  /** Whether the next attempt waits for its time. */
  isWaiting: boolean;
  /** Refusals in a row that were no outage and can have meant only this SUBSCRIBE. */
  finalRefusals: number;
  /** Messages that had come before the last refusal. */
  receivedBefore: number;
}

/** Final refusals in a row that end a subscription that was confirmed before. */
const MAX_FINAL_REFUSALS = 5;

/** A first SUBSCRIBE fails when this many ERRORs may have been about it. */
const MAX_DOUBTS = 2;

/** Milliseconds after which a SUBSCRIBE without an answer no longer delays those that have to be sent alone. */
const TURN_TIMEOUT_MS = 5000;

/** All subscriptions of one client. */
export class SubscriptionRegistry {
  /** Counts what waits in the queues of all subscriptions. */
  readonly backlog: Backlog;
  readonly #reconnector: Reconnector;
  readonly #timeout: number;
  readonly #context: ConsumerContext;
  readonly #entries = new Map<string, Entry>();
  readonly #endWaits = new Set<() => void>(); // each ends the wait of one retry
  readonly #requests: SubscribeRequests;
  #turn: Promise<void> = Promise.resolve();
  #lastOwnId = 0;

  /**
   * Creates a registry without subscriptions.
   *
   * @param timeout milliseconds that a call may take by default.
   */
  constructor(reconnector: Reconnector, transactions: Transactions, status: StatusHub, timeout: number) {
    this.#reconnector = reconnector;
    this.#timeout = timeout;
    this.#requests = new SubscribeRequests(timeout, reconnector.clock);
    const backlog = this.backlog = new Backlog((isFull, frame) => {
      const { session } = reconnector;
      if (isFull) session?.gate.close(backlog, true);
      else session?.gate.open(backlog);
      if (frame) consumerOf(frame as Message).reportSlow(true);
    });
    this.#context = {
      transactions,
      status,
      refused: new RefusedMessages(reconnector.clock),
      backlog,
      clock: reconnector.clock,
      timeout,
      onUnsubscribed: ({ id }) => this.#remove(id),
      onCancelled: ({ subscription }, error) => this.dismiss(subscription as Subscription, error),
    };
  }

  /** The destination of the first subscription that a conf made. */
  get firstByConf(): string | undefined {
    for (const { byConf, subscription } of this.#entries.values()) if (byConf) return subscription.destination;
    return undefined;
  }

  /** Returns the subscription of that id, or the first one of that destination that a conf made. */
  find(id: string | undefined, destination: string | undefined): Subscription | undefined {
    if (id !== undefined) return this.#entries.get(id)?.subscription;
    for (const { byConf, subscription } of this.#entries.values()) {
      if (byConf && subscription.destination === destination) return subscription;
    }
    return undefined;
  }

  /** Returns all subscriptions. */
  list(): Subscription[] {
    return [...this.#entries.values()].map(({ subscription }) => subscription);
  }

  /** Subscribes; messages go to `queue` when it is given. Resolves when a broker has confirmed. */
  async subscribe(
    destination: string,
    options: TunedSubscribeOptions,
    queue?: BoundedQueue<Message>,
  ): Promise<Subscription> {
    checkSubscribe(destination, options);
    const what = `subscribe to ${destination}`;
    const left = beginSteps(options, this.#timeout, this.#reconnector.clock);
    const ack = readAckMode(options.ack);
    this.#reconnector.check(what);
    const { durable, headers, maxQueuedMessages: items, maxQueuedBytes: bytes } = options;
    const id = options.id ?? durable ?? this.#freeId();
    if (this.#entries.has(id)) throw new SubscriptionError(`Cannot ${what}: the id ${id} is in use`);
    const given = typeof headers === "function" ? headers : toHeaders(headers);
    const browses = options.browse || (typeof given !== "function" && asksToBrowse(given));
    const Kind = browses ? BrowsingConsumer : Consumer;
    const consumer = new Kind(this.#context, { id, destination, ack, durable, items, bytes, queue });
    const entry: Entry = {
      subscription: new Subscription(consumer),
      consumer,
      options: { ...options, headers: given },
      byConf: queue !== undefined,
      phase: "new",
      attempt: undefined,
      attempts: 0,
      retry: undefined,
    };
    this.#entries.set(id, entry);
    try {
      await this.#confirm(entry, what, left);
    } catch (error) {
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
      entry.attempt?.abort?.abort(); // the broker may still do it, and then its messages are requeued
      endSubscription(entry.subscription);
      throw error;
    }
    return entry.subscription;
  }

  /** Sends a new SUBSCRIBE until a broker confirms it. */
  async #confirm(entry: Entry, what: string, left: () => WaitOptions): Promise<void> {
    const { destination } = entry.consumer;
    let outage: unknown;
    try {
      for (let doubts = 0;;) {
        const session = await this.#reconnector.ready(what, left());
        try {
          const attempt = this.#attempt(entry, session);
          const receipt = await within(attempt.receipt, left(), `the receipt of SUBSCRIBE to ${destination}`);
          entry.phase = receipt === undefined ? "written" : "confirmed";
          entry.retry = undefined;
          if (receipt === undefined) this.#watch(entry, attempt);
          return;
        } catch (error) {
          if (this.#reconnector.closed) throw error;
          // The next connection is another chance; so it is where another frame may be to blame.
          if (isLoss(error, session)) {
            if (isInDoubt(error) && ++doubts === MAX_DOUBTS) throw error;
            continue;
          }
          if (!isOutage(error)) throw error;
          outage = error;
        }
        const waited = Promise.withResolvers<void>();
        if (!this.#retryLater(entry, waited.resolve)) throw outage;
        await within(waited.promise, left(), `the broker to ${what}`);
      }
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      const advice = outage === undefined ? receiptAdvice(this.#reconnector.session) : "";
      throw new TimeoutError(error.message + advice, { cause: outage ?? error.cause });
    }
  }

  /** Resolves to the RECEIPT of a subscription's SUBSCRIBE. */
  receiptOf({ id }: Subscription): Promise<Frame | undefined> {
    const attempt = this.#entries.get(id)?.attempt;
    return attempt === undefined || attempt.isRefused ? Promise.resolve(undefined) : attempt.receipt;
  }

  /** Subscribes all again on a new session. */
  open(session: Session): void {
    if (this.backlog.full) session.gate.close(this.backlog, true);
    for (const entry of this.#entries.values()) {
      if (entry.retry && entry.phase !== "new") this.#retryAlone(entry);
      else if (!entry.retry?.isWaiting) this.#resubscribe(entry, session);
    }
  }

  /** Detaches all from a lost session. */
  lost(): void {
    for (const { consumer, attempt } of this.#entries.values()) {
      stopAsking(attempt, new ConnectionError("Connection lost before SUBSCRIBE was sent"));
      consumer.detach();
    }
  }

  /** Ends all, because the client is closed. */
  end(reason: StompError | undefined): void {
    for (const endWait of [...this.#endWaits]) endWait(); // a caller of `subscribe` gets the error
    for (const { subscription, attempt } of this.#entries.values()) {
      stopAsking(attempt, reason ?? new NotConnectedError("Cannot subscribe: the client is closed"));
      endSubscription(subscription, reason);
    }
    this.#entries.clear();
  }

  /** Ends a subscription that the broker, or an UNSUBSCRIBE that the program sent as a frame, has ended. */
  dismiss(subscription: Subscription, error?: StompError): void {
    const entry = this.#entries.get(subscription.id);
    if (entry?.subscription !== subscription) return;
    this.#remove(subscription.id);
    entry.consumer.forget();
    endSubscription(subscription, error);
  }

  #remove(id: string): void {
    const attempt = this.#entries.get(id)?.attempt;
    this.#entries.delete(id);
    stopAsking(attempt, new SubscriptionError("Cannot subscribe: the subscription has ended"));
  }

  /** Sends SUBSCRIBE on a session, once. */
  #attempt(entry: Entry, session: Session): Attempt {
    if (entry.attempt?.session === session && !entry.attempt.isRefused) return entry.attempt;
    return entry.attempt = this.#requests.send(entry.consumer, entry.options, session, ++entry.attempts);
  }

  /** Handles the refusal of a SUBSCRIBE that no caller awaits. Never rejects. */
  #watch(entry: Entry, { session, accepted }: Attempt): Promise<void> {
    return accepted.then(
      () => {
        entry.retry = undefined;
        entry.phase = "confirmed";
      },
      (error) => this.#onRefused(entry, session, error),
    );
  }

  /** Subscribes again on a session, and handles a refusal. Never rejects. */
  #resubscribe(entry: Entry, session: Session): Promise<void> {
    return this.#watch(entry, this.#attempt(entry, session));
  }

  /** Sends a refused SUBSCRIBE a few times more, and in an outage as often as `reconnect` allows. */
  #onRefused(entry: Entry, session: Session, error: StompError): void {
    const { consumer, attempt, phase } = entry;
    if (phase === "new" || this.#entries.get(consumer.id) !== entry || attempt?.session !== session) return;
    if (isLoss(error, session) && !isInDoubt(error)) return; // the next connection is another chance
    // An ERROR that names no frame may have been about another one, and this SUBSCRIBE may have been accepted.
    const isVague = error instanceof BrokerErrorResponse && error.frame!.headers["receipt-id"] === undefined;
    const lacksHeaders = attempt.state === "no headers";
    const isFinal = !lacksHeaders && !isOutage(error) && (attempt.wasAlone || !isVague);
    if (lacksHeaders) this.#context.status.emit({ type: "error", error });
    if (phase === "written" && isFinal && !isInDoubt(error)) {
      return this.dismiss(entry.subscription, refused(entry, error));
    }
    const isTemporary = lacksHeaders || error instanceof BrokerErrorResponse;
    if (!(isTemporary && this.#retryLater(entry, () => this.#retryAlone(entry), isFinal))) {
      this.dismiss(entry.subscription, error);
    } else if (isVague && session.isOpen) {
      session.subscriptions.expect(consumer);
    } else {
      entry.attempt = undefined;
      consumer.detach();
    }
  }

  /** Waits, and then calls `send` to send a refused SUBSCRIBE again. Returns whether there is another attempt. */
  #retryLater(entry: Entry, send: () => void, isFinal = false): boolean {
    const { consumer, attempt, phase } = entry;
    if (attempt) attempt.isRefused = true;
    const retry = entry.retry ??= {
      backoff: this.#newBackoff(phase),
      isWaiting: false,
      finalRefusals: 0,
      receivedBefore: 0,
    };
    retry.receivedBefore = consumer.received;
    if (isFinal) retry.finalRefusals++;
    if (retry.finalRefusals >= MAX_FINAL_REFUSALS) return false;
    const delay = retry.backoff.next();
    if (delay === undefined) return false;
    retry.isWaiting = true;
    const endWait = () => {
      cancel();
      this.#endWaits.delete(endWait);
      retry.isWaiting = false;
      send();
    };
    const cancel = this.#reconnector.clock.after(delay, endWait);
    this.#endWaits.add(endWait);
    return true;
  }

  /** Without `reconnect` a new SUBSCRIBE is sent again until its deadline, and a confirmed one is not. */
  #newBackoff(phase: Entry["phase"]): Backoff {
    return this.#reconnector.newBackoff() ?? new Backoff(phase === "new" ? {} : { attempts: 0 });
  }

  /** Sends a refused SUBSCRIBE again while no other is open: an ERROR that comes then is about this one. */
  #retryAlone(entry: Entry): void {
    this.#turn = this.#turn.then(() => {
      const { session } = this.#reconnector;
      const { retry, consumer, attempt } = entry;
      if (!session || !retry || retry.isWaiting || this.#entries.get(consumer.id) !== entry) return;
      if (attempt?.session === session) {
        if (!attempt.isRefused) return; // its answer is awaited
        if (consumer.received > retry.receivedBefore) return void (entry.retry = undefined); // the broker accepted it
        session.subscriptions.forget(consumer);
      }
      return this.#untilAnswered(this.#resubscribe(entry, session));
    });
  }

  #untilAnswered(answered: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#reconnector.clock.after(TURN_TIMEOUT_MS, resolve);
      answered.then(cancel).then(resolve);
    });
  }

  #freeId(): string {
    let id: string;
    do id = `${OWN_ID}${++this.#lastOwnId}`; while (this.#entries.has(id));
    return id;
  }
}

/** Whether the broker says that a part of it is out of order. */
function isOutage(error: unknown): boolean {
  return error instanceof BrokerErrorResponse && isOutageError(error.frame!);
}

/** Returns the error of a subscription that the broker refused after `subscribe` had resolved. */
function refused({ consumer: { destination } }: Entry, cause: StompError): SubscriptionError {
  const message = `Cannot receive from ${destination}: the broker refused the subscription: ${cause.message}`;
  return new SubscriptionError(message, { cause, frame: cause.frame });
}

/** Ends the wait for the headers of a SUBSCRIBE that will not be sent. */
function stopAsking(attempt: Attempt | undefined, error: StompError): void {
  if (attempt?.state === "asking") attempt.abort?.abort(error);
}
