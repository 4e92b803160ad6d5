/** A broker that stops answering, and how that is told from one that is slow, idle, or not read by us. */
import { assertEquals } from "#assert";
import { type ClientHarness, clientTest, flushMicrotasks, frame, openSession } from "../support/client_harness.ts";
import type { SessionOptions } from "../../session/session.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

/** A message that does not fit into the buffers in between. */
const LARGE = {
  destination: "/q",
  contentType: undefined,
  headers: [],
  options: undefined,
  persistent: false,
  body: new Uint8Array(1 << 20),
};

async function watched(harness: ClientHarness, options: Partial<SessionOptions> = {}, lines = "") {
  const clock = new FakeClock();
  const reported: (number | "answers")[] = [];
  const { session, peer } = await openSession(
    harness,
    {
      clock,
      timeout: Infinity,
      onBlocked: (_session, blockage) => reported.push(blockage?.pending ?? "answers"),
      ...options,
    },
    "1.2",
    lines,
  );
  const request = () => {
    const promise = session.request(frame("BEGIN", { transaction: "t" }));
    promise.catch(() => {}); // lost at the end
    return promise;
  };
  return { session, peer, clock, reported, request };
}

clientTest("`Progress` reports a blockage when no receipt has come for 5 s", async (harness) => {
  const { session, peer, clock, reported, request } = await watched(harness);
  const first = request();
  request();
  request();
  clock.pass(2499);
  await confirm(peer);
  await first;
  clock.pass(5000);
  assertEquals(reported, []); // one had come before the first look
  clock.pass(1);
  assertEquals([reported, session.progress.blockage?.pending], [[2], 2]);
  clock.pass(100_000);
  assertEquals(reported, [2]);
  await confirm(peer);
  await confirm(peer);
  await session.request(frame("BEGIN", { transaction: "u" }), { signal: AbortSignal.timeout(1) }).catch(() => {});
  assertEquals([reported, session.progress.blockage], [[2, "answers"], undefined]);
});

clientTest(
  "`Progress` has no timer on an idle connection, and a late receipt without a waiter counts",
  async (harness) => {
    const { session, peer, clock, reported } = await watched(harness);
    assertEquals(clock.timers, 0);
    const abort = new AbortController();
    const given = session.request(frame("BEGIN", { transaction: "t" }), { signal: abort.signal });
    const begin = await peer.frame();
    assertEquals(clock.timers, 1);
    clock.pass(5000);
    assertEquals(reported, [1]);
    abort.abort();
    await given.catch(() => {});
    clock.pass(60_000);
    assertEquals([reported, clock.timers], [[1], 0]); // no one waits, and nothing shows that the broker answers
    const arrived = new Promise<void>((resolve) => session.subscriptions.expect(sink(resolve)));
    await peer.write(receiptFor(begin) + message("s", "1"));
    await arrived;
    assertEquals(reported, [1, "answers"]);
  },
);

/** Takes the messages of subscription `s`. */
function sink(onMessage: () => void) {
  return { id: "s", destination: "/queue/a", deliver: onMessage };
}

clientTest("`Progress` reports nothing after a busy process, and nothing while reading is paused", async (harness) => {
  const { session, peer, clock, reported, request } = await watched(harness);
  const first = request();
  // The timer is late, and the receipt lies in the socket.
  clock.sleep(20_000);
  await confirm(peer);
  await first;
  clock.pass(5000);
  assertEquals(reported, []);

  const consumer = {};
  session.gate.close(consumer);
  assertEquals(session.paused, true);
  const room = session.sendFast(LARGE);
  assertEquals(room !== undefined, true);
  clock.pass(60_000);
  assertEquals(reported, []);
  session.gate.open(consumer);
  clock.pass(5000);
  assertEquals(reported, [0]);
  await peer.frame("SEND");
  await room;
});

clientTest("`Progress` ignores heart-beats", async (harness) => {
  const heartbeat = { send: 1000, receive: 1000 };
  const { peer, clock, reported, request } = await watched(harness, { heartbeat }, "heart-beat:1000,1000\n");
  request();
  await peer.frame("BEGIN");
  for (let i = 0; i < 5; i++) {
    await peer.write("\n");
    await flushMicrotasks();
    clock.pass(1000);
  }
  assertEquals(reported, [1]);
});

clientTest("`Progress` reports nothing while the peer takes bytes slowly", async (harness) => {
  const { session, peer, clock, reported, request } = await watched(harness);
  const rooms = [1, 2, 3, 4].map(() => session.sendFast(LARGE));
  request();
  for (let i = 0; i < rooms.length; i++) {
    clock.pass(2500);
    await peer.frame("SEND");
    await flushMicrotasks();
  }
  await Promise.all(rooms);
  assertEquals(reported, []);
  clock.pass(7500);
  assertEquals(reported, [1]);
});

clientTest("`Progress` reports a blockage when bytes are no longer taken", async (harness) => {
  const { session, peer, clock, reported } = await watched(harness);
  const rooms = [session.sendFast(LARGE), session.sendFast(LARGE)];
  rooms.forEach((room) => room?.catch(() => {}));
  clock.pass(5000);
  assertEquals([reported, session.progress.blockage?.error.message.includes("it takes no more bytes")], [[0], true]);
  await peer.frames(2, "SEND");
  await Promise.all(rooms);
  clock.pass(2500);
  assertEquals([reported, clock.timers], [[0, "answers"], 0]);
});
