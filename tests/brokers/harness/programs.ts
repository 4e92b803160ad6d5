/**
 * The programs of one broker. They are killed by their process ids, even if the process that started them has died.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Milliseconds from SIGTERM to SIGKILL. */
const STOP_GRACE_MS = 15_000;

/** Milliseconds to wait for a program after SIGKILL. */
const KILL_TIMEOUT_MS = 10_000;

/**
 * A shell script that reads process ids, `+ 12` for one that has started and `- 12` for one that has ended, until its
 * input closes: when the harness is done, or when the process of the harness has died for whatever reason. Then it kills
 * the process groups that are left and removes the folder.
 */
const GUARD = `
trap : INT TERM HUP
groups=
while read -r sign group; do
  others=
  for one in $groups; do [ "$one" = "$group" ] || others="$others $one"; done
  groups=$others
  [ "$sign" = + ] && groups="$groups $group"
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
for group in $groups; do
  tries=0
  while kill -0 "-$group" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
done
rm -rf "$1"
`;

/** A started program. */
export interface Program {
  /** Its process id, which is also the id of its process group. */
  readonly pid: number;
  /** The file with its output. */
  readonly log: string;
  /** Whether it is running. */
  readonly isRunning: boolean;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

/** Options for starting a program. */
export interface ProgramOptions {
  /** Environment variables in addition to those of this process. */
  env?: Record<string, string> | undefined;
  /** The name of the file in the folder to append its output to. */
  log: string;
}

/** A temporary folder, and the programs that work in it. */
export class Programs {
  /** The folder, which `close()` removes. */
  readonly folder: string;
  readonly #guard: ChildProcess;
  readonly #guardEnded: Promise<unknown>;
  #closed = false;

  /** Makes the folder and starts the guard script. */
  constructor(name: string) {
    this.folder = mkdtempSync(join(tmpdir(), `stompy-${name}-`));
    // Detached: Ctrl+C goes to all programs of a terminal session, and must not end the guard.
    this.#guard = spawn("/bin/sh", ["-c", GUARD, "sh", this.folder], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#guardEnded = new Promise((resolve) => {
      this.#guard.once("close", resolve);
      this.#guard.once("error", resolve);
    });
    this.#guard.stdin!.on("error", () => {}); // it ended first
    // The guard must not keep this process running.
    this.#guard.unref();
  }

  /** Starts a program. */
  start(command: string, args: readonly string[], { env, log }: ProgramOptions): Program {
    if (this.#closed) throw new Error(`Cannot start ${command}: the harness is closed`);
    const path = join(this.folder, log);
    const child = spawn("/bin/sh", ["-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", path, command, ...args], {
      cwd: this.folder,
      detached: true, // a new process group, so that its children can be killed with it
      stdio: "ignore",
      env: { ...process.env, ...env },
    });
    const { pid } = child;
    if (pid === undefined) throw new Error(`Cannot start ${command}: the system refused`);
    this.#guard.stdin!.write(`+ ${pid}\n`);
    child.unref();
    let isRunning = true;
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => {
        isRunning = false;
        this.#guard.stdin!.write(`- ${pid}\n`);
        resolve();
      });
    });
    return {
      pid,
      log: path,
      get isRunning() {
        return isRunning;
      },
      ended,
    };
  }

  /** Kills a program, as a power failure would. */
  async kill(program: Program): Promise<void> {
    signal(program, "SIGKILL");
    if (!await within(program.ended, KILL_TIMEOUT_MS)) {
      throw new Error(`Cannot kill process ${program.pid}: it is still there`);
    }
  }

  /** Asks a program to end, and kills it if it does not end in time. */
  async stop(program: Program): Promise<void> {
    signal(program, "SIGTERM");
    if (!await within(program.ended, STOP_GRACE_MS)) await this.kill(program);
  }

  /** Kills all programs and waits until the folder is gone. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#guard.ref();
      this.#guard.stdin!.end();
    }
    if (!await within(this.#guardEnded, KILL_TIMEOUT_MS) || existsSync(this.folder)) {
      throw new Error(`Cannot remove ${this.folder}: programs still use it`);
    }
  }
}

/** Returns the last lines that a program has printed, without Java's stack traces. */
export function tailOf(log: string): string {
  if (!existsSync(log)) return "(it printed nothing)";
  const lines = readFileSync(log, "utf8").split("\n").filter((line) => line.trim() !== "" && !/^\s+at /.test(line));
  return lines.slice(-20).join("\n") || "(it printed nothing)";
}

function signal(program: Program, name: "SIGKILL" | "SIGTERM"): void {
  if (!program.isRunning) return;
  try {
    // On SIGTERM a program ends its children itself.
    process.kill(name === "SIGKILL" ? -program.pid : program.pid, name);
  } catch {
    // It has just ended.
  }
}

/** Whether the promise resolves in time. The timer keeps this process running, which the programs do not. */
async function within(done: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), milliseconds));
  try {
    return await Promise.race([done.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
