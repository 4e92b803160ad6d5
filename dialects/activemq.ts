/**
 * ActiveMQ Classic.
 *
 * @module
 */
import { asHeader, COMMON_MESSAGE_OPTIONS, type Dialect, PERSISTENT, timeToLive, unlimited } from "./dialect.ts";

/** The dialect of ActiveMQ Classic. */
export const activemq: Dialect = {
  family: "activemq",
  name: "ActiveMQ",
  serverPattern: /^ActiveMQ\b(?!-Artemis\b)/i,
  message: {
    ...COMMON_MESSAGE_OPTIONS,
    expires: (expires) => [["expires", String(Date.now() + timeToLive(expires))]],
    delay: (delay) => [["AMQ_SCHEDULED_DELAY", String(Math.round(delay))]],
    deduplicationId: "ActiveMQ Classic does not detect duplicates",
  },
  subscription: {
    prefetch: asHeader("activemq.prefetchSize"),
    durable: asHeader("activemq.subscriptionName"),
    selector: asHeader("selector"),
    exclusive: asHeader("activemq.exclusive"),
  },
  durableNeedsClientId: true,
  deleteDurable: ({ name }) => [["activemq.subscriptionName", name]],
  deletesActiveDurable: false,
  persistentByDefault: PERSISTENT,
  hasCumulativeAck: true,
  requeueDestination: undefined,
  transactsAcknowledgements: true,
  replyQueue: "temporary",
  errorScopes: [],
  outages: [/\bbroker\b.* (is being stopped|is stopped|has been stopped|is shutting down)\b/i],
  loginRefusals: [
    /\b(login|user ?name|user|pass(word|code)|credentials)\b.*\b(wrong|invalid|incorrect|refused|failed)\b/i,
  ],
  frameLimits: unlimited,
};
