/** What a broker takes in one frame, to the last header and the last byte. */
import { assertThrows } from "#assert";
import { test } from "#test";
import { dialectFor } from "../../dialects/registry.ts";
import { FrameCheck } from "../../session/frame_limits.ts";
import { frame } from "../support/client_harness.ts";

const HEAD = new TextEncoder().encode("SEND\ndestination:/q\n");
const SERVER = "RabbitMQ/4.3.6";

/** Names and values by turns. */
const headers = (count: number) => Array.from({ length: 2 * count }, (_, i) => i % 2 === 0 ? `h${i}` : "v");

test("`FrameCheck` accepts as many headers as the broker takes, and refuses one more", () => {
  const check = new FrameCheck(dialectFor(SERVER), SERVER);
  // Beside these there is the destination, and with a body content-length.
  check.check("/q", HEAD, headers(99), "");
  check.check("/q", HEAD, headers(98), "x");
  for (const [count, body] of [[100, ""], [99, "x"]] as const) {
    assertThrows(() => check.check("/q", HEAD, headers(count), body), RangeError, "the frame has 101 headers");
  }
});

test("`FrameCheck` accepts as many bytes as the broker takes, and refuses one more", () => {
  const check = new FrameCheck(dialectFor(SERVER), SERVER, { bytes: 100 });
  // SEND, the line of the destination, content-length, the empty line, and the NUL.
  const room = 100 - HEAD.length - "content-length:10\n\n\0".length;
  check.check("/q", HEAD, [], "x".repeat(room));
  check.check("/q", HEAD, [], new Uint8Array(room));
  for (const body of ["x".repeat(room + 1), "é".repeat(room), new Uint8Array(room + 1)]) {
    assertThrows(() => check.check("/q", HEAD, [], body), RangeError, "hangs up on more than 100");
  }
  assertThrows(
    () => check.checkFrame(frame("SEND", { destination: "/q" }, "x".repeat(100))),
    RangeError,
    "Cannot send",
  );
});
