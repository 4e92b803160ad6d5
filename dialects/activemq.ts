/**
 * ActiveMQ Classic.
 *
 * @module
 */
import { readDuration } from "../base/duration.ts";
import { BROWSING } from "./browsing.ts";
import {
  asHeader,
  COMMON_MESSAGE_OPTIONS,
  type Dialect,
  durableQueue,
  PERSISTENT,
  timeToLive,
  undeclared,
  unlimited,
} from "./dialect.ts";

/** The dialect of ActiveMQ Classic. */
export const activemq: Dialect = {
  family: "activemq",
  name: "ActiveMQ",
  serverPattern: /^ActiveMQ\b(?!-Artemis\b)/i,
  message: {
    ...COMMON_MESSAGE_OPTIONS,
    expires: (expires) => [["expires", String(Date.now() + timeToLive(expires))]],
    delay: (delay) => [["AMQ_SCHEDULED_DELAY", String(readDuration("send", "delay", delay))]],
    deduplicationId: "ActiveMQ Classic does not detect duplicates",
    group: asHeader("JMSXGroupID"),
    filterValue: "ActiveMQ Classic has no streams; use a header and the option selector of the subscription",
  },
  subscription: {
    prefetch: asHeader("activemq.prefetchSize"),
    durable: asHeader("activemq.subscriptionName"),
    selector: asHeader("selector"),
    exclusive: asHeader("activemq.exclusive"),
    browse: () => BROWSING,
  },
  queue: undeclared(
    {
      type: durableQueue("ActiveMQ Classic has no streams"),
      ttl: "ActiveMQ takes it by message: use the option expires of send, or the timeStampPlugin in activemq.xml",
      maxPriority: "ActiveMQ has ten priorities where a policyEntry in activemq.xml sets prioritizedMessages",
      deadLetter: "ActiveMQ takes it in activemq.xml: a deadLetterStrategy in the policyEntry of the queue",
      singleActiveConsumer: "ActiveMQ has it as the option exclusive of subscribe",
      deliveryLimit: "ActiveMQ takes it in activemq.xml: maximumRedeliveries of a redeliveryPolicy",
    },
    "ActiveMQ takes it in activemq.xml, if at all: see the policyEntry of the queue",
  ),
  queueMaking: undefined,
  durableNeedsClientId: true,
  deleteDurable: ({ name }) => [["activemq.subscriptionName", name]],
  deletesActiveDurable: false,
  persistentByDefault: PERSISTENT,
  hasCumulativeAck: true,
  requeueDestination: undefined,
  transactsAcknowledgements: true,
  replyQueue: "temporary",
  // `stomp+nio+ssl` sometimes takes the frame after CONNECT for another CONNECT: that frame is lost, and not to blame.
  errorScopes: [[/^Already connected\.\n/, "connection"]],
  outages: [/\bbroker\b.* (is being stopped|is stopped|has been stopped|is shutting down)\b/i],
  loginRefusals: [
    /\b(login|user ?name|user|pass(word|code)|credentials)\b.*\b(wrong|invalid|incorrect|refused|failed)\b/i,
  ],
  frameLimits: unlimited,
};
