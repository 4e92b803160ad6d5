/**
 * The end of a client: in order, once, and with a deadline.
 *
 * @module
 */
import { beginSteps, checkWaitOptions, onGiveUp, type StepOptions, type WaitOptions, within } from "../base/timers.ts";

/** What is to be done, step by step. A step that fails does not keep the next ones from being done. */
export interface ShutdownSteps {
  /** Lets consumers finish, and asks for nothing new. */
  drain(wait: StepOptions): Promise<unknown>;
  /** Has consumers finish at once. */
  hurry(): void;
  /** Takes nothing new. */
  leave(): void;
  /** Resolves when all that was sent is confirmed. */
  idle(): Promise<void>;
  /** Says DISCONNECT and closes. Must always settle. */
  disconnect(headers: Readonly<Record<string, string>>, wait: StepOptions): Promise<void>;
}

/** Milliseconds that an ending may take, where the call says nothing else. */
const END_TIMEOUT = 10_000;

/** An ending, which can be asked for more than once. */
export class Shutdown {
  readonly #steps: ShutdownSteps;
  readonly #hurry = new AbortController();
  #ending: Promise<void> | undefined;

  /** Ends nothing before `begin`. */
  constructor(steps: ShutdownSteps) {
    this.#steps = steps;
  }

  /**
   * Begins to end. Where that has begun already, a second call can only have it done sooner: when its time is over, when
   * its signal aborts, and at once where the first one drains and this one does not.
   *
   * @throws {TypeError} when the signal is none, a `RangeError` when the timeout is no time; nothing has begun then.
   */
  begin(drain: boolean, headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    const { signal, timeout = END_TIMEOUT } = wait;
    checkWaitOptions(wait);
    if (!this.#ending) return this.#ending = this.#end(drain, headers, { signal, timeout });
    if (!drain) this.#steps.hurry();
    else this.#steps.drain({ signal, timeout }).catch(() => {}); // so that a worker knows which handler has called it
    const stop = onGiveUp({ signal, timeout }, "the end", () => this.#hurry.abort());
    return this.#ending.finally(stop);
  }

  async #end(
    drain: boolean,
    headers: Readonly<Record<string, string>>,
    { signal, timeout }: WaitOptions,
  ): Promise<void> {
    const steps = beginSteps({ timeout });
    const stop = onGiveUp({ signal }, "the end", () => this.#hurry.abort());
    const left = () => ({ ...steps(), signal: this.#hurry.signal });
    if (drain) await this.#steps.drain(left()).catch(() => {});
    this.#steps.leave();
    await within(this.#steps.idle(), left(), "the messages that are not confirmed").catch(() => {});
    await this.#steps.disconnect(headers, left());
    stop();
  }
}
