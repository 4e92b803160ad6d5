/**
 * Makes the SUBSCRIBE of a subscription for the broker at hand.
 *
 * @module
 */
import { Frame } from "../codec/frame.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { type Dialect, hasPrefetch, subscribeHeaders } from "../dialects/dialect.ts";
import { checkAckMode } from "../session/acknowledgement.ts";
import type { Session } from "../session/session.ts";
import type { Consumer } from "./consumer.ts";
import type { SubscribeOptions } from "./options.ts";

/** Options of a subscription, and a worker's preferences. */
export interface TunedSubscribeOptions extends SubscribeOptions {
  /** The prefetch where the options give none and the broker knows one. */
  usualPrefetch?: number | undefined;
}

/** The default prefetch: as many messages as the queue of a subscription takes before it is full. */
const DEFAULT_PREFETCH = 1024;

/** Whether SUBSCRIBE and UNSUBSCRIBE ask the broker for receipts. */
export function asksForReceipts({ receipt }: SubscribeOptions, _dialect: Dialect): boolean {
  return receipt ?? true;
}

/**
 * Makes the SUBSCRIBE of a consumer, and attaches the consumer to the session.
 *
 * @throws {SubscriptionError} when the version lacks the ack mode.
 * @throws {UnsupportedByBrokerError} when the broker cannot honour an option.
 * @throws {TypeError} when a header cannot be encoded.
 */
export function subscribeFrame(
  consumer: Consumer,
  options: TunedSubscribeOptions,
  given: FrameHeaders,
  session: Session,
): Frame {
  const { id, destination, ackMode } = consumer;
  const { dialect } = session;
  checkAckMode(ackMode, session.version, destination);
  const oneByOne = ackMode === "client" && !dialect.hasCumulativeAck; // in 1.0, too
  const countsPrefetch = ackMode !== "auto" && hasPrefetch(dialect);
  // Without one, RabbitMQ sends all it has, and reading stops at the limits of the queue even for awaited answers.
  const usual = options.usualPrefetch ?? options.maxQueuedMessages ?? DEFAULT_PREFETCH;
  const prefetch = options.prefetch ?? (countsPrefetch && Number.isInteger(usual) ? usual : undefined);
  const frame = new Frame().buildFrame({
    command: "SUBSCRIBE",
    headers: {
      id,
      destination,
      ack: oneByOne ? "client-individual" : ackMode,
      ...subscribeHeaders({ ...options, prefetch, clientId: session.clientId }, dialect),
      ...given,
    },
  });
  const keepsUnsettled = dialect.requeueDestination !== undefined;
  consumer.attach(session, { oneByOne, keepsUnsettled }, asksForReceipts(options, dialect));
  return frame;
}
