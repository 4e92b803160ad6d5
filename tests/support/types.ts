/**
 * Type-checks everything, with Deno's types and with those of Bun and Node.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { run, type RunResult } from "./process.ts";
import { files, inRoot, LIBRARY, readJson, ROOT } from "./project.ts";

/** Returns the modules that Deno can check. */
export function denoModules(hasJsr: boolean): string[] {
  const except = ["tests/support/test_bun.ts", ...(hasJsr ? [] : files("tests/support/*_std.ts"))];
  return files(...LIBRARY, "{bench,examples,tests}/**/*.ts").filter((file) => !except.includes(file));
}

/**
 * Writes an import map for a Deno that cannot reach JSR, and returns its path. It has the imports of deno.json, except
 * that `#assert` and `#streams` are the modules that package.json names for Bun and Node.
 */
export function writeImportMapWithoutJsr(folder: string): string {
  const rebase = (target: string) => target.startsWith("./") ? `./${relative(folder, inRoot(target))}` : target;
  const { imports, exports, name } = readJson("deno.json") as Record<"imports" | "exports", Record<string, string>> & {
    name: string;
  };
  const standIns = readJson("package.json")["imports"] as Record<string, string>;
  const map: Record<string, string> = {};
  for (const [specifier, target] of Object.entries(imports)) {
    if (target.startsWith("jsr:")) continue;
    const standIn = target.endsWith("_std.ts") ? standIns[specifier] : undefined;
    map[specifier] = rebase(standIn ?? target);
  }
  for (const [entry, target] of Object.entries(exports)) map[name + entry.slice(1)] = rebase(target);
  const path = join(folder, "import_map.json");
  writeFileSync(path, JSON.stringify({ imports: map }, null, 2));
  return path;
}

/** Type-checks with `deno check`. */
export function checkWithDeno(hasJsr: boolean, importMap: string | undefined): Promise<RunResult> {
  const map = importMap === undefined ? [] : [`--import-map=${importMap}`];
  return run(process.execPath, ["check", "--quiet", ...map, ...denoModules(hasJsr)], {
    cwd: ROOT,
    env: { DENO_NO_PACKAGE_JSON: "1" },
    timeout: 5 * 60_000,
  });
}

/** Type-checks what Bun and Node run, with their types, by `tsc`. Needs the development dependencies. */
export function checkWithTsc(): Promise<RunResult> {
  // The package `typescript` starts another program, which Deno finds only when it uses package.json.
  const args = ["run", "--node-modules-dir=manual", "--allow-all", inRoot("node_modules/typescript/bin/tsc")];
  return run(process.execPath, [...args, "--project", ROOT], {
    cwd: ROOT,
    env: { DENO_NO_PACKAGE_JSON: "0" },
    timeout: 5 * 60_000,
  });
}
