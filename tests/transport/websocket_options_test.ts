/** The options of a WebSocket: what they do on the wire, and which are refused. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { inspect } from "node:util";
import { ConnectionError, HandshakeRefusedError } from "../../base/errors.ts";
import { parseUrl } from "../../transport/address.ts";
import { openTransport } from "../../transport/open.ts";
import { directIo, type Transport } from "../../transport/transport.ts";
import {
  checkWebSocketOptions,
  describeProtocols,
  protocolsOf,
  toHttpHeaders,
  type WebSocketOptions,
} from "../../transport/websocket_options.ts";
import { concat, pattern, pem } from "../support/sockets.ts";
import { type WebSocketEnd, WebSocketPeer, type WebSocketPeerOptions } from "../support/websocket_peer.ts";

const SECRET = "hunter2-hunter2";
const encoder = new TextEncoder();

function withPeer(
  name: string,
  options: WebSocketPeerOptions,
  fn: (
    open: (webSocket?: WebSocketOptions) => Promise<[Transport, WebSocketEnd]>,
    peer: WebSocketPeer,
  ) => Promise<void>,
): void {
  test(name, async () => {
    const peer = await WebSocketPeer.listen(options);
    const opened: Transport[] = [];
    const url = parseUrl(`${options.tls ? "wss" : "ws"}://localhost:${peer.port}/ws`);
    try {
      await fn(async (webSocket) => {
        const tls = options.tls && { caCerts: [pem("ca.pem")] };
        const [near, far] = await Promise.all([openTransport(url, { webSocket, tls }), peer.accept()]);
        opened.push(near);
        return [near, far];
      }, peer);
    } finally {
      await Promise.all(opened.map((one) => one.close()));
      await peer.close();
    }
  });
}

const TLS = { cert: pem("localhost.pem"), key: pem("localhost.key") };

for (const [scheme, options] of [["ws", {}], ["wss", { tls: TLS }]] as const) {
  withPeer(`\`headers\` go with the handshake of ${scheme}://`, options, async (open) => {
    const headers = { Authorization: `Bearer ${SECRET}`, Cookie: "a=b; c=d", Origin: "https://app.example" };
    for (const given of [headers, new Headers(headers), new Map(Object.entries(headers))]) {
      const [, far] = await open({ headers: given });
      for (const [name, value] of Object.entries(headers)) assertEquals(far.header(name), value);
      assertEquals(far.header("sec-websocket-protocol")?.replaceAll(" ", ""), "v12.stomp,v11.stomp,v10.stomp");
    }
  });
}

withPeer("`protocols` are offered in their order, in place of STOMP's", {}, async (open) => {
  const [, far] = await open({ protocols: ["v12.stomp", "access.token"] });
  assertEquals(far.header("sec-websocket-protocol")?.replaceAll(" ", ""), "v12.stomp,access.token");
});

for (const protocols of [false, []] as const) {
  withPeer(`\`protocols: ${JSON.stringify(protocols)}\` offers none`, { protocol: null }, async (open) => {
    const [near, far] = await open({ protocols });
    assertEquals(far.header("sec-websocket-protocol"), undefined);
    await near.writable.getWriter().write(encoder.encode("CONNECT\n\n\0"));
    assertEquals(await far.nextText(), "CONNECT\n\n\0");
  });
}

withPeer("a subprotocol that was not offered is an error that names no ticket", { protocol: "other" }, async (open) => {
  const error = await assertRejects(() => open({ protocols: ["v12.stomp", SECRET] }), ConnectionError);
  assertMatch(error.message, /: it speaks none of the subprotocols v12\.stomp and 1 that is not shown$/);
  assert(!inspect(error, { depth: 10, showHidden: true }).includes(SECRET));
  const none = await assertRejects(() => open({ protocols: false }), ConnectionError);
  assert(!/undefined|subprotocols $/.test(none.message), none.message);
});

withPeer(
  "a refused handshake shows no header",
  { answer: "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" },
  async (open) => {
    const headers = { Authorization: `Bearer ${SECRET}`, Cookie: `session=${SECRET}` };
    const error = await assertRejects(() => open({ headers }), HandshakeRefusedError);
    const shown = `${inspect(error, { depth: 10, showHidden: true })} ${error.stack} ${inspect(error.cause)}`;
    assert(!shown.includes(SECRET), shown);
  },
);

withPeer("`binary` sends all as binary messages", {}, async (open) => {
  const [near, far] = await open({ binary: true });
  const writer = near.writable.getWriter();
  for (const text of ["CONNECT\n\n\0", "\n", "SEND\n\nžlutý kůň\0"]) {
    await writer.write(encoder.encode(text));
    assertEquals(await far.next(), { isText: false, bytes: encoder.encode(text) });
  }
});

withPeer("`maxMessageBytes` cuts a frame into text messages of whole characters", {}, async (open) => {
  const [near, far] = await open({ maxMessageBytes: 10 });
  const io = directIo(near);
  const frames = ["SEND\n\n" + "ž🐎".repeat(20) + "\0", "SEND\n\nb\0"].map((text) => encoder.encode(text));
  await io.write(concat(frames), [frames[0]!.length, frames[0]!.length + frames[1]!.length]);
  let received = 0;
  const texts: string[] = [];
  for (; received < frames[0]!.length;) {
    const text = await far.nextText();
    const { length } = encoder.encode(text);
    assert(length <= 10, `${length} bytes`);
    received += length;
    texts.push(text);
  }
  assertEquals(encoder.encode(texts.join("")), frames[0]);
  assertEquals(await far.nextText(), "SEND\n\nb\0"); // a separate message: it fits
});

withPeer("`maxMessageBytes` cuts what is not UTF-8 into binary messages", {}, async (open) => {
  const [near, far] = await open({ maxMessageBytes: 4096 });
  const bytes = pattern(10_000);
  await near.writable.getWriter().write(bytes);
  const messages = [await far.next(), await far.next(), await far.next()];
  assertEquals(messages.map(({ isText, bytes }) => [isText, bytes.length]), [[false, 4096], [false, 4096], [
    false,
    1808,
  ]]);
  assertEquals(concat(messages.map(({ bytes }) => bytes)), bytes);
});

withPeer("`limitMessages()` sets the limit where the program has set none", {}, async (open) => {
  const [near, far] = await open();
  const io = directIo(near);
  io.limitMessages!(8);
  await io.write(encoder.encode("SEND\n\nabcdef\0"), [13]);
  assertEquals([await far.nextText(), await far.nextText()], ["SEND\n\nab", "cdef\0"]);

  const [own, end] = await open({ maxMessageBytes: 1000 });
  const ownIo = directIo(own);
  ownIo.limitMessages!(8);
  await ownIo.write(encoder.encode("SEND\n\nabcdef\0"), [13]);
  assertEquals(await end.nextText(), "SEND\n\nabcdef\0");
});

withPeer("`maxMessageBytes` holds on a broker that reads messages as one stream, too", {}, async (open) => {
  const [near, far] = await open({ maxMessageBytes: 16 });
  const io = directIo(near);
  const got = Promise.withResolvers<void>();
  io.read({ chunk: () => (got.resolve(), true), done() {} });
  far.send("CONNECTED\nserver:RabbitMQ/4.3.6\nversion:1.2\n\n\0");
  await got.promise;
  await io.write(encoder.encode("SEND\n\nabcdefghijkl\0SEND\n\nb\0"), [19, 27]);
  const messages = [await far.next(), await far.next()];
  assertEquals(messages.map(({ isText, bytes }) => [isText, bytes.length]), [[false, 16], [false, 11]]);
});

const WRONG: [options: unknown, kind: typeof TypeError | typeof RangeError, message: string][] = [
  [null, TypeError, "webSocket is null, but must be an object"],
  ["binary", TypeError, "webSocket is of type string"],
  [{ protocol: "a" }, TypeError, "WebSocket option protocol: the options are headers, protocols, binary"],
  [{ binary: "yes" }, TypeError, "webSocket.binary is of type string, but must be a boolean"],
  [{ maxMessageBytes: 3 }, RangeError, "webSocket.maxMessageBytes is 3, the minimum is 4"],
  [{ maxMessageBytes: NaN }, RangeError, "webSocket.maxMessageBytes is NaN"],
  [{ protocols: "v12.stomp" }, TypeError, "protocols: it is of type string, but must be a list of names, or false"],
  [{ protocols: [1] }, TypeError, "protocols: one of them is of type number"],
  [{ protocols: ["a", `${SECRET} b`] }, TypeError, "protocols: number 2 of them is not a name that HTTP allows"],
  [{ protocols: ["a", "a"] }, TypeError, "protocols: it has a name twice"],
  [{ headers: SECRET }, TypeError, "headers: it is of type string"],
  [{ headers: [["a"]] }, TypeError, "headers: iterable headers must give pairs"],
  [{ headers: { "a b": SECRET } }, TypeError, "headers: it has a name that HTTP does not allow"],
  [{ headers: { "X-A": `${SECRET}\r\nX-B: 1` } }, TypeError, "headers: X-A has a character that HTTP does not allow"],
  [{ headers: { "X-A": `${SECRET}ž` } }, TypeError, "headers: X-A has a character that HTTP does not allow"],
  [{ headers: { "X-A": 5 } }, TypeError, "headers: X-A is of type number, but must be text"],
  [{ headers: { Host: "a" } }, TypeError, "headers: Host is set by the handshake itself"],
  [{ headers: { "Sec-WebSocket-Protocol": "a" } }, TypeError, "headers: Sec-WebSocket-Protocol is set by"],
];

test("`checkWebSocketOptions()` refuses wrong options, and never quotes a value", () => {
  for (const [options, kind, message] of WRONG) {
    const error = assertThrows(() => checkWebSocketOptions(options as WebSocketOptions, true), kind, message);
    assert(!error.message.includes(SECRET), error.message);
  }
  const all = { headers: { a: "b" }, protocols: ["x"], binary: true, maxMessageBytes: Infinity };
  checkWebSocketOptions(all, true);
  checkWebSocketOptions({ headers: undefined, protocols: undefined }, true);
});

test("`checkWebSocketOptions()` refuses `headers` in a browser, and says what to do", () => {
  const error = assertThrows(() => checkWebSocketOptions({ headers: { Authorization: SECRET } }, false), TypeError);
  assertMatch(error.message, /a browser sends no HTTP headers .* cookie, .* ticket into the URL, .* CONNECT$/);
  checkWebSocketOptions({ headers: {}, binary: true }, false);
});

test("`toHttpHeaders()` leaves out what is undefined", () => {
  assertEquals({ ...toHttpHeaders({ a: "1", b: undefined } as unknown as Record<string, string>) }, { a: "1" });
});

test("`protocolsOf()` returns STOMP's names, newest first, for the versions", () => {
  assertEquals(protocolsOf({}), ["v12.stomp", "v11.stomp", "v10.stomp"]);
  assertEquals(protocolsOf({}, ["1.0", "1.2"]), ["v12.stomp", "v10.stomp"]);
  assertEquals(describeProtocols([SECRET, "x"]), "2 that are not shown");
});

test("`openTransport()` refuses `webSocket` for an address that is none, or beside `transport`", async () => {
  const webSocket = { binary: true };
  const error = await assertRejects(() => openTransport(parseUrl("stomp://h"), { webSocket }), TypeError);
  assertInstanceOf(error, TypeError);
  assertMatch(error.message, /no URL is ws:\/\/ or wss:\/\/$/);
  const transport = () => Promise.reject(new Error("not called"));
  await assertRejects(() => openTransport(parseUrl("ws://h"), { webSocket, transport }), TypeError, "in its place");
});
