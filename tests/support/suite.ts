/**
 * Runs test files in one runtime and reports the result of each test.
 *
 * Each file runs in a separate process, so that a file that hangs, crashes or leaves a socket open fails alone, by name.
 *
 * @module
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { XMLParser } from "fast-xml-parser";
import { run } from "./process.ts";
import { ROOT } from "./project.ts";
import type { Runtime } from "./runtime.ts";
import type { FoundRuntime } from "./runtimes.ts";

/** How to run a test file. */
export interface SuiteOptions {
  /** Runs only the tests whose names contain this text. */
  filter?: string | undefined;
  /** An import map to use instead of the imports of deno.json. */
  importMap?: string | undefined;
  /** Environment variables for the tests. */
  env?: Record<string, string> | undefined;
  /** The folder for the report. */
  folder: string;
  /** Whether to show the output of the runtime at once, and not only after a failure. */
  verbose?: boolean | undefined;
}

/** A failed test, or something else that went wrong. */
export interface Failure {
  /** The name of the test. */
  name: string;
  /** The reason. */
  message: string;
}

/** The result of a test file. */
export interface FileReport {
  /** The number of tests that passed. */
  passed: number;
  /** The number of tests that were registered and not run. */
  ignored: number;
  /** The failed tests, and what else went wrong. */
  failures: Failure[];
  /** What the runtime printed. */
  output: string;
  /** All tests that the report names. */
  tests: ReportedTest[];
}

/** Milliseconds for a test file. A file that takes longer hangs, and its process is killed. */
const FILE_TIMEOUT_MS = 3 * 60_000;

/**
 * The arguments of each runtime's test runner: a readable report on its output, and JUnit's XML into a file. That is the
 * only machine-readable report that all three can write.
 */
const COMMANDS: Record<Runtime, (file: string, report: string, options: SuiteOptions) => string[]> = {
  deno: (file, report, { filter, importMap }) => [
    "test",
    "--allow-all",
    "--no-check", // The types were checked before, for all files together.
    `--junit-path=${report}`,
    ...(importMap === undefined ? [] : [`--import-map=${importMap}`]),
    ...(filter === undefined ? [] : [`--filter=${filter}`]),
    file,
  ],
  bun: (file, report, { filter }) => [
    "test",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...(filter === undefined ? [] : [`--test-name-pattern=${RegExp.escape(filter)}`]),
    `./${file}`, // Without the dot it would be a pattern that could match other paths.
  ],
  // Not `--test`, which also starts a process per file, and in Node 24 waits for one that does not end.
  node: (file, report, { filter }) => [
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=junit",
    `--test-reporter-destination=${report}`,
    ...(filter === undefined ? [] : [`--test-name-pattern=${RegExp.escape(filter)}`]),
    file,
  ],
};

/** Runs a test file, given relative to the checkout. */
export async function runFile(runtime: FoundRuntime, file: string, options: SuiteOptions): Promise<FileReport> {
  const path = join(options.folder, "junit.xml");
  rmSync(path, { force: true });
  const result = await run(runtime.command, COMMANDS[runtime.name](file, path, options), {
    cwd: ROOT,
    env: { DENO_NO_PACKAGE_JSON: "1", DENO_NO_PROMPT: "1", ...options.env },
    timeout: FILE_TIMEOUT_MS,
    inherit: options.verbose,
  });
  const tests = existsSync(path) ? readJunit(readFileSync(path, "utf8")) : [];
  return { ...judge(tests, options.filter !== undefined, result), output: result.output, tests };
}

/** A test in a report. */
export interface ReportedTest {
  /** The name of the test. */
  name: string;
  /** The result. */
  outcome: "passed" | "failed" | "ignored";
  /** The reason of a failure. */
  message: string;
  /** How long it took. */
  seconds: number;
}

/** Counts the results. A process that failed, or a file that ran no test, always counts as a failure. */
export function judge(
  tests: readonly ReportedTest[],
  filtered: boolean,
  { ok, ending }: { ok: boolean; ending: string },
): Omit<FileReport, "output" | "tests"> {
  const count = (outcome: ReportedTest["outcome"]) => tests.filter((test) => test.outcome === outcome).length;
  const failures: Failure[] = tests.filter(({ outcome }) => outcome === "failed");
  // Bun reports an error when no name in a file matches the filter.
  const unmatched = filtered && tests.length > 0 && count("ignored") === tests.length;
  if (!ok && failures.length === 0 && !unmatched) {
    failures.push({ name: "(process)", message: `the test process failed: ${ending}` });
  } else if (tests.length === 0 && !filtered) {
    failures.push({ name: "(file)", message: "no test ran: the file registers none, or its process ended early" });
  }
  return { passed: count("passed"), ignored: count("ignored"), failures };
}

/**
 * Reads a report in JUnit's XML, in the dialects of the three runtimes. Returns no tests for a report that was cut off by
 * the end of its process.
 */
export function readJunit(xml: string): ReportedTest[] {
  if (!xml.trimEnd().endsWith("</testsuites>")) return [];
  const lists = ["testsuites", "testsuite", "testcase", "failure", "error", "skipped"];
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: "@",
    parseTagValue: false,
    parseAttributeValue: false,
    htmlEntities: true, // Bun writes line ends as numeric entities.
    isArray: (name) => lists.includes(name),
  });
  const tests: ReportedTest[] = [];
  const visit = (node: JunitNode) => {
    for (const suite of [...node.testsuites ?? [], ...node.testsuite ?? []]) visit(suite);
    for (const test of node.testcase ?? []) {
      const reasons = [...test.failure ?? [], ...test.error ?? []];
      const reason = reasons[0];
      tests.push({
        name: test["@name"] ?? "",
        outcome: reasons.length > 0 ? "failed" : test.skipped === undefined ? "passed" : "ignored",
        message: typeof reason === "string" ? reason : reason?.["@message"] ?? reason?.["#text"] ?? "",
        seconds: Number(test["@time"] ?? 0),
      });
    }
  };
  visit(parser.parse(xml));
  return tests;
}

/** An element of a report. */
interface JunitNode {
  testsuites?: JunitNode[];
  testsuite?: JunitNode[];
  testcase?: JunitNode[];
  failure?: (JunitNode | string)[];
  error?: (JunitNode | string)[];
  skipped?: unknown;
  "@name"?: string;
  "@time"?: string;
  "@message"?: string;
  "#text"?: string;
}
