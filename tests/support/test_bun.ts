/**
 * `#test` under Bun.
 *
 * @module
 */
import { test as bunTest } from "bun:test";
import { type Test, testWith } from "./test.ts";

/** Registers a test with `bun:test`. */
export const test: Test = testWith(({ name, fn, ignore, timeout }) => {
  (ignore ? bunTest.skip : bunTest)(name, async () => await fn(), { timeout });
});
