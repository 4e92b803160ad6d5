/** `BufferPool`: which buffers are reused, and how many are kept. */
import { assertEquals, assertStrictEquals } from "#assert";
import { test } from "#test";
import { BufferPool } from "../../base/buffer_pool.ts";

test("`BufferPool.take()` takes the buffer that was given back last", () => {
  const pool = new BufferPool(4);
  assertEquals(pool.take(), undefined);
  const [first, second] = [new Uint8Array(8), new Uint8Array(8)];
  pool.give(first);
  pool.give(second);
  assertStrictEquals(pool.take(), second);
  assertStrictEquals(pool.take(), first);
  assertEquals(pool.take(), undefined);
});

test("`BufferPool.take()` takes only a buffer of a size within the limits", () => {
  const pool = new BufferPool(4);
  const [small, large] = [new Uint8Array(8), new Uint8Array(64)];
  pool.give(small);
  pool.give(large);
  assertEquals(pool.take(9, 63), undefined);
  assertStrictEquals(pool.take(4, 8), small);
  assertStrictEquals(pool.take(64), large);
});

test("`BufferPool.give()` keeps the last buffers, and none without bytes", () => {
  const pool = new BufferPool(2);
  const buffers = [1, 2, 3].map((size) => new Uint8Array(size));
  for (const buffer of buffers) pool.give(buffer);
  pool.give(new Uint8Array(0));
  assertStrictEquals(pool.take(), buffers[2]);
  assertStrictEquals(pool.take(), buffers[1]);
  assertEquals(pool.take(), undefined);
});
