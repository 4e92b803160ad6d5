/** `status()`: each watcher sees all events, and a forgotten one costs nothing. */
import process from "node:process";
import v8 from "node:v8";
import vm from "node:vm";
import { assert, assertEquals, assertLess, assertStrictEquals } from "#assert";
import { test } from "#test";
import { StompError } from "../../base/errors.ts";
import { type Status, StatusHub } from "../../client/status.ts";
import { clientTest, Watcher } from "../support/client_harness.ts";
import { receiptFor } from "../support/raw_server.ts";

const event = (pending: number): Status => ({ type: "stalled", pending });
const closed: Status = { type: "closed", error: undefined };

/** What comes next: the number of the event, the type of another one, or `end`. */
async function next(watcher: AsyncIterator<Status>): Promise<number | string> {
  const result = await watcher.next();
  return result.done ? "end" : result.value.type === "stalled" ? result.value.pending : result.value.type;
}

test("`StatusHub` gives each watcher all events from its beginning, in order", async () => {
  const hub = new StatusHub();
  hub.emit(event(0)); // there is no watcher yet
  const one = hub.watch();
  hub.emit(event(1));
  const two = hub.watch();
  assertEquals(await next(one), 1);
  const waiting = two.next();
  hub.emit(event(2));
  hub.emit(event(3));
  assertEquals((await waiting).value, event(2));
  assertEquals([await next(one), await next(one), await next(two)], [2, 3, 3]);
  hub.emit(closed);
  hub.emit(event(4)); // nothing comes behind the end
  for (const watcher of [one, two]) assertEquals([await next(watcher), await next(watcher)], ["closed", "end"]);
  assertEquals(await next(hub.watch()), "end");
});

test("`StatusHub` keeps the last hundred events for a slow watcher", async () => {
  const hub = new StatusHub();
  const watcher = hub.watch();
  for (let i = 0; i < 250; i++) hub.emit(event(i));
  assertEquals([await next(watcher), await next(watcher)], [150, 151]);
  hub.emit(event(250));
  assertEquals(await next(watcher), 152);
});

test("`StatusHub`: a second `next()` ends the first, and `return()` ends the watcher", async () => {
  const hub = new StatusHub();
  const watcher = hub.watch();
  const first = watcher.next();
  const second = watcher.next();
  assertEquals(await first, { done: true, value: undefined });
  hub.emit(event(1));
  assertEquals((await second).value, event(1));
  const last = watcher.next();
  assertEquals(await watcher.return!(), { done: true, value: undefined });
  assertEquals(await last, { done: true, value: undefined });
  hub.emit(event(2));
  assertEquals(await next(watcher), "end");
});

function collectGarbage(): void {
  const { Bun } = globalThis as { Bun?: { gc(sync: boolean): void } };
  if (Bun) return Bun.gc(true);
  v8.setFlagsFromString("--expose-gc");
  vm.runInNewContext("gc")();
}

test("`StatusHub` spends no memory and no time on forgotten watchers", async () => {
  const hub = new StatusHub();
  let oldest: WeakRef<object> | undefined;
  (() => {
    for (let i = 0; i < 100_000; i++) oldest ??= new WeakRef(hub.watch());
  })();
  const before = process.cpuUsage();
  for (let i = 0; i < 1000; i++) hub.emit(event(i));
  assertLess(process.cpuUsage(before).user / 1000, 200, "milliseconds, and not a hundred million visits");
  await new Promise((resolve) => setTimeout(resolve, 0)); // a WeakRef holds until the end of its turn
  collectGarbage();
  assertStrictEquals(oldest!.deref(), undefined);
});

clientTest(
  "`status()` keeps the last hundred events for each of several watchers",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const idle = stomp.status();
    const watcher = new Watcher(stomp);
    for (let i = 0; i < 150; i++) await peer.write(`ERROR\nmessage:${i}\n\n\0`);
    const sync = stomp.send("/q", "x").catch(() => {});
    await peer.write(receiptFor(await peer.frame("SEND")));
    await sync;
    const first = (await idle.next()).value;
    assert(first?.type === "error" && first.error instanceof StompError);
    assertEquals(first.error.message, "Broker answered ERROR: 50");
    await watcher.until("error");
    await idle.return!();
    assertEquals(await idle.next(), { done: true, value: undefined });
  },
);
