/**
 * Where things are in this checkout.
 *
 * @module
 */
import { globSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the checkout. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Makes a folder for the files of one run. It is inside the checkout, where programs find the library under its own
 * name, and not in git. Whoever makes it removes it.
 */
export function makeFolder(name: string): string {
  mkdirSync(inRoot(".tmp"), { recursive: true });
  return mkdtempSync(inRoot(".tmp", `${name}-`));
}

/** The absolute path of a file of the checkout. */
export function inRoot(...path: string[]): string {
  return join(ROOT, ...path);
}

/** The modules that are published, as patterns for {@link files}. */
export const LIBRARY: readonly string[] = [
  "*.ts",
  "{base,broker,cli,client,codec,connection,dialects,session,transport}/*.ts",
];

/** Reads a file of the checkout. */
export function readText(path: string): string {
  return readFileSync(inRoot(path), "utf8");
}

/** Reads a JSON file of the checkout. */
export function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readText(path));
}

/** The files of the checkout that match one of the patterns, sorted, with `/` between folders. */
export function files(...patterns: string[]): string[] {
  const found = globSync(patterns, {
    cwd: ROOT,
    exclude: (path) => /(^|[\\/])(node_modules|\.\w+)($|[\\/])/.test(path),
  });
  return found.map((path) => path.replaceAll("\\", "/")).sort();
}
