/**
 * Finds and reads the files of this checkout.
 *
 * @module
 */
import { globSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the checkout. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Makes a folder for the files of one run, inside the checkout, where programs find the library under its package name.
 * Git ignores it. The caller removes it.
 */
export function makeFolder(name: string): string {
  mkdirSync(inRoot(".tmp"), { recursive: true });
  return mkdtempSync(inRoot(".tmp", `${name}-`));
}

/** Returns the absolute path of a file of the checkout. */
export function inRoot(...path: string[]): string {
  return join(ROOT, ...path);
}

/** The modules that are published, as patterns for {@link files}. */
export const LIBRARY: readonly string[] = [
  "*.ts",
  "{api,base,broker,cli,client,codec,connection,dialects,session,transport,work}/*.ts",
];

/** Reads a file of the checkout. */
export function readText(path: string): string {
  return readFileSync(inRoot(path), "utf8");
}

/** Reads a JSON file of the checkout. */
export function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readText(path));
}

/** Returns the files of the checkout that match one of the patterns, sorted, with `/` between folders. */
export function files(...patterns: string[]): string[] {
  const found = globSync(patterns, {
    cwd: ROOT,
    exclude: (path) => /(^|[\\/])(node_modules|\.\w+)($|[\\/])/.test(path),
  });
  return found.map((path) => path.replaceAll("\\", "/")).sort();
}

/**
 * Returns the test files that are meant by paths of files and folders, relative to the working directory or absolute;
 * without paths, all of them. Those of `tests/brokers/` need real brokers and have another runner.
 *
 * @throws {TypeError} when a path is neither a test file nor a folder of tests.
 */
export function findTests(paths: readonly string[] = []): string[] {
  const all = files("tests/**/*_test.ts").filter((file) => !file.startsWith("tests/brokers/"));
  if (paths.length === 0) return all;
  const chosen = paths.flatMap((given) => {
    const path = relative(ROOT, given).replaceAll("\\", "/");
    const found = all.filter((file) => file === path || file.startsWith(`${path}/`));
    if (found.length === 0) {
      throw new TypeError(`Cannot run "${given}": it is neither a test file nor a folder of tests`);
    }
    return found;
  });
  return [...new Set(chosen)];
}
