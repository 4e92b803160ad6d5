/**
 * Bytes to WebSocket messages: where, in a stream of frames, one message ends and the next begins.
 *
 * @module
 */
import { decodeLenient } from "../codec/text.ts";

const NUL = 0;
const LF = 10;
const CR = 13;
const COLON = 58;
const LOWER_C = 99;

const CONTENT_LENGTH = "content-length";

/** More bytes are needed to tell. */
const UNKNOWN = -1;
/** No frame begins here. */
const NO_FRAME = -2;

const NOTHING = new Uint8Array(0);

/**
 * Cuts a stream of frames into messages of one frame, or of one line end, each. All brokers understand those: ActiveMQ
 * Classic and stomp-broker-js take one frame out of a message and drop the rest of it. What is no frame passes as it
 * comes, since it is not for this class to judge.
 */
export class MessageCutter {
  readonly #onMessage: (message: Uint8Array) => void;
  /** The beginning of a frame whose end has not come yet: the first `#used` bytes. */
  #held: Uint8Array = NOTHING;
  #used = 0;
  /** How far into the frame that is held there is no NUL that ends it. */
  #searched = 0;
  #isFrames = true;

  /** Messages are views on the bytes that were pushed, or on memory that is used again: they are not to be kept. */
  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  /** Whether a frame has begun and not ended. */
  get pending(): boolean {
    return this.#used > 0;
  }

  /** Takes the next bytes. They are not kept. */
  push(bytes: Uint8Array): void {
    const whole = this.#used > 0 ? this.#hold(bytes) : bytes;
    let at = 0;
    while (at < whole.length) {
      const end = this.#isFrames ? this.#endOf(whole, at) : whole.length;
      if (end === UNKNOWN) break;
      if (end === NO_FRAME) {
        this.#isFrames = false;
        continue;
      }
      this.#onMessage(at === 0 && end === whole.length ? whole : whole.subarray(at, end));
      this.#searched = 0;
      at = end;
    }
    if (whole !== bytes && at === 0) return; // held already
    this.#used = 0;
    if (at < whole.length) this.#hold(whole.subarray(at));
    else this.#held = NOTHING;
  }

  /** Gives out what is held: nothing more will come. */
  finish(): void {
    if (this.#used > 0) this.#onMessage(this.#held.subarray(0, this.#used));
    this.#used = 0;
    this.#held = NOTHING;
  }

  /** Adds to what is held; returns all of it. */
  #hold(bytes: Uint8Array): Uint8Array {
    const length = this.#used + bytes.length;
    if (length > this.#held.length || this.#used === 0) {
      // Twice as much each time: many small writes of one frame cost time in proportion to its size. And new memory for
      // each frame, as `bytes` may lie in the old.
      const grown = new Uint8Array(Math.max(length, this.#used * 2));
      grown.set(this.#held.subarray(0, this.#used));
      this.#held = grown;
    }
    this.#held.set(bytes, this.#used);
    this.#used = length;
    return this.#held.subarray(0, length);
  }

  /** Where the message that begins at `start` ends. */
  #endOf(bytes: Uint8Array, start: number): number {
    const first = bytes[start]!;
    if (first === LF) return start + 1;
    if (first === CR) {
      if (start + 1 === bytes.length) return UNKNOWN;
      return bytes[start + 1] === LF ? start + 2 : NO_FRAME;
    }
    const isLetter = first >= 65 && first <= 90;
    if (!isLetter) return NO_FRAME;
    let line = start;
    let length = -1;
    for (let at = start; at < bytes.length; at++) {
      if (bytes[at] !== LF) continue;
      const size = at - line;
      if (size === 0 || (size === 1 && bytes[line] === CR)) return this.#endOfBody(bytes, start, at + 1, length);
      // The first of a repeated header counts.
      if (bytes[line] === LOWER_C && length < 0) length = readContentLength(bytes, line, at);
      line = at + 1;
    }
    return UNKNOWN;
  }

  #endOfBody(bytes: Uint8Array, start: number, body: number, length: number): number {
    if (length >= 0) {
      const end = body + length;
      if (end >= bytes.length) return UNKNOWN;
      return bytes[end] === NUL ? end + 1 : NO_FRAME;
    }
    const end = bytes.indexOf(NUL, Math.max(body, start + this.#searched));
    if (end >= 0) return end + 1;
    this.#searched = bytes.length - start;
    return UNKNOWN;
  }
}

/** The value of a header line when that is `content-length`; else -1. */
function readContentLength(bytes: Uint8Array, start: number, end: number): number {
  if (bytes[start + CONTENT_LENGTH.length] !== COLON) return -1;
  const [, digits] = /^content-length: *(\d{1,15}) *\r?$/.exec(decodeLenient(bytes.subarray(start, end))) ?? [];
  return digits === undefined ? -1 : Number(digits);
}
