/** Delivery guarantees: unused messages go to other consumers, and one refused message does not affect others. */
import { assert, assertEquals, assertLess, assertRejects } from "#assert";
import type { Subscription } from "../../client/subscription.ts";
import { delay, everywhere, once, take } from "./support.ts";

const COUNT = 60;

/** The ways in which a consumer can end while its connection stays open. */
const ENDINGS: Record<string, (subscription: Subscription) => Promise<unknown>> = {
  "break": async (subscription) => {
    for await (const message of subscription) {
      await message.ack();
      break;
    }
  },
  "unsubscribe()": async (subscription) => {
    await (await subscription.take())!.ack();
    await subscription.unsubscribe();
  },
  "drain()": async (subscription) => {
    await (await subscription.take())!.ack();
    await subscription.drain();
  },
};

everywhere("messages that a consumer leaves reach another one within a second, while the first stays connected", {
  timeout: 30_000,
  async fn({ connect, queue, version, broker, prefetch }) {
    const ack = version === "1.0" ? "client" : "client-individual";
    const [leaving, other] = [await connect(), await connect()];
    for (const [name, end] of Object.entries(ENDINGS)) {
      const destination = queue();
      await Promise.all(Array.from({ length: COUNT }, (_, n) => other.send(destination, `${n}`)));
      await end(await leaving.subscribe(destination, { ack, ...prefetch(50) }));
      const ended = performance.now();
      const rest = await take(await other.subscribe(destination, { ack }), COUNT - 1);
      assertLess(performance.now() - ended, 1000, name);
      assertEquals(new Set(rest.map((message) => message.text())).size, COUNT - 1, `${name} on ${broker.name}`);
      assert(leaving.connected);
    }
  },
});

once(
  "`consume()` leaves its unhandled messages to other consumers after its signal aborts",
  async ({ connect, queue }) => {
    const destination = queue();
    const [leaving, other] = [await connect(), await connect()];
    await Promise.all(Array.from({ length: COUNT }, (_, n) => other.send(destination, `${n}`)));
    const stop = new AbortController();
    let handled = 0;
    await leaving.consume(destination, async () => {
      if (++handled === 3) stop.abort();
      await delay(0);
    }, { signal: stop.signal, concurrency: 3 });
    const rest = await take(await other.subscribe(destination, { ack: "client-individual" }), COUNT - handled);
    assertEquals(rest.length, COUNT - handled);
  },
);

once(
  "a message moved in a transaction is in the second queue after a commit, and in the first after an abort",
  async ({ connect, queue }) => {
    const [from, to] = [queue(), queue()];
    const stomp = await connect();
    for (const text of ["one", "two"]) await stomp.send(from, text);
    const [first, second] = await take(await stomp.subscribe(from, { ack: "client-individual" }), 2);
    await stomp.transaction(async (tx) => {
      await tx.send(to, first!.text());
      await tx.ack(first!);
    });
    await assertRejects(
      () =>
        stomp.transaction(async (tx) => {
          await tx.send(to, second!.text());
          await tx.ack(second!);
          throw new Error("no");
        }),
      Error,
      "no",
    );
    await stomp.disconnect();
    const reader = await connect();
    const moved = await take(await reader.subscribe(to), 1);
    const left = await take(await reader.subscribe(from), 1);
    assertEquals([moved[0]!.text(), left[0]!.text()], ["one", "two"]);
  },
);

once("a refused `send()` rejects alone, and the sends around it are confirmed", {
  broker: "rabbitmq",
  async fn({ connect, queue }) {
    const stomp = await connect({ reconnect: { delay: 10 } });
    const good = queue();
    const consumed: string[] = [];
    const subscription = await stomp.subscribe(good, { ack: "client-individual" });
    const reading = (async () => {
      for await (const message of subscription) {
        consumed.push(message.text());
        await message.ack();
      }
    })();
    const bad = ["/exchange/nosuch/key", "/nosuch/place"];
    for (const destination of bad) {
      const sends = Array.from({ length: 100 }, (_, n) => {
        return n === 50 ? stomp.send(destination, "bad") : stomp.send(good, `${destination} ${n}`);
      });
      const results = await Promise.allSettled(sends);
      assertEquals(results.flatMap(({ status }, n) => status === "rejected" ? [n] : []), [50], destination);
    }
    for (let i = 0; i < 50 && new Set(consumed).size < 198; i++) await delay(100);
    assertEquals(new Set(consumed).size, 198);
    assert(consumed.length <= 2 * 198, `${consumed.length}`);
    await subscription.unsubscribe();
    await reading;
  },
});
