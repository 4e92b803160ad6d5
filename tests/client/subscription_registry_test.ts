/** A subscription that the broker refuses when it is made anew: when it is said again, and when it ends. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import { test } from "#test";
import { BrokerErrorResponse, NotConnectedError, TimeoutError } from "../../base/errors.ts";
import type { StompOptions } from "../../client/options.ts";
import { isOutageError } from "../../dialects/registry.ts";
import { type ClientHarness, clientTest, frame, settle, subscribed, Watcher } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

const AT_ONCE: StompOptions = { reconnect: { delay: 0 } };
const DOWN = "home node 'a@b' of durable queue 'q' in vhost '/' is down or inaccessible";

/** RabbitMQ's ERROR of a queue whose node is down. It names no frame, and the connection ends behind it. */
const HOME_NODE = `ERROR\nmessage:not_found\n\nNOT_FOUND - ${DOWN}\n\0`;

/** A refusal that names no frame. */
const VAGUE = "ERROR\nmessage:access refused\n\n\0";

/** Has the connection break, and the next one come up as far as CONNECTED. */
async function breakAndWelcome(
  { peer, server }: { peer: RawPeer; server: Awaited<ReturnType<ClientHarness["server"]>> },
): Promise<RawPeer> {
  await peer.close();
  return await server.welcome();
}

test("isOutageError: the words of brokers of which a part is out of order", () => {
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
  "a SUBSCRIBE that is refused anew is said again, and ends with the fifth refusal; the others go on",
  async (rig) => {
    const pair = await rig.pair(AT_ONCE);
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
    // And not on the one after it.
    await next.close();
    const last = await pair.server.welcome();
    assertEquals((await confirm(last, "SUBSCRIBE")).get("destination"), "/queue/good");
    const sending = stomp.send("/queue/a", "x");
    await confirm(last, "SEND");
    await sending;
  },
);

for (const names of ["the SUBSCRIBE", "no frame"]) {
  const name = `a refusal that passes, by an ERROR that names ${names}`;
  clientTest(`${name}: the subscription goes on, and the next trouble is a new one`, async (rig) => {
    const pair = await rig.pair(AT_ONCE);
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

clientTest("words of an outage end no subscription, over however many connections", async (rig) => {
  const pair = await rig.pair(AT_ONCE, "1.2", "server:RabbitMQ/3.10.8\n");
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

clientTest("so they do while the connection stays: it is said again there", async (rig) => {
  const pair = await rig.pair(AT_ONCE);
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

clientTest("as often as the policy has it, and then the subscription ends with the broker's words", async (rig) => {
  const pair = await rig.pair({ reconnect: { delay: 0, attempts: 2 } });
  const subscription = await subscribed(pair.stomp, pair.peer);
  const peer = await breakAndWelcome(pair);
  for (let i = 0; i < 3; i++) await peer.write(errorFor(await peer.frame("SUBSCRIBE"), DOWN));
  const reason = await subscription.closed;
  assertInstanceOf(reason, BrokerErrorResponse);
  assert(reason.message.includes("is down or inaccessible"), reason.message);
});

clientTest("one queue that is down does not keep the others from being consumed", async (rig) => {
  const pair = await rig.pair({ reconnect: { delay: 1, maxDelay: 50 } }, "1.2", "server:RabbitMQ/3.10.8\n");
  const { stomp, server } = pair;
  await subscribed(stomp, pair.peer, "/queue/down");
  const good = await subscribed(stomp, pair.peer, "/queue/good");
  const watcher = new Watcher(stomp);
  let peer = await breakAndWelcome(pair);
  // Both are said, and one ERROR comes that names neither.
  await peer.frames(2, "SUBSCRIBE");
  await peer.write(HOME_NODE);
  await peer.close();
  // From then on each is alone, and so it is found which one it is.
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

/** So long that nothing is said again by itself. */
const SLOW: StompOptions = { reconnect: { delay: 3_600_000, maxDelay: 3_600_000 } };

clientTest(
  "an ERROR that names no frame may have been about another one: messages that come are taken",
  async (rig) => {
    const pair = await rig.pair(SLOW);
    const { stomp } = pair;
    const subscription = await subscribed(stomp, pair.peer);
    stomp.reconnect();
    const peer = await pair.server.welcome();
    await peer.frame("SUBSCRIBE");
    const watcher = new Watcher(stomp);
    await peer.write("ERROR\nmessage:something else\n\n\0");
    await watcher.until("error");
    await settle();
    await peer.write(message(subscription.id, "m1"));
    assertEquals((await subscription.take())?.id, "m1");
  },
);

clientTest("and they tell that it was made: it is not said again", async (rig) => {
  const pair = await rig.pair(AT_ONCE);
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

clientTest("what waits to be said again waits on the next connection as well", async (rig) => {
  const pair = await rig.pair(SLOW);
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
  await settle();
  stomp.reconnect();
  peer = await pair.server.welcome();
  assertEquals((await confirm(peer, "SUBSCRIBE")).get("destination"), "/queue/good");
  const sending = stomp.send("/queue/a", "x");
  await confirm(peer, "SEND");
  await sending;
  // And whoever waits for it is told when the client ends.
  const told = assertRejects(() => late, NotConnectedError, "Cannot subscribe to /queue/new: the client is closed");
  await stomp.disconnect({ signal: AbortSignal.abort() });
  await told;
});

clientTest("a refusal that may have meant another subscription does not count", async (rig) => {
  const pair = await rig.pair(AT_ONCE);
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
  "the first `subscribe()` waits out an outage within its time, and tells of it when that is over",
  async (rig) => {
    const { stomp, peer } = await rig.pair(AT_ONCE);
    const subscribing = stomp.subscribe("/queue/a");
    for (let i = 0; i < 7; i++) await peer.write(errorFor(await peer.frame("SUBSCRIBE"), DOWN));
    await confirm(peer, "SUBSCRIBE");
    assertEquals((await subscribing).destination, "/queue/a");

    const other = await rig.pair({ reconnect: { delay: 60_000, maxDelay: 60_000 } });
    const late = other.stomp.subscribe("/queue/a", { timeout: 100 });
    late.catch(() => {});
    await other.peer.write(errorFor(await other.peer.frame("SUBSCRIBE"), DOWN));
    const error = await assertRejects(() => late, TimeoutError);
    assertInstanceOf(error.cause, BrokerErrorResponse);
    assert(error.cause.message.includes("is down or inaccessible"));
  },
);

clientTest("the first `subscribe()` rejects at once for any other refusal", async (rig) => {
  const { stomp, peer } = await rig.pair(AT_ONCE);
  const subscribing = stomp.subscribe("/queue/a");
  subscribing.catch(() => {});
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), "access refused"));
  await assertRejects(() => subscribing, BrokerErrorResponse, "access refused");
  assertStrictEquals(stomp.connected, true);
});
