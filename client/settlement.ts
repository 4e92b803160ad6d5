/**
 * What was said of the messages of one subscription: which were acknowledged, and which still have to be.
 *
 * @module
 */
import type { AckMode } from "../session/acknowledge.ts";
import type { Message } from "./message.ts";

/** What was said of a message within a transaction. */
export interface Tentative {
  /** The transaction was committed. */
  keep(): void;
  /** It was not: the message can be acknowledged again. */
  undo(): void;
}

/** Keeps the account of one subscription. */
export class Settlement {
  /** Messages for which ACK or NACK was sent. */
  count = 0;
  readonly #mode: AckMode;
  #to = 0; // in mode client: everything up to this number is settled
  #lastTaken = 0;
  #unsettled = 0; // in mode client-individual: messages that were taken and not settled
  #tentative: Set<Message> | undefined; // settled in a transaction that is open
  #onSettled: (() => void) | undefined;

  /** Nothing was taken yet. */
  constructor(mode: AckMode) {
    this.#mode = mode;
  }

  /** Notes that a message was taken. */
  taken(message: Message): void {
    this.#lastTaken = message.number;
    this.#unsettled++;
  }

  /**
   * Notes what was said of a message.
   *
   * @returns within a transaction, what is to be called when that ends.
   */
  settle(message: Message, command: "ACK" | "NACK", inTransaction: boolean): Tentative | undefined {
    message.settled = command;
    this.count++;
    this.#unsettled--;
    if (!inTransaction) {
      this.#settled(message);
      return undefined;
    }
    const tentative = (this.#tentative ??= new Set()).add(message);
    return {
      keep: () => {
        if (tentative.delete(message)) this.#settled(message);
      },
      undo: () => {
        if (!tentative.delete(message)) return; // its connection is gone
        message.settled = undefined;
        this.count--;
        this.#unsettled++;
      },
    };
  }

  /** Why a message cannot be settled, if it cannot. */
  obstacle(message: Message): string | undefined {
    if (message.settled !== undefined) return `it was sent ${message.settled} already`;
    if (this.#mode !== "client") return undefined;
    let to = this.#to;
    for (const { number } of this.#tentative ?? []) to = Math.max(to, number);
    return message.number <= to ? "a later message was acknowledged" : undefined;
  }

  /** The connection is gone: of what came over it nothing can be said any more. */
  forget(): void {
    this.#unsettled = 0;
    this.#lastTaken = this.#to;
    this.#tentative?.clear();
    this.#onSettled?.();
  }

  /** Resolves when all that was taken is settled, also by transactions that have ended. */
  whenSettled(): Promise<void> {
    if (this.#isSettled()) return Promise.resolve();
    return new Promise((resolve) => this.#onSettled = resolve);
  }

  #settled(message: Message): void {
    if (this.#mode === "client") this.#to = Math.max(this.#to, message.number);
    if (this.#onSettled && this.#isSettled()) this.#onSettled();
  }

  #isSettled(): boolean {
    if (this.#tentative !== undefined && this.#tentative.size > 0) return false;
    return this.#mode === "client" ? this.#lastTaken <= this.#to : this.#unsettled <= 0;
  }
}
