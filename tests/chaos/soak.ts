/**
 * `deno task soak`: hours of everything at random, and nothing that grows. Clients connect, send, subscribe, ask, answer,
 * begin, commit and abort through a proxy that misbehaves; now and then all of them are closed, and what is left is
 * counted: heap, handles, timers, receipts, listeners, connections and messages that are not confirmed.
 *
 * It runs under Deno (`--v8-flags=--expose-gc`) and Node (`--expose-gc`) alike.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { Broker } from "../../broker/broker.ts";
import { Stomp, type StompOptions } from "../../mod.ts";
import { FaultProxy, type Random, seededRandom } from "../support/fault_proxy.ts";
import { countReceipts, countTimers, LongLived, openReceipts, openTimers } from "./counters.ts";
import { drawFault } from "./proxy.ts";

const HELP = `deno task soak [options]

  --minutes N   how long; default 1
  --url URL     a broker that runs (stomp://user:password@host:port) instead of the embedded one
  --seed N      the random numbers of an earlier run
  --help        this text`;

/** What is left when everything is closed. */
interface Sample {
  /** MiB. */
  heap: number;
  /** Files and sockets of the process, where the system tells. */
  handles: number;
  /** What keeps the runtime alive, where it tells. */
  resources: number;
  timers: number;
  /** Awaited, by the sessions that are alive and by those that are gone and were not let go. */
  receipts: number;
  /** On the one signal that all calls share. */
  listeners: number;
  /** Connections through the proxy. */
  links: number;
}

/** How often what was done, for people. */
const done: Record<string, number> = {};
const failed: Record<string, number> = {};

/** What the actions work with. */
interface Stage {
  url: string;
  random: Random;
  signal: AbortSignal;
  /** Told before the end of a round, so that what waits comes to an end. */
  over: AbortSignal;
}

const CLIENT: StompOptions = {
  heartbeat: 500,
  heartbeatTolerance: { floor: 500 },
  connectTimeout: 2000,
  timeout: 3000,
  reconnect: { firstConnect: true, delay: 5, maxDelay: 200, totalTime: 5000 },
};

type Action = (stomp: Stomp, stage: Stage) => Promise<unknown>;

/** Queues are few, so that a broker that keeps them does not grow. */
function queue({ random }: Stage): string {
  return `/queue/soak-${Math.floor(random() * 4)}`;
}

const ACTIONS: Record<string, Action> = {
  async send(stomp, stage) {
    const sends = Array.from(
      { length: 1 + Math.floor(stage.random() * 50) },
      () => stomp.send(queue(stage), "x".repeat(Math.floor(stage.random() ** 4 * 5000)), { signal: stage.signal }),
    );
    await Promise.all(sends);
  },
  async sendWithoutReceipt(stomp, stage) {
    await stomp.send(queue(stage), "no receipt", { receipt: false });
  },
  async sendInVain(stomp, stage) {
    const giveUp = AbortSignal.any([stage.signal, AbortSignal.timeout(1)]);
    await stomp.send(queue(stage), "hardly", { signal: giveUp }).catch(() => {});
  },
  async receive(stomp, stage) {
    const subscription = await stomp.subscribe(queue(stage), { ack: "client-individual", signal: stage.signal });
    const end = onOver(stage, () => subscription.unsubscribe());
    let left = Math.floor(stage.random() * 200);
    for await (const message of subscription) {
      await message.ack();
      if (--left < 0) break;
      if (subscription.queued === 0 && stage.random() < 0.3) break;
    }
    end();
  },
  async receiveInVain(stomp, stage) {
    const subscription = await stomp.subscribe("/topic/soak-nothing", { signal: stage.signal });
    await subscription.take({ timeout: 5, signal: stage.signal }).catch(() => {});
    await subscription.drain({ timeout: 500 });
  },
  async consume(stomp, stage) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), stage.random() * 300);
    const end = onOver(stage, () => stop.abort());
    try {
      await stomp.consume(queue(stage), () => {}, { ack: "client", concurrency: 1, signal: stop.signal });
    } finally {
      clearTimeout(timer);
      end();
    }
  },
  async transaction(stomp, stage) {
    await stomp.transaction(async (tx) => {
      for (let i = 0; i < 5; i++) await tx.send(queue(stage), `in a transaction ${i}`);
      if (stage.random() < 0.3) throw new Error("abort");
    }, { signal: stage.signal }).catch((error) => {
      if (error.message !== "abort") throw error;
    });
  },
  async request(stomp, stage) {
    await stomp.request("/queue/soak-answers", "what", { timeout: 1000, signal: stage.signal });
  },
  async watch(stomp) {
    const statuses = stomp.status();
    const next = statuses.next();
    await statuses.return!();
    await next;
  },
  reconnect: (stomp) => Promise.resolve(stomp.reconnect()),
};

/** Calls `act` at the end of the round, unless what this returns was called before. */
function onOver({ over }: Stage, act: () => unknown): () => void {
  const listener = () => void act();
  if (over.aborted) listener();
  over.addEventListener("abort", listener);
  return () => over.removeEventListener("abort", listener);
}

/** One client after the other, each doing this and that, until the round is over. */
async function work(stage: Stage): Promise<void> {
  const names = Object.keys(ACTIONS);
  while (!stage.over.aborted) {
    await attempt("connect", async () => {
      const stomp = await Stomp.connect(stage.url, { ...CLIENT, signal: stage.over });
      for (let i = 0; i < 20 && !stage.over.aborted; i++) {
        const several = Array.from({ length: 1 + Math.floor(stage.random() * 3) }, () => {
          const name = names[Math.floor(stage.random() * names.length)]!;
          return attempt(name, () => ACTIONS[name]!(stomp, stage));
        });
        await Promise.all(several);
      }
      const how = stage.random();
      if (how < 0.4) await stomp.disconnect({ timeout: 1000 });
      else if (how < 0.8) await stomp.drain({ timeout: 1000 });
      else await stomp.disconnect({ signal: AbortSignal.abort() });
      if (stomp.pending > 0) throw new Error(`${stomp.pending} messages are pending in a client that is closed`);
    });
  }
}

async function attempt(name: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
    done[name] = (done[name] ?? 0) + 1;
  } catch (error) {
    // What the faults bring about is expected; what makes no sense ends the run.
    if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) throw error;
    failed[name] = (failed[name] ?? 0) + 1;
  }
}

/** Takes what waits in the queues, so that a broker that keeps it in this process does not grow either. */
async function sweep(url: string): Promise<void> {
  await using stomp = await Stomp.connect(url, { heartbeat: false });
  for (let i = 0; i < 4; i++) {
    const subscription = await stomp.subscribe(`/queue/soak-${i}`);
    while (await subscription.take({ timeout: 100 }).catch(() => undefined));
    await subscription.unsubscribe();
  }
}

async function sample(shared: LongLived, proxy: FaultProxy): Promise<Sample> {
  const gc = (globalThis as { gc?: () => void }).gc;
  const resources = (process as { getActiveResourcesInfo?: () => string[] }).getActiveResourcesInfo;
  const count = (): Omit<Sample, "heap"> => ({
    handles: openFiles(),
    resources: resources?.call(process).length ?? 0,
    timers: openTimers(),
    receipts: openReceipts(),
    listeners: shared.listeners,
    links: proxy.open,
  });
  // Sockets close in their own time; what goes on after that stays.
  const least = count();
  for (let i = 0; i < 20; i++) {
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = count();
    for (const key of Object.keys(now) as (keyof typeof now)[]) least[key] = Math.min(least[key], now[key]);
  }
  gc?.();
  return { heap: process.memoryUsage().heapUsed / 2 ** 20, ...least };
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** Milliseconds of one round. */
const ROUND = 10_000;

/** Clients at the same time. */
const CLIENTS = 8;

async function soak(minutes: number, seed: number, given: string | undefined): Promise<boolean> {
  countTimers();
  countReceipts();
  const random = seededRandom(seed);
  const broker = given === undefined ? await Broker.listen() : undefined;
  const direct = given ?? broker!.url;
  const { hostname, port } = new URL(direct.replace(/^[^:]+/, "http"));
  let bad = true;
  const proxy = await FaultProxy.listen(
    { hostname, port: Number(port || 61613) },
    () => bad && random() < 0.6 ? drawFault(random) : {},
  );
  const url = direct.replace(/(\/\/(?:[^@/]*@)?)[^/]+/, `$1127.0.0.1:${proxy.port}`);
  const shared = new LongLived();
  const samples: Sample[] = [];
  const begun = performance.now();
  let said = begun;
  // One that is there all the time, and answers.
  const veteran = await Stomp.connect(url, { ...CLIENT, reconnect: { ...CLIENT.reconnect, totalTime: undefined } });
  await veteran.respond("/queue/soak-answers", () => "that");
  do {
    const over = new AbortController();
    const stage: Stage = { url, random, signal: shared.signal, over: over.signal };
    bad = true;
    const working = Array.from({ length: CLIENTS }, () => work(stage));
    // Ten rounds in a short run; the first two are to warm up.
    const length = Math.min(ROUND, minutes * 60_000 / 10);
    await new Promise((resolve) => setTimeout(resolve, length));
    over.abort();
    bad = false;
    proxy.cut("rst");
    await Promise.all(working);
    await sweep(direct);
    while (!veteran.connected) await new Promise((resolve) => setTimeout(resolve, 10));
    if (veteran.pending > 0) throw new Error(`${veteran.pending} messages of the client that stays are pending`);
    samples.push(await sample(shared, proxy));
    const now = performance.now();
    if (now - said >= 60_000 || now - begun >= minutes * 60_000) {
      said = now;
      console.log(
        `${((now - begun) / 60_000).toFixed(1)} min  ${show(samples.at(-1)!)}  ${sum(done)} done, ${
          sum(failed)
        } failed`,
      );
    }
  } while (performance.now() - begun < minutes * 60_000);
  await veteran.disconnect({ timeout: 2000 });
  await proxy.close();
  await broker?.close();
  console.log(`done    ${list(done)}\nfailed  ${list(failed)}`);
  return judge(samples);
}

/** Compares the end with the beginning, after two rounds of warming up. */
function judge(samples: readonly Sample[]): boolean {
  const settled = samples.slice(2);
  const third = Math.max(1, Math.floor(settled.length / 3));
  const of = (part: readonly Sample[], key: keyof Sample, choose: (...values: number[]) => number) =>
    choose(...part.map((sample) => sample[key]));
  const grown: string[] = [];
  for (const key of ["handles", "resources", "timers", "receipts", "listeners", "links"] as const) {
    const [first, last] = [of(settled.slice(0, third), key, Math.max), of(settled.slice(-third), key, Math.min)];
    // One that the client which stays has or has not at the moment is no growth; one for each client that has gone is.
    if (last > first + 2) grown.push(`${key} from ${first} to ${last}`);
  }
  const [first, last] = [settled.slice(0, third), settled.slice(-third)].map((part) => of(part, "heap", Math.min));
  // The runtime's own caches fill up; a leak of a client a second would show as far more.
  if (last! > first! * 1.1 + 1) grown.push(`heap from ${first!.toFixed(1)} to ${last!.toFixed(1)} MiB`);
  console.log(
    grown.length === 0 ? `level: ${show(settled[0]!)} became ${show(settled.at(-1)!)}` : `GROWN: ${grown.join(", ")}`,
  );
  return grown.length === 0;
}

function show({ heap, handles, resources, timers, receipts, listeners, links }: Sample): string {
  return `heap ${heap.toFixed(1)} MiB, ${handles} handles, ${resources} resources, ${timers} timers, ` +
    `${receipts} receipts, ${listeners} listeners, ${links} links`;
}

function list(counts: Record<string, number>): string {
  return Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ") || "nothing";
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((all, one) => all + one, 0);
}

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    url: { type: "string" },
    seed: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));

if (values.help) {
  console.log(HELP);
} else if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error("soak: cannot run with these numbers; see --help");
  process.exitCode = 2;
} else if (!("gc" in globalThis)) {
  console.error("soak: cannot measure: run it with --v8-flags=--expose-gc (Deno) or --expose-gc (Node)");
  process.exitCode = 2;
} else {
  console.log(`Seed ${seed}`);
  process.exitCode = await soak(minutes, seed, values.url) ? 0 : 1;
}
