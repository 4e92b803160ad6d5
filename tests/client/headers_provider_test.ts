/** Headers of SUBSCRIBE as a function of the attempt. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import { NotConnectedError, SubscriptionError, TimeoutError } from "../../base/errors.ts";
import { askForHeaders, type SubscribeAttempt } from "../../client/headers_provider.ts";
import type { StompOptions } from "../../client/options.ts";
import { clientTest, flushMicrotasks, Watcher } from "../support/client_harness.ts";
import { test } from "#test";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, message } from "../support/raw_server.ts";

const AT_ONCE: StompOptions = { reconnect: { delay: 0 } };

clientTest(
  "a function returns the headers of the first SUBSCRIBE and of each one after a reconnect",
  async (harness) => {
    const { stomp, peer, server } = await harness.pair(AT_ONCE);
    const numbers: number[] = [];
    const headers = async ({ number }: SubscribeAttempt) => {
      numbers.push(number);
      await Promise.resolve();
      return { authorization: `token ${number}` };
    };
    const subscribing = stomp.subscribe("/queue/a", { headers });
    assertEquals((await confirm(peer, "SUBSCRIBE")).get("authorization"), "token 1");
    const subscription = await subscribing;
    await peer.close();
    const next = await server.welcome();
    assertEquals((await confirm(next, "SUBSCRIBE")).get("authorization"), "token 2");
    await next.write(message(subscription.id, "m1"));
    assertEquals((await subscription.take())?.id, "m1");
    assertEquals(numbers, [1, 2]);
  },
);

clientTest("`consume()` takes a function for its headers, too", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const stop = new AbortController();
  const working = stomp.consume("/queue/a", () => {}, { signal: stop.signal, headers: () => [["x-a", "1"]] });
  assertEquals((await confirm(peer, "SUBSCRIBE")).get("x-a"), "1");
  stop.abort();
  await confirm(peer, "UNSUBSCRIBE");
  await working;
});

for (
  const [how, headers, words] of [
    ["throws", () => {
      throw new Error("no token");
    }, "no token"],
    ["rejects", () => Promise.reject(new Error("no token")), "no token"],
    ["returns nothing", () => undefined as never, "headers() returned undefined"],
    ["returns a header that is no text", () => ({ a: {} as string }), "a"],
  ] as const
) {
  clientTest(`\`subscribe()\` rejects when the function for its headers ${how}`, async (harness) => {
    const { stomp, peer } = await harness.pair();
    const error = await assertRejects(() => stomp.subscribe("/queue/a", { headers }), SubscriptionError);
    assert(error.message.startsWith("Cannot subscribe to /queue/a: headers() failed: "), error.message);
    assert(error.message.includes(words), error.message);
    assertInstanceOf(error.cause, Error);
    // The id is free again, and nothing was written.
    const subscribing = stomp.subscribe("/queue/a");
    assertEquals((await confirm(peer, "SUBSCRIBE")).get("destination"), "/queue/a");
    await subscribing;
  });
}

clientTest("a function that fails after a reconnect is called again, and its error is a status", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const failure = new Error("no token yet");
  const headers = ({ number }: SubscribeAttempt) => {
    if (number > 1 && number < 8) throw failure;
    return { authorization: `token ${number}` };
  };
  const subscribing = stomp.subscribe("/queue/a", { headers });
  await confirm(peer, "SUBSCRIBE");
  const subscription = await subscribing;
  const watcher = new Watcher(stomp);
  await peer.close();
  const next = await server.welcome();
  assertStrictEquals((await watcher.until("error")).error.cause, failure);
  assertEquals((await confirm(next, "SUBSCRIBE")).get("authorization"), "token 8");
  await next.write(message(subscription.id, "m1"));
  assertEquals((await subscription.take())?.id, "m1");
});

clientTest("a function that goes on failing ends the subscription after `reconnect.attempts`", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0, attempts: 2 } });
  const headers = ({ number }: SubscribeAttempt) => number === 1 ? {} : Promise.reject(new Error("no token"));
  const subscribing = stomp.subscribe("/queue/a", { headers });
  await confirm(peer, "SUBSCRIBE");
  const subscription = await subscribing;
  await peer.close();
  await server.welcome();
  assertInstanceOf(await subscription.closed, SubscriptionError);
  await assertRejects(() => subscription.take(), SubscriptionError, "headers() failed: no token");
});

clientTest(
  "a connection that is lost while the headers are awaited aborts the attempt, and begins another",
  async (harness) => {
    const { stomp, peer, server } = await harness.pair(AT_ONCE);
    const signals: AbortSignal[] = [];
    const asked = Promise.withResolvers<void>();
    const headers = ({ number, signal }: SubscribeAttempt) => {
      signals.push(signal);
      if (number > 1) return { number };
      asked.resolve();
      return new Promise<never>(() => {});
    };
    const subscribing = stomp.subscribe("/queue/a", { headers });
    await asked.promise;
    await peer.close();
    const next = await server.welcome();
    assertEquals((await confirm(next, "SUBSCRIBE")).get("number"), "2");
    await subscribing;
    assertEquals(signals.map(({ aborted }) => aborted), [true, false]);
  },
);

clientTest("`disconnect()` and `unsubscribe()` do not wait for a function that never returns", async (harness) => {
  const { stomp, peer, server } = await harness.pair(AT_ONCE);
  const asked = [1, 2, 3, 4].map(() => Promise.withResolvers<void>());
  let count = 0;
  const signals: AbortSignal[] = [];
  const headers = ({ number, signal }: SubscribeAttempt) => {
    if (number === 1) return {};
    signals.push(signal);
    asked[count++]!.resolve();
    return new Promise<never>(() => {});
  };
  const subscribing = ["/queue/a", "/queue/b"].map((destination) => stomp.subscribe(destination, { headers }));
  await confirm(peer, "SUBSCRIBE");
  await confirm(peer, "SUBSCRIBE");
  const [a, b] = await Promise.all(subscribing);
  await peer.close();
  const next = await server.welcome();
  await Promise.all([asked[0]!.promise, asked[1]!.promise]);
  await a!.unsubscribe();
  assertEquals(signals.map(({ aborted }) => aborted), [true, false]);
  const first = stomp.subscribe("/queue/c", { headers: () => new Promise(() => {}) });
  first.catch(() => {});
  await flushMicrotasks();
  const disconnecting = stomp.disconnect();
  await confirm(next, "DISCONNECT");
  await next.close();
  await disconnecting;
  await assertRejects(() => first, NotConnectedError);
  assertEquals(signals.map(({ aborted }) => aborted), [true, true]);
  assertEquals(await b!.closed, undefined);
});

clientTest("a `timeout` and a signal end the wait for the headers", async (harness) => {
  const clock = new FakeClock();
  const { stomp } = await harness.pair({ clock });
  let given: AbortSignal | undefined;
  const headers = ({ signal }: SubscribeAttempt) => {
    given = signal;
    return new Promise<never>(() => {});
  };
  const timing = stomp.subscribe("/queue/a", { headers, timeout: 100 });
  await flushMicrotasks();
  clock.pass(100);
  await assertRejects(() => timing, TimeoutError);
  assertEquals(given?.aborted, true);
  const abort = new AbortController();
  const aborting = stomp.subscribe("/queue/a", { headers, signal: abort.signal });
  await flushMicrotasks();
  abort.abort(new Error("enough"));
  await assertRejects(() => aborting, Error, "enough");
  assertEquals(given?.aborted, true);
});

test("`askForHeaders()` aborts the signal of the attempt when its time is over", async () => {
  const clock = new FakeClock();
  let given: AbortSignal | undefined;
  const asking = askForHeaders(
    ({ signal }) => {
      given = signal;
      return new Promise(() => {});
    },
    3,
    { timeout: 50, clock },
  );
  clock.pass(50);
  await assertRejects(() => asking, TimeoutError, "the headers");
  assertEquals(given?.aborted, true);
});
