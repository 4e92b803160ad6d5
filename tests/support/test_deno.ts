/**
 * `#test` under Deno. deno.json turns on the sanitizers of ops and resources. `Deno.test` enforces the timeout by itself,
 * so no timer of the tests is open for them to find.
 *
 * @module
 */
import { type Test, testWith } from "./test.ts";

/** Registers a test with `Deno.test`. */
export const test: Test = testWith((definition) => Deno.test(definition));
