/** The WebSocket transport on an open connection: messages, back-pressure, and every way it can end. */
import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects } from "#assert";
import { test } from "#test";
import { ConnectionError } from "../../base/errors.ts";
import type { SocketTransport } from "../../transport/socket_transport.ts";
import { directIo, type Transport } from "../../transport/transport.ts";
import { connectWebSocket, type WebSocketAddress } from "../../transport/websocket.ts";
import { runtime } from "../support/runtime.ts";
import { concat, pattern, readTransport, untilStable } from "../support/sockets.ts";
import { OPCODES, type WebSocketEnd, WebSocketPeer, type WebSocketPeerOptions } from "../support/websocket_peer.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

const RABBITMQ = "CONNECTED\nserver:RabbitMQ/3.10.8\nversion:1.2\n\n\0";

interface Options extends WebSocketPeerOptions, Partial<Omit<WebSocketAddress, "tls">> {}

/** A transport, and the server's end of it. */
function withPair(
  title: string,
  fn: (near: Transport, far: WebSocketEnd) => Promise<void>,
  options: Options = {},
): void {
  test(title, async () => {
    const peer = await WebSocketPeer.listen(options);
    const [near, far] = await Promise.all([
      connectWebSocket({ path: "/ws", maxUnread: options.maxUnread, keepAlive: options.keepAlive, ...addressOf(peer) }),
      peer.accept(),
    ]);
    try {
      await fn(near, far);
    } finally {
      const closing = near.close();
      if (options.answersClose === false) await peer.close(); // else Deno's WebSocket would wait for ever
      await closing;
      await peer.close();
    }
  });
}

function addressOf({ port }: WebSocketPeer) {
  return { hostname: "127.0.0.1", port };
}

/** The message of a value that must be a `ConnectionError` with a cause, without the part that names the peer. */
function reasonOf(error: unknown): string {
  assertInstanceOf(error, ConnectionError);
  assertInstanceOf(error.cause, Error);
  return error.message.replace(/^Cannot (read from|write to|connect to) \S+: /, "");
}

async function readText(reader: ReadableStreamDefaultReader<Uint8Array>, length: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  for (let size = 0; size < length;) {
    const { value } = await reader.read();
    assert(value !== undefined, `the end came after ${size} of ${length} bytes`);
    chunks.push(value);
    size += value.length;
  }
  return decoder.decode(concat(chunks));
}

withPair("text and binary messages, whole and in fragments, are one stream of bytes", async (near, far) => {
  const text = "MESSAGE\nname:žluťoučký kůň 🐎\n\nbody\0\n";
  const bytes = encoder.encode(text);
  far.send(text);
  far.send(bytes);
  far.send("");
  const middle = bytes.indexOf(0xf0) + 2; // within a character, as fragments may be cut
  far.frame(OPCODES.text, bytes.subarray(0, middle), false);
  far.frame(OPCODES.ping, new Uint8Array(0));
  far.frame(OPCODES.continuation, bytes.subarray(middle));
  for (let at = 0; at < bytes.length; at += 5) far.send(bytes.subarray(at, at + 5)); // a frame in many messages
  far.send(text.repeat(3)); // many frames in a message
  assertEquals(await readText(near.readable.getReader(), bytes.length * 7), text.repeat(7));
});

withPair("large messages arrive whole", async (near, far) => {
  const bytes = pattern(3_000_000);
  far.send(bytes);
  far.close(1000);
  assertEquals(await readTransport(near), bytes);
});

/** Writes frames in one go, as `WriteBuffer` does. */
async function writeFrames(near: Transport, frames: readonly (string | Uint8Array)[]): Promise<void> {
  const parts = frames.map((frame) => typeof frame === "string" ? encoder.encode(frame) : frame);
  let end = 0;
  await (near as SocketTransport).write(concat(parts), parts.map(({ length }) => end += length));
}

withPair("`write()` sends each frame and each line end as a text message", async (near, far) => {
  const frames = [
    "CONNECT\n\n\0",
    "SEND\ncontent-length:3\n\na\0b\0",
    `SEND\n\n${"žluťoučký kůň 🐎 ".repeat(9000)}\0`,
    "\n",
    "SEND\n\n\n\n\0",
    "\n",
    "\n",
  ];
  for (const written of [frames, ...frames.map((frame) => [frame])]) await writeFrames(near, written);
  for (const frame of [...frames, ...frames]) assertEquals(await far.nextText(), frame);
});

withPair("`write()` sends one line end for a frame that was taken back", async (near, far) => {
  await writeFrames(near, ["\n".repeat(50), "ACK\nid:1\n\n\0"]);
  assertEquals([await far.nextText(), await far.nextText()], ["\n", "ACK\nid:1\n\n\0"]);
});

withPair("a write to `writable` is a message as it is, text where it is UTF-8", async (near, far) => {
  const writer = near.writable.getWriter();
  const messages = ["SEND\n\none\0SEND\n\ntwo\0\n", "\n\nSEND\n\nžlu", "\0", "no frame"];
  for (const message of messages) await writer.write(encoder.encode(message));
  for (const message of messages) assertEquals(await far.nextText(), message);
  await writer.write(Uint8Array.of(0xc5));
  assertEquals(await far.next(), { isText: false, bytes: Uint8Array.of(0xc5) });
});

withPair("a frame that is not UTF-8 is a binary message", async (near, far) => {
  const binary = concat([encoder.encode("SEND\n\n"), Uint8Array.of(200, 201, 0)]);
  await writeFrames(near, [binary, "DISCONNECT\n\n\0"]);
  assertEquals(await far.next(), { isText: false, bytes: binary });
  assertEquals(await far.nextText(), "DISCONNECT\n\n\0");
});

withPair("RabbitMQ gets all frames of a write in one message, after its CONNECTED", async (near, far) => {
  const io = directIo(near);
  await writeFrames(near, ["CONNECT\n\n\0", "\n"]);
  assertEquals([await far.nextText(), await far.nextText()], ["CONNECT\n\n\0", "\n"]);
  far.send(RABBITMQ);
  await new Promise<void>((resolve) => io.read({ chunk: () => (resolve(), true), done() {} }));
  const frames = ["SEND\n\none\0", "SEND\n\ntwo\0"];
  await writeFrames(near, frames);
  assertEquals(await far.next(), { isText: false, bytes: encoder.encode(frames.join("")) });
});

withPair("a broker that only mentions RabbitMQ gets one frame in a message", async (near, far) => {
  const io = directIo(near);
  far.send("CONNECTED\nversion:1.2\n\nserver:RabbitMQ/\0");
  await new Promise<void>((resolve) => io.read({ chunk: () => (resolve(), true), done() {} }));
  await writeFrames(near, ["SEND\n\none\0", "SEND\n\ntwo\0"]);
  assertEquals([await far.nextText(), await far.nextText()], ["SEND\n\none\0", "SEND\n\ntwo\0"]);
});

withPair("the memory of a write may be used again once it has settled", async (near, far) => {
  const writer = near.writable.getWriter();
  const memory = new Uint8Array(60_000);
  for (let round = 0; round < 100; round++) {
    memory.fill(round);
    memory[0] = 0; // no frame, so it passes as it is
    await writer.write(memory);
  }
  memory.fill(255);
  for (let round = 0; round < 100; round++) {
    const { bytes } = await far.next();
    assert(bytes.length === memory.length && bytes.every((byte, at) => byte === (at === 0 ? 0 : round)));
  }
});

test({
  name: "a peer that does not read holds the writer back, until it reads",
  // Bun before 1.4 does not say what it has not sent yet.
  ignore: runtime === "bun" && isOldBun(),
  async fn() {
    const peer = await WebSocketPeer.listen();
    const [near, far] = await Promise.all([connectWebSocket(addressOf(peer)), peer.accept()]);
    far.socket.pause();
    const total = 64 * 1024 * 1024;
    const writer = near.writable.getWriter();
    const chunk = new Uint8Array(64 * 1024);
    let taken = 0;
    const writing = (async () => {
      for (; taken < total; taken += chunk.length) await writer.write(chunk);
      await writer.close();
    })();
    assertLess(await untilStable(() => taken), total / 2);
    far.socket.resume();
    await writing;
    assertEquals(await far.rest(), new Uint8Array(total));
    await Promise.all([near.close(), peer.close()]);
  },
});

function isOldBun(): boolean {
  const { Bun } = globalThis as unknown as { Bun: { version: string } };
  return /^1\.[0-3]\./.test(Bun.version);
}

withPair("closing `writable` sends what was written, and ends both directions", async (near, far) => {
  const writer = near.writable.getWriter();
  const bytes = pattern(5_000_000);
  void writer.write(bytes);
  await writer.close();
  assertEquals(await far.rest(), bytes);
  assertEquals(far.closeCode, 1000);
  assertEquals(await readTransport(near), new Uint8Array(0));
});

withPair("closing `writable` inside a frame sends the part of it", async (near, far) => {
  const writer = near.writable.getWriter();
  await writer.write(encoder.encode("SEND\nunfinished:"));
  await writer.close();
  assertEquals(decoder.decode(await far.rest()), "SEND\nunfinished:");
});

withPair("messages that are not read are kept in order, and the end comes after them", async (near, far) => {
  const io = directIo(near);
  const chunks: Uint8Array[] = [];
  const over = new Promise((done) => {
    io.read({
      chunk(bytes) {
        chunks.push(bytes);
        setTimeout(() => io.resume(), 0);
        return false;
      },
      done,
    });
  });
  const bytes = pattern(200_000);
  for (let at = 0; at < bytes.length; at += 1000) far.send(bytes.subarray(at, at + 1000));
  far.close(1000);
  assertEquals(await over, undefined);
  assertEquals(chunks.length, 200);
  assertEquals(concat(chunks), bytes);
});

withPair(
  "more than `maxUnread` bytes end the connection, and what came before is still delivered",
  async (near, far) => {
    const reader = near.readable.getReader(); // takes one chunk ahead
    for (let i = 0; i < 20; i++) far.send(new Uint8Array(1000).fill(i));
    await far.rest();
    assertEquals(far.closeCode, 1000);
    const write = await assertRejects(() => near.writable.getWriter().write(pattern(1)));
    const received: number[] = [];
    const read = await assertRejects(async () => {
      for (;;) received.push((await reader.read()).value![0]!);
    });
    assertLess(received.length, 15);
    assertEquals(received, received.map((_, index) => index));
    for (const error of [read, write]) {
      assert(/^more than 9500 bytes wait to be read.* a prefetch$/.test(reasonOf(error)), String(error));
    }
  },
  { maxUnread: 9500 },
);

withPair("one message may be larger than `maxUnread`", async (near, far) => {
  far.send(pattern(100_000));
  assertEquals(await readText(near.readable.getReader(), 100_000), decoder.decode(pattern(100_000)));
}, { maxUnread: 1000 });

withPair("`close()` ends a pending read, and closes the WebSocket in order", async (near, far) => {
  const read = near.readable.getReader().read();
  const begun = performance.now();
  await Promise.all([near.close(), near.close()]);
  await near.close();
  assertLess(performance.now() - begun, 900);
  const { done, value } = await read;
  assertEquals([done, value], [true, undefined]);
  await far.rest();
  assertEquals(far.closeCode, 1000);
  const writer = near.writable.getWriter();
  await assertRejects(() => writer.write(pattern(1)), ConnectionError, "the connection is closed");
});

withPair("`close()` resolves although the peer does not answer", async (near, far) => {
  const begun = performance.now();
  await near.close();
  assertLess(performance.now() - begun, 3000);
  if (runtime === "deno") return; // it cannot free the socket
  await far.rest();
}, { answersClose: false });

withPair("`close()` rejects a pending write although the peer does not read", async (near, far) => {
  far.socket.pause();
  const writer = near.writable.getWriter();
  let taken = 0;
  const writing = (async () => {
    for (; taken < 64 * 1024 * 1024; taken += 65_536) await writer.write(new Uint8Array(65_536));
  })();
  writing.catch(() => {});
  await untilStable(() => taken);
  const begun = performance.now();
  await near.close();
  assertLess(performance.now() - begun, 3000);
  await assertRejects(() => writing, ConnectionError, "the connection is closed");
}, { answersClose: false });

withPair("the peer of a `close()` reads what was sent before", async (near, far) => {
  await near.writable.getWriter().write(pattern(1000));
  await near.close();
  assertEquals(await far.rest(), pattern(1000));
});

for (const code of [1000, 1001]) {
  withPair(`a peer that closes with ${code} is an end in order`, async (near, far) => {
    far.send("last words");
    far.close(code, "bye");
    assertEquals(decoder.decode(await readTransport(near)), "last words");
    const writer = near.writable.getWriter();
    await assertRejects(() => writer.write(pattern(10)), ConnectionError, "the connection is closed");
  });
}

withPair("a peer that closes without a code is an end in order", async (near, far) => {
  far.send("last words");
  await far.frame(OPCODES.close, new Uint8Array(0));
  far.socket.end();
  assertEquals(decoder.decode(await readTransport(near)), "last words");
});

for (
  const [code, reason, shown] of [
    [1009, "", "it closed with WebSocket code 1009 (a message is too large for it)"],
    [1011, "no more memory", "it closed with WebSocket code 1011: no more memory"],
    [4000, "whatever it means", "it closed with WebSocket code 4000: whatever it means"],
  ] as const
) {
  withPair(`a peer that closes with ${code} is a \`ConnectionError\` that says so`, async (near, far) => {
    far.send("last words");
    far.close(code, reason);
    const reader = near.readable.getReader();
    assertEquals(decoder.decode((await reader.read()).value), "last words");
    assertEquals(reasonOf(await assertRejects(() => reader.read())), shown);
    assertEquals(reasonOf(await assertRejects(() => near.writable.getWriter().write(pattern(1)))), shown);
  });
}

for (const [how, end] of [["FIN", "end"], ["a reset", "resetAndDestroy"]] as const) {
  withPair(`${how} without a closing handshake is a \`ConnectionError\` in both directions`, async (near, far) => {
    far.send("last words");
    const reader = near.readable.getReader();
    assertEquals(decoder.decode((await reader.read()).value), "last words");
    const read = reader.read();
    far.socket[end]();
    assertEquals(reasonOf(await assertRejects(() => read)), "the connection broke");
    assertEquals(
      reasonOf(await assertRejects(() => near.writable.getWriter().write(pattern(1)))),
      "the connection broke",
    );
  });
}

withPair("a connection that breaks without a pending call causes no unhandled rejection", async (near, far) => {
  near.readable;
  near.writable;
  far.socket.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 50)); // whatever is unhandled has its chance
  await assertRejects(() => readTransport(near), ConnectionError);
});

withPair("text that is not UTF-8 is a `ConnectionError`", async (near, far) => {
  far.frame(OPCODES.text, encoder.encode("MESSAGE\n\n"));
  far.frame(OPCODES.text, Uint8Array.of(77, 255, 254));
  const reader = near.readable.getReader();
  assertEquals(decoder.decode((await reader.read()).value), "MESSAGE\n\n");
  const reason = reasonOf(await assertRejects(() => reader.read()));
  // Node 24 does not tell.
  const expected = runtime === "node"
    ? /web_stomp.ws_frame|the connection broke/
    : /not UTF-8.* web_stomp.ws_frame = binary$/;
  assert(expected.test(reason), reason);
});

withPair("a line end is sent when nothing else was sent for `keepAlive`", async (near, far) => {
  await writeFrames(near, ["CONNECT\n\n\0"]);
  assertEquals(await far.nextText(), "CONNECT\n\n\0");
  assertEquals(await far.nextText(), "\n");
  assertEquals(await far.nextText(), "\n");
  await writeFrames(near, ["SEND\n\nbody\0"]);
  let text = "\n";
  while (text === "\n") text = await far.nextText();
  assertEquals(text, "SEND\n\nbody\0");
}, { keepAlive: 20 });

test("many connections can be closed right after they were opened", async () => {
  const peer = await WebSocketPeer.listen();
  await Promise.all(Array.from({ length: 10 }, async () => {
    const [near] = await Promise.all([connectWebSocket(addressOf(peer)), peer.accept()]);
    const writer = near.writable.getWriter();
    writer.write(pattern(100_000)).catch(() => {});
    writer.close().catch(() => {});
    const read = near.readable.getReader().read();
    await near.close();
    assertEquals((await read).done, true);
  }));
  await peer.close();
});
