/** The properties of the codec on the same random input in each run; `deno task fuzz` tries more, and other input. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { PROPERTIES } from "./properties.ts";

for (const { name, check } of PROPERTIES) {
  test({
    name,
    timeout: 60_000,
    fn: () => assertEquals(check(2000, 1).refutation, undefined),
  });
}
