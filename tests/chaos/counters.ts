/**
 * Counts of what no runtime tells: timers, receipts that are awaited, listeners on a signal.
 *
 * @module
 */
import { Receipts } from "../../session/receipts.ts";

/** Timers that are set. Counted here, because no runtime but Node tells. */
const timers = new Set<unknown>();

/** Counts them from now on. */
export function countTimers(): void {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const counted = (callback: (...args: unknown[]) => void, delay?: number, ...args: unknown[]) => {
    const timer = set(() => {
      timers.delete(timer);
      callback(...args);
    }, delay);
    timers.add(timer);
    return timer;
  };
  const cleared = (timer: ReturnType<typeof setTimeout> | undefined) => {
    timers.delete(timer);
    clear(timer);
  };
  Object.assign(globalThis, { setTimeout: counted, clearTimeout: cleared });
}

/** How many are set. */
export function openTimers(): number {
  return timers.size;
}

/** All that count the receipts of a session, unless the collector has taken them. */
const books = new Set<WeakRef<Receipts>>();

/** Counts them from now on: notes each session's receipts when the first is asked for. */
export function countReceipts(): void {
  const known = new WeakSet<Receipts>();
  const { open } = Receipts.prototype;
  const note = (receipts: Receipts) => {
    if (known.has(receipts)) return;
    known.add(receipts);
    books.add(new WeakRef(receipts));
  };
  Receipts.prototype.open = function (this: Receipts, ...args) {
    note(this);
    return open.apply(this, args);
  };
}

/** Receipts that are awaited, by sessions that are alive and by those that are gone and were not let go. */
export function openReceipts(): number {
  let open = 0;
  for (const book of books) {
    const receipts = book.deref();
    if (receipts === undefined) books.delete(book);
    else open += receipts.size;
  }
  return open;
}

/** A signal that never aborts and lives as long as the process, and the number of its listeners. */
export class LongLived {
  /** The signal. */
  readonly signal: AbortSignal = new AbortController().signal;
  /** How many listen. */
  listeners = 0;

  /** Counts from the start. */
  constructor() {
    const { signal } = this;
    const held = new Set<unknown>();
    const count = () => this.listeners = held.size;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (type: string, listener: EventListener, options?: AddEventListenerOptions) => {
      held.add(listener);
      count();
      add(type, listener, options);
    };
    signal.removeEventListener = (type: string, listener: EventListener) => {
      held.delete(listener);
      count();
      remove(type, listener);
    };
  }
}
