/**
 * The effect of the option `browse`.
 *
 * @module
 */
import { assertEquals, assertRejects } from "#assert";
import { BrokerErrorResponse } from "../../base/errors.ts";
import { type Harness, takeTexts } from "./support.ts";

/** Looks at the messages of a queue, which stay there, and ends behind the last one. */
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
