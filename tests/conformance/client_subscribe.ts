/** Part C, subscriptions: SUBSCRIBE, MESSAGE, ACK, NACK and UNSUBSCRIBE. */
import { assert, assertEquals, assertRejects } from "#assert";
import { AcknowledgeError, SubscriptionError } from "../../base/errors.ts";
import type { Message } from "../../client/message.ts";
import type { Stomp } from "../../api/stomp.ts";
import type { AckMode } from "../../codec/protocol.ts";
import type { Subscription } from "../../client/subscription.ts";
import { type ClientHarness, subscribed } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm } from "../support/raw_server.ts";
import { ALL, clientRow, ESCAPING } from "./harness.ts";

/** Returns a MESSAGE for a subscription; its body is its id. */
function messageFor(id: string, subscription = "0", lines = ""): string {
  const named = `subscription:${subscription}\nmessage-id:${id}\nack:A${id}\n`;
  return `MESSAGE\n${named}destination:/queue/a\n${lines}\n${id}\0`;
}

/** Subscribes a client as `0`, and takes a message for each id. */
async function takeMessages(
  harness: ClientHarness,
  version: string,
  ack: AckMode,
  ids: readonly string[],
): Promise<{ stomp: Stomp; peer: RawPeer; subscription: Subscription; messages: Message[] }> {
  const { stomp, peer } = await harness.pair({}, version);
  const subscription = await subscribed(stomp, peer, "/queue/a", { id: "0", ack });
  await peer.write(ids.map((id) => messageFor(id)).join(""));
  const messages: Message[] = [];
  for (const _ of ids) messages.push((await subscription.take())!);
  return { stomp, peer, subscription, messages };
}

/** Has the client send a SEND now, and fails unless that is the next frame. */
async function assertNothingSent(stomp: Stomp, peer: RawPeer): Promise<void> {
  await Promise.all([stomp.send("/queue/sync", ""), confirm(peer, "SEND")]);
}

clientRow("C12-32", "SUBSCRIBE has destination, or is not sent", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    await assertRejects(() => stomp.subscribe(""), TypeError, "destination");
    const [frame] = await Promise.all([confirm(peer, "SUBSCRIBE"), stomp.subscribe("//q ")]);
    assertEquals(frame.get("destination"), "//q ");
  }
});

clientRow("C12-33", "SUBSCRIBE has id, given or not, in 1.0 as well", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    const ids: (string | undefined)[] = [];
    for (const options of [{}, {}, { id: "mine" }]) {
      const [{ get }] = await Promise.all([confirm(peer, "SUBSCRIBE"), stomp.subscribe("/queue/a", options)]);
      ids.push(get("id"));
    }
    assertEquals([new Set(ids).size, ids.includes(undefined), ids[2]], [3, false, "mine"]);
  }
});

clientRow("C12-34", "an id that is open is not used again", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const first = await subscribed(stomp, peer, "/queue/a", { id: "0" });
  await assertRejects(() => stomp.subscribe("/queue/b", { id: "0" }), SubscriptionError);
  await assertNothingSent(stomp, peer);
  await Promise.all([first.unsubscribe(), confirm(peer, "UNSUBSCRIBE")]);
  await subscribed(stomp, peer, "/queue/b", { id: "0" });
});

clientRow("C12-35", "ack is one of three modes, and auto by default", async (harness) => {
  for (const version of ESCAPING) {
    const { stomp, peer } = await harness.pair({}, version);
    for (const ack of [undefined, "auto", "client", "client-individual"] as const) {
      const [{ get }] = await Promise.all([confirm(peer, "SUBSCRIBE"), stomp.subscribe("/queue/a", { ack })]);
      assertEquals(get("ack") ?? "auto", ack ?? "auto");
    }
    await assertRejects(() => stomp.subscribe("/queue/a", { ack: "Client" as "client" }), TypeError);
    await assertNothingSent(stomp, peer);
  }
  const { stomp, peer } = await harness.pair({}, "1.0");
  await assertRejects(() => stomp.subscribe("/queue/a", { ack: "client-individual" }), SubscriptionError, "1.0");
  await assertNothingSent(stomp, peer);
});

clientRow("C12-36", "client: one ACK covers the earlier messages", async (harness) => {
  const { stomp, peer, messages } = await takeMessages(harness, "1.2", "client", ["1", "2", "3"]);
  await messages[2]!.ack();
  assertEquals((await peer.frame("ACK")).lines, ["id:A3"]);
  for (const message of messages) await assertRejects(() => message.ack(), AcknowledgeError);
  await assertNothingSent(stomp, peer);
});

clientRow("C12-37", "a message whose handler fails is refused with NACK", async (harness) => {
  for (const [version, lines] of [["1.2", "id:A1"], ["1.1", "subscription:0 message-id:1"]] as const) {
    const { stomp, peer } = await harness.pair({}, version);
    const handler = (message: Message) => {
      if (message.id === "1") throw new Error("no");
    };
    const consuming = stomp.consume("/queue/a", handler, { id: "0" });
    consuming.catch(() => {}); // it ends with the client
    await confirm(peer, "SUBSCRIBE");
    await peer.write(messageFor("1") + messageFor("2"));
    assertEquals((await peer.frame("NACK")).lines.join(" "), lines);
    await peer.frame("ACK");
  }
});

clientRow("C12-38", "client-individual: ACK and NACK apply to one message", async (harness) => {
  const { stomp, peer, messages } = await takeMessages(harness, "1.2", "client-individual", ["1", "2", "3"]);
  await messages[1]!.ack();
  await messages[2]!.nack();
  await messages[0]!.ack();
  const said = await peer.frames(3);
  assertEquals(said.map(({ command, lines }) => [command, ...lines]), [
    ["ACK", "id:A2"],
    ["NACK", "id:A3"],
    ["ACK", "id:A1"],
  ]);
  for (const message of messages) await assertRejects(() => message.ack(), AcknowledgeError);
  await assertNothingSent(stomp, peer);
});

clientRow("C12-39", "auto: no ACK is sent, or can be sent", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer, messages } = await takeMessages(harness, version, "auto", ["1", "2"]);
    await assertRejects(() => messages[0]!.ack(), AcknowledgeError);
    await assertRejects(() => messages[1]!.nack(), AcknowledgeError);
    await assertNothingSent(stomp, peer);
  }
});

clientRow("C12-40", "1.2: id is the ack of the MESSAGE", async (harness) => {
  const { peer, messages } = await takeMessages(harness, "1.2", "client-individual", ["7", "8"]);
  await messages[0]!.ack();
  assertEquals((await peer.frame("ACK")).lines, ["id:A7"]);
  await messages[1]!.nack();
  assertEquals((await peer.frame("NACK")).lines, ["id:A8"]);
});

clientRow("C11-41", "1.1: ACK and NACK have subscription and message-id", async (harness) => {
  const { peer, messages } = await takeMessages(harness, "1.1", "client-individual", ["7", "8"]);
  await messages[0]!.ack();
  assertEquals((await peer.frame("ACK")).lines, ["subscription:0", "message-id:7"]);
  await messages[1]!.nack();
  assertEquals((await peer.frame("NACK")).lines, ["subscription:0", "message-id:8"]);
});

clientRow("C10-42", "1.0: ACK has message-id, and there is no NACK", async (harness) => {
  const { stomp, peer, messages } = await takeMessages(harness, "1.0", "client", ["7", "8"]);
  await messages[0]!.ack();
  const { lines, get } = await peer.frame("ACK");
  assertEquals([get("message-id"), get("id")], ["7", undefined]);
  assert(lines.every((line) => /^(message-id|subscription):/.test(line)), String(lines));
  await assertRejects(() => messages[1]!.nack(), AcknowledgeError, "1.0");
  await assertNothingSent(stomp, peer);
});

clientRow("C12-43", "ACK and NACK may be part of a transaction", async (harness) => {
  for (const version of ALL) {
    const mode = version === "1.0" ? "client" : "client-individual";
    const { stomp, peer, messages } = await takeMessages(harness, version, mode, ["1", "2"]);
    const [tx] = await Promise.all([stomp.begin({ transaction: "t1" }), confirm(peer, "BEGIN")]);
    await tx.ack(messages[0]!);
    assertEquals((await peer.frame("ACK")).get("transaction"), "t1");
    if (version !== "1.0") {
      await tx.nack(messages[1]!);
      assertEquals((await peer.frame("NACK")).get("transaction"), "t1");
    }
    await Promise.all([tx.commit(), confirm(peer, "COMMIT")]);
  }
});

clientRow("C12-44", "the ids in an ACK are returned byte for byte", async (harness) => {
  const names = ["T_1@@s\\c1@@3", "\\\\n\\n\\c\\\\", " \u20ac ", "\ufeff"];
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    const subscription = await subscribed(stomp, peer, "/queue/a", { id: "s:\\0", ack: "client" });
    const id = version === "1.0" ? "s:\\0" : "s\\c\\\\0";
    for (const name of version === "1.0" ? names.map((name) => name.trimStart()) : names) {
      await peer.write(`MESSAGE\nsubscription:${id}\nmessage-id:${name}\nack:${name}\ndestination:/queue/a\n\n\0`);
      await (await subscription.take())!.ack();
      const { get } = await peer.frame("ACK");
      if (version === "1.2") assertEquals(get("id"), name);
      else assertEquals([get("message-id"), get("subscription")], [name, id]);
    }
  }
});

clientRow("C12-45", "UNSUBSCRIBE has the id of an open subscription", async (harness) => {
  for (const version of ESCAPING) {
    const { stomp, peer } = await harness.pair({}, version);
    const subscription = await subscribed(stomp, peer, "/queue/a", { id: "0" });
    const [{ get }] = await Promise.all([confirm(peer, "UNSUBSCRIBE"), subscription.unsubscribe()]);
    assertEquals(get("id"), "0");
    await subscription.unsubscribe();
    await assertRejects(() => stomp.unsubscribe({ id: "0" }), SubscriptionError);
    await assertNothingSent(stomp, peer);
  }
});

clientRow("C10-46", "1.0: UNSUBSCRIBE has destination and id", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.0");
  const subscription = await subscribed(stomp, peer, "/queue/a", { id: "0" });
  const [{ get }] = await Promise.all([confirm(peer, "UNSUBSCRIBE"), subscription.unsubscribe()]);
  assertEquals([get("destination"), get("id")], ["/queue/a", "0"]);
});

clientRow("C12-55", "messages are delivered by subscription, even if the destination is the same", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    const zero = await subscribed(stomp, peer, "/queue/a", { id: "0" });
    const one = await subscribed(stomp, peer, "/queue/a", { id: "1" });
    await peer.write(messageFor("x", "1") + messageFor("y", "0") + messageFor("z", "1"));
    assertEquals([(await one.take())!.id, (await one.take())!.id, (await zero.take())!.id], ["x", "z", "y"]);
    await assertNothingSent(stomp, peer);
    assertEquals([zero.received, one.received], [1, 2]);
  }
});

clientRow("C10-56", "1.0: messages without subscription are delivered by destination", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.0");
  const a = await subscribed(stomp, peer, "/queue/a");
  const b = await subscribed(stomp, peer, "/queue/b");
  for (const name of ["b", "c", "a"]) {
    await peer.write(`MESSAGE\ndestination:/queue/${name}\nmessage-id:1\n\n${name}\0`);
  }
  assertEquals([(await a.take())!.text(), (await b.take())!.text()], ["a", "b"]);
  assertEquals([a.received, b.received], [1, 1]);
});

clientRow("C12-57", "all headers reach the application", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    const subscription = await subscribed(stomp, peer, "/queue/a", { id: "0" });
    await peer.write(messageFor("1", "0", "x-any:1\nredelivered:true\n__proto__:2\ntoString:3\n"));
    const { headers } = (await subscription.take())!;
    assertEquals(Object.entries(headers), [
      ["subscription", "0"],
      ["message-id", "1"],
      ["ack", "A1"],
      ["destination", "/queue/a"],
      ["x-any", "1"],
      ["redelivered", "true"],
      ["__proto__", "2"],
      ["toString", "3"],
    ]);
  }
});

clientRow(
  "C12-64",
  "a message is delivered again on the next connection, and the old one cannot be acknowledged",
  async (harness) => {
    const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 1 } });
    const subscription = await subscribed(stomp, peer, "/queue/a", { id: "0", ack: "client-individual" });
    await peer.write(messageFor("1"));
    const lost = (await subscription.take())!;
    await peer.close();
    const again = await server.welcome();
    await confirm(again, "SUBSCRIBE");
    await again.write(messageFor("1b", "0", "redelivered:true\n"));
    const message = (await subscription.take())!;
    assertEquals([message.id, message.redelivered], ["1b", true]);
    assertEquals(await lost.ack(), false);
    await message.ack();
    assertEquals((await again.frame("ACK")).lines, ["id:A1b"]);
  },
);

clientRow("C12-65", "a message for a subscription that has ended is dropped", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    const other = await subscribed(stomp, peer, "/queue/b", { id: "1" });
    const subscription = await subscribed(stomp, peer, "/queue/a", { id: "0", ack: "client" });
    const ending = subscription.unsubscribe();
    await peer.write(messageFor("early"));
    await confirm(peer, "UNSUBSCRIBE");
    await ending;
    await peer.write(messageFor("late") + messageFor("nobody's", "9") + messageFor("mine", "1"));
    assertEquals((await other.take())!.id, "mine");
    assertEquals([await subscription.take(), stomp.connected], [undefined, true]);
    await assertNothingSent(stomp, peer);
  }
});
