/**
 * Chooses what docs/performance.svg shows of the results.
 *
 * @module
 */
import { type Runtime, RUNTIMES } from "../tests/support/runtime.ts";
import type { Baseline, Entry } from "./baseline.ts";
import { formatNumber, nameOf } from "./report.ts";
import { type Bar, drawChart, type Group, type Panel } from "./svg.ts";
import { PEERS, WORKLOADS } from "./workloads.ts";

const SERIES = ["stompy", ...PEERS];

/** The workloads that a visitor understands without the page, by id. */
const PANELS: Readonly<Record<string, string>> = {
  receive: "Receive: messages a second",
  ack: "Receive and acknowledge: messages a second",
  send: "Send: messages a second",
  receipts: "Send with a receipt for each: messages a second",
  echo: "Request and reply, one at a time: round trips a second",
  large: "Receive messages of 1 MiB: MiB a second",
};

/** Draws this library beside the other clients. */
export function toPicture(baseline: Baseline): string {
  const panels = Object.entries(PANELS).flatMap(([id, title]): Panel[] => {
    const groups = RUNTIMES.flatMap((runtime) => {
      const entry = baseline.workloads[id]?.[runtime];
      return entry === undefined ? [] : [toGroup(id, runtime, entry)];
    });
    return groups.length > 0 ? [{ title, groups }] : [];
  });
  const note = "× is how many times as fast this library is as the fastest other client";
  return drawChart("STOMP clients compared: longer is faster", note, SERIES.map(nameOf), panels);
}

function toGroup(id: string, runtime: Runtime, { runs, figures }: Entry): Group {
  const [ratio] = WORKLOADS.find((workload) => workload.id === id)!.figures;
  const times = figures[ratio!.name];
  const bars = SERIES.flatMap((label, series): Bar[] => {
    const rate = runs[label]?.rate;
    if (rate === undefined) return [];
    const suffix = label === "stompy" && times !== undefined ? ` (${Number(times.toPrecision(2))}×)` : "";
    return [{ series, value: rate, label: `${formatNumber(rate)}${suffix}` }];
  });
  return { title: nameOf(runtime), bars };
}
