/**
 * Child processes that always end.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

/** How to run a program. */
export interface RunOptions {
  /** Working directory. Default: the current one. */
  cwd?: string | undefined;
  /** Environment variables to set beside those of this process. */
  env?: Record<string, string> | undefined;
  /** Milliseconds after which the process is ended, by its id: first asked to, then made to. */
  timeout: number;
  /** Whether the output goes straight to the terminal instead of into the result. Default `false`. */
  inherit?: boolean | undefined;
}

/** How a program ended. */
export interface RunResult {
  /** Whether it ended by itself, with code 0. */
  ok: boolean;
  /** What it printed on both outputs, in the order it came. Empty with `inherit`. */
  output: string;
  /** How it ended, for people: `exit code 1`. */
  ending: string;
}

/** From asking a process to end to making it. Node's test runner needs a moment to end its own children. */
const GRACE = 5_000;

/** The programs that run. */
const running = new Set<ChildProcess>();

/** Asks all programs that {@linkcode run} has started to end: for who is asked to end itself. */
export function endAll(): void {
  for (const child of running) child.kill("SIGTERM");
}

/** Runs a program to its end. Never rejects: a program that cannot be started is one that did not end well. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const { promise, resolve } = Promise.withResolvers<RunResult>();
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: options.inherit ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const chunks: Uint8Array[] = [];
  child.stdout?.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  child.stderr?.on("data", (chunk: Uint8Array) => chunks.push(chunk));

  let late = false;
  let force: ReturnType<typeof setTimeout> | undefined;
  const deadline = setTimeout(() => {
    late = true;
    child.kill("SIGTERM");
    force = setTimeout(() => {
      child.kill("SIGKILL");
      // A grandchild may hold the pipes open for ever, and with them the `close` event.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, GRACE);
  }, options.timeout);

  const end = (ok: boolean, ending: string) => {
    clearTimeout(deadline);
    clearTimeout(force);
    running.delete(child);
    resolve({ ok, ending, output: Buffer.concat(chunks).toString() });
  };
  child.once("error", (error) => end(false, error.message));
  child.once("close", (code, signal) => {
    if (late) end(false, `no end within ${options.timeout / 1000} s`);
    else end(code === 0, signal ? `signal ${signal}` : `exit code ${code}`);
  });
  return promise;
}
