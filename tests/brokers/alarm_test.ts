/**
 * RabbitMQ in a memory alarm: it silently stops reading from connections that send.
 */
import { assert, assertEquals } from "#assert";
import { Watcher } from "../support/client_harness.ts";
import { eventually, once } from "./support.ts";

once("`status()` reports `blocked` when the broker stops reading, and `unblocked` when it reads again", {
  own: true,
  slow: true,
  broker: "rabbitmq",
  timeout: 60_000,
  async fn({ connect, queue, control }) {
    const destination = queue();
    const client = await connect({ timeout: 50_000, reconnect: { maxDelay: 500 } }); // an alarm ends slowly
    const consumer = await connect();
    const subscription = await consumer.subscribe(destination);
    const watcher = new Watcher(client);
    await control("alarm");
    try {
      // The broker still handles what it has read.
      await client.send(destination, "1");
      const sent = client.send(destination, "2");
      const { pending, error } = await watcher.until("blocked");
      assertEquals(pending, 1);
      assert(/ has not answered for \d\.\d s while 1 receipt is awaited/.test(error.message), error.message);
      await control("calm");
      await sent;
    } finally {
      await control("calm");
    }
    await watcher.until("unblocked");
    assertEquals(watcher.events.map(({ type }) => type), ["blocked", "unblocked"]);
    await eventually("both messages have arrived", () => subscription.received === 2);
  },
});
