/**
 * The end of a connection to the embedded broker: DISCONNECT, errors, limits, lost clients. Test names begin with the row
 * of the conformance checklist.
 */
import { assert, assertEquals, assertStringIncludes } from "#assert";
import { test } from "#test";
import { brokerTest, withBroker } from "../support/broker_harness.ts";
import { RawPeer } from "../support/raw_peer.ts";

brokerTest("S12-53 DISCONNECT gets its RECEIPT before the connection is closed", async ({ connected }) => {
  const peer = await connected();
  await peer.write("DISCONNECT\nreceipt:77\n\n\0");
  assertEquals((await peer.frame("RECEIPT")).lines, ["receipt-id:77"]);
  await peer.ended();
});

brokerTest("S12-53 frames after DISCONNECT are ignored", async ({ broker, connected }) => {
  const peer = await connected();
  await peer.write("DISCONNECT\nreceipt:77\n\n\0SEND\ndestination:/queue/a\nreceipt:78\n\nx\0");
  await peer.frame("RECEIPT");
  await peer.ended();
  assertEquals(broker.stats.messages, 0);
});

brokerTest("S12-54 frames received before the client closes are executed", async ({ broker, connected }) => {
  const peer = await connected();
  let frames = "";
  for (let i = 0; i < 1000; i++) frames += `SEND\ndestination:/queue/a\n\n${i}\0`;
  await peer.write(frames);
  await peer.finish();
  await peer.ended();
  assertEquals(broker.stats.messages, 1000);
});

brokerTest("S12-55 frames after an ERROR are ignored and the connection is closed", async ({ broker, connected }) => {
  const peer = await connected();
  await peer.write("SEND\nreceipt:1\n\nx\0SEND\ndestination:/queue/a\nreceipt:2\n\nx\0");
  assertEquals((await peer.refusal()).get("receipt-id"), "1");
  assertEquals(broker.stats.messages, 0);
});

brokerTest("S12-56 ERROR has message, content-type, content-length and a helpful body", async ({ connected }) => {
  const peer = await connected();
  await peer.write("SUBSCRIBE\nid:0\n\n\0");
  const { lines, body } = await peer.refusal();
  assertEquals(lines, [
    "message:SUBSCRIBE has no destination",
    "content-type:text/plain",
    `content-length:${body.length}`,
  ]);
  assertEquals(body, "SUBSCRIBE needs the header destination, for example destination:/queue/a\n");
});

brokerTest("S12-57 a frame with an unknown command is refused", async ({ connected }) => {
  for (const command of ["FOO", "send", "SENDX", "CONNECTX", "SUB"]) {
    const peer = await connected();
    await peer.write(`${command}\ndestination:/queue/a\n\n\0`);
    assertStringIncludes((await peer.refusal()).body, command);
  }
});

brokerTest("S12-58 SEND with an undefined escape is refused and not routed", async ({ broker, connected }) => {
  for (const [version, line] of [["1.2", "x:a\\tb"], ["1.2", "x\\:b"], ["1.1", "x:a\\rb"], ["1.2", "x:a\\"]] as const) {
    const peer = await connected(version);
    await peer.write(`SEND\ndestination:/queue/a\n${line}\n\n\0`);
    assertEquals((await peer.refusal()).get("message"), "malformed frame");
  }
  assertEquals(broker.stats.messages, 0);
});

brokerTest("malformed frames are refused after the frames before them are executed", async ({ broker, connected }) => {
  for (
    const bytes of [
      "SEND\ndestination:/queue/b\nnocolon\n\n\0",
      "SEND\n:v\n\n\0",
      "SEND\ndestination:/queue/b\ncontent-length:2\n\nabc\0",
      "SEND\ndestination:/queue/b\ncontent-length:-1\n\n\0",
      "SEND\ndestination:/queue/b\ncontent-length:99999999999999999999\n\n\0",
      "SEND\ndestination:/queue/b\nx:a\rb\n\n\0",
      "ACK\nid:1\n\nbody\0",
      "GET / HTTP/1.1\r\n\r\n",
    ]
  ) {
    const peer = await connected();
    await peer.write(`SEND\ndestination:/topic/a\nreceipt:before\n\n\0${bytes}`);
    assertEquals((await peer.frame("RECEIPT")).get("receipt-id"), "before");
    assertEquals((await peer.refusal()).get("message"), "malformed frame");
  }
  assertEquals(broker.stats.destinations, 0);
});

brokerTest("a header that is not UTF-8 is refused", async ({ connected }) => {
  const peer = await connected();
  await peer.write(new Uint8Array([...new TextEncoder().encode("SEND\ndestination:"), 0xff, 10, 10, 0]));
  assertEquals((await peer.refusal()).get("message"), "malformed frame");
});

const LIMITS = { maxHeaders: 10, maxHeaderBytes: 1000, maxBodyBytes: 1000 };

brokerTest("S12-59 a frame over a decoder limit is refused before its end arrives", async ({ connected }) => {
  const header = (count: number) => Array.from({ length: count }, (_, i) => `h${i}:v\n`).join("");
  for (
    const [bytes, limit] of [
      [`SEND\ndestination:/topic/a\n${header(10)}`, "maxHeaders"],
      [`SEND\ndestination:/topic/${"a".repeat(1000)}`, "maxHeaderBytes"],
      ["SEND\ndestination:/topic/a\ncontent-length:1001\n", "maxBodyBytes"],
      [`SEND\ndestination:/topic/a\n\n${"x".repeat(1001)}`, "maxBodyBytes"],
    ] as const
  ) {
    const peer = await connected();
    await peer.write(bytes);
    assertStringIncludes((await peer.refusal()).body, limit);
  }
  const peer = await connected();
  await peer.write(`SEND\ndestination:/topic/a\n${header(9)}\n${"x".repeat(1000)}\0`);
  assertEquals(await peer.framesBeforeReceipt(), []);
}, LIMITS);

brokerTest("S12-59 SEND beyond `maxStoredBytes` is refused, in a transaction as well", async (harness) => {
  const message = `SEND\ndestination:/queue/a\n\n${"x".repeat(4000)}\0`;
  const peer = await harness.connected();
  await peer.write(message.repeat(3));
  assertEquals((await peer.refusal()).get("message"), "no room for the message");
  assertEquals(harness.broker.stats.messages, 2);
  const other = await harness.connected();
  await other.write("BEGIN\ntransaction:t\n\n\0" + message.replace("\n\n", "\ntransaction:t\n\n"));
  assertEquals((await other.refusal()).get("message"), "no room for the message");
  // Consumed messages free their bytes, and so do aborted transactions.
  const consumer = await harness.connected();
  await consumer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  await consumer.frames(2, "MESSAGE");
  for (let i = 0; i < 5; i++) {
    const frames = message.replace("\n\n", "\ntransaction:t\n\n").repeat(2);
    await consumer.write(`BEGIN\ntransaction:t\n\n\0${frames}ABORT\ntransaction:t\n\n\0`);
  }
  assertEquals(await consumer.framesBeforeReceipt(), []);
}, { maxStoredBytes: 10_000 });

const LONG = "n".repeat(30_000);

/** What a client can fill the broker with, without a large body. */
const FILLERS: [what: string, header: string, frame: (i: number) => string][] = [
  ["names of queues", "message", (i) => `SEND\ndestination:/queue/${i}${LONG}\n\n\0`],
  ["headers of messages", "message", () => `SEND\ndestination:/queue/a\nx:${LONG}\n\n\0`],
  ["empty messages", "message", () => "SEND\ndestination:/queue/a\n\n\0".repeat(100)],
  ["names of subscriptions", "subscription", (i) => `SUBSCRIBE\nid:${i}${LONG}\ndestination:/topic/${LONG}\n\n\0`],
  ["names of transactions", "transaction", (i) => `BEGIN\ntransaction:${i}${LONG}\n\n\0`],
  [
    "small bodies that each keep a block of memory",
    "message",
    () => `SEND\ndestination:/queue/a\n\nx\0${`SEND\ndestination:/topic/none\n\n${LONG.slice(0, 1000)}\0`.repeat(8)}`,
  ],
];

for (const [what, header, frame] of FILLERS) {
  brokerTest(
    `S12-59 \`maxStoredBytes\` counts ${what} until they are freed`,
    async ({ broker, connected }) => {
      const LIMIT = 1_000_000;
      const peer = await connected();
      let bytes = 0;
      let refused = false;
      const answer = peer.frame().then((error) => {
        refused = true;
        return error;
      });
      for (let i = 0; !refused && bytes < 16 * LIMIT; i++) {
        const text = frame(i);
        bytes += text.length;
        await peer.write(text).catch(() => {}); // the broker may have closed already
      }
      assert(refused, `${bytes} bytes are kept`);
      assertEquals((await answer).get("message"), `no room for the ${header}`);
      // Subscriptions and transactions ended with their connection, and a consumer can subscribe to drain the messages.
      const other = await connected();
      await other.write("BEGIN\ntransaction:t\n\n\0SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
      if (what.startsWith("names of queues")) return;
      for (let left = broker.stats.messages; left > 0; left--) await other.frame("MESSAGE");
      await other.write(`SEND\ndestination:/queue/a\n\n${"x".repeat(LIMIT / 2)}\0`);
      assertEquals((await other.frame("MESSAGE")).octets.length, LIMIT / 2);
    },
    { maxStoredBytes: 1_000_000 },
  );
}

brokerTest(
  "S12-59 `maxStoredBytes` does not count queues and subscriptions that have ended",
  async ({ broker, connected }) => {
    const peer = await connected();
    for (let i = 0; i < 50; i++) {
      const destination = `destination:/queue/${i}${LONG}`;
      await peer.write(`SEND\n${destination}\n\nx\0SUBSCRIBE\nid:${i}\n${destination}\n\n\0`);
      assertEquals((await peer.frame("MESSAGE")).body, "x");
      await peer.write(`UNSUBSCRIBE\nid:${i}\n\n\0`);
    }
    assertEquals(await peer.framesBeforeReceipt(), []);
    assertEquals(broker.stats.destinations, 0);
  },
  { maxStoredBytes: 1_000_000 },
);

brokerTest("`maxBacklogBytes` disconnects a slow subscriber of a topic and no other", async ({ connected }) => {
  const [slow, quick, sender] = [await connected(), await connected(), await connected()];
  for (const [peer, mode] of [[slow, "client"], [quick, "auto"]] as const) {
    await peer.write(`SUBSCRIBE\nid:0\ndestination:/topic/a\nack:${mode}\nprefetch-count:1\n\n\0`);
    await peer.framesBeforeReceipt();
  }
  for (let i = 0; i < 20; i++) await sender.write(`SEND\ndestination:/topic/a\n\n${"x".repeat(1000)}\0`);
  assertEquals(await sender.framesBeforeReceipt(), []);
  await slow.frame("MESSAGE");
  assertEquals((await slow.refusal()).get("message"), "subscriber is too slow");
  assertEquals((await quick.framesBeforeReceipt()).length, 20);
}, { maxBacklogBytes: 10_000 });

test({
  name: "S12-60 2,000 clients that leave at once leave nothing behind",
  timeout: 60_000,
  async fn() {
    await withBroker({}, async (broker) => {
      const WAYS = [
        "CONNECT\naccept-version:1.2\nhost:h\n\n\0DISCONNECT\n\n\0",
        "CONNECT\naccept-version:1.2\nhost:h\n\n\0SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0",
        "CONNECT\naccept-version:1.2\nhost:h\n\n\0BEGIN\ntransaction:t\n\n\0SEND\ndesti",
        "CONNECT\nacc",
        "",
      ];
      let left = 2000;
      const visitor = async () => {
        while (left > 0) {
          const way = WAYS[left-- % WAYS.length]!;
          const peer = await RawPeer.tcp(broker.port);
          await peer.write(way);
          await peer.close();
        }
      };
      await Promise.all(Array.from({ length: 20 }, visitor));
      // A client that connects after them is served.
      const peer = await RawPeer.tcp(broker.port);
      await peer.connect("1.2");
      await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0SEND\ndestination:/queue/a\n\nx\0");
      // The broker may still be handling the last of them, and one of those may get the message.
      await peer.framesBeforeReceipt();
      await peer.write("DISCONNECT\nreceipt:bye\n\n\0");
      await peer.frame("RECEIPT");
      await peer.ended();
      await peer.close();
      for (let waited = 0; broker.stats.peers > 0; waited++) {
        assert(waited < 500, `${broker.stats.peers} connections are left`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    });
  },
});

brokerTest("S12-61 ERROR reaches a client that keeps writing", async ({ connected }) => {
  const peer = await connected();
  await peer.write("FOO\n\n\0");
  // More than any socket buffers: the writes only succeed if the broker keeps reading.
  const megabyte = new Uint8Array(1 << 20);
  for (let i = 0; i < 16; i++) await peer.write(megabyte);
  assertEquals((await peer.refusal()).get("message"), "malformed frame");
});

brokerTest("ERROR omits a receipt-id that the version cannot carry", async ({ connected }) => {
  const peer = await connected("1.1");
  await peer.write("SEND\nreceipt:1\r\n\n\0");
  assertEquals((await peer.refusal()).get("receipt-id"), undefined);
});
