/** One frame, one WebSocket message, however the bytes come. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { MessageCutter } from "../../transport/websocket_messages.ts";
import { pattern } from "../support/sockets.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The messages that come of these pieces, as text; copies, as the cutter wants its memory back. */
function cut(pieces: readonly (string | Uint8Array)[]): string[] {
  const messages: string[] = [];
  const cutter = new MessageCutter((message) => messages.push(decoder.decode(message)));
  for (const piece of pieces) cutter.push(typeof piece === "string" ? encoder.encode(piece) : piece);
  cutter.finish();
  return messages;
}

const FRAMES: readonly string[] = [
  "CONNECT\naccept-version:1.2\nhost:/\n\n\0",
  "\n",
  "SEND\ndestination:/queue/a\ncontent-length:5\n\na\0b\n\0\0",
  "SEND\ndestination:/queue/a\n\nno length\n\nSEND\n\n\0",
  "\n",
  "\n",
  "SEND\ncontent-type:text/plain\ncontent-length:0\n\n\0",
  "SEND\r\ndestination:a\r\ncontent-length:2\r\n\r\n\0\0\0",
  "\r\n",
  "SEND\ncontent-length:4\ncontent-length:1\n\n🐎\0",
  `SEND\ndestination:/queue/a\n\n${"žluťoučký kůň ".repeat(200)}\0`,
  "DISCONNECT\nreceipt:1\n\n\0",
];

test("each frame and each line end is a message", () => {
  assertEquals(cut([FRAMES.join("")]), FRAMES);
  assertEquals(cut(FRAMES), FRAMES);
});

test("frames in pieces come out whole", () => {
  const bytes = encoder.encode(FRAMES.join(""));
  for (let at = 0; at <= bytes.length; at++) {
    assertEquals(cut([bytes.subarray(0, at), bytes.subarray(at)]), FRAMES);
  }
  for (const size of [1, 2, 3, 7, 100]) {
    const pieces = [];
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
    assertEquals(cut(pieces), FRAMES);
  }
});

test("a large frame in many small pieces takes time in proportion to its size", () => {
  const size = 8_000_000;
  for (const head of [`SEND\ncontent-length:${size}\n\n`, "SEND\ndestination:/queue/a\n\n"]) {
    let count = 0;
    let length = 0;
    const cutter = new MessageCutter((message) => {
      count++;
      length += message.length;
    });
    cutter.push(encoder.encode(head));
    const piece = new Uint8Array(1000).fill(97);
    for (let at = 0; at < size; at += piece.length) {
      cutter.push(piece);
      if (at === 0) assertEquals(cutter.pending, true);
    }
    cutter.push(new Uint8Array(1));
    assertEquals([count, length, cutter.pending], [1, head.length + size + 1, false]);
  }
});

test("what is no frame passes as it comes, and nothing of it is lost", () => {
  assertEquals(cut(["hello", "SEND\n\n\0SEND\n\n\0"]), ["hello", "SEND\n\n\0SEND\n\n\0"]);
  assertEquals(cut(["SEND\n\n\0 SEND\n\n\0\n"]), ["SEND\n\n\0", " SEND\n\n\0\n"]);
  assertEquals(cut(["SEND\ncontent-length:1\n\nlong\0", "SEND"]), ["SEND\ncontent-length:1\n\nlong\0", "SEND"]);
  assertEquals(cut(["SEND\ncontent-length:1\n\nlo", "ng\0"]), ["SEND\ncontent-length:1\n\nlo", "ng\0"]);
  assertEquals(cut(["\rX", "\n"]), ["\rX", "\n"]);
  assertEquals(cut(["SEND\nunfinished:"]), ["SEND\nunfinished:"]);

  const bytes = pattern(100_000, 1);
  const received: number[] = [];
  const cutter = new MessageCutter((message) => received.push(...message));
  for (let at = 0; at < bytes.length; at += 999) cutter.push(bytes.subarray(at, at + 999));
  assertEquals(received.length, bytes.length);
  assertEquals(Uint8Array.from(received), bytes);
});

test("the memory of what was pushed may be used again", () => {
  const messages: string[] = [];
  const cutter = new MessageCutter((message) => messages.push(decoder.decode(message)));
  const memory = new Uint8Array(16);
  for (const piece of ["SEND\nx:1\n", "\nbody", "\0SEND\ny:", "2\n\n\0"]) {
    const { written } = encoder.encodeInto(piece, memory);
    cutter.push(memory.subarray(0, written));
    memory.fill(33);
  }
  assertEquals(messages, ["SEND\nx:1\n\nbody\0", "SEND\ny:2\n\n\0"]);
});
