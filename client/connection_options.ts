/**
 * The options that say how a client connects.
 *
 * @module
 */
import type { FrameHeadersInit } from "../codec/encoder.ts";
import type { Version } from "../codec/protocol.ts";
import type { HeartbeatOffer, HeartbeatTolerance } from "../connection/heartbeat.ts";
import type { TlsOptions, TransportFactory } from "../transport/transport.ts";
import type { HttpHeadersInit, WebSocketOptions } from "../transport/websocket_options.ts";

/** A user name and a password. */
export interface Credentials {
  /**
   * The user name.
   *
   * @default {the user name in the URL, if any}
   */
  username?: string | undefined;
  /**
   * The password.
   *
   * @default {the password in the URL, if any}
   */
  password?: string | undefined;
}

/** What the option `credentials` returns. */
export interface ExpiringCredentials extends Credentials {
  /**
   * When they expire: a `Date`, or milliseconds since 1970. Before that, the client asks for new ones and connects again
   * with them, when a tenth of their lifetime is left (at least 1 s, at most 30 s).
   *
   * @default {undefined} the client keeps the connection until the broker ends it
   */
  expiresAt?: Date | number | undefined;
}

/** An attempt to connect, as passed to the functions for its URL, headers and credentials. */
export interface ConnectionAttempt {
  /** The number of the attempt, from 1. It starts again after one that succeeded. */
  readonly number: number;
  /** Why the attempt before it failed, or the connection before it ended; `undefined` for the first one. */
  readonly error: unknown;
  /** Aborts when the attempt is given up. */
  readonly signal: AbortSignal;
}

/** What a client connects to: a URL, several URLs, which each attempt tries in order, or `failover:(…)`. */
export type BrokerUrl = string | URL | readonly (string | URL)[];

/** Returns what to connect to, for each attempt: for example with a ticket in the query of the URL. */
export type BrokerUrlSource = (attempt: ConnectionAttempt) => BrokerUrl | Promise<BrokerUrl>;

/** Options of WebSockets. Their headers may be a function, which each attempt calls. */
export interface ClientWebSocketOptions extends Omit<WebSocketOptions, "headers"> {
  /**
   * HTTP headers of the handshake, for example `Authorization` or `Cookie`, or a function that returns them for each
   * attempt. Deno, Bun and Node send them. A browser cannot: there they are a `TypeError`.
   *
   * @default {{}}
   */
  headers?: HttpHeadersInit | ((attempt: ConnectionAttempt) => HttpHeadersInit | Promise<HttpHeadersInit>) | undefined;
}

/** The options of a client that say how it connects. */
export interface ConnectionOptions extends Credentials {
  /**
   * Returns user name and password for each attempt to connect, for tokens that expire. A refused login is then tried
   * again as long as `reconnect` allows, after 1 s or more. With a fixed password, the second refusal in the same words
   * ends the client. With `expiresAt` the client connects again before they expire, also with `reconnect: false`.
   *
   * @default {undefined} `username` and `password`
   */
  credentials?: ((attempt: ConnectionAttempt) => ExpiringCredentials | Promise<ExpiringCredentials>) | undefined;
  /**
   * The `client-id` header of CONNECT, which ActiveMQ and Artemis need for durable subscriptions.
   *
   * @default {undefined} none
   */
  clientId?: string | undefined;
  /**
   * The virtual host, as the `host` header of CONNECT.
   *
   * @default {the path of the URL, else "/"}
   */
  host?: string | undefined;
  /**
   * The versions of STOMP to offer.
   *
   * @default {["1.0", "1.1", "1.2"]}
   */
  versions?: readonly Version[] | undefined;
  /**
   * Heart-beat intervals in milliseconds: a number for both directions, or each direction. With `false` there are none,
   * and a connection that has died silently goes unnoticed.
   *
   * Over WebSocket the default is `{ send: 0, receive: 10000 }`, because RabbitMQ's Web STOMP fails in a burst of messages
   * when it gets heart-beats.
   *
   * @default {10000}
   */
  heartbeat?: number | HeartbeatOffer | false | undefined;
  /**
   * How late the broker's heart-beats may be, and its answer after the machine has slept.
   *
   * @default {{ factor: 2, floor: 1000, probe: 5000 }}
   */
  heartbeatTolerance?: HeartbeatTolerance | undefined;
  /**
   * TLS options for `stomp+ssl://` and `wss://`.
   *
   * @default {{}} the system's certificate authorities, no client certificate
   */
  tls?: TlsOptions | undefined;
  /**
   * Additional headers of CONNECT, or a function that returns them for each attempt, for example a fresh `Authorization`.
   * When it throws or rejects, the attempt has failed, and others follow as `reconnect` allows.
   *
   * @default {{}}
   */
  headers?:
    | FrameHeadersInit
    | ((attempt: ConnectionAttempt) => FrameHeadersInit | Promise<FrameHeadersInit>)
    | undefined;
  /**
   * Milliseconds that one attempt to connect may take, including CONNECTED; 0 and `Infinity` are no limit.
   *
   * @default {10000}
   */
  connectTimeout?: number | undefined;
  /**
   * How a WebSocket is opened and used, for `ws://` and `wss://`.
   *
   * @default {{}}
   */
  webSocket?: ClientWebSocketOptions | undefined;
  /**
   * Opens the connection in place of the library, for example over a unix socket or through a proxy. The URL may then
   * have any scheme. TLS is up to the function, also for `stomp+ssl://` and `wss://`: the library adds none to what it
   * returns.
   *
   * @default {undefined} TCP, TLS or WebSocket, as the URL says
   */
  transport?: TransportFactory | undefined;
}

/**
 * Returns the heart-beats to offer.
 *
 * Over WebSocket none are sent by default. RabbitMQ (seen in 3.10) stops watching for a client's heart-beats while the
 * client sends more than it can take, and breaks the connection, `{unexpected_message,resume}` in its log, when it resumes
 * watching without having stopped. A line end that the transport sends now and then serves the same purpose.
 *
 * @throws {RangeError} when an interval is not a whole number of milliseconds.
 */
export function readHeartbeat(option: ConnectionOptions["heartbeat"], overWebSocket = false): HeartbeatOffer {
  const offer = option === false
    ? { send: 0, receive: 0 }
    : typeof option === "object"
    ? option
    : { send: option ?? (overWebSocket ? 0 : 10_000), receive: option ?? 10_000 };
  for (const interval of [offer.send, offer.receive]) {
    if (!Number.isSafeInteger(interval) || interval < 0) {
      throw new RangeError(
        `Cannot connect: heartbeat is ${interval}, but must be a whole number of milliseconds, or false`,
      );
    }
  }
  return offer;
}
