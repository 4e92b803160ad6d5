/** Heads that are compared with earlier ones: the result is the same as parsing each alone. */
import { assertEquals, assertLess, assertThrows } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import process from "node:process";
import { FrameDecoder } from "../../codec/decoder.ts";
import { UnknownBrokerResponseError } from "../../base/errors.ts";
import { type Frame, subscriptionOf } from "../../codec/frame.ts";
import type { Version } from "../../codec/protocol.ts";
import { octets } from "../fixtures/decoding.ts";
import { runtime } from "../support/runtime.ts";

interface Head {
  headers: Record<string, string>;
  subscription: string | undefined;
  body: string;
}

const said = (frame: Frame): Head => ({
  headers: { ...frame.headers },
  subscription: subscriptionOf(frame),
  body: frame.text(),
});

/** What one decoder makes of all frames, and what a new decoder makes of each alone. */
function bothWays(frames: string[], version?: Version): [Head[], Head[]] {
  const together: Head[] = [];
  const decoder = new FrameDecoder({ version, onFrame: (frame) => together.push(said(frame)) });
  decoder.push(octets(frames.join("")));
  const alone: Head[] = [];
  for (const frame of frames) {
    new FrameDecoder({ version, onFrame: (got) => alone.push(said(got)) }).push(octets(frame));
  }
  return [together, alone];
}

function message(lines: readonly string[], body = ""): string {
  return `MESSAGE\n${lines.map((line) => `${line}\n`).join("")}\n${body}\0`;
}

/** What a decoder makes of the last frame after the others, or the message of its error. */
function lastOf(frames: readonly string[]): Head | string {
  let last: Frame | undefined;
  const decoder = new FrameDecoder({ onFrame: (frame) => last = frame });
  try {
    for (const frame of frames) decoder.push(octets(frame));
  } catch (error) {
    return (error as Error).message;
  }
  return said(last!); // which throws where the decoder should have
}

const cases: Record<string, string[]> = {
  "values of the same length": ["id:1", "id:2", "id:3"],
  "a value that grows and shrinks": ["id:9", "id:10", "id:9", "id:100", "id:"],
  "a value that begins like the one before": ["id:abc", "id:abcd", "id:ab", "id:abx", "id:xbc"],
  "a value that differs earlier each time": ["id:aaaaaaaaaaaa", "id:aaaaaaaaaaab", "id:aaaaabaaaaab", "id:b"],
  "another name": ["id:1", "ix:1", "id:1", "idx:1", "i:1"],
  "a colon elsewhere": ["id:1:2", "id1::2", "id:1:3"],
  "an escape in a value": ["id:1", "id:\\n", "id:2"],
  "octets over 127": ["id:1", "id:\xc3\xa9", "id:2"],
};

const BEFORE = [
  [],
  ["a:b"],
  ["long-name:a value of some length, to be compared eight bytes at a time"],
  ["id:the first counts"],
  ["10:a", "9:b", "__proto__:c"],
  ["a\\cb:c"],
];

for (const [name, lines] of Object.entries(cases)) {
  test(`\`HeadCache\` does not change what is decoded: ${name}`, () => {
    for (const before of BEFORE) {
      for (const behind of [[], ["c:d"], ["another-name:another value that is of some length as well"]]) {
        const [together, alone] = bothWays(lines.map((line) => message([...before, line, ...behind])));
        assertEquals(together, alone);
      }
    }
  });
}

test("`HeadCache` does not change what is decoded: padding in 1.0", () => {
  for (const version of ["1.0", "1.1", "1.2"] as const) {
    const [together, alone] = bothWays(["a: 1", "a:  2", "a:3", "a: "].map((line) => message([line, "b: x"])), version);
    assertEquals(together, alone);
    assertEquals(together[1]!.headers["a"], version === "1.0" ? "2" : "  2");
  }
});

test("`HeadCache` does not change what is decoded: unusual octets anywhere in a value", () => {
  for (const unusual of ["\r", "\\\\", "\xc3\xa9", "\x7f", "\x01", "\x0b", "\x5d", "\x0c"]) {
    for (let at = 0; at < 12; at++) {
      const value = `${"x".repeat(at)}${unusual}${"y".repeat(11 - at)}`;
      const frames = ["1", "2", value, "3"].map((value) => message([`a:${value}`, "b:c"]));
      if (unusual === "\r") {
        // Inside a value it is an error, and before the LF part of the line's end.
        if (at === 11) assertEquals(...bothWays(frames));
        else assertThrows(() => bothWays(frames), UnknownBrokerResponseError);
      } else assertEquals(...bothWays(frames));
    }
  }
});

test("`HeadCache` does not change what is decoded: a long value that differs anywhere", () => {
  const lines = Array.from({ length: 30 }, (_, i) => `name-${i}:value-${i}`);
  const known = message(["id:1", ...lines, "end:1"]);
  for (let at = 0; at < known.length - 3; at++) {
    for (const other of ["~", "\n", ":", "\xc3"]) {
      const changed = known.slice(0, at) + other + known.slice(at + 1);
      assertEquals(lastOf([known, known, changed]), lastOf([changed]), JSON.stringify([at, other]));
    }
  }
});

test("`HeadCache` does not change what is decoded: a line more or less", () => {
  const all = [["a:1", "b:2"], ["a:1", "b:2", "c:3"], ["a:1", "b:2"], ["a:1"], [], ["a:1", "a:1"]];
  const [together, alone] = bothWays(all.map((lines) => message(lines)));
  assertEquals(together, alone);
});

test("`HeadCache` does not change what is decoded: headers that the decoder reads differ", () => {
  const of = (subscription: string, type: string, body: string) =>
    message([`subscription:${subscription}`, `content-type:${type}`, `content-length:${body.length}`], body);
  const [together, alone] = bothWays([
    of("sub-1", "text/plain", "x"),
    of("sub-1", "text/plain", "x\0y"),
    of("sub-2", "text/plain", "0123456789"),
    of("sub-10", "text/plain;charset=utf-16le", "h\0i\0"),
    of("sub-1", "text/plain", ""),
  ]);
  assertEquals(together, alone);
  assertEquals(together.map(({ body }) => body), ["x", "x\0y", "0123456789", "hi", ""]);
  assertEquals(together.map(({ subscription }) => subscription), ["sub-1", "sub-1", "sub-2", "sub-10", "sub-1"]);
});

test("`subscriptionOf()` returns the header, however it is written", () => {
  for (const version of ["1.0", "1.1", "1.2"] as const) {
    const frames: Frame[] = [];
    const decoder = new FrameDecoder({ version, onFrame: (frame) => frames.push(frame) });
    for (const id of ["1", "1\\\\c2", "\xc3\xa9", "1", "1\\\\c3", " 2", "\xc3\xa8", "1\r", "2\r", "3"]) {
      decoder.push(octets(message([`subscription:${id}`])));
    }
    assertEquals(frames.map((frame) => subscriptionOf(frame)), frames.map((frame) => frame.headers["subscription"]));
  }
});

test("`HeadCache` does not change what is decoded: faults in a head like an earlier one", () => {
  const escapes = String.raw`a\c a\n a\\ a\q a\ a a\\c a\\n a\r aq ac`.split(" ");
  const utf8 = [
    "\xc3\xa9",
    "\xc3\xa8",
    "\xc3q",
    "\xa9",
    "\xc3",
    "\xe2\x82\xac",
    "\xe2\x82\xad",
    "\xe2\xc3\xa9",
    "\xe2\x82",
  ];
  const values = [...escapes, ...utf8, "a\r", "a\rb"];
  const of = (value: string) => message([`before:${"x".repeat(20)}`, `a:${value}`, `behind:${"y".repeat(20)}`]);
  const good = values.filter((value) => typeof lastOf([of(value)]) !== "string");
  assertEquals(good.length, 14);
  for (const first of good) {
    for (const second of good) {
      for (const third of values) {
        const frames = [first, second, third].map(of);
        assertEquals(lastOf(frames), lastOf(frames.slice(2)), JSON.stringify([first, second, third]));
      }
    }
  }
});

test("`HeadCache` does not change what is decoded: heads cut anywhere", () => {
  const frames = ["1", "22", "ID\\\\c3", "4"].map((id) =>
    message([`id:${id}`, "name:a value of some length"], `body ${id}`)
  );
  const wire = octets(frames.join(""));
  const [whole] = bothWays(frames);
  for (let first = 1; first < wire.length; first++) {
    for (const second of [1, 2, 9, 40, wire.length]) {
      const heads: Head[] = [];
      const decoder = new FrameDecoder({ onFrame: (frame) => heads.push(said(frame)) });
      decoder.push(wire.slice(0, first));
      for (let at = first; at < wire.length; at += second) decoder.push(wire.slice(at, at + second));
      assertEquals(heads, whole, `cut at ${first}, then every ${second}`);
    }
  }
});

test("`HeadTemplate` keeps nothing of the chunk that it was made of", () => {
  const wire = octets(message(["subscription:0123456789abcdef0123456789abcdef"]));
  const decoders: FrameDecoder[] = [];
  const before = process.memoryUsage();
  for (let i = 0; i < 400; i++) {
    const decoder = new FrameDecoder({ onFrame: () => {} });
    const chunk = new Uint8Array(1 << 20).fill(10);
    chunk.set(wire);
    decoder.push(chunk);
    decoders.push(decoder);
  }
  assertEquals(decoders.length, 400);
  // Bun counts memory only when it collects garbage.
  if (runtime === "bun") return;
  // The text of the chunks would be 400 MiB; garbage that is not collected yet is less.
  const after = process.memoryUsage();
  assertLess(after.external + after.heapUsed - before.external - before.heapUsed, 200 << 20);
});

test("`HeadParser` refuses a cut head over the limit that matches a template", () => {
  let frames = 0;
  const decoder = new FrameDecoder({ onFrame: () => frames++, maxHeaderBytes: 60 });
  decoder.push(octets(message(["a:1", "b:2"])));
  decoder.push(octets(message(["a:2", "b:2"])));
  assertThrows(
    () => decoder.push(octets(`MESSAGE\na:${"x".repeat(60)}`)),
    UnknownBrokerResponseError,
    "maxHeaderBytes",
  );
  assertEquals(frames, 2);
});

test("`HeadParser` refuses a whole head over the limit that matches a template", () => {
  for (const size of [50, 51]) {
    let frames = 0;
    const decoder = new FrameDecoder({ onFrame: () => frames++, maxHeaderBytes: 66 });
    decoder.push(octets(message(["a:1", "b:2"])));
    decoder.push(octets(message(["a:2", "b:2"])));
    const push = () => decoder.push(octets(message([`a:${"x".repeat(size)}`, "b:2"])));
    if (size === 50) push();
    else assertThrows(push, UnknownBrokerResponseError, "maxHeaderBytes");
    assertEquals(frames, size === 50 ? 3 : 2);
  }
});

test("`HeadCache` makes no template of a head with NUL: eight of them are the same number as other bytes", () => {
  const zeros = "\0".repeat(24);
  const known = message([`a:${zeros}`, "b:c"]);
  for (let at = 0; at < zeros.length; at++) {
    const other = message([`a:${zeros.slice(0, at)}\x80${zeros.slice(at + 1)}`, "b:c"]);
    assertEquals(lastOf([known, known, other]), lastOf([other]), `at ${at}`);
  }
});

test("`HeadCache` does not change what is decoded: many kinds of heads", () => {
  for (const kinds of [2, 4, 5, 13]) {
    const frames = Array.from({ length: 200 }, (_, i) => message([`id:${i}`, `kind-${i % kinds}:x`, "a:b"], `${i}`));
    assertEquals(...bothWays(frames));
  }
});

test("`HeadCache` does not change what is decoded: random heads", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "cc", "12345678"), maxLength: 6 });
  const line = fc.tuple(fc.constantFrom("a", "ab", "message-id", "subscription"), word).map((pair) => pair.join(":"));
  // Few lines and values, so that heads are often like an earlier one.
  const heads = fc.array(fc.array(line, { maxLength: 3 }), { minLength: 2, maxLength: 12 });
  fc.assert(fc.property(heads, (all) => {
    const [together, alone] = bothWays(all.map((lines) => message(lines)));
    assertEquals(together, alone);
  }));
});
