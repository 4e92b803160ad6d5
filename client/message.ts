/**
 * `Message`: a MESSAGE frame in the hands of a consumer.
 *
 * @module
 */
import type { WaitOptions } from "../base/timers.ts";
import { AcknowledgeError } from "../base/errors.ts";
import type { FrameHeadersInit } from "../codec/encoder.ts";
import { Frame, type FrameSocket } from "../codec/frame.ts";

/** How a message is acknowledged. */
export interface AcknowledgeOptions extends WaitOptions {
  /** The transaction that this is part of: its id, or what `begin` gave. It takes effect with the commit. */
  transaction?: string | { readonly id: string } | undefined;
  /** Further headers, for example `{ requeue: "false" }` for a NACK on RabbitMQ. */
  headers?: FrameHeadersInit | undefined;
}

/** What a message needs of the subscription that it came by. */
export interface Acknowledger {
  /** The id of the subscription. */
  readonly id: string;
  /** Sends ACK or NACK. Resolves to whether it was written. */
  acknowledge(command: "ACK" | "NACK", message: Message, options: AcknowledgeOptions): Promise<boolean>;
  /** How often a message was delivered, this time included. */
  attempts(message: Message): number;
}

/** A message that was received. */
export class Message extends Frame {
  #subscription: Acknowledger | undefined;
  #epoch = 0;
  #number = 0;
  /**
   * What was said of it, if anything.
   *
   * @internal
   */
  settled: "ACK" | "NACK" | undefined;

  /** Creates an empty message, as `Frame` does. That it is written out makes it quicker under Bun. */
  constructor(sock?: FrameSocket) {
    super(sock);
  }

  /**
   * Ties the message to where it came from.
   *
   * @internal
   */
  cameBy(subscription: Acknowledger, epoch: number, number: number): void {
    this.#subscription = subscription;
    this.#epoch = epoch;
    this.#number = number;
  }

  /** The subscription that it came by. */
  get subscription(): Acknowledger | undefined {
    return this.#subscription;
  }

  /** Which connection it came over. A message of an earlier one can no longer be acknowledged. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Its place among the messages of its subscription: 1, 2, 3 and so on. */
  get number(): number {
    return this.#number;
  }

  /** The `message-id` that the broker gave it. */
  get id(): string {
    return this.header("message-id") ?? "";
  }

  /** The destination that it was sent to, as the broker names it. */
  get destination(): string {
    return this.header("destination") ?? "";
  }

  /** Whether the broker says that it was delivered before. `false` does not prove that it was not. */
  get redelivered(): boolean {
    return this.header("redelivered") === "true";
  }

  /**
   * How often it was delivered, this time included: 1 for the first delivery. From the broker's counter where there is
   * one (RabbitMQ's quorum queues). Elsewhere from what this client has refused, so that deliveries to others are not
   * counted; a classic queue of RabbitMQ names no message, so that there messages with equal headers and bodies count
   * as one.
   */
  get attempts(): number {
    return this.#subscription?.attempts(this) ?? 1;
  }

  /**
   * Says that the message was consumed: this one in mode `client-individual`, it and all before it on the subscription
   * in mode `client`. Resolves when the connection has room for more: brokers do not answer ACK.
   *
   * @returns whether it was written. `false` when the connection of the message is gone, or the client is closed: the
   * broker delivers the message again. `subscription.stale` counts these.
   * @throws {AcknowledgeError} in mode `auto`, or when the message was settled before.
   * @throws {StaleMessageError} when its connection is gone, within a transaction; a `TransactionError` when that is over.
   */
  ack(options: AcknowledgeOptions = {}): Promise<boolean> {
    return this.#acknowledge("ACK", options);
  }

  /**
   * Says that the message was not consumed. What the broker does with it then differs: RabbitMQ delivers it again at
   * once, ActiveMQ moves a persistent one to its dead letter queue and drops others.
   *
   * @returns as {@linkcode ack}.
   * @throws as {@linkcode ack}, and `AcknowledgeError` on STOMP 1.0, which has no NACK.
   */
  nack(options: AcknowledgeOptions = {}): Promise<boolean> {
    return this.#acknowledge("NACK", options);
  }

  #acknowledge(command: "ACK" | "NACK", options: AcknowledgeOptions): Promise<boolean> {
    if (this.#subscription === undefined) {
      return Promise.reject(new AcknowledgeError(`Cannot send ${command}: the message came by no subscription`));
    }
    return this.#subscription.acknowledge(command, this, options);
  }
}

/** The message that a frame is. Fails when no subscription of a client has received it. */
export function receivedMessage(frame: Frame, command: string): Message {
  if (frame instanceof Message) return frame;
  throw new AcknowledgeError(`Cannot send ${command}: the frame was not received by a subscription of a client`);
}
