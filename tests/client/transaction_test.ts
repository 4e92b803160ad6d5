/** Transactions: all of it or nothing, on one connection. */
import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import {
  AcknowledgeError,
  BrokerErrorResponse,
  NotConnectedError,
  TimeoutError,
  TransactionError,
} from "../../base/errors.ts";
import type { Message } from "../../client/message.ts";
import type { Stomp } from "../../api/stomp.ts";
import type { Transaction } from "../../client/transaction.ts";
import { clientTest, flushMicrotasks, subscribed, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

async function begun(stomp: Stomp, peer: RawPeer): Promise<Transaction> {
  const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
  return tx;
}

/** Takes messages with these ids. */
async function received(
  stomp: Stomp,
  peer: RawPeer,
  ack: "client" | "client-individual",
  ...ids: string[]
): Promise<Message[]> {
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack });
  await peer.write(ids.map((id) => message(subscription.id, id)).join(""));
  const messages: Message[] = [];
  while (messages.length < ids.length) messages.push((await subscription.take())!);
  return messages;
}

clientTest(
  "C12-27 C12-43 C12-47 `Transaction` marks SEND, ACK and NACK, and `commit()` waits for all receipts",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const [one, two] = await received(stomp, peer, "client-individual", "m1", "m2");
    const tx = await begun(stomp, peer);
    assertEquals([tx.id, tx.isOpen, tx.ended], ["tx-1", true, false]);
    await tx.send("/queue/b", "one", { headers: { "x-a": "1" } });
    assertEquals(await stomp.send("/queue/b", "two", { transaction: tx }), undefined);
    assertEquals(await stomp.send({ destination: "/queue/b", body: "three", transaction: "tx-1" }), undefined);
    await tx.ack(one!);
    await two!.nack({ transaction: tx });
    const frames = await peer.frames(5);
    assertEquals(
      frames.map((frame) => [frame.command, frame.get("transaction"), frame.get("persistent"), frame.body]),
      [
        ["SEND", "tx-1", "true", "one"],
        ["SEND", "tx-1", "true", "two"],
        ["SEND", "tx-1", "true", "three"],
        ["ACK", "tx-1", undefined, ""],
        ["NACK", "tx-1", undefined, ""],
      ],
    );
    assertEquals(frames[0]!.get("x-a"), "1");
    const committing = tx.commit({ headers: { "x-b": "2" } });
    const said = await confirm(peer, "COMMIT");
    assertEquals([said.get("transaction"), said.get("x-b")], ["tx-1", "2"]);
    let committed = false;
    committing.then(() => committed = true);
    for (const frame of frames.slice(0, 3)) {
      await flushMicrotasks();
      assertEquals(committed, false);
      await peer.write(receiptFor(frame));
    }
    await committing;
    assertEquals([tx.isOpen, tx.ended], [false, true]);
  },
);

clientTest("`send()` in a transaction rejects `receipt: true`", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const tx = await begun(stomp, peer);
  await assertRejects(
    () => stomp.send("/q", "x", { transaction: tx, receipt: true }),
    TypeError,
    "the receipt of the commit",
  );
});

clientTest("`commit()` and `abort()` accept a transaction or a conf with its id", async (harness) => {
  const { stomp, peer } = await harness.pair();
  for (const how of ["commit", "abort"] as const) {
    for (const by of ["itself", "id"] as const) {
      const beginning = stomp.begin({ transaction: "mine", "x-a": 1 });
      assertEquals((await confirm(peer, "BEGIN")).lines, [
        "transaction:mine",
        "x-a:1",
        "receipt:" + receiptCount(by, how),
      ]);
      const tx = await beginning;
      const conf = { transaction: "mine", "x-b": true };
      const ending = by === "itself" ? stomp[how](tx) : stomp[how](conf);
      const said = await confirm(peer, how.toUpperCase());
      assertEquals([said.get("transaction"), said.get("x-b")], ["mine", by === "id" ? "true" : undefined]);
      await ending;
      assertEquals(conf, { transaction: "mine", "x-b": true });
    }
  }
});

function receiptCount(by: string, how: string): number {
  return 1 + (how === "commit" ? 0 : 4) + (by === "itself" ? 0 : 2);
}

clientTest("C12-48 `begin()` rejects an id that is open, and avoids it for new ids", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const beginning = stomp.begin({ transaction: "t" });
  await assertRejects(() => stomp.begin({ transaction: "t" }), TransactionError, "it is open already");
  await confirm(peer, "BEGIN");
  await beginning;
  await assertRejects(() => stomp.begin({ transaction: "t" }), TransactionError, "it is open already");
  // Ids that the client chooses avoid those in use.
  const own = stomp.begin({ transaction: "tx-1" });
  await confirm(peer, "BEGIN");
  await own;
  const next = stomp.begin();
  await confirm(peer, "BEGIN");
  assertEquals((await next).id, "tx-2");
});

clientTest("a transaction that is unknown or has ended is refused, and nothing is sent", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const [one] = await received(stomp, peer, "client", "m1");
  const unknown = { transaction: "nosuch" };
  await assertRejects(
    () => stomp.commit(unknown),
    TransactionError,
    "Cannot commit: there is no open transaction nosuch",
  );
  await assertRejects(
    () => stomp.abort(unknown),
    TransactionError,
    "Cannot abort: there is no open transaction nosuch",
  );
  await assertRejects(() => stomp.commit({} as typeof unknown), TransactionError, "no open transaction in the conf");
  await assertRejects(
    () => stomp.send("/q", "x", unknown),
    TransactionError,
    "Cannot send: there is no open transaction",
  );
  await assertRejects(
    () => stomp.send({ destination: "/q", ...unknown }),
    TransactionError,
    "no open transaction nosuch",
  );
  await assertRejects(
    () => one!.ack(unknown),
    TransactionError,
    "Cannot send ACK: there is no open transaction nosuch",
  );
  const tx = await begun(stomp, peer);
  const aborting = tx.abort();
  await confirm(peer, "ABORT");
  await aborting;
  for (const call of [() => tx.commit(), () => tx.abort(), () => tx.send("/q", "x"), () => tx.ack(one!)]) {
    await assertRejects(call, TransactionError, "in transaction tx-1: it has ended");
  }
  await one!.ack();
  await peer.frame("ACK");
});

clientTest("`abort()` lets its messages be acknowledged again", async (harness) => {
  for (const ack of ["client", "client-individual"] as const) {
    const { stomp, peer } = await harness.pair();
    const [one, two] = await received(stomp, peer, ack, "m1", "m2");
    const tx = await begun(stomp, peer);
    await tx.ack(two!);
    await assertRejects(() => two!.ack(), AcknowledgeError, "it was sent ACK already");
    await peer.frame("ACK");
    const aborting = tx.abort();
    await confirm(peer, "ABORT");
    await aborting;
    await one!.ack();
    await two!.nack();
    assertEquals((await peer.frames(2)).map((frame) => frame.command), ["ACK", "NACK"]);
  }
});

clientTest("`abort()` does not undo acknowledgements outside the transaction", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const [one, two, three] = await received(stomp, peer, "client", "m1", "m2", "m3");
  const tx = await begun(stomp, peer);
  await tx.ack(one!);
  await three!.ack(); // and with it m2
  await peer.frames(2, "ACK");
  const aborting = tx.abort();
  await confirm(peer, "ABORT");
  await aborting;
  await assertRejects(() => two!.ack(), AcknowledgeError, "a later message was acknowledged");
  await assertRejects(() => one!.ack(), AcknowledgeError, "a later message was acknowledged");
});

clientTest("`commit()` that the broker refuses lets its messages be acknowledged again", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const [one] = await received(stomp, peer, "client-individual", "m1");
  const tx = await begun(stomp, peer);
  await tx.ack(one!);
  await peer.frame("ACK");
  const committing = tx.commit();
  await peer.write(errorFor(await peer.frame("COMMIT"), "no"));
  await assertRejects(() => committing, BrokerErrorResponse, "no");
  assertEquals(tx.isOpen, false);
  await one!.ack();
  await peer.frame("ACK");
});

clientTest("`commit()` with invalid options leaves the transaction open, a timeout ends it", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const tx = await begun(stomp, peer);
  await assertRejects(() => tx.commit({ signal: AbortSignal.abort(new Error("no time")) }), Error, "no time");
  await assertRejects(() => tx.commit({ timeout: NaN }), RangeError);
  await assertRejects(() => tx.commit({ headers: { "": "x" } }), TypeError);
  assertEquals(tx.isOpen, true);
  const committing = tx.commit({ timeout: 20 });
  await peer.frame("COMMIT");
  await assertRejects(
    () => committing,
    TimeoutError,
    "the receipt of COMMIT: whether transaction tx-1 happened is unknown",
  );
  await assertRejects(() => tx.abort(), TransactionError, "it has ended");
});

clientTest("`transaction()` commits when the work returns, and resolves to its result", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const running = stomp.transaction(async (tx) => {
    await tx.send("/queue/a", "x");
    return 7;
  });
  await confirm(peer, "BEGIN");
  await confirm(peer, "SEND");
  await confirm(peer, "COMMIT");
  assertEquals(await running, 7);
});

clientTest("`transaction()` aborts when the work throws, and rejects with that error", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const reason = new Error("mine");
  for (
    const work of [() => Promise.reject(reason), () => {
      throw reason;
    }]
  ) {
    const running = stomp.transaction(work);
    await confirm(peer, "BEGIN");
    await confirm(peer, "ABORT");
    assertStrictEquals(await assertRejects(() => running), reason);
  }
  // Also when ABORT is refused.
  const running = stomp.transaction(() => Promise.reject(reason));
  await confirm(peer, "BEGIN");
  await peer.write(errorFor(await peer.frame("ABORT"), "no"));
  assertStrictEquals(await assertRejects(() => running), reason);
});

clientTest("`transaction()` sends nothing more when the work has ended the transaction", async (harness) => {
  const { stomp, peer } = await harness.pair();
  for (const how of ["commit", "abort"] as const) {
    const running = stomp.transaction(async (tx) => {
      await tx[how]();
      return how;
    });
    await confirm(peer, "BEGIN");
    await confirm(peer, how.toUpperCase());
    assertEquals(await running, how);
  }
  const sending = stomp.send("/q", "x");
  await confirm(peer, "SEND");
  await sending;
});

clientTest("`transaction()` aborts when its signal or timeout ends the work", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer } = await harness.pair({ clock });
  const abort = new AbortController();
  let started = Promise.withResolvers<Transaction>();
  const forever = (tx: Transaction) => {
    started.resolve(tx);
    return new Promise<void>(() => {});
  };
  const running = stomp.transaction(forever, { signal: abort.signal });
  await confirm(peer, "BEGIN");
  const dead = await started.promise;
  abort.abort(new Error("enough"));
  await assertRejects(() => running, Error, "enough");
  await confirm(peer, "ABORT");
  await assertRejects(() => dead.send("/q", "x"), TransactionError, "it has ended");

  started = Promise.withResolvers<Transaction>();
  const why = "Timed out after 30 ms waiting for ";
  const late = assertRejects(() => stomp.transaction(forever, { timeout: 30 }), TimeoutError, why);
  await confirm(peer, "BEGIN");
  await started.promise;
  clock.pass(30);
  await peer.frame("ABORT");
  clock.pass(0); // no time is left for its receipt
  await late;

  // A signal that aborts while the work ignores it: nothing is committed.
  const another = new AbortController();
  const unaware = stomp.transaction(() => another.abort(new Error("stop")), { signal: another.signal });
  await confirm(peer, "BEGIN");
  await assertRejects(() => unaware, Error, "stop");
  await confirm(peer, "ABORT");
});

clientTest("C12-49 a transaction is lost with its connection, and nothing of it is sent again", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const watcher = new Watcher(stomp);
  const [one] = await received(stomp, peer, "client-individual", "m1");
  const tx = await begun(stomp, peer);
  await tx.send("/queue/b", "x");
  await tx.ack(one!);
  const running = stomp.transaction(() =>
    new Promise<void>((resolve) => watcher.until("connected").then(() => resolve()))
  );
  running.catch(() => {});
  await peer.frames(2);
  await confirm(peer, "BEGIN");
  await flushMicrotasks();
  await peer.close();
  const next = await server.welcome();
  await confirm(next, "SUBSCRIBE");
  await assertRejects(() => running, TransactionError, "died with its connection");
  for (const call of [() => tx.commit(), () => tx.abort(), () => tx.send("/q", "x"), () => tx.ack(one!)]) {
    await assertRejects(call, TransactionError, "in transaction tx-1: it died with its connection");
  }
  await assertRejects(() => stomp.commit({ transaction: "tx-1" }), TransactionError, "no open transaction tx-1");
  const again = stomp.begin({ transaction: "tx-1" }); // the id is free
  await confirm(next, "BEGIN"); // and nothing was sent before it
  await again;
});

clientTest("`commit()` rejects with a TransactionError and its cause when the connection is lost", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  const tx = await begun(stomp, peer);
  const committing = tx.commit();
  await peer.frame("COMMIT");
  await peer.close();
  const error = await assertRejects(() => committing, TransactionError, "Cannot commit transaction tx-1");
  assertInstanceOf(error.cause, Error);
  await stomp.closed;
  await assertRejects(
    () => stomp.commit({ transaction: "tx-1" }),
    NotConnectedError,
    "Cannot commit: the client is closed",
  );
});

clientTest("`commit()` aborts when the broker has refused a message of the transaction", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const watcher = new Watcher(stomp);
  const tx = await begun(stomp, peer);
  await tx.send("/queue/forbidden", "x");
  await peer.write(errorFor(await peer.frame("SEND"), "not authorized"));
  await watcher.until("error");
  const committing = tx.commit();
  committing.catch(() => {});
  await confirm(peer, "ABORT");
  await assertRejects(() => committing, BrokerErrorResponse, "not authorized");
});

clientTest("`commit()` rejects when the connection is lost before all receipts have come", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  const tx = await begun(stomp, peer);
  await tx.send("/queue/b", "x");
  const committing = tx.commit();
  committing.catch(() => {});
  await peer.frame("SEND");
  await confirm(peer, "COMMIT");
  await flushMicrotasks();
  await peer.close();
  await assertRejects(() => committing, TransactionError, "Cannot commit transaction tx-1");
});

clientTest("`begin()` sends BEGIN again when the connection is lost", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const beginning = stomp.begin();
  await peer.frame("BEGIN");
  await peer.close();
  const next = await server.welcome();
  await confirm(next, "BEGIN");
  assertEquals((await beginning).isOpen, true);
});

clientTest("`send()` in a transaction of a closed client names the destination", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const tx = await begun(stomp, peer);
  await stomp.disconnect({ signal: AbortSignal.abort() });
  for (const transaction of [tx, tx.id]) {
    const send = () => stomp.send("/q", "x", { transaction });
    await assertRejects(send, NotConnectedError, "Cannot send to /q: the client is closed");
  }
});
