/**
 * A broker that is killed, as by a power failure, and started again.
 */
import { assert, assertEquals } from "#assert";
import { eventually, once, takeTexts, takeTextsUntilMark } from "./support.ts";

once("persistent messages survive the broker's restart, and the client reconnects by itself", {
  own: true,
  slow: true,
  timeout: 120_000,
  async fn({ connect, queue, topic, control }) {
    const [kept, lost, during, news] = [queue(), queue(), queue(), topic()];
    const clientId = `client of ${kept}`;
    const client = await connect({ clientId, timeout: 100_000, reconnect: { maxDelay: 500 } });
    const durable = await client.subscribe(news, { durable: "news" });
    await durable.unsubscribe(); // the broker keeps collecting
    await client.send(kept, "persistent"); // the default with a receipt
    await client.send(lost, "not persistent", { persistent: false });
    await client.send(news, "news");
    const events: string[] = [];
    const statuses = client.status();
    const watching = (async () => {
      for await (const { type } of statuses) events.push(type);
    })();
    const subscription = await client.subscribe(during, { ack: "client-individual" });

    await control("kill");
    await eventually("the client has noticed", () => events.includes("disconnected"));
    const sent = client.send(during, "sent while there was no broker", { persistent: true });
    await control("restart");

    assertEquals((await sent)?.command, "RECEIPT");
    const message = await subscription.take({ timeout: 20_000 });
    assertEquals(message?.text(), "sent while there was no broker");
    await message!.ack();
    assert(client.connected);

    assertEquals(await takeTexts(await client.subscribe(kept), 1), ["persistent"]);
    assertEquals(await takeTextsUntilMark(client, await client.subscribe(lost)), []);
    const again = await client.subscribe(news, { durable: "news" });
    assertEquals(await takeTexts(again, 1), ["news"]);
    await again.unsubscribe({ deleteDurable: true });
    await client.disconnect();
    await watching;
  },
});
