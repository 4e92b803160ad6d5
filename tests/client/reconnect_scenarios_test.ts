/** Reconnecting in realistic scenarios: a broker that returns changed, not at all, or only to drop the connection. */
import { assert, assertEquals, assertGreater, assertInstanceOf, assertLess, assertMatch, assertRejects } from "#assert";
import { test } from "#test";
import process from "node:process";
import { Broker } from "../../broker/broker.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  NotConnectedError,
  OutboxFullError,
  TimeoutError,
} from "../../base/errors.ts";
import { stompWithClock } from "../../api/stomp.ts";
import { Stomp } from "../../mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { clientTest, quickPair, skipWaits, subscribed, Watcher } from "../support/client_harness.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

clientTest(
  "a broker that returns with another version and heart-beat gets frames of that version",
  async (harness) => {
    const offer = { heartbeat: { send: 60_000, receive: 60_000 } };
    const { stomp, peer, server } = await quickPair(harness, offer, "1.2", "heart-beat:60000,60000\n");
    const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
    await peer.write(message(subscription.id, "first"));
    await (await subscription.take())!.ack();
    const acknowledged = await peer.frame("ACK");
    assertEquals([acknowledged.get("id"), acknowledged.get("message-id")], ["first", undefined]);
    await peer.finish();

    const next = await server.welcome("1.1", "heart-beat:0,0\n");
    await confirm(next, "SUBSCRIBE");
    await next.write(message(subscription.id, "second"));
    await (await subscription.take())!.nack();
    const refused = await next.frame("NACK");
    assertEquals(
      [refused.get("message-id"), refused.get("subscription"), refused.get("id")],
      ["second", subscription.id, undefined],
    );
    assertEquals(stomp.version, "1.1");
    await next.finish();

    // What a version does not have ends the subscription, and says so.
    await server.welcome("1.0");
    await assertRejects(() => subscription.take(), Error, "1.0");
    assert(stomp.connected);
  },
);

clientTest("a broker that returns without a queue ends its subscription, and nothing else", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 1, maxDelay: 1 } });
  const gone = await subscribed(stomp, peer, "/queue/gone");
  const kept = await subscribed(stomp, peer, "/queue/kept");
  await peer.finish();
  const next = await server.welcome();
  await next.write(errorFor(await next.frame("SUBSCRIBE"), "no such queue"));
  await confirm(next, "SUBSCRIBE");
  // It may be that it is only late.
  for (let i = 0; i < 4; i++) await next.write(errorFor(await next.frame("SUBSCRIBE"), "no such queue"));
  await assertRejects(() => gone.take(), BrokerErrorResponse, "no such queue");
  await next.write(message(kept.id, "still here"));
  assertEquals((await kept.take())?.text(), "still here");
});

test("a changed password ends a client with a fixed one, and not one with `credentials()`", async () => {
  const old = await Broker.listen({ login: "user", passcode: "old" });
  const { port, url } = old;
  let password = "old";
  const clock = new FakeClock();
  const policy = { reconnect: { delay: 0 } };
  await using fixed = stompWithClock(url, { ...policy, username: "user", password }, clock);
  await using asking = stompWithClock(url, { ...policy, credentials: () => ({ username: "user", password }) }, clock);
  await Promise.all([fixed.connect(), asking.connect()]);
  for (const stomp of [fixed, asking]) skipWaits(stomp, clock);
  await old.close();
  password = "new";
  await using _new = await Broker.listen({ port, login: "user", passcode: "new" });
  const reason = await fixed.closed;
  assertInstanceOf(reason, BrokerErrorResponse);
  assertEquals(reason.frame!.headers["message"], "login refused");
  await assertRejects(() => fixed.send("/queue/a", "too late"), NotConnectedError, "login refused");
  await asking.send("/queue/a", "with the new password");
});

for (const [what, fault] of [["at once", { refuse: true }], ["after CONNECTED", {}]] as const) {
  test(`a broker that drops ${what} gets longer and longer waits, and costs little CPU time`, async () => {
    await using broker = await Broker.listen();
    await using proxy = await FaultProxy.listen({ port: broker.port });
    const clock = new FakeClock();
    await using stomp = stompWithClock(`stomp://127.0.0.1:${proxy.port}`, {}, clock);
    await stomp.connect();
    proxy.plan(() => fault);
    const bounds: number[] = [];
    const before = process.cpuUsage();
    const statuses = stomp.status();
    proxy.cut("rst");
    for await (const status of statuses) {
      if (status.type === "connected") proxy.cut("rst");
      if (status.type !== "reconnecting") continue;
      bounds.push(100 * 2 ** (status.attempt - 1));
      assert(status.delay <= bounds.at(-1)!);
      assertEquals(status.attempt, bounds.length, "attempts start again");
      if (clock.now() + status.delay > 2000) break;
      clock.pass(status.delay);
    }
    const { user, system } = process.cpuUsage(before);
    await stomp.disconnect();
    assertGreater(bounds.length, 1);
    // 100 ms, 200 ms, 400 ms and so on at most, and half of that on the average.
    assertLess(bounds.length, 20);
    assertLess((user + system) / 1000, 1000, "milliseconds of work in 2 s");
  });
}

test({
  name: "a thousand drops leave nothing behind",
  timeout: 60_000,
  fn: async () => {
    await using broker = await Broker.listen();
    await using proxy = await FaultProxy.listen({ port: broker.port });
    const clock = new FakeClock();
    await using stomp = stompWithClock(`stomp://127.0.0.1:${proxy.port}`, { reconnect: { maxDelay: 0 } }, clock);
    await stomp.connect();
    const { timers } = clock; // of the heart-beat
    skipWaits(stomp, clock);
    const subscription = await stomp.subscribe("/queue/a", { ack: "client-individual" });
    proxy.plan((connection) => connection < 1000 ? { refuse: true } : {});
    const sent = stomp.send("/queue/a", "over the thousandth", { timeout: Infinity });
    proxy.cut("rst");
    await sent;
    assertEquals((await subscription.take())?.text(), "over the thousandth");
    assertGreater(proxy.connections, 999);
    assertEquals(stomp.pending, 0);
    clock.pass(2500); // the last look at whether the broker answers
    assertEquals(clock.timers, timers);
  },
});

test({
  name: "a host name that stops resolving is tried again with the others of a list",
  timeout: 60_000,
  fn: async () => {
    const first = await Broker.listen();
    const { port, url } = first;
    await using stomp = await Stomp.connect([url, "stomp://no-such-host.invalid:61613"], {
      reconnect: { delay: 1, maxDelay: 50 },
      connectTimeout: 2000,
    });
    const watcher = new Watcher(stomp);
    await first.close();
    let status = await watcher.until("reconnecting");
    while (status.attempt < 3) status = await watcher.until("reconnecting");
    assertInstanceOf(status.error, ConnectionError);
    // Where there is no resolver at all it takes as long as it may.
    assertMatch(status.error.message, /connection refused; .*no-such-host\.invalid:61613: /);
    await using _second = await Broker.listen({ port });
    await stomp.send("/queue/a", "as soon as one of them is there");
  },
});

test({
  name: "a host name that does not resolve ends `connect()` after `attempts`",
  timeout: 60_000,
  fn: async () => {
    const options = { connectTimeout: 2000, reconnect: { firstConnect: true, attempts: 2, delay: 1 } };
    const error = await assertRejects(
      () => Stomp.connect("stomp://no-such-host.invalid:61613", options),
      ConnectionError,
    );
    assertMatch(error.message, /^Cannot connect to no-such-host\.invalid:61613: /);
  },
});

clientTest("`send()` beyond `outbox` waits, or rejects with `wait: false`", async (harness) => {
  const { stomp, peer, clock } = await quickPair(harness, { outbox: { messages: 2, bytes: 100 } });
  const watcher = new Watcher(stomp);
  const order: string[] = [];
  const send = (body: string) => stomp.send("/queue/a", body).then(() => order.push(body));
  const all = [send("1"), send("2"), send("3"), send("4")];
  assertEquals((await watcher.until("stalled")).pending, 2);
  await assertRejects(
    () => stomp.send("/queue/a", "no", { wait: false }),
    OutboxFullError,
    "Cannot send to /queue/a without waiting: 2 messages of 2 bytes are not confirmed yet",
  );
  const late = assertRejects(() => stomp.send("/queue/a", "no", { timeout: 20 }), TimeoutError);
  clock.pass(20);
  await late;
  const [first, second] = await peer.frames(2, "SEND");
  await peer.write(receiptFor(first!));
  const third = await peer.frame("SEND");
  await peer.write(receiptFor(second!) + receiptFor(third));
  await confirm(peer, "SEND");
  await Promise.all(all);
  assertEquals(order, ["1", "2", "3", "4"]);
  // Bytes count as well; one message always has room, or it would wait for ever.
  const large = stomp.send("/queue/a", "x".repeat(101));
  await assertRejects(() => stomp.send("/queue/a", "no", { wait: false }), OutboxFullError, "1 messages of 101 bytes");
  await confirm(peer, "SEND");
  await large;
});

clientTest("`send()` beyond `outbox` without a connection is sent in order on the next one", async (harness) => {
  const { stomp, peer, server } = await quickPair(harness, { outbox: { messages: 2 } });
  const lost = new Watcher(stomp);
  await peer.finish();
  await lost.until("disconnected");
  const all = ["1", "2", "3"].map((body) => stomp.send("/queue/a", body));
  await assertRejects(() => stomp.send("/queue/a", "no", { wait: false }), OutboxFullError);
  const next = await server.welcome();
  for (const body of ["1", "2", "3"]) assertEquals((await confirm(next, "SEND")).body, body);
  await Promise.all(all);
});

test("a hundred clients reconnect at different times, and all of them", async () => {
  const first = await Broker.listen();
  const { port, url } = first;
  const clock = new FakeClock();
  const options = { heartbeat: false, reconnect: { delay: 1000 } } as const;
  const clients = Array.from({ length: 100 }, () => stompWithClock(url, options, clock));
  await Promise.all(clients.map((stomp) => stomp.connect()));
  const tenths = new Array<number>(10).fill(0);
  const watchers = clients.map((stomp) => new Watcher(stomp));
  const waiting = watchers.map(async (watcher) => {
    const { delay } = await watcher.until("reconnecting");
    tenths[Math.floor(delay / 100)]!++;
  });
  await first.close();
  await using _second = await Broker.listen({ port });
  await Promise.all(waiting);
  const back = watchers.map((watcher) => watcher.until("connected"));
  clock.pass(1000);
  await Promise.all(back);
  await Promise.all(clients.map((stomp) => stomp.disconnect()));
  // 10 in each tenth of the second; 30 in one would be less than one in a million runs.
  for (const count of tenths) assertLess(count, 30, `${tenths}`);
});
