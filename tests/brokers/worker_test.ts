/**
 * Workers and acknowledgements where brokers differ: which messages an ACK covers, which are redelivered, and to whom.
 */
import { assert, assertEquals, assertGreater, assertRejects } from "#assert";
import { RequestError } from "../../base/errors.ts";
import { delay, everywhere, once, take, takeAllTexts, takeTexts, takeTextsUntilMark } from "./support.ts";

everywhere("in mode client, an ACK covers only messages of the same subscription", async ({ connect, queue }) => {
  const [a, b] = [queue(), queue()];
  const [worker, sender] = [await connect(), await connect()];
  const first = await worker.subscribe(b, { ack: "client" });
  const second = await worker.subscribe(a, { ack: "client" });
  await sender.send(b, "b1");
  await take(first, 1); // received and not acknowledged
  for (const text of ["a1", "a2", "a3"]) await sender.send(a, text);
  const messages = await take(second, 3);
  await messages[1]!.ack();
  await worker.disconnect();

  assertEquals(await takeAllTexts(sender, await sender.subscribe(b), 1), ["b1"]);
  assertEquals(await takeAllTexts(sender, await sender.subscribe(a), 1), ["a3"]);
});

once(
  "in mode client, `tx.ack()` covers all messages up to this one after a commit, and none after an abort",
  async ({ connect, queue }) => {
    for (const how of ["commit", "abort"] as const) {
      const destination = queue();
      const [worker, sender] = [await connect(), await connect()];
      for (const text of ["one", "two", "three"]) await sender.send(destination, text);
      const messages = await take(await worker.subscribe(destination, { ack: "client" }), 3);
      const tx = await worker.begin();
      await tx.ack(messages[1]!);
      await tx[how]();
      await worker.disconnect();
      const expected = how === "commit" ? ["three"] : ["one", "three", "two"];
      const left = await takeAllTexts(sender, await sender.subscribe(destination), expected.length);
      assertEquals(left.sort(), expected);
    }
  },
);

once("`consume()` retries a failing message with growing delays, and `attempts` counts the deliveries", {
  broker: "rabbitmq",
  async fn({ connect, queue }) {
    for (const type of ["classic", "quorum"]) {
      const stomp = await connect();
      const destination = queue();
      const headers = { "x-queue-type": type };
      const stop = new AbortController();
      const attempts: number[] = [];
      const others: string[] = [];
      await stomp.send(destination, "bad", { headers });
      const loop = stomp.consume(destination, async (message) => {
        if (message.text() !== "bad") return others.push(message.text());
        attempts.push(message.attempts);
        if (attempts.length < 4) await stomp.send(destination, `good ${attempts.length}`, { headers });
        else stop.abort();
        throw new Error("bad");
      }, { signal: stop.signal, headers });
      const start = performance.now();
      await loop;
      assertGreater(performance.now() - start, 280); // 0, 100 and 200 ms
      assertEquals([attempts, others], [[1, 2, 3, 4], ["good 1", "good 2", "good 3"]], type);
    }
  },
});

once("a second worker gets a share of the waiting messages", async ({ connect, queue }) => {
  const destination = queue();
  const sender = await connect();
  const COUNT = 200;
  await Promise.all(Array.from({ length: COUNT }, (_, n) => sender.send(destination, `${n}`)));
  const stop = new AbortController();
  const done = [0, 0];
  const begun = Promise.withResolvers<void>();
  const work = async (index: number) => {
    const worker = await connect();
    await worker.consume(destination, async () => {
      begun.resolve();
      await delay(10);
      done[index]!++;
      if (done[0]! + done[1]! === COUNT) stop.abort();
    }, { signal: stop.signal, concurrency: 2 });
  };
  const first = work(0);
  await begun.promise;
  await Promise.all([first, work(1)]);
  assert(Math.min(...done) > COUNT / 4, `${done}`);
});

once("`consume()` that is stopped during a failure leaves the message in the queue", async ({ connect, queue }) => {
  for (const retry of [{ attempts: 1 }, { attempts: 5, delay: 60_000 }]) {
    const destination = queue();
    const [worker, sender] = [await connect(), await connect()];
    await sender.send(destination, "order", { persistent: true });
    const stop = new AbortController();
    await worker.consume(destination, async () => {
      if (retry.attempts === 1) stop.abort();
      else setTimeout(() => stop.abort(), 20); // during the wait for the second attempt
      await delay(0);
      throw new Error("busy");
    }, { signal: stop.signal, retry, nackHeaders: { requeue: "false" } });
    await worker.disconnect();
    assertEquals(await takeTexts(await sender.subscribe(destination), 1), ["order"]);
  }
});

once("`request()` rejects when the handler of `respond()` throws", async ({ connect, queue }) => {
  const destination = queue();
  const [asking, answering] = [await connect(), await connect()];
  const serving = await answering.respond(destination, (request) => {
    throw new Error(`no such order: ${request.text()} – é\nat line 1`);
  });
  const error = await assertRejects(() => asking.request(destination, "7", { timeout: 8000 }), RequestError);
  assertEquals(error.message, `Cannot get a reply from ${destination}: its handler failed: no such order: 7 – é`);
  await serving.drain();
  await answering.disconnect();
  assertEquals(await takeTextsUntilMark(asking, await asking.subscribe(destination)), []);
});

once(
  "a `for await` loop continues after a reconnect, and `ack()` of a stale message resolves to `false`",
  async ({ connect, queue }) => {
    const stomp = await connect({ reconnect: { delay: 0 } });
    const destination = queue();
    await stomp.send(destination, "job", { persistent: true });
    const written: boolean[] = [];
    const jobs = await stomp.subscribe(destination, { ack: "client-individual" });
    for await (const job of jobs) {
      if (written.length === 0) stomp.reconnect();
      else assertEquals([job.redelivered, job.attempts], [true, 2]);
      written.push(await job.ack());
      if (written.length === 2) break;
    }
    assertEquals([written, jobs.stale], [[false, true], 1]);
  },
);
