/**
 * What a module's source text says of the modules and the runtimes it needs.
 *
 * @module
 */
import { parse } from "@babel/parser";

/** A module named by an `import`, an `import()`, a type import or an `export … from`. */
export interface ImportSite {
  /** What is imported, or `undefined` where it is not a literal. */
  specifier: string | undefined;
  /** Whether it is an `import()`: loaded when the line is reached, and not before. */
  dynamic: boolean;
  /** Whether only types are imported, and so nothing at run time. */
  typeOnly: boolean;
  /** Whether it is an `export … from`. */
  reexport: boolean;
  /** The line it stands on. */
  line: number;
}

/** A use of a global that the layer rules are about. */
export interface GlobalSite {
  /** Its name. */
  name: string;
  /** The line it stands on. */
  line: number;
}

/** A comment. */
export interface CommentSite {
  /** Its text, without the delimiters. */
  text: string;
  /** The line it begins on. */
  line: number;
}

/** What was found in a module. */
export interface ModuleFacts {
  /** What it imports. */
  imports: ImportSite[];
  /** The globals of {@link RUNTIME_GLOBALS} and {@link TIMER_GLOBALS} that it uses as values or types. */
  globals: GlobalSite[];
  /** The lines of the top-level statements that are neither an `import` nor an `export … from`. */
  statements: number[];
  /** The lines of its `using` and `await using` declarations. */
  usings: number[];
  /** Its docstrings. */
  docs: CommentSite[];
}

/** The globals that tie a module to Deno, Bun or Node. */
export const RUNTIME_GLOBALS: readonly string[] = ["Deno", "Bun", "process", "Buffer", "require", "__dirname"];

/** The globals that make a module wait for real time. */
export const TIMER_GLOBALS: readonly string[] = ["setTimeout", "setInterval"];

const WATCHED_GLOBALS = [...RUNTIME_GLOBALS, ...TIMER_GLOBALS];

/** A node of the syntax tree; the walk is generic, so its shape is as well. */
interface Node {
  type: string;
  loc?: { start: { line: number } };
  [key: string]: unknown;
}

/** Reads a module. A parser and not a pattern: docstrings and strings are full of imports that are none. */
export function readModule(source: string): ModuleFacts {
  // What is wrong with a module beyond its grammar is for the type checker to say.
  const ast = parse(source, { sourceType: "module", plugins: ["typescript"], errorRecovery: true }) as unknown as Node;
  const facts: ModuleFacts = { imports: [], globals: [], statements: [], usings: [], docs: [] };
  for (const comment of ast["comments"] as Node[]) {
    const text = String(comment["value"]);
    if (comment.type === "CommentBlock" && text.startsWith("*")) facts.docs.push({ text, line: lineOf(comment) });
  }
  const program = ast["program"] as Node;
  for (const statement of program["body"] as Node[]) {
    if (findImport(statement) === undefined) facts.statements.push(lineOf(statement));
  }
  walk(program, undefined, "", facts);
  return facts;
}

function walk(node: Node, parent: Node | undefined, key: string, facts: ModuleFacts): void {
  const found = findImport(node);
  if (found !== undefined) facts.imports.push(found);
  const name = findGlobal(node, parent, key);
  if (name !== undefined) facts.globals.push({ name, line: lineOf(node) });
  if (node.type === "VariableDeclaration" && String(node["kind"]).endsWith("using")) facts.usings.push(lineOf(node));
  for (const [childKey, child] of Object.entries(node)) {
    for (const item of Array.isArray(child) ? child : [child]) {
      if (isNode(item)) walk(item, node, childKey, facts);
    }
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

function lineOf(node: Node): number {
  return node.loc?.start.line ?? 0;
}

function findImport(node: Node): ImportSite | undefined {
  const site = { line: lineOf(node), dynamic: false, typeOnly: false, reexport: false };
  switch (node.type) {
    case "ImportDeclaration":
      return { ...site, specifier: literal(node["source"]), typeOnly: node["importKind"] === "type" };
    case "ExportAllDeclaration":
    case "ExportNamedDeclaration":
      if (!node["source"]) return undefined;
      return { ...site, specifier: literal(node["source"]), typeOnly: node["exportKind"] === "type", reexport: true };
    case "ImportExpression":
      return { ...site, specifier: literal(node["source"]), dynamic: true };
    case "TSImportType":
      return { ...site, specifier: literal(node["source"] ?? node["argument"]), typeOnly: true };
    case "TSExternalModuleReference":
      return { ...site, specifier: literal(node["expression"]) };
    default:
      return undefined;
  }
}

function literal(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  if (node.type === "TSLiteralType") return literal(node["literal"]);
  return node.type === "StringLiteral" ? String(node["value"]) : undefined;
}

function findGlobal(node: Node, parent: Node | undefined, key: string): string | undefined {
  if (node.type === "MemberExpression" || node.type === "OptionalMemberExpression") {
    // `globalThis.Deno`, also with a cast in between; `x.process` is somebody's property.
    const property = node["property"] as Node;
    const name = String(property[property.type === "StringLiteral" ? "value" : "name"]);
    return isGlobalThis(node["object"]) && WATCHED_GLOBALS.includes(name) ? name : undefined;
  }
  if (node.type !== "Identifier" || !WATCHED_GLOBALS.includes(String(node["name"]))) return undefined;
  const isName = ["key", "property", "right"].includes(key) && parent?.["computed"] !== true &&
    !["AssignmentExpression", "BinaryExpression", "LogicalExpression", "AssignmentPattern"].includes(
      parent?.type ?? "",
    );
  return isName ? undefined : String(node["name"]);
}

function isGlobalThis(node: unknown): boolean {
  if (!isNode(node)) return false;
  if (node.type === "Identifier") return node["name"] === "globalThis";
  return "expression" in node && isGlobalThis(node["expression"]);
}
