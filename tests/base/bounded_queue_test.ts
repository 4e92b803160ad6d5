/** Back-pressure: a consumer that has enough stops the socket, and never what it waits for itself. */
import { assert, assertEquals, assertLess, assertRejects } from "#assert";
import { StompError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { BoundedQueue, type Meter, type QueueFill } from "../../base/bounded_queue.ts";
import { test } from "#test";
import { clientTest, frame, openSession, settle, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

interface Item {
  size: number;
  n?: number;
}

const item = (size: number): Item => ({ size });
const meter: Meter<Item> = { enter() {}, leave() {}, add: ({ size }) => size, remove: ({ size }) => size };

test("an inbox asks for a pause at its limits, and for more at half of them", async () => {
  const told: QueueFill[] = [];
  const inbox = new BoundedQueue<Item>(meter, (fill) => told.push(fill), { items: 4, bytes: 100 });
  for (let i = 0; i < 6; i++) inbox.put(item(1)); // what comes nevertheless is kept
  assertEquals([told, inbox.length, inbox.fill], [["full"], 6, "full"]);
  while (inbox.length > 3) inbox.takeNow();
  assertEquals(told, ["full"]);
  inbox.takeNow();
  assertEquals([told, inbox.fill], [["full", "room"], "room"]);
  inbox.put(item(98));
  assertEquals([told, inbox.bytes], [["full", "room", "full"], 100]);
  inbox.drop(({ size }) => size > 1);
  assertEquals([told.length, inbox.length, inbox.bytes], [4, 2, 2]);
  // Nobody is woken by what is dropped in the middle.
  let empty = false;
  const waiting = inbox.whenEmpty().then(() => empty = true);
  inbox.drop(() => false);
  await settle();
  assertEquals([empty, inbox.length], [false, 2]);
  inbox.drop(() => true);
  await waiting;
  assertEquals(await inbox.take({ nb: true }, "an item"), undefined);
});

test("an inbox is blocked at eight times its limits, and at 64 MiB, until there is less than that", () => {
  const cases = [
    [{ items: 4, bytes: Infinity }, 1, 4, 32],
    [{ items: Infinity, bytes: 100 }, 10, 10, 80],
    [{ items: Infinity, bytes: 2 ** 24 }, 2 ** 20, 16, 64],
    [{ items: Infinity, bytes: 2 ** 27 }, 2 ** 20, 128, 128],
  ] as const;
  for (const [limits, size, full, blocked] of cases) {
    const told: string[] = [];
    const inbox = new BoundedQueue<Item>(
      meter,
      (fill, news) => told.push(`${fill}${news ? "!" : ""} ${inbox.length}`),
      limits,
    );
    while (inbox.fill !== "blocked") inbox.put(item(size));
    inbox.takeNow();
    inbox.put(item(size));
    while (inbox.length > 0) inbox.takeNow();
    // What was told once is no news until there was room.
    const first = full === blocked ? [] : [`full! ${full}`];
    assertEquals(told, [
      ...first,
      `blocked! ${blocked}`,
      `full ${blocked - 1}`,
      `blocked ${blocked}`,
      `full ${blocked - 1}`,
      `room ${full / 2}`,
    ]);
  }
});

test("an inbox that has ended is not full, and what waits in it does not count", () => {
  const told: QueueFill[] = [];
  let count = 0;
  const counting: Meter<Item> = {
    enter() {},
    leave: (items) => void (count -= [...items].length),
    add: () => ++count,
    remove: () => count--,
  };
  const inbox = new BoundedQueue<Item>(counting, (fill) => told.push(fill), { items: 2 });
  for (let i = 0; i < 3; i++) inbox.put(item(1));
  assertEquals([told, count], [["full"], 3]);
  inbox.end();
  assertEquals([told, count, inbox.length], [["full", "room"], 0, 3]);
  while (inbox.takeNow());
  assertEquals([told.length, count], [2, 0]);
});

test("an inbox: what was there before its end can be taken, then everybody is told", async () => {
  const inbox = new BoundedQueue<Item>(meter, () => {});
  inbox.put({ size: 0, n: 1 });
  const error = new StompError("over");
  inbox.end(error);
  inbox.end();
  inbox.put(item(0));
  assertEquals((await inbox.take({}, "an item"))?.n, 1);
  for (const nb of [true, false]) {
    assertEquals(await assertRejects(() => inbox.take({ nb }, "an item")), error);
  }
});

test("an inbox: two takes wait, the first gives up, the second gets the item", async () => {
  for (const given of [0, 1, 2]) {
    const inbox = new BoundedQueue<Item>(meter, () => {});
    const aborts = [0, 1, 2].map(() => new AbortController());
    const takes = aborts.map(({ signal }) => inbox.take({ signal }, "an item"));
    aborts[given]!.abort(new Error("enough"));
    await assertRejects(() => takes[given]!, Error, "enough");
    const others = takes.filter((_, i) => i !== given);
    inbox.put({ size: 1, n: 1 });
    inbox.put({ size: 1, n: 2 });
    assertEquals((await Promise.all(others)).map((one) => one?.n), [1, 2]);
    assertEquals(inbox.length, 0);
  }
});

clientTest("a full queue stops reading, and half a queue goes on; others wait meanwhile", async (rig) => {
  const { stomp, peer } = await rig.pair();
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
  { name: "large bodies come whole, however they are cut, and whoever pauses", timeout: 60_000 },
  async (rig) => {
    const { stomp, peer } = await rig.pair();
    const inbox = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 2 });
    // Some as text, some as bytes, some of a size that nobody tells; one after the other, so that memory is used again.
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

clientTest("with prefetch and acknowledgements one that is slow does not stop the others", async (rig) => {
  const broker = await rig.broker();
  const stomp = await rig.connect(broker.url);
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

clientTest("a limit in bytes does the same", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const watcher = new Watcher(stomp);
  const one = message("sub-1", "m01").length - "MESSAGE".length - 2; // but for the ends of head and frame
  const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedBytes: one * 2 });
  await peer.write(message(slow.id, "m01") + message(slow.id, "m02"));
  assertEquals((await watcher.until("slow-consumer")).queued, 2);
  await peer.write(message(slow.id, "m03"));
  assertEquals([(await slow.take())?.id, slow.full], ["m01", false]); // half is left
  assertEquals([(await slow.take())?.id, (await slow.take())?.id], ["m02", "m03"]);
});

clientTest("the consumer of a full queue can await what it sends, and more: its answer is read", async (rig) => {
  const { stomp, peer } = await rig.pair({ timeout: 5000 });
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
    // Behind more messages than the queue is to hold.
    await peer.write(message(slow.id, `m${++id}`) + message(slow.id, `m${++id}`) + receiptFor(said));
    await waiting;
  }
  assertLess(performance.now() - start, 4000);
  assertEquals([slow.queued, slow.full], [id, true]);
  // And now it is not read any more.
  await peer.write(message(slow.id, "last"));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(slow.queued, id);
  for (let taken = 0; taken < id; taken++) await slow.take();
  assertEquals((await slow.take())?.id, "last");
});

clientTest("an answer that is given up is not read for any more", async (rig) => {
  const { session, peer } = await openSession(rig);
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
  assertEquals(session.paused, false);
  await confirm(peer);
  await again;
  assertEquals(session.paused, true);
  session.gate.open(consumer);
  assertEquals(session.paused, true); // the other one has enough still
});

clientTest("the end of a full subscription lets the others read", async (rig) => {
  for (const how of ["unsubscribe", "drain", "return"] as const) {
    const { stomp, peer } = await rig.pair();
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

clientTest("a queue that is full while the connection breaks does not stop the next one", async (rig) => {
  for (const ack of ["client", "auto"] as const) {
    const { stomp, peer, server } = await rig.pair({ reconnect: { delay: 0 }, heartbeat: false });
    const watcher = new Watcher(stomp);
    const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 1, ack });
    await peer.write(message(slow.id, "m1"));
    await watcher.until("slow-consumer");
    stomp.reconnect(); // a break is not seen while nothing is read
    const next = await server.welcome();
    await confirm(next, "SUBSCRIBE");
    await next.write(message(slow.id, "m2"));
    const expected = ack === "auto" ? ["m1", "m2"] : ["m2"];
    for (const id of expected) assertEquals((await slow.take())?.id, id);
  }
});

clientTest("messages of the subscriptions by conf stop reading as well", async (rig) => {
  const { stomp, peer } = await rig.pair();
  const subscribing = stomp.subscribe({ destination: "/queue/a" });
  const id = (await confirm(peer, "SUBSCRIBE")).get("id")!;
  await subscribing;
  const body = "x".repeat(1 << 20);
  // Four MiB are the limit; the rest fills the buffers of the system.
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

clientTest("while nothing is read heart-beats are sent, and the broker is not declared dead", async (rig) => {
  const clock = new FakeClock();
  const { session, peer } = await openSession(
    rig,
    { heartbeat: { send: 1000, receive: 1000 }, clock },
    "1.2",
    "heart-beat:1000,1000\n",
  );
  session.gate.close({});
  for (let second = 0; second < 60; second++) {
    clock.pass(1000);
    await settle();
  }
  assertEquals(session.isOpen, true);
  await peer.bytes();
  assert(session.paused);
});

clientTest("a broker that falls silent is declared dead, with what waits rejected", async (rig) => {
  const clock = new FakeClock();
  const lines = "heart-beat:1000,1000\n";
  const { session } = await openSession(rig, { heartbeat: { send: 1000, receive: 1000 }, clock }, "1.2", lines);
  const call = session.request(frame("BEGIN", { transaction: "a" }));
  call.catch(() => {});
  clock.pass(1900);
  assertEquals(session.isOpen, true);
  clock.pass(5000);
  assertEquals([session.isOpen, clock.timers], [false, 0]);
  await assertRejects(() => call, StompError, "nothing came for");
});
