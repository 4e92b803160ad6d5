/**
 * Sends the SUBSCRIBEs of a client, each as the broker of the session needs it.
 *
 * @module
 */
import { SubscriptionError } from "../base/errors.ts";
import { type Clock, type WaitOptions, within } from "../base/timers.ts";
import { Frame } from "../codec/frame.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { type Dialect, hasPrefetch, subscribeHeaders } from "../dialects/dialect.ts";
import { checkAcknowledges } from "../dialects/lacks.ts";
import { checkAckMode } from "../session/acknowledgement.ts";
import type { Session } from "../session/session.ts";
import type { Consumer } from "./consumer.ts";
import { askForHeaders, type SubscribeHeadersProvider } from "./headers_provider.ts";
import type { SubscribeOptions } from "./options.ts";

/** Options of a subscription, with headers that can be read more than once, and a worker's preferences. */
export interface TunedSubscribeOptions extends SubscribeOptions {
  /** The prefetch where the options give none and the broker knows one. */
  usualPrefetch?: number | undefined;
}

/** The same options with headers that can be read more than once. */
export type SubscribeRequest = TunedSubscribeOptions & { readonly headers: FrameHeaders | SubscribeHeadersProvider };

/** One SUBSCRIBE on one session. */
export interface Attempt {
  readonly session: Session;
  /** The RECEIPT; without one, `undefined` as soon as the SUBSCRIBE is written. */
  readonly receipt: Promise<Frame | undefined>;
  /** Resolves when the broker has confirmed it, or seems to have accepted it; rejects when it is refused. */
  readonly accepted: Promise<unknown>;
  /** Withdraws the SUBSCRIBE, until the broker has answered. */
  abort: AbortController | undefined;
  /** How far it has got: the function that returns its headers may take a while, or fail. */
  state: "asking" | "written" | "no headers";
  /** Whether the broker refused it. When its ERROR names no frame it may have meant another one. */
  isRefused: boolean;
  /** Whether no other SUBSCRIBE was open at any time before the answer. */
  wasAlone: boolean;
}

/** The default prefetch: as many messages as the queue of a subscription takes before it is full. */
const DEFAULT_PREFETCH = 1024;

/** The default window of a broker that counts bytes: as many as the queue of a subscription takes before it is full. */
const DEFAULT_WINDOW_BYTES = 1 << 22;

/** Whether SUBSCRIBE and UNSUBSCRIBE ask the broker for receipts. */
export function asksForReceipts({ receipt }: SubscribeOptions, { lacks }: Dialect): boolean {
  return receipt ?? lacks?.receipts === undefined;
}

/** Sends SUBSCRIBEs, and knows which of them are open at the same time. */
export class SubscribeRequests {
  readonly #timeout: number;
  readonly #clock: Clock;
  #sent = 0;
  #answered = 0;

  /**
   * Creates a sender that has sent nothing yet.
   *
   * @param timeout milliseconds that a function may take to return headers.
   */
  constructor(timeout: number, clock: Clock) {
    this.#timeout = timeout;
    this.#clock = clock;
  }

  /** Sends SUBSCRIBE over a session. `number` counts the SUBSCRIBEs of the subscription. */
  send(consumer: Consumer, options: SubscribeRequest, session: Session, number: number): Attempt {
    const receipt = Promise.withResolvers<Frame | undefined>();
    const accepted = Promise.withResolvers<unknown>();
    receipt.promise.catch(accepted.reject);
    accepted.promise.catch(() => {}); // the caller handles it
    const attempt: Attempt = {
      session,
      receipt: receipt.promise,
      accepted: accepted.promise,
      abort: new AbortController(),
      state: "asking",
      isRefused: false,
      wasAlone: false,
    };
    receipt.resolve(this.#send(attempt, accepted.resolve, consumer, options, number));
    return attempt;
  }

  async #send(
    attempt: Attempt,
    accept: (accepted: Promise<unknown>) => void,
    consumer: Consumer,
    options: SubscribeRequest,
    number: number,
  ): Promise<Frame | undefined> {
    const { session } = attempt;
    const { subscriptions } = session;
    const { signal } = attempt.abort!;
    // Without a function it is sent in this turn, and so before the messages of the outbox.
    const headers = typeof options.headers === "function"
      ? await this.#ask(attempt, consumer, options.headers, number, signal)
      : options.headers;
    const frame = subscribeFrame(consumer, options, headers, session);
    attempt.state = "written";
    const sent = ++this.#sent;
    const wasFree = this.#answered + 1 === sent;
    const onAnswer = () => {
      this.#answered++;
      attempt.abort = undefined; // for the memory of thousands of subscriptions
      attempt.wasAlone = wasFree && this.#sent === sent;
    };
    // Without a timeout: the caller of `subscribe` has its own, and a loop over messages needs none.
    const wait: WaitOptions = { signal, timeout: Infinity };
    if (asksForReceipts(options, session.dialect)) {
      const receipt = subscriptions.subscribe(consumer, frame, wait).finally(onAnswer);
      accept(receipt);
      return await receipt;
    }
    let unconfirmed;
    try {
      unconfirmed = subscriptions.subscribeUnconfirmed(consumer, frame);
    } catch (error) {
      onAnswer();
      throw error;
    }
    accept(unconfirmed.accepted.finally(onAnswer));
    const { written } = unconfirmed;
    if (written !== undefined) await within(written, wait, "the connection", () => subscriptions.undo(consumer));
    return undefined;
  }

  async #ask(
    attempt: Attempt,
    { destination }: Consumer,
    provider: SubscribeHeadersProvider,
    number: number,
    signal: AbortSignal,
  ): Promise<FrameHeaders> {
    try {
      return await askForHeaders(provider, number, { signal, timeout: this.#timeout, clock: this.#clock });
    } catch (cause) {
      if (signal.aborted) throw cause;
      attempt.state = "no headers";
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new SubscriptionError(`Cannot subscribe to ${destination}: headers() failed: ${message}`, { cause });
    }
  }
}

/**
 * Makes the SUBSCRIBE of a consumer, and attaches the consumer to the session.
 *
 * @throws {SubscriptionError} when the version lacks the ack mode.
 * @throws {UnsupportedByBrokerError} when the broker cannot honour an option.
 * @throws {TypeError} when a header cannot be encoded.
 */
function subscribeFrame(
  consumer: Consumer,
  options: TunedSubscribeOptions,
  given: FrameHeaders,
  session: Session,
): Frame {
  const { id, destination, ackMode } = consumer;
  const { dialect } = session;
  checkAckMode(ackMode, session.version, destination);
  checkAcknowledges(ackMode, dialect);
  const oneByOne = ackMode === "client" && !dialect.hasCumulativeAck; // in 1.0, too
  const countsPrefetch = ackMode !== "auto" && hasPrefetch(dialect);
  // Without one, RabbitMQ sends all it has, and reading stops at the limits of the queue even for awaited answers.
  const usual = options.usualPrefetch ?? options.maxQueuedMessages ?? DEFAULT_PREFETCH;
  const prefetch = options.prefetch ?? (countsPrefetch && Number.isInteger(usual) ? usual : undefined);
  // A worker keeps the broker's small window, so that other workers get a share.
  const byteWindow = ackMode === "auto" || prefetch !== undefined || options.usualPrefetch !== undefined
    ? undefined
    : dialect.byteWindow?.(options.maxQueuedBytes ?? DEFAULT_WINDOW_BYTES);
  const frame = new Frame().buildFrame({
    command: "SUBSCRIBE",
    headers: {
      id,
      destination,
      ack: oneByOne ? "client-individual" : ackMode,
      ...Object.fromEntries(byteWindow ?? []),
      ...subscribeHeaders({ ...options, prefetch, clientId: session.clientId }, dialect),
      ...given,
    },
  });
  const keepsUnsettled = dialect.requeueDestination !== undefined;
  const whyNoNack = dialect.lacks?.nack;
  consumer.attach(session, { oneByOne, keepsUnsettled, whyNoNack }, asksForReceipts(options, dialect));
  return frame;
}
