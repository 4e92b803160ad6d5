/**
 * Messages that no subscription of the client asked for.
 *
 * @module
 */
import { AcknowledgeError, StaleMessageError, StompError } from "../base/errors.ts";
import { checkWait, within } from "../base/timers.ts";
import { toHeaders } from "../codec/encoder.ts";
import type { Session } from "../session/session.ts";
import {
  type AcknowledgeOptions,
  type Message,
  type MessageOrigin,
  setOrigin,
  setSettledBy,
  settledBy,
  type UnclaimedMessageHandler,
} from "../client/message.ts";
import type { StatusHub } from "../client/status.ts";
import { acknowledgeIn, joinTransaction, sessionOf } from "../client/transaction.ts";
import type { Transactions } from "../client/transaction_registry.ts";

/** Hands messages to a handler, and acknowledges them for it. */
export class UnclaimedMessages {
  readonly #handler: UnclaimedMessageHandler;
  readonly #transactions: Transactions;
  readonly #status: StatusHub;
  #count = 0;

  /** Creates the deliverer of one client. */
  constructor(handler: UnclaimedMessageHandler, transactions: Transactions, status: StatusHub) {
    this.#handler = handler;
    this.#transactions = transactions;
    this.#status = status;
  }

  /** Calls the handler. Never throws: what the handler throws becomes a status. */
  deliver(session: Session, message: Message): void {
    setOrigin(message, new UnclaimedOrigin(session, message, this.#transactions), session.epoch, ++this.#count);
    const failed = (cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      this.#status.emit({ type: "error", error: new StompError(`onUnclaimedMessage() failed: ${why}`, { cause }) });
    };
    try {
      const handled = this.#handler(message);
      if (handled !== undefined) Promise.resolve(handled).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

/** Where an unclaimed message came from. */
class UnclaimedOrigin implements MessageOrigin {
  readonly subscription: MessageOrigin["subscription"];
  readonly #session: Session;
  readonly #transactions: Transactions;

  constructor(session: Session, message: Message, transactions: Transactions) {
    this.subscription = { id: message.header("subscription") ?? "", destination: message.destination };
    this.#session = session;
    this.#transactions = transactions;
  }

  attempts(message: Message): number {
    return message.redelivered ? 2 : 1;
  }

  async acknowledge(
    command: "ACK" | "NACK",
    message: Message,
    { transaction: reference, headers: given, ...wait }: AcknowledgeOptions,
  ): Promise<boolean> {
    checkWait(wait);
    const headers = given && toHeaders(given);
    const what = `send ${command}`;
    const before = settledBy(message);
    if (before !== undefined) throw new AcknowledgeError(`Cannot ${what}: it was sent ${before} already`);
    if (message.header("ack") === undefined) {
      throw new AcknowledgeError(`Cannot ${what}: the message has no ack header, so the broker expects none`);
    }
    const transaction = reference === undefined ? undefined : this.#transactions.find(reference, what);
    const session = transaction ? sessionOf(transaction, what) : this.#session;
    if (session !== this.#session || !session.isOpen) {
      if (transaction) throw new StaleMessageError(`Cannot ${what}: the message came over a connection that is gone`);
      return false;
    }
    const ready = transaction
      ? acknowledgeIn(transaction, command, message, headers)
      : session.acknowledge(command, message, headers);
    setSettledBy(message, command);
    if (transaction) {
      joinTransaction(transaction, { onCommit: () => {}, onAbort: () => setSettledBy(message, undefined) });
    }
    const written = Promise.resolve(ready).then(() => true, (cause) => {
      if (transaction) throw new StaleMessageError(`Cannot ${what}: the connection of the message is gone`, { cause });
      return false;
    });
    return await within(written, wait, `the connection to accept ${command}`);
  }
}
