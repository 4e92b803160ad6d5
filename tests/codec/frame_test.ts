/** `Frame`: building, encoding, and reading what was received. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotStrictEquals,
  assertStrictEquals,
  assertThrows,
} from "#assert";
import { test } from "#test";
import { StompError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import type { Version } from "../../codec/protocol.ts";
import { decode, latin1, makeDecoder, octets, plain, utf8 } from "../fixtures/decoding.ts";
import { ENCODED } from "../fixtures/frames_encoded.ts";

for (const { name, versions, parts, options, wire } of ENCODED) {
  test(name, () => {
    for (const version of versions) {
      const frame = new Frame().buildFrame(parts, options);
      if (typeof wire === "string") assertEquals(latin1(frame.encode(version)), wire, version);
      else assertThrows(() => frame.encode(version), TypeError, wire.refused);
    }
  });
}

/** A frame that was received in one chunk, or in as many as there are bytes. */
function received(wire: string, { version = "1.2" as Version, pieces = false } = {}): Frame {
  let frame: Frame | undefined;
  const decoder = makeDecoder({ version, onFrame: (got) => frame = got });
  if (pieces) { for (const octet of octets(wire)) decoder.push(Uint8Array.of(octet)); }
  else decoder.push(octets(wire));
  return frame!;
}

/** A received frame both ways: with its body in the chunk, or in other memory. */
function bothWays(wire: string): Frame[] {
  return [received(wire), received(wire, { pieces: true })];
}

test("`Frame.encode()` writes 1.2 by default, and throws a TypeError for an unknown version", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { a: "\r" } });
  assertEquals(latin1(frame.encode()), "SEND\na:\\r\n\n\0");
  for (const version of ["1.3", "2.0", "", "1", null]) {
    assertThrows(() => frame.encode(version as Version), TypeError, "Cannot use version");
  }
});

test("`Frame.asString()` returns the frame as text, NUL included", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/é" }, body: "\ufeffhi" });
  assertEquals(frame.asString(), "SEND\ndestination:/é\ncontent-length:5\n\n\ufeffhi\0");
  assertEquals(frame.asString("1.0"), frame.asString());
});

test("`Frame.buildFrame()` does not change the caller's object", () => {
  const body = Uint8Array.of(1, 2);
  const parts = Object.freeze({
    command: "SEND",
    headers: Object.freeze({ a: "1", b: undefined, c: 2, d: true }),
    body,
  });
  const frame = new Frame();
  assertStrictEquals(frame.buildFrame(parts, { wantReceipt: true }), frame);
  assertEquals(parts.headers, { a: "1", b: undefined, c: 2, d: true });
  assertNotStrictEquals(frame.headers, parts.headers as object);
  const { receipt, ...headers } = frame.headers;
  assertEquals(headers, { a: "1", c: "2", d: "true" });
  assert(receipt);
  assertStrictEquals(Object.getPrototypeOf(frame.headers), null);
  frame.encode();
  assertEquals(body, Uint8Array.of(1, 2));
});

test("`Frame.buildFrame()` with `wantReceipt` adds a new receipt, and keeps the caller's", () => {
  const ids = [1, 2, 3].map(() =>
    new Frame().buildFrame({ command: "SEND" }, { wantReceipt: true }).headers["receipt"]
  );
  assertEquals(new Set(ids).size, 3);
  const own = new Frame().buildFrame({ command: "SEND", headers: { receipt: "mine" } }, { wantReceipt: true });
  assertEquals(own.headers["receipt"], "mine");
});

test("`Frame.body` throws a TypeError for what is neither text nor octets, and does not change", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { a: "1" }, body: "x" });
  for (const body of [1, true, {}, [1], new ArrayBuffer(1), new Uint16Array(1), new Date(), Symbol("x"), () => 1]) {
    assertThrows(
      () => frame.buildFrame({ command: "ACK", body: body as string }),
      TypeError,
      "Cannot build frame: the body",
    );
    assertThrows(() => frame.body = body as unknown as Uint8Array, TypeError, "the body");
  }
  assertEquals(latin1(frame.encode()), "SEND\na:1\ncontent-length:1\n\nx\0");
});

test("`Frame.buildFrame()` throws a TypeError without the value for a header that is no text", () => {
  for (const value of [null, {}, ["hunter2"], () => "hunter2", Symbol("hunter2")]) {
    const parts = { command: "CONNECT", headers: { passcode: value as unknown as string } };
    const error = assertThrows(() => new Frame().buildFrame(parts), TypeError, '"passcode"');
    assertEquals(error.message.includes("hunter2"), false);
  }
  const frame = new Frame().buildFrame({ command: "CONNECT" });
  frame.headers["passcode"] = 12345 as unknown as string;
  assertEquals(assertThrows(() => frame.encode(), TypeError, '"passcode"').message.includes("12345"), false);
});

test("`Frame.encode()` errors hold no header values", () => {
  for (const version of ["1.0", "1.1", "1.2"] as const) {
    const frame = new Frame().buildFrame({ command: "CONNECT", headers: { passcode: "hunter2\n" } });
    assertEquals(assertThrows(() => frame.encode(version), TypeError, '"passcode"').message.includes("hunter2"), false);
  }
});

test("`Frame.encode()` throws a TypeError for an empty frame", () => {
  assertThrows(() => new Frame().encode(), TypeError, '"" is not a command');
  assertEquals([new Frame().text(), new Frame().body.length, new Frame().bodyLength], ["", 0, 0]);
});

test("F12-22 `Frame.encode()` counts a body that was set later", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { "content-length": "2" }, body: "hi" });
  frame.body = octets("hello");
  assertEquals([frame.bodyLength, latin1(frame.encode())], [5, "SEND\ncontent-length:5\n\nhello\0"]);
});

test("`Frame.encode()` writes a received frame in every version", () => {
  for (const frame of bothWays("MESSAGE\nfoo:a\\cb\\\\\nfoo:2\ncontent-length:3\n\nh\0i\0")) {
    assertEquals(latin1(frame.encode("1.2")), "MESSAGE\nfoo:a\\cb\\\\\ncontent-length:3\n\nh\0i\0");
    assertEquals(latin1(frame.encode("1.1")), "MESSAGE\nfoo:a\\cb\\\\\ncontent-length:3\n\nh\0i\0");
    assertEquals(latin1(frame.encode("1.0")), "MESSAGE\nfoo:a:b\\\ncontent-length:3\n\nh\0i\0");
    frame.headers["foo"] = "new";
    frame.body = octets("x");
    assertEquals(latin1(frame.encode()), "MESSAGE\nfoo:new\ncontent-length:1\n\nx\0");
  }
  for (const frame of bothWays("MESSAGE\nfoo:bar\n\nhi\0")) {
    assertEquals(latin1(frame.encode()), "MESSAGE\nfoo:bar\ncontent-length:2\n\nhi\0");
  }
});

test("S12-21 `Frame.encode()` throws for a received frame that the version cannot carry", () => {
  const frame = received("MESSAGE\nfoo:a\\nb\\rc\n\n\0");
  assertThrows(() => frame.encode("1.1"), TypeError, "a carriage return");
  assertThrows(() => frame.encode("1.0"), TypeError, "a line feed");
});

test("`Frame.buildFrame()` replaces all of a received frame", () => {
  for (const frame of bothWays("MESSAGE\nold:1\ncontent-type:text/plain;charset=utf-16\n\nold\0")) {
    frame.buildFrame({ command: "SEND" });
    assertEquals([plain(frame), frame.text(), frame.bodyLength, frame.header("old")], [
      ["SEND", {}, ""],
      "",
      0,
      undefined,
    ]);
    assertEquals(latin1(frame.encode()), "SEND\n\n\0");
  }
});

test("`Frame.header()` returns one header, before the others are decoded and after", () => {
  const wire = "MESSAGE\nfoo:a\\cb\nfoo:2\na\\cb:1\nx:y:z\nempty:\r\né:\\n\n\n\0".replace("é", "\xc3\xa9");
  const expected: Record<string, string> = { foo: "a:b", "a:b": "1", x: "y:z", empty: "", "é": "\n" };
  for (const frame of bothWays(wire)) {
    const absent = ["x:y", "a", "fo", "oo", "a\\cb", "", "toString", "2\na\\cb", "MESSAGE", "\n"];
    const read = () => Object.keys(expected).map((name) => frame.header(name));
    for (const name of absent) assertEquals(frame.header(name), undefined, name);
    assertEquals(read(), Object.values(expected));
    assertEquals({ ...frame.headers }, expected);
    for (const name of absent) assertEquals(frame.header(name), undefined, name);
    assertEquals(read(), Object.values(expected));
  }
  assertEquals(new Frame().buildFrame({ command: "ACK", headers: { id: "1" } }).header("id"), "1");
});

test("`Frame.header()` applies the rules of the version", () => {
  assertEquals(received("MESSAGE\na:  b\\c\n\n\0", { version: "1.0" }).header("a"), "b\\c");
  assertEquals(received("MESSAGE\na: b\r\n\n\0", { version: "1.1" }).header("a"), " b\r");
  assertEquals(received("CONNECTED\r\na: \\c\r\n\r\n\0", { version: "1.1" }).header("a"), " \\c");
});

test("`Frame.headers` can be replaced", () => {
  const frame = received("MESSAGE\na:1\n\nhi\0");
  frame.headers = { b: "2" };
  assertEquals([frame.header("a"), frame.header("b"), frame.text()], [undefined, "2", "hi"]);
});

test("F12-26 F12-27 `Frame.text()` decodes any octets as UTF-8, and `body` has them", () => {
  for (
    const [wire, text] of [["\xc3\xa9", "é"], ["\xff\xfe", "\ufffd\ufffd"], ["\xef\xbb\xbfa", "\ufeffa"], ["", ""]]
  ) {
    for (const frame of bothWays(`MESSAGE\ncontent-type:text/plain\n\n${wire}\0`)) {
      assertEquals([frame.text(), latin1(frame.body), frame.bodyLength, frame.text()], [
        text,
        wire,
        wire!.length,
        text,
      ]);
    }
  }
});

test("F12-25 F12-27 `Frame.text()` decodes by the charset", () => {
  const types: [contentType: string, body: string, text: string][] = [
    ["text/plain;charset=iso-8859-1", "\xe9", "é"],
    ["text/plain; Charset=ISO-8859-1", "\xe9", "é"],
    ["text/plain;CHARSET=iso-8859-1", "\xe9", "é"],
    ['text/plain;format=flowed; charset="iso-8859-1"', "\xe9", "é"],
    ["text/plain;charset=utf-8", "\xc3\xa9", "é"],
    ["text/plain;charset=UTF8", "\xef\xbb\xbf\xc3\xa9", "\ufeffé"],
    ["application/json;charset=utf-16le", "\xe9\0", "é"],
    ["text/plain;charset=utf-16", "\xe9\0", "é"],
    ["text/plain;mycharset=utf-16", "\xc3\xa9", "é"],
    ["text/charset=utf-16", "\xc3\xa9", "é"],
    ["text/plain;charset=", "\xc3\xa9", "é"],
  ];
  for (const [type, body, text] of types) {
    for (const frame of bothWays(`MESSAGE\ncontent-type:${type}\ncontent-length:${body.length}\n\n${body}\0`)) {
      assertEquals([frame.text(), frame.detach().text()], [text, text], type);
      assertEquals(frame.headers["content-type"], type);
    }
    const built = new Frame().buildFrame({ command: "SEND", headers: { "content-type": type }, body: octets(body) });
    assertEquals(built.text(), text, type);
  }
});

test("`Frame.text()` throws a StompError for an unknown charset, and nothing else does", () => {
  for (const frame of bothWays("MESSAGE\ncontent-type:text/plain;charset=klingon\n\nhi\0")) {
    const error = assertThrows(() => frame.text(), StompError, "the charset klingon is unknown here");
    assertInstanceOf(error.cause, RangeError);
    assertStrictEquals(error.frame, frame);
    assertEquals(latin1(frame.body), "hi");
    assertEquals(JSON.parse(JSON.stringify(frame)).body, "hi");
  }
});

test("`Frame.json()` parses JSON, with a BOM or without", () => {
  for (const wire of ['{"é":1}', '\ufeff{"é":1}']) {
    for (const frame of bothWays(`MESSAGE\n\n${utf8(wire)}\0`)) assertEquals(frame.json<{ "é": number }>()["é"], 1);
  }
  assertThrows(() => received("MESSAGE\n\nnope\0").json(), SyntaxError);
  assertThrows(() => received("MESSAGE\n\n\0").json(), SyntaxError);
});

test("`Frame.body` is a view on the chunk until `detach()` copies it", () => {
  const bytes = octets(`MESSAGE\nfoo:é\n\nhi\0`.replace("é", "\xc3\xa9"));
  let frame: Frame | undefined;
  makeDecoder({ onFrame: (got) => frame = got }).push(bytes);
  assertStrictEquals(frame!.body.buffer, bytes.buffer);
  assertStrictEquals(frame!.detach(), frame);
  assertEquals(frame!.body.buffer.byteLength, 2);
  bytes.fill(0);
  assertEquals([plain(frame!), frame!.text(), frame!.header("foo")], [["MESSAGE", { foo: "é" }, "hi"], "hi", "é"]);
  assertStrictEquals(frame!.detach().body, frame!.body);
  assertStrictEquals(Object.getPrototypeOf(frame!.headers), null);
});

test("`Frame.detach()` keeps changes, and takes a built frame", () => {
  const frame = received("MESSAGE\na:1\n\nhi\0");
  frame.headers["b"] = "2";
  frame.body = octets("new");
  assertEquals(plain(frame.detach()), ["MESSAGE", { a: "1", b: "2" }, "new"]);
  const built = new Frame().buildFrame({ command: "SEND", headers: { a: "1" }, body: "hi" });
  assertEquals(plain(built.detach()), ["SEND", { a: "1" }, "hi"]);
});

test("`Frame` carries headers with the names of object members both ways", () => {
  const headers = Object.fromEntries(["__proto__", "constructor", "hasOwnProperty"].map((name) => [name, name]));
  const frame = new Frame().buildFrame({ command: "SEND", headers });
  assertEquals(Object.keys(frame.headers), Object.keys(headers));
  const { frames } = decode([frame.encode()]);
  assertEquals(Object.entries(frames[0]![1]), Object.entries(headers));
});
