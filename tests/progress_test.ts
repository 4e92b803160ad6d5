/** A broker that stops answering, and how that is told from one that is slow, idle, or not read by us. */
import { assertEquals } from "#assert";
import { type ClientRig, clientTest, frame, openSession } from "./support/client_rig.ts";
import { FakeClock } from "./support/fake_clock.ts";
import { confirm, message, receiptFor } from "./support/raw_server.ts";

async function watched(rig: ClientRig) {
  const clock = new FakeClock();
  const told: (number | "answers")[] = [];
  const { session, peer } = await openSession(rig, {
    clock,
    timeout: Infinity,
    onBlocked: (_session, blockage) => told.push(blockage?.pending ?? "answers"),
  });
  const request = () => {
    const promise = session.request(frame("BEGIN", { transaction: "t" }));
    promise.catch(() => {}); // lost at the end
    return promise;
  };
  return { session, peer, clock, told, request };
}

clientTest("blocked: receipts are awaited and none has come for 5 s", async (rig) => {
  const { session, peer, clock, told, request } = await watched(rig);
  const first = request();
  request();
  request();
  clock.pass(2499);
  await confirm(peer);
  await first;
  clock.pass(5000);
  assertEquals(told, []); // one had come before the first look
  clock.pass(1);
  assertEquals([told, session.progress.blockage?.pending], [[2], 2]);
  clock.pass(100_000);
  assertEquals(told, [2]);
  await confirm(peer);
  await confirm(peer);
  await session.request(frame("BEGIN", { transaction: "u" }), { signal: AbortSignal.timeout(1) }).catch(() => {});
  assertEquals([told, session.progress.blockage], [[2, "answers"], undefined]);
});

clientTest(
  "blocked: an idle connection has no timer, and a late receipt that nobody awaits tells as well",
  async (rig) => {
    const { session, peer, clock, told } = await watched(rig);
    assertEquals(clock.timers, 0);
    const abort = new AbortController();
    const given = session.request(frame("BEGIN", { transaction: "t" }), { signal: abort.signal });
    const begin = await peer.frame();
    assertEquals(clock.timers, 1);
    clock.pass(5000);
    assertEquals(told, [1]);
    abort.abort();
    await given.catch(() => {});
    clock.pass(60_000);
    assertEquals([told, clock.timers], [[1], 0]); // nobody waits, and nothing says that it answers
    const arrived = new Promise<void>((resolve) => session.expect(sink(resolve)));
    await peer.write(receiptFor(begin) + message("s", "1"));
    await arrived;
    assertEquals(told, [1, "answers"]);
  },
);

/** Takes the messages of subscription `s`. */
function sink(onMessage: () => void) {
  return { id: "s", destination: "/queue/a", deliver: onMessage };
}

clientTest("blocked: not after the process was busy, not while we do not read", async (rig) => {
  const { session, peer, clock, told, request } = await watched(rig);
  const first = request();
  // The timer is late, and the receipt lies in the socket.
  clock.sleep(20_000);
  await confirm(peer);
  await first;
  clock.pass(5000);
  assertEquals(told, []);

  const consumer = {};
  session.hold(consumer);
  assertEquals(session.paused, true);
  await session.send(frame("SEND", { destination: "/q" }, "x"));
  clock.pass(60_000);
  session.release(consumer);
  assertEquals(told, []);
});

clientTest("blocked: without receipts it is told by what is not taken any more", async (rig) => {
  const { session, peer, clock, told } = await watched(rig);
  const body = new Uint8Array(1 << 20);
  const plain = { destination: "/q", contentType: undefined, headers: [], options: undefined, body };
  const rooms = [session.sendPlain(plain), session.sendPlain(plain)];
  rooms.forEach((room) => room?.catch(() => {}));
  clock.pass(5000);
  assertEquals([told, session.progress.blockage?.error.message.includes("it takes no more bytes")], [[0], true]);
  await peer.frames(2, "SEND");
  await Promise.all(rooms);
  clock.pass(2500);
  assertEquals([told, clock.timers], [[0, "answers"], 0]);
});
