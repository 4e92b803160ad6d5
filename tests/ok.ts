/**
 * The program behind `deno task ok`: every gate that a change must pass. All gates run even if one fails, and the last
 * line names those that did not pass.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { run } from "./support/process.ts";
import { inRoot, readJson, ROOT } from "./support/project.ts";

/** A gate that a change must pass. */
interface Gate {
  /** The arguments of each call of Deno. */
  calls: string[][];
  /** Whether it prints its progress. Default `false`. */
  inherit?: boolean;
}

const entries = Object.values(readJson("deno.json")["exports"] as Record<string, string>);

const GATES: Record<string, Gate> = {
  format: { calls: [["fmt", "--check"]] },
  lint: { calls: [["lint"]] },
  // Each entry by itself: what it exports must be documented and use only types that it exports as well.
  documentation: { calls: entries.map((entry) => ["doc", "--lint", entry]) },
  publishing: { calls: [["publish", "--dry-run", "--allow-dirty"]] },
  // The tests check the types and the examples of the documentation.
  tests: { calls: [["run", "--allow-all", inRoot("tests/run.ts")]], inherit: true },
};

const { values } = parseArgs({
  allowNegative: true,
  options: {
    tests: { type: "boolean", default: true }, // `--no-tests` is for when the tests have just run.
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
console.log(failed.length === 0 ? "ok: all gates passed" : `not ok: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
