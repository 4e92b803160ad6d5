/**
 * Receipts: what the broker was asked to confirm over one connection, and has not confirmed yet.
 *
 * @module
 */
import { onGiveUp, type StepOptions } from "../base/timers.ts";
import { ConnectionError, NotConnectedError, StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { readNumber, SequenceMap } from "../base/sequence_map.ts";

/**
 * Why a receipt does not come.
 *
 * - `refused`: the broker's ERROR is about this frame.
 * - `doubt`: the broker's ERROR is about this frame or about another one that was open then.
 * - `lost`: the connection ended. Whether the broker has handled the frame is unknown.
 */
export type Verdict = "refused" | "doubt" | "lost";

/** Waits for one receipt, or for several. */
export interface ReceiptWaiter {
  /** Whether the frame is a SEND, which gets no RECEIPT once the broker has refused it. */
  readonly isSend?: boolean;
  /** Whether the RECEIPT comes only with that of a later frame. Until then its absence means nothing. */
  readonly isPostponed?: boolean;
  /** Names the frame in error messages: "SEND to /queue/a". */
  describe(): string;
  /** Called when the broker confirms; without a RECEIPT, where the broker gives none, when the frame is written. */
  confirmed(receipt: Frame | undefined): void;
  /** Called when the receipt will not come. */
  failed(error: StompError, verdict: Verdict): void;
}

/** The open receipts of one connection. An entry goes away as soon as it is answered or cancelled. */
export class Receipts {
  #onChange: () => void;
  readonly #numbered = new SequenceMap<ReceiptWaiter>(); // ids that this class made: numbers
  #named: Map<string, ReceiptWaiter> | undefined; // ids that a caller chose; they may look like numbers
  #reserved: ReadonlySet<string> | undefined;
  #withheld: Map<string, Frame | undefined> | undefined; // RECEIPTs that are not believed yet

  /** Creates an empty registry. `onChange` is called whenever the number of open receipts may have changed. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** How many receipts are open. */
  get size(): number {
    return this.#numbered.size + (this.#named?.size ?? 0);
  }

  /** The ids of the open receipts. */
  get ids(): string[] {
    return [...this.#numbered.numbers().map(String), ...this.#named?.keys() ?? []];
  }

  /** Excludes the ids that the set holds, now and later. */
  reserve(ids: ReadonlySet<string>): void {
    this.#reserved = ids;
  }

  /**
   * Opens a receipt.
   *
   * @param id the receipt's id. Default: a new number.
   * @returns the id.
   * @throws {StompError} when the id is in use.
   */
  open(waiter: ReceiptWaiter, id?: string): string {
    if (id === undefined) {
      id = this.#nextId();
      this.#numbered.add(waiter);
    } else {
      this.checkFree(id);
      (this.#named ??= new Map()).set(id, waiter);
    }
    this.#onChange();
    return id;
  }

  /**
   * Checks that an id is not in use.
   *
   * @throws {StompError} when it is.
   */
  checkFree(id: string): void {
    if (this.#get(id) === undefined && !this.#reserved?.has(id)) return;
    throw new StompError(`Cannot ask for receipt ${id}: it is awaited already`);
  }

  /** Cancels a receipt that no one awaits any more. */
  cancel(id: string): void {
    if (this.#remove(id) !== undefined) this.#onChange();
  }

  /** Hands a RECEIPT to its waiter. Returns whether there is one. */
  settle(id: string, receipt: Frame): boolean {
    if (this.#withheld?.has(id)) {
      this.#withheld.set(id, receipt);
      return true;
    }
    const waiter = this.#remove(id);
    if (waiter === undefined) return false;
    waiter.confirmed(receipt);
    this.#onChange();
    return true;
  }

  /** Fails one receipt: the broker refused its frame. */
  fail(id: string, error: StompError): void {
    this.#remove(id)?.failed(error, "refused");
    this.#onChange();
  }

  /** Fails all receipts, or those with the given ids. `errorFor` makes the error for a described frame. */
  failAll(errorFor: (what: string) => StompError, verdict: Verdict, ids: readonly string[] = this.ids): void {
    // All are removed before the first waiter is called, which may open receipts.
    const waiters = ids.map((id) => this.#remove(id));
    for (const waiter of waiters) {
      if (waiter === undefined) continue;
      const error = errorFor(waiter.describe());
      if (verdict === "doubt") markInDoubt(error);
      waiter.failed(error, verdict);
    }
    this.#onChange();
  }

  /**
   * Withholds the RECEIPTs with these ids until `deliverWithheld`, except for those of SENDs: RabbitMQ answers one and
   * the same SUBSCRIBE with ERROR, then with RECEIPT, and closes the connection.
   */
  withhold(ids: readonly string[]): void {
    for (const id of this.filter(ids, ({ isSend }) => !isSend)) (this.#withheld ??= new Map()).set(id, undefined);
  }

  /** Delivers the RECEIPTs that were withheld. */
  deliverWithheld(): void {
    const withheld = this.#withheld;
    this.#withheld = undefined;
    for (const [id, receipt] of withheld ?? []) if (receipt !== undefined) this.settle(id, receipt);
  }

  /** Returns those of these ids that are open and whose waiter matches. */
  filter(ids: readonly string[], matches: (waiter: ReceiptWaiter) => boolean): string[] {
    return ids.filter((id) => {
      const waiter = this.#get(id);
      return waiter !== undefined && matches(waiter);
    });
  }

  /** Resolves when no receipt is open. */
  whenEmpty(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    const onChange = this.#onChange;
    return new Promise((resolve) => {
      // In its place and not beside it, so that each receipt costs no more than before.
      this.#onChange = () => {
        onChange();
        if (this.size > 0) return;
        this.#onChange = onChange;
        resolve();
      };
    });
  }

  #get(id: string): ReceiptWaiter | undefined {
    return this.#named?.get(id) ?? this.#numbered.get(readNumber(id));
  }

  #remove(id: string): ReceiptWaiter | undefined {
    const named = this.#named?.get(id);
    if (named === undefined) return this.#numbered.take(readNumber(id));
    this.#named!.delete(id);
    return named;
  }

  #nextId(): string {
    const numbered = this.#numbered;
    if (this.#named !== undefined || this.#reserved !== undefined) {
      while (this.#named?.has(String(numbered.next)) || this.#reserved?.has(String(numbered.next))) numbered.skip();
    }
    return String(numbered.next);
  }
}

/** A receipt as a promise with a deadline. */
export class ReceiptPromise implements ReceiptWaiter {
  /** Resolves to the RECEIPT. */
  readonly promise: Promise<Frame>;
  readonly #frame: Frame;
  #resolve!: (receipt: Frame) => void;
  #reject!: (error: unknown) => void;
  #stopWaiting: (() => void) | undefined;

  /** Waits for the receipt of a frame. */
  constructor(frame: Frame) {
    this.#frame = frame;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Calls `cancel` and rejects the promise when the signal aborts or the time is over. */
  limit(wait: StepOptions, cancel: () => void): void {
    this.#stopWaiting = onGiveUp(wait, `the receipt of ${this.describe()}`, (error) => {
      cancel();
      this.#reject(error);
    });
  }

  describe(): string {
    const { command, headers: { destination } } = this.#frame;
    return destination === undefined ? command : `${command} to ${destination}`;
  }

  confirmed(receipt: Frame): void {
    this.#stopWaiting?.();
    this.#resolve(receipt);
  }

  failed(error: StompError): void {
    this.#stopWaiting?.();
    this.#reject(error);
  }
}

const IN_DOUBT = new WeakSet<object>();

/** Marks the error of a frame that an ERROR may have been about. */
export function markInDoubt(error: StompError): void {
  IN_DOUBT.add(error);
}

/** Whether an ERROR was about the frame that failed with this error, or about another one that was open then. */
export function isInDoubt(error: unknown): boolean {
  return typeof error === "object" && error !== null && IN_DOUBT.has(error);
}

/** Whether a call failed only because its session was lost, so that the next session is another chance. */
export function isLoss(error: unknown, session: { readonly isOpen: boolean }): boolean {
  if (session.isOpen) return false;
  return error instanceof ConnectionError || error instanceof NotConnectedError || isInDoubt(error);
}
