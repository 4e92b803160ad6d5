/** Text as in a browser, where there is no `node:buffer` to reach through `process`. */
import process from "node:process";
import { assertEquals } from "#assert";
import { test } from "#test";

Object.defineProperty(process, "getBuiltinModule", { value: undefined, configurable: true, writable: true });

test("`process.getBuiltinModule` is out of reach in this file", () => {
  assertEquals((globalThis as { process?: typeof process }).process?.getBuiltinModule, undefined);
});

await import("./text_test.ts");
await import("./chunk_test.ts");
