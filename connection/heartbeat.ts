/**
 * Heart-beats: how often each side sends, and the pair of timers that keeps to it.
 *
 * @module
 */
import { type Clock, systemClock } from "../base/timers.ts";

/** Heart-beats one side offers or wants, in milliseconds; 0 is "none". */
export interface HeartbeatOffer {
  /** What this side can do: the interval in which it will send something. */
  readonly send: number;
  /** What this side wants: the interval in which it hopes to receive something. */
  readonly receive: number;
}

/** What was agreed on, in milliseconds from this side's point of view; 0 is "none". */
export interface HeartbeatPlan {
  /** This side has to send something at least this often. */
  readonly send: number;
  /** The far end sends something at least this often. */
  readonly receive: number;
}

/** No heart-beats. */
export const NO_HEARTBEAT: HeartbeatOffer = { send: 0, receive: 0 };

/**
 * Reads a `heart-beat` header: two non-negative integers with a comma between. Some brokers write a space beside it.
 *
 * @returns `undefined` when the header is something else. No header at all is `0,0` ("Heart-beating" in the 1.2 text).
 */
export function parseHeartbeat(header: string | undefined): HeartbeatOffer | undefined {
  if (header === undefined) return NO_HEARTBEAT;
  const match = /^ *(\d{1,15}) *, *(\d{1,15}) *$/.exec(header);
  return match ? { send: Number(match[1]), receive: Number(match[2]) } : undefined;
}

/** Writes a `heart-beat` header. */
export function formatHeartbeat(offer: HeartbeatOffer): string {
  return `${offer.send},${offer.receive}`;
}

/**
 * What two offers come to: in each direction the longer of the two intervals, and none when either side says 0
 * ("Heart-beating" in the 1.2 text).
 */
export function negotiate(own: HeartbeatOffer, far: HeartbeatOffer): HeartbeatPlan {
  return {
    send: own.send === 0 || far.receive === 0 ? 0 : Math.max(own.send, far.receive),
    receive: own.receive === 0 || far.send === 0 ? 0 : Math.max(own.receive, far.send),
  };
}

/** What heart-beats are about: a connection. */
export interface Heart {
  /** When bytes last came, by the clock. */
  readonly lastReceived: number;
  /** When bytes last went out, by the clock. */
  readonly lastSent: number;
  /** Whether reading is paused on purpose: then silence says nothing about the far end. */
  readonly paused: boolean;
  /** Sends a line end. */
  beat(): void;
}

/** How patient a heart-beat is. */
export interface HeartbeatTolerance {
  /** How many intervals may pass without a byte. Default 2. */
  factor?: number | undefined;
  /** Milliseconds that are always allowed beyond the interval. Default 1,000. */
  floor?: number | undefined;
  /**
   * Milliseconds in which something has to come once the broker was asked for it, because the machine seems to have
   * slept for 5 s or more. Default 5,000.
   */
  probe?: number | undefined;
}

/** How the far end is asked for a sign of life. */
export interface ProbeOptions {
  /** Sends what will be answered. Returns whether that could be. */
  ask: () => boolean;
  /** Milliseconds in which something has to come. Default 5,000. */
  timeout?: number | undefined;
}

/** Options of a {@linkcode Heartbeat}. */
export interface HeartbeatOptions extends Omit<HeartbeatTolerance, "probe"> {
  /**
   * Called once when nothing came for too long: for how many milliseconds, and, when it was to answer a probe, by how
   * many the clock had jumped.
   */
  stopped: (silence: number, jump?: number) => void;
  /** What is done after a jump of the clock. Default: nothing, and jumps go unnoticed. */
  probe?: ProbeOptions | undefined;
  /** The time. Default the real one. */
  clock?: Clock | undefined;
}

/** Sends at this share of the interval: brokers without grace end a connection that is a moment late. */
const SEND_SHARE = 0.5;

/** Milliseconds by which a clock has to jump, or a timer to be late, to be held for sleep. */
const JUMP = 5000;

/** Milliseconds after which a jump is noticed at the latest. */
const WATCH = 5000;

/** Milliseconds that a probe may stay unanswered. */
const PROBE_TIMEOUT = 5000;

/** Milliseconds between the first sight of a silence and the verdict. */
const SECOND_LOOK = 100;

/**
 * A pair of timers over a connection: sends when nothing else was sent, and notices when nothing comes.
 *
 * A timer that fires late, because the process was busy or asleep, is no proof of silence: bytes may be waiting in the
 * socket. So a silence counts only once it was seen by two checks in a row, with time for reading between them.
 *
 * After a sleep the far end may be long gone, and no time seem to have passed. So when the calendar has jumped by 5 s or
 * more, or when a timer that finds silence was that late, the far end is probed: any byte that comes is its answer, and
 * none in time its end. A calendar that was set by hand costs a probe, no more. In a browser's suspended tab timers are
 * late all the time, but bytes come as ever, and so nobody is probed.
 */
export class Heartbeat {
  readonly #heart: Heart;
  readonly #stopped: (silence: number, jump?: number) => void;
  readonly #clock: Clock;
  readonly #plan: HeartbeatPlan;
  readonly #allowed: number;
  readonly #probe: ProbeOptions | undefined;
  #cancelSend: (() => void) | undefined;
  #cancelCheck: (() => void) | undefined;
  #cancelProbe: (() => void) | undefined; // set while an answer is awaited
  #suspicious = false;
  #calendar: number; // the calendar's distance from the clock, when a timer saw it last
  #jump = 0; // by how much time has jumped, until that is probed
  #over = false;

  /** Starts the timers that the plan asks for. */
  constructor(plan: HeartbeatPlan, heart: Heart, options: HeartbeatOptions) {
    const { factor = 2, floor = 1000 } = options;
    this.#heart = heart;
    this.#stopped = options.stopped;
    this.#clock = options.clock ?? systemClock;
    this.#plan = plan;
    this.#allowed = Math.max(plan.receive * factor, plan.receive + floor);
    this.#probe = options.probe;
    this.#calendar = this.#readCalendar();
    if (plan.send > 0) this.#scheduleSend(this.#untilSendIsDue());
    if (plan.receive > 0) this.#scheduleCheck(this.#allowed);
  }

  /** Stops all timers. Idempotent. */
  stop(): void {
    this.#over = true;
    this.#cancelSend?.();
    this.#cancelCheck?.();
    this.#cancelProbe?.();
    this.#cancelSend = this.#cancelCheck = this.#cancelProbe = undefined;
  }

  #untilSendIsDue(): number {
    return this.#heart.lastSent + this.#plan.send * SEND_SHARE - this.#clock.now();
  }

  #scheduleSend(wait: number): void {
    this.#cancelSend = this.#after(wait, () => {
      const due = this.#untilSendIsDue();
      if (due <= 0) this.#heart.beat();
      // What ends the connection may do so inside `beat`. Where nothing goes out, more line ends would not help.
      if (!this.#over) this.#scheduleSend(due <= 0 ? this.#plan.send * SEND_SHARE : due);
    });
  }

  #scheduleCheck(wait: number): void {
    this.#cancelCheck = this.#after(wait, () => this.#check());
  }

  #check(): void {
    const silence = this.#silence;
    if (this.#heart.paused || silence < this.#allowed) {
      this.#suspicious = false;
      this.#scheduleCheck(this.#heart.paused ? this.#allowed : this.#allowed - silence);
    } else if (this.#cancelProbe !== undefined) {
      this.#scheduleCheck(WATCH); // the probe brings it to light
    } else if (!this.#suspicious) {
      // What is waiting in the socket is read before this comes round again.
      this.#suspicious = true;
      this.#scheduleCheck(SECOND_LOOK);
    } else {
      this.stop();
      this.#stopped(silence);
    }
  }

  get #silence(): number {
    return this.#clock.now() - this.#heart.lastReceived;
  }

  #readCalendar(): number {
    return (this.#clock.wall?.() ?? 0) - this.#clock.now();
  }

  /** A timer that also looks for jumps, and comes early for that. What it fires asks itself whether it is due. */
  #after(milliseconds: number, fire: () => void): () => void {
    const wait = Math.max(1, this.#probe === undefined ? milliseconds : Math.min(milliseconds, WATCH));
    const due = this.#clock.now() + wait;
    return this.#clock.after(wait, () => {
      if (this.#probe !== undefined) {
        this.#notice(due);
        this.#probeAfterJump();
      }
      if (!this.#over) fire();
    });
  }

  /** Has time jumped while a timer waited that was due then? */
  #notice(due: number): void {
    const calendar = this.#readCalendar();
    const slept = calendar - this.#calendar;
    this.#calendar = calendar;
    const late = this.#clock.now() - due;
    if (slept >= JUMP || (late >= JUMP && this.#silence >= this.#allowed)) this.#jump = Math.max(slept, late);
  }

  /** Probes after a jump; but while we are the ones who do not read, no answer would be seen, and so that waits. */
  #probeAfterJump(): void {
    if (this.#jump === 0 || this.#cancelProbe !== undefined || this.#heart.paused) return;
    if (this.#probe!.ask()) this.#awaitAnswer(this.#clock.now(), this.#jump);
    this.#jump = 0;
  }

  /** Waits for the answer to a probe that was sent at `asked`. */
  #awaitAnswer(asked: number, jump: number): void {
    const { timeout = PROBE_TIMEOUT } = this.#probe!;
    const wait = (milliseconds: number, isLast: boolean) => {
      const due = this.#clock.now() + milliseconds;
      this.#cancelProbe = this.#clock.after(milliseconds, () => {
        this.#cancelProbe = undefined;
        this.#notice(due);
        if (this.#heart.lastReceived >= asked) return;
        if (this.#heart.paused) return wait(timeout, false);
        const now = this.#clock.now();
        // After another sleep an answer takes its time once more, but then it is enough.
        if (!isLast) return wait(this.#jump > 0 || now - due >= JUMP ? timeout : SECOND_LOOK, true);
        this.stop();
        this.#stopped(now - asked, jump);
      });
    };
    wait(timeout, false);
  }
}
