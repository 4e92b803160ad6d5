/** How a frame is cut into WebSocket messages. */
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { cutMessage, textOrBytes } from "../../transport/websocket_messages.ts";
import { concat, pattern } from "../support/sockets.ts";

const encoder = new TextEncoder();

/** Characters of one to four bytes. */
const TEXT = "a\0ž€🐎".repeat(50);

test("`textOrBytes()` returns text for UTF-8 only, and keeps a byte order mark", () => {
  assertEquals(textOrBytes(encoder.encode("\ufeffžlutá\0")), "\ufeffžlutá\0");
  const bytes = Uint8Array.of(65, 0xff, 0);
  assertEquals(textOrBytes(bytes), bytes);
});

test("`cutMessage()` cuts text between characters, at every limit", () => {
  const bytes = encoder.encode(TEXT);
  for (let max = 4; max <= bytes.length; max++) {
    const pieces = cutMessage(bytes, true, max);
    assertEquals(pieces.join(""), TEXT);
    for (const piece of pieces) {
      assert(typeof piece === "string" && !piece.includes("\ufffd"));
      const { length } = encoder.encode(piece);
      assert(length <= max && length > 0, `a piece of ${length} bytes at a limit of ${max}`);
    }
    assert(pieces.length <= Math.ceil(bytes.length / (max - 3)), `${pieces.length} pieces at a limit of ${max}`);
  }
});

test("`cutMessage()` cuts bytes into pieces of the limit and a rest", () => {
  const bytes = pattern(1000);
  const pieces = cutMessage(bytes, false, 300) as Uint8Array[];
  assertEquals(pieces.map(({ length }) => length), [300, 300, 300, 100]);
  assertEquals(concat(pieces), bytes);
});
