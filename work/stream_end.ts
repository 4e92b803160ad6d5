/**
 * Finds the end of a stream, as an offset that means the same on every connection.
 *
 * @module
 */
import { SubscriptionError, TimeoutError } from "../base/errors.ts";
import type { StepOptions, WaitOptions } from "../base/timers.ts";
import type { StreamFilter, StreamPosition } from "../dialects/stream.ts";
import type { Session } from "../session/session.ts";
import type { Message } from "../client/message.ts";
import type { Subscription } from "../client/subscription.ts";

/** A stream, as the broker that is connected reads it. */
export interface StreamSource {
  /** The stream. */
  readonly destination: string;
  /** The session that is open, if there is one. */
  readonly session: Session | undefined;
  /** Subscribes, without a filter unless one is given. */
  subscribe(
    position: () => StreamPosition,
    prefetch: number,
    wait: WaitOptions,
    filter?: StreamFilter,
  ): Promise<Subscription>;
}

/** How far ahead the last batch is read. */
const READ_AHEAD = 1000;

/** A stream counts as empty when its last batch does not arrive within this time. */
const SILENCE_MS = 1000;

/** Returns the offset of the first message in the batch that was stored last; 0 when the stream is empty. */
export async function startOfLastBatch(source: StreamSource, left: () => StepOptions): Promise<number> {
  const first = await source.subscribe(() => "last", 1, left());
  try {
    const message = await firstOf(first, source, () => false, left);
    return message === undefined ? 0 : readOffset(message, source.destination);
  } finally {
    await first.unsubscribe().catch(() => {});
  }
}

/**
 * Returns the offset after the last message of a stream. The broker does not report it, so this reads the last batch. A
 * second subscription shows when the batch has arrived: the broker serves its subscriptions in order, so the first message
 * of the second one comes after the batch.
 */
export async function endOf(source: StreamSource, left: () => StepOptions): Promise<number> {
  let end = 0;
  const batch = await source.subscribe(() => "last", READ_AHEAD, left());
  const reading = (async () => {
    for (let message = await batch.take(); message; message = await batch.take()) {
      end = Math.max(end, readOffset(message, source.destination) + 1);
      giveCredit(message);
    }
  })();
  reading.catch(() => {}); // awaited below
  try {
    const mark = await source.subscribe(() => "last", 1, left());
    try {
      await Promise.race([firstOf(mark, source, () => end > 0, left), reading]);
    } finally {
      await mark.unsubscribe().catch(() => {});
    }
  } finally {
    await batch.unsubscribe().catch(() => {});
  }
  await reading;
  return end;
}

/** Takes the first message of a subscription; `undefined` when none comes although a session is open and reads. */
async function firstOf(
  subscription: Subscription,
  source: StreamSource,
  isExpected: () => boolean,
  left: () => StepOptions,
): Promise<Message | undefined> {
  for (;;) {
    const { timeout = Infinity, signal } = left();
    const { session } = source;
    const stopAwaiting = session?.gate.awaitReply(); // other subscriptions whose queues are full do not stop reading
    try {
      return await subscription.take({ signal, timeout: Math.min(timeout, SILENCE_MS) });
    } catch (error) {
      if (!(error instanceof TimeoutError) || timeout <= SILENCE_MS) throw error;
      const isSilent = session !== undefined && session === source.session && !session.paused;
      if (isSilent && !isExpected()) return undefined;
    } finally {
      stopAwaiting?.();
    }
  }
}

/** Returns the offset of a message. A message without one is from another kind of queue, and must not be acknowledged. */
export function readOffset(message: Message, destination: string): number {
  const { offset } = message;
  if (offset === undefined) {
    throw new SubscriptionError(
      `Cannot read ${destination} as a stream: its messages have no offset, so it is a queue`,
    );
  }
  if (Number.isNaN(offset)) {
    throw new SubscriptionError(`Cannot read ${destination}: the offset of a message is beyond 2^53`);
  }
  return offset;
}

/** Lets the broker send another message: an ACK of a message of a stream has no other meaning. */
export function giveCredit(message: Message): void {
  message.ack().catch(() => {}); // the subscription has ended, or the program has sent it already
}
