/** After a jump of the clock: what is asked of the broker, and what becomes of the connection. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import { BrokerErrorResponse, ConnectionError, type StompError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { Stomp } from "../../mod.ts";
import { LivenessProbe } from "../../session/liveness_probe.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import {
  type ClientHarness,
  clientTest,
  flushMicrotasks,
  frame,
  openSession,
  Watcher,
} from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, errorFor, receiptFor } from "../support/raw_server.ts";
import { withSleepingMachine } from "../support/sleep.ts";

const HOUR = 3_600_000;

/** A session with heart-beats over a connection in memory, on a clock that the test moves. */
async function watched(harness: ClientHarness, lines = "heart-beat:10000,10000\n", version = "1.2") {
  const clock = new FakeClock();
  const ended = Promise.withResolvers<StompError | undefined>();
  const made = await openSession(
    harness,
    {
      heartbeat: { send: 10_000, receive: 10_000 },
      onEnd: (_, reason) => ended.resolve(reason),
      clock,
    },
    version,
    lines,
  );
  return { ...made, clock, ended: ended.promise };
}

/** A connection that keeps what is sent. */
function connection(sent: Frame[]): { send(frame: Frame): undefined } {
  return { send: (frame) => void sent.push(frame) };
}

/** The commands that were made. */
function made(frames: Frame[]): string[] {
  return frames.map(({ command, headers }) => `${command} ${headers["transaction"]}`);
}

test("`LivenessProbe.send()` begins a transaction and aborts it at once", () => {
  const sent: Frame[] = [];
  const probe = new LivenessProbe(connection(sent), { any: false });
  probe.send();
  probe.send();
  assertEquals(made(sent), [
    "BEGIN stompy-probe-1",
    "ABORT stompy-probe-1",
    "BEGIN stompy-probe-2",
    "ABORT stompy-probe-2",
  ]);
  assertEquals(sent.map(({ headers }) => headers["receipt"] !== undefined), [true, false, true, false]);
});

clientTest("`OpenTransactions.begin()` opens no transaction when the broker refuses", async (harness) => {
  const { session, peer } = await openSession(harness);
  const begun = session.transactions.begin("t");
  const [begin] = await peer.frames(1, "BEGIN");
  assertEquals(session.transactions.any, true);
  await peer.write(errorFor(begin!, "refused"));
  await assertRejects(() => begun, BrokerErrorResponse);
  assertEquals(session.transactions.any, false);
});

test("`LivenessProbe.send()` does not abort while another transaction is open, for ActiveMQ", () => {
  const sent: Frame[] = [];
  const transactions = { any: true };
  const probe = new LivenessProbe(connection(sent), transactions);
  probe.send();
  probe.send();
  assertEquals(made(sent), ["BEGIN stompy-probe-1", "BEGIN stompy-probe-2"]);
  transactions.any = false;
  sent.length = 0;
  probe.send();
  assertEquals(made(sent), [
    "BEGIN stompy-probe-3",
    "ABORT stompy-probe-1",
    "ABORT stompy-probe-2",
    "ABORT stompy-probe-3",
  ]);
});

// Each way by itself as well: over WebSocket beats are only received.
for (const lines of ["heart-beat:10000,10000\n", "heart-beat:10000,0\n", "heart-beat:0,10000\n"]) {
  clientTest(`after a sleep, a broker that does not answer the probe is lost: ${lines.trim()}`, async (harness) => {
    const { session, peer, clock, ended } = await watched(harness, lines);
    const call = session.request(frame("BEGIN", { transaction: "a" }), { timeout: Infinity });
    await peer.frame("BEGIN");
    clock.suspend(HOUR);
    clock.pass(5000);
    const asked = await peer.frame("BEGIN");
    assert(session.isOpen);
    assertMatch(asked.get("receipt") ?? "", /^stompy-probe-/);
    clock.pass(5200);
    const reason = await ended;
    assertInstanceOf(reason, ConnectionError);
    assertEquals(
      reason.message,
      "Connection to memory lost: nothing came for 5.1 s after the clock jumped by 3600.0 s",
    );
    await assertRejects(() => call, ConnectionError, "nothing came for 5.1 s");
    assertEquals(clock.timers, 0);
  });
}

clientTest(
  "after a sleep, a broker that answers the probe stays connected, and no caller sees the answer",
  async (harness) => {
    for (const version of ["1.1", "1.2"]) {
      const { session, peer, clock } = await watched(harness, undefined, version);
      clock.suspend(HOUR);
      clock.pass(5000);
      const asked = await peer.frame("BEGIN");
      assertEquals((await peer.frame("ABORT")).get("transaction"), asked.get("transaction"));
      const unread = session.readFrame({ timeout: 50 });
      await peer.write(receiptFor(asked));
      await assertRejects(() => unread, Error, "50 ms");
      clock.pass(5200);
      assert(session.isOpen);
      // The probe takes no receipt id from the session.
      const call = session.request(frame("BEGIN", { transaction: "b" }));
      assertEquals((await confirm(peer)).get("receipt"), "1");
      await call;
      assertEquals(clock.timers, 3); // two for heart-beats, and one that looks whether receipts come
      await session.close();
    }
  },
);

clientTest("after a sleep, a heart-beat answers the probe as well", async (harness) => {
  const { session, peer, clock } = await watched(harness);
  clock.suspend(HOUR);
  clock.pass(5000);
  await peer.frame("BEGIN");
  await peer.write("\n");
  await flushMicrotasks();
  clock.pass(6000);
  assert(session.isOpen);
});

clientTest("a probe leaves open transactions alone, raw ones among them", async (harness) => {
  const { session, peer, clock } = await watched(harness);
  const begun = session.transactions.begin("t");
  await confirm(peer);
  await begun;
  clock.suspend(HOUR);
  clock.pass(5000);
  await peer.write(receiptFor(await peer.frame("BEGIN")));
  const committed = session.transactions.end("COMMIT", "t");
  assertEquals((await confirm(peer)).command, "COMMIT"); // no ABORT before it
  await committed;
  await session.writeFrame(frame("BEGIN", { transaction: "by hand" }));
  await peer.frame("BEGIN");
  clock.pass(6000);
  clock.suspend(HOUR);
  clock.pass(5000);
  await peer.write(receiptFor(await peer.frame("BEGIN")));
  await session.writeFrame(frame("ABORT", { transaction: "by hand" }));
  assertEquals((await peer.frame()).get("transaction"), "by hand");
  clock.pass(6000);
  clock.suspend(HOUR);
  clock.pass(5000);
  await peer.frame("BEGIN");
  const aborted = [await peer.frame(), await peer.frame(), await peer.frame()];
  assertEquals(aborted.map((one) => one.get("transaction")), ["stompy-probe-1", "stompy-probe-2", "stompy-probe-3"]);
});

clientTest("no probe is sent while reading is paused; it is sent after that", async (harness) => {
  const { session, peer, clock } = await watched(harness);
  const consumer = {};
  session.gate.close(consumer);
  clock.suspend(HOUR);
  clock.pass(60_000);
  assert(session.paused && session.isOpen);
  session.gate.open(consumer);
  clock.pass(5000);
  await peer.frame("BEGIN");
  session.gate.close(consumer);
  assert(session.paused); // the probe's receipt has no waiter, so reading stays paused
  clock.pass(60_000);
  assert(session.isOpen);
  session.gate.open(consumer);
});

clientTest("no probe is sent after DISCONNECT", async (harness) => {
  const { session, peer, clock } = await watched(harness);
  const left = session.disconnect();
  const bye = await peer.frame("DISCONNECT");
  clock.suspend(HOUR);
  clock.pass(9000);
  await peer.write(receiptFor(bye));
  await peer.finish();
  await left;
  assertEquals((await peer.rest()).filter(({ command }) => command !== "DISCONNECT"), []);
  assertEquals([session.reason, clock.timers], [undefined, 0]);
});

for (const version of ["1.0", "1.1", "1.2"] as const) {
  test(`the embedded broker answers a probe in ${version}, and keeps nothing of it`, async () => {
    await using broker = await Broker.listen();
    await using stomp = await Stomp.connect(broker.url, { versions: [version] });
    for (let i = 1; i <= 3; i++) {
      const answer = await stomp.sendFrame(frame("BEGIN", { transaction: `stompy-probe-${i}`, receipt: `p-${i}` }));
      assertEquals(answer?.headers["receipt-id"], `p-${i}`);
      await stomp.sendFrame(frame("ABORT", { transaction: `stompy-probe-${i}` }));
    }
    await stomp.send("/queue/a", "goes on");
  });
}

test("a client that wakes up stays connected, or reconnects", async () => {
  await using broker = await Broker.listen();
  await using proxy = await FaultProxy.listen({ port: broker.port });
  await withSleepingMachine(async (sleep) => {
    // A silence as such would not be found out for two minutes.
    await using stomp = await Stomp.connect(`stomp://127.0.0.1:${proxy.port}`, {
      heartbeat: { send: 1000, receive: 60_000 },
      heartbeatTolerance: { probe: 1000 },
      reconnect: { delay: 1, maxDelay: 10 },
    });
    const subscription = await stomp.subscribe("/queue/a");
    const watcher = new Watcher(stomp);
    sleep();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assertEquals([watcher.events, proxy.connections, stomp.connected, stomp.pending], [[], 1, true, 0]);
    proxy.silence("down");
    sleep();
    const { error } = await watcher.until("disconnected");
    assertMatch(error.message, /nothing came for 1\.\d s after the clock jumped by 3600\.\d s/);
    await stomp.send("/queue/a", "after the sleep");
    assertEquals((await subscription.take())?.text(), "after the sleep");
    assertEquals(proxy.connections, 2);
  });
});
