/**
 * What failed attempts to connect and lost sessions mean for the next attempt.
 *
 * @module
 */
import type { Backoff } from "../base/backoff.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  HandshakeRefusedError,
  type StompError,
  UnknownBrokerResponseError,
} from "../base/errors.ts";
import { isLoginRefusal } from "../dialects/registry.ts";
import type { Session } from "../session/session.ts";

/** A session that lasts this long was good: the waits after it begin short again. */
const STABLE_SESSION_MS = 1000;

/** How many shorter sessions in a row are followed by a short wait, if the broker did more in each than accept the login. */
const MAX_SHORT_SESSIONS = 8;

/** After this many sessions in a row that end in the same unreadable bytes, the client closes. */
const MAX_UNREADABLE_SESSIONS = 3;

/** Longest session that counts as one of those: a message that is delivered again comes soon. */
const MAX_UNREADABLE_SESSION_MS = 30_000;

/** What is known of the sessions that were lost so far. */
export class LostSessions {
  #shortSessions = 0; // in a row
  #unreadable: { readonly words: string; count: number } | undefined;

  /**
   * Notes that a session was lost. Returns the waits to go on with: short ones again after a good session, which is
   * `undefined`, but not for a broker that goes on dropping new sessions.
   */
  ease(backoff: Backoff | undefined, session: Session, lasted: number): Backoff | undefined {
    this.#shortSessions = lasted >= STABLE_SESSION_MS || session.progress.hasFoundCulprit ? 0 : this.#shortSessions + 1;
    if (this.#shortSessions === 0) return undefined;
    if (session.progress.isProven) backoff?.restart(Math.max(0, this.#shortSessions - MAX_SHORT_SESSIONS));
    return backoff;
  }

  /** Whether the broker goes on sending what cannot be read, such as a message that is delivered again each time. */
  isUnreadable(error: StompError, lasted: number): boolean {
    if (!(error instanceof UnknownBrokerResponseError) || isSecondConnected(error)) {
      this.#unreadable = undefined;
      return false;
    }
    // The cause does not name the broker: another one of a cluster delivers the same message.
    const words = error.cause instanceof Error ? error.cause.message : error.message;
    if (this.#unreadable?.words !== words || lasted > MAX_UNREADABLE_SESSION_MS) this.#unreadable = { words, count: 0 };
    return ++this.#unreadable.count >= MAX_UNREADABLE_SESSIONS;
  }
}

/** Whether a session ended for a reason that no message can have caused. */
export function isAboutConnection(reason: unknown): boolean {
  return reason instanceof BrokerErrorResponse || isSecondConnected(reason);
}

/** Whether a session ended with a second CONNECTED, as ActiveMQ sends when it mixes up the first frames of a connection. */
function isSecondConnected(reason: unknown): boolean {
  return reason instanceof UnknownBrokerResponseError && reason.frame?.command === "CONNECTED";
}

/** Returns how the broker, or each of several, refused user and password; `undefined` when the error is another one. */
export function refusalOf(error: unknown): string | undefined {
  if (error instanceof HandshakeRefusedError) return isLoginStatus(error.status) ? error.message : undefined;
  if (error instanceof BrokerErrorResponse) return isLoginRefusal(error.message) ? error.message : undefined;
  const errors = error instanceof ConnectionError && error.cause instanceof AggregateError ? error.cause.errors : [];
  const refusals = errors.map(refusalOf);
  return refusals.length > 0 && !refusals.includes(undefined) ? refusals.sort().join("; ") : undefined;
}

function isLoginStatus(status: number): boolean {
  return status === 401 || status === 403;
}
