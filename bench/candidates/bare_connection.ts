/**
 * A connection over a bare socket: sends CONNECT, SUBSCRIBE and SEND, and passes on the chunks that it reads.
 *
 * @module
 */
import type { Target } from "./candidate.ts";

/** A socket. */
export interface BareSocket {
  /** Writes in the order of the calls. Returns a promise if the caller has to wait. */
  write(bytes: Uint8Array): Promise<void> | void;
  /** Closes at once. */
  close(): void;
}

/** Opens a socket that passes what it reads to `onData`. */
export type OpenSocket = (port: number, onData: (bytes: Uint8Array) => void) => Promise<BareSocket>;

const encoder = new TextEncoder();

/** Returns a SEND frame. */
export function sendFrame(destination: string, body: string, header = ""): string {
  return `SEND\ndestination:${destination}\ncontent-type:text/plain\n${header}content-length:${body.length}\n\n${body}\0`;
}

/** Counts NULs, one at the end of each frame. */
function countNuls(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, at + 1)) count++;
  return count;
}

/** A connection. */
export class BareConnection {
  /** Called with each chunk. */
  onChunk: (bytes: Uint8Array) => void = () => {};
  #socket!: BareSocket;
  #ids = 0;

  /** Connects; resolves on CONNECTED. */
  static async open(open: OpenSocket, { port, login }: Target): Promise<BareConnection> {
    const connection = new BareConnection();
    connection.#socket = await open(port, (bytes) => connection.onChunk(bytes));
    const connected = connection.frames(1);
    connection.sendText(`CONNECT\naccept-version:1.2\nhost:/\nlogin:${login}\npasscode:${login}\n\n\0`);
    await connected;
    return connection;
  }

  /** Writes bytes. */
  write(bytes: Uint8Array): Promise<void> | void {
    return this.#socket.write(bytes);
  }

  /** Writes a frame. */
  sendText(frame: string): Promise<void> | void {
    return this.write(encoder.encode(frame));
  }

  /** Subscribes. */
  subscribe(destination: string, ack: string): Promise<void> | void {
    return this.sendText(`SUBSCRIBE\nid:sub-${++this.#ids}\ndestination:${destination}\nack:${ack}\n\n\0`);
  }

  /** Resolves after that many frames; `onFrames` is called with the number in each chunk. */
  frames(count: number, onFrames: (count: number) => void = () => {}): Promise<void> {
    let left = count;
    return new Promise((resolve) => {
      this.onChunk = (bytes) => {
        const nuls = countNuls(bytes);
        left -= nuls;
        onFrames(nuls);
        if (left <= 0) resolve();
      };
    });
  }

  /** Closes at once. */
  close(): void {
    this.#socket.close();
  }
}
