/**
 * Heart-beats: how often each side sends, and the timers that keep to it.
 *
 * @module
 */
import { type Clock, systemClock } from "../base/timers.ts";
import type { FrameConnection } from "./frame_connection.ts";

/** The heart-beats that one side offers and wants, in milliseconds; 0 means none. */
export interface HeartbeatOffer {
  /** The interval within which this side sends something. */
  readonly send: number;
  /** The interval within which this side wants to receive something. */
  readonly receive: number;
}

/** The heart-beats that both sides agreed on, as this side sees them, in milliseconds; 0 means none. */
export interface HeartbeatPlan {
  /** The interval within which this side must send something. */
  readonly send: number;
  /** The interval within which the peer must send something. */
  readonly receive: number;
}

/** No heart-beats. */
export const NO_HEARTBEAT: HeartbeatOffer = { send: 0, receive: 0 };

/**
 * Parses a `heart-beat` header: two non-negative integers and a comma, beside which some brokers write a space. A missing
 * header means `0,0` ("Heart-beating" in the 1.2 text).
 *
 * @returns `undefined` when the header is malformed.
 */
export function parseHeartbeat(header: string | undefined): HeartbeatOffer | undefined {
  if (header === undefined) return NO_HEARTBEAT;
  const match = /^ *(\d{1,15}) *, *(\d{1,15}) *$/.exec(header);
  return match ? { send: Number(match[1]), receive: Number(match[2]) } : undefined;
}

/** Returns the value of a `heart-beat` header. */
export function formatHeartbeat(offer: HeartbeatOffer): string {
  return `${offer.send},${offer.receive}`;
}

/**
 * Returns what two offers amount to: in each direction the longer of the two intervals, and none when either side has 0
 * ("Heart-beating" in the 1.2 text).
 */
export function negotiate(own: HeartbeatOffer, peer: HeartbeatOffer): HeartbeatPlan {
  return {
    send: own.send === 0 || peer.receive === 0 ? 0 : Math.max(own.send, peer.receive),
    receive: own.receive === 0 || peer.send === 0 ? 0 : Math.max(own.receive, peer.send),
  };
}

/** The connection that heart-beats are sent and watched on. While it is paused, silence says nothing about the peer. */
export type HeartbeatConnection = Pick<FrameConnection, "lastReceived" | "lastSent" | "paused" | "beat">;

/** How long a broker may be silent before the connection counts as lost. */
export interface HeartbeatTolerance {
  /**
   * How many intervals may pass without a byte.
   *
   * @default {2}
   */
  factor?: number | undefined;
  /**
   * Milliseconds beyond the interval that are allowed in any case.
   *
   * @default {1_000}
   */
  floor?: number | undefined;
  /**
   * Milliseconds within which a broker must answer a probe. It is probed when the machine seems to have slept for 5 s or
   * more.
   *
   * @default {5_000}
   */
  probe?: number | undefined;
}

/** How the peer is probed. */
export interface ProbeOptions {
  /** Sends something that the peer answers. Returns whether that was possible. */
  ask: () => boolean;
  /**
   * Milliseconds within which something must come.
   *
   * @default {5_000}
   */
  timeout?: number | undefined;
}

/** Options of a {@linkcode Heartbeat}. */
export interface HeartbeatOptions extends Omit<HeartbeatTolerance, "probe"> {
  /**
   * Called once when the peer was silent for too long, with the milliseconds of silence. After a probe that was not
   * answered, `jump` is by how many milliseconds the clock had jumped.
   */
  stopped: (silence: number, jump?: number) => void;
  /** How the peer is probed after a jump of the clock. Without it jumps are not looked for. */
  probe?: ProbeOptions | undefined;
  /** The clock. By default the system's. */
  clock?: Clock | undefined;
}

/** The share of the interval after which a heart-beat is sent: strict brokers end a connection that is a moment late. */
const SEND_SHARE = 0.5;

/** A clock that jumps by this much, or a timer that is this late, means that the machine slept. */
const MIN_JUMP_MS = 5000;

/** How long a jump may stay unnoticed. */
const JUMP_CHECK_MS = 5000;

const DEFAULT_PROBE_TIMEOUT_MS = 5000;

/** Time for reading between the two checks that have to see a silence. */
const SECOND_CHECK_MS = 100;

/**
 * The timers of one connection: sends a heart-beat when nothing else was sent, and notices when nothing comes.
 *
 * A timer that fires late, because the process was busy or asleep, does not prove silence: bytes may wait in the socket.
 * So a silence counts only if two checks in a row see it, with time for reading between them.
 *
 * After a sleep the peer may be long gone, although no time seems to have passed. So when the calendar has jumped by 5 s
 * or more, or when a timer that finds silence was that late, the peer is probed: any byte is an answer, and without one in
 * time the connection is lost. A calendar that was set by hand costs no more than a probe. In a suspended tab of a browser
 * timers are always late, but bytes come as usual, so there is no probe.
 */
export class Heartbeat {
  readonly #connection: HeartbeatConnection;
  readonly #stopped: (silence: number, jump?: number) => void;
  readonly #clock: Clock;
  readonly #plan: HeartbeatPlan;
  readonly #allowed: number;
  readonly #probe: ProbeOptions | undefined;
  #cancelSend: (() => void) | undefined;
  #cancelCheck: (() => void) | undefined;
  #cancelProbe: (() => void) | undefined; // set while a probe is unanswered
  #hasSeenSilence = false; // in the check before
  #calendarOffset: number; // from the clock, when a timer last fired
  #jump = 0; // milliseconds by which time has jumped, until the probe
  #isStopped = false;

  /** Starts the timers that the plan asks for. */
  constructor(plan: HeartbeatPlan, connection: HeartbeatConnection, options: HeartbeatOptions) {
    const { factor = 2, floor = 1000 } = options;
    this.#connection = connection;
    this.#stopped = options.stopped;
    this.#clock = options.clock ?? systemClock;
    this.#plan = plan;
    this.#allowed = Math.max(plan.receive * factor, plan.receive + floor);
    this.#probe = options.probe;
    this.#calendarOffset = this.#readCalendarOffset();
    if (plan.send > 0) this.#scheduleSend(this.#untilSendIsDue());
    if (plan.receive > 0) this.#scheduleCheck(this.#allowed);
  }

  /** Stops all timers. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelSend?.();
    this.#cancelCheck?.();
    this.#cancelProbe?.();
    this.#cancelSend = this.#cancelCheck = this.#cancelProbe = undefined;
  }

  #untilSendIsDue(): number {
    return this.#connection.lastSent + this.#plan.send * SEND_SHARE - this.#clock.now();
  }

  #scheduleSend(wait: number): void {
    this.#cancelSend = this.#after(wait, () => {
      const due = this.#untilSendIsDue();
      if (due <= 0) this.#connection.beat();
      // The connection may end inside `beat`. While nothing goes out, more line ends would not help.
      if (!this.#isStopped) this.#scheduleSend(due <= 0 ? this.#plan.send * SEND_SHARE : due);
    });
  }

  #scheduleCheck(wait: number): void {
    this.#cancelCheck = this.#after(wait, () => this.#check());
  }

  #check(): void {
    const silence = this.#silence;
    if (this.#connection.paused || silence < this.#allowed) {
      this.#hasSeenSilence = false;
      this.#scheduleCheck(this.#connection.paused ? this.#allowed : this.#allowed - silence);
    } else if (this.#cancelProbe !== undefined) {
      this.#scheduleCheck(JUMP_CHECK_MS); // the probe decides
    } else if (!this.#hasSeenSilence) {
      // Bytes that wait in the socket are read before the second check.
      this.#hasSeenSilence = true;
      this.#scheduleCheck(SECOND_CHECK_MS);
    } else {
      this.stop();
      this.#stopped(silence);
    }
  }

  get #silence(): number {
    return this.#clock.now() - this.#connection.lastReceived;
  }

  #readCalendarOffset(): number {
    return (this.#clock.wall?.() ?? 0) - this.#clock.now();
  }

  /** Starts a timer that also looks for jumps, and may fire early for that: `fire` checks whether it is due. */
  #after(milliseconds: number, fire: () => void): () => void {
    const wait = Math.max(1, this.#probe === undefined ? milliseconds : Math.min(milliseconds, JUMP_CHECK_MS));
    const due = this.#clock.now() + wait;
    return this.#clock.after(wait, () => {
      if (this.#probe !== undefined) {
        this.#noticeJump(due);
        this.#probeAfterJump();
      }
      if (!this.#isStopped) fire();
    });
  }

  /** Notes whether time has jumped since the last timer. `due` is when the current one was due. */
  #noticeJump(due: number): void {
    const offset = this.#readCalendarOffset();
    const slept = offset - this.#calendarOffset;
    this.#calendarOffset = offset;
    const late = this.#clock.now() - due;
    if (slept >= MIN_JUMP_MS || (late >= MIN_JUMP_MS && this.#silence >= this.#allowed)) {
      this.#jump = Math.max(slept, late);
    }
  }

  /** Probes after a jump. While reading is paused no answer would be seen, so the probe waits. */
  #probeAfterJump(): void {
    if (this.#jump === 0 || this.#cancelProbe !== undefined || this.#connection.paused) return;
    if (this.#probe!.ask()) this.#awaitAnswer(this.#clock.now(), this.#jump);
    this.#jump = 0;
  }

  /** Waits for any byte after a probe that was sent at `asked`. */
  #awaitAnswer(asked: number, jump: number): void {
    const { timeout = DEFAULT_PROBE_TIMEOUT_MS } = this.#probe!;
    const wait = (milliseconds: number, isLast: boolean) => {
      const due = this.#clock.now() + milliseconds;
      this.#cancelProbe = this.#clock.after(milliseconds, () => {
        this.#cancelProbe = undefined;
        this.#noticeJump(due);
        if (this.#connection.lastReceived >= asked) return;
        if (this.#connection.paused) return wait(timeout, false);
        const now = this.#clock.now();
        // After another sleep the answer gets its time once more, and no more than once.
        if (!isLast) return wait(this.#jump > 0 || now - due >= MIN_JUMP_MS ? timeout : SECOND_CHECK_MS, true);
        this.stop();
        this.#stopped(now - asked, jump);
      });
    };
    wait(timeout, false);
  }
}
