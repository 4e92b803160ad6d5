/**
 * The worker loop: takes messages, runs a handler, acknowledges.
 *
 * @module
 */
import { checkTimeout, onGiveUp, type WaitOptions } from "../base/deadline.ts";
import { AcknowledgeError, NotConnectedError } from "../base/errors.ts";
import type { Message } from "./message.ts";
import type { SubscribeOptions } from "./stomp_options.ts";
import type { Subscription } from "./subscription.ts";

/** What is done with each message. The signal aborts when the loop is over and nobody waits for the handler any more. */
export type Handler = (message: Message, signal: AbortSignal) => unknown;

/** How a handler that throws is run again. */
export interface RetryOptions {
  /** How often a message is tried in all, before it is refused. Default 1: not again. */
  attempts?: number | undefined;
  /** Milliseconds before the second attempt; doubles with each further one. Default 100. */
  delay?: number | undefined;
}

/** Options of `consume`. */
export interface ConsumeOptions extends Omit<SubscribeOptions, keyof WaitOptions> {
  /**
   * Ends the loop in order: no new messages, handlers finish, their messages are acknowledged, then it unsubscribes.
   */
  signal?: AbortSignal | undefined;
  /** How many messages are handled at the same time. Default 1, which keeps their order. */
  concurrency?: number | undefined;
  /** Whether a handler that throws is run again before the message is refused with NACK. */
  retry?: RetryOptions | undefined;
  /** Headers of that NACK, for example `{ requeue: "false" }`, with which RabbitMQ drops or dead-letters it. */
  nackHeaders?: Readonly<Record<string, string>> | undefined;
  /** Told what a handler threw at its last attempt. The message is refused all the same. */
  onError?: ((error: unknown, message: Message) => void) | undefined;
  /**
   * Milliseconds that handlers may take to finish when the loop ends, however that comes about. Default 10,000. Those
   * that go on are told by their signal, and no longer waited for; the broker delivers their messages again.
   */
  drainTimeout?: number | undefined;
}

/** Fails with a `RangeError` unless the options can be used: before anything is subscribed. */
export function checkConsume({ concurrency = 1, drainTimeout }: ConsumeOptions): void {
  checkTimeout(drainTimeout);
  if (!(concurrency >= 1)) throw new RangeError(`Cannot handle ${concurrency} messages at a time: 1 is the least`);
}

/**
 * Runs the loop until the subscription is over.
 *
 * A message is acknowledged when its handler returns, and refused when it throws. In mode `auto` neither is said.
 *
 * @throws what ended the subscription, if it was not on request; what `onError` throws, and then it is unsubscribed.
 */
export async function runWorker(subscription: Subscription, handler: Handler, options: ConsumeOptions): Promise<void> {
  const { concurrency = 1, signal, drainTimeout = DRAIN_TIMEOUT } = options;
  const ending = new AbortController(); // nothing is tried again
  const over = new AbortController(); // for handlers
  let draining: Promise<void> | undefined;
  let stop: (() => void) | undefined;
  const late = new Promise<void>((resolve) => over.signal.addEventListener("abort", () => resolve(), { once: true }));
  const hurry = () => stop ??= onGiveUp({ timeout: drainTimeout }, "its handlers", () => over.abort());
  const drain = () => {
    hurry();
    ending.abort();
    draining ??= subscription.drain({ timeout: drainTimeout });
    draining.catch(() => {}); // awaited below
  };
  subscription.closed.then(() => over.signal.aborted || hurry()); // also when the client has ended
  if (signal?.aborted) drain();
  signal?.addEventListener("abort", drain, { once: true });
  const work = async () => {
    for (let message = await subscription.take(); message; message = await subscription.take()) {
      await handle(message, handler, subscription, options, ending.signal, over.signal);
    }
  };
  try {
    await Promise.race([Promise.all(Array.from({ length: concurrency }, work)), late]);
    await draining;
    const reason = await subscription.closed;
    if (reason) throw reason;
  } catch (error) {
    ending.abort();
    await subscription.unsubscribe().catch(() => {}); // what went wrong first is what the caller has to know
    throw error;
  } finally {
    signal?.removeEventListener("abort", drain);
    over.abort();
    stop?.();
  }
}

const DRAIN_TIMEOUT = 10_000;
const RETRY_DELAY = 100;

async function handle(
  message: Message,
  handler: Handler,
  subscription: Subscription,
  options: ConsumeOptions,
  ending: AbortSignal,
  over: AbortSignal,
): Promise<void> {
  const { retry = {}, onError } = options;
  const attempts = retry.attempts ?? 1;
  const settles = subscription.ackMode !== "auto";
  for (let attempt = 1;; attempt++) {
    try {
      await handler(message, over);
      break;
    } catch (error) {
      if (attempt < attempts && !ending.aborted) {
        await pause((retry.delay ?? RETRY_DELAY) * 2 ** (attempt - 1), ending);
        if (!ending.aborted) continue;
      }
      if (settles && message.settled === undefined) await settle(() => message.nack({ headers: options.nackHeaders }));
      onError?.(error, message);
      return;
    }
  }
  // The handler may have settled it itself.
  if (settles && message.settled === undefined) await settle(() => message.ack());
}

/** Waits, but not beyond the signal. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}

/** A message whose connection is gone comes again: that ends no loop. */
async function settle(say: () => Promise<void>): Promise<void> {
  try {
    await say();
  } catch (error) {
    if (!(error instanceof AcknowledgeError) && !(error instanceof NotConnectedError)) throw error;
  }
}
