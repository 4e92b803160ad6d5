/** What a client restores, sends again and drops when its connection breaks. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "#assert";
import {
  AcknowledgeError,
  ConnectionError,
  NotConnectedError,
  SubscriptionError,
  TimeoutError,
  UnsupportedByBrokerError,
} from "../../base/errors.ts";
import type { StompOptions } from "../../client/options.ts";
import { clientTest, dropConnection, flushMicrotasks, frame, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

const AT_ONCE: StompOptions = { reconnect: { delay: 0 } };
const INDIVIDUAL = { ack: "client-individual" } as const;

/** Takes the next frames, all with receipts, and confirms them; gives command and destination or body of each. */
async function confirmAll(peer: RawPeer, count: number): Promise<string[]> {
  const said: string[] = [];
  while (said.length < count) {
    const one = await confirm(peer);
    said.push(`${one.command} ${one.body || one.get("destination")}`);
  }
  return said;
}

clientTest("`connected` changes at once, and `status()` emits what happens", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const watcher = new Watcher(stomp);
  await peer.close();
  const lost = await watcher.until("disconnected");
  assertEquals([stomp.connected, stomp.sock, stomp.version], [false, undefined, undefined]);
  assertInstanceOf(lost.error, ConnectionError);
  const trying = await watcher.until("reconnecting");
  assertEquals([trying.attempt, trying.delay, trying.error], [1, 0, lost.error]);
  await server.welcome("1.1", "server:Foo\n");
  const connected = await watcher.until("connected");
  assertEquals([connected.peer, connected.server, connected.version], [`127.0.0.1:${server.port}`, "Foo", "1.1"]);
  assertEquals([stomp.connected, stomp.version], [true, "1.1"]);
});

clientTest("a reconnect subscribes first, then sends unconfirmed messages in order", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const one = await subscribed(stomp, peer, "/queue/a", { ...INDIVIDUAL, headers: { "x-a": "1" } });
  const conf = stomp.subscribe({ destination: "/queue/b", ack: "client", id: "b" });
  await confirm(peer);
  await conf;
  const sent = ["m1", "m2", "m3"].map((body) => stomp.send("/q", body));
  const [first, second] = await peer.frames(3, "SEND");
  await peer.write(receiptFor(second!));
  await sent[1];
  await stomp.send("/q", "in doubt", { receipt: false });
  await peer.frame("SEND");
  await dropConnection(stomp, peer);
  const later = ["m4", "m5"].map((body) => stomp.send("/q", body, { persistent: true }));
  const third = stomp.subscribe("/queue/c");

  const next = await server.welcome();
  const again = await next.frame("SUBSCRIBE");
  assertEquals(again.lines.slice(0, 4), [`id:${one.id}`, "destination:/queue/a", "ack:client-individual", "x-a:1"]);
  await next.write(receiptFor(again));
  const rest = await confirmAll(next, 6);
  // What was not confirmed goes out again, m2 was; what was sent without a receipt does not.
  assertEquals(rest, ["SUBSCRIBE /queue/b", "SUBSCRIBE /queue/c", "SEND m1", "SEND m3", "SEND m4", "SEND m5"]);
  assert(first !== undefined);
  await Promise.all([...sent, ...later, third]);
  const last = stomp.send("/q", "last");
  assertEquals(await confirmAll(next, 1), ["SEND last"]);
  await last;
});

clientTest(
  "a subscription outlives its connection; queued messages are dropped, and `ack()` of a stale one writes nothing",
  async (harness) => {
    for (const ack of ["client", "client-individual"] as const) {
      const { stomp, peer, server } = await harness.pair(AT_ONCE);
      const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
      await peer.write(message("sub-1", "m1") + message("sub-1", "m2") + message("sub-1", "m3"));
      const one = (await subscription.take())!;
      assertEquals(await one.ack(), true);
      const two = (await subscription.take())!;
      await peer.frame("ACK");
      await dropConnection(stomp, peer);
      assertEquals(await two.ack(), false);
      const next = await server.welcome();
      await confirm(next, "SUBSCRIBE");
      assertEquals(subscription.queued, 0);
      await next.write(message("sub-1", "m2", "redelivered:true\n"));
      const again = (await subscription.take())!;
      assertEquals([again.id, again.redelivered, again.number], ["m2", true, 4]);
      assertEquals([await two.ack(), await stomp.nack(two), subscription.stale], [false, false, 3]);
      await assertRejects(() => one.ack(), AcknowledgeError, "it was sent ACK already");
      assertEquals(await again.ack(), true);
      assertEquals((await next.frame("ACK")).get("id"), "m2"); // and nothing before it
    }
  },
);

clientTest(
  "in mode `auto` queued messages outlive the connection, because the broker does not send them again",
  async (harness) => {
    const { stomp, peer, server } = await harness.pair(AT_ONCE);
    const subscription = await subscribed(stomp, peer);
    await peer.write(message("sub-1", "m1") + message("sub-1", "m2"));
    assertEquals((await subscription.take())?.id, "m1");
    await peer.close();
    const next = await server.welcome();
    await confirm(next, "SUBSCRIBE");
    await next.write(message("sub-1", "m3"));
    assertEquals([(await subscription.take())?.id, (await subscription.take())?.id], ["m2", "m3"]);
  },
);

clientTest("a `for await` loop outlives the connection, and `break` unsubscribes on the new one", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(message("sub-1", "m1"));
  const seen: string[] = [];
  const loop = (async () => {
    for await (const one of subscription) {
      seen.push(one.id);
      await one.ack();
      if (one.id === "m2") break;
    }
  })();
  await peer.frame("ACK");
  await peer.close();
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  await next.write(message("sub-1", "m2"));
  await next.frame("ACK");
  await confirm(next, "UNSUBSCRIBE");
  await loop;
  assertEquals(seen, ["m1", "m2"]);
});

clientTest("`subscribe()` whose connection is lost subscribes on the next one", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const subscribing = stomp.subscribe("/queue/a");
  await peer.frame("SUBSCRIBE");
  await peer.close();
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  const subscription = await subscribing;
  await next.write(message("sub-1", "m1"));
  assertEquals((await subscription.take())?.id, "m1");
});

clientTest("`unsubscribe()` without a connection ends the subscription for the next one", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const subscription = await subscribed(stomp, peer);
  await dropConnection(stomp, peer);
  await subscription.unsubscribe();
  const next = await server.welcome();
  const sending = stomp.send("/q", "x");
  assertEquals(await confirmAll(next, 1), ["SEND x"]);
  await sending;
});

clientTest("`unsubscribe({ deleteDurable })` rejects without a connection", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE, "1.2", "server:RabbitMQ/3\n");
  const subscription = await subscribed(stomp, peer, "/topic/a", { durable: "d" });
  await dropConnection(stomp, peer);
  await assertRejects(() => subscription.unsubscribe({ deleteDurable: true }), NotConnectedError, "Cannot delete");
  const next = await server.welcome("1.2", "server:RabbitMQ/3\n");
  await confirm(next, "SUBSCRIBE");
  const ending = subscription.unsubscribe({ deleteDurable: true });
  const said = await confirm(next, "UNSUBSCRIBE");
  assertEquals([said.get("id"), said.get("durable"), said.get("auto-delete")], ["d", "true", "false"]);
  await ending;
});

clientTest(
  "a reconnect to STOMP 1.0 ends subscriptions in mode `client-individual`, and keeps the others",
  async (harness) => {
    const pair = await harness.pair(AT_ONCE);
    const { stomp, peer } = pair;
    const single = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
    const auto = await subscribed(stomp, peer, "/queue/b");
    await peer.close();
    const next = await pair.server.welcome("1.0");
    await confirm(next, "SUBSCRIBE");
    assertInstanceOf(await single.closed, SubscriptionError);
    await next.write("MESSAGE\ndestination:/queue/b\nmessage-id:1\n\n\0");
    assertEquals((await auto.take())?.id, "1");
  },
);

clientTest("`send()` has the headers of the broker that it is sent to again", async (harness) => {
  const pair = await harness.pair(AT_ONCE, "1.2", "server:RabbitMQ/3\n");
  const { stomp, peer, server } = pair;
  const sending = stomp.send("/q", "x", { expires: 60_000 });
  const unknown = stomp.send("/q", "y", { expires: 60_000, headers: { "x-a": "1" } });
  unknown.catch(() => {});
  const said = await peer.frame("SEND");
  assert(Number(said.get("expiration")) > 50_000, said.lines.join());
  await peer.frame("SEND");
  await peer.close();
  let next = await server.welcome("1.2", "server:ActiveMQ/5\n");
  const again = await confirm(next, "SEND");
  assertEquals([again.get("expiration"), Number(again.get("expires")) > Date.now()], [undefined, true]);
  await sending;
  await next.frame("SEND");
  await next.close();
  next = await server.welcome();
  await assertRejects(() => unknown, UnsupportedByBrokerError, "Cannot use option expires");
});

clientTest("`send()` to another kind of broker has no header of the one before", async (harness) => {
  const [rabbitmq, activemq] = [await harness.server(), await harness.server()];
  const urls = `failover:(${rabbitmq.url},${activemq.url})?randomize=false`;
  const stomp = harness.client(urls, { heartbeat: false, ...AT_ONCE });
  const [peer] = await Promise.all([rabbitmq.welcome("1.2", "server:RabbitMQ/4.0.5\n"), stomp.connect()]);
  const options = { expires: 60_000, priority: 3, headers: { "x-a": "1" } };
  // Without content-length it is another path through the client.
  const sends = [stomp.send("/q", "x", options), stomp.send("/q", "x", { ...options, contentLength: false })];
  const names = ({ lines }: { lines: string[] }) =>
    lines.map((line) => line.slice(0, line.indexOf(":"))).filter((name) => name !== "content-length").sort();
  const common = ["content-type", "destination", "persistent", "priority", "receipt", "x-a"];
  for (const said of await peer.frames(2, "SEND")) assertEquals(names(said), [...common, "expiration"].sort());
  await rabbitmq.stopListening();
  await peer.close();
  const next = await activemq.welcome("1.2", "server:ActiveMQ/5.17.2\n");
  for (let i = 0; i < 2; i++) assertEquals(names(await confirm(next, "SEND")), [...common, "expires"].sort());
  await Promise.all(sends);
});

clientTest("`expires` counts from the call of `send()`, however long the message waits", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  await dropConnection(stomp, peer);
  const sends = [{}, { contentLength: false }].map((options) =>
    stomp.send("/q", "x", { ...options, expires: 60_000, timeout: Infinity })
  );
  const { now } = Date;
  Date.now = () => now() + 20_000; // the clock on the wall, and no timer
  try {
    const next = await server.welcome("1.2", "server:RabbitMQ/4.0.5\n");
    for (let i = 0; i < 2; i++) {
      const left = Number((await confirm(next, "SEND")).get("expiration"));
      assert(left > 20_000 && left <= 40_000, `${left} ms are left`);
    }
  } finally {
    Date.now = now;
  }
  await Promise.all(sends);
});

clientTest("`send()` keeps `deduplicationId` however often it is sent", async (harness) => {
  const artemis = "server:ActiveMQ-Artemis/2.28.0\n";
  const { stomp, peer, server } = await harness.pair(AT_ONCE, "1.2", artemis);
  const sending = stomp.send("/q", "x", { deduplicationId: "order-7", headers: { "x-a": "1" } });
  const said = [await peer.frame("SEND")];
  await peer.close();
  let next = await server.welcome("1.2", artemis);
  said.push(await next.frame("SEND"));
  await next.close();
  next = await server.welcome("1.2", artemis);
  said.push(await confirm(next, "SEND"));
  await sending;
  assertEquals(said.map((one) => [one.get("_AMQ_DUPL_ID"), one.get("x-a"), one.body]), [
    ["order-7", "1", "x"],
    ["order-7", "1", "x"],
    ["order-7", "1", "x"],
  ]);
});

clientTest("`send()` without a receipt is not sent again", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  await stomp.send("/q", "once", { receipt: false });
  await stomp.send("/q", "and once", { receipt: false, headers: { "x-a": "1" } });
  await peer.frames(2, "SEND");
  const watcher = new Watcher(stomp);
  await peer.close();
  const next = await server.welcome();
  await watcher.until("connected");
  const sending = stomp.send("/q", "last");
  assertEquals((await confirm(next)).body, "last");
  await sending;
});

clientTest("calls without a connection wait until their timeout", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ reconnect: { delay: 60_000, maxDelay: 60_000 }, timeout: 40, clock });
  await dropConnection(stomp, peer);
  const calls: (() => Promise<unknown>)[] = [
    () => stomp.subscribe("/q"),
    () => stomp.subscribe({ destination: "/q" }),
    () => stomp.begin(),
    () => stomp.transaction(() => {}),
    () => stomp.send("/q", "x"),
    () => stomp.send("/q", "x", { receipt: false }),
    () => stomp.sendFrame(frame("BEGIN", { transaction: "t" })),
  ];
  const timeouts = calls.map((call) => assertRejects(call, TimeoutError, "Timed out after 40 ms waiting for "));
  const call = () => stomp.subscribe("/q", { timeout: 10 });
  timeouts.push(assertRejects(call, TimeoutError, "Timed out after 10 ms waiting for "));
  await flushMicrotasks();
  clock.pass(40);
  await Promise.all(timeouts);
  await assertRejects(() => stomp.begin({ signal: AbortSignal.abort(new Error("no")) }), Error, "no");
  assertEquals(stomp.pending, 0);
});

clientTest("a receipt of an old connection confirms nothing on the new one", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const sent = ["m1", "m2"].map((body) => stomp.send("/q", body));
  const old = await peer.frames(2);
  await peer.write(receiptFor(old[0]!));
  await sent[0];
  await peer.close();
  const next = await server.welcome();
  const again = await next.frame("SEND");
  assertEquals([again.body, again.get("receipt")], ["m2", "1"]); // ids start again
  await next.write(receiptFor(again));
  await sent[1];
});
