/**
 * `Stomp`: the client, as its users see it. `ClientCore` in `core.ts` does the work.
 *
 * @module
 */
import { type Clock, type ReadOptions, systemClock, type WaitOptions } from "../base/timers.ts";
import { type StompError, traced } from "../base/errors.ts";
import { setInspect } from "../base/inspect.ts";
import { encodeHead } from "../codec/encoder.ts";
import type { Frame, FrameSocket } from "../codec/frame.ts";
import type { Session } from "../session/session.ts";
import { ClientCore, type Target } from "./core.ts";
import { createDestination, type Destination, type DestinationOptions } from "./destination.ts";
import { type AcknowledgeOptions, type Message, receivedMessage } from "../client/message.ts";
import type { Conf, ConnectOptions, DestinationConf, DisconnectOptions, TransactionConf } from "../client/options.ts";
import type { BrokerUrl, BrokerUrlSource } from "../client/connection_options.ts";
import { checkClientArgument, readConf } from "../client/options.ts";
import type { SendOptions, StompOptions, SubscribeOptions } from "../client/options.ts";
import type { Reply, RequestOptions } from "../work/request_reply.ts";
import { NO_OPTIONS, type Sender } from "../client/sender.ts";
import type { Status } from "../client/status.ts";
import type { Subscription } from "../client/subscription.ts";
import { Transaction } from "../client/transaction.ts";
import type { Stream } from "../work/stream.ts";
import type { StreamOptions } from "../work/stream_options.ts";
import type { ConsumeOptions, MessageHandler } from "../work/worker.ts";

/** Creates a client with another clock, for tests. */
export let stompWithClock: (target: Target, options: StompOptions, clock: Clock) => Stomp;

/**
 * A STOMP client. It reconnects by itself, subscribes again, and sends again what the broker has not confirmed.
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
  /** Resolves when the client is closed for good: to the error that ended it, or to `undefined`. Never rejects. */
  readonly closed: Promise<StompError | undefined>;

  static #clock: Clock = systemClock; // of the clients that are created; only `stompWithClock` changes it
  readonly #core: ClientCore;
  readonly #sender: Sender; // the core's: saves each message a look-up

  static {
    stompWithClock = (target, options, clock) => {
      Stomp.#clock = clock;
      try {
        return new Stomp(target, options);
      } finally {
        Stomp.#clock = systemClock;
      }
    };
  }

  /**
   * Creates a client and connects it.
   *
   * @param target a URL, several URLs, which each attempt tries in order, or `failover:(…)`; or a function that returns
   * one of these for each attempt, for example with a ticket in the query.
   * @param options those of the client. `signal` and `timeout` also limit how long connecting takes.
   * @throws {TypeError} when a URL or an option is invalid; a `RangeError` when a number is out of its range.
   * @throws {ConnectionError} when no connection can be made; a `ConnectionTimeoutError` when the time is over.
   * @throws {BrokerErrorResponse} when the broker refuses, for example because of a wrong password.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * const stomp = await Stomp.connect("stomp://guest:guest@localhost:61613", { timeout: 5000 });
   * console.log(stomp.version); // 1.2
   * await stomp.disconnect();
   * ```
   */
  static async connect(
    target: BrokerUrl | BrokerUrlSource,
    options: StompOptions & WaitOptions = {},
  ): Promise<Stomp> {
    const { signal, ...rest } = options;
    const stomp = new Stomp(target, rest);
    try {
      await stomp.connect({ signal, timeout: options.timeout || undefined });
    } catch (error) {
      stomp.#core.reconnector.close(undefined);
      throw error;
    }
    return stomp;
  }

  /** Creates a client for a host and a port, as in stompy. It connects by {@linkcode connect}. */
  constructor(hostname: string, port?: number);
  /** Creates a client for one or several URLs, or a function that returns them. It connects by {@linkcode connect}. */
  constructor(target: BrokerUrl | BrokerUrlSource, options?: StompOptions);
  constructor(target: Target, optionsOrPort: number | StompOptions = {}) {
    const { port, options } = checkClientArgument(optionsOrPort);
    this.#core = new ClientCore(target, port, options, Stomp.#clock);
    this.#sender = this.#core.sender;
    this.closed = this.#core.closed;
  }

  /** Whether a session is open now. */
  get connected(): boolean {
    return this.#core.reconnector.session !== undefined;
  }

  /** The connection, for the verbs of `Frame`; `undefined` while there is none. */
  get sock(): FrameSocket | undefined {
    return this.#core.reconnector.session;
  }

  /** The negotiated version of the protocol; `undefined` while there is no connection. */
  get version(): string | undefined {
    return this.#core.reconnector.session?.version;
  }

  /** The broker's name and version, from the `server` header of CONNECTED. */
  get server(): string | undefined {
    return this.#core.reconnector.session?.connected["server"];
  }

  /** The destination of the first subscription by conf, as in stompy; `undefined` when there is none. */
  get subscribed(): string | undefined {
    return this.#core.subscriptions.firstByConf;
  }

  /** How many sent messages are not confirmed. */
  get pending(): number {
    return this.#core.outbox.size;
  }

  /**
   * Returns the client's lifecycle events from now on. Each call returns another iterator with all of them. One that does
   * not keep up loses all but the last 100 events.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const statuses = stomp.status();
   * stomp.reconnect();
   * for await (const { type } of statuses) {
   *   console.log(type); // disconnected, reconnecting, connected
   *   if (type === "connected") break;
   * }
   * ```
   */
  status(): AsyncIterableIterator<Status> {
    return this.#core.status.watch();
  }

  /** Connects as a user. */
  connect(username: string, password?: string, clientId?: string): Promise<void>;
  /**
   * Connects.
   *
   * @param options `timeout` and `signal` limit all attempts together; the first connect makes one, unless
   * `reconnect.firstConnect` is set.
   * @throws {NotConnectedError} when the client is connected, connecting or closed already.
   * @throws {ConnectionError} when no connection can be made; a `ConnectionTimeoutError` when the time is over.
   * @throws {BrokerErrorResponse} when the broker refuses, for example because of a wrong password.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * const stomp = new Stomp("localhost", 61613);
   * await stomp.connect({ username: "guest", password: "guest", timeout: 5000 });
   * await stomp.disconnect();
   * ```
   */
  connect(options?: ConnectOptions): Promise<void>;
  async connect(first: string | ConnectOptions = {}, password?: string, clientId?: string): Promise<void> {
    const { signal, timeout, ...credentials }: ConnectOptions = typeof first === "string"
      ? { username: first, password, clientId }
      : first;
    this.#core.dialer.login(credentials);
    await traced(this.#core.reconnector.connect({ signal, timeout }));
  }

  /**
   * Drops the connection and reconnects at once, for example after a network change.
   *
   * @throws {NotConnectedError} when the client was never connected, or is closed.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * stomp.reconnect();
   * await stomp.send("/queue/orders", "over the new connection");
   * ```
   */
  reconnect(): void {
    this.#core.reconnector.reconnect();
  }

  /**
   * Returns a handle for a destination, and remembers the declaration of its queue. Every send and subscription of this
   * client to that destination then has the declaration, with or without the handle, also after a reconnect. The call
   * itself sends nothing.
   *
   * RabbitMQ requires the same declaration from all clients. If it refuses one, the first send or subscription rejects
   * with its error. Call this before the first send or subscription to the destination:
   * RabbitMQ ignores a declaration that comes later on a connection, and refuses it on the next one.
   *
   * @param name the destination, for example `/queue/orders`.
   * @throws {TypeError} when the name is not text, an option is unknown or of the wrong type, or the destination was
   * declared with other options before. The error names the difference.
   * @throws {RangeError} when a value is not allowed.
   *
   * @example
   * ```ts no-run
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const orders = stomp.destination("/queue/orders", {
   *   queue: { type: "quorum", ttl: "1h", deadLetter: "/queue/orders.dead" },
   * });
   * await orders.send("one");
   * await stomp.send("/queue/orders", "two"); // has the declaration, too
   * ```
   */
  destination(name: string, options: DestinationOptions = {}): Destination {
    return createDestination(this.#core, name, options);
  }

  /** Sends a message, as in stompy: `{ destination, body, …headers }`. Resolves and throws as the other form does. */
  send(conf: DestinationConf): Promise<Frame | undefined>;
  /**
   * Sends a message. Resolves to the broker's RECEIPT, which makes the broker responsible for the message. With
   * `{ receipt: false }` or in a transaction it resolves to `undefined`, when the connection accepts more.
   *
   * When the connection breaks before the receipt, the message is sent again over the next one: at least once. The body
   * must not change before the promise settles.
   *
   * @throws {TypeError} when the body is neither a string nor a `Uint8Array`, or a string with a `contentType` of another
   * charset than UTF-8; when an option is of the wrong type, or a header cannot be encoded.
   * @throws {RangeError} when a number is out of its range, the message has expired already, or it is larger than the
   * broker accepts.
   * @throws {BrokerErrorResponse} when the broker answers ERROR.
   * @throws {TimeoutError} when it does not answer in time; the message says whether it was written.
   * @throws {OutboxFullError} with `wait: false`, when the message would have to wait.
   * @throws {UnsupportedByBrokerError} when the broker has nothing that does what an option means.
   * @throws {NotConnectedError} when the client was never connected, or is closed.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const receipt = await stomp.send("/queue/orders", JSON.stringify({ id: 1 }), { contentType: "application/json" });
   * console.log(receipt?.command); // RECEIPT
   * ```
   */
  send(destination: string, body: string | Uint8Array, options?: SendOptions): Promise<Frame | undefined>;
  send(
    first: string | DestinationConf,
    body?: string | Uint8Array,
    options: SendOptions = NO_OPTIONS,
  ): Promise<Frame | undefined> {
    try {
      if (typeof first !== "string") return this.#core.stompy.send(first);
      if (options.transaction !== undefined) return this.#core.transactions.send(first, body!, options);
      return this.#sender.send(first, body!, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Subscribes, as in stompy: {@linkcode receiveFrame} and {@linkcode poll} take the messages. */
  subscribe(conf: DestinationConf): Promise<void>;
  /**
   * Subscribes. Resolves when the broker has confirmed. The client subscribes again on each new connection.
   *
   * @throws {SubscriptionError} when the id is in use.
   * @throws {TypeError} when an option is of the wrong type; a `RangeError` when a number is out of its range.
   * @throws {BrokerErrorResponse} when the broker answers ERROR.
   * @throws {UnsupportedByBrokerError} when the broker has nothing that does what an option means.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "one");
   * for await (const message of await stomp.subscribe("/queue/orders")) {
   *   console.log(message.text()); // one
   *   break; // unsubscribes
   * }
   * ```
   */
  subscribe(destination: string, options?: SubscribeOptions): Promise<Subscription>;
  async subscribe(first: string | DestinationConf, options: SubscribeOptions = {}): Promise<Subscription | void> {
    return await traced<Subscription | void>(
      typeof first === "string"
        ? this.#core.subscriptions.subscribe(first, options)
        : this.#core.stompy.subscribe(first),
    );
  }

  /**
   * Ends a subscription by conf, as in stompy: the one with the `id`, or else with the `destination`.
   *
   * @throws {SubscriptionError} when there is no such subscription.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.subscribe({ destination: "/queue/orders" });
   * await stomp.unsubscribe({ destination: "/queue/orders" });
   * ```
   */
  async unsubscribe(conf: Conf): Promise<void> {
    await this.#core.stompy.unsubscribe(conf);
  }

  /**
   * Begins a transaction, with the `transaction` of the conf as its id, or a new id.
   *
   * @throws {TransactionError} when the id is in use.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const tx = await stomp.begin();
   * await tx.send("/queue/orders", "one");
   * await tx.send("/queue/orders", "two");
   * await stomp.commit(tx);
   * ```
   */
  begin(conf: Conf = {}): Promise<Transaction> {
    return this.#core.transactions.begin(conf);
  }

  /**
   * Commits a transaction: one that `begin` returned, or the one with the `transaction` of a conf as its id.
   *
   * @throws as {@linkcode Transaction.prototype.commit}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.begin({ transaction: "tx-a" });
   * await stomp.send({ destination: "/queue/orders", body: "one", transaction: "tx-a" });
   * await stomp.commit({ transaction: "tx-a" });
   * ```
   */
  async commit(conf: Transaction | TransactionConf): Promise<void> {
    await (conf instanceof Transaction ? conf.commit() : this.#core.stompy.endTransaction("commit", conf));
  }

  /**
   * Aborts a transaction: one that `begin` returned, or the one with the `transaction` of a conf as its id.
   *
   * @throws as {@linkcode Transaction.prototype.abort}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const tx = await stomp.begin();
   * await tx.send("/queue/orders", "never arrives");
   * await stomp.abort(tx);
   * ```
   */
  async abort(conf: Transaction | TransactionConf): Promise<void> {
    await (conf instanceof Transaction ? conf.abort() : this.#core.stompy.endTransaction("abort", conf));
  }

  /**
   * Runs `work` in a transaction, commits it when `work` returns, and aborts it when `work` throws.
   *
   * @param options `signal` and `timeout` limit all of it, including `work`. When they end it, the transaction is
   * aborted, and what `work` still does with it rejects.
   * @returns what `work` returns.
   * @throws what `work` throws; a `TransactionError` when the connection is lost. Then nothing of it happened, unless the
   * connection was lost during the commit.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.transaction(async (tx) => {
   *   await tx.send("/queue/orders", "one");
   *   await tx.send("/queue/invoices", "one");
   * });
   * ```
   */
  transaction<T>(work: (tx: Transaction) => T | Promise<T>, options: WaitOptions = {}): Promise<T> {
    return this.#core.transactions.run(work, options);
  }

  /**
   * Runs `handler` for each message of a destination, acknowledges the message when it returns, and refuses it with NACK
   * when it throws. A message that fails again after it was refused is held for a while before it is refused once more.
   * Resolves when the loop has ended. `signal` ends it gracefully: no new messages come, and the handlers that run have
   * `drainTimeout` milliseconds to finish.
   *
   * @param options as of {@linkcode subscribe}, and of the worker: `concurrency` is how many messages are handled at the
   * same time, `retry` how often a handler that throws runs again. `ack` is `client-individual` by default, and
   * `prefetch`, where the broker has one, twice the `concurrency`, at least 10.
   * @throws {RangeError} for `ack: "client"` with a concurrency above 1. Otherwise as {@linkcode subscribe}, and the error
   * that ended the subscription.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "one");
   * const stop = new AbortController();
   * await stomp.consume("/queue/orders", (message) => {
   *   console.log(message.text()); // one
   *   stop.abort();
   * }, { concurrency: 4, signal: stop.signal });
   * ```
   */
  consume(destination: string, handler: MessageHandler, options: ConsumeOptions = {}): Promise<void> {
    return this.#core.consume(destination, handler, options);
  }

  /**
   * Returns a stream of RabbitMQ to iterate. It sets ack mode and prefetch, and acknowledges for you. After a reconnect it
   * continues after the last message that it delivered: it skips no message that the stream still has, and delivers none
   * twice. It subscribes when the first message is asked for.
   *
   * A message counts as handled when the loop asks for the next one. The stream then calls `save` of the `checkpoint`, and
   * waits for it. After a stream is deleted and made again, a reader with an old offset gets nothing until the new stream
   * is longer than that.
   *
   * @param destination `/queue/NAME`, which declares the stream, or `/amq/queue/NAME` for one that exists.
   * @throws {TypeError} when an argument or an option is of the wrong type.
   * @throws {RangeError} when a value is not allowed.
   *
   * @example
   * ```ts no-run
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * let handled: number | undefined; // better in a database
   * const checkpoint = { load: () => handled, save: (offset: number) => void (handled = offset) };
   * for await (const event of stomp.stream("/queue/events", { from: "first", checkpoint })) {
   *   console.log(event.offset, event.text());
   * }
   * ```
   */
  stream(destination: string, options: StreamOptions = {}): Stream {
    return this.#core.stream(destination, options);
  }

  /**
   * Sends a request and waits for its reply. All requests of a client share one queue for their replies.
   *
   * @param options as of {@linkcode send}; `timeout` limits the wait for the reply.
   * @throws {RequestError} when the handler of {@linkcode respond} threw.
   * @throws {TimeoutError} when no reply comes in time. A later one is dropped.
   * @throws {ConnectionError} when the connection is lost first: whether the request was handled is then unknown.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.respond("/queue/double", (request) => String(2 * Number(request.text())));
   * const reply = await stomp.request("/queue/double", "21", { timeout: 5000 });
   * console.log(reply.text()); // 42
   * ```
   */
  request(destination: string, body: string | Uint8Array, options: RequestOptions = {}): Promise<Message> {
    return traced(this.#core.requests.request(destination, body, options));
  }

  /**
   * Answers requests: sends what `handler` returns to the `reply-to` of the request. Resolves when the broker has
   * confirmed the subscription. To stop, end that with `drain` or `unsubscribe`.
   *
   * When `handler` throws, the reply has the first line of the error's message in the header `x-stompy-error`, and
   * {@linkcode request} rejects. A request without `reply-to` is refused as in {@linkcode consume}.
   *
   * @param options as of {@linkcode consume}.
   * @throws as {@linkcode consume}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const answers = await stomp.respond("/queue/upper", (request) => request.text().toUpperCase());
   * console.log((await stomp.request("/queue/upper", "hello")).text()); // HELLO
   * await answers.drain();
   * ```
   */
  respond(
    destination: string,
    handler: (request: Message) => Reply | Promise<Reply>,
    options: ConsumeOptions = {},
  ): Promise<Subscription> {
    return this.#core.respond(destination, handler, options);
  }

  /**
   * Acknowledges a message, as `message.ack()`. Resolves to whether the ACK was written.
   *
   * @throws as {@linkcode Message.prototype.ack}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "one");
   * const orders = await stomp.subscribe("/queue/orders", { ack: "client" });
   * const { value: message } = await orders.next();
   * if (message) await stomp.ack(message);
   * ```
   */
  async ack(message: Frame, options: AcknowledgeOptions = {}): Promise<boolean> {
    return await receivedMessage(message, "ACK").ack(options);
  }

  /**
   * Refuses a message, as `message.nack()`. Resolves to whether the NACK was written.
   *
   * @throws as {@linkcode Message.prototype.nack}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "one");
   * const orders = await stomp.subscribe("/queue/orders", { ack: "client-individual" });
   * const { value: message } = await orders.next();
   * if (message) await stomp.nack(message);
   * ```
   */
  async nack(message: Frame, options: AcknowledgeOptions = {}): Promise<boolean> {
    return await receivedMessage(message, "NACK").nack(options);
  }

  /**
   * Takes the next message of the subscriptions by conf, as in stompy, and passes it to `callback` if there is one.
   *
   * @param options `true`, or `nb: true`: do not wait, and resolve to `undefined` when no message is queued.
   * @throws {NotConnectedError} when the client was never connected, or is closed.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.subscribe({ destination: "/queue/orders", ack: "client" });
   * await stomp.send({ destination: "/queue/orders", body: "one" });
   * const message = await stomp.receiveFrame();
   * await message?.ack();
   * ```
   */
  receiveFrame(
    callback?: ((message: Message) => unknown) | null,
    options: boolean | ReadOptions = {},
  ): Promise<Message | undefined> {
    return this.#core.stompy.receive(callback, typeof options === "boolean" ? { nb: options } : options);
  }

  /**
   * Takes the next message of the subscriptions by conf if one is queued; otherwise resolves to `undefined`.
   *
   * @throws as {@linkcode receiveFrame}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.subscribe({ destination: "/queue/orders" });
   * console.log(await stomp.poll()); // undefined
   * ```
   */
  poll(callback?: ((message: Message) => unknown) | null): Promise<Message | undefined> {
    return this.receiveFrame(callback, true);
  }

  /**
   * Sends a frame that the program made, over the open connection or the next one. Resolves to its RECEIPT when it has
   * a `receipt` header. SUBSCRIBE and UNSUBSCRIBE work as {@linkcode subscribe} and {@linkcode unsubscribe} with a
   * conf.
   *
   * @throws {TypeError} when it is CONNECT or DISCONNECT, which only the client sends.
   *
   * @example
   * ```ts
   * import { Frame, Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const headers = { destination: "/queue/orders", receipt: "r1" };
   * const receipt = await stomp.sendFrame(new Frame().buildFrame({ command: "SEND", headers, body: "one" }));
   * console.log(receipt?.headers["receipt-id"]); // r1
   * ```
   */
  sendFrame(frame: Frame, options: WaitOptions = {}): Promise<Frame | undefined> {
    return this.#core.stompy.sendFrame(frame, options);
  }

  /**
   * Disconnects gracefully: waits until all sent messages are confirmed, sends DISCONNECT, and waits for its receipt.
   * Nothing can be sent meanwhile. Messages that were not taken from their subscriptions are dropped; see
   * {@linkcode drain}. Idempotent.
   *
   * @param conf `timeout`: milliseconds after which the connection is dropped, 10,000 by default; `signal`: drops it at
   * once. The rest are headers of DISCONNECT.
   * @returns a promise that resolves however the client ends: `closed` tells how.
   * @throws {TypeError} when a header cannot be encoded, or the signal is invalid; a `RangeError` when the timeout is.
   * Nothing has begun then.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * const stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.disconnect({ timeout: 2000 });
   * console.log(await stomp.closed); // undefined
   * ```
   */
  async disconnect(conf: DisconnectOptions = {}): Promise<void> {
    const { headers, wait } = readConf(conf);
    encodeHead("DISCONNECT", headers, 0, false, this.#core.reconnector.session?.version ?? "1.2"); // may throw
    await this.#core.shutdown.begin(false, headers, wait);
  }

  /**
   * Disconnects gracefully, without losing what was received: asks for no new messages, waits until those that were
   * received are taken and acknowledged, and continues as {@linkcode disconnect}. Idempotent. A handler that calls it
   * has to mind what {@linkcode Subscription.prototype.drain} says.
   *
   * @param options `timeout`: milliseconds after which it ends all the same, 10,000 by default; `signal`: ends it at once.
   * @throws as {@linkcode disconnect}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * const stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const working = stomp.consume("/queue/orders", (message) => console.log(message.text()));
   * await stomp.drain();
   * await working;
   * ```
   */
  async drain(options: WaitOptions = {}): Promise<void> {
    await this.#core.shutdown.begin(true, {}, options);
  }

  /** Disconnects, as {@linkcode disconnect}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect();
  }
}

setInspect(Stomp, (stomp) => ({
  stomp: stomp.sock ? (stomp.sock as Session).peer : "not connected",
  version: stomp.version,
  pending: stomp.pending,
}));
