/**
 * `Simple`: stompy's simple client, which asks for as little as possible. Also known as `Client`.
 *
 * @module
 */
import type { ReadOptions, WaitOptions } from "../base/timers.ts";
import { Empty, TransactionError } from "../base/errors.ts";
import { assertGivenBody } from "../codec/encoder.ts";
import type { Frame } from "../codec/frame.ts";
import type { Message } from "./message.ts";
import { Stomp } from "./stomp.ts";
import type { Transaction } from "./transaction.ts";
import type { Conf, ConnectOptions, DisconnectOptions, StompOptions } from "./options.ts";
import type { AckMode } from "../codec/protocol.ts";

/** Options of {@linkcode Simple.prototype.put}. */
export interface PutOptions extends WaitOptions {
  /** Whether the message survives a restart of the broker. Default `true`. */
  persistent?: boolean | undefined;
  /** Further headers. */
  conf?: Conf | undefined;
}

/** Options of {@linkcode Simple.prototype.get}. */
export interface GetOptions extends WaitOptions {
  /** Whether to wait for a message. Default `true`. */
  block?: boolean | undefined;
  /** Gets the message, too. */
  callback?: ((message: Message) => unknown) | undefined;
}

/** Options of {@linkcode Simple.prototype.subscribe}. */
export interface SimpleSubscribeOptions extends WaitOptions {
  /** How messages are acknowledged. Default `auto`. */
  ack?: AckMode | undefined;
  /** Further headers. */
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
  /** No message is waiting. */
  static readonly Empty: typeof Empty = Empty;
  /** There is a transaction already, or none. */
  static readonly TransactionError: typeof TransactionError = TransactionError;

  /** The client underneath. */
  readonly stomp: Stomp;
  #transaction: Transaction | undefined;
  #beginning = false;

  /**
   * Creates a client. Nothing is connected before `connect`.
   *
   * @param host a host name, or a URL: then the second argument is the options. Default `localhost`.
   * @param port TCP port. Default 61613.
   * @throws {TypeError} when an argument makes no sense.
   */
  constructor(host: string = "localhost", port?: number | StompOptions) {
    this.stomp = typeof port === "object" ? new Stomp(host, port) : new Stomp(host, port);
  }

  /** Connects, as a user. */
  connect(username: string, password?: string, clientId?: string): Promise<void>;
  /** Connects. */
  connect(options?: ConnectOptions): Promise<void>;
  connect(first: string | ConnectOptions = {}, password?: string, clientId?: string): Promise<void> {
    return typeof first === "string" ? this.stomp.connect(first, password, clientId) : this.stomp.connect(first);
  }

  /** Disconnects, in order. */
  disconnect(conf: DisconnectOptions = {}): Promise<void> {
    return this.stomp.disconnect(conf);
  }

  /**
   * Sends a message: within the transaction, if there is one. Resolves to the RECEIPT, within a transaction to
   * `undefined`.
   */
  async put(item: string | Uint8Array, destination: string, options: PutOptions = {}): Promise<Frame | undefined> {
    const { persistent = true, conf, ...wait } = options;
    assertGivenBody("put", item);
    return await this.stomp.send({ persistent, ...this.#conf(conf), ...wait, destination, body: item });
  }

  /**
   * Takes the next message of all subscriptions.
   *
   * @throws {Empty} with `block: false` when none is waiting.
   */
  async get(options: GetOptions = {}): Promise<Message> {
    const { block = true, callback, ...wait } = options;
    const read: ReadOptions = { ...wait, nb: !block };
    const message = await this.stomp.receiveFrame(callback, read);
    if (message === undefined) throw new Empty("Cannot get a message: none is waiting");
    return message;
  }

  /**
   * Takes the next message without waiting.
   *
   * @throws {Empty} when none is waiting.
   */
  getNowait(): Promise<Message> {
    return this.get({ block: false });
  }

  /** Subscribes: the messages are for `get`. */
  subscribe(destination: string, options: SimpleSubscribeOptions = {}): Promise<void> {
    const { ack = "auto", conf, ...wait } = options;
    return this.stomp.subscribe({ ...conf, ...wait, destination, ack });
  }

  /** Unsubscribes. */
  unsubscribe(destination: string, options: { conf?: Conf } & WaitOptions = {}): Promise<void> {
    const { conf, ...wait } = options;
    return this.stomp.unsubscribe({ ...conf, ...wait, destination });
  }

  /**
   * Begins a transaction: `put` and `ack` are part of it until `commit` or `abort`.
   *
   * @throws {TransactionError} when there is one already.
   */
  async begin(options: WaitOptions = {}): Promise<void> {
    if (this.#transaction !== undefined || this.#beginning) {
      throw new TransactionError("Cannot begin: there is a transaction already, commit or abort it first");
    }
    this.#beginning = true;
    try {
      this.#transaction = await this.stomp.begin({ ...options });
    } finally {
      this.#beginning = false;
    }
  }

  /**
   * Makes the transaction happen.
   *
   * @throws {TransactionError} when there is none.
   */
  commit(options: WaitOptions = {}): Promise<void> {
    return this.#end("commit", options);
  }

  /**
   * Drops the transaction.
   *
   * @throws {TransactionError} when there is none.
   */
  abort(options: WaitOptions = {}): Promise<void> {
    return this.#end("abort", options);
  }

  /** Acknowledges a message: within the transaction, if there is one. Returns and throws as `message.ack()`. */
  ack(message: Frame, options: WaitOptions = {}): Promise<boolean> {
    return this.stomp.ack(message, { ...options, transaction: this.#transaction });
  }

  /** Disconnects. */
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
      // A call that was given up before it began has ended nothing.
      if (!transaction.isOpen) this.#transaction = undefined;
    }
  }

  #conf(conf: Conf | undefined): Conf {
    return this.#transaction === undefined ? { ...conf } : { ...conf, transaction: this.#transaction.id };
  }
}

export { Simple as Client };
