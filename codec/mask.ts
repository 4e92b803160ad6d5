/**
 * Keeps passcodes and tokens out of errors and logs. A broker may quote a CONNECT in its answer.
 *
 * @module
 */
import { type ErrorFrame, textOf } from "../base/errors.ts";
import type { FrameHeaders } from "./headers.ts";
import { decodeLenient } from "./text.ts";

const MASK = "***";

/** A secret this short is part of common words, too: it is masked only where no letter or digit touches it. */
const MAX_AMBIGUOUS_CHARS = 3;

/** The parts of a frame that may contain a secret. */
export interface MaskableFrame extends ErrorFrame {
  /** The bytes of the body, if they are known. */
  readonly body?: Uint8Array;
}

/** The headers of CONNECT that are secrets, in lower case: STOMP's own, and those that gateways take for a login. */
const SECRET_HEADERS: ReadonlySet<string> = new Set([
  "passcode",
  "authorization",
  "proxy-authorization",
  "cookie",
  "token",
  "access-token",
  "x-auth-token",
  "x-csrf-token",
  "x-xsrf-token",
]);

/**
 * Masks the secrets of a CONNECT in a frame; returns `undefined` when the frame does not contain any. A passcode that is
 * the same as the login stays: brokers name the login that they refuse, which has to be readable.
 */
export function maskSecrets(
  frame: MaskableFrame,
  connect: Readonly<Record<string, string | undefined>>,
): { command: string; headers: FrameHeaders; body: string } | undefined {
  const secrets = secretsOf(connect);
  if (secrets.length === 0) return undefined;
  let found = false;
  const mask = (text: string) => {
    const masked = secrets.reduce(maskText, text);
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

/** Returns the secrets of a CONNECT, the longest first, so that none is left in part. */
function secretsOf(connect: Readonly<Record<string, string | undefined>>): string[] {
  const secrets: string[] = [];
  for (const [name, value] of Object.entries(connect)) {
    if (!value || !SECRET_HEADERS.has(name.toLowerCase()) || value === connect["login"]) continue;
    // The token of "Bearer <token>" as well: a broker may quote it alone.
    const [, token] = /^\w+ +(\S+)$/.exec(value) ?? [];
    secrets.push(value, ...(token === undefined ? [] : [token]));
  }
  return secrets.sort((a, b) => b.length - a.length);
}

function maskText(text: string, secret: string): string {
  if (secret.length > MAX_AMBIGUOUS_CHARS) return text.replaceAll(secret, MASK);
  const literal = secret.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "gu"), MASK);
}

/** Returns a copy of headers that may be shown. */
export function hideSecrets(headers: FrameHeaders): FrameHeaders {
  const shown: FrameHeaders = Object.create(null);
  for (const name in headers) shown[name] = SECRET_HEADERS.has(name.toLowerCase()) ? "…" : headers[name]!;
  return shown;
}
