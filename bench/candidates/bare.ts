/**
 * The upper bound: a socket of the runtime that writes bytes made in advance and only counts the NULs that it reads. No
 * client can be faster.
 *
 * @module
 */
import { BareConnection, type OpenSocket, sendFrame } from "./bare_connection.ts";
import type { Candidate, Connect } from "./candidate.ts";

/** The approximate size of one write. */
const BLOCK_BYTES = 1 << 16;

const encoder = new TextEncoder();

/** Creates the candidate for the socket of a runtime. */
export function bareCandidate(open: OpenSocket): Connect {
  return async (target): Promise<Candidate> => {
    const connection = await BareConnection.open(open, target);

    async function arrived(sends: number, acks: number): Promise<void> {
      const receipt = connection.frames(1);
      connection.sendText(sendFrame(target.sync(sends, acks), "", "receipt:sync\n"));
      await receipt;
    }

    return {
      async receive(destination, count) {
        const all = connection.frames(count);
        connection.subscribe(destination, "auto");
        await all;
      },

      async receiveAndAck(destination, count) {
        const ack = "ACK\nid:T_sub-1@@session-kV1aXRnRcJj2Y2hYyOFPwQ@@1000\n\n\0";
        const most = Math.ceil(BLOCK_BYTES / ack.length);
        const block = encoder.encode(ack.repeat(most));
        const all = connection.frames(count, (count) => {
          for (let left = count; left > 0; left -= most) {
            connection.write(block.subarray(0, Math.min(left, most) * ack.length));
          }
        });
        connection.subscribe(destination, "client-individual");
        await all;
        await arrived(0, count);
      },

      async receiveMany(destinations, count, go) {
        for (const destination of destinations) await connection.subscribe(destination, "auto");
        return () => {
          const all = connection.frames(count);
          connection.sendText(sendFrame(go, ""));
          return all;
        };
      },

      async send(destination, body, count, withHeaders = false) {
        const frame = sendFrame(destination, body, withHeaders ? "persistent:true\ncorrelation-id:10000\n" : "");
        const each = Math.ceil(BLOCK_BYTES / frame.length);
        const block = encoder.encode(frame.repeat(each));
        for (let left = count; left > 0; left -= each) {
          const drained = connection.write(left >= each ? block : block.subarray(0, left * frame.length));
          if (drained) await drained;
        }
        await arrived(count, 0);
      },

      async sendWithReceipts(destination, body, count, inFlight) {
        const frame = sendFrame(destination, body, "receipt:1000\n");
        const block = encoder.encode(frame.repeat(inFlight));
        let left = count;
        const next = (free: number) => {
          const now = Math.min(left, free);
          left -= now;
          if (now > 0) connection.write(block.subarray(0, now * frame.length));
        };
        const all = connection.frames(count, next);
        next(inFlight);
        await all;
      },

      async echo(destination, body, count) {
        const frame = encoder.encode(sendFrame(destination, body));
        let left = count;
        const all = connection.frames(count, () => {
          if (--left > 0) connection.write(frame);
        });
        connection.subscribe(destination, "auto");
        connection.write(frame);
        await all;
      },

      close: () => connection.close(),
    };
  };
}
