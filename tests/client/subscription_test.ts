/** What a consumer holds: iteration, acknowledgement, back-pressure, and the ways it ends. */
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
import { clientTest, settle, subscribed, Watcher } from "../support/client_harness.ts";
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

clientTest("C12-32 C12-33 SUBSCRIBE has id, destination and ack; the promise waits for the receipt", async (rig) => {
  const { stomp, peer } = await rig.pair();
  let done = false;
  const subscribing = stomp.subscribe("//a b/../c", { ...INDIVIDUAL, headers: { "x-a": "1" } }).then((one) => {
    done = true;
    return one;
  });
  const said = await peer.frame("SUBSCRIBE");
  assertEquals(said.lines.slice(0, -1), ["id:sub-1", "destination://a b/../c", "ack:client-individual", "x-a:1"]);
  await settle();
  assertEquals(done, false);
  await peer.write(receiptFor(said));
  const subscription = await subscribing;
  assertEquals(
    [subscription.id, subscription.destination, subscription.ackMode],
    ["sub-1", "//a b/../c", "client-individual"],
  );
});

clientTest("C12-57 a message has all its headers, its body, and what it came by", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("C12-34 an id in use is refused, and is free again after the end", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("a refusal rejects, and leaves no subscription behind", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const subscribing = stomp.subscribe("/queue/a", { id: "x" });
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), "no such queue"));
  await assertRejects(() => subscribing, BrokerErrorResponse, "no such queue");
  await subscribed(stomp, peer, "/queue/b", { id: "x" });
});

clientTest("a refusal with the end of the connection behind it rejects, and is not tried again", async (rig) => {
  const { stomp, peer, server } = await rig.pair({ reconnect: { delay: 0 } });
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

clientTest("options that make no sense are refused before anything is sent", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("C12-35 1.0 has no client-individual", async (rig) => {
  const { stomp } = await rig.pair({}, "1.0");
  await assertRejects(() => stomp.subscribe("/queue/a", INDIVIDUAL), SubscriptionError, "1.0");
});

clientTest("C12-38 C12-40 acknowledging one by one", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("C12-36 acknowledging all up to one", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", CUMULATIVE);
  const [one, two, three, four] = await deliver(peer, subscription, "m1", "m2", "m3", "m4");
  await three!.ack();
  await assertRejects(() => two!.ack(), AcknowledgeError, "a later message was acknowledged");
  await assertRejects(() => one!.nack(), AcknowledgeError, "a later message was acknowledged");
  await four!.nack();
  assertEquals((await peer.frame("ACK")).lines, ["id:m3"]);
  assertEquals((await peer.frame("NACK")).lines, ["id:m4"]);
});

clientTest("a message is acknowledged once, and in mode auto not at all", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("a message whose subscription has ended cannot be acknowledged", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const [one] = await deliver(peer, subscription, "m1");
  const ending = subscription.unsubscribe();
  await confirm(peer, "UNSUBSCRIBE");
  await ending;
  await assertRejects(() => one!.ack(), AcknowledgeError, "the subscription to /queue/a has ended");
});

clientTest("a frame that no subscription has received cannot be acknowledged", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const sending = stomp.send("/q", "x");
  await confirm(peer, "SEND");
  const receipt = await sending;
  await assertRejects(() => stomp.ack(receipt!), AcknowledgeError, "was not received by a subscription");
});

clientTest("leaving the loop unsubscribes", async (rig) => {
  for (const leave of ["break", "throw"] as const) {
    const { stomp, peer } = await rig.pair();
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

clientTest("the end of a subscription ends its loop at once, and calls that wait", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("an UNSUBSCRIBE that is refused rejects, and the subscription is over", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const subscription = await subscribed(stomp, peer);
  const ending = subscription.unsubscribe();
  await peer.write(errorFor(await peer.frame("UNSUBSCRIBE"), "no"));
  await assertRejects(() => ending, BrokerErrorResponse, "no");
  assertEquals(await subscription.closed, undefined);
});

clientTest("an unsubscribe that cannot begin leaves everything as it was", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("take: not waiting, waiting so long, waiting until a signal", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const subscription = await subscribed(stomp, peer);
  assertEquals(await subscription.take({ nb: true }), undefined);
  await assertRejects(() => subscription.take({ timeout: 10 }), TimeoutError, "a message from /queue/a");
  await assertRejects(() => subscription.take({ timeout: NaN }), RangeError);
  const abort = new AbortController();
  const taking = subscription.take({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await assertRejects(() => taking, Error, "enough");
  await deliver(peer, subscription, "m1"); // nobody has taken it in the place of those who gave up
});

clientTest("readable gives the messages, and cancelling it unsubscribes", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("those who call next at the same time go on in order", async (rig) => {
  const { stomp, peer } = await rig.pair();
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

clientTest("a `subscribe()` whose time is over takes its SUBSCRIBE back", async (rig) => {
  const { stomp, peer } = await rig.pair();
  await assertRejects(() => stomp.subscribe("/queue/a", { timeout: 20 }), TimeoutError);
  const [said, undone] = await peer.frames(2);
  assertEquals([said!.command, undone!.command, undone!.get("id")], ["SUBSCRIBE", "UNSUBSCRIBE", said!.get("id")]);
});
