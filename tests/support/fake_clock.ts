/**
 * A clock that stands still until it is told to go on.
 *
 * @module
 */
import type { Clock } from "../../heartbeat.ts";

/** Time and timers of a test. */
export class FakeClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ at: number; fire: () => void }>();

  /** How many timers wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Milliseconds since the clock was made. */
  now(): number {
    return this.#now;
  }

  /** Calls `fire` when the time has come. */
  after(milliseconds: number, fire: () => void): () => void {
    const timer = { at: this.#now + milliseconds, fire };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass, and fires what is due on the way, in order. */
  pass(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.fire();
    }
    this.#now = end;
  }
}
