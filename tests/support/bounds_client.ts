/**
 * A client that is sent more than it takes, in a process of its own, whose memory is measured: `bounds_client.ts <what it
 * does> <url>`. Prints what was measured as JSON.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Stomp } from "../../mod.ts";

/** What is measured. */
export interface Bounds {
  /** Bytes that were needed at most beside what an idle process needs. */
  needed: number;
  /** Messages that waited at the end. */
  queued: number;
  /** Whether nothing was read any more. */
  blocked: boolean;
  /** How many sends were confirmed. */
  confirmed: number;
}

const [, , what, url] = process.argv as [string, string, string, string];
const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };

/** What the process takes of the system's memory when it has let go of everything unreachable. */
async function idle(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    if (Bun) Bun.gc(true);
    else gc?.();
    await sleep(50);
  }
  return process.memoryUsage().rss;
}

const stomp = await Stomp.connect(url, { reconnect: false, heartbeat: false });
// All code is in place, and the heap has the size that it has when messages come.
const warm = await stomp.subscribe("/queue/warm");
for (let i = 0; i < 20_000; i++) await warm.take();
await warm.unsubscribe();
const before = await idle();
let most = before;
const sampling = setInterval(() => most = Math.max(most, process.memoryUsage().rss), 20);

let blocked = false;
(async () => {
  for await (const status of stomp.status()) if (status.type === "slow-consumer") blocked ||= status.blocked;
})();
let over = false;
let confirmed = 0;
const nothing = () => {};
const limits = what === "send" || what === "request" ? { maxQueuedMessages: 100 } : {};
const flood = await stomp.subscribe(what === "sparse" ? "/queue/sparse" : "/queue/flood", limits);
switch (what) {
  case "send": // and the broker does not answer
    stomp.send("/queue/silent", "x").catch(nothing);
    break;
  case "request":
    stomp.request("/queue/silent", "x").catch(nothing);
    break;
  case "sends": // all the time, and the broker answers
    for (let i = 0; i < 16; i++) {
      (async () => {
        while (!over) {
          await stomp.send("/queue/answered", "x").catch(nothing);
          confirmed++;
        }
      })();
    }
    (async () => {
      while (!over) {
        await flood.take();
        await sleep(5);
      }
    })();
    break;
}
const end = performance.now() + (what === "sparse" ? 20_000 : 3000);
const isDone = () => what === "sparse" ? flood.queued >= 1024 : blocked && what !== "sends";
while (performance.now() < end && !isDone()) await sleep(20);
await sleep(500); // for what must not come
clearInterval(sampling);
over = true;
const bounds: Bounds = { needed: most - before, queued: flood.queued, blocked, confirmed };
console.log(JSON.stringify(bounds));
process.exit();
