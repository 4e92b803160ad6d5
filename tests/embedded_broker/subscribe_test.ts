/**
 * SUBSCRIBE, UNSUBSCRIBE, ACK and NACK at the embedded broker. Test names begin with the row of the conformance
 * checklist.
 */
import { assertEquals } from "#assert";
import { brokerTest } from "../support/broker_harness.ts";
import type { RawFrame, RawPeer } from "../support/raw_peer.ts";

const bodies = (frames: readonly RawFrame[]) => frames.map(({ body }) => body).join(" ");

/** Sends messages with these bodies, and waits until the broker has them. */
async function send(peer: RawPeer, destination: string, texts: string): Promise<void> {
  for (const text of texts.split(" ")) await peer.write(`SEND\ndestination:${destination}\n\n${text}\0`);
  const other = await peer.framesBeforeReceipt();
  assertEquals(other, []);
}

/** Returns the header lines that acknowledge a message in a version. */
function ackLines(message: RawFrame, version: string): string {
  if (version === "1.2") return `id:${message.get("ack")}\n`;
  const subscription = version === "1.1" ? `subscription:${message.get("subscription")}\n` : "";
  return `${subscription}message-id:${message.get("message-id")}\n`;
}

const refused = async (peer: RawPeer, frame: string): Promise<string | undefined> => {
  await peer.write(frame);
  return (await peer.refusal()).get("message");
};

brokerTest("S12-30 SUBSCRIBE without destination or id is refused", async ({ connected }) => {
  for (const version of ["1.1", "1.2"]) {
    const peer = await connected(version);
    assertEquals(await refused(peer, "SUBSCRIBE\ndestination:/queue/a\n\n\0"), "SUBSCRIBE has no id");
  }
  for (const version of ["1.0", "1.1", "1.2"]) {
    const peer = await connected(version);
    assertEquals(await refused(peer, "SUBSCRIBE\nid:0\n\n\0"), "SUBSCRIBE has no destination");
  }
});

brokerTest("S12-31 SUBSCRIBE with an id in use is refused", async ({ connected }) => {
  const peer = await connected();
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  const message = await refused(peer, "SUBSCRIBE\nid:0\ndestination:/queue/b\n\n\0");
  assertEquals(message, "subscription is already open");
  // The id is free again afterwards, and each connection has separate ids.
  const other = await connected();
  for (let i = 0; i < 3; i++) {
    await other.write("SUBSCRIBE\nid:0\ndestination:/queue/b\n\n\0UNSUBSCRIBE\nid:0\n\n\0");
  }
  assertEquals(await other.framesBeforeReceipt(), []);
});

brokerTest("S12-32 SUBSCRIBE with an unknown ack mode is refused", async ({ connected }) => {
  for (const mode of ["maybe", "Auto", "", "client-individual "]) {
    const peer = await connected();
    const message = await refused(peer, `SUBSCRIBE\nid:0\ndestination:/queue/a\nack:${mode}\n\n\0`);
    assertEquals(message, "unknown ack mode");
  }
});

brokerTest("S12-33 MESSAGE in mode auto is not redelivered", async ({ broker, connected }) => {
  for (const lines of ["", "ack:auto\n"]) {
    const peer = await connected();
    await peer.write(`SUBSCRIBE\nid:0\ndestination:/queue/a\n${lines}\n\0`);
    await peer.write("SEND\ndestination:/queue/a\n\nx\0");
    await peer.frame("MESSAGE");
    await peer.close();
  }
  const peer = await connected();
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 0);
});

for (const version of ["1.0", "1.1", "1.2"]) {
  brokerTest(
    `S12-34 ACK in mode client settles earlier deliveries of the same subscription only (${version})`,
    async (harness) => {
      const peer = await harness.connected(version);
      for (const id of [1, 2]) await peer.write(`SUBSCRIBE\nid:${id}\ndestination:/queue/${id}\nack:client\n\n\0`);
      for (const text of ["1 a", "2 b", "1 c", "1 d"]) {
        await peer.write(`SEND\ndestination:/queue/${text[0]}\n\n${text}\0`);
      }
      const messages = await peer.frames(4, "MESSAGE");
      await peer.write(`ACK\n${ackLines(messages[2]!, version)}\n\0`);
      assertEquals(await peer.framesBeforeReceipt(), []);
      assertEquals(harness.broker.stats.messages, 2);
      await peer.close();

      const heir = await harness.connected();
      await heir.write("SUBSCRIBE\nid:1\ndestination:/queue/1\n\n\0SUBSCRIBE\nid:2\ndestination:/queue/2\n\n\0");
      const inherited = await heir.frames(2, "MESSAGE");
      assertEquals(inherited.map(({ body, get }) => [body, get("redelivered")]).toSorted(), [
        ["1 d", "true"],
        ["2 b", "true"],
      ]);
    },
  );

  brokerTest(`S12-35 ACK in mode client-individual settles one delivery (${version})`, async ({ connected }) => {
    const peer = await connected(version);
    await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n\0");
    for (const text of ["m1", "m2", "m3"]) await peer.write(`SEND\ndestination:/queue/a\n\n${text}\0`);
    const messages = await peer.frames(3, "MESSAGE");
    await peer.write(`ACK\n${ackLines(messages[1]!, version)}receipt:a\n\n\0`);
    await peer.frame("RECEIPT");
    await peer.close();
    const heir = await connected();
    await heir.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
    assertEquals(bodies(await heir.frames(2, "MESSAGE")), "m1 m3");
    assertEquals(await heir.framesBeforeReceipt(), []);
  });
}

brokerTest(
  "S12-36 MESSAGE of a lost connection is redelivered at its old position, marked as redelivered",
  async ({ connected }) => {
    const sender = await connected();
    const first = await connected();
    await first.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\nprefetch-count:3\n\n\0");
    await first.framesBeforeReceipt();
    await send(sender, "/queue/a", "1 2 3 4 5");
    assertEquals(bodies(await first.framesBeforeReceipt()), "1 2 3");
    const second = await connected();
    await second.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\nprefetch-count:1\n\n\0");
    assertEquals(bodies(await second.framesBeforeReceipt()), "4");
    // RST or FIN: the messages are requeued as soon as the broker sees it.
    await first.close();
    const third = await connected();
    await third.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n\0");
    const messages = await third.frames(4, "MESSAGE");
    assertEquals(bodies(messages), "1 2 3 5");
    assertEquals(messages.map(({ get }) => get("redelivered")), ["true", "true", "true", undefined]);
  },
);

brokerTest(
  "S12-37 NACK redelivers one message, or all earlier ones too, at their old positions",
  async ({ connected }) => {
    for (const [mode, again] of [["client", "1 2 3"], ["client-individual", "2 3"]] as const) {
      const peer = await connected();
      await peer.write(`SUBSCRIBE\nid:0\ndestination:/queue/${mode}\nack:${mode}\nprefetch-count:2\n\n\0`);
      for (const text of "123") await peer.write(`SEND\ndestination:/queue/${mode}\n\n${text}\0`);
      const messages = await peer.framesBeforeReceipt();
      assertEquals(bodies(messages), "1 2");
      await peer.write(`NACK\nid:${messages[1]!.get("ack")}\n\n\0`);
      const redelivered = await peer.framesBeforeReceipt();
      assertEquals(redelivered[0]!.get("redelivered"), "true");
      await peer.write(`UNSUBSCRIBE\nid:0\n\n\0SUBSCRIBE\nid:1\ndestination:/queue/${mode}\n\n\0`);
      const rest = await peer.framesBeforeReceipt();
      assertEquals(bodies(rest), mode === "client" ? again : `1 ${again}`);
    }
  },
);

brokerTest("NACK gives the message to another subscriber first", async ({ connected }) => {
  const [one, other, sender] = [await connected("1.1"), await connected(), await connected()];
  for (const peer of [one, other]) {
    await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n\0");
    await peer.framesBeforeReceipt();
  }
  await send(sender, "/queue/a", "x");
  const [message] = await one.framesBeforeReceipt();
  await one.write(`NACK\n${ackLines(message!, "1.1")}\n\0`);
  assertEquals(await one.framesBeforeReceipt(), []);
  const [again] = await other.framesBeforeReceipt();
  assertEquals(again!.get("message-id"), message!.get("message-id"));
  assertEquals(again!.get("redelivered"), "true");
});

brokerTest("NACK drops a message after five redeliveries", async ({ broker, connected }) => {
  const peer = await connected();
  await peer.write(
    "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n\0SEND\ndestination:/queue/a\n\nx\0",
  );
  for (let i = 0; i < 6; i++) await peer.write(`NACK\nid:${(await peer.frame("MESSAGE")).get("ack")}\n\n\0`);
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 0);
});

for (const value of ["False", "FALSE"]) {
  brokerTest(`NACK with requeue:${value} drops the message at once`, async ({ broker, connected }) => {
    const peer = await connected();
    await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n\0SEND\ndestination:/queue/a\n\nx\0");
    await peer.write(`NACK\nid:${(await peer.frame("MESSAGE")).get("ack")}\nrequeue:${value}\n\n\0`);
    assertEquals(await peer.framesBeforeReceipt(), []);
    assertEquals(broker.stats.messages, 0);
  });
}

brokerTest("NACK with requeue:false drops the message at once", async ({ broker, connected }) => {
  const peer = await connected();
  await peer.write(
    "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n\0SEND\ndestination:/queue/a\n\nx\0",
  );
  await peer.write(`NACK\nid:${(await peer.frame("MESSAGE")).get("ack")}\nrequeue:false\n\n\0`);
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 0);
});

brokerTest("S12-38 S11-39 S10-40 ACK without a header that its version needs is refused", async ({ connected }) => {
  for (
    const [version, lines, message] of [
      ["1.2", "message-id:ID\nsubscription:0\n", "ACK has no id"],
      ["1.1", "message-id:ID\n", "ACK has no subscription"],
      ["1.1", "subscription:0\nid:ID\n", "ACK has no message-id"],
      ["1.0", "id:ID\n", "ACK has no message-id"],
    ] as const
  ) {
    const peer = await connected(version);
    await peer.write("SUBSCRIBE\nid:0\ndestination:/topic/a\nack:client-individual\n\n\0");
    await peer.write("SEND\ndestination:/topic/a\n\nx\0");
    const id = (await peer.frame("MESSAGE")).get("message-id")!;
    assertEquals(await refused(peer, `ACK\n${lines.replace("ID", id)}\n\0`), message);
  }
});

brokerTest("S10-40 NACK in 1.0 is refused", async ({ connected }) => {
  assertEquals(await refused(await connected("1.0"), "NACK\nmessage-id:1\n\n\0"), "NACK is unknown");
});

brokerTest("S12-41 ACK or NACK of a message that does not wait for one is refused", async ({ connected }) => {
  const message = "no such message to acknowledge";
  for (const command of ["ACK", "NACK"]) {
    const peer = await connected();
    assertEquals(await refused(peer, `${command}\nid:nosuch\n\n\0`), message);
    const twice = await connected();
    await twice.write("SUBSCRIBE\nid:0\ndestination:/topic/a\nack:client\n\n\0SEND\ndestination:/topic/a\n\nx\0");
    const ack = (await twice.frame("MESSAGE")).get("ack");
    await twice.write(`ACK\nid:${ack}\n\n\0`);
    assertEquals(await refused(twice, `${command}\nid:${ack}\n\n\0`), message);
    const auto = await connected("1.1");
    await auto.write("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0SEND\ndestination:/topic/a\n\nx\0");
    const lines = ackLines(await auto.frame("MESSAGE"), "1.1");
    assertEquals(await refused(auto, `${command}\n${lines}\n\0`), message);
  }
});

brokerTest("S12-41 ACK for a message of an earlier connection is refused", async ({ connected }) => {
  const SUBSCRIBE = "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n\0";
  const peer = await connected();
  await peer.write(`${SUBSCRIBE}SEND\ndestination:/queue/a\n\nx\0`);
  const { get } = await peer.frame("MESSAGE");
  await peer.close();
  const again = await connected();
  await again.write(SUBSCRIBE);
  await again.frame("MESSAGE");
  assertEquals(await refused(again, `ACK\nid:${get("ack")}\n\n\0`), "no such message to acknowledge");
});

brokerTest("S12-42 UNSUBSCRIBE ends deliveries and requeues unacknowledged messages", async ({ connected }) => {
  const peer = await connected();
  const sender = await connected();
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n\0");
  await peer.framesBeforeReceipt();
  await send(sender, "/queue/a", "1 2");
  await peer.frames(2, "MESSAGE");
  await peer.write("UNSUBSCRIBE\nid:0\nreceipt:1\n\n\0");
  await peer.frame("RECEIPT");
  await send(sender, "/queue/a", "3");
  assertEquals(await peer.framesBeforeReceipt(), []);
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  assertEquals(bodies(await peer.framesBeforeReceipt()), "1 2 3");
});

brokerTest("S12-43 UNSUBSCRIBE without id or with an unknown id is refused", async ({ connected }) => {
  for (const version of ["1.1", "1.2"]) {
    const peer = await connected(version);
    await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
    const message = await refused(peer, "UNSUBSCRIBE\ndestination:/queue/a\n\n\0");
    assertEquals(message, "UNSUBSCRIBE has no id");
  }
  for (const version of ["1.0", "1.1", "1.2"]) {
    const peer = await connected(version);
    assertEquals(await refused(peer, "UNSUBSCRIBE\nid:9\n\n\0"), "subscription is not open");
  }
});

brokerTest("S10-44 UNSUBSCRIBE in 1.0 accepts a destination or an id", async ({ broker, connected }) => {
  const peer = await connected("1.0");
  for (
    const [subscribe, unsubscribe] of [
      ["destination:/queue/a", "destination:/queue/a"],
      ["id:0\ndestination:/queue/a", "id:0"],
      ["id:0\ndestination:/queue/a", "destination:/queue/a"],
    ]
  ) {
    await peer.write(`SUBSCRIBE\n${subscribe}\n\n\0SEND\ndestination:/queue/a\n\nx\0`);
    const message = await peer.frame("MESSAGE");
    assertEquals(message.get("subscription"), subscribe!.startsWith("id") ? "0" : undefined);
    await peer.write(`UNSUBSCRIBE\n${unsubscribe}\n\n\0`);
    assertEquals(await peer.framesBeforeReceipt(), []);
    assertEquals(broker.stats.destinations, 0);
  }
  assertEquals(await refused(peer, "UNSUBSCRIBE\n\n\0"), "UNSUBSCRIBE has no id");
});

brokerTest("ACK in 1.0 settles a message of a topic on one subscription at a time", async (harness) => {
  const peer = await harness.connected("1.0");
  for (const id of [1, 2]) await peer.write(`SUBSCRIBE\nid:${id}\ndestination:/topic/a\nack:client\n\n\0`);
  await peer.write("SEND\ndestination:/topic/a\n\nx\0");
  for (const message of await peer.frames(2, "MESSAGE")) await peer.write(`ACK\n${ackLines(message, "1.0")}\n\0`);
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(harness.broker.stats.messages, 0);
});

brokerTest("S10-64 SUBSCRIBE with a selector is refused", async ({ connected }) => {
  for (const version of ["1.0", "1.2"]) {
    const peer = await connected(version);
    const message = await refused(peer, "SUBSCRIBE\nid:0\ndestination:/queue/a\nselector:x=1\n\n\0");
    assertEquals(message, "selectors are not supported");
  }
});

brokerTest("S12-65 SUBSCRIBE with unknown headers ignores them", async ({ connected }) => {
  const peer = await connected();
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nfoo:1\n__proto__:2\ntoString:3\n\n\0");
  await peer.write("SEND\ndestination:/queue/a\n__proto__:2\n\nx\0");
  assertEquals((await peer.frame("MESSAGE")).get("__proto__"), "2");
});

brokerTest(
  "SUBSCRIBE with prefetch-count limits unacknowledged deliveries until ACK or NACK",
  async ({ connected }) => {
    const peer = await connected();
    await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\nprefetch-count:2\n\n\0");
    for (const text of "12345") await peer.write(`SEND\ndestination:/queue/a\n\n${text}\0`);
    const messages = await peer.framesBeforeReceipt();
    assertEquals(bodies(messages), "1 2");
    await peer.write(`ACK\nid:${messages[0]!.get("ack")}\n\n\0`);
    assertEquals(bodies(await peer.framesBeforeReceipt()), "3");
    await peer.write(`NACK\nid:${messages[1]!.get("ack")}\n\n\0`);
    assertEquals(bodies(await peer.framesBeforeReceipt()), "2");
    await peer.write("UNSUBSCRIBE\nid:0\n\n\0");
    assertEquals(await peer.framesBeforeReceipt(), []);
  },
);

brokerTest("SUBSCRIBE with a malformed prefetch-count is refused", async ({ connected }) => {
  for (const value of ["x", "-1", "1.5", ""]) {
    const peer = await connected();
    const message = await refused(peer, `SUBSCRIBE\nid:0\ndestination:/queue/a\nprefetch-count:${value}\n\n\0`);
    assertEquals(message, "malformed prefetch-count");
  }
});
