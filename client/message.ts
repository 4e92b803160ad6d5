/**
 * `Message`: a MESSAGE frame that a subscription received.
 *
 * @module
 */
import type { WaitOptions } from "../base/timers.ts";
import { AcknowledgeError } from "../base/errors.ts";
import type { FrameHeadersInit } from "../codec/encoder.ts";
import { Frame, type FrameSocket } from "../codec/frame.ts";
import { offsetOf } from "../dialects/stream.ts";

/** Options of `message.ack()` and `message.nack()`. */
export interface AcknowledgeOptions extends WaitOptions {
  /**
   * The transaction that the acknowledgement is part of: its id, or the `Transaction` itself. It takes effect with the
   * commit.
   *
   * @default {undefined}
   */
  transaction?: string | { readonly id: string } | undefined;
  /**
   * Additional headers of the ACK or NACK, for example `{ requeue: "false" }` for a NACK on RabbitMQ.
   *
   * @default {{}}
   */
  headers?: FrameHeadersInit | undefined;
}

/** The subscription that received a message. */
export interface MessageSubscription {
  /** The id of the SUBSCRIBE. */
  readonly id: string;
  /** The destination of the SUBSCRIBE. */
  readonly destination: string;
}

/** What received a message, and acknowledges it. */
export interface MessageOrigin {
  /** The subscription that the program sees. */
  readonly subscription: MessageSubscription;
  /** Sends ACK or NACK. Resolves to whether it was written. */
  acknowledge(command: "ACK" | "NACK", message: Message, options: AcknowledgeOptions): Promise<boolean>;
  /** Returns how often a message was delivered, this time included. */
  attempts(message: Message): number;
}

/** Handles a message that no subscription asked for. */
export type UnclaimedMessageHandler = (message: Message) => void | Promise<void>;

/** Records where a message comes from: its place among the messages of `origin`, and the epoch of the session. */
export let setOrigin: (message: Message, origin: MessageOrigin, epoch: number, number: number) => void;

/** Returns what received a message; `undefined` when no subscription did. */
export let originOf: (message: Message) => MessageOrigin | undefined;

/** Returns what was sent for a message, if anything was. */
export let settledBy: (message: Message) => "ACK" | "NACK" | undefined;

/** Records what was sent for a message; `undefined` when it can be acknowledged again. */
export let setSettledBy: (message: Message, command: "ACK" | "NACK" | undefined) => void;

/** A received message. */
export class Message extends Frame {
  #origin: MessageOrigin | undefined;
  #epoch = 0;
  #number = 0;
  #settledBy: "ACK" | "NACK" | undefined;

  static {
    setOrigin = (message, origin, epoch, number) => {
      message.#origin = origin;
      message.#epoch = epoch;
      message.#number = number;
    };
    originOf = (message) => message.#origin;
    settledBy = (message) => message.#settledBy;
    setSettledBy = (message, command) => void (message.#settledBy = command);
  }

  /** Creates an empty message, as `Frame` does. Writing the constructor out makes it quicker under Bun. */
  constructor(sock?: FrameSocket) {
    super(sock);
  }

  /** The subscription that received the message; `undefined` for a reply, which comes without one. */
  get subscription(): MessageSubscription | undefined {
    return this.#origin?.subscription;
  }

  /** Which connection the message came over. A message of an earlier connection can no longer be acknowledged. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The position among the messages of the subscription: 1, 2, 3 and so on. */
  get number(): number {
    return this.#number;
  }

  /** The broker's `message-id`. */
  get id(): string {
    return this.header("message-id") ?? "";
  }

  /** The destination that the message was sent to, in the broker's spelling. */
  get destination(): string {
    return this.header("destination") ?? "";
  }

  /**
   * The place of the message in the stream that it came from, from 0; `undefined` when it did not come from a stream. NaN
   * when it is beyond the whole numbers that JavaScript holds exactly.
   */
  get offset(): number | undefined {
    return offsetOf(this);
  }

  /** Whether the broker says that it delivered the message before. `false` does not prove that it did not. */
  get redelivered(): boolean {
    return this.header("redelivered") === "true";
  }

  /**
   * How often the message was delivered, this time included: 1 for the first delivery.
   *
   * The broker's counter says it where there is one (RabbitMQ's quorum queues). Elsewhere the client counts what it
   * refused itself, so deliveries to other clients are missing. A classic queue of RabbitMQ gives messages no lasting id,
   * so messages with equal headers and bodies share a count there.
   */
  get attempts(): number {
    return this.#origin?.attempts(this) ?? 1;
  }

  /**
   * Acknowledges the message: only this one in mode `client-individual`, this one and all before it on the subscription
   * in mode `client`. Brokers do not answer ACK, so the promise resolves as soon as the connection accepts more.
   *
   * @returns whether the ACK was written. `false` when the connection of the message is lost or the client is closed:
   * the broker then delivers the message again. `subscription.stale` counts these.
   * @throws {AcknowledgeError} in mode `auto`, when the message was acknowledged before, or when its subscription ended;
   * if by an error, that is the `cause`.
   * @throws {StaleMessageError} in a transaction, when the connection of the message is lost.
   * @throws {TransactionError} when the transaction ended, or is unknown.
   * @throws {TimeoutError} when the connection accepts nothing more within `timeout`; the ACK is still sent.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "an order");
   * const orders = await stomp.subscribe("/queue/orders", { ack: "client-individual" });
   * const message = await orders.take();
   * const isWritten = await message?.ack();
   * console.log(isWritten); // true
   * ```
   */
  ack(options: AcknowledgeOptions = {}): Promise<boolean> {
    return this.#acknowledge("ACK", options);
  }

  /**
   * Refuses the message. What follows depends on the broker: RabbitMQ delivers the message again at once; ActiveMQ moves
   * a persistent one to its dead letter queue and drops others.
   *
   * @returns whether the NACK was written, as {@linkcode ack} does.
   * @throws {AcknowledgeError} as {@linkcode ack}, on STOMP 1.0, which has no NACK, and on Artemis, where NACK drops the
   * message, unless the header `requeue` is `false`.
   * @throws {StaleMessageError} as {@linkcode ack}.
   * @throws {TransactionError} as {@linkcode ack}.
   * @throws {TimeoutError} as {@linkcode ack}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "no order");
   * const orders = await stomp.subscribe("/queue/orders", { ack: "client-individual" });
   * const message = await orders.take();
   * await message?.nack({ headers: { requeue: "false" } }); // RabbitMQ drops or dead-letters it
   * ```
   */
  nack(options: AcknowledgeOptions = {}): Promise<boolean> {
    return this.#acknowledge("NACK", options);
  }

  #acknowledge(command: "ACK" | "NACK", options: AcknowledgeOptions): Promise<boolean> {
    if (this.#origin === undefined) {
      return Promise.reject(new AcknowledgeError(`Cannot send ${command}: no subscription received the message`));
    }
    return this.#origin.acknowledge(command, this, options);
  }
}

/**
 * Returns a received frame as a `Message`.
 *
 * @throws {AcknowledgeError} when no subscription of a client received it.
 */
export function receivedMessage(frame: Frame, command: string): Message {
  if (frame instanceof Message) return frame;
  throw new AcknowledgeError(`Cannot send ${command}: the frame was not received by a subscription of a client`);
}
