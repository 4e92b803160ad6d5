/** Artemis: what it is told of queues and topics, and how it is known in 1.0. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { artemis } from "../../dialects/artemis.ts";
import { hasPrefetch } from "../../dialects/dialect.ts";
import { dialectOf } from "../../dialects/registry.ts";
import { clientTest } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

test("in 1.0, where its CONNECTED names no server, Artemis is known by version and session", () => {
  assertEquals(dialectOf({ version: "1.0", session: "23b5c40c" }, false), artemis);
  const others = [
    { version: "1.0", session: "ID:host-1" },
    { version: "1.0", session: "23b5c40c", "heart-beat": "0,0" },
    { version: "1.2", session: "23b5c40c" },
    { session: "23b5c40c" },
  ];
  for (const headers of others) assertEquals(dialectOf(headers, false).family, "unknown", JSON.stringify(headers));
});

test("Artemis gets no default prefetch, because it counts bytes", () => {
  assertEquals(hasPrefetch(artemis), false);
});

clientTest("SEND and SUBSCRIBE tell Artemis whether a destination is a queue or a topic", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "artemis" });
  const sent = async (destination: string, options = {}) => {
    await stomp.send(destination, "x", { receipt: false, ...options });
    return (await peer.frame("SEND")).get("destination-type");
  };
  assertEquals(await sent("/queue/a"), "ANYCAST");
  assertEquals(await sent("/topic/a"), "MULTICAST");
  assertEquals(await sent("orders"), undefined);
  assertEquals(await sent("/queue/a", { priority: 1, headers: { a: "b" } }), "ANYCAST");
  assertEquals(await sent("/queue/a", { headers: { "destination-type": "MULTICAST" } }), "MULTICAST");
  assertEquals(await sent("/queue/a", { contentLength: false }), "ANYCAST");

  const subscribed = async (destination: string, options = {}) => {
    const [frame, subscription] = await Promise.all([
      confirm(peer, "SUBSCRIBE"),
      stomp.subscribe(destination, options),
    ]);
    await Promise.all([confirm(peer, "UNSUBSCRIBE"), subscription.unsubscribe()]);
    return [frame.get("subscription-type"), frame.get("consumer-window-size")];
  };
  assertEquals(await subscribed("/queue/a"), ["ANYCAST", undefined]);
  assertEquals(await subscribed("/topic/a", { ack: "client" }), ["MULTICAST", String(1 << 22)]);
  assertEquals(await subscribed("/queue/a", { ack: "client", maxQueuedBytes: 5000 }), ["ANYCAST", "5000"]);
  assertEquals(await subscribed("/queue/a", { ack: "client", prefetch: 1 }), ["ANYCAST", "1"]);
  const headers = { "consumer-window-size": "7", "subscription-type": "MULTICAST" };
  assertEquals(await subscribed("/queue/a", { ack: "client", headers }), ["MULTICAST", "7"]);
});
