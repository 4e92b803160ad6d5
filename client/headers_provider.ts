/**
 * Headers of SUBSCRIBE that a function returns for each attempt, such as an `Authorization` that expires.
 *
 * @module
 */
import { describeType } from "../base/checks.ts";
import { type StepOptions, within } from "../base/timers.ts";
import { type FrameHeadersInit, toHeaders } from "../codec/encoder.ts";
import type { FrameHeaders } from "../codec/headers.ts";

/** An attempt to subscribe, as passed to the function that returns the headers. */
export interface SubscribeAttempt {
  /** 1 for the first SUBSCRIBE of a subscription, and one more for each further one. */
  readonly number: number;
  /** Aborts when the headers are no longer needed: the call was given up, or the connection is lost. */
  readonly signal: AbortSignal;
}

/** Returns the headers of a SUBSCRIBE. Called again for each one, also after a reconnect. */
export type SubscribeHeadersProvider = (attempt: SubscribeAttempt) => FrameHeadersInit | Promise<FrameHeadersInit>;

/**
 * Calls a function that returns headers.
 *
 * @param number the number of the attempt.
 * @param wait how long the function may take. When the wait ends, the signal of the attempt aborts.
 * @throws what the function throws; a `TypeError` when it returns no headers; a `TimeoutError` or the signal's reason
 * when the wait ends first.
 */
export async function askForHeaders(
  provider: SubscribeHeadersProvider,
  number: number,
  wait: StepOptions,
): Promise<FrameHeaders> {
  const abort = new AbortController();
  const asked = (async () => await provider({ number, signal: abort.signal }))();
  const given = await within(asked, wait, "the headers", (reason) => abort.abort(reason));
  if (typeof given === "object" && given !== null) return toHeaders(given);
  throw new TypeError(`Cannot build frame: headers() returned ${describeType(given)}, but must return headers`);
}
