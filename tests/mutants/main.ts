/**
 * The program behind `deno task mutants`: puts known faults into a copy of the code, one at a time, and reports those that
 * no test finds.
 *
 * @module
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { run, type RunResult } from "../support/process.ts";
import { files, makeFolder, readText, ROOT } from "../support/project.ts";
import { canReachJsr } from "../support/runtimes.ts";
import { writeImportMapWithoutJsr } from "../support/types.ts";
import type { Fault } from "./fault.ts";
import { FAULTS } from "./faults.ts";

const HELP = `deno task mutants [options]

Puts each fault of tests/mutants/ into a copy of the code and runs, under Deno, the tests that should find it. Lists the
faults that no test finds. Fails if the tests find less than 90 % of the faults of a folder.

  --folder codec   try only the faults in this folder; can be repeated
  --name text      try only the faults whose names contain the text
  --jobs 2         number of faults to try at a time; default half of the processors
  --list           print the faults and exit
  --help           print this text
`;

/** The share of the faults of each folder that the tests must find. */
const MIN_FOUND_SHARE = 0.9;

/** The timeout of a test file with a fault, as a multiple of its time without a fault. */
const TIMEOUT_FACTOR = 4;

/** The shortest timeout of a test file with a fault, in milliseconds. */
const MIN_TIMEOUT_MS = 20_000;

/** The timeout of a test file without a fault, in milliseconds. */
const BASELINE_TIMEOUT_MS = 120_000;

/** Folders of the checkout that the copies do not need. */
const NOT_COPIED = new Set(["node_modules", "coverage", "docs", "bench", ".git", ".github", ".runtimes", ".tmp"]);

interface Options {
  faults: readonly Fault[];
  jobs: number;
  list: boolean;
  help: boolean;
}

/**
 * Reads the command line.
 *
 * @throws {TypeError} when it is wrong.
 */
function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      folder: { type: "string", multiple: true, default: [] },
      name: { type: "string", default: "" },
      jobs: { type: "string", default: String(Math.max(1, availableParallelism() >> 1)) },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const { folder, name, list, help } = values;
  const folders = new Set(FAULTS.map(folderOf));
  for (const one of folder) {
    if (!folders.has(one)) {
      throw new TypeError(`Cannot use --folder ${one}: the folders are ${[...folders].join(", ")}`);
    }
  }
  const jobs = Number(values.jobs);
  if (!(Number.isInteger(jobs) && jobs >= 1)) {
    throw new TypeError(`Cannot use --jobs ${values.jobs}: it must be a whole number of 1 or more`);
  }
  const faults = FAULTS.filter((fault) =>
    (folder.length === 0 || folder.includes(folderOf(fault))) && fault.name.includes(name)
  );
  if (faults.length === 0) {
    throw new TypeError(`Cannot use --name ${JSON.stringify(name)}: no fault has this text in its name`);
  }
  return { faults, jobs, list, help };
}

function folderOf({ file }: Fault): string {
  return file.slice(0, file.indexOf("/"));
}

function testFile(name: string): string {
  return `tests/${name}_test.ts`;
}

/** Returns the mistakes in the list of faults, for example a text that no longer occurs in its module. */
function findMistakes(faults: readonly Fault[]): string[] {
  const mistakes: string[] = [];
  const modules = new Set(files("*/*.ts"));
  const tests = new Set(files("tests/*/*_test.ts"));
  const names = new Set<string>();
  for (const { file, name, from, to, tests: named } of faults) {
    const add = (what: string) => mistakes.push(`${file}, ${name}: ${what}`);
    if (names.has(name)) add("another fault has the same name");
    names.add(name);
    if (!modules.has(file)) {
      add("there is no such module");
      continue;
    }
    const count = readText(file).split(from).length - 1;
    if (count !== 1) add(`its text must occur once, and occurs ${count} times: ${JSON.stringify(from)}`);
    if (from === to) add("it changes nothing");
    if (named.length === 0) add("it names no tests");
    for (const one of named) if (!tests.has(testFile(one))) add(`there is no ${testFile(one)}`);
  }
  return mistakes;
}

/** A copy of the checkout in which to try faults. */
class Copy {
  readonly #folder: string;
  readonly #flags: string[];

  /** Makes the copy. `importMap` replaces that of deno.json, and was made for a folder two levels below the checkout. */
  constructor(folder: string, importMap: string | undefined) {
    this.#folder = folder;
    mkdirSync(folder);
    for (const entry of readdirSync(ROOT)) {
      if (!NOT_COPIED.has(entry)) cpSync(join(ROOT, entry), join(folder, entry), { recursive: true });
    }
    this.#flags = ["test", "--allow-all", "--no-check", "--quiet", "--fail-fast"];
    if (importMap === undefined) return;
    const place = join(folder, ".tmp", "imports"); // the same depth, so that its relative paths lead into the copy
    mkdirSync(place, { recursive: true });
    const map = join(place, "import_map.json");
    cpSync(importMap, map);
    this.#flags.push(`--import-map=${map}`);
  }

  /** Runs a test file. */
  test(name: string, timeout: number): Promise<RunResult> {
    return run(process.execPath, [...this.#flags, testFile(name)], {
      cwd: this.#folder,
      env: { DENO_NO_PACKAGE_JSON: "1", DENO_NO_PROMPT: "1", NO_COLOR: "1" },
      timeout,
    });
  }

  /** Calls a function while a fault is in the copy. */
  async withFault<T>({ file, from, to }: Fault, work: () => Promise<T>): Promise<T> {
    const path = join(this.#folder, file);
    const source = readFileSync(path, "utf8");
    const at = source.indexOf(from);
    writeFileSync(path, source.slice(0, at) + to + source.slice(at + from.length));
    try {
      return await work();
    } finally {
      writeFileSync(path, source);
    }
  }
}

/** Calls `work` for all items, in parallel on all copies. */
async function inCopies<T>(copies: readonly Copy[], items: readonly T[], work: (copy: Copy, item: T) => Promise<void>) {
  let next = 0;
  await Promise.all(copies.map(async (copy) => {
    while (next < items.length) await work(copy, items[next++]!);
  }));
}

/** Runs the tests without a fault. Returns the time of each in milliseconds, and those that fail. */
async function measure(copies: readonly Copy[], tests: readonly string[]) {
  const times = new Map<string, number>();
  const failed: string[] = [];
  await inCopies(copies, tests, async (copy, test) => {
    const start = performance.now();
    const { ok, output } = await copy.test(test, BASELINE_TIMEOUT_MS);
    times.set(test, performance.now() - start);
    if (ok) return;
    failed.push(test);
    console.log(`${output.trimEnd()}\n`);
  });
  return { times, failed };
}

/** The result of trying a fault. */
type Outcome = { found: string } | { found: undefined; broken: boolean };

async function tryFault(copy: Copy, fault: Fault, times: ReadonlyMap<string, number>): Promise<Outcome> {
  return await copy.withFault(fault, async () => {
    for (const test of fault.tests) {
      const { ok, output, ending } = await copy.test(test, Math.max(MIN_TIMEOUT_MS, TIMEOUT_FACTOR * times.get(test)!));
      if (ok) continue;
      // Tests that could not start have not found the fault.
      if (/could not be parsed|SyntaxError/.test(output)) return { found: undefined, broken: true };
      const name = /^(.*) \.\.\. FAILED/m.exec(output)?.[1];
      return { found: `${test}: ${name ?? ending}` };
    }
    return { found: undefined, broken: false };
  });
}

async function main({ faults, jobs }: Options, folder: string): Promise<boolean> {
  const mistakes = findMistakes(faults);
  if (mistakes.length > 0) {
    for (const mistake of mistakes) console.log(`MISTAKE in ${mistake}`);
    return false;
  }
  const importMap = await canReachJsr() ? undefined : writeImportMapWithoutJsr(folder);
  const copies = Array.from(
    { length: Math.min(jobs, faults.length) },
    (_, i) => new Copy(join(folder, `${i}`), importMap),
  );
  const tests = [...new Set(faults.flatMap((fault) => fault.tests))];
  const { times, failed } = await measure(copies, tests);
  if (failed.length > 0) {
    console.log(`Cannot try faults: these tests fail without one: ${failed.map(testFile).join(", ")}`);
    return false;
  }
  console.log(`${tests.length} test files pass without a fault`);

  const byFolder = new Map<string, { all: number; found: number }>();
  for (const fault of faults) byFolder.set(folderOf(fault), { all: 0, found: 0 });
  const survivors: Fault[] = [];
  let broken = 0;
  await inCopies(copies, faults, async (copy, fault) => {
    const outcome = await tryFault(copy, fault, times);
    const count = byFolder.get(folderOf(fault))!;
    count.all++;
    if (outcome.found !== undefined) {
      count.found++;
      console.log(`found     ${fault.file}, ${fault.name} (${outcome.found})`);
    } else if (outcome.broken) {
      broken++;
      console.log(`MISTAKE   ${fault.file}, ${fault.name}: the code does not parse with it`);
    } else {
      survivors.push(fault);
      console.log(`NOT FOUND ${fault.file}, ${fault.name} (${fault.tests.map(testFile).join(", ")})`);
    }
  });

  console.log();
  let isGood = broken === 0;
  for (const [name, { all, found }] of byFolder) {
    const isEnough = found >= MIN_FOUND_SHARE * all;
    isGood &&= isEnough;
    console.log(
      `${name.padEnd(12)}${found} of ${all} found${isEnough ? "" : `, which is less than ${MIN_FOUND_SHARE * 100} %`}`,
    );
  }
  for (const { file, name } of survivors) console.log(`NOT FOUND ${file}, ${name}`);
  console.log(`${faults.length - survivors.length - broken} of ${faults.length} faults found`);
  return isGood;
}

/** Reads the command line, or prints what is wrong with it and exits. */
function readOptionsOrExit(): Options {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${HELP}`);
    return process.exit(2);
  }
}

const options = readOptionsOrExit();
if (options.help) {
  console.log(HELP);
} else if (options.list) {
  for (const { file, name } of options.faults) console.log(`${file}, ${name}`);
} else {
  const folder = makeFolder("mutants");
  try {
    process.exitCode = await main(options, folder) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
