/**
 * The subscriptions of a client: made once, and made anew on each connection.
 *
 * @module
 */
import { checkAckMode, readAckMode } from "../session/acknowledgement.ts";
import { beginSteps, checkWait, within } from "../base/timers.ts";
import { deleteDurableHeaders, hasPrefetch, subscribeHeaders } from "../dialects/dialect.ts";
import {
  BrokerErrorResponse,
  NotConnectedError,
  type StompError,
  SubscriptionError,
  TimeoutError,
} from "../base/errors.ts";
import { toHeaders } from "../codec/encoder.ts";
import { Frame } from "../codec/frame.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { Backlog } from "../session/backlog.ts";
import type { BoundedQueue, QueueFill } from "../base/bounded_queue.ts";
import type { Reconnector } from "./reconnector.ts";
import type { AcknowledgeOptions, Message } from "./message.ts";
import { isInDoubt } from "../session/receipts.ts";
import { isLoss, isOutage, SubscribeRetries, type SubscribeRetry } from "./subscribe_retry.ts";
import type { Session } from "../session/session.ts";
import { Acknowledgements, type RefusedMessages } from "./ack_tracker.ts";
import { checkSubscribe, type SubscribeOptions, type UnsubscribeOptions } from "./options.ts";
import { Subscription, type SubscriptionOwner } from "./subscription.ts";
import { OWN_ID, unsubscribeHeaders } from "../session/dispatcher.ts";
import type { StatusHub } from "./status.ts";
import type { Transaction, Transactions } from "./transaction.ts";

/** What the subscriptions need of their client. */
interface SubscriptionsOwner {
  /** Keeps the connection. */
  readonly reconnector: Reconnector;
  /** Milliseconds that a call takes at most, where it says nothing else. */
  readonly timeout: number;
  /** The open transaction that is meant. */
  transaction(reference: string | { readonly id: string }, what: string): Transaction;
  /** A subscription does not keep up; when it is `blocked`, not even answers of the broker are read any more. */
  onSlow(subscription: Subscription, blocked: boolean): void;
}

/** Options of a subscription, and what a worker would like. */
export interface TunedSubscribeOptions extends SubscribeOptions {
  /** The prefetch where the options give none and the broker knows one. */
  usualPrefetch?: number | undefined;
}

/** A subscription, and where it was made last. */
interface Entry {
  readonly subscription: Subscription;
  readonly options: TunedSubscribeOptions & { readonly headers: FrameHeaders };
  /** Made by a conf: its messages go to `receiveFrame`. */
  readonly byConf: boolean;
  /** Calls off the SUBSCRIBE that is under way, if one is. */
  giveUp: AbortController | undefined;
  /** Whether a broker has confirmed it once: until then whoever subscribes is told what becomes of it. */
  made: boolean;
  session: Session | undefined;
  /** Whether no other SUBSCRIBE was under way when the last one failed. */
  alone: boolean;
  /** How many messages had come when it was refused. */
  receivedBefore: number;
  /** For the RECEIPT of the SUBSCRIBE. */
  established: Promise<Frame> | undefined;
  /** Since the broker has refused it, and until it is made. */
  refusal: SubscribeRetry | undefined;
}

/** How many refusals in a row end a subscription that was made before. */
const REFUSALS = 5;

const DONE: Promise<void> = Promise.resolve();

/** The prefetch where nothing is said of it: as many messages as the queue of a subscription takes before it is full. */
const USUAL_PREFETCH = 1024;

/** A SUBSCRIBE that an ERROR may have been about this often is refused. */
const MAX_DOUBTS = 2;

/** All subscriptions of one client. */
export class SubscriptionRegistry implements SubscriptionOwner {
  readonly #owner: SubscriptionsOwner;
  readonly #entries = new Map<string, Entry>();
  readonly #acknowledgements: Acknowledgements;
  readonly #refusals: SubscribeRetries;
  #backlog: Backlog | undefined; // since there was a subscription
  #count = 0;

  /** Begins with none. */
  constructor(reconnector: Reconnector, transactions: Transactions, status: StatusHub, timeout: number) {
    const owner = this.#owner = {
      reconnector,
      timeout,
      transaction: (reference, what) => transactions.find(reference, what),
      onSlow: ({ id, destination, queued }, blocked) => {
        status.emit({ type: "slow-consumer", subscription: id, destination, queued, blocked });
      },
    };
    this.#acknowledgements = new Acknowledgements(owner);
    this.#refusals = new SubscribeRetries(reconnector);
  }

  /** The destination of the first subscription that a conf has made. */
  get firstByConf(): string | undefined {
    for (const { byConf, subscription } of this.#entries.values()) if (byConf) return subscription.destination;
    return undefined;
  }

  /** What the client has refused. */
  get refusedMessages(): RefusedMessages {
    return this.#acknowledgements.refused;
  }

  /** The subscription of that id, or the first one of that destination that a conf has made. */
  find(id: string | undefined, destination: string | undefined): Subscription | undefined {
    if (id !== undefined) return this.#entries.get(id)?.subscription;
    for (const { byConf, subscription } of this.#entries.values()) {
      if (byConf && subscription.destination === destination) return subscription;
    }
    return undefined;
  }

  /** All of them. */
  list(): Subscription[] {
    return [...this.#entries.values()].map((entry) => entry.subscription);
  }

  /** Subscribes; with `inbox`, the messages go there. Resolves when a broker has confirmed. */
  async subscribe(
    destination: string,
    options: TunedSubscribeOptions,
    inbox?: BoundedQueue<Message>,
  ): Promise<Subscription> {
    checkSubscribe(destination, options);
    const what = `subscribe to ${destination}`;
    const { reconnector, timeout } = this.#owner;
    const left = beginSteps(options, timeout);
    const ack = readAckMode(options.ack);
    reconnector.check(what);
    const id = options.id ?? options.durable ?? this.#freeId();
    if (this.#entries.has(id)) throw new SubscriptionError(`Cannot ${what}: the id ${id} is in use`);
    const subscription = new Subscription(this, {
      id,
      destination,
      ack,
      items: options.maxQueuedMessages,
      bytes: options.maxQueuedBytes,
      inbox,
    });
    const entry: Entry = {
      subscription,
      options: { ...options, headers: toHeaders(options.headers) },
      byConf: inbox !== undefined,
      giveUp: undefined,
      made: false,
      session: undefined,
      alone: false,
      receivedBefore: 0,
      established: undefined,
      refusal: undefined,
    };
    this.#entries.set(id, entry);
    let outage: StompError | undefined;
    try {
      for (let doubts = 0;;) {
        const session = await reconnector.ready(what, left());
        try {
          await within(this.#establish(entry, session), left(), `the receipt of SUBSCRIBE to ${destination}`);
          entry.made = true;
          entry.refusal = undefined;
          return subscription;
        } catch (error) {
          if (reconnector.closed) throw error;
          // Lost with its connection: the next one makes it anew. So it does where another frame may be to blame.
          if (isLoss(error, session)) {
            if (isInDoubt(error) && ++doubts === MAX_DOUBTS) throw error;
            continue;
          }
          if (!isOutage(error)) throw error;
          outage = error as BrokerErrorResponse;
        }
        const waited = Promise.withResolvers<void>();
        if (!this.#sayLater(entry, waited.resolve)) throw outage;
        await within(waited.promise, left(), `the broker to ${what}`);
      }
    } catch (cause) {
      const error = outage && cause instanceof TimeoutError
        ? new TimeoutError(cause.message, { cause: outage })
        : cause;
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
      entry.giveUp?.abort(); // the broker may still do it
      subscription.end(undefined);
      throw error;
    }
  }

  /** The RECEIPT of a subscription's SUBSCRIBE. */
  receiptOf(subscription: Subscription): Promise<Frame | undefined> {
    return this.#entries.get(subscription.id)?.established ?? Promise.resolve(undefined);
  }

  /** Makes all of them on a new connection. */
  open(session: Session): void {
    if (this.#backlog?.full) session.gate.close(this.#backlog, true);
    for (const entry of this.#entries.values()) {
      if (entry.refusal && entry.made) this.#sayAlone(entry);
      else if (!entry.refusal?.waits) this.#make(entry, session);
    }
  }

  /** The connection is gone. */
  lost(): void {
    for (const { subscription } of this.#entries.values()) subscription.leave();
  }

  /** The client is closed. */
  end(reason: StompError | undefined): void {
    this.#refusals.end();
    for (const { subscription } of this.#entries.values()) subscription.end(reason);
    this.#entries.clear();
  }

  /** Sends ACK or NACK for a message of one of the subscriptions. */
  acknowledge(
    subscription: Subscription,
    command: "ACK" | "NACK",
    message: Message,
    options: AcknowledgeOptions,
  ): Promise<boolean> {
    const isCurrent = this.#entries.get(subscription.id)?.subscription === subscription;
    try {
      return this.#acknowledgements.send(subscription, isCurrent, command, message, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Sends UNSUBSCRIBE. What it throws at once has ended nothing. */
  unsubscribe(
    subscription: Subscription,
    { deleteDurable, headers: given, ...wait }: UnsubscribeOptions,
  ): Promise<void> {
    checkWait(wait);
    const headers = toHeaders(given);
    const entry = this.#entries.get(subscription.id);
    if (entry?.subscription !== subscription) return DONE;
    const { session, options: { durable } } = entry;
    const { id, destination } = subscription;
    if (deleteDurable && durable === undefined) {
      throw new TypeError(`Cannot delete the subscription to ${destination}: it is not durable`);
    }
    if (!session?.isOpen) {
      if (deleteDurable) {
        throw new NotConnectedError(`Cannot delete the subscription to ${destination}: there is no connection`);
      }
      this.#entries.delete(id);
      return DONE;
    }
    const { dialect } = session;
    const deleted = deleteDurable ? deleteDurableHeaders({ name: durable!, destination }, dialect) : {};
    const named = unsubscribeHeaders(subscription, session.version);
    const atOnce = deleteDurable && dialect.deletesActiveDurable;
    const left = beginSteps(wait, this.#owner.timeout);
    const frame = unsubscribeFrame({ ...named, ...(atOnce && deleted), ...headers });
    const first = session.subscriptions.unsubscribe(subscription, frame, left, !atOnce); // what is deleted has no other consumer
    this.#entries.delete(id);
    const all = deleteDurable && !atOnce
      ? first.then(() => session.request(unsubscribeFrame({ ...named, ...deleted, ...headers }), left()))
      : first;
    return all.then(nothing, (error) => {
      if (!isLoss(error, session) || deleteDurable) throw error; // lost, it is over in any case
    });
  }

  /** Forgets about a subscription that was ended by hand, or by the broker. */
  dismiss(subscription: Subscription, error?: StompError): void {
    const entry = this.#entries.get(subscription.id);
    if (entry?.subscription !== subscription) return;
    this.#entries.delete(subscription.id);
    entry.session?.subscriptions.forget(subscription);
    subscription.end(error);
  }

  /** Counts what waits in the queues of all subscriptions. */
  get backlog(): Backlog {
    return this.#backlog ??= new Backlog((full, message) => {
      const { session } = this.#owner.reconnector;
      if (full) session?.gate.close(this.backlog, true);
      else session?.gate.open(this.backlog);
      if (message) this.#owner.onSlow((message as Message).subscription as Subscription, true);
    });
  }

  /** Stops reading while a queue is full. */
  onFill(subscription: Subscription, fill: QueueFill, news: Message | undefined): void {
    const { session } = this.#owner.reconnector;
    if (fill === "room") session?.gate.open(subscription);
    else session?.gate.close(subscription, fill === "blocked");
    if (news) this.#owner.onSlow(subscription, fill === "blocked");
  }

  /** Makes a subscription on a connection, once. */
  #establish(entry: Entry, session: Session): Promise<Frame> {
    if (entry.session !== session || entry.established === undefined) {
      entry.session = session;
      entry.established = this.#request(entry, session);
      entry.established.catch(() => {}); // whoever waits is told
    }
    return entry.established;
  }

  async #request(entry: Entry, session: Session): Promise<Frame> {
    const { subscription, options } = entry;
    const { id, destination, ackMode } = subscription;
    const { dialect } = session;
    checkAckMode(ackMode, session.version, destination);
    const oneByOne = ackMode === "client" && !dialect.hasCumulativeAck; // in 1.0, too
    const countsPrefetch = ackMode !== "auto" && hasPrefetch(dialect);
    // Without one, RabbitMQ sends all it has, and reading stops at the limits of the queue even for awaited answers.
    const usual = options.usualPrefetch ?? options.maxQueuedMessages ?? USUAL_PREFETCH;
    const prefetch = options.prefetch ?? (countsPrefetch && Number.isInteger(usual) ? usual : undefined);
    const frame = new Frame().buildFrame({
      command: "SUBSCRIBE",
      headers: {
        id,
        destination,
        ack: oneByOne ? "client-individual" : ackMode,
        ...subscribeHeaders({ ...options, prefetch, clientId: session.clientId }, dialect),
        ...options.headers,
      },
    });
    subscription.enter(session.epoch, { oneByOne, keepsUnsettled: dialect.requeueDestination !== undefined });
    // The queue that subscriptions by conf share is its client's to hold for.
    if (subscription.full && !entry.byConf) session.gate.close(subscription, subscription.blocked);
    const giveUp = entry.giveUp = new AbortController();
    const answered = this.#refusals.asked();
    try {
      // However long it takes: who waits for it has a deadline, and who waits for messages needs none.
      return await session.subscriptions.subscribe(subscription, frame, { signal: giveUp.signal, timeout: Infinity });
    } finally {
      entry.alone = answered();
      if (entry.giveUp === giveUp) entry.giveUp = undefined;
    }
  }

  /** Makes a subscription on a connection, or sees to what becomes of it. Never rejects. */
  #make(entry: Entry, session: Session): Promise<void> {
    return this.#establish(entry, session).then(
      () => void (entry.refusal = undefined),
      (error) => this.#onRefused(entry, session, error),
    );
  }

  /** Not made anew: it is tried a few times more, and where the broker speaks of an outage as long as `reconnect` has it. */
  #onRefused(entry: Entry, session: Session, error: StompError): void {
    const { subscription } = entry;
    if (!entry.made || this.#entries.get(subscription.id) !== entry || entry.session !== session) return;
    if (isLoss(error, session) && !isInDoubt(error)) return; // the next connection is another chance
    // An ERROR that names no frame may have been about another one, and the SUBSCRIBE have been taken.
    const isVague = error instanceof BrokerErrorResponse && error.frame!.headers["receipt-id"] === undefined;
    const isFinal = !isOutage(error) && (entry.alone || !isVague);
    if (error instanceof BrokerErrorResponse && this.#sayLater(entry, () => this.#sayAlone(entry), isFinal)) {
      if (isVague && session.isOpen) session.subscriptions.expect(subscription);
      else entry.session = undefined;
      return;
    }
    this.#entries.delete(subscription.id);
    session.subscriptions.forget(subscription);
    subscription.end(error);
  }

  /** Has a refused SUBSCRIBE said again in a while. Returns whether it will be. */
  #sayLater(entry: Entry, say: () => void, isFinal = false): boolean {
    entry.established = undefined;
    entry.receivedBefore = entry.subscription.received;
    entry.refusal ??= this.#refusals.begin(!entry.made);
    if (isFinal) entry.refusal.count++;
    return entry.refusal.count < REFUSALS && this.#refusals.later(entry.refusal, say);
  }

  /** Says a refused SUBSCRIBE again while no other one is under way: an ERROR that comes then is about this one. */
  #sayAlone(entry: Entry): void {
    this.#refusals.inTurn(() => {
      const { session } = this.#owner.reconnector;
      const { refusal, subscription, established } = entry;
      if (session === undefined || refusal?.waits !== false || this.#entries.get(subscription.id) !== entry) return;
      if (entry.session === session) {
        if (established !== undefined) return; // its answer is awaited
        if (subscription.received > entry.receivedBefore) return void (entry.refusal = undefined); // made all the same
        session.subscriptions.forget(subscription);
      }
      return this.#make(entry, session);
    });
  }

  #freeId(): string {
    let id: string;
    do id = `${OWN_ID}${++this.#count}`; while (this.#entries.has(id));
    return id;
  }
}

function unsubscribeFrame(headers: Record<string, string>): Frame {
  return new Frame().buildFrame({ command: "UNSUBSCRIBE", headers });
}

function nothing(): void {}
