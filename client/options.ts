/**
 * The options of `Stomp` and its calls, and their checks.
 *
 * @module
 */
import type { AckMode } from "../codec/protocol.ts";
import type { ReconnectOptions } from "../base/backoff.ts";
import { checkLimit, checkSignal, checkType, describeType } from "../base/checks.ts";
import type { WaitOptions } from "../base/timers.ts";
import type { DecoderLimits } from "../codec/limits.ts";
import { checkSubscribeOptions } from "../dialects/checks.ts";
import type { BrokerFamily, FrameLimits, PortableSendOptions, PortableSubscribeOptions } from "../dialects/dialect.ts";
import type { FrameHeadersInit } from "../codec/encoder.ts";
import type { SubscribeHeadersProvider } from "./headers_provider.ts";
import type { UnclaimedMessageHandler } from "./message.ts";
import type { ConnectionOptions, Credentials } from "./connection_options.ts";

/** Options of {@linkcode Stomp.prototype.connect}. Its credentials win over those of the client. */
export interface ConnectOptions extends Credentials, WaitOptions {
  /**
   * The `client-id` header of CONNECT, which ActiveMQ and Artemis need for durable subscriptions.
   *
   * @default {the client's}
   */
  clientId?: string | undefined;
}

/** Options of {@linkcode Stomp.prototype.disconnect}: how long to wait, and headers of DISCONNECT. */
export interface DisconnectOptions extends WaitOptions {
  /** A header of DISCONNECT. */
  [header: string]: unknown;
}

/** Limits on the messages that a client holds until they are confirmed. Beyond them, `send` waits. */
export interface OutboxLimits {
  /**
   * How many messages.
   *
   * @default {10000}
   */
  messages?: number | undefined;
  /**
   * How many bytes of bodies; a body that is text counts with its length. One message is always accepted.
   *
   * @default {67108864 (64 MiB)}
   */
  bytes?: number | undefined;
}

/** Options of a {@linkcode Stomp}. */
export interface StompOptions extends ConnectionOptions, DecoderLimits {
  /**
   * Which broker it is, where its `server` header does not say.
   *
   * @default {what the `server` header of CONNECTED says}
   */
  broker?: BrokerFamily | undefined;
  /**
   * The largest message that the broker accepts, in bytes and header lines. A larger one is refused with a `RangeError`
   * before it is written, because the broker would end the connection. `Infinity` lifts a limit.
   *
   * @default {what the broker in CONNECTED is known to accept: 4194304 bytes on RabbitMQ 4, and 100 headers from 4.3 on}
   */
  frameLimits?: Partial<FrameLimits> | undefined;
  /**
   * Milliseconds that a call without a `timeout` waits for the broker's answer; 0 and `Infinity` are no limit.
   *
   * @default {30000}
   */
  timeout?: number | undefined;
  /**
   * How to reconnect; `false` for not at all.
   *
   * @default {{}} as long as it takes, after waits of up to 100 ms that grow to up to 5000 ms
   */
  reconnect?: ReconnectOptions | false | undefined;
  /**
   * Called with each message that no subscription asked for: replies to a `/temp-queue/` that a `reply-to` named on
   * RabbitMQ, and messages of a subscription that the broker made by itself. `ack()` of such a message works if it has an
   * `ack` header. What the handler throws becomes the status `error`.
   *
   * @default {undefined} the client drops such messages
   */
  onUnclaimedMessage?: UnclaimedMessageHandler | undefined;
  /**
   * Limits on unconfirmed messages, beyond which `send` waits.
   *
   * @default {{ messages: 10000, bytes: 67108864 }}
   */
  outbox?: OutboxLimits | undefined;
  /**
   * Whether text is sent with a `content-length` header, where a send says nothing else.
   *
   * @default {true}
   */
  contentLength?: boolean | undefined;
}

/** Options of {@linkcode Stomp.prototype.send}. */
export interface SendOptions extends PortableSendOptions, WaitOptions {
  /**
   * Whether to wait for the broker's receipt. Without one a message can be lost, and is not sent again when the
   * connection breaks. In a transaction only `false` is possible: the receipt of the commit confirms all.
   *
   * @default {true; `false` in a transaction}
   */
  receipt?: boolean | undefined;
  /**
   * The transaction that the message belongs to: its id, or what `begin` returned.
   *
   * @default {undefined} none
   */
  transaction?: string | { readonly id: string } | undefined;
  /**
   * MIME type of the body.
   *
   * @default {"text/plain" for a string, none for bytes; Spring gets none for a string}
   */
  contentType?: string | undefined;
  /**
   * `false` omits `content-length`, so that ActiveMQ delivers a text message to JMS consumers.
   *
   * @default {`contentLength` of the client}
   */
  contentLength?: boolean | undefined;
  /**
   * `false` rejects with an `OutboxFullError` where the message would have to wait, because the limits of `outbox` are
   * reached or there is no connection.
   *
   * @default {true}
   */
  wait?: boolean | undefined;
  /**
   * Additional headers.
   *
   * @default {{}}
   */
  headers?: FrameHeadersInit | undefined;
}

/** Options of {@linkcode Stomp.prototype.subscribe}. */
export interface SubscribeOptions extends PortableSubscribeOptions, WaitOptions {
  /**
   * How messages are acknowledged. In mode `auto` the broker considers a message delivered when it has sent it.
   *
   * @default {"auto"}
   */
  ack?: AckMode | undefined;
  /**
   * Whether to wait for the broker's receipt. Without one, `subscribe` resolves when the connection has taken the
   * SUBSCRIBE. If the broker answers with an ERROR within 2 s, the loop over its messages ends with a `SubscriptionError`.
   * `unsubscribe` resolves when the connection has taken the UNSUBSCRIBE, and messages that are in flight then are dropped.
   *
   * @default {true; false where the broker is known to give no receipts}
   */
  receipt?: boolean | undefined;
  /**
   * The subscription's id, unique in the client.
   *
   * @default {the name of the durable subscription, else a generated id}
   */
  id?: string | undefined;
  /**
   * Messages that the subscription's queue holds before reading stops, 1 or more. While an answer of the broker is
   * awaited, reading continues until eight times as many wait.
   *
   * @default {1024}
   */
  maxQueuedMessages?: number | undefined;
  /**
   * Bytes of headers and bodies that the queue holds before reading stops, 1 or more. While an answer of the broker is
   * awaited, reading continues until eight times as many wait, but not beyond 64 MiB.
   *
   * @default {4194304 (4 MiB)}
   */
  maxQueuedBytes?: number | undefined;
  /**
   * Additional headers, for example arguments of the queue on RabbitMQ. A function is called for each SUBSCRIBE, also for
   * those on later connections. When it fails, the first SUBSCRIBE rejects, and a later one is tried again as `reconnect`
   * allows, with the status `error`.
   *
   * @default {{}}
   */
  headers?: FrameHeadersInit | SubscribeHeadersProvider | undefined;
}

/** Options of {@linkcode Subscription.prototype.unsubscribe}. */
export interface UnsubscribeOptions extends WaitOptions {
  /**
   * Whether to delete a durable subscription on the broker. Otherwise it stays and collects messages.
   *
   * @default {false}
   */
  deleteDurable?: boolean | undefined;
  /**
   * Additional headers of UNSUBSCRIBE.
   *
   * @default {{}}
   */
  headers?: FrameHeadersInit | undefined;
}

/**
 * The contents of a frame as in stompy: headers by name, and `body`. `signal` and `timeout` are not headers: they limit
 * how long the call waits.
 */
export interface Conf extends WaitOptions {
  /**
   * The body, for `send`.
   *
   * @default {""}
   */
  body?: string | Uint8Array | undefined;
  /** A header: a string, number or boolean. */
  [header: string]: unknown;
}

/** A conf with a destination. */
export interface DestinationConf extends Conf {
  /** The destination, for example `/queue/orders`. */
  destination: string;
}

/** A conf with a transaction. */
export interface TransactionConf extends Conf {
  /** The transaction's id. */
  transaction: string;
}

/**
 * Reads the second argument of `new Stomp()`, which is a port or options.
 *
 * @throws {TypeError} when it is neither.
 */
export function checkClientArgument(argument: unknown): { port: number | undefined; options: StompOptions } {
  if (typeof argument === "number") return { port: argument, options: {} };
  if (typeof argument === "object" && argument !== null) return { port: undefined, options: argument };
  throw new TypeError(
    `Cannot use the second argument: it is of type ${typeof argument}, but must be a port number or options`,
  );
}

/**
 * Checks the arguments of `subscribe`.
 *
 * @throws {TypeError} when an argument or an option is of the wrong type.
 * @throws {RangeError} when a number is out of its range.
 */
export function checkSubscribe(destination: unknown, options: SubscribeOptions): void {
  const what = "subscribe";
  if (typeof destination !== "string" || destination === "") {
    const isMissing = destination === undefined || destination === "";
    const is = isMissing ? "missing" : `${describeType(destination)}, but must be text`;
    throw new TypeError(`Cannot subscribe: the destination is ${is}`);
  }
  if (typeof options === "function") {
    throw new TypeError("Cannot subscribe: options is of type function; iterate the subscription, or use consume()");
  }
  checkType(what, "options", options, "object", "an object");
  checkType(what, "id", options.id, "string");
  checkType(what, "receipt", options.receipt, "boolean");
  checkLimit(what, "maxQueuedMessages", options.maxQueuedMessages);
  checkLimit(what, "maxQueuedBytes", options.maxQueuedBytes);
  checkSubscribeOptions(options);
  if (options.browse && (options.ack ?? "auto") !== "auto") {
    throw new TypeError(`Cannot subscribe: ack is ${options.ack}, but browse acknowledges nothing; omit ack`);
  }
}

/** The contents of a conf. */
export interface ConfParts {
  /** The headers, as text. */
  headers: Record<string, string>;
  /** The body. */
  body: string | Uint8Array;
  /** How long the call waits. */
  wait: WaitOptions;
}

/**
 * Reads a conf, and leaves it unchanged.
 *
 * @throws {TypeError} when a header is not a string, number or boolean.
 */
export function readConf(conf: Conf = {}): ConfParts {
  if (typeof conf !== "object" || conf === null) {
    throw new TypeError(`Cannot read conf: it is of type ${typeof conf}, but must be an object`);
  }
  const { body, signal, timeout, ...rest } = conf;
  if (body === null) throw new TypeError("Cannot read conf: body is null, but must be a string or a Uint8Array");
  checkSignal(signal);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") {
      throw new TypeError(`Cannot read conf: ${JSON.stringify(name)} must be a string, a number or a boolean`);
    }
    headers[name] = String(value);
  }
  return { headers, body: body ?? "", wait: waitOf(signal, timeout) };
}

/** Returns wait options without members that are `undefined`, which would override defaults when spread. */
function waitOf(signal: AbortSignal | undefined, timeout: number | undefined): WaitOptions {
  return { ...(signal && { signal }), ...(timeout !== undefined && { timeout }) };
}
