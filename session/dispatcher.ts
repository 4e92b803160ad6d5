/**
 * Where the messages of one connection go.
 *
 * @module
 */
import { type StompError, SubscriptionError } from "../base/errors.ts";
import { type Frame, subscriptionOf } from "../codec/frame.ts";
import type { Version } from "../codec/protocol.ts";
import { readNumber } from "../base/sequence_map.ts";

/** Where the messages of a subscription go. */
export interface MessageSink {
  /** The id of the SUBSCRIBE. */
  readonly id: string;
  /** The destination, for brokers that send no `subscription` header. */
  readonly destination: string;
  /** Takes a message. Called while a chunk is decoded; must not throw. */
  deliver(message: Frame): void;
  /**
   * Takes the messages that were delivered and are not settled, each once. Absent where none has to be: in mode auto, for
   * example.
   */
  readonly takeUnsettled?: (() => readonly Frame[]) | undefined;
  /** The broker has ended the subscription by itself. */
  cancelled?(error: StompError): void;
}

/** How the ids begin that a client makes itself; a number without leading zeros follows. */
export const OWN_ID = "sub-";

/** Numbers from here on are looked up like any other id, so that nobody is made to reserve places for them. */
const MAX_NUMBER = 1 << 16;

/** The targets of one connection, by id. */
export class Dispatcher {
  readonly #targets = new Map<string, MessageSink>();
  // The same once more for the ids that the client has made, by number: with ten thousand of them each message is for
  // another one, and this way touches less memory.
  readonly #numbered: (MessageSink | undefined)[] = [];
  #last: MessageSink | undefined; // the one that got the last message: mostly it gets the next one, too

  /** Delivers to a target from now on. Fails when its id is in use. */
  add(target: MessageSink): void {
    const { id } = target;
    if (this.#targets.has(id)) {
      throw new SubscriptionError(`Cannot subscribe to ${target.destination}: the id ${id} is in use`);
    }
    this.#targets.set(id, target);
    const number = numberOf(id);
    if (number < 0) return;
    while (this.#numbered.length <= number) this.#numbered.push(undefined);
    this.#numbered[number] = target;
  }

  /** The target of that id. */
  get(id: string): MessageSink | undefined {
    const number = numberOf(id);
    return number >= 0 ? this.#numbered[number] : this.#targets.get(id);
  }

  /** Delivers nothing more to a target. */
  remove(target: MessageSink): void {
    if (this.#targets.get(target.id) === target) {
      this.#targets.delete(target.id);
      const number = numberOf(target.id);
      if (number >= 0) this.#numbered[number] = undefined;
    }
    if (this.#last === target) this.#last = undefined;
  }

  /** Delivers nothing more to any. */
  clear(): void {
    this.#targets.clear();
    this.#numbered.length = 0;
    this.#last = undefined;
  }

  /** Hands over a message. One for nobody is dropped: it was under way while its subscription ended. */
  deliver(message: Frame): void {
    const id = subscriptionOf(message);
    if (this.#last === undefined || this.#last.id !== id) this.#last = this.#find(id, message);
    this.#last?.deliver(message);
  }

  /** The broker delivers nothing more to the target of that id. */
  cancel(id: string, error: StompError): void {
    const target = this.get(id);
    if (target === undefined) return;
    this.remove(target);
    target.cancelled?.(error);
  }

  #find(id: string | undefined, message: Frame): MessageSink | undefined {
    return id === undefined ? this.#byDestination(message.header("destination")) : this.get(id);
  }

  /** 1.0 brokers, and RabbitMQ after a SUBSCRIBE without id, send no `subscription`. */
  #byDestination(destination: string | undefined): MessageSink | undefined {
    for (const target of this.#targets.values()) if (target.destination === destination) return target;
    return undefined;
  }
}

/** The headers by which UNSUBSCRIBE names a subscription: in 1.0 that is the destination. */
export function unsubscribeHeaders(
  { id, destination }: Pick<MessageSink, "id" | "destination">,
  version: Version,
): Record<string, string> {
  return version === "1.0" ? { id, destination } : { id };
}

/** The number in an id that the client has made; -1 of any other id. */
function numberOf(id: string): number {
  if (!id.startsWith(OWN_ID)) return -1;
  const number = readNumber(id, OWN_ID.length);
  return number < MAX_NUMBER ? number : -1;
}
