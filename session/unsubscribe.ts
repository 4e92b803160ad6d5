/**
 * Sends the UNSUBSCRIBE of a subscription as the broker of the session needs it.
 *
 * @module
 */
import { type StepOptions, within } from "../base/timers.ts";
import { Frame } from "../codec/frame.ts";
import { deleteDurableHeaders } from "../dialects/dialect.ts";
import { type MessageSink, unsubscribeHeaders } from "./dispatcher.ts";
import { isLoss } from "./receipts.ts";
import type { Session } from "./session.ts";

/** How a subscription ends. */
export interface UnsubscribeRequest {
  /** Additional headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** The name of the durable subscription to delete, if it is to be deleted. */
  readonly durable: string | undefined;
  /** Whether to wait for the broker's receipt, even if nothing but the confirmation depends on it. */
  readonly asksForReceipt: boolean;
  /** Returns how long the next step may take. */
  readonly left: () => StepOptions;
}

/**
 * Sends UNSUBSCRIBE. Resolves when the broker has confirmed, or without a receipt when it is written. A subscription has
 * ended with its connection in any case, unless it is to be deleted.
 *
 * @throws at once when nothing was sent: {UnsupportedByBrokerError} when the broker cannot delete the subscription, and
 * {TypeError} when a header cannot be encoded.
 */
export function sendUnsubscribe(session: Session, sink: MessageSink, request: UnsubscribeRequest): Promise<void> {
  const { headers, durable, asksForReceipt, left } = request;
  const { dialect, subscriptions } = session;
  const deletes = durable !== undefined;
  const deleted = deletes ? deleteDurableHeaders({ name: durable, destination: sink.destination }, dialect) : {};
  const named = unsubscribeHeaders(sink, session.version);
  const deletesAtOnce = deletes && dialect.deletesActiveDurable;
  const frame = unsubscribeFrame({ ...named, ...(deletesAtOnce && deleted), ...headers });
  const requeues = dialect.requeueDestination !== undefined && sink.takeUnsettled !== undefined;
  const first = asksForReceipt || deletes || requeues
    ? subscriptions.unsubscribe(sink, frame, left, !deletesAtOnce) // what is deleted has no other consumer
    : within(Promise.resolve(subscriptions.unsubscribeUnconfirmed(sink, frame)), left(), "UNSUBSCRIBE to be written");
  const all: Promise<unknown> = deletes && !deletesAtOnce
    ? first.then(() => session.request(unsubscribeFrame({ ...named, ...deleted, ...headers }), left()))
    : first;
  return all.then(() => {}, (error) => {
    if (!isLoss(error, session) || deletes) throw error; // a subscription has ended with its connection
  });
}

function unsubscribeFrame(headers: Record<string, string>): Frame {
  return new Frame().buildFrame({ command: "UNSUBSCRIBE", headers });
}
