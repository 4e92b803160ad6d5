/** What a lost session means for the next one, by the reason of its end. */
import { assertEquals, assertInstanceOf } from "#assert";
import { ConnectionError, UnknownBrokerResponseError } from "../../base/errors.ts";
import { clientTest, quickPair, subscribed, Watcher } from "../support/client_harness.ts";
import { confirm, connected } from "../support/raw_server.ts";

clientTest("a second CONNECTED is a lost connection, however often it comes", async (harness) => {
  const { stomp, peer, server } = await quickPair(harness);
  const watcher = new Watcher(stomp);
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  const sending = stomp.send("/queue/b", "x").then((receipt) => receipt?.command, (error) => error.message);
  await peer.frame("SEND");
  await peer.write(connected());
  for (let connection = 2; connection <= 5; connection++) {
    const { error } = await watcher.until("disconnected");
    assertInstanceOf(error, UnknownBrokerResponseError);
    assertEquals(error.message, `Cannot go on with 127.0.0.1:${server.port}: it sent CONNECTED`);
    const next = await server.welcome();
    await next.frame("SUBSCRIBE"); // which the broker has dropped
    await next.write(connected());
  }
  const last = await server.welcome();
  assertEquals((await confirm(last, "SUBSCRIBE")).get("id"), subscription.id);
  assertEquals((await confirm(last, "SEND")).body, "x");
  assertEquals(await sending, "RECEIPT");
  await last.write(`MESSAGE\nsubscription:${subscription.id}\nmessage-id:1\nack:1\ndestination:/queue/a\n\ny\0`);
  assertEquals((await subscription.take())?.text(), "y");
});

clientTest("a second CONNECTED counts towards `reconnect.attempts`", async (harness) => {
  const { stomp, peer, server } = await quickPair(harness, { reconnect: { delay: 0, attempts: 4 } });
  await peer.write(connected());
  for (let attempt = 1; attempt <= 4; attempt++) await (await server.welcome()).write(connected());
  const reason = await stomp.closed;
  assertInstanceOf(reason, ConnectionError);
  assertInstanceOf(reason.cause, UnknownBrokerResponseError);
  assertEquals(server.count, 5);
});

clientTest("a second CONNECTED ends a client that does not reconnect", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  await peer.write(connected());
  assertInstanceOf(await stomp.closed, UnknownBrokerResponseError);
  await peer.ended();
});
