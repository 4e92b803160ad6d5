/**
 * Receipts: what was asked of the broker over one connection and is not confirmed yet.
 *
 * @module
 */
import { checkWait, onGiveUp, type WaitOptions } from "../base/deadline.ts";
import { StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { Numbered, readNumber } from "../base/numbered.ts";

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
  readonly #own = new Numbered<ReceiptWaiter>(); // their ids are numbers
  #others: Map<string, ReceiptWaiter> | undefined; // whose ids somebody else has chosen; they may look like numbers

  /** Begins with none. */
  constructor(owner: ReceiptsOwner) {
    this.#owner = owner;
  }

  /** How many are open. */
  get size(): number {
    return this.#own.size + (this.#others?.size ?? 0);
  }

  /** The ids of those that are open. */
  get ids(): string[] {
    return [...this.#own.numbers().map(String), ...this.#others?.keys() ?? []];
  }

  /** Fails when the receipt of that id, which somebody else has chosen, is awaited. */
  checkFree(id: string): void {
    this.#others ??= new Map();
    if (this.#get(id) === undefined && !this.#owner.isTaken(id)) return;
    throw new StompError(`Cannot ask for receipt ${id}: it is awaited already`);
  }

  /**
   * Sends a frame with a receipt; the waiter is told when that comes, or that it will not.
   *
   * @returns the id of the receipt.
   * @throws when nothing was written.
   */
  confirm(frame: Frame, waiter: ReceiptWaiter): string {
    const { headers } = frame;
    const { receipt } = headers;
    // Sending may throw: a frame that cannot be encoded leaves no receipt behind.
    if (receipt === undefined) {
      return this.add(waiter, (id) => {
        headers["receipt"] = id;
        this.#owner.send(frame);
      });
    }
    this.checkFree(receipt);
    this.#owner.send(frame);
    this.#others!.set(receipt, waiter);
    this.#owner.onChange();
    return receipt;
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
    this.#own.add(waiter);
    this.#owner.onChange();
    return id;
  }

  /** Nobody waits for a receipt any more. */
  giveUp(id: string): void {
    if (this.#take(id) !== undefined) this.#owner.onChange();
  }

  /** Hands over a RECEIPT. Returns whether somebody waited for it. */
  settle(id: string, receipt: Frame): boolean {
    const waiter = this.#take(id);
    if (waiter === undefined) return false;
    waiter.confirmed(receipt);
    this.#owner.onChange();
    return true;
  }

  /** Fails one. */
  fail(id: string, error: StompError): void {
    const waiter = this.#take(id);
    waiter?.failed(error, false);
    this.#owner.onChange();
  }

  /** Fails all of them, or those of these ids; `errorFor` makes the error of each. */
  failAll(errorFor: (what: string) => StompError, lost: boolean, ids: readonly string[] = this.ids): void {
    const waiting = ids.map((id) => this.#take(id));
    for (const waiter of waiting) waiter?.failed(errorFor(waiter.describe()), lost);
    this.#owner.onChange();
  }

  #get(id: string): ReceiptWaiter | undefined {
    return this.#others?.get(id) ?? this.#own.get(readNumber(id));
  }

  #take(id: string): ReceiptWaiter | undefined {
    const other = this.#others?.get(id);
    if (other === undefined) return this.#own.take(readNumber(id));
    this.#others!.delete(id);
    return other;
  }

  /** An id that nobody awaits. */
  #nextId(): string {
    const own = this.#own;
    if (this.#others !== undefined) {
      while (this.#others.has(String(own.next)) || this.#owner.isTaken(String(own.next))) own.skip();
    }
    return String(own.next);
  }
}

function describeFrame(frame: Frame): string {
  const destination = frame.headers["destination"];
  return destination === undefined ? frame.command : `${frame.command} to ${destination}`;
}
