/** `stomp.stream()`: where it begins, what it delivers after a reconnect, checkpoints, and how it ends. */
import { assertEquals, assertRejects, assertStrictEquals } from "#assert";
import { NotConnectedError, StompError } from "../../base/errors.ts";
import type { StreamOptions } from "../../work/stream_options.ts";
import { clientTest, subscribed, Watcher } from "../support/client_harness.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";
import { bodies, pair, QUEUE, reconnect, take } from "../support/stream_harness.ts";

clientTest(
  "`stream()` delivers all messages from the first one with their offsets, and acknowledges them",
  async (harness) => {
    const { stomp, server } = await pair(harness, bodies(0, 250));
    const seen: number[] = [];
    for await (const event of stomp.stream(QUEUE, { from: "first" })) {
      assertEquals(event.text(), `m${event.offset}`);
      seen.push(event.offset);
      if (event.offset === 249) break;
    }
    assertEquals(seen, Array.from({ length: 250 }, (_, i) => i));
    const [subscribe] = server.subscribes;
    for (
      const [name, value] of [
        ["ack", "client-individual"],
        ["prefetch-count", "100"],
        ["x-queue-type", "stream"],
        ["x-stream-offset", "first"],
      ] as const
    ) assertEquals(subscribe!.get(name), value);
    assertEquals(server.readers, 0); // the loop has unsubscribed
  },
);

for (const [name, from] of [["first", "first"], ["an offset", { offset: 3 }]] as const) {
  clientTest(`from ${name}: a reconnect loses no message and delivers none twice`, async (harness) => {
    const { stomp, server } = await pair(harness, bodies(0, 20));
    const stream = stomp.stream(QUEUE, { from });
    const seen = await take(stream, 5);
    for (let round = 0; round < 4; round++) {
      server.append([`m${20 + round}`]);
      await reconnect(stomp, server);
      seen.push(...await take(stream, 4));
    }
    const first = typeof from === "object" ? from.offset : 0;
    assertEquals(seen, bodies(first, first + 21));
    assertEquals(server.subscribes.at(-1)!.get("x-stream-offset"), `offset=${first + 17}`);
    await stream.close();
  });
}

clientTest("a message that is being handled during a reconnect is not delivered again", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 10));
  const seen: string[] = [];
  for await (const event of stomp.stream(QUEUE, { from: "first" })) {
    seen.push(event.text());
    if (event.offset % 3 === 0) await reconnect(stomp, server);
    if (event.offset === 9) break;
  }
  assertEquals(seen, bodies(0, 10));
});

clientTest(
  "from next: what was sent before is not delivered, and what is sent in a gap is not lost",
  async (harness) => {
    const { stomp, server } = await pair(harness, bodies(0, 3), bodies(3, 8));
    const stream = stomp.stream(QUEUE);
    await stream.open();
    // No message has come when the connection breaks.
    await server.breakAll();
    server.append(["m8", "m9"]);
    assertEquals(await take(stream, 2), ["m8", "m9"]);
    await server.breakAll();
    server.append(["m10"]);
    assertEquals(await take(stream, 1), ["m10"]);
    await stream.close();
  },
);

clientTest("from next: an empty stream loses nothing either", async (harness) => {
  const { stomp, server } = await pair(harness);
  const stream = stomp.stream(QUEUE, { from: "next" });
  await stream.open();
  await server.breakAll();
  server.append(["m0"]);
  server.append(["m1"]);
  assertEquals(await take(stream, 2), ["m0", "m1"]);
  await stream.close();
});

clientTest("from last: begins with the batch that was last, also after a reconnect", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 3), bodies(3, 8));
  const stream = stomp.stream(QUEUE, { from: "last" });
  await stream.open();
  await server.breakAll();
  server.append(["m8"]);
  server.append(["m9"]);
  assertEquals(await take(stream, 7), bodies(3, 10));
  await stream.close();
});

clientTest(
  "from last: another subscription whose queue is full does not make the stream look empty",
  async (harness) => {
    const { stomp, peer } = await harness.pair({}, "1.2", "server:RabbitMQ/4.3.6\n");
    const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 1 });
    const watcher = new Watcher(stomp);
    await peer.write(message(slow.id, "1") + message(slow.id, "2"));
    await watcher.until("slow-consumer");
    const opening = stomp.stream(QUEUE, { from: "last" }).open();
    const reader = await confirm(peer, "SUBSCRIBE");
    await Promise.all([stomp.send("/queue/b", "x"), confirm(peer, "SEND")]); // now nothing but messages is awaited
    const large = message(slow.id, "3").replace("\0", "x".repeat(1 << 20) + "\0"); // what follows is in another chunk
    await peer.write(large + message(reader.get("id")!, "m7", "x-stream-offset:7\n"));
    for (;;) {
      const frame = await peer.frame();
      if (frame.get("receipt") !== undefined) await peer.write(receiptFor(frame));
      if (frame.command !== "SUBSCRIBE" || frame.get("destination") !== QUEUE) continue;
      assertEquals(frame.get("x-stream-offset"), "offset=7");
      break;
    }
    await opening;
  },
);

clientTest("from a time: a Date, or milliseconds, in seconds for the broker", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 3), bodies(3, 6));
  for (const time of [new Date(1_700_000_000_900), 1_700_000_000_900]) {
    const stream = stomp.stream(QUEUE, { from: { time } });
    assertEquals((await stream.next()).value?.offset, 2); // the broker sends whole batches
    assertEquals(server.subscribes.at(-1)!.get("x-stream-offset"), "timestamp=1700000000");
    await stream.close();
  }
});

clientTest("messages before the position that was asked for are not delivered", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 6));
  server.onSubscribe = (frame) => {
    const get = frame.get;
    frame.get = (name) => name === "x-stream-offset" ? "first" : get.call(frame, name);
    return undefined;
  };
  const stream = stomp.stream(QUEUE, { from: { offset: 4 }, prefetch: 2 });
  assertEquals(await take(stream, 2), ["m4", "m5"]);
  await stream.close();
});

clientTest("a filter delivers only the messages with its values, though the broker sends more", async (harness) => {
  const { stomp, server } = await pair(harness);
  server.append(["r0", "r1"], "red");
  server.append(["b2"], "blue");
  server.append(["n3"]);
  server.append(["g4"], "green");
  server.append(["r5"], "red");
  const filtered = async (options: StreamOptions, count: number) => {
    const stream = stomp.stream(QUEUE, { from: "first", prefetch: 1, ...options });
    const texts = await take(stream, count);
    await stream.close();
    return texts;
  };
  assertEquals(await filtered({ filter: "red" }, 3), ["r0", "r1", "r5"]);
  assertEquals(await filtered({ filter: ["red", "blue"] }, 4), ["r0", "r1", "b2", "r5"]);
  assertEquals(await filtered({ filter: "blue", matchUnfiltered: true }, 2), ["b2", "n3"]);
  const said = server.subscribes.map((frame) => [frame.get("x-stream-filter"), frame.get("x-stream-match-unfiltered")]);
  assertEquals(said, [["red", undefined], ["red,blue", undefined], ["blue", "true"]]);
});

clientTest("a checkpoint says where to begin, and gets each handled message, in order", async (harness) => {
  const { stomp } = await pair(harness, bodies(0, 10));
  const events: string[] = [];
  let saving = 0;
  const checkpoint = {
    load: async () => await Promise.resolve(3),
    save: async (offset: number) => {
      assertEquals(++saving, 1);
      await new Promise((resolve) => setTimeout(resolve, 0));
      saving--;
      events.push(`saved ${offset}`);
    },
  };
  const stream = stomp.stream(QUEUE, { from: "first", checkpoint });
  for await (const event of stream) {
    events.push(`given ${event.offset}`);
    if (event.offset === 6) break; // so this one does not count as handled
  }
  assertEquals(events, ["given 4", "saved 4", "given 5", "saved 5", "given 6"]);
  assertEquals(stream.handled, 5);
});

for (
  const [what, load] of [
    ["throws", () => {
      throw new Error("no store");
    }],
    ["rejects", () => Promise.reject(new Error("no store"))],
  ] as const
) {
  clientTest(`\`load\` that ${what} is the error of the loop`, async (harness) => {
    const { stomp, server } = await pair(harness, bodies(0, 3));
    const stream = stomp.stream(QUEUE, { checkpoint: { load, save: () => {} } });
    await assertRejects(() => stream.next(), Error, "no store");
    assertEquals((await stream.next()).done, true);
    assertEquals(server.subscribes.length, 0);
  });
}

clientTest("an offset of `load` that is no offset is refused", async (harness) => {
  const { stomp } = await pair(harness, bodies(0, 3));
  for (const offset of [-1, 1.5, "4", 2 ** 53] as number[]) {
    const stream = stomp.stream(QUEUE, { checkpoint: { load: () => offset, save: () => {} } });
    await assertRejects(() => stream.next(), RangeError, "the offset of the checkpoint");
  }
});

clientTest("an error of `save` ends the loop with it, and unsubscribes", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 3));
  const failure = new Error("disk is full");
  const stream = stomp.stream(QUEUE, {
    from: "first",
    checkpoint: { load: () => undefined, save: () => Promise.reject(failure) },
  });
  assertEquals((await stream.next()).value?.offset, 0);
  assertStrictEquals(await assertRejects(() => stream.next()), failure);
  assertEquals((await stream.next()).done, true);
  assertEquals([server.readers, stream.handled], [0, undefined]);
});

clientTest("two streams of one connection are independent", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 6));
  const [one, two] = [stomp.stream(QUEUE, { from: "first" }), stomp.stream(QUEUE, { from: { offset: 3 } })];
  assertEquals([await take(one, 2), await take(two, 1)], [["m0", "m1"], ["m3"]]);
  await reconnect(stomp, server);
  assertEquals([await take(two, 2), await take(one, 3)], [["m4", "m5"], ["m2", "m3", "m4"]]);
  await one.close();
  server.append(["m6"]);
  assertEquals(await take(two, 1), ["m6"]);
  await two.close();
});

clientTest("a signal ends the loop after the message that is being handled, which is saved", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 3));
  const stop = new AbortController();
  const saved: number[] = [];
  const checkpoint = { load: () => undefined, save: (offset: number) => void saved.push(offset) };
  for await (const event of stomp.stream(QUEUE, { from: "first", signal: stop.signal, checkpoint })) {
    if (event.offset === 1) stop.abort();
  }
  assertEquals(saved, [0, 1]);
  // One that waits for a message, one that is not open yet, and one whose signal has aborted before.
  const waiting = new AbortController();
  const stream = stomp.stream(QUEUE, { from: { offset: 3 }, signal: waiting.signal });
  await stream.open();
  const next = stream.next();
  waiting.abort();
  assertEquals((await next).done, true);
  assertEquals((await stomp.stream(QUEUE, { signal: AbortSignal.abort() }).next()).done, true);
  const opening = new AbortController();
  server.onSubscribe = () => new Promise(() => {});
  const never = stomp.stream(QUEUE, { from: "first", signal: opening.signal });
  const first = never.next();
  opening.abort();
  assertEquals((await first).done, true);
  await assertRejects(() => never.open(), StompError, "the stream is closed");
});

clientTest("`close()`, `await using`, `drain()` and `disconnect()` end the loop without an error", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 3));
  {
    await using stream = stomp.stream(QUEUE, { from: "first" });
    await take(stream, 1);
  }
  assertEquals(server.readers, 0);
  const closed = stomp.stream(QUEUE, { from: { offset: 3 } });
  await closed.open();
  const waiting = closed.next();
  await closed.close();
  assertEquals((await waiting).done, true);
  const saved: number[] = [];
  const checkpoint = { load: () => undefined, save: (offset: number) => void saved.push(offset) };
  const drained = stomp.stream(QUEUE, { from: "first", checkpoint });
  await take(drained, 1);
  const ending = stomp.drain();
  assertEquals((await drained.next()).done, true);
  await ending;
  assertEquals(saved, [0]);
  await assertRejects(() => stomp.stream(QUEUE).next(), NotConnectedError);
});

clientTest("the end of the client is the error of the loop", async (harness) => {
  const { server } = await pair(harness, bodies(0, 1));
  const stomp = await harness.connect(server.url, { reconnect: false, heartbeat: false });
  const stream = stomp.stream(QUEUE, { from: "first" });
  await take(stream, 1);
  const next = stream.next();
  next.catch(() => {});
  await server.breakAll();
  await assertRejects(() => next, StompError);
});
