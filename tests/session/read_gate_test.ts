/** What is read while an answer is awaited, and that this has an end. */
import { assertEquals, assertLess, assertRejects } from "#assert";
import { ConnectionError } from "../../base/errors.ts";
import { clientTest, frame, openSession, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

const moment = () => new Promise((resolve) => setTimeout(resolve, 20)); // enough for what must not come

/** So many messages, their ids counted from `from`. */
function messages(subscription: string, from: number, count: number): string {
  return Array.from({ length: count }, (_, i) => message(subscription, `m${from + i}`)).join("");
}

clientTest(
  "`ReadGate`: a blocked queue stops reading although an answer is awaited, and status() reports it",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const watcher = new Watcher(stomp);
    const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 4 });
    const sent = stomp.send("/q", "x");
    const said = await peer.frame("SEND");
    await peer.write(messages(slow.id, 1, 31));
    const { blocked } = await watcher.until("slow-consumer");
    assertEquals(blocked, false);
    await peer.write(messages(slow.id, 32, 1));
    const status = await watcher.until("slow-consumer");
    assertEquals([status.blocked, status.queued, status.subscription, slow.blocked], [true, 32, slow.id, true]);
    await peer.write(receiptFor(said) + message(slow.id, "last"));
    let came = false;
    sent.then(() => came = true);
    await moment();
    assertEquals([came, slow.queued], [false, 32]);
    await slow.take(); // and the answer is read
    await sent;
    for (let taken = 1; taken < 32; taken++) await slow.take();
    assertEquals((await slow.take())?.id, "last");
  },
);

clientTest("status() reports a blocked queue once until it has capacity", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const watcher = new Watcher(stomp);
  const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 2 });
  stomp.send("/q", "x").catch(() => {});
  for (let round = 0; round < 2; round++) {
    await peer.write(messages(slow.id, 0, 16));
    while (slow.queued < 16) await moment();
    for (let i = 0; i < 5; i++) {
      await slow.take();
      await peer.write(message(slow.id, "more"));
      while (slow.queued < 16) await moment();
    }
    while (slow.queued > 0) await slow.take();
  }
  stomp.disconnect({ signal: AbortSignal.abort() });
  await watcher.until("closed");
  const seen = watcher.events.map((event) => event.type === "slow-consumer" ? event.blocked : event.type);
  assertEquals(seen, [false, true, false, true, "closed"]);
});

clientTest("`ReadGate`: a request counts as an awaited answer, even inside a worker", async (harness) => {
  const broker = await harness.broker();
  const service = await harness.connect(broker.url);
  await service.respond("/queue/upper", (request) => request.text().toUpperCase());
  const stomp = await harness.connect(broker.url, { timeout: 5000 });
  // So many that they fill the queue before the first reply.
  await Promise.all(Array.from({ length: 3000 }, (_, i) => service.send("/queue/jobs", `job ${i}`)));
  const over = new AbortController();
  const replies: string[] = [];
  await stomp.consume("/queue/jobs", async (job) => {
    replies.push((await stomp.request("/queue/upper", job.text())).text());
    if (replies.length === 10) over.abort();
  }, { signal: over.signal, drainTimeout: 1000, onError: (error) => (over.abort(), Promise.reject(error)) });
  assertEquals(replies, Array.from({ length: 10 }, (_, i) => `JOB ${i}`));
});

clientTest("`ReadGate`: a request that ended in any way no longer counts", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ clock });
  const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 1 });
  const asking = assertRejects(() => stomp.request("/queue/service", "hello", { timeout: 50 }));
  await confirm(peer, "SUBSCRIBE");
  await peer.frame("SEND");
  await peer.write(messages(slow.id, 0, 3));
  clock.pass(50);
  await asking;
  // A read may have been under way.
  await peer.write(messages(slow.id, 3, 1));
  await moment();
  const { queued } = slow;
  await peer.write(messages(slow.id, 4, 1));
  await moment();
  assertEquals(slow.queued, queued);
});

clientTest("`ReadGate`: reading goes on for an awaited reply only", async (harness) => {
  const { session } = await openSession(harness);
  session.gate.close({});
  const over = [session.gate.awaitReply(), session.gate.awaitReply()];
  await Promise.resolve();
  assertEquals(session.paused, false);
  over[0]!();
  assertEquals(session.paused, false);
  over[1]!();
  assertEquals(session.paused, true);
});

clientTest("`ReadGate`: one blocked consumer stops reading for all", async (harness) => {
  const { session } = await openSession(harness);
  const [full, blocked] = [{}, {}];
  session.gate.awaitReply();
  session.gate.close(full);
  assertEquals(session.paused, false);
  session.gate.close(blocked, true);
  session.gate.close(full);
  assertEquals(session.paused, true);
  session.gate.close(blocked); // full still, but not blocked
  assertEquals(session.paused, false);
  session.gate.close(blocked, true);
  session.gate.open(blocked);
  assertEquals(session.paused, false);
});

clientTest({ name: "all queues of a client together hold at most 64 MiB", timeout: 60_000 }, async (harness) => {
  const { stomp, peer } = await harness.pair();
  const watcher = new Watcher(stomp);
  const all = [];
  for (let i = 0; i < 10; i++) all.push(await subscribed(stomp, peer, `/queue/${i}`, { maxQueuedBytes: 2 ** 23 }));
  stomp.send("/q", "x").catch(() => {});
  const body = "x".repeat(2 ** 20);
  const large = (id: string) => `MESSAGE\nsubscription:${id}\nmessage-id:1\n\n${body}\0`;
  // No queue is full by itself: seven MiB are less than eight.
  const writing = (async () => {
    for (let i = 0; i < 70; i++) await peer.write(large(all[i % 10]!.id));
  })();
  const status = await watcher.until("slow-consumer");
  assertEquals([status.blocked, all.some(({ full }) => full)], [true, false]);
  await moment();
  assertEquals(all.reduce((sum, { queued }) => sum + queued, 0), 64);
  let taken = 0;
  for (let round = 0; round < 7; round++) for (const one of all) if (await one.take()) taken++;
  await writing;
  assertEquals(taken, 70);
});

clientTest("a reconnect with 64 MiB queued in mode auto reads nothing, not even answers", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const watcher = new Watcher(stomp);
  const limits = { maxQueuedBytes: 2 ** 25 };
  const all = [await subscribed(stomp, peer, "/queue/a", limits), await subscribed(stomp, peer, "/queue/b", limits)];
  const body = "x".repeat(2 ** 20);
  const large = all.map(({ id }) => `MESSAGE\nsubscription:${id}\nmessage-id:1\n\n${body}\0`);
  const sent = stomp.send("/q", "x");
  const [first] = await Promise.all([
    watcher.until("slow-consumer"),
    (async () => {
      for (let i = 0; i < 64; i++) await peer.write(large[i % 2]!);
    })(),
  ]);
  assertEquals([first.blocked, first.destination], [false, "/queue/a"]);
  while (!(await watcher.until("slow-consumer")).blocked);
  stomp.reconnect();
  const next = await server.welcome();
  const frames = await next.frames(3);
  await next.write(frames.slice(0, 2).map(receiptFor).join("")); // a read may have been under way
  await moment();
  await next.write(receiptFor(frames[2]!));
  let came = false;
  sent.then(() => came = true);
  await moment();
  assertEquals(came, false);
  await all[0]!.take();
  await sent;
});

clientTest("subscribing by conf while the shared queue is full does not stop reading forever", async (harness) => {
  for (const how of ["subscribe", "reconnect"] as const) {
    const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
    const watcher = new Watcher(stomp);
    const subscribing = stomp.subscribe({ destination: "/queue/a" });
    const id = (await confirm(peer, "SUBSCRIBE")).get("id")!;
    await subscribing;
    const other = await subscribed(stomp, peer, "/queue/other");
    await peer.write(messages(id, 0, 1024));
    assertEquals((await watcher.until("slow-consumer")).destination, "/queue/a");
    let now = peer;
    if (how === "subscribe") {
      const second = stomp.subscribe({ destination: "/queue/b" });
      await confirm(peer, "SUBSCRIBE");
      await second;
    } else {
      stomp.reconnect();
      now = await server.welcome();
      await confirm(now, "SUBSCRIBE");
      await confirm(now, "SUBSCRIBE");
      await moment(); // a read may be under way
      await now.write(message(other.id, "none"));
      await moment();
      await now.write(message(other.id, "one"));
    }
    await now.write(message(id, "last"));
    await moment();
    assertLess(other.queued, 2);
    for (let taken = 0; taken < 1024; taken++) assertEquals((await stomp.receiveFrame())?.id, `m${taken}`);
    assertEquals((await stomp.receiveFrame(null, { timeout: 5000 }))?.id, "last");
  }
});

clientTest("a reconnect with a full queue in mode auto reads nothing until there is capacity", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const watcher = new Watcher(stomp);
  const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 2 });
  await peer.write(messages(slow.id, 1, 2));
  await watcher.until("slow-consumer");
  stomp.reconnect();
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  await moment();
  await next.write(messages(slow.id, 3, 1));
  await moment();
  assertEquals([slow.queued, slow.full], [2, true]);
  for (const id of ["m1", "m2", "m3"]) assertEquals((await slow.take())?.id, id);
});

clientTest("a reconnect with a blocked queue in mode auto reads nothing, not even answers", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const watcher = new Watcher(stomp);
  const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 2 });
  const sent = stomp.send("/q", "x");
  await peer.frame("SEND");
  await peer.write(messages(slow.id, 0, 16));
  while (!(await watcher.until("slow-consumer")).blocked);
  stomp.reconnect();
  const next = await server.welcome();
  const [subscribe, send] = await next.frames(2);
  await next.write(receiptFor(subscribe!)); // a read may have been under way
  await moment();
  await next.write(receiptFor(send!));
  let came = false;
  sent.then(() => came = true);
  await moment();
  assertEquals([came, slow.queued], [false, 16]);
  await slow.take();
  await sent;
});

clientTest("a full subscription that is cancelled or drained no longer stops reading", async (harness) => {
  for (const how of ["cancel", "drain", "unsubscribe"] as const) {
    const { stomp, peer } = await harness.pair({}, "1.2", "server:RabbitMQ/4.0.5\n");
    const watcher = new Watcher(stomp);
    const slow = await subscribed(stomp, peer, "/queue/a", { maxQueuedMessages: 2 });
    const other = await subscribed(stomp, peer, "/queue/b");
    const cancel = `ERROR\nsubscription:${slow.id}\nmessage:Server cancelled subscription\n\n\0`;
    await peer.write(messages(slow.id, 1, 2) + (how === "cancel" ? cancel : ""));
    await watcher.until("slow-consumer");
    await peer.write(message(other.id, "o1"));
    const ended = how === "cancel" ? slow.closed : slow[how]();
    if (how !== "cancel") await confirm(peer, "UNSUBSCRIBE");
    assertEquals((await other.take({ timeout: 5000 }))?.id, "o1");
    if (how === "drain") { for (const id of ["m1", "m2"]) assertEquals((await slow.take())?.id, id); }
    await ended;
    await peer.write(message(other.id, "o2"));
    assertEquals((await other.take({ timeout: 5000 }))?.id, "o2");
  }
});

for (const what of ["request", "confirm"] as const) {
  clientTest(`\`${what}()\` fails once when the connection ended while reading was paused`, async (harness) => {
    const { session, peer } = await openSession(harness);
    session.gate.close({});
    await peer.write(message("a", "m1"));
    await moment();
    await peer.finish();
    await moment();
    assertEquals([session.isOpen, session.paused], [true, true]);
    const begin = frame("BEGIN", { transaction: "a" });
    if (what === "request") return void await assertRejects(() => session.request(begin), ConnectionError, "closed it");
    const verdicts: string[] = [];
    session.sender.confirm(begin, {
      describe: () => "BEGIN",
      confirmed: () => verdicts.push("confirmed"),
      failed: (_, verdict) => verdicts.push(verdict),
    });
    assertEquals(verdicts, []);
    await moment();
    assertEquals(verdicts, ["lost"]);
  });
}
