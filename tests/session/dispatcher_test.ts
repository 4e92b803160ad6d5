/** Routing messages to subscriptions, by ids of any look. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { SubscriptionError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { Dispatcher, type MessageSink } from "../../session/dispatcher.ts";
import { clientTest, collectingSink, frame, openSession } from "../support/client_harness.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

const IDS = [
  "sub-1",
  "sub-10",
  "sub-01",
  "sub-0",
  "sub-",
  "sub-1x",
  "sub-65535",
  "sub-65536",
  "sub-99999999999999999999",
]
  .concat(["1", "", "sub", "SUB-1", "sub-1 ", "sub--1", "sub-1.0", "sub-é"]);

function sinkFor(id: string, taken: string[]): MessageSink {
  return { id, destination: `/queue/${id}`, deliver: () => void taken.push(id) };
}

function messageWith(headers: Record<string, string>): Frame {
  return new Frame().buildFrame({ command: "MESSAGE", headers });
}

test("`Dispatcher.deliver()` finds the sink by its id, whatever the id looks like", () => {
  const taken: string[] = [];
  const targets = new Dispatcher();
  for (const id of IDS) targets.add(sinkFor(id, taken));
  for (const id of [...IDS, ...IDS.toReversed(), "sub-2", "nobody", ...IDS]) {
    targets.deliver(messageWith({ subscription: id }));
  }
  assertEquals(taken, [...IDS, ...IDS.toReversed(), ...IDS]);
  for (const id of IDS) assertEquals(targets.get(id)?.id, id);
});

test("`Dispatcher.add()` refuses an id in use, and accepts it after `remove()`", () => {
  for (const id of IDS) {
    const taken: string[] = [];
    const targets = new Dispatcher();
    const first = sinkFor(id, taken);
    targets.add(first);
    assertThrows(() => targets.add(sinkFor(id, taken)), SubscriptionError);
    targets.remove(sinkFor(id, taken)); // another one: nothing happens
    assertEquals(targets.get(id), first);
    targets.remove(first);
    targets.deliver(messageWith({ subscription: id }));
    assertEquals([targets.get(id), taken], [undefined, []]);
    targets.add(sinkFor(id, taken));
    targets.clear();
    targets.deliver(messageWith({ subscription: id }));
    assertEquals([targets.get(id), taken], [undefined, []]);
  }
});

test("`Dispatcher.deliver()` finds the sink by destination when there is no subscription header", () => {
  const taken: string[] = [];
  const targets = new Dispatcher();
  for (const id of IDS) targets.add(sinkFor(id, taken));
  targets.deliver(messageWith({ destination: "/queue/sub-10" }));
  assertEquals(taken, ["sub-10"]);
});

const begin = (id: string) => frame("BEGIN", { transaction: id });

clientTest(
  "C12-55 C12-65 `Session` delivers messages by subscription, and drops those without a sink",
  async (harness) => {
    const { session, peer } = await openSession(harness);
    const [a, b] = [collectingSink("a"), collectingSink("b")];
    const subscribing = [a, b].map((one) =>
      session.subscriptions.subscribe(one, frame("SUBSCRIBE", { id: one.id, destination: "/queue/a" }))
    );
    await peer.write(message("b", "early"));
    await confirm(peer);
    await confirm(peer);
    await Promise.all(subscribing);
    const gone = session.subscriptions.unsubscribe(b, frame("UNSUBSCRIBE", { id: "b" }));
    const asked = await peer.frame("UNSUBSCRIBE");
    await peer.write(message("b", "under way") + receiptFor(asked));
    await gone;
    await peer.write(message("b", "late") + message("a", "1"));
    const sync = session.request(begin("t"));
    await confirm(peer);
    await sync;
    assertEquals([a.got, b.got], [["1"], ["early", "under way"]]);
  },
);

clientTest("C10-56 `Session` delivers a message without subscription by destination", async (harness) => {
  const { session, peer } = await openSession(harness, {}, "1.0");
  const [a, b] = [collectingSink("a", "/queue/a"), collectingSink("b", "/queue/b")];
  for (const one of [a, b]) {
    const made = session.subscriptions.subscribe(one, frame("SUBSCRIBE", { id: one.id, destination: one.destination }));
    await confirm(peer);
    await made;
  }
  await peer.write(
    "MESSAGE\ndestination:/queue/b\nmessage-id:1\n\nhi\0MESSAGE\ndestination:/queue/c\nmessage-id:2\n\nno\0",
  );
  const sync = session.request(begin("t"));
  await confirm(peer);
  await sync;
  assertEquals([a.got, b.got], [[], ["hi"]]);
});
