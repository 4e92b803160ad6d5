/**
 * The layers: which module may import which. The table of folders in docs/architecture.md is the rule that these tests
 * enforce, so that people and tests read the same one.
 */
import { dirname, join } from "node:path/posix";
import { assert, assertEquals, assertGreater } from "#assert";
import { test } from "#test";
import { type ImportSite, type ModuleFacts, readModule, RUNTIME_GLOBALS, TIMER_GLOBALS } from "../support/modules.ts";
import { files, LIBRARY, readText } from "../support/project.ts";

/** Folders that may name a runtime. */
const RUNTIME_FOLDERS = ["transport", "cli"];

/** Folders that may wait for real time. */
const TIMER_FOLDERS = ["base", "transport", "cli"];

/** Modules outside those folders that may use single globals, and why. */
const ALLOWED_GLOBALS: Record<string, readonly string[]> = {
  // `process.getBuiltinModule`, where there is one, reaches a faster decoder without an import.
  "codec/text.ts": ["process"],
};

/** Runtime adapters load when they are needed, so that no program loads another runtime's. */
const ADAPTER = /^transport\/(deno|bun|node)\.ts$/;

const MAX_MODULES = 20;
const MAX_LINES = 400;

/** The face that is also a program. All others hold nothing but `export … from`. */
const PROGRAM = "cli.ts";

/** What modules that break a rule today are allowed. An entry that is no longer needed fails the tests. */
const DEBTS: Record<string, { lines?: number; internal?: number; timers?: number }> = {
  "client/message.ts": { internal: 2 },
  "client/subscription_registry.ts": { lines: 415 },
  "client/transaction.ts": { lines: 405 },
  "client/subscription.ts": { internal: 10, lines: 425 },
  "codec/decoder.ts": { internal: 3 },
  "codec/frame.ts": { internal: 5 },
  "session/session.ts": { lines: 555 },
};

/** What each folder may import: itself, and what it stands on, directly or by way of others. */
type Layers = ReadonlyMap<string, ReadonlySet<string>>;

/** Reads the table of folders: `| folder | stands on | what it holds |`. */
function readLayers(markdown: string): Layers {
  const layers = new Map<string, Set<string>>();
  for (const [, folder, below] of markdown.matchAll(/^\| `(\w+)\/` *\| ([^|]*?) *\|/gm)) {
    const reachable = new Set<string>();
    for (const [, name] of below!.matchAll(/`(\w+)\/`/g)) {
      const known = layers.get(name!);
      assert(known, `${folder}/ stands on ${name}/, which has no row above it`);
      for (const each of [name!, ...known]) reachable.add(each);
    }
    layers.set(folder!, reachable);
  }
  return layers;
}

const folderOf = (path: string) => dirname(path) === "." ? "" : dirname(path);

/** The module that an import names, relative to the checkout; `undefined` where it is not a file. */
function resolve(path: string, { specifier }: ImportSite): string | undefined {
  return specifier?.startsWith(".") ? join(dirname(path), specifier) : undefined;
}

/** The rules that a module breaks by what it imports. */
function checkImport(path: string, site: ImportSite, layers: Layers): string[] {
  const folder = folderOf(path);
  const target = resolve(path, site);
  if (site.specifier === undefined) return ["imports something that is not a literal"];
  if (target === undefined) {
    if (!site.specifier.startsWith("node:") && site.specifier !== "bun") {
      return [`imports "${site.specifier}", and the library has no dependencies`];
    }
    return RUNTIME_FOLDERS.includes(folder) ? [] : [`imports "${site.specifier}", and must run everywhere`];
  }
  const broken: string[] = [];
  const to = folderOf(target);
  if (folder === "") {
    if (to === "" && path === "mod.ts") broken.push(`imports ${target}: mod.ts exports straight from the folders`);
    if (to !== "" && !layers.has(to)) broken.push(`imports ${target}, which is no layer`);
  } else if (to === "") {
    broken.push(`imports ${target}: folders never import the root`);
  } else if (to !== folder && !layers.get(folder)?.has(to)) {
    broken.push(`imports ${target}, which is not below it`);
  }
  if (ADAPTER.test(target) && !site.dynamic && !site.typeOnly) broken.push(`imports ${target} before it is needed`);
  if (site.reexport && folder !== "") broken.push(`re-exports ${target}: only faces do`);
  return broken;
}

/** The source without the examples in its docstrings, which count towards no limit. */
function withoutExamples(source: string): string {
  return source.replace(/^ *\*\n *\* @example\n *\* ```ts\n(?: *\*.*\n)*? *\* ```\n/gm, "");
}

/** The rules that a module breaks, one line each. */
function findViolations(path: string, source: string, layers: Layers, debts = DEBTS): string[] {
  const folder = folderOf(path);
  const { imports, globals, statements, docs } = readModule(source);
  const broken = imports.flatMap((site) =>
    checkImport(path, site, layers).map((what) => `${path}:${site.line} ${what}`)
  );
  if (folder === "") {
    const code = statements.concat(imports.filter((site) => !site.reexport).map((site) => site.line));
    if (path !== PROGRAM) broken.push(...code.map((line) => `${path}:${line} is not an \`export … from\``));
  } else if (!layers.has(folder)) {
    broken.push(`${path} is in a folder without a row in docs/architecture.md`);
  }
  const timers: number[] = [];
  for (const { name, line } of globals) {
    if (TIMER_GLOBALS.includes(name) && !TIMER_FOLDERS.includes(folder)) timers.push(line);
    if (!RUNTIME_GLOBALS.includes(name) || RUNTIME_FOLDERS.includes(folder)) continue;
    if (!ALLOWED_GLOBALS[path]?.includes(name)) broken.push(`${path}:${line} uses ${name}, and must run everywhere`);
  }
  const internal = docs.filter(({ text }) => text.includes("@internal")).map(({ line }) => line);
  const debt = debts[path] ?? {};
  const limit = (count: number, most: number, allowed: number | undefined, what: string) => {
    if (count > (allowed ?? most)) broken.push(`${path} ${what}`);
    else if (allowed !== undefined && count <= most) broken.push(`${path} has a debt that is paid: ${what}`);
  };
  limit(timers.length, 0, debt.timers, `waits for real time, line ${timers}`);
  limit(internal.length, 0, debt.internal, `has \`@internal\` members, line ${internal}`);
  limit(
    withoutExamples(source).split("\n").length - 1,
    MAX_LINES,
    debt.lines,
    `is longer than ${debt.lines ?? MAX_LINES} lines`,
  );
  return broken;
}

/** The circles among modules, types included: each as the modules on it. */
function findCircles(modules: ReadonlyMap<string, ModuleFacts>): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: string[]) => {
    const at = trail.indexOf(path);
    if (at >= 0) circles.push(trail.slice(at));
    if (at >= 0 || done.has(path)) return;
    for (const site of modules.get(path)?.imports ?? []) {
      const target = resolve(path, site);
      if (target !== undefined && modules.has(target)) visit(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of modules.keys()) visit(path, []);
  return circles;
}

const PAGE = "docs/architecture.md";

test("layers: every module keeps the rules of docs/architecture.md", () => {
  const layers = readLayers(readText(PAGE));
  const modules = files(...LIBRARY);
  assertGreater(modules.length, 0);
  assertEquals(modules.flatMap((path) => findViolations(path, readText(path), layers)), []);
});

test("layers: every folder has a row, and no row is without modules", () => {
  const folders = new Set(files(...LIBRARY).map(folderOf).filter((folder) => folder !== ""));
  assertEquals([...readLayers(readText(PAGE)).keys()].sort(), [...folders].sort());
});

test("layers: no circle of imports", () => {
  const modules = new Map(files(...LIBRARY).map((path) => [path, readModule(readText(path))]));
  assertEquals(findCircles(modules), []);
});

test(`layers: no folder has more than ${MAX_MODULES} modules`, () => {
  const counts = Map.groupBy(files(...LIBRARY), folderOf);
  assertEquals([...counts].filter(([, paths]) => paths.length > MAX_MODULES).map(([folder]) => folder), []);
});

test("layers: every debt is a module's", () => {
  assertEquals(Object.keys(DEBTS).filter((path) => !files(...LIBRARY).includes(path)), []);
});

test(`layers: no test or bench is longer than ${MAX_LINES} lines`, () => {
  const long = files("{bench,examples,tests}/**/*.ts").filter((path) =>
    readText(path).split("\n").length - 1 > MAX_LINES
  );
  assertEquals(long, []);
});

test("docs/architecture.md names only files that exist", () => {
  const names = [...readText(PAGE).matchAll(/`([\w./-]+\.(?:ts|md))`/g)].map(([, name]) => name!);
  assertGreater(names.length, 20);
  assertEquals(names.filter((name) => files(name).length === 0), []);
});

const LAYERS = readLayers(`
| folder | stands on | what it holds |
| --- | --- | --- |
| \`base/\` | nothing | b |
| \`codec/\` | \`base/\` | c |
| \`transport/\` | \`codec/\` | t |
| \`client/\` | \`transport/\` | s |
| \`broker/\` | \`transport/\` | e |
| \`cli/\` | \`client/\`, \`broker/\` | p |
`);

/** A module with a planted fault, and how many violations the check must find. */
const PLANTED: [path: string, source: string, violations: number][] = [
  // R1: faces
  ["frame.ts", 'export { Frame } from "./codec/frame.ts"; export * from "./base/errors.ts";', 0],
  ["frame.ts", 'import { Frame } from "./codec/frame.ts"; export const a = 1;', 2],
  ["frame.ts", 'export { Frame } from "./tests/frame.ts";', 1],
  ["cli.ts", 'import { run } from "./cli/cli.ts"; if (import.meta.main) await run();', 0],
  // R2: nothing imports the root
  ["codec/frame.ts", 'import { Frame } from "../frame.ts";', 1],
  ["simple.ts", 'export * from "./stomp.ts";', 0],
  ["mod.ts", 'export * from "./stomp.ts";', 1],
  // R3: downwards only
  ["codec/text.ts", 'import { StompError } from "../base/errors.ts"; import { a } from "./bytes.ts";', 0],
  ["client/stomp.ts", 'import { StompError } from "../base/errors.ts";', 0],
  ["base/errors.ts", 'import { decode } from "../codec/text.ts";', 1],
  ["base/errors.ts", 'import type { Chunk } from "../codec/text.ts";', 1],
  ["base/errors.ts", 'import "../codec/text.ts";', 1],
  ["base/errors.ts", 'export const late = () => import("../codec/text.ts");', 1],
  ["base/errors.ts", "export const late = (name: string) => import(name);", 1],
  ["base/errors.ts", 'export let chunk: import("../codec/text.ts").Chunk;', 1],
  ["base/errors.ts", "/** import { decode } from '../codec/text.ts'; */ export const text = `import 'a'`;", 0],
  ["client/stomp.ts", 'import { Broker } from "../broker/broker.ts";', 1],
  ["broker/broker.ts", 'import { Stomp } from "../client/stomp.ts";', 1],
  ["cli/main.ts", 'import { Broker } from "../broker/broker.ts"; import { Stomp } from "../client/stomp.ts";', 0],
  ["other/other.ts", "", 1],
  ["base/long.ts", "\n".repeat(401), 1],
  ["base/short.ts", "\n".repeat(400), 0],
  [
    "base/example.ts",
    `/**\n * A.\n *\n * @example\n * \`\`\`ts\n${" * a();\n".repeat(99)} * \`\`\`\n */\n` + "\n".repeat(397),
    0,
  ],
  ["base/no_example.ts", `/**\n * A.\n *\n${" * a();\n".repeat(99)} */\n` + "\n".repeat(397), 1],
  // R4: runtimes and timers
  ["base/errors.ts", 'import { a } from "npm:a"; import { b } from "jsr:@b/b"; import { c } from "c";', 3],
  ["base/errors.ts", 'import { connect } from "node:net";', 1],
  ["transport/connect.ts", 'import { connect } from "node:net";', 0],
  ["transport/connect.ts", 'export const open = () => import("./deno.ts");', 0],
  ["transport/connect.ts", 'import { adapter } from "./deno.ts";', 1],
  ["client/stomp.ts", 'import { adapter } from "../transport/deno.ts";', 1],
  ["client/stomp.ts", 'import type { Adapter } from "../transport/deno.ts";', 0],
  ["base/errors.ts", 'export const a = Deno.args, b = Bun.argv, c = process.argv, d = Buffer.from("d");', 4],
  ["base/errors.ts", 'export const a = globalThis.Deno, b = (globalThis as unknown as { Bun: unknown })["Bun"];', 2],
  ["base/errors.ts", "export function open(): Deno.Conn { throw 0; }", 1],
  ["base/errors.ts", "export const process1 = { process: 1, Deno: 2 }.process; // Deno.args", 0],
  ["codec/text.ts", "export const a = (globalThis as { process?: unknown }).process;", 0],
  ["codec/text.ts", "export const a = Deno.args;", 1],
  ["transport/deno.ts", "export const a = Deno.args;", 0],
  ["client/stomp.ts", "setTimeout(() => {}, 1);", 1],
  ["base/timers.ts", "setTimeout(() => {}, 1);", 0],
  // R5: no barrels, no members that only look private
  ["codec/frame.ts", 'export { decode } from "./text.ts";', 1],
  ["codec/frame.ts", 'export * from "../base/errors.ts";', 1],
  ["codec/frame.ts", "export class A { /** @internal */ b() {} }", 1],
];

test("layers: the check finds what is planted, and nothing else", () => {
  for (const [path, source, count] of PLANTED) {
    const violations = findViolations(path, source, LAYERS, {});
    assertEquals(violations.length, count, `${path}: ${source}\n${violations.join("\n")}`);
  }
  const debts = { "base/old.ts": { internal: 2, lines: 500 } };
  const old = (internal: number, lines: number) => "/** @internal */".repeat(internal) + "\n".repeat(lines);
  assertEquals(findViolations("base/old.ts", old(2, 500), LAYERS, debts), []);
  assertEquals(findViolations("base/old.ts", old(0, 400), LAYERS, debts).length, 2);
  assertEquals(findViolations("base/old.ts", old(3, 501), LAYERS, debts).length, 2);
});

test("layers: a circle is found, types included", () => {
  const modules = new Map([
    ["base/a.ts", readModule('import { b } from "./b.ts";')],
    ["base/b.ts", readModule('import type { C } from "./c.ts";')],
    ["base/c.ts", readModule('import { a } from "./a.ts";')],
    ["base/d.ts", readModule('import { a } from "./a.ts"; import { b } from "./b.ts";')],
  ]);
  assertEquals(findCircles(modules), [["base/a.ts", "base/b.ts", "base/c.ts"]]);
});
