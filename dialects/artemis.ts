/**
 * ActiveMQ Artemis.
 *
 * @module
 */
import { activemq } from "./activemq.ts";
import { asHeader, type Dialect, durableQueue, PERSISTENT, undeclared, unlimited } from "./dialect.ts";

/** The dialect of Artemis. */
export const artemis: Dialect = {
  family: "artemis",
  name: "Artemis",
  serverPattern: /^ActiveMQ-Artemis\b/i,
  message: {
    ...activemq.message,
    deduplicationId: asHeader("_AMQ_DUPL_ID"),
    filterValue: "Artemis has no streams; use a header and the option selector of the subscription",
  },
  subscription: {
    prefetch: "Artemis counts bytes, not messages, see its header consumer-window-size",
    durable: asHeader("durable-subscription-name"),
    selector: asHeader("selector"),
    exclusive: "Artemis needs the queue to be configured as exclusive",
  },
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

function setting(name: string): string {
  return `Artemis takes it in broker.xml: ${name} in the address-setting of the queue`;
}
