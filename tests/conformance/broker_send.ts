/** Part S, SEND and MESSAGE, receipts and transactions. */
import { assert, assertEquals, assertNotEquals } from "#assert";
import type { RawFrame } from "../support/raw_peer.ts";
import { ALL, brokerRow, deliver, ESCAPING, refused } from "./harness.ts";

const bodies = (frames: readonly RawFrame[]) => frames.map(({ body }) => body).join(" ");

const SUBSCRIBE = "SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0";
const INDIVIDUAL = "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n\0";
const BEGIN = "BEGIN\ntransaction:t\n\n\0";

/** Returns a SEND to `/queue/a`; each of `lines` ends with LF. */
const send = (body: string, lines = "") => `SEND\ndestination:/queue/a\n${lines}\n${body}\0`;

brokerRow(
  "S12-19",
  "a SEND that cannot be carried out is answered with ERROR, and the connection ends",
  async ({ broker, connect }) => {
    for (const version of ALL) {
      const error = await refused(await connect(version), `SEND\nreceipt:1\n\nx\0${send("behind it")}`);
      assertEquals([error.get("message"), error.get("receipt-id")], ["SEND has no destination", "1"]);
      const other = await refused(await connect(version), send("x", "transaction:nosuch\n"));
      assertEquals(other.get("message"), "transaction is not open");
    }
    assertEquals(broker.stats.messages, 0);
  },
);

brokerRow("S12-20", "the sender's headers are returned", async ({ connect }) => {
  for (const version of ESCAPING) {
    const { lines } = await deliver(
      await connect(version),
      send("hi", "x-a: b \n x\\cy :\nn\\nl:\\\\n\nk\xe9:\u{1f600}\n"),
    );
    for (const line of ["x-a: b ", " x\\cy :", "n\\nl:\\\\n", "k\xe9:\u{1f600}"]) assert(lines.includes(line), line);
  }
});

brokerRow("S12-21", "headers are encoded again for each receiver", async ({ connect }) => {
  const receivers = [];
  for (const version of ALL) {
    const peer = await connect(version);
    await peer.write("SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:0\n\n\0");
    await peer.frame("RECEIPT");
    receivers.push(peer);
  }
  await (await connect("1.2")).write(
    "SEND\ndestination:/topic/a\nboth:a\\nb\\rc\nlf:a\\nb\nco\\clon:c\\c\nb:\\\\n\n\nx\0",
  );
  const expected = [["b:\\n"], ["lf:a\\nb", "co\\clon:c\\c", "b:\\\\n"], [
    "both:a\\nb\\rc",
    "lf:a\\nb",
    "co\\clon:c\\c",
    "b:\\\\n",
  ]];
  for (const [index, peer] of receivers.entries()) {
    const { lines, body } = await peer.frame("MESSAGE");
    assertEquals([lines.slice(3, -1), body], [expected[index]!, "x"]);
    assertEquals(await peer.framesBeforeReceipt(), []);
  }
});

brokerRow("S12-22", "the first of repeated headers decides", async ({ broker, connect }) => {
  for (const version of ALL) {
    const peer = await connect(version);
    await peer.write(SUBSCRIBE.replace("id:0", "id:0\nid:1"));
    await peer.write("SEND\ndestination:/queue/a\ndestination:/b\nreceipt:1\nreceipt:2\n\n\0");
    assertEquals((await peer.frame("RECEIPT")).get("receipt-id"), "1");
    assertEquals((await peer.frame("MESSAGE")).get("subscription"), "0");
    await peer.write("UNSUBSCRIBE\nid:0\n\n\0");
    assertEquals(await peer.framesBeforeReceipt(), []);
  }
  assertEquals(broker.stats.destinations, 0);
});

brokerRow("S12-23", "MESSAGE has the destination of the SEND", async ({ connect }) => {
  for (const version of ALL) {
    assertEquals((await deliver(await connect(version), send("x"))).get("destination"), "/queue/a");
  }
});

brokerRow("S12-24", "MESSAGE has a unique message-id", async ({ connect }) => {
  const ids = new Set<string | undefined>();
  for (const version of ALL) {
    const peer = await connect(version);
    for (let i = 0; i < 3; i++) ids.add((await deliver(peer, send("x"))).get("message-id"));
  }
  assertEquals([ids.size, ids.has(undefined)], [9, false]);
});

brokerRow("S12-25", "MESSAGE has the id of the SUBSCRIBE", async ({ connect }) => {
  for (const version of ESCAPING) {
    const peer = await connect(version);
    await peer.write(`SUBSCRIBE\nid:s\\c1\ndestination:${version}\n\n\0SEND\ndestination:${version}\n\n\0`);
    assertEquals((await peer.frame("MESSAGE")).get("subscription"), "s\\c1");
  }
  const old = await connect("1.0");
  await old.write("SUBSCRIBE\nid:s:1\ndestination:b\n\n\0SUBSCRIBE\ndestination:c\n\n\0");
  await old.write("SEND\ndestination:b\n\n\0SEND\ndestination:c\n\n\0");
  assertEquals((await old.frames(2, "MESSAGE")).map(({ get }) => get("subscription")), ["s:1", undefined]);
});

brokerRow("S12-26", "MESSAGE has ack if it requires an ACK", async ({ connect }) => {
  const peer = await connect("1.2");
  const acks = new Set<string | undefined>();
  for (const mode of ["client", "client-individual", "auto"]) {
    await peer.write(`SUBSCRIBE\nid:${mode}\ndestination:${mode}\nack:${mode}\n\n\0SEND\ndestination:${mode}\n\n\0`);
    acks.add((await peer.frame("MESSAGE")).get("ack"));
  }
  assertEquals([acks.size, [...acks].pop()], [3, undefined]);
});

brokerRow("S12-27", "a sender cannot forge the server's headers", async ({ connect }) => {
  for (const version of ESCAPING) {
    const forged = "subscription:9\nack:Z\nmessage-id:1\nredelivered:true\n";
    const { lines, get } = await deliver(await connect(version), send("x", forged));
    assertEquals([get("subscription"), get("ack"), get("redelivered")], ["0", undefined, undefined]);
    assertNotEquals(get("message-id"), "1");
    assertEquals(lines.filter((line) => /^(subscription|message-id):/.test(line)).length, 2);
  }
});

brokerRow("S12-28", "content-length is correct, and content-type is the sender's", async ({ connect }) => {
  for (const version of ESCAPING) {
    const { get } = await deliver(await connect(version), send("h\xe9", "content-type:text/x;charset=y\n"));
    assertEquals([get("content-length"), get("content-type")], ["3", "text/x;charset=y"]);
  }
});

brokerRow("S12-29", "receipt and transaction are not passed on", async ({ connect }) => {
  for (const version of ESCAPING) {
    const peer = await connect(version);
    await peer.write(`${SUBSCRIBE}${BEGIN}${send("x", "transaction:t\nreceipt:1\n")}COMMIT\ntransaction:t\n\n\0`);
    await peer.frame("RECEIPT");
    const { get } = await peer.frame("MESSAGE");
    assertEquals([get("receipt"), get("transaction")], [undefined, undefined]);
    await peer.write("UNSUBSCRIBE\nid:0\n\n\0");
    await peer.framesBeforeReceipt();
  }
});

brokerRow("S12-45", "each receipt is answered once, with the same text", async ({ connect }) => {
  const frames = (id: string) =>
    `SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:${id}\n\n\0SEND\ndestination:/topic/b\n\n\0` +
    "SEND\ndestination:/topic/b\nreceipt:\n\n\0BEGIN\ntransaction:t\nreceipt:3\n\n\0COMMIT\ntransaction:t\nreceipt:4\n\n\0" +
    "BEGIN\ntransaction:t\nreceipt:5\n\n\0ABORT\ntransaction:t\nreceipt:6\n\n\0UNSUBSCRIBE\nid:0\nreceipt:7\n\n\0";
  for (const [version, id] of [["1.0", "a\\cb:c"], ["1.1", "a\\cb\\n\\\\"], ["1.2", "a\\cb\\r"]] as const) {
    const peer = await connect(version);
    await peer.write(frames(id));
    const receipts = await peer.frames(7, "RECEIPT");
    assertEquals(receipts.map(({ get }) => get("receipt-id")), [id, "", "3", "4", "5", "6", "7"]);
    assertEquals(await peer.framesBeforeReceipt(), []);
  }
});

brokerRow("S12-46", "frames are read in order, and a RECEIPT covers all earlier ones", async ({ broker, connect }) => {
  const peer = await connect("1.2");
  await peer.write(send("1") + send("2", "receipt:2\n") + send("3"));
  assertEquals((await peer.frame("RECEIPT")).get("receipt-id"), "2");
  assert(broker.stats.messages >= 2);
  await peer.write(SUBSCRIBE);
  assertEquals(bodies(await peer.frames(3, "MESSAGE")), "1 2 3");
});

brokerRow("S12-47", "RECEIPT has no body", async ({ connect }) => {
  for (const version of ALL) {
    const peer = await connect(version);
    await peer.write(send("body", "receipt:1\n"));
    const { lines, octets } = await peer.frame("RECEIPT");
    assertEquals([lines, octets.length], [["receipt-id:1"], 0]);
  }
});

brokerRow("S12-48", "a frame that failed gets an ERROR with receipt-id, and no RECEIPT", async ({ connect }) => {
  for (const version of ESCAPING) {
    for (const frame of ["SEND", "SUBSCRIBE\nid:0", "COMMIT\ntransaction:x", "UNSUBSCRIBE\nid:9"]) {
      assertEquals((await refused(await connect(version), `${frame}\nreceipt:a\\c5\n\n\0`)).get("receipt-id"), "a\\c5");
    }
  }
});

brokerRow("S12-49", "the content of a transaction takes effect at COMMIT, all of it", async ({ broker, connect }) => {
  for (const version of ALL) {
    const [peer, reader] = [await connect(version), await connect("1.2")];
    const name = `/queue/${version}`;
    const one = (body: string, lines = "") => `SEND\ndestination:${name}\n${lines}\n${body}\0`;
    await peer.write(BEGIN + one("1", "transaction:t\n") + one("2") + one("3", "transaction:t\n"));
    assertEquals(await peer.framesBeforeReceipt(), []);
    await reader.write(`SUBSCRIBE\nid:0\ndestination:${name}\n\n\0`);
    assertEquals(bodies(await reader.framesBeforeReceipt()), "2");
    await peer.write("COMMIT\ntransaction:t\n\n\0");
    assertEquals(bodies(await reader.frames(2, "MESSAGE")), "1 3");
  }
  const peer = await connect("1.2");
  await peer.write(INDIVIDUAL + send("x"));
  const ack = (await peer.frame("MESSAGE")).get("ack");
  await peer.write(`${BEGIN}ACK\nid:${ack}\ntransaction:t\n\n\0`);
  assertEquals([await peer.framesBeforeReceipt(), broker.stats.messages], [[], 1]);
  await peer.write("COMMIT\ntransaction:t\n\n\0");
  assertEquals([await peer.framesBeforeReceipt(), broker.stats.messages], [[], 0]);
});

brokerRow(
  "S12-50",
  "ABORT drops a transaction, and its messages wait for their ACK again",
  async ({ broker, connect }) => {
    const peer = await connect("1.2");
    await peer.write(INDIVIDUAL + send("x"));
    const ack = (await peer.frame("MESSAGE")).get("ack");
    await peer.write(
      `${BEGIN}ACK\nid:${ack}\ntransaction:t\n\n\0${send("y", "transaction:t\n")}ABORT\ntransaction:t\n\n\0`,
    );
    assertEquals([await peer.framesBeforeReceipt(), broker.stats.messages], [[], 1]);
    await peer.write(`ACK\nid:${ack}\n\n\0`);
    assertEquals([await peer.framesBeforeReceipt(), broker.stats.messages], [[], 0]);
  },
);

brokerRow(
  "S12-51",
  "a transaction that is unknown, unnamed or already open is answered with ERROR",
  async ({ broker, connect }) => {
    for (const version of ALL) {
      for (
        const [data, message] of [
          ["BEGIN\n\n\0", "BEGIN has no transaction"],
          [BEGIN + BEGIN, "transaction is already open"],
          ["COMMIT\ntransaction:nosuch\n\n\0", "transaction is not open"],
          ["ABORT\ntransaction:nosuch\n\n\0", "transaction is not open"],
          ["COMMIT\n\n\0", "COMMIT has no transaction"],
          ["ABORT\n\n\0", "ABORT has no transaction"],
          [`${BEGIN}COMMIT\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0`, "transaction is not open"],
          [send("x", "transaction:nosuch\n"), "transaction is not open"],
          ["ACK\nid:1\nmessage-id:1\nsubscription:0\ntransaction:nosuch\n\n\0", "transaction is not open"],
        ] as const
      ) assertEquals((await refused(await connect(version), data)).get("message"), message);
    }
    assertEquals(broker.stats.messages, 0);
  },
);

brokerRow("S12-52", "the end of a connection aborts its transactions", async ({ broker, connect }) => {
  for (const version of ESCAPING) {
    const peer = await connect(version);
    await peer.write(`${BEGIN}${send("x", "transaction:t\n")}DISCONNECT\nreceipt:1\n\n\0`);
    await peer.frame("RECEIPT");
    await peer.ended();
    const lost = await connect(version);
    await lost.write(BEGIN + send("x", "transaction:t\n"));
    await lost.finish();
    await lost.ended();
  }
  const reader = await connect();
  await reader.write(SUBSCRIBE);
  assertEquals([await reader.framesBeforeReceipt(), broker.stats.messages], [[], 0]);
});

brokerRow("S12-63", "any name is a destination, and only /topic/ is special", async ({ connect }) => {
  const peer = await connect("1.2");
  for (const name of ["a b\\cc", "//a b/../c", "queue", "/Topic/x", "/topic", " ", "\u{1f600}", "*", "/queue/>"]) {
    await peer.write(`SEND\ndestination:${name}\n\n${name}\0SUBSCRIBE\nid:${name}\ndestination:${name}\n\n\0`);
    const { get, body } = await peer.frame("MESSAGE");
    assertEquals([get("destination"), body], [name, name]);
  }
});
