/** How frames are gathered into writes. */
import { assertEquals, assertLess } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import type { DirectIo } from "../../transport/socket_transport.ts";
import { afterMacrotask, type Clock, systemClock } from "../../base/timers.ts";
import { WriteBuffer } from "../../connection/write_buffer.ts";

const encoder = new TextEncoder();

const turn = () => new Promise<void>((resolve) => void afterMacrotask(resolve));

const FRAME = "ACK\nid:1\n\n"; // 11 bytes with its NUL

/** All is the same moment. */
const STILL: Clock = { now: () => 0, after: () => () => {} };

/** A far end that only counts; `write` is what its socket says to a write. */
function counting(write: () => Promise<void> | void, clock = STILL): { buffer: WriteBuffer; writes: number[] } {
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
  "says so a moment later": () => Promise.resolve(),
};

for (const [kind, write] of Object.entries(SOCKETS)) {
  test(`awaiting each send makes no write of each, where the socket ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let i = 0; i < 1000; i++) {
      await buffer.ascii(FRAME);
      await undefined; // so that a write is over before the next frame
    }
    assertEquals([writes[0], writes.length], [11, 1]);
    await turn();
    await buffer.flush();
    assertEquals(writes, [11, 999 * 11]);
    assertEquals(buffer.buffered, 0);
  });

  test(`what is sent in one turn leaves as soon as there is enough of it, where the socket ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let sent = 0; sent < 1 << 20; sent += 11) await buffer.ascii(FRAME);
    assertLess(writes.length, 30);
    await buffer.flush();
    assertEquals(writes.reduce((sum, size) => sum + size), Math.ceil((1 << 20) / 11) * 11);
  });

  test(`who waits for room behind one large frame gets it, where the socket ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let i = 0; i < 5; i++) await buffer.frame("SEND\n\n", new Uint8Array(1 << 20));
    assertEquals(writes.length, 5);
  });

  test(`a frame leaves with its task once something has come, or after a while, where the socket ${kind}`, async () => {
    const clock = { ...STILL };
    const { buffer, writes } = counting(write, clock);
    const send = async () => {
      buffer.ascii(FRAME);
      buffer.ascii(FRAME);
      for (let i = 0; i < 4; i++) await undefined; // and no turn
    };
    await send();
    buffer.turn();
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

/** Takes what is written: at once, or when the test says so. What it has not taken it reads only then. */
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

test("a buffer that one connection writes from is not filled by another", async () => {
  const slow = new Sink();
  slow.takesLate = true;
  const quick = new Sink();
  const [a, b] = [buffered(slow), buffered(quick)];
  for (let i = 0; i < 3; i++) {
    a.ascii(`a${i}`);
    await slow.writing;
    a.ascii(`more${i}`); // gathered behind the write that is under way
    b.ascii(`b${i}`);
    await b.flush();
    await turn();
    b.ascii(`c${i}`);
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

test("a frame can be taken back from any chunk that waits, and from none that is on its way", async () => {
  const slow = new Sink();
  slow.takesLate = true;
  const buffer = buffered(slow);
  const places: [number, number][] = [];
  for (const letter of "abcd") {
    const start = buffer.position;
    buffer.frame(`${letter}\n\n`, encoder.encode(letter.repeat(70_000)))?.catch(() => {});
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

test("many connections that send at once, and again after a rest, each send their own", async () => {
  const sinks = Array.from({ length: 40 }, () => new Sink());
  const buffers = sinks.map(buffered);
  for (const size of [10, 5000, 70_000, 10]) {
    for (const [i, buffer] of buffers.entries()) buffer.ascii(String.fromCharCode(65 + i).repeat(size));
    await Promise.all(buffers.map((buffer) => buffer.flush()));
    await turn();
  }
  for (const [i, { text }] of sinks.entries()) {
    const letter = String.fromCharCode(65 + i);
    assertEquals(text === [10, 5000, 70_000, 10].map((size) => `${letter.repeat(size)}\0`).join(""), true);
  }
});

test("what is abandoned in the middle of a write stays as it is until the write is over", async () => {
  const slow = new Sink();
  slow.takesLate = true;
  const quick = new Sink();
  const abandoned = buffered(slow);
  abandoned.ascii("under way");
  await slow.writing;
  abandoned.abandon(new Error("gone"));
  const others = [buffered(quick), buffered(quick), buffered(quick)];
  for (const other of others) other.ascii("something else");
  await Promise.all(others.map((other) => other.flush()));
  slow.take(); // only now does it look at the bytes
  assertEquals([slow.text, quick.text], ["under way\0", "something else\0".repeat(3)]);
});

test("who sends seldom but never rests lets timers through", async () => {
  const io: DirectIo = { read() {}, resume() {}, release() {}, write() {}, end: () => Promise.resolve() };
  const buffer = new WriteBuffer(io, systemClock, () => {});
  let heard = false;
  const timer = setTimeout(() => heard = true, 1);
  for (let i = 0; i < 100 && !heard; i++) {
    for (const end = performance.now() + 3; performance.now() < end;);
    await buffer.sized("SEND\ndestination:/q\n", [], new Uint8Array(60_000));
  }
  clearTimeout(timer);
  assertEquals(heard, true);
});

test("frames are the same bytes, in whatever parts they come", async () => {
  const part = fc.constantFrom("a", "0", ":", " ", "\u007f", "\u0080", "é", "€", "\u{1f600}", "x".repeat(63));
  const text = fc.array(part, { maxLength: 4 }).map((parts) => parts.join(""));
  const headers = fc.array(fc.tuple(text, text), { maxLength: 3 });
  const body = fc.oneof(text, text.map((text) => text.repeat(500)), fc.uint8Array({ maxLength: 200 }));
  const frames = fc.array(fc.tuple(text, fc.boolean(), headers, body), { minLength: 1, maxLength: 4 });
  const property = fc.asyncProperty(frames, async (frames) => {
    const chunks: Uint8Array[] = [];
    const io: DirectIo = {
      read() {},
      resume() {},
      release() {},
      write: (bytes) => void chunks.push(bytes.slice()),
      end: () => Promise.resolve(),
    };
    const buffer = new WriteBuffer(io, STILL, () => {});
    const expected: number[] = [];
    for (const [head, isText, headers, body] of frames) {
      buffer.sized(isText ? head : encoder.encode(head), headers.flat(), body);
      const bytes = typeof body === "string" ? encoder.encode(body) : body;
      const lines = headers.map(([name, value]) => `${name}:${value}\n`).join("");
      const size = bytes.length === 0 ? "" : `content-length:${bytes.length}\n`;
      expected.push(...encoder.encode(`${head}${lines}${size}\n`), ...bytes, 0);
    }
    await buffer.flush();
    assertEquals(chunks.flatMap((chunk) => [...chunk]), expected);
  });
  await fc.assert(property);
});
