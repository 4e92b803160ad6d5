/**
 * The bare socket of Node.
 *
 * @module
 */
import { connect as connectTcp } from "node:net";
import { bareCandidate } from "./bare.ts";
import type { OpenSocket } from "./bare_connection.ts";
import type { Connect } from "./candidate.ts";

/** Opens a socket. */
export const open: OpenSocket = (port, onData) => {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: "127.0.0.1", port, noDelay: true });
    socket.on("error", reject);
    socket.on("data", onData);
    socket.on("connect", () => {
      resolve({
        write(bytes) {
          return socket.write(bytes) ? undefined : new Promise((resolve) => socket.once("drain", resolve));
        },
        close: () => socket.destroy(),
      });
    });
  });
};

/** Connects a bare socket. */
export const connect: Connect = bareCandidate(open);
