/**
 * Watches whether the broker still answers.
 *
 * @module
 */
import { ConnectionError } from "../base/errors.ts";
import type { Clock } from "../base/timers.ts";
import type { FrameConnection } from "../connection/frame_connection.ts";
import type { Dialect } from "../dialects/dialect.ts";
import type { Receipts } from "./receipts.ts";

/** A broker that has stopped answering. */
export interface Blockage {
  /** How many receipts are awaited. */
  readonly pending: number;
  /** The blockage as an error: the cause of calls that fail meanwhile. */
  readonly error: ConnectionError;
}

/** How often progress is checked while something is awaited. */
const CHECK_INTERVAL_MS = 2500;

/** A broker counts as blocked after this many checks in a row without progress. */
const MAX_IDLE_CHECKS = 2;

/**
 * Detects a broker that has stopped reading, as RabbitMQ does during a memory or disk alarm: receipts are awaited, or
 * bytes stay unsent, and nothing moves for 5 s. Heart-beats may continue meanwhile.
 *
 * A timer checks while something is awaited. A verdict takes two checks, because what arrived while the process was busy
 * is still in the socket at the first one.
 */
export class Progress {
  readonly #receipts: Receipts;
  readonly #connection: FrameConnection;
  readonly #clock: Clock;
  readonly #onChange: ((blockage: Blockage | undefined) => void) | undefined;
  #isProven = false;
  #hasFoundCulprit = false;
  #answers = 0;
  #seenAnswers = 0;
  #seenWrite = 0;
  #idleChecks = 0; // checks in a row that saw no progress
  #idleSince = 0;
  #cancel: (() => void) | undefined;
  #blockage: Blockage | undefined;

  /** Creates a watcher. `watch` starts it. */
  constructor(
    receipts: Receipts,
    connection: FrameConnection,
    clock: Clock,
    onChange: ((blockage: Blockage | undefined) => void) | undefined,
  ) {
    this.#receipts = receipts;
    this.#connection = connection;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Whether the broker has confirmed something or delivered a message, beyond accepting the connection. */
  get isProven(): boolean {
    return this.#isProven;
  }

  /** Whether the broker has confirmed something, beyond accepting the connection. */
  get hasAnswered(): boolean {
    return this.#answers > 0;
  }

  /** Whether this session has shown which message the broker refuses. */
  get hasFoundCulprit(): boolean {
    return this.#hasFoundCulprit;
  }

  /** Notes that the refused message is known, so that it does not end another session. */
  foundCulprit(): void {
    this.#hasFoundCulprit = true;
  }

  /** Why nothing is confirmed any more; `undefined` while the broker answers. */
  get blockage(): Blockage | undefined {
    return this.#blockage;
  }

  /** Notes that the broker delivered a message. */
  delivered(): void {
    this.#isProven = true;
  }

  /** Notes that the broker confirmed something. */
  answered(): void {
    this.#isProven = true;
    this.#answers++;
    if (this.#blockage !== undefined) this.#report(undefined);
  }

  /** Starts checking, if something is awaited. */
  watch(): void {
    if (this.#cancel !== undefined || !this.#isWaiting) return;
    this.#remember();
    this.#scheduleCheck();
  }

  /** Stops for good: the connection is over. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = nothing; // so that `watch` does not start again
  }

  get #isWaiting(): boolean {
    return this.#receipts.size > 0 || this.#isWriting;
  }

  /** Whether more waits to be written than a heart-beat, which is one byte. */
  get #isWriting(): boolean {
    return this.#connection.buffered > 1;
  }

  #scheduleCheck(): void {
    this.#cancel = this.#clock.after(CHECK_INTERVAL_MS, () => {
      this.#cancel = undefined;
      if (!this.#isWaiting) {
        // All bytes were taken. Receipts that were given up say nothing about the broker.
        if (this.#blockage?.pending === 0) this.#report(undefined);
        return;
      }
      const { lastSent, paused } = this.#connection;
      const moved = this.#answers !== this.#seenAnswers || (this.#isWriting && lastSent !== this.#seenWrite);
      if (moved && this.#blockage !== undefined) this.#report(undefined);
      // While reading is paused, an answer could not be seen.
      if (moved || paused) this.#remember();
      else if (++this.#idleChecks >= MAX_IDLE_CHECKS && this.#blockage === undefined) this.#block();
      this.#scheduleCheck();
    });
  }

  /** Remembers the present state, to compare the next check with. */
  #remember(): void {
    this.#seenAnswers = this.#answers;
    this.#seenWrite = this.#connection.lastSent;
    this.#idleChecks = 0;
    this.#idleSince = this.#clock.now();
  }

  #block(): void {
    const pending = this.#receipts.size;
    const silence = ((this.#clock.now() - this.#idleSince) / 1000).toFixed(1);
    const awaited = pending > 0
      ? `${pending} receipt${pending > 1 ? "s are" : " is"} awaited`
      : "it takes no more bytes";
    const error = new ConnectionError(
      `The broker at ${this.#connection.peer} has not answered for ${silence} s while ${awaited}: ` +
        "it may have stopped reading, for example because it is short of memory or disk space",
    );
    this.#report({ pending, error });
  }

  #report(blockage: Blockage | undefined): void {
    this.#blockage = blockage;
    this.#onChange?.(blockage);
  }
}

/** Returns what to do about a receipt that has not come, as an addition to a message, where the broker may give none. */
export function receiptAdvice(
  session: { readonly progress: Progress; readonly dialect: Pick<Dialect, "receiptAdvice"> } | undefined,
): string {
  return session === undefined || session.progress.hasAnswered ? "" : session.dialect.receiptAdvice ?? "";
}

function nothing(): void {}
