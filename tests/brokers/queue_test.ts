/** Queues that are declared through the handle of a destination. */
import { assert, assertEquals, assertRejects } from "#assert";
import { BrokerErrorResponse, UnsupportedByBrokerError } from "../../base/errors.ts";
import { Simple } from "../../api/simple.ts";
import type { Destination } from "../../api/destination.ts";
import type { QueueOptions } from "../../dialects/queue.ts";
import { once, take, takeTexts, takeTextsUntilMark, VERSIONS } from "./support.ts";

const RABBITMQ = "rabbitmq";

once("a declared queue is made with its options, and the client's plain calls fit it", {
  broker: RABBITMQ,
  versions: VERSIONS,
  async fn({ connect, queue, version }) {
    const destination = queue();
    const stomp = await connect({ reconnect: { delay: 0 } });
    const orders = stomp.destination(destination, { queue: { type: "quorum", ttl: "1h", maxLengthBytes: 1_000_000 } });
    await orders.send("handle");
    await stomp.send(destination, "client");
    await stomp.send({ destination, body: "conf" });
    await stomp.transaction((tx) => tx.send(destination, "transaction"));
    await stomp.send(destination, "not persistent", { persistent: false });
    stomp.reconnect();
    await stomp.send(destination, "next connection");
    await stomp.subscribe({ destination, ack: "client" });
    const texts: string[] = [];
    while (texts.length < 6) {
      const message = await stomp.receiveFrame();
      texts.push(message!.text());
      await message!.ack();
    }
    assertEquals(texts, ["handle", "client", "conf", "transaction", "not persistent", "next connection"]);

    if (version === "1.0") return; // it has no mode for `respond`
    const upper = stomp.destination(queue(), { queue: { type: "quorum" } });
    await upper.respond((request) => request.text().toUpperCase());
    assertEquals((await upper.request("hello")).text(), "HELLO");
  },
});

once("a message that is not persistent makes a queue for all", {
  broker: RABBITMQ,
  async fn({ connect, queue, options, url }) {
    const stomp = await connect();
    const simple = new Simple(url, options());
    await simple.connect();
    const ways: ((destination: string) => Promise<unknown>)[] = [
      (destination) => stomp.send(destination, "x", { persistent: false }),
      (destination) => stomp.send(destination, "x", { headers: { persistent: false } }),
      (destination) => stomp.send({ destination, body: "x", persistent: "false" }),
      (destination) => simple.put("x", destination, { persistent: false }),
    ];
    const other = await connect();
    for (const send of ways) {
      const destination = queue();
      await send(destination);
      const [message] = await take(await other.subscribe(destination), 1);
      assertEquals([message!.text(), message!.headers["persistent"]], ["x", undefined]);
    }
    await simple.disconnect();
  },
});

once("a client with another declaration, or none, gets the broker's error, and nothing else is disturbed", {
  broker: RABBITMQ,
  timeout: 60_000,
  async fn({ connect, queue }) {
    const [destination, good] = [queue(), queue()];
    await (await connect()).destination(destination, { queue: { maxLength: 10 } }).send("one");
    const other = await connect({ reconnect: { delay: 10 } });
    const connections = countConnections(other.status());
    other.destination(destination, { queue: { maxLength: 11 } });
    const sends = Array.from({ length: 20 }, (_, n) => other.send(n === 10 ? destination : good, `${n}`));
    const results = await Promise.allSettled(sends);
    assertEquals(results.flatMap(({ status }, n) => status === "rejected" ? [n] : []), [10]);
    await assertRejects(() => sends[10]!, BrokerErrorResponse, "inequivalent arg 'x-max-length'");
    for (const call of [() => other.subscribe(destination), () => other.consume(destination, () => {})]) {
      await assertRejects(call, BrokerErrorResponse, "inequivalent arg 'x-max-length'");
    }
    const plain = await connect({ reconnect: { delay: 10 } });
    await assertRejects(() => plain.send(destination, "x"), BrokerErrorResponse, "inequivalent arg 'x-max-length'");
    await other.send(good, "last");
    await other.disconnect();
    assert(await connections <= 8, `${await connections}`);
  },
});

/** Resolves to the number of connections that a client has made since, once it is closed. */
async function countConnections(statuses: AsyncIterable<{ type: string }>): Promise<number> {
  let count = 0;
  for await (const { type } of statuses) if (type === "connected") count++;
  return count;
}

const DEAD: [string, QueueOptions, (orders: Destination) => Promise<void>][] = [
  ["overflows", { maxLength: 0 }, async () => {}],
  ["overflows by bytes", { maxLengthBytes: 1, type: "classic" }, async () => {}],
  ["expires", { ttl: 50, type: "quorum" }, async () => {}],
  ["is refused", { type: "quorum" }, async (orders) => {
    const subscription = await orders.subscribe({ ack: "client-individual" });
    await (await subscription.take())!.nack({ headers: { requeue: "false" } });
  }],
];

for (const [how, options, act] of DEAD) {
  once(`the first message that ${how} is in the queue for dead letters`, {
    broker: RABBITMQ,
    async fn({ connect, queue }) {
      const destination = queue();
      const stomp = await connect();
      const dead = `${destination}.dead`;
      const orders = stomp.destination(destination, { queue: { ...options, deadLetter: dead } });
      await orders.send("lost", { headers: { own: "v" } });
      await act(orders);
      const [message] = await take(await stomp.subscribe(dead), 1);
      assertEquals([message!.text(), message!.headers["own"]], ["lost", "v"]);
    },
  });
}

once("the queue for dead letters has its declaration, and is made before a subscription, too", {
  broker: RABBITMQ,
  async fn({ connect, queue }) {
    const destination = queue();
    const dead = `${destination}%2Fdead`;
    const stomp = await connect();
    const orders = stomp.destination(destination, { queue: { deadLetter: dead } });
    stomp.destination(dead, { queue: { type: "quorum", ttl: "1h" } });
    const subscription = await orders.subscribe({ ack: "client-individual" });
    const other = await connect();
    // Another client that says nothing of the queue for dead letters names it as one that exists.
    const same = { exchange: "", routingKey: dead.slice("/queue/".length).replace("%2F", "/") };
    await other.destination(destination, { queue: { deadLetter: same } }).send("x");
    await (await subscription.take())!.nack({ headers: { requeue: "false" } });
    const reader = await connect();
    const letters = reader.destination(dead, { queue: { type: "quorum", ttl: "1h" } });
    assertEquals(await takeTexts(await letters.subscribe(), 1), ["x"]);
  },
});

once("dead letters go to an exchange, with the key of the message or another one", {
  broker: RABBITMQ,
  async fn({ connect, queue }) {
    const [first, second] = [queue(), queue()];
    const stomp = await connect();
    const key = first.slice("/queue/".length);
    const all = await stomp.subscribe(`/exchange/amq.direct/${key}`);
    await stomp.destination(first, { queue: { maxLength: 0, deadLetter: { exchange: "amq.direct" } } }).send("one");
    assertEquals(await takeTexts(all, 1), ["one"]);
    await stomp.destination(second, {
      queue: { maxLength: 0, deadLetter: { exchange: "amq.direct", routingKey: key } },
    }).send("two");
    assertEquals(await takeTexts(all, 1), ["two"]);
  },
});

once("`maxPriority` makes a classic queue deliver by `priority`, and a quorum queue needs none", {
  broker: RABBITMQ,
  async fn({ connect, queue, broker }) {
    const stomp = await connect();
    const levels: [QueueOptions, number[]][] = [
      [{ maxPriority: 9 }, [8, 6, 2, 1]],
      [{}, [1, 8, 2, 6]],
      [
        { type: "quorum" },
        broker.name === "rabbitmq-3.10" ? [1, 8, 2, 6] : broker.name === "rabbitmq-4.0" ? [8, 6, 1, 2] : [8, 6, 2, 1],
      ],
    ];
    for (const [options, expected] of levels) {
      const orders = stomp.destination(queue(), { queue: options });
      for (const priority of [1, 8, 2, 6]) await orders.send(`${priority}`, { priority });
      const subscription = await orders.subscribe({ ack: "client", prefetch: 1 });
      const order: number[] = [];
      for (let n = 0; n < 4; n++) {
        const [message] = await take(subscription, 1);
        order.push(Number(message!.text()));
        await message!.ack();
      }
      const isTwoLevels = broker.name === "rabbitmq-4.0" && options.type === "quorum";
      // 4.0 takes two of the high ones for each of the others.
      if (isTwoLevels) assertEquals([order[0], order[1]], [8, 6]);
      else assertEquals(order, expected, JSON.stringify(options));
    }
  },
});

once("a stream is read through the handle", {
  broker: RABBITMQ,
  async fn({ connect, queue }) {
    const stomp = await connect();
    const events = stomp.destination(queue(), { queue: { type: "stream", maxAge: "1h", maxSegmentBytes: 1_000_000 } });
    await events.send("one");
    await events.send("two");
    for (let n = 0; n < 2; n++) {
      const texts: string[] = [];
      const stop = new AbortController();
      await events.consume((message) => {
        if (texts.push(message.text()) === 2) stop.abort();
      }, { signal: stop.signal, headers: { "x-stream-offset": "first" } });
      assertEquals(texts, ["one", "two"]);
    }
  },
});

once("the queue of a topic subscription is declared", {
  broker: RABBITMQ,
  async fn({ connect, topic, queue }) {
    const [destination, dead] = [topic(), queue()];
    const stomp = await connect();
    const news = stomp.destination(destination, { queue: { ttl: 50, deadLetter: dead } });
    await news.subscribe({ ack: "client", prefetch: 1 });
    await news.send("taken");
    await news.send("expires");
    const [message] = await take(await stomp.subscribe(dead), 1);
    assertEquals([message!.text(), message!.headers["x-message-ttl"]], ["expires", undefined]);
  },
});

const POLICY: QueueOptions[] = [
  { overflow: "reject-publish" },
  { deliveryLimit: 5 },
  { consumerTimeout: "1m" },
  { deadLetterStrategy: "at-least-once" },
  { singleActiveConsumer: true },
];

once("what the broker would ignore is refused, and nothing is sent", {
  broker: RABBITMQ,
  async fn({ connect, queue }) {
    const stomp = await connect();
    for (const options of POLICY) {
      const destination = queue();
      const orders = stomp.destination(destination, { queue: options });
      await assertRejects(() => orders.send("x"), UnsupportedByBrokerError, "policy");
      await assertRejects(() => orders.subscribe(), UnsupportedByBrokerError, "policy");
      const other = await connect();
      assertEquals(await takeTextsUntilMark(other, await other.subscribe(destination)), []);
    }
  },
});

once("a kind of queue is accepted where all are durable, and the rest is refused with the broker's own setting", {
  broker: ["activemq", "artemis"],
  async fn({ connect, queue, broker }) {
    const stomp = await connect();
    for (const type of ["classic", "quorum"] as const) {
      const orders = stomp.destination(queue(), { queue: { type } });
      await orders.send("x");
      assertEquals(await takeTexts(await orders.subscribe(), 1), ["x"]);
    }
    for (const options of [{ type: "stream" }, { ttl: 5 }, { deadLetter: "/queue/a" }, ...POLICY] as QueueOptions[]) {
      const orders = stomp.destination(queue(), { queue: options });
      const error = await assertRejects(() => orders.send("x"), UnsupportedByBrokerError);
      assert(/ActiveMQ|Artemis/.test(error.message), error.message);
      assertEquals([error.option, error.broker], [`queue.${Object.keys(options)[0]}`, broker.family]);
    }
  },
});
