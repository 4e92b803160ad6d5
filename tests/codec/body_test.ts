/** Bodies that arrive in pieces: their cost in time and memory. An announced size alone allocates nothing. */
import { assert, assertEquals, assertLess, assertThrows } from "#assert";
import { test } from "#test";
import process from "node:process";
import { BodyBuilder } from "../../codec/body.ts";
import { type FrameDecoder, type FrameDecoderOptions, readTargetOf } from "../../codec/decoder.ts";
import { UnknownBrokerResponseError } from "../../base/errors.ts";
import type { Frame } from "../../codec/frame.ts";
import { makeDecoder, octets } from "../fixtures/decoding.ts";
import { runtime } from "../support/runtime.ts";

const MIB = 1 << 20;

/** Compares octets; `assertEquals` takes seconds for millions of them. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

test("`BodyBuilder.finish()` returns the same body however it was cut, in memory of its size", () => {
  for (const size of [0, 1, 4095, 4096, 4097, 10_000, MIB - 1, MIB, MIB + 1, 2 * MIB + 5]) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 8));
    for (const expected of [size, -1]) {
      for (const piece of [size, 1000, 65_536]) {
        const body = new BodyBuilder(expected);
        for (let at = 0; at < size; at += piece) body.append(bytes, at, Math.min(size, at + piece));
        assertEquals(body.length, size);
        const whole = body.finish().bytes;
        assertEquals(whole.buffer.byteLength, size);
        assertEquals(isSame(whole, bytes), true);
      }
    }
  }
});

test("`FrameDecoder` does not change bodies when it decodes later ones, however they were read", () => {
  const READ: Record<string, (frame: Frame) => void> = {
    "not at all": () => {},
    "as text": (frame) => void frame.text(),
    "as bytes": (frame) => void frame.body,
    "as text, then as bytes": (frame) => void [frame.text(), frame.body],
    "as bytes, then as text": (frame) => void [frame.body, frame.text()],
  };
  // Of similar sizes, so that they can use the same memory one after the other.
  const sizes = [40_000, 50_000, 30_000, 50_000, 40_000, 16_384, 16_383];
  for (const [how, read] of Object.entries(READ)) {
    for (const fill of ["a", "b\u00e9"]) {
      const kept: { frame: Frame; text: string }[] = [];
      const decoder = makeDecoder({
        onFrame: (frame) => {
          read(frame);
          kept.push({ frame, text: "" });
        },
      });
      for (const [i, size] of sizes.entries()) {
        const text = `${i}${fill.repeat(size / fill.length)}`;
        const body = new TextEncoder().encode(text);
        decoder.push(octets(`MESSAGE\ncontent-length:${body.length}\n\n`));
        decoder.push(body);
        decoder.push(Uint8Array.of(0));
        kept.at(-1)!.text = text;
      }
      for (const { frame, text } of kept) {
        assert(frame.text() === text, how);
        const bytes = new TextEncoder().encode(text);
        assert(isSame(frame.body, bytes), how);
        assertEquals(frame.body.buffer.byteLength, bytes.length, how);
      }
    }
  }
});

test("`readTargetOf()` is where the rest of a large body can be read before it is pushed", () => {
  for (const size of [65_536, 65_537, 200_000, MIB, 3 * MIB]) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => i % 127 + (i === size - 1 ? 128 : 1));
    const frames: Frame[] = [];
    const decoder = makeDecoder({ onFrame: (frame) => frames.push(frame) });
    for (let message = 0; message < 3; message++) {
      assertEquals(readTargetOf(decoder), undefined);
      decoder.push(octets(`MESSAGE\ncontent-length:${size}\n\n`));
      let put = 0;
      for (let at = 0; at < size;) {
        const room = readTargetOf(decoder);
        // The rest of the body and nothing after it, unless that is short.
        const left = size - at;
        if (room === undefined) assert(left < 65_536 || (size > MIB && at < size / 2));
        else assertEquals(room.length, left);
        const part = bytes.subarray(at, at + Math.min(left, 50_000));
        room?.set(part);
        decoder.push(room?.subarray(0, part.length) ?? part.slice());
        if (room !== undefined) put += part.length;
        at += part.length;
      }
      assertEquals(readTargetOf(decoder), undefined);
      decoder.push(Uint8Array.of(0));
      assertLess(size / 2, put + 65_536);
    }
    assertEquals(frames.map((frame) => isSame(frame.body, bytes)), [true, true, true]);
  }
});

test("`readTargetOf()` ends with the body, also in memory that a larger one had", () => {
  const decoder = makeDecoder({ onFrame: (frame) => void frame.text() }); // which gives the memory back
  for (const size of [200_000, 150_000, 140_000, 100_000, 70_000]) {
    decoder.push(octets(`MESSAGE\ncontent-length:${size}\n\n`));
    decoder.push(new Uint8Array(10).fill(120));
    assertEquals(readTargetOf(decoder)?.length, size - 10 >= 65_536 ? size - 10 : undefined);
    decoder.push(new Uint8Array(size - 10).fill(120));
    decoder.push(Uint8Array.of(0));
  }
});

/** Bytes of the process's memory that array buffers take. */
const memory = (): number => process.memoryUsage().arrayBuffers || process.memoryUsage().external;

interface Cost {
  milliseconds: number;
  /** The peak of memory in bytes, less what was in use at the start. */
  peak: number;
}

/** Pushes a message in chunks of 1 KiB. */
function receive(size: number, sized: boolean): Cost {
  const chunk = new Uint8Array(1024).fill(120);
  let frame: Frame | undefined;
  const before = memory();
  let peak = 0;
  const decoder = makeDecoder({ onFrame: (got) => frame = got });
  const start = performance.now();
  decoder.push(octets(sized ? `MESSAGE\ncontent-length:${size}\n\n` : "MESSAGE\n\n"));
  for (let i = 0; i < size / chunk.length; i++) {
    decoder.push(chunk);
    if (i % 1024 === 0) peak = Math.max(peak, memory() - before);
  }
  decoder.push(Uint8Array.of(0));
  const milliseconds = performance.now() - start;
  peak = Math.max(peak, memory() - before);
  assertEquals([frame?.body.length, frame?.body.buffer.byteLength, frame?.body[size - 1]], [size, size, 120]);
  return { milliseconds, peak };
}

/** How many bytes are copied while something runs. */
function copied(run: () => void): number {
  const arrays = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
  const { set } = arrays;
  let bytes = 0;
  arrays.set = function (this: Uint8Array, source, offset) {
    bytes += source.length;
    set.call(this, source, offset);
  };
  try {
    run();
  } finally {
    arrays.set = set;
  }
  return bytes;
}

for (const sized of [true, false]) {
  const kind = sized ? "with content-length" : "up to its NUL";

  test(`\`FrameDecoder\` copies each byte of a body, ${kind}, a few times at most, however long the body`, () => {
    for (const size of [MIB, 10 * MIB, 40 * MIB]) assertLess(copied(() => void receive(size, sized)), 3 * size);
  });

  test({
    name: `\`FrameDecoder\` takes linear time and twice the memory at most for 100 MiB in chunks of 1 KiB, ${kind}`,
    timeout: 60_000,
    fn: () => {
      receive(10 * MIB, sized); // warm
      const costs = [1, 2, 3].map(() => receive(100 * MIB, sized));
      // It takes half a second. With quadratic time it would take hours.
      const milliseconds = Math.min(...costs.map((cost) => cost.milliseconds));
      assertLess(milliseconds, 10_000);
      // Runtimes count memory late: memory that an earlier run has freed may still be in the sum.
      const peak = Math.min(...costs.map((cost) => cost.peak)) / (100 * MIB);
      assertLess(peak, 2.1, `${peak.toFixed(2)} times its size`);
    },
  });
}

test("`FrameDecoder.push()` makes neither a copy nor a text of a large message", () => {
  const head = "MESSAGE\na:1\n\n";
  const bytes = new Uint8Array(head.length + 64 * MIB + 1).fill(120, head.length, -1);
  bytes.set(octets(head));
  const before = process.memoryUsage();
  let frame: Frame | undefined;
  const decoder = makeDecoder({ onFrame: (got) => frame = got });
  decoder.push(bytes);
  assertEquals([frame!.headers["a"], frame!.header("a"), frame!.body.length], ["1", "1", 64 * MIB]);
  assert(frame!.body.buffer === bytes.buffer);
  // Bun counts memory only when it collects garbage.
  if (runtime === "bun") return;
  const after = process.memoryUsage();
  assertLess(after.external + after.heapUsed - before.external - before.heapUsed, 16 * MIB);
});

test("F12-43 `FrameDecoder` allocates nothing for a body that is only announced", () => {
  const before = memory();
  const decoders: FrameDecoder[] = [];
  for (let i = 0; i < 20; i++) {
    const decoder = makeDecoder({ onFrame: () => {}, maxBodyBytes: Infinity });
    decoder.push(octets("MESSAGE\ncontent-length:100000000000000\n\nhi"));
    decoders.push(decoder);
  }
  assertLess(memory() - before, 32 * MIB);
  assert(decoders.every((decoder) => decoder.pending));
});

test("F12-43 `FrameDecoder` allocates for what has come of a body, not for its content-length", () => {
  const before = memory();
  const chunk = new Uint8Array(MIB + 1);
  const decoders: FrameDecoder[] = [];
  for (let i = 0; i < 20; i++) {
    const decoder = makeDecoder({ onFrame: () => {} });
    decoder.push(octets(`MESSAGE\ncontent-length:${100 * MIB}\n\n`));
    decoder.push(chunk);
    decoders.push(decoder);
  }
  // The announced sizes add up to 2,000 MiB.
  assertLess(memory() - before, 200 * MIB);
  assert(decoders.every((decoder) => decoder.pending));
});

test("`Frame.detach()` frees the chunk", () => {
  const message = "MESSAGE\nfoo:bar\n\nhi\0";
  const kept: Frame[] = [];
  const decoder = makeDecoder({ onFrame: (frame) => kept.push(frame.detach()) });
  const before = process.memoryUsage();
  for (let i = 0; i < 400; i++) {
    const chunk = new Uint8Array(MIB).fill(10);
    chunk.set(octets(message), MIB - message.length);
    decoder.push(chunk);
  }
  assertEquals([kept.length, kept[0]!.text(), kept[0]!.header("foo")], [400, "hi", "bar"]);
  if (runtime === "bun") return;
  // Bytes and text of the chunks would be 800 MiB; garbage that is not collected yet is much less.
  const after = process.memoryUsage();
  assertLess(after.external + after.heapUsed - before.external - before.heapUsed, 300 * MIB);
});

/** Pushes one line again and again until the decoder refuses it, and returns after how many bytes. */
function refusedAfter(begin: string, more: string, options: Partial<FrameDecoderOptions>): number {
  const decoder = makeDecoder({ onFrame: () => {}, ...options });
  decoder.push(octets(begin));
  const chunk = octets(more);
  let bytes = 0;
  assertThrows(() => {
    for (; bytes < 64 * MIB; bytes += chunk.length) decoder.push(chunk);
  }, UnknownBrokerResponseError);
  return bytes;
}

test("F12-43 `FrameDecoder` refuses endless input at the limit", () => {
  assertLess(refusedAfter("MESSAGE\n", "a".repeat(1000), {}), 66_000);
  assertLess(refusedAfter("MESSAGE\na:", "a".repeat(1000), {}), 66_000);
  assertLess(refusedAfter("MESSAGE\n", "a:b\n".repeat(100), {}), 5000);
  assertLess(refusedAfter("MESSAGE\n", "a:b\n".repeat(100), { maxHeaders: Infinity }), 66_000);
  assertLess(refusedAfter("MESSAGE\n\n", "a".repeat(1000), { maxBodyBytes: 10_000 }), 11_000);
  assertLess(refusedAfter("MESSAGE\ncontent-length:3\n\n", "a", {}), 4);
  assertLess(refusedAfter("ACK\n\n", "\n".repeat(1000), { maxBodyBytes: 10_000 }), 11_000);
});

test("F12-43 `FrameDecoder` refuses a content-length over the limit at the end of its line", () => {
  for (const [length, options] of [["100000000000000", {}], ["134217729", {}], ["11", { maxBodyBytes: 10 }]] as const) {
    const decoder = makeDecoder({ onFrame: () => {}, ...options });
    decoder.push(octets(`MESSAGE\ncontent-length:${length}`));
    assertThrows(() => decoder.push(octets("\n")), UnknownBrokerResponseError, "maxBodyBytes");
  }
});

test("`FrameDecoder` takes linear time for headers that come byte by byte", () => {
  const wire = octets(`MESSAGE\n${"a".repeat(30_000)}:${"b".repeat(30_000)}\n\n\0`);
  let frames = 0;
  const decoder = makeDecoder({ onFrame: () => frames++ });
  const bytes = copied(() => {
    for (const byte of wire) decoder.push(Uint8Array.of(byte));
  });
  assertEquals(frames, 1);
  assertLess(bytes, 4 * wire.length);
});
