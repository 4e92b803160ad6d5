/** `WriteBuffer`: how frames are gathered into writes. */
import { assertEquals, assertLess } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import type { DirectIo } from "../../transport/socket_transport.ts";
import { afterMacrotask, type Clock, systemClock } from "../../base/timers.ts";
import { WriteBuffer } from "../../connection/write_buffer.ts";

const encoder = new TextEncoder();

const turn = () => new Promise<void>((resolve) => void afterMacrotask(resolve));

const FRAME = "ACK\nid:1\n\n"; // 11 bytes with its NUL

/** A clock that stands still. */
const STOPPED: Clock = { now: () => 0, after: () => () => {} };

/** A buffer over a socket that only notes the sizes of its writes; `write` is what it returns. */
function counting(write: () => Promise<void> | void, clock = STOPPED): { buffer: WriteBuffer; writes: number[] } {
  const writes: number[] = [];
  const io: DirectIo = {
    read() {},
    resume() {},
    release() {},
    write(bytes) {
      writes.push(bytes.length);
      return write();
    },
    end: () => Promise.resolve(),
  };
  return { buffer: new WriteBuffer(io, clock, () => {}), writes };
}

const SOCKETS = {
  "takes bytes at once": () => {},
  "takes them a moment later": () => Promise.resolve(),
};

for (const [kind, write] of Object.entries(SOCKETS)) {
  test(`\`write()\` that is awaited each time does not cause a write for each frame, on a socket that ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let i = 0; i < 1000; i++) {
      await buffer.writeText(FRAME);
      await undefined; // so that a write is over before the next frame
    }
    assertEquals([writes[0], writes.length], [11, 1]);
    await turn();
    await buffer.flush();
    assertEquals(writes, [11, 999 * 11]);
    assertEquals(buffer.buffered, 0);
  });

  test(`\`write()\` passes on what was sent in one turn as soon as there are 64 KiB, on a socket that ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let sent = 0; sent < 1 << 20; sent += 11) await buffer.writeText(FRAME);
    assertLess(writes.length, 30);
    await buffer.flush();
    assertEquals(writes.reduce((sum, size) => sum + size), Math.ceil((1 << 20) / 11) * 11);
  });

  test(`the promise of \`write()\` resolves after a large frame, on a socket that ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let i = 0; i < 5; i++) await buffer.write("SEND\n", [], new Uint8Array(1 << 20), false);
    assertEquals(writes.length, 5);
  });

  test(`\`write()\` leaves with its task after \`beginTurn()\`, or 2 ms after the last write, on a socket that ${kind}`, async () => {
    const clock = { ...STOPPED };
    const { buffer, writes } = counting(write, clock);
    const send = async () => {
      buffer.writeText(FRAME);
      buffer.writeText(FRAME);
      for (let i = 0; i < 4; i++) await undefined; // and no turn
    };
    await send();
    buffer.beginTurn();
    await send();
    assertEquals(writes, [22, 22]);
    await send();
    assertEquals(writes, [22, 22]);
    await turn();
    assertEquals(writes, [22, 22, 22]);
    clock.now = () => 10;
    await send();
    assertEquals(writes, [22, 22, 22, 22]);
  });
}

/** A socket that takes bytes at once, or when the test says so. It reads them only then. */
class Sink implements DirectIo {
  text = "";
  takesLate = false;
  #take: (() => void) | undefined;
  #writing = Promise.withResolvers<void>();

  write(bytes: Uint8Array): Promise<void> | void {
    if (!this.takesLate) return void (this.text += new TextDecoder().decode(bytes));
    this.#writing.resolve();
    return new Promise((resolve) => {
      this.#take = () => {
        this.text += new TextDecoder().decode(bytes);
        resolve();
      };
    });
  }

  /** Resolves when a write waits to be taken. */
  get writing(): Promise<void> {
    return this.#writing.promise;
  }

  take(): void {
    this.#writing = Promise.withResolvers<void>();
    this.#take!();
  }

  read(): void {}
  resume(): void {}
  release(): void {}
  end(): Promise<void> {
    return Promise.resolve();
  }
}

const buffered = (sink: Sink) => new WriteBuffer(sink, systemClock, () => {});

test("a pooled buffer is not filled by one connection while another writes from it", async () => {
  const slow = new Sink();
  slow.takesLate = true;
  const quick = new Sink();
  const [a, b] = [buffered(slow), buffered(quick)];
  for (let i = 0; i < 3; i++) {
    a.writeText(`a${i}`);
    await slow.writing;
    a.writeText(`more${i}`); // gathered behind the write that is under way
    b.writeText(`b${i}`);
    await b.flush();
    await turn();
    b.writeText(`c${i}`);
    await b.flush();
    slow.take();
    await slow.writing;
    slow.take();
    await a.flush();
    await turn();
  }
  assertEquals(slow.text, [0, 1, 2].map((i) => `a${i}\0more${i}\0`).join(""));
  assertEquals(quick.text, [0, 1, 2].map((i) => `b${i}\0c${i}\0`).join(""));
});

test("`retract()` takes a frame back from any chunk that waits, and from none that is on its way", async () => {
  const slow = new Sink();
  slow.takesLate = true;
  const buffer = buffered(slow);
  const places: [number, number][] = [];
  for (const letter of "abcd") {
    const start = buffer.position;
    buffer.write(`${letter}\n`, [], encoder.encode(letter.repeat(70_000)), false)?.catch(() => {});
    places.push([start, buffer.position]);
  }
  await slow.writing;
  assertEquals([...places[2]!, places.length], [2 * 70_004, 3 * 70_004, 4]);
  assertEquals(places.map(([start, end], i) => i !== 1 && i !== 3 && buffer.retract(start, end)), [
    false, // the transport has it
    false,
    true,
    false,
  ]);
  for (let i = 0; i < 3; i++) {
    slow.take();
    await slow.writing;
  }
  slow.take();
  await buffer.flush();
  const kept = (letter: string) => `${letter}\n\n${letter.repeat(70_000)}\0`;
  assertEquals(slow.text === kept("a") + kept("b") + "\n".repeat(70_004) + kept("d"), true);
});

test("40 connections that share the pool each send their own bytes, at once and after a rest", async () => {
  const sinks = Array.from({ length: 40 }, () => new Sink());
  const buffers = sinks.map(buffered);
  for (const size of [10, 5000, 70_000, 10]) {
    for (const [i, buffer] of buffers.entries()) buffer.writeText(String.fromCharCode(65 + i).repeat(size));
    await Promise.all(buffers.map((buffer) => buffer.flush()));
    await turn();
  }
  for (const [i, { text }] of sinks.entries()) {
    const letter = String.fromCharCode(65 + i);
    assertEquals(text === [10, 5000, 70_000, 10].map((size) => `${letter.repeat(size)}\0`).join(""), true);
  }
});

test("`abandon()` leaves the bytes of a pending write as they are until it is over", async () => {
  const slow = new Sink();
  slow.takesLate = true;
  const quick = new Sink();
  const abandoned = buffered(slow);
  abandoned.writeText("under way");
  await slow.writing;
  abandoned.abandon(new Error("gone"));
  const others = [buffered(quick), buffered(quick), buffered(quick)];
  for (const other of others) other.writeText("something else");
  await Promise.all(others.map((other) => other.flush()));
  slow.take(); // only now are the bytes read
  assertEquals([slow.text, quick.text], ["under way\0", "something else\0".repeat(3)]);
});

test("the promise of `write()` lets timers fire for a caller that sends slowly but never rests", async () => {
  const io: DirectIo = { read() {}, resume() {}, release() {}, write() {}, end: () => Promise.resolve() };
  const buffer = new WriteBuffer(io, systemClock, () => {});
  let heard = false;
  const timer = setTimeout(() => heard = true, 1);
  for (let i = 0; i < 100 && !heard; i++) {
    for (const end = performance.now() + 3; performance.now() < end;);
    await buffer.write("SEND\ndestination:/q\n", [], new Uint8Array(60_000));
  }
  clearTimeout(timer);
  assertEquals(heard, true);
});

test("`write()` writes the same bytes and tells the same frame ends, in whatever parts a frame is given", async () => {
  const part = fc.constantFrom("a", "0", ":", " ", "\u007f", "\u0080", "é", "€", "\u{1f600}", "x".repeat(63));
  const text = fc.array(part, { maxLength: 4 }).map((parts) => parts.join(""));
  const headers = fc.array(fc.tuple(text, text), { maxLength: 3 });
  const body = fc.oneof(text, text.map((text) => text.repeat(500)), fc.uint8Array({ maxLength: 200 }));
  const frames = fc.array(fc.tuple(text, fc.boolean(), headers, body), { minLength: 1, maxLength: 4 });
  const property = fc.asyncProperty(frames, async (frames) => {
    const written: number[][] = [];
    const io: DirectIo = {
      wantsFrameEnds: true,
      read() {},
      resume() {},
      release() {},
      write: (bytes, frameEnds) => void written.push(...framesIn(bytes, frameEnds)),
      end: () => Promise.resolve(),
    };
    const buffer = new WriteBuffer(io, STOPPED, () => {});
    const expected: number[][] = [];
    for (const [head, isText, headers, body] of frames) {
      buffer.write(isText ? head : encoder.encode(head), headers.flat(), body);
      const bytes = typeof body === "string" ? encoder.encode(body) : body;
      const lines = headers.map(([name, value]) => `${name}:${value}\n`).join("");
      const size = bytes.length === 0 ? "" : `content-length:${bytes.length}\n`;
      expected.push([...encoder.encode(`${head}${lines}${size}\n`), ...bytes, 0]);
    }
    await buffer.flush();
    assertEquals(written, expected);
  });
  await fc.assert(property);
});

/** The frames of a write, cut where they end. The last end has to be that of the bytes. */
function framesIn(bytes: Uint8Array, frameEnds: readonly number[] | undefined): number[][] {
  assertEquals(frameEnds?.at(-1), bytes.length);
  return frameEnds!.map((end, i) => [...bytes.slice(frameEnds![i - 1] ?? 0, end)]);
}

test("`write()` tells where frames end, for frames of any size, line ends, and chunks that wait", async () => {
  const written: string[] = [];
  let take = () => {};
  const io: DirectIo = {
    wantsFrameEnds: true,
    read() {},
    resume() {},
    release() {},
    write(bytes, frameEnds) {
      written.push(...framesIn(bytes, frameEnds).map((frame) => String.fromCharCode(...frame.slice(0, 20))));
      return new Promise((resolve) => take = resolve);
    },
    end: () => Promise.resolve(),
  };
  const buffer = new WriteBuffer(io, STOPPED, () => {});
  buffer.writeText("CONNECT\n\n");
  buffer.flush();
  const expected = ["CONNECT\n\n\0"];
  for (const size of [1, 10, 30_000, 40_000, 70_000]) {
    buffer.write(`SEND\nsize:${size}\n`, [], "x".repeat(size))?.catch(() => {});
    buffer.writeLineEnd();
    expected.push(`SEND\nsize:${size}\ncontent-length:`.slice(0, 20), "\n");
  }
  buffer.writeText("x".repeat(70_000))?.catch(() => {});
  const start = buffer.position;
  buffer.writeText("taken back");
  assertEquals(buffer.retract(start, buffer.position), true);
  expected.push("x".repeat(20), "\n".repeat(11));
  const flushed = buffer.flush().then(() => take = () => {});
  while (buffer.buffered > 0) {
    take();
    await turn();
  }
  await flushed;
  assertEquals(written, expected);
});

test("`write()` tells no frame ends to a transport that does not want them", async () => {
  const ends: unknown[] = [];
  const io: DirectIo = {
    read() {},
    resume() {},
    release() {},
    write: (_bytes, frameEnds) => void ends.push(frameEnds),
    end: () => Promise.resolve(),
  };
  const buffer = new WriteBuffer(io, STOPPED, () => {});
  buffer.writeText("ACK\nid:1\n\n");
  buffer.write("SEND\n", [], new Uint8Array(1 << 20));
  await buffer.flush();
  assertEquals(ends, [undefined, undefined]);
});
