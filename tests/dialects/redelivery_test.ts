/** `Message.attempts`: counted by the broker, or by the client. */
import { assertEquals } from "#assert";
import { Broker } from "../../broker/broker.ts";
import { Stomp } from "../../api/stomp.ts";
import { test } from "#test";
import { clientTest, subscribed } from "../support/client_harness.ts";
import { message } from "../support/raw_server.ts";

const INDIVIDUAL = { ack: "client-individual" } as const;

/** A message as RabbitMQ delivers it: its id identifies the delivery. */
function delivery(tag: number, body: string, lines = ""): string {
  const id = `T_sub-1@@session-x@@${tag}`;
  return `MESSAGE\nsubscription:sub-1\nmessage-id:${id}\nack:${id}\ndestination:/queue/a\n${lines}\n${body}\0`;
}

clientTest("`Message.attempts` follows the larger of the broker's two counters", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  for (
    const [lines, attempts] of [
      ["redelivered:false\n", 1],
      ["redelivered:true\nx-delivery-count:3\n", 4],
      ["redelivered:true\nx-acquired-count:5\nx-delivery-count:2\n", 6],
      ["redelivered:true\nx-acquired-count:1\n", 2],
      ["redelivered:true\nx-delivery-count:many\n", 2],
      ["redelivered:true\n", 2],
      ["", 1],
    ] as const
  ) {
    await peer.write(message("sub-1", "m", lines));
    assertEquals((await subscription.take())!.attempts, attempts, lines);
  }
});

clientTest("`Message.attempts` recognizes a message by its contents where its id changes", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const deliver = async (tag: number, body: string, redelivered: boolean) => {
    await peer.write(delivery(tag, body, `redelivered:${redelivered}\nx-a:1\n`));
    const one = (await subscription.take())!;
    const { attempts } = one;
    await one.nack();
    await peer.frame("NACK");
    return attempts;
  };
  assertEquals([await deliver(1, "x", false), await deliver(2, "x", true), await deliver(3, "x", true)], [1, 2, 3]);
  assertEquals([await deliver(4, "y", false), await deliver(5, "y", true)], [1, 2]);
  // A first delivery is another message, although its contents are the same.
  assertEquals([await deliver(6, "x", false), await deliver(7, "x", true)], [1, 2]);
});

clientTest(
  "`Message.attempts` is 2 for a redelivery that the client has not refused, or has refused for good",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
    for (const requeue of ["false", "true"]) {
      await peer.write(message("sub-1", "m1", "redelivered:true\n"));
      const one = (await subscription.take())!;
      assertEquals(one.attempts, 2);
      await one.nack({ headers: { requeue } });
      await peer.frame("NACK");
    }
    await peer.write(message("sub-1", "m1", "redelivered:true\n"));
    assertEquals((await subscription.take())!.attempts, 2);
  },
);

test("`Message.attempts` rises with each NACK, across the subscriptions of a client", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await stomp.send("/queue/a", "bad");
  for (const attempts of [1, 2, 3]) {
    const subscription = await stomp.subscribe("/queue/a", INDIVIDUAL);
    const one = (await subscription.take())!;
    assertEquals(one.attempts, attempts);
    await one.nack();
    await subscription.unsubscribe();
  }
});

clientTest("`Message.attempts` tells messages with changing ids apart by their bodies", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(delivery(1, "one"));
  await (await subscription.take())!.nack();
  await peer.frame("NACK");
  await peer.write(delivery(2, "two", "redelivered:true\n") + delivery(3, "one", "redelivered:true\n"));
  await (await subscription.take())!.nack();
  await peer.frame("NACK");
  assertEquals((await subscription.take())!.attempts, 2);
  await peer.write(delivery(4, "two", "redelivered:true\n") + delivery(5, "two", "redelivered:true\n"));
  assertEquals((await subscription.take())!.attempts, 2);
});
