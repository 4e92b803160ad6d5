/**
 * `Frame`: one STOMP frame as a value, with its encoding and the methods of stompy's `Frame`.
 *
 * @example A frame and its bytes
 * ```ts
 * import { Frame } from "@x/stompy/frame";
 *
 * const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/queue/a" }, body: "hello" });
 * console.log(frame.asString()); // SEND, its headers, an empty line, hello
 * const bytes = frame.encode("1.2"); // as it is sent
 * console.log(bytes.length);
 * ```
 *
 * @module
 */
export type { ReadOptions, WaitOptions } from "./base/timers.ts";
export {
  BrokerErrorResponse,
  type ErrorFrame,
  NotConnectedError,
  StompError,
  type StompErrorOptions,
  UnknownBrokerResponseError,
} from "./base/errors.ts";
export { Fifo } from "./base/fifo.ts";
export {
  type ConnectFrameOptions,
  type FrameSource,
  type FrameVerbs,
  IntermediateMessageQueue,
  type QueuedFrame,
  type SocketOf,
} from "./codec/frame_verbs.ts";
export type { FrameHeadersInit, FrameParts, HeaderValue } from "./codec/encoder.ts";
export { type BuildFrameOptions, Frame, type FrameSocket } from "./codec/frame.ts";
export type { FrameHeaders } from "./codec/headers.ts";
export type { Version } from "./codec/protocol.ts";
