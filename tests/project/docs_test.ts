/**
 * The examples in README.md, docs/ and the docstrings: each type-checks and runs in this runtime, against an embedded
 * broker instead of `localhost:61613`. Under Deno it gets only `--allow-net`, as the documentation promises.
 */
import { rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import { type Example, findExamples, needsBroker, toProgram } from "../support/examples.ts";
import { run } from "../support/process.ts";
import { files, LIBRARY, makeFolder, readText, ROOT } from "../support/project.ts";
import { runtime } from "../support/runtime.ts";

/** Milliseconds for running an example. */
const EXAMPLE_TIMEOUT_MS = 30_000;

/** The arguments with which users of this runtime start a program. */
const START: string[] = { deno: ["run", "--no-prompt", "--allow-net"], bun: ["run"], node: [] }[runtime];

// Not a pattern for README.md, so that a missing file is an error.
const PAGES = ["README.md", ...files("docs/**/*.md"), ...files(...LIBRARY)];
const EXAMPLES: Example[] = PAGES.flatMap((file) => findExamples(file, readText(file)));

/** Calls the function with a folder inside the checkout, where programs find the library under its package name. */
async function withFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = makeFolder("examples");
  try {
    await fn(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes the program of an example, named after its place so that errors show it. */
function write(folder: string, { place, code }: Example, port?: number): string {
  const path = join(folder, `${place.replace(/\W/g, "_")}.ts`);
  // Without `export`, an example that imports nothing would be a script, and its names would be global.
  writeFileSync(path, `${toProgram(code, port)}\nexport {};\n`);
  return path;
}

/** Runs a program of this checkout with this runtime. */
function start(args: string[], timeout: number) {
  return run(process.execPath, args, { cwd: ROOT, timeout, env: { DENO_NO_PACKAGE_JSON: "1", NO_COLOR: "1" } });
}

async function runExample(example: Example): Promise<void> {
  await withFolder(async (folder) => {
    const broker = needsBroker(example.code) ? await Broker.listen() : undefined;
    try {
      const result = await start([...START, write(folder, example, broker?.port)], EXAMPLE_TIMEOUT_MS);
      assert(result.ok, `${example.place} failed with ${result.ending}\n${result.output}`);
    } finally {
      await broker?.close();
    }
  });
}

test({
  name: "docs: all examples type-check",
  ignore: runtime !== "deno" || EXAMPLES.length === 0, // Bun and Node have no type checker.
  timeout: 4 * EXAMPLE_TIMEOUT_MS,
  fn: () =>
    withFolder(async (folder) => {
      const paths = EXAMPLES.map((example) => write(folder, example));
      assertEquals(new Set(paths.map((path) => basename(path))).size, EXAMPLES.length);
      const result = await start(["check", "--quiet", ...paths], 3 * EXAMPLE_TIMEOUT_MS);
      assert(result.ok, `deno check failed with ${result.ending}\n${result.output}`);
    }),
});

for (const example of EXAMPLES) {
  if (example.noRun) continue;
  test({
    name: `docs: the example at ${example.place} runs`,
    timeout: 2 * EXAMPLE_TIMEOUT_MS,
    fn: () => runExample(example),
  });
}

const MARKDOWN = `
\`\`\`ts
await connect("stomp://guest:guest@localhost:61613");
\`\`\`
  \`\`\`\`typescript no-run
  if (a) {
    \`\`\`
  }
  \`\`\`\`
\`\`\`sh
deno task demo
\`\`\`
`;

test("`findExamples()` finds examples in Markdown and docstrings, with their places", () => {
  const [first, second] = findExamples("a.md", MARKDOWN);
  assertEquals(findExamples("a.md", MARKDOWN).length, 2);
  assertEquals(first, {
    place: "a.md:2",
    code: 'await connect("stomp://guest:guest@localhost:61613");\n',
    noRun: false,
  });
  assertEquals(second, { place: "a.md:5", code: "if (a) {\n  ```\n}\n", noRun: true });
  const source =
    `/** No. */\n/**\n * Yes:\n * \`\`\`ts\n * a(\n *   1,\n * );\n * \`\`\`\n */\nconst text = "/** \`\`\`ts */";\n`;
  assertEquals(findExamples("a.ts", source), [{ place: "a.ts:4", code: "a(\n  1,\n);\n", noRun: false }]);
});

test("`toProgram()` replaces localhost:61613 by the port of the broker, and the JSR specifier", () => {
  assert(needsBroker("stomp://localhost:61613/vhost"));
  assert(needsBroker('new Stomp("localhost", 61613)'));
  assert(!needsBroker("stomp://localhost:616133"));
  assertEquals(
    toProgram('a("stomp://u:p@localhost:61613", "localhost", 61613)', 7),
    'a("stomp://u:p@127.0.0.1:7", "127.0.0.1", 7)',
  );
  assertEquals(toProgram('import "jsr:@x/stompy/frame";', undefined), 'import "@x/stompy/frame";');
});
