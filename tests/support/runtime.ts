/**
 * The runtimes, and the one that this process is.
 *
 * @module
 */

/** A runtime that the tests run in. */
export type Runtime = "deno" | "bun" | "node";

/** All runtimes, in the order in which the tests use them. */
export const RUNTIMES: readonly Runtime[] = ["deno", "bun", "node"];

/** The runtime of this process. */
export const runtime: Runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
