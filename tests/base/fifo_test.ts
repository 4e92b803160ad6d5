/** `Fifo`: order, and bounds of cost. */
import { assertEquals, assertLess } from "#assert";
import { test } from "#test";
import process from "node:process";
import { Fifo } from "../../base/fifo.ts";
import { runtime } from "../support/runtime.ts";

test("`Fifo.shift()` returns items in the order of `push()`, whenever either is called", () => {
  const fifo = new Fifo<number>();
  assertEquals([fifo.length, fifo.peek(), fifo.shift()], [0, undefined, undefined]);
  let put = 0;
  let taken = 0;
  // Longer and shorter in turn, across the lengths at which the ring grows and shrinks.
  for (const [puts, takes] of [[3, 1], [3000, 1500], [10, 1400], [5000, 5112], [1, 1], [2000, 2000]] as const) {
    for (let i = 0; i < puts; i++) fifo.push(put++);
    for (let i = 0; i < takes; i++) {
      assertEquals(fifo.peek(), taken);
      assertEquals(fifo.shift(), taken++);
    }
    assertEquals(fifo.length, put - taken);
    assertEquals([...fifo], Array.from({ length: put - taken }, (_, i) => taken + i));
  }
  assertEquals([fifo.length, fifo.shift()], [0, undefined]);
});

test("`Fifo.remove()` removes an item from the middle, `Fifo.clear()` all items", () => {
  const fifo = new Fifo<string>();
  for (const item of ["a", "b", "c", "d"]) fifo.push(item);
  fifo.shift();
  fifo.remove("c");
  fifo.remove("a");
  fifo.remove("x");
  assertEquals([...fifo], ["b", "d"]);
  fifo.remove("b");
  assertEquals([fifo.shift(), fifo.length], ["d", 0]);
  fifo.push("e");
  fifo.clear();
  assertEquals([fifo.length, fifo.peek(), [...fifo]], [0, undefined, []]);
  fifo.push("f");
  assertEquals([...fifo], ["f"]);
});

test("`Fifo.remove()` costs no more than `shift()`, wherever the item is and however long the queue", () => {
  const COUNT = 80_000;
  const orders: [name: string, order: (i: number) => number][] = [
    ["oldest first", (i) => i],
    ["newest first", (i) => COUNT - 1 - i],
    ["all over", (i) => (i * 7919) % COUNT],
  ];
  for (const [name, order] of orders) {
    const start = performance.now();
    const fifo = new Fifo<number>();
    for (let i = 0; i < COUNT; i++) fifo.push(i);
    for (let i = 0; i < COUNT; i++) fifo.remove(order(i));
    assertEquals([fifo.length, fifo.peek(), [...fifo]], [0, undefined, []], name);
    assertLess(performance.now() - start, 2000, name);
  }
});

test("`Fifo.remove()` leaves a queue that behaves like an array without the items", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
  // A few items many times, or many items once; growing, shrinking, and around the lengths where the strategy changes.
  for (const kinds of [3, 40, 1_000_000]) {
    const fifo = new Fifo<number>();
    let expected: number[] = [];
    for (let round = 0; round < 60; round++) {
      const [pushes, shifts] = [random(400), random(150)];
      for (let i = 0; i < pushes; i++) {
        const item = random(kinds);
        fifo.push(item);
        expected.push(item);
      }
      for (let i = random(400); i > 0; i--) {
        const item = random(5) === 0 ? random(kinds) : expected[random(expected.length)]!;
        fifo.remove(item);
        const at = expected.indexOf(item);
        if (at >= 0) expected.splice(at, 1);
        assertEquals(fifo.peek(), expected[0]);
      }
      for (let i = 0; i < shifts; i++) assertEquals(fifo.shift(), expected.shift());
      assertEquals([...fifo], expected);
      assertEquals(fifo.length, expected.length);
      if (random(10) > 0) continue;
      fifo.clear();
      expected = [];
    }
  }
});

test("`Fifo.remove()` ignores an item that is not in the queue", () => {
  const fifo = new Fifo<object>();
  for (let i = 0; i < 10; i++) fifo.push({});
  fifo.shift();
  assertEquals([fifo.length, [...fifo].length], [9, 9]);
  fifo.remove({});
  assertEquals(fifo.length, 9);
});

test("`Fifo.shift()` costs the same however long the queue is", () => {
  const start = performance.now();
  const fifo = new Fifo<number>();
  for (let i = 0; i < 300_000; i++) fifo.push(i);
  let sum = 0;
  for (let i = 0; i < 300_000; i++) sum += fifo.shift()!;
  assertEquals(sum, 299_999 * 150_000);
  // With Array.shift this takes twice as long on V8.
  assertLess(performance.now() - start, 10_000);
});

test("a `Fifo` that is never empty uses bounded memory", () => {
  const fifo = new Fifo<number>();
  for (let i = 0; i < 2000; i++) fifo.push(i);
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 3_000_000; i++) {
    fifo.push(i);
    fifo.shift();
  }
  assertEquals(fifo.length, 2000);
  // An array of all items that passed through takes at least 24 MB.
  if (runtime !== "bun") assertLess(process.memoryUsage().heapUsed - before, 15_000_000);
});
