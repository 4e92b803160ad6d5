/**
 * Frames that were made by hand and are sent by a client.
 *
 * @module
 */
import { readAckMode } from "../session/acknowledgement.ts";
import { beginSteps, type WaitOptions, within } from "../base/timers.ts";
import { Frame } from "../codec/frame.ts";
import type { BoundedQueue } from "../base/bounded_queue.ts";
import type { Reconnector } from "./reconnector.ts";
import type { Message } from "./message.ts";
import { checkRawFrame } from "../session/raw_frames.ts";
import type { SubscriptionRegistry } from "./subscription_registry.ts";

/** What it takes of the client. */
export interface ByHandOwner {
  /** Keeps the connection. */
  readonly reconnector: Reconnector;
  /** Keeps the subscriptions. */
  readonly subscriptions: SubscriptionRegistry;
  /** Where the messages of a SUBSCRIBE go. */
  readonly inbox: BoundedQueue<Message>;
  /** Milliseconds that a call takes at most, where it says nothing else. */
  readonly timeout: number;
}

/**
 * Sends a frame over the connection that is open now or opens next. Resolves to its RECEIPT when it asks for one.
 *
 * @throws {TypeError} for CONNECT and DISCONNECT.
 */
export async function sendRawFrame(frame: Frame, options: WaitOptions, owner: ByHandOwner): Promise<Frame | undefined> {
  checkRawFrame(frame);
  const { reconnector, subscriptions, inbox, timeout } = owner;
  const left = beginSteps(options, timeout);
  const { destination, id, ack, ...headers } = frame.headers;
  if (frame.command === "SUBSCRIBE") {
    const subscribe = { ...left(), ack: readAckMode(ack), id, headers };
    const made = await subscriptions.subscribe(destination ?? "", subscribe, inbox);
    return "receipt" in headers ? await subscriptions.receiptOf(made) : undefined;
  }
  const session = await reconnector.ready(`send ${frame.command}`, left());
  const ended = frame.command === "UNSUBSCRIBE" ? subscriptions.find(id, destination) : undefined;
  const sent = ended && id === undefined ? withId(frame, ended.id) : frame;
  if ("receipt" in headers) {
    const receipt = session.request(sent, left());
    if (ended) subscriptions.dismiss(ended);
    return await receipt;
  }
  const room = session.send(sent);
  if (ended) subscriptions.dismiss(ended);
  await within(Promise.resolve(room), left(), `room to send ${frame.command}`);
  return undefined;
}

/** The caller's frame is left as it was. */
function withId({ command, headers }: Frame, id: string): Frame {
  return new Frame().buildFrame({ command, headers: { ...headers, id } });
}
