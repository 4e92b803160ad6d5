/**
 * Frames that the broker refuses: the call that sent the frame rejects with the broker's message, and nothing else is
 * affected.
 */
import { assertEquals, assertMatch, assertRejects } from "#assert";
import { AcknowledgeError, BrokerErrorResponse, ConnectionError, SubscriptionError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { openSocket } from "../../session/open_socket.ts";
import { Stomp } from "../../api/stomp.ts";
import { eventually, type Family, type Harness, once, take, takeTexts, VERSIONS } from "./support.ts";

/** Whether the broker closes the connection after its ERROR. */
type Closes = Partial<Record<Family, boolean>>;

/**
 * Registers a test of a call that the broker refuses: it rejects with the given words. Other connections are unaffected.
 * On the same connection, which is lost only if the broker closes it, subscriptions and sends continue.
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
  for (const [broker, isClosed] of Object.entries(closes) as [Family, boolean][]) {
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
        if (isClosed) await eventually("the connection is closed", () => events.includes("disconnected"));
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

refused("`send()` rejects for a body over the broker's limit", {
  closes: { rabbitmq: true, activemq: true },
  words: /larger than configured max size|maximum frame size was exceeded/,
  own: true,
}, (stomp, { own, queue }) => stomp.send(queue(), new Uint8Array(own.maxBodyBytes + 1000)));

refused("`subscribe()` rejects for a missing exchange", {
  closes: { rabbitmq: true },
  words: /NOT_FOUND - no exchange 'nosuch'/,
}, (stomp) => stomp.subscribe("/exchange/nosuch/key"));

refused("`send()` rejects for a missing exchange", {
  closes: { rabbitmq: true },
  words: /NOT_FOUND - no exchange 'nosuch'/,
}, (stomp) => stomp.send("/exchange/nosuch/key", "x"));

refused("`subscribe()` rejects for a missing queue", {
  closes: { rabbitmq: true },
  words: /NOT_FOUND - no queue 'nosuch'/,
}, (stomp) => stomp.subscribe("/amq/queue/nosuch"));

refused("`send()` rejects for an unknown kind of destination", {
  closes: { rabbitmq: false },
  words: /Unknown destination|not a valid destination|unknown/i,
}, (stomp) => stomp.send("/nosuch/thing", "x"));

refused("`send()` rejects for a header that is reserved for the broker", {
  closes: { rabbitmq: false },
  words: /'message-id' is not allowed on 'SEND'/,
}, (stomp, { queue }) => stomp.send(queue(), "x", { headers: { "message-id": "1" } }));

refused("`send()` rejects for a queue that exists with another type", {
  closes: { rabbitmq: true },
  words: /PRECONDITION_FAILED - inequivalent arg 'x-queue-type'/,
}, async (stomp, { connect, queue }) => {
  const destination = queue();
  const owner = await connect();
  const headers = { "x-queue-type": "quorum", "durable": "true", "auto-delete": "false" };
  await owner.send(destination, "x", { headers });
  return await stomp.send(destination, "x");
});

refused("`subscribe()` rejects for an invalid selector", {
  closes: { activemq: false },
  words: /InvalidSelectorException/,
}, (stomp, { queue }) => stomp.subscribe(queue(), { selector: "colour = = 'red'" }));

refused("`sendFrame()` rejects for a COMMIT of an unknown transaction", {
  closes: { rabbitmq: false, activemq: false },
  words: /Invalid transaction id/,
}, (stomp) => stomp.sendFrame(frame("COMMIT", { transaction: "nosuch", receipt: "of nothing" })));

refused("`sendFrame()` rejects for a second BEGIN with the same id", { // RabbitMQ accepts it
  closes: { activemq: false },
  words: /transaction was all?ready started/i,
}, async (stomp) => {
  await stomp.begin({ transaction: "twice" });
  await stomp.sendFrame(frame("BEGIN", { transaction: "twice", receipt: "of twice" }));
});

once("`send()` rejects for a user without write permission, who can still receive", {
  own: true,
  versions: VERSIONS,
  async fn({ own, connect, queue, broker }) {
    const destination = queue();
    const [sender, reader] = [await connect(), await connect({ ...own.reader, reconnect: {} })];
    // In mode auto, messages that RabbitMQ sends over a connection that it is about to close are lost.
    const subscription = await reader.subscribe(destination, { ack: "client" });
    const error = await assertRejects(() => reader.send(destination, "never"), BrokerErrorResponse);
    const words: Partial<Record<Family, RegExp>> = {
      rabbitmq: /ACCESS_REFUSED/,
      activemq: /User reader is not authorized to write/,
      artemis: /AMQ339011 Error sending message/,
    };
    assertMatch(error.message, words[broker.family]!);
    // Without a receipt the refusal is not reported, but the message does not arrive either.
    await reader.send(destination, "neither", { receipt: false }).catch(() => {});
    await sender.send(destination, "allowed");
    assertEquals(await takeTexts(subscription, 1), ["allowed"]);
  },
});

once("`subscribe()` rejects an id that is in use, without sending anything", async ({ connect, queue }) => {
  const stomp = await connect();
  const first = await stomp.subscribe(queue(), { id: "one" });
  const error = await assertRejects(() => stomp.subscribe(queue(), { id: "one" }), SubscriptionError);
  assertMatch(error.message, /the id one is in use/);
  await stomp.send(first.destination, "undisturbed");
  assertEquals(await takeTexts(first, 1), ["undisturbed"]);
});

once("RabbitMQ answers a duplicate subscription id with ERROR, then RECEIPT, and closes", {
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

once(
  "`ack()` and `nack()` reject for an acknowledged message, without sending anything",
  async ({ connect, queue }) => {
    const stomp = await connect();
    const subscription = await stomp.subscribe(queue(), { ack: "client-individual" });
    await stomp.send(subscription.destination, "one");
    const [message] = await take(subscription, 1);
    await message!.ack();
    await assertRejects(() => message!.ack(), AcknowledgeError);
    await assertRejects(() => message!.nack(), AcknowledgeError);
    await stomp.send(subscription.destination, "two");
    assertEquals(await takeTexts(subscription, 1), ["two"]);
  },
);

refused("`sendFrame()` rejects for a second ACK of a message", {
  closes: { activemq: false },
  words: /Unexpected ACK received for message-id/,
  versions: ["1.2"],
}, async (stomp, { queue }) => {
  const id = await acknowledgeRaw(stomp, queue());
  await stomp.sendFrame(frame("ACK", { id, receipt: "of the second" }));
});

once("the client reconnects after RabbitMQ confirms a second ACK and closes", {
  broker: "rabbitmq",
  async fn({ connect, queue }) {
    const stomp = await connect({ reconnect: {} });
    const mine = await stomp.subscribe(queue());
    const errors: string[] = [];
    const statuses = stomp.status();
    const watching = (async () => {
      for await (const status of statuses) if (status.type === "disconnected") errors.push(status.error.message);
    })();
    const id = await acknowledgeRaw(stomp, queue());
    await stomp.sendFrame(frame("ACK", { id, receipt: "of the second" })).catch((error) => {
      // RabbitMQ sends RECEIPT before ERROR, so the call must not reject.
      throw new Error(`The second ACK was refused: ${error.message}`);
    });
    await eventually("the connection is closed", () => errors.length > 0);
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

/** Receives a message and acknowledges it by a raw frame, unknown to the client. Returns its `ack` header. */
async function acknowledgeRaw(stomp: Stomp, destination: string): Promise<string> {
  const subscription = await stomp.subscribe(destination, { ack: "client-individual" });
  await stomp.send(destination, "one");
  const [message] = await take(subscription, 1);
  const id = message!.headers["ack"]!;
  await stomp.sendFrame(frame("ACK", { id, receipt: "of the first" }));
  return id;
}
