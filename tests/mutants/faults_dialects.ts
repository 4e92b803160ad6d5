/**
 * Faults in `dialects/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const DIALECTS_FAULTS: readonly Fault[] = [
  {
    file: "dialects/dialect.ts",
    name: "Artemis counts as ActiveMQ",
    from: 'if (/^ActiveMQ-Artemis\\b/i.test(name)) return "artemis";',
    to: "",
    tests: ["dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "a subscription that is cancelled counts as a refused frame",
    from: '[/^Server cancelled subscription\\n/, "subscription"],',
    to: "",
    tests: ["session/error_frames"],
  },
  {
    file: "dialects/dialect.ts",
    name: "RabbitMQ 4.0 takes frames of any size",
    from: "if (major >= 4) limits.bytes",
    to: "if (major > 4) limits.bytes",
    tests: ["client/outbox", "dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "RabbitMQ 4.3 takes any number of headers",
    from: "(major === 4 && minor >= 3)",
    to: "(major === 4 && minor > 3)",
    tests: ["client/outbox", "dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "an option that is false asks for something",
    from: "if (value === undefined || value === false) return;",
    to: "if (value === undefined) return;",
    tests: ["dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "a durable subscription to ActiveMQ needs no client id",
    from: `const wantsClientId = family === "activemq" || family === "artemis";`,
    to: `const wantsClientId = family === "artemis";`,
    tests: ["dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "a message that has expired lives for a negative time",
    from: "  Math.max(0, Math.round(expires instanceof Date ? expires.getTime() - Date.now() : expires));",
    to: "  Math.round(expires instanceof Date ? expires.getTime() - Date.now() : expires);",
    tests: ["dialects/dialect"],
  },
  {
    file: "dialects/dialect.ts",
    name: "RabbitMQ's transactions are taken for atomic",
    from: "    transactsAcknowledgements: false,\n  },\n  activemq",
    to: "    transactsAcknowledgements: true,\n  },\n  activemq",
    tests: ["dialects/dialect", "client/transaction_rabbitmq"],
  },
  {
    file: "dialects/dialect.ts",
    name: "messages of an ended subscription stay with RabbitMQ",
    from: `givesBackFrom: "/amq/queue/amq.rabbitmq.reply-to"`,
    to: "givesBackFrom: undefined",
    tests: ["session/subscriptions"],
  },
  {
    file: "dialects/dialect.ts",
    name: "a virtual host without access counts as a refused login",
    from: "/^(?!.*virtual host).*access denied/i",
    to: "/access denied/i",
    tests: ["dialects/dialect", "client/reconnector"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "the smaller of two counts is believed",
    from: "Math.max(...counts)",
    to: "Math.min(...counts)",
    tests: ["dialects/redelivery"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "a redelivered message is another one",
    from: '  "redelivered",\n',
    to: "",
    tests: ["dialects/redelivery"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "the id of a delivery names the message",
    from: `if (id !== "" && !DELIVERY_ID.test(id)) return id;`,
    to: `if (id !== "") return id;`,
    tests: ["dialects/redelivery"],
  },
  {
    file: "dialects/dialect.ts",
    name: "an outage of a quorum queue ends the subscription",
    from: "/\\binternal_error\\b[^]*\\b(timeout|timed out|noproc|nodedown|noconnection|no_quorum|leader)\\b/i,",
    to: "",
    tests: ["client/subscription_registry"],
  },
  {
    file: "dialects/dialect.ts",
    name: "an operator's end counts against a message",
    from: '[/^connection_forced\\n/, "connection"],',
    to: "",
    tests: ["session/error_frames", "dialects/dialect", "session/session"],
  },
  {
    file: "dialects/redelivery.ts",
    name: "messages with other bodies are the same",
    from: "hash.addBytes(body.subarray(0, MAX_HASHED_BYTES));",
    to: "",
    tests: ["dialects/redelivery"],
  },
];
