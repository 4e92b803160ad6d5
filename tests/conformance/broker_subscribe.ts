/** Part S, subscriptions: SUBSCRIBE, ACK, NACK and UNSUBSCRIBE. */
import { assertEquals } from "#assert";
import type { RawFrame, RawPeer } from "../support/raw_peer.ts";
import { ALL, type BrokerRow, brokerRow, ESCAPING, refused } from "./harness.ts";

const bodies = (frames: readonly RawFrame[]) => frames.map(({ body }) => body).join(" ");

const subscribe = (name: string, mode = "auto", id = "0") =>
  `SUBSCRIBE\nid:${id}\ndestination:${name}\nack:${mode}\n\n\0`;

const send = (name: string, ...texts: string[]) =>
  texts.map((text) => `SEND\ndestination:${name}\n\n${text}\0`).join("");

/** Returns an ACK or NACK of a message, as the version requires. */
function answer(command: string, version: string, { get }: RawFrame): string {
  const lines: Record<string, string> = {
    "1.0": `message-id:${get("message-id")}`,
    "1.1": `subscription:${get("subscription")}\nmessage-id:${get("message-id")}`,
    "1.2": `id:${get("ack")}`,
  };
  return `${command}\n${lines[version]}\n\n\0`;
}

/** Ends a connection, and waits until the broker has seen it. */
async function disconnect({ broker }: BrokerRow, peer: RawPeer): Promise<void> {
  const { peers } = broker.stats;
  await peer.close();
  while (broker.stats.peers >= peers) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Returns what a new subscriber of a destination gets. */
async function remaining({ connect }: BrokerRow, name: string): Promise<string> {
  const peer = await connect();
  await peer.write(subscribe(name));
  return bodies(await peer.framesBeforeReceipt());
}

brokerRow("S12-30", "a SUBSCRIBE without destination or id is answered with ERROR", async ({ connect }) => {
  for (const version of ALL) {
    const error = await refused(await connect(version), "SUBSCRIBE\nid:0\n\n\0");
    assertEquals(error.get("message"), "SUBSCRIBE has no destination");
  }
  for (const version of ESCAPING) {
    const error = await refused(await connect(version), "SUBSCRIBE\ndestination:/q\n\n\0");
    assertEquals(error.get("message"), "SUBSCRIBE has no id");
  }
});

brokerRow("S12-31", "an id that is open is refused, and is free again afterwards", async ({ connect }) => {
  for (const version of ALL) {
    const error = await refused(await connect(version), subscribe("/a") + subscribe("/b"));
    assertEquals(error.get("message"), "subscription is already open");
    const peer = await connect(version);
    await peer.write(`${subscribe("/a")}UNSUBSCRIBE\nid:0\n\n\0${subscribe("/b")}`);
    assertEquals(await peer.framesBeforeReceipt(), []);
  }
});

brokerRow("S12-32", "ack is auto by default, and nothing other than the three modes", async ({ broker, connect }) => {
  for (const version of ESCAPING) {
    for (const mode of ["maybe", "Auto", "", " auto", "client "]) {
      const error = await refused(await connect(version), subscribe("/q", mode));
      assertEquals(error.get("message"), "unknown ack mode");
    }
    const peer = await connect(version);
    await peer.write(`SUBSCRIBE\nid:0\ndestination:${version}\n\n\0${send(version, "x")}`);
    await peer.frame("MESSAGE");
    assertEquals(broker.stats.messages, 0);
  }
});

brokerRow("S12-33", "auto: a message that was sent is not sent again", async (harness) => {
  for (const version of ALL) {
    const peer = await harness.connect(version);
    await peer.write(subscribe(version) + send(version, "x"));
    await peer.frame("MESSAGE");
    await disconnect(harness, peer);
    assertEquals(await remaining(harness, version), "");
  }
});

brokerRow("S12-34", "client: ACK settles the earlier messages of the same subscription", async (harness) => {
  for (const version of ALL) {
    const [one, two] = [`${version} one`, `${version} two`];
    const peer = await harness.connect(version);
    await peer.write(subscribe(one, "client", "1") + subscribe(two, "client", "2"));
    await peer.write(send(one, "m1") + send(two, "m2") + send(one, "m3", "m4"));
    const messages = await peer.frames(4, "MESSAGE");
    await peer.write(answer("ACK", version, messages[2]!));
    assertEquals(await peer.framesBeforeReceipt(), []);
    await disconnect(harness, peer);
    assertEquals([await remaining(harness, one), await remaining(harness, two)], ["m4", "m2"]);
  }
});

brokerRow("S12-35", "client-individual: ACK and NACK settle one message", async (harness) => {
  for (const version of ESCAPING) {
    const peer = await harness.connect(version);
    await peer.write(subscribe(version, "client-individual") + send(version, "m1", "m2", "m3", "m4"));
    const messages = await peer.frames(4, "MESSAGE");
    await peer.write(answer("ACK", version, messages[1]!));
    await peer.write(answer("NACK", version, messages[2]!).replace("\n\n", "\nrequeue:false\n\n"));
    assertEquals(await peer.framesBeforeReceipt(), []);
    await disconnect(harness, peer);
    assertEquals(await remaining(harness, version), "m1 m4");
  }
});

brokerRow("S12-36", "the messages of a lost connection go to another, marked as redelivered", async (harness) => {
  for (const version of ESCAPING) {
    const peer = await harness.connect(version);
    await peer.write(subscribe(version, "client") + send(version, "m1", "m2"));
    await peer.frames(2, "MESSAGE");
    const heir = await harness.connect(version);
    await heir.write(subscribe(version));
    assertEquals(await heir.framesBeforeReceipt(), []);
    await disconnect(harness, peer);
    const messages = await heir.frames(2, "MESSAGE");
    assertEquals(messages.map(({ body, get }) => [body, get("redelivered")]), [["m1", "true"], ["m2", "true"]]);
  }
});

brokerRow("S12-37", "NACK returns one message, or in mode client all earlier ones, too", async (harness) => {
  for (const version of ESCAPING) {
    for (const [mode, again] of [["client", "m1 m2"], ["client-individual", "m2"]] as const) {
      const name = `${version} ${mode}`;
      const peer = await harness.connect(version);
      await peer.write(subscribe(name, mode) + send(name, "m1", "m2", "m3"));
      const messages = await peer.frames(3, "MESSAGE");
      await peer.write(answer("NACK", version, messages[1]!));
      assertEquals(bodies(await peer.framesBeforeReceipt()), again);
    }
  }
});

brokerRow("S12-38", "1.2: ACK and NACK are read from id alone", async ({ connect }) => {
  for (const command of ["ACK", "NACK"]) {
    const peer = await connect("1.2");
    await peer.write(subscribe("/topic/a", "client") + send("/topic/a", "x"));
    const id = (await peer.frame("MESSAGE")).get("message-id");
    const error = await refused(peer, `${command}\nsubscription:0\nmessage-id:${id}\n\n\0`);
    assertEquals(error.get("message"), `${command} has no id`);
  }
});

brokerRow("S11-39", "1.1: ACK and NACK are read from subscription and message-id", async ({ connect }) => {
  for (const command of ["ACK", "NACK"]) {
    for (const [lines, missing] of [["message-id:ID", "subscription"], ["subscription:0\nid:ID", "message-id"]]) {
      const peer = await connect("1.1");
      await peer.write(subscribe("/topic/a", "client") + send("/topic/a", "x"));
      const id = (await peer.frame("MESSAGE")).get("message-id")!;
      const error = await refused(peer, `${command}\n${lines!.replace("ID", id)}\n\n\0`);
      assertEquals(error.get("message"), `${command} has no ${missing}`);
    }
  }
});

brokerRow("S10-40", "1.0: ACK is read from message-id, and NACK is unknown", async ({ broker, connect }) => {
  const peer = await connect("1.0");
  await peer.write(subscribe("/queue/a", "client") + send("/queue/a", "x"));
  await peer.write(answer("ACK", "1.0", await peer.frame("MESSAGE")));
  assertEquals([await peer.framesBeforeReceipt(), broker.stats.messages], [[], 0]);
  assertEquals((await refused(peer, "NACK\nmessage-id:1\n\n\0")).get("message"), "NACK is unknown");
});

brokerRow("S12-41", "an ACK for a message that does not wait for one is answered with ERROR", async ({ connect }) => {
  for (const version of ALL) {
    const unknown = "ACK\nid:nosuch\nmessage-id:nosuch\nsubscription:0\n\n\0";
    const error = await refused(await connect(version), unknown);
    assertEquals(error.get("message"), "no such message to acknowledge");
    const peer = await connect(version);
    await peer.write(subscribe("/topic/a", "client") + send("/topic/a", "x"));
    const ack = answer("ACK", version, await peer.frame("MESSAGE"));
    assertEquals((await refused(peer, ack + ack)).get("message"), "no such message to acknowledge");
  }
});

brokerRow("S12-42", "after UNSUBSCRIBE there are no more messages", async (harness) => {
  for (const version of ALL) {
    const peer = await harness.connect(version);
    await peer.write(`${subscribe(version)}UNSUBSCRIBE\nid:0\nreceipt:1\n\n\0${send(version, "x")}`);
    await peer.frame("RECEIPT");
    assertEquals(await peer.framesBeforeReceipt(), []);
    assertEquals(await remaining(harness, version), "x");
  }
});

brokerRow(
  "S12-43",
  "UNSUBSCRIBE without id, or with one that is not open, is answered with ERROR",
  async ({ connect }) => {
    for (const version of ESCAPING) {
      const peer = await connect(version);
      await peer.write(subscribe("/q"));
      const error = await refused(peer, "UNSUBSCRIBE\ndestination:/q\n\n\0");
      assertEquals(error.get("message"), "UNSUBSCRIBE has no id");
      const other = await refused(await connect(version), "UNSUBSCRIBE\nid:9\n\n\0");
      assertEquals(other.get("message"), "subscription is not open");
    }
  },
);

brokerRow("S10-44", "1.0: UNSUBSCRIBE takes destination or id", async ({ broker, connect }) => {
  const peer = await connect("1.0");
  for (const [made, ended] of [["", "destination:/q"], ["id:0\n", "id:0"], ["id:0\n", "destination:/q"]]) {
    await peer.write(`SUBSCRIBE\n${made}destination:/q\n\n\0${send("/q", "x")}`);
    await peer.frame("MESSAGE");
    await peer.write(`UNSUBSCRIBE\n${ended}\n\n\0`);
    assertEquals([await peer.framesBeforeReceipt(), broker.stats.destinations], [[], 0]);
  }
});

brokerRow("S10-64", "a selector is refused", async ({ connect }) => {
  for (const version of ALL) {
    const data = "SUBSCRIBE\nid:0\ndestination:/q\nselector:x=1\n\n\0";
    assertEquals((await refused(await connect(version), data)).get("message"), "selectors are not supported");
  }
});

brokerRow("S12-65", "headers that the broker does not know are not errors", async ({ connect }) => {
  for (const version of ALL) {
    const peer = await connect(version, "foo:1\n");
    await peer.write(`SUBSCRIBE\nid:0\ndestination:${version}\nfoo:1\n__proto__:2\n\n\0`);
    await peer.write(`SEND\ndestination:${version}\nfoo:1\n\n\0`);
    assertEquals((await peer.frame("MESSAGE")).get("foo"), "1");
  }
});
