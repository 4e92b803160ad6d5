/**
 * The codec without a client: `FrameDecoder` turns chunks of any size into frames, and `FrameDecoderStream` and
 * `FrameEncoderStream` do it as transform streams.
 *
 * @example Chunks to frames
 * ```ts
 * import { FrameDecoder } from "@x/stompy/decoder";
 *
 * const decoder = new FrameDecoder({ onFrame: (frame) => console.log(frame.command, frame.text()) });
 * decoder.push(new TextEncoder().encode("MESSAGE\nsubscription:0\nmessage-id:1\ndestination:/queue/a\n\nhel"));
 * decoder.push(new TextEncoder().encode("lo\0")); // prints: MESSAGE hello
 * ```
 *
 * @module
 */
export * from "./frame.ts";
export { FrameDecoder, type FrameDecoderOptions, FrameDecoderStream, FrameEncoderStream } from "./codec/decoder.ts";
export type { DecoderLimits } from "./codec/limits.ts";
