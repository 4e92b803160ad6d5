/** A session is replaced before its credentials expire: in order, and nothing is lost. */
import { assertEquals, assertInstanceOf, assertMatch, assertRejects } from "#assert";
import { ConnectionError, OutboxFullError, TransactionError } from "../../base/errors.ts";
import { clientTest, flushMicrotasks, subscribed, Watcher } from "../support/client_harness.ts";
import { DUE_MS, GRACE_MS, LIFETIME_MS, RenewalRig } from "../support/renewal_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, connected, message, receiptFor } from "../support/raw_server.ts";

clientTest(
  "a session is replaced with new credentials, and no status or promise calls it a failure",
  async (harness) => {
    const rig = await RenewalRig.start(harness);
    let isClosed = false;
    rig.stomp.closed.then(() => isClosed = true);
    await rig.due();
    await rig.left();
    const peer = await rig.next("token-2");
    assertEquals(await rig.statuses(), ["renewing", "connected"]);
    await Promise.all([rig.stomp.send("/queue/a", "x"), confirm(peer, "SEND")]);

    // And so on.
    rig.peer = peer;
    await rig.due(DUE_MS);
    await rig.left();
    await rig.next("token-3");
    assertEquals(await rig.statuses(), ["renewing", "connected", "renewing", "connected"]);
    assertEquals(isClosed, false);
  },
);

clientTest("sends under way are confirmed first, and those that follow wait for the next session", async (harness) => {
  const rig = await RenewalRig.start(harness);
  const first = rig.stomp.send("/queue/a", "first");
  const send = await rig.peer.frame("SEND");
  await rig.due();
  const second = rig.stomp.send("/queue/a", "second");
  await assertRejects(() => rig.stomp.send("/queue/a", "third", { wait: false }), OutboxFullError, "no connection");
  assertEquals(rig.stomp.connected, false);
  await rig.peer.write(receiptFor(send));
  await first;
  await rig.left(); // nothing came before it
  const peer = await rig.next();
  assertEquals((await confirm(peer, "SEND")).body, "second");
  await second;
});

clientTest("sends that are not confirmed in time are sent again on the next session", async (harness) => {
  const rig = await RenewalRig.start(harness);
  const sending = rig.stomp.send("/queue/a", "first");
  await rig.peer.frame("SEND");
  await rig.due();
  await rig.tooLate();
  const peer = await rig.next();
  assertEquals((await confirm(peer, "SEND")).body, "first");
  await sending;
});

clientTest(
  "messages that are being handled can be acknowledged, with sends in between; no others come",
  async (harness) => {
    const rig = await RenewalRig.start(harness);
    const orders = await subscribed(rig.stomp, rig.peer, "/queue/a", { ack: "client-individual" });
    await rig.peer.write(message(orders.id, "m1") + message(orders.id, "m2"));
    const { value: m1 } = await orders.next();
    assertEquals(m1!.text(), "m1");
    await rig.due();
    const { promise: third, resolve } = Promise.withResolvers<string>();
    orders.next().then(({ value }) => resolve(value!.text()));
    await rig.peer.write(message(orders.id, "m3"));
    // The handler sends a result before it acknowledges.
    await Promise.all([rig.stomp.send("/queue/results", "r1"), confirm(rig.peer, "SEND")]);
    assertEquals(await m1!.ack(), true);
    assertEquals((await rig.peer.frame("ACK")).get("id"), "m1");
    await rig.left();
    const peer = await rig.next();
    assertEquals((await confirm(peer, "SUBSCRIBE")).get("id"), orders.id);
    await peer.write(message(orders.id, "m2"));
    assertEquals(await third, "m2"); // neither m2 nor m3 of the session before
  },
);

clientTest("a message that is not acknowledged in time does not hold up the next session", async (harness) => {
  const rig = await RenewalRig.start(harness);
  const orders = await subscribed(rig.stomp, rig.peer, "/queue/a", { ack: "client-individual" });
  await rig.peer.write(message(orders.id, "m1"));
  const { value: m1 } = await orders.next();
  await rig.due();
  rig.clock.pass(GRACE_MS / 2);
  await rig.left();
  const peer = await rig.next();
  await confirm(peer, "SUBSCRIBE");
  await rig.watcher.until("connected");
  assertEquals(await m1!.ack(), false);
});

clientTest(
  "in mode `auto` the broker stops sending before the session ends, and nothing is dropped",
  async (harness) => {
    const rig = await RenewalRig.start(harness);
    const prices = await subscribed(rig.stomp, rig.peer, "/topic/a");
    await rig.peer.write(message(prices.id, "m1"));
    await rig.due();
    const unsubscribe = await rig.peer.frame("UNSUBSCRIBE");
    assertEquals(unsubscribe.get("id"), prices.id);
    await rig.peer.write(message(prices.id, "m2") + receiptFor(unsubscribe));
    await rig.left();
    const peer = await rig.next();
    await confirm(peer, "SUBSCRIBE");
    await peer.write(message(prices.id, "m3"));
    for (const id of ["m1", "m2", "m3"]) assertEquals((await prices.next()).value!.text(), id);
  },
);

clientTest("in mode `auto` a queue that is full does not keep what is on its way from being read", async (harness) => {
  const rig = await RenewalRig.start(harness);
  const prices = await subscribed(rig.stomp, rig.peer, "/topic/a", { maxQueuedMessages: 1 });
  const sending = rig.stomp.send("/queue/a", "x"); // reading goes on for its receipt, until the queue blocks it
  const send = await rig.peer.frame("SEND");
  const ids = Array.from({ length: 30 }, (_, i) => `m${i}`);
  await rig.peer.write(ids.slice(0, 20).map((id) => message(prices.id, id)).join(""));
  while (!(await rig.watcher.until("slow-consumer")).blocked);
  await rig.due();
  const unsubscribe = await rig.peer.frame("UNSUBSCRIBE");
  await rig.peer.write(ids.slice(20).map((id) => message(prices.id, id)).join(""));
  await rig.peer.write(receiptFor(unsubscribe) + receiptFor(send));
  await sending;
  await rig.left();
  await confirm(await rig.next(), "SUBSCRIBE");
  for (const id of ids) assertEquals((await prices.next()).value!.text(), id);
});

clientTest(
  "open transactions and requests get their time, and end with the session when it is over",
  async (harness) => {
    for (const isInTime of [true, false]) {
      const rig = await RenewalRig.start(harness, { broker: "rabbitmq" });
      const [tx] = await Promise.all([rig.stomp.begin(), confirm(rig.peer, "BEGIN")]);
      const requesting = rig.stomp.request("/queue/double", "1");
      const request = await rig.peer.frame("SEND");
      await rig.due();
      if (isInTime) {
        const sending = tx.send("/queue/a", "x").then(() => tx.commit());
        const sent = await rig.peer.frame("SEND");
        const commit = await confirm(rig.peer, "COMMIT");
        assertEquals(commit.get("transaction"), tx.id);
        await rig.peer.write(receiptFor(sent));
        await sending;
        const headers = `correlation-id:${request.get("correlation-id")}\n`;
        await rig.peer.write(message(request.get("reply-to")!, "2", headers));
        assertEquals((await requesting).text(), "2");
      } else {
        requesting.catch(() => {});
        await rig.tooLate();
        await assertRejects(
          () => requesting,
          ConnectionError,
          "replaced: its credentials expire at 2023-11-14T22:15:00",
        );
        await assertRejects(() => tx.commit(), TransactionError);
      }
      if (isInTime) await rig.left();
      await rig.next();
      assertEquals(await rig.statuses(), ["renewing", "connected"]);
    }
  },
);

clientTest("a transaction that is just beginning gets its time as well", async (harness) => {
  const rig = await RenewalRig.start(harness);
  const beginning = rig.stomp.begin();
  const begin = await rig.peer.frame("BEGIN");
  await rig.due();
  await rig.peer.write(receiptFor(begin));
  const tx = await beginning;
  await Promise.all([tx.send("/queue/a", "x"), rig.peer.frame("SEND")]);
  await Promise.all([tx.abort(), confirm(rig.peer, "ABORT")]);
  await rig.left();
  await rig.next();
  assertEquals(await rig.statuses(), ["renewing", "connected"]);
});

clientTest("the session goes on while there are no new credentials", async (harness) => {
  let isDown = false;
  const clock = new FakeClock();
  const server = await harness.server();
  const credentials = () => {
    if (isDown) throw new Error("the issuer is down");
    return { password: "p", expiresAt: clock.wall() + LIFETIME_MS };
  };
  const stomp = harness.client(server.url, { clock, credentials, heartbeat: false });
  const [peer] = await Promise.all([server.welcome(), stomp.connect()]);
  const watcher = new Watcher(stomp);
  isDown = true;
  clock.pass(DUE_MS);
  assertEquals((await watcher.until("renewing")).error, undefined);
  await flushMicrotasks();
  clock.pass(2500);
  const { error } = await watcher.until("renewing");
  assertInstanceOf(error, ConnectionError);
  assertEquals(error.message, "Cannot renew the credentials: credentials() failed: the issuer is down");
  await Promise.all([stomp.send("/queue/a", "x"), confirm(peer, "SEND")]);
  // The broker ends it in the end: an ordinary loss, after which others may be had.
  isDown = false;
  await peer.close();
  await watcher.until("disconnected");
  const again = server.welcome();
  clock.pass((await watcher.until("reconnecting")).delay);
  await again;
  await watcher.until("connected");
});

clientTest(
  "with `reconnect: false` credentials are renewed as well; a failure then ends the client",
  async (harness) => {
    const rig = await RenewalRig.start(harness, { reconnect: false });
    await rig.due();
    await rig.left();
    rig.peer = await rig.next();
    await rig.watcher.until("connected");
    await rig.due(DUE_MS);
    await rig.left();
    await (await rig.server.accept()).finish();
    const reason = await rig.stomp.closed;
    assertInstanceOf(reason, ConnectionError);
    assertMatch(reason.message, /^Cannot reconnect after 1 attempts: .* before CONNECTED$/);
  },
);

clientTest("when the attempt with new credentials fails, the client reconnects as after a loss", async (harness) => {
  const rig = await RenewalRig.start(harness, { reconnect: { delay: 1, maxDelay: 1 } });
  await rig.due();
  await rig.left();
  await (await rig.server.accept()).finish();
  const { attempt, delay } = await rig.watcher.until("reconnecting");
  assertEquals(attempt, 1);
  const accepting = rig.server.accept();
  rig.clock.pass(delay);
  const peer = await accepting;
  assertEquals((await peer.frame("CONNECT")).get("passcode"), "token-3");
  await peer.write(connected());
  assertEquals(await rig.statuses(), ["renewing", "reconnecting", "connected"]);
});
