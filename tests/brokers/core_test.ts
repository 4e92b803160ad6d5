/**
 * The basics on each broker, over each transport and in each version: send, receive, acknowledge, disconnect.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "#assert";
import { AcknowledgeError, NotConnectedError, SubscriptionError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { openSocket } from "../../session/open_socket.ts";
import { Simple } from "../../api/simple.ts";
import { eventually, everywhere, take, takeAllTexts, takeTexts, takeTextsUntilMark } from "./support.ts";

everywhere("`send()` resolves with the RECEIPT, and the message arrives", async ({ connect, queue, version }) => {
  const destination = queue();
  const stomp = await connect();
  assertEquals(stomp.version, version);
  const receipt = await stomp.send(destination, "hello", { headers: { colour: "green" } });
  assertEquals(receipt?.command, "RECEIPT");

  const subscription = await stomp.subscribe(destination);
  const [message] = await take(subscription, 1);
  assertEquals(message!.text(), "hello");
  assertEquals(message!.headers["colour"], "green");
  assertEquals(message!.headers["content-type"], "text/plain");
  assertEquals(message!.destination, destination);
  assert(message!.id !== "");
});

everywhere("bodies arrive unchanged", async ({ connect, queue, transport }) => {
  // Over WebSocket RabbitMQ sends text by default. websocket_test.ts tests binary messages.
  const mask = /^wss?$/.test(transport) ? 0x7f : 0xff;
  const stomp = await connect();
  const destination = queue();
  const subscription = await stomp.subscribe(destination);
  const bodies: Uint8Array[] = [
    Uint8Array.from({ length: 256 }, (_, index) => index & mask),
    new Uint8Array(3), // only NUL
    new TextEncoder().encode("\n\n\0\nMESSAGE\n\n\0"),
    Uint8Array.from({ length: 300_000 }, (_, index) => ((index * 7919) >> 3) & mask),
    new Uint8Array(0),
  ];
  for (const body of bodies) {
    await stomp.send(destination, body);
    const [message] = await take(subscription, 1);
    assertEquals(message!.body.length, body.length);
    assert(message!.body.every((octet, index) => octet === body[index]), `a body of ${body.length} bytes has changed`);
  }
  for (const text of ["žluťoučký kůň ☃ 🐎", "", "\ufefftext with a mark", "a\r\nb\n\nc", '{"a":1}']) {
    await stomp.send(destination, text);
    const [message] = await take(subscription, 1);
    assertEquals(message!.text(), text);
  }
});

everywhere("headers arrive unchanged", {
  versions: ["1.1", "1.2"],
  async fn({ connect, queue, version }) {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    const headers = {
      "colon": "a:b::",
      "newline": "a\nb\n\nMESSAGE",
      "backslash": "C:\\new\\\\c",
      "text": "žluťoučký kůň ☃ 🐎",
      "spaces": "  two before, two behind  ",
      "na:me": "a name with a colon",
      ...(version === "1.2" && { "return": "a\rb\r\nc" }),
    };
    await stomp.send(destination, "headers", { headers });
    const [message] = await take(subscription, 1);
    for (const [name, value] of Object.entries(headers)) assertEquals(message!.headers[name], value);
  },
});

everywhere("headers that 1.0 can carry arrive unchanged, and `send()` refuses others", {
  versions: ["1.0"],
  async fn({ connect, queue }) {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    const headers = { plain: "a b  c", text: "žluťoučký kůň ☃ 🐎", number: "12" };
    await stomp.send(destination, "headers", { headers });
    const [message] = await take(subscription, 1);
    for (const [name, value] of Object.entries(headers)) assertEquals(message!.headers[name], value);
    await assertRejects(() => stomp.send(destination, "", { headers: { newline: "a\nb" } }), TypeError);
    await stomp.send(destination, "still there");
    assertEquals(await takeTexts(subscription, 1), ["still there"]);
  },
});

everywhere("in mode client-individual, messages without an ACK are redelivered", {
  versions: ["1.1", "1.2"],
  async fn({ connect, queue, broker }) {
    const destination = queue();
    const first = await connect();
    for (const text of ["one", "two", "three"]) await first.send(destination, text);
    const subscription = await first.subscribe(destination, { ack: "client-individual" });
    const messages = await take(subscription, 3);
    assertEquals(messages.map((message) => message.text()), ["one", "two", "three"]);
    await messages[1]!.ack();
    await first.disconnect();

    const second = await connect();
    const again = await take(await second.subscribe(destination, { ack: "client-individual" }), 2);
    assertEquals(again.map((message) => message.text()).sort(), ["one", "three"]);
    if (broker.capabilities.includes("redelivered")) {
      assertEquals(again.map((message) => message.redelivered), [true, true]);
    }
    for (const message of again) await message.ack();
  },
});

everywhere("in mode client, an ACK covers all earlier messages", async ({ connect, queue }) => {
  const destination = queue();
  const first = await connect();
  for (const text of ["one", "two", "three"]) await first.send(destination, text);
  const subscription = await first.subscribe(destination, { ack: "client" });
  const messages = await take(subscription, 3);
  await messages[1]!.ack();
  await assertRejects(() => messages[0]!.ack(), AcknowledgeError);
  await first.disconnect();

  const second = await connect();
  const rest = await second.subscribe(destination);
  assertEquals(await takeAllTexts(second, rest, 1), ["three"]);
});

everywhere("in mode auto, a delivered message is not redelivered", async ({ connect, queue }) => {
  const destination = queue();
  const first = await connect();
  const subscription = await first.subscribe(destination);
  await first.send(destination, "one");
  const [message] = await take(subscription, 1);
  await assertRejects(() => message!.ack(), AcknowledgeError);
  await first.disconnect();

  const second = await connect();
  assertEquals(await takeTextsUntilMark(second, await second.subscribe(destination)), []);
});

everywhere("`nack()` and mode client-individual are refused in 1.0", {
  versions: ["1.0"],
  async fn({ connect, queue }) {
    const stomp = await connect();
    const destination = queue();
    await assertRejects(() => stomp.subscribe(destination, { ack: "client-individual" }), SubscriptionError);
    const subscription = await stomp.subscribe(destination, { ack: "client" });
    await stomp.send(destination, "one");
    const [message] = await take(subscription, 1);
    await assertRejects(() => message!.nack(), AcknowledgeError);
    await message!.ack();
  },
});

everywhere("`nack()` requeues the message at once, or drops it with `requeue: false`", {
  broker: "rabbitmq",
  versions: ["1.1", "1.2"],
  async fn({ connect, queue }) {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination, { ack: "client-individual" });
    await stomp.send(destination, "one");
    const [message] = await take(subscription, 1);
    assertEquals(message!.redelivered, false);
    await message!.nack();
    const [again] = await take(subscription, 1);
    assertEquals([again!.text(), again!.redelivered], ["one", true]);
    await again!.nack({ headers: { requeue: "false" } });

    await stomp.send(destination, "two");
    const [next] = await take(subscription, 1);
    assertEquals(next!.text(), "two");
    await next!.ack();
  },
});

everywhere("`nack()` moves a persistent message to the dead letter queue, and drops another", {
  broker: "activemq",
  versions: ["1.1", "1.2"],
  own: true, // the configuration of the harness names that queue
  async fn({ connect, queue }) {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination, { ack: "client-individual" });
    await stomp.send(destination, "kept");
    await stomp.send(destination, "dropped", { persistent: false });
    for (const message of await take(subscription, 2)) await message.nack();
    const dead = await stomp.subscribe(destination.replace("/queue/", "/queue/DLQ."));
    assertEquals(await takeTexts(dead, 1), ["kept"]);
    assertEquals(await takeTextsUntilMark(stomp, dead), []);
  },
});

everywhere("each subscription of a connection gets only its messages", async ({ connect, queue }) => {
  const stomp = await connect();
  const destinations = [queue(), queue(), queue()];
  const subscriptions = await Promise.all(destinations.map((destination) => stomp.subscribe(destination)));
  for (let n = 0; n < 5; n++) {
    for (const destination of destinations) await stomp.send(destination, `${destination} ${n}`);
  }
  for (const [index, subscription] of subscriptions.entries()) {
    const wanted = [0, 1, 2, 3, 4].map((n) => `${destinations[index]} ${n}`);
    assertEquals(await takeTexts(subscription, 5), wanted);
  }
});

everywhere("a message to a topic reaches all subscriptions", async ({ connect, topic }) => {
  const [first, second] = [await connect(), await connect()];
  const destination = topic();
  await first.send(destination, "too early");
  const subscriptions = [
    await first.subscribe(destination),
    await first.subscribe(destination),
    await second.subscribe(destination),
  ];
  await second.send(destination, "news");
  for (const subscription of subscriptions) assertEquals(await takeTexts(subscription, 1), ["news"]);
});

everywhere(
  "messages sent in a transaction arrive after its commit, and not after its abort",
  async ({ connect, queue }) => {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    await stomp.transaction(async (tx) => {
      await tx.send(destination, "one");
      await tx.send(destination, "two");
      assertEquals(await takeTextsUntilMark(stomp, subscription), []);
    });
    assertEquals(await takeTexts(subscription, 2), ["one", "two"]);

    const failure = new Error("changed my mind");
    const error = await assertRejects(() =>
      stomp.transaction(async (tx) => {
        await tx.send(destination, "never");
        throw failure;
      })
    );
    assertStrictEquals(error, failure);
    assertEquals(await takeTextsUntilMark(stomp, subscription), []);
  },
);

everywhere("an ACK in a transaction takes effect with the commit", async ({ connect, queue }) => {
  const destination = queue();
  const first = await connect();
  for (const text of ["one", "two"]) await first.send(destination, text);
  const subscription = await first.subscribe(destination, { ack: "client" });
  const messages = await take(subscription, 2);
  const aborted = await first.begin();
  await aborted.ack(messages[0]!);
  await aborted.abort();
  await first.transaction((tx) => tx.ack(messages[0]!)); // possible again after the abort
  const lost = await first.begin();
  await lost.ack(messages[1]!);
  await first.disconnect(); // which also ends the transaction

  const second = await connect();
  assertEquals(await takeAllTexts(second, await second.subscribe(destination), 1), ["two"]);
});

everywhere("no message arrives after `unsubscribe()`", async ({ connect, queue, broker }) => {
  const stomp = await connect();
  const destination = queue();
  const first = await stomp.subscribe(destination);
  await stomp.send(destination, "one");
  assertEquals(await takeTexts(first, 1), ["one"]);
  await first.unsubscribe();
  assertEquals(await first.closed, undefined);
  await stomp.send(destination, "two");
  const second = await stomp.subscribe(destination);
  // UNSUBSCRIBE may overtake the acknowledgement that the broker itself makes of what it has sent. Then that comes again.
  const isRepeated = (text: string) => text === "one" && !broker.capabilities.includes("auto once");
  let [next] = await takeTexts(second, 1);
  if (isRepeated(next!)) [next] = await takeTexts(second, 1);
  assertEquals(next, "two");
  assertEquals(first.received, 1);

  // Leaving the loop unsubscribes.
  await stomp.send(destination, "three");
  for await (const message of second) {
    if (isRepeated(message.text())) continue;
    assertEquals(message.text(), "three");
    break;
  }
  assertEquals(await second.closed, undefined);
});

everywhere("`disconnect()` waits for the receipts of earlier sends", async ({ connect, queue }) => {
  const first = await connect();
  const destination = queue();
  const sent = Array.from({ length: 100 }, (_, n) => first.send(destination, `${n}`));
  const waiting = (await first.subscribe(queue())).take();
  await first.disconnect();
  assertEquals((await Promise.all(sent)).map((receipt) => receipt?.command), sent.map(() => "RECEIPT"));
  assertEquals(await first.closed, undefined);
  assertEquals(await waiting, undefined);
  assertEquals(first.connected, false);
  await assertRejects(() => first.send(destination, "late"), NotConnectedError);

  const second = await connect();
  const texts = await takeTexts(await second.subscribe(destination), 100);
  assertEquals(texts, Array.from({ length: 100 }, (_, n) => `${n}`));
});

everywhere("1,000 messages arrive in order and are acknowledged one by one", {
  versions: ["1.2"],
  async fn({ connect, queue, transport, prefetch }) {
    // RabbitMQ 3.10 throttles fast senders, and closes a throttled WebSocket when it sends a heart-beat.
    const sender = await connect(/^wss?$/.test(transport) ? { heartbeat: { send: 0, receive: 10_000 } } : {});
    const receiver = await connect();
    const destination = queue();
    const subscription = await receiver.subscribe(destination, { ack: "client-individual", ...prefetch(100) });
    const texts = Array.from({ length: 1000 }, (_, n) => `message ${n} ${"x".repeat(n)}`);
    const sent = Promise.all(texts.map((text) => sender.send(destination, text)));
    const got: string[] = [];
    for await (const message of subscription) {
      got.push(message.text());
      await message.ack();
      if (got.length === texts.length) break;
    }
    await sent;
    assertEquals(got, texts);
  },
});

everywhere("`Simple` sends, receives and acknowledges", {
  versions: ["1.1"],
  raw: true,
  async fn({ url, options, broker, queue }) {
    const destination = queue();
    await using client = new Simple(url, options());
    await client.connect(broker.username, broker.password);
    await client.subscribe(destination, { ack: "client" });
    await client.begin();
    await client.put("one", destination, { conf: { colour: "red" } });
    await client.commit();
    const message = await client.get({ timeout: 8000 });
    assertEquals([message.text(), message.headers["colour"]], ["one", "red"]);
    await client.ack(message);
    await assertRejects(() => client.getNowait(), Simple.Empty);
    await client.unsubscribe(destination);
    await client.disconnect();
  },
});

everywhere("`Frame` sends and receives over `openSocket()`", {
  versions: ["1.2"],
  raw: true,
  async fn({ url, options, broker, queue }) {
    const { tls } = options();
    const sock = await openSocket(url, tls ? { tls } : {});
    try {
      const frame = new Frame();
      await frame.connect(sock, { username: broker.username, password: broker.password });
      const destination = queue();
      const subscribe = { command: "SUBSCRIBE", headers: { destination, id: "one", ack: "auto" } };
      const receipt = await frame.sendFrame(new Frame().buildFrame(subscribe, { wantReceipt: true }));
      assertEquals(receipt?.command, "RECEIPT");
      const send = { command: "SEND", headers: { destination }, body: "by hand" };
      await frame.sendFrame(new Frame().buildFrame(send, { wantReceipt: true }));
      assertEquals((await frame.getMessage({ timeout: 8000 }))?.text(), "by hand");
      assertEquals(await frame.getMessage({ nb: true }), undefined);
    } finally {
      await sock.close();
    }
  },
});

everywhere("`readable` ends after the last message of a drained subscription", {
  versions: ["1.2"],
  async fn({ connect, queue }) {
    const stomp = await connect();
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    for (const text of ["one", "two"]) await stomp.send(destination, text);
    await eventually("two messages are queued", () => subscription.queued === 2);
    const drained = subscription.drain(); // the queued messages stay readable
    const texts: string[] = [];
    for await (const message of subscription.readable) texts.push(message.text());
    assertEquals(texts, ["one", "two"]);
    await drained;
  },
});
