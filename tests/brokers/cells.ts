/**
 * Which combinations of runtime, broker, transport and version are tested each time, which only with `--all`, and the table
 * of those that were tested.
 *
 * @module
 */
import type { Version } from "../../codec/protocol.ts";
import type { Runtime } from "../support/runtime.ts";
import type { ReportedTest } from "../support/suite.ts";
import type { BrokerDetails } from "./harness/broker.ts";
import { BROKER_NAMES } from "./harness/table.ts";

/** The versions of the protocol. */
export const ALL_VERSIONS: readonly Version[] = ["1.0", "1.1", "1.2"];

/** What is tested of one broker in one runtime. */
export interface Cells {
  /** The versions by transport. */
  readonly versions: Readonly<Record<string, readonly Version[]>>;
  /** Whether tests that take seconds run, because of what they wait for. */
  readonly isSlow: boolean;
}

/** What the command line says. */
export interface Choice {
  /** The runtimes. */
  readonly only: readonly Runtime[];
  /** Whether everything is wanted. */
  readonly all: boolean;
  /** The transports, if only some are wanted. */
  readonly transport?: readonly string[] | undefined;
  /** The versions, if only some are wanted. */
  readonly version?: readonly Version[] | undefined;
}

/** Returns what to test of a broker in a runtime. */
export function cellsFor(
  broker: Pick<BrokerDetails, "name" | "urls" | "versions">,
  runtime: Runtime,
  { only, all, transport: transports, version: wanted }: Choice,
): Cells {
  const versions: Record<string, Version[]> = {};
  for (const transport of Object.keys(broker.urls)) {
    if (!(transports?.includes(transport) ?? true)) continue;
    versions[transport] = broker.versions.filter((version) => wanted?.includes(version) ?? true);
  }
  return { versions, isSlow: all || slowRuntime(broker.name, only) === runtime };
}

/**
 * Returns the runtime for the tests that wait, unless all is wanted. They wait for the broker, so another runtime has little
 * to add. The brokers take the runtimes in turn.
 */
export function slowRuntime(broker: BrokerDetails["name"], runtimes: readonly Runtime[]): Runtime {
  const nth = BROKER_NAMES.findIndex((name) => name === broker);
  return runtimes[Math.max(0, nth) % runtimes.length]!;
}

/** Counts the tests of each combination. */
export class Tally {
  /** Tests and seconds, by broker and transport, then by runtime and version. */
  readonly #rows = new Map<string, Map<string, { tests: number; seconds: number }>>();

  /** Adds the tests of a file. Their names begin with broker, transport and version. */
  add(runtime: Runtime, tests: readonly ReportedTest[]): void {
    for (const { name, outcome, seconds } of tests) {
      const [, row, version] = /^(\S+ \S+) (1\.\d): /.exec(name) ?? [];
      if (row === undefined || outcome === "ignored") continue;
      const columns = this.#rows.get(row) ?? new Map<string, { tests: number; seconds: number }>();
      this.#rows.set(row, columns);
      const cell = columns.get(`${runtime} ${version}`) ?? { tests: 0, seconds: 0 };
      columns.set(`${runtime} ${version}`, cell);
      cell.tests++;
      cell.seconds += seconds;
    }
  }

  /** Returns the table: in each cell the tests and the seconds that they took, or `-` where nothing was tested. */
  toLines(runtimes: readonly Runtime[]): string[] {
    const columns = runtimes.flatMap((runtime) => ALL_VERSIONS.map((version) => `${runtime} ${version}`));
    const rows = [...this.#rows.keys()].sort().map((row) => [
      row,
      ...columns.map((column) => {
        const cell = this.#rows.get(row)!.get(column);
        return cell === undefined ? "-" : `${cell.tests} in ${cell.seconds.toFixed(0)} s`;
      }),
    ]);
    if (rows.length === 0) return [];
    const table = [["tested", ...columns], ...rows];
    const widths = table[0]!.map((_, index) => Math.max(...table.map((row) => row[index]!.length)));
    return table.map((row) => row.map((cell, index) => cell.padEnd(widths[index]!)).join("  ").trimEnd());
  }
}
