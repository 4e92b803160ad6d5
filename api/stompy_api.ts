/**
 * `StompyApi`: the calls that work as in stompy. A conf, `{ destination, body, …headers }`, says what a frame holds,
 * the program can send its own frames, and the messages of all subscriptions wait in one queue.
 *
 * @module
 */
import { readAckMode } from "../session/acknowledgement.ts";
import { beginSteps, type ReadOptions, type WaitOptions, within } from "../base/timers.ts";
import { NotConnectedError, type StompError, SubscriptionError } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import { BoundedQueue } from "../base/bounded_queue.ts";
import { checkRawFrame } from "../session/raw_frames.ts";
import type { Session } from "../session/session.ts";
import { consumerOf } from "../client/consumer.ts";
import type { Message } from "../client/message.ts";
import { type Conf, type DestinationConf, readConf, type TransactionConf } from "../client/options.ts";
import type { Reconnector } from "../client/reconnector.ts";
import type { Sender } from "../client/sender.ts";
import type { SubscriptionRegistry } from "../client/subscription_registry.ts";
import type { Transactions } from "../client/transaction_registry.ts";

/** The calls of one client that work as in stompy. */
export class StompyApi {
  readonly #reconnector: Reconnector;
  readonly #sender: Sender;
  readonly #transactions: Transactions;
  readonly #subscriptions: SubscriptionRegistry;
  readonly #timeout: number;
  #createdQueue: BoundedQueue<Message> | undefined; // most clients need none, and it takes 1 % of their memory

  /**
   * Creates the calls of a client.
   *
   * @param timeout milliseconds that a call without a timeout may take.
   */
  constructor(
    reconnector: Reconnector,
    sender: Sender,
    transactions: Transactions,
    subscriptions: SubscriptionRegistry,
    timeout: number,
  ) {
    this.#reconnector = reconnector;
    this.#sender = sender;
    this.#transactions = transactions;
    this.#subscriptions = subscriptions;
    this.#timeout = timeout;
  }

  /** Stops reading from a new session while the queue is full. */
  open(session: Session): void {
    const queue = this.#createdQueue;
    if (queue !== undefined && queue.fill !== "free") session.gate.close(queue, queue.fill === "blocked");
  }

  /** Ends the queue, because the client is closed. */
  end(reason: StompError | undefined): void {
    this.#createdQueue?.end(reason);
  }

  /** Sends the message of a conf, in its `transaction` if it names one. */
  send(conf: DestinationConf): Promise<Frame | undefined> {
    const { headers: { destination = "", transaction, ...headers }, body, wait } = readConf(conf);
    return transaction === undefined
      ? this.#sender.send(destination, body, { ...wait, headers })
      : this.#transactions.send(destination, body, { ...wait, headers, transaction });
  }

  /** Subscribes. The messages are for {@linkcode receive}. */
  async subscribe(conf: DestinationConf): Promise<void> {
    const { receipt, ...rest } = conf;
    const isUnconfirmed = receipt === false; // any other value is the id of the receipt
    const { headers: { destination = "", ack, id, ...headers }, wait } = readConf(isUnconfirmed ? rest : conf);
    const options = { ...wait, ack: readAckMode(ack), id, headers, ...(isUnconfirmed && { receipt }) };
    await this.#subscriptions.subscribe(destination, options, this.#queue);
  }

  /** Unsubscribes, by `id` or `destination`. */
  async unsubscribe(conf: Conf): Promise<void> {
    const { headers: { destination, id, ...headers }, wait } = readConf(conf);
    const subscription = this.#subscriptions.find(id, destination);
    if (subscription) return await subscription.unsubscribe({ ...wait, headers });
    this.#reconnector.check("unsubscribe");
    throw new SubscriptionError(`Cannot unsubscribe from ${destination ?? id}: there is no such subscription`);
  }

  /** Commits or aborts the transaction that a conf names. */
  async endTransaction(how: "commit" | "abort", conf: TransactionConf): Promise<void> {
    const { headers: { transaction, ...headers }, wait } = readConf(conf);
    await this.#transactions.find(transaction, how)[how]({ ...wait, headers });
  }

  /** Takes the next message of all subscriptions by conf, and passes it to the callback. */
  async receive(
    callback: ((message: Message) => unknown) | null | undefined,
    options: ReadOptions,
  ): Promise<Message | undefined> {
    this.#reconnector.check("receive");
    const note = (message: Message) => consumerOf(message).noteTaken(message);
    const message = await this.#queue.take({ ...options, clock: this.#reconnector.clock }, "a message", note);
    if (message === undefined && !options.nb) throw new NotConnectedError("Cannot receive: the client is closed");
    if (message === undefined) return undefined;
    await callback?.(message);
    return message;
  }

  /**
   * Sends a raw frame. Resolves to its RECEIPT when it asks for one.
   *
   * @throws {TypeError} when it is CONNECT or DISCONNECT.
   */
  async sendFrame(frame: Frame, options: WaitOptions): Promise<Frame | undefined> {
    checkRawFrame(frame);
    const subscriptions = this.#subscriptions;
    const left = beginSteps(options, this.#timeout, this.#reconnector.clock);
    const { destination, id, ack, ...headers } = frame.headers;
    if (frame.command === "SUBSCRIBE") {
      const subscribe = { ...left(), ack: readAckMode(ack), id, headers };
      const subscription = await subscriptions.subscribe(destination ?? "", subscribe, this.#queue);
      return "receipt" in headers ? await subscriptions.receiptOf(subscription) : undefined;
    }
    const session = await this.#reconnector.ready(`send ${frame.command}`, left());
    const ended = frame.command === "UNSUBSCRIBE" ? subscriptions.find(id, destination) : undefined;
    const sent = ended && id === undefined ? withId(frame, ended.id) : frame;
    if ("receipt" in headers) {
      const receipt = session.request(sent, left());
      if (ended) subscriptions.dismiss(ended);
      return await receipt;
    }
    const ready = session.send(sent);
    if (ended) subscriptions.dismiss(ended);
    await within(Promise.resolve(ready), left(), `the connection to accept ${frame.command}`);
    return undefined;
  }

  /** The messages of all subscriptions by conf. */
  get #queue(): BoundedQueue<Message> {
    return this.#createdQueue ??= new BoundedQueue<Message>(this.#subscriptions.backlog, (fill, message) => {
      const { session } = this.#reconnector;
      if (fill === "free") session?.gate.open(this.#queue);
      else session?.gate.close(this.#queue, fill === "blocked");
      if (message) consumerOf(message).reportSlow(fill === "blocked");
    });
  }
}

/** Copies a frame with an id, because the frame is the caller's. */
function withId({ command, headers }: Frame, id: string): Frame {
  return new Frame().buildFrame({ command, headers: { ...headers, id } });
}
