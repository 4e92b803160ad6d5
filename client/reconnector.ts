/**
 * `Reconnector`: connects, notices the end of the connection, and connects again.
 *
 * @module
 */
import { Backoff, type ReconnectOptions } from "../base/backoff.ts";
import { beginSteps, checkWait, type Clock, delay, onGiveUp, systemClock, within } from "../base/timers.ts";
import type { StepOptions, WaitOptions } from "../base/timers.ts";
import type { Dialer, SessionEvents } from "./dialer.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  NotConnectedError,
  StompError,
  TimeoutError,
} from "../base/errors.ts";
import type { Session } from "../session/session.ts";
import { LostSessions, refusalOf } from "./failures.ts";
import { disconnectWait, type Expiry, graceBefore, Renewal, replacementError } from "./renewal.ts";
import type { Status } from "./status.ts";

/** What a reconnector reports to its client. */
export interface ReconnectorEvents {
  /** A session is open. Nothing was sent over it yet. */
  onOpen(session: Session): void;
  /** The session has ended, and the reconnector tries to open another one. */
  onLost(reason: StompError): void;
  /** The session is about to be replaced: resolves when the messages that are being handled are acknowledged. */
  onReplacing(session: Session, wait: StepOptions): Promise<void>;
  /** No further call uses the session: resolves when the calls under way over it have ended. */
  onHandingOver(session: Session, left: () => StepOptions): Promise<void>;
  /** No further session will open: every call that waits has to fail. */
  onClosed(reason: StompError | undefined): void;
  /** The last connection is closed, too. */
  onEnded(reason: StompError | undefined): void;
  /** Emits an event for `status()`. */
  onStatus(status: Status): void;
  /** Gets the messages that no subscription asked for. */
  readonly onUnclaimed?: SessionEvents["onUnclaimed"];
}

/**
 * | phase        | next                                                                                       |
 * | ------------ | ------------------------------------------------------------------------------------------ |
 * | idle         | connecting: `connect`                                                                      |
 * | connecting   | open; idle: no attempt succeeded                                                           |
 * | open         | reconnecting: the session has ended, or its credentials are about to expire                |
 * | reconnecting | open; closed: no attempt succeeded                                                         |
 * | closed       | nothing. Every phase goes here by `close` and `disconnect`                                 |
 */
type Phase = "idle" | "connecting" | "open" | "reconnecting" | "closed";

/** Shortest wait after a refused login: a broker that is starting up refuses good passwords. */
const MIN_WAIT_AFTER_REFUSAL_MS = 1000;

const DONE: Promise<void> = Promise.resolve();

/** Keeps one session open, and opens the next one when it is lost. */
export class Reconnector {
  readonly #dialer: Dialer;
  readonly #policy: ReconnectOptions | false;
  readonly #events: ReconnectorEvents;
  readonly #clock: Clock;
  readonly #renewal: Renewal;
  readonly #lostSessions = new LostSessions();
  #phase: Phase = "idle";
  #isLeaving = false; // nothing new begins, in whichever phase
  #session: Session | undefined;
  #replaced: { readonly session: Session; readonly abort: AbortController } | undefined; // while it is handed over
  #openedAt = 0;
  #backoff: Backoff | undefined;
  #trouble: StompError | undefined; // why there is no session
  #nextSession: PromiseWithResolvers<Session> | undefined; // for calls that wait for it
  #dialAbort: AbortController | undefined; // while dialing
  #dialing: Promise<void> = DONE; // a socket may be open until it settles
  #wait: AbortController | undefined; // ends the wait between two attempts
  #skipsNextWait = false; // after `reconnect`
  #reason: StompError | undefined;

  /** Creates a reconnector. Nothing is opened before `connect`. */
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
    const onRenewed = (expiry: Expiry) => this.#replace(expiry);
    this.#renewal = new Renewal(dialer, { onRenewed, onStatus: (status) => events.onStatus(status) }, clock);
  }

  /** The clock of the client. */
  get clock(): Clock {
    return this.#clock;
  }

  /** The open session, if there is one. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Whether no further session will open. */
  get closed(): boolean {
    return this.#phase === "closed";
  }

  /**
   * Why nothing is confirmed now, as far as it is known: the error of the last attempt to connect, why the session
   * ended, or that the broker has stopped answering. `undefined` when nothing is wrong.
   */
  get trouble(): StompError | undefined {
    if (this.closed) return this.#reason;
    return this.#session ? this.#session.progress.blockage?.error : this.#trouble;
  }

  /** Returns the waits of the client's policy, from the start; `undefined` when it does not reconnect. */
  newBackoff(): Backoff | undefined {
    return this.#policy ? new Backoff(this.#policy, Math.random, () => this.#clock.now()) : undefined;
  }

  /**
   * Opens the first session.
   *
   * @throws the error of the last attempt.
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
      this.#nextSession?.reject(error);
      this.#nextSession = undefined;
      throw error;
    }
  }

  /**
   * Returns the open session, or waits for the next one.
   *
   * @throws {NotConnectedError} when none is open or being opened.
   */
  async ready(what: string, wait: WaitOptions): Promise<Session> {
    checkWait(wait);
    this.check(what);
    if (this.#session) return this.#session;
    this.#nextSession ??= Promise.withResolvers<Session>();
    this.#nextSession.promise.catch(() => {}); // every caller may have given up
    const timed = { ...wait, clock: this.#clock };
    return await within(this.#nextSession.promise, timed, `a connection to ${what}`).catch((error) => {
      if (error instanceof TimeoutError) throw new TimeoutError(error.message, { cause: this.trouble });
      throw error instanceof NotConnectedError ? this.#notConnected(what) : error;
    });
  }

  /**
   * Checks that a call can begin.
   *
   * @throws {NotConnectedError} when no session is open or being opened, or the client is disconnecting.
   */
  check(what: string, destination?: string): void {
    if (this.#phase === "idle" || this.#phase === "closed" || this.#isLeaving) {
      throw this.#notConnected(destination === undefined ? what : `${what} ${destination}`);
    }
  }

  /** Drops the session and opens a new one at once. */
  reconnect(): void {
    this.check("reconnect");
    this.#skipsNextWait = this.#session !== undefined;
    this.#session?.close(new ConnectionError("Connection dropped: reconnect() was called"));
    this.#wait?.abort();
  }

  /** Fails calls from now on, while the session stays open for what is under way. */
  leave(): void {
    this.#isLeaving = true;
    this.#renewal.stop();
  }

  /** Sends DISCONNECT and closes for good. Never rejects. */
  async disconnect(headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    const session = this.#session ?? this.#replaced?.session;
    this.#session = undefined; // its end is not reported as a loss
    const disconnected = Promise.all([session?.disconnect(headers, wait), this.#dialing.catch(() => {})]);
    this.close(undefined, disconnected);
    await disconnected;
  }

  /** Closes for good. `ended` resolves when the last connection is closed. */
  close(reason: StompError | undefined, ended: Promise<unknown> = DONE): void {
    if (this.closed) return;
    this.#phase = "closed";
    this.#reason = reason;
    this.#session = undefined;
    this.#renewal.stop();
    this.#replaced?.abort.abort();
    this.#dialAbort?.abort(this.#notConnected("connect"));
    this.#nextSession?.reject(this.#notConnected("wait"));
    this.#nextSession = undefined;
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
   * Dials until an attempt succeeds, or the backoff allows no further one.
   *
   * @param lost why the last session ended, if there was one. Then the first attempt waits as well.
   */
  async #dialUntil(backoff: Backoff | undefined, wait: WaitOptions, lost: StompError | undefined): Promise<Session> {
    const abort = this.#dialAbort = new AbortController();
    const { signal } = abort;
    let last = lost;
    const giveUp = () => abort.abort(last ?? new TimeoutError("Cannot connect: no time is left"));
    const left = backoff?.left ?? Infinity;
    const stops = [
      onGiveUp({ ...wait, clock: this.#clock }, "the connection", (error) => abort.abort(error)),
      left === Infinity ? () => {} : this.#clock.after(left, giveUp),
    ];
    let refusal: string | undefined;
    try {
      if (lost) await this.#pause(backoff, 0, lost, signal);
      for (;;) {
        try {
          const session = await this.#dialer.dial(this.#sessionEvents(), { signal, error: last });
          if (!signal.aborted) return session;
          await session.close();
        } catch (error) {
          if (!signal.aborted) {
            const refused = refusalOf(error);
            if (!(error instanceof StompError)) throw error; // a mistake in the options
            // A password that was refused twice in the same words will not be accepted.
            if (refused !== undefined && refused === refusal && !this.#dialer.renewsCredentials) throw error;
            refusal = refused;
            last = this.#trouble = error;
            await this.#pause(backoff, refused === undefined ? 0 : MIN_WAIT_AFTER_REFUSAL_MS, error, signal);
          }
        }
        signal.throwIfAborted();
      }
    } finally {
      for (const stop of stops) stop();
      this.#dialAbort = undefined;
    }
  }

  /** Made apart from the dialing, because a session keeps these closures, and all that they see, as long as it lives. */
  #sessionEvents(): SessionEvents {
    return {
      onEnd: (session, reason) => this.#lost(session, reason),
      onError: (error) => this.#events.onStatus({ type: "error", error }),
      onUnclaimed: this.#events.onUnclaimed,
      onBlocked: (session, blockage) => {
        if (session !== this.#session) return;
        this.#events.onStatus(blockage ? { type: "blocked", ...blockage } : { type: "unblocked" });
      },
    };
  }

  /** Waits for the next attempt, `least` milliseconds or more. Throws `error` when the backoff allows none. */
  async #pause(backoff: Backoff | undefined, least: number, error: StompError, signal: AbortSignal): Promise<void> {
    const skipsWait = this.#skipsNextWait;
    this.#skipsNextWait = false;
    const next = backoff?.next() ?? (skipsWait ? 0 : undefined);
    if (next === undefined) throw error;
    const milliseconds = skipsWait ? 0 : Math.min(Math.max(next, least), backoff?.left ?? Infinity);
    const attempt = Math.max(1, backoff!.attempt);
    this.#events.onStatus({ type: "reconnecting", attempt, delay: milliseconds, error });
    if (skipsWait) return;
    this.#wait = new AbortController();
    await delay(milliseconds, [signal, this.#wait.signal], this.#clock);
    this.#wait = undefined;
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
    this.#nextSession?.resolve(session);
    this.#nextSession = undefined;
    const { peer, connected, version } = session;
    this.#events.onStatus({ type: "connected", peer, server: connected["server"], version });
    if (!this.#isLeaving && session.isOpen) this.#renewal.start(this.#dialer.expiry);
  }

  #lost(session: Session, reason: StompError | undefined): void {
    if (session === this.#replaced?.session) this.#replaced.abort.abort(); // nothing more can be waited for
    if (session !== this.#session) return;
    this.#session = undefined;
    this.#renewal.stop();
    const error = reason ?? new ConnectionError(`Connection to ${session.peer} was closed`);
    const lasted = this.#clock.now() - this.#openedAt;
    this.#trouble = error;
    this.#phase = "reconnecting";
    this.#events.onLost(error);
    this.#events.onStatus({ type: "disconnected", error });
    if (this.#policy === false && !this.#skipsNextWait) return this.close(error);
    if (this.#lostSessions.isUnreadable(error, lasted)) return this.close(error);
    this.#backoff = this.#lostSessions.ease(this.#backoff, session, lasted);
    this.#reopen(error);
  }

  /**
   * Replaces the session before its credentials expire. This is not a reconnect after a failure: it also happens without a
   * policy, and the first attempt has no wait.
   */
  #replace(expiry: Expiry): void {
    const session = this.#session!;
    const abort = new AbortController();
    this.#replaced = { session, abort };
    this.#dialing = this.#handOver(session, expiry, abort.signal).then((isOver) => {
      this.#replaced = undefined;
      if (!isOver || this.closed) return;
      this.#backoff = undefined;
      this.#reopen(undefined);
    });
  }

  /** Ends a session after the calls under way on it, within a limit. Resolves to `false` when it had ended before. */
  async #handOver(session: Session, expiry: Expiry, signal: AbortSignal): Promise<boolean> {
    const grace = graceBefore(expiry, this.#clock);
    const left = beginSteps({ signal, timeout: grace }, Infinity, this.#clock);
    await this.#events.onReplacing(session, { ...left(), timeout: grace / 2 });
    if (this.#session !== session) return false;
    const reason = this.#trouble = replacementError(session.peer, expiry);
    this.#session = undefined;
    this.#phase = "reconnecting";
    await this.#events.onHandingOver(session, left);
    await session.disconnect({}, disconnectWait(left()));
    if (!this.closed) this.#events.onLost(reason);
    return true;
  }

  async #reopen(lost: StompError | undefined): Promise<void> {
    const backoff = this.#backoff ??= this.newBackoff() ?? new Backoff({ attempts: 0 });
    try {
      await this.#dial(backoff, {}, lost);
    } catch (error) {
      if (this.closed) return;
      const why = error instanceof Error ? error.message : String(error);
      const attempts = backoff.attempt + (lost === undefined ? 1 : 0);
      const failed = () => new ConnectionError(`Cannot reconnect after ${attempts} attempts: ${why}`, { cause: error });
      this.close(error instanceof BrokerErrorResponse ? error : failed());
    }
  }

  #notConnected(what: string): NotConnectedError {
    const options = this.trouble && { cause: this.trouble };
    return new NotConnectedError(`Cannot ${what}: the client is ${this.#describe()}`, options);
  }

  #describe(): string {
    if (this.#isLeaving && this.#phase !== "closed") return "disconnecting";
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
