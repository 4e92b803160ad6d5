/**
 * Request and reply, and the worker loop, by each broker's own conventions.
 */
import { assert, assertEquals, assertRejects } from "#assert";
import { ConnectionError, TimeoutError } from "../../base/errors.ts";
import { eventually, everywhere, once, takeTextsUntilMark } from "./support.ts";

everywhere("requests get each its reply", async ({ connect, queue, version }) => {
  const destination = queue();
  const [asking, answering] = [await connect(), await connect()];
  const ack = version === "1.0" ? "client" : "client-individual";
  const server = await answering.respond(destination, (request) => `${request.text()}!`, { ack });
  const questions = Array.from({ length: 20 }, (_, n) => `question ${n}`);
  const replies = await Promise.all(questions.map((text) => asking.request(destination, text, { timeout: 8000 })));
  assertEquals(replies.map((reply) => reply.text()), questions.map((text) => `${text}!`));
  await server.unsubscribe();
});

once("a reply that comes too late is dropped, and one to nobody is harmless", async ({ connect, queue }) => {
  const destination = queue();
  const [asking, answering] = [await connect(), await connect()];
  const { promise: late, resolve } = Promise.withResolvers<void>();
  let answered = 0;
  const server = await answering.respond(destination, async (request) => {
    if (request.text() === "slow") await late;
    answered++;
    return request.text();
  });
  await assertRejects(() => asking.request(destination, "slow", { timeout: 300 }), TimeoutError);
  resolve();
  await eventually("the late reply is on its way", () => answered === 1);
  assertEquals((await asking.request(destination, "quick", { timeout: 8000 })).text(), "quick");

  await asking.request(destination, "then gone", { timeout: 8000 });
  const { promise: gone, resolve: go } = Promise.withResolvers<void>();
  const second = await answering.respond(`${destination}-2`, async () => {
    await gone;
    return "to nobody";
  });
  const unanswered = assertRejects(() => asking.request(`${destination}-2`, "x", { timeout: 8000 }), ConnectionError);
  await eventually("it has been received", () => second.received === 1);
  await asking.disconnect();
  await unanswered;
  go();
  assertEquals((await answering.send(destination, "no request"))?.command, "RECEIPT");
  await Promise.all([server.unsubscribe(), second.unsubscribe()]);
  assert(answering.connected);
});

everywhere("a worker acknowledges what it has done, and ends in order", {
  versions: ["1.2"],
  async fn({ connect, queue }) {
    const destination = queue();
    const [sender, worker] = [await connect(), await connect()];
    for (let n = 0; n < 30; n++) await sender.send(destination, `${n}`);
    const done: string[] = [];
    const stop = new AbortController();
    const working = worker.consume(destination, (message) => {
      done.push(message.text());
      if (done.length === 20) stop.abort();
    }, { concurrency: 3, prefetch: 5, signal: stop.signal });
    await working;
    await worker.disconnect(); // not before that does RabbitMQ give back what was delivered and not taken
    const rest = await takeTextsUntilMark(sender, await sender.subscribe(destination));
    assertEquals([...done, ...rest].map(Number).toSorted((a, b) => a - b), Array.from({ length: 30 }, (_, n) => n));
    assert(done.length >= 20 && rest.length > 0);
  },
});
