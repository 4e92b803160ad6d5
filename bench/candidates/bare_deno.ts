/**
 * The bare socket of Deno.
 *
 * @module
 */
import { bareCandidate } from "./bare.ts";
import type { OpenSocket } from "./bare_connection.ts";
import type { Connect } from "./candidate.ts";

/** Opens a socket. */
export const open: OpenSocket = async (port, onData) => {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  (async () => {
    const buffer = new Uint8Array(1 << 16);
    try {
      for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) onData(buffer.subarray(0, n));
    } catch {
      // closed
    }
  })();
  const writeRest = async (bytes: Uint8Array) => {
    while (bytes.length > 0) bytes = bytes.subarray(await conn.write(bytes));
  };
  // Writes are serialized, even if the caller does not await them.
  let last: Promise<void> | undefined;
  return {
    write(bytes) {
      const written = last === undefined ? writeRest(bytes) : last.then(() => writeRest(bytes));
      const done = written.finally(() => last === done && (last = undefined));
      return last = done;
    },
    close: () => conn.close(),
  };
};

/** Connects a bare socket. */
export const connect: Connect = bareCandidate(open);
