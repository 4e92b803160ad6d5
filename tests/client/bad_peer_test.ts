/**
 * What is at the other end is no broker, or a broken one: a typed error that names what was wrong, in its time, and
 * nothing left open, which the sanitizers prove.
 */
import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects, assertThrows } from "#assert";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  openSocket,
  Stomp,
  StompError,
  type StompOptions,
  UnknownBrokerResponseError,
} from "../../mod.ts";
import { type ClientHarness, clientTest, subscribed } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { connected } from "../support/raw_server.ts";
import { Peer, pem, silentPort } from "../support/sockets.ts";

type ErrorType = abstract new (...args: never[]) => Error;

/** A connect that must fail, with an error of that type which says this, soon. */
async function refused(
  harness: ClientHarness,
  url: string,
  expected: ErrorType,
  text: string,
  options: StompOptions = {},
): Promise<StompError> {
  const stomp = harness.client(url, { connectTimeout: 5000, ...options });
  const start = performance.now();
  const error = await assertRejects(() => stomp.connect(), expected as ErrorType & (abstract new () => Error), text);
  assertLess(performance.now() - start, 4000);
  assertInstanceOf(error, StompError);
  assert(error.message.includes(new URL(url).host), `${error.message} names no address`);
  assertEquals(stomp.connected, false);
  return error;
}

clientTest("`connect()` rejects when nothing listens", async (harness) => {
  const server = await harness.server();
  const { port, url } = server;
  await server.close();
  const error = await refused(harness, url, ConnectionError, `Cannot connect to 127.0.0.1:${port}: connection refused`);
  assert(error.cause !== undefined);
  await assertRejects(() => Stomp.connect(url), ConnectionError, "connection refused");
  await assertRejects(() => openSocket(url), ConnectionError, "connection refused");
});

clientTest("`connect()` rejects when the host does not exist", async (harness) => {
  await refused(harness, "stomp://no-such-host.invalid:61613", ConnectionError, "no-such-host.invalid:61613");
});

clientTest("`connect()` times out when the host does not answer", async (harness) => {
  const silent = await silentPort();
  harness.atEnd(() => silent.close());
  const url = `stomp://127.0.0.1:${silent.port}`;
  await refused(harness, url, ConnectionTimeoutError, "no answer within 100 ms", { connectTimeout: 100 });
  const stomp = harness.client(url);
  await assertRejects(
    () => stomp.connect({ timeout: 100 }),
    ConnectionTimeoutError,
    "Timed out after 100 ms waiting for ",
  );
  await assertRejects(() => stomp.connect({ signal: AbortSignal.timeout(50) }), Error);
});

clientTest("`connect()` rejects when the port speaks HTTP", async (harness) => {
  const server = await harness.server();
  const connecting = refused(harness, server.url, UnknownBrokerResponseError, "HTTP");
  const peer = await server.accept();
  await peer.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  await connecting;
});

clientTest("`connect()` rejects when the port speaks TLS", async (harness) => {
  const server = await harness.server();
  const connecting = refused(
    harness,
    server.url,
    UnknownBrokerResponseError,
    "it does not speak STOMP: it speaks TLS; use stomp+ssl://",
  );
  await (await server.accept()).write(new Uint8Array([0x15, 3, 3, 0, 2, 2, 22])); // an alert
  await connecting;
  // Some say nothing, and hang up.
  const peer = await Peer.listen({ cert: pem("localhost.pem"), key: pem("localhost.key") });
  harness.atEnd(() => peer.close());
  await refused(harness, `stomp://127.0.0.1:${peer.port}`, StompError, "Cannot");
});

clientTest("`connect()` rejects when a port for TLS speaks STOMP", async (harness) => {
  const broker = await harness.broker();
  await refused(harness, `stomp+ssl://127.0.0.1:${broker.port}`, ConnectionError, "Cannot connect to 127.0.0.1");
});

clientTest("`connect()` rejects when the port speaks AMQP", async (harness) => {
  const server = await harness.server();
  const connecting = refused(harness, server.url, UnknownBrokerResponseError, "AMQP");
  await (await server.accept()).write(new Uint8Array([65, 77, 81, 80, 0, 0, 9, 1]));
  await connecting;
});

clientTest("`connect()` times out when the broker accepts and stays silent", async (harness) => {
  const server = await harness.server();
  const options = { connectTimeout: 50 };
  await refused(harness, server.url, ConnectionTimeoutError, "no CONNECTED within 50 ms", options);
  const peer = await server.accept();
  await peer.frame("CONNECT");
  await peer.ended(); // the client has hung up
});

clientTest("`connect()` rejects when the broker closes before CONNECTED", async (harness) => {
  for (const end of ["finish", "close"] as const) {
    const server = await harness.server();
    const connecting = refused(harness, server.url, ConnectionError, "Cannot");
    await (await server.accept())[end]();
    await connecting;
  }
});

clientTest("`connect()` rejects when the broker answers ERROR", async (harness) => {
  const server = await harness.server();
  const connecting = refused(harness, server.url, BrokerErrorResponse, "Bad CONNECT (Virtual host 'x' access denied)");
  const peer = await server.accept();
  await peer.write("ERROR\nmessage:Bad CONNECT\nx-a:1\n\nVirtual host 'x' access denied\n\0");
  const error = await connecting;
  assertEquals(error.frame?.headers["x-a"], "1");
  await peer.frame("CONNECT");
  await peer.ended();
});

clientTest("`connect()` rejects when the broker chooses a version that was not offered", async (harness) => {
  const server = await harness.server();
  const connecting = refused(
    harness,
    server.url,
    UnknownBrokerResponseError,
    'chose version "1.1", which was not offered',
    {
      versions: ["1.2"],
    },
  );
  await (await server.accept()).write(connected("1.1"));
  await connecting;
});

const MALFORMED: [name: string, bytes: string, text: string][] = [
  ["garbage", "\x02\x03\xff garbage", ""],
  ["a line that never ends", "A".repeat(100_000), ""],
  ["an unknown command", "WELCOME\n\n\0", ""],
  ["an oversized header block", `CONNECTED\nversion:1.2\nx:${"y".repeat(70_000)}\n\n\0`, "65536"],
  ["too many headers", `CONNECTED\nversion:1.2\n${"x:y\n".repeat(1100)}\n\0`, "1000"],
  ["a negative content-length", "CONNECTED\nversion:1.2\ncontent-length:-1\n\n\0", "content-length"],
  ["an absurd content-length", "ERROR\ncontent-length:99999999999999999999\n\n\0", "content-length"],
  ["a content-length that is no number", "ERROR\ncontent-length:many\n\n\0", "content-length"],
  ["no NUL behind the body", "ERROR\ncontent-length:2\n\nabc\0", ""],
  ["a header without a colon", "CONNECTED\nversion\n\n\0", ""],
  ["a header without a name", "CONNECTED\n:x\n\n\0", ""],
  ["octets that are no UTF-8", "CONNECTED\nversion:1.2\nx:\xff\n\n\0", "UTF-8"],
];

for (const [name, bytes, text] of MALFORMED) {
  clientTest(`\`connect()\` rejects when the answer is malformed: ${name}`, async (harness) => {
    const server = await harness.server();
    const connecting = refused(harness, server.url, UnknownBrokerResponseError, text);
    const peer = await server.accept();
    await peer.write(Uint8Array.from(bytes, (char) => char.charCodeAt(0))).catch(() => {});
    await connecting;
    await peer.rest();
  });

  clientTest(`the client ends when a frame after CONNECTED is malformed: ${name}`, async (harness) => {
    const { stomp, peer } = await harness.pair({ reconnect: false });
    const sending = stomp.send("/q", "x");
    await peer.frame("SEND");
    const wire = bytes.replace(/^CONNECTED/, "MESSAGE");
    await peer.write(Uint8Array.from(wire, (char) => char.charCodeAt(0))).catch(() => {});
    await assertRejects(() => sending, ConnectionError, "Cannot confirm SEND to /q");
    const reason = await stomp.closed;
    assertInstanceOf(reason, UnknownBrokerResponseError);
    assert(reason.message.includes("127.0.0.1") && reason.message.includes(text), reason.message);
    await peer.rest();
  });
}

clientTest("a body above `maxBodyBytes` ends the connection before it is received", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false, maxBodyBytes: 10 });
  await peer.write("MESSAGE\ncontent-length:11\n\n");
  assertInstanceOf(await stomp.closed, UnknownBrokerResponseError);
});

clientTest("`new Stomp()` refuses invalid options", () => {
  const wrong: [StompOptions, ErrorType][] = [
    [{ maxBodyBytes: -1 }, RangeError],
    [{ maxHeaders: NaN }, RangeError],
    [{ heartbeat: -1 }, RangeError],
    [{ heartbeat: 1.5 }, RangeError],
    [{ heartbeat: { send: NaN, receive: 0 } }, RangeError],
    [{ heartbeatTolerance: { factor: NaN } }, RangeError],
    [{ heartbeatTolerance: { factor: 0.5 } }, RangeError],
    [{ heartbeatTolerance: { floor: -1 } }, RangeError],
    [{ heartbeatTolerance: { probe: NaN } }, RangeError],
    [{ timeout: -1 }, RangeError],
    [{ connectTimeout: NaN }, RangeError],
    [{ versions: [] }, TypeError],
    [{ versions: ["1.3" as "1.2"] }, TypeError],
    [{ reconnect: { attempts: -1 } }, RangeError],
    [{ reconnect: { delay: NaN } }, RangeError],
    [{ headers: { receipt: "1" } }, TypeError], // C12-14
  ];
  for (const [options, expected] of wrong) {
    assertThrows(
      () => new Stomp("stomp://localhost", options),
      expected as ErrorType & (abstract new () => Error),
      "Cannot",
      JSON.stringify(options),
    );
  }
  return Promise.resolve();
});

clientTest("`new Stomp()` refuses an invalid URL", () => {
  for (
    const url of ["", "http://localhost", "stomp://", "stomp://a:b:c", "stomp://localhost:99999", "failover:()", []]
  ) {
    assertThrows(() => new Stomp(url as string), TypeError, "Cannot", JSON.stringify(url));
  }
  return Promise.resolve();
});

/** Ends a connection in the middle of a frame. */
const ENDINGS: [name: string, end: (peer: RawPeer) => Promise<void>, text: string][] = [
  ["in order", (peer) => peer.finish(), "it ended inside a frame"],
  ["by a reset", (peer) => peer.close(), ""],
];

for (const [name, end, text] of ENDINGS) {
  clientTest(`\`closed\` has an error when the broker closes within a frame, ${name}`, async (harness) => {
    for (
      const half of ["MESS", "MESSAGE\nfoo:b", "MESSAGE\nsubscription:sub-1\n\nhal", "MESSAGE\ncontent-length:9\n\nhal"]
    ) {
      const { stomp, peer } = await harness.pair({ reconnect: false });
      const subscription = await subscribed(stomp, peer);
      const taking = subscription.take();
      await peer.write(half);
      await end(peer);
      const error = await assertRejects(() => taking, ConnectionError, text);
      assertEquals([await stomp.closed, await subscription.closed, subscription.received], [error, error, 0]);
    }
  });
}
