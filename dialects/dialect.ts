/**
 * The dialects of the brokers: one option, one meaning, and the headers that each broker knows it by. Pure tables.
 *
 * @module
 */
import { type ErrorFrame, UnsupportedByBrokerError } from "../base/errors.ts";
import type { HeaderEntries } from "../codec/headers.ts";

/** The brokers whose headers are known. */
export type BrokerFamily = "rabbitmq" | "activemq" | "artemis" | "embedded" | "unknown";

/** Options of a message that mean the same on every broker. */
export interface PortableSendOptions {
  /** Survives a restart of the broker. Its RECEIPT then means that the message is on disk. */
  persistent?: boolean | undefined;
  /** When the message is of no use any more: milliseconds from now, 0 or more, or a moment that is still to come. */
  expires?: number | Date | undefined;
  /** A whole number from 0 to 9, 4 is normal. RabbitMQ needs a queue with `x-max-priority`. */
  priority?: number | undefined;
  /** Milliseconds that the broker keeps the message before it delivers it, 0 or more. */
  delay?: number | undefined;
  /** Where a reply is wanted. */
  replyTo?: string | undefined;
  /** Tells which request a reply belongs to. */
  correlationId?: string | undefined;
  /** The broker drops a message whose id it has seen before. */
  deduplicationId?: string | undefined;
}

/** Options of a subscription that mean the same on every broker. */
export interface PortableSubscribeOptions {
  /**
   * How many messages, 1 or more, the broker sends before it waits for acknowledgements. Not in mode `auto`: there
   * brokers hold a message for acknowledged as soon as it is sent, and none waits for anything.
   */
  prefetch?: number | undefined;
  /**
   * Name of a durable subscription of a topic: what is sent while nobody is there is kept. ActiveMQ and Artemis need a
   * `clientId` on the connection as well.
   */
  durable?: string | undefined;
  /** A condition in SQL 92 on the headers of the messages. */
  selector?: string | undefined;
  /** One consumer gets everything, the others stand by. */
  exclusive?: boolean | undefined;
}

type HeaderMap = Record<string, string>;
type Writer<T> = (value: T) => HeaderEntries;
/** How an option is written, or why it is not. */
type Row<T> = Writer<T> | string;
type Table<O> = { readonly [K in keyof O]-?: Row<NonNullable<O[K]>> };

interface Dialect {
  readonly name: string;
  readonly message: Table<PortableSendOptions>;
  readonly consumer: Table<PortableSubscribeOptions>;
  /** The headers that UNSUBSCRIBE needs, so that a durable subscription is deleted. */
  readonly deleteDurable: Row<DurableSubscription>;
  /** The headers of a message that has to survive a restart, where its sender says nothing about that. */
  readonly persistentByDefault: HeaderEntries;
  /**
   * Where a subscription is moved to so that its unsettled messages can be refused, on a broker that keeps them for the
   * connection after UNSUBSCRIBE. `undefined` where UNSUBSCRIBE puts them back.
   */
  readonly givesBackFrom: string | undefined;
  /** Whether an ACK in a transaction takes effect together with the SENDs in it, or not at all. */
  readonly transactsAcknowledgements: boolean;
}

/** A durable subscription: its name and its destination. */
interface DurableSubscription {
  readonly name: string;
  readonly destination: string;
}

const header = <T>(name: string): Writer<T> => (value) => [[name, String(value)]];

/** Milliseconds from now. */
const timeToLive = (expires: number | Date) =>
  Math.max(0, Math.round(expires instanceof Date ? expires.getTime() - Date.now() : expires));

/** What is written the same way everywhere. */
const COMMON = {
  persistent: header<boolean>("persistent"),
  priority: header<number>("priority"),
  replyTo: header<string>("reply-to"),
  correlationId: header<string>("correlation-id"),
};

const ACTIVEMQ_EXPIRES: Writer<number | Date> = (expires) => [["expires", String(Date.now() + timeToLive(expires))]];
const ACTIVEMQ_DELAY: Writer<number> = (delay) => [["AMQ_SCHEDULED_DELAY", String(Math.round(delay))]];
const RABBITMQ_DURABLE: Writer<unknown> = () => [["durable", "true"], ["auto-delete", "false"]];
const RABBITMQ_DELETE_DURABLE = "RabbitMQ deletes the durable subscriptions of /topic/ destinations alone";
const PERSISTENT: HeaderEntries = [["persistent", "true"]];
const IN_MEMORY = "the embedded broker keeps nothing but the queue";
const SAY_BROKER = "the broker did not say which one it is; the broker option can";

const DIALECTS: { readonly [F in BrokerFamily]: Dialect } = {
  rabbitmq: {
    name: "RabbitMQ",
    message: {
      ...COMMON,
      expires: (expires) => [["expiration", String(timeToLive(expires))]],
      delay: "RabbitMQ has no delayed messages over STOMP",
      deduplicationId: "RabbitMQ does not look for duplicates",
    },
    consumer: {
      prefetch: header("prefetch-count"),
      durable: RABBITMQ_DURABLE,
      selector: "RabbitMQ ignores selectors",
      exclusive: "RabbitMQ has it as x-single-active-consumer of a queue, which cannot be declared over STOMP",
    },
    deleteDurable: (durable) => {
      if (durable.destination.startsWith("/topic/")) return RABBITMQ_DURABLE(durable);
      throw new UnsupportedByBrokerError("deleteDurable", "rabbitmq", RABBITMQ_DELETE_DURABLE);
    },
    persistentByDefault: PERSISTENT,
    // A pseudo-queue for replies: it needs no declaration and no permission, and never has a message.
    givesBackFrom: "/amq/queue/amq.rabbitmq.reply-to",
    // Its transaction is a buffer in the STOMP plugin: COMMIT replays the frames one by one and answers before the
    // messages are on disk, so an ACK among them may be done although the SENDs are lost (seen in 3.10 to 4.3).
    transactsAcknowledgements: false,
  },
  activemq: {
    name: "ActiveMQ",
    message: {
      ...COMMON,
      expires: ACTIVEMQ_EXPIRES,
      delay: ACTIVEMQ_DELAY,
      deduplicationId: "ActiveMQ Classic does not look for duplicates",
    },
    consumer: {
      prefetch: header("activemq.prefetchSize"),
      durable: header("activemq.subscriptionName"),
      selector: header("selector"),
      exclusive: header("activemq.exclusive"),
    },
    deleteDurable: ({ name }) => [["activemq.subscriptionName", name]],
    persistentByDefault: PERSISTENT,
    givesBackFrom: undefined,
    transactsAcknowledgements: true,
  },
  artemis: {
    name: "Artemis",
    message: {
      ...COMMON,
      expires: ACTIVEMQ_EXPIRES,
      delay: ACTIVEMQ_DELAY,
      deduplicationId: header("_AMQ_DUPL_ID"),
    },
    consumer: {
      prefetch: "Artemis counts bytes, not messages, see its header consumer-window-size",
      durable: header("durable-subscription-name"),
      selector: header("selector"),
      exclusive: "Artemis wants the queue configured as exclusive",
    },
    deleteDurable: ({ name }) => [["durable-subscription-name", name]],
    persistentByDefault: PERSISTENT,
    givesBackFrom: undefined,
    transactsAcknowledgements: false, // it ignores the transaction of an ACK, as its documentation says
  },
  embedded: {
    name: "The embedded broker",
    message: {
      ...COMMON,
      persistent: (persistent) => [["persistent", String(persistent)]],
      priority: IN_MEMORY,
      expires: IN_MEMORY,
      delay: IN_MEMORY,
      deduplicationId: IN_MEMORY,
    },
    consumer: {
      prefetch: header("prefetch-count"),
      durable: IN_MEMORY,
      selector: IN_MEMORY,
      exclusive: IN_MEMORY,
    },
    deleteDurable: IN_MEMORY,
    persistentByDefault: [],
    givesBackFrom: undefined,
    transactsAcknowledgements: true,
  },
  unknown: {
    name: "The broker",
    message: { ...COMMON, expires: SAY_BROKER, delay: SAY_BROKER, deduplicationId: SAY_BROKER },
    consumer: { prefetch: SAY_BROKER, durable: SAY_BROKER, selector: header("selector"), exclusive: SAY_BROKER },
    deleteDurable: SAY_BROKER,
    persistentByDefault: PERSISTENT,
    givesBackFrom: undefined,
    transactsAcknowledgements: true,
  },
};

/** Which broker the `server` header of CONNECTED names. */
export function brokerFamily(server: string | undefined): BrokerFamily {
  const name = server?.trim() ?? "";
  if (/^RabbitMQ\b/i.test(name)) return "rabbitmq";
  if (/^ActiveMQ-Artemis\b/i.test(name)) return "artemis";
  if (/^ActiveMQ\b/i.test(name)) return "activemq";
  if (/^stompy\b/i.test(name)) return "embedded";
  return "unknown";
}

/**
 * Whether the broker's words, in an ERROR that answers CONNECT, are about user and password. Other refusals pass: a
 * virtual host comes up, a connection with the same client id is found dead.
 */
export function isLoginRefusal(words: string): boolean {
  return LOGIN_REFUSALS.some((pattern) => pattern.test(words));
}

const LOGIN_REFUSALS: readonly RegExp[] = [
  /access refused/i, // RabbitMQ, which of a virtual host says "access denied"
  /^(?!.*virtual host).*access denied/i, // Spring
  /\b(login|user ?name|user|pass(word|code)|credentials)\b.*\b(wrong|invalid|incorrect|refused|failed)\b/i, // ActiveMQ
  /validate user/i, // Artemis
  /bad[ _](user|credential)/i,
  /authenticat|not[ _]authori[sz]ed|unauthori[sz]ed/i,
];

/**
 * What an ERROR that names no receipt is about: one of the frames that were sent, a subscription, or the connection, so
 * that nothing that was sent is to blame. `unclear` is about the connection if that ends now, and else about a frame.
 */
export type ErrorScope = "frame" | "acknowledgement" | "subscription" | "connection" | "unclear";

/** What an ERROR that names no receipt is about. */
export function errorScope(frame: ErrorFrame, family: BrokerFamily): ErrorScope {
  const words = `${frame.headers["message"] ?? ""}\n${frame.text()}`;
  return ERROR_SCOPES[family]?.find(([pattern]) => pattern.test(words))?.[1] ?? "frame";
}

/** By the `message` header and, behind a line end, the body. Shut down in order, no broker says anything. */
const ERROR_SCOPES: { readonly [F in BrokerFamily]?: readonly (readonly [RegExp, ErrorScope])[] } = {
  rabbitmq: [
    // AMQP's 320: closed by an operator, or because its virtual host or its user is gone.
    [/^connection_forced\n/, "connection"],
    [/^AMQP (channel|connection) died\n[^]*server_initiated_close,\s*320\b/, "connection"],
    // A consumer took longer than its timeout (4.0), and a token is over: no frame that was sent is to blame.
    [/delivery acknowledgement on channel \d+ timed out/i, "connection"],
    [/access[_ ]refused[^]*token has expired/i, "connection"],
    [
      /^Subscription not found\nMessage with id|There is no current subscription with tag|unknown delivery tag|^(Invalid|Missing) header\n"N?ACK"/,
      "acknowledgement",
    ],
    // Its queue was deleted, or the node that has it is down. The connection goes on.
    [/^Server cancelled subscription\n/, "subscription"],
    // What comes while the channel dies gets this, and so does a header that makes the broker stumble.
    [/^Processing error\n/, "unclear"],
  ],
  embedded: [[/^(heart-beat missed|subscriber is too slow)\n/, "connection"]],
};

/** What a broker takes in one frame. Above that RabbitMQ closes the connection without a word. */
export interface FrameLimits {
  /** Bytes of a whole frame, head and body. */
  readonly bytes: number;
  /** Header lines of a frame. */
  readonly headers: number;
}

/** What a broker takes in one frame where it is configured as it comes, by the `server` header of its CONNECTED. */
export function frameLimits(family: BrokerFamily, server: string | undefined): FrameLimits {
  const limits = { bytes: Infinity, headers: Infinity };
  const version = /^RabbitMQ\/(\d+)\.(\d+)/i.exec(server?.trim() ?? "");
  if (family !== "rabbitmq" || version === null) return limits;
  const [major, minor] = [Number(version[1]), Number(version[2])];
  if (major >= 4) limits.bytes = 1 << 22; // stomp.max_frame_size, seen in 4.0.5 and 4.3.6
  if (major > 4 || (major === 4 && minor >= 3)) limits.headers = 100; // seen in 4.3.6; 4.0.5 takes thousands
  return limits;
}
/**
 * Whether a refusal says that a part of the broker is out of order, for example the node that has the queue: then the
 * same can succeed later.
 */
export function isOutageError(frame: ErrorFrame): boolean {
  const words = `${frame.headers["message"] ?? ""}\n${frame.text()}`;
  return OUTAGES.some((pattern) => pattern.test(words));
}

/** By the `message` header and, behind a line end, the body. */
const OUTAGES: readonly RegExp[] = [
  // RabbitMQ, of a queue whose node is down, whose process is, or whose leader changes just now.
  /\bis down or inaccessible\b|\bprocess is stopped by supervisor\b|\bhas crashed and failed to restart\b/,
  /\bfailed to perform operation on .* (due to timeout|may be stopping or being demoted)\b/,
  // RabbitMQ, of a quorum queue or a stream without a leader, or a cluster without a majority.
  /\binternal_error\b[^]*\b(timeout|timed out|noproc|nodedown|noconnection|no_quorum|leader)\b/i,
  /^AMQP (channel|connection) died\n[^]*\b(timeout|noproc|nodedown|noconnection|no_quorum)\b/,
  /\b(vhost|virtual host) .* is down\b/i,
  /\bbroker\b.* (is being stopped|is stopped|has been stopped|is shutting down)\b/i, // ActiveMQ
];

/** The name of a broker for people. */
export function brokerName(family: BrokerFamily): string {
  return DIALECTS[family].name;
}

/** The headers of a message that has to survive a restart, where its sender says nothing about that. */
export function persistentByDefault(family: BrokerFamily): HeaderEntries {
  return DIALECTS[family].persistentByDefault;
}

/** Where a subscription is moved to so that its unsettled messages can be refused; `undefined` where it need not be. */
export function givesBackFrom(family: BrokerFamily): string | undefined {
  return DIALECTS[family].givesBackFrom;
}

/**
 * Whether an ACK in a transaction takes effect together with the SENDs in it. Where it does not, the client sends it once
 * the SENDs are confirmed.
 */
export function transactsAcknowledgements(family: BrokerFamily): boolean {
  return DIALECTS[family].transactsAcknowledgements;
}

/** Whether one of the options is given. They are named one by one because a loop over names takes ten times as long. */
export function hasMessageOptions(options: PortableSendOptions): boolean {
  const { persistent, priority, expires, delay, replyTo, correlationId, deduplicationId } = options;
  return (persistent ?? priority ?? expires ?? delay ?? replyTo ?? correlationId ?? deduplicationId) !== undefined;
}

/**
 * The headers of a SEND.
 *
 * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
 */
export function messageHeaders(options: PortableSendOptions, family: BrokerFamily): HeaderEntries {
  const { message } = DIALECTS[family];
  const headers: HeaderEntries[number][] = [];
  // One by one: a loop over the names takes three times as long, and this is done for each message.
  add(headers, "persistent", message.persistent, options.persistent, family);
  add(headers, "priority", message.priority, options.priority, family);
  add(headers, "replyTo", message.replyTo, options.replyTo, family);
  add(headers, "correlationId", message.correlationId, options.correlationId, family);
  add(headers, "expires", message.expires, options.expires, family);
  add(headers, "delay", message.delay, options.delay, family);
  add(headers, "deduplicationId", message.deduplicationId, options.deduplicationId, family);
  return headers;
}

/**
 * The headers of a SUBSCRIBE.
 *
 * @param options the options, and beside them the mode in which messages are acknowledged, default `auto`, and the
 * client id of the connection.
 * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
 */
export function consumerHeaders(
  options: PortableSubscribeOptions & { readonly ack?: string | undefined; readonly clientId?: string | undefined },
  family: BrokerFamily,
): HeaderMap {
  if (options.prefetch !== undefined && (options.ack ?? "auto") === "auto") {
    throw new UnsupportedByBrokerError("prefetch", family, `${brokerName(family)} counts nothing in ack mode auto`);
  }
  const wantsClientId = family === "activemq" || family === "artemis";
  if (options.durable !== undefined && wantsClientId && options.clientId === undefined) {
    // It would take the subscription, and forget it with the connection.
    throw new UnsupportedByBrokerError("durable", family, `${brokerName(family)} wants a clientId on the connection`);
  }
  const { consumer } = DIALECTS[family];
  const headers: HeaderEntries[number][] = [];
  add(headers, "prefetch", consumer.prefetch, options.prefetch, family);
  add(headers, "durable", consumer.durable, options.durable, family);
  add(headers, "selector", consumer.selector, options.selector, family);
  add(headers, "exclusive", consumer.exclusive, options.exclusive, family);
  return Object.fromEntries(headers);
}

/** Whether the broker can be told how many messages to send before it waits for acknowledgements. */
export function hasPrefetch(family: BrokerFamily): boolean {
  return typeof DIALECTS[family].consumer.prefetch !== "string";
}

/**
 * The headers with which UNSUBSCRIBE deletes a durable subscription.
 *
 * @throws {UnsupportedByBrokerError} when it stays all the same.
 */
export function deleteDurableHeaders(name: string, destination: string, family: BrokerFamily): HeaderMap {
  return Object.fromEntries(write("durable", DIALECTS[family].deleteDurable, { name, destination }, family));
}

/** Adds the headers of an option, if it is given. */
function add<T>(
  headers: HeaderEntries[number][],
  option: string,
  row: Row<T>,
  value: T | undefined,
  family: BrokerFamily,
): void {
  // `false` asks for nothing, so no broker is unable to do it.
  if (value === undefined || value === false) return;
  for (const entry of write(option, row, value, family)) headers.push(entry);
}

function write<T>(option: string, row: Row<T>, value: T, family: BrokerFamily): HeaderEntries {
  if (typeof row === "string") throw new UnsupportedByBrokerError(option, family, row);
  return row(value);
}
