/**
 * The transactions that are open on one connection.
 *
 * @module
 */
import { TransactionError } from "./errors.ts";

/** Keeps the ids of open transactions, so that a mistake is found before it reaches the broker. */
export class OpenTransactions {
  readonly #ids = new Set<string>();

  /** Opens one. */
  open(id: string): void {
    if (this.#ids.has(id)) throw new TransactionError(`Cannot begin transaction ${id}: it is open already`);
    this.#ids.add(id);
  }

  /** Fails unless it is open. */
  check(id: string, what: string): void {
    if (!this.#ids.has(id)) {
      throw new TransactionError(`Cannot send ${what}: transaction ${id} is not open on this connection`);
    }
  }

  /** Closes one. */
  close(id: string): void {
    this.#ids.delete(id);
  }

  /** Closes all: a connection that ends aborts them ("BEGIN" in the 1.2 text). */
  clear(): void {
    this.#ids.clear();
  }
}
