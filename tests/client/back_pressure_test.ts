/** Back-pressure: a consumer with a full queue stops reading, but not the answers that it awaits. */
import { assert, assertEquals, assertLess, assertRejects } from "#assert";
import { StompError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { clientTest, flushMicrotasks, frame, openSession, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

clientTest("a full queue stops reading for all subscriptions, until half of it is taken", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const watcher = new Watcher(stomp);
  const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 4 });
  const other = await subscribed(stomp, peer, "/queue/b");
  await peer.write(["m1", "m2", "m3", "m4"].map((id) => message(slow.id, id)).join(""));
  assertEquals(await watcher.until("slow-consumer"), {
    type: "slow-consumer",
    subscription: slow.id,
    destination: "/queue/a",
    queued: 4,
    blocked: false,
  });
  await peer.write(message(other.id, "o1") + message(slow.id, "m5"));
  const waiting = other.take();
  let came = false;
  waiting.then(() => came = true);
  assertEquals([(await slow.take())?.id, slow.full], ["m1", true]);
  await new Promise((resolve) => setTimeout(resolve, 20)); // enough for what must not come
  assertEquals([came, slow.queued, other.queued], [false, 3, 0]);
  await slow.take(); // half is left
  assertEquals([slow.full, (await waiting)?.id], [false, "o1"]);
  assertEquals([(await slow.take())?.id, (await slow.take())?.id, (await slow.take())?.id], ["m3", "m4", "m5"]);
});

clientTest(
  { name: "large bodies arrive whole, however they are split, while a full queue pauses reading", timeout: 60_000 },
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const inbox = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 2 });
    // Some as text, some as bytes, some without content-length; one after the other, so that memory is reused.
    const bodies = [300_000, 1_000_000, 70_000, 1_048_576, 2_500_000, 900_000, 65_535, 1_000_000, 5].map((size, i) => {
      const text = `${i}${(i % 3 === 2 ? "é" : "ab").repeat(size / 2)}`;
      return { bytes: new TextEncoder().encode(text), text, sized: i % 4 !== 3 };
    });
    const wire = new Blob(bodies.flatMap(({ bytes, sized }, i) => {
      const length = sized ? `content-length:${bytes.length}\n` : "";
      return [`MESSAGE\nsubscription:${inbox.id}\nmessage-id:${i}\n${length}\n`, bytes, "\0"];
    }));
    const all = new Uint8Array(await wire.arrayBuffer());
    const writing = (async () => {
      for (let at = 0, i = 0; at < all.length; i++) {
        const size = [1, 100_000, 7, 400_000, 65_536, 33_000][i % 6]!;
        await peer.write(all.subarray(at, at + size));
        at += size;
      }
    })();
    for (const [i, { bytes, text }] of bodies.entries()) {
      if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 5)); // so that the queue fills up
      const message = await inbox.take();
      assertEquals(message?.id, String(i));
      if (i % 2 === 0) assert(message!.text() === text);
      assertEquals(message!.body.length, bytes.length);
      assert(message!.body.every((byte, at) => byte === bytes[at]));
      assert(message!.text() === text);
    }
    await writing;
  },
);

clientTest("a slow subscription with `prefetch` and acknowledgements does not stop the others", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url);
  const watcher = new Watcher(stomp);
  const slow = await stomp.subscribe("/queue/slow", { ack: "client-individual", prefetch: 10, maxQueuedMessages: 20 });
  const quick = await stomp.subscribe("/queue/quick", { ack: "client-individual", prefetch: 10 });
  for (let n = 0; n < 100; n++) {
    await stomp.send("/queue/slow", String(n));
    await stomp.send("/queue/quick", String(n));
  }
  for (let n = 0; n < 100; n++) {
    const message = await quick.take({ timeout: 5000 });
    assertEquals(message?.text(), String(n));
    await message!.ack();
  }
  assertEquals([slow.queued, slow.full], [10, false]);
  const one = await slow.take();
  await one!.ack();
  for (let n = 1; n <= 10; n++) assertEquals((await slow.take({ timeout: 5000 }))?.text(), String(n));
  await stomp.disconnect();
  await watcher.until("closed");
  assertEquals(watcher.events.map(({ type }) => type), ["closed"]);
});

clientTest("`maxQueuedBytes` stops reading, until half of the bytes are taken", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const watcher = new Watcher(stomp);
  const one = message("sub-1", "m01").length - "MESSAGE".length - 2; // without the ends of head and frame
  const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedBytes: one * 2 });
  await peer.write(message(slow.id, "m01") + message(slow.id, "m02"));
  assertEquals((await watcher.until("slow-consumer")).queued, 2);
  await peer.write(message(slow.id, "m03"));
  assertEquals([(await slow.take())?.id, slow.full], ["m01", false]); // half is left
  assertEquals([(await slow.take())?.id, (await slow.take())?.id], ["m02", "m03"]);
});

clientTest(
  "calls of the consumer of a full queue get their answers, behind more messages than its limit",
  async (harness) => {
    const { stomp, peer } = await harness.pair({ timeout: 5000 });
    const watcher = new Watcher(stomp);
    const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 2, ack: "client-individual" });
    await peer.write(message(slow.id, "m1") + message(slow.id, "m2"));
    await watcher.until("slow-consumer");
    const start = performance.now();
    const calls: [string, () => Promise<unknown>][] = [
      ["SEND", () => stomp.send("/q", "x")],
      ["SUBSCRIBE", () => stomp.subscribe("/queue/b")],
      ["BEGIN", () => stomp.begin({ transaction: "t" })],
      ["COMMIT", () => stomp.commit({ transaction: "t" })],
      ["BEGIN", () => stomp.sendFrame(frame("BEGIN", { transaction: "u", receipt: "u" }))],
      ["ABORT", () => new Frame(stomp.sock).sendFrame(frame("ABORT", { transaction: "u", receipt: "v" }))],
    ];
    let id = 2;
    for (const [command, call] of calls) {
      const waiting = call();
      const said = await peer.frame(command);
      await peer.write(message(slow.id, `m${++id}`) + message(slow.id, `m${++id}`) + receiptFor(said));
      await waiting;
    }
    assertLess(performance.now() - start, 4000);
    assertEquals([slow.queued, slow.full], [id, true]);
    // No answer is awaited any more, so nothing is read.
    await peer.write(message(slow.id, "last"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(slow.queued, id);
    for (let taken = 0; taken < id; taken++) await slow.take();
    assertEquals((await slow.take())?.id, "last");
  },
);

clientTest("an aborted call no longer keeps a full queue reading", async (harness) => {
  const { session, peer } = await openSession(harness);
  const consumer = {};
  session.gate.close(consumer);
  assertEquals(session.paused, true);
  const abort = new AbortController();
  const waiting = [
    session.request(frame("BEGIN", { transaction: "a" }), { signal: abort.signal }),
    new Frame(session).sendFrame(frame("BEGIN", { transaction: "b", receipt: "b" }), { signal: abort.signal }),
  ];
  await peer.frames(2);
  assertEquals(session.paused, false);
  abort.abort(new Error("enough"));
  for (const call of waiting) await assertRejects(() => call, Error, "enough");
  session.gate.close({});
  assertEquals(session.paused, true);
  const again = session.request(frame("BEGIN", { transaction: "c" }));
  await Promise.resolve();
  assertEquals(session.paused, false);
  await confirm(peer);
  await again;
  assertEquals(session.paused, true);
  session.gate.open(consumer);
  assertEquals(session.paused, true); // the other consumer is still full
});

clientTest("the end of a full subscription resumes reading for the others", async (harness) => {
  for (const how of ["unsubscribe", "drain", "return"] as const) {
    const { stomp, peer } = await harness.pair();
    const watcher = new Watcher(stomp);
    const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 1, ack: "client" });
    const other = await subscribed(stomp, peer, "/queue/b");
    await peer.write(message(slow.id, "m1"));
    await watcher.until("slow-consumer");
    await peer.write(message(other.id, "o1"));
    const [taken] = await Promise.all([other.take(), slow[how](), confirm(peer, "UNSUBSCRIBE")]);
    assertEquals(taken?.id, "o1");
    await peer.write(message(other.id, "o2"));
    assertEquals((await other.take())?.id, "o2");
  }
});

clientTest("a queue that is full when the connection breaks does not stop the next connection", async (harness) => {
  for (const ack of ["client", "auto"] as const) {
    const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 }, heartbeat: false });
    const watcher = new Watcher(stomp);
    const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 1, ack });
    await peer.write(message(slow.id, "m1"));
    await watcher.until("slow-consumer");
    stomp.reconnect(); // because a break is not noticed while nothing is read
    const next = await server.welcome();
    await confirm(next, "SUBSCRIBE");
    await next.write(message(slow.id, "m2"));
    const expected = ack === "auto" ? ["m1", "m2"] : ["m2"];
    for (const id of expected) assertEquals((await slow.take())?.id, id);
  }
});

clientTest("messages of subscriptions by conf stop reading at 4 MiB", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscribing = stomp.subscribe({ destination: "/queue/a" });
  const id = (await confirm(peer, "SUBSCRIBE")).get("id")!;
  await subscribing;
  const body = "x".repeat(1 << 20);
  // The limit is 4 MiB; the rest fills the buffers of the system.
  let written = 0;
  for (; written < 64; written++) {
    const done = peer.write(message(id, `m${written}`).replace(/[^\n]*\0$/, `${body}\0`));
    done.catch(() => {});
    const inTime = await Promise.race([done.then(() => true), new Promise((resolve) => setTimeout(resolve, 100))]);
    if (!inTime) break;
  }
  assertLess(written, 64);
  for (let taken = 0; taken <= written; taken++) assertEquals((await stomp.receiveFrame())?.id, `m${taken}`);
});

clientTest("a paused connection sends heart-beats and does not time out", async (harness) => {
  const clock = new FakeClock();
  const { session, peer } = await openSession(
    harness,
    { heartbeat: { send: 1000, receive: 1000 }, clock },
    "1.2",
    "heart-beat:1000,1000\n",
  );
  session.gate.close({});
  for (let second = 0; second < 60; second++) {
    clock.pass(1000);
    await flushMicrotasks();
  }
  assertEquals(session.isOpen, true);
  await peer.bytes();
  assert(session.paused);
});

clientTest("a connection without the broker's heart-beats ends, and its calls reject", async (harness) => {
  const clock = new FakeClock();
  const lines = "heart-beat:1000,1000\n";
  const { session } = await openSession(harness, { heartbeat: { send: 1000, receive: 1000 }, clock }, "1.2", lines);
  const call = session.request(frame("BEGIN", { transaction: "a" }));
  call.catch(() => {});
  clock.pass(1900);
  assertEquals(session.isOpen, true);
  clock.pass(5000);
  assertEquals([session.isOpen, clock.timers], [false, 0]);
  await assertRejects(() => call, StompError, "nothing came for");
});
