/**
 * `#test` under Node.
 *
 * @module
 */
import { test as nodeTest } from "node:test";
import { type Test, testWith } from "./test.ts";

/** Registers a test with `node:test`. */
export const test: Test = testWith(({ name, fn, ignore, timeout }) => {
  nodeTest(name, { skip: ignore, timeout }, async () => await fn());
});
