/**
 * What the tests of `stomp.stream()` share: a client of a broker with a stream.
 *
 * @module
 */
import type { Stomp } from "../../api/stomp.ts";
import type { StompOptions } from "../../client/options.ts";
import type { StreamMessage } from "../../work/stream.ts";
import { type ClientHarness, Watcher } from "./client_harness.ts";
import { StreamServer } from "./stream_server.ts";

/** Options of a client that reconnects at once. */
export const AT_ONCE: StompOptions = { reconnect: { delay: 0 }, heartbeat: false };

/** The stream. */
export const QUEUE = "/queue/s";

/** A client of a broker with a stream that has these batches. */
export async function pair(
  harness: ClientHarness,
  ...batches: string[][]
): Promise<{ stomp: Stomp; server: StreamServer }> {
  const server = await StreamServer.listen();
  harness.atEnd(() => server.close());
  for (const batch of batches) server.append(batch);
  const stomp = await harness.connect(server.url, AT_ONCE);
  return { stomp, server };
}

/** Returns the bodies `m0`, `m1` and so on of a range. */
export function bodies(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `m${from + i}`);
}

/** Breaks the connections, and resolves when the client has another one. */
export async function reconnect(stomp: Stomp, server: StreamServer): Promise<void> {
  const watcher = new Watcher(stomp);
  await server.breakAll();
  await watcher.until("connected");
}

/** Takes `count` messages, and returns their bodies. */
export async function take(stream: AsyncIterator<StreamMessage>, count: number): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) texts.push((await stream.next()).value!.text());
  return texts;
}
