/**
 * Keeps a session open: connects, notices the end, connects again.
 *
 * @module
 */
import { Backoff, type ReconnectOptions } from "./backoff.ts";
import type { WaitOptions } from "./conversation.ts";
import { within } from "./deadline.ts";
import type { Dialer } from "./dialer.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  NotConnectedError,
  StompError,
  TimeoutError,
} from "./errors.ts";
import type { Session } from "./session.ts";
import type { Status } from "./status.ts";

/** Who is told what happens. */
export interface KeeperEvents {
  /** There is a new session; nothing was sent over it yet. */
  onOpen(session: Session): void;
  /** The session is over, and another one will be tried. */
  onLost(reason: StompError): void;
  /** There will be no session any more. */
  onClosed(reason: StompError | undefined): void;
  /** For who watches. */
  onStatus(status: Status): void;
}

type Phase = "idle" | "connecting" | "open" | "reconnecting" | "closed";

/** Milliseconds that a session has to last before a new break is held for a new trouble. */
const STABLE = 5000;

/** One session after the other. */
export class SessionKeeper {
  readonly #dialer: Dialer;
  readonly #policy: ReconnectOptions | false;
  readonly #events: KeeperEvents;
  readonly #over = new AbortController(); // ends dialing and waiting
  #phase: Phase = "idle";
  #session: Session | undefined;
  #openedAt = 0;
  #backoff: Backoff | undefined;
  #next: PromiseWithResolvers<Session> | undefined; // whoever waits for the next session
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
    if (this.#phase !== "idle") throw new NotConnectedError(`Cannot connect: the client is ${this.#describe()}`);
    this.#phase = "connecting";
    const retry = this.#policy && this.#policy.firstConnect ? new Backoff(this.#policy) : undefined;
    const attempt = new AbortController();
    const dialing = this.#dialUntil(retry, AbortSignal.any([attempt.signal, this.#over.signal]));
    try {
      this.#enter(await within(dialing, wait, "the connection", (error) => attempt.abort(error)));
    } catch (cause) {
      // An attempt that is called off is over only when its socket is closed.
      await dialing.then((session) => session.close(), () => {});
      const error = cause instanceof TimeoutError ? new ConnectionTimeoutError(cause.message, { cause }) : cause;
      if (!this.closed) this.#phase = "idle";
      this.#next?.reject(error);
      this.#next = undefined;
      throw this.closed ? this.#notConnected("connect") : error;
    }
    if (this.closed) throw this.#notConnected("connect");
  }

  /**
   * The open session, or the next one.
   *
   * @throws {NotConnectedError} when there is none, and none is being opened.
   */
  ready(what: string, wait: WaitOptions): Promise<Session> {
    if (this.#session) return Promise.resolve(this.#session);
    if (this.#phase === "idle" || this.#phase === "closed") return Promise.reject(this.#notConnected(what));
    if (wait.signal?.aborted) return Promise.reject(wait.signal.reason);
    this.#next ??= Promise.withResolvers<Session>();
    this.#next.promise.catch(() => {}); // who has given up is not told
    return within(this.#next.promise, wait, `a connection to ${what}`);
  }

  /** Fails unless there is a session, or one is being opened. */
  check(what: string): void {
    if (this.#phase === "idle" || this.#phase === "closed") throw this.#notConnected(what);
  }

  /** Gives the session up and opens a new one, for who knows that the network has changed. */
  reconnect(): void {
    this.check("reconnect");
    this.#session?.close(new ConnectionError("Connection given up: reconnect was asked for"));
  }

  /** Ends for good. What is done with the session is up to the caller. */
  close(reason: StompError | undefined): void {
    if (this.closed) return;
    this.#phase = "closed";
    this.#reason = reason;
    this.#session = undefined;
    this.#over.abort(reason);
    this.#next?.reject(this.#notConnected("wait"));
    this.#next = undefined;
    this.#events.onClosed(reason);
    this.#events.onStatus({ type: "closed", error: reason });
  }

  /** Tries until an attempt succeeds, or the backoff says no. */
  async #dialUntil(backoff: Backoff | undefined, signal: AbortSignal): Promise<Session> {
    let refusal: string | undefined;
    for (;;) {
      try {
        return await this.#dialer.dial({
          onEnd: (session, reason) => this.#lost(session, reason),
          onError: (error) => this.#events.onStatus({ type: "error", error }),
        }, { signal });
      } catch (error) {
        if (signal.aborted) throw error;
        // The same refusal twice will not become a welcome; a mistake in the options neither.
        const refused = error instanceof BrokerErrorResponse ? error.message : undefined;
        const hopeless = !(error instanceof StompError) || (refused !== undefined && refused === refusal);
        const delay = hopeless ? undefined : backoff?.next();
        if (delay === undefined) throw error;
        refusal = refused;
        await this.#pause(backoff!.attempt, delay, error, signal);
      }
    }
  }

  async #pause(attempt: number, delay: number, error: unknown, signal: AbortSignal): Promise<void> {
    this.#events.onStatus({ type: "reconnecting", attempt, delay, error });
    await new Promise<void>((resolve, reject) => {
      const aborted = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", aborted);
        resolve();
      }, delay);
      signal.addEventListener("abort", aborted, { once: true });
    });
  }

  #enter(session: Session): void {
    if (this.closed) return void session.close();
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
    if (this.#policy === false) return this.close(error);
    // A broker that accepts and drops at once gets no fresh start.
    if (performance.now() - this.#openedAt >= STABLE) this.#backoff = undefined;
    this.#reopen(error);
  }

  async #reopen(reason: StompError): Promise<void> {
    const { signal } = this.#over;
    const backoff = this.#backoff ??= new Backoff(this.#policy || {});
    let error: unknown = reason;
    try {
      const delay = backoff.next();
      if (delay !== undefined) {
        await this.#pause(backoff.attempt, delay, reason, signal);
        return this.#enter(await this.#dialUntil(backoff, signal));
      }
    } catch (failure) {
      error = failure;
    }
    if (this.closed) return;
    const why = error instanceof Error ? error.message : String(error);
    this.close(
      error instanceof BrokerErrorResponse
        ? error
        : new ConnectionError(`Cannot reconnect after ${backoff.attempt} attempts: ${why}`, { cause: error }),
    );
  }

  #notConnected(what: string): NotConnectedError {
    const options = this.#reason ? { cause: this.#reason } : {};
    return new NotConnectedError(`Cannot ${what}: the client is ${this.#describe()}`, options);
  }

  #describe(): string {
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
