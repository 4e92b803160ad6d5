/** `SequenceMap`: entries are found in whatever order they are taken, and use bounded memory. */
import { assertEquals } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import { readNumber, SequenceMap } from "../../base/sequence_map.ts";

test("`SequenceMap.add()` counts up, and each number has its value until `take()`", () => {
  const map = new SequenceMap<{ name: string }>();
  assertEquals([map.next, map.size, map.get(1), map.take(1)], [1, 0, undefined, undefined]);
  for (let i = 1; i <= 100; i++) {
    assertEquals(map.next, i);
    map.add({ name: `value ${i}` });
  }
  assertEquals([map.size, map.get(1)?.name, map.get(100)?.name, map.get(101)], [
    100,
    "value 1",
    "value 100",
    undefined,
  ]);
  assertEquals([map.take(50)?.name, map.take(50), map.get(50), map.size], [
    "value 50",
    undefined,
    undefined,
    99,
  ]);
  for (const number of [0, -1, 0.5, 1e15, NaN]) {
    assertEquals([map.get(number), map.take(number)], [undefined, undefined]);
  }
});

type Command = { type: "add" } | { type: "skip" } | { type: "take"; of: number };

test("`SequenceMap` behaves like a Map, in any order of `add()`, `skip()` and `take()`", () => {
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 5, arbitrary: fc.constant<Command>({ type: "add" }) },
    { weight: 1, arbitrary: fc.constant<Command>({ type: "skip" }) },
    { weight: 5, arbitrary: fc.record({ type: fc.constant("take" as const), of: fc.nat(60) }) },
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
      const map = new SequenceMap<{ number: number }>();
      const model = new Map<number, { number: number }>();
      for (const command of commands) {
        const { next } = map;
        if (command.type === "take") {
          assertEquals(map.take(command.of), model.get(command.of));
          model.delete(command.of);
        } else if (command.type === "skip") {
          map.skip();
        } else {
          const value = { number: next };
          map.add(value);
          model.set(next, value);
        }
        assertEquals([map.size, map.numbers()], [model.size, [...model.keys()]]);
      }
      for (const [number, value] of model) assertEquals(map.get(number), value);
    }),
    { numRuns: 300, seed: 1 },
  );
});

test("`SequenceMap` keeps old entries while the ring moves on", () => {
  const map = new SequenceMap<{ number: number }>();
  const old = [1, 5, 70_000, 200_000];
  for (let number = 1; number <= 300_000; number++) {
    if (number % 1000 === 3) map.skip();
    else map.add({ number });
    if (!old.includes(number)) map.take(number);
  }
  assertEquals([map.size, map.numbers()], [4, old]);
  assertEquals(old.map((number) => map.take(number)?.number), old);
  assertEquals([map.size, map.numbers(), map.next], [0, [], 300_001]);
});

test("`readNumber()` reads what a counter writes, and nothing else", () => {
  for (const number of [1, 9, 10, 65_536, 999_999_999_999_999]) {
    assertEquals([readNumber(String(number)), readNumber(`sub-${number}`, 4)], [number, number]);
  }
  for (
    const text of ["", "0", "01", "-1", "+1", "1.0", "1e3", " 1", "1 ", "１", "a", "1a", "1000000000000000", "NaN"]
  ) {
    assertEquals(readNumber(text), -1, text);
  }
});
