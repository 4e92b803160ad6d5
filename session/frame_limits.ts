/**
 * Refuses frames that the broker is known to hang up on, before they are written.
 *
 * @module
 */
import type { Frame } from "../codec/frame.ts";
import type { Dialect, FrameLimits } from "../dialects/dialect.ts";

/** Bytes that the head of a message is taken to have at most, before it is looked at closely. */
const USUAL_HEAD = 1 << 16;

/** Header lines that are written beside the ones that the sender names: `receipt`, `content-length` and the like. */
const OWN_HEADERS = 8;

const textEncoder = new TextEncoder();

/** Checks the messages of one connection. */
export class FrameCheck {
  readonly #limits: FrameLimits;
  readonly #broker: string;

  /** By what the broker is known to take, and what the user knows better. */
  constructor(dialect: Dialect, server: string | undefined, given: Partial<FrameLimits> = {}) {
    const known = dialect.frameLimits(server?.trim() ?? "");
    this.#limits = { bytes: given.bytes ?? known.bytes, headers: given.headers ?? known.headers };
    this.#broker = server?.trim().replace("/", " ") ?? dialect.name;
  }

  /** Whether a message needs a look: hardly any does. */
  isSuspicious(body: string | Uint8Array, headers: number): boolean {
    const { bytes, headers: mostHeaders } = this.#limits;
    const atMost = typeof body === "string" ? body.length * 3 : body.length;
    return atMost + USUAL_HEAD > bytes || headers + OWN_HEADERS > mostHeaders;
  }

  /**
   * Checks a message whose head is encoded.
   *
   * @param headers names and values by turns
   * @throws {RangeError} when the broker does not take it.
   */
  check(destination: string, head: Uint8Array, headers: readonly string[], body: string | Uint8Array): void {
    const lines = head.filter((byte) => byte === LF).length - 1 + headers.length / 2;
    const own = textEncoder.encode(headers.join("\n")).length + headers.length / 2;
    this.#check(destination, lines, head.length + own, body);
  }

  /**
   * Checks a frame.
   *
   * @throws {RangeError} when the broker does not take it.
   */
  checkFrame(frame: Frame): void {
    const names = Object.keys(frame.headers);
    const text = names.map((name) => `${name}:${frame.headers[name]}\n`).join("");
    this.#check(frame.headers["destination"] ?? "", names.length, textEncoder.encode(text).length, frame.body);
  }

  #check(destination: string, lines: number, head: number, body: string | Uint8Array): void {
    const size = typeof body === "string" ? textEncoder.encode(body).length : body.length;
    const bytes = head + size + (size > 0 ? `content-length:${size}\n`.length : 0) + 2; // the empty line and the NUL
    const headers = lines + (size > 0 ? 1 : 0);
    if (bytes > this.#limits.bytes) this.#refuse(destination, `${bytes} bytes`, `${this.#limits.bytes}`);
    if (headers > this.#limits.headers) this.#refuse(destination, `${headers} headers`, `${this.#limits.headers}`);
  }

  #refuse(destination: string, has: string, limit: string): never {
    throw new RangeError(
      `Cannot send to ${destination}: the frame has ${has}, and ${this.#broker} hangs up on more than ${limit}; ` +
        "where the broker is configured otherwise, say so by the option frameLimits",
    );
  }
}

const LF = 10;
