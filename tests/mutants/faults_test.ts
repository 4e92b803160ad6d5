/** The faults of `deno task mutants`. This test fails as soon as the text that a fault replaces has changed. */
import { assertEquals, assertGreater } from "#assert";
import { test } from "#test";
import { files, readText } from "../support/project.ts";
import { FAULTS } from "./faults.ts";

test("mutants: the text of each fault occurs once in its module, and its test files exist", () => {
  assertGreater(FAULTS.length, 60);
  const wrong = FAULTS.filter(({ file, from, to }) => from === to || readText(file).split(from).length !== 2);
  assertEquals(wrong.map(({ file, name }) => `${file}: ${name}`), []);
  const missing = FAULTS.flatMap(({ tests }) => tests).filter((name) => files(`tests/${name}_test.ts`).length !== 1);
  assertEquals([...new Set(missing)], []);
});

test("mutants: no two faults have the same name", () => {
  const names = FAULTS.map(({ name }) => name);
  assertEquals(names.filter((name, index) => names.indexOf(name) !== index), []);
});
