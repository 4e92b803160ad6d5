/** `Broker`: its address, its options, its stats and how it closes. */
import { assert, assertEquals, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import { ConnectionError } from "../../base/errors.ts";
import { memoryPair } from "../support/memory_transport.ts";
import { brokerTest, withBroker } from "../support/broker_harness.ts";
import { RawPeer } from "../support/raw_peer.ts";

test("`Broker.listen()` listens on a free loopback port by default", () =>
  withBroker({ login: "user", passcode: "s3cret" }, (broker) => {
    assert(broker.port > 0);
    assertEquals(broker.url, `stomp://127.0.0.1:${broker.port}`);
    assertEquals(broker.stats, { peers: 0, destinations: 0, messages: 0 });
    return Promise.resolve();
  }));

test("`broker.url` can be connected to for every address", async () => {
  for (const [hostname, shown] of [["0.0.0.0", "127.0.0.1"], ["::1", "[::1]"], ["::", "[::1]"]] as const) {
    let broker: Broker;
    try {
      broker = await Broker.listen({ hostname });
    } catch (error) {
      // Some machines have no IPv6.
      if (hostname.includes(":") && error instanceof ConnectionError) continue;
      throw error;
    }
    assertEquals(broker.url, `stomp://${shown}:${broker.port}`);
    await broker.close();
  }
});

test("`Broker.listen()` rejects with a ConnectionError when the port is in use", () =>
  withBroker({}, async ({ port }) => {
    await assertRejects(() => Broker.listen({ port }), ConnectionError, String(port));
  }));

test("`new Broker()` has no url and serves the transports passed to `accept()`", async () => {
  const broker = new Broker();
  assertEquals(broker.port, 0);
  assertThrows(() => broker.url, TypeError, "Cannot get url: the broker does not listen");
  const [near, far] = memoryPair();
  broker.accept(far);
  const peer = RawPeer.over(near);
  await peer.connect("1.2");
  assertEquals(broker.stats.peers, 1);
  await peer.close();
  await broker.close();
});

test("`new Broker()` throws a TypeError or RangeError for an invalid option", async () => {
  assertThrows(() => new Broker({ versions: ["1.3" as "1.2"] }), TypeError, "1.3");
  await assertRejects(() => Broker.listen({ versions: ["" as "1.2"] }), TypeError);
  assertThrows(() => new Broker({ maxHeaders: -1 }), RangeError, "maxHeaders");
  assertThrows(() => new Broker({ connectTimeout: NaN }), RangeError, "connectTimeout");
  assertThrows(() => new Broker({ maxStoredBytes: "1" as unknown as number }), RangeError, "maxStoredBytes");
  assertThrows(() => new Broker({ heartbeat: { send: 1.5, receive: 0 } }), RangeError, "heartbeat is 1.5,0");
});

test("`broker.close()` is idempotent and closes connections in every state", async () => {
  const broker = await Broker.listen();
  const [near, far] = memoryPair();
  broker.accept(far);
  const silent = RawPeer.over(near);
  const halfway = await RawPeer.tcp(broker.port);
  await halfway.connect("1.2", "heart-beat:1000,1000\n");
  await halfway.write("SEND\ndestination:/queue/a\n\nhalf of a bo");
  // A peer that reads less than it is sent…
  const slow = await RawPeer.tcp(broker.port);
  await slow.connect("1.2", "heart-beat:1000,1000\n");
  await slow.write("SUBSCRIBE\nid:0\ndestination:/queue/b\nack:client\n\n\0");
  const busy = await RawPeer.tcp(broker.port);
  await busy.connect("1.2");
  for (let i = 0; i < 64; i++) await busy.write(`SEND\ndestination:/queue/b\n\n${"x".repeat(1 << 20)}\0`);
  await busy.framesBeforeReceipt();
  // …and one that was refused and does not close its side.
  const refused = await RawPeer.tcp(broker.port);
  await refused.write("FOO\n\n\0");
  await refused.refusal();
  assertEquals(broker.stats.peers, 5);

  const closing = broker.close();
  assertEquals(broker.close(), closing);
  await closing;
  await broker[Symbol.asyncDispose]();
  assertEquals(broker.stats.peers, 0);
  for (const peer of [silent, halfway, slow, busy, refused]) {
    await peer.rest();
    await peer.close();
  }
  await assertRejects(() => RawPeer.tcp(broker.port));
  const [late, given] = memoryPair();
  broker.accept(given);
  const turnedAway = RawPeer.over(late);
  await turnedAway.ended();
  await turnedAway.close();
});

brokerTest("the broker serves 200 connections at once", async ({ broker, connected }) => {
  const peers = await Promise.all(Array.from({ length: 200 }, () => connected()));
  await Promise.all(peers.map(async (peer, i) => {
    await peer.write(`SUBSCRIBE\nid:0\ndestination:/queue/${i}\n\n\0SEND\ndestination:/queue/${i}\n\n${i}\0`);
    assertEquals((await peer.frame("MESSAGE")).body, String(i));
  }));
  assertEquals(broker.stats, { peers: 200, destinations: 200, messages: 0 });
});
