/**
 * The floor: a socket of the runtime that writes bytes which are ready, and only counts the NULs of what comes. No
 * client can be faster.
 *
 * @module
 */
import type { Candidate, Connect } from "./candidate.ts";

/** A socket. */
export interface BareSocket {
  /** Writes, in the order of the calls; gives a promise when who writes has to wait. */
  write(bytes: Uint8Array): Promise<void> | void;
  /** Closes at once. */
  close(): void;
}

/** Opens a socket that hands over what it reads. */
export type OpenSocket = (port: number, onData: (bytes: Uint8Array) => void) => Promise<BareSocket>;

/** Bytes of one write, about. */
const BLOCK = 1 << 16;

const encoder = new TextEncoder();

function countNuls(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, at + 1)) count++;
  return count;
}

function sendFrame(destination: string, body: string, header = ""): string {
  return `SEND\ndestination:${destination}\ncontent-type:text/plain\n${header}content-length:${body.length}\n\n${body}\0`;
}

/** Makes the candidate of a runtime's socket. */
export function bareCandidate(open: OpenSocket): Connect {
  return async ({ port, login, sync }): Promise<Candidate> => {
    let onNuls: (count: number) => void = () => {};
    const socket = await open(port, (bytes) => onNuls(countNuls(bytes)));
    const write = (frame: string) => socket.write(encoder.encode(frame));
    let ids = 0;
    const subscribe = (destination: string, ack: string) =>
      write(`SUBSCRIBE\nid:sub-${++ids}\ndestination:${destination}\nack:${ack}\n\n\0`);

    /** Resolves after so many frames; `each` is told how many came with a chunk. */
    function frames(count: number, each: (count: number) => void = () => {}): Promise<void> {
      let left = count;
      return new Promise((resolve) => {
        onNuls = (nuls) => {
          left -= nuls;
          each(nuls);
          if (left <= 0) resolve();
        };
      });
    }

    async function arrived(sends: number, acks: number): Promise<void> {
      const receipt = frames(1);
      write(sendFrame(sync(sends, acks), "", "receipt:sync\n"));
      await receipt;
    }

    const connected = frames(1);
    write(`CONNECT\naccept-version:1.2\nhost:/\nlogin:${login}\npasscode:${login}\n\n\0`);
    await connected;

    return {
      async receive(destination, count) {
        const all = frames(count);
        subscribe(destination, "auto");
        await all;
      },

      async receiveAndAck(destination, count) {
        const ack = "ACK\nid:T_sub-1@@session-kV1aXRnRcJj2Y2hYyOFPwQ@@1000\n\n\0";
        const most = Math.ceil(BLOCK / ack.length);
        const block = encoder.encode(ack.repeat(most));
        const all = frames(count, (count) => {
          for (let left = count; left > 0; left -= most) {
            socket.write(block.subarray(0, Math.min(left, most) * ack.length));
          }
        });
        subscribe(destination, "client-individual");
        await all;
        await arrived(0, count);
      },

      async receiveMany(destinations, count, go) {
        for (const destination of destinations) await subscribe(destination, "auto");
        return () => {
          const all = frames(count);
          write(sendFrame(go, ""));
          return all;
        };
      },

      async send(destination, body, count, withHeaders = false) {
        const frame = sendFrame(destination, body, withHeaders ? "persistent:true\ncorrelation-id:10000\n" : "");
        const each = Math.ceil(BLOCK / frame.length);
        const block = encoder.encode(frame.repeat(each));
        for (let left = count; left > 0; left -= each) {
          const room = socket.write(left >= each ? block : block.subarray(0, left * frame.length));
          if (room) await room;
        }
        await arrived(count, 0);
      },

      async sendWithReceipts(destination, body, count, inFlight) {
        const frame = sendFrame(destination, body, "receipt:1000\n");
        const block = encoder.encode(frame.repeat(inFlight));
        let left = count;
        const next = (room: number) => {
          const now = Math.min(left, room);
          left -= now;
          if (now > 0) socket.write(block.subarray(0, now * frame.length));
        };
        const all = frames(count, next);
        next(inFlight);
        await all;
      },

      async echo(destination, body, count) {
        const frame = encoder.encode(sendFrame(destination, body));
        let left = count;
        const all = frames(count, () => {
          if (--left > 0) socket.write(frame);
        });
        subscribe(destination, "auto");
        socket.write(frame);
        await all;
      },

      close: () => socket.close(),
    };
  };
}
