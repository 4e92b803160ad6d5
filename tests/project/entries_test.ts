/**
 * What is published loads and runs in every supported runtime, the oldest Node among them: `.ci/run` runs this file there
 * as well.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { assert, assertEquals, assertGreater, assertStringIncludes } from "#assert";
import { test } from "#test";
import { readModule } from "../support/modules.ts";
import { files, inRoot, LIBRARY, readJson, readText } from "../support/project.ts";
import { runtime } from "../support/runtime.ts";

for (const [name, path] of Object.entries(readJson("package.json")["exports"] as Record<string, string>)) {
  test(`the entry ${name} can be imported, and its names have values`, async () => {
    const entry = await import(new URL(`../../${path}`, import.meta.url).href);
    assertGreater(Object.keys(entry).length, 0);
    for (const [key, value] of Object.entries(entry)) assert(value !== undefined, key);
  });
}

test("no published module has a `using` declaration, which Node 22 cannot parse", () => {
  for (const source of ["using a = b();", "await using a = b();", "for (await using a of b) c();"]) {
    assertEquals(readModule(source).usings, [1], source);
  }
  assertEquals(readModule("const using = 1; using; // await using a = b();").usings, []);
  const sites = files(...LIBRARY).flatMap((path) => readModule(readText(path)).usings.map((line) => `${path}:${line}`));
  assertEquals(sites, []);
});

/** How a program ended. */
interface Ending {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs cli.ts as a program of this runtime; `onLine` is called once, when the first line was read. Signals go by
 * `process.kill`: Deno takes a child that `child.kill` was called on for killed, however it ends.
 */
function runCli(args: readonly string[], onLine?: (child: ReturnType<typeof spawn>) => void): Promise<Ending> {
  const deno = runtime === "deno" ? ["run", "--no-prompt", "--no-check", "--allow-net"] : [];
  const child = spawn(process.execPath, [...deno, inRoot("cli.ts"), ...args], {
    env: { ...process.env, DENO_NO_PACKAGE_JSON: "1", NODE_NO_WARNINGS: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    const isFirst = !stdout.includes("\n");
    stdout += chunk;
    if (isFirst && stdout.includes("\n")) onLine?.(child);
  });
  child.stderr.on("data", (chunk) => stderr += chunk);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

const isWindows = process.platform === "win32";

test("`cli.ts demo --count 100` runs as a program", async () => {
  const { code, stdout, stderr } = await runCli(["demo", "--count", "100"]);
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(stdout, "Each message arrived once and in order");
});

test("`cli.ts` tells in one line what is wrong, without a stack trace or a password", async () => {
  const { code, stdout, stderr } = await runCli(["demo", "--url", "stomp://me:hunter2@127.0.0.1:1"]);
  assertEquals([code, stdout], [1, ""]);
  assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  assertStringIncludes(stderr, "127.0.0.1:1");
  assert(!stderr.includes("hunter2"), stderr);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test({
    name: `\`cli.ts broker\` ends in order at ${signal}`,
    ignore: isWindows,
    async fn() {
      const ending = await runCli(["broker", "--port", "0"], (child) => process.kill(child.pid!, signal));
      assertEquals([ending.code, ending.signal, ending.stderr], [0, null, ""]);
    },
  });
}

test({
  name: "`cli.ts demo` ends in order at SIGINT, and says that it was interrupted",
  ignore: isWindows,
  async fn() {
    const ending = await runCli(["demo", "--count", "100000000"], (child) => process.kill(child.pid!, "SIGINT"));
    assertEquals([ending.code, ending.signal, ending.stderr.trimEnd()], [130, null, "stompy demo: interrupted"]);
  },
});

for (const count of ["100", "200000"]) {
  test({
    name: `\`cli.ts demo --count ${count}\` ends without a word when nobody reads its output any more`,
    ignore: isWindows,
    async fn() {
      const ending = await runCli(["demo", "--count", count], (child) => child.stdout!.destroy());
      assertEquals([ending.code, ending.signal, ending.stderr], [141, null, ""]);
    },
  });
}
