/**
 * What differs between brokers: the interface that every dialect implements, and the functions that write and read frames
 * by it. Each broker has its own file in this folder; `registry.ts` finds the dialect of a broker.
 *
 * @module
 */
import type { Duration } from "../base/duration.ts";
import { type ErrorFrame, UnsupportedByBrokerError } from "../base/errors.ts";
import type { FrameParts } from "../codec/encoder.ts";
import type { FrameHeaders, HeaderEntries } from "../codec/headers.ts";
import type { Lacks } from "./lacks.ts";
import type { QueueOptions } from "./queue.ts";
import type { StreamRules } from "./stream.ts";

/** The brokers whose headers are known. */
export type BrokerFamily = "rabbitmq" | "activemq" | "artemis" | "spring" | "embedded" | "unknown";

/** Options of a message that mean the same on every broker. Those that a broker cannot honour are refused. */
export interface PortableSendOptions {
  /**
   * Whether the message survives a restart of the broker. Its RECEIPT then means that the message is on disk.
   *
   * @default {true with a receipt or in a transaction, otherwise what the broker does}
   */
  persistent?: boolean | undefined;
  /**
   * When the broker may drop the message: milliseconds from now, 0 or more, or a `Date` in the future.
   *
   * @default {never}
   */
  expires?: number | Date | undefined;
  /**
   * A whole number from 0 (lowest) to 9 (highest). On RabbitMQ, classic queues need `maxPriority` in their declaration,
   * and quorum queues know two levels before 4.3: above 4, and the rest.
   *
   * @default {the broker's default, usually 4}
   */
  priority?: number | undefined;
  /**
   * How long the broker waits before it delivers the message: milliseconds, 0 or more, or text such as `"30s"`.
   *
   * On RabbitMQ the message waits in a queue for its destination and duration. That queue stays, so use a few fixed
   * durations; a client may use 32 for a destination. `delay` with `expires` is refused. RabbitMQ moves the message at most
   * once: when the delay ends while the broker is down or starting, the message can be lost, and to a quorum queue it is.
   * On 4.0, so can a message whose queue for the delay was made seconds before the broker was killed.
   *
   * @default {0}
   */
  delay?: Duration | undefined;
  /** The destination for replies. */
  replyTo?: string | undefined;
  /** Identifies the request that a reply answers. */
  correlationId?: string | undefined;
  /** The broker drops a message whose id it has seen before. */
  deduplicationId?: string | undefined;
  /** The broker delivers messages of the same group to the same consumer, in order. */
  group?: string | undefined;
  /** The value that the option `filter` of a stream compares. */
  filterValue?: string | undefined;
}

/** Options of a subscription that mean the same on every broker. Those that a broker cannot honour are refused. */
export interface PortableSubscribeOptions {
  /**
   * How many messages, 1 or more, the broker sends before it waits for acknowledgements. Not for ack mode `auto`: in that
   * mode brokers count a message as acknowledged when they send it.
   *
   * @default {`maxQueuedMessages`, where the mode acknowledges and the broker knows a prefetch}
   */
  prefetch?: number | undefined;
  /**
   * Name of a durable subscription to a topic: the broker keeps messages for it while it has no consumer. ActiveMQ and
   * Artemis also need a `clientId` on the connection.
   */
  durable?: string | undefined;
  /** A condition in SQL 92 on the headers of the messages. */
  selector?: string | undefined;
  /**
   * Whether one consumer gets all messages while the others stand by.
   *
   * @default {false}
   */
  exclusive?: boolean | undefined;
  /**
   * Whether to read the messages of a queue without taking them from it. The loop ends after the last one, or with a
   * `SubscriptionError` when the connection is lost midway. Only in ack mode `auto`.
   *
   * @default {false}
   */
  browse?: boolean | undefined;
}

/**
 * Writes the headers of an option, or says why the broker cannot honour it: never, or not with this value or these other
 * options.
 */
export type OptionRule<T, O> = ((value: T, options: O) => HeaderEntries | string) | string;

/** A rule for each option. */
export type OptionRules<O> = { readonly [K in keyof O]-?: OptionRule<NonNullable<O[K]>, O> };

/** A queue in which messages wait. */
export interface DelayQueue {
  /** Where they are sent. */
  readonly destination: string;
  /** Its declaration. */
  readonly headers: HeaderEntries;
}

/** How a broker makes queues when it gets frames for them. */
export interface QueueMaking {
  /** Whether a header is part of the declaration of a queue. */
  readonly declares: (header: string) => boolean;
  /** Whether a header that is meant for the message makes its queue end with the connection. */
  readonly spoils: (header: string, value: string) => boolean;
  /** The commands whose frames make the queue of a destination, or why none does. */
  readonly commands: (destination: string) => readonly string[] | string;
  /** The frames that make what a destination needs, and do nothing else. */
  readonly make: (destination: string, headers: HeaderEntries) => readonly FrameParts[];
  /** The queue in which messages wait for some milliseconds before they go to a destination, or why there is none. */
  readonly delayQueue: (destination: string, milliseconds: number) => DelayQueue | string;
}

/** A durable subscription. */
export interface DurableSubscription {
  /** Its name. */
  readonly name: string;
  /** What it subscribes to. */
  readonly destination: string;
}

/**
 * What an ERROR without a receipt id is about: a frame that was sent, an ACK or NACK, a subscription, or the connection,
 * so that no frame is to blame. `unclear` is about the connection if it closes now, otherwise about a frame.
 */
export type ErrorScope = "frame" | "acknowledgement" | "subscription" | "connection" | "unclear";

/** What a broker accepts in one frame. Above that RabbitMQ closes the connection without an ERROR. */
export interface FrameLimits {
  /** Bytes of a whole frame, head and body. */
  readonly bytes: number;
  /** Header lines of a frame. */
  readonly headers: number;
}

/** Where replies arrive: a queue that only this connection reads. */
export type ReplyQueue =
  /** A `/temp-queue/` destination to which the broker subscribes by itself; it refuses a SUBSCRIBE. */
  | "implicit"
  /** A `/temp-queue/` destination that is subscribed to. */
  | "temporary"
  /** A `/queue/` destination with a unique name. */
  | "named"
  /** A `/topic/` destination with a unique name, on a broker that keeps queues after their last consumer has left. */
  | "topic";

/** All that differs from one broker to the next. */
export interface Dialect {
  /** The key of the dialect. */
  readonly family: BrokerFamily;
  /** The name of the broker, for error messages. */
  readonly name: string;
  /** Matches the `server` header of CONNECTED; `undefined` for the dialect of all brokers that no pattern matches. */
  readonly serverPattern: RegExp | undefined;
  /**
   * Whether CONNECTED came from this broker, for one that sends no `server` header.
   *
   * @param isWebSocket whether it came over a WebSocket.
   */
  readonly sent?: (connected: FrameHeaders, isWebSocket: boolean) => boolean;
  /** What the broker lacks; absent where it has all. */
  readonly lacks?: Lacks;
  /** What to do when a broker that may give no receipts has not confirmed anything; appended to error messages. */
  readonly receiptAdvice?: string;
  /** The headers that SEND or SUBSCRIBE to a destination always needs; absent where there are none. */
  readonly routing?: (command: "SEND" | "SUBSCRIBE", destination: string) => HeaderEntries;
  /** The `content-type` of a body where the caller gives none; absent where text is `text/plain` and bytes have none. */
  readonly usualType?: (body: string | Uint8Array) => string | undefined;
  /** The largest WebSocket message that the broker takes, in bytes; absent where it takes any. */
  readonly maxWebSocketMessageBytes?: number;
  /** How the options of a message are written. */
  readonly message: OptionRules<PortableSendOptions>;
  /**
   * Limits the bytes that the broker sends before it waits for acknowledgements; absent where that is not needed, or where
   * it counts messages.
   */
  readonly byteWindow?: (bytes: number) => HeaderEntries;
  /** How the options of a subscription are written. */
  readonly subscription: OptionRules<PortableSubscribeOptions>;
  /** How the options of a queue are declared. */
  readonly queue: OptionRules<QueueOptions>;
  /** How queues are made; `undefined` where frames to a queue do not declare it. */
  readonly queueMaking: QueueMaking | undefined;
  /** How streams are read; absent where the broker has none. */
  readonly streams?: StreamRules;
  /** Whether a durable subscription without a client id is accepted, but lost with the connection. */
  readonly durableNeedsClientId: boolean;
  /** The headers with which UNSUBSCRIBE deletes a durable subscription, or why it cannot. */
  readonly deleteDurable: (subscription: DurableSubscription) => HeaderEntries | string;
  /** Whether UNSUBSCRIBE can delete a durable subscription that has a consumer. Otherwise a second UNSUBSCRIBE deletes it. */
  readonly deletesActiveDurable: boolean;
  /** The headers that make a message survive a restart when its sender does not set `persistent`. */
  readonly persistentByDefault: HeaderEntries;
  /** Whether an ACK in mode `client` acknowledges earlier messages of the same subscription only. */
  readonly hasCumulativeAck: boolean;
  /**
   * Where a subscription is moved so that its unsettled messages can be refused, on a broker that keeps them for the
   * connection after UNSUBSCRIBE. `undefined` where UNSUBSCRIBE requeues them.
   */
  readonly requeueDestination: string | undefined;
  /**
   * Whether an ACK in a transaction takes effect together with the SENDs in it, or not at all. Where it does not, the
   * client sends it after the broker has confirmed the SENDs.
   */
  readonly transactsAcknowledgements: boolean;
  /** Where replies arrive. */
  readonly replyQueue: ReplyQueue;
  /**
   * What an ERROR without a receipt id is about, by its `message` header and, after a line end, its body. No broker sends
   * an ERROR when it shuts down cleanly.
   */
  readonly errorScopes: readonly (readonly [RegExp, ErrorScope])[];
  /** Match an ERROR about a part of the broker that is down, by its `message` header and, after a line end, its body. */
  readonly outages: readonly RegExp[];
  /** Match the text of an ERROR that refuses user and password. */
  readonly loginRefusals: readonly RegExp[];
  /** What the broker accepts in one frame with its default configuration, by the `server` header of CONNECTED. */
  readonly frameLimits: (server: string) => FrameLimits;
}

/** Returns a writer of an option that is one header. */
export function asHeader(name: string): (value: string | number | boolean) => HeaderEntries {
  return (value) => [[name, String(value)]];
}

/** Returns the milliseconds from now until a message expires. */
export function timeToLive(expires: number | Date): number {
  return Math.max(0, Math.round(expires instanceof Date ? expires.getTime() - Date.now() : expires));
}

/** Options that all brokers write alike. */
export const COMMON_MESSAGE_OPTIONS: Pick<
  OptionRules<PortableSendOptions>,
  "persistent" | "priority" | "replyTo" | "correlationId"
> = {
  persistent: asHeader("persistent"),
  priority: asHeader("priority"),
  replyTo: asHeader("reply-to"),
  correlationId: asHeader("correlation-id"),
};

/** Makes a message survive a restart of most brokers. */
export const PERSISTENT: HeaderEntries = [["persistent", "true"]];

/** Accepts the kinds of queue that survive a restart, on a broker where all queues do. Writes nothing. */
export function durableQueue(noStreams: string): OptionRule<NonNullable<QueueOptions["type"]>, QueueOptions> {
  return (type) => type === "stream" ? noStreams : [];
}

/** Returns the rules of a broker where frames do not declare queues. All options without a rule have the same reason. */
export function undeclared(rules: Partial<OptionRules<QueueOptions>>, reason: string): OptionRules<QueueOptions> {
  const none: OptionRules<QueueOptions> = {
    type: reason,
    ttl: reason,
    expires: reason,
    maxLength: reason,
    maxLengthBytes: reason,
    maxPriority: reason,
    deadLetter: reason,
    maxAge: reason,
    maxSegmentBytes: reason,
    filterSizeBytes: reason,
    singleActiveConsumer: reason,
    overflow: reason,
    deliveryLimit: reason,
    consumerTimeout: reason,
    deadLetterStrategy: reason,
  };
  return { ...none, ...rules };
}

const UNLIMITED: FrameLimits = { bytes: Infinity, headers: Infinity };

/** Returns the frame limits of a broker that is not known to have any. */
export function unlimited(): FrameLimits {
  return UNLIMITED;
}

/** Whether any portable option is given. Names them one by one, because a loop over the names takes ten times as long. */
export function hasMessageOptions(options: PortableSendOptions): boolean {
  const { persistent, priority, expires, delay, replyTo, correlationId, deduplicationId, group, filterValue } = options;
  return (persistent ?? priority ?? expires ?? delay ?? replyTo ?? correlationId ?? deduplicationId ?? group ??
    filterValue) !== undefined;
}

/**
 * Returns the headers that the options add to a SEND.
 *
 * @throws {UnsupportedByBrokerError} when the broker cannot honour an option.
 */
export function messageHeaders(options: PortableSendOptions, dialect: Dialect): HeaderEntries {
  const { message } = dialect;
  const headers: HeaderEntries[number][] = [];
  // Runs for each message. One by one, because a loop over the names takes three times as long.
  add(headers, "persistent", message.persistent, options.persistent, options, dialect);
  add(headers, "priority", message.priority, options.priority, options, dialect);
  add(headers, "replyTo", message.replyTo, options.replyTo, options, dialect);
  add(headers, "correlationId", message.correlationId, options.correlationId, options, dialect);
  add(headers, "expires", message.expires, options.expires, options, dialect);
  add(headers, "delay", message.delay, options.delay, options, dialect);
  add(headers, "deduplicationId", message.deduplicationId, options.deduplicationId, options, dialect);
  add(headers, "group", message.group, options.group, options, dialect);
  add(headers, "filterValue", message.filterValue, options.filterValue, options, dialect);
  return headers;
}

/**
 * Returns the headers that the options add to a SUBSCRIBE.
 *
 * @param options also has the ack mode, default `auto`, and the client id of the connection.
 * @throws {UnsupportedByBrokerError} when the broker cannot honour an option.
 */
export function subscribeHeaders(
  options: PortableSubscribeOptions & { readonly ack?: string | undefined; readonly clientId?: string | undefined },
  dialect: Dialect,
): Record<string, string> {
  const { family, name, subscription } = dialect;
  if (options.prefetch !== undefined && (options.ack ?? "auto") === "auto") {
    throw new UnsupportedByBrokerError("prefetch", family, `${name} ignores it in ack mode auto`);
  }
  if (options.durable !== undefined && dialect.durableNeedsClientId && options.clientId === undefined) {
    throw new UnsupportedByBrokerError("durable", family, `${name} needs a clientId on the connection`);
  }
  const headers: HeaderEntries[number][] = [];
  add(headers, "prefetch", subscription.prefetch, options.prefetch, options, dialect);
  add(headers, "durable", subscription.durable, options.durable, options, dialect);
  add(headers, "selector", subscription.selector, options.selector, options, dialect);
  add(headers, "exclusive", subscription.exclusive, options.exclusive, options, dialect);
  add(headers, "browse", subscription.browse, options.browse, options, dialect);
  return Object.fromEntries(headers);
}

/**
 * Returns the headers that declare a queue.
 *
 * @throws {UnsupportedByBrokerError} when the broker takes an option elsewhere, or has nothing of the kind.
 */
export function queueHeaders(queue: QueueOptions, dialect: Dialect): HeaderEntries {
  const headers: HeaderEntries[number][] = [];
  for (const option of Object.keys(queue) as (keyof QueueOptions)[]) {
    const rule = dialect.queue[option] as OptionRule<unknown, QueueOptions>;
    add(headers, `queue.${option}`, rule, queue[option], queue, dialect);
  }
  return headers;
}

/** Whether the broker takes any number of messages as the limit of what it sends before it waits for acknowledgements. */
export function hasPrefetch({ subscription: { prefetch } }: Dialect): boolean {
  return typeof prefetch !== "string" && typeof prefetch(ANY_PREFETCH, {}) !== "string";
}

const ANY_PREFETCH = 10;

/**
 * Returns the headers with which UNSUBSCRIBE deletes a durable subscription.
 *
 * @throws {UnsupportedByBrokerError} when the broker would keep the subscription.
 */
export function deleteDurableHeaders(subscription: DurableSubscription, dialect: Dialect): Record<string, string> {
  const headers = dialect.deleteDurable(subscription);
  if (typeof headers === "string") throw new UnsupportedByBrokerError("deleteDurable", dialect.family, headers);
  return Object.fromEntries(headers);
}

/** Returns what an ERROR without a receipt id is about. */
export function errorScope(frame: ErrorFrame, dialect: Dialect): ErrorScope {
  const text = errorText(frame);
  return dialect.errorScopes.find(([pattern]) => pattern.test(text))?.[1] ?? "frame";
}

/** The `message` header of an ERROR and, after a line end, its body. */
export function errorText(frame: ErrorFrame): string {
  return `${frame.headers["message"] ?? ""}\n${frame.text()}`;
}

/** Adds the headers of an option, if it is given. */
function add<T, O>(
  headers: HeaderEntries[number][],
  option: string,
  rule: OptionRule<T, O>,
  value: T | undefined,
  options: O,
  dialect: Dialect,
): void {
  // `false` asks for nothing, so every broker can honour it.
  if (value === undefined || value === false) return;
  const written = typeof rule === "string" ? rule : rule(value, options);
  if (typeof written === "string") throw new UnsupportedByBrokerError(option, dialect.family, written);
  for (const entry of written) headers.push(entry);
}
