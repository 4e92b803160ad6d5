/**
 * The embedded broker of this library, in `broker/`.
 *
 * @module
 */
import { asHeader, COMMON_MESSAGE_OPTIONS, type Dialect, undeclared, unlimited } from "./dialect.ts";

const ONLY_QUEUES = "the embedded broker has only plain queues in memory";

/** The dialect of the embedded broker. */
export const embedded: Dialect = {
  family: "embedded",
  name: "The embedded broker",
  serverPattern: /^stompy\b/i,
  message: {
    ...COMMON_MESSAGE_OPTIONS,
    priority: ONLY_QUEUES,
    expires: ONLY_QUEUES,
    delay: ONLY_QUEUES,
    deduplicationId: ONLY_QUEUES,
    group: ONLY_QUEUES,
    filterValue: ONLY_QUEUES,
  },
  subscription: {
    prefetch: asHeader("prefetch-count"),
    durable: ONLY_QUEUES,
    selector: ONLY_QUEUES,
    exclusive: ONLY_QUEUES,
    browse: ONLY_QUEUES,
  },
  queue: undeclared({}, ONLY_QUEUES),
  queueMaking: undefined,
  durableNeedsClientId: false,
  deleteDurable: () => ONLY_QUEUES,
  deletesActiveDurable: false,
  persistentByDefault: [],
  hasCumulativeAck: true,
  requeueDestination: undefined,
  transactsAcknowledgements: true,
  replyQueue: "temporary",
  errorScopes: [[/^(heart-beat missed|subscriber is too slow)\n/, "connection"]],
  outages: [],
  loginRefusals: [/\blogin refused\b/i],
  frameLimits: unlimited,
};
