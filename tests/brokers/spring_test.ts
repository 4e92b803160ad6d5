/** Spring's simple broker, in the application of Spring's guide: nothing is confirmed, nothing is kept. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "#assert";
import { BrokerErrorResponse, UnsupportedByBrokerError } from "../../base/errors.ts";
import type { Stomp } from "../../api/stomp.ts";
import { Watcher } from "../support/client_harness.ts";
import { type BrokerTest, delay, eventually, everywhere, once, take, takeTexts, VERSIONS } from "./support.ts";
import type { Subscription } from "../../client/subscription.ts";

const ON_SPRING: Pick<BrokerTest, "broker" | "needs"> = { broker: "spring", needs: [] };
const PLAIN = ["ws", "sockjs"];

/** Spring handles the frames of a connection side by side, so this sends until a message comes back. */
async function settled(stomp: Stomp, subscription: Subscription): Promise<void> {
  while (subscription.received === 0) {
    await stomp.send(subscription.destination, "are you there?");
    await delay(20);
  }
  await delay(100);
  while (subscription.queued > 0) await subscription.take();
}

everywhere("the application of the guide answers, also to text without a type", {
  ...ON_SPRING,
  async fn({ connect }) {
    const stomp = await connect();
    const greetings = await stomp.subscribe("/topic/greetings");
    for (const options of [{}, { contentType: "application/json" }]) {
      await eventually("the greeting has come", async () => {
        await stomp.send("/app/hello", JSON.stringify({ name: "Ada" }), options);
        await delay(50);
        return greetings.queued > 0;
      });
      const [greeting] = await take(greetings, 1);
      assertEquals(greeting!.json(), { content: "Hello, Ada!" });
      await delay(200);
      while (greetings.queued > 0) await greetings.take();
    }
  },
});

everywhere("`send()` and `subscribe()` resolve without receipts, and all subscribers get the message", {
  ...ON_SPRING,
  async fn({ connect, queue, topic }) {
    const [one, two] = [await connect(), await connect()];
    for (const destination of [queue(), topic()]) {
      const subscriptions = [await one.subscribe(destination), await two.subscribe(destination)];
      await settled(one, subscriptions[0]!);
      await settled(two, subscriptions[1]!);
      assertEquals(await one.send(destination, "to all ☃\0"), undefined);
      for (const subscription of subscriptions) {
        const texts = await takeTexts(subscription, 1);
        // The second subscriber may have got questions of the first one.
        while (texts[0] === "are you there?") texts.splice(0, 1, ...await takeTexts(subscription, 1));
        assertEquals(texts, ["to all ☃\0"]);
        await subscription.unsubscribe();
      }
    }
  },
});

everywhere("messages up to 64 KiB are cut to what Tomcat takes, and a larger one is refused before it is sent", {
  ...ON_SPRING,
  versions: ["1.2"],
  async fn({ connect, topic }) {
    const stomp = await connect();
    const destination = topic();
    const subscription = await stomp.subscribe(destination);
    await settled(stomp, subscription);
    const bodies = ["x".repeat(8000), "☃".repeat(20_000), new Uint8Array(60_000).map((_, index) => index)];
    for (const body of bodies) {
      await stomp.send(destination, body);
      const [message] = await take(subscription, 1);
      assertEquals(typeof body === "string" ? message!.text() : message!.body, body);
    }
    // Many small ones leave in one piece, which must be cut as well.
    await Promise.all(Array.from({ length: 500 }, (_, n) => stomp.send(destination, `${n}`.padEnd(100))));
    const texts = await takeTexts(subscription, 500);
    assertEquals(new Set(texts).size, 500);
    const error = await assertRejects(() => stomp.send(destination, "x".repeat(65_536)), RangeError);
    assertMatch(error.message, /hangs up on more than 65536/);
    await stomp.send(destination, "undisturbed");
    assertEquals(await takeTexts(subscription, 1), ["undisturbed"]);
  },
});

once("what needs receipts or acknowledgements is refused, and the connection continues", {
  ...ON_SPRING,
  versions: VERSIONS,
  async fn({ connect, topic }) {
    const stomp = await connect({ clientId: "me" });
    const destination = topic();
    const calls: [option: string, call: () => Promise<unknown>][] = [
      ["receipt", () => stomp.send(destination, "x", { receipt: true })],
      ["receipt", () => stomp.send(destination, "x", { headers: { receipt: "mine" } })],
      ["receipt", () => stomp.subscribe(destination, { receipt: true })],
      ["ack", () => stomp.subscribe(destination, { ack: "client" })],
      ["ack", () => stomp.consume(destination, () => {}, { ack: "client" })],
      ["transaction", () => stomp.begin()],
      ["transaction", () => stomp.transaction(() => Promise.resolve())],
      ["request", () => stomp.request("/app/hello", "{}")],
      ["prefetch", () => stomp.subscribe(destination, { prefetch: 1 })],
      ["durable", () => stomp.subscribe(destination, { durable: "d" })],
      ["selector", () => stomp.subscribe(destination, { selector: "a = 1" })],
      ["exclusive", () => stomp.subscribe(destination, { exclusive: true })],
      ["persistent", () => stomp.send(destination, "x", { persistent: true })],
      ["priority", () => stomp.send(destination, "x", { priority: 1 })],
      ["expires", () => stomp.send(destination, "x", { expires: 1000 })],
      ["delay", () => stomp.send(destination, "x", { delay: 1000 })],
      ["deduplicationId", () => stomp.send(destination, "x", { deduplicationId: "1" })],
      ["group", () => stomp.send(destination, "x", { group: "1" })],
    ];
    for (const [option, call] of calls) {
      const error = await assertRejects(call, UnsupportedByBrokerError);
      assertEquals([error.option, error.broker], [option, "spring"]);
    }
    const subscription = await stomp.subscribe(destination);
    await settled(stomp, subscription);
    await stomp.send(destination, "works", { replyTo: "/topic/b", correlationId: "c", persistent: false });
    const [message] = await take(subscription, 1);
    assertEquals([message!.headers["reply-to"], message!.headers["correlation-id"]], ["/topic/b", "c"]);
  },
});

everywhere("answers to one user, and errors, come to /user/queue", {
  ...ON_SPRING,
  transports: PLAIN,
  versions: ["1.2"],
  async fn({ connect }) {
    const [stomp, other] = [await connect(), await connect()];
    const replies = await stomp.subscribe("/user/queue/replies");
    const errors = await stomp.subscribe("/user/queue/errors");
    const others = await other.subscribe("/user/queue/replies");
    await eventually("an answer has come", async () => {
      await stomp.send("/app/whisper", JSON.stringify({ name: "Ada" }));
      await stomp.send("/app/fail", "");
      await delay(50);
      return replies.received > 0 && errors.received > 0;
    });
    assertEquals((await take(replies, 1))[0]!.json(), { content: "Psst, Ada" });
    assertEquals(await takeTexts(errors, 1), ["this handler always fails"]);
    assertEquals(others.received, 0);
  },
});

once("heart-beats keep the connection alive", {
  ...ON_SPRING,
  timeout: 30_000,
  slow: true,
  async fn({ broker, connect, topic }) {
    const url = broker.urls["wss"]!;
    const stomp = await connect({ url, heartbeat: { send: 1000, receive: 1000 } });
    const subscription = await stomp.subscribe(topic());
    await delay(5000); // Spring hangs up after three intervals
    assert(stomp.connected);
    await settled(stomp, subscription);
  },
});

once("the client reconnects after a kill, subscribes again, and sends what waited", {
  ...ON_SPRING,
  timeout: 90_000,
  slow: true,
  async fn({ connect, control, topic }) {
    const stomp = await connect({ reconnect: { delay: 50, maxDelay: 500 } });
    const destination = topic();
    const subscription = await stomp.subscribe(destination);
    await settled(stomp, subscription);
    const watcher = new Watcher(stomp);
    await control("kill");
    await watcher.until("disconnected");
    const waiting = stomp.send(destination, "sent while it was down", { timeout: 60_000 });
    await control("restart");
    await watcher.until("connected");
    assertEquals(await waiting, undefined);
    await eventually("the subscription works again", async () => {
      await stomp.send(destination, "again");
      await delay(50);
      return subscription.received > 1;
    });
  },
});

everywhere("an ERROR has Spring's text, and ends the connection", {
  ...ON_SPRING,
  transports: PLAIN,
  versions: ["1.2"],
  async fn({ connect, topic }) {
    const stomp = await connect({ frameLimits: { bytes: Infinity } });
    await stomp.send(topic(), "x".repeat(70_000));
    const error = await stomp.closed;
    assertInstanceOf(error, BrokerErrorResponse);
    assertMatch(error.message, /exceed(s|ed)/);
  },
});
