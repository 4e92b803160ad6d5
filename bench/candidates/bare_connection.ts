/**
 * A connection of a bare socket: it can say CONNECT, SUBSCRIBE and SEND, and hands over the chunks that come.
 *
 * @module
 */
import type { Target } from "./candidate.ts";

/** A socket. */
export interface BareSocket {
  /** Writes, in the order of the calls; gives a promise when who writes has to wait. */
  write(bytes: Uint8Array): Promise<void> | void;
  /** Closes at once. */
  close(): void;
}

/** Opens a socket that hands over what it reads. */
export type OpenSocket = (port: number, onData: (bytes: Uint8Array) => void) => Promise<BareSocket>;

const encoder = new TextEncoder();

/** A SEND frame. */
export function sendFrame(destination: string, body: string, header = ""): string {
  return `SEND\ndestination:${destination}\ncontent-type:text/plain\n${header}content-length:${body.length}\n\n${body}\0`;
}

/** Counts the NULs, as there is one behind each frame. */
function countNuls(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, at + 1)) count++;
  return count;
}

/** A connection. */
export class BareConnection {
  /** Gets each chunk. */
  onChunk: (bytes: Uint8Array) => void = () => {};
  #socket!: BareSocket;
  #ids = 0;

  /** Connects; resolves when the far end has answered. */
  static async open(open: OpenSocket, { port, login }: Target): Promise<BareConnection> {
    const connection = new BareConnection();
    connection.#socket = await open(port, (bytes) => connection.onChunk(bytes));
    const connected = connection.frames(1);
    connection.say(`CONNECT\naccept-version:1.2\nhost:/\nlogin:${login}\npasscode:${login}\n\n\0`);
    await connected;
    return connection;
  }

  /** Writes bytes that are ready. */
  write(bytes: Uint8Array): Promise<void> | void {
    return this.#socket.write(bytes);
  }

  /** Writes a frame. */
  say(frame: string): Promise<void> | void {
    return this.write(encoder.encode(frame));
  }

  /** Subscribes. */
  subscribe(destination: string, ack: string): Promise<void> | void {
    return this.say(`SUBSCRIBE\nid:sub-${++this.#ids}\ndestination:${destination}\nack:${ack}\n\n\0`);
  }

  /** Resolves after so many frames; `each` is told how many came with a chunk. */
  frames(count: number, each: (count: number) => void = () => {}): Promise<void> {
    let left = count;
    return new Promise((resolve) => {
      this.onChunk = (bytes) => {
        const nuls = countNuls(bytes);
        left -= nuls;
        each(nuls);
        if (left <= 0) resolve();
      };
    });
  }

  /** Closes at once. */
  close(): void {
    this.#socket.close();
  }
}
