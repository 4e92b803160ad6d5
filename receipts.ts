/**
 * Receipts: what was asked of the broker over one connection and is not confirmed yet.
 *
 * @module
 */
import { checkWait, onGiveUp, type WaitOptions } from "./deadline.ts";
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

/** What receipts need of their connection. */
export interface ReceiptsOwner {
  /** Sends a frame; throws when that cannot be, and nothing was written then. */
  send(frame: Frame): unknown;
  /** Whether the id belongs to a frame that was made by hand. */
  isTaken(id: string): boolean;
  /** The number of open receipts has changed. */
  onChange(): void;
}

/** The open receipts of one connection. An entry is gone as soon as it is answered or given up. */
export class Receipts {
  readonly #owner: ReceiptsOwner;
  readonly #waiting = new Map<string, ReceiptWaiter>();
  #count = 0;
  #hasForeign = false; // an id was given by somebody else, who may have meant a number

  /** Begins with none. */
  constructor(owner: ReceiptsOwner) {
    this.#owner = owner;
  }

  /** How many are open. */
  get size(): number {
    return this.#waiting.size;
  }

  /** The ids of those that are open. */
  get ids(): string[] {
    return [...this.#waiting.keys()];
  }

  /** Fails when the receipt of that id, which somebody else has chosen, is awaited. */
  checkFree(id: string): void {
    this.#hasForeign = true;
    if (!this.#isTaken(id)) return;
    throw new StompError(`Cannot ask for receipt ${id}: it is awaited already`);
  }

  /**
   * Sends a frame with a receipt; the waiter is told when that comes, or that it will not.
   *
   * @returns the id of the receipt.
   * @throws when nothing was written.
   */
  confirm(frame: Frame, waiter: ReceiptWaiter): string {
    const { receipt } = frame.headers;
    if (receipt !== undefined) this.checkFree(receipt);
    const id = frame.headers["receipt"] = receipt ?? this.#nextId();
    this.#owner.send(frame); // may throw: a frame that cannot be encoded leaves no receipt behind
    this.#waiting.set(id, waiter);
    this.#owner.onChange();
    return id;
  }

  /**
   * Sends a frame with a receipt, and waits for that.
   *
   * @param takeBack makes the frame that undoes it. It is sent when the wait is given up, because the broker may still
   * do what was asked.
   * @throws at once when nothing was written.
   */
  request(frame: Frame, wait: WaitOptions, takeBack?: () => Frame): Promise<Frame> {
    checkWait(wait);
    const { promise, resolve, reject } = Promise.withResolvers<Frame>();
    const describe = () => describeFrame(frame);
    const id = this.confirm(frame, {
      describe,
      confirmed: (receipt) => {
        stop();
        resolve(receipt);
      },
      failed: (error) => {
        stop();
        reject(error);
      },
    });
    const stop = onGiveUp(wait, `the receipt of ${describe()}`, (error) => {
      this.giveUp(id);
      try {
        if (takeBack) this.#owner.send(takeBack());
      } catch {
        // The connection ends, and so does all that was asked for over it.
      }
      reject(error);
    });
    return promise;
  }

  /** Waits for the receipt of a frame that `write` writes with the id that it is given. */
  add(waiter: ReceiptWaiter, write: (id: string) => void): string {
    const id = this.#nextId();
    write(id);
    this.#waiting.set(id, waiter);
    this.#owner.onChange();
    return id;
  }

  /** Nobody waits for a receipt any more. */
  giveUp(id: string): void {
    if (this.#waiting.delete(id)) this.#owner.onChange();
  }

  /** Hands over a RECEIPT. Returns whether somebody waited for it. */
  settle(id: string, receipt: Frame): boolean {
    const waiter = this.#waiting.get(id);
    if (waiter === undefined) return false;
    this.#waiting.delete(id);
    waiter.confirmed(receipt);
    this.#owner.onChange();
    return true;
  }

  /** Fails one. */
  fail(id: string, error: StompError): void {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiter?.failed(error, false);
    this.#owner.onChange();
  }

  /** Fails all of them, or those of these ids; `errorFor` makes the error of each. */
  failAll(errorFor: (what: string) => StompError, lost: boolean, ids: readonly string[] = this.ids): void {
    const waiting = ids.map((id) => this.#waiting.get(id));
    for (const id of ids) this.#waiting.delete(id);
    for (const waiter of waiting) waiter?.failed(errorFor(waiter.describe()), lost);
    this.#owner.onChange();
  }

  #isTaken(id: string): boolean {
    return this.#waiting.has(id) || this.#owner.isTaken(id);
  }

  /** An id that was not used on this connection. */
  #nextId(): string {
    let id: string;
    do id = String(++this.#count); while (this.#hasForeign && this.#isTaken(id));
    return id;
  }
}

function describeFrame(frame: Frame): string {
  const destination = frame.headers["destination"];
  return destination === undefined ? frame.command : `${frame.command} to ${destination}`;
}
