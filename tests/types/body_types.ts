/**
 * Checks the public types against common uses. There is nothing to run: a type that does not fit fails the type check.
 *
 * @module
 */
import type { Frame, Message, SendOptions } from "../../mod.ts";

/** `Blob`, `crypto.subtle` and `fetch` accept a body without a cast. */
export const blob = (message: Message): Blob => new Blob([message.body]);
/** They accept the body of any frame, and an encoded frame. */
export const buffers = (frame: Frame): ArrayBuffer[] => [frame.body.buffer, frame.encode().buffer];
/** Any `Uint8Array` can be assigned to a body, with whatever kind of buffer. */
export const replace = (frame: Frame, body: Uint8Array): void => void (frame.body = body);
/** Headers in every accepted form. */
export const headers: SendOptions["headers"][] = [
  { a: "1", b: 2, c: undefined },
  new Map([["a", "1"]]),
  new Headers({ a: "1" }),
  [["a", "1"]],
  Object.entries({ a: "1" }),
];
