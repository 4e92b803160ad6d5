/** Where the messages of a connection go, by ids of any look. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { SubscriptionError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { Dispatcher, type MessageSink } from "../../session/dispatcher.ts";

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

function target(id: string, taken: string[]): MessageSink {
  return { id, destination: `/queue/${id}`, deliver: () => void taken.push(id) };
}

function message(headers: Record<string, string>): Frame {
  return new Frame().buildFrame({ command: "MESSAGE", headers });
}

test("each message goes to the target of its id, whatever that looks like", () => {
  const taken: string[] = [];
  const targets = new Dispatcher();
  for (const id of IDS) targets.add(target(id, taken));
  for (const id of [...IDS, ...IDS.toReversed(), "sub-2", "nobody", ...IDS]) {
    targets.deliver(message({ subscription: id }));
  }
  assertEquals(taken, [...IDS, ...IDS.toReversed(), ...IDS]);
  for (const id of IDS) assertEquals(targets.get(id)?.id, id);
});

test("an id is taken once, and free again when its target is removed", () => {
  for (const id of IDS) {
    const taken: string[] = [];
    const targets = new Dispatcher();
    const first = target(id, taken);
    targets.add(first);
    assertThrows(() => targets.add(target(id, taken)), SubscriptionError);
    targets.remove(target(id, taken)); // another one: nothing happens
    assertEquals(targets.get(id), first);
    targets.remove(first);
    targets.deliver(message({ subscription: id }));
    assertEquals([targets.get(id), taken], [undefined, []]);
    targets.add(target(id, taken));
    targets.clear();
    targets.deliver(message({ subscription: id }));
    assertEquals([targets.get(id), taken], [undefined, []]);
  }
});

test("a message without a subscription goes to the target of its destination", () => {
  const taken: string[] = [];
  const targets = new Dispatcher();
  for (const id of IDS) targets.add(target(id, taken));
  targets.deliver(message({ destination: "/queue/sub-10" }));
  assertEquals(taken, ["sub-10"]);
});
