/**
 * Runs the test files on the brokers: each broker is started, tested in one runtime after the other, and stopped. Several
 * brokers are tested at a time, since most tests wait most of the time.
 *
 * @module
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Runtime } from "../support/runtime.ts";
import type { FoundRuntime } from "../support/runtimes.ts";
import { type Failure, type FileReport, runFile, type SuiteOptions } from "../support/suite.ts";
import { type Cells, Tally } from "./cells.ts";
import { listenForControl, VARIABLES } from "./control.ts";
import { detailsOf, type RealBroker } from "./harness/broker.ts";

/** A broker to test, which is started when its turn comes. */
export interface Subject {
  /** Its name. */
  readonly name: RealBroker["name"];
  /** Starts it. */
  start(): Promise<RealBroker>;
  /** Returns what to test of it. */
  cellsFor(broker: RealBroker, runtime: Runtime): Cells;
}

/** Options of {@linkcode BrokerRun}. */
export interface RunOptions extends Omit<SuiteOptions, "env"> {
  /** The runtimes. */
  readonly runtimes: readonly FoundRuntime[];
  /** The test files. */
  readonly files: readonly string[];
  /** Called with what happens, line by line. */
  readonly log: (line: string) => void;
}

/** One run of the tests. */
export class BrokerRun {
  /** What was tested. */
  readonly tally: Tally = new Tally();
  /** What failed. */
  readonly failures: Failure[] = [];
  /** A line for each broker and runtime. */
  readonly summary: string[] = [];
  /** The number of tests that passed. */
  passed = 0;
  readonly #options: RunOptions;

  /** Prepares a run. */
  constructor(options: RunOptions) {
    this.#options = options;
  }

  /** Tests the brokers, up to `atOnce` at a time. */
  async test(subjects: readonly Subject[], atOnce: number): Promise<void> {
    const rest = subjects.values();
    const work = async () => {
      for (const subject of rest) await this.#testBroker(subject);
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  }

  async #testBroker(subject: Subject): Promise<void> {
    const { name } = subject;
    const { log, runtimes } = this.#options;
    try {
      const begun = performance.now();
      await using broker = await subject.start();
      const how = broker.pid !== undefined ? `started in ${secondsSince(begun)} s` : "running already";
      log(`${name}: ${how}, ${Object.keys(broker.urls).join(", ")}`);
      await using control = await listenForControl([broker]);
      for (const runtime of runtimes) {
        const env = {
          [VARIABLES.brokers]: JSON.stringify([detailsOf(broker)]),
          [VARIABLES.cells]: JSON.stringify(subject.cellsFor(broker, runtime.name)),
          [VARIABLES.control]: control.url,
        };
        await this.#testIn(runtime, name, env);
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log(`${name}: ${message}`);
      this.failures.push({ name, message });
    }
  }

  /** Runs all test files on one broker in one runtime. */
  async #testIn(runtime: FoundRuntime, broker: string, env: Record<string, string>): Promise<void> {
    const begun = performance.now();
    const folder = join(this.#options.folder, broker); // for the report, which other brokers write at the same time
    mkdirSync(folder, { recursive: true });
    let passed = 0;
    let failed = 0;
    for (const file of this.#options.files) {
      const start = performance.now();
      const report = await runFile(runtime, file, { ...this.#options, folder, env });
      this.#options.log(`${broker} ${runtime.name} ${describe(file, report)} (${secondsSince(start)} s)`);
      if (report.failures.length > 0 && report.output !== "") this.#options.log(`${report.output.trimEnd()}\n`);
      this.tally.add(runtime.name, report.tests);
      passed += report.passed;
      failed += report.failures.length;
      for (const one of report.failures) {
        this.failures.push({ ...one, name: `${runtime.name} ${broker} ${file} ${one.name}` });
      }
    }
    this.passed += passed;
    this.summary.push(
      `${broker} ${runtime.name} ${runtime.version}: ${passed} passed, ${failed} failed, ${secondsSince(begun)} s`,
    );
  }
}

function describe(file: string, { passed, ignored, failures }: FileReport): string {
  const counts = [
    `${passed} ok`,
    ignored > 0 && `${ignored} ignored`,
    failures.length > 0 && `${failures.length} FAILED`,
  ];
  return `${file}: ${counts.filter(Boolean).join(", ")}`;
}

function secondsSince(begun: number): string {
  return ((performance.now() - begun) / 1000).toFixed(1);
}
