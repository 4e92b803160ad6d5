/**
 * `request()`, `respond()` and `consume()` with the conventions of each broker.
 */
import { assert, assertEquals, assertRejects } from "#assert";
import { ConnectionError, TimeoutError } from "../../base/errors.ts";
import { eventually, everywhere, once, takeAllTexts } from "./support.ts";

everywhere("each of 20 parallel requests gets its own reply", async ({ connect, queue, version }) => {
  const destination = queue();
  const [asking, answering] = [await connect(), await connect()];
  const ack = version === "1.0" ? "client" : "client-individual";
  const server = await answering.respond(destination, (request) => `${request.text()}!`, { ack });
  const questions = Array.from({ length: 20 }, (_, n) => `question ${n}`);
  const replies = await Promise.all(questions.map((text) => asking.request(destination, text, { timeout: 8000 })));
  assertEquals(replies.map((reply) => reply.text()), questions.map((text) => `${text}!`));
  await server.unsubscribe();
});

once("a late reply is dropped, and a reply to a client that has gone is harmless", async ({ connect, queue }) => {
  const destination = queue();
  // RabbitMQ 4.3.6 sometimes hangs up on a reply to a client that has just gone: see limits_test.ts.
  const [asking, answering] = [await connect(), await connect({ reconnect: { delay: 0 } })];
  const { promise: late, resolve } = Promise.withResolvers<void>();
  let answered = 0;
  const server = await answering.respond(destination, async (request) => {
    if (request.text() === "slow") await late;
    answered++;
    return request.text();
  });
  await assertRejects(() => asking.request(destination, "slow", { timeout: 300 }), TimeoutError);
  resolve();
  await eventually("the late reply is sent", () => answered === 1);
  assertEquals((await asking.request(destination, "quick", { timeout: 8000 })).text(), "quick");

  await asking.request(destination, "then gone", { timeout: 8000 });
  const { promise: gone, resolve: go } = Promise.withResolvers<void>();
  const second = await answering.respond(`${destination}-2`, async () => {
    await gone;
    return "too late";
  });
  const unanswered = assertRejects(() => asking.request(`${destination}-2`, "x", { timeout: 8000 }), ConnectionError);
  await eventually("the request has arrived", () => second.received === 1);
  await asking.disconnect();
  await unanswered;
  go();
  assertEquals((await answering.send(destination, "no request"))?.command, "RECEIPT");
  await Promise.all([server.unsubscribe(), second.unsubscribe()]);
  assert(answering.connected);
});

everywhere("`consume()` acknowledges what it has handled, and leaves the rest in the queue", {
  versions: ["1.2"],
  async fn({ connect, queue, prefetch }) {
    const destination = queue();
    const [sender, worker] = [await connect(), await connect()];
    for (let n = 0; n < 30; n++) await sender.send(destination, `${n}`);
    const done: string[] = [];
    const stop = new AbortController();
    const working = worker.consume(destination, (message) => {
      done.push(message.text());
      if (done.length === 20) stop.abort();
    }, { concurrency: 3, ...prefetch(5), signal: stop.signal });
    await working;
    await worker.disconnect(); // RabbitMQ requeues unhandled messages only now
    const rest = await takeAllTexts(sender, await sender.subscribe(destination), 30 - done.length);
    assertEquals([...done, ...rest].map(Number).toSorted((a, b) => a - b), Array.from({ length: 30 }, (_, n) => n));
    assert(done.length >= 20 && rest.length > 0);
  },
});
