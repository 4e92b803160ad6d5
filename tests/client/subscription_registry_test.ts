/** A SUBSCRIBE that the broker refuses, after a reconnect or the first time: when it is sent again, and when it ends. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import { test } from "#test";
import { BrokerErrorResponse, NotConnectedError, TimeoutError } from "../../base/errors.ts";
import type { StompOptions } from "../../client/options.ts";
import { isOutageError } from "../../dialects/registry.ts";
import {
  type ClientHarness,
  clientTest,
  flushMicrotasks,
  frame,
  subscribed,
  Watcher,
} from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

const AT_ONCE: StompOptions = { reconnect: { delay: 0 } };
const DOWN = "home node 'a@b' of durable queue 'q' in vhost '/' is down or inaccessible";

/** RabbitMQ's ERROR of a queue whose node is down. It names no frame, and the connection ends after it. */
const HOME_NODE = `ERROR\nmessage:not_found\n\nNOT_FOUND - ${DOWN}\n\0`;

/** A refusal that names no frame. */
const VAGUE = "ERROR\nmessage:access refused\n\n\0";

/** Breaks the connection, and accepts the next one up to CONNECTED. */
async function breakAndWelcome(
  { peer, server }: { peer: RawPeer; server: Awaited<ReturnType<ClientHarness["server"]>> },
): Promise<RawPeer> {
  await peer.close();
  return await server.welcome();
}

test("`isOutageError()` recognizes brokers that are partly out of order", () => {
  const isOutage = (message: string, body = "") => isOutageError(frame("ERROR", { message }, body));
  for (
    const [words, body] of [
      ["not_found", `NOT_FOUND - ${DOWN}\n`],
      ["not_found", "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor\n"],
      ["not_found", "NOT_FOUND - queue 'q' in vhost '/' has crashed and failed to restart\n"],
      ["not_found", "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout\n"],
      [
        "not_found",
        "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/': its leader <1.2.3> may be stopping or being demoted\n",
      ],
      ["AMQP channel died", "Reason: {{badmatch,{error,nodedown}},\n [{rabbit_channel,handle_method,6}]}"],
      ["internal_error", "INTERNAL_ERROR - Cannot declare quorum queue 'q' in vhost '/' on node 'a@b': timeout\n"],
      ["internal_error", "INTERNAL_ERROR - failed consuming from quorum queue 'q' in vhost '/': {error,noproc}\n"],
      // The plugin that follows 4.3.
      ["not_found", "home node 'a@b' of durable queue 'q' in vhost '/' is down or inaccessible\n"],
      [
        "Failed to consume",
        "internal_error from queue 'q' in vhost '/': timed out consuming from quorum queue 'q' in vhost '/': {q,a@b}",
      ],
    ] as const
  ) {
    assert(isOutage(words, body), body);
  }
  for (
    const [words, body] of [
      ["not_found", "NOT_FOUND - no queue 'down' in vhost '/'\n"],
      ["access_refused", "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'guest'\n"],
      [
        "precondition_failed",
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'leader' in vhost '/'\n",
      ],
      ["internal_error", "INTERNAL_ERROR\n"],
      ["AMQP channel died", 'Reason: {shutdown,{server_initiated_close,406,<<"PRECONDITION_FAILED">>}}'],
    ] as const
  ) {
    assert(!isOutage(words, body), body);
  }
});

clientTest(
  "a resubscription is tried five times, and then the subscription ends while others go on",
  async (harness) => {
    const pair = await harness.pair(AT_ONCE);
    const { stomp, peer } = pair;
    const bad = await subscribed(stomp, peer, "/queue/bad");
    const good = await subscribed(stomp, peer, "/queue/good");
    const taking = bad.take();
    taking.catch(() => {});
    const next = await breakAndWelcome(pair);
    await next.write(errorFor(await next.frame("SUBSCRIBE"), "no such queue"));
    await confirm(next, "SUBSCRIBE");
    for (let i = 0; i < 4; i++) {
      const again = await next.frame("SUBSCRIBE");
      assertEquals(again.get("destination"), "/queue/bad");
      await next.write(errorFor(again, "no such queue"));
    }
    const error = await assertRejects(() => taking, BrokerErrorResponse, "no such queue");
    assertEquals(await bad.closed, error);
    await next.write(message(good.id, "m1"));
    assertEquals((await good.take())?.id, "m1");
    // Nor is it sent on the next connection.
    await next.close();
    const last = await pair.server.welcome();
    assertEquals((await confirm(last, "SUBSCRIBE")).get("destination"), "/queue/good");
    const sending = stomp.send("/queue/a", "x");
    await confirm(last, "SEND");
    await sending;
  },
);

for (const names of ["the SUBSCRIBE", "no frame"]) {
  const name = `a resubscription that is refused for a while by an ERROR that names ${names}`;
  clientTest(`${name} continues, and its count starts again`, async (harness) => {
    const pair = await harness.pair(AT_ONCE);
    const subscription = await subscribed(pair.stomp, pair.peer);
    let peer = pair.peer;
    for (let round = 0; round < 3; round++) {
      peer = await breakAndWelcome({ peer, server: pair.server });
      for (let i = 0; i < 4; i++) {
        const said = await peer.frame("SUBSCRIBE");
        await peer.write(names === "no frame" ? VAGUE : errorFor(said, "access refused"));
      }
      await confirm(peer, "SUBSCRIBE");
      await peer.write(message(subscription.id, `m${round}`));
      assertEquals((await subscription.take())?.id, `m${round}`);
    }
  });
}

clientTest("a resubscription is tried without limit in an outage that breaks the connection", async (harness) => {
  const pair = await harness.pair(AT_ONCE, "1.2", "server:RabbitMQ/3.10.8\n");
  const subscription = await subscribed(pair.stomp, pair.peer);
  let { peer } = pair;
  for (let i = 0; i < 12; i++) {
    peer = await breakAndWelcome({ peer, server: pair.server });
    await peer.frame("SUBSCRIBE");
    await peer.write(HOME_NODE);
  }
  await peer.close();
  peer = await pair.server.welcome();
  await confirm(peer, "SUBSCRIBE");
  await peer.write(message(subscription.id, "m1"));
  assertEquals((await subscription.take())?.id, "m1");
});

clientTest("a resubscription is tried without limit in an outage that leaves the connection open", async (harness) => {
  const pair = await harness.pair(AT_ONCE);
  const subscription = await subscribed(pair.stomp, pair.peer);
  const peer = await breakAndWelcome(pair);
  for (let i = 0; i < 12; i++) {
    const again = await peer.frame("SUBSCRIBE");
    await peer.write(i % 2 === 0 ? HOME_NODE : errorFor(again, DOWN));
  }
  await confirm(peer, "SUBSCRIBE");
  await peer.write(message(subscription.id, "m1"));
  assertEquals((await subscription.take())?.id, "m1");
});

clientTest("a resubscription in an outage ends with the broker's ERROR after `reconnect.attempts`", async (harness) => {
  const pair = await harness.pair({ reconnect: { delay: 0, attempts: 2 } });
  const subscription = await subscribed(pair.stomp, pair.peer);
  const peer = await breakAndWelcome(pair);
  for (let i = 0; i < 3; i++) await peer.write(errorFor(await peer.frame("SUBSCRIBE"), DOWN));
  const reason = await subscription.closed;
  assertInstanceOf(reason, BrokerErrorResponse);
  assert(reason.message.includes("is down or inaccessible"), reason.message);
});

clientTest("a queue that is down does not keep other subscriptions from receiving", async (harness) => {
  const pair = await harness.pair({ reconnect: { delay: 1, maxDelay: 50 } }, "1.2", "server:RabbitMQ/3.10.8\n");
  const { stomp, server } = pair;
  await subscribed(stomp, pair.peer, "/queue/down");
  const good = await subscribed(stomp, pair.peer, "/queue/good");
  const watcher = new Watcher(stomp);
  let peer = await breakAndWelcome(pair);
  // Both are sent, and one ERROR comes that names neither.
  await peer.frames(2, "SUBSCRIBE");
  await peer.write(HOME_NODE);
  await peer.close();
  // From then on each is sent alone, which shows the one that is down.
  let seen = 0;
  for (let connection = 0; seen < 3; connection++) {
    assert(connection < 20);
    peer = await server.welcome();
    for (;;) {
      const said = await peer.frame("SUBSCRIBE");
      if (said.get("destination") === "/queue/down") break;
      await peer.write(`RECEIPT\nreceipt-id:${said.get("receipt")}\n\n\0${message(good.id, `m${++seen}`)}`);
      assertEquals((await good.take())?.id, `m${seen}`);
      if (seen === 3) break;
    }
    if (seen < 3) {
      await peer.write(HOME_NODE);
      await peer.close();
    }
  }
  await watcher.until("connected");
});

/** So slow that no retry comes within the test. */
const SLOW: StompOptions = { reconnect: { delay: 3_600_000, maxDelay: 3_600_000 } };

clientTest(
  "a resubscription receives messages after an ERROR that names no frame",
  async (harness) => {
    const pair = await harness.pair(SLOW);
    const { stomp } = pair;
    const subscription = await subscribed(stomp, pair.peer);
    stomp.reconnect();
    const peer = await pair.server.welcome();
    await peer.frame("SUBSCRIBE");
    const watcher = new Watcher(stomp);
    await peer.write("ERROR\nmessage:something else\n\n\0");
    await watcher.until("error");
    await flushMicrotasks();
    await peer.write(message(subscription.id, "m1"));
    assertEquals((await subscription.take())?.id, "m1");
  },
);

clientTest("a resubscription that receives after an ERROR that names no frame is not sent again", async (harness) => {
  const pair = await harness.pair(AT_ONCE);
  const { stomp } = pair;
  const subscription = await subscribed(stomp, pair.peer);
  const peer = await breakAndWelcome(pair);
  await peer.frame("SUBSCRIBE");
  await peer.write(`ERROR\nmessage:something else\n\n\0${message(subscription.id, "m1")}`);
  assertEquals((await subscription.take())?.id, "m1");
  const sending = stomp.send("/queue/a", "x");
  await confirm(peer, "SEND"); // and no SUBSCRIBE before it
  await sending;
});

clientTest("a resubscription that waits for its retry goes on waiting on the next connection", async (harness) => {
  const pair = await harness.pair(SLOW);
  const { stomp } = pair;
  await subscribed(stomp, pair.peer, "/queue/down");
  await subscribed(stomp, pair.peer, "/queue/good");
  stomp.reconnect();
  let peer = await pair.server.welcome();
  const [down, good] = await peer.frames(2, "SUBSCRIBE");
  const watcher = new Watcher(stomp);
  await peer.write(errorFor(down!, DOWN) + receiptFor(good!));
  await watcher.until("error");
  const late = stomp.subscribe("/queue/new");
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), DOWN));
  await watcher.until("error");
  await flushMicrotasks();
  stomp.reconnect();
  peer = await pair.server.welcome();
  assertEquals((await confirm(peer, "SUBSCRIBE")).get("destination"), "/queue/good");
  const sending = stomp.send("/queue/a", "x");
  await confirm(peer, "SEND");
  await sending;
  // The pending `subscribe()` rejects when the client ends.
  const told = assertRejects(() => late, NotConnectedError, "Cannot subscribe to /queue/new: the client is closed");
  await stomp.disconnect({ signal: AbortSignal.abort() });
  await told;
});

clientTest("`unsubscribe()` sends nothing while a resubscription waits for its retry", async (harness) => {
  const pair = await harness.pair(SLOW);
  const { stomp } = pair;
  const subscription = await subscribed(stomp, pair.peer, "/queue/a", { ack: "client-individual" });
  await pair.peer.write(message(subscription.id, "m1"));
  const one = await subscription.take();
  stomp.reconnect();
  const peer = await pair.server.welcome();
  const watcher = new Watcher(stomp);
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), DOWN));
  await watcher.until("error");
  await flushMicrotasks();
  assertEquals([await one!.ack(), subscription.stale], [false, 1]);
  await subscription.unsubscribe();
  assertEquals(await subscription.closed, undefined);
  const sending = stomp.send("/queue/a", "x");
  await confirm(peer, "SEND"); // and no UNSUBSCRIBE before it
  await sending;
});

clientTest("a refusal that may be about another subscription does not count", async (harness) => {
  const pair = await harness.pair(AT_ONCE);
  const { stomp } = pair;
  const bad = await subscribed(stomp, pair.peer, "/queue/bad");
  await subscribed(stomp, pair.peer, "/queue/good");
  const peer = await breakAndWelcome(pair);
  await peer.frames(2, "SUBSCRIBE");
  await peer.write(VAGUE);
  let refused = 0;
  while (refused < 5) {
    const again = await peer.frame("SUBSCRIBE");
    const isBad = again.get("destination") === "/queue/bad";
    await peer.write(isBad ? VAGUE : receiptFor(again));
    if (isBad) refused++;
  }
  assertInstanceOf(await bad.closed, BrokerErrorResponse);
});

clientTest(
  "`subscribe()` retries in an outage until its timeout, whose error has the ERROR as its cause",
  async (harness) => {
    const { stomp, peer } = await harness.pair(AT_ONCE);
    const subscribing = stomp.subscribe("/queue/a");
    for (let i = 0; i < 7; i++) await peer.write(errorFor(await peer.frame("SUBSCRIBE"), DOWN));
    await confirm(peer, "SUBSCRIBE");
    assertEquals((await subscribing).destination, "/queue/a");

    const other = await harness.pair({ reconnect: { delay: 60_000, maxDelay: 60_000 } });
    const late = other.stomp.subscribe("/queue/a", { timeout: 100 });
    late.catch(() => {});
    await other.peer.write(errorFor(await other.peer.frame("SUBSCRIBE"), DOWN));
    const error = await assertRejects(() => late, TimeoutError);
    assertInstanceOf(error.cause, BrokerErrorResponse);
    assert(error.cause.message.includes("is down or inaccessible"));
  },
);

clientTest("`subscribe()` rejects at once when the ERROR is no outage", async (harness) => {
  const { stomp, peer } = await harness.pair(AT_ONCE);
  const subscribing = stomp.subscribe("/queue/a");
  subscribing.catch(() => {});
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), "access refused"));
  await assertRejects(() => subscribing, BrokerErrorResponse, "access refused");
  assertStrictEquals(stomp.connected, true);
});
