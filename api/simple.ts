/**
 * `Simple`: stompy's simple client, which is also exported as `Client`.
 *
 * @module
 */
import type { ReadOptions, WaitOptions } from "../base/timers.ts";
import { Empty, TransactionError } from "../base/errors.ts";
import { assertGivenBody } from "../codec/encoder.ts";
import type { Frame } from "../codec/frame.ts";
import type { Message } from "../client/message.ts";
import { Stomp } from "./stomp.ts";
import type { Transaction } from "../client/transaction.ts";
import type { Conf, ConnectOptions, DisconnectOptions, StompOptions } from "../client/options.ts";
import type { AckMode } from "../codec/protocol.ts";

/** Options of {@linkcode Simple.prototype.put}. */
export interface PutOptions extends WaitOptions {
  /**
   * Whether the message survives a restart of the broker.
   *
   * @default {true}
   */
  persistent?: boolean | undefined;
  /**
   * Additional headers.
   *
   * @default {{}}
   */
  conf?: Conf | undefined;
}

/** Options of {@linkcode Simple.prototype.get}. */
export interface GetOptions extends WaitOptions {
  /**
   * Whether to wait for a message.
   *
   * @default {true}
   */
  block?: boolean | undefined;
  /**
   * Called with the message before `get` resolves.
   *
   * @default {undefined} none
   */
  callback?: ((message: Message) => unknown) | undefined;
}

/** Options of {@linkcode Simple.prototype.subscribe}. */
export interface SimpleSubscribeOptions extends WaitOptions {
  /**
   * How messages are acknowledged. In mode `auto` the broker considers a message delivered when it has sent it.
   *
   * @default {"auto"}
   */
  ack?: AckMode | undefined;
  /**
   * Additional headers.
   *
   * @default {{}}
   */
  conf?: Conf | undefined;
}

/** Options of {@linkcode Simple.prototype.unsubscribe}. */
export interface SimpleUnsubscribeOptions extends WaitOptions {
  /**
   * Additional headers.
   *
   * @default {{}}
   */
  conf?: Conf | undefined;
}

/**
 * A client with one queue of incoming messages and at most one transaction.
 *
 * ```ts
 * import { Simple } from "@x/stompy";
 *
 * const client = new Simple("localhost", 61613);
 * await client.connect("guest", "guest");
 * await client.subscribe("/queue/orders", { ack: "client" });
 * await client.put("one", "/queue/orders");
 * const message = await client.get();
 * console.log(message.text());
 * await client.ack(message);
 * await client.disconnect();
 * ```
 */
export class Simple implements AsyncDisposable {
  /** The error of `get` when no message is queued. */
  static readonly Empty: typeof Empty = Empty;
  /** The error of `begin`, `commit` and `abort` when a transaction is open already, or none is. */
  static readonly TransactionError: typeof TransactionError = TransactionError;

  /** The client underneath. */
  readonly stomp: Stomp;
  #transaction: Transaction | undefined;
  #isBeginning = false;

  /**
   * Creates a client. It connects by {@linkcode connect}.
   *
   * @param host a host name, by default `localhost`; or a URL, and then the second argument is the options.
   * @param port the TCP port, by default 61613; or the options.
   * @throws {TypeError} when an argument is invalid; a `RangeError` when a number is out of its range.
   */
  constructor(host: string = "localhost", port?: number | StompOptions) {
    this.stomp = typeof port === "object" ? new Stomp(host, port) : new Stomp(host, port);
  }

  /** Connects as a user. */
  connect(username: string, password?: string, clientId?: string): Promise<void>;
  /**
   * Connects.
   *
   * @throws as {@linkcode Stomp.prototype.connect}.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect({ username: "guest", password: "guest", timeout: 5000 });
   * await client.disconnect();
   * ```
   */
  connect(options?: ConnectOptions): Promise<void>;
  connect(first: string | ConnectOptions = {}, password?: string, clientId?: string): Promise<void> {
    return typeof first === "string" ? this.stomp.connect(first, password, clientId) : this.stomp.connect(first);
  }

  /**
   * Disconnects gracefully: waits until all sent messages are confirmed, sends DISCONNECT, and waits for its receipt.
   *
   * @throws as {@linkcode Stomp.prototype.disconnect}.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.disconnect({ timeout: 2000 });
   * ```
   */
  disconnect(conf: DisconnectOptions = {}): Promise<void> {
    return this.stomp.disconnect(conf);
  }

  /**
   * Sends a message, in the transaction if one is open. Resolves to the RECEIPT, in a transaction to `undefined`.
   *
   * @throws as {@linkcode Stomp.prototype.send}.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.put("one", "/queue/orders", { conf: { priority: 7 } });
   * await client.disconnect();
   * ```
   */
  async put(item: string | Uint8Array, destination: string, options: PutOptions = {}): Promise<Frame | undefined> {
    const { persistent = true, conf, ...wait } = options;
    assertGivenBody("put", item);
    return await this.stomp.send({ persistent, ...this.#conf(conf), ...wait, destination, body: item });
  }

  /**
   * Takes the next message of all subscriptions.
   *
   * @throws {Empty} with `block: false`, when no message is queued.
   * @throws {TimeoutError} when none comes in time.
   * @throws {NotConnectedError} when the client was never connected, or is closed.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.subscribe("/queue/orders");
   * await client.put("one", "/queue/orders");
   * console.log((await client.get({ timeout: 5000 })).text()); // one
   * await client.disconnect();
   * ```
   */
  async get(options: GetOptions = {}): Promise<Message> {
    const { block = true, callback, ...wait } = options;
    const read: ReadOptions = { ...wait, nb: !block };
    const message = await this.stomp.receiveFrame(callback, read);
    if (message === undefined) throw new Empty("Cannot get a message: none is queued");
    return message;
  }

  /**
   * Takes the next message of all subscriptions, without waiting.
   *
   * @throws {Empty} when no message is queued.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.subscribe("/queue/orders");
   * const message = await client.getNowait().catch(() => undefined);
   * console.log(message?.text()); // undefined
   * await client.disconnect();
   * ```
   */
  getNowait(): Promise<Message> {
    return this.get({ block: false });
  }

  /**
   * Subscribes; {@linkcode get} takes the messages.
   *
   * @throws as {@linkcode Stomp.prototype.subscribe}.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.subscribe("/queue/orders", { ack: "client" });
   * await client.disconnect();
   * ```
   */
  subscribe(destination: string, options: SimpleSubscribeOptions = {}): Promise<void> {
    const { ack = "auto", conf, ...wait } = options;
    return this.stomp.subscribe({ ...conf, ...wait, destination, ack });
  }

  /**
   * Unsubscribes.
   *
   * @throws {SubscriptionError} when there is no such subscription.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.subscribe("/queue/orders");
   * await client.unsubscribe("/queue/orders");
   * await client.disconnect();
   * ```
   */
  unsubscribe(destination: string, options: SimpleUnsubscribeOptions = {}): Promise<void> {
    const { conf, ...wait } = options;
    return this.stomp.unsubscribe({ ...conf, ...wait, destination });
  }

  /**
   * Begins a transaction, which `put` and `ack` belong to until `commit` or `abort`.
   *
   * @throws {TransactionError} when a transaction is open already.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.begin();
   * await client.put("one", "/queue/orders");
   * await client.put("two", "/queue/orders");
   * await client.commit();
   * await client.disconnect();
   * ```
   */
  async begin(options: WaitOptions = {}): Promise<void> {
    if (this.#transaction !== undefined || this.#isBeginning) {
      throw new TransactionError("Cannot begin: there is a transaction already, commit or abort it first");
    }
    this.#isBeginning = true;
    try {
      this.#transaction = await this.stomp.begin({ ...options });
    } finally {
      this.#isBeginning = false;
    }
  }

  /**
   * Commits the transaction.
   *
   * @throws {TransactionError} when none is open. Otherwise as {@linkcode Transaction.prototype.commit}.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.begin();
   * await client.put("one", "/queue/orders");
   * await client.commit({ timeout: 5000 });
   * await client.disconnect();
   * ```
   */
  commit(options: WaitOptions = {}): Promise<void> {
    return this.#end("commit", options);
  }

  /**
   * Aborts the transaction.
   *
   * @throws {TransactionError} when none is open. Otherwise as {@linkcode Transaction.prototype.abort}.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.begin();
   * await client.put("never arrives", "/queue/orders");
   * await client.abort();
   * await client.disconnect();
   * ```
   */
  abort(options: WaitOptions = {}): Promise<void> {
    return this.#end("abort", options);
  }

  /**
   * Acknowledges a message, in the transaction if one is open. Resolves to whether the ACK was written.
   *
   * @throws as {@linkcode Message.prototype.ack}.
   *
   * @example
   * ```ts
   * import { Simple } from "@x/stompy";
   *
   * const client = new Simple("localhost", 61613);
   * await client.connect("guest", "guest");
   * await client.subscribe("/queue/orders", { ack: "client" });
   * await client.put("one", "/queue/orders");
   * await client.ack(await client.get());
   * await client.disconnect();
   * ```
   */
  ack(message: Frame, options: WaitOptions = {}): Promise<boolean> {
    return this.stomp.ack(message, { ...options, transaction: this.#transaction });
  }

  /** Disconnects, as {@linkcode disconnect}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect();
  }

  async #end(how: "commit" | "abort", options: WaitOptions): Promise<void> {
    const transaction = this.#transaction;
    if (transaction === undefined) {
      throw new TransactionError(`Cannot ${how}: there is no transaction, call begin first`);
    }
    try {
      await transaction[how](options);
    } finally {
      // A call that failed before it wrote anything has not ended the transaction.
      if (!transaction.isOpen) this.#transaction = undefined;
    }
  }

  #conf(conf: Conf | undefined): Conf {
    return this.#transaction === undefined ? { ...conf } : { ...conf, transaction: this.#transaction.id };
  }
}

/** The name of {@linkcode Simple} in stompy. */
export const Client: typeof Simple = Simple;

/** The name of {@linkcode Simple} in stompy. */
export type Client = Simple;
