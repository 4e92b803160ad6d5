/**
 * `#streams` under Deno, where JSR can be reached.
 *
 * @module
 */
import { toArrayBuffer } from "@std/streams";

export { toArrayBuffer, toJson, toText } from "@std/streams";

/** Reads a stream to its end. Only the newest `@std/streams` has a function of this name, so it is made here. */
export async function toBytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await toArrayBuffer(stream));
}
