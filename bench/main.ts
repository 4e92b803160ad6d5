/**
 * `deno task bench`: this library beside the other STOMP clients of npm and a bare socket, under Deno, Bun and Node.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { BROKER_NAMES } from "../tests/brokers/harness/mod.ts";
import { run } from "../tests/support/process.ts";
import { inRoot } from "../tests/support/project.ts";
import { type Runtime, RUNTIMES } from "../tests/support/runtime.ts";
import type { FoundRuntime } from "../tests/support/runtimes.ts";
import { type Entry, findFalls, readBaseline, toEntry, writeBaseline } from "./baseline.ts";
import type { Measured } from "./jobs.ts";
import { toPicture } from "./picture.ts";
import { type FarEnd, findRuntimes, installPeers, isThere, measure, startBroker, startPeer } from "./processes.ts";
import { toLines, toMarkdown } from "./report.ts";
import { Results } from "./results.ts";
import { brokerWorkloads, PEERS, type Workload, WORKLOADS } from "./workloads.ts";

const HELP = `deno task bench [options]

  --only <ids>      only these workloads, with commas between: ${WORKLOADS.map(({ id }) => id).join(", ")}
  --runtime <names> only these runtimes: ${RUNTIMES.join(", ")}
  --rounds <n>      how often everything is run; default 5
  --seconds <n>     how long a measurement takes, about; default 0.6
  --broker <name>   with a real broker as the far end, and nothing else: rabbitmq or activemq, which is started for it,
                    or name=url for one that runs on this machine already; may be repeated
  --quick           one round of 0.3 seconds
  --check           compares with bench/baseline.json; fails when a figure is worse by more than a quarter
  --save            writes bench/baseline.json, docs/performance.md and docs/performance.svg
`;

/** How often something that seems to be slower is measured before it is believed. */
const TRIES = 3;

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    runtime: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    broker: { type: "string", multiple: true, default: [] },
    quick: { type: "boolean", default: false },
    check: { type: "boolean", default: false },
    save: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (options.help) {
  console.log(HELP);
  process.exit();
}

/** The known ones among names with commas between; all when there are none. */
function choose<T extends string>(given: string | undefined, known: readonly T[]): readonly T[] {
  if (given === undefined) return known;
  const names = given.split(",");
  const unknown = names.find((name) => !(known as readonly string[]).includes(name));
  if (unknown !== undefined) throw new TypeError(`Cannot bench ${unknown}: there are ${known.join(", ")}`);
  return known.filter((name) => names.includes(name));
}

const ids = choose(options.only, WORKLOADS.map(({ id }) => id));
const runtimes = await findRuntimes(choose(options.runtime, RUNTIMES));
const rounds = Number(options.rounds ?? (options.quick ? 1 : 5));
const seconds = Number(options.seconds ?? (options.quick ? 0.3 : 0.6));

await installPeers();
await using peer = await startPeer();

/** What is measured, and with whom. */
const tasks: { workload: Workload; farEnd: FarEnd }[] = options.broker.length === 0
  ? WORKLOADS.filter(({ id }) => ids.includes(id)).map((workload) => ({ workload, farEnd: peer }))
  : [];
await using started = new AsyncDisposableStack();
for (const given of options.broker) {
  let [name = "", url] = given.split(/=(.*)/s);
  if (url === undefined) url = started.use(await startBroker(choose(name, BROKER_NAMES)[0]!)).urls["stomp"]!;
  const { port, username } = new URL(url);
  const farEnd = { port: Number(port || 61613), login: username || "guest" };
  tasks.push(...brokerWorkloads(name).map((workload) => ({ workload, farEnd })));
}

/** What could not be measured. What others cannot do is no fault of ours. */
const troubles: { own: boolean; what: string }[] = [];

/** Runs everything of a workload in one runtime, in turns. */
async function runRounds(workload: Workload, farEnd: FarEnd, runtime: FoundRuntime): Promise<Entry> {
  const all: Map<string, Measured>[] = [];
  for (let round = 0; round < Math.min(rounds, workload.rounds ?? rounds); round++) {
    const measured = new Map<string, Measured>();
    for (const one of workload.runs.filter(isThere)) {
      try {
        const job = { ...one.job, seconds };
        measured.set(one.label, await measure(runtime, workload, { ...one, job }, farEnd));
      } catch (error) {
        const what = `${workload.id}, ${runtime.name}, ${one.label}: ${(error as Error).message}`;
        troubles.push({ own: one.candidate === "stompy", what });
      }
    }
    all.push(measured);
  }
  return toEntry(workload, new Results(all, PEERS));
}

const baseline = readBaseline();
const falls: string[] = [];

/** Compares with what was committed; what seems to have fallen is measured again. */
async function check(workload: Workload, farEnd: FarEnd, runtime: FoundRuntime, first: Entry): Promise<void> {
  const before = baseline.workloads[workload.id]?.[runtime.name];
  let fallen = findFalls(workload, runtime.name, first, before);
  for (let i = 1; i < TRIES && fallen.length > 0; i++) {
    const again = findFalls(workload, runtime.name, await runRounds(workload, farEnd, runtime), before);
    fallen = again.filter((line) => fallen.some((other) => other.split(" is ")[0] === line.split(" is ")[0]));
  }
  falls.push(...fallen);
}

const entries: { workload: Workload; runtime: Runtime; entry: Entry }[] = [];
for (const { workload, farEnd } of tasks) {
  console.log(`${workload.id}: ${workload.title}`);
  for (const runtime of runtimes) {
    const entry = await runRounds(workload, farEnd, runtime);
    console.log(toLines(workload, runtime.name, entry).join("\n"));
    entries.push({ workload, runtime: runtime.name, entry });
    if (options.check) await check(workload, farEnd, runtime, entry);
  }
}

const failed = troubles.some(({ own }) => own);
if (options.save && !failed) {
  const [cpu] = cpus();
  baseline.machine = `${cpus().length} cores of ${cpu?.model ?? "an unknown processor"}, ${process.platform}`;
  for (const { name, version } of runtimes) baseline.versions[name] = version;
  for (const { workload, runtime, entry } of entries) (baseline.workloads[workload.id] ??= {})[runtime] = entry;
  writeBaseline(baseline);
  const saved = readBaseline();
  writeFileSync(inRoot("docs/performance.md"), toMarkdown(saved));
  writeFileSync(inRoot("docs/performance.svg"), toPicture(saved));
  await run(
    process.execPath,
    ["fmt", "--quiet", "docs/performance.md", "docs/performance.svg", "bench/baseline.json"],
    {
      cwd: inRoot(),
      timeout: 60_000,
    },
  );
  console.log("written: bench/baseline.json, docs/performance.md, docs/performance.svg");
}

for (const { what } of troubles) console.log(`did not work: ${what}`);
for (const fall of falls) console.log(`worse: ${fall}`);
if (options.check && falls.length === 0) console.log("nothing is worse by more than a quarter");
process.exitCode = falls.length > 0 || failed ? 1 : 0;
