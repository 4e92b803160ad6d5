/** Sending over one connection, most of it in memory. */
import { assertEquals, assertRejects, assertThrows } from "#assert";
import { clientTest, frame, openSession } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

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

clientTest("an ERROR that may be about a message that was given up refuses no other", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const abort = new AbortController();
  const first = stomp.send("/queue/a", "first", { signal: abort.signal });
  await peer.frame("SEND");
  abort.abort(new Error("enough"));
  await assertRejects(() => first, Error, "enough");
  const second = stomp.send("/queue/b", "second");
  await peer.frame("SEND");
  await peer.write("ERROR\nmessage:refused\n\n\0");
  await peer.close();
  const next = await server.welcome();
  assertEquals((await confirm(next, "SEND")).body, "second");
  await second;
});
