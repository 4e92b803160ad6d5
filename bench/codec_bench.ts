/**
 * The encoder and the decoder alone: `deno bench bench/codec_bench.ts`. One iteration is 64 KiB of frames, like a chunk
 * from a socket.
 *
 * @module
 */
import { FrameDecoder } from "../codec/decoder.ts";
import { Frame } from "../codec/frame.ts";
import { textOf } from "./text.ts";

const CHUNK_BYTES = 1 << 16;

function headersOf(count: number): Record<string, string> {
  const headers: Record<string, string> = {
    subscription: "sub-1",
    destination: "/queue/bench",
    "message-id": "T_sub-1@@session-kV1aXRnRcJj2Y2hYyOFPwQ@@1000",
    redelivered: "false",
    persistent: "true",
    timestamp: "1735689600",
    "content-type": "text/plain",
  };
  for (let i = 8; i < count; i++) headers[`property-${i}`] = `value-${i}`;
  return headers; // content-length is one more
}

function frameOf(headers: number, size: number): Frame {
  return new Frame().buildFrame({ command: "MESSAGE", headers: headersOf(headers), body: textOf(size) });
}

/** Returns as many copies of a frame as fit into 64 KiB, at least one. */
function chunkOf(frame: Frame): Uint8Array {
  const one = frame.encode("1.2");
  const chunk = new Uint8Array(Math.max(1, Math.floor(CHUNK_BYTES / one.length)) * one.length);
  for (let at = 0; at < chunk.length; at += one.length) chunk.set(one, at);
  return chunk;
}

/** Uses what is read, so that reading is not optimized away. */
let sum = 0;

const READS: Record<string, (frame: Frame) => void> = {
  "nothing read": () => sum++,
  "text read": (frame) => sum += frame.text().length,
  "one header read": (frame) => sum += frame.header("message-id")!.length,
  "all headers read": (frame) => sum += frame.headers["message-id"]!.length,
};

for (const [headers, size] of [[8, 100], [40, 100], [8, 4096]] as const) {
  const frame = frameOf(headers, size);
  const chunk = chunkOf(frame);
  const group = `decode ${headers} headers and ${size} bytes, 64 KiB of it`;
  for (const [name, onFrame] of Object.entries(READS)) {
    const decoder = new FrameDecoder({ onFrame });
    Deno.bench({ name, group, baseline: name === "nothing read", fn: () => decoder.push(chunk) });
  }
  const middle = chunk.length >> 1;
  const decoder = new FrameDecoder({ onFrame: READS["text read"]! });
  Deno.bench({
    name: "text read, in two halves",
    group,
    fn() {
      decoder.push(chunk.subarray(0, middle));
      decoder.push(chunk.subarray(middle));
    },
  });
  Deno.bench({
    name: "a frame encoded",
    group: `encode ${headers} headers and ${size} bytes`,
    fn: () => void (sum += frame.encode("1.2").length),
  });
  Deno.bench({
    name: "a frame built and encoded",
    group: `encode ${headers} headers and ${size} bytes`,
    fn: () => void (sum += frameOf(headers, size).encode("1.2").length),
  });
}
