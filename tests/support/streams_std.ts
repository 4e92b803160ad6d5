/**
 * `#streams` under Deno where JSR can be reached.
 *
 * @module
 */
import { toArrayBuffer } from "@std/streams";

export { toArrayBuffer, toJson, toText } from "@std/streams";

/** Reads a stream to its end into one array. Older releases of `@std/streams` lack this function. */
export async function toBytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await toArrayBuffer(stream));
}
