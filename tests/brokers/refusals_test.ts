/**
 * What a broker refuses of a client that is connected: the call that caused it rejects with the broker's own words, and
 * nothing else is disturbed.
 */
import { assertEquals, assertMatch, assertRejects } from "#assert";
import { AcknowledgeError, BrokerErrorResponse, ConnectionError, SubscriptionError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { openSocket } from "../../session/open_socket.ts";
import { Stomp } from "../../client/stomp.ts";
import { type BrokerName, eventually, type Harness, once, take, takeTexts, VERSIONS } from "./support.ts";

/** Whether the broker closes the connection after its ERROR. */
type Closes = Partial<Record<BrokerName, boolean>>;

/**
 * Registers a test of a call that the broker refuses on a connection that is otherwise in use: the call rejects with
 * those words. Nothing happens to another connection; on this one nothing that the broker does not do, and after that
 * its subscriptions and sends go on.
 */
function refused(
  name: string,
  { closes, words, own = false, versions }: {
    closes: Closes;
    words: RegExp;
    own?: boolean;
    versions?: readonly ("1.0" | "1.1" | "1.2")[];
  },
  call: (stomp: Stomp, harness: Harness) => Promise<unknown>,
): void {
  for (const [broker, isClosed] of Object.entries(closes) as [BrokerName, boolean][]) {
    once(name, {
      broker,
      own,
      versions: versions ?? VERSIONS,
      async fn(harness) {
        const [stomp, other] = [await harness.connect({ reconnect: {} }), await harness.connect()];
        const [mine, theirs] = [await stomp.subscribe(harness.queue()), await other.subscribe(harness.queue())];
        const events: string[] = [];
        const statuses = stomp.status();
        const watching = (async () => {
          for await (const { type } of statuses) events.push(type);
        })();
        const error = await assertRejects(() => call(stomp, harness), BrokerErrorResponse);
        assertMatch(error.message, words);
        assertEquals(error.frame?.command, "ERROR");
        if (isClosed) await eventually("the broker has closed", () => events.includes("disconnected"));
        await stomp.send(mine.destination, "go on");
        assertEquals(await takeTexts(mine, 1), ["go on"]);
        await other.send(theirs.destination, "go on");
        assertEquals(await takeTexts(theirs, 1), ["go on"]);
        assertEquals(events.filter((type) => type === "disconnected").length, isClosed ? 1 : 0);
        assertEquals(stomp.pending, 0);
        await stomp.disconnect();
        await watching;
      },
    });
  }
}

refused("a body over the broker's limit", {
  closes: { rabbitmq: true, activemq: true },
  words: /larger than configured max size|maximum frame size was exceeded/,
  own: true,
}, (stomp, { own, queue }) => stomp.send(queue(), new Uint8Array(own.maxBodyBytes + 1000)));

refused("a subscription to a missing exchange", {
  closes: { rabbitmq: true },
  words: /NOT_FOUND - no exchange 'nosuch'/,
}, (stomp) => stomp.subscribe("/exchange/nosuch/key"));

refused("a message for a missing exchange", {
  closes: { rabbitmq: true },
  words: /NOT_FOUND - no exchange 'nosuch'/,
}, (stomp) => stomp.send("/exchange/nosuch/key", "x"));

refused("a subscription to a missing queue", {
  closes: { rabbitmq: true },
  words: /NOT_FOUND - no queue 'nosuch'/,
}, (stomp) => stomp.subscribe("/amq/queue/nosuch"));

refused("a destination of no known kind", {
  closes: { rabbitmq: false },
  words: /Unknown destination|not a valid destination|unknown/i,
}, (stomp) => stomp.send("/nosuch/thing", "x"));

refused("a header that the broker keeps for itself", {
  closes: { rabbitmq: false },
  words: /'message-id' is not allowed on 'SEND'/,
}, (stomp, { queue }) => stomp.send(queue(), "x", { headers: { "message-id": "1" } }));

refused("a queue that is of another kind already", {
  closes: { rabbitmq: true },
  words: /PRECONDITION_FAILED - inequivalent arg 'x-queue-type'/,
}, async (stomp, { connect, queue }) => {
  const destination = queue();
  const owner = await connect();
  const headers = { "x-queue-type": "quorum", "durable": "true", "auto-delete": "false" };
  await owner.send(destination, "x", { headers });
  return await stomp.send(destination, "x");
});

refused("a selector that makes no sense", {
  closes: { activemq: false },
  words: /InvalidSelectorException/,
}, (stomp, { queue }) => stomp.subscribe(queue(), { selector: "colour = = 'red'" }));

refused("a transaction that the broker does not know", {
  closes: { rabbitmq: false, activemq: false },
  words: /Invalid transaction id/,
}, (stomp) => stomp.sendFrame(frame("COMMIT", { transaction: "nosuch", receipt: "of nothing" })));

refused("a second transaction of the same id", { // RabbitMQ takes it for the first
  closes: { activemq: false },
  words: /transaction was all?ready started/i,
}, async (stomp) => {
  await stomp.begin({ transaction: "twice" });
  await stomp.sendFrame(frame("BEGIN", { transaction: "twice", receipt: "of twice" }));
});

once("who may only receive is told so, and may still receive", {
  own: true,
  versions: VERSIONS,
  async fn({ own, connect, queue, broker }) {
    const destination = queue();
    const [sender, reader] = [await connect(), await connect({ ...own.reader, reconnect: {} })];
    // In mode auto, what RabbitMQ sends over a connection that is about to end is lost.
    const subscription = await reader.subscribe(destination, { ack: "client" });
    const error = await assertRejects(() => reader.send(destination, "never"), BrokerErrorResponse);
    const words = { rabbitmq: /ACCESS_REFUSED/, activemq: /User reader is not authorized to write/ };
    assertMatch(error.message, words[broker.name]);
    // Without a receipt nobody is told, and the message is not there.
    await reader.send(destination, "neither", { receipt: false }).catch(() => {});
    await sender.send(destination, "allowed");
    assertEquals(await takeTexts(subscription, 1), ["allowed"]);
  },
});

once("a subscription id that is in use is refused by the client, and nothing is sent", async ({ connect, queue }) => {
  const stomp = await connect();
  const first = await stomp.subscribe(queue(), { id: "one" });
  const error = await assertRejects(() => stomp.subscribe(queue(), { id: "one" }), SubscriptionError);
  assertMatch(error.message, /the id one is in use/);
  await stomp.send(first.destination, "undisturbed");
  assertEquals(await takeTexts(first, 1), ["undisturbed"]);
});

once("RabbitMQ answers a subscription id used twice with ERROR, then RECEIPT, and closes", {
  broker: "rabbitmq",
  versions: VERSIONS,
  async fn({ broker, url, queue }) {
    const sock = await openSocket(url);
    try {
      const talk = new Frame();
      await talk.connect(sock, { username: broker.username, password: broker.password });
      const subscribe = () => frame("SUBSCRIBE", { id: "two", destination: queue(), receipt: `of ${Math.random()}` });
      assertEquals((await talk.sendFrame(subscribe()))?.command, "RECEIPT");
      const error = await assertRejects(() => talk.sendFrame(subscribe()), BrokerErrorResponse);
      assertMatch(error.message, /Duplicated subscription identifier/);
      assertEquals((await talk.parseFrame({ timeout: 5000 }))?.command, "RECEIPT");
      await assertRejects(() => talk.parseFrame({ timeout: 5000 }), ConnectionError);
    } finally {
      await sock.close();
    }
  },
});

once("a message that was acknowledged is not acknowledged again, and nothing is sent", async ({ connect, queue }) => {
  const stomp = await connect();
  const subscription = await stomp.subscribe(queue(), { ack: "client-individual" });
  await stomp.send(subscription.destination, "one");
  const [message] = await take(subscription, 1);
  await message!.ack();
  await assertRejects(() => message!.ack(), AcknowledgeError);
  await assertRejects(() => message!.nack(), AcknowledgeError);
  await stomp.send(subscription.destination, "two");
  assertEquals(await takeTexts(subscription, 1), ["two"]);
});

refused("a message that is acknowledged twice by hand", {
  closes: { activemq: false },
  words: /Unexpected ACK received for message-id/,
  versions: ["1.2"],
}, async (stomp, { queue }) => {
  const id = await acknowledgeByHand(stomp, queue());
  await stomp.sendFrame(frame("ACK", { id, receipt: "of the second" }));
});

once("RabbitMQ confirms a second acknowledgement and closes, and the client goes on", {
  broker: "rabbitmq",
  async fn({ connect, queue }) {
    const stomp = await connect({ reconnect: {} });
    const mine = await stomp.subscribe(queue());
    const errors: string[] = [];
    const statuses = stomp.status();
    const watching = (async () => {
      for await (const status of statuses) if (status.type === "disconnected") errors.push(status.error.message);
    })();
    const id = await acknowledgeByHand(stomp, queue());
    await stomp.sendFrame(frame("ACK", { id, receipt: "of the second" })).catch((error) => {
      // The RECEIPT comes first, so it should not be here.
      throw new Error(`The second ACK was refused: ${error.message}`);
    });
    await eventually("the broker has closed", () => errors.length > 0);
    assertMatch(errors[0]!, /unknown delivery tag/);
    await stomp.send(mine.destination, "go on");
    assertEquals(await takeTexts(mine, 1), ["go on"]);
    await stomp.disconnect();
    await watching;
  },
});

function frame(command: string, headers: Record<string, string>): Frame {
  return new Frame().buildFrame({ command, headers });
}

/** Receives a message and acknowledges it past the client, which therefore does not know. Returns its `ack` header. */
async function acknowledgeByHand(stomp: Stomp, destination: string): Promise<string> {
  const subscription = await stomp.subscribe(destination, { ack: "client-individual" });
  await stomp.send(destination, "one");
  const [message] = await take(subscription, 1);
  const id = message!.headers["ack"]!;
  await stomp.sendFrame(frame("ACK", { id, receipt: "of the first" }));
  return id;
}
