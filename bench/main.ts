/**
 * `deno task bench`: compares this library with other STOMP clients and a bare socket under Deno, Bun and Node.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { chooseBrokers, familiesOf, KEEPING_BROKERS } from "../tests/brokers/harness/mod.ts";
import { run } from "../tests/support/process.ts";
import { inRoot } from "../tests/support/project.ts";
import { type Runtime, RUNTIMES } from "../tests/support/runtime.ts";
import type { FoundRuntime } from "../tests/support/runtimes.ts";
import { type Entry, findRegressions, readBaseline, toEntry, writeBaseline } from "./baseline.ts";
import type { Measured } from "./jobs.ts";
import { toPicture } from "./picture.ts";
import {
  type Endpoint,
  findRuntimes,
  installPeers,
  isInstalled,
  measure,
  startBroker,
  startPeer,
} from "./processes.ts";
import { toLines, toMarkdown } from "./report.ts";
import { Results } from "./results.ts";
import { brokerWorkloads, PEERS, type Workload, WORKLOADS } from "./workloads.ts";

const HELP = `deno task bench [options]

  --only <ids>      only these workloads, separated by commas: ${WORKLOADS.map(({ id }) => id).join(", ")}
  --runtime <names> only these runtimes: ${RUNTIMES.join(", ")}
  --rounds <n>      number of rounds (default: 5)
  --seconds <n>     approximate duration of one measurement (default: 0.6)
  --broker <name>   only the workloads on a real broker, which is started for it: ${KEEPING_BROKERS.join(", ")}; or
                    on all of a family: ${familiesOf(KEEPING_BROKERS).join(", ")}; or name=url for one that already runs
                    on this machine; may be repeated
  --quick           one round of 0.3 seconds
  --check           compares with bench/baseline.json, and fails if a figure is worse by more than a quarter
  --save            writes bench/baseline.json, docs/performance.md and docs/performance.svg
`;

/** How often an apparent regression is measured before it is reported. */
const MAX_ATTEMPTS = 3;

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

/** Returns the names in a comma-separated list, or all known names without one. */
function choose<T extends string>(given: string | undefined, known: readonly T[]): readonly T[] {
  if (given === undefined) return known;
  const names = given.split(",");
  const unknown = names.find((name) => !(known as readonly string[]).includes(name));
  if (unknown !== undefined) throw new TypeError(`Cannot run ${unknown}: it is unknown, use ${known.join(", ")}`);
  return known.filter((name) => names.includes(name));
}

const ids = choose(options.only, WORKLOADS.map(({ id }) => id));
const runtimes = await findRuntimes(choose(options.runtime, RUNTIMES));
const rounds = Number(options.rounds ?? (options.quick ? 1 : 5));
const seconds = Number(options.seconds ?? (options.quick ? 0.3 : 0.6));

await installPeers();
await using peer = await startPeer();

/** The workloads to measure, and the peer of each. */
const tasks: { workload: Workload; endpoint: Endpoint }[] = options.broker.length === 0
  ? WORKLOADS.filter(({ id }) => ids.includes(id)).map((workload) => ({ workload, endpoint: peer }))
  : [];
await using started = new AsyncDisposableStack();
for (const given of options.broker) {
  const [name = "", url] = given.split(/=(.*)/s);
  const brokers = url === undefined
    ? await Promise.all(chooseBrokers([name], KEEPING_BROKERS).map((one) => startBroker(one)))
    : [{ name, urls: { stomp: url } }];
  for (const broker of brokers) {
    if (Symbol.asyncDispose in broker) started.use(broker);
    const { port, username } = new URL(broker.urls["stomp"]!);
    const endpoint = { port: Number(port || 61613), login: username || "guest" };
    tasks.push(...brokerWorkloads(broker.name).map((workload) => ({ workload, endpoint })));
  }
}

/** Failed measurements; only those of this library fail the bench. */
const failures: { isOwn: boolean; what: string }[] = [];

/** Runs all candidates of a workload in one runtime, in turn, for all rounds. */
async function runRounds(workload: Workload, endpoint: Endpoint, runtime: FoundRuntime): Promise<Entry> {
  const all: Map<string, Measured>[] = [];
  for (let round = 0; round < Math.min(rounds, workload.rounds ?? rounds); round++) {
    const measured = new Map<string, Measured>();
    for (const one of workload.runs.filter(isInstalled)) {
      try {
        const job = { ...one.job, seconds };
        measured.set(one.label, await measure(runtime, workload, { ...one, job }, endpoint));
      } catch (error) {
        const what = `${workload.id}, ${runtime.name}, ${one.label}: ${(error as Error).message}`;
        failures.push({ isOwn: one.candidate === "stompy", what });
      }
    }
    all.push(measured);
  }
  return toEntry(workload, new Results(all, PEERS));
}

const baseline = readBaseline();
const regressions: string[] = [];

/** Compares with the committed baseline, and measures an apparent regression again. */
async function check(workload: Workload, endpoint: Endpoint, runtime: FoundRuntime, first: Entry): Promise<void> {
  const before = baseline.workloads[workload.id]?.[runtime.name];
  let current = findRegressions(workload, runtime.name, first, before);
  for (let i = 1; i < MAX_ATTEMPTS && current.length > 0; i++) {
    const again = findRegressions(workload, runtime.name, await runRounds(workload, endpoint, runtime), before);
    current = again.filter((line) => current.some((other) => other.split(" is ")[0] === line.split(" is ")[0]));
  }
  regressions.push(...current);
}

const entries: { workload: Workload; runtime: Runtime; entry: Entry }[] = [];
for (const { workload, endpoint } of tasks) {
  console.log(`${workload.id}: ${workload.title}`);
  for (const runtime of runtimes) {
    const entry = await runRounds(workload, endpoint, runtime);
    console.log(toLines(workload, runtime.name, entry).join("\n"));
    entries.push({ workload, runtime: runtime.name, entry });
    if (options.check) await check(workload, endpoint, runtime, entry);
  }
}

const failed = failures.some(({ isOwn }) => isOwn);
if (options.save && !failed) {
  const [cpu] = cpus();
  baseline.machine = `${cpus().length} cores of ${cpu?.model ?? "an unknown CPU"}, ${process.platform}`;
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

for (const { what } of failures) console.log(`failed: ${what}`);
for (const line of regressions) console.log(`worse: ${line}`);
if (options.check && regressions.length === 0) console.log("no figure is worse by more than a quarter");
process.exitCode = regressions.length > 0 || failed ? 1 : 0;
