/**
 * Where RabbitMQ hangs up, cancels or drops without being asked: large frames, many headers, too many deliveries, consumers
 * that are too slow, and replies to a client that has left.
 */
import { assert, assertEquals, assertInstanceOf, assertLess, assertMatch, assertRejects } from "#assert";
import { AcknowledgeError, BrokerErrorResponse, ConnectionError, SubscriptionError } from "../../base/errors.ts";
import { Watcher } from "../support/client_harness.ts";
import { FULL_QUEUES } from "./harness/rabbitmq.ts";
import { type BrokerName, eventually, once, take, takeTexts, takeTextsUntilMark } from "./support.ts";

/** The releases that limit a frame to 4 MiB, `stomp.max_frame_size`. */
const FROM_4_0: BrokerName[] = ["rabbitmq-4.0", "rabbitmq-4.3"];
const MAX_FRAME_BYTES = 4 * 1024 * 1024;

once("`send()` refuses a frame over 4 MiB, at which RabbitMQ would hang up", {
  broker: FROM_4_0,
  own: true,
  async fn({ own, connect, queue }) {
    const stomp = await connect({ reconnect: {} });
    const destination = queue();
    const subscription = await stomp.subscribe(destination);
    const watcher = new Watcher(stomp);
    const words = `hangs up on more than ${MAX_FRAME_BYTES}`;
    await assertRejects(() => stomp.send(destination, new Uint8Array(MAX_FRAME_BYTES)), RangeError, words);
    await stomp.send(destination, "undisturbed");
    assertEquals(await takeTexts(subscription, 1), ["undisturbed"]);
    assertEquals(watcher.events, []);
    await subscription.unsubscribe();

    // What RabbitMQ does: the limit is for the whole frame. The one for bodies, which the harness sets, is lower.
    const bold = await connect({ frameLimits: { bytes: Infinity } });
    const body = new Uint8Array(own.maxBodyBytes);
    const padded = (length: number) => ({ headers: { pad: "x".repeat(length - body.length) } });
    await bold.send(destination, body, padded(MAX_FRAME_BYTES - 200));
    await assertRejects(() => bold.send(destination, body, padded(MAX_FRAME_BYTES - 10)), ConnectionError);
  },
});

once("`send()` refuses more than 100 headers, at which RabbitMQ 4.3 would hang up", {
  broker: "rabbitmq",
  own: true,
  async fn({ connect, queue, broker }) {
    const destination = queue();
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`h${n}`, "v"]));
    const stomp = await connect();
    const subscription = await stomp.subscribe(destination);
    await stomp.send(destination, "some", { headers: many(90) });
    if (broker.name === "rabbitmq-4.3") {
      await assertRejects(() => stomp.send(destination, "many", { headers: many(101) }), RangeError, "more than 100");
      const bold = await connect({ frameLimits: { headers: Infinity } });
      await assertRejects(() => bold.send(destination, "many", { headers: many(101) }), ConnectionError);
      assertEquals(await takeTextsUntilMark(stomp, subscription), ["some"]);
    } else {
      await stomp.send(destination, "many", { headers: many(500) });
      assertEquals(await takeTexts(subscription, 2), ["some", "many"]);
    }
  },
});

once("a send that a full queue rejects fails alone, with the likely reason", {
  broker: "rabbitmq",
  own: true,
  async fn({ connect, queue }) {
    const stomp = await connect({ reconnect: { delay: 0 }, timeout: 30_000 });
    const [full, good] = [queue(FULL_QUEUES), queue()];
    const headers = { "x-queue-type": "quorum" };
    const held = await stomp.subscribe(good, { ack: "client-individual", headers });
    await stomp.send(good, "held", { headers });
    await take(held, 1);
    for (const text of ["one", "two"]) await stomp.send(full, text);
    // RabbitMQ hangs up without an ERROR, so the client finds out by sending again.
    const sends = Array.from(
      { length: 20 },
      (_, n) => stomp.send(n === 10 ? full : good, `${n}`, { headers: n === 10 ? {} : headers }),
    );
    const results = await Promise.allSettled(sends);
    assertEquals(results.flatMap(({ status }, n) => status === "rejected" ? [n] : []), [10]);
    const { reason } = results[10] as PromiseRejectedResult;
    assertInstanceOf(reason, ConnectionError);
    assertMatch(reason.message, /its queue may be full and reject it/);
    // It has cost a few connections, and a quorum queue of 4.0 drops what it has delivered 20 times.
    const [again] = await take(held, 1);
    assertEquals(again!.text(), "held");
    assertLess(again!.attempts, 8);
  },
});

once("`attempts` counts the deliveries of a quorum queue, up to the limit of RabbitMQ 4.0", {
  broker: "rabbitmq",
  async fn({ connect, queue, broker }) {
    const stomp = await connect();
    const [destination, dead] = [queue(), queue()];
    const headers = {
      "x-queue-type": "quorum",
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": dead.replace("/queue/", ""),
    };
    const letters = await stomp.subscribe(dead);
    const subscription = await stomp.subscribe(destination, { ack: "client-individual", headers });
    await stomp.send(destination, "bad", { headers });
    const attempts: number[] = [];
    // 4.0 counts each delivery, and moves the message after the 21st. 3.10 has no limit, and 4.3 counts no NACK.
    while (attempts.length < 25) {
      const message = await subscription.take({ timeout: letters.queued > 0 ? 0 : 1000 }).catch(() => undefined);
      if (message === undefined) break;
      attempts.push(message.attempts);
      await message.nack();
    }
    const expected = broker.name === "rabbitmq-4.0" ? 21 : 25;
    assertEquals(attempts, Array.from({ length: expected }, (_, n) => n + 1));
    if (expected === 25) return;
    const [letter] = await take(letters, 1);
    assertEquals([letter!.text(), letter!.headers["x-first-death-reason"]], ["bad", "delivery_limit"]);
  },
});

once("a consumer that acknowledges too late loses its connection or its subscription, and no send is lost", {
  broker: "rabbitmq",
  own: true,
  slow: true,
  timeout: 60_000,
  async fn({ connect, queue, control, broker }) {
    const headers = { "x-queue-type": "quorum" };
    await control("impatient"); // for connections and subscriptions that are made from now on
    try {
      const stomp = await connect({ reconnect: { delay: 10 }, timeout: 30_000 });
      const watcher = new Watcher(stomp);
      const [destination, other] = [queue(), queue()];
      const sends: Promise<unknown>[] = [];
      const good = await stomp.subscribe(other);
      const subscription = await stomp.subscribe(destination, { ack: "client-individual", headers });
      await stomp.send(destination, "slow", { headers });
      const [message] = await take(subscription, 1);
      const sending = setInterval(() => sends.push(stomp.send(other, String(sends.length))), 20);
      try {
        if (broker.name === "rabbitmq-4.3") {
          // It gives the message back, and ends the subscription alone.
          const reason = await subscription.closed;
          assertInstanceOf(reason, SubscriptionError);
          assertEquals(reason.frame?.headers["message"], "Server cancelled subscription");
          await assertRejects(() => message!.ack(), AcknowledgeError);
          const again = await stomp.subscribe(destination, { ack: "client-individual", headers });
          const [same] = await take(again, 1);
          assertEquals([same!.text(), same!.attempts], ["slow", 2]);
          await same!.ack();
          assertEquals(watcher.events.filter(({ type }) => type === "disconnected"), []);
        } else {
          const { error } = await watcher.until("disconnected");
          assertInstanceOf(error, BrokerErrorResponse);
          assertMatch(error.message, /delivery acknowledgement on channel 1 timed out/);
          const [same] = await take(subscription, 1);
          assertEquals([same!.text(), same!.attempts], ["slow", 2]);
          assertEquals(await message!.ack(), false); // too late
          await same!.ack();
        }
      } finally {
        clearInterval(sending);
      }
      // No send is to blame, so each is confirmed, after a reconnect if need be.
      await Promise.all(sends);
      await eventually("all have arrived", () => good.received >= sends.length);
      assert(sends.length > 10, `${sends.length}`);
    } finally {
      await control("patient");
    }
  },
});

once("replies to clients that have just left disturb no other reply", {
  broker: "rabbitmq",
  timeout: 60_000,
  async fn({ connect, queue }) {
    const destination = queue();
    const answering = await connect({ reconnect: { delay: 0 } });
    const asking = await connect();
    const waiting: (() => void)[] = [];
    const server = await answering.respond(destination, async (request) => {
      if (request.text() === "leave") await new Promise<void>((resolve) => waiting.push(resolve));
      return request.text();
    }, { concurrency: 50 });
    for (let n = 0; n < 40; n++) {
      const leaving = await connect();
      const request = leaving.request(destination, "leave", { timeout: 8000 });
      request.catch(() => {});
      await eventually("the request has arrived", () => waiting.length > 0);
      await leaving.disconnect();
      waiting.splice(0).forEach((answer) => answer()); // while its queue is being deleted
      // In a quarter of the cases, 4.3 closes the connection of the client that answers, which then reconnects.
      assertEquals((await asking.request(destination, `${n}`, { timeout: 8000 })).text(), `${n}`);
    }
    waiting.splice(0).forEach((answer) => answer()); // of requests that were delivered again
    await server.unsubscribe();
    assert(answering.connected);
  },
});
