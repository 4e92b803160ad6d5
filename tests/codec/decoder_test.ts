/** `FrameDecoder`: what octets mean, what it refuses, and how it treats its callers. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "#assert";
import { test } from "#test";
import { Buffer } from "node:buffer";
import type { FrameDecoder, FrameDecoderOptions } from "../../codec/decoder.ts";
import { StompError, UnknownBrokerResponseError } from "../../base/errors.ts";
import { Frame, subscriptionOf } from "../../codec/frame.ts";
import { decode, makeDecoder, octets } from "../fixtures/decoding.ts";
import { DECODED } from "../fixtures/frames.ts";

const RECEIPT = "RECEIPT\nreceipt-id:1\n\n\0";

for (const { name, versions, wire, frames, heartbeats = 0, error = false, pending = false } of DECODED) {
  test(name, () => {
    for (const version of versions) {
      assertEquals(decode([octets(wire)], { version }), { frames, heartbeats, error, pending }, version);
    }
  });
}

/** A decoder that has been pushed a text, and what it delivered. */
function pushed(wire: string, options: Partial<FrameDecoderOptions> = {}): { decoder: FrameDecoder; frames: Frame[] } {
  const frames: Frame[] = [];
  const decoder = makeDecoder({ onFrame: (frame) => frames.push(frame), ...options });
  decoder.push(octets(wire));
  return { decoder, frames };
}

/** The error that octets are refused with. */
function refusal(wire: string, options: Partial<FrameDecoderOptions> = {}): UnknownBrokerResponseError {
  return assertThrows(() => pushed(wire, options), UnknownBrokerResponseError);
}

test("`FrameDecoder` decodes 1.2 by default", () => {
  const { decoder, frames } = pushed("MESSAGE\r\na:\\r\r\n\r\n\0");
  assertEquals([decoder.version, frames[0]!.headers["a"]], ["1.2", "\r"]);
});

test("`FrameDecoder.version` throws a TypeError for an unknown version, at the start and later", () => {
  const version = "1.3" as "1.2";
  assertThrows(() => makeDecoder({ version, onFrame: () => {} }), TypeError, '"1.3"');
  const { decoder } = pushed("");
  assertThrows(() => decoder.version = version, TypeError, '"1.3"');
  assertEquals(decoder.version, "1.2");
});

test("`new FrameDecoder()` throws a RangeError for a limit that is no number of 0 or more", () => {
  for (const name of ["maxHeaderBytes", "maxHeaders", "maxBodyBytes"]) {
    for (const value of [-1, NaN, "5", null]) {
      assertThrows(() => makeDecoder({ onFrame: () => {}, [name]: value }), RangeError, name);
    }
    makeDecoder({ onFrame: () => {}, [name]: Infinity });
    makeDecoder({ onFrame: () => {}, [name]: undefined });
  }
});

test("`Frame.headers` has no prototype", () => {
  const { headers } = pushed("MESSAGE\n\n\0").frames[0]!;
  assertStrictEquals(Object.getPrototypeOf(headers), null);
  assertEquals("toString" in headers, false);
});

test("`FrameDecoder.pending` is true inside a frame only", () => {
  const decoder = makeDecoder({ onFrame: (frame) => inside.push([frame.command, decoder.pending]) });
  const inside: unknown[] = [];
  const states: [push: string, pending: boolean][] = [
    ["\n\r\n", false],
    ["M", true],
    ["", true],
    ["ESSAGE\n", true],
    ["content-length:2\r\n\r", true],
    ["\n", true],
    ["ab", true],
    ["\0", false],
    ["\n", false],
    [RECEIPT + "MESSAGE\n\n", true],
    ["x", true],
    ["\0\n", false],
  ];
  assertEquals(decoder.pending, false);
  for (const [wire, pending] of states) {
    decoder.push(octets(wire));
    assertEquals(decoder.pending, pending, JSON.stringify(wire));
  }
  assertEquals(inside, [["MESSAGE", false], ["RECEIPT", false], ["MESSAGE", false]]);
});

test("`FrameDecoder.push()` throws the same error for all input after a fault", () => {
  const faults = [
    "FOO\n",
    "MESSAGE\nx\n",
    "MESSAGE\ncontent-length:1\n\nab",
    "MESSAGE\ncontent-length:x\n",
    "RECEIPT\n\nx\0",
  ];
  for (const fault of faults) {
    const seen: Frame[] = [];
    const decoder = makeDecoder({ onFrame: (frame) => seen.push(frame) });
    const error = assertThrows(() => decoder.push(octets(RECEIPT + fault)), UnknownBrokerResponseError);
    assertInstanceOf(error, StompError);
    assertEquals([seen.length, decoder.pending], [1, false]);
    for (const again of [RECEIPT, "", "\n", fault]) {
      assertStrictEquals(assertThrows(() => decoder.push(octets(again))), error);
    }
    assertEquals([seen.length, decoder.pending], [1, false]);
  }
});

test("`FrameDecoder.push()` throws what a callback threw, and loses no frame", () => {
  const seen: string[] = [];
  const decoder = makeDecoder({
    onFrame: (frame) => {
      seen.push(frame.text());
      throw new Error(`no ${frame.text()}`);
    },
    onHeartbeat: () => {
      seen.push("beat");
      throw new Error("no beat");
    },
  });
  assertThrows(() => decoder.push(octets("MESSAGE\n\na\0\nMESSAGE\n\nb\0MESS")), Error, "no a");
  assertEquals([seen, decoder.pending], [["a", "beat", "b"], true]);
  assertThrows(() => decoder.push(octets("AGE\n\nc\0")), Error, "no c");
  decoder.push(octets("MESSAGE\n\n"));
});

test("`FrameDecoder.push()` throws a TypeError inside a callback, and goes on", () => {
  const caught: unknown[] = [];
  const seen: string[] = [];
  const decoder = makeDecoder({
    onFrame: (frame) => {
      seen.push(frame.text());
      caught.push(assertThrows(() => decoder.push(octets(RECEIPT)), TypeError, "inside a push"));
    },
    onHeartbeat: () => void assertThrows(() => decoder.push(octets("\n")), TypeError, "inside a push"),
  });
  decoder.push(octets("MESSAGE\n\na\0\nMESSAGE\n\nb\0"));
  decoder.push(octets("MESSAGE\n\nc\0"));
  assertEquals([seen, caught.length], [["a", "b", "c"], 3]);
});

test("`FrameDecoder.push()` throws a TypeError for anything but a Uint8Array, and goes on", () => {
  const { decoder, frames } = pushed("MESSAGE\n");
  for (
    const chunk of [
      "x",
      undefined,
      null,
      [10],
      new ArrayBuffer(1),
      new Uint16Array(1),
      new DataView(new ArrayBuffer(1)),
    ]
  ) {
    assertThrows(() => decoder.push(chunk as unknown as Uint8Array), TypeError, "Cannot push");
  }
  decoder.push(octets("\n\0"));
  assertEquals(frames.length, 1);
});

test("`FrameDecoder.push()` takes a view in the middle of a buffer", () => {
  const bytes = octets(`junk${RECEIPT}junk`);
  const seen: string[] = [];
  const decoder = makeDecoder({ onFrame: (frame) => seen.push(frame.headers["receipt-id"]!) });
  decoder.push(bytes.subarray(4, bytes.length - 4));
  assertEquals([seen, decoder.pending], [["1"], false]);
});

test("`FrameDecoder.push()` makes plain bodies of a Buffer, whose slice is a copy", () => {
  const buffer = Buffer.from(`xMESSAGE\na:1\n\nhí\0MESSAGE\na:2\n\nho`).subarray(1);
  const frames: Frame[] = [];
  const decoder = makeDecoder({ onFrame: (frame) => frames.push(frame) });
  decoder.push(buffer);
  decoder.push(Buffer.from("\0"));
  for (const frame of frames) assertStrictEquals(Object.getPrototypeOf(frame.body), Uint8Array.prototype);
  assertStrictEquals(frames[0]!.body.buffer, buffer.buffer);
  frames[0]!.detach();
  buffer.fill(0);
  assertEquals(frames.map((frame) => [frame.text(), frame.headers["a"]]), [["hí", "1"], ["ho", "2"]]);
});

test("`FrameDecoder` reads equal heads by the rules of the current version", () => {
  const wire = octets("MESSAGE\nsubscription: 1\ncontent-type:text/plain\n\nhi\0");
  const ids: (string | undefined)[] = [];
  const decoder = makeDecoder({ version: "1.0", onFrame: (frame) => ids.push(subscriptionOf(frame)) });
  for (const version of ["1.0", "1.0", "1.2", "1.2", "1.0"] as const) {
    decoder.version = version;
    decoder.push(wire);
  }
  assertEquals(ids, ["1", "1", " 1", " 1", "1"]);
});

test("`FrameDecoder` reads a head alike whatever the line ends of the head before", () => {
  const wires = [
    "MESSAGE\n\n\0",
    "MESSAGE\n\r\n\0",
    "MESSAGE\ncontent-length:0\n\n\0",
    "MESSAGE\r\ncontent-length:0\n\n\0",
  ]
    .concat([
      "MESSAGE\ncontent-length:0\r\n\n\0",
      "MESSAGE\na:\0\0\0\0\0\0\0\0\n\n\0",
      "MESSAGE\na:\0\0\0\0\0\0\0\x80\n\n\0",
    ]);
  for (const first of wires) {
    for (const second of wires) {
      const both = decode([octets(first + second)]);
      const [one, two] = [decode([octets(first)]), decode([octets(second)])];
      const frames = one.error ? one.frames : [...one.frames, ...two.frames];
      const apart = { frames, error: one.error || two.error };
      assertEquals({ frames: both.frames, error: both.error }, apart, JSON.stringify(first + second));
    }
  }
});

test("`FrameDecoder` checks headers at the end of a very large chunk", () => {
  const body = "x".repeat(3 << 20);
  const { frames } = pushed(`MESSAGE\n\n${body}\0MESSAGE\nfoo:a\\cb\\r\r\n\r\nhi\0`);
  assertEquals([frames[1]!.headers["foo"], frames[1]!.text(), frames[0]!.text().length], ["a:b\r", "hi", body.length]);
  refusal(`MESSAGE\n\n${body}\0MESSAGE\nfoo:\\t\n\n\0`);
  refusal(`MESSAGE\n\n${body}\0MESSAGE\nfoo:a\rb\n\n\0`);
  refusal(`MESSAGE\n\n${body}\0MESSAGE\nfoo:\xff\n\n\0`);
});

test("`FrameDecoder` does not change frames when more is pushed", () => {
  const { decoder, frames } = pushed("MESSAGE\na:1\n\nfirst\0MESS");
  decoder.push(octets("AGE\na:2\n\nsecond\0MESSAGE\na:3\n\nth"));
  decoder.push(octets("ird\0MESSAGE\na:4"));
  decoder.push(octets("\n\nfourth\0" + RECEIPT.repeat(20)));
  const read = frames.slice(0, 4).map((frame) => [frame.headers["a"], frame.text(), frame.body.length]);
  assertEquals(read, [["1", "first", 5], ["2", "second", 6], ["3", "third", 5], ["4", "fourth", 6]]);
});

test("`FrameDecoder` does not change cut frames when it puts others together", () => {
  // Some are put together in a buffer that the next one uses again, others in a buffer for the body alone.
  const bodies = Array.from({ length: 60 }, (_, i) => `${i}${"xé"[i % 2]!.repeat([3, 300, 9000][i % 3]!)}`);
  const wire = new TextEncoder().encode(
    bodies.map((body, i) => {
      const { length } = new TextEncoder().encode(body);
      return `MESSAGE\nn:${i}\n${i % 4 < 2 ? `content-length:${length}\n` : ""}\n${body}\0`;
    }).join(""),
  );
  for (const step of [1, 7, 50, 1000, 10_000]) {
    // Decoders share those buffers.
    const all = Array.from({ length: 3 }, () => {
      const frames: Frame[] = [];
      const views: Uint8Array[] = [];
      const onFrame = (frame: Frame) => {
        frames.push(frame);
        if (frames.length % 5 === 0) views.push(frame.body);
      };
      return { frames, views, decoder: makeDecoder({ onFrame }) };
    });
    for (let at = 0; at < wire.length; at += step) {
      for (const { decoder } of all) decoder.push(wire.slice(at, at + step));
    }
    for (const { frames, views } of all) {
      assertEquals(frames.map((frame) => frame.text()), bodies);
      assertEquals(frames.map((frame) => frame.headers["n"]), bodies.map((_, i) => String(i)));
      assertEquals(views.map((view) => new TextDecoder().decode(view)), bodies.filter((_, i) => i % 5 === 4));
    }
  }
});

test("`FrameDecoder` does not keep a large buffer for a small frame that was cut", () => {
  const frames: Frame[] = [];
  const views: Uint8Array[] = [];
  // More than the pool has buffers.
  const decoders = Array.from({ length: 40 }, () => {
    return makeDecoder({ onFrame: (frame) => frames.push(frame) % 2 === 0 && views.push(frame.body) });
  });
  for (const body of ["x".repeat(8000), "\xe9", "y", "\xe9".repeat(7)]) {
    for (const decoder of decoders) decoder.push(octets(`MESSAGE\n\n${body}`));
    for (const decoder of decoders) decoder.push(octets("\0"));
    const size = (frame: Frame) => frame.body.buffer.byteLength;
    if (body.length < 8000) assertLess(Math.max(...frames.splice(0).map(size)), 100);
    else frames.length = 0;
  }
  assertLess(Math.max(...views.slice(20).map((view) => view.buffer.byteLength)), 100);
});

test("`FrameDecoder.push()` may be called in the callback of another decoder, where both have cut frames", () => {
  const inner: string[] = [];
  const outer: Frame[] = [];
  const second = makeDecoder({ onFrame: (frame) => inner.push(frame.text()) });
  const first = makeDecoder({
    onFrame: (frame) => {
      outer.push(frame);
      second.push(octets(`MESSAGE\n\n${"i".repeat(outer.length)}\xe9`));
      second.push(octets("\0MESS"));
      second.push(octets("AGE\nn:1\n\nin\0"));
    },
  });
  for (let i = 0; i < 5; i++) {
    first.push(octets("MESSAGE\nn:"));
    first.push(octets(`${i}\n\nouter\xe9${i}`));
    first.push(octets("\0"));
  }
  assertEquals(
    outer.map((frame) => [frame.headers["n"], frame.text()]),
    [0, 1, 2, 3, 4].map((i) => [`${i}`, `outer\ufffd${i}`]),
  );
  assertEquals(inner, [1, 2, 3, 4, 5].flatMap((i) => [`${"i".repeat(i)}\ufffd`, "in"]));
});

test("`FrameDecoder` does without `onHeartbeat`", () => {
  assertEquals(pushed(`\n\n${RECEIPT}\n`).frames.length, 1);
});

test("`FrameDecoder` makes MESSAGE frames, and no others, of `messageType`", () => {
  class Special extends Frame {}
  const { frames } = pushed(`${RECEIPT}MESSAGE\n\nhi\0ERROR\n\n\0`, { messageType: Special });
  assertEquals(frames.map((frame) => frame instanceof Special), [false, true, false]);
  assertEquals(frames[1]!.text(), "hi");
});

test("`FrameDecoder` errors name the fault", () => {
  const cases: [wire: string, words: string, options?: Partial<FrameDecoderOptions>][] = [
    ["FOO\n\n\0", '"FOO" is not a STOMP command'],
    ["HTTP/1.1 400 Bad Request\r\n", "speaks HTTP"],
    ["\x15\x03\x01\0\x02\x02\x46", "speaks TLS"],
    ["AMQP\0\0\x09\x01", "speaks AMQP"],
    ["\0\0\x01\x40\x01ActiveMQ\0\0\0\x0c", "speaks OpenWire"],
    ["MESSAGE\nnocolon\n", "no colon"],
    ["MESSAGE\n:x\n", "no name"],
    ["MESSAGE\na:\\t\n\n", 'undefined escape "\\\\t"'],
    ["MESSAGE\na:\xff\n\n", "not UTF-8"],
    ["MESSAGE\na:b\rc\n\n", "carriage return"],
    [`${RECEIPT}\rX`, "carriage return"],
    ["MESSAGE\ncontent-length:-5\n", 'content-length is "-5"'],
    ["MESSAGE\ncontent-length:0000000000000005\n", 'content-length is "0000000000000005"'], // 16 digits
    ["MESSAGE\ncontent-length:6\n", "maxBodyBytes", { maxBodyBytes: 5 }],
    ["MESSAGE\n\nabcdef", "maxBodyBytes", { maxBodyBytes: 5 }],
    ["MESSAGE\na:1\nb:2\n", "maxHeaders", { maxHeaders: 1 }],
    ["MESSAGE\na:1", "maxHeaderBytes", { maxHeaderBytes: 10 }],
    ["MESSAGE\ncontent-length:2\n\nabc", "no NUL"],
    ["RECEIPT\n\nabc\0", "RECEIPT has a body of 3 bytes"],
  ];
  for (const [wire, words, options] of cases) {
    const { message } = refusal(wire, options);
    assertStringIncludes(message, "Cannot decode frame: ");
    assertStringIncludes(message, words);
    assert(message.length < 200);
  }
});

test("`FrameDecoder` errors hold no secrets", () => {
  for (
    const wire of [
      "CONNECT\nlogin:u\npasscode:hunter2\nx\n\n\0",
      "SEND\npasscode:hunter2\\\n\n\0",
      "SEND\npasscode:hunter2\r2\n\n\0",
    ]
  ) {
    assertEquals(refusal(wire).message.includes("hunter2"), false);
  }
});

test("C12-63 `FrameDecoder` refuses garbage without waiting for more", () => {
  for (const wire of ["H", "\x16", "x", "MESSAGES", "MESSAGE ", "\rM", "MES\r", " ", "\0", "AMQP"]) refusal(wire);
  refusal(`${RECEIPT}\r`, { version: "1.1" });
  for (const wire of ["M", "MESSAGE", "MESSAGE\r", "CONNECT", "CONNECTED", "\r"]) pushed(wire);
});
