/**
 * `deno task conformance`: runs the tests of the conformance checklist under Deno, Bun and Node, and writes the results
 * to docs/conformance.md.
 *
 * @module
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { run } from "../support/process.ts";
import { inRoot, makeFolder, ROOT } from "../support/project.ts";
import { canReachJsr, findBun, findDeno, findNode, installPackages } from "../support/runtimes.ts";
import { readJunit, type ReportedTest, runFile } from "../support/suite.ts";
import { writeImportMapWithoutJsr } from "../support/types.ts";
import { type Outcome, renderPage } from "./page.ts";
import { NOT_TESTED, ROWS, type Side } from "./rows.ts";

const FILE = "tests/conformance/conformance_test.ts";
const PAGE = "docs/conformance.md";
const IS_ROW = /^[FCS]\d\d-\d\d /;

/** Runs the tests in each runtime, and returns the results by its name. */
async function runTests(folder: string): Promise<Map<string, ReportedTest[]>> {
  await installPackages();
  const importMap = await canReachJsr() ? undefined : writeImportMapWithoutJsr(folder);
  const results = new Map<string, ReportedTest[]>();
  for (const runtime of [await findDeno(), await findBun(), await findNode()]) {
    await runFile(runtime, FILE, { folder, importMap });
    // Leaves out the test that finds the page stale, because this run updates the page.
    const tests = readJunit(readFileSync(join(folder, "junit.xml"), "utf8")).filter(({ name }) => IS_ROW.test(name));
    const failed = tests.filter(({ outcome }) => outcome === "failed");
    console.log(`${runtime.name} ${runtime.version}: ${tests.length} tests, ${failed.length} failed`);
    for (const { name, message } of failed) console.log(`  ${name}: ${message.trim().split("\n", 1)[0]}`);
    results.set(runtime.name, tests);
  }
  return results;
}

/** Returns the result of a row on one side, as the page shows it. */
function judge(results: Map<string, ReportedTest[]>, id: string, side: Side): string {
  const start = id.startsWith("F") ? `${id} ${side}: ` : `${id} `;
  const failing = [...results].filter(([, tests]) => {
    const ofRow = tests.filter(({ name }) => name.startsWith(start));
    return ofRow.length === 0 || ofRow.some(({ outcome }) => outcome !== "passed");
  });
  return failing.length === 0 ? "passes" : `FAILS in ${failing.map(([name]) => name).join(", ")}`;
}

const folder = makeFolder("conformance");
try {
  const results = await runTests(folder);
  const outcome: Outcome = ({ id }, side) => judge(results, id, side);
  mkdirSync(inRoot("docs"), { recursive: true });
  writeFileSync(inRoot(PAGE), renderPage(outcome));
  const formatted = await run(process.execPath, ["fmt", "--quiet", PAGE], { cwd: ROOT, timeout: 60_000 });
  if (!formatted.ok) throw new Error(`Cannot format ${PAGE}: ${formatted.output}`);
  const pairs = ROWS.flatMap((row) => row.sides.map((side) => ({ row, side })))
    .filter(({ row, side }) => NOT_TESTED[`${row.id} ${side}`] === undefined);
  const failing = pairs.filter(({ row, side }) => outcome(row, side) !== "passes");
  console.log(`${PAGE}: ${ROWS.length} rows, ${pairs.length - failing.length} of ${pairs.length} pass`);
  process.exitCode = failing.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
