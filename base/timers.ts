/**
 * Time: the clock, waits that end by `signal` and `timeout`, and turns of the event loop.
 *
 * @module
 */
import { checkSignal, checkTime } from "./checks.ts";
import { TimeoutError } from "./errors.ts";

/** The time and its timers. Tests pass their own, to run without real time. */
export interface Clock {
  /** Returns milliseconds since some fixed moment. Never goes back. */
  now(): number;
  /**
   * Returns milliseconds of calendar time. On Linux and macOS `now` stands still while the machine sleeps; a jump of the
   * calendar against it reveals that. Without this method a sleep goes unnoticed.
   */
  wall?(): number;
  /** Calls `fire` once after that many milliseconds. Returns a function that cancels it. */
  after(milliseconds: number, fire: () => void): () => void;
}

/** The longest delay of a timer, in milliseconds. A timer with a longer one fires at once. */
const MAX_TIMER_MS = 0x7fffffff;

/** The real time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(milliseconds, fire) {
    const timer = setTimeout(fire, Math.min(milliseconds, MAX_TIMER_MS));
    return () => clearTimeout(timer);
  },
};

/** How long a call may wait. */
export interface WaitOptions {
  /** Ends the wait when it aborts; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds after which the call rejects with a `TimeoutError`; `Infinity` for no limit. With 0 the call gets only
   * what is available at once.
   *
   * @default {what the client or the call says, often `Infinity`}
   */
  timeout?: number | undefined;
}

/** How to take the next item, or wait for it. */
export interface ReadOptions extends WaitOptions {
  /**
   * "Not blocking": return `undefined` at once when nothing is available.
   *
   * @default {false}
   */
  nb?: boolean | undefined;
}

/** How long one step of a call may wait: the time that earlier steps have left over. */
export interface StepOptions extends WaitOptions {
  /** Milliseconds that the whole call may take, for error messages. */
  readonly total?: number | undefined;
  /**
   * The clock that measures the timeout.
   *
   * @default {systemClock}
   */
  readonly clock?: Clock | undefined;
}

/**
 * Waits for a promise, but no longer than the options allow. Timer and listener are gone when the wait ends, in whichever
 * way. The promise itself goes on; `onAbandon` can cancel its work.
 *
 * @param promise The promise to wait for. A later rejection is handled, so it never counts as unhandled.
 * @param what What is awaited, for the error message: "the broker's receipt".
 * @param onAbandon Called once when the wait ends before the promise, with the error that the wait rejects with.
 * @throws the signal's reason, or a `TimeoutError`.
 */
export function within<T>(
  promise: Promise<T>,
  options: StepOptions | undefined,
  what: string,
  onAbandon?: (error: unknown) => void,
): Promise<T> {
  if (options?.signal === undefined && checkTimeout(options?.timeout) === Infinity) return promise;
  return new Promise<T>((resolve, reject) => {
    const stop = onGiveUp(options, what, (error) => {
      onAbandon?.(error);
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
 * Calls `giveUp` once, when the signal aborts or the timeout is over; at once when the signal has aborted already.
 *
 * @returns a function that ends the wait. Idempotent.
 */
export function onGiveUp(
  options: StepOptions | undefined,
  what: string,
  giveUp: (error: unknown) => void,
): () => void {
  const signal = options?.signal;
  const timeout = checkTimeout(options?.timeout);
  if (signal === undefined && timeout === Infinity) return noop;
  const clock = options?.clock ?? systemClock;
  let cancel = noop;
  let due = clock.now() + timeout;
  const onAbort = () => end(signal!.reason);
  const onTimer = () => {
    if (clock.now() - due < LATE_MS) {
      return end(new TimeoutError(`Timed out after ${options?.total ?? timeout} ms waiting for ${what}`));
    }
    // The process was busy and has not read yet what may have arrived in time.
    due = Infinity;
    cancel = clock.after(SECOND_LOOK_MS, onTimer);
  };
  const stop = () => {
    cancel();
    signal?.removeEventListener("abort", onAbort);
  };
  const end = (error: unknown) => {
    stop();
    giveUp(error);
  };
  if (signal?.aborted) {
    giveUp(signal.reason);
    return stop;
  }
  signal?.addEventListener("abort", onAbort);
  if (timeout !== Infinity) cancel = clock.after(timeout, onTimer);
  return stop;
}

/** A timer that fires this late was delayed by a busy process. */
export const LATE_MS = 50;

/** Time that a busy process then gets to read what may have arrived before the timeout. */
export const SECOND_LOOK_MS = 100;

function noop(): void {}

/**
 * Waits until the time has passed or a signal aborts. Never rejects.
 *
 * @returns whether the time has passed; `false` when a signal has aborted first.
 */
export function delay(
  milliseconds: number,
  signals: readonly AbortSignal[],
  clock: Clock = systemClock,
): Promise<boolean> {
  if (signals.some((signal) => signal.aborted)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const end = (passed: boolean) => {
      cancel();
      for (const signal of signals) signal.removeEventListener("abort", onAbort);
      resolve(passed);
    };
    const onAbort = () => end(false);
    const cancel = clock.after(milliseconds, () => end(true));
    for (const signal of signals) signal.addEventListener("abort", onAbort);
  });
}

/**
 * Checks the options of a wait before anything is begun.
 *
 * @throws the signal's reason when it has aborted already.
 * @throws as {@linkcode checkWaitOptions}.
 */
export function checkWait(options: WaitOptions | undefined): void {
  checkWaitOptions(options);
  options?.signal?.throwIfAborted();
}

/**
 * Checks the options of a wait that an aborted signal does not end before it begins.
 *
 * @throws {TypeError} when the signal is not an `AbortSignal`.
 * @throws {RangeError} when the timeout is not a time.
 */
export function checkWaitOptions(options: WaitOptions | undefined): void {
  if (options?.timeout !== undefined) checkTimeout(options.timeout);
  if (options?.signal !== undefined) checkSignal(options.signal);
}

/**
 * Begins a call of several steps that share one timeout.
 *
 * @param defaultTimeout The timeout in milliseconds where the options have none.
 * @param clock The clock that measures the timeout of all steps.
 * @returns a function that returns the options of the next step, with the time that is left.
 * @throws as {@linkcode checkWait}.
 */
export function beginSteps(
  options: StepOptions | undefined,
  defaultTimeout: number = Infinity,
  clock: Clock = options?.clock ?? systemClock,
): () => StepOptions {
  checkWait(options);
  const signal = options?.signal;
  const timeout = checkTimeout(options?.timeout ?? defaultTimeout);
  if (timeout === Infinity) return () => ({ signal, timeout: Infinity });
  const total = options?.total ?? timeout; // the call may be a step of another one
  const end = clock.now() + timeout;
  const remaining = () => Math.max(0, end - clock.now());
  if (clock === systemClock) return () => ({ signal, total, timeout: remaining() });
  return () => ({ signal, total, timeout: remaining(), clock });
}

/**
 * Returns the milliseconds of a `timeout` option; `Infinity` where none is set, or where no timer is that long.
 *
 * @throws {RangeError} when it is not a time.
 */
export function checkTimeout(timeout: number | undefined): number {
  if (timeout === undefined) return Infinity;
  checkTime("wait", "timeout", timeout);
  return timeout > MAX_TIMER_MS ? Infinity : timeout;
}

/** Timer functions that only some runtimes have. */
interface ImmediateTimers {
  setImmediate?: (callback: () => void) => unknown;
  clearImmediate?: (handle: unknown) => void;
}

/**
 * Calls back after the event loop has had a chance to look at sockets and timers. Unlike a timer of 0 ms, this does not
 * wait for a millisecond.
 *
 * @returns a function that cancels the call.
 */
export function afterMacrotask(callback: () => void): () => void {
  // Not at the top of the module: under Deno, naming these loads their implementation, which takes 8 ms.
  const { setImmediate, clearImmediate } = globalThis as ImmediateTimers;
  if (setImmediate && clearImmediate) {
    const handle = setImmediate(callback);
    return () => clearImmediate(handle);
  }
  // Browsers: a message to the same page is the fastest macrotask.
  const { port1, port2 } = new MessageChannel();
  const close = () => {
    port1.onmessage = null;
    port1.close();
  };
  port1.onmessage = () => {
    close();
    callback();
  };
  port2.postMessage(undefined);
  return close;
}
