/**
 * Counts what runtimes do not report: open timers, open receipts, and listeners on a signal.
 *
 * @module
 */
import { Receipts } from "../../session/receipts.ts";

/** The open timers. Only Node reports them itself. */
const timers = new Set<unknown>();

/** Starts counting timers. */
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

/** Returns the number of open timers. */
export function openTimers(): number {
  return timers.size;
}

/** The receipts of all sessions that have not been garbage-collected. */
const registries = new Set<WeakRef<Receipts>>();

/** Starts counting receipts: registers those of a session when it first asks for one. */
export function countReceipts(): void {
  const known = new WeakSet<Receipts>();
  const { open } = Receipts.prototype;
  const note = (receipts: Receipts) => {
    if (known.has(receipts)) return;
    known.add(receipts);
    registries.add(new WeakRef(receipts));
  };
  Receipts.prototype.open = function (this: Receipts, ...args) {
    note(this);
    return open.apply(this, args);
  };
}

/** Returns the number of open receipts, including those of dead sessions that are still in memory. */
export function openReceipts(): number {
  let open = 0;
  for (const registry of registries) {
    const receipts = registry.deref();
    if (receipts === undefined) registries.delete(registry);
    else open += receipts.size;
  }
  return open;
}

/** A signal that lives as long as the process and never aborts, with the number of its listeners. */
export class LongLivedSignal {
  /** The signal. */
  readonly signal: AbortSignal = new AbortController().signal;
  /** The number of listeners. */
  listeners = 0;

  /** Makes the signal and starts counting. */
  constructor() {
    const { signal } = this;
    const listeners = new Set<unknown>();
    const count = () => this.listeners = listeners.size;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (type: string, listener: EventListener, options?: AddEventListenerOptions) => {
      listeners.add(listener);
      count();
      add(type, listener, options);
    };
    signal.removeEventListener = (type: string, listener: EventListener) => {
      listeners.delete(listener);
      count();
      remove(type, listener);
    };
  }
}
