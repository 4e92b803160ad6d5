/** Things by number: what was kept is found, whatever the order it is taken in, and nothing piles up. */
import { assertEquals } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import { readNumber, SequenceMap } from "../../base/sequence_map.ts";

test("numbers count up, and each has its thing until that is taken", () => {
  const things = new SequenceMap<{ name: string }>();
  assertEquals([things.next, things.size, things.get(1), things.take(1)], [1, 0, undefined, undefined]);
  for (let i = 1; i <= 100; i++) {
    assertEquals(things.next, i);
    things.add({ name: `thing ${i}` });
  }
  assertEquals([things.size, things.get(1)?.name, things.get(100)?.name, things.get(101)], [
    100,
    "thing 1",
    "thing 100",
    undefined,
  ]);
  assertEquals([things.take(50)?.name, things.take(50), things.get(50), things.size], [
    "thing 50",
    undefined,
    undefined,
    99,
  ]);
  for (const number of [0, -1, 0.5, 1e15, NaN]) {
    assertEquals([things.get(number), things.take(number)], [undefined, undefined]);
  }
});

type Command = { type: "add" } | { type: "skip" } | { type: "take"; of: number };

test("it does what a Map does, in any order of adding, leaving out and taking", () => {
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 5, arbitrary: fc.constant<Command>({ type: "add" }) },
    { weight: 1, arbitrary: fc.constant<Command>({ type: "skip" }) },
    { weight: 5, arbitrary: fc.record({ type: fc.constant("take" as const), of: fc.nat(60) }) },
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
      const things = new SequenceMap<{ number: number }>();
      const model = new Map<number, { number: number }>();
      for (const command of commands) {
        const { next } = things;
        if (command.type === "take") {
          assertEquals(things.take(command.of), model.get(command.of));
          model.delete(command.of);
        } else if (command.type === "skip") {
          things.skip();
        } else {
          const thing = { number: next };
          things.add(thing);
          model.set(next, thing);
        }
        assertEquals([things.size, things.numbers()], [model.size, [...model.keys()]]);
      }
      for (const [number, thing] of model) assertEquals(things.get(number), thing);
    }),
    { numRuns: 300, seed: 1 },
  );
});

test("one that is never taken is in nobody's way", () => {
  const things = new SequenceMap<{ number: number }>();
  const late = [1, 5, 70_000, 200_000];
  for (let number = 1; number <= 300_000; number++) {
    if (number % 1000 === 3) things.skip();
    else things.add({ number });
    if (!late.includes(number)) things.take(number);
  }
  assertEquals([things.size, things.numbers()], [4, late]);
  assertEquals(late.map((number) => things.take(number)?.number), late);
  assertEquals([things.size, things.numbers(), things.next], [0, [], 300_001]);
});

test("readNumber reads what a counter writes, and nothing else", () => {
  for (const number of [1, 9, 10, 65_536, 999_999_999_999_999]) {
    assertEquals([readNumber(String(number)), readNumber(`sub-${number}`, 4)], [number, number]);
  }
  for (
    const text of ["", "0", "01", "-1", "+1", "1.0", "1e3", " 1", "1 ", "１", "a", "1a", "1000000000000000", "NaN"]
  ) {
    assertEquals(readNumber(text), -1, text);
  }
});
