/** What a transport does when a real socket goes wrong: resets, refusals, hosts that do not answer, signals. */
import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects } from "#assert";
import { test } from "#test";
import type { Socket } from "node:net";
import { ConnectionError } from "../../base/errors.ts";
import { directIo, type SocketAdapter, type Transport } from "../../transport/transport.ts";
import { nodeAdapter } from "../../transport/node.ts";
import { runtime } from "../support/runtime.ts";
import {
  ownAdapter,
  pattern,
  Peer,
  readSocket,
  readTransport,
  silentPort,
  untilStable,
  writeSocket,
} from "../support/sockets.ts";

/** Registers a test of the adapter of this runtime; in Bun, also of `node:net`, which stands in for its own sockets. */
function testAdapter(title: string, fn: (adapter: SocketAdapter) => Promise<void>, { standIn = true } = {}): void {
  test(title, async () => {
    await fn(await ownAdapter());
    if (standIn && runtime === "bun") await fn(nodeAdapter);
  });
}

/** The same with a transport, and the plain socket of its peer. */
function withPeer(
  title: string,
  fn: (near: Transport, far: Socket, port: number) => Promise<void>,
  options?: { standIn: boolean },
): void {
  testAdapter(title, async (adapter) => {
    const peer = await Peer.listen();
    const near = await adapter.connect({ hostname: "127.0.0.1", port: peer.port });
    try {
      await fn(near, await peer.accept(), peer.port);
    } finally {
      await near.close();
      await peer.close();
    }
  }, options);
}

/** The message of a value that must be a `ConnectionError` with a cause. */
function messageOf(error: unknown): string {
  assertInstanceOf(error, ConnectionError);
  assertInstanceOf(error.cause, Error);
  return error.message;
}

/** For tests that `node:net` fails where it stands in: its own buffer is lost with the connection. */
const NOT_STAND_IN = { standIn: false };

withPeer("a reset is a `ConnectionError` in both directions", async (near, far, port) => {
  const read = near.readable.getReader().read();
  far.resetAndDestroy();
  const message = messageOf(await assertRejects(() => read));
  assertEquals(message, `Cannot read from 127.0.0.1:${port}: connection reset`);
  const write = await assertRejects(() => near.writable.getWriter().write(pattern(10)), ConnectionError);
  assert(write.message.startsWith(`Cannot write to 127.0.0.1:${port}: `), write.message);
});

withPeer("a reset without a pending call causes no unhandled rejection", async (near, far) => {
  far.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 50)); // whatever is unhandled has its chance
  await assertRejects(() => readTransport(near), ConnectionError);
});

withPeer("a reset of a stream that is not read causes no unhandled rejection", async (near, far) => {
  near.readable;
  near.writable;
  far.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await assertRejects(() => readTransport(near), ConnectionError);
});

withPeer("what came before a reset is still read", async (near, far) => {
  await writeSocket(far, pattern(100));
  near.readable; // one chunk is taken ahead
  await new Promise((resolve) => setTimeout(resolve, 20));
  await writeSocket(far, pattern(200));
  far.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  let received = 0;
  // Node 22 takes a reset right behind data for an end.
  await near.readable.pipeTo(new WritableStream({ write: (bytes) => void (received += bytes.length) }))
    .catch((error) => assert(messageOf(error).endsWith(": connection reset")));
  assertEquals(received, 300);
}, NOT_STAND_IN);

withPeer("`readable` gives what the peer sent before a reset, although writes fail already", async (near, far) => {
  const reader = near.readable.getReader();
  const writer = near.writable.getWriter();
  await writeSocket(far, pattern(100));
  far.resetAndDestroy();
  let failed = false;
  const writing = (async () => {
    while (true) await writer.write(pattern(1000));
  })().catch(() => failed = true);
  assertEquals((await reader.read()).value, pattern(100));
  // The system reports a reset once: to the write or to the read.
  await reader.read().catch((error) => assertInstanceOf(error, ConnectionError));
  await writing;
  assert(failed);
}, NOT_STAND_IN);

withPeer("a reset rejects a pending write", async (near, far) => {
  const writer = near.writable.getWriter();
  let taken = 0;
  const pending = (async () => {
    while (true) {
      await writer.write(pattern(100_000));
      taken += 100_000;
    }
  })();
  pending.catch(() => {});
  await untilStable(() => taken);
  far.resetAndDestroy();
  messageOf(await assertRejects(() => pending));
});

withPeer("`readable` that is not read holds the peer back, and loses nothing", async (near, far) => {
  near.readable;
  const chunk = pattern(64 * 1024);
  const total = 64 * 1024 * 1024;
  let taken = 0;
  const writing = (async () => {
    for (; taken < total; taken += chunk.length) await writeSocket(far, chunk);
    far.end();
  })();
  assertLess(await untilStable(() => taken), total / 2);
  let received = 0;
  for await (const bytes of near.readable) received += bytes.length;
  await writing;
  assertEquals(received, total);
});

withPeer("a sink that returns `false` holds the peer back until `resume()`", async (near, far) => {
  const chunk = pattern(64 * 1024);
  const total = 64 * 1024 * 1024;
  let taken = 0;
  const writing = (async () => {
    for (; taken < total; taken += chunk.length) await writeSocket(far, chunk);
    far.end();
  })();
  const io = directIo(near);
  let received = 0;
  let open = false;
  const over = new Promise((done) => {
    io.read({
      chunk(bytes) {
        received += bytes.length;
        return open;
      },
      done,
    });
  });
  assertLess(await untilStable(() => taken), total / 2);
  open = true;
  io.resume();
  assertEquals(await over, undefined);
  await writing;
  assertEquals(received, total);
});

withPeer("closing `writable` sends what was written, then FIN", async (near, far) => {
  const received = readSocket(far);
  const writer = near.writable.getWriter();
  void writer.write(pattern(5_000_000));
  await writer.close();
  assertEquals(await received, pattern(5_000_000));
  far.end(pattern(10));
  assertEquals(await readTransport(near), pattern(10));
});

withPeer("a reset ends the sink of direct calls, and the next write, with a `ConnectionError`", async (near, far) => {
  const io = directIo(near);
  const over = new Promise((done) => io.read({ chunk: () => true, done }));
  far.resetAndDestroy();
  messageOf(await over);
  messageOf(await assertRejects(async () => await io.write(pattern(10))));
});

testAdapter("many connections can be closed right after they were opened", async (adapter) => {
  const peer = await Peer.listen();
  await Promise.all(Array.from({ length: 20 }, async () => {
    const near = await adapter.connect({ hostname: "127.0.0.1", port: peer.port });
    const writer = near.writable.getWriter();
    writer.write(pattern(100_000)).catch(() => {});
    writer.close().catch(() => {});
    const read = near.readable.getReader().read();
    await near.close();
    assertEquals((await read).done, true);
  }));
  await peer.close();
});

testAdapter(
  "`connect()` to a port without a listener is a `ConnectionError` that names the address",
  async (adapter) => {
    const peer = await Peer.listen();
    await peer.close();
    for (
      const [hostname, shown] of [["127.0.0.1", "127.0.0.1"], ["localhost", "localhost"], ["::1", "[::1]"]] as const
    ) {
      const error = await assertRejects(() => adapter.connect({ hostname, port: peer.port }));
      assertEquals(messageOf(error), `Cannot connect to ${shown}:${peer.port}: connection refused`);
    }
  },
);

testAdapter("`connect()` to a host name that does not exist is a `ConnectionError`", async (adapter) => {
  const error = await assertRejects(() => adapter.connect({ hostname: "no-such-host.invalid", port: 61613 }));
  const message = messageOf(error);
  assert(/^Cannot connect to no-such-host.invalid:61613: host name (not found|could not)/.test(message), message);
});

testAdapter("`connect()` to localhost finds a listener on one of its addresses", async (adapter) => {
  const peer = await Peer.listen();
  const near = await adapter.connect({ hostname: "localhost", port: peer.port });
  assertEquals(near.peer, `localhost:${peer.port}`);
  await near.close();
  await peer.close();
});

testAdapter("the signal of `connect()` ends the wait for a host that does not answer", async (adapter) => {
  const silent = await silentPort();
  const controller = new AbortController();
  const reason = new Error("the caller's own reason");
  const connecting = adapter.connect({ hostname: "127.0.0.1", port: silent.port, signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  const error = await assertRejects(() => connecting);
  assertEquals(error, reason);
  await silent.close();
});

testAdapter("the signal of `connect()` counts at any moment", async (adapter) => {
  const peer = await Peer.listen();
  const address = { hostname: "127.0.0.1", port: peer.port };
  const before = AbortSignal.abort(new Error("before"));
  await assertRejects(() => adapter.connect({ ...address, signal: before }), Error, "before");
  for (let turns = 0; turns < 12; turns++) {
    const controller = new AbortController();
    const connecting = adapter.connect({ ...address, signal: controller.signal });
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    controller.abort(new Error("during"));
    // Either it was in time, or there is a connection, which the signal has no more to do with.
    await connecting.then((near) => near.close(), (error) => assertEquals(error.message, "during"));
  }
  await peer.close();
});
