/**
 * `#streams` under Bun and Node, and under Deno where JSR cannot be reached: the names of `streams_std.ts`.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** Reads a stream to its end into an `ArrayBuffer`. */
export async function toArrayBuffer(stream: ReadableStream<Uint8Array>): Promise<ArrayBuffer> {
  const bytes = await toBytes(stream);
  const buffer = new ArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

/** Reads a stream to its end into one array. */
export async function toBytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  // A copy, because a `Buffer` does not equal a `Uint8Array` of the same content.
  return new Uint8Array(Buffer.concat(chunks));
}

/** Reads a stream of text, or of UTF-8, to its end. */
export async function toText(stream: ReadableStream): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

/** Reads a stream of JSON to its end. */
export async function toJson(stream: ReadableStream): Promise<unknown> {
  return JSON.parse(await toText(stream));
}
