/** The handle for a destination, and what the client remembers of its queue. */
import { assert, assertEquals, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { BrokerErrorResponse, UnsupportedByBrokerError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import type { QueueOptions } from "../../dialects/queue.ts";
import { Simple } from "../../api/simple.ts";
import { Stomp } from "../../api/stomp.ts";
import { type ClientHarness, clientTest, subscribed } from "../support/client_harness.ts";
import { answerRequeue, confirm } from "../support/raw_server.ts";
import type { RawFrame, RawPeer } from "../support/raw_peer.ts";

const RABBITMQ = "server:RabbitMQ/4.0.5\n";
const QUEUE: QueueOptions = { type: "quorum", maxLength: 5 };
const DECLARED = ["x-queue-type:quorum", "x-max-length:5"];

const rabbitmq = (harness: ClientHarness) => harness.pair({ reconnect: { delay: 0 } }, "1.2", RABBITMQ);

/** The header lines that declare a queue. */
const declarationOf = (frame: RawFrame) => frame.lines.filter((line) => line.startsWith("x-"));

/** Reads the frames that declare a queue. Returns the destination and the header lines that declare it. */
async function made(peer: RawPeer): Promise<string[]> {
  await peer.frame("BEGIN");
  const send = await peer.frame("SEND");
  await peer.frame("ABORT");
  assert(send.get("transaction") !== undefined);
  return [send.get("destination")!, ...declarationOf(send)];
}

clientTest("`destination()` returns a handle with the calls of the client", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url);
  const orders = stomp.destination("/queue/orders");
  assertEquals(orders.name, "/queue/orders");
  assertEquals((await orders.send("one", { headers: { own: "1" } }))?.command, "RECEIPT");
  assertEquals(await orders.send("two", { receipt: false }), undefined);
  await stomp.transaction((tx) => orders.send("three", { transaction: tx }));
  const subscription = await orders.subscribe({ ack: "client-individual" });
  const message = await subscription.take();
  assertEquals([message?.text(), message?.headers["own"]], ["one", "1"]);
  await message!.ack();
  await subscription.unsubscribe();

  const stop = new AbortController();
  const texts: string[] = [];
  await orders.consume((message) => {
    if (texts.push(message.text()) === 2) stop.abort();
  }, { signal: stop.signal });
  assertEquals(texts, ["two", "three"]);

  const upper = stomp.destination("/queue/upper");
  const answers = await upper.respond((request) => request.text().toUpperCase());
  assertEquals((await upper.request("hello")).text(), "HELLO");
  await answers.drain();
  await assertRejects(() => orders.send(1 as unknown as string), TypeError, "the body is of type number");
});

test("`destination()` refuses wrong arguments at once, and names them", () => {
  const stomp = new Stomp("stomp://localhost:1");
  const call = (...args: unknown[]) => () => (stomp.destination as (...args: unknown[]) => unknown).apply(stomp, args);
  assertThrows(call(), TypeError, "Cannot make a destination: the name is missing");
  assertThrows(call(""), TypeError, "the name is missing");
  assertThrows(call({ name: "a" }), TypeError, "the name is an Object, but must be text");
  assertThrows(call("/queue/a", null), TypeError, "options is null, but must be an object");
  assertThrows(call("/queue/a", { ttl: 1 }), TypeError, "there is no option ttl; its option is queue");
  assertThrows(call("/queue/a", { queue: null }), TypeError, "queue is null");
  assertThrows(call("/queue/a", { queue: { ttl: "1x" } }), RangeError, 'queue.ttl is "1x"');
  assertThrows(call("/queue/a", { queue: { size: 1 } }), TypeError, "queue has no option size");
  // Nothing of it was remembered.
  stomp.destination("/queue/a", { queue: { ttl: 1 } });
  stomp.destination("/queue/a", { queue: { ttl: "1ms" } });
  stomp.destination("/queue/a", {});
  stomp.destination("/queue/a", { queue: undefined });
  assertThrows(
    call("/queue/a", { queue: { ttl: 2 } }),
    TypeError,
    "Cannot declare /queue/a: ttl is 2, but was 1 before",
  );
});

clientTest("every frame to a declared queue has its declaration, with the handle or without", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const orders = stomp.destination("/queue/orders", { queue: QUEUE });
  const sends: [string, () => Promise<unknown>][] = [
    ["handle", () => orders.send("x")],
    ["client", () => stomp.send("/queue/orders", "x")],
    ["headers", () => stomp.send("/queue/orders", "x", { headers: { own: "1" } })],
    ["frame", () => stomp.send("/queue/orders", "x", { contentLength: false })],
    ["conf", () => stomp.send({ destination: "/queue/orders", body: "x" })],
    ["not persistent", () => stomp.send("/queue/orders", "x", { persistent: false })],
  ];
  for (const [name, send] of sends) {
    const sending = send();
    assertEquals(declarationOf(await confirm(peer, "SEND")), DECLARED, name);
    await sending;
  }
  await stomp.send("/queue/orders", "x", { receipt: false });
  assertEquals(declarationOf(await peer.frame("SEND")), DECLARED);

  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  await tx.send("/queue/orders", "x");
  const inTransaction = await peer.frame("SEND");
  assertEquals([declarationOf(inTransaction), inTransaction.get("transaction")], [DECLARED, tx.id]);

  const subscribing: [string, () => Promise<unknown>][] = [
    ["handle", () => orders.subscribe()],
    ["client", () => stomp.subscribe("/queue/orders")],
    ["conf", () => stomp.subscribe({ destination: "/queue/orders" })],
    ["respond", () => orders.respond(() => "")],
    ["raw", () => {
      const headers = { destination: "/queue/orders", id: "raw", receipt: "r" };
      return stomp.sendFrame(new Frame().buildFrame({ command: "SUBSCRIBE", headers }));
    }],
  ];
  for (const [name, subscribe] of subscribing) {
    const ready = subscribe();
    assertEquals(declarationOf(await confirm(peer, "SUBSCRIBE")), DECLARED, name);
    await ready;
  }
  const requesting = orders.request("x", { timeout: 10_000 });
  requesting.catch(() => {}); // it is never answered
  assertEquals(declarationOf(await peer.frame("SEND")), DECLARED);
  // Other destinations and raw frames have no declaration.
  const other = stomp.send("/queue/other", "x");
  assertEquals(declarationOf(await confirm(peer, "SEND")), []);
  await other;
  const raw = { command: "SEND", headers: { destination: "/queue/orders" }, body: "raw" };
  await stomp.sendFrame(new Frame().buildFrame(raw));
  assertEquals((await peer.frame("SEND")).lines, ["destination:/queue/orders", "content-length:3"]);
});

clientTest("`Simple` sends and subscribes with the declaration of its client", async (harness) => {
  const server = await harness.server();
  const simple = new Simple(server.url, { heartbeat: false });
  harness.atEnd(() => simple.stomp.disconnect({ signal: AbortSignal.abort() }));
  const [peer] = await Promise.all([server.welcome("1.2", RABBITMQ), simple.connect()]);
  simple.stomp.destination("/queue/orders", { queue: QUEUE });
  const putting = simple.put("x", "/queue/orders");
  assertEquals(declarationOf(await confirm(peer, "SEND")), DECLARED);
  await putting;
  const subscribing = simple.subscribe("/queue/orders");
  assertEquals(declarationOf(await confirm(peer, "SUBSCRIBE")), DECLARED);
  await subscribing;
});

clientTest("headers of a call take precedence over the declaration", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const orders = stomp.destination("/queue/orders", { queue: QUEUE });
  const headers = { "x-max-length": "9" };
  const expected = ["x-max-length:9", "x-queue-type:quorum"];
  for (const contentLength of [true, false]) {
    const sending = orders.send("x", { headers, contentLength });
    assertEquals(declarationOf(await confirm(peer, "SEND")).sort(), expected);
    await sending;
  }
  await orders.send("x", { headers, receipt: false });
  assertEquals(declarationOf(await peer.frame("SEND")).sort(), expected);
  const subscribing = orders.subscribe({ headers });
  assertEquals(declarationOf(await confirm(peer, "SUBSCRIBE")).sort(), expected);
  await subscribing;
});

clientTest("the declaration is sent again on the next connection, its dead letter queue first", async (harness) => {
  const { stomp, peer, server } = await rabbitmq(harness);
  const orders = stomp.destination("/queue/a", { queue: { maxLength: 5, deadLetter: "/queue/b" } });
  stomp.destination("/queue/b", { queue: { ttl: "1s" } });
  const declared = ["x-max-length:5", "x-dead-letter-exchange:", "x-dead-letter-routing-key:b"];
  const subscribing = orders.subscribe();
  assertEquals(await made(peer), ["/queue/b", "x-message-ttl:1000"]);
  assertEquals(declarationOf(await confirm(peer, "SUBSCRIBE")), declared);
  await subscribing;
  const sending = orders.send("x");
  await peer.frame("SEND"); // not confirmed
  stomp.reconnect();
  const next = await server.welcome("1.2", RABBITMQ);
  assertEquals(await made(next), ["/queue/b", "x-message-ttl:1000"]);
  assertEquals(declarationOf(await confirm(next, "SUBSCRIBE")), declared);
  assertEquals(declarationOf(await confirm(next, "SEND")), declared);
  await sending;
});

clientTest(
  "a send that is given up before it leaves does not retract the frames that make its queues",
  async (harness) => {
    const { stomp, peer } = await rabbitmq(harness);
    const orders = stomp.destination("/queue/a", { queue: { deadLetter: "/queue/b" } });
    const stop = new AbortController();
    const aborted = orders.send("never", { signal: stop.signal });
    stop.abort();
    await assertRejects(() => aborted);
    const sending = orders.send("x");
    assertEquals(await made(peer), ["/queue/b"]);
    assertEquals((await confirm(peer, "SEND")).body, "x");
    await sending;
    const again = orders.send("y");
    assertEquals((await confirm(peer, "SEND")).body, "y");
    await again;
  },
);

clientTest("a declaration that is made later is part of the next send", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const send = async () => {
    const sending = stomp.send("/queue/orders", "x");
    const frame = await confirm(peer, "SEND");
    await sending;
    return declarationOf(frame);
  };
  assertEquals(await send(), []);
  assertEquals(await send(), []);
  stomp.destination("/queue/orders", { queue: QUEUE });
  assertEquals(await send(), DECLARED);
});

clientTest("a declaration that the broker takes elsewhere rejects the call, and nothing is sent", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const orders = stomp.destination("/queue/orders", { queue: { deliveryLimit: 3 } });
  const calls: (() => Promise<unknown>)[] = [
    () => orders.send("x"),
    () => orders.send("x", { receipt: false }),
    () => orders.send("x", { headers: { a: "b" } }),
    () => orders.send("x", { contentLength: false }),
    () => orders.send("x", { delay: 10 }),
    () => orders.subscribe(),
    () => orders.consume(() => {}),
    () => orders.request("x"),
    () => orders.respond(() => ""),
  ];
  for (const call of calls) {
    const error = await assertRejects(call, UnsupportedByBrokerError, "by policy alone: rabbitmqctl set_policy");
    assertEquals([error.option, error.broker], ["queue.deliveryLimit", "rabbitmq"]);
  }
  await assertRejects(
    () =>
      Promise.all([
        stomp.transaction((tx) => tx.send("/queue/orders", "x")),
        confirm(peer, "BEGIN").then(() => confirm(peer, "ABORT")),
      ]),
    UnsupportedByBrokerError,
  );
  const other = stomp.send("/queue/other", "x");
  assertEquals((await confirm(peer, "SEND")).get("destination"), "/queue/other");
  await other;
});

clientTest("the embedded broker refuses a declaration, and a handle without one works", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url);
  const declared = stomp.destination("/queue/a", { queue: { type: "quorum" } });
  await assertRejects(() => declared.send("x"), UnsupportedByBrokerError, "queue.type");
  await assertRejects(() => declared.subscribe(), UnsupportedByBrokerError, "queue.type");
  await stomp.destination("/queue/b").send("x");
});

clientTest(
  "a declaration that the broker refuses rejects only that call, with the broker's error",
  async (harness) => {
    const { stomp, peer, server } = await rabbitmq(harness);
    const orders = stomp.destination("/queue/orders", { queue: { deadLetter: "/queue/dead" } });
    const [bad, good] = [orders.send("bad"), stomp.send("/queue/good", "good")];
    bad.catch(() => {});
    const refuse = async (refused: RawPeer) => {
      await refused.write("ERROR\nmessage:precondition_failed\n\nPRECONDITION_FAILED - inequivalent arg\0");
      await refused.close();
    };
    assertEquals(await made(peer), ["/queue/dead"]);
    await peer.frames(2, "SEND");
    await refuse(peer);
    // Alone, on the next connection.
    const second = await server.welcome("1.2", RABBITMQ);
    assertEquals(await made(second), ["/queue/dead"]);
    assertEquals((await second.frame("SEND")).body, "bad");
    await refuse(second);
    await assertRejects(() => bad, BrokerErrorResponse, "inequivalent arg");
    const third = await server.welcome("1.2", RABBITMQ);
    assertEquals((await confirm(third, "SEND")).body, "good");
    await good;
  },
);

clientTest("`unsubscribe()` works on a declared queue", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  stomp.destination("/queue/a", { queue: QUEUE });
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  const ending = subscription.unsubscribe();
  await confirm(peer, "UNSUBSCRIBE");
  await answerRequeue(peer);
  await ending;
});
