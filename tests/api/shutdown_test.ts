/** How a client ends: in order, once, and before its deadline, whatever the broker does. */
import { assertEquals, assertInstanceOf, assertLess, assertRejects } from "#assert";
import { ConnectionError, NotConnectedError } from "../../base/errors.ts";
import { Stomp } from "../../api/stomp.ts";
import { clientTest, flushMicrotasks, subscribed, Watcher } from "../support/client_harness.ts";
import { confirm, connected, errorFor, message, receiptFor } from "../support/raw_server.ts";

/** Milliseconds that something takes. */
async function timed(work: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work;
  return performance.now() - start;
}

clientTest(
  "C12-50 `disconnect()` sends DISCONNECT with a receipt, and closes the socket when that comes",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const watcher = new Watcher(stomp);
    const ending = stomp.disconnect({ "x-why": "done" });
    const said = await peer.frame("DISCONNECT");
    assertEquals(said.get("x-why"), "done");
    let isClosed = false;
    stomp.closed.then(() => isClosed = true);
    await flushMicrotasks();
    assertEquals([isClosed, stomp.connected, stomp.sock], [false, false, undefined]);
    await peer.write(receiptFor(said));
    await peer.ended();
    await peer.finish();
    await ending;
    assertEquals(await stomp.closed, undefined);
    assertEquals(await watcher.until("closed"), { type: "closed", error: undefined });
    assertEquals(watcher.events.length, 1); // it was neither lost nor tried again
  },
);

clientTest("C12-51 calls after `disconnect()` reject, and nothing is written after DISCONNECT", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client" });
  await peer.write(message(subscription.id, "1"));
  const received = await subscription.take();
  const ending = stomp.disconnect();
  const calls: [string, () => Promise<unknown>][] = [
    ["send to /queue/a", () => stomp.send("/queue/a", "x")],
    ["send to /queue/a", () => stomp.send("/queue/a", "x", { receipt: false })],
    ["send to /queue/a", () => stomp.send({ destination: "/queue/a", body: "x" })],
    ["subscribe to /queue/b", () => stomp.subscribe("/queue/b")],
    ["subscribe to /queue/b", () => stomp.subscribe({ destination: "/queue/b" })],
    ["begin transaction", () => stomp.begin()],
    ["begin transaction", () => stomp.transaction(() => {})],
    ["receive", () => stomp.receiveFrame()],
    ["connect", () => stomp.connect()],
  ];
  for (const [what, call] of calls) await assertRejects(call, NotConnectedError, `Cannot ${what}: the client is`);
  const said = await peer.frame("DISCONNECT");
  assertEquals(await received!.ack(), false); // it comes again
  for (const [, call] of calls) await assertRejects(call, NotConnectedError, "the client is closed");
  await peer.write(receiptFor(said));
  await peer.finish();
  assertEquals(await peer.rest(), []);
  await ending;
});

clientTest("C12-52 `disconnect()` resolves when the broker closes instead of answering", async (harness) => {
  for (const end of ["finish", "close"] as const) {
    const { stomp, peer } = await harness.pair();
    const ending = stomp.disconnect();
    await peer.frame("DISCONNECT");
    await peer[end]();
    await ending;
    assertEquals(await stomp.closed, undefined);
  }
});

clientTest("C12-52 `disconnect()` resolves when the broker answers ERROR", async (harness) => {
  for (const named of [true, false]) {
    const { stomp, peer } = await harness.pair();
    const ending = stomp.disconnect();
    const said = await peer.frame("DISCONNECT");
    await peer.write(named ? errorFor(said, "no") : "ERROR\n\n\0");
    await peer.ended();
    await peer.finish();
    await ending;
    assertEquals(await stomp.closed, undefined);
  }
});

clientTest("C12-52 `disconnect()` resolves at its timeout when the broker never answers", async (harness) => {
  const { stomp, peer } = await harness.pair();
  assertLess(await timed(stomp.disconnect({ timeout: 50 })), 1000);
  assertEquals(await stomp.closed, undefined);
  await peer.frame("DISCONNECT");
  await peer.rest();
});

clientTest("`disconnect()` resolves at its timeout when the broker answers and does not close", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const ending = stomp.disconnect({ timeout: 100 });
  await confirm(peer, "DISCONNECT");
  assertLess(await timed(ending), 900);
});

clientTest(
  "`disconnect()` drops the connection when its signal aborts, before and during the call",
  async (harness) => {
    const first = await harness.pair();
    assertLess(await timed(first.stomp.disconnect({ signal: AbortSignal.abort() })), 1000);
    assertEquals(await first.stomp.closed, undefined);
    assertEquals(await first.peer.rest(), []);

    const { stomp, peer } = await harness.pair();
    const abort = new AbortController();
    const ending = stomp.disconnect({ signal: abort.signal });
    await peer.frame("DISCONNECT");
    abort.abort();
    assertLess(await timed(ending), 1000);
    await peer.rest();
  },
);

clientTest("C12-54 `disconnect()` drops messages that come before the receipt", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer);
  const ending = stomp.disconnect();
  const said = await peer.frame("DISCONNECT");
  await peer.write(message(subscription.id, "1") + message(subscription.id, "2") + receiptFor(said));
  await peer.finish();
  await ending;
  assertEquals(await subscription.closed, undefined);
  assertEquals([subscription.received, await subscription.next()], [0, { done: true, value: undefined }]);
});

clientTest("`disconnect()` is idempotent, and a second call can only end it sooner", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const slow = stomp.disconnect({ timeout: 60_000 });
  const again = stomp.disconnect();
  await peer.frame("DISCONNECT");
  assertLess(await timed(stomp.disconnect({ timeout: 20 })), 1000);
  await Promise.all([slow, again, stomp[Symbol.asyncDispose](), stomp.disconnect({ signal: AbortSignal.abort() })]);
  assertEquals(await peer.rest(), []); // DISCONNECT went out once
});

clientTest("`Symbol.asyncDispose` disconnects", async (harness) => {
  const server = await harness.server();
  const [stomp, peer] = await Promise.all([Stomp.connect(server.url), server.welcome()]);
  const ending = stomp[Symbol.asyncDispose](); // as `await using` does, which Node 22 cannot read
  await confirm(peer, "DISCONNECT");
  await peer.finish();
  await ending;
  assertEquals([stomp.connected, await stomp.closed], [false, undefined]);
});

clientTest("`disconnect()` rejects for an invalid conf, and the client goes on", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await assertRejects(() => stomp.disconnect({ "x-a": {} }), TypeError, '"x-a" must be a string');
  await assertRejects(() => stomp.disconnect({ timeout: NaN }), RangeError);
  await assertRejects(() => stomp.drain({ timeout: -1 }), RangeError);
  const sending = stomp.send("/queue/a", "x");
  await confirm(peer, "SEND");
  await sending;
});

clientTest("`disconnect()` closes a client that was never connected", async (harness) => {
  const stomp = harness.client("stomp://127.0.0.1:1");
  await stomp.disconnect();
  assertEquals(await stomp.closed, undefined);
  await assertRejects(() => stomp.connect(), NotConnectedError, "Cannot connect: the client is closed");
});

clientTest("`disconnect()` during `connect()` rejects that, and leaves no socket", async (harness) => {
  const server = await harness.server();
  const stomp = harness.client(server.url);
  const connecting = stomp.connect();
  const peer = await server.accept();
  await peer.frame("CONNECT");
  const ending = stomp.disconnect();
  await assertRejects(() => connecting, NotConnectedError, "Cannot connect: the client is closed");
  await ending;
  assertEquals(await peer.rest(), []);
});

clientTest("`disconnect()` during `credentials()` that never resolves ends the client", async (harness) => {
  const server = await harness.server();
  const asked = Promise.withResolvers<void>();
  const stomp = harness.client(server.url, {
    credentials: () => {
      asked.resolve();
      return new Promise(() => {});
    },
  });
  const connecting = stomp.connect();
  await asked.promise;
  const ending = stomp.disconnect();
  await assertRejects(() => connecting, NotConnectedError);
  await ending;
  assertEquals(server.count, 0);
});

clientTest("`disconnect()` while reconnecting ends the client, between and during attempts", async (harness) => {
  for (const during of ["wait", "attempt"] as const) {
    const delay = during === "wait" ? 60_000 : 0;
    const { stomp, peer, server } = await harness.pair({ reconnect: { delay, maxDelay: delay } });
    const watcher = new Watcher(stomp);
    await peer.close();
    await watcher.until("reconnecting");
    const next = during === "attempt" ? await server.accept() : undefined;
    await next?.frame("CONNECT");
    assertLess(await timed(stomp.disconnect()), 1000);
    assertEquals(await stomp.closed, undefined);
    assertEquals(await next?.rest(), during === "attempt" ? [] : undefined);
  }
});

clientTest("`disconnect()` waits for unconfirmed messages, even over the next connection", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const sending = stomp.send("/queue/a", "x");
  await peer.frame("SEND");
  const ending = stomp.disconnect();
  await assertRejects(() => stomp.send("/queue/a", "y"), NotConnectedError, "the client is disconnecting");
  await peer.close();
  const next = await server.welcome();
  const said = await confirm(next, "SEND");
  assertEquals(said.body, "x");
  await sending;
  await confirm(next, "DISCONNECT");
  await next.finish();
  await ending;
});

clientTest("`send()` rejects when it is not confirmed at the timeout of `disconnect()`", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const sending = stomp.send("/queue/a", "x");
  sending.catch(() => {});
  await peer.frame("SEND");
  await stomp.disconnect({ timeout: 20 });
  await assertRejects(
    () => sending,
    ConnectionError,
    "Cannot confirm SEND to /queue/a: it was written, so the broker may have it: the client is closed",
  );
  assertEquals(stomp.pending, 0);
});

clientTest("`disconnect()` resolves when the connection is lost meanwhile", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  const watcher = new Watcher(stomp);
  const ending = stomp.disconnect();
  await peer.frame("DISCONNECT");
  await peer.write("garbage\n\n\0");
  await peer.finish();
  await ending;
  assertEquals(await stomp.closed, undefined);
  await watcher.until("closed");
});

clientTest("`closed` resolves to what ended a client that does not reconnect", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  const watcher = new Watcher(stomp);
  const subscription = await subscribed(stomp, peer);
  const next = subscription.next();
  next.catch(() => {});
  await peer.finish();
  const reason = await stomp.closed;
  assertInstanceOf(reason, ConnectionError);
  assertEquals((await watcher.until("disconnected")).error, reason);
  assertEquals((await watcher.until("closed")).error, reason);
  assertEquals(await subscription.closed, reason);
  assertEquals(await assertRejects(() => next), reason);
  const error = await assertRejects(
    () => stomp.send("/q", "x"),
    NotConnectedError,
    "the client is closed: Connection to",
  );
  assertEquals(error.cause, reason);
  await peer.rest();
});

clientTest("CONNECTED and the end of the connection in one chunk end the client", async (harness) => {
  const server = await harness.server();
  const stomp = harness.client(server.url, { reconnect: false });
  const connecting = stomp.connect();
  const peer = await server.accept();
  await peer.frame("CONNECT");
  await peer.write(connected());
  await peer.finish();
  await connecting.catch((error) => assertInstanceOf(error, NotConnectedError));
  assertInstanceOf(await stomp.closed, ConnectionError);
});
