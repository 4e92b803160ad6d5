/**
 * How RabbitMQ makes queues over STOMP: the first SEND or SUBSCRIBE to a queue on each connection declares it with the
 * arguments among its headers. A later one with other arguments closes the connection. Seen in 3.10, 4.0 and 4.3.
 *
 * @module
 */
import { type Duration, readDuration } from "../base/duration.ts";
import type { FrameParts } from "../codec/encoder.ts";
import type { HeaderEntries } from "../codec/headers.ts";
import type { DelayQueue, OptionRules, QueueMaking } from "./dialect.ts";
import type { QueueOptions } from "./queue.ts";

/** The headers that RabbitMQ takes as properties of the queue, beside its arguments. */
const PROPERTIES = ["durable", "auto-delete", "exclusive"];

/** The headers that declare a queue. All others with `x-` are ignored. */
const DECLARING: ReadonlySet<string> = new Set([
  ...PROPERTIES,
  "x-dead-letter-exchange",
  "x-dead-letter-routing-key",
  "x-expires",
  "x-max-age",
  "x-max-length",
  "x-max-length-bytes",
  "x-max-priority",
  "x-message-ttl",
  "x-queue-type",
  "x-stream-filter-size-bytes",
  "x-stream-max-segment-size-bytes",
]);

const NO_STREAM = "a stream of RabbitMQ has none; use maxAge or maxLengthBytes";
const ONLY_STREAM = 'RabbitMQ has it only for streams; set type: "stream"';

/** The options of a queue. */
export const queueRules: OptionRules<QueueOptions> = {
  type: (type) => [["x-queue-type", type]],
  ttl: exceptStream((ttl) => [["x-message-ttl", inMilliseconds(ttl)]]),
  expires: exceptStream((expires) => [["x-expires", inMilliseconds(expires)]]),
  maxLength: exceptStream((length) => [["x-max-length", text(length)]]),
  maxLengthBytes: (bytes) => [["x-max-length-bytes", text(bytes)]],
  maxPriority: (priority, { type }) =>
    type === "quorum" || type === "stream"
      ? "RabbitMQ has it only for classic queues; a quorum queue has priorities without it: two before 4.3, above 4 and the rest"
      : [["x-max-priority", text(priority)]],
  deadLetter: exceptStream((target) => {
    if (typeof target === "object") return deadLetterHeaders(target.exchange, target.routingKey);
    const route = routeOf(target);
    return route === undefined ? `${target} is ${NOT_ROUTED}` : deadLetterHeaders(route.exchange, route.key);
  }),
  maxAge: onlyStream((age) => [["x-max-age", `${Math.ceil(Number(inMilliseconds(age)) / 1000)}s`]]),
  maxSegmentBytes: onlyStream((bytes) => [["x-stream-max-segment-size-bytes", text(bytes)]]),
  filterSizeBytes: onlyStream((bytes) => [["x-stream-filter-size-bytes", text(bytes)]]),
  singleActiveConsumer: "RabbitMQ takes it neither over STOMP nor by policy; declare the queue over AMQP or in the " +
    "management UI, with x-single-active-consumer, and use it as /amq/queue/NAME without a declaration",
  overflow: (value) => byPolicy("overflow", value),
  deliveryLimit: (value) => byPolicy("delivery-limit", value),
  consumerTimeout: (value) => byPolicy("consumer-timeout", Number(inMilliseconds(value))),
  deadLetterStrategy: (value) => byPolicy("dead-letter-strategy", value),
};

type Rule<T> = (value: T, queue: QueueOptions) => HeaderEntries | string;

function exceptStream<T>(rule: Rule<T>): Rule<T> {
  return (value, queue) => queue.type === "stream" ? NO_STREAM : rule(value, queue);
}

function onlyStream<T>(rule: Rule<T>): Rule<T> {
  return (value, queue) => queue.type === "stream" ? rule(value, queue) : ONLY_STREAM;
}

function inMilliseconds(duration: Duration): string {
  return String(readDuration("declare a queue", "duration", duration));
}

function text(value: number): string {
  return String(value);
}

function byPolicy(key: string, value: string | number): string {
  const policy = JSON.stringify({ [key]: value });
  return `RabbitMQ takes it by policy alone: rabbitmqctl set_policy NAME "^QUEUE$" '${policy}' --apply-to queues`;
}

function deadLetterHeaders(exchange: string, key: string | undefined): HeaderEntries {
  const headers: HeaderEntries[number][] = [["x-dead-letter-exchange", exchange]];
  if (key !== undefined) headers.push(["x-dead-letter-routing-key", key]);
  return headers;
}

/** Where a destination leads. */
interface Route {
  readonly exchange: string;
  readonly key: string;
}

const NOT_ROUTED = "no /queue/NAME, /amq/queue/NAME, /topic/NAME, /exchange/NAME or /exchange/NAME/KEY";

/** Reads a destination as RabbitMQ does; `undefined` when it is of no kind that can be published to by name. */
function routeOf(destination: string): Route | undefined {
  const [empty, kind, ...rest] = destination.split("/");
  if (kind === undefined) return empty === "" ? undefined : { exchange: "", key: unescape(destination) };
  if (empty !== "") return undefined;
  if (kind === "reply-queue" && rest.length > 0) return { exchange: "", key: rest.join("/") };
  if (kind === "amq" && rest[0] === "queue" && rest.length === 2) return { exchange: "", key: unescape(rest[1]!) };
  const [name, key] = rest;
  if (name === undefined || name === "") return undefined;
  if (kind === "queue" && rest.length === 1) return { exchange: "", key: unescape(name) };
  if (kind === "topic" && rest.length === 1) return { exchange: "amq.topic", key: unescape(name) };
  if (kind === "exchange" && rest.length <= 2) return { exchange: unescape(name), key: unescape(key ?? "") };
  return undefined;
}

/** The only escape in destinations of RabbitMQ. */
function unescape(segment: string): string {
  return segment.replaceAll("%2F", "/");
}

function escape(name: string): string {
  return name.replaceAll("/", "%2F");
}

const QUEUE = /^(\/queue\/)?[^/]+$/;
const TOPIC_OR_EXCHANGE = /^\/(topic|exchange)\//;

/** How queues are made. */
export const queueMaking: QueueMaking = {
  declares: (header) => DECLARING.has(header),
  // Read as `durable: false`, and such a queue is exclusive to the connection. Without the header the message is the same.
  spoils: (header, value) => header === "persistent" && /^false$/i.test(value),
  commands: (destination) => {
    if (QUEUE.test(destination)) return ["SEND", "SUBSCRIBE"];
    // Each subscription has a queue.
    if (TOPIC_OR_EXCHANGE.test(destination)) return ["SUBSCRIBE"];
    return "RabbitMQ declares only the queues of /queue/NAME, and of subscriptions to /topic/ and /exchange/ destinations";
  },
  make: (destination, headers) => {
    if (QUEUE.test(destination)) return declareQueue(destination, headers);
    const exchange = /^\/exchange\/(?!amq\.)/.test(destination) ? routeOf(destination)?.exchange : undefined;
    return exchange === undefined ? [] : checkExchange(exchange);
  },
  delayQueue,
};

/** A SEND declares its queue at once, and in a transaction that is aborted it leaves no message. */
function declareQueue(destination: string, headers: HeaderEntries): readonly FrameParts[] {
  const transaction = "stompy-declare";
  return [
    { command: "BEGIN", headers: { transaction } },
    { command: "SEND", headers: { ...Object.fromEntries(headers), destination, transaction } },
    { command: "ABORT", headers: { transaction } },
  ];
}

/** Dead letters to an exchange that does not exist are dropped silently, but a SUBSCRIBE to it is refused. */
function checkExchange(exchange: string): readonly FrameParts[] {
  const id = "stompy-check";
  const destination = `/exchange/${escape(exchange)}/${id}`;
  return [
    { command: "SUBSCRIBE", headers: { id, destination, "ack": "client", "prefetch-count": "1" } },
    { command: "UNSUBSCRIBE", headers: { id, destination } },
  ];
}

/**
 * One queue for each destination and duration: in a shared one, messages wait for those before them. It is of the default
 * type, because after a kill a quorum queue may keep its last message until the next one comes (seen in 4.0 and 4.3).
 */
function delayQueue(destination: string, milliseconds: number): DelayQueue | string {
  const route = routeOf(destination);
  if (route === undefined) return `RabbitMQ can delay only what is sent to a name, and ${destination} is ${NOT_ROUTED}`;
  return {
    destination: `/queue/${escape(`stompy.delay.${milliseconds}${nameOf(destination, route)}`)}`,
    headers: [["x-message-ttl", String(milliseconds)], ...deadLetterHeaders(route.exchange, route.key)],
  };
}

/** Names a route within the name of a queue: `.work`, `/topic/news`, `/exchange/name/key`. */
function nameOf(destination: string, { exchange, key }: Route): string {
  if (exchange === "" && !destination.startsWith("/exchange/")) return `.${key}`;
  if (destination.startsWith("/topic/")) return `/topic/${key}`;
  // RabbitMQ does not take %2f for a slash, which keeps the parts apart.
  const part = (text: string) => text.replaceAll("%", "%25").replaceAll("/", "%2f");
  return `/exchange/${part(exchange)}${key === "" ? "" : `/${part(key)}`}`;
}
