/** Receipts over a connection in memory: ids, waits, and what happens to them when the connection ends. */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "#assert";
import { ConnectionError, NotConnectedError, StompError, TimeoutError } from "../../base/errors.ts";
import { clientTest, flushMicrotasks, frame, openSession } from "../support/client_harness.ts";
import { receiptFor } from "../support/raw_server.ts";

const begin = (id: string) => frame("BEGIN", { transaction: id });

clientTest("C12-29 C12-30 `request()` matches receipts by id, in any order", async (harness) => {
  const { session, peer } = await openSession(harness);
  const answers = ["a", "b"].map((id) => session.request(begin(id)));
  const mine = session.request(frame("BEGIN", { transaction: "c", receipt: "r:1" }));
  const [first, second, third] = await peer.frames(3, "BEGIN");
  assertEquals([first, second, third].map((one) => one?.get("receipt")), ["1", "2", "r\\c1"]);
  await peer.write(receiptFor(third!) + receiptFor(second!) + receiptFor(first!));
  assertEquals((await mine).headers["receipt-id"], "r:1");
  assertEquals((await Promise.all(answers)).map((one) => one.headers["receipt-id"]), ["1", "2"]);
});

clientTest("C12-31 a RECEIPT confirms its own frame alone", async (harness) => {
  const { session, peer } = await openSession(harness);
  let confirmed = false;
  const first = session.request(begin("a")).then(() => confirmed = true);
  const second = session.request(begin("b"));
  const [a, b] = await peer.frames(2);
  await peer.write(receiptFor(b!));
  await second;
  await flushMicrotasks();
  assertEquals(confirmed, false);
  await peer.write(receiptFor(a!));
  await first;
});

clientTest("`request()` refuses a receipt id that is in use", async (harness) => {
  const { session, peer } = await openSession(harness);
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

clientTest("`request()` skips ids that a caller chose", async (harness) => {
  for (const method of ["request", "writeFrame"] as const) {
    const { session, peer } = await openSession(harness);
    const first = session[method](frame("BEGIN", { transaction: "a", receipt: "1" }));
    const made = [session.request(begin("b")), session.request(begin("c"))];
    const frames = await peer.frames(3);
    assertEquals(frames.map((one) => one.get("receipt")), ["1", "2", "3"], method);
    await peer.write(frames.map(receiptFor).join(""));
    await Promise.all([first, ...made]);
    if (method === "writeFrame") assertEquals((await session.readFrame())?.headers["receipt-id"], "1");
  }
});

clientTest("`writeFrame()` can use a receipt id again after an ERROR without receipt-id", async (harness) => {
  const { session, peer } = await openSession(harness);
  const made = frame("BEGIN", { transaction: "a", receipt: "mine" });
  await session.writeFrame(made);
  await assertRejects(() => session.writeFrame(made), StompError, "awaited already");
  await peer.write("ERROR\nmessage:no\n\n\0");
  assertEquals((await session.readFrame())?.command, "ERROR");
  await session.writeFrame(made);
  await peer.frames(2, "BEGIN");
});

clientTest(
  "`request()` times out without an answer, ignores a late receipt, and leaves no timer",
  async (harness) => {
    const { session, peer } = await openSession(harness, { timeout: 20 });
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

clientTest("`request()` rejects with the reason when the connection ends", async (harness) => {
  const { session, peer } = await openSession(harness);
  const call = session.request(begin("a"));
  await peer.frame();
  await peer.finish();
  const error = await assertRejects(() => call, ConnectionError, "Cannot confirm BEGIN: Connection to memory lost");
  assertStrictEquals(error.cause, session.reason);
  assertThrows(() => session.send(begin("b")), NotConnectedError, "Cannot send BEGIN: Connection to memory lost");
  await peer.ended();
});
