/**
 * Holds the public types against what people do with them. There is nothing to run: where they do not fit, this file does
 * not type-check.
 *
 * @module
 */
import type { Frame, Message, SendOptions } from "../../mod.ts";

/** A body is what `Blob`, `crypto.subtle` and `fetch` take, without a cast. */
export const blob = (message: Message): Blob => new Blob([message.body]);
/** So is the one of any frame, and what a frame is on the wire. */
export const buffers = (frame: Frame): ArrayBuffer[] => [frame.body.buffer, frame.encode().buffer];
/** Any `Uint8Array` can be made a body, wherever its memory is. */
export const replace = (frame: Frame, body: Uint8Array): void => void (frame.body = body);
/** Headers in every shape that is taken. */
export const headers: SendOptions["headers"][] = [
  { a: "1", b: 2, c: undefined },
  new Map([["a", "1"]]),
  new Headers({ a: "1" }),
  [["a", "1"]],
  Object.entries({ a: "1" }),
];
