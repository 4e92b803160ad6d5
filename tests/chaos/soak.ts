/**
 * The program behind `deno task soak`, which checks that nothing grows over hours of random use. Clients connect, send,
 * subscribe, request, reply, begin, commit and abort through a proxy that injects faults. At the end of each round all of
 * them close, and what is left is counted: heap, handles, timers, receipts, listeners, connections and pending messages.
 *
 * It runs under Deno (`--v8-flags=--expose-gc`) and Node (`--expose-gc`).
 *
 * @module
 */
import { readdirSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { Broker } from "../../broker/broker.ts";
import { Stomp, type StompOptions } from "../../mod.ts";
import { FaultProxy, type Random, seededRandom } from "../support/fault_proxy.ts";
import { countReceipts, countTimers, LongLivedSignal, openReceipts, openTimers } from "./counters.ts";
import { drawFault } from "./proxy.ts";

const HELP = `deno task soak [options]

  --minutes N   how long to run; default 1
  --url URL     use a running broker (stomp://user:password@host:port) instead of the embedded one
  --seed N      repeat the random numbers of an earlier run
  --help        print this text`;

/** What is left after all clients have closed. */
interface Sample {
  /** The heap in MiB. */
  heap: number;
  /** Files and sockets of the process, on Linux. */
  handles: number;
  /** Resources that keep the runtime running, if it reports them. */
  resources: number;
  timers: number;
  /** Open receipts, including those of dead sessions that are still in memory. */
  receipts: number;
  /** Listeners on the signal that all calls share. */
  listeners: number;
  /** Connections through the proxy. */
  links: number;
}

/** How many times each action succeeded, for the report. */
const done: Record<string, number> = {};

/** How many times each action failed, for the report. */
const failed: Record<string, number> = {};

/** What the actions of a round share. */
interface Round {
  url: string;
  random: Random;
  signal: AbortSignal;
  /** Aborts before the end of the round, so that everything that waits ends. */
  end: AbortSignal;
}

const CLIENT: StompOptions = {
  heartbeat: 500,
  heartbeatTolerance: { floor: 500 },
  connectTimeout: 2000,
  timeout: 3000,
  reconnect: { firstConnect: true, delay: 5, maxDelay: 200, totalTime: 5000 },
};

type Action = (stomp: Stomp, round: Round) => Promise<unknown>;

/** Returns one of four queues. More would make the memory of the broker grow. */
function queue({ random }: Round): string {
  return `/queue/soak-${Math.floor(random() * 4)}`;
}

const ACTIONS: Record<string, Action> = {
  async send(stomp, round) {
    const sends = Array.from(
      { length: 1 + Math.floor(round.random() * 50) },
      () => stomp.send(queue(round), "x".repeat(Math.floor(round.random() ** 4 * 5000)), { signal: round.signal }),
    );
    await Promise.all(sends);
  },
  async sendWithoutReceipt(stomp, round) {
    await stomp.send(queue(round), "no receipt", { receipt: false });
  },
  async sendAborted(stomp, round) {
    const giveUp = AbortSignal.any([round.signal, AbortSignal.timeout(1)]);
    await stomp.send(queue(round), "aborted", { signal: giveUp }).catch(() => {});
  },
  async receive(stomp, round) {
    const subscription = await stomp.subscribe(queue(round), { ack: "client-individual", signal: round.signal });
    const removeListener = onEnd(round, () => subscription.unsubscribe());
    let left = Math.floor(round.random() * 200);
    for await (const message of subscription) {
      await message.ack();
      if (--left < 0) break;
      if (subscription.queued === 0 && round.random() < 0.3) break;
    }
    removeListener();
  },
  async receiveNothing(stomp, round) {
    const subscription = await stomp.subscribe("/topic/soak-nothing", { signal: round.signal });
    await subscription.take({ timeout: 5, signal: round.signal }).catch(() => {});
    await subscription.drain({ timeout: 500 });
  },
  async consume(stomp, round) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), round.random() * 300);
    const removeListener = onEnd(round, () => stop.abort());
    try {
      await stomp.consume(queue(round), () => {}, { ack: "client", concurrency: 1, signal: stop.signal });
    } finally {
      clearTimeout(timer);
      removeListener();
    }
  },
  async transaction(stomp, round) {
    await stomp.transaction(async (tx) => {
      for (let i = 0; i < 5; i++) await tx.send(queue(round), `in a transaction ${i}`);
      if (round.random() < 0.3) throw new Error("abort");
    }, { signal: round.signal }).catch((error) => {
      if (error.message !== "abort") throw error;
    });
  },
  async request(stomp, round) {
    await stomp.request("/queue/soak-answers", "what", { timeout: 1000, signal: round.signal });
  },
  async watch(stomp) {
    const statuses = stomp.status();
    const next = statuses.next();
    await statuses.return!();
    await next;
  },
  reconnect: (stomp) => Promise.resolve(stomp.reconnect()),
};

/** Calls `act` at the end of the round. Returns a function that prevents it. */
function onEnd({ end }: Round, act: () => unknown): () => void {
  const listener = () => void act();
  if (end.aborted) listener();
  end.addEventListener("abort", listener);
  return () => end.removeEventListener("abort", listener);
}

/** Runs one client after the other with random actions, until the end of the round. */
async function work(round: Round): Promise<void> {
  const names = Object.keys(ACTIONS);
  while (!round.end.aborted) {
    await attempt("connect", async () => {
      const stomp = await Stomp.connect(round.url, { ...CLIENT, signal: round.end });
      for (let i = 0; i < 20 && !round.end.aborted; i++) {
        const several = Array.from({ length: 1 + Math.floor(round.random() * 3) }, () => {
          const name = names[Math.floor(round.random() * names.length)]!;
          return attempt(name, () => ACTIONS[name]!(stomp, round));
        });
        await Promise.all(several);
      }
      const how = round.random();
      if (how < 0.4) await stomp.disconnect({ timeout: 1000 });
      else if (how < 0.8) await stomp.drain({ timeout: 1000 });
      else await stomp.disconnect({ signal: AbortSignal.abort() });
      if (stomp.pending > 0) throw new Error(`${stomp.pending} messages are pending in a closed client`);
    });
  }
}

async function attempt(name: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
    done[name] = (done[name] ?? 0) + 1;
  } catch (error) {
    // Errors caused by the faults are expected. These types mean a bug, and end the run.
    if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) throw error;
    failed[name] = (failed[name] ?? 0) + 1;
  }
}

/** Empties the queues, so that an embedded broker, which is in the same process, does not grow. */
async function sweep(url: string): Promise<void> {
  await using stomp = await Stomp.connect(url, { heartbeat: false });
  for (let i = 0; i < 4; i++) {
    const subscription = await stomp.subscribe(`/queue/soak-${i}`);
    while (await subscription.take({ timeout: 100 }).catch(() => undefined));
    await subscription.unsubscribe();
  }
}

async function sample(shared: LongLivedSignal, proxy: FaultProxy): Promise<Sample> {
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
  // Sockets take a moment to close, so use the smallest of several counts.
  const smallest = count();
  for (let i = 0; i < 20; i++) {
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = count();
    for (const key of Object.keys(now) as (keyof typeof now)[]) smallest[key] = Math.min(smallest[key], now[key]);
  }
  gc?.();
  return { heap: process.memoryUsage().heapUsed / 2 ** 20, ...smallest };
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** The longest round in milliseconds. */
const MAX_ROUND_MS = 10_000;

/** The number of clients at a time. */
const CLIENTS = 8;

async function soak(minutes: number, seed: number, given: string | undefined): Promise<boolean> {
  countTimers();
  countReceipts();
  const random = seededRandom(seed);
  const broker = given === undefined ? await Broker.listen() : undefined;
  const direct = given ?? broker!.url;
  const { hostname, port } = new URL(direct.replace(/^[^:]+/, "http"));
  let isFaulty = true;
  const proxy = await FaultProxy.listen(
    { hostname, port: Number(port || 61613) },
    () => isFaulty && random() < 0.6 ? drawFault(random) : {},
  );
  const url = direct.replace(/(\/\/(?:[^@/]*@)?)[^/]+/, `$1127.0.0.1:${proxy.port}`);
  const shared = new LongLivedSignal();
  const samples: Sample[] = [];
  const begun = performance.now();
  let lastReport = begun;
  // A client that stays connected during the whole run, and replies to the requests.
  const veteran = await Stomp.connect(url, { ...CLIENT, reconnect: { ...CLIENT.reconnect, totalTime: undefined } });
  await veteran.respond("/queue/soak-answers", () => "that");
  do {
    const end = new AbortController();
    const round: Round = { url, random, signal: shared.signal, end: end.signal };
    isFaulty = true;
    const working = Array.from({ length: CLIENTS }, () => work(round));
    // A short run has ten rounds. The first two are the warm-up.
    const length = Math.min(MAX_ROUND_MS, minutes * 60_000 / 10);
    await new Promise((resolve) => setTimeout(resolve, length));
    end.abort();
    isFaulty = false;
    proxy.cut("rst");
    await Promise.all(working);
    await sweep(direct);
    while (!veteran.connected) await new Promise((resolve) => setTimeout(resolve, 10));
    if (veteran.pending > 0) throw new Error(`${veteran.pending} messages of the permanent client are pending`);
    samples.push(await sample(shared, proxy));
    const now = performance.now();
    if (now - lastReport >= 60_000 || now - begun >= minutes * 60_000) {
      lastReport = now;
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

/** Compares the last third of the rounds with the first, without the two warm-up rounds. */
function judge(samples: readonly Sample[]): boolean {
  const settled = samples.slice(2);
  const third = Math.max(1, Math.floor(settled.length / 3));
  const of = (part: readonly Sample[], key: keyof Sample, choose: (...values: number[]) => number) =>
    choose(...part.map((sample) => sample[key]));
  const grown: string[] = [];
  for (const key of ["handles", "resources", "timers", "receipts", "listeners", "links"] as const) {
    const [first, last] = [of(settled.slice(0, third), key, Math.max), of(settled.slice(-third), key, Math.min)];
    // The permanent client may have one more or less at the moment. A leak would show as one for each closed client.
    if (last > first + 2) grown.push(`${key} from ${first} to ${last}`);
  }
  const [first, last] = [settled.slice(0, third), settled.slice(-third)].map((part) => of(part, "heap", Math.min));
  // The caches of the runtime grow as well. A leak of one client per second would be far more than this.
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
  console.error("soak: cannot run with these numbers, see --help");
  process.exitCode = 2;
} else if (!("gc" in globalThis)) {
  console.error("soak: cannot measure the heap, run it with --v8-flags=--expose-gc (Deno) or --expose-gc (Node)");
  process.exitCode = 2;
} else {
  console.log(`Seed ${seed}`);
  process.exitCode = await soak(minutes, seed, values.url) ? 0 : 1;
}
