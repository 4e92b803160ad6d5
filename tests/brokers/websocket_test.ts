/**
 * What differs over WebSocket: RabbitMQ sends text messages by default, which cannot carry octets that are not UTF-8.
 */
import { assert, assertEquals, assertInstanceOf, assertMatch } from "#assert";
import { ConnectionError } from "../../base/errors.ts";
import { everywhere, once, take, takeTexts, transportsOf } from "./support.ts";

const ALL_OCTETS = Uint8Array.from({ length: 256 }, (_, index) => index);

everywhere("octets that are not UTF-8 end a WebSocket with text messages, and stay in the queue", {
  broker: "rabbitmq",
  transports: ["ws", "wss"],
  versions: ["1.2"],
  own: true,
  async fn({ connect, queue, broker }) {
    const destination = queue();
    const sender = await connect({ url: broker.urls["stomp"]! });
    const stomp = await connect();
    const subscription = await stomp.subscribe(destination, { ack: "client" });
    await sender.send(destination, "text ☃");
    const [message] = await take(subscription, 1);
    assertEquals(message!.text(), "text ☃");
    await message!.ack();
    await sender.send(destination, ALL_OCTETS);
    const reason = await subscription.closed;
    assertInstanceOf(reason, ConnectionError);
    assertMatch(reason!.message, /web_stomp\.ws_frame = binary|the connection broke/); // Node does not say why
    assertEquals(await stomp.closed, reason);

    // The message is not lost: another client can receive it.
    const [octets] = await take(await sender.subscribe(destination), 1);
    assertEquals(octets!.body, ALL_OCTETS);
  },
});

once("all octets arrive over a WebSocket with binary messages", {
  broker: "rabbitmq",
  own: true,
  timeout: 60_000,
  async fn({ broker, connect, queue, control }) {
    const transports = transportsOf(broker).filter((name) => name.startsWith("ws"));
    if (transports.length === 0) return;
    await control("binary");
    try {
      for (const transport of transports) {
        const stomp = await connect({ url: broker.urls[transport]! });
        const subscription = await stomp.subscribe(queue());
        const large = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7919) >> 3);
        for (const body of [ALL_OCTETS, large, new Uint8Array(0)]) {
          await stomp.send(subscription.destination, body);
          const [message] = await take(subscription, 1);
          assertEquals(message!.body.length, body.length);
          assert(message!.body.every((octet, index) => octet === body[index]));
        }
        await stomp.send(subscription.destination, "text ☃");
        assertEquals(await takeTexts(subscription, 1), ["text ☃"]);
      }
    } finally {
      await control("text");
    }
  },
});

everywhere("a burst of 6,000 messages is confirmed and received in order", {
  // The client sends no heart-beats here, because RabbitMQ would close such a connection: see `readHeartbeat`.
  broker: "rabbitmq",
  transports: ["ws", "wss"],
  versions: ["1.2"],
  timeout: 60_000,
  async fn({ connect, queue }) {
    const destination = queue();
    const stomp = await connect({ timeout: 30_000 });
    const texts = Array.from({ length: 6000 }, (_, index) => String(index));
    await Promise.all(texts.map((text) => stomp.send(destination, text, { headers: { persistent: "false" } })));
    const subscription = await stomp.subscribe(destination);
    assertEquals(await takeTexts(subscription, texts.length), texts);
  },
});
