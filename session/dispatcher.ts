/**
 * Routes the messages of one connection to the subscriptions.
 *
 * @module
 */
import { type StompError, SubscriptionError } from "../base/errors.ts";
import { type Frame, subscriptionOf } from "../codec/frame.ts";
import type { Version } from "../codec/protocol.ts";
import { readNumber } from "../base/sequence_map.ts";

/** Receives the messages of a subscription. */
export interface MessageSink {
  /** The id of the SUBSCRIBE. */
  readonly id: string;
  /** The destination, for brokers that send no `subscription` header. */
  readonly destination: string;
  /** Messages received so far, where the sink counts them. */
  readonly received?: number;
  /** Receives a message. Called while a chunk is decoded; must not throw. */
  deliver(message: Frame): void;
  /**
   * Returns the messages that were delivered and are not acknowledged, each once. Absent where there are none to
   * acknowledge, for example in mode `auto`.
   */
  readonly takeUnsettled?: (() => readonly Frame[]) | undefined;
  /** Called when the broker ends the subscription. */
  cancelled?(error: StompError): void;
}

/** Prefix of the ids that a client makes. A number without leading zeros follows. */
export const OWN_ID = "sub-";

/** Larger numbers are looked up like any other id, so that a peer cannot make the array grow without bound. */
const MAX_INDEXED_NUMBER = 1 << 16;

/** The sinks of one connection, by subscription id. */
export class Dispatcher {
  readonly #sinks = new Map<string, MessageSink>();
  // The same sinks by the number in their id, where a client made it. With ten thousand subscriptions each message is for
  // a different one, and this index touches less memory than the map.
  readonly #indexed: (MessageSink | undefined)[] = [];
  #last: MessageSink | undefined; // most messages are for the sink of the message before
  readonly #onUnclaimed: ((message: Frame) => void) | undefined;

  /** Creates a dispatcher without sinks. `onUnclaimed` gets the messages that no subscription asked for. */
  constructor(onUnclaimed?: (message: Frame) => void) {
    this.#onUnclaimed = onUnclaimed;
  }

  /**
   * Adds a sink.
   *
   * @throws {SubscriptionError} when its id is in use.
   */
  add(sink: MessageSink): void {
    const { id } = sink;
    if (this.#sinks.has(id)) {
      throw new SubscriptionError(`Cannot subscribe to ${sink.destination}: the id ${id} is in use`);
    }
    this.#sinks.set(id, sink);
    const number = numberOf(id);
    if (number < 0) return;
    while (this.#indexed.length <= number) this.#indexed.push(undefined);
    this.#indexed[number] = sink;
  }

  /** Returns the sink with that id. */
  get(id: string): MessageSink | undefined {
    const number = numberOf(id);
    return number >= 0 ? this.#indexed[number] : this.#sinks.get(id);
  }

  /** Removes a sink. */
  remove(sink: MessageSink): void {
    if (this.#sinks.get(sink.id) === sink) {
      this.#sinks.delete(sink.id);
      const number = numberOf(sink.id);
      if (number >= 0) this.#indexed[number] = undefined;
    }
    if (this.#last === sink) this.#last = undefined;
  }

  /** Removes all sinks. */
  clear(): void {
    this.#sinks.clear();
    this.#indexed.length = 0;
    this.#last = undefined;
  }

  /** Delivers a message. Drops it when its subscription has just ended. */
  deliver(message: Frame): void {
    const id = subscriptionOf(message);
    if (this.#last === undefined || this.#last.id !== id) this.#last = this.#find(id, message);
    if (this.#last !== undefined) this.#last.deliver(message);
    else if (this.#onUnclaimed !== undefined && !isOwnId(id)) this.#onUnclaimed(message);
  }

  /** Removes the sink with that id and tells it that the broker ended its subscription. */
  cancel(id: string, error: StompError): void {
    const sink = this.get(id);
    if (sink === undefined) return;
    this.remove(sink);
    sink.cancelled?.(error);
  }

  #find(id: string | undefined, message: Frame): MessageSink | undefined {
    return id === undefined ? this.#findByDestination(message.header("destination")) : this.get(id);
  }

  /** 1.0 brokers, and RabbitMQ after a SUBSCRIBE without id, send no `subscription`. */
  #findByDestination(destination: string | undefined): MessageSink | undefined {
    for (const sink of this.#sinks.values()) if (sink.destination === destination) return sink;
    return undefined;
  }
}

/** Returns the headers by which UNSUBSCRIBE names a subscription: 1.0 names it by its destination. */
export function unsubscribeHeaders(
  { id, destination }: Pick<MessageSink, "id" | "destination">,
  version: Version,
): Record<string, string> {
  return version === "1.0" ? { id, destination } : { id };
}

/** Whether a client made the id for a subscription, which may have ended while the message was in flight. */
function isOwnId(id: string | undefined): boolean {
  return id !== undefined && id.startsWith(OWN_ID) && readNumber(id, OWN_ID.length) >= 0;
}

/** Returns the number in an id that the client made; -1 for any other id. */
function numberOf(id: string): number {
  if (!id.startsWith(OWN_ID)) return -1;
  const number = readNumber(id, OWN_ID.length);
  return number < MAX_INDEXED_NUMBER ? number : -1;
}
