/**
 * What was measured last and committed: baseline.json, from which docs/performance.md is made.
 *
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { inRoot } from "../tests/support/project.ts";
import type { Runtime } from "../tests/support/runtime.ts";
import type { Results, Summary } from "./results.ts";
import type { Workload } from "./workloads.ts";

/** What is kept of one workload in one runtime. */
export interface Entry {
  /** Each run, by its label. */
  runs: Record<string, Summary>;
  /** Each figure, by its name. */
  figures: Record<string, number>;
}

/** What is in baseline.json. */
export interface Baseline {
  /** What it was measured on. */
  machine: string;
  /** The versions. */
  versions: Partial<Record<Runtime, string>>;
  /** The entries, by the id of the workload and the runtime. */
  workloads: Record<string, Partial<Record<Runtime, Entry>>>;
}

const PATH = inRoot("bench/baseline.json");

/** Reads baseline.json. */
export function readBaseline(): Baseline {
  if (!existsSync(PATH)) return { machine: "", versions: {}, workloads: {} };
  return JSON.parse(readFileSync(PATH, "utf8"));
}

/** Writes baseline.json. */
export function writeBaseline(baseline: Baseline): void {
  writeFileSync(PATH, `${JSON.stringify(baseline, (_key, value) => round(value), 2)}\n`);
}

/** Three digits are more than the noise leaves; null would not be a number. */
function round(value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(3)) : value;
}

/** What is to be kept of results. */
export function toEntry(workload: Workload, results: Results): Entry {
  return {
    runs: Object.fromEntries(results.labels.map((label) => [label, results.summary(label)])),
    figures: Object.fromEntries(workload.figures.map((figure) => [figure.name, figure.of(results)])),
  };
}

/** A figure may be worse by this share before that is held for more than noise. */
const TOLERANCE = 0.25;

/** What is worse than it was by more than a quarter, or cannot be compared with anything: a line for each. */
export function findFalls(workload: Workload, runtime: Runtime, now: Entry, before: Entry | undefined): string[] {
  if (before === undefined) return [`${workload.id}, ${runtime}: nothing is committed that it could be compared with`];
  const falls: string[] = [];
  for (const { name, better, isStated } of workload.figures) {
    if (isStated) continue;
    const was = before.figures[name];
    const is = now.figures[name];
    if (was === undefined || is === undefined || !Number.isFinite(was)) continue;
    const share = better === "higher" ? is / was : was / is;
    if (share >= 1 - TOLERANCE) continue;
    falls.push(`${workload.id}, ${runtime}: ${name} is ${is.toPrecision(3)}, and was ${was.toPrecision(3)}`);
  }
  return falls;
}
