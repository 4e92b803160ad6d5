/** `browse: true`, and ActiveMQ's frame after the last message. */
import { assertEquals, assertRejects } from "#assert";
import { SubscriptionError, UnsupportedByBrokerError } from "../../base/errors.ts";
import type { SubscribeOptions } from "../../client/options.ts";
import { clientTest, dropConnection, subscribed } from "../support/client_harness.ts";
import { confirm, message } from "../support/raw_server.ts";

const ACTIVEMQ = "server:ActiveMQ/6.1.0\n";

function endOf(subscription: string): string {
  return `MESSAGE\nbrowser:end\ndestination:/queue/a\nmessage-id:0\nsubscription:${subscription}\n\n\0`;
}

for (
  const [name, options] of [
    ["the option `browse`", { browse: true }],
    ["the header `browser`", { headers: { browser: "true" } }],
  ] as [string, SubscribeOptions][]
) {
  clientTest(`with ${name} the loop ends after the last message, and unsubscribes`, async (harness) => {
    const { stomp, peer } = await harness.pair({}, "1.2", ACTIVEMQ);
    const subscribing = stomp.subscribe("/queue/a", options);
    const said = await confirm(peer, "SUBSCRIBE");
    assertEquals([said.get("browser"), said.get("ack")], ["true", "auto"]);
    const subscription = await subscribing;
    await peer.write(message(subscription.id, "m1") + message(subscription.id, "m2") + endOf(subscription.id));
    const seen: string[] = [];
    for await (const { id } of subscription) seen.push(id);
    assertEquals(seen, ["m1", "m2"]);
    assertEquals((await confirm(peer, "UNSUBSCRIBE")).get("id"), subscription.id);
    assertEquals([await subscription.closed, await subscription.take()], [undefined, undefined]);
  });
}

clientTest("an empty queue ends the loop at once, and a loop that waits as well", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", ACTIVEMQ);
  const subscription = await subscribed(stomp, peer, "/queue/a", { browse: true });
  const next = subscription.next();
  await peer.write(endOf(subscription.id));
  assertEquals((await next).done, true);
  await confirm(peer, "UNSUBSCRIBE");
  assertEquals(await subscription.closed, undefined);
});

clientTest(
  "a connection that is lost midway ends the loop with an error; before the first message it begins again",
  async (harness) => {
    const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } }, "1.2", ACTIVEMQ);
    const subscription = await subscribed(stomp, peer, "/queue/a", { browse: true });
    await dropConnection(stomp, peer);
    const again = await server.welcome("1.2", ACTIVEMQ);
    await confirm(again, "SUBSCRIBE");
    await again.write(message(subscription.id, "m1"));
    assertEquals((await subscription.take())?.id, "m1");
    const waiting = subscription.take();
    waiting.catch(() => {});
    await dropConnection(stomp, again);
    await assertRejects(() => waiting, SubscriptionError, "browse again");
  },
);

clientTest("`browse` is refused where it cannot work", async (harness) => {
  const { stomp } = await harness.pair({}, "1.2", "server:RabbitMQ/4.3.6\n");
  await assertRejects(() => stomp.subscribe("/queue/a", { browse: true }), UnsupportedByBrokerError, "stream()");
  await assertRejects(() => stomp.subscribe("/queue/a", { browse: true, ack: "client" }), TypeError, "omit ack");
  await assertRejects(() => stomp.subscribe("/queue/a", { browse: 1 as unknown as boolean }), TypeError, "browse");
});

clientTest("a message with a header `browser` is a message on any other subscription", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", ACTIVEMQ);
  const subscription = await subscribed(stomp, peer);
  await peer.write(message(subscription.id, "m1", "browser:end\n"));
  assertEquals((await subscription.take())?.id, "m1");
});
