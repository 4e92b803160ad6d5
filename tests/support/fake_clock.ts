/**
 * A clock that stands still until it is told to go on.
 *
 * @module
 */
import type { Clock } from "../../base/timers.ts";

/** Time and timers of a test. */
export class FakeClock implements Clock {
  #now = 0;
  #slept = 0;
  readonly #timers = new Set<{ at: number; fire: () => void }>();

  /** How many timers wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Milliseconds since the clock was made. */
  now(): number {
    return this.#now;
  }

  /** The calendar. */
  wall(): number {
    return 1_700_000_000_000 + this.#now + this.#slept;
  }

  /** The machine sleeps: the calendar goes on, the clock does not. A negative number sets the calendar back. */
  suspend(milliseconds: number): void {
    this.#slept += milliseconds;
  }

  /** Calls `fire` when the time has come. */
  after(milliseconds: number, fire: () => void): () => void {
    const timer = { at: this.#now + milliseconds, fire };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass while no timer fires, as when the process is busy or stopped; then each that is due fires once. */
  sleep(milliseconds: number, meanwhile: () => void = () => {}): void {
    this.#now += milliseconds;
    meanwhile();
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.#now)) {
      if (this.#timers.delete(timer)) timer.fire();
    }
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
