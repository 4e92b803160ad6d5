/** The option `delay` on the wire of RabbitMQ, where the message waits in a queue. */
import { assertEquals, assertRejects } from "#assert";
import { UnsupportedByBrokerError } from "../../base/errors.ts";
import type { SendOptions } from "../../client/options.ts";
import { type ClientHarness, clientTest } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";
import type { RawPeer } from "../support/raw_peer.ts";

const RABBITMQ = "server:RabbitMQ/4.0.5\n";

const rabbitmq = (harness: ClientHarness) => harness.pair({ reconnect: { delay: 0 } }, "1.2", RABBITMQ);

/** Reads the frames that make the destination. Returns the lines of its SEND. */
async function made(peer: RawPeer): Promise<string[]> {
  await peer.frame("BEGIN");
  const { lines } = await peer.frame("SEND");
  await peer.frame("ABORT");
  return lines.filter((line) => !line.startsWith("transaction:"));
}

const waiting = (milliseconds: number, name: string, key = name) => [
  `destination:/queue/stompy.delay.${milliseconds}.${name}`,
  `x-message-ttl:${milliseconds}`,
  "x-dead-letter-exchange:",
  `x-dead-letter-routing-key:${key}`,
];

/** The header lines without the receipt, sorted. */
const sorted = (lines: readonly string[]) => lines.filter((line) => !line.startsWith("receipt:")).toSorted();

clientTest("`delay` sends the message to a queue for the duration, after its destination was made", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const options: SendOptions = {
    delay: "5s",
    headers: { own: "v" },
    replyTo: "/temp-queue/r",
    correlationId: "c",
    priority: 3,
  };
  const sending = stomp.send("/queue/work", "x", options);
  assertEquals(await made(peer), ["destination:/queue/work"]);
  const said = await confirm(peer, "SEND");
  assertEquals(
    sorted(said.lines),
    [
      ...waiting(5000, "work"),
      "content-length:1",
      "content-type:text/plain",
      "correlation-id:c",
      "own:v",
      "persistent:true",
      "priority:3",
      "reply-to:/temp-queue/r",
    ].sort(),
  );
  assertEquals((await sending)?.command, "RECEIPT");

  // The destination is made once for a connection; other sends to it are unchanged.
  await stomp.send("/queue/work", "x", { delay: 100, receipt: false });
  const unconfirmed = await peer.frame("SEND");
  assertEquals(
    sorted(unconfirmed.lines),
    [...waiting(100, "work"), "content-length:1", "content-type:text/plain"].sort(),
  );
  const now = stomp.send("/queue/work", "now");
  assertEquals((await confirm(peer, "SEND")).get("destination"), "/queue/work");
  await now;
});

clientTest("`delay: 0` is no delay", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  for (const delay of [0, "0ms"] as const) {
    const sending = stomp.send("/queue/work", "x", { delay });
    const said = await confirm(peer, "SEND");
    assertEquals([said.get("destination"), said.get("x-message-ttl")], ["/queue/work", undefined]);
    await sending;
  }
});

clientTest("`delay` in a transaction sends to the queue for the duration as part of it", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  await tx.send("/queue/work", "x", { delay: 7 });
  assertEquals(await made(peer), ["destination:/queue/work"]);
  const said = await peer.frame("SEND");
  assertEquals([said.get("transaction"), said.get("destination")], [tx.id, "/queue/stompy.delay.7.work"]);
});

clientTest(
  "the declarations of a delayed send and of the client are for its destination, not for the queue of the delay",
  async (harness) => {
    const { stomp, peer } = await rabbitmq(harness);
    stomp.destination("/queue/work", { queue: { type: "quorum", ttl: "1h" } });
    const headers = { "x-max-length": "9", "durable": "true", own: "v" };
    const sending = stomp.send("/queue/work", "x", { delay: 50, headers });
    assertEquals(sorted(await made(peer)), [
      "destination:/queue/work",
      "durable:true",
      "x-max-length:9",
      "x-message-ttl:3600000",
      "x-queue-type:quorum",
    ]);
    const said = await confirm(peer, "SEND");
    assertEquals(
      sorted(said.lines.filter((line) => !line.startsWith("content"))),
      [...waiting(50, "work"), "own:v", "persistent:true"].sort(),
    );
    await sending;
  },
);

clientTest(
  "a delayed message is sent again on the next connection, after its destination is made again",
  async (harness) => {
    const { stomp, peer, server } = await rabbitmq(harness);
    const sending = stomp.send("/queue/work", "x", { delay: 50 });
    await made(peer);
    const first = await peer.frame("SEND");
    stomp.reconnect();
    const next = await server.welcome("1.2", RABBITMQ);
    assertEquals(await made(next), ["destination:/queue/work"]);
    assertEquals(sorted((await confirm(next, "SEND")).lines), sorted(first.lines));
    await sending;
  },
);

clientTest(
  "when a delayed message is retracted before it leaves, its destination is still made for those behind it",
  async (harness) => {
    const { stomp, peer } = await rabbitmq(harness);
    const abort = new AbortController();
    const first = stomp.send("/queue/work", "first", { delay: 50, signal: abort.signal });
    const second = stomp.send("/queue/work", "second", { delay: 50 });
    abort.abort(new Error("enough"));
    await assertRejects(() => first, Error, "enough");
    assertEquals(await made(peer), ["destination:/queue/work"]);
    assertEquals((await confirm(peer, "SEND")).body, "second");
    await second;
  },
);

clientTest(
  "an ERROR about a destination that was made for a message that was retracted refuses no other",
  async (harness) => {
    const { stomp, peer, server } = await rabbitmq(harness);
    const abort = new AbortController();
    const first = stomp.send("/queue/work", "first", { delay: 50, signal: abort.signal });
    const second = stomp.send("/queue/other", "second");
    abort.abort(new Error("enough"));
    await assertRejects(() => first, Error, "enough");
    await made(peer);
    await peer.frame("SEND");
    await peer.write("ERROR\nmessage:precondition_failed\n\n\0");
    await peer.close();
    const next = await server.welcome("1.2", RABBITMQ);
    assertEquals((await confirm(next, "SEND")).body, "second");
    await second;
  },
);

clientTest("a delayed message is written for the next broker, when that is a different one", async (harness) => {
  const { stomp, peer, server } = await rabbitmq(harness);
  const sending = stomp.send("/queue/work", "x", { delay: 50, headers: { "x-max-length": "1" } });
  await made(peer);
  await peer.frame("SEND");
  stomp.reconnect();
  const next = await server.welcome("1.2", "server:ActiveMQ/5.17.2\n");
  assertEquals(sorted((await confirm(next, "SEND")).lines), [
    "AMQ_SCHEDULED_DELAY:50",
    "content-length:1",
    "content-type:text/plain",
    "destination:/queue/work",
    "persistent:true",
    "x-max-length:1",
  ]);
  await sending;
});

clientTest("`delay` is refused where it would lose or keep a message, and nothing is sent", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const refused: [() => Promise<unknown>, string][] = [
    [() => stomp.send("/queue/work", "x", { delay: 5, expires: 1000 }), "cannot expire by itself"],
    [() => stomp.send("/queue/a/b", "x", { delay: 5 }), "/queue/a/b is no /queue/NAME"],
    [() => stomp.send("/temp-queue/a", "x", { delay: 5, receipt: false }), "/temp-queue/a is no "],
  ];
  for (const [send, text] of refused) {
    const error = await assertRejects(send, UnsupportedByBrokerError, text);
    assertEquals([error.option, error.broker], ["delay", "rabbitmq"]);
  }
  for (const delay of [-1, NaN, "1 s", "5"] as never[]) {
    await assertRejects(() => stomp.send("/queue/work", "x", { delay }), RangeError, "Cannot send: delay is ");
  }
  const other = stomp.send("/queue/other", "x");
  assertEquals((await confirm(peer, "SEND")).get("destination"), "/queue/other");
  await other;
});

clientTest("a client may use 32 durations for a destination", async (harness) => {
  const { stomp, peer } = await rabbitmq(harness);
  const queues = new Set<string | undefined>();
  for (let delay = 1; delay <= 32; delay++) {
    await stomp.send("/queue/work", "x", { delay, receipt: false });
    if (delay === 1) await made(peer);
    queues.add((await peer.frame("SEND")).get("destination"));
  }
  assertEquals(queues.size, 32);
  await assertRejects(() => stomp.send("/queue/work", "x", { delay: 33 }), RangeError, "use a few fixed ones");
  await stomp.send("/queue/work", "x", { delay: 32, receipt: false });
  assertEquals((await peer.frame("SEND")).get("destination"), "/queue/stompy.delay.32.work");
  await stomp.send("/queue/other", "x", { delay: 33, receipt: false });
  assertEquals(await made(peer), ["destination:/queue/other"]);
});
