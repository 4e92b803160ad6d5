/**
 * `Shutdown`: ends a client in order, once, and with a deadline.
 *
 * @module
 */
import { beginSteps, checkWaitOptions, onGiveUp, type StepOptions, type WaitOptions, within } from "../base/timers.ts";
import type { Outbox } from "./outbox.ts";
import type { Reconnector } from "./reconnector.ts";
import type { SubscriptionRegistry } from "./subscription_registry.ts";

/** Milliseconds that a shutdown may take, where the call says nothing else. */
const SHUTDOWN_TIMEOUT_MS = 10_000;

/**
 * Drains the subscriptions if asked to, waits until all sends are confirmed, and disconnects. A step that fails or takes
 * too long does not keep the next one from being done.
 */
export class Shutdown {
  readonly #subscriptions: SubscriptionRegistry;
  readonly #outbox: Outbox;
  readonly #reconnector: Reconnector;
  #abort: AbortController | undefined; // since it has begun; ends the wait of each step
  #ending: Promise<void> | undefined;

  /** Creates a shutdown that has not begun. */
  constructor(subscriptions: SubscriptionRegistry, outbox: Outbox, reconnector: Reconnector) {
    this.#subscriptions = subscriptions;
    this.#outbox = outbox;
    this.#reconnector = reconnector;
  }

  /**
   * Begins to end the client. A second call can only make it end sooner: when its time is over, when its signal aborts,
   * and at once where the first one drains and this one does not.
   *
   * @throws {TypeError} when the signal is invalid, and {RangeError} when the timeout is. Nothing has begun then.
   */
  begin(drains: boolean, headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    const { signal, timeout = SHUTDOWN_TIMEOUT_MS } = wait;
    checkWaitOptions(wait);
    if (!this.#ending) return this.#ending = this.#end(drains, headers, { signal, timeout });
    if (!drains) this.#abortDrain();
    else this.#drain({ signal, timeout }); // so that a worker knows which handler has called it
    const stop = this.#abortAfter({ signal, timeout });
    return this.#ending.finally(stop);
  }

  async #end(drains: boolean, headers: Readonly<Record<string, string>>, wait: WaitOptions): Promise<void> {
    const { signal } = this.#abort = new AbortController();
    const steps = beginSteps({ timeout: wait.timeout }, Infinity, this.#reconnector.clock);
    const stop = this.#abortAfter({ signal: wait.signal });
    const left = () => ({ ...steps(), signal });
    if (drains) await this.#drain(left());
    this.#reconnector.leave();
    await within(this.#outbox.idle(), left(), "the messages that are not confirmed").catch(() => {});
    await this.#reconnector.disconnect(headers, left());
    stop();
  }

  /** Lets the consumers finish. Never rejects. */
  async #drain(wait: StepOptions): Promise<void> {
    await Promise.all(this.#subscriptions.list().map((one) => one.drain(wait).catch(() => {})));
  }

  /** Ends the subscriptions that drain, at once. */
  #abortDrain(): void {
    for (const subscription of this.#subscriptions.list()) subscription.unsubscribe().catch(() => {});
  }

  #abortAfter(wait: WaitOptions): () => void {
    return onGiveUp({ ...wait, clock: this.#reconnector.clock }, "the end", () => this.#abort!.abort());
  }
}
