/**
 * What a broker refuses: the call that caused it rejects with the broker's own words, and nothing else is disturbed.
 */
import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "#assert";
import { inspect } from "node:util";
import { AcknowledgeError, BrokerErrorResponse, ConnectionError, StompError, SubscriptionError } from "../../errors.ts";
import { Frame } from "../../frame.ts";
import { openSocket } from "../../open_socket.ts";
import { Stomp } from "../../stomp.ts";
import type { TlsOptions } from "../../transport.ts";
import { OTHER_HOST } from "./rig/rabbitmq.ts";
import {
  type BrokerName,
  eventually,
  everywhere,
  once,
  type Rig,
  take,
  takeTexts,
  takeTextsUntilMark,
  VERSIONS,
} from "./support.ts";

const SECRET = "s3cret: p@ss/wörd";

/** The broker's words on a wrong password. */
const WRONG_PASSWORD: Record<BrokerName, RegExp> = {
  rabbitmq: /Bad CONNECT \(Access refused for user 'guest'\)/,
  activemq: /User name \[guest\] or password is invalid/,
};

/** Fails where a password is seen by whoever prints a value. */
function assertSecret(value: unknown): void {
  const deno = (globalThis as { Deno?: { inspect(value: unknown, options: object): string } }).Deno;
  const shown = [
    inspect(value, { depth: 10, showHidden: true }),
    deno?.inspect(value, { depth: 10, showHidden: true }) ?? "",
    value instanceof Error ? `${value.stack} ${value.message} ${inspect(value.cause)}` : String(value),
    JSON.stringify(value) ?? "",
  ].join("\n");
  for (const form of [SECRET, encodeURIComponent(SECRET), SECRET.replaceAll(":", "\\c"), "s3cret"]) {
    assert(!shown.includes(form), `a password is shown: ${shown}`);
  }
}

everywhere("a wrong password is told at once, in the broker's words", async ({ broker, url, options }) => {
  const secret = url.replace(/\/\/.*@/, `//guest:${encodeURIComponent(SECRET)}@`);
  const begun = performance.now();
  const error = await assertRejects(() => Stomp.connect(secret, options()), BrokerErrorResponse);
  // RabbitMQ keeps the connection for another 10 s. Nobody waits for that.
  assertLess(performance.now() - begun, 5000);
  assertMatch(error.message, WRONG_PASSWORD[broker.name]);
  assertEquals(error.frame?.command, "ERROR");
  assertSecret(error);
  assertSecret(new Stomp(secret, options()));
});

once("a wrong password given as an option is not shown either", async ({ broker, url, options }) => {
  const stomp = new Stomp(url, options({ username: "guest", password: SECRET }));
  const error = await assertRejects(() => stomp.connect(), BrokerErrorResponse);
  assertMatch(error.message, WRONG_PASSWORD[broker.name]);
  assertSecret(error);
  assertSecret(stomp);
  // The same object can be told better.
  await stomp.connect(broker.username, broker.password);
  assertSecret(stomp);
  await stomp.disconnect();
});

once("a client that may try again gives up a password that is refused twice", async ({ broker, url, options }) => {
  const stomp = new Stomp(url, options({ password: SECRET, reconnect: { firstConnect: true } }));
  const error = await assertRejects(() => stomp.connect({ timeout: 15_000 }), BrokerErrorResponse);
  assertMatch(error.message, WRONG_PASSWORD[broker.name]);
});

once("nobody connects without a login where one is wanted", {
  broker: "activemq",
  own: true,
  async fn({ url, options }) {
    const error = await assertRejects(
      () => Stomp.connect(url.replace(/\/\/.*@/, "//"), options()),
      BrokerErrorResponse,
    );
    assertMatch(error.message, /User name \[null\] or password is invalid/);
  },
});

once("an unknown virtual host is told in the broker's words", {
  broker: "rabbitmq",
  versions: VERSIONS,
  async fn({ broker, connect }) {
    for (const url of [broker.urls["stomp"], broker.urls["stomp+ssl"]]) {
      if (url === undefined) continue;
      const error = await assertRejects(() => connect({ url: `${url}/nosuch` }), BrokerErrorResponse);
      assertMatch(error.message, /Virtual host 'nosuch' access denied/);
    }
  },
});

once("a virtual host that is unknown may come up: a client that may try again does", {
  broker: "rabbitmq",
  async fn({ url, options }) {
    const stomp = new Stomp(`${url}/nosuch`, options({ reconnect: { firstConnect: true, attempts: 3, maxDelay: 50 } }));
    const events: string[] = [];
    const statuses = stomp.status();
    const watching = (async () => {
      for await (const { type } of statuses) events.push(type);
    })();
    const error = await assertRejects(() => stomp.connect(), BrokerErrorResponse);
    assertMatch(error.message, /Virtual host 'nosuch' access denied/);
    assertEquals(events, ["reconnecting", "reconnecting", "reconnecting"]);
    await stomp.disconnect();
    await watching;
  },
});

once("each virtual host has its own queues", {
  broker: "rabbitmq",
  own: true,
  async fn({ url, connect, queue }) {
    const destination = queue();
    const [here, there] = [await connect(), await connect({ url: `${url}/${encodeURIComponent(OTHER_HOST)}` })];
    await here.send(destination, "here");
    await there.send(destination, "there");
    assertEquals(await takeTextsUntilMark(there, await there.subscribe(destination)), ["there"]);
    assertEquals(await takeTextsUntilMark(here, await here.subscribe(destination)), ["here"]);
  },
});

once("a virtual host means nothing to ActiveMQ", {
  broker: "activemq",
  async fn({ url, connect, queue }) {
    const stomp = await connect({ url: `${url}/nosuch` });
    assertEquals((await stomp.send(queue(), "x"))?.command, "RECEIPT");
  },
});

once("certificates that must not be trusted end the attempt", {
  own: true,
  async fn({ own, broker, options }) {
    const tls = { caCerts: broker.caCerts };
    const url = broker.urls["stomp+ssl"]!;
    const { url: expiredUrl, ...expired } = own.expired;
    const cases: [url: string, tls: TlsOptions, words: RegExp][] = [
      [expiredUrl, { ...tls, ...expired }, /expired/i],
      [url, { caCerts: [own.foreignCa] }, /issuer|authority|self.signed/i],
      [url, { ...tls, serverName: "elsewhere.test" }, /another host|elsewhere\.test/i],
      [url, {}, /issuer|authority|self.signed/i], // no public authority has signed it
    ];
    for (const [to, how, words] of cases) {
      const error = await assertRejects(() => Stomp.connect(to, options({ tls: how })), ConnectionError);
      assertMatch(error.message, words);
      assert(error.cause instanceof Error);
    }
    const { wss } = broker.urls; // there runtimes do not tell why
    if (wss !== undefined) {
      await assertRejects(() => Stomp.connect(wss, options({ tls: { caCerts: [own.foreignCa] } })), ConnectionError);
    }
    const lenient = { ...tls, serverName: "elsewhere.test", unsafelyDisableHostnameVerification: true };
    const stomp = await Stomp.connect(url, options({ tls: lenient }));
    await stomp.disconnect();
  },
});

once("a broker that wants a client's certificate gets it, and takes no other", {
  own: true,
  async fn({ own, broker, options, queue }) {
    const { url, ...name } = own.mutual;
    const tls = { caCerts: broker.caCerts, ...name };
    for (const wrong of [tls, { ...tls, ...own.foreignClient }]) {
      const error = await assertRejects(() => Stomp.connect(url, options({ tls: wrong })), ConnectionError);
      assert(error.message.includes(new URL(url.replace("stomp+ssl", "http")).host), error.message);
    }
    const stomp = await Stomp.connect(url, options({ tls: { ...tls, ...own.client } }));
    assertEquals((await stomp.send(queue(), "x"))?.command, "RECEIPT");
    await stomp.disconnect();
  },
});

once("TLS where there is none, and none where there is TLS, are told apart", {
  own: true,
  async fn({ broker, url, options }) {
    const port = (of: string) => of.slice(of.lastIndexOf(":"));
    const plain = url.slice(0, url.lastIndexOf(":")) + port(broker.urls["stomp+ssl"]!);
    await assertRejects(() => Stomp.connect(plain, options({ connectTimeout: 3000 })), StompError);
    const tls = broker.urls["stomp+ssl"]!.slice(0, broker.urls["stomp+ssl"]!.lastIndexOf(":")) + port(url);
    const error = await assertRejects(
      () => Stomp.connect(tls, options({ tls: { caCerts: broker.caCerts }, connectTimeout: 3000 })),
      ConnectionError,
    );
    assert(error.message.startsWith("Cannot connect to"), error.message);
  },
});

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
  call: (stomp: Stomp, rig: Rig) => Promise<unknown>,
): void {
  for (const [broker, isClosed] of Object.entries(closes) as [BrokerName, boolean][]) {
    once(name, {
      broker,
      own,
      versions: versions ?? VERSIONS,
      async fn(rig) {
        const [stomp, other] = [await rig.connect({ reconnect: {} }), await rig.connect()];
        const [mine, theirs] = [await stomp.subscribe(rig.queue()), await other.subscribe(rig.queue())];
        const events: string[] = [];
        const statuses = stomp.status();
        const watching = (async () => {
          for await (const { type } of statuses) events.push(type);
        })();
        const error = await assertRejects(() => call(stomp, rig), BrokerErrorResponse);
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
    const subscription = await reader.subscribe(destination);
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

once("a client id that is in use is refused, and its owner is not disturbed", {
  broker: "activemq",
  versions: VERSIONS,
  async fn({ connect, queue, url, options }) {
    const clientId = `client of ${queue()}`;
    const owner = await connect({ clientId });
    const subscription = await owner.subscribe(queue());
    const error = await assertRejects(() => connect({ clientId }), BrokerErrorResponse);
    assertMatch(error.message, /Client: .* already connected/);
    await owner.send(subscription.destination, "undisturbed");
    assertEquals(await takeTexts(subscription, 1), ["undisturbed"]);

    // Who may try again gets it when its owner is gone.
    const patient = new Stomp(url, options({ clientId, reconnect: { firstConnect: true } }));
    const connected = patient.connect({ timeout: 15_000 });
    await owner.disconnect();
    await connected;
    await patient.disconnect();
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
