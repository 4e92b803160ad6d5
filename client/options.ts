/**
 * The options of `Stomp` and its calls.
 *
 * @module
 */
import type { AckMode } from "../session/acknowledgement.ts";
import type { ReconnectOptions } from "../base/backoff.ts";
import { checkLimit, checkSignal, checkType, kindOf } from "../base/checks.ts";
import type { WaitOptions } from "../base/timers.ts";
import type { DecoderLimits } from "../codec/limits.ts";
import { checkConsumerOptions } from "../dialects/checks.ts";
import type { BrokerFamily, FrameLimits, PortableSendOptions, PortableSubscribeOptions } from "../dialects/dialect.ts";
import type { FrameHeadersInit } from "../codec/encoder.ts";
import type { Version } from "../codec/headers.ts";
import type { HeartbeatOffer, HeartbeatTolerance } from "../connection/heartbeat.ts";
import type { TlsOptions } from "../transport/transport.ts";

/** A user and a password. */
export interface Credentials {
  /** The user. */
  username?: string | undefined;
  /** The password. */
  password?: string | undefined;
}

/** Options of `Stomp.prototype.connect`. */
export interface ConnectOptions extends Credentials, WaitOptions {
  /** `client-id`, which ActiveMQ and Artemis need for durable subscriptions. */
  clientId?: string | undefined;
}

/** Options of `disconnect`: how long to wait, and further headers of DISCONNECT. */
export interface DisconnectOptions extends WaitOptions {
  /** A header. */
  [header: string]: unknown;
}

/** Limits on the messages that a client holds until they are confirmed. Beyond them, `send` waits. */
export interface OutboxLimits {
  /**
   * How many messages.
   *
   * @default 10000
   */
  messages?: number | undefined;
  /**
   * How many bytes of bodies; a body that is text counts with its length. One message is always accepted.
   *
   * @default 67108864 (64 MiB)
   */
  bytes?: number | undefined;
}

/** Options of a {@linkcode Stomp}. */
export interface StompOptions extends Credentials, DecoderLimits {
  /**
   * Asked for user and password before each attempt to connect, for tokens that expire. So a refused login is tried again
   * as long as `reconnect` allows, 1 s later at the earliest; with a fixed password the second refusal in the same words
   * ends the client.
   */
  credentials?: (() => Credentials | Promise<Credentials>) | undefined;
  /** `client-id`, which ActiveMQ and Artemis need for durable subscriptions. */
  clientId?: string | undefined;
  /** The virtual host. Default: the path of the URL, else `/`. */
  host?: string | undefined;
  /** The versions to offer. Default `1.0`, `1.1` and `1.2`. */
  versions?: readonly Version[] | undefined;
  /**
   * Heart-beats in milliseconds: one number for both ways, or each way by itself. Default 10,000 both ways; `false` is
   * none, and then nobody notices a connection that has died silently. Over WebSocket the default is to receive them and
   * not to send any: RabbitMQ's Web STOMP takes them, and then fails in a burst of messages.
   */
  heartbeat?: number | HeartbeatOffer | false | undefined;
  /** How late the broker's heart-beats may be, and how late its answer when the machine has slept. */
  heartbeatTolerance?: HeartbeatTolerance | undefined;
  /** TLS options, for `stomp+ssl://` and `wss://`. */
  tls?: TlsOptions | undefined;
  /** Which broker it is, where its `server` header does not say. */
  broker?: BrokerFamily | undefined;
  /** Further headers of CONNECT. */
  headers?: FrameHeadersInit | undefined;
  /**
   * What the broker takes in one frame, in bytes and header lines: a larger message is refused with a `RangeError` before
   * it is written. Default: what the broker is known to hang up on, by the version in its CONNECTED. That is 4,194,304
   * bytes on RabbitMQ 4, and 100 headers from 4.3 on. `Infinity` lifts a limit.
   */
  frameLimits?: Partial<FrameLimits> | undefined;
  /** Milliseconds that one attempt to connect may take, CONNECTED included. Default 10,000; 0 and `Infinity` are no limit. */
  connectTimeout?: number | undefined;
  /**
   * Milliseconds that a call waits for the broker's receipt, where it says nothing else. Default 30,000; 0 and `Infinity`
   * are no limit.
   */
  timeout?: number | undefined;
  /** How to reconnect; `false` for not at all. */
  reconnect?: ReconnectOptions | false | undefined;
  /** How many unconfirmed messages the client holds before `send` waits. */
  outbox?: OutboxLimits | undefined;
  /** Whether text is sent with `content-length`, where a send says nothing else. Default `true`. */
  contentLength?: boolean | undefined;
}

/** Options of `send`. */
export interface SendOptions extends PortableSendOptions, WaitOptions {
  /**
   * Whether to wait for the broker's receipt. Default `true`, but `false` within a transaction, where the receipt of
   * the commit stands for all. Without a receipt a message can be lost, and is not sent again after a break.
   */
  receipt?: boolean | undefined;
  /** The transaction that this is part of: its id, or what `begin` gave. */
  transaction?: string | { readonly id: string } | undefined;
  /** MIME type of the body. Default `text/plain` for a string, none for bytes. */
  contentType?: string | undefined;
  /** `false` leaves `content-length` out, so that ActiveMQ makes a text message of it. Default `true`. */
  contentLength?: boolean | undefined;
  /** `false`: reject with an `OutboxFullError` rather than wait when `outbox` is reached. Default `true`. */
  wait?: boolean | undefined;
  /** Further headers. */
  headers?: FrameHeadersInit | undefined;
}

/** Options of `subscribe`. */
export interface SubscribeOptions extends PortableSubscribeOptions, WaitOptions {
  /** How messages are acknowledged. Default `auto`: the broker holds a message for delivered once it is sent. */
  ack?: AckMode | undefined;
  /** The id; must be free. Default: one that is. */
  id?: string | undefined;
  /**
   * Messages that the subscription's queue holds before reading stops, 1 or more. Default 1,024. While an answer of the broker is
   * awaited reading goes on, until eight times as many wait.
   */
  maxQueuedMessages?: number | undefined;
  /**
   * Bytes of headers and bodies that the queue holds before reading stops, 1 or more. Default 4,194,304 (4 MiB). While an
   * answer of the broker is awaited reading goes on, until eight times as many wait, and not beyond 64 MiB.
   */
  maxQueuedBytes?: number | undefined;
  /** Further headers, for example arguments of the queue on RabbitMQ. */
  headers?: FrameHeadersInit | undefined;
}

/**
 * Tells the port and the options of a client apart, which are the same argument of `new Stomp()`.
 *
 * @throws {TypeError} when it is neither.
 */
export function checkClientArgument(argument: unknown): { port: number | undefined; options: StompOptions } {
  if (typeof argument === "number") return { port: argument, options: {} };
  if (typeof argument === "object" && argument !== null) return { port: undefined, options: argument };
  throw new TypeError(
    `Cannot use the second argument: it is of type ${typeof argument}, and has to be a port number or options`,
  );
}

/**
 * Checks what a subscription is asked for with: before anything is written, or even waited for.
 *
 * @throws {TypeError} when an argument or an option is of a type that can never work.
 * @throws {RangeError} when a number is out of its range.
 */
export function checkSubscribe(destination: unknown, options: SubscribeOptions): void {
  const what = "subscribe";
  if (typeof destination !== "string" || destination === "") {
    const isMissing = destination === undefined || destination === "";
    const is = isMissing ? "missing" : `${kindOf(destination)}, and has to be text`;
    throw new TypeError(`Cannot subscribe: the destination is ${is}`);
  }
  if (typeof options === "function") {
    throw new TypeError("Cannot subscribe: options is of type function; iterate the subscription, or use consume()");
  }
  checkType(what, "options", options, "object", "an object");
  checkType(what, "id", options.id, "string");
  checkLimit(what, "maxQueuedMessages", options.maxQueuedMessages);
  checkLimit(what, "maxQueuedBytes", options.maxQueuedBytes);
  checkConsumerOptions(options);
}

/** How a subscription is ended. */
export interface UnsubscribeOptions extends WaitOptions {
  /** Deletes a durable subscription on the broker. By default it stays, and goes on to collect. Default `false`. */
  deleteDurable?: boolean | undefined;
  /** Further headers of UNSUBSCRIBE. */
  headers?: FrameHeadersInit | undefined;
}

/**
 * stompy's way to say what a frame holds: headers by name, and beside them `body`. `signal` and `timeout` are no
 * headers but say how long to wait.
 */
export interface Conf extends WaitOptions {
  /** The body, for `send`. */
  body?: string | Uint8Array | undefined;
  /** A header. */
  [header: string]: unknown;
}

/** A conf with a destination. */
export interface DestinationConf extends Conf {
  /** The destination. */
  destination: string;
}

/** A conf with a transaction. */
export interface TransactionConf extends Conf {
  /** The transaction's id. */
  transaction: string;
}

/** What a conf says, taken apart. */
export interface ConfParts {
  /** The headers, as text. */
  headers: Record<string, string>;
  /** The body. */
  body: string | Uint8Array;
  /** How long to wait. */
  wait: WaitOptions;
}

/**
 * Takes a conf apart; the caller's object is left as it was.
 *
 * @throws {TypeError} when a header is no text, number or boolean.
 */
export function readConf(conf: Conf = {}): ConfParts {
  if (typeof conf !== "object" || conf === null) {
    throw new TypeError(`Cannot read conf: it is of type ${typeof conf}, and has to be an object`);
  }
  const { body, signal, timeout, ...rest } = conf;
  if (body === null) throw new TypeError("Cannot read conf: body is null, and has to be a string or a Uint8Array");
  checkSignal(signal);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") {
      throw new TypeError(`Cannot read conf: ${JSON.stringify(name)} has to be a string, a number or a boolean`);
    }
    headers[name] = String(value);
  }
  return { headers, body: body ?? "", wait: waitOf(signal, timeout) };
}

/** Wait options without the members that were not given, which would otherwise look like a choice. */
function waitOf(signal: AbortSignal | undefined, timeout: number | undefined): WaitOptions {
  return { ...(signal && { signal }), ...(timeout !== undefined && { timeout }) };
}

/**
 * Reads the heart-beat option.
 *
 * Over WebSocket nothing is sent by default. RabbitMQ (seen in 3.10) stops watching for a client's heart-beats while
 * that sends more than it can take, and breaks the connection, `{unexpected_message,resume}` in its log, when it goes on
 * to watch without having stopped. A line end that the transport sends now and then does what heart-beats would.
 */
export function readHeartbeat(option: StompOptions["heartbeat"], overWebSocket = false): HeartbeatOffer {
  const offer = option === false
    ? { send: 0, receive: 0 }
    : typeof option === "object"
    ? option
    : { send: option ?? (overWebSocket ? 0 : 10_000), receive: option ?? 10_000 };
  for (const interval of [offer.send, offer.receive]) {
    if (!Number.isSafeInteger(interval) || interval < 0) {
      throw new RangeError(`Cannot use a heart-beat of ${interval}: it is a whole number of milliseconds, or false`);
    }
  }
  return offer;
}
