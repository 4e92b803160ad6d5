/** The worker loop against `Broker`. */
import { assertEquals, assertRejects } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import { Stomp } from "../../mod.ts";
import { clientTest, dropConnection, flushMicrotasks } from "../support/client_harness.ts";

test("`consume()` acknowledges when the handler returns, and drains on its signal", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  for (let n = 0; n < 10; n++) await stomp.send("/queue/a", String(n));
  const over = new AbortController();
  const seen: string[] = [];
  await stomp.consume("/queue/a", (message) => {
    seen.push(message.text());
    if (seen.length === 10) over.abort();
  }, { signal: over.signal });
  assertEquals(seen, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  assertEquals(broker.stats.messages, 0);
});

test("`consume()` handles as many messages at a time as `concurrency` says", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  for (let n = 0; n < 20; n++) await stomp.send("/queue/a", String(n));
  const over = new AbortController();
  let running = 0;
  let most = 0;
  let done = 0;
  await stomp.consume("/queue/a", async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    if (++done === 20) over.abort();
  }, { signal: over.signal, concurrency: 4 });
  assertEquals([most, done, broker.stats.messages], [4, 20, 0]);
});

test("`consume()` runs a handler that throws `retry.attempts` times, then refuses the message", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await stomp.send("/queue/a", "good after a while");
  await stomp.send("/queue/a", "bad");
  const over = new AbortController();
  const attempts: Record<string, number> = {};
  const errors: string[] = [];
  await stomp.consume("/queue/a", (message) => {
    const text = message.text();
    attempts[text] = (attempts[text] ?? 0) + 1;
    if (text === "bad" || attempts[text] < 3) throw new Error(`not ${text}`);
  }, {
    signal: over.signal,
    retry: { attempts: 3, delay: 1 },
    nackHeaders: { requeue: "false" },
    onError: (error, message) => {
      errors.push(`${message.text()}: ${(error as Error).message}`);
      over.abort();
    },
  });
  assertEquals(attempts, { "good after a while": 3, bad: 3 });
  assertEquals(errors, ["bad: not bad"]);
  assertEquals(broker.stats.messages, 0);
});

test("`consume()` returns unhandled messages to the queue when it ends", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  for (let n = 0; n < 5; n++) await stomp.send("/queue/a", String(n));
  const over = new AbortController();
  const seen: string[] = [];
  await stomp.consume("/queue/a", async (message) => {
    over.abort(); // in the middle of the first
    await new Promise((resolve) => setTimeout(resolve, 10));
    seen.push(message.text());
  }, { signal: over.signal });
  assertEquals(seen, ["0"]);
  assertEquals(broker.stats.messages, 4);
});

test("`consume()` rejects with the error that ended the client", async () => {
  const broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url, { reconnect: false });
  const loop = stomp.consume("/queue/a", () => {}).catch((error) => error.name);
  await stomp.send("/queue/b", "the loop has subscribed when this is confirmed");
  await broker.close();
  assertEquals(typeof await loop, "string");
});

test("`consume()` rejects a concurrency of 0 and an invalid `drainTimeout`", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await assertRejects(() => stomp.consume("/queue/a", () => {}, { concurrency: 0 }), RangeError);
  await assertRejects(() => stomp.consume("/queue/a", () => {}, { drainTimeout: NaN }), RangeError);
});

test("`consume()` with an aborted signal does not subscribe", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await stomp.send("/queue/a", "stays");
  await stomp.consume("/queue/a", () => {}, { signal: AbortSignal.abort() });
  assertEquals(broker.stats.messages, 1);
});

test("`consume()` that drains does not wait for a retry, and leaves the message to the broker", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await stomp.send("/queue/a", "bad");
  const over = new AbortController();
  let attempts = 0;
  await stomp.consume("/queue/a", () => {
    attempts++;
    setTimeout(() => over.abort(), 5);
    throw new Error("bad");
  }, { signal: over.signal, retry: { attempts: 5, delay: 60_000 }, nackHeaders: { requeue: "false" } });
  assertEquals([attempts, broker.stats.messages], [1, 1]);
});

test("`consume()` rejects and unsubscribes when `onError` throws", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await stomp.send("/queue/a", "bad");
  const loop = stomp.consume("/queue/a", () => {
    throw new Error("bad");
  }, {
    nackHeaders: { requeue: "false" },
    onError: () => {
      throw new Error("enough");
    },
  });
  await assertRejects(() => loop, Error, "enough");
  await stomp.send("/queue/a", "for nobody");
  assertEquals(broker.stats.messages, 1);
});

test("`consume()` aborts the handler's signal after `drainTimeout`, and resolves", async () => {
  for (const listens of [true, false]) {
    await using broker = await Broker.listen();
    await using stomp = await Stomp.connect(broker.url);
    await stomp.send("/queue/a", "long");
    const over = new AbortController();
    const handled = Promise.withResolvers<void>();
    let told = false;
    await stomp.consume("/queue/a", async (_, signal) => {
      over.abort();
      if (listens) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      else await handled.promise;
      told = signal.aborted;
    }, { signal: over.signal, drainTimeout: 50 });
    // It goes to another consumer. A handler that ends on its signal may still be in time.
    if (!listens) assertEquals(broker.stats.messages, 1);
    handled.resolve();
    await flushMicrotasks();
    assertEquals([told, stomp.connected], [true, true]);
  }
});

test("`consume()` aborts the handler's signal when the client ends", async () => {
  await using broker = await Broker.listen();
  const stomp = await Stomp.connect(broker.url);
  await stomp.send("/queue/a", "long");
  const begun = Promise.withResolvers<AbortSignal>();
  const loop = stomp.consume("/queue/a", (_, signal) => {
    begun.resolve(signal);
    return new Promise(() => {});
  }, { drainTimeout: 50 });
  const signal = await begun.promise;
  await stomp.disconnect();
  await loop;
  assertEquals(signal.aborted, true);
});

test("`consume()` in mode auto waits for its handler after the drain", async () => {
  await using broker = await Broker.listen();
  await using stomp = await Stomp.connect(broker.url);
  await stomp.send("/queue/a", "x");
  const over = new AbortController();
  const seen: unknown[] = [];
  await stomp.consume("/queue/a", async (message, signal) => {
    over.abort();
    await new Promise((resolve) => setTimeout(resolve, 50));
    seen.push(message.text(), signal.aborted);
  }, { signal: over.signal, ack: "auto", drainTimeout: 5000 });
  assertEquals(seen, ["x", false]);
});

clientTest("`consume()` whose signal aborts before the receipt unsubscribes, and resolves", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const over = new AbortController();
  let loop = stomp.consume("/queue/a", () => {}, { signal: over.signal });
  await peer.frame("SUBSCRIBE");
  over.abort();
  await loop;
  await peer.frame("UNSUBSCRIBE");
  // Also while there is no connection.
  await server.stopListening();
  await dropConnection(stomp, peer);
  const again = new AbortController();
  loop = stomp.consume("/queue/a", () => {}, { signal: again.signal });
  again.abort();
  await loop;
});
