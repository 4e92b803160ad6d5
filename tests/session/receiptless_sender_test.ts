/** A broker that gives no receipts, such as Spring's simple broker: nothing waits for one, and none is asked for. */
import { assertEquals, assertMatch, assertRejects } from "#assert";
import { TimeoutError, UnsupportedByBrokerError } from "../../base/errors.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { clientTest, flushMicrotasks, Watcher } from "../support/client_harness.ts";

clientTest("`send()` resolves to `undefined` when the frame is written, and asks for no receipt", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "spring" });
  for (const options of [{}, { receipt: false }, { contentLength: false }, { headers: { a: "b" } }]) {
    assertEquals(await stomp.send("/topic/a", "text", options), undefined);
    const frame = await peer.frame("SEND");
    assertEquals([frame.get("receipt"), frame.get("content-type"), frame.get("persistent")], [
      undefined,
      undefined,
      undefined,
    ]);
  }
  await stomp.send("/topic/a", "{}", { contentType: "application/json" });
  assertEquals((await peer.frame("SEND")).get("content-type"), "application/json");
  await stomp.send("/topic/a", "x", { headers: { "content-type": "text/plain" } });
  assertEquals((await peer.frame("SEND")).get("content-type"), "text/plain");
  await stomp.send("/topic/a", new Uint8Array([0xff]));
  assertEquals((await peer.frame("SEND")).get("content-type"), "application/octet-stream");
});

clientTest("what is sent while there is no connection waits for the next one", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ broker: "spring", reconnect: { delay: 1, maxDelay: 5 } });
  const status = stomp.status();
  await peer.close();
  while ((await status.next()).value?.type !== "disconnected");
  const sent = stomp.send("/topic/a", "later");
  const next = await server.welcome("1.2");
  assertEquals(await sent, undefined);
  assertEquals((await next.frame("SEND")).body, "later");
});

clientTest("SUBSCRIBE and UNSUBSCRIBE ask for no receipts, DISCONNECT does", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "spring" });
  const subscription = await stomp.subscribe("/topic/a");
  const frame = await peer.frame("SUBSCRIBE");
  assertEquals([frame.get("receipt"), frame.get("ack")], [undefined, "auto"]);
  await peer.write(`MESSAGE\nsubscription:${frame.get("id")}\nmessage-id:1\ndestination:/topic/a\n\nhello\0`);
  assertEquals((await subscription.take({ timeout: 5000 }))?.text(), "hello");
  await subscription.unsubscribe();
  assertEquals((await peer.frame("UNSUBSCRIBE")).get("receipt"), undefined);
  const ending = stomp.disconnect();
  const receipt = (await peer.frame("DISCONNECT")).get("receipt");
  await peer.write(`RECEIPT\nreceipt-id:${receipt}\n\n\0`);
  await peer.close();
  await ending;
});

clientTest("a broker that takes no more bytes is reported as blocked", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ broker: "spring", frameLimits: { bytes: Infinity }, clock });
  const watcher = new Watcher(stomp);
  const sending = stomp.send("/topic/a", new Uint8Array(1 << 26)); // the peer does not read it
  clock.pass(5000);
  const { pending, error } = await watcher.until("blocked");
  assertEquals(pending, 0);
  assertMatch(error.message, /while it takes no more bytes/);
  await peer.frame("SEND");
  await sending;
});

clientTest("a SUBSCRIBE that is given up before it is written is undone without a receipt", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "spring", frameLimits: { bytes: Infinity } });
  const sending = stomp.send("/topic/a", "x".repeat(1 << 20)); // the connection takes no more in this turn
  const abort = new AbortController();
  const subscribing = stomp.subscribe("/topic/a", { id: "s", signal: abort.signal });
  await flushMicrotasks();
  abort.abort(new Error("enough"));
  await assertRejects(() => subscribing, Error, "enough");
  await sending;
  await peer.frame("SEND");
  await peer.frame("SUBSCRIBE");
  const undo = await peer.frame("UNSUBSCRIBE");
  assertEquals([undo.get("id"), undo.get("receipt")], ["s", undefined]);
});

clientTest("a receipt that the caller asks for is refused, and nothing is written", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "spring" });
  const calls: [option: string, call: () => Promise<unknown>][] = [
    ["receipt", () => stomp.send("/topic/a", "x", { receipt: true })],
    ["receipt", () => stomp.send("/topic/a", "x", { receipt: true, contentLength: false })],
    ["receipt", () => stomp.send("/topic/a", "x", { headers: { receipt: "mine" } })],
    ["receipt", () => stomp.subscribe("/topic/a", { receipt: true })],
    ["ack", () => stomp.subscribe("/topic/a", { ack: "client-individual" })],
    ["transaction", () => stomp.begin()],
    ["request", () => stomp.request("/topic/a", "x")],
  ];
  for (const [option, call] of calls) {
    const error = await assertRejects(call, UnsupportedByBrokerError);
    assertEquals([error.option, error.broker], [option, "spring"]);
  }
  await stomp.send("/topic/a", "the first frame");
  assertEquals((await peer.frame("SEND")).body, "the first frame");
});

clientTest("when an unknown broker has confirmed nothing, the error of a call says what to do", async (harness) => {
  const { stomp, peer } = await harness.pair({});
  const advice = /set broker: "spring" for the client, or receipt: false for the call\)/;
  for (const call of [() => stomp.send("/q", "x", { timeout: 50 }), () => stomp.subscribe("/q", { timeout: 50 })]) {
    assertMatch((await assertRejects(call, TimeoutError)).message, advice);
  }
  const confirmed = stomp.send("/q", "confirmed");
  for (;;) {
    const frame = await peer.frame();
    if (frame.body !== "confirmed") continue;
    await peer.write(`RECEIPT\nreceipt-id:${frame.get("receipt")}\n\n\0`);
    break;
  }
  await confirmed;
  const error = await assertRejects(() => stomp.send("/q", "x", { timeout: 50 }), TimeoutError);
  assertEquals(advice.test(error.message), false);
});
