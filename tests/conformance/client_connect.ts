/** Part C, how a connection begins: CONNECT, CONNECTED, heart-beats. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes, assertThrows } from "#assert";
import { BrokerErrorResponse, ConnectionError, UnknownBrokerResponseError } from "../../base/errors.ts";
import type { HeartbeatOffer } from "../../connection/heartbeat.ts";
import { Stomp } from "../../api/stomp.ts";
import { type ClientHarness, flushMicrotasks } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { connected, receiptFor } from "../support/raw_server.ts";
import { clientRow, dial, ESCAPING, frame, listen, type Listener, message } from "./harness.ts";

clientRow("C12-01", "CONNECT is the first frame, and nothing follows before CONNECTED", async (harness) => {
  const { connect, opening, peer } = await dial(harness);
  assertEquals(connect.command, "CONNECT");
  await flushMicrotasks();
  await peer.write(connected());
  const session = await opening;
  await session.close();
  assertEquals(await peer.rest(), []);
});

clientRow("C12-02", "the client sends CONNECT", async (harness) => {
  for (const versions of [["1.0"], ["1.1", "1.2"]] as const) {
    assertEquals((await dial(harness, { versions })).connect.command, "CONNECT");
  }
});

clientRow("C12-04", "CONNECT has accept-version", async (harness) => {
  assertEquals((await dial(harness)).connect.get("accept-version"), "1.0,1.1,1.2");
  assertEquals((await dial(harness, { versions: ["1.2"] })).connect.get("accept-version"), "1.2");
});

clientRow("C12-05", "the versions are in ascending order, with commas and no spaces", async (harness) => {
  assertEquals((await dial(harness, { versions: ["1.2", "1.0", "1.1"] })).connect.get("accept-version"), "1.0,1.1,1.2");
});

clientRow("C12-06", "CONNECT has host, whether the user gave one or not", async (harness) => {
  const server = await harness.server();
  for (const target of [server.url, `${server.url}/v`]) {
    const connecting = harness.client(target).connect();
    const peer = await server.accept();
    assert((await peer.frame("CONNECT")).get("host"));
    await peer.write(connected());
    await connecting;
  }
});

clientRow("C12-07", "host is the one that the user chose", async (harness) => {
  const server = await harness.server();
  const host = async (path: string, options = {}) => {
    const connecting = harness.client(server.url + path, options).connect();
    const peer = await server.accept();
    const { get } = await peer.frame("CONNECT");
    await peer.write(connected());
    await connecting;
    return get("host");
  };
  assertEquals(await host("/my%2Fvhost"), "my/vhost");
  assertEquals(await host("/a", { host: "broker.example" }), "broker.example");
  assertEquals(await host(""), "/");
});

clientRow("C12-08", "login and passcode are sent unchanged, and never shown", async (harness) => {
  const { connect, opening, peer } = await dial(harness, { login: "u:\\c", passcode: "s3cr:t\\n" });
  assertEquals([connect.get("login"), connect.get("passcode")], ["u:\\c", "s3cr:t\\n"]);
  await peer.write("ERROR\nmessage:no\n\n\0");
  const error = await assertRejects(() => opening, BrokerErrorResponse);
  assert(!`${error.stack} ${JSON.stringify(error)}`.includes("s3cr"));
  const without = (await dial(harness)).connect;
  assertEquals([without.get("login"), without.get("passcode")], [undefined, undefined]);
});

clientRow("C12-09", "heart-beat is two whole numbers", async (harness) => {
  const { connect } = await dial(harness, { heartbeat: { send: 10_000, receive: 5000 } });
  assertEquals(connect.get("heart-beat"), "10000,5000");
  for (const heartbeat of [-1, 1.5, NaN, { send: 1, receive: -1 }]) {
    assertThrows(() => new Stomp("stomp://localhost", { heartbeat }), RangeError);
  }
});

clientRow("C12-10", "CONNECTED without version means 1.0", async (harness) => {
  const { opening, peer } = await dial(harness);
  await peer.write("CONNECTED\nsession:1\n\n\0");
  assertEquals((await opening).version, "1.0");
});

clientRow("C12-11", "the session uses the version of CONNECTED, or ends", async (harness) => {
  for (const version of ["1.0", ...ESCAPING]) {
    const { opening, peer } = await dial(harness);
    await peer.write(connected(version));
    assertEquals((await opening).version, version);
  }
  for (const lines of ["version:1.1\n", "version:2.0\n", "version:\n", "", "version:1.20\n"]) {
    const { opening, peer } = await dial(harness, { versions: ["1.2"] });
    await peer.write(`CONNECTED\n${lines}\n\0`);
    await assertRejects(() => opening, UnknownBrokerResponseError);
    await peer.ended();
  }
});

clientRow("C12-12", "ERROR is a refusal, and its text is in the error", async (harness) => {
  const { opening, peer } = await dial(harness);
  await peer.write("ERROR\nversion:1.2,2.1\ncontent-type:text/plain\n\nSupported versions are 1.2 2.1\0");
  const error = await assertRejects(() => opening, BrokerErrorResponse, "Supported versions are 1.2 2.1");
  assertEquals(error.frame?.headers["version"], "1.2,2.1");
  await peer.ended();
});

clientRow("C12-13", "the end of the connection before CONNECTED is a refusal", async (harness) => {
  for (const data of ["", "\n", "CONNECTED\nver"]) {
    const { opening, peer } = await dial(harness);
    await peer.write(data);
    await peer.finish();
    await assertRejects(() => opening, ConnectionError);
  }
});

clientRow("C12-14", "CONNECT has no receipt", async (harness) => {
  assertEquals((await dial(harness)).connect.get("receipt"), undefined);
  assertThrows(() => new Stomp("stomp://localhost", { headers: { receipt: "1" } }), TypeError);
});

clientRow("C12-15", "CONNECTED is not unescaped", async (harness) => {
  const { opening, peer } = await dial(harness);
  await peer.write(connected("1.2", "session:a\\nb\nserver:a\\t\\\n"));
  const { connected: headers } = await opening;
  assertEquals([headers["session"], headers["server"]], ["a\\nb", "a\\t\\"]);
});

clientRow("C12-16", "other headers of CONNECTED do no harm", async (harness) => {
  const { stomp } = await harness.pair({}, "1.2", "server:Apache/1.3.9 build 7\nsession:s\nx-any:1\n");
  assertEquals(stomp.server, "Apache/1.3.9 build 7");
  const { opening, peer } = await dial(harness);
  await peer.write(connected("1.2", "server:RabbitMQ/3.13.7 (x)\n"));
  assertEquals((await opening).dialect.family, "rabbitmq");
});

/** Opens a client whose heart-beats run on a clock that the test moves. */
async function listenWithClock(
  harness: ClientHarness,
  heartbeat: HeartbeatOffer,
  answer: string,
  version = "1.2",
): Promise<Listener & { clock: FakeClock }> {
  const clock = new FakeClock();
  return { clock, ...await listen(harness, version, { heartbeat, clock }, answer && `heart-beat:${answer}\n`) };
}

/** Returns how many line ends a client sends in a number of milliseconds. */
async function countLineEnds({ clock, session, peer }: Listener & { clock: FakeClock }, time: number): Promise<number> {
  for (let passed = 0; passed < time; passed += 500) {
    clock.pass(500);
    await new Promise((resolve) => setTimeout(resolve, 1)); // what is sent goes out with the turns of the event loop
  }
  await session.close();
  await peer.ended(); // fails on anything but line ends
  return peer.heartbeats;
}

clientRow("C12-17", "a missing header on either side disables heart-beats", async (harness) => {
  for (const version of ESCAPING) {
    const wanting = await listenWithClock(harness, { send: 1000, receive: 1000 }, "", version);
    assertEquals(wanting.clock.timers, 0);
    assertEquals(await countLineEnds(wanting, 20_000), 0);
    const offered = await listenWithClock(harness, { send: 0, receive: 0 }, "1000,1000", version);
    assertEquals(offered.clock.timers, 0);
  }
});

clientRow("C12-18", "the client sends at the longer of the two intervals", async (harness) => {
  for (const [own, far] of [[1000, 3000], [3000, 1000]] as const) {
    const count = await countLineEnds(await listenWithClock(harness, { send: own, receive: 0 }, `0,${far}`), 30_000);
    assert(count >= 10 && count <= 20, `${count} in 30 s`); // every 3000 ms, and up to twice as often for safety
  }
});

clientRow("C12-19", "the client expects data at the longer of the two intervals", async (harness) => {
  for (const [own, far] of [[1000, 5000], [5000, 1000]] as const) {
    const { clock, session, ended } = await listenWithClock(harness, { send: 0, receive: own }, `${far},0`);
    clock.pass(5000);
    assert(session.isOpen);
    clock.pass(20_000);
    assertInstanceOf(await ended, ConnectionError);
  }
});

clientRow("C12-20", "a 0 disables one direction, and only that", async (harness) => {
  const sending = await listenWithClock(harness, { send: 1000, receive: 1000 }, "0,1000");
  assertEquals(sending.clock.timers, 1);
  assert(await countLineEnds(sending, 10_000) >= 10);
  const expecting = await listenWithClock(harness, { send: 1000, receive: 1000 }, "1000,0");
  assertEquals(expecting.clock.timers, 1);
  expecting.clock.pass(20_000);
  await expecting.ended;
  await expecting.peer.ended();
  assertEquals(expecting.peer.heartbeats, 0);
});

clientRow("C12-21", "frames count as heart-beats: with one in time, no line end is sent", async (harness) => {
  const listener = await listenWithClock(harness, { send: 1000, receive: 0 }, "0,1000");
  const { clock, session, peer } = listener;
  for (let i = 0; i < 20; i++) {
    clock.pass(400);
    session.send(frame("SEND", { destination: "/queue/a" }));
    await peer.frame("SEND");
  }
  assertEquals(peer.heartbeats, 0);
});

clientRow("C12-22", "with nothing to send, the client sends an LF in each interval", async (harness) => {
  for (const version of ESCAPING) {
    const listener = await listenWithClock(harness, { send: 1000, receive: 0 }, "0,1000", version);
    for (let i = 0; i < 5; i++) {
      listener.clock.pass(1000);
      await listener.peer.bytes();
    }
    assert(await countLineEnds(listener, 1000) >= 5);
  }
});

clientRow("C12-23", "every byte of a slow message counts", async (harness) => {
  const { clock, session, peer, next } = await listenWithClock(harness, { send: 0, receive: 1000 }, "1000,0");
  for (const octet of message("", "slow")) {
    clock.pass(1900);
    await peer.write(octet);
    await flushMicrotasks();
  }
  assertEquals((await next()).text(), "slow");
  assert(session.isOpen);
});

clientRow("C12-24", "silence ends the connection, but not before its interval has passed", async (harness) => {
  const { clock, session, ended, peer } = await listenWithClock(harness, { send: 0, receive: 1000 }, "1000,0");
  clock.pass(1000);
  assert(session.isOpen);
  clock.pass(10_000);
  const reason = await ended;
  assertInstanceOf(reason, ConnectionError);
  assertStringIncludes(reason.message, "nothing came for");
  await peer.ended();
});

clientRow("C12-25", "a late heart-beat is tolerated", async (harness) => {
  const { clock, session, peer } = await listenWithClock(harness, { send: 0, receive: 1000 }, "1000,0");
  for (let i = 0; i < 20; i++) {
    clock.pass(1100);
    await peer.write("\n");
    await flushMicrotasks();
  }
  const sync = session.request(frame("BEGIN", { transaction: "t" }));
  await peer.write(receiptFor(await peer.frame("BEGIN")));
  await sync;
});
