/**
 * The effects of `browse` and of a queue's arguments, for dialect_test.ts.
 *
 * @module
 */
import { assertEquals, assertRejects } from "#assert";
import { BrokerErrorResponse } from "../../base/errors.ts";
import { type Harness, take, takeTexts } from "./support.ts";

/** Reads the messages of a queue, which stay there, and ends after the last one. */
export async function browse({ connect, queue, version }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  if (version === "1.0") {
    const browsing = () => stomp.subscribe(destination, { browse: true });
    return void await assertRejects(browsing, BrokerErrorResponse, "only valid for Stomp v1.1+");
  }
  for (const body of ["one", "two"]) await stomp.send(destination, body);
  for (const options of [{ browse: true }, { headers: { browser: "true" } }] as const) {
    const seen: string[] = [];
    for await (const message of await stomp.subscribe(destination, options)) seen.push(message.text());
    assertEquals(seen, ["one", "two"]);
  }
  assertEquals(await takeTexts(await stomp.subscribe(destination), 2), ["one", "two"]);
  for await (const message of await stomp.subscribe(queue(), { browse: true })) throw new Error(message.text());
}

/** The arguments of a queue take effect, as headers of SEND and SUBSCRIBE. */
export async function queueArguments({ connect, queue, broker }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const headers = { "x-queue-type": "quorum", "durable": "true", "auto-delete": "false" };
  const subscription = await stomp.subscribe(destination, { ack: "client", headers });
  await stomp.send(destination, "one", { headers, persistent: true });
  const [message] = await take(subscription, 1);
  assertEquals(message!.text(), "one");
  await subscription.unsubscribe();
  await stomp.disconnect(); // which requeues the message, and a quorum queue counts that

  const second = await connect();
  const again = await second.subscribe(destination, { ack: "client", headers });
  const [redelivered] = await take(again, 1);
  // Since 4.3, x-delivery-count leaves out what a consumer gave back, as UNSUBSCRIBE does here, and x-acquired-count counts.
  const count = broker.name === "rabbitmq-4.3" ? "x-acquired-count" : "x-delivery-count";
  assertEquals([redelivered!.redelivered, redelivered!.headers[count], redelivered!.attempts], [true, "1", 2]);

  const short = queue();
  for (const text of ["one", "two", "three"]) await second.send(short, text, { headers: { "x-max-length": "2" } });
  const last = await second.subscribe(short, { headers: { "x-max-length": "2" } });
  assertEquals(await takeTexts(last, 2), ["two", "three"]);
}

/** A broker ignores the arguments of another broker's queues. */
export async function ignoredArguments({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const headers = { "x-queue-type": "quorum" };
  const subscription = await stomp.subscribe(destination, { headers });
  await stomp.send(destination, "one", { headers });
  assertEquals(await takeTexts(subscription, 1), ["one"]);
}
