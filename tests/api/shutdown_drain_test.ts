/** `drain()`: no received message is lost or handled twice, and it always ends. */
import { assertEquals, assertLess, assertRejects } from "#assert";
import { BrokerErrorResponse, NotConnectedError } from "../../base/errors.ts";
import { clientTest, flushMicrotasks, subscribed } from "../support/client_harness.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

const INDIVIDUAL = { ack: "client-individual" } as const;
const DONE = { done: true, value: undefined } as const;

clientTest(
  "`drain()` in mode `auto` unsubscribes, and queued and arriving messages are still taken",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer);
    await peer.write(message("sub-1", "m1") + message("sub-1", "m2"));
    const draining = subscription.drain();
    const said = await peer.frame("UNSUBSCRIBE");
    // The broker holds this for delivered; it had not read UNSUBSCRIBE when it sent it.
    await peer.write(message("sub-1", "m3") + receiptFor(said));
    const seen: string[] = [];
    for await (const one of subscription) seen.push(one.id);
    await draining;
    assertEquals(seen, ["m1", "m2", "m3"]);
    assertEquals(await subscription.closed, undefined);
  },
);

clientTest(
  "`drain()` in the client modes ends the loop at once, and sends UNSUBSCRIBE after the last acknowledgement",
  async (harness) => {
    for (const ack of ["client", "client-individual"] as const) {
      const { stomp, peer } = await harness.pair();
      const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
      await peer.write(message("sub-1", "m1") + message("sub-1", "m2") + message("sub-1", "m3"));
      const one = (await subscription.take())!;
      const two = (await subscription.take())!;
      const draining = subscription.drain();
      assertEquals(await subscription.next(), DONE); // m3 goes to another consumer
      if (ack === "client-individual") await one.ack();
      await flushMicrotasks();
      await two.ack();
      const frames = await peer.frames(ack === "client" ? 2 : 3);
      assertEquals(
        frames.map((frame) => frame.command).join(),
        ack === "client" ? "ACK,UNSUBSCRIBE" : "ACK,ACK,UNSUBSCRIBE",
      );
      await peer.write(message("sub-1", "late") + receiptFor(frames.at(-1)!));
      await draining;
      assertEquals(await subscription.closed, undefined);
    }
  },
);

clientTest("`drain()` waits for a message that was taken at the moment of the call", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const first = await subscribed(stomp, peer, "/queue/a");
  const second = await subscribed(stomp, peer, "/queue/b", INDIVIDUAL);
  const draining = first.next().then(() => second.drain());
  const taking = second.take();
  await peer.write(message("sub-1", "m1") + message("sub-2", "m2"));
  const taken = (await taking)!;
  await flushMicrotasks();
  await taken.ack();
  await peer.frame("ACK");
  await confirm(peer, "UNSUBSCRIBE");
  await draining;
});

clientTest("`drain()` waits for the commit of an acknowledgement in a transaction", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(message("sub-1", "m1"));
  const one = (await subscription.take())!;
  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  await tx.ack(one);
  await peer.frame("ACK");
  const draining = subscription.drain();
  const committing = tx.commit();
  await confirm(peer, "COMMIT"); // and no UNSUBSCRIBE before it
  await confirm(peer, "UNSUBSCRIBE");
  await Promise.all([committing, draining]);
});

clientTest("`drain()` ends at once when no message was taken", async (harness) => {
  const { stomp, peer } = await harness.pair();
  for (const ack of ["auto", "client", "client-individual"] as const) {
    const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
    const draining = subscription.drain();
    await confirm(peer, "UNSUBSCRIBE");
    await draining;
  }
});

clientTest("`drain()` ends at its timeout when a message is never acknowledged", async (harness) => {
  for (const options of [{ timeout: 30 }, { signal: AbortSignal.timeout(30) }, { signal: AbortSignal.abort() }]) {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
    await peer.write(message("sub-1", "m1"));
    await subscription.take();
    const draining = subscription.drain(options);
    await confirm(peer, "UNSUBSCRIBE");
    await draining;
    assertEquals(await subscription.closed, undefined);
  }
});

clientTest(
  "`drain()` ends at its timeout when queued messages are not taken, and they can be taken after it",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer);
    await peer.write(message("sub-1", "m1"));
    const draining = subscription.drain({ timeout: 30 });
    await confirm(peer, "UNSUBSCRIBE");
    await draining;
    assertEquals((await subscription.next()).value?.id, "m1");
    assertEquals(await subscription.next(), DONE);
  },
);

clientTest("`drain()` ends at its timeout when the broker does not answer UNSUBSCRIBE", async (harness) => {
  for (const ack of ["auto", "client"] as const) {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
    await subscription.drain({ timeout: 30 });
    await peer.frame("UNSUBSCRIBE");
    assertEquals(await subscription.closed, undefined);
  }
});

clientTest("`drain()` rejects when the broker refuses UNSUBSCRIBE", async (harness) => {
  for (const ack of ["auto", "client"] as const) {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
    const draining = subscription.drain();
    await peer.write(errorFor(await peer.frame("UNSUBSCRIBE"), "no"));
    await assertRejects(() => draining, BrokerErrorResponse, "no");
    assertEquals(await subscription.closed, undefined);
  }
});

clientTest("`drain()` ends when the loop is left", async (harness) => {
  for (const ack of ["auto", "client-individual"] as const) {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
    await peer.write(message("sub-1", "m1") + message("sub-1", "m2"));
    let draining: Promise<void> | undefined;
    const start = performance.now();
    const said = confirm(peer, "UNSUBSCRIBE");
    for await (const _ of subscription) {
      draining = subscription.drain();
      break; // m1 is not acknowledged, m2 never taken
    }
    await Promise.all([draining, said]);
    assertLess(performance.now() - start, 5000);
  }
});

clientTest("`drain()` ends when the connection is lost", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(message("sub-1", "m1"));
  await subscription.take();
  const draining = subscription.drain();
  await peer.close();
  await draining;
  const next = await server.welcome();
  const sending = stomp.send("/q", "x");
  await confirm(next, "SEND"); // it is not subscribed again
  await sending;
});

clientTest("`drain()` does not wait for a message of a lost connection", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(message("sub-1", "m1"));
  await subscription.take();
  const taking = subscription.take();
  await peer.write(message("sub-1", "m2"));
  await peer.finish(); // m2 is given to whoever waits, and its connection is gone
  const next = await server.welcome();
  await Promise.all([taking, confirm(next, "SUBSCRIBE")]);
  const start = performance.now();
  const draining = subscription.drain();
  await confirm(next, "UNSUBSCRIBE");
  await draining;
  assertLess(performance.now() - start, 5000);
});

clientTest("`drain()` is idempotent, on client and subscription", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  const conf = stomp.subscribe({ destination: "/queue/c" });
  await confirm(peer, "SUBSCRIBE");
  await conf;
  await peer.write(message("sub-1", "m1") + message("sub-2", "c1") + message("sub-2", "c2"));
  const one = (await subscription.take())!;
  const draining = [stomp.drain(), stomp.drain(), subscription.drain(), stomp.drain()];
  await confirm(peer, "UNSUBSCRIBE"); // of the one in mode auto
  // A handler may still send, and take what is left.
  const sending = stomp.send("/queue/answers", "done");
  await confirm(peer, "SEND");
  await sending;
  assertEquals((await stomp.receiveFrame())?.id, "c1");
  assertEquals((await stomp.receiveFrame())?.id, "c2");
  await one.ack();
  await peer.frame("ACK");
  await confirm(peer, "UNSUBSCRIBE");
  await confirm(peer, "DISCONNECT");
  await peer.finish();
  await Promise.all(draining);
  assertEquals(await stomp.closed, undefined);
  await assertRejects(() => stomp.send("/q", "x"), NotConnectedError, "the client is closed");
});

clientTest("`disconnect()` ends a drain at once", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
  await peer.write(message("sub-1", "m1"));
  await subscription.take();
  const draining = stomp.drain({ timeout: 60_000 });
  await flushMicrotasks();
  const ending = stomp.disconnect();
  await confirm(peer, "UNSUBSCRIBE");
  await confirm(peer, "DISCONNECT");
  await peer.finish();
  await Promise.all([draining, ending]);
});

clientTest("`drain()` of a client disconnects at its timeout", async (harness) => {
  for (const options of [{ timeout: 50 }, { signal: AbortSignal.abort() }]) {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer, "/queue/a", INDIVIDUAL);
    await peer.write(message("sub-1", "m1"));
    await subscription.take();
    const start = performance.now();
    await stomp.drain(options);
    assertLess(performance.now() - start, 2000);
    assertEquals([await stomp.closed, await subscription.closed], [undefined, undefined]);
    await peer.rest();
  }
});
