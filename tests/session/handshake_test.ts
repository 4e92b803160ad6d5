/** CONNECT and CONNECTED: what goes out, and which answers are taken. Over a connection in memory. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  UnknownBrokerResponseError,
} from "../../base/errors.ts";
import type { HeartbeatOffer } from "../../connection/heartbeat.ts";
import { Session, type SessionOptions } from "../../session/session.ts";
import type { Transport } from "../../transport/transport.ts";
import { type ClientHarness, clientTest } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { connected, message } from "../support/raw_server.ts";

const OFF: HeartbeatOffer = { send: 0, receive: 0 };

const DETAILS: SessionOptions = { host: "/", heartbeat: OFF, timeout: 5000 };

/** Says CONNECT; the other end has taken it. */
async function begin(
  harness: ClientHarness,
  options: Partial<SessionOptions> = {},
): Promise<{ opening: Promise<Session>; peer: RawPeer; transport: Transport; lines: string[] }> {
  const [transport, peer] = harness.memory();
  const opening = Session.open(transport, { ...DETAILS, ...options });
  opening.catch(() => {});
  harness.atEnd(async () => {
    await transport.close();
    await opening.then((session) => session.close(), () => {});
  });
  const { lines } = await peer.frame("CONNECT");
  return { opening, peer, transport, lines };
}

clientTest(
  "C12-01 C12-02 C12-04 C12-05 C12-06 `handshake()` sends CONNECT first and alone, with versions and host",
  async (harness) => {
    const [transport, peer] = harness.memory();
    const opening = Session.open(transport, { ...DETAILS, host: "a b" });
    const connect = await peer.frame("CONNECT");
    assertEquals(connect.lines, ["accept-version:1.0,1.1,1.2", "host:a b", "heart-beat:0,0"]);
    assertEquals(connect.body, "");
    await peer.write(connected());
    const session = await opening;
    assertEquals([session.version, session.isOpen, session.host], ["1.2", true, "a b"]);
    await session.close();
    assertEquals(await peer.rest(), []); // nothing else was said
  },
);

clientTest("C12-05 `handshake()` offers versions in rising order", async (harness) => {
  const { lines } = await begin(harness, { versions: ["1.2", "1.0"] });
  assertEquals(lines[0], "accept-version:1.0,1.2");
});

clientTest("C12-08 `handshake()` sends login and passcode without escapes, and only when given", async (harness) => {
  const { lines } = await begin(harness, {
    login: "me:you",
    passcode: "a\\cb",
    clientId: "c",
    headers: { "x-a": "1" },
  });
  assertEquals(lines, [
    "x-a:1",
    "accept-version:1.0,1.1,1.2",
    "host:/",
    "heart-beat:0,0",
    "login:me:you",
    "passcode:a\\cb",
    "client-id:c",
  ]);
});

clientTest("C12-09 `handshake()` offers heart-beats as two whole numbers", async (harness) => {
  const { lines } = await begin(harness, { heartbeat: { send: 10_000, receive: 5000 } });
  assertEquals(lines[2], "heart-beat:10000,5000");
});

for (const secret of ["a\nheart-beat:1,1", "a\rb"]) {
  clientTest(
    `F12-42 a login that cannot be carried is a TypeError and nothing is written: ${JSON.stringify(secret)}`,
    async (harness) => {
      const [transport, peer] = harness.memory();
      const error = await assertRejects(() => Session.open(transport, { ...DETAILS, login: secret }), TypeError);
      assertEquals(error.message.includes(secret), false);
      assertEquals(await peer.rest(), []);
    },
  );
}

clientTest("C12-10 `handshake()` takes a CONNECTED without version for 1.0", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write("CONNECTED\nsession: 7\n\n\0");
  assertEquals((await opening).version, "1.0");
});

for (const [given, version] of [["1.0", "1.0"], ["1.1", "1.1"], ["1.2", "1.2"], [" 1.1", "1.1"]]) {
  clientTest(`C12-11 \`handshake()\` uses the version of CONNECTED: ${JSON.stringify(given)}`, async (harness) => {
    const { opening, peer } = await begin(harness);
    await peer.write(`CONNECTED\nversion:${given}\n\n\0`);
    assertEquals((await opening).version, version);
  });
}

clientTest("C12-11 `handshake()` rejects a version that was not offered", async (harness) => {
  for (
    const [offered, answer] of [[["1.2"], "1.1"], [["1.1", "1.2"], undefined], [["1.2"], "9.9"], [["1.2"], ""]] as const
  ) {
    const { opening, peer } = await begin(harness, { versions: offered });
    await peer.write(answer === undefined ? "CONNECTED\n\n\0" : `CONNECTED\nversion:${answer}\n\n\0`);
    const error = await assertRejects(() => opening, UnknownBrokerResponseError, "which was not offered");
    assertEquals(error.frame?.command, "CONNECTED");
    assertEquals(await peer.rest(), []);
  }
});

clientTest("C12-12 `handshake()` rejects with the broker's words when it answers ERROR", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write("ERROR\nversion:1.2,2.1\ncontent-type:text/plain\n\nSupported protocol versions are 1.2 2.1\0");
  const error = await assertRejects(
    () => opening,
    BrokerErrorResponse,
    "Cannot connect to memory: Supported protocol versions are 1.2 2.1",
  );
  assertEquals(error.frame?.headers["version"], "1.2,2.1");
  await peer.ended(); // the client hung up: RabbitMQ would keep the connection for ten seconds
});

clientTest("C12-12 `handshake()` rejects when the broker answers with an empty ERROR", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write("ERROR\n\n\0");
  await assertRejects(() => opening, BrokerErrorResponse, "it gave no reason");
});

clientTest("C12-13 `handshake()` rejects when the broker closes before CONNECTED", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.finish();
  await assertRejects(() => opening, ConnectionError, "the broker closed the connection before CONNECTED");
  await peer.ended();
});

clientTest("C12-15 `handshake()` does not unescape CONNECTED", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write("CONNECTED\nversion:1.2\nsession:a\\nb\n\n\0");
  assertEquals((await opening).connected["session"], "a\\nb");
});

clientTest("C12-16 `handshake()` accepts unknown headers in CONNECTED", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write(connected("1.2", "server:RabbitMQ/3.10.8 (a comment)\nfoo:bar\n"));
  const session = await opening;
  assertEquals([session.dialect.family, session.connected["foo"]], ["rabbitmq", "bar"]);
});

for (const answer of [message("0", "1"), "RECEIPT\nreceipt-id:1\n\n\0"]) {
  const command = answer.split("\n")[0];
  clientTest(`\`handshake()\` rejects ${command} in place of CONNECTED`, async (harness) => {
    const { opening, peer } = await begin(harness);
    await peer.write(answer);
    await assertRejects(() => opening, UnknownBrokerResponseError, `answered CONNECT with ${command}`);
    await peer.ended();
  });
}

clientTest("`handshake()` rejects a malformed heart-beat header", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write(connected("1.2", "heart-beat:soon\n"));
  await assertRejects(() => opening, UnknownBrokerResponseError, 'sent the heart-beat "soon"');
  await peer.ended();
});

clientTest("`handshake()` ignores line ends before CONNECTED", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write(`\n\n${connected()}\n\n`);
  assert((await opening).isOpen);
});

clientTest("`handshake()` leaves frames after CONNECTED in the same chunk to the session", async (harness) => {
  const { opening, peer } = await begin(harness);
  await peer.write(`${connected("1.1")}ERROR\nmessage:a\\cb\n\n\0`);
  await peer.finish();
  const session = await opening;
  // It had ended before anybody could look at it.
  while (session.isOpen) await Promise.resolve();
  assertInstanceOf(session.reason, BrokerErrorResponse);
  assertEquals(session.reason.message, "Broker answered ERROR: a:b");
});

clientTest("`handshake()` times out without CONNECTED, and closes the transport", async (harness) => {
  const [transport, peer] = harness.memory();
  await assertRejects(
    () => Session.open(transport, DETAILS, { timeout: 20 }),
    ConnectionTimeoutError,
    "Cannot connect to memory: no CONNECTED within 20 ms",
  );
  await peer.frame("CONNECT");
  await peer.ended();
});

clientTest("`handshake()` rejects with the signal's reason, and closes the transport", async (harness) => {
  const [transport, peer] = harness.memory();
  const abort = new AbortController();
  const opening = Session.open(transport, DETAILS, { signal: abort.signal });
  await peer.frame("CONNECT");
  const reason = new Error("no time");
  abort.abort(reason);
  assertStrictEquals(await assertRejects(() => opening), reason);
  await peer.ended();
});

clientTest("`handshake()` writes nothing when the signal has aborted already", async (harness) => {
  const [transport, peer] = harness.memory();
  await assertRejects(
    () => Session.open(transport, DETAILS, { signal: AbortSignal.abort(new Error("no")) }),
    Error,
    "no",
  );
  assertEquals(await peer.rest(), []);
});

clientTest("`Session.open()` closes the transport when an option is invalid", async (harness) => {
  for (const options of [{ maxHeaders: NaN }, { maxBodyBytes: -1 }]) {
    const [transport, peer] = harness.memory();
    await assertRejects(() => Session.open(transport, { ...DETAILS, ...options }), RangeError);
    assertEquals(await peer.rest(), []);
  }
  const [transport, peer] = harness.memory();
  await assertRejects(() => Session.open(transport, DETAILS, { timeout: NaN }), RangeError);
  assertEquals(await peer.rest(), []);
});

const HEARTBEATS: [name: string, own: HeartbeatOffer, far: string | undefined, timers: number, sends: number][] = [
  ["C12-17 no header from the broker", { send: 1000, receive: 1000 }, undefined, 0, 0],
  ["C12-18 the client sends", { send: 1000, receive: 0 }, "0,3000", 1, 3000],
  ["C12-19 the broker sends", { send: 0, receive: 1000 }, "5000,0", 1, 0],
  ["C12-20 zero is zero", { send: 1000, receive: 1000 }, "0,1000", 1, 1000],
  ["both ways", { send: 4000, receive: 7000 }, "1000,5000", 2, 5000],
  ["neither", OFF, "1000,1000", 0, 0],
];

for (const [name, own, far, timers, sends] of HEARTBEATS) {
  clientTest(`\`Session\` sends and expects heart-beats: ${name}`, async (harness) => {
    const clock = new FakeClock();
    const { opening, peer } = await begin(harness, { heartbeat: own, clock });
    await peer.write(connected("1.2", far === undefined ? "" : `heart-beat:${far}\n`));
    const session = await opening;
    assertEquals(clock.timers, timers);
    if (sends > 0) {
      clock.pass(sends);
      await peer.bytes();
    }
    await session.close();
    assertEquals(clock.timers, 0); // nothing of it survives
    await peer.rest();
    assert(sends === 0 ? peer.heartbeats === 0 : peer.heartbeats >= 1);
  });
}

clientTest("`Session` has no heart-beats in 1.0, whatever the broker says", async (harness) => {
  const clock = new FakeClock();
  const { opening, peer } = await begin(harness, { heartbeat: { send: 10, receive: 10 }, clock });
  await peer.write("CONNECTED\nheart-beat:10,10\n\n\0");
  await opening;
  assertEquals(clock.timers, 0);
});

clientTest(
  "`handshake()` rejects a CONNECT that cannot be encoded, and nothing else rejects while the socket closes",
  async (harness) => {
    const [transport] = harness.memory();
    // Closing takes longer than the connecting may.
    const slow: Transport = {
      readable: transport.readable,
      writable: transport.writable,
      peer: "slow",
      close: () => new Promise((resolve) => setTimeout(() => resolve(transport.close()), 50)),
    };
    const opening = Session.open(slow, { ...DETAILS, headers: { x: "a\nb" } }, { timeout: 10 });
    await assertRejects(() => opening, TypeError, "x");
  },
);
