/**
 * Time: the clock, `signal` and `timeout` for any promise, and the turns of the event loop.
 *
 * @module
 */
import { checkSignal, checkTime } from "./checks.ts";
import { TimeoutError } from "./errors.ts";

/** The time and the timers; tests bring their own. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /**
   * Milliseconds of the calendar. On Linux and macOS `now` stands still while the machine sleeps, so that only a jump of
   * this against it tells of that. A clock without it notices no sleep.
   */
  wall?(): number;
  /** Calls `fire` once after that many milliseconds. Returns what cancels it. */
  after(milliseconds: number, fire: () => void): () => void;
}

/** The real time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(milliseconds, fire) {
    // Above 2^31 - 1 milliseconds a timer fires at once.
    const timer = setTimeout(fire, Math.min(milliseconds, 0x7fffffff));
    return () => clearTimeout(timer);
  },
};

/** How long a call may wait. */
export interface WaitOptions {
  /** Ends the wait; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds after which the call rejects with a `TimeoutError`; `Infinity` for no limit. 0 is no time: only what can
   * be had at once is had.
   */
  timeout?: number | undefined;
}

/** How to take what comes next, or to wait for it. */
export interface ReadOptions extends WaitOptions {
  /** "Not blocking": give `undefined` at once when nothing is waiting. Default `false`. */
  nb?: boolean | undefined;
}

/** How long one step of a call may wait: what the steps before it have left. */
export interface StepOptions extends WaitOptions {
  /** Milliseconds that the whole call may take, for messages. */
  readonly total?: number | undefined;
  /** The clock that counts them. Default: the real one. */
  readonly clock?: Clock | undefined;
}

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
  options: StepOptions | undefined,
  what: string,
  giveUp?: (error: unknown) => void,
): Promise<T> {
  if (options?.signal === undefined && checkTimeout(options?.timeout) === Infinity) return promise;
  return new Promise<T>((resolve, reject) => {
    const stop = onGiveUp(options, what, (error) => {
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
  options: StepOptions | undefined,
  what: string,
  giveUp: (error: unknown) => void,
): () => void {
  const signal = options?.signal;
  const timeout = checkTimeout(options?.timeout);
  if (signal === undefined && timeout === Infinity) return endless;
  const clock = options?.clock ?? systemClock;
  let cancel = endless;
  const aborted = () => end(signal!.reason);
  let due = clock.now() + timeout;
  const expire = () => {
    // A process that was busy has not read yet what may have come in time.
    if (clock.now() - due < LATE_MS) return end(timedOut());
    due = Infinity;
    cancel = clock.after(SECOND_LOOK_MS, expire);
  };
  const timedOut = () => new TimeoutError(`Timed out after ${options?.total ?? timeout} ms waiting for ${what}`);
  const stop = () => {
    cancel();
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
  if (timeout !== Infinity) cancel = clock.after(timeout, expire);
  return stop;
}

/** A timer that fires this late was kept from it by a busy process. */
export const LATE_MS = 50;

/** How long a busy process then has to read what may have come in time. */
export const SECOND_LOOK_MS = 100;

function endless(): void {}

/**
 * Waits for some time, but not beyond the signals.
 *
 * @returns whether the time has passed; `false` when a signal has aborted first.
 */
export function delay(milliseconds: number, ...signals: readonly AbortSignal[]): Promise<boolean> {
  if (signals.some((signal) => signal.aborted)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const end = (passed: boolean) => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", aborted);
      resolve(passed);
    };
    const aborted = () => end(false);
    const timer = setTimeout(end, Math.min(milliseconds, LONGEST_TIMER), true);
    for (const signal of signals) signal.addEventListener("abort", aborted);
  });
}

/**
 * For the moment before anything is begun.
 *
 * @throws the signal's reason when it has aborted already.
 * @throws as {@linkcode checkWaitOptions}.
 */
export function checkWait(options: WaitOptions | undefined): void {
  checkWaitOptions(options);
  options?.signal?.throwIfAborted();
}

/**
 * The same where a signal that has aborted already is not the end of the call.
 *
 * @throws {TypeError} when the signal is none.
 * @throws {RangeError} when the timeout is no time.
 */
export function checkWaitOptions(options: WaitOptions | undefined): void {
  if (options?.timeout !== undefined) checkTimeout(options.timeout);
  if (options?.signal !== undefined) checkSignal(options.signal);
}

/**
 * Begins a call of several steps, which all have to be done within one `timeout`. Fails as {@linkcode checkWait}.
 *
 * @param usual the timeout where the options say nothing.
 * @param clock the clock that counts the time, for all steps.
 * @returns what the next step may still take.
 */
export function beginSteps(
  options: StepOptions | undefined,
  usual: number = Infinity,
  clock: Clock = options?.clock ?? systemClock,
): () => StepOptions {
  checkWait(options);
  const signal = options?.signal;
  const timeout = checkTimeout(options?.timeout ?? usual);
  if (timeout === Infinity) return () => ({ signal, timeout: Infinity });
  const total = options?.total ?? timeout; // it may be a step itself
  const end = clock.now() + timeout;
  const remaining = () => Math.max(0, end - clock.now());
  if (clock === systemClock) return () => ({ signal, total, timeout: remaining() });
  return () => ({ signal, total, timeout: remaining(), clock });
}

/** Longest delay a timer takes; above it a timer fires at once, so such a wait is as good as endless. */
const LONGEST_TIMER = 0x7fffffff;

/**
 * The milliseconds of a `timeout` option, `Infinity` for none.
 *
 * @throws {RangeError} when they are no time.
 */
export function checkTimeout(timeout: number | undefined): number {
  if (timeout === undefined) return Infinity;
  checkTime("wait", "timeout", timeout);
  return timeout > LONGEST_TIMER ? Infinity : timeout;
}

/** The timer functions that not every runtime has. */
interface TurnTimers {
  setImmediate?: (callback: () => void) => unknown;
  clearImmediate?: (handle: unknown) => void;
}

/**
 * Calls back once the event loop has had a chance to look at sockets and timers. Unlike a timer of 0 ms, this waits no
 * millisecond.
 *
 * @returns what cancels it.
 */
export function afterMacrotask(callback: () => void): () => void {
  // Asked for here and not above: under Deno the mention of these loads what is behind them, for 8 ms.
  const { setImmediate, clearImmediate } = globalThis as TurnTimers;
  if (setImmediate && clearImmediate) {
    const handle = setImmediate(callback);
    return () => clearImmediate(handle);
  }
  // Browsers: a message to oneself is the shortest way round.
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
