/**
 * SEND to the embedded broker, and the resulting MESSAGE. Test names begin with the row of the conformance checklist.
 */
import { assert, assertEquals, assertNotEquals } from "#assert";
import { brokerTest } from "../support/broker_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";

/** Subscribes, and waits for the receipt. */
async function subscribe(peer: RawPeer, destination: string, lines = ""): Promise<void> {
  await peer.write(`SUBSCRIBE\nid:0\ndestination:${destination}\n${lines}receipt:sub\n\n\0`);
  assertEquals((await peer.frame("RECEIPT")).get("receipt-id"), "sub");
}

brokerTest("S12-19 S12-48 SEND without destination is refused and gets no RECEIPT", async ({ connected }) => {
  for (const version of ["1.0", "1.1", "1.2"]) {
    const peer = await connected(version);
    await peer.write("SEND\nreceipt:1\n\nx\0");
    const error = await peer.refusal();
    assertEquals(error.get("receipt-id"), "1");
    assertEquals(error.get("message"), "SEND has no destination");
  }
});

brokerTest("S12-20 MESSAGE has the sender's headers, octet for octet", async ({ connected }) => {
  const peer = await connected();
  await subscribe(peer, "/queue/a");
  await peer.write(
    "SEND\ndestination:/queue/a\nx-a: b \n x\\cy :\nn\\nl:\\\\n\ncaf\xe9:\u{1F600}\n\nhi\0".replace("\n\ncaf", "\ncaf"),
  );
  const message = await peer.frame("MESSAGE");
  for (const line of ["x-a: b ", " x\\cy :", "n\\nl:\\\\n", "caf\xe9:\u{1F600}"]) {
    assert(message.lines.includes(line), line);
  }
});

brokerTest("S12-21 MESSAGE headers are encoded for the version of each receiver", async ({ connected }) => {
  const receivers = [];
  for (const version of ["1.0", "1.1", "1.2"]) {
    const peer = await connected(version);
    await subscribe(peer, "/topic/a");
    receivers.push(peer);
  }
  const [old, middle, young] = receivers as [RawPeer, RawPeer, RawPeer];
  const sender = await connected();
  await sender.write("SEND\ndestination:/topic/a\nlf:a\\nb\ncr:a\\rb\ncolon\\c:c\\cd\nback:a\\\\b\nplain:p\n\nbody\0");
  const lines = async (peer: RawPeer) => {
    const { lines, body } = await peer.frame("MESSAGE");
    assertEquals(body, "body");
    return lines.filter((line) => /^(lf|cr|colon|back|plain)/.test(line));
  };
  assertEquals(await lines(young), ["lf:a\\nb", "cr:a\\rb", "colon\\c:c\\cd", "back:a\\\\b", "plain:p"]);
  assertEquals(await lines(middle), ["lf:a\\nb", "colon\\c:c\\cd", "back:a\\\\b", "plain:p"]);
  assertEquals(await lines(old), ["back:a\\b", "plain:p"]);
  // No receiver gets anything else.
  for (const peer of receivers) assertEquals(await peer.framesBeforeReceipt(), []);
});

brokerTest("S12-21 MESSAGE keeps the backslash and colon of a 1.0 sender", async ({ connected }) => {
  const receiver = await connected("1.2");
  await subscribe(receiver, "/queue/a");
  const sender = await connected("1.0");
  await sender.write("SEND\ndestination:/queue/a\npath:C:\\temp\n\n\0");
  assertEquals((await receiver.frame("MESSAGE")).get("path"), "C\\c\\\\temp");
});

brokerTest("S12-22 SEND with a repeated header uses the first value", async ({ connected }) => {
  const peer = await connected();
  await subscribe(peer, "/queue/a");
  await peer.write("SEND\ndestination:/queue/a\ndestination:/queue/b\nreceipt:1\nreceipt:2\nx:1\nx:2\n\n\0");
  assertEquals((await peer.frame("RECEIPT")).get("receipt-id"), "1");
  const message = await peer.frame("MESSAGE");
  assertEquals(message.get("destination"), "/queue/a");
  assertEquals(message.get("x"), "1");
  assertEquals(await peer.framesBeforeReceipt(), []);
});

brokerTest(
  "S12-23 S12-24 S12-25 MESSAGE has destination, subscription and a unique message-id",
  async ({ connected }) => {
    const peer = await connected();
    await peer.write("SUBSCRIBE\nid:s\\c1\ndestination:/queue/a\n\n\0");
    await peer.write("SEND\ndestination:/queue/a\n\n1\0SEND\ndestination:/queue/a\n\n2\0");
    const [one, two] = await peer.frames(2, "MESSAGE");
    assertEquals(one!.get("destination"), "/queue/a");
    assertEquals(one!.get("subscription"), "s\\c1");
    assertNotEquals(one!.get("message-id"), two!.get("message-id"));
    assertEquals([one!.body, two!.body], ["1", "2"]);
  },
);

brokerTest("S12-26 MESSAGE has ack only in the client modes of 1.2", async ({ connected }) => {
  for (
    const [version, mode, has] of [
      ["1.2", "client", true],
      ["1.2", "client-individual", true],
      ["1.2", "auto", false],
      ["1.1", "client", false],
      ["1.0", "client", false],
    ] as const
  ) {
    const peer = await connected(version);
    await subscribe(peer, `/queue/${version}-${mode}`, `ack:${mode}\n`);
    await peer.write(`SEND\ndestination:/queue/${version}-${mode}\n\nx\0`);
    assertEquals((await peer.frame("MESSAGE")).get("ack") !== undefined, has, `${version} ${mode}`);
  }
});

brokerTest(
  "S12-27 S12-29 MESSAGE has no forged headers, no receipt and no transaction of the SEND",
  async ({ connected }) => {
    const peer = await connected();
    await subscribe(peer, "/queue/a", "ack:client\n");
    await peer.write(
      "BEGIN\ntransaction:t\n\n\0SEND\ndestination:/queue/a\nsubscription:9\nack:Z\nmessage-id:1\nredelivered:true\n" +
        "receipt:r\ntransaction:t\ncontent-length:2\nbell:\x07\n\nhi\0COMMIT\ntransaction:t\n\n\0",
    );
    await peer.frame("RECEIPT");
    const { lines, get, body } = await peer.frame("MESSAGE");
    const names = lines.map((line) => line.split(":", 1)[0]!);
    assertEquals(names.toSorted(), [
      "ack",
      "bell",
      "content-length",
      "destination",
      "message-id",
      "subscription",
    ]);
    assertEquals(get("subscription"), "0");
    assertNotEquals(get("ack"), "Z");
    assertNotEquals(get("message-id"), "1");
    assertEquals(body, "hi");
  },
);

brokerTest("S12-28 MESSAGE has the real content-length and the sender's content-type", async ({ connected }) => {
  const peer = await connected();
  await subscribe(peer, "/queue/a");
  await peer.write("SEND\ndestination:/queue/a\ncontent-type:text/plain;charset=utf-16\n\n\u00e9\0");
  const message = await peer.frame("MESSAGE");
  assertEquals(message.get("content-length"), "2");
  assertEquals(message.get("content-type"), "text/plain;charset=utf-16");
  await peer.write("SEND\ndestination:/queue/a\ncontent-length:3\n\n\0\n\0\0");
  assertEquals((await peer.frame("MESSAGE")).body, "\0\n\0");
});

brokerTest(
  "S12-45 S12-46 S12-47 RECEIPT is sent once for each receipt, in order, without a body",
  async ({ connected }) => {
    const peer = await connected();
    await peer.write(
      "SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:a\\cb\n\n\0SEND\ndestination:/topic/b\n\n\0" +
        "SEND\ndestination:/topic/b\nreceipt:\n\n\0BEGIN\ntransaction:t\nreceipt:3\n\n\0COMMIT\ntransaction:t\nreceipt:4\n\n\0" +
        "BEGIN\ntransaction:t\nreceipt:5\n\n\0ABORT\ntransaction:t\nreceipt:6\n\n\0UNSUBSCRIBE\nid:0\nreceipt:7\n\n\0",
    );
    const receipts = await peer.frames(7, "RECEIPT");
    assertEquals(receipts.map(({ get }) => get("receipt-id")), ["a\\cb", "", "3", "4", "5", "6", "7"]);
    for (const { lines, body } of receipts) assertEquals([lines.length, body], [1, ""]);
    assertEquals(await peer.framesBeforeReceipt(), []);
  },
);

brokerTest("S12-62 SEND in 1.2 may use CRLF lines, and MESSAGE uses LF", async ({ connected }) => {
  const peer = await connected();
  await subscribe(peer, "/queue/a");
  await peer.write("SEND\r\ndestination:/queue/a\r\nx:1\r\n\r\nx\0\r\n");
  const { lines } = await peer.frame("MESSAGE");
  assert(lines.includes("x:1"));
  assert(lines.every((line) => !line.includes("\r")));
});

brokerTest("S12-63 SEND accepts any destination, and only /topic/ is special", async ({ connected }) => {
  const peer = await connected();
  for (const name of ["a b\\cc", "//a b/../c", "queue", "/queue/", "/Topic/x", "/topic", " ", "\u{1F600}", "*"]) {
    await peer.write(`SEND\ndestination:${name}\n\n${name}\0`);
    await peer.write(`SUBSCRIBE\nid:${name}\ndestination:${name}\n\n\0`);
    const message = await peer.frame("MESSAGE");
    assertEquals(message.get("destination"), name);
    assertEquals(message.body, name);
  }
});

brokerTest("a queue keeps messages in order until they are consumed", async ({ broker, connected }) => {
  const sender = await connected();
  for (let i = 0; i < 100; i++) await sender.write(`SEND\ndestination:/queue/a\n\n${i}\0`);
  await sender.framesBeforeReceipt();
  assertEquals(broker.stats, { peers: 1, destinations: 1, messages: 100 });
  const receiver = await connected();
  await subscribe(receiver, "/queue/a");
  const messages = await receiver.frames(100, "MESSAGE");
  assertEquals(messages.map(({ body }) => Number(body)), Array.from({ length: 100 }, (_, i) => i));
  // The queue is deleted after its last message and its last subscriber.
  await receiver.write("UNSUBSCRIBE\nid:0\n\n\0");
  await receiver.framesBeforeReceipt();
  assertEquals(broker.stats, { peers: 2, destinations: 0, messages: 0 });
});

brokerTest("a queue delivers each message to one subscriber, in turn", async ({ connected }) => {
  const receivers = [await connected("1.0"), await connected("1.1"), await connected("1.2")];
  for (const peer of receivers) await subscribe(peer, "/queue/a");
  const sender = await connected();
  for (let i = 0; i < 9; i++) await sender.write(`SEND\ndestination:/queue/a\n\n${i}\0`);
  await sender.framesBeforeReceipt();
  const bodies = [];
  for (const peer of receivers) bodies.push((await peer.framesBeforeReceipt()).map(({ body }) => body));
  assertEquals(bodies, [["0", "3", "6"], ["1", "4", "7"], ["2", "5", "8"]]);
});

brokerTest("a topic delivers each message to the current subscribers only", async ({ broker, connected }) => {
  const sender = await connected();
  await sender.write("SEND\ndestination:/topic/a\n\nearly\0");
  await sender.framesBeforeReceipt();
  assertEquals(broker.stats.destinations, 0);
  const receivers = [await connected(), await connected()];
  for (const peer of receivers) {
    await subscribe(peer, "/topic/a");
    // A second subscription of the same connection is another subscriber.
    await peer.write("SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0");
    await peer.framesBeforeReceipt();
  }
  await sender.write("SEND\ndestination:/topic/a\n\nnow\0");
  await sender.framesBeforeReceipt();
  for (const peer of receivers) {
    const messages = await peer.framesBeforeReceipt();
    assertEquals(messages.map(({ get, body }) => [get("subscription"), body]), [["0", "now"], ["1", "now"]]);
  }
});

brokerTest(
  "SEND to a subscription of the same connection gets its RECEIPT before the MESSAGE",
  async ({ connected }) => {
    const peer = await connected();
    await subscribe(peer, "/queue/a");
    await peer.write("SEND\ndestination:/queue/a\nreceipt:1\n\nx\0");
    await peer.frame("RECEIPT");
    await peer.frame("MESSAGE");
  },
);

brokerTest("SEND and SUBSCRIBE with a value that 1.0 or 1.1 cannot carry back are refused", async ({ connected }) => {
  for (
    const [version, frame] of [
      ["1.1", "SEND\ndestination:/queue/a\nreceipt:1\r\n\n\0"],
      ["1.0", "SEND\ndestination:/queue/a\nreceipt:1\r\n\n\0"],
      ["1.1", "SUBSCRIBE\nid:0\ndestination:/queue/a\r\n\n\0"],
      ["1.1", "SUBSCRIBE\nid:0\r\ndestination:/queue/a\n\n\0"],
    ] as const
  ) {
    const peer = await connected(version);
    await peer.write(frame);
    assertEquals((await peer.refusal()).get("message"), "header cannot be answered");
  }
});
