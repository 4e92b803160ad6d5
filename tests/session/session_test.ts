/** One live connection: receipts, ERROR, dispatch, transactions, and how it ends. Over a connection in memory. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "#assert";
import {
  AcknowledgeError,
  BrokerErrorResponse,
  ConnectionError,
  NotConnectedError,
  StompError,
  SubscriptionError,
  TimeoutError,
  TransactionError,
  UnknownBrokerResponseError,
} from "../../base/errors.ts";
import type { Frame } from "../../codec/frame.ts";
import { clientTest, frame, openSession, settle } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, errorFor, message, receiptFor } from "../support/raw_server.ts";

const begin = (id: string) => frame("BEGIN", { transaction: id });

/** Keeps what is delivered. */
function target(
  id: string,
  destination = "/queue/a",
): { id: string; destination: string; got: string[]; deliver(f: Frame): void } {
  const got: string[] = [];
  return { id, destination, got, deliver: (message) => got.push(message.text()) };
}

clientTest("C12-29 C12-30 receipts are matched by their id, in any order", async (rig) => {
  const { session, peer } = await openSession(rig);
  const answers = ["a", "b"].map((id) => session.request(begin(id)));
  const mine = session.request(frame("BEGIN", { transaction: "c", receipt: "r:1" }));
  const [first, second, third] = await peer.frames(3, "BEGIN");
  assertEquals([first, second, third].map((one) => one?.get("receipt")), ["1", "2", "r\\c1"]);
  await peer.write(receiptFor(third!) + receiptFor(second!) + receiptFor(first!));
  assertEquals((await mine).headers["receipt-id"], "r:1");
  assertEquals((await Promise.all(answers)).map((one) => one.headers["receipt-id"]), ["1", "2"]);
});

clientTest("C12-31 a RECEIPT confirms its own frame, and none before it", async (rig) => {
  const { session, peer } = await openSession(rig);
  let confirmed = false;
  const first = session.request(begin("a")).then(() => confirmed = true);
  const second = session.request(begin("b"));
  const [a, b] = await peer.frames(2);
  await peer.write(receiptFor(b!));
  await second;
  await settle();
  assertEquals(confirmed, false);
  await peer.write(receiptFor(a!));
  await first;
});

clientTest("a receipt that is awaited already is no other frame's", async (rig) => {
  const { session, peer } = await openSession(rig);
  const first = session.request(frame("BEGIN", { transaction: "a", receipt: "1" }));
  const again = frame("BEGIN", { transaction: "b", receipt: "1" });
  assertThrows(() => session.request(again), StompError, "Cannot ask for receipt 1: it is awaited already");
  await assertRejects(() => session.writeFrame(again), StompError, "awaited already");
  const own = session.request(begin("c")); // the session's own ids keep out of the way
  const [a, c] = await peer.frames(2);
  assertEquals([a!.get("receipt"), c!.get("receipt")], ["1", "2"]);
  await peer.write(receiptFor(a!) + receiptFor(c!));
  await Promise.all([first, own]);
});

clientTest("a receipt id that was made by hand and the session's next one differ", async (rig) => {
  for (const byHand of ["request", "writeFrame"] as const) {
    const { session, peer } = await openSession(rig);
    const first = session[byHand](frame("BEGIN", { transaction: "a", receipt: "1" }));
    const made = [session.request(begin("b")), session.request(begin("c"))];
    const frames = await peer.frames(3);
    assertEquals(frames.map((one) => one.get("receipt")), ["1", "2", "3"], byHand);
    await peer.write(frames.map(receiptFor).join(""));
    await Promise.all([first, ...made]);
    if (byHand === "writeFrame") assertEquals((await session.readFrame())?.headers["receipt-id"], "1");
  }
});

clientTest("after an ERROR that names no frame the receipts of frames made by hand are free again", async (rig) => {
  const { session, peer } = await openSession(rig);
  const made = frame("BEGIN", { transaction: "a", receipt: "mine" });
  await session.writeFrame(made);
  await assertRejects(() => session.writeFrame(made), StompError, "awaited already");
  await peer.write("ERROR\nmessage:no\n\n\0");
  assertEquals((await session.readFrame())?.command, "ERROR");
  await session.writeFrame(made);
  await peer.frames(2, "BEGIN");
});

clientTest(
  "an answer in time leaves no timer; none in time is a TimeoutError, and the receipt comes too late",
  async (rig) => {
    const { session, peer } = await openSession(rig, { timeout: 20 });
    await assertRejects(
      () => session.request(begin("a")),
      TimeoutError,
      "Timed out after 20 ms waiting for the receipt of BEGIN",
    );
    const late = await peer.frame();
    const next = session.request(begin("b"), { timeout: 5000 });
    await peer.write(receiptFor(late) + receiptFor(await peer.frame()));
    await next;
    assert(session.isOpen);
  },
);

clientTest("C12-60 an ERROR with receipt-id rejects that call alone", async (rig) => {
  const errors: string[] = [];
  const { session, peer } = await openSession(rig, { onError: (error) => errors.push(error.message) });
  const [bad, good] = ["a", "b"].map((id) => session.request(begin(id)));
  const [first, second] = await peer.frames(2);
  await peer.write(errorFor(first!, "no") + receiptFor(second!));
  const error = await assertRejects(() => bad!, BrokerErrorResponse, "Broker answered ERROR: no");
  assertEquals(error.frame?.headers["receipt-id"], "1");
  await good;
  assertEquals(errors, ["Broker answered ERROR: no"]);
  assert(session.isOpen);
});

clientTest("an ERROR without receipt-id rejects what is outstanding, and says of what", async (rig) => {
  const { session, peer } = await openSession(rig);
  const calls = ["a", "b"].map((id) => session.request(begin(id)));
  const frames = await peer.frames(2);
  await peer.write("ERROR\nmessage:no\n\n\0");
  for (const call of calls) {
    await assertRejects(() => call, BrokerErrorResponse, "Cannot confirm BEGIN: no");
  }
  // RabbitMQ sends a RECEIPT for a frame that it has sent ERROR for.
  await peer.write(receiptFor(frames[0]!));
  const next = session.request(begin("c"));
  await confirm(peer);
  await next;
});

clientTest(
  "C12-58 the end behind an ERROR is put down to it, also behind a RECEIPT for the same frame",
  async (rig) => {
    const { promise, resolve } = Promise.withResolvers<StompError | undefined>();
    const { session, peer } = await openSession(rig, { onEnd: (_, reason) => resolve(reason) });
    const call = session.request(begin("a"));
    const asked = await peer.frame();
    await peer.write(`ERROR\nmessage:no\n\n\0${receiptFor(asked)}`);
    await peer.finish();
    await assertRejects(() => call, BrokerErrorResponse);
    assertInstanceOf(await promise, BrokerErrorResponse);
    assertInstanceOf(session.reason, BrokerErrorResponse);
  },
);

clientTest("C11-59 an ERROR that was survived is not what ends the connection later", async (rig) => {
  for (const survived of ["by an answer", "by time"]) {
    const clock = new FakeClock();
    const ended = Promise.withResolvers<StompError | undefined>();
    const failed = Promise.withResolvers<BrokerErrorResponse>();
    const { session, peer } = await openSession(rig, {
      onEnd: (_, reason) => ended.resolve(reason),
      onError: (error) => failed.resolve(error),
      clock,
    });
    await peer.write("ERROR\n\n\0");
    await failed.promise;
    if (survived === "by time") {
      clock.pass(60_000);
    } else {
      const call = session.request(begin("a"));
      await confirm(peer);
      await call;
    }
    await peer.finish();
    const reason = await ended.promise;
    assertInstanceOf(reason, ConnectionError);
    assertEquals(reason.message, "Connection to memory lost: the broker closed it");
  }
});

clientTest("all receipts are rejected when the connection ends, with why", async (rig) => {
  const { session, peer } = await openSession(rig);
  const call = session.request(begin("a"));
  await peer.frame();
  await peer.finish();
  const error = await assertRejects(() => call, ConnectionError, "Cannot confirm BEGIN: Connection to memory lost");
  assertStrictEquals(error.cause, session.reason);
  assertThrows(() => session.send(begin("b")), NotConnectedError, "Cannot send BEGIN: Connection to memory lost");
  await peer.ended();
});

for (
  const [name, bytes, expected] of [
    ["C12-63 an unknown command", "FOO\n\n\0", UnknownBrokerResponseError],
    ["a second CONNECTED", "CONNECTED\nversion:1.2\n\n\0", UnknownBrokerResponseError],
    ["garbage", "\x01\x02 what is this", UnknownBrokerResponseError],
    ["an undefined escape", "MESSAGE\na:\\t\n\n\0", UnknownBrokerResponseError],
  ] as const
) {
  clientTest(`${name} ends the connection`, async (rig) => {
    const { session, peer } = await openSession(rig);
    const call = session.request(begin("a"));
    await peer.frame();
    await peer.write(bytes);
    await assertRejects(() => call, ConnectionError);
    assertInstanceOf(session.reason, expected);
    assert(session.reason.message.includes("memory"), session.reason.message);
    await peer.ended();
  });
}

clientTest("an end in the middle of a frame says so", async (rig) => {
  const { session, peer } = await openSession(rig);
  const call = session.request(begin("a"));
  await peer.write("MESSAGE\nfoo");
  await peer.finish();
  await assertRejects(() => call, ConnectionError, "it ended inside a frame");
});

clientTest("C12-55 C12-65 messages go by subscription; one for nobody is dropped", async (rig) => {
  const { session, peer } = await openSession(rig);
  const [a, b] = [target("a"), target("b")];
  const subscribing = [a, b].map((one) =>
    session.subscriptions.subscribe(one, frame("SUBSCRIBE", { id: one.id, destination: "/queue/a" }))
  );
  await peer.write(message("b", "early"));
  await confirm(peer);
  await confirm(peer);
  await Promise.all(subscribing);
  const gone = session.subscriptions.unsubscribe(b, frame("UNSUBSCRIBE", { id: "b" }));
  const asked = await peer.frame("UNSUBSCRIBE");
  await peer.write(message("b", "under way") + receiptFor(asked));
  await gone;
  await peer.write(message("b", "late") + message("a", "1"));
  const sync = session.request(begin("t"));
  await confirm(peer);
  await sync;
  assertEquals([a.got, b.got], [["1"], ["early", "under way"]]);
});

clientTest("C10-56 a message without subscription goes by destination", async (rig) => {
  const { session, peer } = await openSession(rig, {}, "1.0");
  const [a, b] = [target("a", "/queue/a"), target("b", "/queue/b")];
  for (const one of [a, b]) {
    const made = session.subscriptions.subscribe(one, frame("SUBSCRIBE", { id: one.id, destination: one.destination }));
    await confirm(peer);
    await made;
  }
  await peer.write(
    "MESSAGE\ndestination:/queue/b\nmessage-id:1\n\nhi\0MESSAGE\ndestination:/queue/c\nmessage-id:2\n\nno\0",
  );
  const sync = session.request(begin("t"));
  await confirm(peer);
  await sync;
  assertEquals([a.got, b.got], [[], ["hi"]]);
});

clientTest("C12-34 a second subscription with an id in use is refused, and the first goes on", async (rig) => {
  const { session, peer } = await openSession(rig);
  const [first, second] = [target("0"), target("0")];
  const made = session.subscriptions.subscribe(first, frame("SUBSCRIBE", { id: "0", destination: "/queue/a" }));
  await confirm(peer);
  await made;
  const again = frame("SUBSCRIBE", { id: "0", destination: "/queue/a" });
  await assertRejects(() => session.subscriptions.subscribe(second, again), SubscriptionError, "the id 0 is in use");
  await assertRejects(() => session.writeFrame(again), SubscriptionError, "the id 0 is in use");
  await peer.write(message("0", "1"));
  const sync = session.request(begin("t"));
  assertEquals((await confirm(peer)).command, "BEGIN"); // and nothing of it was sent
  await sync;
  assertEquals([first.got, second.got], [["1"], []]);
});

clientTest("a SUBSCRIBE that is given up is taken back", async (rig) => {
  for (const version of ["1.2", "1.0"]) {
    const { session, peer } = await openSession(rig, {}, version);
    const abort = new AbortController();
    const one = target("0");
    const subscribing = session.subscriptions.subscribe(one, frame("SUBSCRIBE", { id: "0", destination: "/queue/a" }), {
      signal: abort.signal,
    });
    await peer.frame("SUBSCRIBE");
    abort.abort(new Error("enough"));
    await assertRejects(() => subscribing, Error, "enough");
    const undo = await confirm(peer, "UNSUBSCRIBE");
    const named = version === "1.0" ? ["id:0", "destination:/queue/a"] : ["id:0"];
    assertEquals(undo.lines, [...named, "receipt:2"]);
  }
});

const ACKS: [version: string, headers: string, expected: string[]][] = [
  ["1.2", "ack:T_1@@s\\c1", ["id:T_1@@s\\c1"]], // C12-40 C12-44
  ["1.2", "x:1", ["id:7\\c7"]],
  ["1.1", "x:1", ["subscription:0", "message-id:7\\c7"]], // C11-41
  ["1.0", "x:1", ["subscription:0", "message-id:7:7"]], // C10-42
];

for (const [version, headers, expected] of ACKS) {
  clientTest(`C12-40 C11-41 C10-42 ACK in ${version}, for a message with ${headers}`, async (rig) => {
    const { session, peer } = await openSession(rig, {}, version);
    const one = { id: "0", destination: "/q", deliver: (message: Frame) => void session.acknowledge("ACK", message) };
    session.subscriptions.expect(one);
    const id = version === "1.0" ? "7:7" : "7\\c7";
    await peer.write(`MESSAGE\nsubscription:0\nmessage-id:${id}\ndestination:/q\n${headers}\n\n\0`);
    assertEquals((await peer.frame("ACK")).lines, expected);
  });
}

clientTest("C10-42 1.0 has no NACK", async (rig) => {
  const { session } = await openSession(rig, {}, "1.0");
  assertThrows(() => session.acknowledge("NACK", frame("MESSAGE")), AcknowledgeError, "1.0");
});

clientTest("C12-47 C12-48 C12-49 transactions", async (rig) => {
  const { session, peer } = await openSession(rig);
  const begun = session.transactions.begin("t");
  await assertRejects(
    () => session.transactions.begin("t"),
    TransactionError,
    "Cannot begin transaction t: it is open already",
  );
  assertEquals((await confirm(peer)).lines, ["transaction:t", "receipt:1"]);
  await begun;
  assertThrows(() => session.transactions.end("COMMIT", "x"), TransactionError, "transaction x is not open");
  // What was not sent has ended nothing.
  const aborted = { signal: AbortSignal.abort(new Error("no")) };
  assertThrows(() => session.transactions.end("COMMIT", "t", {}, aborted), Error, "no");
  const committed = session.transactions.end("COMMIT", "t", { "x-a": "1" });
  assertEquals((await confirm(peer)).lines, ["transaction:t", "x-a:1", "receipt:2"]);
  await committed;
  assertThrows(() => session.transactions.end("ABORT", "t"), TransactionError, "transaction t is not open");
});

clientTest("a BEGIN that is given up is taken back", async (rig) => {
  const { session, peer } = await openSession(rig);
  const abort = new AbortController();
  const beginning = session.transactions.begin("t", {}, { signal: abort.signal });
  await peer.frame("BEGIN");
  abort.abort(new Error("enough"));
  await assertRejects(() => beginning, Error, "enough");
  assertEquals((await peer.frame("ABORT")).lines, ["transaction:t"]);
  const again = session.transactions.begin("t");
  await confirm(peer, "BEGIN");
  await again;
});

clientTest("a call that may not begin sends nothing", async (rig) => {
  const { session, peer } = await openSession(rig);
  assertThrows(() => session.request(begin("a"), { timeout: NaN }), RangeError);
  assertThrows(() => session.request(begin("a"), { timeout: -1 }), RangeError);
  assertThrows(() => session.request(begin("a"), { signal: AbortSignal.abort(new Error("no")) }), Error, "no");
  const bad = frame("SEND", { destination: "/q", "": "x" });
  assertThrows(() => session.request(bad), TypeError);
  await session.close();
  assertEquals(await peer.rest(), []);
});
