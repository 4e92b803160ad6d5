/** `FrameConnection` over connections that stall, break and end, and over a WebSocket. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "#assert";
import { ConnectionError, UnknownBrokerResponseError } from "../../base/errors.ts";
import { FrameConnection } from "../../connection/frame_connection.ts";
import { parseUrl } from "../../transport/address.ts";
import { openTransport } from "../../transport/open.ts";
import { type ClientHarness, clientTest, frame, openSession } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { WebSocketPeer } from "../support/websocket_peer.ts";

/** A connection whose peer reads nothing, so full that a write is pending. */
async function stalled(harness: ClientHarness): Promise<{ socket: FrameConnection; peer: RawPeer; frames: number }> {
  const server = await harness.server();
  const [transport, peer] = await Promise.all([openTransport(parseUrl(server.url)), server.accept()]);
  const socket = new FrameConnection(transport);
  harness.atEnd(() => socket.close());
  socket.start({ onFrame() {}, onEnd() {} });
  const body = "x".repeat(1 << 18);
  let frames = 0;
  let left: number;
  do {
    socket.send(frame("SEND", { destination: "/queue/a" }, body))?.catch(() => {});
    frames++;
    left = socket.buffered;
    await new Promise((resolve) => setTimeout(resolve, 20)); // there is no event for a write that is not taken
  } while (socket.buffered < left || left < 1 << 20);
  return { socket, peer, frames };
}

clientTest("`beat()` sends nothing while other bytes wait to be taken", async (harness) => {
  const { socket, peer, frames } = await stalled(harness);
  const { buffered } = socket;
  for (let i = 0; i < 1000; i++) socket.beat();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(socket.buffered, buffered);
  for (let i = 0; i < frames; i++) assertEquals((await peer.frame()).body.length, 1 << 18);
  assertEquals([peer.heartbeats, socket.buffered], [0, 0]);
  socket.beat();
  socket.send(frame("SEND", { destination: "/queue/a" }));
  await peer.frame();
  assertEquals(peer.heartbeats, 1);
});

clientTest(
  "the promises of `send()` and `flush()` reject when the connection is closed, and when it breaks",
  async (harness) => {
    for (const how of ["close", "break"] as const) {
      const { socket, peer } = await stalled(harness);
      const waiting = socket.send(frame("SEND", { destination: "/queue/a" }));
      assert(waiting !== undefined);
      const flushing = socket.flush();
      flushing.catch(() => {});
      if (how === "close") socket.close();
      else peer.close();
      for (const promise of [waiting, flushing]) {
        assertInstanceOf(await assertRejects(() => promise), ConnectionError);
      }
    }
  },
);

clientTest(
  "`retract()` takes a frame back in STOMP 1.1 and 1.2, and not in 1.0",
  async (harness) => {
    for (const [version, isTakenBack] of [["1.0", false], ["1.1", true], ["1.2", true]] as const) {
      const [transport, peer] = harness.memory();
      const socket = new FrameConnection(transport, { version });
      harness.atEnd(() => socket.close());
      socket.start({ onFrame() {}, onEnd() {} });
      const start = socket.position;
      socket.send(frame("SEND", { destination: "/queue/a" }, "one"));
      assertEquals(socket.retract(start, socket.position), isTakenBack, version);
      socket.send(frame("SEND", { destination: "/queue/a" }, "two"));
      assertEquals((await peer.frame("SEND")).body, isTakenBack ? "two" : "one");
    }
  },
);

clientTest("`end()` gives up a peer that does not end within the time by the clock", async (harness) => {
  const clock = new FakeClock();
  const [transport] = harness.memory();
  const socket = new FrameConnection(transport, { clock });
  socket.start({ onFrame() {}, onEnd() {} });
  let over = false;
  const ended = socket.end(1000).then(() => over = true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals([over, clock.timers], [false, 1]); // the peer sends nothing
  clock.pass(1000);
  await ended;
  assertEquals(clock.timers, 0);
});

clientTest("`end()` leaves no timer behind when the peer ends", async (harness) => {
  const clock = new FakeClock();
  const [transport, peer] = harness.memory();
  const socket = new FrameConnection(transport, { clock });
  socket.start({ onFrame() {}, onEnd() {} });
  const ended = socket.end(1000);
  await peer.close();
  await ended;
  assertEquals(clock.timers, 0);
});

clientTest("the promise of `session.send()` rejects when the session is closed", async (harness) => {
  const { session } = await openSession(harness);
  let ready: Promise<void> | undefined;
  while (ready === undefined) ready = session.send(frame("SEND", { destination: "/queue/a" }, "x".repeat(1 << 16)));
  session.close();
  assertInstanceOf(await assertRejects(() => ready!), ConnectionError);
});

clientTest("`start()` throws when it was called before, and does nothing after `close()`", async (harness) => {
  const sink = { onFrame() {}, onEnd() {} };
  const [transport] = harness.memory();
  const socket = new FrameConnection(transport);
  socket.start(sink);
  assertThrows(() => socket.start(sink), TypeError, "was started already");
  const closed = new FrameConnection(harness.memory()[0]);
  await Promise.all([socket.close(), closed.close()]);
  closed.start(sink);
});

clientTest("`end()` reads on after bytes that are not STOMP, until the peer ends", async (harness) => {
  const clock = new FakeClock();
  const [transport, peer] = harness.memory();
  const socket = new FrameConnection(transport, { clock });
  const reason = new Promise<unknown>((resolve) => socket.start({ onFrame() {}, onEnd: resolve }));
  await peer.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  assertInstanceOf(await reason, UnknownBrokerResponseError);
  const ended = socket.end(1000);
  await peer.write("more of it");
  await peer.close();
  await ended;
  assertEquals(clock.timers, 0);
});

clientTest("`send()` over a WebSocket sends each frame as a message, whatever its size", async (harness) => {
  const server = await WebSocketPeer.listen();
  harness.atEnd(() => server.close());
  const [transport, peer] = await Promise.all([
    openTransport(parseUrl(`ws://127.0.0.1:${server.port}/`)),
    server.accept(),
  ]);
  const socket = new FrameConnection(transport);
  socket.start({ onFrame() {}, onEnd() {} });
  const bodies = ["", "a\0b\n\n", "é".repeat(20_000), "x".repeat(1 << 17)];
  for (const body of bodies) socket.send(frame("SEND", { destination: "/queue/a" }, body));
  const start = socket.position;
  socket.send(frame("SEND", { destination: "/queue/a" }, "taken back"));
  assertEquals(socket.retract(start, socket.position), true);
  socket.sendText("ACK\nid:1\n\n");
  await socket.flush();
  socket.beat();
  const received = [];
  for (let i = 0; i < bodies.length + 3; i++) received.push(await peer.nextText());
  const expected = bodies.map((body) => {
    const size = new TextEncoder().encode(body).length;
    return `SEND\ndestination:/queue/a\n${size === 0 ? "" : `content-length:${size}\n`}\n${body}\0`;
  });
  assertEquals(received, [...expected, "\n", "ACK\nid:1\n\n\0", "\n"]);
  await socket.close();
});
