/**
 * Runs test files in one runtime and tells what came of each test.
 *
 * Each file has a process of its own. So a file that hangs, crashes or leaves a socket open fails alone, by name.
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
  /** Runs only the tests with this in their name. */
  filter?: string | undefined;
  /** An import map to put in the place of deno.json's imports. */
  importMap?: string | undefined;
  /** Environment variables for the tests. */
  env?: Record<string, string> | undefined;
  /** A folder for the report. */
  folder: string;
  /** Whether the runtime's own output is shown as it comes, and not only where something fails. */
  verbose?: boolean | undefined;
}

/** A test that failed, or something else that went wrong. */
export interface Failure {
  /** Its name. */
  name: string;
  /** Why. */
  message: string;
}

/** What came of a file. */
export interface FileReport {
  /** How many tests passed. */
  passed: number;
  /** How many were registered and not run. */
  ignored: number;
  /** The tests that failed, and what else went wrong. */
  failures: Failure[];
  /** What the runtime printed. */
  output: string;
}

/** No file takes this long, in milliseconds. One that does hangs, and its process is ended. */
const LIMIT = 3 * 60_000;

/**
 * How each runtime's own test runner is called: for people on its output, and JUnit's XML into a file. That is the one
 * machine-readable report that all three can write.
 */
const COMMANDS: Record<Runtime, (file: string, report: string, options: SuiteOptions) => string[]> = {
  deno: (file, report, { filter, importMap }) => [
    "test",
    "--allow-all",
    "--no-check", // The types were checked before, all at once.
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
    `./${file}`, // Without the dot it would be a pattern that any path may match.
  ],
  // Not `--test`, which starts a process per file as well, and in Node 24 waits for one that does not end.
  node: (file, report, { filter }) => [
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=junit",
    `--test-reporter-destination=${report}`,
    ...(filter === undefined ? [] : [`--test-name-pattern=${RegExp.escape(filter)}`]),
    file,
  ],
};

/** Runs a file, given relative to the checkout. */
export async function runFile(runtime: FoundRuntime, file: string, options: SuiteOptions): Promise<FileReport> {
  const path = join(options.folder, "junit.xml");
  rmSync(path, { force: true });
  const result = await run(runtime.command, COMMANDS[runtime.name](file, path, options), {
    cwd: ROOT,
    env: { DENO_NO_PACKAGE_JSON: "1", DENO_NO_PROMPT: "1", ...options.env },
    timeout: LIMIT,
    inherit: options.verbose,
  });
  const tests = existsSync(path) ? readJunit(readFileSync(path, "utf8")) : [];
  return { ...judge(tests, options.filter !== undefined, result), output: result.output };
}

/** A test as a report tells of it. */
export interface ReportedTest {
  /** Its name. */
  name: string;
  /** What came of it. */
  outcome: "passed" | "failed" | "ignored";
  /** Why it failed. */
  message: string;
}

/** Adds up. A file that ended badly, or that ran no test, is never without a failure. */
export function judge(
  tests: readonly ReportedTest[],
  filtered: boolean,
  { ok, ending }: { ok: boolean; ending: string },
): Omit<FileReport, "output"> {
  const count = (outcome: ReportedTest["outcome"]) => tests.filter((test) => test.outcome === outcome).length;
  const failures: Failure[] = tests.filter(({ outcome }) => outcome === "failed");
  // Bun takes it for an error that no name in a file matches the filter.
  const unmatched = filtered && tests.length > 0 && count("ignored") === tests.length;
  if (!ok && failures.length === 0 && !unmatched) {
    failures.push({ name: "(process)", message: `the test process failed: ${ending}` });
  } else if (tests.length === 0 && !filtered) {
    failures.push({ name: "(file)", message: "no test ran: the file registers none, or its process ended early" });
  }
  return { passed: count("passed"), ignored: count("ignored"), failures };
}

/**
 * Reads a report in JUnit's XML, in the dialects of the three runtimes. One that was cut off, by the end of its process,
 * counts for nothing.
 */
export function readJunit(xml: string): ReportedTest[] {
  if (!xml.trimEnd().endsWith("</testsuites>")) return [];
  const lists = ["testsuites", "testsuite", "testcase", "failure", "error", "skipped"];
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: "@",
    parseTagValue: false,
    parseAttributeValue: false,
    htmlEntities: true, // Bun writes line ends as numbers.
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
  "@message"?: string;
  "#text"?: string;
}
