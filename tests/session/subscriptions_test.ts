/** Messages that were delivered and not taken, or not acknowledged, go to others while the client stays connected. */
import { assertEquals, assertRejects } from "#assert";
import {
  type ClientHarness,
  clientTest,
  collectingSink,
  flushMicrotasks,
  frame,
  openSession,
  subscribed,
} from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, message } from "../support/raw_server.ts";
import { SubscriptionError } from "../../base/errors.ts";
import type { AckMode } from "../../codec/protocol.ts";

const RABBITMQ = "server:RabbitMQ/4.3.6\n";
const PARKED = "/amq/queue/amq.rabbitmq.reply-to";

/** A subscription that has taken "m1", acknowledged it, and taken "m2"; "m3" waits in its queue. */
async function consumer(harness: ClientHarness, ack: AckMode = "client-individual", version = "1.2") {
  const { stomp, peer } = await harness.pair({}, version, RABBITMQ);
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
  await peer.write(["m1", "m2", "m3"].map((id) => message(subscription.id, id)).join(""));
  await (await subscription.take())!.ack();
  await subscription.take();
  await peer.frame("ACK");
  return { stomp, peer, subscription };
}

/** Answers as RabbitMQ does; "m4" is under way when the subscription is moved, "m5" when it ends. */
async function giveBack(peer: RawPeer, id: string, late: boolean): Promise<string[]> {
  const refused: string[] = [];
  const refuse = async () => {
    const frame = await peer.frame();
    if (frame.command === "NACK") refused.push(frame.get("id") ?? frame.get("message-id")!);
    return frame;
  };
  assertEquals((await confirm(peer, "UNSUBSCRIBE")).get("id"), id);
  const moved = await peer.frame("SUBSCRIBE");
  assertEquals([moved.get("id"), moved.get("destination"), moved.get("ack")], [id, PARKED, "auto"]);
  if (late) await peer.write(message(id, "m4"));
  await peer.write(`RECEIPT\nreceipt-id:${moved.get("receipt")}\n\n\0`);
  for (let rounds = late ? 2 : 1; rounds > 0; rounds--) {
    let frame = await refuse();
    while (frame.command === "NACK") frame = await refuse();
    assertEquals([frame.command, frame.get("id")], ["UNSUBSCRIBE", id]);
    if (late && rounds === 2) await peer.write(message(id, "m5"));
    await peer.write(`RECEIPT\nreceipt-id:${frame.get("receipt")}\n\n\0`);
    if (rounds > 1) assertEquals((await confirm(peer, "SUBSCRIBE")).get("destination"), PARKED);
  }
  return refused;
}

for (const late of [false, true]) {
  clientTest(
    `\`unsubscribe()\` on RabbitMQ requeues what is not acknowledged${late ? ", late messages as well" : ""}`,
    async (harness) => {
      const { peer, subscription } = await consumer(harness);
      const ending = subscription.unsubscribe();
      const refused = await giveBack(peer, subscription.id, late);
      await ending;
      assertEquals(refused, late ? ["m2", "m3", "m4", "m5"] : ["m2", "m3"]);
    },
  );
}

clientTest(
  "`unsubscribe()` on RabbitMQ requeues what is not acknowledged in mode client, and in 1.0",
  async (harness) => {
    const client = await consumer(harness, "client");
    const ending = client.subscription.unsubscribe();
    assertEquals(await giveBack(client.peer, client.subscription.id, false), ["m2", "m3"]);
    await ending;
    const old = await consumer(harness, "client", "1.0");
    const oldEnding = old.subscription.unsubscribe();
    assertEquals(await giveBack(old.peer, old.subscription.id, false), ["m2", "m3"]);
    await oldEnding;
  },
);

clientTest("`drain()` on RabbitMQ requeues queued messages, and waits for those in work", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  await peer.write(message(subscription.id, "m1") + message(subscription.id, "m2"));
  const taken = (await subscription.take())!;
  const draining = subscription.drain();
  await flushMicrotasks();
  await taken.ack();
  await peer.frame("ACK");
  assertEquals(await giveBack(peer, subscription.id, false), ["m2"]);
  await draining;
});

clientTest("`unsubscribe()` on RabbitMQ requeues one subscription after the other", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
  const one = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  const two = await subscribed(stomp, peer, "/queue/b", { ack: "client-individual" });
  await peer.write(message(one.id, "m1") + message(two.id, "m2"));
  const ending = Promise.all([one.unsubscribe(), two.unsubscribe()]);
  assertEquals(await giveBack(peer, one.id, false), ["m1"]);
  assertEquals(await giveBack(peer, two.id, false), ["m2"]);
  await ending;
});

clientTest("`unsubscribe()` is one frame in mode auto, and on other brokers", async (harness) => {
  for (const [ack, server] of [["auto", RABBITMQ], ["client-individual", "server:ActiveMQ/5.17.2\n"]] as const) {
    const { stomp, peer } = await harness.pair({}, "1.2", server);
    const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
    await peer.write(message(subscription.id, "m1"));
    await Promise.all([subscription.unsubscribe(), confirm(peer, "UNSUBSCRIBE")]);
    const sending = stomp.send("/queue/a", "next");
    await confirm(peer, "SEND");
    await sending;
  }
});

clientTest("`unsubscribe()` on RabbitMQ ends when the connection breaks meanwhile", async (harness) => {
  const { peer, subscription } = await consumer(harness);
  const ending = subscription.unsubscribe();
  await confirm(peer, "UNSUBSCRIBE");
  await peer.close();
  await ending;
});

const begin = (id: string) => frame("BEGIN", { transaction: id });

clientTest("C12-34 `subscribe()` refuses an id in use, and the first subscription goes on", async (harness) => {
  const { session, peer } = await openSession(harness);
  const [first, second] = [collectingSink("0"), collectingSink("0")];
  const made = session.subscriptions.subscribe(first, frame("SUBSCRIBE", { id: "0", destination: "/queue/a" }));
  await confirm(peer);
  await made;
  const again = frame("SUBSCRIBE", { id: "0", destination: "/queue/a" });
  await assertRejects(() => session.subscriptions.subscribe(second, again), SubscriptionError, "the id 0 is in use");
  await assertRejects(() => session.writeFrame(again), SubscriptionError, "the id 0 is in use");
  await peer.write(message("0", "1"));
  const sync = session.request(begin("t"));
  assertEquals((await confirm(peer)).command, "BEGIN"); // and nothing of it was sent
  await sync;
  assertEquals([first.got, second.got], [["1"], []]);
});

clientTest("`subscribe()` sends UNSUBSCRIBE when the wait is aborted", async (harness) => {
  for (const version of ["1.2", "1.0"]) {
    const { session, peer } = await openSession(harness, {}, version);
    const abort = new AbortController();
    const one = collectingSink("0");
    const subscribing = session.subscriptions.subscribe(one, frame("SUBSCRIBE", { id: "0", destination: "/queue/a" }), {
      signal: abort.signal,
    });
    await peer.frame("SUBSCRIBE");
    abort.abort(new Error("enough"));
    await assertRejects(() => subscribing, Error, "enough");
    const undo = await confirm(peer, "UNSUBSCRIBE");
    const named = version === "1.0" ? ["id:0", "destination:/queue/a"] : ["id:0"];
    assertEquals(undo.lines, [...named, "receipt:2"]);
  }
});

clientTest(
  "`unsubscribe()` on RabbitMQ acknowledges messages of a stream, whose NACK would break 3.10",
  async (harness) => {
    for (const ack of ["client", "client-individual"] as const) {
      const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
      const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
      await peer.write(["m1", "m2"].map((id, i) => message(subscription.id, id, `x-stream-offset:${i}\n`)).join(""));
      await subscription.take();
      const ending = subscription.unsubscribe();
      await confirm(peer, "UNSUBSCRIBE");
      await confirm(peer, "SUBSCRIBE");
      assertEquals((await peer.frames(2, "ACK")).map(({ get }) => get("id")), ["m1", "m2"]);
      await confirm(peer, "UNSUBSCRIBE");
      await ending;
    }
  },
);
