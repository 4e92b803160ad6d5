/** What a client meets on a bad day: a broker that comes back as another, or not at all, or all the time. */
import { assert, assertEquals, assertGreater, assertInstanceOf, assertLess, assertRejects } from "#assert";
import { test } from "#test";
import process from "node:process";
import { Backoff } from "../backoff.ts";
import { Broker } from "../broker.ts";
import { BrokerErrorResponse, ConnectionError, OutboxFullError, TimeoutError } from "../errors.ts";
import { seededRandom } from "./fault_proxy.ts";
import { clientTest, subscribed, Watcher } from "./support/client_rig.ts";
import { confirm, errorFor, message, receiptFor } from "./support/raw_server.ts";

const HASTY = { reconnect: { delay: 1, maxDelay: 20 } };

clientTest("a broker that comes back with another version and another heart-beat is spoken to as it asks", async (rig) => {
  const offer = { heartbeat: { send: 60_000, receive: 60_000 } };
  const { stomp, peer, server } = await rig.pair({ ...HASTY, ...offer }, "1.2", "heart-beat:60000,60000\n");
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  await peer.write(message(subscription.id, "first"));
  await (await subscription.take())!.ack();
  const acknowledged = await peer.frame("ACK");
  assertEquals([acknowledged.get("id"), acknowledged.get("message-id")], ["first", undefined]);
  await peer.finish();

  const next = await server.welcome("1.1", "heart-beat:0,0\n");
  await confirm(next, "SUBSCRIBE");
  await next.write(message(subscription.id, "second"));
  await (await subscription.take())!.nack();
  const refused = await next.frame("NACK");
  assertEquals(
    [refused.get("message-id"), refused.get("subscription"), refused.get("id")],
    ["second", subscription.id, undefined],
  );
  assertEquals(stomp.version, "1.1");
  await next.finish();

  const last = await server.welcome("1.0");
  await confirm(last, "SUBSCRIBE");
  await last.write(message(subscription.id, "third"));
  await assertRejects(async () => await (await subscription.take())!.nack(), Error, "1.0");
});

clientTest("a broker that comes back without a queue ends its subscription, and nothing else", async (rig) => {
  const { stomp, peer, server } = await rig.pair(HASTY);
  const gone = await subscribed(stomp, peer, "/queue/gone");
  const kept = await subscribed(stomp, peer, "/queue/kept");
  await peer.finish();
  const next = await server.welcome();
  await next.write(errorFor(await next.frame("SUBSCRIBE"), "no such queue"));
  await confirm(next, "SUBSCRIBE");
  await assertRejects(() => gone.take(), BrokerErrorResponse, "no such queue");
  await next.write(message(kept.id, "still here"));
  assertEquals((await kept.take())?.text(), "still here");
});

test("a password that was changed ends the client, unless it is asked for", async () => {
  const old = await Broker.listen({ login: "user", passcode: "old" });
  const { port } = old;
  let passcode = "old";
  const url = `stomp://127.0.0.1:${port}`;
  const fixed = new Watchable(url, { username: "user", password: "old" });
  const asking = new Watchable(url, { credentials: () => Promise.resolve({ username: "user", password: passcode }) });
  await Promise.all([fixed.stomp.connect(), asking.stomp.connect()]);
  const sent = fixed.stomp.send("/queue/never", "confirmed before");
  await sent;
  passcode = "new";
  await old.close();
  await using _broker = await Broker.listen({ port, login: "user", passcode: "new" });
  const reason = await fixed.stomp.closed;
  assertInstanceOf(reason, BrokerErrorResponse);
  assertEquals(reason.message, "Cannot connect: login refused (The login or the passcode is wrong)");
  await assertRejects(() => fixed.stomp.send("/queue/a", "too late"), Error, "the client is closed");
  await asking.stomp.send("/queue/a", "with the new password");
  await asking.stomp.disconnect();
});

clientTest("a broker that accepts and drops slows the attempts down, and costs no time", async (rig) => {
  const server = await rig.server();
  const { stomp, watcher } = watched(rig, server.url, {});
  const serving = (async () => {
    await Promise.all([server.welcome().then((peer) => peer.finish()), stomp.connect()]);
    const begun = performance.now();
    const before = process.cpuUsage();
    const times: number[] = [];
    while (performance.now() - begun < 2000) {
      const peer = await Promise.race([server.welcome(), new Promise<undefined>((r) => setTimeout(r, 500))]);
      if (peer === undefined) break; // the wait is longer than that by now
      times.push(performance.now() - begun);
      await peer.finish();
    }
    const { user, system } = process.cpuUsage(before);
    return { attempts: times.length, busy: (user + system) / 1000, lasted: performance.now() - begun };
  })();
  const { attempts, busy, lasted } = await serving;
  // 100 ms, 200 ms, 400 ms … at most, and half of that on the average.
  assertLess(attempts, 20);
  assertLess(busy, Math.max(200, lasted / 2));
  void watcher;
});
