/**
 * docs/performance.svg: which results it shows.
 *
 * @module
 */
import { type Runtime, RUNTIMES } from "../tests/support/runtime.ts";
import type { Baseline } from "./baseline.ts";
import { formatNumber, nameOf } from "./report.ts";
import { type Bar, drawChart, type Group, type Panel } from "./svg.ts";
import { WORKLOADS } from "./workloads.ts";

const SERIES = ["stompy", "stompit", "stompjs", "bare"];

/** Draws what was measured of speed. */
export function toPicture(baseline: Baseline): string {
  const panels: Panel[] = [];
  for (const { id, title, rate } of WORKLOADS) {
    const entries = baseline.workloads[id] ?? {};
    const groups = RUNTIMES.map((runtime) => toGroup(runtime, entries[runtime]?.runs ?? {})).filter(({ bars }) => {
      return bars.length === SERIES.length;
    });
    if (groups.length > 0) panels.push({ title: `${title} (${rate?.unit ?? ""})`, groups });
  }
  return drawChart("The longer, the faster", SERIES.map(nameOf), panels.filter(({ title }) => !title.endsWith("()")));
}

function toGroup(runtime: Runtime, runs: Record<string, { rate: number }>): Group {
  const bars: Bar[] = [];
  for (const [series, label] of SERIES.entries()) {
    const rate = runs[label]?.rate;
    if (rate !== undefined) bars.push({ series, value: rate, label: formatNumber(rate) });
  }
  return { title: nameOf(runtime), bars };
}
