/** The worker loop against a scripted broker: what it subscribes with, how it refuses, and how it ends. */
import { assertEquals, assertLess, assertRejects } from "#assert";
import { AcknowledgeError } from "../../base/errors.ts";
import { type Clock, systemClock } from "../../base/timers.ts";
import type { ConsumeOptions, MessageHandler } from "../../work/worker.ts";
import type { Message } from "../../client/message.ts";
import type { Stomp } from "../../api/stomp.ts";
import type { Subscription } from "../../client/subscription.ts";
import { type ClientHarness, clientTest, flushMicrotasks } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawFrame, RawPeer } from "../support/raw_peer.ts";
import { answerRequeue, confirm, message } from "../support/raw_server.ts";

const RABBITMQ = "server:RabbitMQ/4.0.5\n";

interface Work {
  stomp: Stomp;
  peer: RawPeer;
  loop: Promise<void>;
  over: AbortController;
  subscribe: RawFrame;
  /** Delivers a message. */
  deliver(id: string, lines?: string): Promise<void>;
  /** Ends the loop, and returns the frames that this brought; fails when it takes long. */
  end(): Promise<string[]>;
}

/** Begins to consume. */
async function begin(
  harness: ClientHarness,
  handler: MessageHandler,
  options: ConsumeOptions = {},
  server = RABBITMQ,
  clock: Clock = systemClock,
): Promise<Work> {
  const { stomp, peer } = await harness.pair({ clock }, "1.2", server);
  const over = new AbortController();
  const loop = stomp.consume("/queue/a", handler, { signal: over.signal, ...options });
  loop.catch(() => {});
  const subscribe = await confirm(peer, "SUBSCRIBE");
  return {
    stomp,
    peer,
    loop,
    over,
    subscribe,
    deliver: (id, lines = "redelivered:false\n") => peer.write(message("sub-1", id, lines)),
    async end() {
      over.abort();
      return await frames(peer, loop, server === RABBITMQ && options.ack !== "auto");
    },
  };
}

/** Returns the frames up to UNSUBSCRIBE, and confirms it; on RabbitMQ, unsettled messages are given back then. */
async function frames(peer: RawPeer, loop: Promise<void>, givesBack = false): Promise<string[]> {
  const start = performance.now();
  const seen: string[] = [];
  while (seen.at(-1) !== "UNSUBSCRIBE") {
    const frame = await peer.frame();
    seen.push(frame.command);
    if (frame.command === "UNSUBSCRIBE") await peer.write(`RECEIPT\nreceipt-id:${frame.get("receipt")}\n\n\0`);
  }
  if (givesBack) await answerRequeue(peer);
  await loop;
  assertLess(performance.now() - start, 5000);
  return seen;
}

clientTest(
  "`consume()` sets a prefetch of twice its concurrency, at least 10, where the broker has one",
  async (harness) => {
    const activemq = "server:ActiveMQ/5.17.2\n";
    const artemis = "server:ActiveMQ-Artemis/2.31.2 ActiveMQ Artemis Messaging Engine\n";
    for (
      const [server, options, header, value] of [
        [RABBITMQ, {}, "prefetch-count", "10"],
        [RABBITMQ, { concurrency: 20 }, "prefetch-count", "40"],
        [RABBITMQ, { prefetch: 3 }, "prefetch-count", "3"],
        [RABBITMQ, { headers: { "prefetch-count": "7" } }, "prefetch-count", "7"],
        [RABBITMQ, { ack: "client" }, "prefetch-count", "10"],
        [RABBITMQ, { ack: "auto" }, "prefetch-count", undefined],
        [activemq, { concurrency: 6 }, "activemq.prefetchSize", "12"],
        [artemis, {}, "activemq.prefetchSize", undefined],
        ["", {}, "prefetch-count", undefined],
      ] as const
    ) {
      const work = await begin(harness, () => {}, options, server);
      assertEquals(work.subscribe.get(header), value, `${server} ${JSON.stringify(options)}`);
      await work.end();
    }
  },
);

clientTest("`respond()` and `subscribe()` with acknowledgements set a prefetch", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
  const [, asked] = await Promise.all([stomp.respond("/queue/a", () => {}), confirm(peer, "SUBSCRIBE")]);
  const options = { ack: "client-individual" } as const;
  const [, plain] = await Promise.all([stomp.subscribe("/queue/b", options), confirm(peer, "SUBSCRIBE")]);
  assertEquals([asked.get("prefetch-count"), plain.get("prefetch-count")], ["10", "1024"]);
});

clientTest(
  "`consume()` rejects mode client with a concurrency above 1, and invalid numbers",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    for (const call of ["consume", "respond"] as const) {
      await assertRejects(
        () => stomp[call]("/queue/a", () => {}, { ack: "client", concurrency: 2 }) as Promise<unknown>,
        RangeError,
        "concurrency is 2, but must be 1",
      );
    }
    await assertRejects(() => stomp.consume("/queue/a", () => {}, { concurrency: 1.5 }), RangeError, "1.5");
    await assertRejects(() => stomp.consume("/queue/a", () => {}, { concurrency: Infinity }), RangeError, "Infinity");
    await assertRejects(
      () => stomp.consume("/queue/a", () => {}, { retry: { attempts: 0 } }),
      RangeError,
      "attempts is 0",
    );
    await assertRejects(() => stomp.consume("/queue/a", () => {}, { retry: { delay: -1 } }), RangeError, "-1");
    const over = new AbortController();
    const last = stomp.consume("/queue/a", () => over.abort(), { ack: "client", signal: over.signal });
    const subscribe = await confirm(peer, "SUBSCRIBE"); // the first frame of all
    await peer.write(message(subscribe.get("id")!, "m1"));
    assertEquals(await frames(peer, last), ["ACK", "UNSUBSCRIBE"]);
  },
);

clientTest(
  "`consume()` delays each refusal of a message for longer, and handles others meanwhile",
  async (harness) => {
    const clock = new FakeClock();
    const attempts: number[] = [];
    const seen: string[] = [];
    const work = await begin(
      harness,
      (message) => {
        seen.push(message.id);
        if (message.id !== "bad") return;
        attempts.push(message.attempts);
        throw new Error("bad");
      },
      {},
      RABBITMQ,
      clock,
    );
    await work.deliver("bad");
    await work.peer.frame("NACK");
    for (const wait of [100, 200, 400]) {
      await work.deliver("bad", "redelivered:true\n");
      await work.deliver(`good ${wait}`);
      assertEquals((await work.peer.frame("ACK")).get("id"), `good ${wait}`); // while the refusal of the bad one is delayed
      clock.pass(wait - 1);
      await work.deliver("still good");
      assertEquals((await work.peer.frame("ACK")).get("id"), "still good");
      clock.pass(1);
      assertEquals((await work.peer.frame("NACK")).get("id"), "bad");
    }
    assertEquals(attempts, [1, 2, 3, 4]);
    assertEquals(seen.length, 10);
    assertEquals(await work.end(), ["UNSUBSCRIBE"]);
  },
);

clientTest("`consume()` does not delay a refusal that drops the message, or after a slow handler", async (harness) => {
  const fail = () => {
    throw new Error("bad");
  };
  const dropped = await begin(harness, fail, { nackHeaders: { requeue: "false" } });
  const start = performance.now();
  await dropped.deliver("m1", "redelivered:true\nx-delivery-count:12\n");
  await dropped.peer.frame("NACK");
  assertLess(performance.now() - start, 5000);
  await dropped.end();
  // The handler itself takes longer than the pause.
  const clock = new FakeClock();
  let begun: () => void;
  const handler: MessageHandler = async ({ attempts }) => {
    if (attempts > 1) await new Promise<void>((resolve) => (clock.after(850, resolve), begun()));
    fail();
  };
  const slow = await begin(harness, handler, {}, RABBITMQ, clock);
  await slow.deliver("m1");
  await slow.peer.frame("NACK");
  const beginning = new Promise<void>((resolve) => begun = resolve);
  await slow.deliver("m1", "redelivered:true\nx-delivery-count:4\n");
  await beginning;
  clock.pass(850);
  await slow.peer.frame("NACK"); // without the pause of 800 ms
  await slow.end();
});

clientTest("`consume()` in mode client handles nothing while a refusal is delayed", async (harness) => {
  const seen: string[] = [];
  const work = await begin(harness, (message) => {
    seen.push(message.id);
    if (message.id === "bad") throw new Error("bad");
  }, { ack: "client" });
  await work.deliver("bad", "redelivered:true\n");
  await work.deliver("good");
  assertEquals((await work.peer.frames(2)).map(({ command }) => command), ["NACK", "ACK"]);
  assertEquals(seen, ["bad", "good"]);
  await work.end();
});

clientTest("`consume()` in mode client on STOMP 1.0 rejects when a handler throws", async (harness) => {
  for (const lines of ["redelivered:false\n", "redelivered:true\n"]) {
    const { stomp, peer } = await harness.pair({}, "1.0", RABBITMQ);
    const loop = stomp.consume("/queue/a", (message) => {
      if (message.id === "bad") throw new Error("bad");
    }, { ack: "client" });
    const rejected = assertRejects(() => loop, AcknowledgeError, "STOMP 1.0");
    await confirm(peer, "SUBSCRIBE");
    await peer.write(message("sub-1", "bad", lines) + message("sub-1", "good"));
    await confirm(peer, "UNSUBSCRIBE"); // and no ACK before it
    await answerRequeue(peer);
    await rejected;
  }
});

clientTest("`consume()` leaves delayed messages to the broker when it ends", async (harness) => {
  for (const options of [{}, { retry: { attempts: 5, delay: 60_000 } }]) {
    for (const how of ["signal", "drain", "unsubscribe"] as const) {
      const failed = Promise.withResolvers<Message>();
      const work = await begin(harness, (message) => {
        failed.resolve(message);
        throw new Error("bad");
      }, { ...options, nackHeaders: { "x-delay": "1" } });
      await work.deliver("m1", "redelivered:true\nx-delivery-count:20\n");
      const subscription = (await failed.promise).subscription as Subscription;
      await flushMicrotasks();
      if (how === "signal") assertEquals(await work.end(), ["UNSUBSCRIBE"]);
      else {
        const ending = subscription[how]();
        assertEquals(await frames(work.peer, work.loop, true), ["UNSUBSCRIBE"]);
        await ending;
      }
      assertEquals(subscription.acknowledged, 0);
    }
  }
});

clientTest(
  "`consume()` leaves a message to the broker when its handler throws while the loop ends",
  async (harness) => {
    const errors: string[] = [];
    const over = new AbortController();
    const work = await begin(harness, async () => {
      over.abort();
      await flushMicrotasks();
      throw new Error("interrupted");
    }, { signal: over.signal, onError: (error, message) => errors.push(`${message.id}: ${(error as Error).message}`) });
    await work.deliver("m1");
    assertEquals(await frames(work.peer, work.loop, true), ["UNSUBSCRIBE"]);
    assertEquals(errors, ["m1: interrupted"]);
  },
);

clientTest("`consume()` does not retry a message whose connection is lost", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const over = new AbortController();
  const runs: number[] = [];
  const loop = stomp.consume("/queue/a", (message) => {
    runs.push(message.epoch);
    if (runs.length === 1) stomp.reconnect();
    if (runs.length < 3) throw new Error("not yet");
    over.abort();
  }, { signal: over.signal, retry: { attempts: 3, delay: 20 } });
  await confirm(peer, "SUBSCRIBE");
  await peer.write(message("sub-1", "m1"));
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  await next.write(message("sub-1", "m1", "redelivered:true\n"));
  assertEquals(await frames(next, loop), ["ACK", "UNSUBSCRIBE"]);
  assertEquals([runs.length, runs[0]! < runs[1]!, runs[1] === runs[2]], [3, true, true]);
});

clientTest("`consume()` stops waiting for a retry when the connection is lost", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const over = new AbortController();
  const loop = stomp.consume("/queue/a", (message) => {
    if (!message.redelivered) throw new Error("bad");
    over.abort();
  }, { signal: over.signal, retry: { attempts: 2, delay: 60_000 } });
  await confirm(peer, "SUBSCRIBE");
  await peer.write(message("sub-1", "m1"));
  await flushMicrotasks();
  await peer.close();
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  await next.write(message("sub-1", "m1", "redelivered:true\n"));
  assertEquals(await frames(next, loop), ["ACK", "UNSUBSCRIBE"]); // the concurrency of 1 is free
});

clientTest("`drain()` and `disconnect()` in a handler do not wait for that handler", async (harness) => {
  const drains: Record<string, (stomp: Stomp, message: Message) => Promise<void>> = {
    "stomp.drain": (stomp) => stomp.drain(),
    "stomp.drain, a second time": (stomp) => (stomp.drain(), stomp.drain()),
    "stomp.disconnect": (stomp) => stomp.disconnect(),
    "subscription.drain": (_, message) => (message.subscription as Subscription).drain(),
    "acknowledged, then drained": async (stomp, message) => {
      await flushMicrotasks();
      await message.ack();
      await stomp.drain();
    },
  };
  for (const ack of ["client-individual", "client", "auto"] as const) {
    for (const [name, drain] of Object.entries(drains)) {
      if (ack === "auto" && name.startsWith("acknowledged")) continue;
      const broker = await harness.broker();
      const stomp = await harness.connect(broker.url);
      for (const text of ["quit", "more"]) await stomp.send("/queue/a", text);
      const start = performance.now();
      await stomp.consume("/queue/a", async (message) => {
        if (message.text() === "quit") await drain(stomp, message);
      }, { ack });
      assertLess(performance.now() - start, 5000, `${ack}: ${name}`);
    }
  }
});

clientTest(
  "`drain()` in a handler waits for other handlers, and for its own when that does not await it",
  async (harness) => {
    const broker = await harness.broker();
    const stomp = await harness.connect(broker.url);
    for (const text of ["slow", "quit"]) await stomp.send("/queue/a", text);
    await stomp.consume("/queue/a", async (message) => {
      if (message.text() === "slow") await new Promise((resolve) => setTimeout(resolve, 100));
      else stomp.drain();
    }, { concurrency: 2 });
    await stomp.closed;
    assertEquals(broker.stats.messages, 0);
  },
);
