/**
 * The subscriptions of a client: made once, and made anew on each connection.
 *
 * @module
 */
import { within } from "./deadline.ts";
import { consumerHeaders, forgetHeaders } from "./dialect.ts";
import {
  AcknowledgeError,
  NotConnectedError,
  StaleMessageError,
  type StompError,
  SubscriptionError,
} from "./errors.ts";
import { Frame } from "./frame.ts";
import type { Inbox } from "./inbox.ts";
import type { SessionKeeper } from "./keeper.ts";
import type { AcknowledgeOptions, Message } from "./message.ts";
import type { BrokerFamily } from "./dialect.ts";
import type { Session } from "./session.ts";
import { readAckMode, type SubscribeOptions } from "./stomp_options.ts";
import { Subscription, type SubscriptionOwner, type UnsubscribeOptions } from "./subscription.ts";
import type { Transaction } from "./transaction.ts";

/** What the subscriptions need of their client. */
export interface SubscriptionsOwner {
  /** Keeps the connection. */
  readonly keeper: SessionKeeper;
  /** Which broker it is, for options. */
  family(session: Session): BrokerFamily;
  /** The open transaction that is meant. */
  transaction(reference: string | { readonly id: string }, what: string): Transaction;
  /** A subscription does not keep up. */
  onSlow(subscription: Subscription): void;
}

/** A subscription, and where it was made last. */
interface Entry {
  readonly subscription: Subscription;
  readonly options: SubscribeOptions;
  /** Made by a conf: its messages go to `receiveFrame`. */
  readonly byConf: boolean;
  session: Session | undefined;
  established: Promise<void>;
}

const DONE: Promise<void> = Promise.resolve();

/** All subscriptions of one client. */
export class Subscriptions implements SubscriptionOwner {
  readonly #owner: SubscriptionsOwner;
  readonly #entries = new Map<string, Entry>();
  #count = 0;

  /** Begins with none. */
  constructor(owner: SubscriptionsOwner) {
    this.#owner = owner;
  }

  /** The destination of the first subscription that a conf has made. */
  get firstByConf(): string | undefined {
    for (const { byConf, subscription } of this.#entries.values()) if (byConf) return subscription.destination;
    return undefined;
  }

  /** The subscription of that id, or the first one of that destination that a conf has made. */
  find(id: string | undefined, destination: string | undefined): Subscription | undefined {
    if (id !== undefined) return this.#entries.get(id)?.subscription;
    for (const { byConf, subscription } of this.#entries.values()) {
      if (byConf && subscription.destination === destination) return subscription;
    }
    return undefined;
  }

  /** All of them. */
  list(): Subscription[] {
    return [...this.#entries.values()].map((entry) => entry.subscription);
  }

  /** Subscribes; with `inbox`, the messages go there. Resolves when a broker has confirmed. */
  async subscribe(destination: string, options: SubscribeOptions, inbox?: Inbox<Message>): Promise<Subscription> {
    if (typeof destination !== "string" || destination === "") {
      throw new TypeError("Cannot subscribe: the destination is missing");
    }
    const what = `subscribe to ${destination}`;
    const { keeper } = this.#owner;
    await keeper.ready(what, options);
    const id = options.id ?? options.durable ?? this.#freeId();
    if (this.#entries.has(id)) throw new SubscriptionError(`Cannot ${what}: the id ${id} is in use`);
    const subscription = new Subscription(this, {
      id,
      destination,
      ack: readAckMode(options.ack),
      items: options.maxQueuedMessages,
      bytes: options.maxQueuedBytes,
      inbox,
    });
    const entry: Entry = { subscription, options, byConf: inbox !== undefined, session: undefined, established: DONE };
    this.#entries.set(id, entry);
    try {
      for (;;) {
        const session = await keeper.ready(what, options);
        try {
          await within(this.#establish(entry, session), options, `the receipt of SUBSCRIBE to ${destination}`);
          return subscription;
        } catch (error) {
          // Lost with its connection: the next one makes it anew.
          if (session.isOpen || keeper.closed || options.signal?.aborted) throw error;
        }
      }
    } catch (error) {
      this.#entries.delete(id);
      entry.session?.forget(subscription);
      subscription.end(undefined);
      throw error;
    }
  }

  /** Makes all of them on a new connection. */
  open(session: Session): void {
    for (const entry of this.#entries.values()) {
      this.#establish(entry, session).catch((error) => {
        // Refused: there is nothing to wait for any more. Lost again: the next connection is another chance.
        if (!session.isOpen || this.#entries.get(entry.subscription.id) !== entry) return;
        this.#entries.delete(entry.subscription.id);
        session.forget(entry.subscription);
        entry.subscription.end(error);
      });
    }
  }

  /** The connection is gone. */
  lost(): void {
    for (const { subscription } of this.#entries.values()) subscription.leave();
  }

  /** The client is closed. */
  end(reason: StompError | undefined): void {
    for (const { subscription } of this.#entries.values()) subscription.end(reason);
    this.#entries.clear();
  }

  /** Sends ACK or NACK for a message of one of the subscriptions. */
  acknowledge(
    subscription: Subscription,
    command: "ACK" | "NACK",
    message: Message,
    options: AcknowledgeOptions,
  ): Promise<void> {
    try {
      return this.#acknowledge(subscription, command, message, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Sends UNSUBSCRIBE. */
  async unsubscribe(subscription: Subscription, options: UnsubscribeOptions): Promise<void> {
    const entry = this.#entries.get(subscription.id);
    if (entry?.subscription !== subscription) return;
    this.#entries.delete(subscription.id);
    const { session } = entry;
    if (!session?.isOpen) return;
    const { forget, headers, ...wait } = options;
    const { id, destination } = subscription;
    const named = session.version === "1.0" ? { id, destination } : { id };
    const { durable } = entry.options;
    const family = this.#owner.family(session);
    const deleted = forget && durable !== undefined ? forgetHeaders(durable, family) : {};
    try {
      // RabbitMQ deletes what is unsubscribed in so many words; ActiveMQ only what nobody consumes any more.
      const first = family === "rabbitmq" ? deleted : {};
      await session.unsubscribe(subscription, unsubscribeFrame({ ...named, ...first, ...headers }), wait);
      if (family !== "rabbitmq" && Object.keys(deleted).length > 0) {
        await session.request(unsubscribeFrame({ ...named, ...deleted, ...headers }), wait);
      }
    } catch (error) {
      if (session.isOpen) throw error; // else it is over in any case
    }
  }

  /** Stops reading while a queue is full. */
  onFull(subscription: Subscription, full: boolean): void {
    const { session } = this.#owner.keeper;
    if (full) session?.hold(subscription);
    else session?.release(subscription);
    if (full) this.#owner.onSlow(subscription);
  }

  #acknowledge(
    subscription: Subscription,
    command: "ACK" | "NACK",
    message: Message,
    { transaction: reference, headers, signal }: AcknowledgeOptions,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (subscription.ackMode === "auto") {
      throw new AcknowledgeError(
        `Cannot send ${command}: the subscription to ${subscription.destination} is in mode auto`,
      );
    }
    const settled = subscription.settledAlready(message);
    if (settled !== undefined) throw new AcknowledgeError(`Cannot send ${command}: ${settled}`);
    const { keeper } = this.#owner;
    const transaction = reference === undefined ? undefined : this.#owner.transaction(reference, `send ${command}`);
    if (keeper.closed) throw new NotConnectedError(`Cannot send ${command}: the client is closed`);
    const session = transaction ? transaction.use(`send ${command}`) : keeper.session;
    if (session === undefined || message.epoch !== session.epoch) {
      throw new StaleMessageError(`Cannot send ${command}: the message came over a connection that is gone`);
    }
    if (this.#entries.get(subscription.id)?.subscription !== subscription) {
      throw new AcknowledgeError(`Cannot send ${command}: the subscription to ${subscription.destination} has ended`);
    }
    const all = transaction === undefined ? headers : { transaction: transaction.id, ...headers };
    const room = session.acknowledge(command, message, all);
    const undo = subscription.settle(message, command);
    transaction?.onAbort(undo);
    return room ?? DONE;
  }

  /** Makes a subscription on a connection, once. */
  #establish(entry: Entry, session: Session): Promise<void> {
    if (entry.session !== session) {
      entry.session = session;
      entry.established = this.#request(entry, session);
      entry.established.catch(() => {}); // whoever waits is told
    }
    return entry.established;
  }

  async #request({ subscription, options }: Entry, session: Session): Promise<void> {
    const { id, destination, ackMode } = subscription;
    subscription.enter(session.epoch);
    const frame = new Frame().buildFrame({
      command: "SUBSCRIBE",
      headers: {
        id,
        destination,
        ack: ackMode,
        ...consumerHeaders(options, this.#owner.family(session)),
        ...options.headers,
      },
    });
    if (subscription.full) session.hold(subscription);
    await session.subscribe(subscription, frame);
  }

  #freeId(): string {
    let id: string;
    do id = `sub-${++this.#count}`; while (this.#entries.has(id));
    return id;
  }
}

function unsubscribeFrame(headers: Record<string, string>): Frame {
  return new Frame().buildFrame({ command: "UNSUBSCRIBE", headers });
}
