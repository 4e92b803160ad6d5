/**
 * Refuses frames that the broker is known to close the connection for, before they are written.
 *
 * @module
 */
import { LF } from "../codec/bytes.ts";
import type { Frame } from "../codec/frame.ts";
import type { Dialect, FrameLimits } from "../dialects/dialect.ts";

/** Bytes that the head of almost any message fits in. Messages that may be larger are measured. */
const USUAL_HEAD_BYTES = 1 << 16;

/** Header lines that are written beside those that the caller gives: `receipt`, `content-length` and the like. */
const ADDED_HEADERS = 8;

const textEncoder = new TextEncoder();

/** Checks the messages of one connection. */
export class FrameCheck {
  readonly #limits: FrameLimits;
  readonly #broker: string;

  /** Uses the limits that the caller gives, else those that the broker is known to have. */
  constructor(dialect: Dialect, server: string | undefined, given: Partial<FrameLimits> = {}) {
    const known = dialect.frameLimits(server?.trim() ?? "");
    this.#limits = { bytes: given.bytes ?? known.bytes, headers: given.headers ?? known.headers };
    this.#broker = server?.trim().replace("/", " ") ?? dialect.name;
  }

  /** Whether a message may be over a limit and has to be checked. Almost none has to. */
  isSuspicious(body: string | Uint8Array, headers: number): boolean {
    const { bytes, headers: maxHeaders } = this.#limits;
    const maxBodyBytes = typeof body === "string" ? body.length * 3 : body.length;
    return maxBodyBytes + USUAL_HEAD_BYTES > bytes || headers + ADDED_HEADERS > maxHeaders;
  }

  /**
   * Checks a message whose head is encoded.
   *
   * @param headers names and values by turns
   * @throws {RangeError} when the message is over a limit.
   */
  check(destination: string, head: Uint8Array, headers: readonly string[], body: string | Uint8Array): void {
    const lines = head.filter((byte) => byte === LF).length - 1 + headers.length / 2;
    const added = textEncoder.encode(headers.join("\n")).length + headers.length / 2;
    this.#check(destination, lines, head.length + added, body);
  }

  /**
   * Checks a frame.
   *
   * @throws {RangeError} when the frame is over a limit.
   */
  checkFrame(frame: Frame): void {
    const names = Object.keys(frame.headers);
    const text = names.map((name) => `${name}:${frame.headers[name]}\n`).join("");
    this.#check(frame.headers["destination"] ?? "", names.length, textEncoder.encode(text).length, frame.body);
  }

  #check(destination: string, lines: number, headBytes: number, body: string | Uint8Array): void {
    const size = typeof body === "string" ? textEncoder.encode(body).length : body.length;
    const bytes = headBytes + size + (size > 0 ? `content-length:${size}\n`.length : 0) + 2; // the empty line and the NUL
    const headers = lines + (size > 0 ? 1 : 0);
    if (bytes > this.#limits.bytes) this.#refuse(destination, `${bytes} bytes`, this.#limits.bytes);
    if (headers > this.#limits.headers) this.#refuse(destination, `${headers} headers`, this.#limits.headers);
  }

  #refuse(destination: string, has: string, limit: number): never {
    throw new RangeError(
      `Cannot send to ${destination}: the frame has ${has}, and ${this.#broker} hangs up on more than ${limit}; ` +
        "where the broker is configured otherwise, say so by the option frameLimits",
    );
  }
}
