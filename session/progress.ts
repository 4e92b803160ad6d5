/**
 * Whether the broker still answers: what a connection is asked for, and what comes of it.
 *
 * @module
 */
import { ConnectionError } from "../base/errors.ts";
import type { Clock } from "../base/timers.ts";
import type { FrameConnection } from "../connection/frame_connection.ts";
import type { Receipts } from "./receipts.ts";

/** A broker that has stopped answering. */
export interface Blockage {
  /** How many receipts are awaited. */
  readonly pending: number;
  /** The same in words, as the reason of what fails meanwhile. */
  readonly error: ConnectionError;
}

/** Milliseconds between two looks. */
const LOOK = 2500;

/** Looks in a row without any progress after which a broker counts as blocked. */
const LOOKS = 2;

/**
 * Notices a broker that has stopped reading, as RabbitMQ does in a memory or disk alarm: receipts are awaited, or what is
 * sent is not taken, and for 5 s nothing of it moves, while heart-beats may go on.
 *
 * One timer looks now and then while something is awaited. Two looks are needed, because what comes while the process is
 * busy lies in the socket at the first one.
 */
export class Progress {
  readonly #receipts: Receipts;
  readonly #socket: FrameConnection;
  readonly #clock: Clock;
  readonly #onChange: ((blockage: Blockage | undefined) => void) | undefined;
  #isProven = false;
  #hasConvicted = false;
  #answers = 0;
  #seenAnswers = 0;
  #seenWrite = 0;
  #quiet = 0; // looks in a row that saw no progress
  #since = 0; // when the first of them was due
  #cancel: (() => void) | undefined;
  #blockage: Blockage | undefined;

  /** Looks at nothing yet. */
  constructor(
    receipts: Receipts,
    socket: FrameConnection,
    clock: Clock,
    onChange: ((blockage: Blockage | undefined) => void) | undefined,
  ) {
    this.#receipts = receipts;
    this.#socket = socket;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Whether the broker has done anything but let us in: it confirmed something, or delivered a message. */
  get isProven(): boolean {
    return this.#isProven;
  }

  /** Whether it has shown which message the broker refuses. */
  get hasConvicted(): boolean {
    return this.#hasConvicted;
  }

  /** A message is refused: it does not end another session. */
  convicted(): void {
    this.#hasConvicted = true;
  }

  /** Why nothing is confirmed any more; `undefined` while the broker answers. */
  get blockage(): Blockage | undefined {
    return this.#blockage;
  }

  /** The broker has delivered a message. */
  delivered(): void {
    this.#isProven = true;
  }

  /** The broker has confirmed something. */
  answered(): void {
    this.#isProven = true;
    this.#answers++;
    if (this.#blockage !== undefined) this.#report(undefined);
  }

  /** Something is awaited, or may be. */
  watch(): void {
    if (this.#cancel !== undefined || !this.#isWaiting) return;
    this.#note();
    this.#look();
  }

  /** The same where a write waits for room; gives that back. */
  watched(room: Promise<void> | undefined): Promise<void> | undefined {
    if (room !== undefined) this.watch();
    return room;
  }

  /** The connection is over. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = nothing; // and stays so
  }

  get #isWaiting(): boolean {
    return this.#receipts.size > 0 || this.#isWriting;
  }

  /** Whether more is to be written than a heart-beat, which goes out alone and has only just been sent. */
  get #isWriting(): boolean {
    return this.#socket.buffered > 1;
  }

  #look(): void {
    this.#cancel = this.#clock.after(LOOK, () => {
      this.#cancel = undefined;
      if (!this.#isWaiting) {
        // All bytes were taken. That receipts were given up tells nothing.
        if (this.#blockage?.pending === 0) this.#report(undefined);
        return;
      }
      const { lastSent, paused } = this.#socket;
      const moved = this.#answers !== this.#seenAnswers || (this.#isWriting && lastSent !== this.#seenWrite);
      if (moved && this.#blockage !== undefined) this.#report(undefined);
      // While we are the ones who do not read, no answer would be seen.
      if (moved || paused) this.#note();
      else if (++this.#quiet >= LOOKS && this.#blockage === undefined) this.#block();
      this.#look();
    });
  }

  /** Remembers how things stand. */
  #note(): void {
    this.#seenAnswers = this.#answers;
    this.#seenWrite = this.#socket.lastSent;
    this.#quiet = 0;
    this.#since = this.#clock.now();
  }

  #block(): void {
    const pending = this.#receipts.size;
    const silence = ((this.#clock.now() - this.#since) / 1000).toFixed(1);
    const awaited = pending > 0
      ? `${pending} receipt${pending > 1 ? "s are" : " is"} awaited`
      : "it takes no more bytes";
    const error = new ConnectionError(
      `The broker at ${this.#socket.peer} has not answered for ${silence} s while ${awaited}: ` +
        "it may have stopped reading, for example because it is short of memory or disk space",
    );
    this.#report({ pending, error });
  }

  #report(blockage: Blockage | undefined): void {
    this.#blockage = blockage;
    this.#onChange?.(blockage);
  }
}

function nothing(): void {}
