/**
 * Properties of the codec that hold for any frame and any octets.
 *
 * @module
 */
import fc from "fast-check";
import { FrameDecoder } from "../../codec/decoder.ts";
import { UnknownBrokerResponseError } from "../../base/errors.ts";
import { Frame, subscriptionOf } from "../../codec/frame.ts";
import type { Version } from "../../codec/protocol.ts";
import { decode, followVersion, latin1, type Outcome, plain, type PlainFrame } from "../fixtures/decoding.ts";
import { cut, cuts, frame, limits, type RandomFrame, version, wire } from "./arbitraries.ts";
import { reference, type ReferenceOptions } from "./reference.ts";

/** A property. */
export interface Property {
  /** What it says. */
  name: string;
  /** Tries it on `runs` cases. */
  check(runs: number, seed: number): Verdict;
}

/** The result of trying a property. */
export interface Verdict {
  /** How many cases were tried. */
  cases: number;
  /** What refutes the property, with the smallest case found; `undefined` when nothing does. */
  refutation: string | undefined;
}

function define<T extends [unknown, ...unknown[]]>(name: string, property: fc.IProperty<T>): Property {
  return {
    name,
    check: (numRuns, seed) => {
      const details = fc.check(property, { numRuns, seed });
      const { errorInstance, failed, numRuns: cases } = details;
      return { cases, refutation: failed ? `${fc.defaultReportMessage(details)}\n${errorInstance}` : undefined };
    },
  };
}

/** All properties. */
export const PROPERTIES: readonly Property[] = [
  define(
    "`Frame.encode()` throws, or writes what `FrameDecoder` decodes to the same frame in any chunks",
    fc.property(frame, version, cuts, survives),
  ),
  define(
    "`FrameDecoder` makes of any octets the frames or the error that the reference decoder makes",
    fc.property(wire, version, cuts, limits, fc.boolean(), agrees),
  ),
  define(
    "`Frame` accessors of a decoded frame agree, and `encode()` writes it again",
    fc.property(wire, version, cuts, reads),
  ),
];

/** A frame is refused with a `TypeError`, or decoded to what was encoded, whatever its headers hold. */
function survives(given: RandomFrame, version: Version, places: number[]): void {
  const frame = new Frame().buildFrame(given);
  let bytes: Uint8Array;
  try {
    bytes = frame.encode(version);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    same(isRefused(given, version), true, `${error.message}`);
    return;
  }
  same(isRefused(given, version), false, "a frame that cannot be carried was encoded");
  const { frames, ...rest } = decode(cut(bytes, places), { version });
  same(rest, { heartbeats: 0, error: false, pending: false }, latin1(bytes));
  same(frames, [expected(given, version)], latin1(bytes));
}

const BODIES = ["SEND", "MESSAGE", "ERROR"];
const LITERAL = ["CONNECT", "CONNECTED", "STOMP"];

/** Whether the protocol has no way to write a frame. */
function isRefused({ command, headers, body }: RandomFrame, version: Version): boolean {
  if (!/^[A-Z]+$/.test(command)) return true;
  if (body.length > 0 && !BODIES.includes(command)) return true;
  const raw = version === "1.0" || LITERAL.includes(command);
  return Object.entries(headers).some(([name, value]) => {
    if (name === "content-length") return false; // the encoder's own
    if (name === "" || !name.isWellFormed() || !value.isWellFormed()) return true;
    if (raw) return /[\n\r:]/.test(name) || /[\n\r]/.test(value);
    return version === "1.1" && /\r/.test(name + value);
  });
}

/** What a frame that can be encoded is decoded to. */
function expected({ command, headers, body }: RandomFrame, version: Version): PlainFrame {
  const entries = Object.entries(headers).map(([name, value]) => // 1.0 takes leading spaces for padding.
  [name, name === "content-length" ? `${body.length}` : version === "1.0" ? value.replace(/^ */, "") : value]);
  if (body.length > 0 && !Object.hasOwn(headers, "content-length")) entries.push(["content-length", `${body.length}`]);
  return [command, Object.fromEntries(entries), latin1(body)];
}

/** The decoder agrees with the reference, however the octets are cut, with the cache of heads and without. */
function agrees(
  bytes: Uint8Array,
  version: Version,
  places: number[],
  limits: Omit<ReferenceOptions, "version" | "follow">,
  follow: boolean,
): void {
  const options = { version, ...limits, onFrame: follow ? followVersion : undefined };
  const whole: Outcome = decode([bytes], options);
  same(decode(cut(bytes, places), options), whole, "cut in pieces");
  same(decode(cut(bytes, places), options, { hasHeadCache: false }), whole, "without the cache of heads");
  const { frames, heartbeats, end } = reference(latin1(bytes), { version, ...limits, follow });
  same([whole.frames, whole.heartbeats], [frames, heartbeats], "the plain decoder");
  // Octets that cannot become a frame may be refused before they are whole.
  if (end !== "open") same([whole.error, whole.pending], [end === "fault", false], end);
  else same(whole.error !== whole.pending, true, end);
  for (const [, headers, body] of whole.frames) {
    same(body.length <= limits.maxBodyBytes && Object.keys(headers).length <= limits.maxHeaders, true, "limits");
  }
}

/** The accessors of a frame agree, in any order, and it encodes to the same frame. */
function reads(bytes: Uint8Array, version: Version, places: number[]): void {
  const frames: [Frame, Version][] = [];
  const decoder = new FrameDecoder({
    version,
    onFrame: (frame) => {
      frames.push([frame, decoder.version]);
      followVersion(frame, decoder);
    },
  });
  try {
    for (const chunk of cut(bytes, places)) decoder.push(chunk);
  } catch (error) {
    if (!(error instanceof UnknownBrokerResponseError)) throw error;
  }
  const names = ["a", "foo", "content-length", "version", "receipt-id", "subscription", "message-id"];
  for (const [frame, version] of frames) {
    const single = names.map((name) => frame.header(name));
    const text = frame.text();
    const before = plain(frame);
    same(single, names.map((name) => frame.headers[name]), "header()");
    same([frame.bodyLength, frame.text()], [frame.body.length, text], "text()");
    same(subscriptionOf(frame), frame.headers["subscription"], "subscriptionId");
    const charset = frame.headers["content-type"] === "text/plain;charset=latin1" ? "latin1" : "utf-8";
    same(text, new TextDecoder(charset, { ignoreBOM: true }).decode(frame.body), "text() in the charset");
    same(plain(frame.detach()), before, "detach()");
    same(frame.text(), text, "text() after detach()");
    JSON.stringify(frame);
    let again: Uint8Array;
    try {
      again = frame.encode(version);
    } catch (error) {
      // 1.1 reads a CR as data, and cannot write one.
      if (error instanceof TypeError && version !== "1.2") continue;
      throw error;
    }
    const [command, { ["content-length"]: _, ...headers }, body] = before;
    const second = decode([again], { version });
    const [frameAgain] = second.frames;
    const { ["content-length"]: __, ...headersAgain } = frameAgain![1];
    same([frameAgain![0], headersAgain, frameAgain![2], second.error], [command, headers, body, false], "sent again");
  }
}

/** Compares as JSON, which is much faster than in depth; the order of keys does not count. */
function same(actual: unknown, expected: unknown, what: string): void {
  const [left, right] = [canonical(actual), canonical(expected)];
  if (left !== right) throw new Error(`${what}\n  got      ${left}\n  expected ${right}`);
}

function canonical(value: unknown): string {
  return JSON.stringify(
    value,
    (_, item) => typeof item === "object" && item !== null && !Array.isArray(item) ? Object.entries(item).sort() : item,
  );
}
