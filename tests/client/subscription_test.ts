/** `Subscription`: subscribing, iteration, acknowledgement, and the ways it ends. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "#assert";
import {
  AcknowledgeError,
  BrokerErrorResponse,
  StompError,
  SubscriptionError,
  TimeoutError,
} from "../../base/errors.ts";
import type { Message } from "../../client/message.ts";
import type { Subscription } from "../../client/subscription.ts";
import { clientTest, flushMicrotasks, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

const INDIVIDUAL = { ack: "client-individual" } as const;
const CUMULATIVE = { ack: "client" } as const;

/** Sends messages with these ids, and takes them. */
async function deliver(peer: RawPeer, subscription: Subscription, ...ids: string[]): Promise<Message[]> {
  await peer.write(ids.map((id) => message(subscription.id, id)).join(""));
  const messages: Message[] = [];
  for (const id of ids) {
    const taken = await subscription.take();
    assertEquals(taken?.id, id);
    messages.push(taken!);
  }
  return messages;
}

clientTest(
  "C12-32 C12-33 `subscribe()` sends id, destination and ack, and resolves on the receipt",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    let done = false;
    const subscribing = stomp.subscribe("//a b/../c", { ...INDIVIDUAL, headers: { "x-a": "1" } }).then((one) => {
      done = true;
      return one;
    });
    const said = await peer.frame("SUBSCRIBE");
    assertEquals(said.lines.slice(0, -1), ["id:sub-1", "destination://a b/../c", "ack:client-individual", "x-a:1"]);
    await flushMicrotasks();
    assertEquals(done, false);
    await peer.write(receiptFor(said));
    const subscription = await subscribing;
    assertEquals(
      [subscription.id, subscription.destination, subscription.ackMode],
      ["sub-1", "//a b/../c", "client-individual"],
    );
  },
);

clientTest("C12-57 `Message` has all headers, the body, and its subscription", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(
    `MESSAGE\nsubscription:sub-1\nmessage-id:7\ndestination:/queue/a\nx-any:a\\cb\nredelivered:true\n\n{"n":1}\0`,
  );
  const taken = (await subscription.next()).value!;
  assertEquals([taken.headers["x-any"], taken.text(), taken.json()], ["a:b", '{"n":1}', { n: 1 }]);
  assertEquals([taken.id, taken.destination, taken.redelivered, taken.number], ["7", "/queue/a", true, 1]);
  assert(taken.subscription === subscription);
  assertEquals([subscription.received, subscription.queued, subscription.acknowledged], [1, 0, 0]);
});

clientTest("C12-34 `subscribe()` rejects an id in use, and accepts it after `unsubscribe()`", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const first = await subscribed(stomp, peer, "/queue/a", { id: "x" });
  await assertRejects(() => stomp.subscribe("/queue/b", { id: "x" }), SubscriptionError, "the id x is in use");
  const pending = stomp.subscribe("/queue/c", { id: "y" });
  await assertRejects(() => stomp.subscribe("/queue/b", { id: "y" }), SubscriptionError, "the id y is in use");
  await confirm(peer, "SUBSCRIBE");
  await pending;
  const ending = first.unsubscribe();
  assertEquals((await confirm(peer, "UNSUBSCRIBE")).get("id"), "x");
  await ending;
  await subscribed(stomp, peer, "/queue/b", { id: "x" });
});

clientTest("`subscribe()` rejects with the broker's ERROR, and leaves no subscription behind", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscribing = stomp.subscribe("/queue/a", { id: "x" });
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), "no such queue"));
  await assertRejects(() => subscribing, BrokerErrorResponse, "no such queue");
  await subscribed(stomp, peer, "/queue/b", { id: "x" });
});

clientTest("`subscribe()` does not try again when the connection ends after the ERROR", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const watcher = new Watcher(stomp);
  const subscribing = stomp.subscribe("/queue/a");
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), "no such queue"));
  await peer.finish();
  await assertRejects(() => subscribing, BrokerErrorResponse, "no such queue");
  const next = await server.welcome();
  await watcher.until("connected");
  const sending = stomp.send("/queue/a", "x");
  await confirm(next, "SEND"); // no SUBSCRIBE before it
  await sending;
});

clientTest("`subscribe()` rejects invalid options before anything is sent", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await assertRejects(() => stomp.subscribe(""), TypeError, "the destination is missing");
  await assertRejects(() => stomp.subscribe("/q", { ack: "maybe" as "auto" }), TypeError, 'ack is "maybe"');
  await assertRejects(() => stomp.subscribe("/q", { maxQueuedMessages: 0 }), RangeError);
  await assertRejects(() => stomp.subscribe("/q", { maxQueuedBytes: NaN }), RangeError);
  await assertRejects(() => stomp.subscribe("/q", { timeout: NaN }), RangeError);
  await assertRejects(() => stomp.subscribe("/q", { headers: { "": "x" } }), TypeError);
  await assertRejects(() => stomp.subscribe({ destination: "/q", ack: "maybe" }), TypeError, 'ack is "maybe"');
  const sending = stomp.send("/q", "x");
  await confirm(peer, "SEND");
  await sending;
});

clientTest("C12-35 `subscribe()` rejects mode client-individual on STOMP 1.0", async (harness) => {
  const { stomp } = await harness.pair({}, "1.0");
  await assertRejects(() => stomp.subscribe("/queue/a", INDIVIDUAL), SubscriptionError, "1.0");
});

clientTest("C12-38 C12-40 `ack()` and `nack()` in mode client-individual name one message", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const [one, two, three] = await deliver(peer, subscription, "m1", "m2", "m3");
  await two!.ack();
  await one!.nack({ headers: { requeue: "false" } });
  await stomp.ack(three!);
  assertEquals((await peer.frame("ACK")).lines, ["id:m2"]);
  assertEquals((await peer.frame("NACK")).lines, ["id:m1", "requeue:false"]);
  assertEquals((await peer.frame("ACK")).lines, ["id:m3"]);
  assertEquals(subscription.acknowledged, 3);
});

clientTest("C12-36 `ack()` in mode client rules out acknowledging an earlier message", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", CUMULATIVE);
  const [one, two, three, four] = await deliver(peer, subscription, "m1", "m2", "m3", "m4");
  await three!.ack();
  await assertRejects(() => two!.ack(), AcknowledgeError, "a later message was acknowledged");
  await assertRejects(() => one!.nack(), AcknowledgeError, "a later message was acknowledged");
  await four!.nack();
  assertEquals((await peer.frame("ACK")).lines, ["id:m3"]);
  assertEquals((await peer.frame("NACK")).lines, ["id:m4"]);
});

clientTest("`ack()` and `nack()` reject a second time, and in mode auto", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const careful = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const auto = await subscribed(stomp, peer, "/queue/b");
  const [one, two] = await deliver(peer, careful, "m1", "m2");
  const [three] = await deliver(peer, auto, "m3");
  await one!.ack();
  await two!.nack();
  await assertRejects(() => one!.ack(), AcknowledgeError, "Cannot send ACK: it was sent ACK already");
  await assertRejects(() => one!.nack(), AcknowledgeError, "Cannot send NACK: it was sent ACK already");
  await assertRejects(() => two!.ack(), AcknowledgeError, "Cannot send ACK: it was sent NACK already");
  await assertRejects(() => three!.ack(), AcknowledgeError, "the subscription to /queue/b is in mode auto"); // C12-39
  await assertRejects(() => stomp.nack(three!), AcknowledgeError, "the subscription to /queue/b is in mode auto");
  assertEquals((await peer.frames(2)).map((frame) => frame.command), ["ACK", "NACK"]);
  const ending = careful.unsubscribe();
  await confirm(peer, "UNSUBSCRIBE"); // nothing was sent before it
  await ending;
  const error = await assertRejects(() => stomp.ack(three!), StompError);
  assertInstanceOf(error, AcknowledgeError);
});

clientTest("`ack()` rejects after the subscription has ended", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const [one] = await deliver(peer, subscription, "m1");
  const ending = subscription.unsubscribe();
  await confirm(peer, "UNSUBSCRIBE");
  await ending;
  await assertRejects(() => one!.ack(), AcknowledgeError, "the subscription to /queue/a has ended");
});

clientTest("`stomp.ack()` rejects a frame that no subscription received", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const sending = stomp.send("/q", "x");
  await confirm(peer, "SEND");
  const receipt = await sending;
  await assertRejects(() => stomp.ack(receipt!), AcknowledgeError, "was not received by a subscription");
});

clientTest("`for await` unsubscribes when the loop is left", async (harness) => {
  for (const leave of ["break", "throw"] as const) {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer);
    await peer.write(message("sub-1", "m1") + message("sub-1", "m2") + message("sub-1", "m3"));
    const said = confirm(peer, "UNSUBSCRIBE");
    const seen: string[] = [];
    const loop = async () => {
      for await (const one of subscription) {
        seen.push(one.id);
        if (seen.length < 2) continue;
        if (leave === "break") break;
        throw new Error("mine");
      }
    };
    if (leave === "break") await loop();
    else await assertRejects(loop, Error, "mine");
    await said;
    assertEquals([seen, await subscription.closed, subscription.queued], [["m1", "m2"], undefined, 0]);
    assertEquals(await subscription.next(), { done: true, value: undefined });
  }
});

clientTest("`unsubscribe()` ends the loop and pending calls before the broker answers", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer);
  const waiting = [subscription.next(), subscription.next()];
  const taking = subscription.take();
  const ending = subscription.unsubscribe();
  const again = subscription.unsubscribe();
  assertEquals(await Promise.all(waiting), [{ done: true, value: undefined }, { done: true, value: undefined }]);
  assertEquals(await taking, undefined); // though the broker has not answered yet
  await confirm(peer, "UNSUBSCRIBE");
  await Promise.all([ending, again, subscription[Symbol.asyncDispose]()]);
  await subscription.unsubscribe();
  assertEquals(await subscription.closed, undefined);
});

clientTest("`unsubscribe()` rejects with the broker's ERROR, and the subscription has ended", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer);
  const ending = subscription.unsubscribe();
  await peer.write(errorFor(await peer.frame("UNSUBSCRIBE"), "no"));
  await assertRejects(() => ending, BrokerErrorResponse, "no");
  assertEquals(await subscription.closed, undefined);
});

clientTest("`unsubscribe()` with invalid options rejects, and the subscription goes on", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const [one] = await deliver(peer, subscription, "m1");
  const aborted = { signal: AbortSignal.abort(new Error("no time")) };
  await assertRejects(() => subscription.unsubscribe(aborted), Error, "no time");
  await assertRejects(() => subscription.unsubscribe({ timeout: NaN }), RangeError);
  await assertRejects(() => subscription.unsubscribe({ headers: { "": "x" } }), TypeError);
  await assertRejects(() => subscription.unsubscribe({ deleteDurable: true }), TypeError, "it is not durable");
  await one!.ack();
  await peer.frame("ACK");
  await deliver(peer, subscription, "m2");
  const ending = subscription.unsubscribe({ headers: { "x-a": "1" } });
  assertEquals((await confirm(peer, "UNSUBSCRIBE")).get("x-a"), "1");
  await ending;
});

clientTest("`poll()` does not wait; `take()` waits until its timeout or signal", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer);
  assertEquals(await subscription.poll(), undefined);
  await assertRejects(() => subscription.take({ timeout: 10 }), TimeoutError, "a message from /queue/a");
  await assertRejects(() => subscription.take({ timeout: NaN }), RangeError);
  const abort = new AbortController();
  const taking = subscription.take({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await assertRejects(() => taking, Error, "enough");
  await deliver(peer, subscription, "m1"); // the calls that gave up took nothing
});

clientTest("`readable` yields the messages, and unsubscribes when it is cancelled", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer);
  const { readable } = subscription;
  assert(readable === subscription.readable);
  await peer.write(message("sub-1", "m1") + message("sub-1", "m2"));
  const reader = subscription.readable.getReader();
  assertEquals((await reader.read()).value?.id, "m1");
  const said = confirm(peer, "UNSUBSCRIBE");
  await reader.cancel();
  await said;
  assertEquals(await subscription.closed, undefined);

  const other = await subscribed(stomp, peer, "/queue/b");
  const waiting = other.readable.getReader().read();
  const ending = other.unsubscribe();
  await confirm(peer, "UNSUBSCRIBE");
  await ending;
  const { done, value } = await waiting;
  assertEquals([done, value], [true, undefined]);
});

clientTest("`next()` calls at the same time resolve in order", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const sub = await subscribed(stomp, peer);
  const order: string[] = [];
  const ask = () => sub.next().then(({ value }) => order.push(value!.text()));
  const a = ask();
  const b = ask();
  await peer.write(message(sub.id, "1"));
  await a;
  const c = ask();
  await peer.write(message(sub.id, "2") + message(sub.id, "3"));
  await Promise.all([b, c]);
  assertEquals(order, ["1", "2", "3"]);
});

clientTest("`subscribe()` sends UNSUBSCRIBE when it times out", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await assertRejects(() => stomp.subscribe("/queue/a", { timeout: 20 }), TimeoutError);
  const [said, undone] = await peer.frames(2);
  assertEquals([said!.command, undone!.command, undone!.get("id")], ["SUBSCRIBE", "UNSUBSCRIBE", said!.get("id")]);
});

clientTest("`take()` and `receiveFrame()` time out by the client's clock", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ clock, heartbeat: false });
  const subscription = await subscribed(stomp, peer, "/queue/a");
  for (
    const take of [() => subscription.take({ timeout: 60_000 }), () => stomp.receiveFrame(null, { timeout: 60_000 })]
  ) {
    const taken = take();
    clock.pass(60_000);
    await assertRejects(() => taken, TimeoutError, "Timed out after 60000 ms waiting for a message");
  }
});
