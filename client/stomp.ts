/**
 * `Stomp`: the client. It keeps a session to the broker, and what must outlive one: subscriptions, and messages that
 * are not confirmed.
 *
 * @module
 */
import { readAckMode } from "../session/acknowledgement.ts";
import { sendRawFrame } from "./stompy_api.ts";
import { checkConsume, type ConsumeOptions, forWorker, type MessageHandler, Worker } from "./worker.ts";
import type { ReadOptions, WaitOptions } from "../base/timers.ts";
import { addressesOf, Dialer } from "./dialer.ts";
import { Shutdown } from "./shutdown.ts";
import { NotConnectedError, type StompError, SubscriptionError, traced } from "../base/errors.ts";
import { encodeHead } from "../codec/encoder.ts";
import type { Frame, FrameSocket } from "../codec/frame.ts";
import { BoundedQueue } from "../base/bounded_queue.ts";
import { setInspect } from "../base/inspect.ts";
import { Reconnector } from "./reconnector.ts";
import { consumerOf } from "./consumer.ts";
import { type AcknowledgeOptions, type Message, receivedMessage } from "./message.ts";
import { Outbox, type OutboxOwner } from "./outbox.ts";
import { PendingRequests, type Reply, type RequestOptions, type RequestOwner } from "./request_reply.ts";
import { NO_OPTIONS, Sender, type SenderOwner } from "./sender.ts";
import type { Session } from "../session/session.ts";
import { type Status, StatusHub } from "./status.ts";
import {
  type Conf,
  type ConnectOptions,
  type DestinationConf,
  type DisconnectOptions,
  readConf,
  type SendOptions,
  type StompOptions,
  type SubscribeOptions,
  type TransactionConf,
} from "./options.ts";
import type { Subscription } from "./subscription.ts";
import { SubscriptionRegistry } from "./subscription_registry.ts";
import { Transaction } from "./transaction.ts";
import { Transactions } from "./transaction_registry.ts";

/**
 * A STOMP client.
 *
 * ```ts
 * import { Stomp } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
 * await stomp.send("/queue/orders", "one");
 * for await (const message of await stomp.subscribe("/queue/orders", { ack: "client-individual" })) {
 *   console.log(message.text());
 *   await message.ack();
 *   break;
 * }
 * ```
 */
export class Stomp implements AsyncDisposable {
  /** Resolves when the client is closed for good: to the error that ended it, or `undefined`. Never rejects. */
  readonly closed: Promise<StompError | undefined>;

  readonly #dialer: Dialer;
  readonly #reconnector: Reconnector;
  readonly #outbox: Outbox;
  readonly #sender: Sender;
  readonly #status = new StatusHub();
  readonly #subscriptions: SubscriptionRegistry;
  readonly #transactions: Transactions;
  readonly #owner: SenderOwner & OutboxOwner & RequestOwner;
  // These are made when they are needed: there may be thousands of clients in one process.
  #madeRequests: PendingRequests | undefined;
  #madeFrames: BoundedQueue<Message> | undefined;
  #ending: Shutdown | undefined;
  #resolveClosed!: (error: StompError | undefined) => void;

  /**
   * Opens a client and connects it.
   *
   * @param target a URL, several, or `failover:(…)`
   * @param options those of the client; `signal` and `timeout` limit the connecting, too.
   * @throws {TypeError} when a URL makes no sense.
   * @throws {ConnectionError} when no connection can be made; a `ConnectionTimeoutError` when the time is over.
   * @throws {BrokerErrorResponse} when the broker refuses, for example for a wrong password.
   */
  static async connect(
    target: string | URL | readonly (string | URL)[],
    options: StompOptions & WaitOptions = {},
  ): Promise<Stomp> {
    const { signal, ...rest } = options;
    const stomp = new Stomp(target, rest);
    try {
      await stomp.connect({ signal, timeout: options.timeout || undefined });
    } catch (error) {
      stomp.#reconnector.close(undefined);
      throw error;
    }
    return stomp;
  }

  /** Creates a client for a host and a port, as stompy does. Nothing is connected before `connect`. */
  constructor(hostname: string, port?: number);
  /** Creates a client for a URL, several, or `failover:(…)`. Nothing is connected before `connect`. */
  constructor(target: string | URL | readonly (string | URL)[], options?: StompOptions);
  constructor(target: string | URL | readonly (string | URL)[], optionsOrPort: number | StompOptions = {}) {
    if (typeof optionsOrPort !== "number" && (typeof optionsOrPort !== "object" || optionsOrPort === null)) {
      throw new TypeError(
        `Cannot use the second argument: it is of type ${typeof optionsOrPort}, and has to be a port number or options`,
      );
    }
    const options = typeof optionsOrPort === "number" ? {} : optionsOrPort;
    const port = typeof optionsOrPort === "number" ? optionsOrPort : undefined;
    const dialer = this.#dialer = new Dialer(addressesOf(target, port), options);
    const { timeout } = dialer;
    const reconnector = this.#reconnector = new Reconnector(dialer, options.reconnect ?? {}, {
      onOpen: (session) => this.#onOpen(session),
      onLost: (reason) => this.#onLost(reason),
      onClosed: (reason) => this.#onClosed(reason),
      onEnded: (reason) => this.#resolveClosed(reason),
      onStatus: (status) => {
        // An ERROR that names no frame may be about any request.
        const isVague = status.type === "error" && status.error.frame?.headers["receipt-id"] === undefined;
        if (isVague) this.#madeRequests?.failAll(status.error);
        this.#status.emit(status);
      },
    });
    const { contentLength = true } = options;
    const owner = this.#owner = {
      reconnector,
      timeout,
      contentLength,
      send: (destination, body, options) => this.send(destination, body, options),
      onStalled: (pending) => this.#status.emit({ type: "stalled", pending }),
    };
    this.#outbox = new Outbox(options.outbox ?? {}, timeout, owner);
    this.#sender = new Sender(owner, this.#outbox);
    this.#transactions = new Transactions(reconnector, this.#sender, timeout);
    this.#subscriptions = new SubscriptionRegistry(reconnector, this.#transactions, this.#status, timeout);
    this.closed = new Promise((resolve) => this.#resolveClosed = resolve);
  }

  /** Whether a session is open right now. */
  get connected(): boolean {
    return this.#reconnector.session !== undefined;
  }

  /** The connection, for the verbs of `Frame`; `undefined` while there is none. */
  get sock(): FrameSocket | undefined {
    return this.#reconnector.session;
  }

  /** The version of the protocol that was agreed on; `undefined` while there is no connection. */
  get version(): string | undefined {
    return this.#reconnector.session?.version;
  }

  /** What the broker calls itself: the `server` header of CONNECTED. */
  get server(): string | undefined {
    return this.#reconnector.session?.connected["server"];
  }

  /** The destination that was subscribed to first by a conf, as in stompy; `undefined` when there is none. */
  get subscribed(): string | undefined {
    return this.#subscriptions.firstByConf;
  }

  /** How many messages were sent and are not confirmed. */
  get pending(): number {
    return this.#outbox.size;
  }

  /** What happens from now on: an iterator of its own for each call. */
  status(): AsyncIterableIterator<Status> {
    return this.#status.watch();
  }

  /** Connects, as a user. */
  connect(username: string, password?: string, clientId?: string): Promise<void>;
  /** Connects. */
  connect(options?: ConnectOptions): Promise<void>;
  async connect(first: string | ConnectOptions = {}, password?: string, clientId?: string): Promise<void> {
    const { signal, timeout, ...credentials }: ConnectOptions = typeof first === "string"
      ? { username: first, password, clientId }
      : first;
    this.#dialer.login(credentials);
    await traced(this.#reconnector.connect({ signal, timeout }));
  }

  /** Gives the connection up and makes a new one, for who knows that the network has changed. */
  reconnect(): void {
    this.#reconnector.reconnect();
  }

  /**
   * Sends a message, as stompy does: `{ destination, body, …headers }`. Resolves to the broker's RECEIPT.
   *
   * @throws as the other form.
   */
  send(conf: DestinationConf): Promise<Frame | undefined>;
  /**
   * Sends a message. Resolves to the broker's RECEIPT, from which on the message is the broker's; with
   * `{ receipt: false }` or in a transaction to `undefined`, when the connection has room for more.
   *
   * When the connection breaks before the receipt, the message is sent again over the next one: at least once. The
   * body must not be changed before the promise settles.
   *
   * @throws {TypeError} when the body is neither text nor `Uint8Array`, or text with a `contentType` of another charset than
   * UTF-8; when an option is of the wrong type, or a header cannot be encoded.
   * @throws {RangeError} when a number is out of its range, or the message has expired already.
   * @throws {BrokerErrorResponse} when the broker answers ERROR.
   * @throws {TimeoutError} when it does not answer in time; whether it has the message is then unknown.
   * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
   * @throws {NotConnectedError} when the client was never connected, or is closed.
   */
  send(destination: string, body: string | Uint8Array, options?: SendOptions): Promise<Frame | undefined>;
  send(
    first: string | DestinationConf,
    body?: string | Uint8Array,
    options: SendOptions = NO_OPTIONS,
  ): Promise<Frame | undefined> {
    try {
      if (typeof first === "string") {
        if (options?.transaction !== undefined) return this.#transactions.send(first, body!, options);
        return this.#sender.send(first, body!, options);
      }
      const { headers: { destination, transaction, ...headers }, body: confBody, wait } = readConf(first);
      return this.send(destination ?? "", confBody, { ...wait, headers, transaction });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Subscribes, as stompy does: the messages are for `receiveFrame` and `poll`. */
  subscribe(conf: DestinationConf): Promise<void>;
  /**
   * Subscribes. Resolves when the broker has confirmed.
   *
   * @throws {SubscriptionError} when the id is in use.
   * @throws {TypeError} when an option is of the wrong type; a `RangeError` when a number is out of its range.
   * @throws {BrokerErrorResponse} when the broker answers ERROR.
   * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
   */
  subscribe(destination: string, options?: SubscribeOptions): Promise<Subscription>;
  async subscribe(
    first: string | DestinationConf,
    options: SubscribeOptions = {},
  ): Promise<Subscription | void> {
    if (typeof first === "string") return await traced(this.#subscriptions.subscribe(first, options));
    const { headers: { destination, ack, id, ...headers }, wait } = readConf(first);
    const typed = { ...wait, ack: readAckMode(ack), id, headers };
    await traced(this.#subscriptions.subscribe(destination ?? "", typed, this.#frames));
  }

  /** Ends the subscription that a conf has made, by its `id` or its `destination`. */
  async unsubscribe(conf: Conf): Promise<void> {
    const { headers: { destination, id, ...headers }, wait } = readConf(conf);
    const subscription = this.#subscriptions.find(id, destination);
    if (subscription) return await subscription.unsubscribe({ ...wait, headers });
    this.#reconnector.check("unsubscribe");
    throw new SubscriptionError(`Cannot unsubscribe from ${destination ?? id}: there is no such subscription`);
  }

  /**
   * Begins a transaction, with the id that the conf gives as `transaction` or a new one.
   *
   * @throws {TransactionError} when the id is in use.
   */
  begin(conf: Conf = {}): Promise<Transaction> {
    return this.#transactions.begin(conf);
  }

  /** Commits a transaction: what `begin` gave, or a conf with its id as `transaction`. */
  async commit(conf: Transaction | TransactionConf): Promise<void> {
    if (conf instanceof Transaction) return await conf.commit();
    const { headers: { transaction, ...headers }, wait } = readConf(conf);
    await this.#transactions.find(transaction, "commit").commit({ ...wait, headers });
  }

  /** Aborts a transaction: what `begin` gave, or a conf with its id as `transaction`. */
  async abort(conf: Transaction | TransactionConf): Promise<void> {
    if (conf instanceof Transaction) return await conf.abort();
    const { headers: { transaction, ...headers }, wait } = readConf(conf);
    await this.#transactions.find(transaction, "abort").abort({ ...wait, headers });
  }

  /**
   * Runs `work` in a transaction: committed when it returns, aborted when it throws.
   *
   * @param options `signal` and `timeout` are for all of it, `work` included: when they end it, the transaction is
   * aborted, and what `work` still does with it rejects.
   * @returns what `work` returns.
   * @throws what `work` throws; `TransactionError` when the connection is lost, and then nothing of it happened unless
   * it was lost during the commit.
   */
  transaction<T>(work: (tx: Transaction) => T | Promise<T>, options: WaitOptions = {}): Promise<T> {
    return this.#transactions.run(work, options);
  }

  /**
   * Runs `handler` for each message of a destination: acknowledged when it returns, refused with NACK when it throws.
   * Resolves when the loop is over, which `signal` brings about in order: no new messages, handlers finish, for which
   * they have `drainTimeout`. A message that fails again after it was refused is held before it is refused once more.
   *
   * @param options as of {@linkcode subscribe}; `ack` is `client-individual` by default here, and `prefetch` is twice
   * the `concurrency`, at least 10, where the broker knows it. `concurrency`: how many messages are handled at the same
   * time; `retry`: how often a handler that throws is run again.
   * @throws {RangeError} for `ack: "client"` with a concurrency above 1; else as {@linkcode subscribe}, and what ended
   * the subscription, if it was not on request.
   */
  async consume(destination: string, handler: MessageHandler, options: ConsumeOptions = {}): Promise<void> {
    const checked = checkConsume("consume", handler, options);
    if (options.signal?.aborted) return; // over before it began
    let subscription: Subscription;
    try {
      subscription = await this.#subscriptions.subscribe(destination, forWorker(checked));
    } catch (error) {
      if (options.signal?.aborted && error === options.signal.reason) return;
      throw error;
    }
    await new Worker(subscription, handler, checked, this.#subscriptions.refused).run();
  }

  /**
   * Sends a request and waits for its reply. All requests of a client share one queue for their replies.
   *
   * @throws {RequestError} when the handler of {@linkcode respond} threw.
   * @throws {TimeoutError} when no reply comes in time; one that comes later is dropped.
   * @throws {ConnectionError} when the connection is lost first: whether the request was handled is then unknown.
   */
  request(destination: string, body: string | Uint8Array, options: RequestOptions = {}): Promise<Message> {
    return traced(this.#requests.request(destination, body, options));
  }

  /**
   * Answers requests: what `handler` returns goes back to who asked. Resolves when the subscription is made; ending
   * that, with `drain` or `unsubscribe`, ends the answering.
   *
   * When `handler` throws, the reply is the first line of the error's message in the header `x-stompy-error`, which
   * rejects the {@linkcode request}. Without a `reply-to` it is refused as in {@linkcode consume}.
   *
   * @param options as of {@linkcode consume}.
   */
  async respond(
    destination: string,
    handler: (request: Message) => Reply | Promise<Reply>,
    options: ConsumeOptions = {},
  ): Promise<Subscription> {
    const checked = checkConsume("respond", handler, options);
    const subscription = await this.#subscriptions.subscribe(destination, forWorker(checked));
    const requests = this.#requests;
    const work = async (request: Message) => await requests.answer(request, await handler(request));
    const answerError = (request: Message, error: unknown) => requests.answerError(request, error);
    const worker = new Worker(subscription, work, checked, this.#subscriptions.refused, answerError);
    worker.run().catch(nothing); // `closed` of the subscription tells
    return subscription;
  }

  /** Acknowledges a message: the same as `message.ack()`. Resolves to whether it was written. */
  async ack(message: Frame, options: AcknowledgeOptions = {}): Promise<boolean> {
    return await receivedMessage(message, "ACK").ack(options);
  }

  /** Says that a message was not consumed: the same as `message.nack()`. Resolves to whether it was written. */
  async nack(message: Frame, options: AcknowledgeOptions = {}): Promise<boolean> {
    return await receivedMessage(message, "NACK").nack(options);
  }

  /**
   * Takes the next message of the subscriptions that were made by a conf, and hands it to `callback`, if there is one.
   *
   * @param options `true`, or `nb`: do not wait, and give `undefined` when nothing is there.
   */
  async receiveFrame(
    callback?: ((message: Message) => unknown) | null,
    options: boolean | ReadOptions = {},
  ): Promise<Message | undefined> {
    const read = typeof options === "boolean" ? { nb: options } : options;
    this.#reconnector.check("receive");
    const note = (message: Message) => consumerOf(message).noteTaken(message);
    const message = await this.#frames.take(read, "a message", note);
    if (message === undefined && !read.nb) throw new NotConnectedError("Cannot receive: the client is closed");
    if (message === undefined) return undefined;
    await callback?.(message);
    return message;
  }

  /** Takes the next message if one is waiting; else `undefined`. */
  poll(callback?: ((message: Message) => unknown) | null): Promise<Message | undefined> {
    return this.receiveFrame(callback, true);
  }

  /**
   * Sends a frame that was made by hand, over the connection that is open now or opens next. Resolves to its RECEIPT
   * when it asks for one. SUBSCRIBE and UNSUBSCRIBE do what {@linkcode subscribe} and {@linkcode unsubscribe} do with a
   * conf: the messages are for {@linkcode receiveFrame}.
   *
   * @throws {TypeError} for CONNECT and DISCONNECT, which are the client's to say.
   */
  async sendFrame(frame: Frame, options: WaitOptions = {}): Promise<Frame | undefined> {
    const { timeout } = this.#dialer;
    const owner = { reconnector: this.#reconnector, subscriptions: this.#subscriptions, inbox: this.#frames, timeout };
    return await sendRawFrame(frame, options, owner);
  }

  /**
   * Ends in order: waits until what was sent is confirmed, says DISCONNECT, and waits for its receipt. Nothing new can
   * be sent meanwhile. Messages that were not taken from their subscriptions are dropped; see {@linkcode drain}.
   * Idempotent.
   *
   * @param conf `timeout`: milliseconds after which the connection is given up, default 10,000; `signal`: gives it up
   * at once. Anything else is a header of DISCONNECT.
   * @returns a promise that resolves however the client ends: `closed` tells how.
   * @throws {TypeError} when a header cannot be encoded, or the signal is none; a `RangeError` when the timeout is no
   * time. Nothing has begun then.
   */
  async disconnect(conf: DisconnectOptions = {}): Promise<void> {
    const { headers, wait } = readConf(conf);
    encodeHead("DISCONNECT", headers, 0, false, this.#reconnector.session?.version ?? "1.2"); // may throw
    await this.#end(false, headers, wait);
  }

  /**
   * Ends in order, and loses nothing that was received: no new messages are asked for, those that wait in the
   * subscriptions can still be taken and acknowledged, and when all were taken it goes on as {@linkcode disconnect}.
   * Idempotent. A handler that calls it minds what {@linkcode Subscription.drain} says.
   *
   * @param options `timeout`: milliseconds after which it ends all the same, default 10,000; `signal`: ends it at once.
   */
  async drain(options: WaitOptions = {}): Promise<void> {
    await this.#end(true, {}, options);
  }

  /** Disconnects. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect();
  }

  get #requests(): PendingRequests {
    return this.#madeRequests ??= new PendingRequests(this.#owner);
  }

  /** The messages of the subscriptions that were made by a conf. */
  get #frames(): BoundedQueue<Message> {
    return this.#madeFrames ??= new BoundedQueue<Message>(this.#subscriptions.backlog, (fill, message) => {
      const { session } = this.#reconnector;
      if (fill === "room") session?.gate.open(this.#frames);
      else session?.gate.close(this.#frames, fill === "blocked");
      if (message) consumerOf(message).reportSlow(fill === "blocked");
    });
  }

  #end(drain: boolean, headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    this.#ending ??= new Shutdown({
      drain: (wait) => Promise.all(this.#subscriptions.list().map((one) => one.drain(wait).catch(nothing))),
      hurry: () => this.#subscriptions.list().forEach((one) => one.unsubscribe().catch(nothing)),
      leave: () => this.#reconnector.leave(),
      idle: () => this.#outbox.idle(),
      disconnect: (headers, wait) => this.#reconnector.disconnect(headers, wait),
    });
    return this.#ending.begin(drain, headers, wait);
  }

  /** In this order: a reply must find its subscription. */
  #onOpen(session: Session): void {
    this.#subscriptions.open(session);
    const fill = this.#madeFrames?.fill ?? "room";
    if (fill !== "room") session.gate.close(this.#frames, fill === "blocked");
    this.#outbox.flush();
  }

  #onLost(reason: StompError): void {
    this.#madeRequests?.failAll(reason);
    this.#transactions.clear();
    this.#subscriptions.lost();
  }

  #onClosed(reason: StompError | undefined): void {
    this.#madeRequests?.failAll(reason ?? new NotConnectedError("the client is closed"));
    this.#transactions.clear();
    this.#subscriptions.end(reason);
    this.#madeFrames?.end(reason);
    this.#outbox.failAll(reason ?? new NotConnectedError("the client is closed"));
  }
}

setInspect(Stomp, (stomp) => ({
  stomp: stomp.sock ? (stomp.sock as Session).peer : "not connected",
  version: stomp.version,
  pending: stomp.pending,
}));

function nothing(): void {}
