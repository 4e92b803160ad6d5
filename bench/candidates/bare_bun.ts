/**
 * The bare socket of Bun.
 *
 * @module
 */
import { bareCandidate } from "./bare.ts";
import type { OpenSocket } from "./bare_connection.ts";
import type { Connect } from "./candidate.ts";

interface Socket {
  write(bytes: Uint8Array): number;
  setNoDelay(on: boolean): void;
  terminate(): void;
}

const bun = (globalThis as unknown as {
  Bun: { connect(options: { hostname: string; port: number; socket: object }): Promise<Socket> };
}).Bun;

/** Opens a socket. */
export const open: OpenSocket = async (port, onData) => {
  // Bun writes what fits into the socket buffer and does not queue the rest.
  const waiting: Uint8Array[] = [];
  let drained: { promise: Promise<void>; resolve: () => void } | undefined;
  const flush = () => {
    while (waiting.length > 0) {
      const length = socket.write(waiting[0]!);
      if (length < waiting[0]!.length) {
        waiting[0] = waiting[0]!.subarray(length);
        return;
      }
      waiting.shift();
    }
    drained?.resolve();
    drained = undefined;
  };
  const socket = await bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket: Socket, bytes: Uint8Array) => onData(bytes),
      drain: flush,
      error(_socket: Socket, error: Error) {
        throw error;
      },
    },
  });
  socket.setNoDelay(true);
  return {
    write(bytes) {
      waiting.push(bytes);
      if (waiting.length === 1) flush();
      return waiting.length === 0 ? undefined : (drained ??= Promise.withResolvers<void>()).promise;
    },
    close: () => socket.terminate(),
  };
};

/** Connects a bare socket. */
export const connect: Connect = bareCandidate(open);
