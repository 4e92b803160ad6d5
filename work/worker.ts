/**
 * The worker loop: takes messages, runs a handler, acknowledges.
 *
 * @module
 */
import { checkDelay, checkInteger, checkTime, checkType, describeType } from "../base/checks.ts";
import { afterMacrotask, checkWaitOptions, delay, onGiveUp, type WaitOptions } from "../base/timers.ts";
import { AcknowledgeError } from "../base/errors.ts";
import { type FrameHeadersInit, toHeaders } from "../codec/encoder.ts";
import type { Consumer } from "../client/consumer.ts";
import { type Message, settledBy } from "../client/message.ts";
import type { SubscribeOptions } from "../client/options.ts";
import { accessForWorker, type Subscription, type WorkerAccess } from "../client/subscription.ts";
import type { TunedSubscribeOptions } from "../client/subscribe_request.ts";

/**
 * Handles one message; `message.attempts` tells how often it was delivered. The signal aborts when the loop has ended and
 * no longer waits for the handler.
 */
export type MessageHandler = (message: Message, signal: AbortSignal) => unknown;

/** When a handler that throws is run again. */
export interface RetryOptions {
  /**
   * How often the handler runs for one delivery of a message before the message is refused: 1 or more.
   *
   * @default {1}
   */
  attempts?: number | undefined;
  /**
   * Milliseconds before the second attempt, 0 or more; doubles with each further one.
   *
   * @default {100}
   */
  delay?: number | undefined;
}

/** Options of `stomp.consume()` and `stomp.respond()`. */
export interface ConsumeOptions extends Omit<SubscribeOptions, keyof WaitOptions> {
  /**
   * Ends the loop gracefully: no new messages are handled, handlers finish, their messages are acknowledged, and then
   * it unsubscribes.
   *
   * @default {undefined}
   */
  signal?: AbortSignal | undefined;
  /**
   * How many messages are handled at the same time: 1 or more. 1 keeps their order, except for a message that is refused.
   * In mode `client` it has to be 1, because there each ACK also acknowledges all messages before it.
   *
   * @default {1}
   */
  concurrency?: number | undefined;
  /**
   * When a handler that throws is run again before the message is refused with NACK. By default it is not.
   *
   * @default {{ attempts: 1 }}
   */
  retry?: RetryOptions | undefined;
  /**
   * Headers of that NACK, for example `{ requeue: "false" }`, with which RabbitMQ drops or dead-letters the message.
   *
   * Without that RabbitMQ delivers the message again at once. From its second delivery on it is therefore refused with a
   * delay: 100 ms, doubling up to 30 s. A delayed message does not count against the concurrency, except in mode `client`,
   * but it counts against the prefetch. So when more messages fail than `prefetch` allows, the others wait.
   *
   * Artemis drops what is refused. Unless `{ requeue: "false" }` asks for that, the handler runs again instead of a NACK,
   * with the same delays from the first time on, and the message counts against the concurrency meanwhile.
   *
   * @default {{}}
   */
  nackHeaders?: FrameHeadersInit | undefined;
  /**
   * Called with what a handler threw, when it is not run again for this delivery: the message is refused, or left to the
   * broker because the loop ends or the connection is lost. An error that this throws ends the loop.
   *
   * @default {undefined}
   */
  onError?: ((error: unknown, message: Message) => void) | undefined;
  /**
   * Milliseconds that handlers may take to finish when the loop ends, for whatever reason. After that their signal aborts,
   * the loop no longer waits for them, and the broker delivers their messages again.
   *
   * @default {10_000}
   */
  drainTimeout?: number | undefined;
}

const DEFAULT_DRAIN_TIMEOUT_MS = 10_000;
const DEFAULT_RETRY_DELAY_MS = 100;

/** Delay before a message is refused for the second time; doubles with each further time. */
const MIN_NACK_DELAY_MS = 100;

const MAX_NACK_DELAY_MS = 30_000;

/** Delayed messages outside the concurrency: a bound for brokers without a prefetch. */
const MAX_DELAYED_MESSAGES = 100;

/** With a smaller prefetch a fast handler waits for each message to cross the network. */
const MIN_PREFETCH = 10;

/**
 * Checks what is given to `consume` or `respond`, except for the options of every subscription.
 *
 * @returns the options, with headers that can be read more than once.
 * @throws {TypeError} when an argument or an option is of the wrong type.
 * @throws {RangeError} when a number is out of range, or the options do not fit together.
 */
export function checkConsume(what: string, handler: unknown, options: ConsumeOptions): ConsumeOptions {
  if (typeof handler !== "function") {
    throw new TypeError(`Cannot ${what}: the handler is ${describeType(handler)}, but must be a function`);
  }
  checkType(what, "options", options, "object", "an object");
  const { ack, concurrency = 1, drainTimeout, nackHeaders, onError, retry = {}, signal } = options;
  checkWaitOptions({ signal });
  checkTime(what, "drainTimeout", drainTimeout);
  checkType(what, "onError", onError, "function");
  checkType(what, "retry", retry, "object", "an object");
  checkDelay(what, "retry.delay", retry.delay);
  if (retry.attempts !== Infinity) checkInteger(what, "retry.attempts", retry.attempts, 1);
  checkInteger(what, "concurrency", concurrency, 1);
  if (ack === "client" && concurrency > 1) {
    throw new RangeError(
      `Cannot ${what}: concurrency is ${concurrency}, but must be 1 with ack "client", where each ACK also ` +
        `acknowledges all messages before it; or use ack "client-individual"`,
    );
  }
  return nackHeaders === undefined ? options : { ...options, nackHeaders: toHeaders(nackHeaders) };
}

/** Returns how a worker subscribes: with a prefetch for all its handlers, which leaves other workers the rest. */
export function forWorker(options: ConsumeOptions): TunedSubscribeOptions {
  const usualPrefetch = Math.max(MIN_PREFETCH, (options.concurrency ?? 1) * 2);
  return { ...options, ack: options.ack ?? "client-individual", usualPrefetch };
}

/**
 * The loop over one subscription.
 *
 * A message is acknowledged when its handler returns, and refused when it throws. Mode `auto` does neither.
 */
export class Worker {
  readonly #subscription: Subscription;
  readonly #handler: MessageHandler;
  readonly #options: ConsumeOptions;
  readonly #onFailed: ((message: Message, error: unknown) => Promise<boolean>) | undefined;
  readonly #access: WorkerAccess;
  readonly #consumer: Consumer;
  readonly #abandon = new AbortController(); // aborts when the loop no longer waits for its handlers
  readonly #failure = Promise.withResolvers<never>(); // of a delayed message
  readonly #reruns = new WeakMap<Message, number>();
  #delayed = 0;
  #ownDrainCalls = 0; // those that no handler made
  #drainingHandlers = 0; // handlers that wait for a drain
  #draining: Promise<void> | undefined;
  #cancelDrainTimeout: (() => void) | undefined;

  /**
   * Creates a loop. `run` starts it.
   *
   * @param onFailed handles a message instead of refusing it. Resolves to whether it did; then the message is
   * acknowledged.
   */
  constructor(
    subscription: Subscription,
    handler: MessageHandler,
    options: ConsumeOptions,
    onFailed?: (message: Message, error: unknown) => Promise<boolean>,
  ) {
    this.#subscription = subscription;
    this.#handler = handler;
    this.#options = options;
    this.#onFailed = onFailed;
    this.#access = accessForWorker(subscription);
    this.#consumer = this.#access.consumer;
  }

  /**
   * Handles messages until the subscription has ended.
   *
   * @throws what ended the subscription, if it was not on request; what `onError` throws, and then it is unsubscribed.
   */
  async run(): Promise<void> {
    const { concurrency = 1, signal } = this.#options;
    const abandon = this.#abandon.signal;
    const abandoned = new Promise<void>((resolve) =>
      abandon.addEventListener("abort", () => resolve(), { once: true })
    );
    this.#subscription.closed.then(() => abandon.aborted || this.#limitHandlers()); // also when the client ends
    this.#failure.promise.catch(() => {}); // it may reject after the loop has ended
    const drain = () => this.#drain();
    if (signal?.aborted) drain();
    signal?.addEventListener("abort", drain, { once: true });
    try {
      const loops = Array.from({ length: concurrency }, () => this.#work());
      await Promise.race([Promise.all(loops), abandoned, this.#failure.promise]);
      await this.#draining;
      const reason = await this.#subscription.closed;
      if (reason) throw reason;
    } catch (error) {
      await this.#subscription.unsubscribe().catch(() => {}); // the caller has to see the first failure
      throw error;
    } finally {
      signal?.removeEventListener("abort", drain);
      this.#abandon.abort();
      this.#cancelDrainTimeout?.();
    }
  }

  get #isEnding(): boolean {
    return this.#access.endSignal.aborted || this.#abandon.signal.aborted;
  }

  get #acknowledges(): boolean {
    return this.#subscription.ackMode !== "auto";
  }

  get #drainTimeout(): number {
    return this.#options.drainTimeout ?? DEFAULT_DRAIN_TIMEOUT_MS;
  }

  /** Waits for the handlers no longer than `drainTimeout` from now on. */
  #limitHandlers(): void {
    const timeout = this.#drainTimeout;
    const { clock } = this.#consumer.context;
    this.#cancelDrainTimeout ??= onGiveUp({ timeout, clock }, "its handlers", () => this.#abandon.abort());
  }

  #drain(): void {
    this.#limitHandlers();
    this.#ownDrainCalls++;
    this.#draining = this.#subscription.drain({ timeout: this.#drainTimeout });
    this.#draining.catch(() => {}); // awaited in `run`
  }

  async #work(): Promise<void> {
    const subscription = this.#subscription;
    for (let message = await subscription.take(); message; message = await subscription.take()) {
      await this.#handle(message);
    }
  }

  async #handle(message: Message): Promise<void> {
    const { attempts = 1, delay: first = DEFAULT_RETRY_DELAY_MS } = this.#options.retry ?? {};
    for (let attempt = 1;; attempt++) {
      try {
        await this.#callHandler(message);
        break;
      } catch (error) {
        if (attempt >= attempts) return await this.#onLastError(message, error);
        if (!await this.#wait(message, first * 2 ** (attempt - 1))) return this.#leave(message, error);
      }
    }
    // The handler may have acknowledged it itself.
    if (this.#acknowledges && settledBy(message) === undefined) await this.#settle(message, () => message.ack());
  }

  /** Calls the handler, so that no drain waits for a handler that waits for the drain. */
  #callHandler(message: Message): unknown {
    const drainCalls = () => this.#access.drainCalls() - this.#ownDrainCalls;
    const before = drainCalls();
    const result = this.#handler(message, this.#abandon.signal);
    return drainCalls() === before ? result : this.#letDrainPass(message, result);
  }

  /** Keeps the drain that a handler called from waiting for it: unless it ends at once it may wait for the drain. */
  async #letDrainPass(message: Message, result: unknown): Promise<void> {
    let isDone = false;
    const done = (async () => await result)().finally(() => isDone = true);
    await Promise.race([done, new Promise<void>((resolve) => afterMacrotask(resolve))]);
    if (!isDone) {
      this.#consumer.tracker?.abandon(message);
      // In mode auto a drain waits for the queue to be empty, and no handler is left that could empty it.
      if (++this.#drainingHandlers === (this.#options.concurrency ?? 1)) this.#access.abortDrain();
    }
    await done;
  }

  /** Refuses a message whose handler threw and is not run again. */
  async #onLastError(message: Message, error: unknown): Promise<void> {
    // A handler that throws while the loop ends may have thrown for that reason.
    if (this.#isEnding || this.#isLost(message)) return this.#leave(message, error);
    const refused = this.#refuse(message, error);
    refused.catch(() => {}); // `onError` may throw first
    this.#options.onError?.(error, message);
    await refused;
  }

  /** Leaves a message to the broker, which gets it back with the end of the subscription or of the connection. */
  #leave(message: Message, error: unknown): void {
    this.#consumer.tracker?.abandon(message);
    this.#options.onError?.(error, message);
  }

  async #refuse(message: Message, error: unknown): Promise<void> {
    const isHandled = this.#onFailed !== undefined && await this.#answer(this.#onFailed, message, error);
    if (!this.#acknowledges || settledBy(message) !== undefined) return;
    if (isHandled) return await this.#settle(message, () => message.ack());
    if (this.#isNackLoss) return await this.#runAgain(message);
    const milliseconds = this.#nackDelay(message);
    if (milliseconds === 0) return await this.#nack(message);
    const delayed = this.#nackLater(message, milliseconds);
    // In mode client a later ACK would count for this message as well, so nothing is handled before it is refused.
    if (this.#delayed > MAX_DELAYED_MESSAGES || this.#subscription.ackMode === "client") await delayed;
  }

  /** Resolves to `false` when the answer fails, so that the message is refused. */
  async #answer(
    onFailed: (message: Message, error: unknown) => Promise<boolean>,
    message: Message,
    error: unknown,
  ): Promise<boolean> {
    try {
      return await onFailed(message, error);
    } catch {
      return false;
    }
  }

  /** Whether the broker would drop a message that is refused. */
  get #isNackLoss(): boolean {
    const isWanted = toHeaders(this.#options.nackHeaders)["requeue"] === "false";
    return !isWanted && this.#consumer.tracker?.whyNoNack !== undefined;
  }

  /** Handles a message again after a delay, instead of a redelivery. */
  async #runAgain(message: Message): Promise<void> {
    const before = this.#reruns.get(message) ?? 0;
    this.#reruns.set(message, before + 1);
    if (await this.#wait(message, Math.min(MIN_NACK_DELAY_MS * 2 ** before, MAX_NACK_DELAY_MS))) {
      await this.#handle(message);
    } else {
      this.#consumer.tracker?.abandon(message);
    }
  }

  async #nackLater(message: Message, milliseconds: number): Promise<void> {
    this.#delayed++;
    message.detach(); // it may wait for long
    try {
      if (await this.#wait(message, milliseconds)) await this.#nack(message);
      else this.#consumer.tracker?.abandon(message);
    } catch (error) {
      this.#failure.reject(error);
    } finally {
      this.#delayed--;
    }
  }

  /** Returns the milliseconds before a message is refused, so that it is not redelivered at once forever. */
  #nackDelay(message: Message): number {
    if (toHeaders(this.#options.nackHeaders)["requeue"] === "false") return 0; // it does not come again
    const { clock, refused } = this.#consumer.context;
    const refusals = refused.attempts(message) - 1;
    if (refusals < 1) return 0;
    const milliseconds = Math.min(MIN_NACK_DELAY_MS * 2 ** (refusals - 1), MAX_NACK_DELAY_MS);
    const last = refused.lastRefused(message);
    return last === undefined ? milliseconds : Math.max(0, last + milliseconds - clock.now());
  }

  /** Waits, unless the loop ends or the connection of the message is lost. Resolves to whether the time has passed. */
  #wait(message: Message, milliseconds: number): Promise<boolean> {
    const signals = [this.#access.endSignal, this.#abandon.signal];
    if (this.#acknowledges) signals.push(this.#consumer.lossSignal(message));
    return delay(milliseconds, signals, this.#consumer.context.clock);
  }

  #isLost(message: Message): boolean {
    return this.#acknowledges && this.#consumer.lossSignal(message).aborted;
  }

  #nack(message: Message): Promise<void> {
    return this.#settle(message, () => message.nack({ headers: this.#options.nackHeaders }));
  }

  /**
   * Acknowledges or refuses a message. One for which that is impossible comes again, so it does not end the loop, except
   * in mode `client`, where the next ACK would count for it. NACK on STOMP 1.0 is such a case.
   */
  async #settle(message: Message, acknowledge: () => Promise<boolean>): Promise<void> {
    try {
      await acknowledge();
    } catch (error) {
      const isHarmless = this.#isEnding || this.#subscription.ackMode !== "client";
      if (!isHarmless || !(error instanceof AcknowledgeError)) throw error;
      this.#consumer.tracker?.abandon(message);
    }
  }
}
