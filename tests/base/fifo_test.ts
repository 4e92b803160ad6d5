/** `Fifo`: order, and bounds of cost. */
import { assertEquals, assertLess } from "#assert";
import { test } from "#test";
import process from "node:process";
import { Fifo } from "../../base/fifo.ts";
import { runtime } from "../support/runtime.ts";

test("a Fifo gives items in the order they came, and takes more at any time", () => {
  const fifo = new Fifo<number>();
  assertEquals([fifo.length, fifo.peek(), fifo.shift()], [0, undefined, undefined]);
  let put = 0;
  let taken = 0;
  // Longer and shorter by turns, over the lengths at which the taken part is cut off.
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

test("a Fifo can be cleared, and an item taken out of its middle", () => {
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

test("`Fifo.remove()` costs no more than `shift()`, wherever the items are and however many wait", () => {
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

test("a Fifo that items are taken out of is as one that never had them", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
  // The same few items again and again, or each once; growing, shrinking, and around the lengths where it changes its way.
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

test("a Fifo lets go of what was taken", () => {
  const fifo = new Fifo<object>();
  for (let i = 0; i < 10; i++) fifo.push({});
  fifo.shift();
  assertEquals([fifo.length, [...fifo].length], [9, 9]);
  fifo.remove({});
  assertEquals(fifo.length, 9);
});

test("taking from a long Fifo costs no more than from a short one", () => {
  const start = performance.now();
  const fifo = new Fifo<number>();
  for (let i = 0; i < 300_000; i++) fifo.push(i);
  let sum = 0;
  for (let i = 0; i < 300_000; i++) sum += fifo.shift()!;
  assertEquals(sum, 299_999 * 150_000);
  // With Array.shift this takes twice as long on V8.
  assertLess(performance.now() - start, 10_000);
});

test("a Fifo that is never empty does not grow for ever", () => {
  const fifo = new Fifo<number>();
  for (let i = 0; i < 2000; i++) fifo.push(i);
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 3_000_000; i++) {
    fifo.push(i);
    fifo.shift();
  }
  assertEquals(fifo.length, 2000);
  // An array of all that ever passed takes 24 MB at least.
  if (runtime !== "bun") assertLess(process.memoryUsage().heapUsed - before, 15_000_000);
});
