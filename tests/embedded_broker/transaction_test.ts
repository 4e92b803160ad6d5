/**
 * Transactions at the embedded broker. Test names begin with the row of the conformance checklist.
 */
import { assertEquals } from "#assert";
import { brokerTest } from "../support/broker_harness.ts";
import type { RawFrame, RawPeer } from "../support/raw_peer.ts";

const bodies = (frames: readonly RawFrame[]) => frames.map(({ body }) => body).join(" ");

const SUBSCRIBE = "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n\0";
const send = (text: string, lines = "") => `SEND\ndestination:/queue/a\n${lines}\n${text}\0`;

/** Sends messages, and returns their ack ids after the peer has received them. */
async function receiveUnacknowledged(peer: RawPeer, texts: string, mode = "client-individual"): Promise<string[]> {
  await peer.write(SUBSCRIBE.replace("client-individual", mode));
  for (const text of texts) await peer.write(send(text));
  const messages = await peer.framesBeforeReceipt();
  assertEquals(bodies(messages), [...texts].join(" "));
  return messages.map(({ get }) => get("ack")!);
}

brokerTest("S12-49 SEND in a transaction takes effect at COMMIT, together and in order", async ({ connected }) => {
  const peer = await connected();
  await peer.write(SUBSCRIBE);
  await peer.write(
    `BEGIN\ntransaction:t\n\n\0${send("1", "transaction:t\n")}${send("2", "transaction:t\n")}${send("3")}`,
  );
  assertEquals(bodies(await peer.framesBeforeReceipt()), "3");
  await peer.write("COMMIT\ntransaction:t\n\n\0");
  assertEquals(bodies(await peer.framesBeforeReceipt()), "1 2");
});

brokerTest("S12-49 SEND in a transaction gets its RECEIPT at once", async ({ connected }) => {
  const peer = await connected();
  await peer.write(`BEGIN\ntransaction:t\n\n\0${send("1", "transaction:t\nreceipt:r\n")}`);
  assertEquals((await peer.frame("RECEIPT")).get("receipt-id"), "r");
});

brokerTest("S12-49 ACK in a transaction takes effect at COMMIT", async ({ broker, connected }) => {
  const peer = await connected();
  const [one, two, three] = await receiveUnacknowledged(peer, "123");
  await peer.write(
    `BEGIN\ntransaction:t\n\n\0ACK\nid:${one}\ntransaction:t\n\n\0ACK\nid:${three}\ntransaction:t\n\n\0`,
  );
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 3);
  await peer.write("COMMIT\ntransaction:t\n\n\0");
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 1);
  await peer.write(`ACK\nid:${two}\n\n\0`);
  await peer.framesBeforeReceipt();
  assertEquals(broker.stats.messages, 0);
});

brokerTest("S12-49 NACK in a transaction takes effect at COMMIT", async ({ connected }) => {
  const peer = await connected();
  const [one] = await receiveUnacknowledged(peer, "1");
  await peer.write(`BEGIN\ntransaction:t\n\n\0NACK\nid:${one}\ntransaction:t\n\n\0`);
  assertEquals(await peer.framesBeforeReceipt(), []);
  await peer.write("COMMIT\ntransaction:t\n\n\0");
  assertEquals((await peer.frame("MESSAGE")).get("redelivered"), "true");
});

brokerTest("S12-49 ACK in a transaction does not free the prefetch before COMMIT", async ({ connected }) => {
  const peer = await connected();
  await peer.write(SUBSCRIBE.replace("\n\n", "\nprefetch-count:1\n\n"));
  await peer.write(send("1") + send("2"));
  const [one] = await peer.framesBeforeReceipt();
  await peer.write(`BEGIN\ntransaction:t\n\n\0ACK\nid:${one!.get("ack")}\ntransaction:t\n\n\0`);
  assertEquals(await peer.framesBeforeReceipt(), []);
  await peer.write("COMMIT\ntransaction:t\n\n\0");
  assertEquals(bodies(await peer.framesBeforeReceipt()), "2");
});

brokerTest("S12-50 ABORT drops messages and reopens deliveries", async ({ broker, connected }) => {
  const peer = await connected();
  const acks = await receiveUnacknowledged(peer, "1234", "client");
  await peer.write(`BEGIN\ntransaction:t\n\n\0ACK\nid:${acks[1]}\ntransaction:t\n\n\0${send("x", "transaction:t\n")}`);
  await peer.write("ABORT\ntransaction:t\n\n\0");
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 4);
  // The deliveries keep their order: the third covers the first three.
  await peer.write(`ACK\nid:${acks[2]}\n\n\0`);
  assertEquals(await peer.framesBeforeReceipt(), []);
  assertEquals(broker.stats.messages, 1);
  await peer.write(`ACK\nid:${acks[3]}\n\n\0`);
  await peer.framesBeforeReceipt();
  assertEquals(broker.stats.destinations, 1);
  assertEquals(broker.stats.messages, 0);
});

for (const mode of ["client", "client-individual"]) {
  brokerTest(
    `S12-50 ACK after an aborted ACK frees the prefetch in mode ${mode}`,
    async ({ broker, connected }) => {
      const peer = await connected();
      await peer.write(SUBSCRIBE.replace("client-individual", mode).replace("\n\n", "\nprefetch-count:1\n\n"));
      for (let round = 0; round < 3; round++) {
        await peer.write(send(`${round}`) + send("next"));
        const id = (await peer.frame("MESSAGE")).get("ack");
        await peer.write(`BEGIN\ntransaction:t\n\n\0ACK\nid:${id}\ntransaction:t\n\n\0ABORT\ntransaction:t\n\n\0`);
        assertEquals(await peer.framesBeforeReceipt(), []); // the transaction holds it, and it counts towards the prefetch
        await peer.write(`ACK\nid:${id}\n\n\0`);
        const next = await peer.frame("MESSAGE");
        assertEquals([next.body, next.get("redelivered")], ["next", undefined]);
        await peer.write(`ACK\nid:${next.get("ack")}\n\n\0`);
        await peer.framesBeforeReceipt();
        assertEquals(broker.stats.messages, 0);
      }
    },
  );
}

brokerTest("S12-50 ABORT after UNSUBSCRIBE requeues the messages", async ({ connected }) => {
  const peer = await connected();
  const acks = await receiveUnacknowledged(peer, "12");
  await peer.write(`BEGIN\ntransaction:t\n\n\0ACK\nid:${acks[0]}\ntransaction:t\n\n\0UNSUBSCRIBE\nid:0\n\n\0`);
  const other = await connected();
  await other.write(SUBSCRIBE);
  // The second was requeued at once, the first stays with the transaction.
  await peer.framesBeforeReceipt();
  assertEquals(bodies(await other.framesBeforeReceipt()), "2");
  await peer.write("ABORT\ntransaction:t\n\n\0");
  await peer.framesBeforeReceipt();
  assertEquals(bodies(await other.framesBeforeReceipt()), "1");
});

brokerTest("S12-51 a transaction that is unnamed, already open or not open is refused", async ({ connected }) => {
  for (
    const [frames, message] of [
      ["BEGIN\n\n\0", "BEGIN has no transaction"],
      ["COMMIT\n\n\0", "COMMIT has no transaction"],
      ["ABORT\n\n\0", "ABORT has no transaction"],
      ["BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0", "transaction is already open"],
      ["COMMIT\ntransaction:nosuch\n\n\0", "transaction is not open"],
      ["ABORT\ntransaction:nosuch\n\n\0", "transaction is not open"],
      [send("x", "transaction:nosuch\n"), "transaction is not open"],
      ["ACK\nid:1\ntransaction:nosuch\n\n\0", "transaction is not open"],
      ["BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0ABORT\ntransaction:t\n\n\0", "transaction is not open"],
    ] as const
  ) {
    const peer = await connected();
    await peer.write(frames);
    assertEquals((await peer.refusal()).get("message"), message);
  }
});

brokerTest(
  "S12-51 BEGIN may reuse a name after COMMIT or ABORT, and on another connection",
  async ({ connected }) => {
    const [peer, other] = [await connected(), await connected()];
    for (const one of [peer, other]) await one.write("BEGIN\ntransaction:a\n\n\0BEGIN\ntransaction:b\n\n\0");
    for (const end of ["COMMIT", "ABORT", "COMMIT"]) {
      await peer.write(`${end}\ntransaction:a\n\n\0BEGIN\ntransaction:a\n\n\0`);
    }
    assertEquals(await peer.framesBeforeReceipt(), []);
    assertEquals(await other.framesBeforeReceipt(), []);
  },
);

for (
  const [how, leave] of [
    ["DISCONNECT", (peer: RawPeer) => peer.write("DISCONNECT\n\n\0").then(() => peer.ended())],
    ["FIN", (peer: RawPeer) => peer.finish().then(() => peer.ended())],
    ["RST or FIN", (peer: RawPeer) => peer.close()],
    ["an ERROR", (peer: RawPeer) => peer.write("FOO\n\n\0").then(() => peer.refusal())],
  ] as const
) {
  brokerTest(`S12-52 ${how} aborts open transactions`, async ({ connected }) => {
    const peer = await connected();
    const acks = await receiveUnacknowledged(peer, "12");
    await peer.write(
      `BEGIN\ntransaction:t\n\n\0${send("x", "transaction:t\n")}ACK\nid:${acks[0]}\ntransaction:t\n\n\0`,
    );
    await peer.framesBeforeReceipt();
    await leave(peer);
    const heir = await connected();
    await heir.write(SUBSCRIBE);
    const messages = await heir.frames(2, "MESSAGE");
    assertEquals(bodies(messages), "1 2");
    assertEquals(await heir.framesBeforeReceipt(), []);
  });
}
