/**
 * Runs child processes, each with a timeout.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

/** How to run a program. */
export interface RunOptions {
  /** The working directory. The default is the current one. */
  cwd?: string | undefined;
  /** Environment variables in addition to those of this process. */
  env?: Record<string, string> | undefined;
  /** Milliseconds after which the process gets SIGTERM, and {@linkcode KILL_GRACE_MS} later SIGKILL. */
  timeout: number;
  /** Whether the output goes to the terminal instead of into the result. Default `false`. */
  inherit?: boolean | undefined;
}

/** How a program ended. */
export interface RunResult {
  /** Whether it exited by itself with code 0. */
  ok: boolean;
  /** What it printed on both outputs, in order of arrival. Empty with `inherit`. */
  output: string;
  /** How it ended, for messages: `exit code 1`. */
  ending: string;
}

/** Milliseconds from SIGTERM to SIGKILL. Node's test runner needs a moment to end its children. */
const KILL_GRACE_MS = 5_000;

/** The programs that are running. */
const running = new Set<ChildProcess>();

/** Sends SIGTERM to all programs that {@linkcode run} has started, for a runner that receives a signal itself. */
export function endAll(): void {
  for (const child of running) child.kill("SIGTERM");
}

/** Runs a program to its end. Never rejects: a program that cannot be started gives a result that is not `ok`. */
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

  let timedOut = false;
  let force: ReturnType<typeof setTimeout> | undefined;
  const deadline = setTimeout(() => {
    timedOut = true;
    child.kill("SIGTERM");
    force = setTimeout(() => {
      child.kill("SIGKILL");
      // A grandchild may hold the pipes open, which would delay the `close` event for ever.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, KILL_GRACE_MS);
  }, options.timeout);

  const end = (ok: boolean, ending: string) => {
    clearTimeout(deadline);
    clearTimeout(force);
    running.delete(child);
    resolve({ ok, ending, output: Buffer.concat(chunks).toString() });
  };
  child.once("error", (error) => end(false, error.message));
  child.once("close", (code, signal) => {
    if (timedOut) end(false, `no end within ${options.timeout / 1000} s`);
    else end(code === 0, signal ? `signal ${signal}` : `exit code ${code}`);
  });
  return promise;
}
