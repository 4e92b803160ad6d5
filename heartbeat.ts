/**
 * Heart-beats: how often each side sends, and the pair of timers that keeps to it.
 *
 * @module
 */

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
 * Reads a `heart-beat` header: two non-negative integers with a comma between.
 *
 * @returns `undefined` when the header is something else. No header at all is `0,0` ("Heart-beating" in the 1.2 text).
 */
export function parseHeartbeat(header: string | undefined): HeartbeatOffer | undefined {
  if (header === undefined) return NO_HEARTBEAT;
  const match = /^(\d{1,15}),(\d{1,15})$/.exec(header);
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

/** The time and the timers; tests bring their own. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /** Calls `fire` once after that many milliseconds. Returns what cancels it. */
  after(milliseconds: number, fire: () => void): () => void;
}

/** The real time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, fire) {
    // Above 2^31 - 1 milliseconds a timer fires at once.
    const timer = setTimeout(fire, Math.min(milliseconds, 0x7fffffff));
    return () => clearTimeout(timer);
  },
};

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
}

/** Options of a {@linkcode Heartbeat}. */
export interface HeartbeatOptions extends HeartbeatTolerance {
  /** Called once when nothing came for too long; the argument is for how long, in milliseconds. */
  stopped: (silence: number) => void;
  /** The time. Default the real one. */
  clock?: Clock | undefined;
}

/** Sends at this share of the interval: brokers without grace end a connection that is a moment late. */
const SEND_SHARE = 0.5;

/**
 * A pair of timers over a connection: sends when nothing else was sent, and notices when nothing comes.
 *
 * A timer that fires late, because the process was busy or asleep, is no proof of silence: bytes may be waiting in the
 * socket. So a silence counts only once it was seen by two checks in a row, with time for reading between them.
 */
export class Heartbeat {
  readonly #heart: Heart;
  readonly #stopped: (silence: number) => void;
  readonly #clock: Clock;
  readonly #plan: HeartbeatPlan;
  readonly #allowed: number;
  #cancelSend: (() => void) | undefined;
  #cancelCheck: (() => void) | undefined;
  #suspicious = false;
  #over = false;

  /** Starts the timers that the plan asks for. */
  constructor(plan: HeartbeatPlan, heart: Heart, options: HeartbeatOptions) {
    const { factor = 2, floor = 1000 } = options;
    this.#heart = heart;
    this.#stopped = options.stopped;
    this.#clock = options.clock ?? systemClock;
    this.#plan = plan;
    this.#allowed = Math.max(plan.receive * factor, plan.receive + floor);
    if (plan.send > 0) this.#scheduleSend(this.#untilSendIsDue());
    if (plan.receive > 0) this.#scheduleCheck(this.#allowed);
  }

  /** Stops both timers. Idempotent. */
  stop(): void {
    this.#over = true;
    this.#cancelSend?.();
    this.#cancelCheck?.();
    this.#cancelSend = this.#cancelCheck = undefined;
  }

  #untilSendIsDue(): number {
    return this.#heart.lastSent + this.#plan.send * SEND_SHARE - this.#clock.now();
  }

  #scheduleSend(wait: number): void {
    this.#cancelSend = this.#clock.after(Math.max(wait, 1), () => {
      const due = this.#untilSendIsDue();
      if (due <= 0) this.#heart.beat();
      // What ends the connection may do so inside `beat`. Where nothing goes out, more line ends would not help.
      if (!this.#over) this.#scheduleSend(due <= 0 ? this.#plan.send * SEND_SHARE : due);
    });
  }

  #scheduleCheck(wait: number): void {
    this.#cancelCheck = this.#clock.after(Math.max(wait, 1), () => this.#check());
  }

  #check(): void {
    const silence = this.#clock.now() - this.#heart.lastReceived;
    if (this.#heart.paused || silence < this.#allowed) {
      this.#suspicious = false;
      this.#scheduleCheck(this.#heart.paused ? this.#allowed : this.#allowed - silence);
    } else if (!this.#suspicious) {
      // What is waiting in the socket is read before this comes round again.
      this.#suspicious = true;
      this.#scheduleCheck(SECOND_LOOK);
    } else {
      this.stop();
      this.#stopped(silence);
    }
  }
}

/** Milliseconds between the first sight of a silence and the verdict. */
const SECOND_LOOK = 100;
