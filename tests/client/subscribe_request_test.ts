/** Subscriptions that ask for no receipt: `{ receipt: false }`. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import { BrokerErrorResponse, SubscriptionError } from "../../base/errors.ts";
import type { StompOptions } from "../../client/options.ts";
import type { Subscription } from "../../client/subscription.ts";
import type { Stomp } from "../../api/stomp.ts";
import { clientTest, flushMicrotasks, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, message } from "../support/raw_server.ts";

const AT_ONCE: StompOptions = { reconnect: { delay: 0 } };
const REFUSED = "ERROR\nmessage:access refused\n\nnot for you\0";

/** Subscribes without a receipt. */
async function subscribe(stomp: Stomp, peer: RawPeer, destination = "/queue/a"): Promise<Subscription> {
  const subscription = await stomp.subscribe(destination, { receipt: false });
  const said = await peer.frame("SUBSCRIBE");
  assertEquals([said.get("destination"), said.get("receipt")], [destination, undefined]);
  return subscription;
}

clientTest("`receipt: false` subscribes, receives and unsubscribes without any RECEIPT", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribe(stomp, peer);
  await peer.write(message(subscription.id, "m1"));
  assertEquals((await subscription.take())?.id, "m1");
  await subscription.unsubscribe();
  const said = await peer.frame("UNSUBSCRIBE");
  assertEquals([said.get("id"), said.get("receipt")], [subscription.id, undefined]);
  assertEquals(await subscription.closed, undefined);
});

clientTest("`receipt: false` of a conf subscribes without a RECEIPT, and any other value is an id", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await stomp.subscribe({ destination: "/queue/a", receipt: false });
  assertEquals((await peer.frame("SUBSCRIBE")).get("receipt"), undefined);
  const subscribing = stomp.subscribe({ destination: "/queue/b", receipt: "r1" });
  assertEquals((await confirm(peer, "SUBSCRIBE")).get("receipt"), "r1");
  await subscribing;
});

clientTest("`consume()` with `receipt: false` handles messages, and ends by its signal", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const stop = new AbortController();
  const handled: string[] = [];
  const working = stomp.consume("/queue/a", ({ id }) => {
    handled.push(id);
    stop.abort();
  }, { receipt: false, ack: "auto", signal: stop.signal });
  const { get } = await peer.frame("SUBSCRIBE");
  await peer.write(message(get("id")!, "m1"));
  await working;
  assertEquals((await peer.frame("UNSUBSCRIBE")).get("receipt"), undefined);
  assertEquals(handled, ["m1"]);
});

clientTest("`receipt: false`: an ERROR that can be about nothing else ends the subscription", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribe(stomp, peer);
  const taking = subscription.take();
  taking.catch(() => {});
  await peer.write(REFUSED);
  const error = await assertRejects(
    () => taking,
    SubscriptionError,
    "Cannot receive from /queue/a: the broker refused",
  );
  assertInstanceOf((error as Error).cause, BrokerErrorResponse);
  assert((error as Error).message.includes("access refused (not for you)"));
  assertStrictEquals(await subscription.closed, error);
});

clientTest("`receipt: false`: the ERROR of a broker that hangs up ends the subscription", async (harness) => {
  const pair = await harness.pair(AT_ONCE);
  const subscription = await subscribe(pair.stomp, pair.peer);
  await pair.peer.write(REFUSED);
  await pair.peer.close();
  assertInstanceOf(await subscription.closed, SubscriptionError);
  // It is not subscribed again.
  const next = await pair.server.welcome();
  const sending = pair.stomp.send("/queue/b", "x");
  await confirm(next, "SEND");
  await sending;
});

clientTest("`receipt: false`: an ERROR after a message of the subscription is not about it", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribe(stomp, peer);
  const watcher = new Watcher(stomp);
  await peer.write(message(subscription.id, "m1") + REFUSED);
  await watcher.until("error");
  await flushMicrotasks();
  await peer.write(message(subscription.id, "m2"));
  assertEquals([(await subscription.take())?.id, (await subscription.take())?.id], ["m1", "m2"]);
});

clientTest("`receipt: false`: a later ERROR is not about the subscription", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ clock });
  const subscription = await subscribe(stomp, peer);
  clock.pass(5000);
  const watcher = new Watcher(stomp);
  await peer.write(REFUSED);
  await watcher.until("error");
  await peer.write(message(subscription.id, "m1"));
  assertEquals((await subscription.take())?.id, "m1");
});

clientTest("`receipt: false`: of two subscriptions the one that the broker hangs up on is found", async (harness) => {
  const pair = await harness.pair(AT_ONCE);
  const { stomp } = pair;
  const bad = await subscribe(stomp, pair.peer, "/queue/bad");
  const good = await subscribe(stomp, pair.peer, "/queue/good");
  // The ERROR can have meant either, so each is sent alone from then on.
  await pair.peer.write(REFUSED);
  await pair.peer.close();
  let isEnded = false;
  bad.closed.then(() => isEnded = true);
  while (!isEnded) {
    const peer = await pair.server.welcome();
    const said = await peer.frame("SUBSCRIBE");
    if (said.get("destination") === "/queue/good") {
      await peer.write(message(good.id, "m1"));
      assertEquals((await good.take())?.id, "m1");
      if (isEnded) break;
      assertEquals((await peer.frame("SUBSCRIBE")).get("destination"), "/queue/bad");
    }
    await peer.write(REFUSED);
    await peer.close();
  }
  assertInstanceOf(await bad.closed, SubscriptionError);
});

const ABORTED = "`receipt: false`: a signal that aborts while the SUBSCRIBE is not written undoes it";
clientTest(ABORTED, async (harness) => {
  const { stomp, peer } = await harness.pair();
  const abort = new AbortController();
  // The peer does not read, so the connection is full.
  const headers = { "x-large": "x".repeat(1 << 23) };
  const subscribing = stomp.subscribe("/queue/a", { receipt: false, headers, signal: abort.signal });
  await flushMicrotasks();
  abort.abort(new Error("enough"));
  await assertRejects(() => subscribing, Error, "enough");
  const said = await peer.frame("SUBSCRIBE");
  assertEquals((await confirm(peer, "UNSUBSCRIBE")).get("id"), said.get("id"));
});

clientTest("`receipt: false` must be a boolean", async (harness) => {
  const { stomp } = await harness.pair();
  await assertRejects(() => stomp.subscribe("/queue/a", { receipt: "no" as unknown as boolean }), TypeError, "receipt");
});
