/**
 * Taking a passcode out of what a broker answers to the CONNECT that it was in.
 *
 * @module
 */
import type { ErrorFrame } from "../base/errors.ts";
import type { FrameHeaders } from "./headers.ts";
import { decodeLenient } from "./text.ts";

const MASK = "***";

/** A passcode as short as this is also a part of common words: it is looked for where no letter or digit touches it. */
const MAX_AMBIGUOUS = 3;

/** A frame, as far as a passcode can be in it. */
export interface MaskableFrame extends ErrorFrame {
  /** The octets of the body, where they can be had. */
  readonly body?: Uint8Array;
}

/** What a frame is made of once the passcode is out of it. */
export interface MaskedParts {
  /** The command. */
  command: string;
  /** The headers. */
  headers: FrameHeaders;
  /** The body. */
  body: string;
}

/**
 * What is left of a frame without the passcode of a CONNECT; `undefined` where it is not in there. A passcode that is
 * the login, too, stays: the broker names the login, and with it hidden nobody would know whom it refuses.
 */
export function maskPasscode(frame: MaskableFrame, connect: Readonly<Record<string, string | undefined>>):
  | MaskedParts
  | undefined {
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
  // The body is text from here on, whatever it was.
  delete headers["content-length"];
  headers["content-type"] = "text/plain";
  return { command: frame.command, headers, body };
}

function maskText(text: string, passcode: string): string {
  if (passcode.length > MAX_AMBIGUOUS) return text.replaceAll(passcode, MASK);
  const literal = passcode.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "gu"), MASK);
}

function textOf(frame: MaskableFrame): string | undefined {
  try {
    return frame.text();
  } catch {
    return undefined; // nobody knows the charset that it claims
  }
}

const SECRET_HEADERS = new Set(["passcode"]);

/** Returns a copy of headers that may be shown. */
export function hideSecrets(headers: FrameHeaders): FrameHeaders {
  const shown: FrameHeaders = Object.create(null);
  for (const name in headers) shown[name] = SECRET_HEADERS.has(name) ? "…" : headers[name]!;
  return shown;
}
