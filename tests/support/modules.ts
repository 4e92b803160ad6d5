/**
 * Reads the facts that the architecture rules are about from a module's source text.
 *
 * @module
 */
import { parse } from "@babel/parser";

/** An `import`, an `import()`, a type import or an `export … from`. */
export interface ImportSite {
  /** The imported module; `undefined` where it is not a literal. */
  specifier: string | undefined;
  /** Whether it is an `import()`, which loads when the line is reached. */
  dynamic: boolean;
  /** Whether only types are imported, so that nothing loads at run time. */
  typeOnly: boolean;
  /** Whether it is an `export … from`. */
  reexport: boolean;
  /** The names that an `export … from` takes from the module; `undefined` for `export *` and for imports. */
  names: string[] | undefined;
  /** The line number. */
  line: number;
}

/** A use of a global that the architecture rules are about. */
export interface GlobalSite {
  /** The name of the global. */
  name: string;
  /** The line number. */
  line: number;
}

/** A comment. */
export interface CommentSite {
  /** The text without the delimiters. */
  text: string;
  /** The first line number. */
  line: number;
}

/** A class. */
export interface ClassSite {
  /** The name. */
  name: string;
  /** The name of the class that it extends, if any. */
  base: string | undefined;
  /** The lines of the members whose docstring says `@internal`. */
  internal: number[];
}

/** What the architecture rules need to know of a module. */
export interface ModuleFacts {
  /** The imports. */
  imports: ImportSite[];
  /** The uses of {@link RUNTIME_GLOBALS} and {@link TIMER_GLOBALS} as values or types. */
  globals: GlobalSite[];
  /** The lines of the top-level statements that are neither an `import` nor an `export … from`. */
  statements: number[];
  /** The lines of the `using` and `await using` declarations. */
  usings: number[];
  /** The docstrings. */
  docs: CommentSite[];
  /** The classes. */
  classes: ClassSite[];
  /** The lines of an `export { … }` of imported names. */
  exportedImports: number[];
  /** The lines that tell one broker from another, for example `session.family === "rabbitmq"`. */
  familyChecks: number[];
}

/** The globals that tie a module to Deno, Bun or Node. */
export const RUNTIME_GLOBALS: readonly string[] = ["Deno", "Bun", "process", "Buffer", "require", "__dirname"];

/** The globals that make a module wait for real time. */
export const TIMER_GLOBALS: readonly string[] = ["setTimeout", "setInterval"];

const WATCHED_GLOBALS = [...RUNTIME_GLOBALS, ...TIMER_GLOBALS];

/** Names of broker families that are nothing else, so that comparing with one is a check of the family. */
const FAMILIES = ["rabbitmq", "activemq", "artemis"];

/** A node of the syntax tree. The walk is generic, so its shape is as well. */
interface Node {
  type: string;
  loc?: { start: { line: number } };
  [key: string]: unknown;
}

/** Reads a module with a parser: docstrings and strings contain text that looks like imports. */
export function readModule(source: string): ModuleFacts {
  // The type checker reports what is wrong beyond the grammar.
  const ast = parse(source, { sourceType: "module", plugins: ["typescript"], errorRecovery: true }) as unknown as Node;
  const facts: ModuleFacts = {
    imports: [],
    globals: [],
    statements: [],
    usings: [],
    docs: [],
    classes: [],
    familyChecks: [],
    exportedImports: [],
  };
  for (const comment of ast["comments"] as Node[]) {
    const text = String(comment["value"]);
    if (comment.type === "CommentBlock" && text.startsWith("*")) facts.docs.push({ text, line: lineOf(comment) });
  }
  const program = ast["program"] as Node;
  const imported = new Set<string | undefined>();
  for (const statement of program["body"] as Node[]) {
    const specifiers = statement["specifiers"] as Node[] | undefined ?? [];
    if (statement.type === "ImportDeclaration") {
      for (const { local } of specifiers) imported.add(nameOf(local));
    }
    if (findImport(statement) !== undefined) continue;
    facts.statements.push(lineOf(statement));
    if (specifiers.some(({ local }) => imported.has(nameOf(local)))) facts.exportedImports.push(lineOf(statement));
  }
  walk(program, undefined, "", facts);
  return facts;
}

function walk(node: Node, parent: Node | undefined, key: string, facts: ModuleFacts): void {
  const found = findImport(node);
  if (found !== undefined) facts.imports.push(found);
  const name = findGlobal(node, parent, key);
  if (name !== undefined) facts.globals.push({ name, line: lineOf(node) });
  if (node.type === "ClassDeclaration" || node.type === "ClassExpression") facts.classes.push(readClass(node));
  if (isFamilyCheck(node)) facts.familyChecks.push(lineOf(node));
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
  const site = { line: lineOf(node), dynamic: false, typeOnly: false, reexport: false, names: undefined };
  switch (node.type) {
    case "ImportDeclaration":
      return { ...site, specifier: literal(node["source"]), typeOnly: node["importKind"] === "type" };
    case "ExportAllDeclaration":
    case "ExportNamedDeclaration": {
      if (!node["source"]) return undefined;
      const names = (node["specifiers"] as Node[] | undefined)?.map(({ local }) => nameOf(local) ?? "*");
      const typeOnly = node["exportKind"] === "type";
      return { ...site, specifier: literal(node["source"]), typeOnly, reexport: true, names };
    }
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
    // `globalThis.Deno`, also with a cast in between; `x.process` is an ordinary property.
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

function nameOf(node: unknown): string | undefined {
  return isNode(node) && node.type === "Identifier" ? String(node["name"]) : undefined;
}

function readClass(node: Node): ClassSite {
  const members = (node["body"] as Node)["body"] as Node[];
  const internal = members.filter(({ leadingComments }) =>
    (leadingComments as Node[] | undefined)?.some(({ value }) => String(value).includes("@internal"))
  );
  return { name: nameOf(node["id"]) ?? "", base: nameOf(node["superClass"]), internal: internal.map(lineOf) };
}

/** Whether a node branches on the broker: compares a `family`, switches on it, or looks for it in a list or table. */
function isFamilyCheck(node: Node): boolean {
  switch (node.type) {
    case "BinaryExpression":
      return /^[!=]==?$/.test(String(node["operator"])) && [node["left"], node["right"]].some(isFamily);
    case "SwitchStatement":
      return isFamily(node["discriminant"]);
    case "MemberExpression":
    case "OptionalMemberExpression":
      return node["computed"] === true && isFamily(node["property"]);
    case "CallExpression": {
      const method = nameOf((node["callee"] as Node)["property"]) ?? "";
      return ["includes", "indexOf", "has", "get"].includes(method) && (node["arguments"] as Node[]).some(isFamily);
    }
    default:
      return false;
  }
}

/** Whether an expression is a variable or property `family`, or the name of a family. */
function isFamily(node: unknown): boolean {
  if (!isNode(node)) return false;
  if (node.type === "StringLiteral") return FAMILIES.includes(String(node["value"]));
  const name = isNode(node["property"]) ? node["property"] : node;
  return name.type === "PrivateName" ? nameOf(name["id"]) === "family" : nameOf(name) === "family";
}
