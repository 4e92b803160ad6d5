/** Options of `stomp.stream()`, and what is refused. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "#assert";
import { BrokerErrorResponse, SubscriptionError, UnsupportedByBrokerError } from "../../base/errors.ts";
import type { StompOptions } from "../../client/options.ts";
import type { StreamOptions } from "../../work/stream_options.ts";
import { clientTest } from "../support/client_harness.ts";
import { StreamServer } from "../support/stream_server.ts";
import { AT_ONCE, bodies, pair, QUEUE, reconnect, take } from "../support/stream_harness.ts";

clientTest("a checkpoint without an offset leaves the beginning to `from`", async (harness) => {
  const { stomp } = await pair(harness, bodies(0, 3));
  const checkpoint = { load: () => undefined, save: () => {} };
  const stream = stomp.stream(QUEUE, { from: { offset: 1 }, checkpoint });
  assertEquals(await take(stream, 2), ["m1", "m2"]);
  await stream.close();
});

clientTest("the broker's error ends the loop when the queue is not a stream", async (harness) => {
  const { stomp, server } = await pair(harness);
  server.onSubscribe = (frame) => `ERROR\nreceipt-id:${frame.get("receipt")}\nmessage:inequivalent arg\n\n\0`;
  const error = await assertRejects(() => stomp.stream(QUEUE, { from: "first" }).next(), BrokerErrorResponse);
  assert(error.message.includes("inequivalent arg"));
});

clientTest("messages without an offset are not acknowledged, and end the loop", async (harness) => {
  const { stomp, server } = await pair(harness);
  server.onSubscribe = (frame) => {
    const id = frame.get("id");
    return `RECEIPT\nreceipt-id:${frame.get("receipt")}\n\n\0MESSAGE\nsubscription:${id}\nmessage-id:1\nack:1\n\nx\0`;
  };
  for (const from of ["first", "last", "next"] as const) {
    await assertRejects(() => stomp.stream(QUEUE, { from }).next(), SubscriptionError, "no offset");
  }
  assertEquals(server.acks, 0);
});

clientTest("an offset beyond 2^53 ends the loop", async (harness) => {
  const { stomp, server } = await pair(harness);
  server.onSubscribe = (frame) => {
    const id = frame.get("id");
    const lines = `subscription:${id}\nmessage-id:1\nack:1\nx-stream-offset:9007199254740993`;
    return `RECEIPT\nreceipt-id:${frame.get("receipt")}\n\n\0MESSAGE\n${lines}\n\nx\0`;
  };
  await assertRejects(() => stomp.stream(QUEUE, { from: "first" }).next(), SubscriptionError, "2^53");
});

clientTest("a broker without streams is refused with advice that fits it", async (harness) => {
  const cases: [string, StompOptions, string][] = [
    ["server:ActiveMQ/6.1.0\n", {}, "has no streams; use a queue, or a durable subscription to a topic"],
    ["server:stompy/1\n", {}, "has no streams; use a queue"],
    ["", {}, "has no streams; use a queue"],
    ["", { broker: "spring" }, "has no streams"],
  ];
  for (const [lines, options, advice] of cases) {
    const server = await StreamServer.listen(lines);
    harness.atEnd(() => server.close());
    const stomp = await harness.connect(server.url, { ...AT_ONCE, ...options });
    const error = await assertRejects(() => stomp.stream(QUEUE).next(), UnsupportedByBrokerError);
    assertEquals(error.option, "stream");
    assert(error.message.endsWith(advice), error.message);
    assertEquals(server.subscribes.length, 0);
  }
});

clientTest("each SUBSCRIBE has the declaration, but not to a name that declares nothing", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 1));
  const stream = stomp.stream(QUEUE, { from: "first", queue: { maxAge: "24h", maxSegmentBytes: 1_000_000 } });
  await take(stream, 1);
  const { get } = server.subscribes[0]!;
  assertEquals([get("x-queue-type"), get("x-max-age"), get("x-stream-max-segment-size-bytes")], [
    "stream",
    "86400s",
    "1000000",
  ]);
  await stream.close();
  // The client remembers it.
  const again = stomp.stream(QUEUE, { from: "first" });
  await take(again, 1);
  assertEquals(server.subscribes[1]!.get("x-max-age"), "86400s");
  await again.close();
  const other = stomp.stream(QUEUE, { queue: { maxAge: "48h" } });
  await assertRejects(() => other.next(), TypeError, "maxAge");
  const plain = stomp.stream("/amq/queue/s", { from: "first" });
  await take(plain, 1);
  assertEquals(server.subscribes[2]!.get("x-queue-type"), undefined);
  await plain.close();
  await assertRejects(() => stomp.stream("/amq/queue/s", { queue: { maxAge: "48h" } }).next(), TypeError, "omit it");
});

clientTest("each SUBSCRIBE has the headers of the caller, also those of a function", async (harness) => {
  const { stomp, server } = await pair(harness, bodies(0, 4));
  const stream = stomp.stream(QUEUE, { from: "first", headers: ({ number }) => ({ token: number }) });
  await take(stream, 1);
  await reconnect(stomp, server);
  await take(stream, 1);
  assertEquals(server.subscribes.map(({ get }) => get("token")), ["1", "2"]);
  await stream.close();
});

clientTest("arguments that can never work are refused at once", (harness) => {
  const stomp = harness.client("stomp://localhost:1");
  const refused = (options: unknown, type: typeof TypeError | typeof RangeError, words: string) => {
    const error = assertThrows(() => stomp.stream(QUEUE, options as StreamOptions), type);
    assert(error.message.startsWith(`Cannot read ${QUEUE}: `) && error.message.includes(words), error.message);
  };
  for (const from of [4, "1h", "interval=5m", "First", null, {}, [], new Date(), { offset: 1, time: 1 }]) {
    refused({ from }, TypeError, 'must be "first"');
  }
  for (const offset of [-1, 1.5, NaN, "4", 2 ** 53]) refused({ from: { offset } }, RangeError, "from.offset");
  for (const time of [new Date(NaN), -1, "1h", Infinity]) refused({ from: { time } }, RangeError, "from.time");
  for (const prefetch of [0, 1.5, 65536, "9"]) refused({ prefetch }, RangeError, "prefetch");
  for (const filter of [4, {}, [4]]) refused({ filter }, TypeError, "filter");
  for (const filter of ["", [], "red,blue", [""]]) refused({ filter }, RangeError, "filter");
  refused({ matchUnfiltered: true }, TypeError, "without filter");
  refused({ checkpoint: { load: () => {} } }, TypeError, "checkpoint.save");
  refused({ checkpoint: true }, TypeError, "checkpoint");
  refused({ ack: "auto" }, TypeError, "no option ack");
  refused(null, TypeError, "options");
  for (const destination of [undefined, "", 4]) {
    const error = assertThrows(() => stomp.stream(destination as string), TypeError);
    assertInstanceOf(error, TypeError);
  }
  return Promise.resolve();
});
