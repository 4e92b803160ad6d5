/**
 * ActiveMQ Artemis.
 *
 * @module
 */
import { activemq } from "./activemq.ts";
import { asHeader, type Dialect, PERSISTENT, unlimited } from "./dialect.ts";

/** The dialect of Artemis. */
export const artemis: Dialect = {
  family: "artemis",
  name: "Artemis",
  serverPattern: /^ActiveMQ-Artemis\b/i,
  message: { ...activemq.message, deduplicationId: asHeader("_AMQ_DUPL_ID") },
  subscription: {
    prefetch: "Artemis counts bytes, not messages, see its header consumer-window-size",
    durable: asHeader("durable-subscription-name"),
    selector: asHeader("selector"),
    exclusive: "Artemis needs the queue to be configured as exclusive",
  },
  durableNeedsClientId: true,
  deleteDurable: ({ name }) => [["durable-subscription-name", name]],
  deletesActiveDurable: false,
  persistentByDefault: PERSISTENT,
  hasCumulativeAck: true,
  requeueDestination: undefined,
  transactsAcknowledgements: false, // it ignores the transaction of an ACK, as its documentation says
  replyQueue: "named",
  errorScopes: [],
  outages: [],
  loginRefusals: [/validate user/i],
  frameLimits: unlimited,
};
