/**
 * `deno task ok`: all that a change must pass. Every gate runs, also after one that failed, and the last line tells
 * which did not pass.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { run } from "./support/process.ts";
import { inRoot, readJson, ROOT } from "./support/project.ts";

/** A gate: what Deno is called with, and whether it tells its progress. */
interface Gate {
  args: string[];
  inherit?: boolean;
}

const entries = Object.values(readJson("deno.json")["exports"] as Record<string, string>);

const GATES: Record<string, Gate> = {
  format: { args: ["fmt", "--check"] },
  lint: { args: ["lint"] },
  // Each entry by itself: what is public through one of them must be documented and have a public type there.
  documentation: { args: ["doc", "--lint", ...entries] },
  publishing: { args: ["publish", "--dry-run", "--allow-dirty"] },
  // Types and the documentation's examples are checked by the tests.
  tests: { args: ["run", "--allow-all", inRoot("tests/run.ts")], inherit: true },
};

const { values } = parseArgs({
  allowNegative: true,
  options: {
    tests: { type: "boolean", default: true }, // `--no-tests` is for those who have just run them.
  },
});

const failed: string[] = [];
for (const [name, { args, inherit }] of Object.entries(GATES)) {
  if (name === "tests" && !values.tests) continue;
  if (inherit) console.log(`${name}:`);
  const result = await run(process.execPath, args, {
    cwd: ROOT,
    env: { DENO_NO_PACKAGE_JSON: "1" },
    timeout: 30 * 60_000,
    inherit,
  });
  if (!result.ok) failed.push(name);
  if (!inherit) console.log(result.ok ? `${name}: fine` : `${name}: ${result.ending}\n${result.output.trim()}\n`);
}
console.log(failed.length === 0 ? "ok: every gate is passed" : `not ok: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
