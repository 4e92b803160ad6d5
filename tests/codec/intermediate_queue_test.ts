/** `IntermediateMessageQueue`: stompy's rules for what is kept. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { Frame } from "../../codec/frame.ts";
import { type FrameSource, IntermediateMessageQueue } from "../../codec/frame_verbs.ts";

const frame = (headers: Record<string, string>) => new Frame().buildFrame({ command: "MESSAGE", headers });
const nothing: FrameSource<Frame> = { parseFrame: () => Promise.resolve(undefined) };

test("`IntermediateMessageQueue.put()` drops a frame without `destination`", async () => {
  const queue = new IntermediateMessageQueue<Frame>();
  queue.put(frame({ "receipt-id": "1" }));
  assertEquals([queue.length, await queue.get(nothing)], [0, undefined]);
  queue.put(frame({ destination: "" }));
  assertEquals(queue.length, 1);
});

test("`IntermediateMessageQueue.get()` returns what is kept, in order, before it reads the socket", async () => {
  const queue = new IntermediateMessageQueue<Frame>();
  const given: unknown[] = [];
  const source: FrameSource<Frame> = {
    parseFrame: (options) => {
      given.push(options);
      return Promise.resolve(frame({ n: "3" }));
    },
  };
  for (const n of ["1", "2"]) queue.put(frame({ destination: "/q", n }));
  const seen: unknown[] = [];
  for (let i = 0; i < 3; i++) seen.push((await queue.get(source, { nb: i === 2 }))!.headers["n"]);
  assertEquals(seen, ["1", "2", "3"]);
  assertEquals(given, [{ nb: true }]);
});
