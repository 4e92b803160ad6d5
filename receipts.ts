/**
 * Receipts: what was asked of the broker over one connection and is not confirmed yet.
 *
 * @module
 */
import { StompError } from "./errors.ts";
import type { Frame } from "./frame.ts";

/** Somebody who waits for a receipt. */
export interface ReceiptWaiter {
  /** What is to be confirmed, for messages: "SEND to /queue/a". */
  describe(): string;
  /** The broker has confirmed. */
  confirmed(receipt: Frame): void;
  /** It will not: because of an ERROR, or, when `lost`, because the connection has ended. */
  failed(error: StompError, lost: boolean): void;
}

/** The open receipts of one connection. An entry is gone as soon as it is answered or given up. */
export class Receipts {
  readonly #waiting = new Map<string, ReceiptWaiter>();
  #count = 0;

  /** How many are open. */
  get size(): number {
    return this.#waiting.size;
  }

  /** An id that was not used on this connection. */
  nextId(): string {
    return String(++this.#count);
  }

  /** Notes who waits for a receipt. */
  add(id: string, waiter: ReceiptWaiter): void {
    this.#waiting.set(id, waiter);
  }

  /** Fails when the id is awaited already. */
  checkFree(id: string): void {
    if (this.#waiting.has(id)) throw new StompError(`Cannot ask for receipt ${id}: it is awaited already`);
  }

  /** Nobody waits for it any more. */
  remove(id: string): void {
    this.#waiting.delete(id);
  }

  /** Hands over a RECEIPT. Returns whether somebody waited for it. */
  confirm(id: string, receipt: Frame): boolean {
    const waiter = this.#waiting.get(id);
    if (waiter === undefined) return false;
    this.#waiting.delete(id);
    waiter.confirmed(receipt);
    return true;
  }

  /** Fails one. */
  fail(id: string, error: StompError): void {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiter?.failed(error, false);
  }

  /** Fails all of them; `errorFor` makes the error of each. */
  failAll(errorFor: (what: string) => StompError, lost: boolean): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiter of waiting) waiter.failed(errorFor(waiter.describe()), lost);
  }
}
