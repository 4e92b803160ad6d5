/** A session is replaced before its credentials expire: in order, and nothing is lost. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertStrictEquals } from "#assert";
import type { Stomp } from "../../api/stomp.ts";
import { ConnectionError, OutboxFullError, TransactionError } from "../../base/errors.ts";
import type { ExpiringCredentials } from "../../client/connection_options.ts";
import type { StompOptions } from "../../client/options.ts";
import { type ClientHarness, clientTest, flushMicrotasks, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, connected, message, type RawServer, receiptFor } from "../support/raw_server.ts";

const LIFETIME_MS = 100_000;

/** When new credentials are asked for, and how long what is under way may take then. */
const DUE_MS = 90_000;
const GRACE_MS = 5000;

/** Time from the start of a test until they are asked for. */
const SOON_MS = 1000;

/** A client on a scripted broker, whose credentials expire after 100 s. */
class Rig {
  readonly clock = new FakeClock();
  stomp!: Stomp;
  peer!: RawPeer;
  server!: RawServer;
  watcher!: Watcher;
  calls = 0;

  static async start(harness: ClientHarness, options: StompOptions = {}): Promise<Rig> {
    const rig = new Rig();
    rig.server = await harness.server();
    const credentials = (): ExpiringCredentials => ({
      ...{ username: "u", password: `token-${++rig.calls}` },
      expiresAt: new Date(rig.clock.wall() + LIFETIME_MS),
    });
    rig.stomp = harness.client(rig.server.url, { clock: rig.clock, credentials, heartbeat: false, ...options });
    [rig.peer] = await Promise.all([rig.server.welcome(), rig.stomp.connect()]);
    rig.watcher = new Watcher(rig.stomp);
    rig.clock.pass(DUE_MS - SOON_MS); // so that what a test begins does not time out before
    return rig;
  }

  /** Lets the credentials come close to their end, until the session is about to be replaced. */
  async due(after = SOON_MS): Promise<void> {
    this.clock.pass(after);
    await this.watcher.until("renewing");
    await flushMicrotasks();
  }

  /** Lets the time be over for what is under way. The broker answers nothing, not even DISCONNECT. */
  async tooLate(): Promise<void> {
    this.clock.pass(GRACE_MS);
    await flushMicrotasks();
    this.clock.pass(1000);
    await flushMicrotasks();
  }

  /** Answers DISCONNECT, and checks that it is the next frame. */
  async left(): Promise<void> {
    await confirm(this.peer, "DISCONNECT");
    await this.peer.finish();
  }

  /** Accepts the next connection, and checks the password. */
  async next(password = `token-${this.calls}`): Promise<RawPeer> {
    const peer = await this.server.accept();
    assertEquals((await peer.frame("CONNECT")).get("passcode"), password);
    await peer.write(connected());
    return peer;
  }

  /** The types of the statuses up to the next `connected`. */
  async statuses(): Promise<string[]> {
    await this.watcher.until("connected");
    return this.watcher.events.map(({ type }) => type);
  }
}

clientTest(
  "a session is replaced with new credentials, and no status or promise calls it a failure",
  async (harness) => {
    const rig = await Rig.start(harness);
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
  const rig = await Rig.start(harness);
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
  const rig = await Rig.start(harness);
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
    const rig = await Rig.start(harness);
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
  const rig = await Rig.start(harness);
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
    const rig = await Rig.start(harness);
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

clientTest(
  "open transactions and requests get their time, and end with the session when it is over",
  async (harness) => {
    for (const isInTime of [true, false]) {
      const rig = await Rig.start(harness, { broker: "rabbitmq" });
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
    const rig = await Rig.start(harness, { reconnect: false });
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
  const rig = await Rig.start(harness, { reconnect: { delay: 1, maxDelay: 1 } });
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

clientTest("a session that breaks while it is handed over is replaced at once", async (harness) => {
  const rig = await Rig.start(harness);
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
  const rig = await Rig.start(harness, { reconnect: { delay: 0 } });
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
});

clientTest(
  "`disconnect()` while a session is handed over waits for what is sent, and ends the client",
  async (harness) => {
    const rig = await Rig.start(harness);
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

clientTest("an aborted `disconnect()` ends a handover at once, and leaves no timer", async (harness) => {
  const rig = await Rig.start(harness);
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
  const rig = await Rig.start(harness);
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
  const received = new Set<string>();
  for (let i = 0; i < sent; i++) received.add((await done.next()).value!.text());
  stop.abort();
  await working;
  assertEquals(received.size, sent);
  assertEquals([...counts.values()].filter((count) => count !== 1), []);
  assertEquals(watcher.events.filter(({ type }) => type === "disconnected" || type === "reconnecting"), []);
  assert(sent > 100, `${sent} sends`);
  assertStrictEquals(renewals, 4);
});
