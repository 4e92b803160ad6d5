/**
 * `deno task ok`: all gates that a change must pass. Every gate runs, even after one has failed, and the last line names
 * those that failed.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { run } from "./support/process.ts";
import { inRoot, readJson, ROOT } from "./support/project.ts";

/** A gate: the calls of Deno that must succeed, and whether their output is shown as it comes. */
interface Gate {
  calls: string[][];
  inherit?: boolean;
}

const entries = Object.values(readJson("deno.json")["exports"] as Record<string, string>);

const GATES: Record<string, Gate> = {
  format: { calls: [["fmt", "--check"]] },
  lint: { calls: [["lint"]] },
  // One call for each entry: all that an entry exports must be documented, with types that the same entry exports.
  documentation: { calls: entries.map((entry) => ["doc", "--lint", entry]) },
  publishing: { calls: [["publish", "--dry-run", "--allow-dirty"]] },
  // The tests also check types and the examples of the documentation.
  tests: { calls: [["run", "--allow-all", inRoot("tests/run.ts")]], inherit: true },
};

const { values } = parseArgs({
  allowNegative: true,
  options: {
    tests: { type: "boolean", default: true }, // `--no-tests` saves time after the tests have just run.
  },
});

const failed: string[] = [];
for (const [name, { calls, inherit }] of Object.entries(GATES)) {
  if (name === "tests" && !values.tests) continue;
  if (inherit) console.log(`${name}:`);
  const failures: string[] = [];
  for (const args of calls) {
    const env = { DENO_NO_PACKAGE_JSON: "1" };
    const result = await run(process.execPath, args, { cwd: ROOT, env, timeout: 30 * 60_000, inherit });
    if (!result.ok) failures.push(`deno ${args.join(" ")}: ${result.ending}\n${result.output.trim()}\n`);
  }
  if (failures.length > 0) failed.push(name);
  if (!inherit) console.log(`${name}: ${failures.join("\n") || "fine"}`);
}
console.log(failed.length === 0 ? "ok: every gate passes" : `not ok: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
