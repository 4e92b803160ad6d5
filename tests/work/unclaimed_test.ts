/** Messages that no subscription asked for, and their handler. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import { AcknowledgeError, StaleMessageError } from "../../base/errors.ts";
import type { Message } from "../../client/message.ts";
import { clientTest, dropConnection, subscribed, Watcher } from "../support/client_harness.ts";
import { confirm, message } from "../support/raw_server.ts";

/** A handler whose messages can be awaited. */
function collector() {
  const messages: Message[] = [];
  const waiting: (() => void)[] = [];
  const onUnclaimedMessage = (message: Message) => {
    messages.push(message);
    waiting.shift()?.();
  };
  const next = async (): Promise<Message> => {
    if (messages.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    return messages.shift()!;
  };
  return { messages, onUnclaimedMessage, next };
}

/** A reply as RabbitMQ sends it. */
const REPLY = "MESSAGE\nsubscription:/temp-queue/replies\ndestination:/temp-queue/replies\nmessage-id:1\n\nthe reply\0";

clientTest("`onUnclaimedMessage` gets what no subscription asked for", async (harness) => {
  const { onUnclaimedMessage, next, messages } = collector();
  const { stomp, peer } = await harness.pair({ onUnclaimedMessage });
  const subscription = await subscribed(stomp, peer);
  await peer.write(REPLY + message(subscription.id, "m1") + message("the broker's", "m2"));
  const reply = await next();
  assertEquals([reply.text(), reply.subscription?.id], ["the reply", "/temp-queue/replies"]);
  assertEquals((await next()).id, "m2");
  assertEquals((await subscription.take())?.id, "m1");
  assertEquals(messages.length, 0);
});

clientTest("without a handler such messages are dropped, and others arrive", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer);
  await peer.write(REPLY + message(subscription.id, "m1"));
  assertEquals((await subscription.take())?.id, "m1");
});

clientTest("a message of a subscription that has just ended is not unclaimed", async (harness) => {
  const { onUnclaimedMessage, next, messages } = collector();
  const { stomp, peer } = await harness.pair({ onUnclaimedMessage });
  const subscription = await subscribed(stomp, peer);
  const ending = subscription.unsubscribe();
  await confirm(peer, "UNSUBSCRIBE");
  await ending;
  await peer.write(message(subscription.id, "late") + REPLY);
  assertEquals([(await next()).text(), messages.length], ["the reply", 0]);
});

clientTest("an unclaimed message can be acknowledged once, if it has an ack header", async (harness) => {
  const { onUnclaimedMessage, next } = collector();
  const { stomp, peer } = await harness.pair({ onUnclaimedMessage, reconnect: { delay: 0 } });
  await peer.write(message("x", "m1") + message("x", "m2") + message("x", "m3") + REPLY);
  const [one, two, three, reply] = [await next(), await next(), await next(), await next()];
  assertEquals(await one.ack(), true);
  assertEquals((await peer.frame("ACK")).get("id"), "m1");
  await assertRejects(() => one.nack(), AcknowledgeError, "it was sent ACK already");
  assertEquals(await two.nack({ headers: { requeue: "false" } }), true);
  assertEquals((await peer.frame("NACK")).get("requeue"), "false");
  await assertRejects(() => reply.ack(), AcknowledgeError, "no ack header");
  assertEquals([one.attempts, one.number, two.number], [1, 1, 2]);
  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  const acknowledged = three.ack({ transaction: tx });
  assertEquals((await peer.frame("ACK")).get("transaction"), tx.id);
  assertEquals(await acknowledged, true);
  const aborting = tx.abort();
  await confirm(peer, "ABORT");
  await aborting;
  await dropConnection(stomp, peer);
  assertEquals(await three.ack(), false); // aborted, so that it is not settled; and its connection is gone
});

clientTest("a message of an earlier connection is stale in a transaction", async (harness) => {
  const { onUnclaimedMessage, next } = collector();
  const { stomp, peer, server } = await harness.pair({ onUnclaimedMessage, reconnect: { delay: 0 } });
  await peer.write(message("x", "m1"));
  const one = await next();
  await dropConnection(stomp, peer);
  const again = await server.welcome();
  const [tx] = await Promise.all([stomp.begin(), confirm(again, "BEGIN")]);
  await assertRejects(() => one.ack({ transaction: tx }), StaleMessageError);
});

for (
  const [how, handler] of [
    ["throws", () => {
      throw new Error("no idea");
    }],
    ["rejects", () => Promise.reject(new Error("no idea"))],
  ] as const
) {
  clientTest(`a handler that ${how} becomes a status, and the connection goes on`, async (harness) => {
    const { stomp, peer } = await harness.pair({ onUnclaimedMessage: handler });
    const subscription = await subscribed(stomp, peer);
    const watcher = new Watcher(stomp);
    await peer.write(REPLY + message(subscription.id, "m1"));
    const { error } = await watcher.until("error");
    assert(error.message.includes("onUnclaimedMessage() failed: no idea"), error.message);
    assertInstanceOf(error.cause, Error);
    assertStrictEquals((await subscription.take())?.id, "m1");
  });
}

clientTest("a handler that is not a function is refused", async (harness) => {
  await assertRejects(
    async () => await harness.connect("stomp://localhost:1", { onUnclaimedMessage: "no" as unknown as () => void }),
    TypeError,
    "onUnclaimedMessage",
  );
});
