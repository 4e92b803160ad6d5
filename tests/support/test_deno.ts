/**
 * `#test` under Deno. deno.json turns on the sanitizers of ops and resources; `Deno.test` enforces the deadline itself,
 * so no timer of ours is there for them to find.
 *
 * @module
 */
import { type Test, testWith } from "./test.ts";

/** Registers a test with `Deno.test`. */
export const test: Test = testWith((definition) => Deno.test(definition));
