/** Part F for the client: what it reads. What it writes is in `framing_client_written.ts`. */
import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "#assert";
import { UnknownBrokerResponseError } from "../../base/errors.ts";
import { flushMicrotasks } from "../support/client_harness.ts";
import { receiptFor } from "../support/raw_server.ts";
import {
  ALL,
  assertConnectionEnds,
  bytes,
  clientRow,
  dial,
  ESCAPING,
  frame,
  listen,
  message,
  read,
} from "./harness.ts";

clientRow("F12-01", "a message is parsed into command, headers and body", async (harness) => {
  for (const version of ALL) {
    const { command, headers, body } = await read(harness, version, message("foo:bar\n", "hi"));
    assertEquals(command, "MESSAGE");
    assertEquals({ ...headers }, { subscription: "0", "message-id": "1", destination: "/queue/a", foo: "bar" });
    assertEquals(body, bytes("hi"));
  }
});

clientRow("F12-02", "1.2: each line ends with LF or CRLF", async (harness) => {
  for (const [a, b, c] of [["\r\n", "\n", "\r\n"], ["\n", "\r\n", "\n"], ["\r\n", "\r\n", "\r\n"]]) {
    const got = await read(harness, "1.2", `MESSAGE${a}subscription:0${b}foo:bar${a}${c}\r\nhi\r\n\0`);
    assertEquals([got.header("foo"), got.header("subscription"), got.text()], ["bar", "0", "\r\nhi\r\n"]);
  }
});

clientRow("F11-03", "1.0 and 1.1: a CR in a header is data", async (harness) => {
  for (const version of ["1.0", "1.1"]) {
    assertEquals((await read(harness, version, message("foo:bar\r\n"))).headers["foo"], "bar\r");
    assertEquals((await read(harness, version, message("foo:a\rb\n"))).headers["foo"], "a\rb");
    await assertConnectionEnds(harness, version, `MESSAGE\r\nsubscription:0\n\n\0`);
    await assertConnectionEnds(harness, version, `MESSAGE\nsubscription:0\n\r\nx\0`);
  }
});

clientRow("F12-04", "1.2: a CR without LF ends the connection", async (harness) => {
  for (const lines of ["foo:a\rb\n", "f\roo:a\n", "foo:a\r\r\n", "\rfoo:a\n"]) {
    await assertConnectionEnds(harness, "1.2", message(lines));
  }
  await assertConnectionEnds(harness, "1.2", "MESSAGE\r\r\nsubscription:0\n\n\0");
  await assertConnectionEnds(harness, "1.2", "MESS\rAGE\nsubscription:0\n\n\0");
  await assertConnectionEnds(harness, "1.2", "\rMESSAGE\nsubscription:0\n\n\0");
});

clientRow("F12-05", "line ends between frames are skipped", async (harness) => {
  for (const version of ALL) {
    const { peer, next } = await listen(harness, version);
    const ends = version === "1.2" ? "\n\r\n\n" : "\n\n\n";
    await peer.write(`\n${message("", "1")}${ends}${message("", "2")}\n\n${message("", "3")}`);
    assertEquals([(await next()).text(), (await next()).text(), (await next()).text()], ["1", "2", "3"]);
  }
});

clientRow("F12-06", "chunk boundaries do not matter", async (harness) => {
  const { peer, next } = await listen(harness, "1.2");
  const whole = bytes("MESSAGE\r\nsubscription:0\ncontent-length:6\nk\xe9:a\\nb\r\n\r\na\0\u20ac\n\0\r\n");
  const check = async () => {
    const got = await next();
    assertEquals([got.command, got.headers["k\xe9"], got.text()], ["MESSAGE", "a\nb", "a\0\u20ac\n"]);
  };
  for (let cut = 1; cut < whole.length; cut++) {
    await peer.write(whole.subarray(0, cut));
    await peer.write(whole.subarray(cut));
    await check();
  }
  for (const octet of whole) await peer.write(new Uint8Array([octet]));
  await check();
  const many = new Uint8Array(whole.length * 50);
  for (let i = 0; i < 50; i++) many.set(whole, i * whole.length);
  await peer.write(many);
  for (let i = 0; i < 50; i++) await check();
});

clientRow("F12-07", "a command in lower case is unknown", async (harness) => {
  for (const version of ALL) {
    await assertConnectionEnds(harness, version, "message\nsubscription:0\n\n\0");
    await assertConnectionEnds(harness, version, "Message\nsubscription:0\n\n\0");
  }
});

clientRow("F12-08", "header names keep their case", async (harness) => {
  const got = await read(harness, "1.2", message("Content-Length:1\nSubscription:9\n", "ab"));
  assertEquals([got.text(), got.headers["Content-Length"], got.headers["content-length"]], ["ab", "1", undefined]);
});

clientRow("F12-09", "a header line without a colon or a name ends the connection", async (harness) => {
  for (const version of ALL) {
    for (const line of [":v", "nocolon", " ", ":"]) await assertConnectionEnds(harness, version, message(`${line}\n`));
  }
});

clientRow("F12-10", "a value may be empty", async (harness) => {
  for (const version of ALL) assertStrictEquals((await read(harness, version, message("hdr:\n"))).headers["hdr"], "");
});

clientRow("F10-11", "1.0: colons in a value are data", async (harness) => {
  const got = await read(harness, "1.0", "MESSAGE\nsubscription:0\nmessage-id:ID:h-1:2\n\n\0");
  assertEquals(got.headers["message-id"], "ID:h-1:2");
});

clientRow("F12-13", "unescaped colons are data in 1.1 and 1.2 as well, because brokers write them", async (harness) => {
  for (const version of ESCAPING) {
    const { headers } = await read(harness, version, message("foo:a:b:c\nbar::\n"));
    assertEquals([headers["foo"], headers["bar"]], ["a:b:c", ":"]);
  }
});

clientRow("F12-14", "the first of repeated headers counts", async (harness) => {
  for (const version of ALL) {
    const got = await read(
      harness,
      version,
      message("foo:World\nfoo:Hello\ncontent-length:2\ncontent-length:9\n", "hi"),
    );
    assertEquals([got.header("foo"), got.headers["foo"], got.text()], ["World", "World", "hi"]);
  }
});

clientRow("F12-15", "repeats of a header are not visible", async (harness) => {
  const { headers } = await read(harness, "1.2", message("foo:World\nfoo:Hello\nsubscription:9\n"));
  assert(!Object.values(headers).includes("Hello"));
  assertEquals(headers["subscription"], "0");
});

clientRow("F12-18", "content-length counts bytes, including NULs", async (harness) => {
  for (const version of ALL) {
    const got = await read(harness, version, message("content-length:3\n", "a\0b"));
    assertEquals(got.body, bytes("a", 0, "b"));
    assertEquals((await read(harness, version, message("content-length:5\n", "\u20ac\xe9"))).text(), "\u20ac\xe9");
    assertEquals((await read(harness, version, message("content-length:3\n", "\0\0\0"))).body, bytes(0, 0, 0));
  }
});

clientRow("F12-19", "anything but a NUL after the body ends the connection", async (harness) => {
  for (const version of ALL) {
    await assertConnectionEnds(harness, version, message("content-length:2\n", "abc"));
    await assertConnectionEnds(harness, version, message("content-length:0\n", "\n"));
  }
});

clientRow("F12-20", "without content-length, the first NUL ends the frame", async (harness) => {
  for (const version of ALL) {
    const { peer, next } = await listen(harness, version);
    await peer.write(`${message("", "ab")}${message("", "")}${message("", "c")}`);
    assertEquals([(await next()).text(), (await next()).text(), (await next()).text()], ["ab", "", "c"]);
  }
});

clientRow("F12-23", "a RECEIPT may have content-length", async (harness) => {
  for (const version of ALL) {
    const { session, peer } = await listen(harness, version);
    const answered = session.request(frame("BEGIN", { transaction: "t" }));
    const receipt = receiptFor(await peer.frame("BEGIN")).replace("\n\n", "\ncontent-length:0\n\n");
    await peer.write(receipt);
    assertEquals((await answered).body.length, 0);
  }
});

clientRow("F12-25", "content-type reaches the application unchanged", async (harness) => {
  for (const type of ["text/plain;charset=utf-16", "application/json", "x"]) {
    assertEquals((await read(harness, "1.2", message(`content-type:${type}\n`))).headers["content-type"], type);
  }
});

clientRow("F12-26", "a body without content-type is binary", async (harness) => {
  for (const version of ALL) {
    const { body } = await read(harness, version, bytes("MESSAGE\nsubscription:0\n\n", 0xff, 0xfe, 0));
    assertInstanceOf(body, Uint8Array);
    assertEquals(body, bytes(0xff, 0xfe));
  }
});

clientRow("F12-27", "text is UTF-8, or what charset says", async (harness) => {
  const text = async (type: string, ...body: number[]) =>
    (await read(harness, "1.2", bytes(`MESSAGE\nsubscription:0\ncontent-type:${type}\n\n`, ...body, 0))).text();
  assertEquals(await text("text/plain", 0xc3, 0xa9), "\xe9");
  assertEquals(await text("text/plain;charset=utf-8", 0xc3, 0xa9), "\xe9");
  assertEquals(await text("text/plain; charset=iso-8859-1", 0xe9), "\xe9");
  assertEquals(await text('application/xml;charset="shift_jis"', 0x83, 0x65), "\u30c6");
});

clientRow("F12-28", "names and values are read as UTF-8", async (harness) => {
  for (const version of ESCAPING) {
    const { headers } = await read(harness, version, message("k\xe9:\u{1f600}\n\u{fffd}:\ufeff\n"));
    assertEquals([headers["k\xe9"], headers["\u{fffd}"]], ["\u{1f600}", "\ufeff"]);
  }
});

clientRow("F12-30", "a header that is not UTF-8 ends the connection", async (harness) => {
  for (const version of ALL) {
    for (const octets of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
      await assertConnectionEnds(harness, version, bytes("MESSAGE\nsubscription:0\nfoo:", ...octets, "\n\n", 0));
      await assertConnectionEnds(harness, version, bytes("MESSAGE\nsubscription:0\nfoo", ...octets, ":a\n\n", 0));
    }
    await assertConnectionEnds(harness, version, bytes("MESSAGE", 0xff, "\nsubscription:0\n\n", 0));
  }
});

clientRow("F12-31", "a body arrives byte for byte", async (harness) => {
  for (const version of ALL) {
    for (const body of ["\n\xef", "\n\ufeffa\r\n", "\r\n\r\n", " a ", "\\n\\c\\t\\", "\ufeff"]) {
      assertEquals((await read(harness, version, message("", body))).body, bytes(body));
      assertEquals((await read(harness, version, message("content-type:text/plain\n", body))).text(), body);
    }
  }
});

clientRow("F12-32", "spaces in names and values are kept", async (harness) => {
  for (const version of ESCAPING) {
    const { headers } = await read(harness, version, message(" a : b \nc: \n\td:\te\t\n"));
    assertEquals([headers[" a "], headers["c"], headers["\td"]], [" b ", " ", "\te\t"]);
  }
});

clientRow("F10-33", "1.0: spaces before a value are dropped", async (harness) => {
  const { headers } = await read(harness, "1.0", message("foo:  b \ncontent-length: 2\n", "hi"));
  assertEquals(headers["foo"], "b ");
  for (const lines of ["", "version:1.0\n", "version: 1.0\n"]) {
    const { opening, peer } = await dial(harness);
    await peer.write(`CONNECTED\n${lines}session: 7\n\n\0`);
    const { version, connected } = await opening;
    assertEquals([version, connected["session"]], ["1.0", "7"]);
  }
});

clientRow("F12-34", "escapes are decoded in names and values", async (harness) => {
  for (const version of ESCAPING) {
    const { headers } = await read(harness, version, message("a\\cb\\n\\\\:c\\nd\\\\e\\cf\n"));
    assertEquals(headers["a:b\n\\"], "c\nd\\e:f");
  }
});

clientRow("F12-35", "1.2: \\r is CR", async (harness) => {
  assertEquals((await read(harness, "1.2", message("f\\ro:a\\rb\\r\n"))).headers["f\ro"], "a\rb\r");
});

clientRow("F11-36", "1.1: \\r ends the connection", async (harness) => {
  await assertConnectionEnds(harness, "1.1", message("foo:a\\rb\n"));
  await assertConnectionEnds(harness, "1.1", message("f\\roo:a\n"));
});

clientRow("F12-37", "an undefined escape ends the connection", async (harness) => {
  for (const version of ESCAPING) {
    for (const line of ["foo:a\\tb", "foo:a\\", "f\\oo:a", "f\\:a", "foo:\\N", "foo:a\\\\\\", "foo:\\ n"]) {
      await assertConnectionEnds(harness, version, message(`${line}\n`));
    }
  }
  await assertConnectionEnds(harness, "1.2", message("foo:a\\\r\n"));
});

clientRow("F12-38", "escapes are decoded once, from left to right", async (harness) => {
  for (const version of ESCAPING) {
    const { headers } = await read(harness, version, message("a:\\\\n\nb:\\\\\\n\nc:\\\\c\\\\\\\\\n"));
    assertEquals([headers["a"], headers["b"], headers["c"]], ["\\n", "\\\n", "\\c\\\\"]);
  }
});

clientRow("F10-40", "1.0: a backslash is a backslash", async (harness) => {
  const { headers } = await read(harness, "1.0", message("p:C:\\temp\\n\\\\\\t\\\n"));
  assertEquals(headers["p"], "C:\\temp\\n\\\\\\t\\");
});

clientRow("F12-43", "input over a limit ends the connection at once", async (harness) => {
  await assertConnectionEnds(harness, "1.2", "MESSAGE\nsubscription:0\ncontent-length:99999999999999999999\n");
  await assertConnectionEnds(harness, "1.2", "MESSAGE\nsubscription:0\ncontent-length:11\n", { maxBodyBytes: 10 });
  await assertConnectionEnds(harness, "1.2", "MESSAGE\nsubscription:0\n\n01234567890", { maxBodyBytes: 10 });
  await assertConnectionEnds(harness, "1.2", "MESSAGE\nsubscription:0\nfoo:bar\nb", { maxHeaderBytes: 30 });
  await assertConnectionEnds(harness, "1.2", "MESSAGE\nsubscription:0\na:1\nb:2\n", { maxHeaders: 2 });
  await assertConnectionEnds(harness, "1.2", "MESSAGEMESSAGE");
});

clientRow("F12-45", "CONNECTED is read with either line end", async (harness) => {
  for (const version of ALL) {
    for (const lines of [`version:${version}\r\nsession:x\r\n\r\n`, `version:${version}\r\nsession:x\n\r\n`]) {
      const { opening, peer } = await dial(harness);
      await peer.write(`CONNECTED\r\n${lines}\0\r\n`);
      const session = await opening;
      assertEquals([session.version, session.connected["session"]], [version, "x"]);
      const sync = session.request(frame("BEGIN", { transaction: "t" }));
      await peer.write(receiptFor(await peer.frame("BEGIN")));
      await sync;
    }
  }
});

clientRow("F12-46", "the rules change with the frame after CONNECTED, in the same chunk or not", async (harness) => {
  const told: Record<string, string | undefined> = { "1.0": "a\\cb\\r", "1.1": undefined, "1.2": "a:b\r" };
  for (const version of ALL) {
    for (const cut of [0, 5, 26, 30]) {
      const messages: (string | undefined)[] = [];
      const { opening, peer } = await dial(harness, {
        onError: (error) => messages.push(error.frame?.headers["message"]),
      });
      const data = `CONNECTED\nversion:${version}\n\n\0ERROR\nmessage:a\\cb\\r\n\n\0`;
      await peer.write(data.slice(0, cut));
      await peer.write(data.slice(cut));
      const session = await opening;
      await flushMicrotasks();
      // \r is an escape in 1.2 only, data in 1.0, and an error in 1.1.
      if (told[version] === undefined) assertInstanceOf(session.reason, UnknownBrokerResponseError);
      else assertEquals(messages, [told[version]]);
    }
  }
});
