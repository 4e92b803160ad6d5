/** How a session ends, over a connection in memory. */
import { assert, assertInstanceOf, assertRejects } from "#assert";
import { ConnectionError, UnknownBrokerResponseError } from "../../base/errors.ts";
import { clientTest, frame, openSession } from "../support/client_harness.ts";

const begin = (id: string) => frame("BEGIN", { transaction: id });

for (
  const [name, bytes, expected] of [
    ["C12-63 an unknown command", "FOO\n\n\0", UnknownBrokerResponseError],
    ["a second CONNECTED", "CONNECTED\nversion:1.2\n\n\0", UnknownBrokerResponseError],
    ["garbage", "\x01\x02 what is this", UnknownBrokerResponseError],
    ["an undefined escape", "MESSAGE\na:\\t\n\n\0", UnknownBrokerResponseError],
  ] as const
) {
  clientTest(`\`Session\` closes the connection on ${name}`, async (harness) => {
    const { session, peer } = await openSession(harness);
    const call = session.request(begin("a"));
    await peer.frame();
    await peer.write(bytes);
    await assertRejects(() => call, ConnectionError);
    assertInstanceOf(session.reason, expected);
    assert(session.reason.message.includes("memory"), session.reason.message);
    await peer.ended();
  });
}

clientTest("`Session` reports an end inside a frame", async (harness) => {
  const { session, peer } = await openSession(harness);
  const call = session.request(begin("a"));
  await peer.write("MESSAGE\nfoo");
  await peer.finish();
  await assertRejects(() => call, ConnectionError, "it ended inside a frame");
});
