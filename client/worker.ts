/**
 * The worker loop: takes messages, runs a handler, acknowledges.
 *
 * @module
 */
import { checkDelay, checkInteger, checkTime, checkType, describeType } from "../base/checks.ts";
import { afterMacrotask, checkWaitOptions, delay, onGiveUp, type WaitOptions } from "../base/timers.ts";
import { AcknowledgeError } from "../base/errors.ts";
import { type FrameHeadersInit, toHeaders } from "../codec/encoder.ts";
import type { Message } from "./message.ts";
import type { RefusedMessages } from "./ack_tracker.ts";
import type { SubscribeOptions } from "./options.ts";
import type { TunedSubscribeOptions } from "./subscription_registry.ts";
import { accessForWorker, type Subscription, type WorkerAccess } from "./subscription.ts";

/**
 * What is done with each message; `message.attempts` tells how often it was delivered. The signal aborts when the loop is
 * over and nobody waits for the handler any more.
 */
export type MessageHandler = (message: Message, signal: AbortSignal) => unknown;

/** How a handler that throws is run again. */
export interface RetryOptions {
  /** How often one delivery of a message is tried in all, before it is refused: 1 or more. Default 1, not again. */
  attempts?: number | undefined;
  /** Milliseconds before the second attempt, 0 or more; doubles with each further one. Default 100. */
  delay?: number | undefined;
}

/** Options of `consume`. */
export interface ConsumeOptions extends Omit<SubscribeOptions, keyof WaitOptions> {
  /**
   * Ends the loop in order: no new messages, handlers finish, their messages are acknowledged, then it unsubscribes.
   */
  signal?: AbortSignal | undefined;
  /**
   * How many messages are handled at the same time. Default 1, which keeps their order; one that is refused loses its
   * place in it. In mode `client` it has to be 1, because each ACK there counts for all messages before it.
   */
  concurrency?: number | undefined;
  /** Whether a handler that throws is run again before the message is refused with NACK. */
  retry?: RetryOptions | undefined;
  /**
   * Headers of that NACK, for example `{ requeue: "false" }`, with which RabbitMQ drops or dead-letters it.
   *
   * Without that RabbitMQ delivers it again at once. From the second delivery on it is therefore held before it is
   * refused: 100 ms, doubling up to 30 s. Held, it takes no place of the concurrency (but in mode `client`, where it does)
   * and one of the prefetch, so that when more messages fail than `prefetch` allows, the others wait.
   */
  nackHeaders?: FrameHeadersInit | undefined;
  /**
   * Told what a handler threw, when it is not run again for this delivery: the message is refused, or left to the broker
   * because the loop ends or the connection is gone. What this throws ends the loop.
   */
  onError?: ((error: unknown, message: Message) => void) | undefined;
  /**
   * Milliseconds that handlers may take to finish when the loop ends, however that comes about. Default 10,000. Those
   * that go on are told by their signal, and no longer waited for; the broker delivers their messages again.
   */
  drainTimeout?: number | undefined;
}

/** Milliseconds that handlers have to finish, where the options say nothing else. */
const DRAIN_TIMEOUT = 10_000;

/** Milliseconds before the second attempt, where the options say nothing else. */
const RETRY_DELAY = 100;

/** Milliseconds that a message is held before it is refused for the second time; doubles with each further time. */
const FIRST_PAUSE = 100;

/** Milliseconds that a message is held at most. */
const LONGEST_PAUSE = 30_000;

/** Messages that are held without a place of the concurrency: a bound for brokers that know no prefetch. */
const MAX_HELD = 100;

/** Messages that are asked for at the least: with fewer a fast handler waits for each of them to cross the network. */
const LEAST_PREFETCH = 10;

/**
 * Checks what is given to `consume` or `respond`, but for what every subscription has.
 *
 * @returns the options, with headers that can be read more than once.
 * @throws {TypeError} when an argument or an option is of a type that can never work.
 * @throws {RangeError} when a number is out of its range, or the options do not fit together.
 */
export function checkConsume(what: string, handler: unknown, options: ConsumeOptions): ConsumeOptions {
  if (typeof handler !== "function") {
    throw new TypeError(`Cannot ${what}: the handler is ${describeType(handler)}, and has to be a function`);
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
      `Cannot consume: with ack "client" a message that is done acknowledges those before it that are not, so ` +
        `concurrency has to be 1 instead of ${concurrency}; or use ack "client-individual"`,
    );
  }
  return nackHeaders === undefined ? options : { ...options, nackHeaders: toHeaders(nackHeaders) };
}

/** How a worker subscribes: with enough for all handlers, and not with what other workers could do meanwhile. */
export function forWorker(options: ConsumeOptions): TunedSubscribeOptions {
  const usualPrefetch = Math.max(LEAST_PREFETCH, (options.concurrency ?? 1) * 2);
  return { ...options, ack: options.ack ?? "client-individual", usualPrefetch };
}

/**
 * The loop over one subscription.
 *
 * A message is acknowledged when its handler returns, and refused when it throws. In mode `auto` neither is said.
 */
export class Worker {
  readonly #subscription: Subscription;
  readonly #handler: MessageHandler;
  readonly #options: ConsumeOptions;
  readonly #refusedMessages: RefusedMessages;
  readonly #onFailed: ((message: Message, error: unknown) => Promise<boolean>) | undefined;
  readonly #access: WorkerAccess;
  readonly #ending: AbortSignal; // nothing is tried again
  readonly #over = new AbortController(); // nobody waits for the handlers
  readonly #failure = Promise.withResolvers<never>(); // of a message that was held
  #held = 0;
  #drains = 0; // calls of `drain` that are not a handler's
  #waiting = 0; // handlers that wait for a drain
  #draining: Promise<void> | undefined;
  #stop: (() => void) | undefined;

  /**
   * Handles nothing before `run`.
   *
   * @param onFailed what is done with a message in place of refusing it; resolves to whether that was done, and then the
   * message is acknowledged.
   */
  constructor(
    subscription: Subscription,
    handler: MessageHandler,
    options: ConsumeOptions,
    refusedMessages: RefusedMessages,
    onFailed?: (message: Message, error: unknown) => Promise<boolean>,
  ) {
    this.#subscription = subscription;
    this.#handler = handler;
    this.#options = options;
    this.#refusedMessages = refusedMessages;
    this.#onFailed = onFailed;
    this.#access = accessForWorker(subscription);
    this.#ending = this.#access.ending();
  }

  /**
   * Handles messages until the subscription is over.
   *
   * @throws what ended the subscription, if it was not on request; what `onError` throws, and then it is unsubscribed.
   */
  async run(): Promise<void> {
    const { concurrency = 1, signal } = this.#options;
    const over = this.#over.signal;
    const late = new Promise<void>((resolve) => over.addEventListener("abort", () => resolve(), { once: true }));
    this.#subscription.closed.then(() => over.aborted || this.#hurry()); // also when the client has ended
    this.#failure.promise.catch(() => {}); // it may fail when nobody waits any more
    const drain = () => this.#drain();
    if (signal?.aborted) drain();
    signal?.addEventListener("abort", drain, { once: true });
    try {
      const places = Array.from({ length: concurrency }, () => this.#work());
      await Promise.race([Promise.all(places), late, this.#failure.promise]);
      await this.#draining;
      const reason = await this.#subscription.closed;
      if (reason) throw reason;
    } catch (error) {
      await this.#subscription.unsubscribe().catch(() => {}); // what went wrong first is what the caller has to know
      throw error;
    } finally {
      signal?.removeEventListener("abort", drain);
      this.#over.abort();
      this.#stop?.();
    }
  }

  get #isEnding(): boolean {
    return this.#ending.aborted || this.#over.signal.aborted;
  }

  get #settles(): boolean {
    return this.#subscription.ackMode !== "auto";
  }

  #hurry(): void {
    const { drainTimeout = DRAIN_TIMEOUT } = this.#options;
    this.#stop ??= onGiveUp({ timeout: drainTimeout }, "its handlers", () => this.#over.abort());
  }

  #drain(): void {
    this.#hurry();
    this.#drains++;
    this.#draining = this.#subscription.drain({ timeout: this.#options.drainTimeout ?? DRAIN_TIMEOUT });
    this.#draining.catch(() => {}); // awaited in `run`
  }

  async #work(): Promise<void> {
    const subscription = this.#subscription;
    for (let message = await subscription.take(); message; message = await subscription.take()) {
      await this.#handle(message);
    }
  }

  async #handle(message: Message): Promise<void> {
    const { attempts = 1, delay: first = RETRY_DELAY } = this.#options.retry ?? {};
    for (let attempt = 1;; attempt++) {
      try {
        await this.#callHandler(message);
        break;
      } catch (error) {
        if (attempt >= attempts) return await this.#onLastError(message, error);
        if (!await this.#pause(message, first * 2 ** (attempt - 1))) return this.#leave(message, error);
      }
    }
    // The handler may have settled it itself.
    if (this.#settles && message.settled === undefined) await this.#settle(message, () => message.ack());
  }

  /** Calls the handler, and sees to it that no drain waits for a handler that waits for the drain. */
  #callHandler(message: Message): unknown {
    const drains = () => this.#access.drains() - this.#drains;
    const before = drains();
    const result = this.#handler(message, this.#over.signal);
    return drains() === before ? result : this.#letDrainPass(message, result);
  }

  /** The handler has called `drain`. If it is not done at once it may be waiting for it. */
  async #letDrainPass(message: Message, result: unknown): Promise<void> {
    let isDone = false;
    const done = (async () => await result)().finally(() => isDone = true);
    await Promise.race([done, new Promise<void>((resolve) => afterMacrotask(resolve))]);
    if (!isDone) {
      this.#access.letGo(message);
      // In mode auto it waits for the queue to be emptied, which somebody has to be free for.
      if (++this.#waiting === (this.#options.concurrency ?? 1)) this.#access.hurry();
    }
    await done;
  }

  /** The handler has thrown, and is not run again. */
  async #onLastError(message: Message, error: unknown): Promise<void> {
    // What throws while the loop ends may have thrown for that reason.
    if (this.#isEnding || this.#isLost(message)) return this.#leave(message, error);
    const refused = this.#refuse(message, error);
    refused.catch(() => {}); // `onError` may throw first
    this.#options.onError?.(error, message);
    await refused;
  }

  /** The broker gets the message back when the subscription ends; it has it already when the connection is gone. */
  #leave(message: Message, error: unknown): void {
    if (this.#settles) this.#access.letGo(message);
    this.#options.onError?.(error, message);
  }

  async #refuse(message: Message, error: unknown): Promise<void> {
    const isHandled = this.#onFailed !== undefined && await this.#answer(this.#onFailed, message, error);
    if (!this.#settles || message.settled !== undefined) return;
    if (isHandled) return await this.#settle(message, () => message.ack());
    const pause = this.#pauseBefore(message);
    if (pause === 0) return await this.#nack(message);
    const held = this.#hold(message, pause);
    // In mode client a later ACK would count for this message as well, so nothing is handled before it is refused.
    if (this.#held > MAX_HELD || this.#subscription.ackMode === "client") await held;
  }

  /** What goes wrong with the answer is a reason to refuse the message after all. */
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

  /** Holds a message for a while before it is refused. */
  async #hold(message: Message, pause: number): Promise<void> {
    this.#held++;
    message.detach(); // it may be for long
    try {
      if (await this.#pause(message, pause)) await this.#nack(message);
      else this.#access.letGo(message);
    } catch (error) {
      this.#failure.reject(error);
    } finally {
      this.#held--;
    }
  }

  /** Milliseconds that a message is held before it is refused: so long that it does not come again at once for ever. */
  #pauseBefore(message: Message): number {
    if (toHeaders(this.#options.nackHeaders)["requeue"] === "false") return 0; // it does not come again
    const again = this.#refusedMessages.attempts(message) - 1;
    if (again < 1) return 0;
    const pause = Math.min(FIRST_PAUSE * 2 ** (again - 1), LONGEST_PAUSE);
    const last = this.#refusedMessages.lastRefused(message);
    return last === undefined ? pause : Math.max(0, last + pause - performance.now());
  }

  /** Waits, unless the loop ends, or the message is gone with its connection. Resolves to whether the time has passed. */
  #pause(message: Message, milliseconds: number): Promise<boolean> {
    const ends = [this.#ending, this.#over.signal];
    return delay(milliseconds, this.#settles ? [...ends, this.#access.lost(message)] : ends);
  }

  #isLost(message: Message): boolean {
    return this.#settles && this.#access.lost(message).aborted;
  }

  #nack(message: Message): Promise<void> {
    return this.#settle(message, () => message.nack({ headers: this.#options.nackHeaders }));
  }

  /**
   * A message that cannot be settled comes again: that ends no loop, but in mode `client`, where the next ACK would count
   * for it. So it is in STOMP 1.0, which has no NACK.
   */
  async #settle(message: Message, say: () => Promise<boolean>): Promise<void> {
    try {
      await say();
    } catch (error) {
      const isHarmless = this.#isEnding || this.#subscription.ackMode !== "client";
      if (!isHarmless || !(error instanceof AcknowledgeError)) throw error;
      this.#access.letGo(message);
    }
  }
}
