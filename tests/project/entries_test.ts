/**
 * The published entries load and run in every supported runtime. `.ci/run` also runs this file under the oldest Node.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { assert, assertEquals, assertGreater, assertStringIncludes } from "#assert";
import { test } from "#test";
import { readModule } from "../support/modules.ts";
import { files, inRoot, LIBRARY, readJson, readText } from "../support/project.ts";
import { runtime } from "../support/runtime.ts";

for (const [name, path] of Object.entries(readJson("package.json")["exports"] as Record<string, string>)) {
  test(`entries: ${name} can be imported, and its exports are defined`, async () => {
    const entry = await import(new URL(`../../${path}`, import.meta.url).href);
    assertGreater(Object.keys(entry).length, 0);
    for (const [key, value] of Object.entries(entry)) assert(value !== undefined, key);
  });
}

test("entries: no published module has a `using` declaration, which Node 22 cannot parse", () => {
  for (const source of ["using a = b();", "await using a = b();", "for (await using a of b) c();"]) {
    assertEquals(readModule(source).usings, [1], source);
  }
  assertEquals(readModule("const using = 1; using; // await using a = b();").usings, []);
  const sites = files(...LIBRARY).flatMap((path) => readModule(readText(path)).usings.map((line) => `${path}:${line}`));
  assertEquals(sites, []);
});

/** The result of a program. */
interface CliResult {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs cli.ts with this runtime, and calls `onLine` after the first line of output. Send signals by `process.kill`: after
 * `child.kill`, Deno reports the child as killed, however it ends.
 */
function runCli(args: readonly string[], onLine?: (child: ReturnType<typeof spawn>) => void): Promise<CliResult> {
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

test("`cli.ts demo --count 100` succeeds", async () => {
  const { code, stdout, stderr } = await runCli(["demo", "--count", "100"]);
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(stdout, "Each message arrived once and in order");
});

test("`cli.ts` reports an error in one line, without a stack trace or a password", async () => {
  const { code, stdout, stderr } = await runCli(["demo", "--url", "stomp://me:hunter2@127.0.0.1:1"]);
  assertEquals([code, stdout], [1, ""]);
  assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  assertStringIncludes(stderr, "127.0.0.1:1");
  assert(!stderr.includes("hunter2"), stderr);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test({
    name: `\`cli.ts broker\` exits with 0 on ${signal}`,
    ignore: isWindows,
    async fn() {
      const result = await runCli(["broker", "--port", "0"], (child) => process.kill(child.pid!, signal));
      assertEquals([result.code, result.signal, result.stderr], [0, null, ""]);
    },
  });
}

test({
  name: "`cli.ts demo` exits with 130 on SIGINT, and says that it was interrupted",
  ignore: isWindows,
  async fn() {
    const result = await runCli(["demo", "--count", "100000000"], (child) => process.kill(child.pid!, "SIGINT"));
    assertEquals([result.code, result.signal, result.stderr.trimEnd()], [130, null, "stompy demo: interrupted"]);
  },
});

for (const count of ["100", "200000"]) {
  test({
    name: `\`cli.ts demo --count ${count}\` exits with 141, silently, when its output is closed`,
    ignore: isWindows,
    async fn() {
      const result = await runCli(["demo", "--count", count], (child) => child.stdout!.destroy());
      assertEquals([result.code, result.signal, result.stderr], [141, null, ""]);
    },
  });
}
