/**
 * The rules of docs/architecture.md, each with planted violations that the check must find. The table of folders is read
 * from the page, so that people and tests follow the same one.
 */
import { dirname, join } from "node:path/posix";
import { assert, assertEquals, assertGreater } from "#assert";
import { test } from "#test";
import { type ImportSite, type ModuleFacts, readModule, RUNTIME_GLOBALS, TIMER_GLOBALS } from "../support/modules.ts";
import { files, LIBRARY, readText } from "../support/project.ts";

/** Folders that may name a runtime. */
const RUNTIME_FOLDERS = ["transport", "cli"];

/** The modules that may start timers. All others take a `Clock`. */
const TIMER_MODULES = /^(base\/timers\.ts|transport\/\w+\.ts)$/;

/** The folder that may tell one broker from another. */
const FAMILY_FOLDER = "dialects";

/** Globals that a module outside `RUNTIME_FOLDERS` may use, once for each time the global is listed. */
const ALLOWED_GLOBALS: Record<string, readonly string[]> = {
  // `process.getBuiltinModule`, where it exists, reaches a faster decoder without an import.
  "codec/text.ts": ["process"],
};

/** Runtime adapters load on demand, so that no program loads the adapter of another runtime. */
const ADAPTER = /^transport\/(deno|bun|node)\.ts$/;

const MAX_MODULES_PER_FOLDER = 20;
const MAX_LINES = 400;

/** The face that is also a program. All others contain only `export … from`. */
const PROGRAM = "cli.ts";

/** How far a module may break a rule. */
interface Debt {
  /** Lines of the file. */
  lines?: number;
  /** `@internal` members of public classes. */
  internal?: number;
  /** Uses of `setTimeout` and the like. */
  timers?: number;
  /** Lines that tell one broker from another. */
  families?: number;
}

/** The modules that break a rule today. An entry that is no longer needed fails the tests. */
const DEBTS: Record<string, Debt> = {};

/** The folders that each folder may import from: those that it stands on, directly or through others. */
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

/** Returns the path of an imported file, relative to the checkout; `undefined` for a package or a built-in module. */
function resolve(path: string, { specifier }: ImportSite): string | undefined {
  return specifier?.startsWith(".") ? join(dirname(path), specifier) : undefined;
}

/** Returns the rules that an import breaks. */
function checkImport(path: string, site: ImportSite, layers: Layers): string[] {
  const folder = folderOf(path);
  const target = resolve(path, site);
  if (site.specifier === undefined) return ["imports a module whose name is not a literal"];
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
  if (ADAPTER.test(target) && !site.dynamic && !site.typeOnly) broken.push(`imports ${target} without \`import()\``);
  if (site.reexport && folder !== "") broken.push(`re-exports ${target}: only faces do`);
  return broken;
}

/** Returns the names of the classes that a face exports, and of the classes that these extend. */
function findPublicClasses(modules: ReadonlyMap<string, ModuleFacts>): Set<string> {
  const names = new Set<string>();
  for (const [path, { imports }] of modules) {
    for (const site of folderOf(path) === "" ? imports : []) {
      const classes = modules.get(resolve(path, site) ?? "")?.classes ?? [];
      for (const { name } of classes) if (site.reexport && (site.names?.includes(name) ?? true)) names.add(name);
    }
  }
  const bases = new Map([...modules.values()].flatMap(({ classes }) => classes.map(({ name, base }) => [name, base])));
  // The loop also visits the names that it adds, so it reaches the bases of bases.
  for (const name of names) {
    const base = bases.get(name);
    if (base !== undefined) names.add(base);
  }
  return names;
}

/** What the rules on one module need to know of the others. */
interface Context {
  layers: Layers;
  publicClasses: ReadonlySet<string>;
  debts: Readonly<Record<string, Debt>>;
}

/**
 * Returns the source without what does not count towards the limit of lines: the examples in docstrings, and in `api/` all
 * docstrings, because those are the reference that users read.
 */
function withoutReference(path: string, source: string): string {
  if (folderOf(path) === "api") return source.replace(/^ *\/\*\*\n[^]*?\*\/\n/gm, "");
  return source.replace(/^ *\*\n *\* @example\n *\* ```ts\n(?: *\*.*\n)*? *\* ```\n/gm, "");
}

/** Returns the rules that a module breaks, one line each. */
function findViolations(
  path: string,
  source: string,
  { layers, publicClasses, debts }: Context,
  facts = readModule(source),
): string[] {
  const folder = folderOf(path);
  const { imports, globals, statements, docs, classes, familyChecks, exportedImports } = facts;
  const broken = imports.flatMap((site) =>
    checkImport(path, site, layers).map((what) => `${path}:${site.line} ${what}`)
  );
  if (folder === "") {
    const code = statements.concat(imports.filter((site) => !site.reexport).map((site) => site.line));
    if (path !== PROGRAM) broken.push(...code.map((line) => `${path}:${line} is not an \`export … from\``));
    const page = docs.find(({ text }) => text.includes("@module"));
    if (!page?.text.includes("```")) broken.push(`${path} has no module documentation with an example`);
  } else {
    if (!layers.has(folder)) broken.push(`${path} is in a folder without a row in docs/architecture.md`);
    broken.push(...exportedImports.map((line) => `${path}:${line} exports what it imports: only faces do`));
  }
  const timers: number[] = [];
  const allowed = [...ALLOWED_GLOBALS[path] ?? []];
  for (const { name, line } of globals) {
    if (TIMER_GLOBALS.includes(name) && !TIMER_MODULES.test(path)) timers.push(line);
    if (!RUNTIME_GLOBALS.includes(name) || RUNTIME_FOLDERS.includes(folder)) continue;
    if (!allowed.includes(name)) broken.push(`${path}:${line} uses ${name}, and must run everywhere`);
    else allowed.splice(allowed.indexOf(name), 1);
  }
  const internal = classes.flatMap(({ name, internal }) => publicClasses.has(name) ? internal : []);
  const families = folder === FAMILY_FOLDER ? [] : familyChecks;
  const debt = debts[path] ?? {};
  const limit = (count: number, max: number, debt: number | undefined, what: string) => {
    if (count > (debt ?? max)) broken.push(`${path} ${what}`);
    else if (debt !== undefined && count <= max) broken.push(`${path} no longer needs its debt: ${what}`);
  };
  limit(timers.length, 0, debt.timers, `starts timers, line ${timers}`);
  limit(internal.length, 0, debt.internal, `has \`@internal\` members in a public class, line ${internal}`);
  limit(families.length, 0, debt.families, `tells one broker from another, line ${families}`);
  limit(
    withoutReference(path, source).split("\n").length - 1,
    MAX_LINES,
    debt.lines,
    `is longer than ${debt.lines ?? MAX_LINES} lines`,
  );
  return broken;
}

/** Returns the folders that have too many modules. */
function findFullFolders(paths: readonly string[]): string[] {
  const counts = Map.groupBy(paths, folderOf);
  return [...counts].filter(([, paths]) => paths.length > MAX_MODULES_PER_FOLDER).map(([folder]) => folder);
}

/** Returns the circles of imports, types included. Each is the list of its modules. */
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

const MODULES = new Map(files(...LIBRARY).map((path) => [path, readModule(readText(path))]));

test("architecture: every module keeps the rules of docs/architecture.md", () => {
  assertGreater(MODULES.size, 0);
  const context = { layers: readLayers(readText(PAGE)), publicClasses: findPublicClasses(MODULES), debts: DEBTS };
  const violations = [...MODULES].flatMap(([path, facts]) => findViolations(path, readText(path), context, facts));
  assertEquals(violations, []);
});

test("architecture: each folder has a row on the page, and each row has a folder", () => {
  const folders = new Set([...MODULES.keys()].map(folderOf).filter((folder) => folder !== ""));
  assertEquals([...readLayers(readText(PAGE)).keys()].sort(), [...folders].sort());
});

test("architecture: modules do not import each other in a circle", () => {
  assertEquals(findCircles(MODULES), []);
});

test(`architecture: no folder has more than ${MAX_MODULES_PER_FOLDER} modules`, () => {
  assertEquals(findFullFolders([...MODULES.keys()]), []);
});

test("architecture: each entry of `DEBTS` names a module", () => {
  assertEquals(Object.keys(DEBTS).filter((path) => !MODULES.has(path)), []);
});

test(`architecture: no test, benchmark or example is longer than ${MAX_LINES} lines`, () => {
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
| \`dialects/\` | \`codec/\` | d |
| \`client/\` | \`transport/\`, \`dialects/\` | s |
| \`broker/\` | \`transport/\` | e |
| \`api/\` | \`client/\` | a |
| \`cli/\` | \`api/\`, \`broker/\` | p |
`);

const FACE = "/** Frames. ```ts a(); ``` @module */ ";

/** A module with planted violations, and how many of them the check must find. */
const PLANTED: [path: string, source: string, violations: number][] = [
  // Modules at the root are faces.
  ["frame.ts", `${FACE} export { Frame } from "./codec/frame.ts"; export * from "./base/errors.ts";`, 0],
  ["frame.ts", `${FACE} import { Frame } from "./codec/frame.ts"; export const a = 1;`, 2],
  ["frame.ts", `${FACE} export { Frame } from "./tests/frame.ts";`, 1],
  ["frame.ts", 'export { Frame } from "./codec/frame.ts";', 1],
  ["frame.ts", '/** Frames. @module */ export { Frame } from "./codec/frame.ts";', 1],
  ["cli.ts", `${FACE} import { run } from "./cli/cli.ts"; if (import.meta.main) await run();`, 0],
  // Folders never import the root, and `mod.ts` exports straight from the folders.
  ["codec/frame.ts", 'import { Frame } from "../frame.ts";', 1],
  ["simple.ts", `${FACE} export * from "./stomp.ts";`, 0],
  ["mod.ts", `${FACE} export * from "./stomp.ts";`, 1],
  // Imports go down the layers, and files are short.
  ["codec/text.ts", 'import { StompError } from "../base/errors.ts"; import { a } from "./bytes.ts";', 0],
  ["api/stomp.ts", 'import { StompError } from "../base/errors.ts";', 0],
  ["base/errors.ts", 'import { decode } from "../codec/text.ts";', 1],
  ["base/errors.ts", 'import type { Chunk } from "../codec/text.ts";', 1],
  ["base/errors.ts", 'import "../codec/text.ts";', 1],
  ["base/errors.ts", 'export const late = () => import("../codec/text.ts");', 1],
  ["base/errors.ts", "export const late = (name: string) => import(name);", 1],
  ["base/errors.ts", 'export let chunk: import("../codec/text.ts").Chunk;', 1],
  ["base/errors.ts", "/** import { decode } from '../codec/text.ts'; */ export const text = `import 'a'`;", 0],
  ["api/stomp.ts", 'import { Broker } from "../broker/broker.ts";', 1],
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
  ["api/long.ts", `/**\n * A.\n *\n${" * a();\n".repeat(99)} */\n` + "\n".repeat(400), 0],
  ["base/no_example.ts", `/**\n * A.\n *\n${" * a();\n".repeat(99)} */\n` + "\n".repeat(397), 1],
  // Runtime names and timers have their places.
  ["base/errors.ts", 'import { a } from "npm:a"; import { b } from "jsr:@b/b"; import { c } from "c";', 3],
  ["base/errors.ts", 'import { connect } from "node:net";', 1],
  ["transport/open.ts", 'import { connect } from "node:net";', 0],
  ["transport/open.ts", 'export const open = () => import("./deno.ts");', 0],
  ["transport/open.ts", 'import { adapter } from "./deno.ts";', 1],
  ["api/stomp.ts", 'import { adapter } from "../transport/deno.ts";', 1],
  ["api/stomp.ts", 'import type { Adapter } from "../transport/deno.ts";', 0],
  ["base/errors.ts", 'export const a = Deno.args, b = Bun.argv, c = process.argv, d = Buffer.from("d");', 4],
  ["base/errors.ts", 'export const a = globalThis.Deno, b = (globalThis as unknown as { Bun: unknown })["Bun"];', 2],
  ["base/errors.ts", "export function open(): Deno.Conn { throw 0; }", 1],
  ["base/errors.ts", "export const process1 = { process: 1, Deno: 2 }.process; // Deno.args", 0],
  ["codec/text.ts", "export const a = (globalThis as { process?: unknown }).process;", 0],
  ["codec/text.ts", "export const a = globalThis.process, b = process.argv;", 1],
  ["codec/text.ts", "export const a = Deno.args;", 1],
  ["transport/deno.ts", "export const a = Deno.args;", 0],
  ["api/stomp.ts", "setTimeout(() => {}, 1);", 1],
  ["cli/main.ts", "setInterval(() => {}, 1);", 1],
  ["base/fifo.ts", "globalThis.setTimeout(() => {}, 1);", 1],
  ["base/timers.ts", "setTimeout(() => {}, 1);", 0],
  ["transport/node.ts", "setTimeout(() => {}, 1);", 0],
  // Only `dialects/` tells one broker from another.
  ["api/stomp.ts", 'export const a = session.family === "rabbitmq", b = family !== other;', 1],
  ["api/stomp.ts", 'if (this.#family == "embedded") b();\nif (broker === "activemq") c();', 1],
  ["api/stomp.ts", "switch (session.family) {}", 1],
  ["api/stomp.ts", 'export const a = ["rabbitmq"].includes(family);', 1],
  ["api/stomp.ts", "export const a = WORDS[session.family];", 1],
  ["api/stomp.ts", "export const a = hasPrefetch(session.family), b = { family };", 0],
  ["dialects/dialect.ts", 'export const a = family === "rabbitmq";', 0],
  // Folders have no barrels, and public classes have no `@internal` members.
  ["codec/frame.ts", 'export { decode } from "./text.ts";', 1],
  ["codec/frame.ts", 'export * from "../base/errors.ts";', 1],
  ["codec/frame.ts", 'import { decode } from "./text.ts"; export { decode as read };', 1],
  ["codec/frame.ts", 'import type { Chunk } from "./text.ts"; export type { Chunk };', 1],
  ["codec/frame.ts", 'import { decode } from "./text.ts"; const read = decode(1); export { read };', 0],
  ["codec/frame.ts", "export class Public { /** @internal */ b() {} }", 1],
  ["codec/frame.ts", "export class Base<T> { /** @internal */ readonly b: T; }", 1],
  ["codec/frame.ts", "class Hidden { /** @internal */ b() {} } /** @internal */ export function c() {}", 0],
];

test("architecture: the check finds each planted violation, and no other", () => {
  const context = { layers: LAYERS, publicClasses: new Set(["Public", "Base"]), debts: {} };
  for (const [path, source, count] of PLANTED) {
    const violations = findViolations(path, source, context);
    assertEquals(violations.length, count, `${path}: ${source}\n${violations.join("\n")}`);
  }
});

test("architecture: a debt covers what it names, and has to go when it is no longer needed", () => {
  const debts = { "client/old.ts": { internal: 2, families: 1, timers: 1, lines: 500 } };
  const context = { layers: LAYERS, publicClasses: new Set(["Public"]), debts };
  const old = (members: number, rest: number, lines: number) =>
    `class Public { ${"/** @internal */ a() {} ".repeat(members)} }` +
    "switch (family) {} setTimeout(b);".repeat(rest) + "\n".repeat(lines);
  assertEquals(findViolations("client/old.ts", old(2, 1, 500), context), []);
  assertEquals(findViolations("client/old.ts", old(0, 0, 400), context).length, 4);
  assertEquals(findViolations("client/old.ts", old(3, 2, 501), context).length, 4);
});

test("architecture: a class is public when a face exports it or a class that extends it", () => {
  const modules = new Map([
    ["frame.ts", readModule('export { Frame, type A as B } from "./codec/frame.ts"; export * from "./base/a.ts";')],
    ["codec/frame.ts", readModule("export class Frame extends Verbs {} class Other {} export class A {}")],
    ["codec/verbs.ts", readModule("export class Verbs extends Root {}")],
    ["base/a.ts", readModule("export class Root {} export class C {}")],
    ["base/b.ts", readModule("export class D extends Frame {}")],
  ]);
  assertEquals([...findPublicClasses(modules)].sort(), ["A", "C", "Frame", "Root", "Verbs"]);
});

test("architecture: a folder with too many modules is found", () => {
  const modules = (folder: string, count: number) => Array.from({ length: count }, (_, i) => `${folder}/m${i}.ts`);
  const paths = [...modules("base", MAX_MODULES_PER_FOLDER), ...modules("codec", MAX_MODULES_PER_FOLDER + 1)];
  assertEquals(findFullFolders(paths), ["codec"]);
});

test("architecture: a circle of imports is found, types included", () => {
  const modules = new Map([
    ["base/a.ts", readModule('import { b } from "./b.ts";')],
    ["base/b.ts", readModule('import type { C } from "./c.ts";')],
    ["base/c.ts", readModule('import { a } from "./a.ts";')],
    ["base/d.ts", readModule('import { a } from "./a.ts"; import { b } from "./b.ts";')],
  ]);
  assertEquals(findCircles(modules), [["base/a.ts", "base/b.ts", "base/c.ts"]]);
});
