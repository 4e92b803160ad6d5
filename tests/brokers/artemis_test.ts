/** What only Artemis does: it is told what is a queue and what a topic, and counts bytes before it waits for ACKs. */
import { assertEquals, assertMatch, assertRejects } from "#assert";
import { AcknowledgeError, BrokerErrorResponse } from "../../base/errors.ts";
import { delay, eventually, once, take, takeAllTexts, takeTexts, takeTextsUntilMark, VERSIONS } from "./support.ts";

once("a message to a queue without a consumer is kept, and goes to one consumer only", {
  broker: "artemis",
  versions: VERSIONS,
  async fn({ connect, queue }) {
    const destination = queue();
    const [one, two] = [await connect(), await connect()];
    await one.send(destination, "early");
    const first = await one.subscribe(destination);
    assertEquals(await takeTexts(first, 1), ["early"]);
    const second = await two.subscribe(destination);
    await Promise.all(["a", "b", "c", "d"].map((text) => one.send(destination, text)));
    await eventually("all have arrived", () => first.received + second.received === 5);
    assertEquals([first.received, second.received], [3, 2]);
  },
});

once("a message to a topic goes to all subscribers, and is not kept", {
  broker: "artemis",
  versions: VERSIONS,
  async fn({ connect, topic }) {
    const destination = topic();
    const stomp = await connect();
    await stomp.send(destination, "early");
    const subscriptions = [await stomp.subscribe(destination), await stomp.subscribe(destination)];
    await stomp.send(destination, "news");
    for (const subscription of subscriptions) assertEquals(await takeTexts(subscription, 1), ["news"]);
  },
});

once("`destination-type` and `subscription-type` in `headers` take precedence", {
  broker: "artemis",
  async fn({ connect, queue }) {
    const destination = queue();
    const stomp = await connect();
    const headers = { "subscription-type": "MULTICAST" };
    const subscriptions = [
      await stomp.subscribe(destination, { headers }),
      await stomp.subscribe(destination, { headers }),
    ];
    await stomp.send(destination, "to all", { headers: { "destination-type": "MULTICAST" } });
    for (const subscription of subscriptions) assertEquals(await takeTexts(subscription, 1), ["to all"]);
  },
});

once("`prefetch: 1` sends one message, and one more after each ACK", {
  broker: "artemis",
  versions: VERSIONS,
  async fn({ connect, queue }) {
    const destination = queue();
    const stomp = await connect();
    for (let n = 1; n <= 4; n++) await stomp.send(destination, `${n}`);
    const subscription = await stomp.subscribe(destination, { ack: "client", prefetch: 1 });
    for (let n = 1; n <= 4; n++) {
      const [message] = await take(subscription, 1);
      await delay(100);
      assertEquals([message!.text(), subscription.received], [`${n}`, n]);
      await message!.ack();
    }
  },
});

once("a program may acknowledge every thousandth message, although Artemis sends only 10 KiB by default", {
  broker: "artemis",
  async fn({ connect, queue }) {
    const destination = queue();
    const stomp = await connect();
    const subscription = await stomp.subscribe(destination, { ack: "client" });
    await Promise.all(Array.from({ length: 1000 }, (_, n) => stomp.send(destination, `${n}`.padEnd(200))));
    const messages = await take(subscription, 1000);
    await messages.at(-1)!.ack();
    assertEquals(await takeTextsUntilMark(stomp, subscription), []);
  },
});

once("a refused SUBSCRIBE rejects, although its ERROR names no receipt", {
  broker: "artemis",
  async fn({ connect, topic }) {
    const stomp = await connect();
    const headers = { "durable-subscription-name": "needs a client id" };
    const error = await assertRejects(() => stomp.subscribe(topic(), { headers }), BrokerErrorResponse);
    assertEquals(error.frame!.headers["receipt-id"], undefined);
    assertMatch(error.message, /AMQ339016 Error creating subscription/);
  },
});

once("a reply to a client that has left does no harm, and is not kept", {
  broker: "artemis",
  async fn({ connect, queue }) {
    const destination = queue();
    const [asking, answering] = [await connect(), await connect()];
    let address = "";
    const responder = await answering.respond(destination, (request) => {
      address = request.headers["reply-to"]!;
      return "yes";
    });
    assertEquals((await asking.request(destination, "there?", { timeout: 8000 })).text(), "yes");
    await asking.disconnect();
    await answering.send(address, "too late");
    assertEquals(await takeTextsUntilMark(answering, await answering.subscribe(address)), []);
    await responder.unsubscribe();
  },
});

once("`nack()` is refused, because it would lose the message, unless that is asked for", {
  broker: "artemis",
  async fn({ connect, queue }) {
    const destination = queue();
    const stomp = await connect();
    const subscription = await stomp.subscribe(destination, { ack: "client-individual" });
    for (const text of ["kept", "dropped"]) await stomp.send(destination, text);
    const [kept, dropped] = await take(subscription, 2);
    await assertRejects(() => kept!.nack(), AcknowledgeError, "Artemis drops a message for good on NACK");
    await dropped!.nack({ headers: { requeue: "false" } });
    await subscription.unsubscribe();
    assertEquals(await takeAllTexts(stomp, await stomp.subscribe(destination), 1), ["kept"]);
    assertEquals(await takeTextsUntilMark(stomp, await stomp.subscribe("/queue/DLQ")), []);
  },
});

once("`consume()` runs a handler that threw again, and loses no message", {
  broker: "artemis",
  async fn({ connect, queue }) {
    const destination = queue();
    const stomp = await connect();
    const stop = new AbortController();
    const seen: string[] = [];
    const errors: unknown[] = [];
    for (const text of ["bad", "good", "last"]) await stomp.send(destination, text);
    await stomp.consume(destination, (message) => {
      seen.push(message.text());
      if (message.text() === "bad" && errors.length < 2) throw new Error("not yet");
      if (message.text() === "last") {
        stop.abort();
        throw new Error("never");
      }
    }, { signal: stop.signal, onError: (error) => errors.push(error) });
    assertEquals([seen, errors.length], [["bad", "bad", "bad", "good", "last"], 3]);
    assertEquals(await takeAllTexts(stomp, await stomp.subscribe(destination), 1), ["last"]);
  },
});
