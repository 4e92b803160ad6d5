/**
 * Receipts: what was asked of the broker over one connection and is not confirmed yet.
 *
 * @module
 */
import { checkWait, onGiveUp, type WaitOptions } from "../base/timers.ts";
import { ConnectionError, NotConnectedError, StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { readNumber, SequenceMap } from "../base/sequence_map.ts";

/**
 * Why a receipt does not come.
 *
 * - `refused`: the broker's ERROR is about this frame.
 * - `doubt`: the broker's ERROR is about this frame or about another one that was open then.
 * - `lost`: the connection ended. Whether the broker has done it is unknown.
 */
export type Verdict = "refused" | "doubt" | "lost";

/** Waits for a receipt. */
export interface ReceiptWaiter {
  /** Whether it is for a SEND, which gets no RECEIPT once the broker has refused it. */
  readonly isSend?: boolean;
  /** Whether its RECEIPT comes only with that of a frame still to be sent: that it is missing tells nothing. */
  readonly isPostponed?: boolean;
  /** What is to be confirmed, for messages: "SEND to /queue/a". */
  describe(): string;
  /** The broker has confirmed. */
  confirmed(receipt: Frame): void;
  /** The receipt does not come. */
  failed(error: StompError, verdict: Verdict): void;
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
  readonly #own = new SequenceMap<ReceiptWaiter>(); // their ids are numbers
  #held: Map<string, Frame | undefined> | undefined; // RECEIPTs that are not believed yet
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
    if (this.#held?.has(id)) {
      this.#held.set(id, receipt);
      return true;
    }
    const waiter = this.#take(id);
    if (waiter === undefined) return false;
    waiter.confirmed(receipt);
    this.#owner.onChange();
    return true;
  }

  /** Fails one. */
  fail(id: string, error: StompError): void {
    const waiter = this.#take(id);
    waiter?.failed(error, "refused");
    this.#owner.onChange();
  }

  /** Fails all of them, or those of these ids; `errorFor` makes the error of each. */
  failAll(errorFor: (what: string) => StompError, verdict: Verdict, ids: readonly string[] = this.ids): void {
    const waiting = ids.map((id) => this.#take(id));
    for (const waiter of waiting) {
      if (waiter === undefined) continue;
      const error = errorFor(waiter.describe());
      if (verdict === "doubt") IN_DOUBT.add(error);
      waiter.failed(error, verdict);
    }
    this.#owner.onChange();
  }

  /**
   * Keeps the RECEIPTs of these ids back until `release`, unless they are of SENDs: RabbitMQ sends ERROR, then RECEIPT,
   * and hangs up, for one and the same SUBSCRIBE.
   */
  hold(ids: readonly string[]): void {
    for (const id of this.filter(ids, ({ isSend }) => !isSend)) (this.#held ??= new Map()).set(id, undefined);
  }

  /** Hands over the RECEIPTs that were kept back. */
  release(): void {
    const held = this.#held;
    this.#held = undefined;
    for (const [id, receipt] of held ?? []) if (receipt !== undefined) this.settle(id, receipt);
  }

  /** Those of these ids that are open and that `choose` chooses. */
  filter(ids: readonly string[], choose: (waiter: ReceiptWaiter) => boolean): string[] {
    return ids.filter((id) => {
      const waiter = this.#get(id);
      return waiter !== undefined && choose(waiter);
    });
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

const IN_DOUBT = new WeakSet<object>();

/** Whether an ERROR was about the frame that failed with this error or about another one that was open then. */
export function isInDoubt(error: unknown): boolean {
  return typeof error === "object" && error !== null && IN_DOUBT.has(error);
}

/** Whether a call failed only because its session was lost, so that the next session is another chance. */
export function isLoss(error: unknown, session: { readonly isOpen: boolean }): boolean {
  if (session.isOpen) return false;
  return error instanceof ConnectionError || error instanceof NotConnectedError || isInDoubt(error);
}

function describeFrame(frame: Frame): string {
  const destination = frame.headers["destination"];
  return destination === undefined ? frame.command : `${frame.command} to ${destination}`;
}
