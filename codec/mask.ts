/**
 * Keeps passcodes out of errors and logs. A broker may quote a CONNECT in its answer.
 *
 * @module
 */
import { type ErrorFrame, textOf } from "../base/errors.ts";
import type { FrameHeaders } from "./headers.ts";
import { decodeLenient } from "./text.ts";

const MASK = "***";

/** A passcode this short is part of common words, too: it is masked only where no letter or digit touches it. */
const MAX_AMBIGUOUS_CHARS = 3;

/** The parts of a frame that may contain a passcode. */
export interface MaskableFrame extends ErrorFrame {
  /** The bytes of the body, if they are known. */
  readonly body?: Uint8Array;
}

/**
 * Masks the passcode of a CONNECT in a frame; returns `undefined` when the frame does not contain it. A passcode that is
 * the same as the login stays: brokers name the login that they refuse, which has to be readable.
 */
export function maskPasscode(
  frame: MaskableFrame,
  connect: Readonly<Record<string, string | undefined>>,
): { command: string; headers: FrameHeaders; body: string } | undefined {
  const { login, passcode } = connect;
  if (!passcode || passcode === login) return undefined;
  let found = false;
  const mask = (text: string) => {
    const masked = maskText(text, passcode);
    found ||= masked !== text;
    return masked;
  };
  const headers: FrameHeaders = Object.create(null);
  for (const name in frame.headers) headers[mask(name)] = mask(frame.headers[name]!);
  // A broker may claim one charset and write in another.
  const octets = decodeLenient(frame.body ?? new Uint8Array(0));
  const masked = mask(octets);
  const body = masked === octets ? mask(textOf(frame) ?? octets) : masked;
  if (!found) return undefined;
  // The masked body is text, whatever the frame said.
  delete headers["content-length"];
  headers["content-type"] = "text/plain";
  return { command: frame.command, headers, body };
}

function maskText(text: string, passcode: string): string {
  if (passcode.length > MAX_AMBIGUOUS_CHARS) return text.replaceAll(passcode, MASK);
  const literal = passcode.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "gu"), MASK);
}

/** Returns a copy of headers that may be shown. */
export function hideSecrets(headers: FrameHeaders): FrameHeaders {
  const shown: FrameHeaders = Object.create(null);
  for (const name in headers) shown[name] = name === "passcode" ? "…" : headers[name]!;
  return shown;
}
