/**
 * `ClientCore`: the parts of a client, in the order in which they build on each other, and what they do when the
 * connection opens, breaks, or ends for good. `Shutdown`: how a client ends gracefully.
 *
 * @module
 */
import {
  beginSteps,
  checkWaitOptions,
  type Clock,
  onGiveUp,
  type StepOptions,
  type WaitOptions,
  within,
} from "../base/timers.ts";
import { NotConnectedError, type StompError } from "../base/errors.ts";
import type { Declarations } from "../dialects/queue.ts";
import type { Session } from "../session/session.ts";
import type { BrokerUrl, BrokerUrlSource } from "../client/connection_options.ts";
import { addressesOf, Dialer } from "../client/dialer.ts";
import type { Message } from "../client/message.ts";
import type { StompOptions } from "../client/options.ts";
import { Outbox } from "../client/outbox.ts";
import { Reconnector, type ReconnectorEvents } from "../client/reconnector.ts";
import { UnclaimedMessages } from "../work/unclaimed.ts";
import { PendingRequests, type Reply } from "../work/request_reply.ts";
import { Sender } from "../client/sender.ts";
import { type Status, StatusHub } from "../client/status.ts";
import { StompyApi } from "./stompy_api.ts";
import { accessForWorker, type Subscription } from "../client/subscription.ts";
import { SubscriptionRegistry } from "../client/subscription_registry.ts";
import { Transactions } from "../client/transaction_registry.ts";
import { createStream, type Stream } from "../work/stream.ts";
import type { StreamOptions } from "../work/stream_options.ts";
import { checkConsume, type ConsumeOptions, forWorker, type MessageHandler, Worker } from "../work/worker.ts";

/** What a client connects to: URLs, or a function that returns them for each attempt. */
export type Target = BrokerUrl | BrokerUrlSource;

/** Milliseconds that a shutdown may take, where the call says nothing else. */
const SHUTDOWN_TIMEOUT_MS = 10_000;

/**
 * Drains the subscriptions if asked to, waits until all sends are confirmed, and disconnects. A step that fails or takes
 * too long does not prevent the next one.
 */
export class Shutdown {
  readonly #subscriptions: SubscriptionRegistry;
  readonly #outbox: Outbox;
  readonly #reconnector: Reconnector;
  #abort: AbortController | undefined; // since it has begun; ends the wait of each step
  #ending: Promise<void> | undefined;

  /** Creates a shutdown that has not begun. */
  constructor(subscriptions: SubscriptionRegistry, outbox: Outbox, reconnector: Reconnector) {
    this.#subscriptions = subscriptions;
    this.#outbox = outbox;
    this.#reconnector = reconnector;
  }

  /**
   * Starts ending the client. A second call can only make it end sooner: when its time is over, when its signal aborts,
   * and at once where the first one drains and this one does not.
   *
   * @throws {TypeError} when the signal is invalid, and {RangeError} when the timeout is. Nothing has begun then.
   */
  begin(drains: boolean, headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    const { signal, timeout = SHUTDOWN_TIMEOUT_MS } = wait;
    checkWaitOptions(wait);
    if (!this.#ending) return this.#ending = this.#end(drains, headers, { signal, timeout });
    if (!drains) this.#abortDrain();
    else this.#drain({ signal, timeout }); // so that a worker knows which handler has called it
    const stop = this.#abortAfter({ signal, timeout });
    return this.#ending.finally(stop);
  }

  async #end(drains: boolean, headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    const { signal } = this.#abort = new AbortController();
    const steps = beginSteps({ timeout: wait.timeout }, Infinity, this.#reconnector.clock);
    const stop = this.#abortAfter({ signal: wait.signal });
    const left = () => ({ ...steps(), signal });
    if (drains) await this.#drain(left());
    this.#reconnector.leave();
    await within(this.#outbox.idle(), left(), "the messages that are not confirmed").catch(() => {});
    await this.#reconnector.disconnect(headers, left());
    stop();
  }

  /** Lets the consumers finish. Never rejects. */
  async #drain(wait: StepOptions): Promise<void> {
    await Promise.all(this.#subscriptions.list().map((one) => one.drain(wait).catch(() => {})));
  }

  /** Ends the subscriptions that drain, at once. */
  #abortDrain(): void {
    for (const subscription of this.#subscriptions.list()) subscription.unsubscribe().catch(() => {});
  }

  #abortAfter(wait: WaitOptions): () => void {
    return onGiveUp({ ...wait, clock: this.#reconnector.clock }, "the end", () => this.#abort!.abort());
  }
}

/** The parts of one client. */
export class ClientCore implements ReconnectorEvents {
  /** Opens sessions. */
  readonly dialer: Dialer;
  /** The queues that the client has declared. */
  readonly declarations: Declarations;
  /** Keeps a session open. */
  readonly reconnector: Reconnector;
  /** Emits lifecycle events. */
  readonly status: StatusHub = new StatusHub();
  /** Keeps unconfirmed messages. */
  readonly outbox: Outbox;
  /** Sends messages. */
  readonly sender: Sender;
  /** Keeps open transactions. */
  readonly transactions: Transactions;
  /** Keeps subscriptions. */
  readonly subscriptions: SubscriptionRegistry;
  /** Keeps requests that wait for their replies. */
  readonly requests: PendingRequests;
  /** The calls that work as in stompy. */
  readonly stompy: StompyApi;
  /** Ends the client gracefully. */
  readonly shutdown: Shutdown;
  /** Resolves when the client is closed for good: to the error that ended it, or to `undefined`. Never rejects. */
  readonly closed: Promise<StompError | undefined>;
  /** Gets the messages that no subscription asked for. */
  readonly onUnclaimed: ReconnectorEvents["onUnclaimed"];
  #resolveClosed!: (error: StompError | undefined) => void;

  /**
   * Creates the parts of a client. Nothing is connected yet.
   *
   * @throws {TypeError} when the target or an option is invalid; a `RangeError` when a number is out of its range.
   */
  constructor(target: Target, port: number | undefined, options: StompOptions, clock: Clock) {
    const addresses = typeof target === "function"
      ? target
      : addressesOf(target, port, options.transport !== undefined);
    const dialer = this.dialer = new Dialer(addresses, options, clock);
    const { timeout } = dialer;
    this.declarations = dialer.declarations;
    const { status } = this;
    const reconnector = this.reconnector = new Reconnector(dialer, options.reconnect ?? {}, this, clock);
    const outbox = this.outbox = new Outbox(options.outbox ?? {}, timeout, reconnector, status, clock);
    const sender = this.sender = new Sender(reconnector, outbox, options.contentLength ?? true);
    const transactions = this.transactions = new Transactions(reconnector, sender, timeout);
    const subscriptions = new SubscriptionRegistry(reconnector, transactions, status, timeout);
    this.subscriptions = subscriptions;
    const { onUnclaimedMessage } = options;
    if (onUnclaimedMessage !== undefined) {
      const unclaimed = new UnclaimedMessages(onUnclaimedMessage, transactions, status);
      this.onUnclaimed = (session, message) => unclaimed.deliver(session, message as Message);
    }
    this.requests = new PendingRequests(reconnector, sender, timeout);
    this.stompy = new StompyApi(reconnector, sender, transactions, subscriptions, timeout);
    this.shutdown = new Shutdown(subscriptions, outbox, reconnector);
    this.closed = new Promise((resolve) => this.#resolveClosed = resolve);
  }

  /** Remembers what the queue of a destination is made of. Throws as {@linkcode Declarations.prototype.declare}. */
  declare(destination: string, queue: unknown): void {
    if (this.declarations.declare(destination, queue)) this.reconnector.session?.sender.declareAgain();
  }

  /** Returns a stream that is read on demand. */
  stream(destination: string, options: StreamOptions): Stream {
    const { reconnector, subscriptions, declarations } = this;
    const declare = (name: string, queue: unknown) => this.declare(name, queue);
    const { timeout } = this.dialer;
    return createStream({ reconnector, subscriptions, declarations, declare, timeout }, destination, options);
  }

  /** Runs a handler for each message of a destination. Resolves when the loop has ended. */
  async consume(destination: string, handler: MessageHandler, options: ConsumeOptions): Promise<void> {
    const checked = checkConsume("consume", handler, options);
    if (options.signal?.aborted) return; // over before it began
    let subscription: Subscription;
    try {
      subscription = await this.subscriptions.subscribe(destination, forWorker(checked));
    } catch (error) {
      if (options.signal?.aborted && error === options.signal.reason) return;
      throw error;
    }
    await new Worker(subscription, handler, checked).run();
  }

  /** Answers requests with what a handler returns. Resolves when the broker has confirmed the subscription. */
  async respond(
    destination: string,
    handler: (request: Message) => Reply | Promise<Reply>,
    options: ConsumeOptions,
  ): Promise<Subscription> {
    const checked = checkConsume("respond", handler, options);
    const subscription = await this.subscriptions.subscribe(destination, forWorker(checked));
    const { requests } = this;
    const work = async (request: Message) => await requests.answer(request, await handler(request));
    const answerError = (request: Message, error: unknown) => requests.answerError(request, error);
    const worker = new Worker(subscription, work, checked, answerError);
    worker.run().catch(() => {}); // `closed` of the subscription has the error
    return subscription;
  }

  /** Subscribes on a new session, then sends what is not confirmed, so that a reply finds its subscription. */
  onOpen(session: Session): void {
    this.subscriptions.open(session);
    this.stompy.open(session);
    this.outbox.flush();
  }

  /** Fails what does not outlive a session. */
  onLost(reason: StompError): void {
    this.requests.failAll(reason);
    this.transactions.clear();
    this.subscriptions.lost();
  }

  /** Hands out no more messages, and waits until those handed out are acknowledged. Never rejects. */
  async onReplacing(_session: Session, wait: StepOptions): Promise<void> {
    const consumers = this.subscriptions.list().map((one) => accessForWorker(one).consumer);
    for (const consumer of consumers) consumer.hold();
    const settled = Promise.all(consumers.map(({ tracker }) => tracker?.whenSettled()));
    await within(settled, wait, "the messages that are being handled").catch(() => {});
  }

  /** Waits until the broker has answered everything on a session. Never rejects. */
  async onHandingOver(session: Session, left: () => StepOptions): Promise<void> {
    const consumers = this.subscriptions.list().map((one) => accessForWorker(one).consumer);
    const steps = [
      this.transactions.whenIdle(),
      this.requests.whenIdle(),
      ...consumers.map((one) => one.leave(left).catch(() => {})),
    ];
    if (!this.subscriptions.backlog.full) session.gate.openAll();
    await within(Promise.all(steps), left(), "what is under way").catch(() => {});
    await within(session.whenConfirmed(), left(), "what is not confirmed").catch(() => {});
  }

  /** Fails everything that waits. */
  onClosed(reason: StompError | undefined): void {
    const error = reason ?? new NotConnectedError("the client is closed");
    this.requests.failAll(error);
    this.transactions.clear();
    this.subscriptions.end(reason);
    this.stompy.end(reason);
    this.outbox.failAll(error);
  }

  /** Resolves `closed`. */
  onEnded(reason: StompError | undefined): void {
    this.#resolveClosed(reason);
  }

  /** Emits a status. */
  onStatus(status: Status): void {
    // An ERROR that names no frame may be about any request.
    const isVague = status.type === "error" && status.error.frame?.headers["receipt-id"] === undefined;
    if (isVague) this.requests.failAll(status.error);
    this.status.emit(status);
  }
}
