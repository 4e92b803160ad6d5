import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { ReadBuffer } from "../../transport/read_buffer.ts";

/** Reads `length` bytes of that value. */
function read(buffer: ReadBuffer, length: number, value: number): Uint8Array {
  buffer.space.fill(value, 0, length);
  return buffer.take(length);
}

test("`take()` returns bytes that stay as they are, however small the first block is", () => {
  const buffer = new ReadBuffer();
  const chunks = Array.from({ length: 200 }, (_, i) => read(buffer, 1 + i % 150, i));
  for (const [i, chunk] of chunks.entries()) {
    assertEquals(chunk.length, 1 + i % 150);
    assert(chunk.every((byte) => byte === i));
  }
});

test("`space` begins small, and grows to 64 KiB while single reads fill it", () => {
  const buffer = new ReadBuffer();
  const sizes = [];
  for (let i = 0; i < 5; i++) {
    sizes.push(buffer.space.length);
    read(buffer, buffer.space.length, i);
  }
  assertEquals(sizes, [512, 4096, 32_768, 65_536, 65_536]);
});

test("`space` is 4 KiB after the first block", () => {
  const buffer = new ReadBuffer();
  read(buffer, 300, 1);
  assertEquals(buffer.space.length, 4096);
});

test("`take()` of a heart-beat does not use up a block", () => {
  const buffer = new ReadBuffer();
  const { buffer: block } = read(buffer, 200, 1);
  const beats = Array.from({ length: 1000 }, (_, i) => read(buffer, 1 + i % 2, i));
  assertEquals(buffer.space.buffer === block, true);
  for (const [i, beat] of beats.entries()) assertEquals([...beat], Array(1 + i % 2).fill(i & 255));
});

test("`release()` lets the next read overwrite a chunk; without it a chunk is kept", () => {
  const buffer = new ReadBuffer();
  const kept = read(buffer, 20, 1);
  const released = read(buffer, 20, 2);
  buffer.release(released);
  read(buffer, 20, 3);
  assertEquals([kept[0], released[0]], [1, 3]);
  const beat = read(buffer, 1, 4);
  buffer.release(beat);
  assertEquals([kept[0], released[0], read(buffer, 20, 5)[0]], [1, 3, 5]);
});

test("`release()` of a chunk twice, or of an earlier one, frees no other chunk", () => {
  const buffer = new ReadBuffer();
  const first = read(buffer, 20, 1);
  const second = read(buffer, 20, 2);
  buffer.release(second);
  buffer.release(second);
  buffer.release(first); // not the last one any more
  const third = read(buffer, 20, 3);
  const fourth = read(buffer, 20, 4);
  assertEquals([first[0], third[0], fourth[0]], [1, 3, 4]);
});

test("`space` is the target of the sink if it has one, and the block stays as it is", () => {
  let target: Uint8Array | undefined;
  const buffer = new ReadBuffer(() => target);
  const before = read(buffer, 20, 1);
  target = new Uint8Array(1000);
  const there = read(buffer, 600, 2);
  buffer.release(there);
  assertEquals([there.buffer === target.buffer, there.length, target[599], target[600]], [true, 600, 2, 0]);
  target = undefined;
  const behind = read(buffer, 20, 3);
  assertEquals([before.buffer === behind.buffer, before[19], behind[0], there[0]], [true, 1, 3, 2]);
});
