/**
 * A reference decoder, as plain as the texts of the protocol allow: it is slow, and needs all octets at once. The real
 * decoder is compared with it.
 *
 * @module
 */
import type { Version } from "../../codec/protocol.ts";
import { octets, type PlainFrame } from "../fixtures/decoding.ts";

/** The limits, and what to do with CONNECTED. */
export interface ReferenceOptions {
  version: Version;
  maxHeaderBytes: number;
  maxHeaders: number;
  maxBodyBytes: number;
  /** Whether a CONNECTED sets the version of what follows. */
  follow: boolean;
}

/** The result of decoding. */
export interface ReferenceOutcome {
  frames: PlainFrame[];
  heartbeats: number;
  /** How the octets end: between frames, inside a frame that may yet be good, or with a fault. */
  end: "clean" | "open" | "fault";
}

const COMMANDS =
  "CONNECT CONNECTED STOMP SEND SUBSCRIBE UNSUBSCRIBE ACK NACK BEGIN COMMIT ABORT DISCONNECT MESSAGE RECEIPT ERROR"
    .split(" ");
const WITH_BODY = ["SEND", "MESSAGE", "ERROR"];
const LITERAL = ["CONNECT", "CONNECTED", "STOMP"];
const ESCAPES: Record<Version, Record<string, string>> = {
  "1.0": {},
  "1.1": { n: "\n", c: ":", "\\": "\\" },
  "1.2": { n: "\n", c: ":", "\\": "\\", r: "\r" },
};

/** Thrown for octets that are not STOMP. */
class Fault extends Error {}

/** Thrown where the octets end too early. */
class Open extends Error {}

/** Decodes octets, given as one character each. */
export function reference(wire: string, options: ReferenceOptions): ReferenceOutcome {
  const outcome: ReferenceOutcome = { frames: [], heartbeats: 0, end: "clean" };
  let { version } = options;
  let at = 0;
  let crAllowed = true;
  try {
    for (;;) {
      const lineEnd = /^\n|^\r\n/.exec(wire.slice(at, at + 2))?.[0];
      if (lineEnd === "\n" || (lineEnd === "\r\n" && (crAllowed || version === "1.2"))) {
        outcome.heartbeats++;
        at += lineEnd.length;
        continue;
      }
      if (at === wire.length || (wire.slice(at) === "\r" && (crAllowed || version === "1.2"))) return outcome;
      const { frame, end } = readFrame(wire, at, version, options);
      outcome.frames.push(frame);
      at = end;
      crAllowed = LITERAL.includes(frame[0]);
      if (options.follow && frame[0] === "CONNECTED") {
        const named = frame[1]["version"] ?? "1.0";
        if (named in ESCAPES) version = named as Version;
      }
    }
  } catch (error) {
    outcome.end = error instanceof Open ? "open" : error instanceof Fault ? "fault" : raise(error);
  }
  return outcome;
}

function raise(error: unknown): never {
  throw error;
}

function readFrame(wire: string, start: number, version: Version, limits: ReferenceOptions) {
  let at = start;
  const nextLine = (): string => {
    const lf = wire.indexOf("\n", at);
    if (lf < 0) throw new Open();
    const line = wire.slice(at, lf);
    at = lf + 1;
    return line;
  };
  let command = nextLine();
  const literal = LITERAL.includes(command.replace(/\r$/, ""));
  const crlf = literal || version === "1.2";
  const strip = (line: string) => crlf ? line.replace(/\r$/, "") : line;
  command = strip(command);
  if (!COMMANDS.includes(command)) throw new Fault("command");

  const lines: string[] = [];
  for (;;) {
    const line = strip(nextLine());
    if (line === "") break;
    lines.push(line);
    if (lines.length > limits.maxHeaders) throw new Fault("maxHeaders");
  }
  if (at - start > limits.maxHeaderBytes) throw new Fault("maxHeaderBytes");

  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [name, value] = readHeader(line, literal, version, crlf);
    if (!Object.hasOwn(headers, name)) Object.defineProperty(headers, name, property(value));
  }
  const length = headers["content-length"];
  let body: string;
  if (length !== undefined) {
    const digits = version === "1.0" ? length.replace(/ *$/, "") : length;
    if (!/^\d{1,15}$/.test(digits) || Number(digits) > limits.maxBodyBytes) throw new Fault("content-length");
    body = wire.slice(at, at + Number(digits));
    at += Number(digits);
    if (at >= wire.length) throw new Open();
    if (wire[at] !== "\0") throw new Fault("NUL");
  } else {
    const nul = wire.indexOf("\0", at);
    if ((nul < 0 ? wire.length : nul) - at > limits.maxBodyBytes) throw new Fault("maxBodyBytes");
    if (nul < 0) throw new Open();
    body = wire.slice(at, nul);
    at = nul;
  }
  if (!WITH_BODY.includes(command)) {
    if (version !== "1.0" && !/^[\r\n]*$/.test(body)) throw new Fault("body");
    body = "";
  }
  const frame: PlainFrame = [command, headers, body];
  return { frame, end: at + 1 };
}

function readHeader(line: string, literal: boolean, version: Version, crlf: boolean): [name: string, value: string] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets(line));
  } catch {
    throw new Fault("UTF-8");
  }
  if (crlf && text.includes("\r")) throw new Fault("CR");
  const colon = text.indexOf(":");
  if (colon < 1) throw new Fault("colon");
  let name = text.slice(0, colon);
  let value = text.slice(colon + 1);
  if (version === "1.0") value = value.replace(/^ */, "");
  if (!literal && version !== "1.0") [name, value] = [unescape(name, version), unescape(value, version)];
  return [name, value];
}

function unescape(text: string, version: Version): string {
  return text.replace(/\\(.?)/gsu, (_, char: string) => ESCAPES[version][char] ?? raise(new Fault("escape")));
}

function property(value: string): PropertyDescriptor {
  return { value, enumerable: true, configurable: true, writable: true };
}
