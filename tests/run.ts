/**
 * `deno task test`: type-checks everything and runs the same tests under Deno, Bun and Node.
 *
 * What is missing is fetched from npm; what cannot be had is a failure. The last line is the sum of all runtimes.
 *
 * @module
 */
import { rmSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { findTests, makeFolder } from "./support/project.ts";
import { type Runtime, RUNTIMES } from "./support/runtime.ts";
import { canReachJsr, findBun, findDeno, findNode, type FoundRuntime, installPackages } from "./support/runtimes.ts";
import { type Failure, type FileReport, runFile } from "./support/suite.ts";
import { checkWithDeno, checkWithTsc, writeImportMapWithoutJsr } from "./support/types.ts";

const HELP = `deno task test [options] [test file…]

Type-checks, then runs the tests under Deno, Bun and Node.

  --only deno|bun|node   only this runtime; may be given more than once
  --filter text          only tests with this text in their name
  --node 22              this release of Node, from npm where the PATH has another
  --verbose              what the tests print, also where they pass
  --no-types             leave out the type check
  --types-only           nothing but the type check
  --help                 this text
`;

const STD = "assertions: @std/assert from JSR";
const STAND_IN = "assertions: node:assert/strict behind the names of @std/assert";

type Options = ReturnType<typeof readArgs>;

/** Reads the command line. A `TypeError` says what is wrong with it. */
function readArgs(args: string[]) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    allowNegative: true,
    options: {
      only: { type: "string", multiple: true },
      filter: { type: "string" },
      node: { type: "string" },
      types: { type: "boolean", default: true },
      "types-only": { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const only = (values.only ?? RUNTIMES).map((name) => {
    const runtime = RUNTIMES.find((known) => known === name);
    if (runtime === undefined) {
      throw new TypeError(`Cannot run under "${name}": the runtimes are ${RUNTIMES.join(", ")}`);
    }
    return runtime;
  });
  if (values.node !== undefined && !/^\d+$/.test(values.node)) {
    throw new TypeError(`Cannot take Node "${values.node}": --node wants a release, for example 22`);
  }
  return {
    ...values,
    only,
    node: values.node === undefined ? undefined : Number(values.node),
    files: findTests(positionals),
  };
}

/** The beginning of a message: enough to recognize the failure, which the runtime itself has told at length. */
function indent(message: string): string {
  return message.trim().split("\n").slice(0, 8).map((line) => `  ${line}`.trimEnd()).join("\n");
}

/** Runs something that may fail, and turns that into a failure of the whole. */
async function attempt<T>(name: string, failures: Failure[], fn: () => Promise<T>): Promise<T | undefined> {
  try {
    return await fn();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    failures.push({ name, message });
    console.log(message);
    return undefined;
  }
}

/** One line for a file; all that the runtime said where something failed. */
function tell(file: string, report: FileReport, seconds: number): void {
  const { passed, ignored, failures, output } = report;
  const counts = [
    `${passed} ok`,
    ignored > 0 && `${ignored} ignored`,
    failures.length > 0 && `${failures.length} FAILED`,
  ];
  console.log(`  ${file}: ${counts.filter(Boolean).join(", ")} (${seconds.toFixed(1)} s)`);
  if (failures.length > 0 && output !== "") console.log(`${output.trimEnd()}\n`);
}

/** Type-checks. Each of the two checks that fails is one failure. */
async function checkTypes(hasJsr: boolean, importMap: string | undefined, failures: Failure[]): Promise<void> {
  const checks = [
    ["deno check", () => checkWithDeno(hasJsr, importMap)],
    ["tsc", () => checkWithTsc()],
  ] as const;
  for (const [name, check] of checks) {
    const result = await check();
    console.log(result.ok ? `${name}: fine` : `${name}: ${result.ending}\n${result.output.trim()}`);
    if (!result.ok) failures.push({ name, message: "see above" });
  }
}

async function main(options: Options, folder: string): Promise<boolean> {
  const failures: Failure[] = [];
  let passed = 0;

  const hasJsr = await canReachJsr();
  const importMap = hasJsr ? undefined : writeImportMapWithoutJsr(folder);
  console.log(hasJsr ? "JSR: reached" : "JSR: cannot be reached, so Deno takes the assertions that Bun and Node have");
  await attempt("npm packages", failures, installPackages);

  if (options.types || options["types-only"]) await checkTypes(hasJsr, importMap, failures);

  const find: Record<Runtime, () => Promise<FoundRuntime>> = {
    deno: findDeno,
    bun: findBun,
    node: () => findNode(options.node),
  };
  const table: string[][] = [];
  const counts = new Map<string, Map<string, number>>();
  for (const name of options["types-only"] ? [] : options.only) {
    const runtime = await attempt(name, failures, find[name]);
    if (runtime === undefined) continue;
    const assertions = name === "deno" && hasJsr ? STD : STAND_IN;
    console.log(`\n${name} ${runtime.version}, ${assertions}`);
    const total = { passed: 0, failed: 0, ignored: 0, seconds: 0 };
    for (const file of options.files) {
      const start = performance.now();
      const report = await runFile(runtime, file, { ...options, importMap, folder });
      const seconds = (performance.now() - start) / 1000;
      tell(file, report, seconds);
      failures.push(...report.failures.map((failure) => ({ ...failure, name: `${name} ${file} ${failure.name}` })));
      total.passed += report.passed;
      total.failed += report.failures.length;
      total.ignored += report.ignored;
      total.seconds += seconds;
      const count = report.passed + report.failures.length + report.ignored;
      if (report.failures.length === 0) counts.set(file, (counts.get(file) ?? new Map()).set(name, count));
    }
    if (total.passed + total.failed === 0) {
      failures.push({ name, message: "no test ran" });
      total.failed++;
    }
    passed += total.passed;
    const row = [`${total.passed} passed`, `${total.failed} failed`, `${total.ignored} ignored`];
    table.push([`${name} ${runtime.version}`, ...row, `${total.seconds.toFixed(1)} s`, assertions]);
  }
  for (const [file, seen] of options.filter === undefined ? counts : []) {
    // The file is the same, so a runtime that saw fewer tests than another lost some without a word.
    if (new Set(seen.values()).size < 2) continue;
    const message = [...seen].map(([name, count]) => `${name} saw ${count} tests`).join(", ");
    failures.push({ name: `${file} is not the same in all runtimes`, message });
  }

  console.log();
  for (const row of table) console.log(row.map((cell) => cell.padEnd(14)).join("").trimEnd());
  for (const { name, message } of failures) console.log(`FAILED ${name}\n${indent(message)}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  return failures.length === 0;
}

/** What the command line asks for; says so and ends the program where it makes no sense. */
function readArgsOrExit(): Options {
  try {
    return readArgs(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${HELP}`);
    return process.exit(2);
  }
}

const options = readArgsOrExit();
if (options.help) {
  console.log(HELP);
} else {
  const folder = makeFolder("run");
  try {
    process.exitCode = await main(options, folder) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
