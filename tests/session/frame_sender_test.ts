/** Sending over a connection in memory. */
import { assertEquals, assertThrows } from "#assert";
import { clientTest, frame, openSession } from "../support/client_harness.ts";

const begin = (id: string) => frame("BEGIN", { transaction: id });

clientTest("`request()` sends nothing when an option or a header is invalid", async (harness) => {
  const { session, peer } = await openSession(harness);
  assertThrows(() => session.request(begin("a"), { timeout: NaN }), RangeError);
  assertThrows(() => session.request(begin("a"), { timeout: -1 }), RangeError);
  assertThrows(() => session.request(begin("a"), { signal: AbortSignal.abort(new Error("no")) }), Error, "no");
  const bad = frame("SEND", { destination: "/q", "": "x" });
  assertThrows(() => session.request(bad), TypeError);
  await session.close();
  assertEquals(await peer.rest(), []);
});
