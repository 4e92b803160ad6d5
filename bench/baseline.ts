/**
 * baseline.json: the last committed measurements, from which docs/performance.md is written.
 *
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { inRoot } from "../tests/support/project.ts";
import type { Runtime } from "../tests/support/runtime.ts";
import type { Results, Summary } from "./results.ts";
import type { Workload } from "./workloads.ts";

/** The measurements of one workload in one runtime. */
export interface Entry {
  /** The runs, by label. */
  runs: Record<string, Summary>;
  /** The figures, by name. */
  figures: Record<string, number>;
}

/** The contents of baseline.json. */
export interface Baseline {
  /** The machine of the measurements. */
  machine: string;
  /** The versions of the runtimes. */
  versions: Partial<Record<Runtime, string>>;
  /** The entries, by workload id and runtime. */
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

/** Rounds to three digits, which is finer than the noise. */
function round(value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(3)) : value;
}

/** Summarizes results for baseline.json. */
export function toEntry(workload: Workload, results: Results): Entry {
  return {
    runs: Object.fromEntries(results.labels.map((label) => [label, results.summary(label)])),
    figures: Object.fromEntries(workload.figures.map((figure) => [figure.name, figure.of(results)])),
  };
}

/** The share by which a figure may be worse before it counts as a regression and not as noise. */
const TOLERANCE = 0.25;

/** Returns a line for each figure that is worse by more than a quarter, or one line if there is no earlier entry. */
export function findRegressions(workload: Workload, runtime: Runtime, now: Entry, before: Entry | undefined): string[] {
  if (before === undefined) return [`${workload.id}, ${runtime}: bench/baseline.json has no entry to compare with`];
  const regressions: string[] = [];
  for (const { name, better, isStated } of workload.figures) {
    if (isStated) continue;
    const was = before.figures[name];
    const is = now.figures[name];
    if (was === undefined || is === undefined || !Number.isFinite(was)) continue;
    const share = better === "higher" ? is / was : was / is;
    if (share >= 1 - TOLERANCE) continue;
    regressions.push(`${workload.id}, ${runtime}: ${name} is ${is.toPrecision(3)}, and was ${was.toPrecision(3)}`);
  }
  return regressions;
}
