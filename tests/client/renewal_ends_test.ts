/** The ends of a session that is being replaced: it breaks, the client disconnects, or the program reconnects first. */
import { assert, assertEquals, assertStrictEquals } from "#assert";
import { clientTest, flushMicrotasks, subscribed, Watcher } from "../support/client_harness.ts";
import { DUE_MS, LIFETIME_MS, RenewalRig } from "../support/renewal_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

clientTest("a session that breaks while it is handed over is replaced at once", async (harness) => {
  const rig = await RenewalRig.start(harness);
  const sending = rig.stomp.send("/queue/a", "x");
  await rig.peer.frame("SEND");
  await rig.due();
  await rig.peer.close();
  const peer = await rig.next("token-2");
  await confirm(peer, "SEND");
  await sending;
  assertEquals(await rig.statuses(), ["renewing", "connected"]);
});

clientTest("a session that breaks while messages are being handled is an ordinary loss", async (harness) => {
  const rig = await RenewalRig.start(harness, { reconnect: { delay: 0 } });
  const orders = await subscribed(rig.stomp, rig.peer, "/queue/a", { ack: "client-individual" });
  await rig.peer.write(message(orders.id, "m1"));
  const { value: m1 } = await orders.next();
  await rig.due();
  await rig.peer.close();
  await rig.watcher.until("disconnected");
  const accepting = rig.next("token-2");
  rig.clock.pass(0);
  const peer = await accepting;
  await confirm(peer, "SUBSCRIBE");
  await peer.write(message(orders.id, "m1"));
  assertEquals((await orders.next()).value!.text(), "m1"); // it is held no longer
  assertEquals(await m1!.ack(), false);
  await rig.stomp.disconnect({ signal: AbortSignal.abort() });
  assertEquals(rig.server.count, 2); // and not one for the loss and one for the renewal
});

clientTest(
  "`disconnect()` while a session is handed over waits for what is sent, and ends the client",
  async (harness) => {
    const rig = await RenewalRig.start(harness);
    const first = rig.stomp.send("/queue/a", "first");
    const send = await rig.peer.frame("SEND");
    await rig.due();
    const second = rig.stomp.send("/queue/a", "second");
    const disconnected = rig.stomp.disconnect();
    await rig.peer.write(receiptFor(send));
    await rig.left();
    rig.peer = await rig.next();
    await confirm(rig.peer, "SEND");
    await Promise.all([first, second]);
    await rig.left();
    await disconnected;
    assertEquals(await rig.stomp.closed, undefined);
  },
);

clientTest("`disconnect()` sends DISCONNECT also over a session that is handed over", async (harness) => {
  const rig = await RenewalRig.start(harness);
  await Promise.all([rig.stomp.begin(), confirm(rig.peer, "BEGIN")]);
  await rig.due();
  const disconnected = rig.stomp.disconnect({ own: "v" });
  assertEquals((await confirm(rig.peer, "DISCONNECT")).get("own"), "v");
  await rig.peer.finish();
  await disconnected;
  assertEquals(await rig.stomp.closed, undefined);
  assertEquals([rig.clock.timers, rig.server.count], [0, 1]);
});

clientTest("an aborted `disconnect()` ends a handover at once, and leaves no timer", async (harness) => {
  const rig = await RenewalRig.start(harness);
  const orders = await subscribed(rig.stomp, rig.peer, "/queue/a", { ack: "client-individual" });
  await rig.peer.write(message(orders.id, "m1"));
  await orders.next();
  await rig.due();
  await rig.stomp.disconnect({ signal: AbortSignal.abort() });
  assertEquals(await rig.stomp.closed, undefined);
  assertEquals(rig.clock.timers, 0);
  assertEquals(rig.server.count, 1);
});

clientTest("`reconnect()` before the credentials expire starts their time again", async (harness) => {
  const rig = await RenewalRig.start(harness);
  rig.stomp.reconnect();
  rig.peer = await rig.next("token-2");
  await rig.watcher.until("connected");
  rig.clock.pass(DUE_MS - 1);
  await flushMicrotasks();
  assertEquals(rig.calls, 2);
  await rig.due(1);
  await rig.left();
  await rig.next("token-3");
});

clientTest(
  "`reconnect()` by a function that returns headers leaves no renewal for the session that it ends",
  async (harness) => {
    // A wait is a random share of its maximum, which has to be longer than the lifetime all the same.
    const rig = await RenewalRig.start(harness, { reconnect: { delay: 1e12, maxDelay: 1e12 } });
    const headers = ({ number }: { number: number }) => {
      if (number === 2) {
        rig.server.stopListening();
        rig.stomp.reconnect();
      }
      return {};
    };
    await subscribed(rig.stomp, rig.peer, "/queue/a", { headers });
    rig.stomp.reconnect();
    await rig.next("token-2");
    while ((await rig.watcher.until("reconnecting")).delay === 0);
    assertEquals(rig.calls, 3); // the last attempt has failed
    rig.clock.pass(LIFETIME_MS);
    await flushMicrotasks();
    assertEquals(rig.calls, 3);
  },
);

clientTest("a password that `connect()` was given does not expire", async (harness) => {
  const clock = new FakeClock();
  const server = await harness.server();
  const credentials = () => ({ password: "token", expiresAt: clock.wall() + LIFETIME_MS });
  const stomp = harness.client(server.url, { clock, credentials, heartbeat: false });
  await Promise.all([server.welcome(), stomp.connect("u", "fixed")]);
  assertEquals(clock.timers, 0);
});

clientTest("on the embedded broker, a stream of sends and a worker lose and repeat nothing", async (harness) => {
  const broker = await harness.broker();
  let renewals = 0;
  const credentials = () => ({ username: "u", password: `${++renewals}`, expiresAt: Date.now() + 1500 });
  const stomp = await harness.connect(broker.url, { credentials });
  const counts = new Map<string, number>();
  const stop = new AbortController();
  const working = stomp.consume("/queue/work", async (job) => {
    await stomp.send("/queue/done", job.text()); // a handler that sends must not be cut off
    counts.set(job.text(), (counts.get(job.text()) ?? 0) + 1);
  }, { concurrency: 4, signal: stop.signal });
  const done = await stomp.subscribe("/queue/done");
  const watcher = new Watcher(stomp);
  let sent = 0;
  const isOver = (async () => {
    for (let i = 0; i < 3; i++) await watcher.until("connected");
  })();
  let goesOn = true;
  isOver.then(() => goesOn = false);
  while (goesOn) await stomp.send("/queue/work", String(sent++));
  const received: string[] = [];
  for (let i = 0; i < sent; i++) received.push((await done.next()).value!.text());
  stop.abort();
  await working;
  assertEquals(new Set(received).size, sent);
  assertEquals([...counts.values()].filter((count) => count !== 1), []);
  assertEquals(watcher.events.filter(({ type }) => type === "disconnected" || type === "reconnecting"), []);
  assert(sent > 100, `${sent} sends`);
  assertStrictEquals(renewals, 4);
});
