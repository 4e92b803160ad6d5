/**
 * The program behind `deno task test`: type-checks everything and runs the same tests under Deno, Bun and Node.
 *
 * It fetches what this machine lacks from npm, and fails if it cannot. The last line has the totals of all runtimes.
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

const HELP = `deno task test [options] [test file or folder…]

Type-checks, then runs the tests under Deno, Bun and Node: all tests, or those of the given files and folders.

  --only deno|bun|node   use only this runtime; can be repeated
  --filter text          run only the tests whose names contain the text
  --node 22              use this release of Node, from npm if the PATH has another one
  --verbose              print the output of the tests even if they pass
  --no-types             skip the type check
  --types-only           run only the type check
  --help                 print this text
`;

const STD_ASSERTIONS = "assertions: @std/assert from JSR";
const STAND_IN_ASSERTIONS = "assertions: node:assert/strict with the names of @std/assert";

type Options = ReturnType<typeof readArgs>;

/**
 * Reads the command line.
 *
 * @throws {TypeError} when it is wrong.
 */
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
    throw new TypeError(`Cannot use Node "${values.node}": --node needs a release, for example 22`);
  }
  return {
    ...values,
    only,
    node: values.node === undefined ? undefined : Number(values.node),
    files: findTests(positionals),
  };
}

/** Returns the first lines of a message, indented. The runtime has printed the whole failure before. */
function indent(message: string): string {
  return message.trim().split("\n").slice(0, 8).map((line) => `  ${line}`.trimEnd()).join("\n");
}

/** Runs a function and adds its error, if any, to the failures. */
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

/** Prints one line for a test file, and the output of the runtime after a failure. */
function printReport(file: string, report: FileReport, seconds: number): void {
  const { passed, ignored, failures, output } = report;
  const counts = [
    `${passed} ok`,
    ignored > 0 && `${ignored} ignored`,
    failures.length > 0 && `${failures.length} FAILED`,
  ];
  console.log(`  ${file}: ${counts.filter(Boolean).join(", ")} (${seconds.toFixed(1)} s)`);
  if (failures.length > 0 && output !== "") console.log(`${output.trimEnd()}\n`);
}

/** Runs both type checks. Each that fails is one failure. */
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
  console.log(hasJsr ? "JSR: reached" : "JSR: not reached, so Deno uses the assertions that Bun and Node use");
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
    const assertions = name === "deno" && hasJsr ? STD_ASSERTIONS : STAND_IN_ASSERTIONS;
    console.log(`\n${name} ${runtime.version}, ${assertions}`);
    const total = { passed: 0, failed: 0, ignored: 0, seconds: 0 };
    for (const file of options.files) {
      const start = performance.now();
      const report = await runFile(runtime, file, { ...options, importMap, folder });
      const seconds = (performance.now() - start) / 1000;
      printReport(file, report, seconds);
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
    // The file is the same, so a runtime that saw fewer tests than another has lost some silently.
    if (new Set(seen.values()).size < 2) continue;
    const message = [...seen].map(([name, count]) => `${name} saw ${count} tests`).join(", ");
    failures.push({ name: `${file} does not register the same tests in all runtimes`, message });
  }

  console.log();
  for (const row of table) console.log(row.map((cell) => cell.padEnd(14)).join("").trimEnd());
  for (const { name, message } of failures) console.log(`FAILED ${name}\n${indent(message)}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  return failures.length === 0;
}

/** Reads the command line, or prints what is wrong with it and exits. */
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
