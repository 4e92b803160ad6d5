/** The properties of the codec on some random input, the same for everybody; `deno task fuzz` does more, and other. */
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
