/**
 * stompy's queue for frames that arrive while a program waits for another one, and the FIFO that it uses.
 *
 * @example A frame that waits
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
