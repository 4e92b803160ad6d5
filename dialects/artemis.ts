/**
 * ActiveMQ Artemis.
 *
 * @module
 */
import type { HeaderEntries } from "../codec/headers.ts";
import { activemq } from "./activemq.ts";
import { asHeader, type Dialect, durableQueue, PERSISTENT, undeclared, unlimited } from "./dialect.ts";

/** Prefixes of destinations, with the routing types that they mean on other brokers. */
const ROUTING_TYPES: readonly (readonly [prefix: string, type: string])[] = [
  ["/queue/", "ANYCAST"],
  ["/topic/", "MULTICAST"],
];

/**
 * Says whether a destination is a queue or a topic. Unless an acceptor has `anycastPrefix` and `multicastPrefix`, the name
 * means nothing to Artemis: every name is a topic, so a message to a queue without a consumer is confirmed and lost, and
 * each of several consumers gets all messages. Where the acceptor has them, the header changes nothing.
 */
function routing(command: "SEND" | "SUBSCRIBE", destination: string): HeaderEntries {
  const type = ROUTING_TYPES.find(([prefix]) => destination.startsWith(prefix))?.[1];
  if (type === undefined) return [];
  return [[command === "SEND" ? "destination-type" : "subscription-type", type]];
}

/** The dialect of Artemis, seen on 2.44.0. */
export const artemis: Dialect = {
  family: "artemis",
  name: "Artemis",
  serverPattern: /^ActiveMQ-Artemis\b/i,
  // In 1.0 its CONNECTED has nothing but a version and a session of eight digits.
  sent: (connected) =>
    connected["version"] === "1.0" && /^[0-9a-f]{8}$/.test(connected["session"] ?? "") &&
    Object.keys(connected).length === 2,
  lacks: {
    // Seen on 2.44.0: it is not delivered again, and is not in the dead letter queue. Documented as "discarded".
    nack:
      'Artemis drops a message for good on NACK; add the header requeue: "false" if you want that, or leave the message, ' +
      "which is delivered again after the subscription or the connection has ended",
  },
  routing,
  maxWebSocketMessageBytes: 65_536, // webSocketMaxFramePayloadLength
  message: {
    ...activemq.message,
    deduplicationId: asHeader("_AMQ_DUPL_ID"),
    filterValue: "Artemis has no streams; use a header and the option selector of the subscription",
  },
  subscription: {
    // The header activemq.prefetchSize counts bytes as well.
    prefetch: (count) =>
      count === 1
        ? [["consumer-window-size", "1"]]
        : "Artemis counts bytes, not messages: it takes 1, or in headers a consumer-window-size in bytes (default 10240)",
    durable: asHeader("durable-subscription-name"),
    selector: asHeader("selector"),
    exclusive: "Artemis needs the queue to be configured as exclusive",
    browse: "Artemis browses queues for JMS clients and in its console, not over STOMP",
  },
  // Its default of 10 KiB holds 43 messages of 10 bytes: a program that acknowledges every 100th would wait for ever.
  byteWindow: asHeader("consumer-window-size"),
  queue: undeclared(
    {
      type: durableQueue("Artemis has no streams"),
      ttl: setting("expiry-delay"),
      expires: setting("auto-delete-queues-delay"),
      maxLength: setting("max-size-messages"),
      maxLengthBytes: setting("max-size-bytes"),
      maxPriority: "every queue of Artemis has ten priorities; omit it",
      deadLetter: setting("dead-letter-address"),
      singleActiveConsumer: setting("default-exclusive-queue"),
      overflow: setting("address-full-policy"),
      deliveryLimit: setting("max-delivery-attempts"),
    },
    "Artemis takes it in broker.xml, if at all: see the address-setting of the queue",
  ),
  queueMaking: undefined,
  durableNeedsClientId: true,
  deleteDurable: ({ name }) => [["durable-subscription-name", name]],
  deletesActiveDurable: true,
  persistentByDefault: PERSISTENT,
  hasCumulativeAck: true,
  requeueDestination: undefined,
  transactsAcknowledgements: false, // it ignores the transaction of an ACK
  replyQueue: "topic",
  errorScopes: [
    // Their ERRORs close the connection, and those of late ACKs come without a receipt id.
    [/failed to ack because no message|Error acknowledging message/, "acknowledgement"],
    // Nothing came from the client for 60 s: it sends no heart-beats, or speaks 1.0.
    [/^AMQ229014\b/, "connection"],
  ],
  outages: [],
  loginRefusals: [/validate user/i, /^Security Error occurred\b[^]*\bpassword is invalid\b/i],
  frameLimits: unlimited,
};

function setting(name: string): string {
  return `Artemis takes it in broker.xml: ${name} in the address-setting of the queue`;
}
