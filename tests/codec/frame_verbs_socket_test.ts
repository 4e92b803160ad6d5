/** The verbs of stompy's `Frame`, over a socket that answers from a script. */
import { assertEquals, assertRejects, assertStrictEquals } from "#assert";
import { test } from "#test";
import { FrameDecoder } from "../../codec/decoder.ts";
import { BrokerErrorResponse, NotConnectedError, UnknownBrokerResponseError } from "../../base/errors.ts";
import { Frame, type FrameSocket } from "../../codec/frame.ts";
import type { ReadOptions } from "../../base/timers.ts";
import type { Version } from "../../codec/protocol.ts";
import { latin1, octets } from "../fixtures/decoding.ts";

/** A socket on which frames wait to be read; what is written is kept as octets. */
class ScriptedSocket implements FrameSocket {
  readonly host = "/vhost";
  version: Version = "1.2";
  readonly written: string[] = [];
  readonly options: ReadOptions[] = [];
  readonly #waiting: Frame[] = [];
  readonly #answers: string[];

  /** `waiting` can be read at once; each frame that is written makes one of `answers` readable. */
  constructor(waiting: string, ...answers: string[]) {
    this.#answers = answers;
    this.say(waiting);
  }

  say(wire: string): void {
    const decoder = new FrameDecoder({ version: this.version, onFrame: (frame) => this.#waiting.push(frame) });
    decoder.push(octets(wire));
  }

  writeFrame(frame: Frame): Promise<void> {
    this.written.push(latin1(frame.encode(this.version)));
    this.say(this.#answers.shift() ?? "");
    return Promise.resolve();
  }

  readFrame(options: ReadOptions = {}): Promise<Frame | undefined> {
    this.options.push(options);
    const frame = this.#waiting.shift();
    if (frame === undefined && !options.nb) return Promise.reject(new Error("the script has ended"));
    return Promise.resolve(frame);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const message = (body: string) => `MESSAGE\ndestination:/q\nmessage-id:${body}\n\n${body}\0`;
const receipt = (id: string) => `RECEIPT\nreceipt-id:${id}\n\n\0`;
const CONNECTED = "CONNECTED\nversion:1.2\nsession:s1\n\n\0";

test("`Frame.connect()` sends CONNECT and keeps the headers of CONNECTED as `session`", async () => {
  const sock = new ScriptedSocket("", CONNECTED);
  const frame = new Frame();
  assertEquals([frame.sock, frame.session], [undefined, undefined]);
  await frame.connect(sock, { username: "u", password: "p:w", clientId: "c" });
  assertEquals(sock.written, [
    "CONNECT\naccept-version:1.0,1.1,1.2\nhost:/vhost\nlogin:u\npasscode:p:w\nclient-id:c\n\n\0",
  ]);
  assertStrictEquals(frame.sock, sock);
  assertEquals({ ...frame.session }, { version: "1.2", session: "s1" });
});

test("`Frame.connect()` leaves out what was not given", async () => {
  const sock = new ScriptedSocket("", CONNECTED);
  await new Frame().connect(sock);
  assertEquals(sock.written, ["CONNECT\naccept-version:1.0,1.1,1.2\nhost:/vhost\n\n\0"]);
});

test("C12-12 `Frame.connect()` rejects with the whole ERROR", async () => {
  const sock = new ScriptedSocket("", "ERROR\nmessage:Bad CONNECT\nfoo:bar\n\nno such user\n\0");
  const error = await assertRejects(() => new Frame().connect(sock), BrokerErrorResponse, "Bad CONNECT (no such user)");
  assertEquals({ ...error.frame!.headers }, { message: "Bad CONNECT", foo: "bar" });
  assertEquals(error.frame!.text(), "no such user\n");
});

test("`Frame.connect()` rejects when another frame than CONNECTED comes", async () => {
  const sock = new ScriptedSocket("", receipt("1"));
  const error = await assertRejects(() => new Frame().connect(sock), UnknownBrokerResponseError, "answered RECEIPT");
  assertEquals(error.frame!.headers["receipt-id"], "1");
});

test("`Frame.getMessage()` and `getReply()` keep frames for each other", async () => {
  const frame = new Frame(new ScriptedSocket(message("a") + receipt("1") + receipt("2") + message("b")));
  assertEquals((await frame.getReply())!.headers["receipt-id"], "1");
  assertEquals([frame.iqueue.length, frame.rqueue.length], [1, 0]);
  assertEquals((await frame.getMessage())!.text(), "a");
  assertEquals((await frame.getMessage())!.text(), "b");
  assertEquals([frame.iqueue.length, frame.rqueue.length], [0, 1]);
  assertEquals((await frame.getReply())!.headers["receipt-id"], "2");
});

test("`Frame.getMessage()`, `getReply()` and `parseFrame()` with `nb` resolve to undefined when no frame waits", async () => {
  const sock = new ScriptedSocket("");
  const frame = new Frame(sock);
  assertEquals(await frame.getMessage({ nb: true }), undefined);
  assertEquals(await frame.getReply({ nb: true }), undefined);
  assertEquals(await frame.parseFrame({ nb: true }), undefined);
  sock.say(message("a"));
  assertEquals(await frame.getReply({ nb: true }), undefined);
  assertEquals((await frame.getMessage({ nb: true }))!.text(), "a");
  sock.say(receipt("1"));
  assertEquals(await frame.getMessage({ nb: true }), undefined);
  assertEquals((await frame.getReply({ nb: true }))!.headers["receipt-id"], "1");
});

test("`Frame.getMessage()`, `getReply()` and `parseFrame()` pass signal and timeout to the socket", async () => {
  const sock = new ScriptedSocket(message("a") + receipt("1") + receipt("2"));
  const frame = new Frame(sock);
  const options = { signal: new AbortController().signal, timeout: 5 };
  await frame.getMessage(options);
  await frame.getReply(options);
  await frame.parseFrame(options);
  for (const given of sock.options) assertStrictEquals(given.signal, options.signal);
  assertEquals(sock.options.map(({ timeout }) => timeout), [5, 5, 5]);
});

test("`Frame.parseFrame()` returns the next frame, and throws ERROR with its headers", async () => {
  const frame = new Frame(new ScriptedSocket(`${receipt("1")}ERROR\nmessage:no\nreceipt-id:9\n\n\0${message("a")}`));
  assertEquals((await frame.parseFrame())!.command, "RECEIPT");
  const error = await assertRejects(() => frame.parseFrame(), BrokerErrorResponse, "no");
  assertEquals(error.frame!.headers["receipt-id"], "9");
  assertEquals((await frame.parseFrame())!.text(), "a");
});

test("`Frame` verbs reject with a NotConnectedError without a socket", async () => {
  const frame = new Frame();
  await assertRejects(() => frame.parseFrame(), NotConnectedError, "Cannot read");
  await assertRejects(() => frame.getMessage(), NotConnectedError);
  await assertRejects(() => frame.getReply(), NotConnectedError);
  await assertRejects(
    () => frame.sendFrame(new Frame().buildFrame({ command: "ACK" })),
    NotConnectedError,
    "Cannot send",
  );
});

test("`Frame.sendFrame()` waits for its own receipt, and only when it asks for one", async () => {
  const sock = new ScriptedSocket("", "", message("a") + receipt("other") + receipt("r1"));
  const frame = new Frame(sock);
  const send = new Frame().buildFrame({ command: "SEND", headers: { destination: "/q" }, body: "x" });
  assertEquals(await frame.sendFrame(send), undefined);
  send.headers["receipt"] = "r1";
  assertEquals((await frame.sendFrame(send))!.headers["receipt-id"], "r1");
  assertEquals([frame.iqueue.length, frame.rqueue.length], [1, 1]);
  assertEquals((await frame.getReply())!.headers["receipt-id"], "other");
  assertEquals((await frame.getMessage())!.text(), "a");
});

test("`Frame.sendFrame()` compares receipts unescaped, and rejects with ERROR", async () => {
  const sock = new ScriptedSocket("", receipt("r\\c1"), `${receipt("other")}ERROR\nmessage:no\n\n\0`);
  const frame = new Frame(sock);
  const send = new Frame().buildFrame({ command: "BEGIN", headers: { transaction: "t", receipt: "r:1" } });
  assertEquals((await frame.sendFrame(send))!.headers["receipt-id"], "r:1");
  assertEquals(sock.written, ["BEGIN\ntransaction:t\nreceipt:r\\c1\n\n\0"]);
  await assertRejects(() => frame.sendFrame(send), BrokerErrorResponse, "no");
  assertEquals((await frame.getReply())!.headers["receipt-id"], "other");
});

test("C12-14 `Frame.sendFrame()` does not wait for a receipt of CONNECT", async () => {
  const frame = new Frame(new ScriptedSocket(""));
  const connect = new Frame().buildFrame({ command: "CONNECT", headers: { receipt: "1" } });
  assertEquals(await frame.sendFrame(connect), undefined);
});

test("`Frame.buildFrame()` with `wantReceipt` puts the session into the receipt", async () => {
  const frame = new Frame();
  await frame.connect(new ScriptedSocket("", CONNECTED));
  frame.buildFrame({ command: "SEND" }, { wantReceipt: true });
  assertEquals(/^s1-frame-\d+$/.test(frame.headers["receipt"]!), true);
});

test("`Frame.sendFrame()` writes nothing of a frame that cannot be encoded", async () => {
  const sock = new ScriptedSocket("");
  const frame = new Frame(sock);
  await assertRejects(() => frame.sendFrame(new Frame().buildFrame({ command: "ACK", body: "x" })), TypeError);
  assertEquals(sock.written, []);
});

test("`Frame.asString()`, `encode()` and `parseHeaders()` apply the version of the socket", () => {
  const sock = new ScriptedSocket("");
  const frame = new Frame(sock).buildFrame({ command: "SEND", headers: { a: "b:c" } });
  assertEquals(frame.asString(), "SEND\na:b\\cc\n\n\0");
  assertEquals({ ...frame.parseHeaders("a:\\c\nb: x\r\n") }, { a: ":", b: " x" });
  sock.version = "1.0";
  assertEquals(frame.asString(), "SEND\na:b:c\n\n\0");
  assertEquals(latin1(frame.encode()), "SEND\na:b:c\n\n\0");
  assertEquals({ ...frame.parseHeaders("a:\\c\nb: x") }, { a: "\\c", b: "x" });
});

test("`Frame.parseCommand()` and `parseHeaders()` parse text", () => {
  const frame = new Frame();
  assertEquals(frame.parseCommand("MESSAGE\nfoo:bar\n\nhi\0"), "MESSAGE");
  assertEquals(frame.parseCommand("MESSAGE\r\nfoo:bar"), "MESSAGE");
  assertEquals([frame.parseCommand("MESSAGE"), frame.parseCommand("")], ["MESSAGE", ""]);
  assertEquals({ ...frame.parseHeaders("foo:World\nfoo:Hello\r\nbar:a\\nb") }, { foo: "World", bar: "a\nb" });
  assertEquals({ ...frame.parseHeaders("") }, {});
  assertEquals({ ...frame.parseHeaders("foo:bar\n\n") }, { foo: "bar" });
});
