/** Frames over one real connection that stalls or breaks. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { ConnectionError } from "../../base/errors.ts";
import { FrameConnection } from "../../connection/frame_connection.ts";
import { openTransport, parseUrl } from "../../transport/connect.ts";
import { type ClientHarness, clientTest, frame, openSession } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";

/** A connection whose far end reads nothing, so full that a write waits. */
async function stalled(rig: ClientHarness): Promise<{ socket: FrameConnection; peer: RawPeer; frames: number }> {
  const server = await rig.server();
  const [transport, peer] = await Promise.all([openTransport(parseUrl(server.url)), server.accept()]);
  const socket = new FrameConnection(transport);
  rig.atEnd(() => socket.close());
  socket.start({ onFrame() {}, onEnd() {} });
  const body = "x".repeat(1 << 18);
  let frames = 0;
  let left: number;
  do {
    socket.send(frame("SEND", { destination: "/queue/a" }, body))?.catch(() => {});
    frames++;
    left = socket.buffered;
    await new Promise((resolve) => setTimeout(resolve, 20)); // no event says that nothing is taken
  } while (socket.buffered < left || left < 1 << 20);
  return { socket, peer, frames };
}

clientTest("a stalled connection gathers no heart-beats", async (rig) => {
  const { socket, peer, frames } = await stalled(rig);
  const { buffered } = socket;
  for (let i = 0; i < 1000; i++) socket.beat();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(socket.buffered, buffered);
  for (let i = 0; i < frames; i++) assertEquals((await peer.frame()).body.length, 1 << 18);
  assertEquals([peer.heartbeats, socket.buffered], [0, 0]);
  // And then there is room for one again.
  socket.beat();
  socket.send(frame("SEND", { destination: "/queue/a" }));
  await peer.frame();
  assertEquals(peer.heartbeats, 1);
});

clientTest("who waits for room is told when the connection is closed, and when it breaks", async (rig) => {
  for (const how of ["close", "break"] as const) {
    const { socket, peer } = await stalled(rig);
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
});

clientTest(
  "a frame is taken back where line ends may stand between frames, which is not so in STOMP 1.0",
  async (rig) => {
    for (const [version, isTakenBack] of [["1.0", false], ["1.1", true], ["1.2", true]] as const) {
      const [transport, peer] = rig.memory();
      const socket = new FrameConnection(transport, { version });
      rig.atEnd(() => socket.close());
      socket.start({ onFrame() {}, onEnd() {} });
      const start = socket.position;
      socket.send(frame("SEND", { destination: "/queue/a" }, "one"));
      assertEquals(socket.retract(start, socket.position), isTakenBack, version);
      socket.send(frame("SEND", { destination: "/queue/a" }, "two"));
      assertEquals((await peer.frame("SEND")).body, isTakenBack ? "two" : "one");
    }
  },
);

clientTest("an end is given up when its time by the clock is over", async (rig) => {
  const clock = new FakeClock();
  const [transport] = rig.memory();
  const socket = new FrameConnection(transport, { clock });
  socket.start({ onFrame() {}, onEnd() {} });
  let over = false;
  const ended = socket.end(1000).then(() => over = true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals([over, clock.timers], [false, 1]); // the far end says nothing
  clock.pass(1000);
  await ended;
  assertEquals(clock.timers, 0);
});

clientTest("an end that the far end answers leaves no timer behind", async (rig) => {
  const clock = new FakeClock();
  const [transport, peer] = rig.memory();
  const socket = new FrameConnection(transport, { clock });
  socket.start({ onFrame() {}, onEnd() {} });
  const ended = socket.end(1000);
  await peer.close();
  await ended;
  assertEquals(clock.timers, 0);
});

clientTest("a session whose waiters wait for room tells them when it ends", async (rig) => {
  const { session } = await openSession(rig);
  let room: Promise<void> | undefined;
  while (room === undefined) room = session.send(frame("SEND", { destination: "/queue/a" }, "x".repeat(1 << 16)));
  session.close();
  assertInstanceOf(await assertRejects(() => room!), ConnectionError);
});
