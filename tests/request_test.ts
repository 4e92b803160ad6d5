/** Request and reply against `Broker`. */
import { assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { test } from "#test";
import { Broker } from "../broker/broker.ts";
import { ConnectionError, type Message, NotConnectedError, Stomp, TimeoutError } from "../mod.ts";

test("a request gets its reply", async () => {
  await using broker = await Broker.listen();
  await using server = await Stomp.connect(broker.url);
  await using client = await Stomp.connect(broker.url);
  await using _serving = await server.respond("/queue/upper", (request) => request.text().toUpperCase());
  const reply = await client.request("/queue/upper", "hello");
  assertEquals(reply.text(), "HELLO");
});

test("many requests share one queue, and each gets its own reply", async () => {
  await using broker = await Broker.listen();
  await using server = await Stomp.connect(broker.url);
  await using client = await Stomp.connect(broker.url);
  await using _serving = await server.respond("/queue/double", (request) => String(Number(request.text()) * 2), {
    concurrency: 10,
  });
  const numbers = Array.from({ length: 200 }, (_, n) => n);
  const replies = await Promise.all(numbers.map((n) => client.request("/queue/double", String(n))));
  assertEquals(replies.map((reply) => Number(reply.text())), numbers.map((n) => n * 2));
});

test("a reply may be bytes, and have options of its own", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await using _serving = await stomp.respond("/queue/a", () => ({
    body: new Uint8Array([1, 0, 2]),
    options: { contentType: "application/x-three", headers: { extra: "yes" } },
  }));
  const reply = await stomp.request("/queue/a", "?");
  assertEquals([...reply.body], [1, 0, 2]);
  assertEquals([reply.headers["content-type"], reply.headers["extra"]], ["application/x-three", "yes"]);
});

test("a request that nobody answers ends with its time, and a late reply is dropped", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  const requests = await stomp.subscribe("/queue/a");
  await assertRejects(() => stomp.request("/queue/a", "?", { timeout: 50 }), TimeoutError);
  const late = await requests.take() as Message;
  await stomp.send(late.headers["reply-to"]!, "too late", { correlationId: late.headers["correlation-id"] });
  // The next request is not confused by it.
  const answering = requests.take().then((request) =>
    stomp.send(request!.headers["reply-to"]!, "in time", { correlationId: request!.headers["correlation-id"] })
  );
  assertEquals((await stomp.request("/queue/a", "?")).text(), "in time");
  await answering;
});

test("a signal ends a request with its own reason", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  const reason = new Error("never mind");
  const abort = new AbortController();
  const request = stomp.request("/queue/a", "?", { signal: abort.signal });
  setTimeout(() => abort.abort(reason), 20);
  assertEquals(await request.catch((error) => error), reason);
});

test("a message without reply-to is handled, and nothing is sent", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  const handled = Promise.withResolvers<string>();
  await using serving = await stomp.respond("/queue/a", (request) => {
    handled.resolve(request.text());
    return "to nobody";
  });
  await stomp.send("/queue/a", "no reply wanted");
  assertEquals(await handled.promise, "no reply wanted");
  await serving.drain();
  assertEquals(broker.counts.messages, 0);
});

test("a lost connection rejects what was waiting, and the next request works", async () => {
  await using broker = await Broker.listen();
  await using server = await Stomp.connect(broker.url);
  await using client = await Stomp.connect(broker.url, { reconnect: { delay: 1, maxDelay: 10 } });
  const asked = Promise.withResolvers<void>();
  const serving = await server.respond("/queue/a", async (request) => {
    if (request.text() === "first") {
      asked.resolve();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return "ok";
  }, { concurrency: 2 });
  const lost = client.request("/queue/a", "first").catch((error) => error);
  await asked.promise;
  client.reconnect();
  assertInstanceOf(await lost, ConnectionError);
  assertEquals((await client.request("/queue/a", "second")).text(), "ok");
  await serving.drain(); // the first one is still being answered
});

test("a closed client rejects requests", async () => {
  await using broker = await Broker.listen();
  const stomp = await Stomp.connect(broker.url);
  const requests = await stomp.subscribe("/queue/a");
  const waiting = stomp.request("/queue/a", "?").catch((error) => error);
  await requests.take();
  await stomp.disconnect();
  assertInstanceOf(await waiting, ConnectionError);
  await assertRejects(() => stomp.request("/queue/a", "?"), NotConnectedError);
});
