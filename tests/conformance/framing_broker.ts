/** Part F for the embedded broker, reading and writing: what arrives as SEND leaves as MESSAGE. */
import { assert, assertEquals, assertStringIncludes } from "#assert";
import { ALL, brokerRow, bytes, deliver, ESCAPING, refused } from "./harness.ts";

const TO = "SEND\ndestination:/queue/a\n";

/** Returns a SEND to `/queue/a`; each of `lines` ends with LF. */
function send(lines = "", body = ""): string {
  return `${TO}${lines}\n${body}\0`;
}

brokerRow("F12-01", "SEND is parsed, and MESSAGE is written", async ({ connect }) => {
  for (const version of ALL) {
    const { lines, body, get } = await deliver(await connect(version), send("foo:bar\n", "hi"));
    const id = get("message-id");
    const first = ["subscription:0", "destination:/queue/a", `message-id:${id}`];
    assertEquals([lines, body], [[...first, "foo:bar", "content-length:2"], "hi"]);
  }
});

brokerRow("F12-02", "1.2: each line ends with LF or CRLF", async ({ connect }) => {
  for (
    const data of ["SEND\r\ndestination:/queue/a\nx:1\r\n\n\r\nhi\0", "SEND\ndestination:/queue/a\r\nx:1\n\r\n\r\nhi\0"]
  ) {
    const { get, body } = await deliver(await connect("1.2"), data);
    assertEquals([get("destination"), get("x"), body], ["/queue/a", "1", "\r\nhi"]);
  }
});

brokerRow("F11-03", "1.0 and 1.1: a CR in a header is data", async ({ connect }) => {
  for (const version of ["1.0", "1.1"]) {
    await (await connect(version)).write(send("x:bar\r\n"));
    assertEquals((await deliver(await connect("1.2"), "")).get("x"), "bar\\r");
    const error = await refused(await connect(version), `SEND\r\ndestination:/queue/a\n\n\0`);
    assertEquals(error.get("message"), "malformed frame");
  }
});

brokerRow("F12-04", "1.2: a CR without LF is malformed", async ({ broker, connect }) => {
  for (const data of [send("x:a\rb\n"), send("x\r:b\n"), "SE\rND\ndestination:/queue/a\n\n\0", `\r${send()}`]) {
    assertEquals((await refused(await connect("1.2"), data)).get("message"), "malformed frame");
  }
  assertEquals(broker.stats.destinations, 0);
});

brokerRow("F12-05", "line ends between frames are skipped, and none are written", async ({ connect }) => {
  for (const version of ALL) {
    const ends = version === "1.2" ? "\n\r\n\n" : "\n\n\n";
    const peer = await connect(version);
    await peer.write(`${ends}SUBSCRIBE\nid:0\ndestination:${version}\n\n\0${ends}`);
    await peer.write(`SEND\ndestination:${version}\n\n1\0${ends}SEND\ndestination:${version}\n\n2\0${ends}`);
    const messages = await peer.frames(2, "MESSAGE");
    assertEquals([messages[0]!.body, messages[1]!.body, peer.heartbeats], ["1", "2", 0]);
  }
});

brokerRow("F12-06", "chunk boundaries do not matter", async ({ connect }) => {
  const peer = await connect("1.2");
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  const whole = bytes("SEND\r\ndestination:/queue/a\ncontent-length:6\nk\xe9:a\\nb\r\n\r\na\0\u20ac\n\0\r\n");
  const check = async () => {
    const { get, body } = await peer.frame("MESSAGE");
    assertEquals([get("k\xe9"), body], ["a\\nb", "a\0\u20ac\n"]);
  };
  for (let cut = 1; cut < whole.length; cut++) {
    await peer.write(whole.subarray(0, cut));
    await peer.write(whole.subarray(cut));
    await check();
  }
  for (const octet of whole) await peer.write(new Uint8Array([octet]));
  await check();
});

brokerRow("F12-07", "a command in lower case is unknown", async ({ connect }) => {
  for (const version of ALL) {
    for (const command of ["send", "Send"]) {
      const error = await refused(await connect(version), `${command}\ndestination:/queue/a\n\n\0`);
      assertEquals(error.get("message"), "malformed frame");
    }
  }
});

brokerRow("F12-08", "header names keep their case", async ({ connect }) => {
  for (const version of ALL) {
    const { body, lines } = await deliver(await connect(version), send("Content-Length:1\n", "ab"));
    assertEquals(body, "ab");
    assert(lines.includes("Content-Length:1"));
    const error = await refused(await connect(version), "SEND\nDestination:/queue/a\n\n\0");
    assertEquals(error.get("message"), "SEND has no destination");
  }
});

brokerRow("F12-09", "a header line without a colon or a name is malformed", async ({ broker, connect }) => {
  for (const version of ALL) {
    for (const line of [":v", "nocolon", ":"]) {
      assertEquals((await refused(await connect(version), send(`${line}\n`))).get("message"), "malformed frame");
    }
  }
  assertEquals(broker.stats.destinations, 0);
});

brokerRow("F12-10", "a value may be empty", async ({ connect }) => {
  for (const version of ALL) assert((await deliver(await connect(version), send("x:\n"))).lines.includes("x:"));
});

brokerRow("F10-11", "1.0: colons in a value are data, when read and when written", async ({ connect }) => {
  assert((await deliver(await connect("1.0"), send("x:ID:h-1:2\n"))).lines.includes("x:ID:h-1:2"));
});

brokerRow("F12-12", "colons are written as escapes", async ({ connect }) => {
  for (const version of ESCAPING) {
    const peer = await connect(version);
    const name = `${version}\\cb`;
    await peer.write(`SUBSCRIBE\nid:s\\c0\ndestination:${name}\n\n\0SEND\ndestination:${name}\nc\\cd:e\\c\n\n\0`);
    const { lines } = await peer.frame("MESSAGE");
    assertEquals(lines.slice(0, 2), ["subscription:s\\c0", `destination:${name}`]);
    assert(lines.includes("c\\cd:e\\c"));
  }
});

brokerRow("F12-13", "unescaped colons are read, and written as escapes", async ({ connect }) => {
  for (const version of ESCAPING) {
    assert((await deliver(await connect(version), send("x:a:b:c\n"))).lines.includes("x:a\\cb\\cc"));
  }
});

brokerRow("F12-14", "the first of repeated headers counts", async ({ broker, connect }) => {
  for (const version of ALL) {
    const { get, body } = await deliver(
      await connect(version),
      "SEND\ndestination:/queue/a\ndestination:/queue/b\ncontent-length:1\ncontent-length:5\nx:1\nx:2\n\nh\0",
    );
    assertEquals([get("destination"), get("x"), body], ["/queue/a", "1", "h"]);
  }
  assertEquals(broker.stats.messages, 0);
});

brokerRow("F12-15", "repeats of a header are not passed on", async ({ connect }) => {
  const { lines } = await deliver(await connect("1.2"), send("x:1\nx:2\nx:3\n"));
  assertEquals(lines.filter((line) => line.startsWith("x:")), ["x:1"]);
});

brokerRow("F12-16", "a body on another frame is malformed, and the broker writes none", async ({ connect }) => {
  for (const version of ESCAPING) {
    for (const head of ["BEGIN\ntransaction:t\n", "SUBSCRIBE\nid:0\ndestination:/queue/a\n"]) {
      assertEquals((await refused(await connect(version), `${head}\nx\0`)).get("message"), "malformed frame");
      assertEquals((await refused(await connect(version), `${head}content-length:1\n\n\0\0`)).body.length > 0, true);
    }
    const peer = await connect(version);
    await peer.write("BEGIN\ntransaction:t\nreceipt:1\n\n\0");
    assertEquals((await peer.frame("RECEIPT")).octets.length, 0);
  }
});

brokerRow("F10-17", "1.0: a body on SUBSCRIBE is dropped", async ({ connect }) => {
  const peer = await connect("1.0");
  await peer.write("SUBSCRIBE\ndestination:/queue/a\n\njunk\0");
  await peer.write(send("", "hi"));
  assertEquals((await peer.frame("MESSAGE")).body, "hi");
});

brokerRow("F12-18", "content-length counts bytes, including NULs", async ({ connect }) => {
  for (const version of ALL) {
    const { octets, get } = await deliver(await connect(version), send("content-length:5\n", "a\0\u20ac"));
    assertEquals([octets, get("content-length")], [bytes("a\0\u20ac"), "5"]);
  }
});

brokerRow("F12-19", "anything but a NUL after the body is malformed", async ({ broker, connect }) => {
  for (const version of ALL) {
    const error = await refused(await connect(version), send("content-length:2\n", "abc"));
    assertEquals(error.get("message"), "malformed frame");
  }
  assertEquals(broker.stats.messages, 0);
});

brokerRow("F12-20", "without content-length, the first NUL ends the frame", async ({ connect }) => {
  for (const version of ALL) {
    const peer = await connect(version);
    await peer.write(`SUBSCRIBE\nid:0\ndestination:${version}\n\n\0`);
    await peer.write(`SEND\ndestination:${version}\n\nab\0SEND\ndestination:${version}\n\nc\0`);
    const messages = await peer.frames(2, "MESSAGE");
    assertEquals(messages.map(({ body }) => body), ["ab", "c"]);
  }
});

brokerRow("F12-21", "a body with a NUL is sent with content-length", async ({ connect }) => {
  for (const version of ALL) {
    const { octets, get } = await deliver(await connect(version), send("content-length:2\n", "\0\x01"));
    assertEquals([octets, get("content-length")], [bytes(0, 1), "2"]);
  }
});

brokerRow("F12-22", "MESSAGE and ERROR have content-length", async ({ connect }) => {
  for (const version of ALL) {
    const peer = await connect(version);
    assertEquals((await deliver(peer, send("", "h\xe9"))).get("content-length"), "3");
    const error = await refused(peer, "SEND\n\n\0");
    assertEquals(error.get("content-length"), String(error.octets.length));
    assert(error.octets.length > 0);
  }
});

brokerRow("F12-23", "any frame may have content-length", async ({ connect }) => {
  for (const version of ALL) {
    const peer = await connect(version, "content-length:0\n");
    await peer.write("BEGIN\ntransaction:t\nreceipt:1\ncontent-length:0\n\n\0");
    await peer.frame("RECEIPT");
  }
});

brokerRow("F12-24", "ERROR has content-type, and MESSAGE has that of the SEND", async ({ connect }) => {
  for (const version of ESCAPING) {
    const peer = await connect(version);
    assertEquals((await deliver(peer, send("content-type:a/b\n", "x"))).get("content-type"), "a/b");
    assertEquals((await refused(peer, "SEND\n\n\0")).get("content-type"), "text/plain");
  }
});

brokerRow("F12-25", "content-type is passed on unchanged", async ({ connect }) => {
  for (const type of ["text/plain;charset=utf-16", "application/json", 'a/b; c="d e"']) {
    const { get } = await deliver(await connect(), send(`content-type:${type}\n`, "x"));
    assertEquals(get("content-type"), type);
  }
});

brokerRow("F12-26", "a body without content-type stays binary, and gets none", async ({ connect }) => {
  for (const version of ESCAPING) {
    const { octets, get } = await deliver(await connect(version), bytes(`${TO}\n`, 0xff, 0xfe, 0));
    assertEquals([octets, get("content-type")], [bytes(0xff, 0xfe), undefined]);
  }
});

brokerRow("F12-27", "the text of an ERROR is UTF-8, and a charset is not changed", async ({ connect }) => {
  const peer = await connect();
  const type = "text/plain;charset=iso-8859-1";
  const { octets, get } = await deliver(peer, bytes(`${TO}content-type:${type}\n\n`, 0xe9, 0));
  assertEquals([octets, get("content-type")], [bytes(0xe9), type]);
  await peer.write("SUBSCRIBE\nid:\u20ac\ndestination:/queue/b\n\n\0");
  const error = await refused(peer, "SUBSCRIBE\nid:\u20ac\ndestination:/queue/b\n\n\0");
  assertEquals(error.get("content-type"), "text/plain");
  assertStringIncludes(error.body, "\u20ac");
});

brokerRow("F12-28", "names and values are read and written as UTF-8", async ({ connect }) => {
  for (const version of ESCAPING) {
    const { lines } = await deliver(await connect(version), send("k\xe9:\u{1f600}\n"));
    assert(lines.includes("k\xe9:\u{1f600}"));
  }
});

brokerRow("F12-29", "a body in UTF-8 stays UTF-8", async ({ connect }) => {
  for (const version of ESCAPING) {
    const text = "\ufeffh\xe9\u20ac\u{1f600}";
    assertEquals((await deliver(await connect(version), send("", text))).octets, bytes(text));
  }
});

brokerRow("F12-30", "a header that is not UTF-8 is malformed", async ({ broker, connect }) => {
  for (const version of ALL) {
    for (const data of [bytes(`${TO}x:`, 0xff, "\n\n", 0), bytes("SEND\ndestination:", 0xc3, "\n\n", 0)]) {
      assertEquals((await refused(await connect(version), data)).get("message"), "malformed frame");
    }
  }
  assertEquals(broker.stats.destinations, 0);
});

brokerRow("F12-31", "a body passes byte for byte", async ({ connect }) => {
  for (const version of ALL) {
    for (const body of ["\n\ufeffa\r\n", "\r\n\r\n", " a ", "\\n\\t\\", "\n"]) {
      assertEquals((await deliver(await connect(version), send("", body))).octets, bytes(body));
    }
  }
});

brokerRow("F12-32", "spaces in names and values are kept", async ({ connect }) => {
  for (const version of ESCAPING) {
    const { lines } = await deliver(await connect(version), send(" a : b \nc: \n\td:\te\t\n"));
    for (const line of [" a : b ", "c: ", "\td:\te\t"]) assert(lines.includes(line), line);
  }
});

brokerRow("F10-33", "1.0: spaces before a value are dropped, in CONNECT as well", async ({ connect, open }) => {
  const peer = await connect("1.0", "login: user\npasscode:  secret\n");
  const { lines } = await deliver(peer, "SEND\ndestination: /queue/a\nx:  b \n\n\0");
  assert(lines.includes("destination:/queue/a") && lines.includes("x:b "));
  const old = open();
  await old.write("CONNECT\nlogin: user\npasscode: secret\n\n\0");
  await old.frame("CONNECTED");
  // From 1.1 on, a space belongs to the value.
  const young = await refused(open(), "CONNECT\naccept-version:1.2\nhost:h\nlogin: user\npasscode:secret\n\n\0");
  assertEquals(young.get("message"), "login refused");
}, { login: "user", passcode: "secret" });

brokerRow("F12-34", "escapes are decoded, and the decoded text counts", async ({ connect }) => {
  for (const version of ESCAPING) {
    const old = await connect("1.0");
    await old.write(`SUBSCRIBE\ndestination:${version}:\\\n\n\0`);
    await (await connect(version)).write(`SEND\ndestination:${version}\\c\\\\\nx:\\\\a\\cb\n\n\0`);
    const { lines } = await old.frame("MESSAGE");
    assert(lines.includes(`destination:${version}:\\`) && lines.includes("x:\\a:b"), String(lines));
  }
});

brokerRow("F12-35", "1.2: \\r is CR", async ({ connect }) => {
  const peer = await connect("1.2");
  await peer.write("SUBSCRIBE\nid:0\ndestination:q\\r\n\n\0");
  await (await connect("1.1")).write("SEND\ndestination:q\r\n\nhi\0"); // in 1.1 a CR needs no escape
  assertEquals((await peer.frame("MESSAGE")).get("destination"), "q\\r");
});

brokerRow("F11-36", "1.1: \\r is fatal", async ({ broker, connect }) => {
  assertEquals((await refused(await connect("1.1"), send("x:a\\rb\n"))).get("message"), "malformed frame");
  assertEquals(broker.stats.messages, 0);
});

brokerRow("F12-37", "an undefined escape is fatal", async ({ broker, connect }) => {
  for (const version of ESCAPING) {
    for (const line of ["x:a\\tb", "x:a\\", "x\\:a", "\\o:a", "x:\\\\\\"]) {
      assertEquals((await refused(await connect(version), send(`${line}\n`))).get("message"), "malformed frame");
    }
  }
  assertEquals(broker.stats.messages, 0);
});

brokerRow("F12-38", "escapes are decoded once, from left to right", async ({ connect }) => {
  for (const version of ESCAPING) {
    const old = await connect("1.0");
    await old.write(`SUBSCRIBE\ndestination:${version}\n\n\0`);
    await (await connect(version)).write(`SEND\ndestination:${version}\nx:a\\\\nb\\\\c\n\n\0`);
    assertEquals((await old.frame("MESSAGE")).get("x"), "a\\nb\\c");
  }
});

brokerRow("F12-39", "characters that have escapes are written as escapes", async ({ connect }) => {
  for (const version of ESCAPING) {
    const { lines } = await deliver(await connect(version), send("n\\n\\c\\\\:a\\nb\\\\c\\c\\\\n\n"));
    assert(lines.includes("n\\n\\c\\\\:a\\nb\\\\c\\c\\\\n"), String(lines));
  }
  assert((await deliver(await connect("1.2"), send("r\\r:\\r\n"))).lines.includes("r\\r:\\r"));
});
