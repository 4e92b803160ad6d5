/**
 * The house: which module may know of which. The table in CONTRIBUTING.md is the rule that these tests enforce, so that
 * people and tests read the same one.
 */
import { basename } from "node:path";
import { assertEquals, assertGreater } from "#assert";
import { test } from "#test";
import { readModule } from "./support/modules.ts";
import { files, LIBRARY, readText } from "./support/project.ts";

/** The modules that may name a runtime: the adapters, what chooses one of them, and the program. */
const NAMES_RUNTIMES = /^(transport_\w+|connect|cli)\.ts$/;

/** Single globals that other modules may use, and why. */
const ALLOWED_GLOBALS: Record<string, readonly string[]> = {
  // `process.getBuiltinModule`, where there is one, reaches a faster decoder without an import.
  "text.ts": ["process"],
};

/** Doors that only some may use: the broker is no part of the client, and a runtime's adapter is loaded when needed. */
const DOORS: { to: RegExp; only: RegExp; dynamic?: boolean }[] = [
  { to: /^broker/, only: /^(broker|cli)/ },
  { to: /^transport_(deno|bun|node)\.ts$/, only: /^(connect|transport_\w+)\.ts$/, dynamic: true },
  { to: /^(cli|mod)\.ts$/, only: /^$/ },
];

/** No file is longer than this many lines… */
const MOST_LINES = 400;

/** …but these, each for a reason. */
const LONG: Record<string, string> = {
  "stomp.ts": "the public face of the client: the half of it is documentation, and each method a line or two",
  "session.ts": "all that is true of one connection; what could be named apart was moved out of it",
};

/** The rows of the table that names the modules, from the ground up. Modules in one row do not know of each other. */
function readFloors(markdown: string): string[][] {
  const rows = markdown.split("\n").map((line) => /^\| ((?:`\w+\.ts`(?:, )?)+) *\|/.exec(line)?.[1]);
  return rows.filter((cell) => cell !== undefined).map((cell) => [...cell.matchAll(/\w+\.ts/g)].map(([name]) => name));
}

/** What is wrong with a module. The table names modules without their folders, and no two have the same name. */
function findViolations(path: string, source: string, floors: readonly string[][]): string[] {
  const file = basename(path);
  const floorOf = (name: string) => floors.findIndex((floor) => floor.includes(name));
  const floor = floorOf(file);
  if (floor < 0) return [`${file} has no row in the table of CONTRIBUTING.md`];
  const { imports, globals } = readModule(source);
  const violations: string[] = [];
  for (const { specifier, dynamic, typeOnly, line } of imports) {
    const complain = (what: string) => violations.push(`${file}:${line} ${what}`);
    const target = specifier?.match(/^\.\.?\/(?:\w+\/)?(\w+\.ts)$/)?.[1];
    if (specifier === undefined) {
      complain("imports something that is not a literal");
    } else if (target === undefined) {
      const isRuntime = specifier.startsWith("node:") || specifier === "bun";
      if (!isRuntime) complain(`imports "${specifier}", and the library has no dependencies`);
      else if (!NAMES_RUNTIMES.test(file)) complain(`imports "${specifier}", and must run everywhere`);
    } else if (floorOf(target) < 0 || floorOf(target) >= floor) {
      complain(`imports ${target}, which is not in a row above`);
    }
    for (const door of DOORS) {
      if (target === undefined || !door.to.test(target)) continue;
      if (!door.only.test(file)) complain(`imports ${target}, which is not for it`);
      else if (door.dynamic && !dynamic && !typeOnly) complain(`imports ${target} before it is needed`);
    }
  }
  for (const { name, line } of globals) {
    if (NAMES_RUNTIMES.test(file) || ALLOWED_GLOBALS[file]?.includes(name)) continue;
    violations.push(`${file}:${line} uses ${name}, and must run everywhere`);
  }
  return violations;
}

test("every module imports only from the rows above it", () => {
  const floors = readFloors(readText("CONTRIBUTING.md"));
  const modules = files(...LIBRARY);
  assertGreater(modules.length, 0);
  assertEquals(modules.flatMap((file) => findViolations(file, readText(file), floors)), []);
});

test("every row of the table is a module", () => {
  const modules = files(...LIBRARY).map((path) => basename(path));
  assertEquals(readFloors(readText("CONTRIBUTING.md")).flat().filter((file) => !modules.includes(file)), []);
});

test(`no file is longer than ${MOST_LINES} lines`, () => {
  const long = files(...LIBRARY, "{bench,examples,tests}/**/*.ts").filter((file) => !(basename(file) in LONG)).map((
    file,
  ) => [file, readText(file).split("\n").length - 1] as const).filter(([, lines]) => lines > MOST_LINES);
  assertEquals(long, []);
});

const FLOORS = readFloors(`
| file | concept |
|---|---|
| \`errors.ts\` | e |
| \`text.ts\` | t |
| \`broker.ts\` | b |
| \`transport_deno.ts\`, \`transport_bun.ts\` | adapters |
| \`connect.ts\` | c |
| \`stomp.ts\` | s |
| \`cli.ts\` | p |
| \`mod.ts\` | m |
`);

/** Source text, and how many violations it has as a certain module. */
const PLANTED: [file: string, source: string, violations: number][] = [
  ["text.ts", 'import { StompError } from "./errors.ts";', 0],
  ["errors.ts", 'import { decode } from "./text.ts";', 1],
  ["errors.ts", 'import type { Chunk } from "./text.ts";', 1],
  ["errors.ts", 'import "./text.ts";', 1],
  ["errors.ts", 'import "./errors.ts";', 1],
  ["errors.ts", 'export { decode } from "./text.ts";', 1],
  ["errors.ts", 'export * from "./text.ts";', 1],
  ["errors.ts", 'export const late = () => import("./text.ts");', 1],
  ["errors.ts", "export const late = (name: string) => import(name);", 1],
  ["errors.ts", 'export let chunk: import("./text.ts").Chunk;', 1],
  ["errors.ts", "/** import { decode } from './text.ts'; */ export const text = `import './text.ts'`;", 0],
  ["errors.ts", 'import { a } from "npm:a"; import { b } from "jsr:@b/b"; import { c } from "c";', 3],
  ["errors.ts", 'import { connect } from "node:net";', 1],
  ["connect.ts", 'import { connect } from "node:net";', 0],
  ["connect.ts", 'export const open = () => import("./transport_deno.ts");', 0],
  ["connect.ts", 'import { adapter } from "./transport_deno.ts";', 1],
  ["stomp.ts", 'export const open = () => import("./transport_deno.ts");', 1],
  ["transport_bun.ts", 'import { adapter } from "./transport_deno.ts";', 2],
  ["stomp.ts", 'import type { Adapter } from "./transport_deno.ts";', 1],
  ["stomp.ts", 'import { Broker } from "./broker.ts";', 1],
  ["mod.ts", 'export { Broker } from "./broker.ts"; export { main } from "./cli.ts";', 2],
  ["cli.ts", 'import { Broker } from "./broker.ts";', 0],
  ["other.ts", "", 1],
  ["errors.ts", 'export const a = Deno.args, b = Bun.argv, c = process.argv, d = Buffer.from("d");', 4],
  ["errors.ts", 'export const a = globalThis.Deno, b = (globalThis as unknown as { Bun: unknown })["Bun"];', 2],
  ["errors.ts", "export function open(): Deno.Conn { throw 0; }", 1],
  ["errors.ts", "export const process1 = { process: 1, Deno: 2 }.process; // Deno.args", 0],
  ["text.ts", "export const a = (globalThis as { process?: unknown }).process;", 0],
  ["text.ts", "export const a = Deno.args;", 1],
  ["transport_deno.ts", "export const a = Deno.args;", 0],
];

test("the check finds what is planted, and nothing else", () => {
  for (const [file, source, count] of PLANTED) {
    const violations = findViolations(file, source, FLOORS);
    assertEquals(violations.length, count, `${file}: ${source}\n${violations.join("\n")}`);
  }
});
