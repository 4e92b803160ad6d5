/** Request and reply against `Broker`. */
import { assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  type Message,
  NotConnectedError,
  RequestError,
  Stomp,
  TimeoutError,
} from "../../mod.ts";
import { clientTest } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, errorFor, message } from "../support/raw_server.ts";

test("`request()` resolves to its reply", async () => {
  await using broker = await Broker.listen();
  await using server = await Stomp.connect(broker.url);
  await using client = await Stomp.connect(broker.url);
  await using _serving = await server.respond("/queue/upper", (request) => request.text().toUpperCase());
  const reply = await client.request("/queue/upper", "hello");
  assertEquals(reply.text(), "HELLO");
});

test("`request()` many times shares one queue, and each call gets its own reply", async () => {
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

test("`respond()` sends bytes, and options of a reply", async () => {
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

clientTest("`request()` times out without a reply, and a late reply is dropped", async (harness) => {
  const clock = new FakeClock();
  const stomp = await harness.connect((await harness.broker()).url, { clock });
  const requests = await stomp.subscribe("/queue/a");
  const unanswered = assertRejects(() => stomp.request("/queue/a", "?", { timeout: 50 }), TimeoutError);
  const late = await requests.take() as Message;
  clock.pass(50);
  await unanswered;
  await stomp.send(late.headers["reply-to"]!, "too late", { correlationId: late.headers["correlation-id"] });
  // The next request is not confused by it.
  const answering = requests.take().then((request) =>
    stomp.send(request!.headers["reply-to"]!, "in time", { correlationId: request!.headers["correlation-id"] })
  );
  assertEquals((await stomp.request("/queue/a", "?")).text(), "in time");
  await answering;
});

test("`request()` rejects with the reason of its signal", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  const reason = new Error("never mind");
  const abort = new AbortController();
  const request = stomp.request("/queue/a", "?", { signal: abort.signal });
  setTimeout(() => abort.abort(reason), 20);
  assertEquals(await request.catch((error) => error), reason);
});

test("`respond()` handles a message without reply-to, and sends no reply", async () => {
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
  assertEquals(broker.stats.messages, 0);
});

test("`request()` rejects when the connection is lost, and the next one works", async () => {
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

clientTest(
  "`request()` rejects when the queue for replies is refused, and the next one tries again",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const refused = assertRejects(() => stomp.request("/queue/a", "one"), BrokerErrorResponse, "not now");
    await peer.write(errorFor(await peer.frame("SUBSCRIBE"), "not now"));
    await refused;
    const asking = stomp.request("/queue/a", "two");
    const id = (await confirm(peer, "SUBSCRIBE")).get("id")!;
    const request = await peer.frame("SEND"); // of the second request, and none of the first
    assertEquals(request.body, "two");
    await peer.write(message(id, "m1", `correlation-id:${request.get("correlation-id")}\n`));
    assertEquals((await asking).text(), "m1");
  },
);

test("`request()` of a closed client rejects", async () => {
  await using broker = await Broker.listen();
  const stomp = await Stomp.connect(broker.url);
  const requests = await stomp.subscribe("/queue/a");
  const waiting = stomp.request("/queue/a", "?").catch((error) => error);
  await requests.take();
  await stomp.disconnect();
  assertInstanceOf(await waiting, ConnectionError);
  await assertRejects(() => stomp.request("/queue/a", "?"), NotConnectedError);
});

test("`request()` rejects at once with the first line of the error that the handler throws", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  const thrown: [unknown, string][] = [
    [new Error("no such order: 7\nat secret.ts:1"), "no such order: 7"],
    [new TypeError("\ta\u0000b: é "), "a b: é"],
    ["plain text", "plain text"],
    [new Error("😀".repeat(300)), "😀".repeat(200)],
    [new Error(""), "it gave no reason"],
    [{ secret: 1 }, "it gave no reason"],
    [undefined, "it gave no reason"],
  ];
  const told: unknown[] = [];
  await using _serving = await stomp.respond("/queue/a", (request) => {
    throw thrown[Number(request.text())]![0];
  }, { onError: (error) => told.push(error) });
  for (const [n, [, words]] of thrown.entries()) {
    const error = await assertRejects(() => stomp.request("/queue/a", String(n)), RequestError);
    assertEquals(error.message, `Cannot get a reply from /queue/a: its handler failed: ${words}`);
    assertEquals([error.frame?.headers["x-stompy-error"], error.frame?.text()], [words, ""]);
  }
  await stomp.send("/queue/b", "the last request is acknowledged when this is confirmed");
  assertEquals(told, thrown.map(([error]) => error));
  assertEquals(broker.stats.messages, 1);
});

test("`respond()` runs a handler as often as `retry` says before `request()` rejects", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  let runs = 0;
  await using _serving = await stomp.respond("/queue/a", (request) => {
    if (++runs < 3 || request.text() === "bad") throw new Error(`run ${runs}`);
    return "ok";
  }, { retry: { attempts: 3, delay: 1 } });
  assertEquals((await stomp.request("/queue/a", "good")).text(), "ok");
  await assertRejects(() => stomp.request("/queue/a", "bad"), RequestError, "run 6");
});

test("`request()` rejects when its reply cannot be sent", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await using _serving = await stomp.respond("/queue/a", () => 7 as unknown as string);
  await assertRejects(() => stomp.request("/queue/a", "?"), RequestError);
});

clientTest(
  "`respond()` refuses a failed request without reply-to, and leaves it to the broker while it ends",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const [serving] = await Promise.all([
      stomp.respond("/queue/a", async (request) => {
        if (request.id === "m2") serving.drain();
        throw await new Error("no");
      }),
      confirm(peer, "SUBSCRIBE"),
    ]);
    await peer.write(message("sub-1", "m1"));
    assertEquals((await peer.frame("NACK")).get("id"), "m1");
    await peer.write(message("sub-1", "m2", "reply-to:/queue/r\ncorrelation-id:1\n"));
    await confirm(peer, "UNSUBSCRIBE"); // no SEND, no NACK
    assertEquals(await serving.closed, undefined);
  },
);

clientTest("`respond()` refuses a failed request when its error reply fails", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ timeout: 50, clock });
  const serving = stomp.respond("/queue/a", () => {
    throw new Error("no");
  });
  await confirm(peer, "SUBSCRIBE");
  await serving;
  await peer.write(message("sub-1", "m1", "reply-to:/queue/r\ncorrelation-id:1\n"));
  assertEquals((await peer.frame("SEND")).get("x-stompy-error"), "no");
  clock.pass(50); // without a RECEIPT
  assertEquals((await peer.frame("NACK")).get("id"), "m1");
});

clientTest("`respond()` in mode `auto` sends the error of a handler, too", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const serving = stomp.respond("/queue/a", () => {
    throw new Error("no");
  }, { ack: "auto" });
  await confirm(peer, "SUBSCRIBE");
  await serving;
  await peer.write(message("sub-1", "m1", "reply-to:/queue/r\n"));
  assertEquals((await confirm(peer, "SEND")).get("x-stompy-error"), "no");
});

test("`x-stompy-error` is one line of at most 200 characters, whoever sent it", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await using _serving = await stomp.respond("/queue/a", () => {
    return { body: "", options: { headers: { "x-stompy-error": `one\n${"two".repeat(1000)}` } } };
  });
  const error = await assertRejects(() => stomp.request("/queue/a", "?"), RequestError);
  assertEquals(error.message, "Cannot get a reply from /queue/a: its handler failed: one");
});

test("a client without requests needs no `crypto.randomUUID`, which pages without HTTPS do not have", async () => {
  await using broker = await Broker.listen();
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  try {
    await using stomp = await Stomp.connect(broker.url);
    await stomp.send("/queue/a", "x");
  } finally {
    delete (crypto as { randomUUID?: unknown }).randomUUID;
  }
});
