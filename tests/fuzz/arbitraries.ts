/**
 * Frames, octets and ways to cut them, at random.
 *
 * @module
 */
import fc from "fast-check";
import { VERSIONS } from "../../codec/protocol.ts";
import { latin1, octets } from "../fixtures/decoding.ts";

/** A version. */
export const version: fc.Arbitrary<(typeof VERSIONS)[number]> = fc.constantFrom(...VERSIONS);

/** Every command of the protocol. */
const command = fc.constantFrom(
  ..."CONNECT CONNECTED STOMP SEND SUBSCRIBE UNSUBSCRIBE ACK NACK BEGIN COMMIT ABORT DISCONNECT MESSAGE RECEIPT ERROR"
    .split(" "),
);
const commandWithBody = fc.constantFrom("SEND", "MESSAGE", "ERROR");

/** Text in which characters that the protocol uses are much more frequent than usual. */
const char = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("\\", ":", "\n", "\r", "n", "c", "r", "t", " ", "\0", "\ufeff") },
  { weight: 3, arbitrary: fc.constantFrom("a", "1", "é", "😀") },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }) },
);
const text = fc.string({ unit: char, maxLength: 8 });

/** Some names have a meaning, and some are names of object members. */
const name = fc.oneof(
  { weight: 3, arbitrary: text },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "destination",
      "content-length",
      "content-type",
      "Content-Length",
      "receipt",
      "version",
      "__proto__",
      "constructor",
      "toString",
    ),
  },
);

const headers = fc.array(fc.tuple(name, text), { maxLength: 5 }).map((entries) => Object.fromEntries(entries));

const body = fc.oneof(
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  {
    weight: 2,
    arbitrary: fc.array(fc.constantFrom(0, 10, 13, 0x3a, 0x4d, 0xef), { maxLength: 40 }).map((b) => Uint8Array.from(b)),
  },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(0)) },
);

/** A frame as a caller may ask for it; some cannot be encoded. */
export interface RandomFrame {
  command: string;
  headers: Record<string, string>;
  body: Uint8Array;
}

/** Any frame. */
export const frame: fc.Arbitrary<RandomFrame> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ command: commandWithBody, headers, body }) },
  { weight: 1, arbitrary: fc.record({ command, headers, body: fc.constant(new Uint8Array(0)) }) },
  { weight: 1, arbitrary: fc.record({ command: fc.oneof(command, text), headers, body }) },
);

/** Places to cut, in fractions of the whole, so that they fit any length. */
export const cuts: fc.Arbitrary<number[]> = fc.oneof(
  { weight: 4, arbitrary: fc.array(fc.nat(9999), { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constant<number[]>([-1]) },
);

/** Cuts octets: at the places given, or everywhere for -1. Some chunks may be empty. */
export function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  if (places[0] === -1) return Array.from(bytes, (byte) => Uint8Array.of(byte));
  const ends = places.map((place) => Math.floor(place * (bytes.length + 1) / 10_000)).sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, i) => bytes.slice(ends[i - 1] ?? 0, end));
}

const TOKENS = [
  ..."MESSAGE RECEIPT CONNECTED CONNECT SEND ACK ERROR content-length: content-length:0 content-length:3".split(" "),
  ..."version:1.0 version:1.1 version:1.2 a:b a: :b é :".split(" ").map((token) =>
    latin1(new TextEncoder().encode(token))
  ),
  ..."\\n \\c \\r \\\\ \\t \\ 1 2 3 -1 99999999999999999999 a".split(" "),
  "\n",
  "\n",
  "\n\n",
  "\r\n",
  "\r",
  "\0",
  "\n\0",
  "\n\nabc\0",
  " ",
  "\xff",
  "\xef\xbb\xbf",
  "MESSAGE\n",
  "MESSAGE\na:b\n",
  "MESSAGE\na:b\n\n\0",
  "CONNECTED\nversion:1.1\n\n\0",
  "CONNECTED\r\nversion:1.2\r\n\r\n\0",
  "RECEIPT\nreceipt-id:1\n\n\0",
];

const tokens = fc.array(fc.constantFrom(...TOKENS), { maxLength: 25 }).map((list) => list.join(""));

/** One change to a wire: its place, how much is removed, and what is inserted. */
const change = fc.tuple(fc.nat(9999), fc.nat(3), fc.oneof(fc.constant(""), fc.constantFrom(...TOKENS)));

const GOOD = [
  "CONNECTED\nserver:x\nversion:1.1\n\n\0\nMESSAGE\nfoo:a\\cb\ncontent-length:3\n\na\0b\0\n",
  "\nMESSAGE\r\nfoo:\\r\\n\r\ncontent-length:5\r\n\r\nhello\0\r\nRECEIPT\nreceipt-id:x\n\n\0",
  "MESSAGE\nfoo:World\nfoo:Hello\n\nbody\0ERROR\nmessage:no\n\n\0",
  "CONNECT\naccept-version:1.2\nhost:h\npasscode:a\\c:b\n\n\n\0SEND\ndestination:/q\n\nhi\0",
];

const mutated = fc.tuple(fc.constantFrom(...GOOD), fc.array(change, { maxLength: 4 })).map(([good, changes]) => {
  let wire = good;
  for (const [place, gone, come] of changes) {
    const at = Math.floor(place * (wire.length + 1) / 10_000);
    wire = wire.slice(0, at) + come + wire.slice(at + gone);
  }
  return wire;
});

const noise = fc.uint8Array({ maxLength: 60 }).map(latin1);

/** Usually `right`: input that is right most of the time gets deeper into the decoder. */
const usually = <T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 30, arbitrary: right }, { weight: 1, arbitrary: wrong });

const token = fc.constantFrom(...TOKENS);
const eol = usually(fc.constantFrom("\n", "\n", "\n", "\r\n"), fc.constant("\r"));
const value = fc.array(
  usually(fc.constantFrom("a", "b", " ", ":", "\\n", "\\c", "\\\\", "\0", "\xc3\xa9", "\xef\xbb\xbf"), token),
  { maxLength: 4 },
).map((pieces) => pieces.join(""));
const headerLine = usually(
  fc.oneof(
    fc.tuple(fc.constantFrom("a", "foo", "receipt-id", "version", "__proto__", "a\\c", " "), value).map((p) =>
      p.join(":")
    ),
    fc.constantFrom("version:1.0", "version:1.1", "version:1.2", "Content-Length:9"),
  ),
  token,
);
const octetsOfBody = fc.array(fc.constantFrom("a", "\n", "\r", "\0", "\xff", "MESSAGE\n"), { maxLength: 6 }).map((p) =>
  p.join("")
);

/** A frame of a peer that makes mistakes. */
const peerFrame = fc.record({
  between: fc.array(eol, { maxLength: 3 }),
  command: usually(
    fc.constantFrom("MESSAGE", "MESSAGE", "SEND", "ERROR", "RECEIPT", "ACK", "CONNECTED", "CONNECT"),
    token,
  ),
  lines: fc.array(fc.tuple(headerLine, eol), { maxLength: 4 }),
  eols: fc.tuple(eol, eol),
  body: octetsOfBody,
  sized: fc.boolean(),
  end: usually(fc.constant("\0"), fc.constantFrom("", "\n", "\0\0")),
}).map(({ between, command, lines, eols, body, sized, end }) => {
  const hasBody = ["MESSAGE", "SEND", "ERROR"].includes(command);
  const octets = hasBody ? sized ? body : body.replaceAll("\0", "") : "";
  const length = sized ? `content-length:${octets.length}\n` : "";
  const head = `${command}${eols[0]}${length}${lines.map((line) => line.join("")).join("")}${eols[1]}`;
  return between.join("") + head + octets + end;
});

const peer = fc.array(peerFrame, { maxLength: 4 }).map((frames) => frames.join(""));

/** Headers of which each frame has some; `alike` repeats them with other values. */
const ALIKE = ["subscription", "message-id", "content-type", "a", "content-length"];

const otherValue = usually(
  fc.constantFrom("", "1", "12", "abcdefghij", "a:b", " 1", "text/plain", "text/plain;charset=latin1", "x;y"),
  fc.constantFrom("\\c", "\xc3\xa9", "\r", "a\\t"),
);

/** Frames like those of a queue: the same lines in the same order, with a few other values. */
const alike = fc.record({
  first: fc.array(otherValue, { minLength: ALIKE.length, maxLength: ALIKE.length }),
  later: fc.array(
    fc.record({
      command: usually(fc.constant("MESSAGE"), fc.constantFrom("SEND", "RECEIPT")),
      changes: fc.array(fc.tuple(fc.nat(ALIKE.length - 1), otherValue), { maxLength: 3 }),
      gone: usually(fc.constant(-1), fc.nat(ALIKE.length - 1)),
      body: fc.constantFrom("", "a", "hello world", "\xe9", "\n\n"),
      sized: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  ),
}).map(({ first, later }) => {
  let wire = "";
  for (const { command, changes, gone, body, sized } of [{ ...later[0]!, changes: [], gone: -1 }, ...later]) {
    const values: string[] = [...first];
    for (const [at, value] of changes) values[at] = value;
    values[ALIKE.length - 1] = sized ? String(body.length) : values[ALIKE.length - 1]!;
    const lines = ALIKE.map((name, i) => i === gone ? "" : `${name}:${values[i]}\n`);
    if (!sized) lines.pop();
    wire += `${command}\n${lines.join("")}\n${command === "RECEIPT" ? "" : body}\0`;
  }
  return wire;
});

/** Any octets: frames of a peer, frames that are alike, good frames with faults, pieces of frames in any order, noise. */
export const wire: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: peer },
  { weight: 3, arbitrary: alike },
  { weight: 3, arbitrary: mutated },
  { weight: 1, arbitrary: tokens },
  { weight: 1, arbitrary: noise },
).map(octets);

/** Limits that octets of that size sometimes exceed. */
export const limits: fc.Arbitrary<{ maxHeaderBytes: number; maxHeaders: number; maxBodyBytes: number }> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ maxHeaderBytes: 65_536, maxHeaders: 1000, maxBodyBytes: 1 << 27 }) },
  {
    weight: 1,
    arbitrary: fc.record({ maxHeaderBytes: fc.nat(60), maxHeaders: fc.nat(4), maxBodyBytes: fc.nat(8) }),
  },
);
