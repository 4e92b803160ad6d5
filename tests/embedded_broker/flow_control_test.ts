/** Flow control of the embedded broker: slow peers and many messages. */
import { assert, assertEquals, assertGreater, assertLess } from "#assert";
import { test } from "#test";
import { brokerTest } from "../support/broker_harness.ts";
import { testCore } from "../support/test_core.ts";

const KIB = "x".repeat(1024);

brokerTest(
  "a subscriber that does not read gets what its connection buffers, and the queue keeps the rest",
  async (harness) => {
    const slow = harness.openMemory();
    await slow.connect("1.2");
    await slow.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
    await slow.framesBeforeReceipt();
    const sender = await harness.connected();
    for (let i = 0; i < 2000; i++) await sender.write(`SEND\ndestination:/queue/a\n\n${i} ${KIB}\0`);
    await sender.framesBeforeReceipt();
    // Of the 2 MiB, 64 KiB are in transit and 256 KiB in the buffer of the socket.
    assertGreater(harness.broker.stats.messages, 1500);
    const messages = await slow.frames(2000, "MESSAGE");
    assertEquals(messages.map(({ body }) => Number.parseInt(body)), Array.from({ length: 2000 }, (_, i) => i));
    assertEquals(harness.broker.stats.messages, 0);
  },
);

brokerTest(
  "a queue delivers to another subscriber what a slow one does not read",
  async ({ broker, openMemory, connected }) => {
    const slow = openMemory();
    await slow.connect("1.2");
    const quick = await connected();
    for (const peer of [slow, quick]) {
      await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
      await peer.framesBeforeReceipt();
    }
    const sender = await connected();
    for (let i = 0; i < 2000; i++) await sender.write(`SEND\ndestination:/queue/a\n\n${i} ${KIB}\0`);
    assertEquals(await sender.framesBeforeReceipt(), []);
    // A receipt overtakes messages that wait in the queue; once the queue is empty, the next receipt comes after them.
    let count = 0;
    do count += (await quick.framesBeforeReceipt()).length; while (broker.stats.messages > 0);
    count += (await quick.framesBeforeReceipt()).length;
    assertGreater(count, 1000);
  },
);

brokerTest("two subscriptions of a slow connection share its output", async ({ openMemory, connected }) => {
  const sender = await connected();
  for (let i = 0; i < 1500; i++) {
    for (const name of "ab") await sender.write(`SEND\ndestination:/queue/${name}\n\n${i} ${KIB}\0`);
  }
  await sender.framesBeforeReceipt();
  const slow = openMemory();
  await slow.connect("1.2");
  await slow.write("SUBSCRIBE\nid:a\ndestination:/queue/a\n\n\0SUBSCRIBE\nid:b\ndestination:/queue/b\n\n\0");
  const count: Record<string, number> = { a: 0, b: 0 };
  for (const { get } of await slow.frames(1500, "MESSAGE")) count[get("subscription")!]!++;
  assertGreater(Math.min(...Object.values(count)), 300);
});

brokerTest("SEND of 20,000 messages delivers each once, in order and with a RECEIPT", async ({ broker, connected }) => {
  const COUNT = 20_000;
  const sender = await connected();
  const receiver = await connected();
  const sending = async () => {
    for (let i = 0; i < COUNT;) {
      let frames = "";
      for (const end = i + 500; i < end; i++) frames += `SEND\ndestination:/queue/a\nreceipt:${i}\n\n${i}\0`;
      await sender.write(frames);
    }
  };
  const sent = sending();
  for (let i = 0; i < COUNT; i++) assertEquals((await sender.frame("RECEIPT")).get("receipt-id"), String(i));
  await sent;
  await receiver.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\nprefetch-count:100\n\n\0");
  for (let i = 0; i < COUNT; i++) {
    const message = await receiver.frame("MESSAGE");
    assertEquals(message.body, String(i));
    await receiver.write(`ACK\nid:${message.get("ack")}\n\n\0`);
  }
  assertEquals(await receiver.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 0);
});

brokerTest("SEND of a 20 MiB body does not delay other connections", async ({ connected }) => {
  const [sender, receiver] = [await connected(), await connected()];
  await receiver.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  const size = 20 << 20;
  await sender.write(`SEND\ndestination:/queue/a\ncontent-length:${size}\n\n`);
  const writing = sender.write(new Uint8Array(size + 1));
  assertEquals((await (await connected()).framesBeforeReceipt()).length, 0);
  await writing;
  assertEquals((await receiver.frame("MESSAGE")).get("content-length"), String(size));
});

test("a peer that leaves 1 MiB of RECEIPTs unread is paused until it reads them", async () => {
  const { wire, say } = testCore().join();
  wire.fill();
  let count = 0;
  for (; !wire.paused && count < 100_000; count++) say("SEND", { destination: "/topic/a", receipt: "r".repeat(100) });
  // About 1 MiB of receipts.
  assertLess(count, 10_000);
  await wire.drain();
  assertEquals(wire.paused, false);
  assertEquals(wire.sent.length, count + 1);
});

test("a peer that leaves MESSAGEs unread is not paused", () => {
  const { wire, say } = testCore().join();
  wire.fill();
  say("SUBSCRIBE", { id: "0", destination: "/queue/a" });
  for (let i = 0; i < 100; i++) say("SEND", { destination: "/queue/a" }, "x".repeat(100_000));
  assertEquals(wire.paused, false);
  assertEquals(wire.sent.map(({ command }) => command), ["CONNECTED", "MESSAGE"]);
});

test("MESSAGE frames of the core can be read without being encoded", () => {
  const { wire, say } = testCore().join();
  say("SUBSCRIBE", { id: "0", destination: "/queue/a", ack: "client" });
  say("SEND", { destination: "/queue/a", "a:b": "c\nd" }, "hi");
  const message = wire.sent[1]!;
  assertEquals(message.text(), "hi");
  assertEquals(message.headers["a:b"], "c\nd");
  assertEquals(message.header("subscription"), "0");
  assertEquals(message.headers["content-length"], "2");
});

test("`core.leave()` requeues the deliveries of a peer and sends it nothing more", async () => {
  const { core, join } = testCore();
  const one = join();
  const two = join();
  one.wire.fill();
  one.say("SUBSCRIBE", { id: "0", destination: "/queue/a", ack: "client" });
  for (let i = 0; i < 10; i++) two.say("SEND", { destination: "/queue/a" }, String(i));
  assertEquals(one.wire.sent.length, 2);
  core.leave(one.peer);
  core.leave(one.peer);
  await one.wire.drain();
  assertEquals(one.wire.sent.length, 2);
  one.say("SEND", { destination: "/queue/a" }, "too late");
  two.say("SUBSCRIBE", { id: "0", destination: "/queue/a" });
  assertEquals(two.wire.sent.slice(1).map((frame) => frame.text()).join(""), "0123456789");
  assert(!one.wire.ended);
});
