/**
 * The transactions that are open on one connection.
 *
 * @module
 */
import type { WaitOptions } from "../base/timers.ts";
import { TransactionError } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import { checkHas } from "../dialects/lacks.ts";
import type { FrameSender } from "./frame_sender.ts";

type ExtraHeaders = Readonly<Record<string, string>> | undefined;

/** Who began a transaction: the client, or a caller who wrote BEGIN as a raw frame. */
type Origin = "client" | "raw";

/** Knows which transactions are open, so that a mistake is found before it reaches the broker. */
export class OpenTransactions {
  readonly #open = new Map<string, Origin>();
  readonly #sender: FrameSender;

  /** Starts without transactions. */
  constructor(sender: FrameSender) {
    this.#sender = sender;
  }

  /** Whether any transaction is open. */
  get any(): boolean {
    return this.#open.size > 0;
  }

  /** Takes note of a frame that a caller made, if it is a BEGIN, COMMIT or ABORT. */
  note({ command, headers: { transaction = "" } }: Frame): void {
    if (command === "BEGIN") this.#open.set(transaction, this.#open.get(transaction) ?? "raw");
    else if (command === "COMMIT" || command === "ABORT") this.#open.delete(transaction);
  }

  /**
   * Sends BEGIN and waits for its receipt.
   *
   * @throws {TransactionError} when the id is in use.
   */
  async begin(id: string, headers?: ExtraHeaders, wait?: WaitOptions): Promise<void> {
    if (this.#open.get(id) === "client") {
      throw new TransactionError(`Cannot begin transaction ${id}: it is open already`);
    }
    checkHas("transactions", "transaction", this.#sender.dialect);
    this.#open.set(id, "client");
    try {
      await this.#sender.request(frameFor("BEGIN", id, headers), wait, () => frameFor("ABORT", id));
    } catch (error) {
      this.#open.delete(id);
      throw error;
    }
  }

  /**
   * Sends COMMIT or ABORT and waits for the receipt. Whatever the broker answers, the transaction is closed.
   *
   * @throws at once when nothing was written; the transaction is open then.
   */
  end(command: "COMMIT" | "ABORT", id: string, headers?: ExtraHeaders, wait?: WaitOptions): Promise<Frame> {
    this.#sender.checkOpen(command);
    this.check(id, command);
    const answered = this.#sender.request(frameFor(command, id, headers), wait);
    this.#open.delete(id);
    return answered;
  }

  /**
   * Checks that the client's transaction is open.
   *
   * @throws {TransactionError} when it is not.
   */
  check(id: string, what: string): void {
    if (this.#open.get(id) === "client") return;
    throw new TransactionError(`Cannot send ${what}: transaction ${id} is not open on this connection`);
  }

  /** Forgets all of them: a connection that ends aborts its transactions ("BEGIN" in the 1.2 text). */
  clear(): void {
    this.#open.clear();
  }
}

function frameFor(command: string, id: string, headers?: ExtraHeaders): Frame {
  return new Frame().buildFrame({ command, headers: { transaction: id, ...headers } });
}
