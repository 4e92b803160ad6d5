/**
 * A clock that the test moves.
 *
 * @module
 */
import type { Clock } from "../../base/timers.ts";

/** A `Clock` whose time passes only when the test says so. */
export class FakeClock implements Clock {
  #now = 0;
  #slept = 0;
  readonly #timers = new Set<{ at: number; fire: () => void }>();

  /** The number of timers that have not fired. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Milliseconds since the clock was made. */
  now(): number {
    return this.#now;
  }

  /** The wall-clock time in milliseconds. */
  wall(): number {
    return 1_700_000_000_000 + this.#now + this.#slept;
  }

  /** Moves the wall-clock time alone, as when the machine sleeps. A negative number sets it back. */
  suspend(milliseconds: number): void {
    this.#slept += milliseconds;
  }

  /** Calls `fire` after that time. Returns a function that cancels it. */
  after(milliseconds: number, fire: () => void): () => void {
    const timer = { at: this.#now + milliseconds, fire };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass without timers, as when the process is busy or stopped. Then each timer that is due fires once. */
  sleep(milliseconds: number, meanwhile: () => void = () => {}): void {
    this.#now += milliseconds;
    meanwhile();
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.#now)) {
      if (this.#timers.delete(timer)) timer.fire();
    }
  }

  /** Lets time pass and fires the timers that are due on the way, in order. */
  pass(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      let due: { at: number; fire: () => void } | undefined;
      for (const timer of this.#timers) {
        if (timer.at <= end && (due === undefined || timer.at < due.at)) due = timer;
      }
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.fire();
    }
    this.#now = end;
  }
}
