/**
 * `Transaction`: sends and acknowledgements that take effect together, or not at all.
 *
 * @module
 */
import { beginSteps, type WaitOptions, within } from "../base/deadline.ts";
import { BrokerErrorResponse, ConnectionError, TransactionError } from "../base/errors.ts";
import type { AcknowledgeOptions, Message } from "./message.ts";
import type { Session } from "../session/session.ts";
import { type Conf, readConf, type SendOptions } from "./stomp_options.ts";

/** What transactions need of their client. */
export interface TransactionOwner {
  /** Milliseconds that a call takes at most, where it says nothing else. */
  readonly timeout: number;
  /** Keeps the connection. */
  readonly keeper: {
    /** The open session, or the next one. */
    ready(what: string, wait: WaitOptions): Promise<Session>;
    /** Fails unless there is a session, or one is being opened. */
    check(what: string): void;
  };
  /** Sends a message. */
  send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<unknown>;
}

/** What is to be told how a transaction ends. */
export interface Participant {
  /** It was committed. */
  keep(): void;
  /** It was not. */
  undo(): void;
}

/** Options of a send within a transaction: the receipt is that of the commit. */
export type TransactionSendOptions = Omit<SendOptions, "transaction" | "receipt" | "wait">;

/** Options of an acknowledgement within a transaction. */
export type TransactionAcknowledgeOptions = Omit<AcknowledgeOptions, "transaction">;

/** How a transaction is ended. */
export interface TransactionEndOptions extends WaitOptions {
  /** Further headers of COMMIT or ABORT. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** An open transaction. It lives on one connection, and dies with it. */
export class Transaction {
  /** The id. */
  readonly id: string;
  readonly #session: Session;
  readonly #owner: TransactionOwner;
  readonly #onEnd: () => void;
  readonly #participants: Participant[] = [];
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

  /** Whether it was committed or aborted; how that went is another question. */
  get ended(): boolean {
    return this.#over;
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
  commit(options: TransactionEndOptions = {}): Promise<void> {
    return this.#end("COMMIT", options);
  }

  /** Makes none of it happen: messages acknowledged in it can be acknowledged again. */
  abort(options: TransactionEndOptions = {}): Promise<void> {
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
   * Notes who is to be told how it ends.
   *
   * @internal
   */
  onEnd(participant: Participant): void {
    this.#participants.push(participant);
  }

  async #end(command: "COMMIT" | "ABORT", { headers, ...wait }: TransactionEndOptions): Promise<void> {
    const what = command.toLowerCase();
    const session = this.use(what);
    const answered = session.endTransaction(command, this.id, headers, wait); // may throw: then it is open still
    this.#over = true;
    this.#onEnd();
    // Where there is no answer in time the broker may have done it, so nothing is said a second time.
    let done = command === "COMMIT";
    try {
      await answered;
    } catch (error) {
      if (error instanceof BrokerErrorResponse) done = false;
      if (!(error instanceof ConnectionError)) throw error;
      throw new TransactionError(`Cannot ${what} transaction ${this.id}: ${error.message}`, { cause: error });
    } finally {
      for (const participant of this.#participants) {
        if (done) participant.keep();
        else participant.undo();
      }
    }
  }
}

/** The open transactions of a client. */
export class Transactions {
  readonly #owner: TransactionOwner;
  readonly #open = new Map<string, Transaction>();
  #count = 0;

  /** Begins with none. */
  constructor(owner: TransactionOwner) {
    this.#owner = owner;
  }

  /** Begins one, with the id that the conf gives as `transaction` or a new one. */
  async begin(conf: Conf): Promise<Transaction> {
    const { headers: { transaction: id, ...headers }, wait } = readConf(conf);
    return await this.#begin(id, headers, wait);
  }

  /** The transaction that is meant: by its id, or itself. */
  find(reference: string | { readonly id: string } | undefined, what: string): Transaction {
    if (reference instanceof Transaction) return reference;
    const id = typeof reference === "string" ? reference : reference?.id;
    const transaction = id === undefined ? undefined : this.#open.get(id);
    if (transaction !== undefined) return transaction;
    this.#owner.keeper.check(what);
    throw new TransactionError(`Cannot ${what}: there is no open transaction ${id ?? "in the conf"}`);
  }

  /** Runs `work` in one: committed when it returns, aborted when it throws. */
  async run<T>(work: (tx: Transaction) => T | Promise<T>, options: WaitOptions): Promise<T> {
    // The time is for all of it, if one is given; else the broker's answers have the usual one.
    const left = options.timeout === undefined ? () => options : beginSteps(options);
    const tx = await this.#begin(undefined, {}, left());
    try {
      const result = await within((async () => await work(tx))(), left(), "the work of the transaction");
      if (!tx.ended) await tx.commit(left());
      return result;
    } catch (error) {
      // What went wrong first is what the caller has to know, and a caller who has given up does not wait.
      if (tx.isOpen) await within(tx.abort(), left(), "the receipt of ABORT").catch(() => {});
      throw error;
    }
  }

  /** The connection is gone, and all of them with it. */
  clear(): void {
    this.#open.clear();
  }

  async #begin(given: string | undefined, headers: Record<string, string>, wait: WaitOptions): Promise<Transaction> {
    const left = beginSteps(wait, this.#owner.timeout);
    const session = await this.#owner.keeper.ready("begin transaction", left());
    const id = given ?? this.#freeId();
    await session.begin(id, headers, left());
    const transaction = new Transaction(id, session, this.#owner, () => {
      if (this.#open.get(id) === transaction) this.#open.delete(id);
    });
    if (session.isOpen) this.#open.set(id, transaction);
    return transaction;
  }

  #freeId(): string {
    let id: string;
    do id = `tx-${++this.#count}`; while (this.#open.has(id));
    return id;
  }
}
