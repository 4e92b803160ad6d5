/**
 * `ClientCore`: the parts of a client, in the order in which they build on each other, and what they do when the
 * connection opens, breaks, or ends for good.
 *
 * @module
 */
import type { Clock } from "../base/timers.ts";
import { NotConnectedError, type StompError } from "../base/errors.ts";
import type { Session } from "../session/session.ts";
import { addressesOf, Dialer } from "./dialer.ts";
import type { Message } from "./message.ts";
import type { StompOptions } from "./options.ts";
import { Outbox } from "./outbox.ts";
import { Reconnector, type ReconnectorEvents } from "./reconnector.ts";
import { PendingRequests, type Reply } from "./request_reply.ts";
import { Sender } from "./sender.ts";
import { Shutdown } from "./shutdown.ts";
import { type Status, StatusHub } from "./status.ts";
import { StompyApi } from "./stompy_api.ts";
import type { Subscription } from "./subscription.ts";
import { SubscriptionRegistry } from "./subscription_registry.ts";
import { Transactions } from "./transaction.ts";
import { checkConsume, type ConsumeOptions, forWorker, type MessageHandler, Worker } from "./worker.ts";

/** What a client connects to: a URL, several, or `failover:(…)`. */
export type Target = string | URL | readonly (string | URL)[];

/** The parts of one client. */
export class ClientCore implements ReconnectorEvents {
  /** Opens sessions. */
  readonly dialer: Dialer;
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
  /** Does the calls that are as in stompy. */
  readonly stompy: StompyApi;
  /** Ends the client in order. */
  readonly shutdown: Shutdown;
  /** Resolves when the client is closed for good: to the error that ended it, or to `undefined`. Never rejects. */
  readonly closed: Promise<StompError | undefined>;
  #resolveClosed!: (error: StompError | undefined) => void;

  /**
   * Creates the parts of a client. Nothing is connected yet.
   *
   * @throws {TypeError} when the target or an option is invalid; a `RangeError` when a number is out of its range.
   */
  constructor(target: Target, port: number | undefined, options: StompOptions, clock: Clock) {
    const dialer = this.dialer = new Dialer(addressesOf(target, port), options, clock);
    const { timeout } = dialer;
    const { status } = this;
    const reconnector = this.reconnector = new Reconnector(dialer, options.reconnect ?? {}, this, clock);
    const outbox = this.outbox = new Outbox(options.outbox ?? {}, timeout, reconnector, status, clock);
    const sender = this.sender = new Sender(reconnector, outbox, options.contentLength ?? true);
    const transactions = this.transactions = new Transactions(reconnector, sender, timeout);
    const subscriptions = new SubscriptionRegistry(reconnector, transactions, status, timeout);
    this.subscriptions = subscriptions;
    this.requests = new PendingRequests(reconnector, sender, timeout);
    this.stompy = new StompyApi(reconnector, sender, transactions, subscriptions, status, timeout);
    this.shutdown = new Shutdown(subscriptions, outbox, reconnector);
    this.closed = new Promise((resolve) => this.#resolveClosed = resolve);
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
    await new Worker(subscription, handler, checked, this.subscriptions.refusedMessages).run();
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
    const worker = new Worker(subscription, work, checked, this.subscriptions.refusedMessages, answerError);
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
