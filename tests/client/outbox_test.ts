/** Unconfirmed messages: given up, refused by an ERROR that names none, or blocked by others. */
import { test } from "#test";
import { assert, assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { BrokerErrorResponse, ConnectionError, OutboxFullError, TimeoutError } from "../../base/errors.ts";
import { Isolation, noteSuspicion, type Suspect } from "../../client/pending_send.ts";
import {
  type ClientHarness,
  clientTest,
  dropConnection,
  flushMicrotasks,
  quickPair,
  skipWaits,
  Watcher,
} from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, receiptFor } from "../support/raw_server.ts";

const REFUSAL = "ERROR\nmessage:not_found\n\nno exchange\0";

/** What a broker saw that handles frames in order and refuses the body "bad". */
interface Seen {
  /** How often it accepted each body. */
  accepted: Map<string, number>;
  connections: number;
}

/**
 * Plays such a broker until it has confirmed and refused that often.
 *
 * @param refuse refuses; returns whether the connection stays open
 * @param confirms whether accepted messages are confirmed, by the number of refusals so far
 */
async function play(
  { server, peer }: Awaited<ReturnType<ClientHarness["pair"]>>,
  until: { confirmations: number; refusals: number },
  refuse: (peer: RawPeer) => Promise<boolean>,
  confirms: (refusals: number) => boolean = () => true,
): Promise<Seen> {
  const seen: Seen = { accepted: new Map(), connections: 1 };
  let [confirmations, refusals] = [0, 0];
  while (confirmations < until.confirmations || refusals < until.refusals) {
    const frame = await peer.frame("SEND");
    if (frame.body === "bad") {
      refusals++;
      if (await refuse(peer)) continue;
      await peer.close();
      peer = await server.welcome();
      seen.connections++;
      continue;
    }
    seen.accepted.set(frame.body, (seen.accepted.get(frame.body) ?? 0) + 1);
    if (!confirms(refusals)) continue;
    await peer.write(receiptFor(frame));
    confirmations++;
  }
  return seen;
}

const BODIES = ["1", "2", "3", "bad", "4", "5", "6"];

/** Sends all bodies. "bad" is refused; `onOthersConfirmed` is called when the others are confirmed. */
async function sendAll(
  pair: Awaited<ReturnType<ClientHarness["pair"]>>,
  playing: () => Promise<Seen>,
  onOthersConfirmed: () => void = () => {},
) {
  const sends = BODIES.map((body) => pair.stomp.send("/queue/a", body));
  Promise.all(sends.filter((_, i) => BODIES[i] !== "bad")).then(onOthersConfirmed, () => {});
  const results = Promise.allSettled(sends);
  const seen = await playing();
  assertEquals((await results).map(({ status }) => status === "rejected"), BODIES.map((body) => body === "bad"));
  const copies = [...seen.accepted.values()];
  return { copies, connections: seen.connections, error: await assertRejects(() => sends[3]!) as Error };
}

clientTest("`send()` alone rejects when an ERROR that names no frame ends the connection", async (harness) => {
  const pair = await quickPair(harness);
  const { copies, connections, error } = await sendAll(pair, () => {
    const refuse = (peer: RawPeer) => peer.write(REFUSAL).then(() => false);
    // What was accepted before is not confirmed, as by a broker that was about to sync its disk.
    return play(pair, { confirmations: 6, refusals: 2 }, refuse, (refusals) => refusals > 0);
  });
  assertInstanceOf(error, BrokerErrorResponse);
  assertEquals(error.message, "Cannot confirm SEND to /queue/a: not_found (no exchange)");
  assertEquals(copies, [2, 2, 2, 1, 1, 1]);
  assertEquals(connections, 3);
});

clientTest("`send()` alone rejects when an ERROR that names no frame leaves the connection open", async (harness) => {
  const pair = await quickPair(harness);
  const playing = () => {
    return play(pair, { confirmations: 6, refusals: 2 }, (peer) => peer.write(REFUSAL).then(() => true));
  };
  // The connection has survived the ERROR.
  const { copies, connections, error } = await sendAll(pair, playing, () => pair.clock.pass(500));
  assertInstanceOf(error, BrokerErrorResponse);
  assertEquals(copies, [1, 1, 1, 1, 1, 1]);
  assertEquals(connections, 1);
});

clientTest("`send()` alone rejects when its message ends the connection without an ERROR", async (harness) => {
  const pair = await quickPair(harness);
  const { copies, connections, error } = await sendAll(pair, () => {
    return play(pair, { confirmations: 6, refusals: 5 }, () => Promise.resolve(false));
  });
  assertInstanceOf(error, ConnectionError);
  assert(error.message.includes("the broker closed the connection each time that it was sent"), error.message);
  assert(error.message.includes("its queue may be full"), error.message);
  assertEquals(copies, [1, 1, 1, 1, 1, 1]);
  assertEquals(connections, 6);
});

clientTest("`send()` of many refused messages keeps the wait before each new connection short", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 5 }, clock });
  const waits = skipWaits(stomp, clock);
  const results = Promise.allSettled(Array.from({ length: 16 }, (_, i) => stomp.send("/queue/a", `bad ${i}`)));
  let settled = false;
  results.then(() => settled = true);
  for (let next = peer; !settled; next = await server.welcome()) {
    await next.frame("SEND");
    await next.write(REFUSAL);
    await next.close();
    await flushMicrotasks();
  }
  assert((await results).every((result) => result.status === "rejected"));
  assert(waits.length >= 16 && Math.max(...waits) <= 5, waits.join());
});

test("`Isolation` admits one suspect at a time, then more, but at most 64", () => {
  const suspects: Suspect[] = Array.from(
    { length: 2000 },
    () => ({ suspicion: undefined, size: 1, describe: () => "SEND" }),
  );
  for (const suspect of suspects) noteSuspicion(suspect, new ConnectionError("lost"), "doubt");
  const isolation = Isolation.of(suspects, new FakeClock())!;
  const sizes: number[] = [];
  for (let sent = 0; sent < suspects.length;) {
    const first = sent;
    while (sent < suspects.length && isolation.admit(suspects[sent]!)) sent++;
    sizes.push(sent - first);
    for (const suspect of suspects.slice(first, sent)) isolation.remove(suspect);
  }
  assertEquals(sizes.slice(0, 256), Array<number>(256).fill(1));
  assertEquals(Math.max(...sizes), 64);
});

clientTest(
  "`subscribe()` does not reject for a refused message beside it, nor `send()` for a refused SUBSCRIBE",
  async (harness) => {
    const { stomp, peer, server } = await quickPair(harness);
    const good = stomp.send("/queue/a", "good");
    const subscribing = stomp.subscribe("/queue/b");
    subscribing.catch(() => {});
    const [, subscribe] = await peer.frames(2);
    // As RabbitMQ does it: ERROR, and RECEIPT for the frame that it has refused, and the end.
    await peer.write(REFUSAL + receiptFor(subscribe!));
    await peer.finish();
    const next = await server.welcome();
    const frames = await next.frames(2);
    assertEquals(frames.map(({ command }) => command).sort(), ["SEND", "SUBSCRIBE"]);
    await next.write(REFUSAL + receiptFor(frames.find(({ command }) => command === "SUBSCRIBE")!));
    await next.finish();
    await assertRejects(() => subscribing, BrokerErrorResponse, "not_found");
    assertEquals((await confirm(await server.welcome(), "SEND")).body, "good");
    await good;
  },
);

clientTest(
  "`send()` with a receipt is sent again when an ERROR may be about one without a receipt",
  async (harness) => {
    const { stomp, peer, clock } = await quickPair(harness);
    const watcher = new Watcher(stomp);
    await stomp.send("/queue/forbidden", "bad", { receipt: false });
    const good = stomp.send("/queue/a", "good");
    await peer.frames(2);
    await peer.write(REFUSAL);
    await watcher.until("error");
    clock.pass(500); // the connection survives it
    await confirm(peer, "SEND");
    await good;
  },
);

clientTest("`send()` without a receipt is not a suspect after a later frame was confirmed", async (harness) => {
  const { stomp, peer } = await quickPair(harness);
  await stomp.send("/queue/a", "fine", { receipt: false });
  await peer.frame("SEND");
  await Promise.all([stomp.send("/queue/a", "confirmed"), confirm(peer, "SEND")]);
  const bad = assertRejects(() => stomp.send("/queue/a", "bad"), BrokerErrorResponse, "not_found");
  await peer.frame("SEND");
  await peer.write(REFUSAL);
  await bad; // it was the only one, so it is not tried again
  await Promise.all([stomp.send("/queue/a", "next"), confirm(peer, "SEND")]);
});

clientTest("`send()` that is aborted before it was written is never written", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url, { outbox: { messages: 10 } });
  const abort = new AbortController();
  const sends = Array.from({ length: 1000 }, (_, i) => stomp.send("/queue/a", `${i}`, { signal: abort.signal }));
  abort.abort();
  const results = await Promise.allSettled(sends);
  assertEquals(results.filter(({ status }) => status === "rejected").length, 1000);
  await stomp.send("/queue/a", "last");
  assertEquals(broker.stats.messages, 1);
});

for (const options of [{}, { timeout: 60 }]) {
  const name = options.timeout ? "of the call" : "of the client";
  clientTest(`\`send()\` that times out before it was written is never written: a timeout ${name}`, async (harness) => {
    const clock = new FakeClock();
    const timeout = options.timeout ? 30_000 : 60;
    const { stomp, peer } = await harness.pair({ timeout, outbox: { messages: 10 }, clock });
    const sends = Array.from({ length: 1000 }, (_, i) => stomp.send("/queue/a", `${i}`, options));
    await peer.frames(10, "SEND");
    clock.pass(60);
    const results = await Promise.allSettled(sends);
    const errors = results.map((result) => result.status === "rejected" && result.reason as Error);
    assert(errors.every((error) => error instanceof TimeoutError));
    const written = errors.filter((error) => (error as Error).message.endsWith("so the broker may have it")).length;
    const unwritten = errors.filter((error) => (error as Error).message.endsWith("it was never written")).length;
    assertEquals(written + unwritten, 1000);
    assert(written >= 10 && written < 500, `${written}`);
    const last = stomp.send("/queue/a", "last", { timeout: 10_000 });
    let arrived = 10;
    while ((await peer.frame("SEND")).body !== "last") arrived++;
    assertEquals(arrived, written);
    stomp.disconnect({ signal: AbortSignal.abort() });
    await last.catch(() => {});
  });
}

clientTest("`send()` that times out while the broker does not read does not arrive later", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ timeout: 200, heartbeat: false, clock });
  const body = new Uint8Array(1 << 18);
  const sends = Array.from({ length: 100 }, () => stomp.send("/queue/a", body));
  await peer.bytes(); // and reads no more
  clock.pass(200);
  const results = await Promise.allSettled(sends);
  const reasons = results.map((result) => result.status === "rejected" ? (result.reason as Error).message : "");
  const maybe = reasons.filter((reason) => reason.endsWith("so the broker may have it")).length;
  assert(maybe > 0 && maybe < 100, `${maybe} of 100`);
  const last = stomp.send("/queue/a", "last", { timeout: 10_000 });
  let arrived = 0;
  for (;;) {
    const frame = await peer.frame("SEND");
    if (frame.body === "last") {
      await peer.write(receiptFor(frame));
      break;
    }
    arrived++;
  }
  await last;
  assert(arrived <= maybe, `${arrived} arrived, and ${maybe} were said to be possible`);
});

clientTest("`send()` with `wait: false` rejects without a connection, with or without a receipt", async (harness) => {
  const { stomp, peer, server } = await quickPair(harness);
  const watcher = new Watcher(stomp);
  await peer.close();
  await watcher.until("disconnected");
  for (const receipt of [true, false]) {
    await assertRejects(
      () => stomp.send("/queue/a", "x", { wait: false, receipt }),
      OutboxFullError,
      "Cannot send to /queue/a without waiting: there is no connection now",
    );
  }
  const next = await server.welcome();
  await watcher.until("connected");
  await stomp.send("/queue/a", "y", { wait: false, receipt: false });
  assertEquals((await next.frame("SEND")).body, "y");
});

clientTest(
  "`send()` without a receipt waits for the connection, counts towards `outbox`, and stays in order",
  async (harness) => {
    const { stomp, peer } = await harness.pair({ heartbeat: false, outbox: { bytes: 1 << 20 } });
    const watcher = new Watcher(stomp);
    const body = "x".repeat(1 << 16);
    const sends = Array.from({ length: 400 }, (_, i) => stomp.send("/queue/a", `${i} ${body}`, { receipt: false }));
    await watcher.until("stalled");
    await assertRejects(() => stomp.send("/queue/a", "x", { receipt: false, wait: false }), OutboxFullError);
    for (let i = 0; i < 400; i++) assertEquals((await peer.frame("SEND")).body.split(" ")[0], `${i}`);
    await Promise.all(sends);
    assertEquals(stomp.pending, 0);
  },
);

clientTest("`send()` does not time out when the process was too busy to read the RECEIPT", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ timeout: 150, clock });
  const sends = [stomp.send("/queue/a", "common"), stomp.send("/queue/a", "own", { timeout: 150 })];
  const frames = await peer.frames(2);
  clock.sleep(400); // the timers fire late, before the sockets are read
  await peer.write(frames.map(receiptFor).join(""));
  await Promise.all(sends);
  clock.pass(100);
});

clientTest("`begin()` does not time out when the process was too busy to read the RECEIPT", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ timeout: 150, clock });
  const begun = stomp.begin();
  const frame = await peer.frame("BEGIN");
  clock.sleep(400); // the timer fires late, before the socket is read
  await peer.write(receiptFor(frame));
  await begun;
});

clientTest("`send()` refuses a frame that RabbitMQ 4 hangs up on before it is written", async (harness) => {
  const pair = async (server: string, options = {}) => await harness.pair(options, "1.2", `server:${server}\n`);
  const large = new Uint8Array(1 << 22);
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`h${i}`, "v"]));
  const { stomp } = await pair("RabbitMQ/4.3.6");
  for (const options of [{}, { receipt: false }, { contentLength: false }, { headers: { a: "b" } }]) {
    await assertRejects(
      () => stomp.send("/queue/a", large, options),
      RangeError,
      "RabbitMQ 4.3.6 hangs up on more than",
    );
  }
  await assertRejects(() => stomp.send("/queue/a", "é".repeat(1 << 21)), RangeError, "4194304");
  await assertRejects(() => stomp.send("/queue/a", "x", { headers: many }), RangeError, "headers");
  assertEquals(stomp.pending, 0);
  for (
    const [server, options] of [["RabbitMQ/3.10.8", {}], ["RabbitMQ/4.3.6", {
      frameLimits: { bytes: Infinity, headers: 200 },
    }]] as const
  ) {
    const { stomp, peer } = await pair(server, options);
    const sends = [stomp.send("/queue/a", large), stomp.send("/queue/a", "x", { headers: many })];
    await confirm(peer, "SEND");
    await confirm(peer, "SEND");
    await Promise.all(sends);
  }
});

clientTest("`send()` that times out without a connection has the reason as its cause", async (harness) => {
  const { stomp, peer, server, clock } = await quickPair(harness, { timeout: 300 });
  await server.stopListening();
  await dropConnection(stomp, peer);
  const sending = assertRejects(() => stomp.send("/queue/a", "x"), TimeoutError, "it was never written");
  clock.pass(300);
  const error = await sending;
  assertInstanceOf((error as Error).cause, ConnectionError);
});

/** Sends "a" to a queue whose node is down, as RabbitMQ reports it. The client has not reconnected yet. */
async function sendToDownQueue(harness: ClientHarness) {
  const clock = new FakeClock();
  const options = { reconnect: { delay: 0 }, timeout: 20_000, clock };
  const { stomp, peer, server } = await harness.pair(options, "1.2", "server:RabbitMQ/3.10.8\n");
  const watcher = new Watcher(stomp);
  const sending = stomp.send("/queue/down", "a");
  await peer.frame("SEND");
  const words = "NOT_FOUND - home node 'rabbit@b' of durable queue 'down' in vhost '/' is down or inaccessible";
  await peer.write(`ERROR\nmessage:not_found\n\n${words}\0`);
  await peer.finish();
  await watcher.until("reconnecting");
  clock.pass(0);
  return { clock, stomp, server, watcher, sending };
}

clientTest("`send()` is tried again later when a part of the broker is down", async (harness) => {
  const { clock, stomp, server, sending } = await sendToDownQueue(harness);
  const next = await server.welcome();
  const other = stomp.send("/queue/up", "b");
  assertEquals((await confirm(next, "SEND")).body, "b");
  await other;
  clock.pass(3000);
  assertEquals((await confirm(next, "SEND")).body, "a");
  await sending;
});

clientTest("`send()` that waits for the end of an outage does not stop the isolation of others", async (harness) => {
  const { clock, stomp, server, watcher, sending: down } = await sendToDownQueue(harness);
  const second = await server.welcome();
  const up = [stomp.send("/queue/up", "1"), stomp.send("/queue/up", "2")];
  await second.frames(2, "SEND");
  await second.write(REFUSAL);
  await second.finish();
  await watcher.until("reconnecting");
  clock.pass(3000); // the wait of "a" ends while there is no connection
  const third = await server.welcome();
  for (const body of ["1", "2", "a"]) assertEquals((await confirm(third, "SEND")).body, body);
  await Promise.all([...up, down]);
});
