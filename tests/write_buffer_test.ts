/** How frames are gathered into writes. */
import { assertEquals, assertLess } from "#assert";
import { test } from "#test";
import type { DirectIo } from "../channel.ts";
import { systemClock } from "../heartbeat.ts";
import { nextTurn } from "../turn.ts";
import { WriteBuffer } from "../write_buffer.ts";

const FRAME = "ACK\nid:1\n\n"; // 11 bytes with its NUL

/** A far end that only counts; `write` is what its socket says to a write. */
function counting(write: () => Promise<void> | void): { buffer: WriteBuffer; writes: number[] } {
  const writes: number[] = [];
  const io: DirectIo = {
    read() {},
    resume() {},
    release() {},
    write(bytes) {
      writes.push(bytes.length);
      return write();
    },
    end: () => Promise.resolve(),
  };
  return { buffer: new WriteBuffer(io, systemClock, () => {}), writes };
}

const SOCKETS = {
  "takes bytes at once": () => {},
  "says so a moment later": () => Promise.resolve(),
};

for (const [kind, write] of Object.entries(SOCKETS)) {
  test(`awaiting each send makes no write of each, where the socket ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let i = 0; i < 1000; i++) {
      await buffer.ascii(FRAME);
      await undefined; // so that a write is over before the next frame
    }
    assertEquals([writes[0], writes.length], [11, 1]);
    await new Promise<void>((resolve) => nextTurn(resolve));
    await buffer.flush();
    assertEquals(writes, [11, 999 * 11]);
    assertEquals(buffer.buffered, 0);
  });

  test(`what is sent in one turn leaves as soon as there is enough of it, where the socket ${kind}`, async () => {
    const { buffer, writes } = counting(write);
    for (let sent = 0; sent < 1 << 20; sent += 11) await buffer.ascii(FRAME);
    assertLess(writes.length, 30);
    await buffer.flush();
    assertEquals(writes.reduce((sum, size) => sum + size), Math.ceil((1 << 20) / 11) * 11);
  });
}
