/**
 * Keeps a session open: connects, notices the end, connects again.
 *
 * @module
 */
import { Backoff, type ReconnectOptions } from "./backoff.ts";
import { checkWait, onGiveUp, type WaitOptions, within } from "../base/deadline.ts";
import { isLoginRefusal } from "../dialects/dialect.ts";
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
import type { Status } from "./status.ts";

/** Who is told what happens. */
export interface KeeperEvents {
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

/** Milliseconds that a session has to last before a new break is held for a new trouble. */
const STABLE = 5000;

const DONE: Promise<void> = Promise.resolve();

/** One session after the other. */
export class SessionKeeper {
  readonly #dialer: Dialer;
  readonly #policy: ReconnectOptions | false;
  readonly #events: KeeperEvents;
  #phase: Phase = "idle";
  #leaving = false;
  #session: Session | undefined;
  #openedAt = 0;
  #backoff: Backoff | undefined;
  #next: PromiseWithResolvers<Session> | undefined; // whoever waits for the next session
  #attempt: AbortController | undefined; // ends the dialing
  #dialing: Promise<void> = DONE; // a socket may be open until it settles
  #goOn: (() => void) | undefined; // ends the wait between two attempts
  #atOnce = false; // the session that ends is to be followed by another without a wait
  #reason: StompError | undefined;

  /** Keeps nothing before `connect`. */
  constructor(dialer: Dialer, policy: ReconnectOptions | false, events: KeeperEvents) {
    this.#dialer = dialer;
    this.#policy = policy;
    this.#events = events;
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
   * Opens the first session.
   *
   * @throws what the last attempt failed with.
   */
  async connect(wait: WaitOptions): Promise<void> {
    if (this.#phase !== "idle") throw this.#notConnected("connect");
    checkWait(wait);
    this.#phase = "connecting";
    const backoff = this.#policy && this.#policy.firstConnect ? new Backoff(this.#policy) : undefined;
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
    try {
      return await within(this.#next.promise, wait, `a connection to ${what}`);
    } catch (error) {
      throw error instanceof NotConnectedError ? this.#notConnected(what) : error;
    }
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
    this.#goOn?.();
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
      onGiveUp({ timeout: backoff?.left }, "a new connection", (error) => attempt.abort(last ?? error)),
    ];
    let refusal: string | undefined;
    try {
      if (lost) await this.#pause(backoff, lost, signal);
      for (;;) {
        try {
          const session = await this.#dialer.dial(this.#sessionEvents(), { signal });
          if (!signal.aborted) return session;
          await session.close();
        } catch (error) {
          if (!signal.aborted) {
            const refused = refusalOf(error);
            // The same refusal twice will not become a welcome; a mistake in the options neither.
            if (!(error instanceof StompError) || (refused !== undefined && refused === refusal)) throw error;
            refusal = refused;
            last = error;
            await this.#pause(backoff, error, signal);
          }
        }
        signal.throwIfAborted();
      }
    } finally {
      for (const stop of stops) stop();
      this.#attempt = undefined;
    }
  }

  /** Apart from the dialing: a session keeps these as long as it lives, and nothing of what led to it. */
  #sessionEvents(): SessionEvents {
    return {
      onEnd: (session, reason) => this.#lost(session, reason),
      onError: (error) => this.#events.onStatus({ type: "error", error }),
    };
  }

  /** Waits until the next attempt; throws `error` when there is to be none. */
  async #pause(backoff: Backoff | undefined, error: StompError, signal: AbortSignal): Promise<void> {
    const atOnce = this.#atOnce;
    this.#atOnce = false;
    const delay = backoff?.next() ?? (atOnce ? 0 : undefined);
    if (delay === undefined) throw error;
    this.#events.onStatus({
      type: "reconnecting",
      attempt: Math.max(1, backoff!.attempt),
      delay: atOnce ? 0 : delay,
      error,
    });
    if (atOnce) return;
    await new Promise<void>((resolve) => {
      const goOn = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", goOn);
        this.#goOn = undefined;
        resolve();
      };
      const timer = setTimeout(goOn, delay);
      signal.addEventListener("abort", goOn);
      this.#goOn = goOn;
    });
    signal.throwIfAborted();
  }

  #enter(session: Session): void {
    this.#session = session;
    this.#openedAt = performance.now();
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
    this.#phase = "reconnecting";
    this.#events.onLost(error);
    this.#events.onStatus({ type: "disconnected", error });
    if (this.#policy === false && !this.#atOnce) return this.close(error);
    // A broker that accepts and drops at once gets no fresh start.
    if (performance.now() - this.#openedAt >= STABLE) this.#backoff = undefined;
    this.#reopen(error);
  }

  async #reopen(reason: StompError): Promise<void> {
    const backoff = this.#backoff ??= new Backoff(this.#policy || { attempts: 0 });
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
    const options = this.#reason ? { cause: this.#reason } : {};
    return new NotConnectedError(`Cannot ${what}: the client is ${this.#describe()}`, options);
  }

  #describe(): string {
    if (this.#leaving && this.#phase !== "closed") return "disconnecting";
    switch (this.#phase) {
      case "idle":
        return "not connected, call connect first";
      case "connecting":
        return "connecting already";
      case "open":
        return "connected already";
      case "reconnecting":
        return "reconnecting";
      case "closed":
        return this.#reason ? `closed: ${this.#reason.message}` : "closed";
    }
  }
}

/** What the broker, or each of several, said of user and password. */
function refusalOf(error: unknown): string | undefined {
  if (error instanceof BrokerErrorResponse) return isLoginRefusal(error.message) ? error.message : undefined;
  const errors = error instanceof ConnectionError && error.cause instanceof AggregateError ? error.cause.errors : [];
  const refusals = errors.map(refusalOf);
  return refusals.length > 0 && !refusals.includes(undefined) ? refusals.sort().join("; ") : undefined;
}
