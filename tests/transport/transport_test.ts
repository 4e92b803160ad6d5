/**
 * The contract of every transport, whichever adapter made it: the pair in memory, this runtime's own sockets, and
 * `node:net` where it stands in for them.
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "#assert";
import { test } from "#test";
import { Buffer } from "node:buffer";
import { listen } from "../../transport/open.ts";
import { ConnectionError } from "../../base/errors.ts";
import { memoryPair } from "../support/memory_transport.ts";
import { directIo, type SocketAdapter, type Transport } from "../../transport/transport.ts";
import { nodeAdapter } from "../../transport/node.ts";
import { runtime } from "../support/runtime.ts";
import { concat, ownAdapter, pattern, readTransport, untilStable } from "../support/sockets.ts";

/** Two ends of one connection. */
interface Pair {
  near: Transport;
  far: Transport;
  close(): Promise<void>;
}

async function socketPair(adapter: SocketAdapter): Promise<Pair> {
  const accepted = Promise.withResolvers<Transport>();
  const listener = await adapter.listen({ hostname: "127.0.0.1", port: 0 }, accepted.resolve);
  const near = await adapter.connect({ hostname: "127.0.0.1", port: listener.port });
  const far = await accepted.promise;
  return {
    near,
    far,
    async close() {
      await Promise.all([near.close(), far.close(), listener.close()]);
    },
  };
}

/** The kinds of pairs. Every runtime has the same tests; in Bun, `node:net` stands in for its own sockets. */
const PAIRS: Record<string, (() => Promise<Pair>)[]> = {
  memory: [() => {
    const [near, far] = memoryPair();
    return Promise.resolve({ near, far, close: async () => void await Promise.all([near.close(), far.close()]) });
  }],
  sockets: [
    async () => await socketPair(await ownAdapter()),
    ...(runtime === "bun" ? [() => socketPair(nodeAdapter)] : []),
  ],
};

/** More than the buffers of both systems hold: a writer that gets this far is not held back. */
const TOO_MUCH = 64 * 1024 * 1024;

/** Writes until the peer holds the writer back; resolves to how much was taken. `pending` is the writing. */
async function fill(transport: Transport): Promise<{ taken: number; pending: Promise<void> }> {
  const writer = transport.writable.getWriter();
  const chunk = pattern(64 * 1024);
  let taken = 0;
  const pending = (async () => {
    while (taken < TOO_MUCH) {
      await writer.write(chunk);
      taken += chunk.length;
    }
  })();
  pending.catch(() => {}); // the test looks at it later
  return { taken: await untilStable(() => taken), pending };
}

for (const [name, ways] of Object.entries(PAIRS)) {
  const withPair = (title: string, fn: (pair: Pair) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      for (const open of ways) {
        const pair = await open();
        try {
          await fn(pair);
        } finally {
          await pair.close();
        }
      }
    });

  withPair("bytes arrive both ways in order, and chunks are never overwritten", async ({ near, far }) => {
    const send = async ({ writable }: Transport, bytes: Uint8Array) => {
      const writer = writable.getWriter();
      for (let at = 0, size = 1; at < bytes.length; at += size, size = size * 3 % 100_003) {
        await writer.write(bytes.subarray(at, at + size));
      }
      await writer.close();
    };
    const [there, back] = [pattern(3_000_000, 1), pattern(2_000_000, 2)];
    const [, , atFar, atNear] = await Promise.all([
      send(near, there),
      send(far, back),
      readTransport(far),
      readTransport(near),
    ]);
    assertEquals(atFar, there);
    assertEquals(atNear, back);
  });

  withPair("chunks are plain `Uint8Array`s, whose `slice` is a copy, whatever was written", async ({ near, far }) => {
    const written = Buffer.from("words");
    await near.writable.getWriter().write(written);
    written.fill(0);
    const { value } = await far.readable.getReader().read();
    assertStrictEquals(Object.getPrototypeOf(value), Uint8Array.prototype);
    assertEquals(new TextDecoder().decode(value), "words");
  });

  withPair("the memory of a write may be used again once it has settled", async ({ near, far }) => {
    const reading = readTransport(far);
    const writer = near.writable.getWriter();
    const buffer = new Uint8Array(300_000);
    for (let round = 0; round < 20; round++) {
      buffer.fill(round);
      await writer.write(buffer);
    }
    await writer.close();
    const received = await reading;
    assertEquals(received.length, 20 * buffer.length);
    assert(received.every((byte, at) => byte === Math.floor(at / buffer.length)));
  });

  withPair(
    "closing `writable` ends the peer's `readable`, and the other direction stays open",
    async ({ near, far }) => {
      const writer = near.writable.getWriter();
      await writer.write(pattern(100));
      await writer.close();
      assertEquals(await readTransport(far), pattern(100));
      const back = far.writable.getWriter();
      await back.write(pattern(200));
      await back.close();
      assertEquals(await readTransport(near), pattern(200));
    },
  );

  withPair("a peer that does not read holds the writer back, until it reads", async ({ near, far }) => {
    const { taken, pending } = await fill(near);
    assertLess(taken, TOO_MUCH / 2);
    const reader = far.readable.getReader();
    let received = 0;
    while (received < TOO_MUCH) {
      const { value } = await reader.read();
      received += value!.length;
    }
    await pending;
    assertEquals(received, TOO_MUCH);
  });

  withPair("`close()` ends a pending read and rejects a pending write", async ({ near }) => {
    const { pending } = await fill(near);
    const read = near.readable.getReader().read();
    await near.close();
    assertEquals((await read).done, true);
    await assertRejects(() => pending, ConnectionError, "the connection is closed");
  });

  withPair("`close()` resolves when it is called twice, and before any other call", async ({ near }) => {
    await Promise.all([near.close(), near.close()]);
    await near.close();
    assertEquals(await readTransport(near), new Uint8Array(0));
    const writer = near.writable.getWriter();
    await assertRejects(() => writer.write(pattern(1)), ConnectionError, "the connection is closed");
    await assertRejects(() => writer.close());
  });

  withPair("the peer of a `close()` reads what was sent before, then the end", async ({ near, far }) => {
    await near.writable.getWriter().write(pattern(1000));
    await near.close();
    assertEquals(await readTransport(far), pattern(1000));
  });

  withPair(
    "writing to a peer that has closed is a `ConnectionError`, at the latest after some writes",
    async ({ near, far }) => {
      await far.close();
      const writer = near.writable.getWriter();
      const error = await assertRejects(async () => {
        while (true) await writer.write(pattern(1000));
      });
      assertInstanceOf(error, ConnectionError);
      assert(error.message.startsWith(`Cannot write to ${near.peer}: `), error.message);
    },
  );

  withPair("cancelling `readable` gives up both directions", async ({ near, far }) => {
    await near.readable.cancel();
    assertEquals(await readTransport(far), new Uint8Array(0));
    await assertRejects(() => near.writable.getWriter().write(pattern(1)), ConnectionError);
  });

  withPair("aborting `writable` gives up both directions", async ({ near }) => {
    await near.writable.abort(new Error("enough"));
    assertEquals(await readTransport(near), new Uint8Array(0));
  });

  withPair("an empty write sends nothing", async ({ near, far }) => {
    const writer = near.writable.getWriter();
    await writer.write(new Uint8Array(0));
    await writer.write(pattern(3));
    await writer.close();
    assertEquals(await readTransport(far), pattern(3));
  });

  withPair("`direct()` carries the same bytes, pauses, resumes and ends", async ({ near, far }) => {
    const bytes = pattern(2_000_000);
    const writing = (async () => {
      const io = directIo(far);
      for (let at = 0; at < bytes.length; at += 50_000) await io.write(bytes.subarray(at, at + 50_000));
      await io.end();
    })();
    const io = directIo(near);
    const chunks: Uint8Array[] = [];
    const error = await new Promise((done) => {
      io.read({
        chunk(chunk) {
          chunks.push(chunk);
          setTimeout(() => io.resume(), 0);
          return false;
        },
        done,
      });
    });
    await writing;
    assertEquals(error, undefined);
    assertEquals(concat(chunks), bytes);
  });

  withPair("`release()` lets a chunk be overwritten, and no other one", async ({ near, far }) => {
    const bytes = pattern(1_000_000);
    const io = directIo(near);
    const kept: Uint8Array[] = [];
    const copies: Uint8Array[] = [];
    const over = new Promise<void>((resolve) => {
      io.read({
        chunk(chunk) {
          copies.push(chunk.slice());
          if (copies.length % 2 === 0) io.release(chunk);
          else kept.push(chunk);
          return true;
        },
        done: () => resolve(),
      });
    });
    const writer = far.writable.getWriter();
    for (let at = 0; at < bytes.length; at += 1000) await writer.write(bytes.subarray(at, at + 1000));
    await writer.close();
    await over;
    assertEquals(concat(copies), bytes);
    assertEquals(kept, copies.filter((_, index) => index % 2 === 0));
  });

  withPair("`release()` works for a chunk that came before `read()`", async ({ near, far }) => {
    const writer = far.writable.getWriter();
    await writer.write(pattern(100));
    await new Promise((resolve) => setTimeout(resolve, 20)); // some adapters have read it by now
    const copies: Uint8Array[] = [];
    const io = directIo(near);
    const over = new Promise<void>((resolve) => {
      io.read({
        chunk(chunk) {
          copies.push(chunk.slice());
          io.release(chunk);
          return true;
        },
        done: () => resolve(),
      });
    });
    await writer.write(pattern(200, 1));
    await writer.close();
    await over;
    assertEquals(concat(copies), concat([pattern(100), pattern(200, 1)]));
  });

  withPair("`done()` is called once when the sink closes the transport", async ({ near, far }) => {
    await far.writable.getWriter().write(pattern(10));
    await new Promise((resolve) => setTimeout(resolve, 20));
    let ends = 0;
    await new Promise<void>((resolve) => {
      directIo(near).read({
        chunk() {
          near.close().then(resolve);
          return true;
        },
        done: () => void ends++,
      });
    });
    assertEquals(ends, 1);
  });

  withPair("`close()` calls `done()` of direct calls once, and later writes reject", async ({ near }) => {
    const io = directIo(near);
    const ends: unknown[] = [];
    io.read({ chunk: () => true, done: (error) => ends.push(error) });
    await near.close();
    await assertRejects(async () => await io.write(pattern(1)), ConnectionError, "the connection is closed");
    await assertRejects(() => io.end(), ConnectionError);
    assertEquals(ends, [undefined]);
  });

  withPair("the streams and `direct()` exclude each other", ({ near, far }) => {
    directIo(near);
    assertThrows(() => near.readable, TypeError, "used directly");
    assertThrows(() => near.writable, TypeError, "used directly");
    assertThrows(() => directIo(near), TypeError, "used directly");
    far.readable;
    assertThrows(() => directIo(far), TypeError, "streams are in use");
    return Promise.resolve();
  });
}

test("`directIo()` works over the streams of a transport that has nothing else", async () => {
  const [near, far] = memoryPair();
  const { readable, writable, peer } = near;
  const io = directIo({ readable, writable, peer, close: () => near.close() });
  const chunks: Uint8Array[] = [];
  const over = new Promise((done) => {
    io.read({
      chunk(chunk) {
        chunks.push(chunk);
        queueMicrotask(() => io.resume());
        return false;
      },
      done,
    });
  });
  await io.write(pattern(10));
  await io.end();
  assertEquals(await readTransport(far), pattern(10));
  const writer = far.writable.getWriter();
  await writer.write(pattern(20));
  await writer.write(pattern(30));
  await writer.close();
  assertEquals(await over, undefined);
  assertEquals(chunks, [pattern(20), pattern(30)]);
  await near.close();
  await assertRejects(async () => await io.write(pattern(1)), ConnectionError);
});

test("`memoryPair()` holds a writer back at its mark", async () => {
  const [near, far] = memoryPair({ highWaterMark: 10 });
  const writer = near.writable.getWriter();
  const reader = far.readable.getReader();
  await writer.write(pattern(5)); // goes to the stream, which takes one chunk ahead
  await writer.write(pattern(10));
  let settled = false;
  const third = writer.write(pattern(1)).then(() => settled = true);
  for (let turn = 0; turn < 20; turn++) await null;
  assertEquals(settled, false);
  assertEquals((await reader.read()).value, pattern(5));
  assertEquals((await reader.read()).value, pattern(10));
  await third;
  await Promise.all([near.close(), far.close()]);
});

test("`close()` of a listener stops listening, and accepted connections live on", async () => {
  const accepted = Promise.withResolvers<Transport>();
  const listener = await listen({ hostname: "127.0.0.1", port: 0 }, accepted.resolve);
  assertEquals(listener.hostname, "127.0.0.1");
  const adapter = await ownAdapter();
  const near = await adapter.connect({ hostname: "127.0.0.1", port: listener.port });
  const far = await accepted.promise;
  assertEquals(near.peer, `127.0.0.1:${listener.port}`);
  await listener.close();
  await listener.close();
  await assertRejects(
    () => adapter.connect({ hostname: "127.0.0.1", port: listener.port }),
    ConnectionError,
    "refused",
  );
  const writer = near.writable.getWriter();
  await writer.write(pattern(10));
  await writer.close();
  assertEquals(await readTransport(far), pattern(10));
  await Promise.all([near.close(), far.close()]);
});

test("`listen()` on a port in use is a `ConnectionError` that names the address", async () => {
  const first = await listen({ hostname: "127.0.0.1", port: 0 }, (transport) => void transport.close());
  const error = await assertRejects(
    () => listen({ hostname: "127.0.0.1", port: first.port }, (transport) => void transport.close()),
    ConnectionError,
    `Cannot listen on 127.0.0.1:${first.port}: address already in use`,
  );
  assertInstanceOf(error.cause, Error);
  await first.close();
});
