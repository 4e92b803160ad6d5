/**
 * A broker that is not recognized: plain STOMP, and the headers that brokers commonly share.
 *
 * @module
 */
import { asHeader, COMMON_MESSAGE_OPTIONS, type Dialect, PERSISTENT, undeclared, unlimited } from "./dialect.ts";

const SET_BROKER = "the broker did not say which one it is; set the option broker";

/** The dialect of brokers that are not recognized. */
export const unknown: Dialect = {
  family: "unknown",
  name: "The broker",
  serverPattern: undefined,
  receiptAdvice: " (the broker has confirmed nothing so far: if it gives no receipts, as Spring's simple broker, " +
    'set broker: "spring" for the client, or receipt: false for the call)',
  message: {
    ...COMMON_MESSAGE_OPTIONS,
    expires: SET_BROKER,
    delay: SET_BROKER,
    deduplicationId: SET_BROKER,
    group: SET_BROKER,
    filterValue: SET_BROKER,
  },
  subscription: {
    prefetch: SET_BROKER,
    durable: SET_BROKER,
    selector: asHeader("selector"),
    exclusive: SET_BROKER,
  },
  queue: undeclared({}, SET_BROKER),
  queueMaking: undefined,
  durableNeedsClientId: false,
  deleteDurable: () => SET_BROKER,
  deletesActiveDurable: false,
  persistentByDefault: PERSISTENT,
  hasCumulativeAck: true,
  requeueDestination: undefined,
  transactsAcknowledgements: true,
  replyQueue: "named",
  errorScopes: [],
  outages: [],
  loginRefusals: [
    /^(?!.*virtual host).*access denied/i, // Spring
    /bad[ _](user|credential)/i,
    /authenticat|not[ _]authori[sz]ed|unauthori[sz]ed/i,
  ],
  frameLimits: unlimited,
};
