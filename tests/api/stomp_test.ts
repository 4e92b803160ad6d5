/** The client on one connection: receipts, refusals, limits and status. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "#assert";
import {
  BrokerErrorResponse,
  NotConnectedError,
  OutboxFullError,
  StompError,
  TimeoutError,
  UnsupportedByBrokerError,
} from "../../base/errors.ts";
import { Stomp } from "../../api/stomp.ts";
import { clientTest, flushMicrotasks, frame, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

clientTest("`send()` refuses what cannot be sent before anything is written", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await assertRejects(() => stomp.send("", "x"), TypeError, "the destination is missing");
  await assertRejects(() => stomp.send({ body: "x" } as unknown as { destination: string }), TypeError, "destination");
  for (const body of [7, {}, [1], true, new ArrayBuffer(2)]) {
    await assertRejects(() => stomp.send("/q", body as unknown as string), TypeError);
    await assertRejects(() => stomp.send("/q", body as unknown as string, { persistent: true }), TypeError);
    await assertRejects(() => stomp.send("/q", body as unknown as string, { receipt: false }), TypeError);
    await assertRejects(() => stomp.send({ destination: "/q", body: body as unknown as string }), TypeError);
  }
  for (const receipt of [true, false]) {
    await assertRejects(() => stomp.send("/q", "x", { receipt, headers: { "": "x" } }), TypeError, "name is empty");
    await assertRejects(() => stomp.send("/q", "x", { receipt, headers: { "x-a": "\ud800" } }), TypeError, "x-a");
    const wrong = { "x-a": [] } as unknown as Record<string, string>;
    await assertRejects(() => stomp.send("/q", "x", { receipt, headers: wrong }), TypeError, '"x-a" is a');
  }
  const object = {} as unknown as string;
  for (const receipt of [true, false]) {
    await assertRejects(() => stomp.send("/q", "x", { contentType: object, receipt }), TypeError, "content-type");
  }
  await assertRejects(() => stomp.send("/q", "x\0", { contentLength: false }), TypeError, "NUL");
  await assertRejects(() => stomp.send("/q", "x", { timeout: NaN }), RangeError);
  await assertRejects(() => stomp.send("/q", "x", { delay: 5 }), UnsupportedByBrokerError, "Cannot use option delay");
  await assertRejects(() => stomp.send({ destination: "/q", "x-a": {} }), TypeError, '"x-a" must be a string');
  await assertRejects(() => stomp.send(null as unknown as { destination: string }), TypeError, "Cannot read conf");
  const sending = stomp.send("/q", "last");
  assertEquals((await confirm(peer, "SEND")).body, "last");
  await sending;
  assertEquals(stomp.pending, 0);
});

clientTest("`send()` with `receipt: false` resolves to `undefined`", async (harness) => {
  const { stomp, peer } = await harness.pair();
  assertEquals(await stomp.send("/q", "x", { receipt: false }), undefined);
  assertEquals(await stomp.send("/q", "y", { receipt: false, headers: { "x-a": "1" } }), undefined);
  const frames = await peer.frames(2, "SEND");
  assertEquals(frames.map((one) => [one.body, one.get("receipt")]), [["x", undefined], ["y", undefined]]);
  assertEquals(stomp.pending, 0);
});

clientTest("C12-60 `send()` alone rejects when an ERROR names its receipt, and the client goes on", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const watcher = new Watcher(stomp);
  const calls = ["a", "b", "c"].map((body) => stomp.send("/q", body));
  const [a, b, c] = await peer.frames(3);
  await peer.write(receiptFor(c!) + errorFor(b!, "no") + receiptFor(b!) + receiptFor(a!));
  const [first, second, third] = await Promise.allSettled(calls);
  assertEquals([first!.status, second!.status, third!.status], ["fulfilled", "rejected", "fulfilled"]);
  assertInstanceOf((await watcher.until("error")).error, BrokerErrorResponse);
  assert(stomp.connected);
});

clientTest("`request()` does not reject when an ERROR names another frame", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const asking = stomp.request("/q", "question");
  const queue = await confirm(peer, "SUBSCRIBE");
  const asked = await peer.frame("SEND");
  const bad = stomp.send("/nowhere", "x");
  await peer.write(errorFor(await peer.frame("SEND"), "no"));
  await assertRejects(() => bad, BrokerErrorResponse);
  const correlation = `correlation-id:${asked.get("correlation-id")}\n`;
  await peer.write(message(queue.get("id")!, "answer", correlation));
  assertEquals((await asking).text(), "answer");
});

clientTest(
  "an ERROR without receipt-id rejects unconfirmed calls, but `send()` only after a second ERROR",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const calls: Promise<unknown>[] = [
      stomp.send("/q", "a"),
      stomp.send("/q", "b"),
      stomp.subscribe("/q"),
      stomp.begin(),
      stomp.begin(),
    ];
    const results = Promise.allSettled(calls);
    const [, , , , last] = await peer.frames(5);
    await peer.write("ERROR\nmessage:Bad command\n\nmore\0" + receiptFor(last!));
    const again = await peer.frame("SEND");
    assertEquals(again.body, "a");
    await peer.write("ERROR\nmessage:Bad command\n\nmore\0");
    assertEquals((await confirm(peer, "SEND")).body, "b");
    const texts = (await results).map((result) => result.status === "rejected" && (result.reason as Error).message);
    const refused = (what: string) => `Cannot confirm ${what}: Bad command (more)`;
    assertEquals(texts, [refused("SEND to /q"), false, refused("SUBSCRIBE to /q"), refused("BEGIN"), false]);
    assert(stomp.connected);
  },
);

clientTest("`send()` that is not confirmed in time rejects, and its later receipt is ignored", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ timeout: 30, clock });
  const abort = new AbortController();
  const calls = [
    assertRejects(
      () => stomp.send("/q", "a"),
      TimeoutError,
      "Timed out after 30 ms waiting for the receipt of SEND to /q",
    ),
    assertRejects(() => stomp.send("/q", "b", { timeout: 20 }), TimeoutError, "Timed out after 20 ms waiting for "),
    assertRejects(() => stomp.send("/q", "c", { signal: abort.signal }), Error, "enough"),
  ];
  const frames = await peer.frames(3);
  abort.abort(new Error("enough"));
  clock.pass(30);
  await Promise.all(calls);
  assertEquals(stomp.pending, 0);
  for (const late of frames) await peer.write(receiptFor(late));
  const next = stomp.send("/q", "d", { timeout: 10_000 });
  await confirm(peer);
  await next;
});

clientTest("`send()` times out for each of many messages when its own timeout is over", async (harness) => {
  const clock = new FakeClock();
  const { stomp } = await harness.pair({ timeout: 60, clock });
  const calls: Promise<unknown>[] = [];
  const begun: number[] = [];
  const ended: number[] = [];
  for (let i = 0; i < 50; i++) {
    begun.push(clock.now());
    calls.push(assertRejects(() => stomp.send("/q", `${i}`), TimeoutError).then(() => ended.push(clock.now())));
    if (i % 10 === 9) clock.pass(5);
  }
  while (ended.length < 50) {
    clock.pass(1);
    await flushMicrotasks();
  }
  await Promise.all(calls);
  assertEquals(ended, begun.map((time) => time + 60));
  assertEquals(stomp.pending, 0);
});

clientTest(
  "`send()` beyond `outbox` rejects with `wait: false`; otherwise it waits, and stays in order",
  async (harness) => {
    for (const outbox of [{ messages: 2 }, { bytes: 2 }]) {
      const { stomp, peer } = await harness.pair({ outbox });
      const watcher = new Watcher(stomp);
      const calls = ["a", "b", "c", "d"].map((body) => stomp.send("/q", body));
      await assertRejects(
        () => stomp.send("/q", "e", { wait: false }),
        OutboxFullError,
        "2 messages of 2 bytes are not confirmed",
      );
      assertEquals(await watcher.until("stalled"), { type: "stalled", pending: 2 });
      const [a, b] = await peer.frames(2);
      assertEquals([a!.body, b!.body, stomp.pending], ["a", "b", 2]);
      await peer.write(receiptFor(b!));
      assertEquals((await confirm(peer)).body, "c");
      assertEquals((await confirm(peer)).body, "d");
      await peer.write(receiptFor(a!));
      await Promise.all(calls);
      const last = stomp.send("/q", "e", { wait: false });
      await confirm(peer);
      await last;
    }
  },
);

clientTest(
  "`send()` that waits for `outbox` ends with its signal or timeout, and leaves nothing behind",
  async (harness) => {
    const { stomp, peer } = await harness.pair({ outbox: { messages: 1 }, timeout: 40 });
    const abort = new AbortController();
    const first = stomp.send("/q", "a", { timeout: 5000 });
    const second = stomp.send("/q", "b", { signal: abort.signal });
    const third = stomp.send("/q", "c", { timeout: 20 });
    const fourth = stomp.send("/q", "d");
    const last = stomp.send("/q", "e", { timeout: 5000 });
    abort.abort(new Error("enough"));
    await assertRejects(() => second, Error, "enough");
    await assertRejects(() => third, TimeoutError, "Timed out after 20 ms waiting for ");
    await assertRejects(() => fourth, TimeoutError, "Timed out after 40 ms waiting for "); // though it never had a place
    await confirm(peer);
    assertEquals((await confirm(peer)).body, "e");
    await Promise.all([first, last]);
  },
);

clientTest("`send()` of a message that cannot be sent does not stop those behind it", async (harness) => {
  const { stomp, peer } = await harness.pair({ outbox: { messages: 1 } });
  const first = stomp.send("/q", "a");
  const bad = Array.from({ length: 20_000 }, () => stomp.send("/q", "x", { delay: 5 }).catch((error) => error));
  const last = stomp.send("/q", "b");
  await confirm(peer);
  assertEquals((await confirm(peer)).body, "b");
  await Promise.all([first, last]);
  for (const error of await Promise.all(bad)) assertInstanceOf(error, UnsupportedByBrokerError);
});

clientTest("`new Stomp()` refuses limits of the outbox below 1", () => {
  for (const outbox of [{ messages: 0 }, { bytes: 0 }, { messages: NaN }, { bytes: -1 }]) {
    assertThrows(() => new Stomp("stomp://localhost", { outbox }), RangeError);
  }
  return Promise.resolve();
});

clientTest("a call of a client that is not connected rejects with what to do", async (harness) => {
  const stomp = harness.client("stomp://127.0.0.1:1");
  const calls: [string, () => Promise<unknown>][] = [
    ["send to /q", () => stomp.send("/q", "x")],
    ["send to /q", () => stomp.send("/q", "x", { receipt: false })],
    ["send to /q", () => stomp.send("/q", "x", { receipt: false, persistent: true })],
    ["send to /q", () => stomp.send("/q", "x", { persistent: true })],
    ["subscribe to /q", () => stomp.subscribe("/q")],
    ["unsubscribe", () => stomp.unsubscribe({ destination: "/q" })],
    ["begin transaction", () => stomp.begin()],
    ["commit", () => stomp.commit({ transaction: "t" })],
    ["abort", () => stomp.abort({ transaction: "t" })],
    ["begin transaction", () => stomp.transaction(() => {})],
    ["receive", () => stomp.receiveFrame()],
    ["receive", () => stomp.poll()],
    ["send BEGIN", () => stomp.sendFrame(frame("BEGIN", { transaction: "t" }))],
    ["subscribe to /q", () => stomp.sendFrame(frame("SUBSCRIBE", { destination: "/q" }))],
  ];
  for (const [what, call] of calls) {
    await assertRejects(call, NotConnectedError, `Cannot ${what}: the client is not connected, call connect first`);
  }
  assertThrows(() => stomp.reconnect(), NotConnectedError, "Cannot reconnect: the client is not connected");
  assertEquals([stomp.connected, stomp.sock, stomp.version, stomp.subscribed, stomp.pending], [
    false,
    undefined,
    undefined,
    undefined,
    0,
  ]);
});

clientTest("`connect()` of a connected client rejects", async (harness) => {
  const { stomp } = await harness.pair();
  await assertRejects(() => stomp.connect(), NotConnectedError, "Cannot connect: the client is connected already");
});

clientTest("`connected`, `version` and `server` tell what CONNECTED told", async (harness) => {
  const { stomp } = await harness.pair({}, "1.1", "server:Foo/1\n");
  assertEquals([stomp.connected, stomp.version, stomp.server], [true, "1.1", "Foo/1"]);
});

clientTest("`receiveFrame()` rejects with what its callback throws, and nothing else breaks", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscribing = stomp.subscribe({ destination: "/queue/a" });
  const id = (await confirm(peer, "SUBSCRIBE")).get("id")!;
  await subscribing;
  await peer.write(message(id, "m1") + message(id, "m2") + message(id, "m3"));
  const reason = new Error("mine");
  const thrown = [() => {
    throw reason;
  }, () => Promise.reject(reason)];
  for (const callback of thrown) await assertRejects(() => stomp.receiveFrame(callback), Error, "mine");
  assertEquals((await stomp.receiveFrame())?.id, "m3");
  const other = await subscribed(stomp, peer, "/queue/b");
  await flushMicrotasks();
  assertEquals(other.queued, 0);
  assertInstanceOf(new StompError("x"), Error);
});
