/**
 * `Dialer`: opens sessions from the addresses and options of a client.
 *
 * @module
 */
import { Backoff } from "../base/backoff.ts";
import { checkTime } from "../base/checks.ts";
import { addressText, type ParsedAddress, type ParsedAddresses, parseUrls } from "../transport/address.ts";
import { checkTls, openTransport } from "../transport/open.ts";
import { beginSteps, type Clock, type StepOptions, systemClock, type WaitOptions, within } from "../base/timers.ts";
import {
  type BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  type StompError,
  TimeoutError,
} from "../base/errors.ts";
import { toHeaders } from "../codec/encoder.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { assertVersion } from "../codec/protocol.ts";
import type { HeartbeatTolerance } from "../connection/heartbeat.ts";
import { completeLimits } from "../codec/limits.ts";
import { Declarations } from "../dialects/queue.ts";
import { Message } from "./message.ts";
import type { Blockage } from "../session/progress.ts";
import { Session } from "../session/session.ts";
import { type Credentials, readHeartbeat, type StompOptions } from "./options.ts";

/** What a session reports to the reconnector. */
export interface SessionEvents {
  /** The session has ended. */
  onEnd: (session: Session, reason: StompError | undefined) => void;
  /** An ERROR frame came. */
  onError: (error: BrokerErrorResponse) => void;
  /** The broker has stopped answering, or, with `undefined`, answers again. */
  onBlocked: (session: Session, blockage: Blockage | undefined) => void;
}

const CONNECT_TIMEOUT_MS = 10_000;
const CALL_TIMEOUT_MS = 30_000;

const IS_URL = /^([a-z][a-z0-9+.-]*:\/\/|failover:)/i;

/** A host followed by a port, where IPv6 needs its brackets. */
const HOST_AND_PORT = /^(?<host>[^:@/\s]+|\[[^\]@/\s]*\]):(?<port>\d+)$/;

/**
 * Parses what a client is created with: a host and a port as in stompy, `host:port`, or URLs.
 *
 * @throws {TypeError} when the target is none of these, or the port is invalid.
 */
export function addressesOf(
  target: string | URL | readonly (string | URL)[],
  port: number | undefined,
): ParsedAddresses {
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new TypeError(`Cannot use port ${port}: a port is a whole number from 1 to 65535`);
  }
  if (typeof target !== "string" || IS_URL.test(target)) {
    if (port === undefined) return parseUrls(target);
    throw new TypeError(
      `Cannot use port ${port}: a URL includes its port, as in stomp://host:port`,
    );
  }
  const both = HOST_AND_PORT.exec(target.trim())?.groups;
  if (both !== undefined && port !== undefined) {
    throw new TypeError(`Cannot use port ${port}: the host includes a port already`);
  }
  // Never quoted in an error: without its scheme, as in user:password@host, it contains a password.
  if (/[@/]/.test(target)) return parseUrls(target);
  const host = both?.["host"] ?? target;
  const bare = host.split(":").length > 2 && !host.startsWith("[") ? `[${host}]` : host;
  return parseUrls(`stomp://${bare}:${both?.["port"] ?? port ?? 61613}`);
}

/** Opens the sessions of one client. Each attempt tries every address once. */
export class Dialer {
  /** The queues that the client declares. */
  readonly declarations: Declarations = new Declarations();
  readonly #addresses: readonly ParsedAddress[];
  readonly #randomize: boolean;
  readonly #options: StompOptions;
  readonly #headers: FrameHeaders;
  readonly #clock: Clock;
  #login: Credentials & { clientId?: string | undefined } = {}; // given to `connect`: wins over options and URL

  /**
   * Creates a dialer, and checks its options.
   *
   * @throws {TypeError} when an option is of the wrong type.
   * @throws {RangeError} when a number is out of range.
   */
  constructor({ addresses, randomize }: ParsedAddresses, options: StompOptions, clock: Clock = systemClock) {
    this.#addresses = addresses;
    this.#clock = clock;
    this.#randomize = randomize;
    this.#options = options;
    checkTls(options.tls, addresses);
    readHeartbeat(options.heartbeat);
    checkTime("connect", "connectTimeout", options.connectTimeout);
    checkTime("connect", "timeout", options.timeout);
    if (options.reconnect) new Backoff(options.reconnect);
    completeLimits(options);
    this.#headers = toHeaders(options.headers); // copied, because an iterator can be read only once
    checkConnect(options.versions, this.#headers);
    checkTolerance(options.heartbeatTolerance);
  }

  /** Milliseconds that a call without a timeout waits for a receipt. */
  get timeout(): number {
    return (this.#options.timeout ?? CALL_TIMEOUT_MS) || Infinity;
  }

  /** Whether each attempt asks for the password, so that another one may follow a refused one. */
  get renewsCredentials(): boolean {
    return this.#options.credentials !== undefined && this.#login.password === undefined;
  }

  /** Logs in with these from the next attempt on. */
  login(credentials: Credentials & { clientId?: string | undefined }): void {
    this.#login = { ...this.#login, ...credentials };
  }

  /**
   * Opens a session. Tries each address once, in order or shuffled.
   *
   * @throws the error of the only address; for several a `ConnectionError` whose cause is an `AggregateError` of all.
   */
  async dial(events: SessionEvents, wait: WaitOptions): Promise<Session> {
    const errors: unknown[] = [];
    for (const address of this.#randomize ? shuffled(this.#addresses) : this.#addresses) {
      wait.signal?.throwIfAborted();
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
    const timeout = Math.min(wait.timeout ?? Infinity, (options.connectTimeout ?? CONNECT_TIMEOUT_MS) || Infinity);
    const left = beginSteps({ signal: wait.signal, timeout }, Infinity, this.#clock);
    const asked = await this.#askForCredentials(address, left());
    const given = this.#login;
    const transport = await openTransport(address, {
      tls: options.tls,
      versions: options.versions,
      signal: wait.signal,
      timeout: Math.max(1, Math.ceil(left().timeout ?? Infinity)), // 0 would be no limit
    });
    return await Session.open(
      transport,
      {
        ...options,
        headers: this.#headers,
        host: options.host ?? address.host,
        login: given.username ?? asked?.username ?? options.username ?? address.login,
        passcode: given.password ?? asked?.password ?? options.password ?? address.passcode,
        clientId: given.clientId ?? options.clientId,
        heartbeat: readHeartbeat(options.heartbeat, address.scheme === "ws" || address.scheme === "wss"),
        tolerance: options.heartbeatTolerance,
        declarations: this.declarations,
        timeout: this.timeout,
        messageType: Message,
        clock: this.#clock,
        onEnd: events.onEnd,
        onError: events.onError,
        onBlocked: events.onBlocked,
      },
      left(),
    );
  }

  async #askForCredentials(address: ParsedAddress, wait: StepOptions): Promise<Credentials | undefined> {
    const { credentials } = this.#options;
    if (credentials === undefined) return undefined;
    try {
      return await within((async () => await credentials())(), wait, "the credentials");
    } catch (cause) {
      if (wait.signal?.aborted) throw cause;
      // A `ConnectionError`, so that it is tried again: whatever issues the tokens may be down together with the broker.
      const message = `Cannot connect to ${addressText(address)}: credentials() failed: ${messageOf(cause)}`;
      throw new (cause instanceof TimeoutError ? ConnectionTimeoutError : ConnectionError)(message, { cause });
    }
  }
}

function checkConnect(versions: StompOptions["versions"], headers: FrameHeaders): void {
  for (const version of versions ?? []) assertVersion(version);
  if (versions?.length === 0) throw new TypeError("Cannot connect: versions is empty, but must name at least one");
  // "receipt" in the 1.2 text: any frame except CONNECT may have one.
  if ("receipt" in headers) {
    throw new TypeError(
      "Cannot connect: headers has a receipt, and CONNECT must not have one; CONNECTED is its answer",
    );
  }
}

function checkTolerance({ factor = 1, floor, probe }: HeartbeatTolerance = {}): void {
  if (!(factor >= 1)) {
    throw new RangeError(`Cannot connect: heartbeatTolerance.factor is ${factor}, but must be a number of 1 or more`);
  }
  checkTime("connect", "heartbeatTolerance.floor", floor);
  checkTime("connect", "heartbeatTolerance.probe", probe);
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
