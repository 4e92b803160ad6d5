/** Byte arrays of any origin. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { runInNewContext } from "node:vm";
import { beginsWith, isBytes, isSame } from "../../codec/bytes.ts";
import { octets } from "../fixtures/decoding.ts";

test("`beginsWith()` and `isSame()` compare ranges, also past the end", () => {
  assertEquals([0, 1, 2, 3].map((at) => beginsWith(octets("abab"), at, octets("ab"))), [true, false, true, false]);
  assertEquals(isSame(octets("xab"), 1, octets("yyab"), 2, 2), true);
  assertEquals(isSame(octets("xab"), 1, octets("yyac"), 2, 2), false);
});

test("`isBytes()` takes a Uint8Array of any realm, and nothing else", () => {
  const foreign: unknown = runInNewContext("new Uint8Array(1)");
  assertEquals([isBytes(new Uint8Array(1)), isBytes(octets("x").subarray(0, 0)), isBytes(foreign)], [true, true, true]);
  const spoof = { [Symbol.toStringTag]: "Uint8Array", length: 0 };
  assertEquals(isBytes(spoof), false);
  for (const value of ["x", undefined, null, [1], new Uint16Array(1), new ArrayBuffer(1), new Uint8ClampedArray(1)]) {
    assertEquals(isBytes(value), false);
  }
});
