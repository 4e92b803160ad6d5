/**
 * `Renewal`: asks for new credentials before those of a session expire.
 *
 * @module
 */
import { describeType } from "../base/checks.ts";
import { ConnectionError } from "../base/errors.ts";
import type { Clock, StepOptions, WaitOptions } from "../base/timers.ts";
import type { Status } from "./status.ts";

/** When credentials expire, in milliseconds of calendar time. */
export interface Expiry {
  /** When they expire. */
  readonly at: number;
  /** When they were asked for. */
  readonly askedAt: number;
}

/** Where new credentials come from. */
export interface CredentialSource {
  /** Asks for new credentials, which the next attempt to connect uses. Rejects when there are none. */
  renewCredentials(current: Expiry, wait: WaitOptions): Promise<void>;
}

/** What a renewal reports to its client. */
export interface RenewalEvents {
  /** New credentials have arrived: connect again with them. */
  onRenewed(expiry: Expiry): void;
  /** Emits an event for `status()`. */
  onStatus(status: Status): void;
}

/** The share of the lifetime of credentials that is left when new ones are asked for. */
const MARGIN_SHARE = 0.1;
const MIN_MARGIN_MS = 1000;
const MAX_MARGIN_MS = 30_000;

/** Shortest time from one connection to the next one, however soon its credentials expire. */
const MIN_RENEWAL_MS = 1000;

/** Longest timer: timers have a limit, and while the machine sleeps they stand still. */
const MAX_TIMER_MS = 3_600_000;

/** The wait before asking again: a share of the time that is left, or a fixed time after the expiry. */
const RETRY_SHARE = 0.25;
const MIN_RETRY_MS = 1000;
const RETRY_AFTER_EXPIRY_MS = 30_000;

/** The first and the last moment that a `Date` can be. */
const MAX_DATE_MS = 8.64e15;

/** A time in seconds instead of milliseconds, as in a JWT, is before this moment in 1973. */
const MIN_PLAUSIBLE_MS = 1e11;

/** How long calls under way may take to end before a session is replaced. */
const MAX_GRACE_MS = 20_000;
const MIN_GRACE_MS = 500;

/** Shortest time for the DISCONNECT of a session that is replaced. */
const MIN_DISCONNECT_MS = 1000;

/** Returns how long calls under way may take to end, in milliseconds: half of the time that is left. */
export function graceBefore({ at }: Expiry, clock: Clock): number {
  return Math.min(MAX_GRACE_MS, Math.max(MIN_GRACE_MS, (at - wallTime(clock)) / 2));
}

/** Returns how long the DISCONNECT of a session that is replaced may take. */
export function disconnectWait(left: StepOptions): StepOptions {
  return { ...left, timeout: Math.max(MIN_DISCONNECT_MS, left.timeout ?? Infinity) };
}

/** Returns the error of the calls that end with a session that is replaced. */
export function replacementError(peer: string, { at }: Expiry): ConnectionError {
  return new ConnectionError(
    `Connection to ${peer} replaced: its credentials expire at ${new Date(at).toISOString()}`,
  );
}

/** Returns the calendar time of a clock in milliseconds. */
export function wallTime(clock: Clock): number {
  return clock.wall?.() ?? Date.now();
}

/**
 * Reads the `expiresAt` of credentials that have just been asked for.
 *
 * @throws {TypeError} when it is neither a `Date` nor a number.
 * @throws {RangeError} when it is not a time, or has passed.
 */
export function readExpiry(expiresAt: unknown, clock: Clock): Expiry | undefined {
  if (expiresAt === undefined || expiresAt === Infinity) return undefined;
  if (typeof expiresAt !== "number" && !(expiresAt instanceof Date)) {
    throw new TypeError(`expiresAt is ${describeType(expiresAt)}, but must be a Date or milliseconds since 1970`);
  }
  const at = Number(expiresAt);
  if (!(Math.abs(at) <= MAX_DATE_MS)) {
    const shown = typeof expiresAt === "number" ? at : "an invalid Date";
    throw new RangeError(`expiresAt is ${shown}, but must be a Date or milliseconds since 1970`);
  }
  const askedAt = wallTime(clock);
  if (at > askedAt) return { at, askedAt };
  const hint = at > 0 && at < MIN_PLAUSIBLE_MS && at * 1000 > askedAt
    ? "; it is in seconds, write 1000 * expiresAt"
    : "";
  throw new RangeError(`expiresAt is ${new Date(at).toISOString()}, so the credentials have expired already${hint}`);
}

/** Renews the credentials of one session after the other. */
export class Renewal {
  readonly #source: CredentialSource;
  readonly #events: RenewalEvents;
  readonly #clock: Clock;
  #cancel: (() => void) | undefined;
  #abort: AbortController | undefined; // while it asks

  /** Creates a renewal that waits for a session. */
  constructor(source: CredentialSource, events: RenewalEvents, clock: Clock) {
    this.#source = source;
    this.#events = events;
    this.#clock = clock;
  }

  /** Starts for a session that has just been opened. */
  start(expiry: Expiry | undefined): void {
    this.stop();
    if (expiry === undefined) return;
    const lifetime = expiry.at - expiry.askedAt;
    const least = Math.min(MIN_MARGIN_MS, lifetime / 2);
    const margin = Math.min(MAX_MARGIN_MS, Math.max(lifetime * MARGIN_SHARE, least));
    this.#waitUntil(Math.max(expiry.at - margin, wallTime(this.#clock) + MIN_RENEWAL_MS), expiry);
  }

  /** Stops, because the session has ended. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#abort?.abort();
    this.#abort = undefined;
  }

  #waitUntil(time: number, expiry: Expiry, error?: unknown): void {
    const left = time - wallTime(this.#clock);
    if (left <= 0) return void this.#renew(expiry, error);
    this.#cancel = this.#clock.after(Math.min(left, MAX_TIMER_MS), () => this.#waitUntil(time, expiry, error));
  }

  /** Asks for new credentials. Never rejects. */
  async #renew(expiry: Expiry, lastError: unknown): Promise<void> {
    this.#cancel = undefined;
    const { signal } = this.#abort = new AbortController();
    this.#events.onStatus({ type: "renewing", expiresAt: new Date(expiry.at), error: lastError });
    try {
      await this.#source.renewCredentials(expiry, { signal });
    } catch (error) {
      // The session goes on without them: the broker may accept it for longer, and the next try may succeed.
      if (!signal.aborted) this.#retry(expiry, error);
      return;
    }
    if (signal.aborted) return;
    this.#abort = undefined;
    this.#events.onRenewed(expiry);
  }

  #retry(expiry: Expiry, error: unknown): void {
    const now = wallTime(this.#clock);
    const left = expiry.at - now;
    const wait = left > 0 ? Math.max(MIN_RETRY_MS, left * RETRY_SHARE) : RETRY_AFTER_EXPIRY_MS;
    this.#waitUntil(now + wait, expiry, error);
  }
}
