/**
 * `Subscription`: the messages of one destination, for as long as its client lives.
 *
 * @module
 */
import type { AckMode } from "../codec/protocol.ts";
import { beginSteps, checkWaitOptions, type ReadOptions, type WaitOptions, within } from "../base/timers.ts";
import { rejection, type StompError, SubscriptionError, TimeoutError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { BoundedQueue, type Meter, type QueueFill, type QueueLimits } from "../base/bounded_queue.ts";
import type { AcknowledgeOptions, Acknowledger, Message } from "./message.ts";
import { type AcknowledgingBroker, AckTracker, type RefusedMessages } from "./ack_tracker.ts";
import type { UnsubscribeOptions } from "./options.ts";
import type { MessageSink } from "../session/dispatcher.ts";

/** What a subscription needs of its client. */
export interface SubscriptionOwner {
  /** Sends ACK or NACK for a message of this subscription. Resolves to whether it was written. */
  acknowledge(
    subscription: Subscription,
    command: "ACK" | "NACK",
    message: Message,
    options: AcknowledgeOptions,
  ): Promise<boolean>;
  /** What its client has refused. */
  readonly refusedMessages: RefusedMessages;
  /**
   * Sends UNSUBSCRIBE. Never rejects for want of a connection: there is nothing to end then. What it throws at once has
   * ended nothing.
   */
  unsubscribe(subscription: Subscription, options: UnsubscribeOptions): Promise<void>;
  /** Forgets about a subscription that was ended otherwise. */
  dismiss(subscription: Subscription, error: StompError): void;
  /** Counts what waits in the queues of all subscriptions. */
  readonly backlog: Meter<Message>;
  /** The subscription's queue is full, or has room again, as an {@linkcode BoundedQueue} tells. */
  onFill(subscription: Subscription, fill: QueueFill, news: Message | undefined): void;
}

/** What a subscription is made of. */
export interface SubscriptionDetails extends QueueLimits {
  /** The id in SUBSCRIBE. */
  id: string;
  /** The destination. */
  destination: string;
  /** How messages are acknowledged. */
  ack: AckMode;
  /** Where the messages go, if not into the subscription's own queue. */
  inbox?: BoundedQueue<Message> | undefined;
}

/** Milliseconds that an ending may take, where the call says nothing else. */
const END_TIMEOUT = 10_000;

/** What the worker loop knows of a subscription, and nobody else. */
export interface WorkerAccess {
  ending(): AbortSignal; // aborts when the subscription begins to end, however that comes about
  lost(message: Message): AbortSignal; // aborts when the connection of the message is gone
  drains(): number; // how often `drain` was called
  letGo(message: Message): void; // nobody is going to settle the message
  hurry(): void; // a drain does not wait for the queue to be emptied
}

/** Gives the worker loop what it needs of a subscription. */
export let accessForWorker: (subscription: Subscription) => WorkerAccess;

/**
 * A subscription. Iterate it, or read its `readable`; leaving a `for await` loop unsubscribes.
 */
export class Subscription implements AsyncIterableIterator<Message>, AsyncDisposable, Acknowledger, MessageSink {
  /** The id. */
  readonly id: string;
  /** The destination. */
  readonly destination: string;
  /** How messages are acknowledged. */
  readonly ackMode: AckMode;

  // What a message touches comes first: with thousands of subscriptions that lets one load from memory do.
  readonly #inbox: BoundedQueue<Message>;
  #settle: ((result: IteratorResult<Message, undefined> | Promise<never>) => void) | undefined; // of `next`, if it waits
  #epoch = 0; // of the connection; 0 while there is none
  #received = 0;
  #ignoring = false; // messages that still come are not wanted
  #unwanted: Message[] = []; // what was not taken, for others
  /** @internal What was said of its messages; in mode `auto` there is nothing to say. */
  readonly settlement: AckTracker | undefined;
  readonly #owner: SubscriptionOwner;
  readonly #shared: boolean;
  #hurried: PromiseWithResolvers<void> | undefined; // a drain has no time any more
  #drains = 0; // calls of `drain`
  #endingSoon: AbortController | undefined; // for a worker, as the next one
  #connection: AbortController | undefined;
  #closed: PromiseWithResolvers<StompError | undefined> | undefined;
  #ending: Promise<void> | undefined;
  #over = false;
  #reason: StompError | undefined;
  #readable: ReadableStream<Message> | undefined;

  static {
    accessForWorker = (subscription) => ({
      ending: () => subscription.#endSignal(),
      lost: (message) => subscription.#lostSignal(message),
      drains: () => subscription.#drains,
      letGo: (message) => subscription.settlement?.letGo(message),
      hurry: () => subscription.#hurried?.resolve(),
    });
  }

  /** Made by `Stomp.subscribe`. */
  constructor(owner: SubscriptionOwner, details: SubscriptionDetails) {
    this.id = details.id;
    this.destination = details.destination;
    this.ackMode = details.ack;
    this.#owner = owner;
    this.settlement = details.ack === "auto" ? undefined : new AckTracker(details.ack);
    this.#shared = details.inbox !== undefined;
    this.#inbox = details.inbox ?? new BoundedQueue(owner.backlog, (...told) => owner.onFill(this, ...told), details);
  }

  /** Resolves when the subscription is over: to the error that ended it, or `undefined`. Never rejects. */
  get closed(): Promise<StompError | undefined> {
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers();
      if (this.#over) this.#closed.resolve(this.#reason);
    }
    return this.#closed.promise;
  }

  /** Messages received so far. */
  get received(): number {
    return this.#received;
  }

  /** Messages for which ACK or NACK was sent; in mode `client` one stands for all before it. */
  get acknowledged(): number {
    return this.settlement?.count ?? 0;
  }

  /**
   * Acknowledgements that came too late, because the connection of their message was gone: `ack` and `nack` resolved to
   * `false`, and the broker delivers these messages again.
   */
  get stale(): number {
    return this.settlement?.stale ?? 0;
  }

  /** Messages that were received and wait to be taken. */
  get queued(): number {
    return this.#inbox.length;
  }

  /** Whether the queue is full, so that reading goes on for awaited answers only. */
  get full(): boolean {
    return this.#inbox.fill !== "room";
  }

  /** Whether so much waits that nothing at all is read. */
  get blocked(): boolean {
    return this.#inbox.fill === "blocked";
  }

  /** The messages as a stream. Cancelling it unsubscribes. Use it or the iterator, not both. */
  get readable(): ReadableStream<Message> {
    return this.#readable ??= new ReadableStream<Message>({
      pull: async (controller) => {
        const message = await this.take();
        if (message) controller.enqueue(message);
        else controller.close();
      },
      cancel: () => this.unsubscribe(),
    }, { highWaterMark: 0 });
  }

  /** The next message; `undefined` when the subscription is over, and with `nb` when none is waiting. */
  take(options: ReadOptions = {}): Promise<Message | undefined> {
    return this.#inbox.take(options, `a message from ${this.destination}`, (message) => this.taken(message));
  }

  /** The next message, for `for await`. */
  next(): Promise<IteratorResult<Message, undefined>> {
    // The common case under load: one promise for a message, and nothing else.
    const value = this.#inbox.takeNow();
    if (value !== undefined) {
      this.taken(value);
      return Promise.resolve({ done: false, value });
    }
    if (this.#settle !== undefined) {
      // Who calls `next` without awaiting the last one; settled as directly as that, or a later one could overtake it.
      return new Promise((resolve, reject) => {
        const onItem = (item: Message | undefined) => (item && this.taken(item), resolve(toResult(item)));
        this.#inbox.wait({ onItem, onError: reject });
      });
    }
    // Of a promise that waits only what resolves it is kept: with ten thousand of them the collector of memory passes by
    // all of them again and again.
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#inbox.wait(this);
    });
  }

  /** Ends the iteration: unsubscribes. */
  async return(): Promise<IteratorResult<Message, undefined>> {
    await this.unsubscribe();
    return { done: true, value: undefined };
  }

  /** The subscription is its own iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Ends the subscription at once, also where it drains. Messages that were not taken are dropped: the broker delivers
   * those again that were to be acknowledged. Idempotent.
   *
   * @throws what keeps it from being ended, and then it goes on: a signal that has aborted already, an option that the
   * broker does not know.
   */
  unsubscribe(options: UnsubscribeOptions = {}): Promise<void> {
    if (this.#over) return this.#ending ?? Promise.resolve();
    if (this.#ending) {
      this.#ignore();
      this.#hurried?.resolve();
      return this.#ending;
    }
    try {
      return this.#begin(
        this.#leave(this.#owner.unsubscribe(this, options)),
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Ends the subscription in order, so that nothing is done twice or not at all. Idempotent.
   *
   * In mode `auto` it unsubscribes, lets the messages that wait be taken, and then ends the iteration. In the other
   * modes the iteration ends at once, because a message cannot be acknowledged once its subscription is gone: the
   * messages that were taken may still be acknowledged, and when all were, it unsubscribes. The broker delivers those
   * that were not taken to somebody else. Messages of a transaction that was aborted or has failed are not waited for.
   *
   * A handler of `consume` or `respond` may call it: its own message is not waited for when it calls before its first
   * `await`. Later than that it has to acknowledge the message first, or the drain takes its whole timeout.
   *
   * @param options `timeout`: milliseconds after which it unsubscribes all the same. Default 10,000. So it does when
   * the signal aborts.
   */
  drain(options: WaitOptions = {}): Promise<void> {
    try {
      checkWaitOptions(options);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#drains++;
    if (this.#over) return this.#ending ?? Promise.resolve();
    return this.#ending ?? this.#begin(this.#drain(options));
  }

  /** Unsubscribes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  /** Sends ACK or NACK for one of its messages; `message.ack()` is the short form. */
  acknowledge(command: "ACK" | "NACK", message: Message, options: AcknowledgeOptions = {}): Promise<boolean> {
    return this.#owner.acknowledge(this, command, message, options);
  }

  /** How often a message was delivered; `message.attempts` is the short form. */
  attempts(message: Message): number {
    return this.#owner.refusedMessages.attempts(message);
  }

  // What follows is for the client.

  /** @internal Takes a message off the socket. */
  deliver(frame: Frame): void {
    const message = frame as Message;
    message.cameBy(this, this.#epoch, ++this.#received);
    if (this.#ignoring || this.#over) return void this.#unwanted.push(message);
    this.#inbox.put(message);
  }

  /** @internal Takes the messages that are not settled. */
  get takeUnsettled(): (() => Frame[]) | undefined {
    return this.settlement && (() => this.#takeAllUnsettled());
  }

  /** @internal The broker has ended the subscription by itself. */
  cancelled(cause: StompError): void {
    const message = `Cannot receive from ${this.destination}: the broker has cancelled the subscription`;
    this.#owner.dismiss(this, new SubscriptionError(message, { cause, frame: cause.frame }));
  }

  /** @internal The message that `next` waits for; `undefined` when there will be none. */
  onItem(message: Message | undefined): void {
    const settle = this.#settle!;
    this.#settle = undefined;
    if (message !== undefined) this.taken(message);
    settle(toResult(message));
  }

  /** @internal There will be none for `next`, because of that. */
  onError(error: unknown): void {
    const settle = this.#settle!;
    this.#settle = undefined;
    settle(rejection(error));
  }

  /** @internal Notes that a message was taken. */
  taken(message: Message): void {
    if (message.epoch !== this.#epoch) return; // its connection is gone: nothing can be said of it any more
    this.settlement?.taken(message);
  }

  /** @internal The connection is gone: the broker will send again what is queued, but not in mode `auto`. */
  leave(): void {
    this.#epoch = 0;
    this.#connection?.abort();
    this.#connection = undefined;
    if (this.ackMode !== "auto") this.#dropQueued();
    this.#unwanted = [];
    this.settlement?.forget();
  }

  /** @internal A new connection, and how its broker acknowledges. */
  enter(epoch: number, broker: AcknowledgingBroker): void {
    this.#epoch = epoch;
    this.settlement?.enter(broker);
  }

  /** @internal It is over. */
  end(error: StompError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#reason = error;
    if (!this.#shared) this.#inbox.end(error);
    this.#hurried?.resolve();
    this.#endingSoon?.abort();
    this.#closed?.resolve(error);
  }

  #begin(ending: Promise<void>): Promise<void> {
    this.#ending = ending;
    this.#endingSoon?.abort();
    return ending;
  }

  #endSignal(): AbortSignal {
    const ending = this.#endingSoon ??= new AbortController();
    if (this.#ending !== undefined || this.#over) ending.abort();
    return ending.signal;
  }

  #lostSignal({ epoch }: Message): AbortSignal {
    return epoch === this.#epoch ? (this.#connection ??= new AbortController()).signal : AbortSignal.abort();
  }

  /** Ends the iteration now, and the subscription when UNSUBSCRIBE was answered. */
  async #leave(said: Promise<void>): Promise<void> {
    this.#ignore();
    if (!this.#shared) this.#inbox.end();
    try {
      await said;
    } finally {
      this.end(undefined);
    }
  }

  async #drain({ signal, timeout = END_TIMEOUT }: WaitOptions): Promise<void> {
    const left = beginSteps({ timeout });
    // An ending has to end: it goes on when the time is over.
    const until = (done: Promise<void>, what: string) => within(done, { ...left(), signal }, what).catch(() => {});
    const hurried = this.#hurried = Promise.withResolvers<void>();
    const unlessHurried = (done: Promise<void>) => Promise.race([done, hurried.promise]);
    let refusal: unknown;
    const unsubscribe = async () => {
      if (this.#over) return;
      const said = this.#owner.unsubscribe(this, left());
      said.catch((error) => refusal = error);
      await until(said, "the receipt of UNSUBSCRIBE");
    };
    try {
      if (this.settlement === undefined) {
        // The broker holds what is under way for delivered, so it is taken along.
        await unsubscribe();
        if (!this.#shared) this.#inbox.end();
        await until(unlessHurried(this.#inbox.whenEmpty()), "its messages to be taken");
      } else {
        this.#ignore();
        if (!this.#shared) this.#inbox.end();
        await until(unlessHurried(this.settlement.whenSettled()), "its messages to be acknowledged");
        await unsubscribe();
      }
    } finally {
      this.end(undefined);
    }
    if (refusal !== undefined && !(refusal instanceof TimeoutError)) throw refusal;
  }

  /** Messages that wait, or that still come, are of no use any more. */
  #ignore(): void {
    this.#ignoring = true;
    this.#dropQueued();
  }

  /** The messages that others are to get: those that were not taken, and those that were and are not settled. */
  #takeAllUnsettled(): Frame[] {
    this.#ignore();
    const unwanted = this.#unwanted.splice(0).filter(({ epoch }) => epoch === this.#epoch);
    return [...this.settlement?.takeUnsettled() ?? [], ...unwanted];
  }

  #dropQueued(): void {
    this.#inbox.drop((message) => message.subscription === this && this.#unwanted.push(message) > 0);
  }
}

function toResult(value: Message | undefined): IteratorResult<Message, undefined> {
  return value === undefined ? { done: true, value } : { done: false, value };
}
