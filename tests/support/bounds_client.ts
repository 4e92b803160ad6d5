/**
 * A program that measures how much memory a client needs when the broker sends more than the client consumes:
 * `bounds_client.ts <scenario> <url>`. It prints {@linkcode Bounds} as JSON.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Stomp } from "../../mod.ts";

/** The measurements. */
export interface Bounds {
  /** The peak of the resident memory above that of the idle process, in bytes. */
  needed: number;
  /** Messages in the queue at the end. */
  queued: number;
  /** Whether the client stopped reading from the socket. */
  blocked: boolean;
  /** Confirmed sends. */
  confirmed: number;
}

const [, , scenario, url] = process.argv as [string, string, string, string];
const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };

/** Collects garbage and returns the resident memory of the process, in bytes. */
async function measureIdle(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    if (Bun) Bun.gc(true);
    else gc?.();
    await sleep(50);
  }
  return process.memoryUsage().rss;
}

const stomp = await Stomp.connect(url, { reconnect: false, heartbeat: false });
// Load all code and grow the heap to its size under load before measuring.
const warm = await stomp.subscribe("/queue/warm");
for (let i = 0; i < 20_000; i++) await warm.take();
await warm.unsubscribe();
const before = await measureIdle();
let peak = before;
const sampling = setInterval(() => peak = Math.max(peak, process.memoryUsage().rss), 20);

let blocked = false;
(async () => {
  for await (const status of stomp.status()) if (status.type === "slow-consumer") blocked ||= status.blocked;
})();
let isDone = false;
let confirmed = 0;
const ignore = () => {};
const limits = scenario === "send" || scenario === "request" ? { maxQueuedMessages: 100 } : {};
const flood = await stomp.subscribe(scenario === "sparse" ? "/queue/sparse" : "/queue/flood", limits);
switch (scenario) {
  case "send": // one message, which the broker does not confirm
    stomp.send("/queue/silent", "x").catch(ignore);
    break;
  case "request":
    stomp.request("/queue/silent", "x").catch(ignore);
    break;
  case "sends": // a stream of messages, which the broker confirms
    for (let i = 0; i < 16; i++) {
      (async () => {
        while (!isDone) {
          await stomp.send("/queue/answered", "x").catch(ignore);
          confirmed++;
        }
      })();
    }
    (async () => {
      while (!isDone) {
        await flood.take();
        await sleep(5);
      }
    })();
    break;
}
const end = performance.now() + (scenario === "sparse" ? 20_000 : 3000);
const isFull = () => scenario === "sparse" ? flood.queued >= 1024 : blocked && scenario !== "sends";
while (performance.now() < end && !isFull()) await sleep(20);
await sleep(500); // in case more is read after the client should have stopped
clearInterval(sampling);
isDone = true;
const bounds: Bounds = { needed: peak - before, queued: flood.queued, blocked, confirmed };
console.log(JSON.stringify(bounds));
process.exit();
