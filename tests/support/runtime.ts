/**
 * Which runtime runs this.
 *
 * @module
 */

/** The runtimes that the tests run in. */
export type Runtime = "deno" | "bun" | "node";

/** All of them, in the order they are run in. */
export const RUNTIMES: readonly Runtime[] = ["deno", "bun", "node"];

/** The runtime that runs this. */
export const runtime: Runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
