/** The cost of single operations of the broker's core, with 10,000 subscriptions, deliveries or transactions. */
import { assertEquals, assertLess } from "#assert";
import { test } from "#test";
import { testCore, type TestPeer } from "../support/test_core.ts";

const COUNT = 10_000;

/** The limit for 10,000 calls. They take about 20 ms; quadratic code takes seconds. */
const LIMIT_MS = 500;

function assertQuick(name: string, fn: () => void): void {
  const start = performance.now();
  fn();
  assertLess(performance.now() - start, LIMIT_MS, name);
}

function subscribe({ say }: TestPeer, destination: (i: number) => string, ack = "client", count = COUNT): void {
  for (let i = 0; i < count; i++) say("SUBSCRIBE", { id: String(i), destination: destination(i), ack });
}

/** Has a peer receive messages of one queue, and returns the header that its ACKs need. */
function receive({ say, wire }: TestPeer, count: number, header: string, ack: string): string[] {
  for (let i = 0; i < count; i++) say("SEND", { destination: "/queue/a" });
  wire.sent = [];
  say("SUBSCRIBE", { id: "last", destination: "/queue/a", ack });
  return wire.sent.splice(0).map((frame) => frame.headers[header]!);
}

test("`core.leave()` and UNSUBSCRIBE are fast with 10,000 subscriptions of one queue", () => {
  const { core, join } = testCore();
  const peers = [join(), join(), join()];
  for (const peer of peers) subscribe(peer, () => "/queue/a");
  assertQuick("one leaves", () => core.leave(peers[0]!.peer));
  assertQuick("one unsubscribes", () => {
    for (let i = COUNT - 1; i > 0; i--) peers[1]!.say("UNSUBSCRIBE", { id: String(i) });
  });
  for (let i = 0; i < 3; i++) peers[2]!.say("SEND", { destination: "/queue/a" }, String(i));
  assertEquals(peers.map(({ wire }) => wire.sent.filter(({ command }) => command === "MESSAGE").length), [0, 1, 2]);
});

for (const [which, index] of [["oldest", 0], ["newest", -1]] as const) {
  test(`ACK and ABORT of the ${which} of 20,000 deliveries are fast`, () => {
    const peer = testCore().join();
    const ids = receive(peer, 20_000, "ack", "client");
    assertQuick("2,000 transactions", () => {
      for (let i = 0; i < 2000; i++) {
        peer.say("BEGIN", { transaction: "t" });
        peer.say("ACK", { id: ids.at(index)!, transaction: "t" });
        peer.say("ABORT", { transaction: "t" });
      }
    });
    assertEquals(peer.wire.sent, []);
    // All deliveries are open and in order.
    peer.say("ACK", { id: ids[9999]! });
    peer.say("SUBSCRIBE", { id: "other", destination: "/queue/a" });
    peer.say("UNSUBSCRIBE", { id: "last" });
    assertEquals(peer.wire.sent.length, 10_000);
  });
}

test("ABORT of 10,000 transactions with one delivery each is fast in any order", () => {
  const { core, join } = testCore();
  const peer = join();
  const ids = receive(peer, COUNT, "ack", "client");
  assertQuick("held", () => {
    for (let i = 0; i < COUNT; i++) {
      peer.say("BEGIN", { transaction: String(i) });
      peer.say("ACK", { id: ids[i]!, transaction: String(i) });
    }
  });
  assertQuick("aborted", () => {
    for (let i = 0; i < COUNT; i++) peer.say("ABORT", { transaction: String((i * 7919) % COUNT) });
  });
  assertEquals(core.stats.messages, COUNT);
  peer.say("ACK", { id: ids.at(-1)! });
  assertEquals([core.stats.messages, peer.wire.sent.length], [0, 0]);
});

test("ACK by message-id in 1.0 is fast with 10,000 subscriptions", () => {
  const { core, join } = testCore();
  const peer = join("1.0");
  subscribe(peer, (i) => `/queue/other${i}`, "client", COUNT - 1);
  const ids = receive(peer, 5000, "message-id", "client");
  assertQuick("5,000 ACKs", () => {
    for (const id of ids) peer.say("ACK", { "message-id": id });
  });
  assertEquals([core.stats.messages, peer.wire.sent.length], [0, 0]);
});

test("ACK by message-id in 1.0 is fast for one message on 10,000 subscriptions", () => {
  const { core, join } = testCore();
  const peer = join("1.0");
  subscribe(peer, () => "/topic/a");
  peer.say("SEND", { destination: "/topic/a" });
  const id = peer.wire.sent.at(-1)!.headers["message-id"]!;
  peer.say("BEGIN", { transaction: "t" });
  assertQuick("in a transaction", () => {
    for (let i = 0; i < COUNT; i++) peer.say("ACK", { "message-id": id, transaction: "t" });
  });
  assertEquals(core.stats.messages, COUNT);
  peer.say("ABORT", { transaction: "t" });
  assertQuick("without one", () => {
    for (let i = 0; i < COUNT; i++) peer.say("ACK", { "message-id": id });
  });
  assertEquals(core.stats.messages, 0);
});

test("UNSUBSCRIBE by destination in 1.0 is fast with 10,000 subscriptions with an id", () => {
  const { core, join } = testCore();
  const peer = join("1.0");
  subscribe(peer, (i) => `/queue/${i}`);
  assertQuick("newest first", () => {
    for (let i = COUNT - 1; i >= 0; i--) peer.say("UNSUBSCRIBE", { destination: `/queue/${i}` });
  });
  assertEquals(core.stats.destinations, 0);
});
