/**
 * `Subscription`: the messages of one destination, for as long as the client lives.
 *
 * @module
 */
import { beginSteps, checkWaitOptions, type WaitOptions, within } from "../base/timers.ts";
import { type StompError, TimeoutError } from "../base/errors.ts";
import type { AckMode } from "../codec/protocol.ts";
import type { Consumer } from "./consumer.ts";
import type { Message } from "./message.ts";
import type { UnsubscribeOptions } from "./options.ts";

/** Milliseconds that a drain may take by default. */
const DRAIN_TIMEOUT_MS = 10_000;

const DONE: Promise<void> = Promise.resolve();

/** What the worker loop can do with a subscription, beyond its public members. */
export interface WorkerAccess {
  /** The inside of the subscription. */
  readonly consumer: Consumer;
  /** Aborts when the subscription starts ending, for whatever reason. */
  readonly endSignal: AbortSignal;
  /** Returns how often `drain` was called. */
  drainCalls(): number;
  /** Stops a drain from waiting for messages to be taken or acknowledged. */
  abortDrain(): void;
}

/** Gives the worker loop access to a subscription. */
export let accessForWorker: (subscription: Subscription) => WorkerAccess;

/** Ends a subscription that is not subscribed any more: its iteration, and its `closed`. */
export let endSubscription: (subscription: Subscription, error?: StompError) => void;

/**
 * A subscription. Iterate it, or read its `readable`; leaving a `for await` loop unsubscribes.
 *
 * A subscription survives a lost connection: the client subscribes again on the next one.
 */
export class Subscription implements AsyncIterableIterator<Message>, AsyncDisposable {
  /** The id in the SUBSCRIBE. */
  readonly id: string;
  /** The destination. */
  readonly destination: string;
  /** How messages are acknowledged. */
  readonly ackMode: AckMode;

  readonly #consumer: Consumer;
  #state: "active" | "ending" | "ended" = "active";
  #ending: Promise<void> | undefined; // of the `unsubscribe` or `drain` that came first
  #reason: StompError | undefined;
  #closed: PromiseWithResolvers<StompError | undefined> | undefined;
  #endSignal: AbortController | undefined; // since a worker asked for it
  #drainAborted: PromiseWithResolvers<void> | undefined; // since a drain began
  #drainCalls = 0;
  #readable: ReadableStream<Message> | undefined;

  static {
    accessForWorker = (subscription) => ({
      consumer: subscription.#consumer,
      endSignal: subscription.#signalEnd(),
      drainCalls: () => subscription.#drainCalls,
      abortDrain: () => subscription.#drainAborted?.resolve(),
    });
    endSubscription = (subscription, error) => subscription.#end(error);
  }

  /** Created by `stomp.subscribe()`. */
  constructor(consumer: Consumer) {
    this.id = consumer.id;
    this.destination = consumer.destination;
    this.ackMode = consumer.ackMode;
    this.#consumer = consumer;
    consumer.subscription = this;
  }

  /** Resolves when the subscription has ended: to the error that ended it, or `undefined`. Never rejects. */
  get closed(): Promise<StompError | undefined> {
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers();
      if (this.#state === "ended") this.#closed.resolve(this.#reason);
    }
    return this.#closed.promise;
  }

  /** Messages received so far. */
  get received(): number {
    return this.#consumer.received;
  }

  /** Messages for which ACK or NACK was sent. In mode `client` one stands for all before it. */
  get acknowledged(): number {
    return this.#consumer.tracker?.count ?? 0;
  }

  /**
   * Acknowledgements that came too late, after the connection of their message was lost: `ack` and `nack` resolved to
   * `false`, and the broker delivers these messages again.
   */
  get stale(): number {
    return this.#consumer.tracker?.stale ?? 0;
  }

  /** Received messages that wait to be taken. */
  get queued(): number {
    return this.#consumer.queued;
  }

  /** Whether the queue is full, so that the client reads on only for answers that it awaits. */
  get full(): boolean {
    return this.#consumer.fill !== "free";
  }

  /** Whether the queue is so far over its limits that the client stops reading entirely. */
  get blocked(): boolean {
    return this.#consumer.fill === "blocked";
  }

  /**
   * The messages as a stream. Cancelling it unsubscribes. Use either the stream or the iterator.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "an order");
   * const orders = await stomp.subscribe("/queue/orders");
   * const reader = orders.readable.getReader();
   * console.log((await reader.read()).value?.text()); // an order
   * await reader.cancel();
   * ```
   */
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

  /**
   * Takes the next message, and waits for one when none is queued.
   *
   * @returns the message; `undefined` after the subscription has ended without an error.
   * @throws {StompError} the error that ended the subscription.
   * @throws {TimeoutError} when no message comes within `timeout` milliseconds. By default there is no limit.
   * @throws {RangeError} when `timeout` is negative or NaN.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "an order");
   * const orders = await stomp.subscribe("/queue/orders");
   * const message = await orders.take({ timeout: 5000 });
   * console.log(message?.text()); // an order
   * ```
   */
  take(options: WaitOptions = {}): Promise<Message | undefined> {
    return this.#consumer.take(options);
  }

  /**
   * Takes the next message that is queued already, without waiting for one.
   *
   * @returns the message; `undefined` when none is queued.
   * @throws {StompError} the error that ended the subscription.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const orders = await stomp.subscribe("/queue/orders");
   * for (let message = await orders.poll(); message; message = await orders.poll()) {
   *   console.log(message.text());
   * }
   * ```
   */
  poll(): Promise<Message | undefined> {
    return this.#consumer.take({ nb: true });
  }

  /**
   * Takes the next message for `for await`.
   *
   * @returns the message, or the end of the iteration after the subscription has ended without an error.
   * @throws {StompError} the error that ended the subscription.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "an order");
   * for await (const message of await stomp.subscribe("/queue/orders")) {
   *   console.log(message.text()); // an order
   *   break; // unsubscribes
   * }
   * ```
   */
  next(): Promise<IteratorResult<Message, undefined>> {
    return this.#consumer.next();
  }

  /**
   * Ends the iteration and unsubscribes. `for await` calls it when the loop is left.
   *
   * @throws {StompError} as {@linkcode unsubscribe}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const orders = await stomp.subscribe("/queue/orders");
   * console.log((await orders.return()).done); // true
   * ```
   */
  return(): Promise<IteratorResult<Message, undefined>> {
    return this.#consumer.return();
  }

  /** Returns an iterator over the messages. All iterators of a subscription share its queue. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    return this.#consumer; // and not the subscription: with 10,000 of them each object that a message touches counts
  }

  /**
   * Ends the subscription at once, even while it drains. Messages that were not taken are dropped; the broker delivers
   * them again unless the mode is `auto`. Idempotent.
   *
   * @throws {TypeError} when `deleteDurable` is set and the subscription is not durable, or a header cannot be encoded.
   * Like a signal that has aborted already, this leaves the subscription as it was.
   * @throws {NotConnectedError} when `deleteDurable` is set and there is no connection.
   * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
   * @throws {BrokerErrorResponse} when the broker refuses; the subscription has ended all the same.
   * @throws {TimeoutError} when the broker does not confirm in time; the subscription has ended all the same.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const orders = await stomp.subscribe("/queue/orders");
   * await orders.unsubscribe();
   * ```
   */
  unsubscribe(options: UnsubscribeOptions = {}): Promise<void> {
    if (this.#state === "ended") return this.#ending ?? DONE;
    if (this.#ending) {
      this.#consumer.discardAll();
      this.#drainAborted?.resolve();
      return this.#ending;
    }
    try {
      return this.#begin(this.#leave(this.#consumer.unsubscribe(options)));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Ends the subscription gracefully, so that no message is lost or handled twice. Idempotent.
   *
   * In mode `auto` it unsubscribes, lets the program take the messages that wait, and then ends the iteration. In the
   * other modes the iteration ends at once, because a message cannot be acknowledged once its subscription is gone:
   * messages that were taken can still be acknowledged, and when all are, it unsubscribes. The broker delivers those that
   * were not taken to other consumers. Messages of a transaction that was aborted or has failed are not waited for.
   *
   * A handler of `consume` or `respond` may call it: its own message is not waited for when it calls before its first
   * `await`. After that it has to acknowledge the message first, or the drain takes its whole timeout.
   *
   * @param options `timeout`: milliseconds after which it unsubscribes in any case, 10,000 by default. It also
   * unsubscribes when the signal aborts.
   * @throws {RangeError} when `timeout` is negative or NaN.
   * @throws {BrokerErrorResponse} when the broker refuses the UNSUBSCRIBE; the subscription has ended all the same.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "an order");
   * const orders = await stomp.subscribe("/queue/orders", { ack: "client-individual" });
   * const message = await orders.take();
   * const drained = orders.drain({ timeout: 5000 });
   * await message?.ack();
   * await drained;
   * ```
   */
  drain(options: WaitOptions = {}): Promise<void> {
    try {
      checkWaitOptions(options);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#drainCalls++;
    if (this.#state === "ended") return this.#ending ?? DONE;
    return this.#ending ?? this.#begin(this.#drain(options));
  }

  /** Unsubscribes, as {@linkcode unsubscribe}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  #begin(ending: Promise<void>): Promise<void> {
    if (this.#state === "active") this.#state = "ending";
    this.#endSignal?.abort();
    return this.#ending = ending;
  }

  #end(error?: StompError): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#reason = error;
    this.#consumer.end(error);
    this.#drainAborted?.resolve();
    this.#endSignal?.abort();
    this.#closed?.resolve(error);
  }

  #signalEnd(): AbortSignal {
    const controller = this.#endSignal ??= new AbortController();
    if (this.#state !== "active") controller.abort();
    return controller.signal;
  }

  /** Ends the iteration now, and the subscription when UNSUBSCRIBE was answered. */
  async #leave(unsubscribed: Promise<void>): Promise<void> {
    this.#consumer.discardAll();
    this.#consumer.endQueue();
    try {
      await unsubscribed;
    } finally {
      this.#end();
    }
  }

  async #drain({ signal, timeout = DRAIN_TIMEOUT_MS }: WaitOptions): Promise<void> {
    const consumer = this.#consumer;
    const left = beginSteps({ timeout }, Infinity, consumer.context.clock);
    const aborted = this.#drainAborted = Promise.withResolvers<void>();
    // A drain has to end: when the time is over it continues with the next step.
    const until = (done: Promise<void>, what: string) => within(done, { ...left(), signal }, what).catch(() => {});
    const unlessAborted = (done: Promise<void>) => Promise.race([done, aborted.promise]);
    let refusal: unknown;
    const unsubscribe = async () => {
      if (this.#state === "ended") return;
      const unsubscribed = consumer.unsubscribe(left());
      unsubscribed.catch((error) => refusal = error);
      await until(unsubscribed, "the receipt of UNSUBSCRIBE");
    };
    try {
      if (consumer.tracker === undefined) {
        // For the broker the messages under way are delivered, so the program gets them as well.
        await unsubscribe();
        consumer.endQueue();
        await until(unlessAborted(consumer.whenEmpty()), "its messages to be taken");
      } else {
        consumer.discardAll();
        consumer.endQueue();
        await until(unlessAborted(consumer.tracker.whenSettled()), "its messages to be acknowledged");
        await unsubscribe();
      }
    } finally {
      this.#end();
    }
    if (refusal !== undefined && !(refusal instanceof TimeoutError)) throw refusal;
  }
}
