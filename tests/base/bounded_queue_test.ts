/** `BoundedQueue`: its limits, its waiters and its end. What fills it is tested in `client/back_pressure_test.ts`. */
import { assertEquals, assertRejects, assertThrows } from "#assert";
import { StompError } from "../../base/errors.ts";
import { BoundedQueue, type Meter, type QueueFill } from "../../base/bounded_queue.ts";
import { test } from "#test";
import { flushMicrotasks } from "../support/client_harness.ts";

interface Item {
  size: number;
  n?: number;
}

const item = (size: number): Item => ({ size });
const meter: Meter<Item> = { enter() {}, leave() {}, add: ({ size }) => size, remove: ({ size }) => size };

test("`BoundedQueue` reports that it is full at its limits, and that it is free at half of them", async () => {
  const reported: QueueFill[] = [];
  const queue = new BoundedQueue<Item>(meter, (fill) => reported.push(fill), { items: 4, bytes: 100 });
  for (let i = 0; i < 6; i++) queue.put(item(1)); // kept also above the limit
  assertEquals([reported, queue.length, queue.fill], [["full"], 6, "full"]);
  while (queue.length > 3) queue.takeNow();
  assertEquals(reported, ["full"]);
  queue.takeNow();
  assertEquals([reported, queue.fill], [["full", "free"], "free"]);
  queue.put(item(98));
  assertEquals([reported, queue.bytes], [["full", "free", "full"], 100]);
  queue.drop(({ size }) => size > 1);
  assertEquals([reported.length, queue.length, queue.bytes], [4, 2, 2]);
  // Dropping only some items does not resolve `whenEmpty()`.
  let empty = false;
  const waiting = queue.whenEmpty().then(() => empty = true);
  queue.drop(() => false);
  await flushMicrotasks();
  assertEquals([empty, queue.length], [false, 2]);
  queue.drop(() => true);
  await waiting;
  assertEquals(await queue.take({ nb: true }, "an item"), undefined);
});

test("`BoundedQueue` is blocked at eight times its limits or 64 MiB, and only full below that", () => {
  const cases = [
    [{ items: 4, bytes: Infinity }, 1, 4, 32],
    [{ items: Infinity, bytes: 100 }, 10, 10, 80],
    [{ items: Infinity, bytes: 2 ** 24 }, 2 ** 20, 16, 64],
    [{ items: Infinity, bytes: 2 ** 27 }, 2 ** 20, 128, 128],
  ] as const;
  for (const [limits, size, full, blocked] of cases) {
    const reported: string[] = [];
    const queue = new BoundedQueue<Item>(
      meter,
      (fill, item) => reported.push(`${fill}${item ? "!" : ""} ${queue.length}`),
      limits,
    );
    while (queue.fill !== "blocked") queue.put(item(size));
    queue.takeNow();
    queue.put(item(size));
    while (queue.length > 0) queue.takeNow();
    // The item is reported once for each fill, until the queue is free again.
    const first = full === blocked ? [] : [`full! ${full}`];
    assertEquals(reported, [
      ...first,
      `blocked! ${blocked}`,
      `full ${blocked - 1}`,
      `blocked ${blocked}`,
      `full ${blocked - 1}`,
      `free ${full / 2}`,
    ]);
  }
});

test("`BoundedQueue.end()` makes a full queue report `free`, and counts its items out", () => {
  const reported: QueueFill[] = [];
  let count = 0;
  const counting: Meter<Item> = {
    enter() {},
    leave: (items) => void (count -= [...items].length),
    add: () => ++count,
    remove: () => count--,
  };
  const queue = new BoundedQueue<Item>(counting, (fill) => reported.push(fill), { items: 2 });
  for (let i = 0; i < 3; i++) queue.put(item(1));
  assertEquals([reported, count], [["full"], 3]);
  queue.end();
  assertEquals([reported, count, queue.length], [["full", "free"], 0, 3]);
  while (queue.takeNow());
  assertEquals([reported.length, count], [2, 0]);
});

test("`BoundedQueue.take()` takes the items queued before the end, then rejects with its error", async () => {
  const queue = new BoundedQueue<Item>(meter, () => {});
  queue.put({ size: 0, n: 1 });
  const error = new StompError("over");
  queue.end(error);
  queue.end();
  queue.put(item(0));
  assertEquals((await queue.take({}, "an item"))?.n, 1);
  for (const nb of [true, false]) {
    assertEquals(await assertRejects(() => queue.take({ nb }, "an item")), error);
  }
});

test("`BoundedQueue.take()` that aborts leaves the next items to the other waiters, in order", async () => {
  for (const given of [0, 1, 2]) {
    const queue = new BoundedQueue<Item>(meter, () => {});
    const aborts = [0, 1, 2].map(() => new AbortController());
    const takes = aborts.map(({ signal }) => queue.take({ signal }, "an item"));
    aborts[given]!.abort(new Error("enough"));
    await assertRejects(() => takes[given]!, Error, "enough");
    const others = takes.filter((_, i) => i !== given);
    queue.put({ size: 1, n: 1 });
    queue.put({ size: 1, n: 2 });
    assertEquals((await Promise.all(others)).map((one) => one?.n), [1, 2]);
    assertEquals(queue.length, 0);
  }
});

test("`new BoundedQueue()` refuses limits below 1", () => {
  for (const limits of [{ items: 0 }, { bytes: NaN }]) {
    assertThrows(() => new BoundedQueue<Item>(meter, () => {}, limits), RangeError, "Cannot queue: ");
  }
});
