/** What `ack()` and `nack()` resolve to, what they write in mode client, and what a drain waits for. */
import { assertEquals, assertLess, assertRejects } from "#assert";
import {
  AcknowledgeError,
  BrokerErrorResponse,
  NotConnectedError,
  StaleMessageError,
  TimeoutError,
  TransactionError,
} from "../../base/errors.ts";
import type { Message } from "../../client/message.ts";
import { Simple } from "../../api/simple.ts";
import type { Subscription } from "../../client/subscription.ts";
import { clientTest, dropConnection, flushMicrotasks, subscribed } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, errorFor, message } from "../support/raw_server.ts";

const INDIVIDUAL = { ack: "client-individual" } as const;
const CUMULATIVE = { ack: "client" } as const;
const RABBITMQ = "server:RabbitMQ/4.0.5\n";

/** Delivers messages, and takes them. */
async function deliver(peer: RawPeer, subscription: Subscription, ...ids: string[]): Promise<Message[]> {
  await peer.write(ids.map((id) => message(subscription.id, id)).join(""));
  const messages: Message[] = [];
  for (const _ of ids) messages.push((await subscription.take())!);
  return messages;
}

clientTest("`ack()` resolves to false after the client is closed, and rejects in a transaction", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const [one, two] = await deliver(peer, subscription, "m1", "m2");
  assertEquals([await stomp.ack(one!), subscription.stale], [true, 0]);
  await peer.frame("ACK");
  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  const ending = stomp.disconnect();
  await confirm(peer, "DISCONNECT");
  await peer.finish();
  await ending;
  assertEquals([await two!.ack(), await stomp.nack(two!), subscription.stale], [false, false, 2]);
  await assertRejects(() => tx.ack(two!), NotConnectedError, "the client is closed");
  await assertRejects(() => one!.ack(), AcknowledgeError, "it was sent ACK already");
});

clientTest("`ack()` after a lost connection resolves to false, and rejects in a transaction", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const [one] = await deliver(peer, subscription, "m1");
  const [old] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  assertEquals(await old.ack(one!), true);
  await dropConnection(stomp, peer);
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  const [tx] = await Promise.all([stomp.begin(), confirm(next, "BEGIN")]);
  assertEquals(await one!.ack(), false); // nothing of the old transaction took effect
  await assertRejects(() => tx.ack(one!), StaleMessageError, "the message came over a connection that is gone");
  await assertRejects(() => old.nack(one!), TransactionError, "it died with its connection");
  assertEquals(subscription.stale, 1);
});

clientTest("`ack()` resolves to false when the connection breaks before it is written", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const [one] = await deliver(peer, subscription, "m1");
  const sending = stomp.send("/queue/b", new Uint8Array(1 << 26), { receipt: false }).catch(() => {}); // the peer does not read it
  await flushMicrotasks();
  const acknowledging = one!.ack();
  await peer.close();
  assertEquals([await acknowledging, subscription.stale], [false, 1]);
  await sending;
});

clientTest("`for await` goes on when the connection breaks while a message is handled", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const jobs = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(message("sub-1", "m1"));
  const seen: unknown[] = [];
  const loop = (async () => {
    for await (const job of jobs) {
      if (seen.length === 0) await dropConnection(stomp, peer);
      seen.push(job.id, await job.ack());
      if (seen.length === 4) break;
    }
  })();
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  await next.write(message("sub-1", "m1", "redelivered:true\n"));
  await next.frame("ACK");
  await confirm(next, "UNSUBSCRIBE");
  await loop;
  assertEquals(seen, ["m1", false, "m1", true]);
});

clientTest("`Simple.ack()` resolves to whether the ACK was written", async (harness) => {
  const server = await harness.server();
  const client = new Simple(server.url, { heartbeat: false, reconnect: { delay: 0 } });
  harness.atEnd(() => client.stomp.disconnect({ signal: AbortSignal.abort() }));
  const [peer] = await Promise.all([server.welcome(), client.connect()]);
  await Promise.all([client.subscribe("/queue/a", CUMULATIVE), confirm(peer, "SUBSCRIBE")]);
  await peer.write(message("sub-1", "m1") + message("sub-1", "m2"));
  assertEquals(await client.ack(await client.get()), true);
  const two = await client.get();
  await dropConnection(client.stomp, peer);
  assertEquals(await client.ack(two), false);
});

for (const version of ["1.0", "1.1", "1.2"]) {
  clientTest(
    `\`ack()\` in mode client on RabbitMQ sends an ACK for each earlier message, STOMP ${version}`,
    async (harness) => {
      const { stomp, peer } = await harness.pair({}, version, RABBITMQ);
      const [subscription, said] = await Promise.all([
        stomp.subscribe("/queue/a", CUMULATIVE),
        confirm(peer, "SUBSCRIBE"),
      ]);
      assertEquals(said.get("ack"), "client-individual");
      const all = await deliver(peer, subscription, "m1", "m2", "m3", "m4");
      const key = version === "1.2" ? "id" : "message-id";
      assertEquals(await all[2]!.ack(), true);
      assertEquals((await peer.frames(3, "ACK")).map((frame) => frame.get(key)), ["m1", "m2", "m3"]);
      await assertRejects(() => all[1]!.ack(), AcknowledgeError, "a later message was acknowledged");
      await all[3]!.ack();
      assertEquals((await peer.frame("ACK")).get(key), "m4");
      if (version === "1.0") return;
      const [, last] = await deliver(peer, subscription, "m5", "m6");
      await last!.nack({ headers: { requeue: "false" } });
      const frames = await peer.frames(2, "NACK");
      assertEquals(frames.map((frame) => [frame.get(key), frame.get("requeue")]), [["m5", "false"], ["m6", "false"]]);
    },
  );
}

clientTest(
  "`ack()` in mode client on RabbitMQ sends an ACK for each earlier message in a transaction, too",
  async (harness) => {
    const { stomp, peer } = await harness.pair({}, "1.2", RABBITMQ);
    const subscription = await subscribed(stomp, peer, "/queue/a", CUMULATIVE);
    const [, two, three] = await deliver(peer, subscription, "m1", "m2", "m3");
    const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
    await tx.ack(two!);
    await Promise.all([tx.abort(), confirm(peer, "ABORT")]);
    await two!.ack();
    assertEquals((await peer.frames(2, "ACK")).map((frame) => frame.get("id")), ["m1", "m2"]);
    const [next] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
    await next.ack(three!);
    const committing = next.commit();
    await confirm(peer, "COMMIT");
    assertEquals((await confirm(peer, "ACK")).get("id"), "m3"); // RabbitMQ gets it after the commit
    await committing;
  },
);

clientTest("`ack()` in mode client on ActiveMQ sends one ACK for all earlier messages", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", "server:ActiveMQ/5.17.2\n");
  const [subscription, said] = await Promise.all([
    stomp.subscribe("/queue/a", CUMULATIVE),
    confirm(peer, "SUBSCRIBE"),
  ]);
  assertEquals(said.get("ack"), "client");
  const all = await deliver(peer, subscription, "m1", "m2", "m3");
  await all[1]!.ack();
  await all[2]!.ack();
  assertEquals((await peer.frames(2, "ACK")).map((frame) => frame.get("id")), ["m2", "m3"]);
});

for (const ack of ["client", "client-individual"] as const) {
  for (const how of ["aborted", "refused"] as const) {
    clientTest(
      `\`drain()\` in mode ${ack} does not wait for messages whose transaction was ${how}`,
      async (harness) => {
        const { stomp, peer } = await harness.pair();
        const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
        const [one] = await deliver(peer, subscription, "m1");
        const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
        await tx.ack(one!);
        await peer.frame("ACK");
        const draining = how === "refused" ? subscription.drain() : undefined; // a drain may begin before the refusal
        if (how === "aborted") await Promise.all([tx.abort(), confirm(peer, "ABORT")]);
        else {
          const committing = assertRejects(() => tx.commit(), BrokerErrorResponse, "no");
          await peer.write(errorFor(await peer.frame("COMMIT"), "no"));
          await committing;
        }
        const start = performance.now();
        const ending = draining ?? subscription.drain();
        await confirm(peer, "UNSUBSCRIBE");
        await ending;
        assertLess(performance.now() - start, 5000);
      },
    );
  }
}

clientTest(
  "`drain()` waits for messages outside an aborted transaction, whose own can be acknowledged again",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
    const [one, two] = await deliver(peer, subscription, "m1", "m2");
    const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
    await tx.ack(one!);
    await peer.frame("ACK");
    await Promise.all([tx.abort(), confirm(peer, "ABORT")]);
    assertEquals(await one!.ack(), true);
    await peer.frame("ACK");
    const draining = subscription.drain();
    await flushMicrotasks();
    await two!.ack();
    await peer.frame("ACK"); // and no UNSUBSCRIBE before it
    await confirm(peer, "UNSUBSCRIBE");
    await draining;
  },
);

for (const ack of ["client", "client-individual"] as const) {
  clientTest(
    `\`drain()\` in mode ${ack} ends at once when the connection of an open transaction is lost`,
    async (harness) => {
      const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
      const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
      const [one] = await deliver(peer, subscription, "m1");
      const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
      await tx.ack(one!);
      await peer.frame("ACK");
      const before = subscription.drain({ timeout: 20_000 }); // while the transaction is open, and after it
      await flushMicrotasks();
      await dropConnection(stomp, peer);
      const start = performance.now();
      await before;
      const next = await server.welcome();
      const other = await subscribed(stomp, next, "/queue/b", { ack });
      const [two] = await deliver(next, other, "m2");
      const [last] = await Promise.all([stomp.begin(), confirm(next, "BEGIN")]);
      await last.ack(two!);
      await next.frame("ACK");
      await dropConnection(stomp, next);
      const third = await server.welcome();
      await confirm(third, "SUBSCRIBE");
      const after = other.drain({ timeout: 20_000 });
      await confirm(third, "UNSUBSCRIBE");
      await after;
      assertLess(performance.now() - start, 5000);
    },
  );
}

clientTest("`ack()` in mode client rejects while an open transaction acknowledges a later message", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", CUMULATIVE);
  const [one, two, three] = await deliver(peer, subscription, "m1", "m2", "m3");
  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  await tx.ack(two!);
  await assertRejects(() => one!.ack(), AcknowledgeError, "a later message was acknowledged");
  await Promise.all([tx.abort(), peer.frame("ACK").then(() => confirm(peer, "ABORT"))]);
  assertEquals([await one!.ack(), await three!.ack()], [true, true]); // the transaction had no effect
  assertEquals((await peer.frames(2, "ACK")).map((frame) => frame.get("id")), ["m1", "m3"]);
});

for (const [server, isSettled] of [["ActiveMQ/5.17.2", true], ["RabbitMQ/4.0.5", false]] as const) {
  const what = isSettled ? "stays settled" : "can be acknowledged again, as no ACK was sent";
  clientTest(`\`commit()\` that times out on ${server}: its message ${what}`, async (harness) => {
    const { stomp, peer } = await harness.pair({}, "1.2", `server:${server}\n`);
    const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
    const [one] = await deliver(peer, subscription, "m1");
    const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
    await tx.ack(one!);
    await assertRejects(() => tx.commit({ timeout: 20 }), TimeoutError);
    if (isSettled) await assertRejects(() => one!.ack(), AcknowledgeError, "it was sent ACK already");
    else assertEquals(await one!.ack(), true);
    const commands = (await peer.frames(2)).map(({ command }) => command);
    assertEquals(commands, isSettled ? ["ACK", "COMMIT"] : ["COMMIT", "ACK"]);
  });
}
