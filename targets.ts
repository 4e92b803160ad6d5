/**
 * Where the messages of one connection go.
 *
 * @module
 */
import { type StompError, SubscriptionError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import type { Version } from "./headers.ts";

/** Where the messages of a subscription go. */
export interface MessageTarget {
  /** The id of the SUBSCRIBE. */
  readonly id: string;
  /** The destination, for brokers that send no `subscription` header. */
  readonly destination: string;
  /** Takes a message. Called while a chunk is decoded; must not throw. */
  deliver(message: Frame): void;
  /** The broker has ended the subscription by itself. */
  cancelled?(error: StompError): void;
}

/** The targets of one connection, by id. */
export class Targets {
  readonly #targets = new Map<string, MessageTarget>();
  #last: MessageTarget | undefined; // the one that got the last message: mostly it gets the next one, too

  /** Delivers to a target from now on. Fails when its id is in use. */
  add(target: MessageTarget): void {
    if (this.#targets.has(target.id)) {
      throw new SubscriptionError(`Cannot subscribe to ${target.destination}: the id ${target.id} is in use`);
    }
    this.#targets.set(target.id, target);
  }

  /** The target of that id. */
  get(id: string): MessageTarget | undefined {
    return this.#targets.get(id);
  }

  /** Delivers nothing more to a target. */
  remove(target: MessageTarget): void {
    if (this.#targets.get(target.id) === target) this.#targets.delete(target.id);
    if (this.#last === target) this.#last = undefined;
  }

  /** Delivers nothing more to any. */
  clear(): void {
    this.#targets.clear();
    this.#last = undefined;
  }

  /** Hands over a message. One for nobody is dropped: it was under way while its subscription ended. */
  deliver(message: Frame): void {
    const id = message.subscriptionId;
    if (this.#last === undefined || this.#last.id !== id) this.#last = this.#find(id, message);
    this.#last?.deliver(message);
  }

  /** The broker delivers nothing more to the target of that id. */
  cancel(id: string, error: StompError): void {
    const target = this.#targets.get(id);
    if (target === undefined) return;
    this.remove(target);
    target.cancelled?.(error);
  }

  #find(id: string | undefined, message: Frame): MessageTarget | undefined {
    return id === undefined ? this.#byDestination(message.header("destination")) : this.#targets.get(id);
  }

  /** 1.0 brokers, and RabbitMQ after a SUBSCRIBE without id, send no `subscription`. */
  #byDestination(destination: string | undefined): MessageTarget | undefined {
    for (const target of this.#targets.values()) if (target.destination === destination) return target;
    return undefined;
  }
}

/** The headers by which UNSUBSCRIBE names a subscription: in 1.0 that is the destination. */
export function unsubscribeHeaders({ id, destination }: MessageTarget, version: Version): Record<string, string> {
  return version === "1.0" ? { id, destination } : { id };
}
