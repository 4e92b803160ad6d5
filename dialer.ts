/**
 * From addresses and options to a session: one attempt goes through all addresses once.
 *
 * @module
 */
import { openTransport, type ParsedAddress, parseUrls } from "./connect.ts";
import type { WaitOptions } from "./conversation.ts";
import { checkTimeout, throwIfAborted } from "./deadline.ts";
import { ConnectionError, type StompError } from "./errors.ts";
import type { BrokerErrorResponse } from "./errors.ts";
import { Message } from "./message.ts";
import { Session } from "./session.ts";
import { type Credentials, readHeartbeat, type StompOptions } from "./stomp_options.ts";

/** What becomes of a session. */
export interface SessionEvents {
  /** It is over. */
  onEnd: (session: Session, reason: StompError | undefined) => void;
  /** It brought an ERROR frame. */
  onError: (error: BrokerErrorResponse) => void;
}

const CONNECT_TIMEOUT = 10_000;
const CALL_TIMEOUT = 30_000;

/** Opens the sessions of one client. */
export class Dialer {
  readonly #addresses: readonly ParsedAddress[];
  readonly #randomize: boolean;
  readonly #options: StompOptions;
  /** Given to `connect`: wins over options and URL. */
  #credentials: Credentials & { clientId?: string | undefined } = {};

  /**
   * Checks addresses and options.
   *
   * @throws {TypeError} when a URL makes no sense.
   * @throws {RangeError} when a number is out of range.
   */
  constructor(target: string | URL | readonly (string | URL)[], options: StompOptions) {
    const { addresses, randomize } = parseUrls(target);
    this.#addresses = addresses;
    this.#randomize = randomize;
    this.#options = options;
    readHeartbeat(options.heartbeat);
    checkTimeout(options.connectTimeout);
    checkTimeout(options.timeout);
  }

  /** Milliseconds that a call waits for a receipt. */
  get timeout(): number {
    return this.#options.timeout ?? CALL_TIMEOUT;
  }

  /** Uses these from now on. */
  login(credentials: Credentials & { clientId?: string | undefined }): void {
    this.#credentials = { ...this.#credentials, ...credentials };
  }

  /**
   * Tries each address once, in order or shuffled.
   *
   * @throws the error of the only address; for several a `ConnectionError` whose cause is an `AggregateError` of all.
   */
  async dial(events: SessionEvents, wait: WaitOptions): Promise<Session> {
    const errors: unknown[] = [];
    for (const address of this.#randomize ? shuffled(this.#addresses) : this.#addresses) {
      throwIfAborted(wait);
      try {
        return await this.#open(address, events, wait);
      } catch (error) {
        if (wait.signal?.aborted) throw error;
        errors.push(error);
      }
    }
    if (errors.length === 1) throw errors[0];
    const last = errors.at(-1);
    throw new ConnectionError(
      `Cannot connect to any of ${errors.length} addresses: ${errors.map(messageOf).join("; ")}`,
      { cause: new AggregateError(errors, messageOf(last)) },
    );
  }

  async #open(address: ParsedAddress, events: SessionEvents, wait: WaitOptions): Promise<Session> {
    const options = this.#options;
    const asked = await options.credentials?.();
    const given = this.#credentials;
    const timeout = Math.min(wait.timeout ?? Infinity, options.connectTimeout ?? CONNECT_TIMEOUT);
    const begun = performance.now();
    const transport = await openTransport(address, { tls: options.tls, signal: wait.signal, timeout });
    const left = timeout === Infinity ? Infinity : Math.max(1, Math.round(timeout - (performance.now() - begun)));
    return await Session.open(
      transport,
      {
        ...options,
        host: options.host ?? address.host,
        login: given.username ?? asked?.username ?? options.username ?? address.login,
        passcode: given.password ?? asked?.password ?? options.password ?? address.passcode,
        clientId: given.clientId ?? options.clientId,
        heartbeat: readHeartbeat(options.heartbeat),
        tolerance: options.heartbeatTolerance,
        timeout: this.timeout,
        messageType: Message,
        onEnd: events.onEnd,
        onError: events.onError,
      },
      { signal: wait.signal, timeout: left },
    );
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
