/**
 * `Stomp`: the client. It keeps a session to the broker, and what must outlive one: subscriptions, and messages that
 * are not confirmed.
 *
 * @module
 */
import type { ReadOptions, WaitOptions } from "./conversation.ts";
import { within } from "./deadline.ts";
import { Dialer } from "./dialer.ts";
import { messageHeaders } from "./dialect.ts";
import { AcknowledgeError, NotConnectedError, type StompError, SubscriptionError, TransactionError } from "./errors.ts";
import { Frame, type FrameSocket } from "./frame.ts";
import { Inbox } from "./inbox.ts";
import { showAs } from "./inspect.ts";
import { SessionKeeper } from "./keeper.ts";
import { type AcknowledgeOptions, Message } from "./message.ts";
import { Outbox } from "./outbox.ts";
import type { Session } from "./session.ts";
import { type Status, StatusHub } from "./status.ts";
import {
  type Conf,
  type Credentials,
  type DestinationConf,
  readAckMode,
  readConf,
  type SendOptions,
  type StompOptions,
  type SubscribeOptions,
  type TransactionConf,
} from "./stomp_options.ts";
import type { Subscription } from "./subscription.ts";
import { Subscriptions } from "./subscriptions.ts";
import { Transaction } from "./transaction.ts";

/** Options of `Stomp.prototype.connect`. */
export interface ConnectOptions extends Credentials, WaitOptions {
  /** `client-id`, which ActiveMQ and Artemis need for durable subscriptions. */
  clientId?: string | undefined;
}

/** Options of `disconnect`: how long to wait, and further headers of DISCONNECT. */
export interface DisconnectOptions extends WaitOptions {
  /** A header. */
  [header: string]: unknown;
}

/** What `send` gives when there is room and no receipt is wanted. */
const DONE: Promise<undefined> = Promise.resolve(undefined);

/** Milliseconds that an ending may take, where the call says nothing else. */
const END_TIMEOUT = 10_000;

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
  readonly #options: StompOptions;
  readonly #keeper: SessionKeeper;
  readonly #outbox: Outbox;
  readonly #status = new StatusHub();
  readonly #subscriptions: Subscriptions;
  readonly #transactions = new Map<string, Transaction>();
  readonly #frames: Inbox<Message>; // of the subscriptions made by a conf
  #ids = 0;
  #ending: Promise<void> | undefined;
  #resolveClosed!: (error: StompError | undefined) => void;

  /**
   * Opens a client and connects it.
   *
   * @param target a URL, several, or `failover:(…)`
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
      await stomp.connect({ signal });
    } catch (error) {
      stomp.#keeper.close(undefined);
      throw error;
    }
    return stomp;
  }

  /** Creates a client for a host and a port, as stompy does. Nothing is connected before `connect`. */
  constructor(hostname: string, port?: number);
  /** Creates a client for a URL, several, or `failover:(…)`. Nothing is connected before `connect`. */
  constructor(target: string | URL | readonly (string | URL)[], options?: StompOptions);
  constructor(target: string | URL | readonly (string | URL)[], optionsOrPort: number | StompOptions = {}) {
    const named = typeof optionsOrPort === "number" || (typeof target === "string" && !/^[a-z+]+:/i.test(target));
    const port = typeof optionsOrPort === "number" ? optionsOrPort : 61613;
    this.#options = typeof optionsOrPort === "number" ? {} : optionsOrPort;
    this.#dialer = new Dialer(named ? hostUrl(target as string, port) : target, this.#options);
    this.#outbox = new Outbox(
      this.#options.maxPending ?? {},
      this.#dialer.timeout,
      (pending) => this.#status.emit({ type: "stalled", pending }),
    );
    this.#frames = new Inbox<Message>((full) => this.#holdFrames(full));
    this.#keeper = new SessionKeeper(this.#dialer, this.#options.reconnect ?? {}, {
      onOpen: (session) => this.#onOpen(session),
      onLost: () => this.#onLost(),
      onClosed: (reason) => this.#onClosed(reason),
      onStatus: (status) => this.#status.emit(status),
    });
    this.#subscriptions = new Subscriptions({
      keeper: this.#keeper,
      family: (session) => this.#options.broker ?? session.family,
      transaction: (reference, what) => this.#transaction(reference, what),
      onSlow: ({ id, destination, queued }) => {
        this.#status.emit({ type: "slow consumer", subscription: id, destination, queued });
      },
    });
    this.closed = new Promise((resolve) => this.#resolveClosed = resolve);
  }

  /** Whether a session is open right now. */
  get connected(): boolean {
    return this.#keeper.session !== undefined;
  }

  /** The connection, for the verbs of `Frame`; `undefined` while there is none. */
  get sock(): FrameSocket | undefined {
    return this.#keeper.session;
  }

  /** The version of the protocol that was agreed on; `undefined` while there is no connection. */
  get version(): string | undefined {
    return this.#keeper.session?.version;
  }

  /** What the broker calls itself: the `server` header of CONNECTED. */
  get server(): string | undefined {
    return this.#keeper.session?.connected["server"];
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
    const { signal, timeout, ...credentials } = typeof first === "string"
      ? { username: first, password, clientId } as ConnectOptions
      : first;
    this.#dialer.login(credentials);
    await this.#keeper.connect({ signal, timeout });
  }

  /** Gives the connection up and makes a new one, for who knows that the network has changed. */
  reconnect(): void {
    this.#keeper.reconnect();
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
   * @throws {TypeError} when the body is neither text nor `Uint8Array`, or a header cannot be encoded.
   * @throws {BrokerErrorResponse} when the broker answers ERROR.
   * @throws {TimeoutError} when it does not answer in time; whether it has the message is then unknown.
   * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
   * @throws {NotConnectedError} when the client was never connected, or is closed.
   */
  send(destination: string, body: string | Uint8Array, options?: SendOptions): Promise<Frame | undefined>;
  send(
    first: string | DestinationConf,
    body: string | Uint8Array = "",
    options: SendOptions = {},
  ): Promise<Frame | undefined> {
    try {
      if (typeof first === "string") return this.#send(first, body, options);
      const { headers: { destination, transaction, ...headers }, body: confBody, wait } = readConf(first);
      return this.#send(destination ?? "", confBody, { ...wait, headers, transaction });
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
   * @throws {BrokerErrorResponse} when the broker answers ERROR.
   * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
   */
  subscribe(destination: string, options?: SubscribeOptions): Promise<Subscription>;
  async subscribe(
    first: string | DestinationConf,
    options: SubscribeOptions = {},
  ): Promise<Subscription | void> {
    if (typeof first === "string") return await this.#subscriptions.subscribe(first, options);
    const { headers: { destination, ack, id, ...headers }, wait } = readConf(first);
    const typed = { ...wait, ack: readAckMode(ack), id, headers };
    await this.#subscriptions.subscribe(destination ?? "", typed, this.#frames);
  }

  /** Ends the subscription that a conf has made, by its `id` or its `destination`. */
  async unsubscribe(conf: Conf): Promise<void> {
    const { headers: { destination, id, ...headers }, wait } = readConf(conf);
    const subscription = this.#subscriptions.find(id, destination);
    if (subscription) return await subscription.unsubscribe({ ...wait, headers });
    this.#keeper.check("unsubscribe");
    throw new SubscriptionError(`Cannot unsubscribe from ${destination ?? id}: there is no such subscription`);
  }

  /**
   * Begins a transaction, with the id that the conf gives as `transaction` or a new one.
   *
   * @throws {TransactionError} when the id is in use.
   */
  async begin(conf: Conf = {}): Promise<Transaction> {
    const { headers: { transaction: given, ...headers }, wait } = readConf(conf);
    const id = given ?? `tx-${++this.#ids}`;
    const session = await this.#keeper.ready("begin transaction", wait);
    await session.begin(id, headers, wait);
    const transaction = new Transaction(id, session, this, () => this.#transactions.delete(id));
    this.#transactions.set(id, transaction);
    return transaction;
  }

  /** Commits a transaction: what `begin` gave, or a conf with its id as `transaction`. */
  async commit(conf: Transaction | TransactionConf): Promise<void> {
    if (conf instanceof Transaction) return await conf.commit();
    const { headers: { transaction, ...headers }, wait } = readConf(conf);
    await this.#transaction(transaction, "commit").commit({ ...wait, headers });
  }

  /** Aborts a transaction: what `begin` gave, or a conf with its id as `transaction`. */
  async abort(conf: Transaction | TransactionConf): Promise<void> {
    if (conf instanceof Transaction) return await conf.abort();
    const { headers: { transaction, ...headers }, wait } = readConf(conf);
    await this.#transaction(transaction, "abort").abort({ ...wait, headers });
  }

  /**
   * Runs `work` in a transaction: committed when it returns, aborted when it throws.
   *
   * @returns what `work` returns.
   * @throws what `work` throws; `TransactionError` when the connection is lost, and then nothing of it happened unless
   * it was lost during the commit.
   */
  async transaction<T>(work: (tx: Transaction) => T | Promise<T>, options: WaitOptions = {}): Promise<T> {
    const tx = await this.begin({ ...options });
    let result: T;
    try {
      result = await work(tx);
    } catch (error) {
      // What went wrong first is what the caller has to know.
      if (tx.isOpen) await tx.abort(options).catch(() => {});
      else this.#transactions.delete(tx.id);
      throw error;
    }
    if (!this.#transactions.has(tx.id)) return result; // `work` has ended it itself
    await tx.commit(options);
    return result;
  }

  /** Acknowledges a message: the same as `message.ack()`. */
  async ack(message: Frame, options: AcknowledgeOptions = {}): Promise<void> {
    await received(message, "ACK").ack(options);
  }

  /** Says that a message was not consumed: the same as `message.nack()`. */
  async nack(message: Frame, options: AcknowledgeOptions = {}): Promise<void> {
    await received(message, "NACK").nack(options);
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
    this.#keeper.check("receive");
    const message = await this.#frames.take(read, "a message");
    if (message === undefined && !read.nb) throw new NotConnectedError("Cannot receive: the client is closed");
    if (message !== undefined) await callback?.(message);
    return message;
  }

  /** Takes the next message if one is waiting; else `undefined`. */
  poll(callback?: ((message: Message) => unknown) | null): Promise<Message | undefined> {
    return this.receiveFrame(callback, true);
  }

  /** Sends a frame that was made by hand. Resolves to its RECEIPT when it asks for one. */
  async sendFrame(frame: Frame, options: WaitOptions = {}): Promise<Frame | undefined> {
    const session = await this.#keeper.ready(`send ${frame.command}`, options);
    if ("receipt" in frame.headers) return await session.request(frame, options);
    await session.writeFrame(frame);
    return undefined;
  }

  /**
   * Ends in order: waits until what was sent is confirmed, says DISCONNECT, and waits for its receipt. Messages that
   * were not taken from their subscriptions are dropped; see {@linkcode drain}. Idempotent.
   *
   * @param conf `timeout`: milliseconds after which the connection is given up, default 10,000; `signal`: gives it up
   * at once. Anything else is a header of DISCONNECT.
   * @returns a promise that resolves in any case: `closed` tells how the client ended.
   */
  disconnect(conf: DisconnectOptions = {}): Promise<void> {
    return this.#ending ??= this.#end(conf, false);
  }

  /**
   * Ends in order, and loses nothing that was received: no new messages are asked for, those that wait in the
   * subscriptions can still be taken and acknowledged, and when all were taken it goes on as {@linkcode disconnect}.
   * Idempotent.
   *
   * @param options `timeout`: milliseconds after which it ends all the same, default 10,000.
   */
  drain(options: WaitOptions = {}): Promise<void> {
    return this.#ending ??= this.#end({ ...options }, true);
  }

  /** Disconnects. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect();
  }

  #send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<Frame | undefined> {
    if (typeof destination !== "string" || destination === "") {
      throw new TypeError("Cannot send: the destination is missing");
    }
    options.signal?.throwIfAborted();
    const headers = sendHeaders(destination, body, options);
    const contentLength = options.contentLength ?? this.#options.contentLength ?? true;
    // Built at once, so that a mistake is found at once. The deadline of a message begins now, too.
    const base = new Frame().buildFrame({ command: "SEND", headers, body }, { contentLength });
    const moment = options.expires === undefined ? options : { ...options, expires: momentOf(options.expires) };
    const frameFor = (session: Session) => this.#complete(base, moment, session);

    const { session } = this.#keeper;
    if (options.transaction !== undefined) {
      const transaction = this.#transaction(options.transaction, "send");
      const open = transaction.use("send");
      const frame = frameFor(open);
      frame.headers["transaction"] = transaction.id;
      return open.send(frame)?.then(nothing) ?? DONE;
    }
    if (options.receipt === false) {
      if (session) return session.send(frameFor(session))?.then(nothing) ?? DONE;
      return this.#keeper.ready(`send to ${destination}`, this.#wait(options)).then((open) => {
        return open.send(frameFor(open))?.then(nothing);
      });
    }
    if (!session) this.#keeper.check(`send to ${destination}`);
    return this.#outbox.send(destination, base.bodyLength, frameFor, () => this.#keeper.session, options);
  }

  /** Adds what an option is called by the broker. */
  #complete(base: Frame, options: SendOptions, session: Session): Frame {
    Object.assign(base.headers, messageHeaders(options, this.#options.broker ?? session.family));
    // What an earlier connection called it is no name on this one; the caller's own name stays.
    if (options.headers?.["receipt"] === undefined) delete base.headers["receipt"];
    return base;
  }

  #wait({ signal, timeout }: WaitOptions): WaitOptions {
    return { signal, timeout: timeout ?? this.#dialer.timeout };
  }

  #transaction(reference: string | { readonly id: string } | undefined, what: string): Transaction {
    if (reference instanceof Transaction) return reference;
    const id = typeof reference === "string" ? reference : reference?.id;
    const transaction = id === undefined ? undefined : this.#transactions.get(id);
    if (transaction === undefined) {
      this.#keeper.check(what);
      throw new TransactionError(`Cannot ${what}: there is no open transaction ${id ?? "in the conf"}`);
    }
    return transaction;
  }

  #holdFrames(full: boolean): void {
    if (full) this.#keeper.session?.hold(this.#frames);
    else this.#keeper.session?.release(this.#frames);
  }

  /** In this order: a reply must find its subscription. */
  #onOpen(session: Session): void {
    this.#subscriptions.open(session);
    if (this.#frames.full) session.hold(this.#frames);
    this.#outbox.flush(session);
  }

  #onLost(): void {
    this.#subscriptions.lost();
  }

  #onClosed(reason: StompError | undefined): void {
    this.#transactions.clear();
    this.#subscriptions.end(reason);
    this.#frames.end(reason);
    this.#outbox.failAll(reason ?? new NotConnectedError("the client is closed"));
    this.#resolveClosed(reason);
  }

  async #end({ signal, timeout, ...conf }: DisconnectOptions, drain: boolean): Promise<void> {
    const { headers } = readConf(conf);
    const deadline = performance.now() + (timeout ?? END_TIMEOUT);
    const wait = () => ({ signal, timeout: Math.max(0, deadline - performance.now()) });
    if (drain) await Promise.all(this.#subscriptions.list().map((one) => one.drain(wait()).catch(nothing)));
    await within(this.#outbox.idle(), wait(), "the messages that are not confirmed").catch(nothing);
    const { session } = this.#keeper;
    if (session) {
      const said = session.disconnect(headers, wait());
      this.#keeper.close(undefined);
      await said;
    } else {
      this.#keeper.close(undefined);
    }
  }
}

showAs(Stomp, (stomp) => ({
  stomp: stomp.sock ? (stomp.sock as Session).peer : "not connected",
  version: stomp.version,
  pending: stomp.pending,
}));

function nothing(): undefined {}

/** stompy's host and port as a URL. */
function hostUrl(hostname: string, port: number): string {
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new TypeError(`Cannot use port ${port}: it is a whole number from 1 to 65535`);
  }
  const bare = hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
  return `stomp://${bare}:${port}`;
}

function momentOf(expires: number | Date): Date {
  return expires instanceof Date ? expires : new Date(Date.now() + expires);
}

/** The headers that are the same on every broker. */
function sendHeaders(
  destination: string,
  body: string | Uint8Array,
  options: SendOptions,
): Record<string, string | undefined> {
  const { headers } = options;
  const contentType = options.contentType ?? headers?.["content-type"] ??
    (typeof body === "string" ? "text/plain" : undefined);
  return { destination, ...headers, "content-type": contentType };
}

function received(message: Frame, command: string): Message {
  if (message instanceof Message) return message;
  throw new AcknowledgeError(`Cannot send ${command}: the frame was not received by a subscription of a client`);
}
