/**
 * Liveness probe. STOMP has no PING, so this begins and aborts an empty transaction.
 *
 * @module
 */
import { Frame } from "../codec/frame.ts";
import type { FrameConnection } from "../connection/frame_connection.ts";
import type { OpenTransactions } from "./transactions.ts";

/**
 * Begins a transaction that stays empty, with a receipt that no one waits for: any byte that arrives proves that the
 * peer is alive. This takes no permission, and leaves nothing behind.
 */
export class LivenessProbe {
  readonly #connection: Pick<FrameConnection, "send">;
  readonly #transactions: Pick<OpenTransactions, "any">;
  readonly #open: string[] = [];
  #count = 0;

  /** Creates a probe for one connection. */
  constructor(connection: Pick<FrameConnection, "send">, transactions: Pick<OpenTransactions, "any">) {
    this.#connection = connection;
    this.#transactions = transactions;
  }

  /** Sends a probe. */
  send(): void {
    const transaction = `stompy-probe-${++this.#count}`;
    this.#sendFrame("BEGIN", { transaction, receipt: transaction });
    this.#open.push(transaction);
    // At any ABORT, ActiveMQ forgets which messages were acknowledged in the other transactions of the connection. So the
    // probe's transaction stays open until it is the only one; the end of the connection aborts it in any case.
    if (this.#transactions.any) return;
    for (const id of this.#open.splice(0)) this.#sendFrame("ABORT", { transaction: id });
  }

  #sendFrame(command: string, headers: Record<string, string>): void {
    // Not by way of the session: it must not track this receipt and this transaction.
    this.#connection.send(new Frame().buildFrame({ command, headers }));
  }
}
