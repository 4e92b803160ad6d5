/** What waiting frames keep in memory: no more than twice their size, whatever the chunks were that they came in. */
import { assert, assertEquals, assertGreater, assertLess } from "#assert";
import { test } from "#test";
import { BoundedQueue } from "../../base/bounded_queue.ts";
import { createDecoder, FrameDecoder } from "../../codec/decoder.ts";
import { escapedHeaderOf, type Frame, subscriptionOf, viewOf } from "../../codec/frame.ts";
import { Backlog } from "../../session/backlog.ts";
import { octets } from "../fixtures/decoding.ts";

const encoder = new TextEncoder();
const KIB = 1024;
const SLACK = 1024 * KIB;

/** Creates queues behind one decoder; a message goes into the queue whose number is in its `to`. */
function createQueues(count: number, ownsChunks = false) {
  const backlog = new Backlog();
  const all = Array.from({ length: count }, () => new BoundedQueue<Frame>(backlog, () => {}, { items: Infinity }));
  const decoder = createDecoder({ onFrame: (frame) => all[Number(frame.header("to"))]?.put(frame) }, { ownsChunks });
  return { backlog, all, decoder };
}

/** As it is on the wire, in Latin-1. */
function message(to: number | string, id: number, body: string, more = ""): string {
  return `MESSAGE\nto:${to}\nsubscription:some-subscription\nid:${id}\n${more}\n${body}\0`;
}

/** A chunk of 64 KiB or more, most of which is of no interest. */
function sparse(frame: string, fill: Uint8Array = LINES): Uint8Array {
  const head = octets(frame);
  const chunk = new Uint8Array(head.length + fill.length);
  chunk.set(head);
  chunk.set(fill, head.length);
  return chunk;
}

/** Bytes of all memory that frames keep. */
function memoryOf(frames: readonly Frame[]): number {
  const chunks = frames.map((frame) => viewOf(frame)!.chunk);
  const all = new Map(chunks.map((chunk) => [chunk.memory, chunk.memorySize]));
  return [...all.values()].reduce((sum, size) => sum + size, 0);
}

const LINES = new Uint8Array(64 * KIB).fill(10);

const FILLS: Record<string, Uint8Array> = {
  "heart-beats": LINES,
  "messages for another one": octets(message("nobody", 0, "x".repeat(1000)).repeat(60)),
};
const BODIES = { "text": "x", "octets": "\xff" };

for (const [fillName, fill] of Object.entries(FILLS)) {
  for (const [bodyName, body] of Object.entries(BODIES)) {
    for (const ownsChunks of [false, true]) {
      const memory = ownsChunks ? "memory of their own" : "memory that is used again";
      test(`\`Backlog\` retains little memory for small messages (${bodyName}) among ${fillName}, in chunks of ${memory}`, () => {
        const { backlog, all: [queue], decoder } = createQueues(1, ownsChunks);
        let most = 0;
        for (let id = 0; id < 300; id++) {
          decoder.push(sparse(message(0, id, body), fill));
          most = Math.max(most, backlog.retained - backlog.bytes * 2);
        }
        // Half of the slack, so that the next look is not due at once, and the chunk that was read last.
        assertLess(most, SLACK + 1);
        const frames = Array.from({ length: 300 }, () => queue!.takeNow()!);
        assertLess(memoryOf(frames), SLACK);
        for (const [id, frame] of frames.entries()) {
          assertEquals([frame.header("id"), frame.body], [String(id), octets(body)]);
          assertEquals([subscriptionOf(frame), frame.headers["to"]], ["some-subscription", "0"]);
        }
        assertEquals([backlog.bytes, backlog.retained, queue!.bytes], [0, 0, 0]);
      });
    }
  }
}

test("`Backlog` counts a chunk that several queues share once", () => {
  const { backlog, all, decoder } = createQueues(300);
  // Each has one message, in a separate chunk.
  for (let to = 0; to < 300; to++) decoder.push(sparse(message(to, to, "x")));
  assertLess(backlog.retained, backlog.bytes * 2 + SLACK + 1);
  for (const [id, queue] of all.entries()) assertEquals(queue.takeNow()?.header("id"), String(id));
  // All have one in the same chunk, and nothing is moved.
  decoder.push(octets(all.map((_, to) => message(to, to, "x")).join("")));
  assertEquals(backlog.retained < 2 * backlog.bytes, true);
  assertGreater(backlog.retained, backlog.bytes);
});

test("`Backlog` moves frames without changing their headers and bodies", () => {
  for (const ownsChunks of [false, true]) {
    const { all: [queue], decoder } = createQueues(1, ownsChunks);
    const bodies = [
      "",
      "plain",
      "h\xc3\xa9",
      "\xff\xfe",
      "x".repeat(9000),
      "\xc3\xa9".repeat(9000),
      "y".repeat(40_000),
    ];
    const lines = ["", "a\\cb:c\\nd\n", "name:h\xc3\xa9\n", "content-type:text/plain;charset=iso-8859-1\n"];
    const expected: unknown[] = [];
    const reading = createDecoder({ onFrame: (frame) => expected.push(contentOf(frame)) }, { ownsChunks });
    let id = 0;
    for (let round = 0; round < 8; round++) {
      for (const body of bodies) {
        for (const line of lines) {
          const sized = id % 2 === 0 ? `content-length:${body.length}\n` : "";
          const bytes = sparse(message(0, id++, body, line + sized));
          const cut = [0, 20, 200, 9000][round % 4]!;
          for (const part of [bytes.slice(0, cut), bytes.slice(cut)]) {
            decoder.push(part);
            reading.push(part.slice());
          }
        }
      }
    }
    const waiting = queue!.length;
    const found: unknown[] = [];
    for (let frame = queue!.takeNow(); frame; frame = queue!.takeNow()) found.push(contentOf(frame));
    assertEquals(found, expected);
    assertEquals(waiting, expected.length);
  }
});

function contentOf(frame: Frame): unknown {
  return [subscriptionOf(frame), escapedHeaderOf(frame, "id"), { ...frame.headers }, frame.text(), frame.body.slice()];
}

test("`Backlog` leaves chunks alone that are full of waiting frames", () => {
  const { backlog, all: [queue], decoder } = createQueues(1);
  const chunk = encoder.encode(Array.from({ length: 500 }, (_, id) => message(0, id, "x".repeat(50))).join(""));
  for (let i = 0; i < 100; i++) decoder.push(chunk.slice());
  assertLess(backlog.retained, backlog.bytes * 2);
  // Of which some are taken all the time, as a consumer does that keeps up.
  for (let i = 0; i < 200; i++) {
    decoder.push(chunk.slice());
    for (let taken = 0; taken < 500; taken++) assert(queue!.takeNow());
  }
  assertLess(backlog.retained, backlog.bytes * 2 + SLACK + 1);
});

test("`Backlog` is full at 64 MiB in all queues, without those that ended", () => {
  const reported: [boolean, string | undefined][] = [];
  const backlog = new Backlog((full, frame) => reported.push([full, frame?.header("id")]));
  const limits = { items: Infinity, bytes: Infinity };
  const queues = [1, 2, 3].map(() => new BoundedQueue<Frame>(backlog, () => {}, { ...limits, bytes: 2 ** 26 }));
  let id = 0;
  const decoder = new FrameDecoder({ onFrame: (frame) => queues[id % 3]!.put(frame) });
  const body = "x".repeat(2 ** 20);
  const push = () => decoder.push(encoder.encode(message(0, ++id, body)));
  while (!backlog.full) push();
  assertEquals([reported, id, queues.map(({ fill }) => fill)], [[[true, "64"]], 64, ["free", "free", "free"]]);
  queues[0]!.takeNow();
  assertEquals([backlog.full, reported.length], [false, 2]);
  push();
  assertEquals([backlog.full, reported.at(-1)], [true, [true, undefined]]); // no news until half was taken
  queues[0]!.end();
  queues[1]!.end();
  assertEquals([backlog.full, backlog.bytes], [false, queues[2]!.bytes]);
  while (queues[0]!.takeNow());
  assertEquals(backlog.bytes, queues[2]!.bytes);
  queues[2]!.drop(() => true);
  assertEquals([backlog.bytes, backlog.retained, queues[2]!.bytes], [0, 0, 0]);
});

test("`Backlog` allows a queue more than 64 MiB when its own limit is higher", () => {
  const backlog = new Backlog();
  const queue = new BoundedQueue<Frame>(backlog, () => {}, { items: Infinity, bytes: 2 ** 27 });
  const decoder = new FrameDecoder({ onFrame: (frame) => queue.put(frame) });
  const frame = encoder.encode(message(0, 1, "x".repeat(2 ** 20)));
  for (let i = 0; i < 100; i++) decoder.push(frame.slice());
  assertEquals([backlog.full, queue.fill], [false, "free"]);
});
