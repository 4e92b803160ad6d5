/** F12-06: octets give the same frames, heart-beats and errors, however they are cut into chunks. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { decode, followVersion, makeDecoder, octets, type Outcome, splits } from "../fixtures/decoding.ts";
import { DECODED } from "../fixtures/frames.ts";
import { ENCODED } from "../fixtures/frames_encoded.ts";

for (const { name, versions, wire, frames, heartbeats = 0, error = false, pending = false } of DECODED) {
  test(`\`FrameDecoder\` at every split: ${name}`, () => {
    const expected: Outcome = { frames, heartbeats, error, pending };
    for (const version of versions) {
      for (const chunks of splits(octets(wire))) {
        const where = `${version}, ${chunks.map((chunk) => chunk.length)}`;
        assertEquals(decode(chunks, { version }), expected, where);
        assertEquals(decode(chunks, { version }, { ownsChunks: true }), expected, where);
      }
    }
  });
}

test("`FrameDecoder` decodes at every split what `Frame.encode()` wrote", () => {
  for (const { versions, wire } of ENCODED) {
    if (typeof wire !== "string") continue;
    for (const version of versions) {
      const bytes = octets(`${wire}\n${wire}`);
      const whole = decode([bytes], { version });
      assertEquals([whole.frames.length, whole.error], [2, false], wire);
      for (const chunks of splits(bytes)) assertEquals(decode(chunks, { version }), whole, wire);
    }
  }
});

const SWITCH: [name: string, wire: string, expected: Record<string, string>][] = [
  ["to 1.1", "CONNECTED\nversion:1.1\n\n\0MESSAGE\nfoo:a\\cb\nbar: c\r\n\n\0", { foo: "a:b", bar: " c\r" }],
  ["to 1.2", "CONNECTED\r\nversion:1.2\r\n\r\n\0\r\nMESSAGE\nfoo:a\\cb\\r\nbar: c\r\n\n\0", {
    foo: "a:b\r",
    bar: " c",
  }],
  ["to 1.0", "CONNECTED\nsession:1\n\n\0\nMESSAGE\nfoo:a\\cb\nbar: c\r\n\n\0", { foo: "a\\cb", bar: "c\r" }],
];

for (const [name, wire, expected] of SWITCH) {
  test(`F12-46 \`FrameDecoder\` applies a new version after CONNECTED, ${name}, at every split`, () => {
    for (const version of ["1.0", "1.1", "1.2"] as const) {
      for (const chunks of splits(octets(wire))) {
        const { frames, error } = decode(chunks, { version, onFrame: followVersion });
        assertEquals([error, frames[1]], [false, ["MESSAGE", expected, ""]], `${chunks.map((chunk) => chunk.length)}`);
      }
    }
  });
}

test("F12-46 `FrameDecoder` decodes a frame in the version that it began in, at every split", () => {
  const wire = octets("SUBSCRIBE\nfoo:a\\cb\n\njunk\0");
  for (let at = 1; at < wire.length; at++) {
    const seen: unknown[] = [];
    const decoder = makeDecoder({ version: "1.0", onFrame: (frame) => seen.push(frame.headers["foo"]) });
    decoder.push(wire.slice(0, at));
    decoder.version = "1.2";
    decoder.push(wire.slice(at));
    decoder.push(octets("MESSAGE\nfoo:a\\cb\n\n\0"));
    assertEquals(seen, ["a\\cb", "a:b"], `${at}`);
  }
});

const LIMITED = "SEND\nab:cd\nef:gh\n\nhello\0";
const HEAD = LIMITED.indexOf("hello");

for (const line of ["\n", "\r\n"]) {
  const wire = LIMITED.replaceAll("\n", line);
  const head = wire.indexOf("hello");
  test(`\`FrameDecoder\` meets its limits to the byte at every split, with ${JSON.stringify(line)}`, () => {
    for (const chunks of splits(octets(wire))) {
      for (const [maxHeaderBytes, error] of [[head, false], [head - 1, true], [0, true]] as const) {
        assertEquals(decode(chunks, { maxHeaderBytes }).error, error, `maxHeaderBytes ${maxHeaderBytes}`);
      }
      for (const [maxHeaders, error] of [[2, false], [1, true], [0, true]] as const) {
        assertEquals(decode(chunks, { maxHeaders }).error, error, `maxHeaders ${maxHeaders}`);
      }
      for (const [maxBodyBytes, error] of [[5, false], [4, true], [0, true]] as const) {
        assertEquals(decode(chunks, { maxBodyBytes }).error, error, `maxBodyBytes ${maxBodyBytes}`);
      }
    }
  });
}

test("`FrameDecoder` refuses a head at once that fills `maxHeaderBytes` and is not whole", () => {
  for (const [maxHeaderBytes, error] of [[9, true], [10, true], [11, false]] as const) {
    for (const chunks of splits(octets("MESSAGE\nab"))) {
      assertEquals(decode(chunks, { maxHeaderBytes }).error, error, `${maxHeaderBytes}`);
    }
  }
});

test("`FrameDecoder` meets `maxBodyBytes` of a sized body to the byte at every split", () => {
  for (const chunks of splits(octets("SEND\ncontent-length:5\n\nhe\0lo\0"))) {
    assertEquals(decode(chunks, { maxBodyBytes: 5 }).frames.length, 1);
    assertEquals(decode(chunks, { maxBodyBytes: 4 }), { frames: [], heartbeats: 0, error: true, pending: false });
  }
});

test("`FrameDecoder` applies its limits to each frame, at every split", () => {
  for (const chunks of splits(octets(LIMITED + LIMITED))) {
    const { frames } = decode(chunks, { maxHeaderBytes: HEAD, maxHeaders: 2, maxBodyBytes: 5 });
    assertEquals(frames.length, 2);
  }
});
