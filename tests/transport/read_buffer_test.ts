import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { ReadBuffer } from "../../transport/read_buffer.ts";

/** Reads so many bytes of that value. */
function read(blocks: ReadBuffer, length: number, value: number): Uint8Array {
  blocks.space.fill(value, 0, length);
  return blocks.take(length);
}

test("what was read stays as it is, however small the first block is", () => {
  const blocks = new ReadBuffer();
  const chunks = Array.from({ length: 200 }, (_, i) => read(blocks, 1 + i % 150, i));
  for (const [i, chunk] of chunks.entries()) {
    assertEquals(chunk.length, 1 + i % 150);
    assert(chunk.every((byte) => byte === i));
  }
});

test("blocks begin small, and grow to 64 KiB while single reads fill them", () => {
  const blocks = new ReadBuffer();
  const sizes = [];
  for (let i = 0; i < 5; i++) {
    sizes.push(blocks.space.length);
    read(blocks, blocks.space.length, i);
  }
  assertEquals(sizes, [512, 4096, 32_768, 65_536, 65_536]);
});

test("the block behind the first one is of use for more than an idle connection", () => {
  const blocks = new ReadBuffer();
  read(blocks, 300, 1);
  assertEquals(blocks.space.length, 4096);
});

test("heart-beats do not use up a block", () => {
  const blocks = new ReadBuffer();
  const { buffer } = read(blocks, 200, 1);
  const beats = Array.from({ length: 1000 }, (_, i) => read(blocks, 1 + i % 2, i));
  assertEquals(blocks.space.buffer === buffer, true);
  for (const [i, beat] of beats.entries()) assertEquals([...beat], Array(1 + i % 2).fill(i & 255));
});

test("a chunk that is released is read over, and one that is not is kept", () => {
  const blocks = new ReadBuffer();
  const kept = read(blocks, 20, 1);
  const released = read(blocks, 20, 2);
  blocks.release(released);
  read(blocks, 20, 3);
  assertEquals([kept[0], released[0]], [1, 3]);
  const beat = read(blocks, 1, 4);
  blocks.release(beat);
  assertEquals([kept[0], released[0], read(blocks, 20, 5)[0]], [1, 3, 5]);
});

test("a chunk that is released twice, or behind another one, takes nobody else's memory", () => {
  const blocks = new ReadBuffer();
  const first = read(blocks, 20, 1);
  const second = read(blocks, 20, 2);
  blocks.release(second);
  blocks.release(second);
  blocks.release(first); // not the last one any more
  const third = read(blocks, 20, 3);
  const fourth = read(blocks, 20, 4);
  assertEquals([first[0], third[0], fourth[0]], [1, 3, 4]);
});

test("where the reader has a place for what comes, it is read there, and the block stays as it is", () => {
  let room: Uint8Array | undefined;
  const blocks = new ReadBuffer(() => room);
  const before = read(blocks, 20, 1);
  room = new Uint8Array(1000);
  const there = read(blocks, 600, 2);
  blocks.release(there);
  assertEquals([there.buffer === room.buffer, there.length, room[599], room[600]], [true, 600, 2, 0]);
  room = undefined;
  const behind = read(blocks, 20, 3);
  assertEquals([before.buffer === behind.buffer, before[19], behind[0], there[0]], [true, 1, 3, 2]);
});
