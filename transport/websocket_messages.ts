/**
 * Which WebSocket messages a frame is sent in: text or binary, and in how many pieces.
 *
 * @module
 */
import { decodeStrict } from "../codec/text.ts";

/** What a WebSocket sends as one message. */
export type WebSocketMessage = string | Uint8Array<ArrayBuffer>;

/** Returns bytes that are UTF-8 as text, and any others as they are. */
export function textOrBytes(bytes: Uint8Array): WebSocketMessage {
  try {
    return decodeStrict(bytes);
  } catch {
    return bytes as Uint8Array<ArrayBuffer>;
  }
}

/**
 * Cuts a message into several of at most `maxBytes` bytes. Text is not cut within a character.
 *
 * @param bytes the bytes of the message.
 * @param isText whether it is sent as text. Then the bytes are UTF-8.
 * @param maxBytes 4 or more.
 */
export function cutMessage(bytes: Uint8Array, isText: boolean, maxBytes: number): WebSocketMessage[] {
  const messages: WebSocketMessage[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = isText ? endOfText(bytes, start + maxBytes) : Math.min(start + maxBytes, bytes.length);
    const piece = bytes.subarray(start, end) as Uint8Array<ArrayBuffer>;
    messages.push(isText ? decodeStrict(piece) : piece);
    start = end;
  }
  return messages;
}

/** Returns the last place between two characters that is not after `end`. */
function endOfText(bytes: Uint8Array, end: number): number {
  if (end >= bytes.length) return bytes.length;
  while ((bytes[end]! & 0xc0) === 0x80) end--; // a byte that continues a character
  return end;
}
