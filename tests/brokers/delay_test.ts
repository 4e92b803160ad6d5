/** The option `delay` on RabbitMQ, where a message waits in a queue for its destination and duration. */
import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "#assert";
import { BrokerErrorResponse, UnsupportedByBrokerError } from "../../base/errors.ts";
import { delay, eventually, once, take, takeTexts, VERSIONS } from "./support.ts";

const broker = "rabbitmq";

once("a delayed message arrives after its delay, and others do not wait for it", {
  broker,
  versions: VERSIONS,
  async fn({ connect, queue }) {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    const begun = performance.now();
    await stomp.send(destination, "third", { delay: "2s" });
    await stomp.send(destination, "second", { delay: 1000, receipt: false });
    await stomp.send(destination, "first");
    const arrived: [string, number][] = [];
    for (let n = 0; n < 3; n++) {
      const [message] = await take(subscription, 1);
      arrived.push([message!.text(), performance.now() - begun]);
    }
    assertEquals(arrived.map(([text]) => text), ["first", "second", "third"]);
    assertLess(arrived[0]![1], 990);
    assertGreater(arrived[1]![1], 990);
    assertLess(arrived[1]![1], 1990);
    assertGreater(arrived[2]![1], 1990);
  },
});

once("a message is delayed on its way to each kind of destination", {
  broker,
  async fn({ connect, queue, topic }) {
    const stomp = await connect();
    const name = queue().slice("/queue/".length);
    const kinds: [string, string][] = [
      [`/queue/${name}`, `/queue/${name}`],
      [`/queue/${name}%2Fslash`, `/queue/${name}%2Fslash`],
      [name, `/queue/${name}`],
      [`/amq/queue/${name}`, `/queue/${name}`],
      [topic(), "topic"],
      [`/exchange/amq.direct/${name}`, "exchange"],
      [`/exchange/amq.fanout`, "exchange"],
    ];
    for (const [destination, source] of kinds) {
      const subscription = await stomp.subscribe(source.startsWith("/queue/") ? source : destination);
      await stomp.send(destination, destination, { delay: 100 });
      assertEquals(await takeTexts(subscription, 1), [destination]);
      await subscription.unsubscribe();
    }
  },
});

once("a delayed message keeps its headers and options", {
  broker,
  async fn({ connect, queue }) {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    const options = {
      headers: { own: "v: 1", "x-own": "w" },
      contentType: "application/json",
      replyTo: "/queue/replies",
      correlationId: "c",
      priority: 4,
    };
    await stomp.send(destination, "{}", options);
    await stomp.send(destination, "{}", { ...options, delay: 50 });
    const [plain, delayed] = await take(subscription, 2);
    const { "message-id": _, receipt: __, ...expected } = plain!.headers;
    for (const [header, value] of Object.entries(expected)) assertEquals(delayed!.headers[header], value, header);
    assertEquals(delayed!.headers["persistent"], "true");
    const added = Object.keys(delayed!.headers).filter((header) => !(header in plain!.headers));
    for (const header of added) assert(/^x-(message-ttl|dead-letter|first-death|last-death)/.test(header), header);
  },
});

once("a delayed message is not lost when nothing has made its queue, or its declaration is another kind", {
  broker,
  async fn({ connect, queue }) {
    const [plain, declared] = [queue(), queue()];
    const sender = await connect();
    await sender.send(plain, "plain", { delay: 100 });
    await sender.destination(declared, { queue: { type: "quorum", ttl: "1h" } }).send("quorum", { delay: 100 });
    await sender.disconnect();
    const reader = await connect();
    assertEquals(await takeTexts(await reader.subscribe(plain), 1), ["plain"]);
    const orders = reader.destination(declared, { queue: { type: "quorum", ttl: "1h" } });
    assertEquals(await takeTexts(await orders.subscribe(), 1), ["quorum"]);
  },
});

once("`delay` works in a transaction, for a request, and on the next connection", {
  broker,
  async fn({ connect, queue }) {
    const stomp = await connect({ reconnect: { delay: 0 } });
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    await stomp.transaction((tx) => tx.send(destination, "transaction", { delay: 50 }));
    await assertRejects(() =>
      stomp.transaction(async (tx) => {
        await tx.send(destination, "aborted", { delay: 50 });
        throw new Error("no");
      })
    );
    assertEquals(await takeTexts(subscription, 1), ["transaction"]);
    stomp.reconnect();
    await stomp.send(destination, "next connection", { delay: 50 });
    assertEquals(await takeTexts(subscription, 1), ["next connection"]);
    const upper = queue();
    await stomp.respond(upper, (request) => request.text().toUpperCase());
    assertEquals((await stomp.request(upper, "hello", { delay: 50 })).text(), "HELLO");
  },
});

once("`delay` is refused where the message would get lost, and other sends are confirmed", {
  broker,
  async fn({ connect, queue }) {
    const stomp = await connect({ reconnect: { delay: 10 } });
    const good = queue();
    const sends = [
      stomp.send(good, "one"),
      stomp.send("/exchange/nosuch/key", "bad", { delay: 50 }),
      stomp.send(good, "two"),
    ];
    await assertRejects(() => sends[1]!, BrokerErrorResponse, "no exchange 'nosuch'");
    await Promise.all([sends[0], sends[2]]);
    for (const destination of ["/nosuch/place", "/queue/a/b", "/temp-queue/a"]) {
      await assertRejects(() => stomp.send(destination, "x", { delay: 50 }), UnsupportedByBrokerError, "delay");
    }
    await assertRejects(() => stomp.send(good, "x", { delay: 50, expires: 1000 }), UnsupportedByBrokerError, "expire");
  },
});

// A message whose delay ends while the broker is down or starts may get lost: RabbitMQ moves it at most once, and its
// queue may not be ready.
once("a delayed message survives the broker's death before its time", {
  broker,
  own: true,
  slow: true,
  timeout: 120_000,
  async fn({ connect, queue, control }) {
    const destination = queue();
    const stomp = await connect({ timeout: 100_000, reconnect: { maxDelay: 500 } });
    let isLost = false;
    const watching = (async () => {
      for await (const { type } of stomp.status()) if (type === "disconnected") isLost = true;
    })();
    // RabbitMQ 4.0 may forget a queue that was made just before a kill, with a confirmed message in it.
    await stomp.send(destination, "sent first", { delay: "30s" });
    await delay(5000);
    await stomp.send(destination, "sent before", { delay: "30s" });
    await control("kill");
    await eventually("the client has noticed", () => isLost);
    const sending = stomp.send(destination, "sent while there is no broker", { delay: "5s" });
    await control("restart");
    await sending;
    const subscription = await stomp.subscribe(destination);
    assertEquals(await takeTexts(subscription, 1, 30_000), ["sent while there is no broker"]);
    assertEquals(await takeTexts(subscription, 2, 60_000), ["sent first", "sent before"]);
    await stomp.disconnect();
    await watching;
  },
});
