/** BEGIN, COMMIT and ABORT over a connection in memory. */
import { assertEquals, assertRejects, assertThrows } from "#assert";
import { TransactionError } from "../../base/errors.ts";
import { clientTest, openSession } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

clientTest("C12-47 C12-48 C12-49 `transactions` sends BEGIN, COMMIT and ABORT for open ids only", async (harness) => {
  const { session, peer } = await openSession(harness);
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

clientTest("`transactions.begin()` sends ABORT when the wait is aborted", async (harness) => {
  const { session, peer } = await openSession(harness);
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
