/**
 * The transactions that are open on one connection.
 *
 * @module
 */
import type { WaitOptions } from "../base/timers.ts";
import { TransactionError } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";

/** Sends a frame and waits for its receipt; throws at once when nothing was written. */
export type Request = (frame: Frame, wait: WaitOptions | undefined, takeBack?: () => Frame) => Promise<Frame>;

type ExtraHeaders = Readonly<Record<string, string>> | undefined;

/** Keeps the ids of open transactions, so that a mistake is found before it reaches the broker. */
export class OpenTransactions {
  readonly #ids = new Set<string>();
  readonly #told = new Set<string>(); // to the broker, those that were begun by hand included
  readonly #request: Request;

  /** Begins with none. */
  constructor(request: Request) {
    this.#request = request;
  }

  /** Whether the broker knows of any. */
  get any(): boolean {
    return this.#told.size > 0;
  }

  /** Takes note of a BEGIN, COMMIT or ABORT that was sent, by hand or not. */
  note({ command, headers }: Frame): void {
    if (command === "BEGIN") this.#told.add(headers["transaction"] ?? "");
    else this.#told.delete(headers["transaction"] ?? "");
  }

  /**
   * Says BEGIN.
   *
   * @throws {TransactionError} when the id is in use.
   */
  async begin(id: string, headers: ExtraHeaders, wait: WaitOptions | undefined): Promise<void> {
    if (this.#ids.has(id)) throw new TransactionError(`Cannot begin transaction ${id}: it is open already`);
    this.#ids.add(id);
    try {
      await this.#request(frameFor("BEGIN", id, headers), wait, () => frameFor("ABORT", id));
    } catch (error) {
      this.#ids.delete(id);
      this.#told.delete(id);
      throw error;
    }
  }

  /**
   * Says COMMIT or ABORT. However that ends, the transaction is over.
   *
   * @throws at once when nothing was written; the transaction is open then.
   */
  end(
    command: "COMMIT" | "ABORT",
    id: string,
    headers: ExtraHeaders,
    wait: WaitOptions | undefined,
  ): Promise<Frame> {
    this.check(id, command);
    const answered = this.#request(frameFor(command, id, headers), wait);
    this.#ids.delete(id);
    return answered;
  }

  /** Fails unless it is open. */
  check(id: string, what: string): void {
    if (this.#ids.has(id)) return;
    throw new TransactionError(`Cannot send ${what}: transaction ${id} is not open on this connection`);
  }

  /** A connection that ends aborts all of them ("BEGIN" in the 1.2 text). */
  clear(): void {
    this.#ids.clear();
    this.#told.clear();
  }
}

function frameFor(command: string, id: string, headers?: ExtraHeaders): Frame {
  return new Frame().buildFrame({ command, headers: { transaction: id, ...headers } });
}
