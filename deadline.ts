/**
 * Waiting with an end: `signal` and `timeout` for any promise.
 *
 * @module
 */
import type { WaitOptions } from "./conversation.ts";
import { TimeoutError } from "./errors.ts";

/**
 * Waits for a promise, but no longer than the options allow. The timer and the listener are gone when the wait is over,
 * however it ends. The promise itself goes on: `giveUp` is where its work is called off.
 *
 * @param promise what to wait for; a later rejection of it is observed, so that it is never an unhandled one.
 * @param what what was waited for, for the message: "the broker's receipt".
 * @param giveUp called once when the wait ends without the promise, with the error that it ends in.
 * @throws the signal's reason, or a `TimeoutError`.
 */
export function within<T>(
  promise: Promise<T>,
  options: WaitOptions | undefined,
  what: string,
  giveUp?: (error: unknown) => void,
): Promise<T> {
  const signal = options?.signal;
  const timeout = checkTimeout(options?.timeout);
  if (signal === undefined && timeout === Infinity) return promise;
  return new Promise<T>((resolve, reject) => {
    const stop = onGiveUp({ signal, timeout }, what, (error) => {
      giveUp?.(error);
      reject(error);
    });
    promise.then((value) => {
      stop();
      resolve(value);
    }, (error) => {
      stop();
      reject(error);
    });
  });
}

/**
 * Calls `giveUp` once when the signal aborts or the time is over: at once when it has aborted already.
 *
 * @returns what stops waiting. Idempotent.
 */
export function onGiveUp(
  options: WaitOptions | undefined,
  what: string,
  giveUp: (error: unknown) => void,
): () => void {
  const signal = options?.signal;
  const timeout = checkTimeout(options?.timeout);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const aborted = () => end(signal!.reason);
  const stop = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
  };
  const end = (error: unknown) => {
    stop();
    giveUp(error);
  };
  if (signal?.aborted) {
    giveUp(signal.reason);
    return stop;
  }
  signal?.addEventListener("abort", aborted);
  if (timeout !== Infinity) {
    timer = setTimeout(() => end(new TimeoutError(`Cannot wait longer for ${what}: ${timeout} ms are over`)), timeout);
  }
  return stop;
}

/** Throws the signal's reason when it has aborted: for the moment before anything is begun. */
export function throwIfAborted(options: WaitOptions | undefined): void {
  options?.signal?.throwIfAborted();
}

/** Longest delay a timer takes; above it a timer fires at once, so such a wait is as good as endless. */
const LONGEST_TIMER = 0x7fffffff;

/** The milliseconds of a `timeout` option, `Infinity` for none. */
export function checkTimeout(timeout: number | undefined): number {
  if (timeout === undefined) return Infinity;
  if (typeof timeout !== "number" || Number.isNaN(timeout) || timeout < 0) {
    throw new RangeError(`Cannot wait for ${timeout} ms: a timeout is 0 or more milliseconds, or Infinity`);
  }
  return timeout > LONGEST_TIMER ? Infinity : timeout;
}
