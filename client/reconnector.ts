/**
 * Keeps a session open: connects, notices the end, connects again.
 *
 * @module
 */
import { Backoff, type ReconnectOptions } from "../base/backoff.ts";
import { checkWait, type Clock, delay, onGiveUp, systemClock, type WaitOptions, within } from "../base/timers.ts";
import { isLoginRefusal } from "../dialects/registry.ts";
import type { Dialer, SessionEvents } from "./dialer.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  HandshakeRefusedError,
  NotConnectedError,
  StompError,
  TimeoutError,
  UnknownBrokerResponseError,
} from "../base/errors.ts";
import type { Session } from "../session/session.ts";
import type { Status } from "./status.ts";

/** Who is told what happens. */
export interface ReconnectorEvents {
  /** There is a new session; nothing was sent over it yet. */
  onOpen(session: Session): void;
  /** The session is over, and another one will be tried. */
  onLost(reason: StompError): void;
  /** There will be no session any more: nobody is to wait for anything. */
  onClosed(reason: StompError | undefined): void;
  /** And the last connection is closed. */
  onEnded(reason: StompError | undefined): void;
  /** For who watches. */
  onStatus(status: Status): void;
}

type Phase = "idle" | "connecting" | "open" | "reconnecting" | "closed";

/** Milliseconds that a session has to last for its end to be a new trouble, which begins with short waits. */
const STABLE = 1000;

/** How many shorter ones in a row still begin with short waits, if the broker did more in each than to let us in. */
const SHORT_SESSIONS = 8;

/** Milliseconds that pass at least between a refused login and the next one: a broker that starts refuses good ones. */
const AFTER_REFUSAL = 1000;

/** How many sessions in a row may end in the same bytes that are no STOMP. */
const UNREADABLE = 3;

/** Milliseconds within which a session has to end to be one of those. A message that comes again comes at once. */
const UNREADABLE_WITHIN = 30_000;

const DONE: Promise<void> = Promise.resolve();

/** One session after the other. */
export class Reconnector {
  readonly #dialer: Dialer;
  readonly #policy: ReconnectOptions | false;
  readonly #events: ReconnectorEvents;
  readonly #clock: Clock;
  #phase: Phase = "idle";
  #leaving = false;
  #session: Session | undefined;
  #openedAt = 0;
  #backoff: Backoff | undefined;
  #short = 0; // sessions in a row that did not last
  #unreadable: { readonly words: string; count: number } | undefined;
  #trouble: StompError | undefined; // why there is no session
  #next: PromiseWithResolvers<Session> | undefined; // whoever waits for the next session
  #attempt: AbortController | undefined; // ends the dialing
  #dialing: Promise<void> = DONE; // a socket may be open until it settles
  #pauseEnd: AbortController | undefined; // ends the wait between two attempts
  #atOnce = false; // the session that ends is to be followed by another without a wait
  #reason: StompError | undefined;

  /** Keeps nothing before `connect`. */
  constructor(
    dialer: Dialer,
    policy: ReconnectOptions | false,
    events: ReconnectorEvents,
    clock: Clock = systemClock,
  ) {
    this.#dialer = dialer;
    this.#policy = policy;
    this.#events = events;
    this.#clock = clock;
  }

  /** The time. */
  get clock(): Clock {
    return this.#clock;
  }

  /** The open session, if there is one. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Whether it is over for good. */
  get closed(): boolean {
    return this.#phase === "closed";
  }

  /**
   * The last known reason why nothing is confirmed just now: what the last attempt to connect failed with, why the
   * session ended, or that the broker has stopped answering. `undefined` when nothing is wrong.
   */
  get trouble(): StompError | undefined {
    if (this.closed) return this.#reason;
    return this.#session ? this.#session.progress.blockage?.error : this.#trouble;
  }

  /** Waits between attempts, as the client does itself; `undefined` when it does not reconnect. */
  newBackoff(): Backoff | undefined {
    return this.#policy ? new Backoff(this.#policy, Math.random, () => this.#clock.now()) : undefined;
  }

  /**
   * Opens the first session.
   *
   * @throws what the last attempt failed with.
   */
  async connect(wait: WaitOptions): Promise<void> {
    if (this.#phase !== "idle") throw this.#notConnected("connect");
    checkWait(wait);
    this.#phase = "connecting";
    const backoff = this.#policy && this.#policy.firstConnect ? this.newBackoff() : undefined;
    try {
      await this.#dial(backoff, wait);
    } catch (cause) {
      if (this.closed) throw this.#notConnected("connect");
      const error = cause instanceof TimeoutError ? new ConnectionTimeoutError(cause.message, { cause }) : cause;
      this.#phase = "idle";
      this.#next?.reject(error);
      this.#next = undefined;
      throw error;
    }
  }

  /**
   * The open session, or the next one.
   *
   * @throws {NotConnectedError} when there is none, and none is being opened.
   */
  async ready(what: string, wait: WaitOptions): Promise<Session> {
    checkWait(wait);
    this.check(what);
    if (this.#session) return this.#session;
    this.#next ??= Promise.withResolvers<Session>();
    this.#next.promise.catch(() => {}); // who has given up is not told
    return await within(this.#next.promise, wait, `a connection to ${what}`).catch((error) => {
      if (error instanceof TimeoutError) throw new TimeoutError(error.message, { cause: this.trouble });
      throw error instanceof NotConnectedError ? this.#notConnected(what) : error;
    });
  }

  /** Fails unless there is a session, or one is being opened, and it is not about to end. */
  check(what: string, destination?: string): void {
    if (this.#phase === "idle" || this.#phase === "closed" || this.#leaving) {
      throw this.#notConnected(destination === undefined ? what : `${what} ${destination}`);
    }
  }

  /** Gives the session up and opens a new one at once, for who knows that the network has changed. */
  reconnect(): void {
    this.check("reconnect");
    this.#atOnce = this.#session !== undefined;
    this.#session?.close(new ConnectionError("Connection given up: reconnect was asked for"));
    this.#pauseEnd?.abort();
  }

  /** Begins nothing new any more. */
  leave(): void {
    this.#leaving = true;
  }

  /** Ends for good and in order. Never rejects. */
  async disconnect(headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    const session = this.#session;
    this.#session = undefined; // what becomes of it is no news
    const said = Promise.all([session?.disconnect(headers, wait), this.#dialing.catch(() => {})]);
    this.close(undefined, said);
    await said;
  }

  /** Ends for good; `ended` is when the last connection is closed. */
  close(reason: StompError | undefined, ended: Promise<unknown> = DONE): void {
    if (this.closed) return;
    this.#phase = "closed";
    this.#reason = reason;
    this.#session = undefined;
    this.#attempt?.abort(this.#notConnected("connect"));
    this.#next?.reject(this.#notConnected("wait"));
    this.#next = undefined;
    this.#events.onClosed(reason);
    ended.then(() => {
      this.#events.onEnded(reason);
      this.#events.onStatus({ type: "closed", error: reason });
    });
  }

  #dial(backoff: Backoff | undefined, wait: WaitOptions, lost?: StompError): Promise<void> {
    return this.#dialing = this.#dialUntil(backoff, wait, lost).then(async (session) => {
      if (!this.closed) return this.#enter(session);
      await session.close();
      throw this.#notConnected("connect");
    });
  }

  /**
   * Tries until an attempt succeeds, or the backoff says no.
   *
   * @param lost why there is no session any more, if there was one: then the first attempt has to wait as well.
   */
  async #dialUntil(backoff: Backoff | undefined, wait: WaitOptions, lost: StompError | undefined): Promise<Session> {
    const attempt = this.#attempt = new AbortController();
    const { signal } = attempt;
    let last = lost;
    const stops = [
      onGiveUp(wait, "the connection", (error) => attempt.abort(error)),
      this.#limit(backoff, () => attempt.abort(last ?? new TimeoutError("Cannot connect: no time is left"))),
    ];
    let refusal: string | undefined;
    try {
      if (lost) await this.#pause(backoff, 0, lost, signal);
      for (;;) {
        try {
          const session = await this.#dialer.dial(this.#sessionEvents(), { signal });
          if (!signal.aborted) return session;
          await session.close();
        } catch (error) {
          if (!signal.aborted) {
            const refused = refusalOf(error);
            if (!(error instanceof StompError)) throw error; // a mistake in the options
            // The same refusal of the same password twice will not become a welcome.
            if (refused !== undefined && refused === refusal && !this.#dialer.renewsCredentials) throw error;
            refusal = refused;
            last = this.#trouble = error;
            await this.#pause(backoff, refused === undefined ? 0 : AFTER_REFUSAL, error, signal);
          }
        }
        signal.throwIfAborted();
      }
    } finally {
      for (const stop of stops) stop();
      this.#attempt = undefined;
    }
  }

  /** Calls `stop` when the attempts have taken all the time they may; returns what calls that off. */
  #limit(backoff: Backoff | undefined, stop: () => void): () => void {
    const left = backoff?.left ?? Infinity;
    return left === Infinity ? () => {} : this.#clock.after(left, stop);
  }

  /** Apart from the dialing: a session keeps these as long as it lives, and nothing of what led to it. */
  #sessionEvents(): SessionEvents {
    return {
      onEnd: (session, reason) => this.#lost(session, reason),
      onError: (error) => this.#events.onStatus({ type: "error", error }),
      onBlocked: (session, blockage) => {
        if (session !== this.#session) return;
        this.#events.onStatus(blockage ? { type: "blocked", ...blockage } : { type: "unblocked" });
      },
    };
  }

  /** Waits until the next attempt, `least` milliseconds or more; throws `error` when there is to be none. */
  async #pause(backoff: Backoff | undefined, least: number, error: StompError, signal: AbortSignal): Promise<void> {
    const atOnce = this.#atOnce;
    this.#atOnce = false;
    const next = backoff?.next() ?? (atOnce ? 0 : undefined);
    if (next === undefined) throw error;
    const milliseconds = atOnce ? 0 : Math.min(Math.max(next, least), backoff?.left ?? Infinity);
    const attempt = Math.max(1, backoff!.attempt);
    this.#events.onStatus({ type: "reconnecting", attempt, delay: milliseconds, error });
    if (atOnce) return;
    this.#pauseEnd = new AbortController();
    await delay(milliseconds, [signal, this.#pauseEnd.signal], this.#clock);
    this.#pauseEnd = undefined;
    signal.throwIfAborted();
  }

  #enter(session: Session): void {
    this.#session = session;
    this.#openedAt = this.#clock.now();
    this.#trouble = undefined;
    this.#phase = "open";
    // It may have ended between its CONNECTED and this turn.
    if (!session.isOpen) return this.#lost(session, session.reason);
    this.#events.onOpen(session);
    this.#next?.resolve(session);
    this.#next = undefined;
    this.#events.onStatus({
      type: "connected",
      peer: session.peer,
      server: session.connected["server"],
      version: session.version,
    });
  }

  #lost(session: Session, reason: StompError | undefined): void {
    if (session !== this.#session) return;
    this.#session = undefined;
    const error = reason ?? new ConnectionError(`Connection to ${session.peer} was closed`);
    const lasted = this.#clock.now() - this.#openedAt;
    this.#trouble = error;
    this.#phase = "reconnecting";
    this.#events.onLost(error);
    this.#events.onStatus({ type: "disconnected", error });
    if (this.#policy === false && !this.#atOnce) return this.close(error);
    if (this.#isUnreadable(error, lasted)) return this.close(error);
    this.#easeBackoff(session, lasted);
    this.#reopen(error);
  }

  /** A broker that lets us in and drops us at once is asked more and more seldom, whatever it has done in between. */
  #easeBackoff(session: Session, lasted: number): void {
    this.#short = lasted >= STABLE || session.progress.hasConvicted ? 0 : this.#short + 1;
    if (this.#short === 0) this.#backoff = undefined;
    else if (session.progress.isProven) this.#backoff?.restart(Math.max(0, this.#short - SHORT_SESSIONS));
  }

  /** Whether the broker goes on sending what cannot be read: a message, for example, that comes again each time. */
  #isUnreadable(error: StompError, lasted: number): boolean {
    if (!(error instanceof UnknownBrokerResponseError)) {
      this.#unreadable = undefined;
      return false;
    }
    // The error beneath does not name the broker: another one of a cluster delivers the same message.
    const words = error.cause instanceof Error ? error.cause.message : error.message;
    if (this.#unreadable?.words !== words || lasted > UNREADABLE_WITHIN) this.#unreadable = { words, count: 0 };
    return ++this.#unreadable.count >= UNREADABLE;
  }

  async #reopen(reason: StompError): Promise<void> {
    const backoff = this.#backoff ??= this.newBackoff() ?? new Backoff({ attempts: 0 });
    try {
      await this.#dial(backoff, {}, reason);
    } catch (error) {
      if (this.closed) return;
      const why = error instanceof Error ? error.message : String(error);
      this.close(
        error instanceof BrokerErrorResponse
          ? error
          : new ConnectionError(`Cannot reconnect after ${backoff.attempt} attempts: ${why}`, { cause: error }),
      );
    }
  }

  #notConnected(what: string): NotConnectedError {
    const cause = this.trouble;
    const options = cause ? { cause } : {};
    return new NotConnectedError(`Cannot ${what}: the client is ${this.#describe()}`, options);
  }

  #describe(): string {
    if (this.#leaving && this.#phase !== "closed") return "disconnecting";
    switch (this.#phase) {
      case "idle":
        return "not connected, call connect first";
      case "connecting":
        return "connecting already, wait for the connect that was called first";
      case "open":
        return "connected already";
      case "reconnecting":
        return "reconnecting by itself, wait for it";
      case "closed":
        return this.#reason ? `closed: ${this.#reason.message}` : "closed";
    }
  }
}

/** What the broker, or each of several, said of user and password. */
function refusalOf(error: unknown): string | undefined {
  if (error instanceof HandshakeRefusedError) return isLoginStatus(error.status) ? error.message : undefined;
  if (error instanceof BrokerErrorResponse) return isLoginRefusal(error.message) ? error.message : undefined;
  const errors = error instanceof ConnectionError && error.cause instanceof AggregateError ? error.cause.errors : [];
  const refusals = errors.map(refusalOf);
  return refusals.length > 0 && !refusals.includes(undefined) ? refusals.sort().join("; ") : undefined;
}

function isLoginStatus(status: number): boolean {
  return status === 401 || status === 403;
}
