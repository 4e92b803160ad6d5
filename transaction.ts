/**
 * `Transaction`: sends and acknowledgements that take effect together, or not at all.
 *
 * @module
 */
import type { WaitOptions } from "./conversation.ts";
import { TransactionError } from "./errors.ts";
import type { AcknowledgeOptions, Message } from "./message.ts";
import type { Session } from "./session.ts";
import type { SendOptions } from "./stomp_options.ts";

/** What a transaction needs of its client. */
export interface TransactionOwner {
  /** Sends a message. */
  send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<unknown>;
}

/** Options of a send within a transaction: the receipt is that of the commit. */
export type TransactionSendOptions = Omit<SendOptions, "transaction" | "receipt" | "wait">;

/** Options of an acknowledgement within a transaction. */
export type TransactionAcknowledgeOptions = Omit<AcknowledgeOptions, "transaction">;

/** An open transaction. It lives on one connection, and dies with it. */
export class Transaction {
  /** The id. */
  readonly id: string;
  readonly #session: Session;
  readonly #owner: TransactionOwner;
  readonly #onEnd: () => void;
  readonly #undo: (() => void)[] = [];
  #over = false;

  /** Made by `Stomp.begin`. */
  constructor(id: string, session: Session, owner: TransactionOwner, onEnd: () => void) {
    this.id = id;
    this.#session = session;
    this.#owner = owner;
    this.#onEnd = onEnd;
  }

  /** Whether it can still be used. */
  get isOpen(): boolean {
    return !this.#over && this.#session.isOpen;
  }

  /**
   * Sends a message with the commit. Resolves when the connection has room for more; whether the broker takes it is
   * known when `commit` resolves.
   */
  async send(destination: string, body: string | Uint8Array, options: TransactionSendOptions = {}): Promise<void> {
    await this.#owner.send(destination, body, { ...options, transaction: this, receipt: false });
  }

  /** Acknowledges a message with the commit. */
  ack(message: Message, options: TransactionAcknowledgeOptions = {}): Promise<void> {
    return message.ack({ ...options, transaction: this });
  }

  /** Refuses a message with the commit. */
  nack(message: Message, options: TransactionAcknowledgeOptions = {}): Promise<void> {
    return message.nack({ ...options, transaction: this });
  }

  /**
   * Makes it all happen. Resolves when the broker has confirmed.
   *
   * @throws {TransactionError} when it is over, or its connection is gone: then nothing of it happened, unless the
   * connection broke during the commit.
   */
  commit(options: WaitOptions & { headers?: Record<string, string> } = {}): Promise<void> {
    return this.#end("COMMIT", options);
  }

  /** Makes none of it happen: messages acknowledged in it can be acknowledged again. */
  abort(options: WaitOptions & { headers?: Record<string, string> } = {}): Promise<void> {
    return this.#end("ABORT", options);
  }

  /**
   * The connection to use.
   *
   * @internal
   * @throws {TransactionError} when the transaction is over.
   */
  use(what: string): Session {
    if (this.#over) throw new TransactionError(`Cannot ${what} in transaction ${this.id}: it has ended`);
    if (!this.#session.isOpen) {
      throw new TransactionError(`Cannot ${what} in transaction ${this.id}: it died with its connection`);
    }
    return this.#session;
  }

  /**
   * Notes what is to be undone by an abort.
   *
   * @internal
   */
  onAbort(undo: () => void): void {
    this.#undo.push(undo);
  }

  async #end(command: "COMMIT" | "ABORT", options: WaitOptions & { headers?: Record<string, string> }): Promise<void> {
    const { headers, ...wait } = options;
    const session = this.use(command.toLowerCase());
    this.#over = true;
    this.#onEnd();
    try {
      await session.endTransaction(command, this.id, headers, wait);
    } catch (error) {
      if (session.isOpen) throw error;
      throw new TransactionError(
        `Cannot ${command.toLowerCase()} transaction ${this.id}: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    } finally {
      if (command === "ABORT") { for (const undo of this.#undo) undo(); }
    }
  }
}
