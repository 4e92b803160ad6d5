/**
 * Bundles the page and the library into one script for browsers.
 *
 * @module
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { run } from "../support/process.ts";
import { inRoot, makeFolder } from "../support/project.ts";

/** Bundles a module for browsers with this Deno, into an ES module that imports nothing. */
export async function bundle(path: string): Promise<string> {
  const folder = makeFolder("bundle");
  try {
    const output = join(folder, "page.js");
    const args = ["bundle", "--quiet", "--platform", "browser", "--output", output, inRoot(path)];
    const result = await run(process.execPath, args, {
      cwd: inRoot(),
      env: { DENO_NO_PACKAGE_JSON: "1" },
      timeout: 120_000, // the first time, Deno fetches its bundler from npm
    });
    if (!result.ok) throw new Error(`Cannot bundle ${path}: ${result.ending}\n${result.output.trim()}`);
    return readFileSync(output, "utf8");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
