/**
 * `deno task mutants`: puts known faults into a copy of the code, one at a time, and shows which of them the tests do not
 * notice.
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

Puts each fault of tests/mutants/ into a copy of the code and runs, under Deno, the tests that have to find it. Names the
faults that no test finds. Fails where tests find less than 90 % of the faults of a folder.

  --folder codec   only the faults in this folder; may be given more than once
  --name text      only faults with this text in their name
  --jobs 2         how many to try at the same time; default half of the processors
  --list           only print the faults
  --help           this text
`;

/** The share of the faults in each folder that tests have to find. */
const SHARE = 0.9;

/** Milliseconds that a test file may take with a fault: so many times what it takes without, and at least the second. */
const PATIENCE = 4;
const LEAST_LIMIT = 20_000;

/** Milliseconds that a test file may take without one. */
const USUAL_LIMIT = 120_000;

/** Folders of the checkout that no test needs in the copy. */
const NOT_COPIED = new Set(["node_modules", "coverage", "docs", "bench", ".git", ".github", ".runtimes", ".tmp"]);

interface Options {
  faults: readonly Fault[];
  jobs: number;
  list: boolean;
  help: boolean;
}

/** Reads the command line. A `TypeError` says what is wrong with it. */
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
  if (!(Number.isInteger(jobs) && jobs >= 1)) throw new TypeError(`Cannot use --jobs ${values.jobs}: 1 is the least`);
  const faults = FAULTS.filter((fault) =>
    (folder.length === 0 || folder.includes(folderOf(fault))) && fault.name.includes(name)
  );
  if (faults.length === 0) {
    throw new TypeError(`Cannot use --name ${JSON.stringify(name)}: no fault has it in its name`);
  }
  return { faults, jobs, list, help };
}

function folderOf({ file }: Fault): string {
  return file.slice(0, file.indexOf("/"));
}

function testFile(name: string): string {
  return `tests/${name}_test.ts`;
}

/** What is wrong with the list itself: a text that does not stand in its module any more, for example. */
function findMistakes(faults: readonly Fault[]): string[] {
  const mistakes: string[] = [];
  const modules = new Set(files("*/*.ts"));
  const tests = new Set(files("tests/*/*_test.ts"));
  const names = new Set<string>();
  for (const { file, name, from, to, tests: named } of faults) {
    const say = (what: string) => mistakes.push(`${file}, ${name}: ${what}`);
    if (names.has(name)) say("another fault has the same name");
    names.add(name);
    if (!modules.has(file)) {
      say("there is no such module");
      continue;
    }
    const count = readText(file).split(from).length - 1;
    if (count !== 1) say(`its text stands there ${count} times, and has to stand there once: ${JSON.stringify(from)}`);
    if (from === to) say("it changes nothing");
    if (named.length === 0) say("it names no tests");
    for (const one of named) if (!tests.has(testFile(one))) say(`there is no ${testFile(one)}`);
  }
  return mistakes;
}

/** A copy of the checkout, in which faults are tried. */
class Copy {
  readonly #folder: string;
  readonly #flags: string[];

  /** Copies. `importMap` is one to use in the place of deno.json's, made for a folder two below the checkout. */
  constructor(folder: string, importMap: string | undefined) {
    this.#folder = folder;
    mkdirSync(folder);
    for (const entry of readdirSync(ROOT)) {
      if (!NOT_COPIED.has(entry)) cpSync(join(ROOT, entry), join(folder, entry), { recursive: true });
    }
    this.#flags = ["test", "--allow-all", "--no-check", "--quiet", "--fail-fast"];
    if (importMap === undefined) return;
    const place = join(folder, ".tmp", "imports"); // as deep as it was, so that the paths in it lead into the copy
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

  /** Does something while a fault is in the copy. */
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

/** Does the same with all items: so many at a time as there are copies. */
async function inCopies<T>(copies: readonly Copy[], items: readonly T[], work: (copy: Copy, item: T) => Promise<void>) {
  let next = 0;
  await Promise.all(copies.map(async (copy) => {
    while (next < items.length) await work(copy, items[next++]!);
  }));
}

/** Runs the tests without any fault. Returns how long each takes, in milliseconds, and those that fail. */
async function measure(copies: readonly Copy[], tests: readonly string[]) {
  const times = new Map<string, number>();
  const failed: string[] = [];
  await inCopies(copies, tests, async (copy, test) => {
    const start = performance.now();
    const { ok, output } = await copy.test(test, USUAL_LIMIT);
    times.set(test, performance.now() - start);
    if (ok) return;
    failed.push(test);
    console.log(`${output.trimEnd()}\n`);
  });
  return { times, failed };
}

/** What became of a fault. */
type Outcome = { found: string } | { found: undefined; broken: boolean };

async function tryFault(copy: Copy, fault: Fault, times: ReadonlyMap<string, number>): Promise<Outcome> {
  return await copy.withFault(fault, async () => {
    for (const test of fault.tests) {
      const { ok, output, ending } = await copy.test(test, Math.max(LEAST_LIMIT, PATIENCE * times.get(test)!));
      if (ok) continue;
      // Tests that could not begin have found nothing.
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
    console.log(`Cannot try faults: without any these fail already: ${failed.map(testFile).join(", ")}`);
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
      console.log(`MISTAKE   ${fault.file}, ${fault.name}: what is left is no TypeScript`);
    } else {
      survivors.push(fault);
      console.log(`NOT FOUND ${fault.file}, ${fault.name} (${fault.tests.map(testFile).join(", ")})`);
    }
  });

  console.log();
  let isGood = broken === 0;
  for (const [name, { all, found }] of byFolder) {
    const isEnough = found >= SHARE * all;
    isGood &&= isEnough;
    console.log(`${name.padEnd(12)}${found} of ${all} found${isEnough ? "" : `, which is less than ${SHARE * 100} %`}`);
  }
  for (const { file, name } of survivors) console.log(`NOT FOUND ${file}, ${name}`);
  console.log(`${faults.length - survivors.length - broken} of ${faults.length} faults found`);
  return isGood;
}

/** What the command line asks for; says so and ends the program where it makes no sense. */
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
