/**
 * stompy's queue of frames that arrive while something else is awaited, and the FIFO below it.
 *
 * ```ts
 * import { Frame } from "@x/stompy/frame";
 * import { IntermediateMessageQueue } from "@x/stompy/queue";
 *
 * const queue = new IntermediateMessageQueue<Frame>();
 * queue.put(new Frame().buildFrame({ command: "MESSAGE", headers: { destination: "/queue/a" }, body: "hello" }));
 * console.log((await queue.get(new Frame()))?.text()); // hello
 * ```
 *
 * @module
 */
export { Fifo } from "./base/fifo.ts";
export { type FrameSource, IntermediateMessageQueue, type QueuedFrame } from "./codec/frame_verbs.ts";
