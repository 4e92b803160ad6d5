/**
 * `Dialer`: opens sessions from the addresses and options of a client.
 *
 * @module
 */
import { Backoff } from "../base/backoff.ts";
import { checkTime, checkType } from "../base/checks.ts";
import {
  addressText,
  isWebSocketAddress,
  type ParsedAddress,
  type ParsedAddresses,
  parseUrls,
} from "../transport/address.ts";
import { toHttpHeaders } from "../transport/websocket_options.ts";
import { checkOpenOptions, openTransport, type OpenTransportOptions } from "../transport/open.ts";
import { beginSteps, type Clock, type StepOptions, systemClock, type WaitOptions, within } from "../base/timers.ts";
import {
  type BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  type StompError,
  TimeoutError,
} from "../base/errors.ts";
import { type FrameHeadersInit, toHeaders } from "../codec/encoder.ts";
import type { Frame } from "../codec/frame.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { assertVersion } from "../codec/protocol.ts";
import type { HeartbeatTolerance } from "../connection/heartbeat.ts";
import { completeLimits } from "../codec/limits.ts";
import { Declarations } from "../dialects/queue.ts";
import { Message } from "./message.ts";
import type { Blockage } from "../session/progress.ts";
import { Session } from "../session/session.ts";
import {
  type BrokerUrl,
  type BrokerUrlSource,
  type ConnectionAttempt,
  type Credentials,
  readHeartbeat,
} from "./connection_options.ts";
import type { StompOptions } from "./options.ts";
import { type Expiry, readExpiry } from "./renewal.ts";

/** What a session reports to the reconnector. */
export interface SessionEvents {
  /** The session has ended. */
  onEnd: (session: Session, reason: StompError | undefined) => void;
  /** An ERROR frame came. */
  onError: (error: BrokerErrorResponse) => void;
  /** A message came that no subscription asked for. */
  onUnclaimed: ((session: Session, message: Frame) => void) | undefined;
  /** The broker has stopped answering, or, with `undefined`, answers again. */
  onBlocked: (session: Session, blockage: Blockage | undefined) => void;
}

/** How a dialer opens a session, beyond how long it may take. */
export interface DialOptions extends WaitOptions {
  /** Why the attempt before this one failed, or the session before it ended. */
  error?: unknown;
}

/** User and password, and when they expire. */
interface Login extends Credentials {
  readonly expiry: Expiry | undefined;
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
  target: BrokerUrl,
  port: number | undefined,
  allowsAnyScheme: boolean = false,
): ParsedAddresses {
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new TypeError(`Cannot use port ${port}: a port is a whole number from 1 to 65535`);
  }
  if (typeof target !== "string" || IS_URL.test(target)) {
    if (port === undefined) return parseUrls(target, allowsAnyScheme);
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
  readonly #addresses: ParsedAddresses | BrokerUrlSource;
  readonly #options: StompOptions;
  readonly #headers: FrameHeaders | undefined; // unless each attempt makes them
  readonly #clock: Clock;
  #login: Credentials & { clientId?: string | undefined } = {}; // given to `connect`: wins over options and URL
  #attempts = 0; // since one succeeded
  #renewed: Login | undefined; // for the next attempt
  #expiry: Expiry | undefined;

  /**
   * Creates a dialer, and checks its options.
   *
   * @param addresses those of the brokers, or a function that returns what each attempt connects to.
   * @throws {TypeError} when an option is of the wrong type.
   * @throws {RangeError} when a number is out of range.
   */
  constructor(addresses: ParsedAddresses | BrokerUrlSource, options: StompOptions, clock: Clock = systemClock) {
    this.#addresses = addresses;
    this.#clock = clock;
    this.#options = options;
    checkOpenOptions(openOptions(options), typeof addresses === "function" ? [] : addresses.addresses);
    readHeartbeat(options.heartbeat);
    checkTime("connect", "connectTimeout", options.connectTimeout);
    checkTime("connect", "timeout", options.timeout);
    checkType("connect", "credentials", options.credentials, "function");
    checkType("connect", "onUnclaimedMessage", options.onUnclaimedMessage, "function");
    if (options.reconnect) new Backoff(options.reconnect);
    completeLimits(options);
    // Copied, because an iterator can be read only once.
    this.#headers = typeof options.headers === "function" ? undefined : connectHeaders(options.headers);
    checkVersions(options.versions);
    checkTolerance(options.heartbeatTolerance);
  }

  /** Milliseconds that a call without a timeout waits for a receipt. */
  get timeout(): number {
    return (this.#options.timeout ?? CALL_TIMEOUT_MS) || Infinity;
  }

  /** Whether each attempt asks for a password, a token or a ticket, so that another one may follow a refused one. */
  get renewsCredentials(): boolean {
    const { credentials, headers, webSocket } = this.#options;
    if (credentials !== undefined && this.#login.password === undefined) return true;
    return [headers, webSocket?.headers, this.#addresses].some((option) => typeof option === "function");
  }

  /** When the credentials of the last session expire, if they do. */
  get expiry(): Expiry | undefined {
    return this.#expiry;
  }

  /** Logs in with these from the next attempt on. */
  login(credentials: Credentials & { clientId?: string | undefined }): void {
    this.#login = { ...this.#login, ...credentials };
  }

  /**
   * Asks for new credentials, which the next attempt logs in with.
   *
   * @param current when those in use expire.
   * @throws {ConnectionError} when there are none that expire later.
   */
  async renewCredentials(current: Expiry, wait: WaitOptions): Promise<void> {
    const what = "Cannot renew the credentials";
    const { left } = this.#limit(wait);
    const renewed = await this.#askForCredentials(what, left(), 1, undefined);
    if (renewed?.expiry !== undefined && renewed.expiry.at <= current.at) {
      throw new ConnectionError(`${what}: credentials() returned some that expire no later than those in use`);
    }
    this.#renewed = renewed;
  }

  /**
   * Opens a session. Tries each address once, in order or shuffled.
   *
   * @throws the error of the only address; for several a `ConnectionError` whose cause is an `AggregateError` of all.
   */
  async dial(events: SessionEvents, wait: DialOptions): Promise<Session> {
    this.#attempts++;
    const { addresses, randomize } = await this.#findAddresses(wait);
    const errors: unknown[] = [];
    for (const address of randomize ? shuffled(addresses) : addresses) {
      wait.signal?.throwIfAborted();
      try {
        const session = await this.#open(address, events, wait);
        this.#attempts = 0;
        return session;
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

  async #findAddresses(wait: DialOptions): Promise<ParsedAddresses> {
    const source = this.#addresses;
    if (typeof source !== "function") return source;
    const { left } = this.#limit(wait);
    return await this.#ask("Cannot connect", "the function for the URL", left(), wait.error, async (attempt) => {
      const found = parseUrls(await source(attempt), this.#options.transport !== undefined);
      checkOpenOptions(openOptions(this.#options), found.addresses);
      return found;
    });
  }

  async #open(address: ParsedAddress, events: SessionEvents, wait: DialOptions): Promise<Session> {
    const options = this.#options;
    const what = `Cannot connect to ${addressText(address)}`;
    const { left } = this.#limit(wait);
    const asked = await this.#takeCredentials(what, left(), wait.error);
    const headers = this.#headers ?? await this.#askForHeaders(what, left(), wait.error);
    const webSocket = isWebSocketAddress(address) ? await this.#webSocketOptions(what, left(), wait.error) : undefined;
    const given = this.#login;
    const transport = await openTransport(address, {
      ...openOptions(options),
      webSocket,
      versions: options.versions,
      signal: wait.signal,
      timeout: Math.max(1, Math.ceil(left().timeout ?? Infinity)), // 0 would be no limit
    });
    const session = await Session.open(
      transport,
      {
        ...options,
        headers,
        host: options.host ?? address.host,
        login: given.username ?? asked?.username ?? options.username ?? address.login,
        passcode: given.password ?? asked?.password ?? options.password ?? address.passcode,
        clientId: given.clientId ?? options.clientId,
        isWebSocket: isWebSocketAddress(address),
        heartbeat: readHeartbeat(options.heartbeat, isWebSocketAddress(address)),
        tolerance: options.heartbeatTolerance,
        declarations: this.declarations,
        timeout: this.timeout,
        messageType: Message,
        clock: this.#clock,
        onEnd: events.onEnd,
        onError: events.onError,
        onUnclaimed: events.onUnclaimed,
        onBlocked: events.onBlocked,
      },
      left(),
    );
    this.#expiry = given.password === undefined ? asked?.expiry : undefined;
    return session;
  }

  /** Limits one attempt by `connectTimeout`. */
  #limit({ signal, timeout: given = Infinity }: WaitOptions): { left: () => StepOptions } {
    const timeout = Math.min(given, (this.#options.connectTimeout ?? CONNECT_TIMEOUT_MS) || Infinity);
    return { left: beginSteps({ signal, timeout }, Infinity, this.#clock) };
  }

  /** Returns the credentials that were asked for in advance, once, or asks for others. */
  async #takeCredentials(what: string, wait: StepOptions, error: unknown): Promise<Login | undefined> {
    const renewed = this.#renewed;
    this.#renewed = undefined;
    return renewed ?? await this.#askForCredentials(what, wait, this.#attempts, error);
  }

  async #askForCredentials(
    what: string,
    wait: StepOptions,
    number: number,
    error: unknown,
  ): Promise<Login | undefined> {
    const { credentials } = this.#options;
    if (credentials === undefined) return undefined;
    return await this.#ask(what, "credentials()", wait, error, async (attempt) => {
      const found = await credentials(attempt);
      return { ...found, expiry: readExpiry(found?.expiresAt, this.#clock) };
    }, number);
  }

  async #askForHeaders(what: string, wait: StepOptions, error: unknown): Promise<FrameHeaders> {
    const { headers } = this.#options;
    return await this.#ask(what, "headers()", wait, error, async (attempt) => {
      return connectHeaders(typeof headers === "function" ? await headers(attempt) : headers);
    });
  }

  async #webSocketOptions(what: string, wait: StepOptions, error: unknown): Promise<OpenTransportOptions["webSocket"]> {
    const { webSocket } = this.#options;
    const { headers } = webSocket ?? {};
    if (typeof headers !== "function") return openOptions(this.#options).webSocket;
    return await this.#ask(what, "webSocket.headers()", wait, error, async (attempt) => {
      return { ...webSocket, headers: toHttpHeaders(await headers(attempt)) };
    });
  }

  /**
   * Calls a function of the program that makes a part of an attempt.
   *
   * @throws {ConnectionError} when it fails, so that it is tried again: whatever issues the tokens may be down together
   * with the broker.
   */
  async #ask<T>(
    what: string,
    name: string,
    wait: StepOptions,
    error: unknown,
    make: (attempt: ConnectionAttempt) => Promise<T>,
    number = this.#attempts,
  ): Promise<T> {
    const abort = new AbortController();
    try {
      return await within(make({ number, error, signal: abort.signal }), wait, name, (why) => abort.abort(why));
    } catch (cause) {
      if (wait.signal?.aborted) throw cause;
      const message = `${what}: ${name} failed: ${messageOf(cause)}`;
      throw new (cause instanceof TimeoutError ? ConnectionTimeoutError : ConnectionError)(message, { cause });
    }
  }
}

/** Returns the options of the transport, without what each attempt makes. */
function openOptions({ tls, webSocket, transport }: StompOptions): OpenTransportOptions {
  const isMadeEachTime = typeof webSocket?.headers === "function";
  const settled = isMadeEachTime ? { ...webSocket, headers: undefined } : webSocket;
  return { tls, webSocket: settled as OpenTransportOptions["webSocket"], transport };
}

function checkVersions(versions: StompOptions["versions"]): void {
  for (const version of versions ?? []) assertVersion(version);
  if (versions?.length === 0) throw new TypeError("Cannot connect: versions is empty, but must name at least one");
}

/** Returns the additional headers of CONNECT. */
function connectHeaders(given: FrameHeadersInit | undefined): FrameHeaders {
  const headers = toHeaders(given);
  // "receipt" in the 1.2 text: any frame except CONNECT may have one.
  if ("receipt" in headers) {
    throw new TypeError(
      "Cannot connect: headers has a receipt, and CONNECT must not have one; CONNECTED is its answer",
    );
  }
  return headers;
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
