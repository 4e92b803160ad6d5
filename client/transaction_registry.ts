/**
 * The open transactions of a client.
 *
 * @module
 */
import { checkType } from "../base/checks.ts";
import { beginSteps, type WaitOptions, within } from "../base/timers.ts";
import { TransactionError } from "../base/errors.ts";
import { isLoss } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";
import { type Conf, readConf, type SendOptions } from "./options.ts";
import type { Reconnector } from "./reconnector.ts";
import type { Sender } from "./sender.ts";
import { sendIn, Transaction } from "./transaction.ts";

/** Begins transactions, and finds the open ones by id. */
export class Transactions {
  readonly #reconnector: Reconnector;
  readonly #sender: Sender;
  readonly #timeout: number;
  readonly #open = new Map<string, Transaction>();
  #beginning = 0; // whose BEGIN is on its way
  #count = 0;
  #onIdle: (() => void)[] = [];

  /**
   * Creates a registry without transactions.
   *
   * @param timeout milliseconds that a call may take by default.
   */
  constructor(reconnector: Reconnector, sender: Sender, timeout: number) {
    this.#reconnector = reconnector;
    this.#sender = sender;
    this.#timeout = timeout;
  }

  /** Begins a transaction, with the id that the conf gives as `transaction` or a new one. */
  async begin(conf: Conf): Promise<Transaction> {
    const { headers: { transaction: id, ...headers }, wait } = readConf(conf);
    return await this.#begin(id, headers, wait);
  }

  /**
   * Returns the open transaction that `reference` means: its id, or the transaction itself.
   *
   * @throws {TransactionError} when there is none.
   * @throws {NotConnectedError} when the client is closed.
   */
  find(reference: string | { readonly id: string } | undefined, what: string): Transaction {
    if (reference instanceof Transaction && !this.#reconnector.closed) return reference;
    const id = typeof reference === "string" ? reference : reference?.id;
    const transaction = id === undefined ? undefined : this.#open.get(id);
    if (transaction !== undefined) return transaction;
    this.#reconnector.check(what);
    throw new TransactionError(`Cannot ${what}: there is no open transaction ${id ?? "in the conf"}`);
  }

  /** Sends a message in the transaction that its options name. */
  async send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<undefined> {
    this.#reconnector.check("send to", destination);
    return await sendIn(this.find(options.transaction, "send"), destination, body, options);
  }

  /** Runs `work` in a transaction: committed when it returns, aborted when it throws. */
  async run<T>(work: (tx: Transaction) => T | Promise<T>, options: WaitOptions): Promise<T> {
    checkType("run transaction", "work", work ?? null, "function");
    // A timeout covers all of it; without one the broker's answers have the client's.
    const { clock } = this.#reconnector;
    const left = options.timeout === undefined ? () => options : beginSteps(options, Infinity, clock);
    const tx = await this.#begin(undefined, {}, left());
    try {
      const result = await within((async () => await work(tx))(), left(), "the work of the transaction");
      if (!tx.ended) await tx.commit(left());
      return result;
    } catch (error) {
      // The first failure is the one that the caller has to see, and a caller that gave up does not wait.
      if (tx.isOpen) await within(tx.abort(), left(), "the receipt of ABORT").catch(() => {});
      throw error;
    }
  }

  /** Forgets all transactions: their connection is lost. */
  clear(): void {
    this.#open.clear();
    this.#checkIdle();
  }

  /** Resolves when no transaction is open, and none is just beginning. */
  whenIdle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  get #isIdle(): boolean {
    return this.#open.size === 0 && this.#beginning === 0;
  }

  #checkIdle(): void {
    if (this.#onIdle.length === 0 || !this.#isIdle) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  async #begin(given: string | undefined, headers: Record<string, string>, wait: WaitOptions): Promise<Transaction> {
    const left = beginSteps(wait, this.#timeout, this.#reconnector.clock);
    const id = given ?? this.#freeId();
    for (;;) {
      const session = await this.#reconnector.ready("begin transaction", left());
      const transaction = await this.#beginOn(session, id, headers, left());
      if (transaction !== undefined) return transaction;
    }
  }

  readonly #onEnd = (transaction: Transaction): void => {
    if (this.#open.get(transaction.id) === transaction) this.#open.delete(transaction.id);
    this.#checkIdle();
  };

  /** Sends BEGIN. Resolves to `undefined` when the connection breaks meanwhile: the next one may take it. */
  async #beginOn(
    session: Session,
    id: string,
    headers: Record<string, string>,
    wait: WaitOptions,
  ): Promise<Transaction | undefined> {
    this.#beginning++;
    try {
      await session.transactions.begin(id, headers, wait);
      const transaction = new Transaction(id, session, this.#reconnector, this.#sender, this.#timeout, this.#onEnd);
      if (session.isOpen) this.#open.set(id, transaction);
      return transaction;
    } catch (error) {
      // A BEGIN that the broker refuses is refused for certain once no other frame is open.
      if (!isLoss(error, session)) throw error;
      return undefined;
    } finally {
      this.#beginning--;
      this.#checkIdle();
    }
  }

  #freeId(): string {
    let id: string;
    do id = `tx-${++this.#count}`; while (this.#open.has(id));
    return id;
  }
}
