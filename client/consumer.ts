/**
 * `Consumer`: the inside of a `Subscription`. It takes messages off a session, queues them for the program, and
 * acknowledges them.
 *
 * @module
 */
import { BoundedQueue, type QueueFill, type QueueLimits, type QueueWaiter } from "../base/bounded_queue.ts";
import { beginSteps, checkWait, type Clock, type StepOptions, type WaitOptions, within } from "../base/timers.ts";
import {
  AcknowledgeError,
  NotConnectedError,
  rejection,
  StaleMessageError,
  type StompError,
  SubscriptionError,
} from "../base/errors.ts";
import { toHeaders } from "../codec/encoder.ts";
import type { Frame } from "../codec/frame.ts";
import type { AckMode } from "../codec/protocol.ts";
import type { Backlog } from "../session/backlog.ts";
import type { MessageSink } from "../session/dispatcher.ts";
import type { Session } from "../session/session.ts";
import { sendUnsubscribe } from "../session/unsubscribe.ts";
import { type AckBehavior, AckTracker, type RefusedMessages } from "./ack_tracker.ts";
import {
  type AcknowledgeOptions,
  type Message,
  type MessageOrigin,
  type MessageSubscription,
  originOf,
  setOrigin,
  settledBy,
} from "./message.ts";
import type { UnsubscribeOptions } from "./options.ts";
import type { StatusHub } from "./status.ts";
import { acknowledgeIn, joinTransaction, sessionOf, type Transaction } from "./transaction.ts";
import type { Transactions } from "./transaction_registry.ts";

/** What all consumers of a client share. */
export interface ConsumerContext {
  /** The client's open transactions. */
  readonly transactions: Transactions;
  /** Reports slow consumers. */
  readonly status: StatusHub;
  /** The messages that the client refused. */
  readonly refused: RefusedMessages;
  /** Counts what waits in the queues of all consumers. */
  readonly backlog: Backlog;
  /** The clock of the client. */
  readonly clock: Clock;
  /** Milliseconds that a call may take by default. */
  readonly timeout: number;
  /** Called when UNSUBSCRIBE is sent, or need not be sent. */
  readonly onUnsubscribed: (consumer: Consumer) => void;
  /** Called when the broker has ended the subscription by itself. */
  readonly onCancelled: (consumer: Consumer, error: StompError) => void;
}

/** What a consumer is created with. */
export interface ConsumerDetails extends QueueLimits {
  /** The id in SUBSCRIBE. */
  id: string;
  /** The destination in SUBSCRIBE. */
  destination: string;
  /** How messages are acknowledged. */
  ack: AckMode;
  /** The name of the durable subscription, if it is one. */
  durable?: string | undefined;
  /** A queue that several consumers share; by default each has its own. */
  queue?: BoundedQueue<Message> | undefined;
}

const DONE: Promise<void> = Promise.resolve();
const WRITTEN: Promise<boolean> = Promise.resolve(true);

/** What `next` resolves to. */
export type NextResult = IteratorResult<Message, undefined>;

/** One subscription, as the rest of the client sees it. */
export class Consumer implements MessageSink, MessageOrigin, QueueWaiter<Message>, AsyncIterableIterator<Message> {
  readonly id: string;
  readonly destination: string;

  // What a message touches comes first: with thousands of consumers that makes one load from memory do.
  readonly #queue: BoundedQueue<Message>;
  #resolveNext: ((result: NextResult | Promise<never>) => void) | undefined; // of a pending `next`
  #epoch = 0; // of the session; 0 while detached
  /** Messages received so far. */
  received = 0;
  #discards: boolean | "until detached" = false; // whether further messages are kept from the program
  #discarded: Message[] | undefined; // of this session
  /** Which messages are settled; `undefined` in mode `auto`, which acknowledges nothing. */
  readonly tracker: AckTracker | undefined;
  #session: Session | undefined; // of the last `attach`, while attached
  /** The subscription that the program holds. */
  subscription!: MessageSubscription & { unsubscribe(): Promise<void> };
  readonly ackMode: AckMode;
  readonly context: ConsumerContext;
  readonly #durable: string | undefined;
  readonly #sharesQueue: boolean;
  #asksForReceipts = true;
  #ended: { readonly cause?: StompError } | undefined; // with the error that ended it, if one did
  #lossSignal: AbortController | undefined; // of the session, since a worker asked for it

  /** Creates a consumer. It receives once it is attached to a session. */
  constructor(context: ConsumerContext, { id, destination, ack, durable, queue, ...limits }: ConsumerDetails) {
    this.id = id;
    this.destination = destination;
    this.ackMode = ack;
    this.tracker = ack === "auto" ? undefined : new AckTracker(ack);
    this.context = context;
    this.#durable = durable;
    this.#sharesQueue = queue !== undefined;
    this.#queue = queue ?? new BoundedQueue<Message>(context.backlog, (fill, item) => this.#onFill(fill, item), limits);
  }

  /** Messages in the queue. */
  get queued(): number {
    return this.#queue.length;
  }

  /** How full the queue is. */
  get fill(): QueueFill {
    return this.#queue.fill;
  }

  /** Receives from a session that a SUBSCRIBE is about to be sent over, with or without a receipt. */
  attach(session: Session, broker: AckBehavior, asksForReceipts: boolean): void {
    this.#session = session;
    this.#asksForReceipts = asksForReceipts;
    this.#epoch = session.epoch;
    this.tracker?.attach(broker);
    // A shared queue stops reading by itself.
    if (this.fill !== "free" && !this.#sharesQueue) session.gate.close(this, this.fill === "blocked");
  }

  /**
   * Leaves the session, because it is lost or has refused the SUBSCRIBE. Unless the mode is `auto`, the queue is emptied:
   * the broker delivers those messages again.
   */
  detach(): void {
    this.#session = undefined;
    this.#epoch = 0;
    this.#lossSignal?.abort();
    this.#lossSignal = undefined;
    if (this.ackMode !== "auto") this.#discardQueued();
    this.#discarded = undefined;
    if (this.#discards === "until detached") this.#discards = false;
    this.tracker?.detach();
  }

  /** Keeps messages from the program until the next session, on which the broker delivers them again. */
  hold(): void {
    if (this.tracker === undefined || this.#discards !== false) return;
    this.discardAll();
    this.#discards = "until detached";
  }

  /** Ends deliveries on this session in mode `auto`, where the broker would not deliver again what is on its way. */
  async leave(left: () => StepOptions): Promise<void> {
    const session = this.#session;
    if (this.tracker !== undefined || !session?.isOpen || this.#ended) return;
    const asksForReceipt = this.#asksForReceipts;
    this.#session = undefined; // a full queue no longer stops reading: what still comes would be lost
    await sendUnsubscribe(session, this, { headers: {}, durable: undefined, asksForReceipt, left });
  }

  /** Takes a message off the session. */
  deliver(frame: Frame): void {
    const message = frame as Message;
    setOrigin(message, this, this.#epoch, ++this.received);
    if (this.#discards) return void this.#discard(message);
    this.#queue.put(message);
  }

  /** Returns the messages that other consumers are to get: those not taken, and those taken and not settled. */
  get takeUnsettled(): (() => Frame[]) | undefined {
    const { tracker } = this;
    return tracker && (() => {
      this.discardAll();
      const discarded = this.#discarded?.splice(0).filter(({ epoch }) => epoch === this.#epoch);
      return [...tracker.takeUnsettled(), ...discarded ?? []];
    });
  }

  /** Ends because the broker has ended the subscription by itself. */
  cancelled(cause: StompError): void {
    const message = `Cannot receive from ${this.destination}: the broker has cancelled the subscription`;
    this.context.onCancelled(this, new SubscriptionError(message, { cause, frame: cause.frame }));
  }

  #onFill(fill: QueueFill, message: Message | undefined): void {
    if (fill === "free") this.#session?.gate.open(this);
    else this.#session?.gate.close(this, fill === "blocked");
    if (message) this.reportSlow(fill === "blocked");
  }

  /** Emits the status `slow-consumer`. */
  reportSlow(blocked: boolean): void {
    const { id, destination, queued } = this;
    this.context.status.emit({ type: "slow-consumer", subscription: id, destination, queued, blocked });
  }

  /** Takes the next message, for `for await`. */
  next(): Promise<NextResult> {
    // The common case under load: one promise for a message, and nothing else.
    const value = this.#queue.takeNow();
    if (value !== undefined) {
      this.noteTaken(value);
      return Promise.resolve({ done: false, value });
    }
    if (this.#resolveNext !== undefined) {
      // A call before the last one was answered. It resolves as directly as that one, or a later call could overtake it.
      return new Promise((resolve, reject) => {
        const onItem = (item: Message | undefined) => (item && this.noteTaken(item), resolve(toResult(item)));
        this.#queue.wait({ onItem, onError: reject });
      });
    }
    // Keeps only the resolver: with 10,000 idle consumers the garbage collector would otherwise revisit every promise.
    return new Promise((resolve) => {
      this.#resolveNext = resolve;
      this.#queue.wait(this);
    });
  }

  /** Unsubscribes, because a `for await` loop is left. */
  async return(): Promise<NextResult> {
    await this.subscription.unsubscribe();
    return { done: true, value: undefined };
  }

  /** Returns the consumer itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Takes the next message; `nb` as in stompy. */
  take(options: WaitOptions & { nb?: boolean }): Promise<Message | undefined> {
    const timed = options.timeout === undefined ? options : { ...options, clock: this.context.clock };
    return this.#queue.take(timed, `a message from ${this.destination}`, (message) => this.noteTaken(message));
  }

  /** Resolves the pending `next`; without a message, to the end of the iteration. */
  onItem(message: Message | undefined): void {
    const resolve = this.#resolveNext!;
    this.#resolveNext = undefined;
    if (message !== undefined) this.noteTaken(message);
    resolve(toResult(message));
  }

  /** Rejects the pending `next`. */
  onError(error: unknown): void {
    const resolve = this.#resolveNext!;
    this.#resolveNext = undefined;
    resolve(rejection(error));
  }

  /** Notes that the program took a message. */
  noteTaken(message: Message): void {
    if (message.epoch !== this.#epoch) return; // its connection is lost, so it can no longer be settled
    this.tracker?.noteTaken(message);
  }

  /** Sends ACK or NACK for a message. Resolves to whether it was written. */
  acknowledge(command: "ACK" | "NACK", message: Message, options: AcknowledgeOptions): Promise<boolean> {
    try {
      return this.#acknowledge(command, message, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #acknowledge(
    command: "ACK" | "NACK",
    message: Message,
    { transaction: reference, headers: given, ...wait }: AcknowledgeOptions,
  ): Promise<boolean> {
    checkWait(wait);
    const headers = given && toHeaders(given);
    const what = `send ${command}`;
    const { tracker } = this;
    if (tracker === undefined) {
      throw new AcknowledgeError(`Cannot ${what}: the subscription to ${this.destination} is in mode auto`);
    }
    const before = settledBy(message);
    if (before !== undefined) throw new AcknowledgeError(`Cannot ${what}: it was sent ${before} already`);
    const transaction = reference === undefined ? undefined : this.context.transactions.find(reference, what);
    const session = transaction ? sessionOf(transaction, what) : this.#session;
    if (session === undefined || !session.isOpen || message.epoch !== session.epoch) {
      if (transaction) throw new StaleMessageError(`Cannot ${what}: the message came over a connection that is gone`);
      tracker.stale++;
      return Promise.resolve(false);
    }
    const reason = tracker.whyNot(message, command, headers);
    if (reason !== undefined) throw new AcknowledgeError(`Cannot ${what}: ${reason}`);
    if (this.#ended) {
      throw new AcknowledgeError(`Cannot ${what}: the subscription to ${this.destination} has ended`, this.#ended);
    }
    for (const earlier of tracker.earlierThan(message)) write(session, transaction, command, earlier, headers);
    const ready = write(session, transaction, command, message, headers);
    const participant = tracker.settle(message, command, transaction !== undefined);
    if (participant) joinTransaction(transaction!, participant);
    if (command === "NACK" && headers?.["requeue"] !== "false") this.context.refused.note(message);
    if (ready === undefined) return WRITTEN;
    const written = ready.then(() => true, (cause) => {
      // The connection broke before the frame was written. When the broker has not read it, it delivers again.
      if (transaction) throw new StaleMessageError(`Cannot ${what}: the connection of the message is gone`, { cause });
      tracker.stale++;
      return false;
    });
    return within(written, wait, `the connection to accept ${command}`);
  }

  /** Returns how often a message was delivered. */
  attempts(message: Message): number {
    return this.context.refused.attempts(message);
  }

  /** Returns a signal that aborts when the connection of a message is lost. */
  lossSignal({ epoch }: Message): AbortSignal {
    return epoch === this.#epoch ? (this.#lossSignal ??= new AbortController()).signal : AbortSignal.abort();
  }

  /** Resolves when the program has taken all messages of the queue. */
  whenEmpty(): Promise<void> {
    return this.#queue.whenEmpty();
  }

  /** Ends the iteration; what is queued can still be taken. */
  endQueue(error?: StompError): void {
    if (!this.#sharesQueue) this.#queue.end(error);
  }

  /** Keeps messages from the program from now on: those in the queue, and those that still come. */
  discardAll(): void {
    this.#discards = true;
    this.#discardQueued();
  }

  /** Takes no more messages and no acknowledgements: the subscription has ended. */
  end(error: StompError | undefined): void {
    this.#ended ??= error === undefined ? {} : { cause: error };
    this.#discards = true;
    this.endQueue(error);
  }

  /** Stops deliveries from the session. */
  forget(): void {
    this.#session?.subscriptions.forget(this);
  }

  /** Sends UNSUBSCRIBE if there is a connection. The subscription goes on when this throws at once. */
  unsubscribe(options: UnsubscribeOptions): Promise<void> {
    checkWait(options);
    const headers = toHeaders(options.headers);
    if (this.#ended) return DONE;
    const session = this.#session?.isOpen ? this.#session : undefined;
    const { deleteDurable = false } = options;
    const what = `delete the subscription to ${this.destination}`;
    if (deleteDurable && this.#durable === undefined) throw new TypeError(`Cannot ${what}: it is not durable`);
    if (deleteDurable && !session) throw new NotConnectedError(`Cannot ${what}: there is no connection`);
    const durable = deleteDurable ? this.#durable : undefined;
    const left = beginSteps(options, this.context.timeout, this.context.clock);
    const asksForReceipt = this.#asksForReceipts;
    const unsubscribed = session ? sendUnsubscribe(session, this, { headers, durable, asksForReceipt, left }) : DONE;
    this.#ended = {};
    this.context.onUnsubscribed(this);
    return unsubscribed;
  }

  #discardQueued(): void {
    this.#queue.drop((message) => originOf(message) === this && this.#discard(message));
  }

  #discard(message: Message): boolean {
    if (this.tracker !== undefined) (this.#discarded ??= []).push(message); // in mode auto nothing is requeued
    return true;
  }
}

/** Returns the consumer that received a message. */
export function consumerOf(message: Message): Consumer {
  return originOf(message) as Consumer;
}

function write(
  session: Session,
  transaction: Transaction | undefined,
  command: "ACK" | "NACK",
  message: Frame,
  headers: Readonly<Record<string, string>> | undefined,
): Promise<void> | undefined {
  return transaction
    ? acknowledgeIn(transaction, command, message, headers)
    : session.acknowledge(command, message, headers);
}

function toResult(value: Message | undefined): NextResult {
  return value === undefined ? { done: true, value } : { done: false, value };
}
