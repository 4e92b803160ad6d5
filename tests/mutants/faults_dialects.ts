/**
 * Faults in `dialects/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const DIALECTS_FAULTS: readonly Fault[] = [
  {
    file: "dialects/rabbitmq_queues.ts",
    name: "the queue of a delay is shared by exchanges whose names have a slash",
    from: '.replaceAll("%", "%25").replaceAll("/", "%2f")',
    to: "",
    tests: ["dialects/rabbitmq_queues"],
  },
  {
    file: "dialects/queue.ts",
    name: "a client may delay by any number of durations",
    from: "delays.size >= MAX_DELAYS",
    to: "delays.size < 0",
    tests: ["dialects/queue", "client/sender_delay"],
  },
  {
    file: "dialects/activemq.ts",
    name: "Artemis is recognized as ActiveMQ",
    from: "/^ActiveMQ\\b(?!-Artemis\\b)/i",
    to: "/^ActiveMQ\\b/i",
    tests: ["dialects/registry"],
  },
  {
    file: "dialects/rabbitmq.ts",
    name: "a cancelled subscription counts as a refused frame",
    from: '[/^Server cancelled subscription\\n/, "subscription"],',
    to: "",
    tests: ["session/error_frames"],
  },
  {
    file: "dialects/rabbitmq.ts",
    name: "RabbitMQ 4.0 accepts frames of any size",
    from: "if (major >= 4) limits.bytes",
    to: "if (major > 4) limits.bytes",
    tests: ["client/outbox", "dialects/dialect"],
  },
  {
    file: "dialects/rabbitmq.ts",
    name: "RabbitMQ 4.3 accepts any number of headers",
    from: "(major === 4 && minor >= 3)",
    to: "(major === 4 && minor > 3)",
    tests: ["client/outbox", "dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "an option that is false is refused",
    from: "if (value === undefined || value === false) return;",
    to: "if (value === undefined) return;",
    tests: ["dialects/dialect"],
  },
  {
    file: "dialects/activemq.ts",
    name: "a durable subscription to ActiveMQ needs no client id",
    from: "durableNeedsClientId: true",
    to: "durableNeedsClientId: false",
    tests: ["dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "an expired message has a negative time to live",
    from: "Math.max(0, Math.round(expires instanceof Date ? expires.getTime() - Date.now() : expires));",
    to: "Math.round(expires instanceof Date ? expires.getTime() - Date.now() : expires);",
    tests: ["dialects/dialect"],
  },
  {
    file: "dialects/rabbitmq.ts",
    name: "RabbitMQ's transactions count as atomic",
    from: "transactsAcknowledgements: false",
    to: "transactsAcknowledgements: true",
    tests: ["dialects/dialect", "client/transaction_rabbitmq"],
  },
  {
    file: "dialects/rabbitmq.ts",
    name: "messages of an ended subscription stay with RabbitMQ",
    from: `requeueDestination: "/amq/queue/amq.rabbitmq.reply-to"`,
    to: "requeueDestination: undefined",
    tests: ["session/subscriptions"],
  },
  {
    file: "dialects/unknown.ts",
    name: "a virtual host without access counts as a refused login",
    from: "/^(?!.*virtual host).*access denied/i",
    to: "/access denied/i",
    tests: ["dialects/registry", "client/reconnector"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "the smaller of two delivery counts wins",
    from: "Math.max(...counts)",
    to: "Math.min(...counts)",
    tests: ["dialects/redelivery"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "a redelivered message counts as another message",
    from: '  "redelivered",\n',
    to: "",
    tests: ["dialects/redelivery"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "the id of a delivery names the message",
    from: `if (id !== "" && !RABBITMQ_DELIVERY_ID.test(id)) return id;`,
    to: `if (id !== "") return id;`,
    tests: ["dialects/redelivery"],
  },
  {
    file: "dialects/rabbitmq.ts",
    name: "an outage of a quorum queue ends the subscription",
    from: "/\\binternal_error\\b[^]*\\b(timeout|timed out|noproc|nodedown|noconnection|no_quorum|leader)\\b/i,",
    to: "",
    tests: ["client/subscription_registry"],
  },
  {
    file: "dialects/rabbitmq.ts",
    name: "a connection that an operator closes counts against a message",
    from: '[/^connection_forced\\n/, "connection"],',
    to: "",
    tests: ["session/error_frames", "dialects/dialect", "session/session"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "messages with different bodies count as the same",
    from: "hash.addBytes(body.subarray(0, MAX_HASHED_BYTES));",
    to: "",
    tests: ["dialects/redelivery"],
  },
  {
    file: "dialects/artemis.ts",
    name: "Artemis: SUBSCRIBE does not say that it is about a queue",
    from: '"destination-type" : "subscription-type"',
    to: '"destination-type" : "destination-type"',
    tests: ["dialects/artemis"],
  },
  {
    file: "dialects/artemis.ts",
    name: "Artemis: its default window stays",
    from: '  byteWindow: asHeader("consumer-window-size"),\n',
    to: "",
    tests: ["dialects/artemis"],
  },
  {
    file: "dialects/spring.ts",
    name: "Spring: a broker over TCP is taken for it",
    from: 'isWebSocket && connected["version"] !== undefined',
    to: 'connected["version"] !== undefined',
    tests: ["dialects/spring"],
  },
  {
    file: "dialects/spring.ts",
    name: "Spring: bytes that are no text have no type",
    from: 'isUtf8(body) ? undefined : "application/octet-stream"',
    to: "isUtf8(body) ? undefined : undefined",
    tests: ["dialects/spring"],
  },
];
