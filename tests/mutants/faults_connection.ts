/**
 * Faults in `connection/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const CONNECTION_FAULTS: readonly Fault[] = [
  {
    file: "connection/heartbeat.ts",
    name: "heart-beats are sent at the last moment",
    from: "const SEND_SHARE = 0.5;",
    to: "const SEND_SHARE = 1.5;",
    tests: ["connection/heartbeat"],
  },
  {
    file: "connection/heartbeat.ts",
    name: "the shorter of two intervals counts",
    from: "Math.max(own.send, peer.receive)",
    to: "Math.min(own.send, peer.receive)",
    tests: ["connection/heartbeat", "session/handshake"],
  },
  {
    file: "connection/heartbeat.ts",
    name: "a connection whose reading is paused counts as silent",
    from: "if (this.#connection.paused || silence < this.#allowed) {",
    to: "if (silence < this.#allowed) {",
    tests: ["connection/heartbeat"],
  },
  {
    file: "connection/heartbeat.ts",
    name: "silence is checked only once",
    from: "} else if (!this.#hasSeenSilence) {",
    to: "} else if (this.#isStopped) {",
    tests: ["connection/heartbeat"],
  },
  {
    file: "connection/heartbeat.ts",
    name: "one probe after another",
    from: "|| this.#cancelProbe !== undefined || this.#connection.paused) return;",
    to: "|| this.#connection.paused) return;",
    tests: ["connection/heartbeat_clock_jump"],
  },
  {
    file: "connection/frame_connection.ts",
    name: "a stalled connection gathers heart-beats",
    from: "if (this.#closing || this.#out.buffered > 0) return;",
    to: "if (this.#closing) return;",
    tests: ["connection/frame_connection", "connection/heartbeat"],
  },
  {
    file: "connection/frame_connection.ts",
    name: "frames are taken back from a 1.0 broker",
    from: `this.version !== "1.0" && this.#out.retract`,
    to: "this.#out.retract",
    tests: ["connection/frame_connection"],
  },
  {
    file: "connection/frame_connection.ts",
    name: "an end inside a frame counts as a clean end",
    from: "const cutOff = error === undefined && this.#decoder.pending;",
    to: "const cutOff = false;",
    tests: ["session/session"],
  },
  {
    file: "connection/frame_connection.ts",
    name: "a chunk that frames have views on is overwritten",
    from: "if (!isInPlace && !holdsChunk(this.#decoder))",
    to: "if (!isInPlace)",
    tests: ["connection/frame_connection", "codec/chunk_ownership", "transport/sockets"],
  },
  {
    file: "connection/write_buffer.ts",
    name: "a promise of `ready()` stays pending when the connection breaks",
    from: "this.#ready?.reject(reason);",
    to: "",
    tests: ["connection/write_buffer", "connection/frame_connection"],
  },
  {
    file: "connection/write_buffer.ts",
    name: "a flush stays pending when the connection breaks",
    from: "this.#emptied?.reject(reason);",
    to: "",
    tests: ["connection/write_buffer", "connection/frame_connection"],
  },
  {
    file: "connection/write_buffer.ts",
    name: "a frame is taken back from the first chunk only",
    from: "      chunkStart += bytes.length;\n",
    to: "",
    tests: ["connection/write_buffer"],
  },
  {
    file: "connection/write_buffer.ts",
    name: "a buffer is written to while it is sent",
    from: "if (this.#put(chunk, frameEnds)) pool.give(buffer);",
    to: "this.#put(chunk, frameEnds);\n    pool.give(buffer);",
    tests: ["connection/write_buffer"],
  },
  {
    file: "connection/write_buffer.ts",
    name: "a caller that sends in a loop holds up timers",
    from: "if (this.#hasWrittenInTurn) this.#writtenInTurn += length;",
    to: "",
    tests: ["connection/write_buffer"],
  },
  {
    file: "connection/frame_connection.ts",
    name: "`end()` waits for a peer that never ends",
    from: "await Promise.race([this.#finish(), late.promise]);",
    to: "await this.#finish();",
    tests: ["connection/frame_connection"],
  },
  {
    file: "connection/heartbeat.ts",
    name: "a heart-beat comes late when a frame was sent",
    from: "if (!this.#isStopped) this.#scheduleSend(due <= 0 ? this.#plan.send * SEND_SHARE : due);",
    to: "if (!this.#isStopped) this.#scheduleSend(this.#plan.send * SEND_SHARE);",
    tests: ["connection/heartbeat"],
  },
  {
    file: "connection/write_buffer.ts",
    name: "a frame is cut at the end of the buffer",
    from: "if (this.#used + bytes > MAX_CHUNK_BYTES) this.#flush();",
    to: "",
    tests: ["connection/write_buffer", "client/sender"],
  },
  {
    file: "connection/write_buffer.ts",
    name: "the ends of a queued chunk's frames get lost",
    from: "this.#put(next.bytes, next.frameEnds)",
    to: "this.#put(next.bytes, undefined)",
    tests: ["connection/write_buffer"],
  },
  {
    file: "connection/frame_connection.ts",
    name: "a peer that sends other bytes than STOMP is not read to its end",
    from: ` || this.#state === "broken") this.#readOn();`,
    to: `) this.#readOn();`,
    tests: ["connection/frame_connection"],
  },
];
