/**
 * A question that every broker answers and that changes nothing: STOMP has no ping.
 *
 * @module
 */
import { Frame } from "../codec/frame.ts";

/** What a probe needs of its connection. */
export interface ProbeOwner {
  /** Sends a frame, past what keeps track of the session's own. */
  send(frame: Frame): unknown;
  /** Whether a transaction of somebody else is open. */
  inTransaction(): boolean;
}

/**
 * Begins a transaction that nobody uses, with a receipt that nobody waits for: all that counts is that something comes.
 * It takes no permission, and nothing of it stays.
 */
export class LivenessProbe {
  readonly #owner: ProbeOwner;
  readonly #open: string[] = [];
  #count = 0;

  /** Asks nothing yet. */
  constructor(owner: ProbeOwner) {
    this.#owner = owner;
  }

  /** Asks. */
  send(): void {
    const transaction = `stompy-probe-${++this.#count}`;
    this.#send("BEGIN", { transaction, receipt: transaction });
    this.#open.push(transaction);
    // ActiveMQ forgets, at any ABORT, which messages were acknowledged in the other transactions of the connection. So
    // this one stays open until there is none but it; the end of the connection aborts it in any case.
    if (this.#owner.inTransaction()) return;
    for (const id of this.#open.splice(0)) this.#send("ABORT", { transaction: id });
  }

  #send(command: string, headers: Record<string, string>): void {
    this.#owner.send(new Frame().buildFrame({ command, headers }));
  }
}
