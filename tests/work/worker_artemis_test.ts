/** `consume()` on Artemis, where a message that is refused with NACK is lost. */
import { assertEquals, assertRejects } from "#assert";
import { AcknowledgeError } from "../../base/errors.ts";
import { clientTest, subscribed } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

clientTest(
  "a handler that threw runs again in place of a NACK, and the message is acknowledged once",
  async (harness) => {
    const { stomp, peer } = await harness.pair({ broker: "artemis" });
    const stop = new AbortController();
    const errors: string[] = [];
    let runs = 0;
    const loop = stomp.consume("/queue/a", () => {
      if (++runs < 3) throw new Error(`run ${runs}`);
    }, { signal: stop.signal, onError: (error) => errors.push((error as Error).message) });
    const subscribe = await confirm(peer, "SUBSCRIBE");
    const id = subscribe.get("id");
    await peer.write(`MESSAGE\nsubscription:${id}\nmessage-id:1,2\nack:1,2\ndestination:/queue/a\n\nx\0`);
    const next = await peer.frame();
    assertEquals([next.command, next.get("id"), runs, errors], ["ACK", "1,2", 3, ["run 1", "run 2"]]);
    stop.abort();
    await confirm(peer, "UNSUBSCRIBE");
    await loop;
  },
);

clientTest("with the header `requeue: false` the broker is asked to drop it", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "artemis" });
  const stop = new AbortController();
  const loop = stomp.consume("/queue/a", () => {
    throw new Error("no");
  }, { signal: stop.signal, nackHeaders: { requeue: "false" } });
  const id = (await confirm(peer, "SUBSCRIBE")).get("id");
  await peer.write(`MESSAGE\nsubscription:${id}\nmessage-id:1,2\nack:1,2\ndestination:/queue/a\n\nx\0`);
  assertEquals((await peer.frame()).command, "NACK");
  stop.abort();
  await confirm(peer, "UNSUBSCRIBE");
  await loop;
});

clientTest("`nack()` is refused, and the message can still be acknowledged", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "artemis" });
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  await peer.write(`MESSAGE\nsubscription:${subscription.id}\nmessage-id:1,2\nack:1,2\ndestination:/queue/a\n\nx\0`);
  const message = await subscription.take({ timeout: 5000 });
  await assertRejects(() => message!.nack(), AcknowledgeError, "Artemis drops a message for good on NACK");
  assertEquals(await message!.ack(), true);
  assertEquals((await peer.frame()).command, "ACK");
});
