/**
 * The programs of one harness: started, ended by their process ids, and ended also when the harness itself is not there any
 * more to do it.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Milliseconds that a program has to end when it is asked to; then it is made to. */
const GRACE = 15_000;

/** Milliseconds that a killed program may take to be gone. */
const GONE = 10_000;

/**
 * Reads process ids, `+ 12` for one that runs and `- 12` for one that has ended, until its input is closed: by the harness
 * when all is over, or by the system when the harness has died, however that happened. Then it ends what is left, each in
 * its own process group, and removes the folder.
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

/** A program that was started. */
export interface Program {
  /** Its process id, which is also that of its process group. */
  readonly pid: number;
  /** The file that its output goes to. */
  readonly log: string;
  /** Whether it runs. */
  readonly alive: boolean;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

/** How a program is started. */
export interface ProgramOptions {
  /** Environment variables, added to those of this process. */
  env?: Record<string, string> | undefined;
  /** Name of the file for its output, within the folder. What is in it already stays. */
  log: string;
}

/** A temporary folder, and the programs that work in it. */
export class Programs {
  /** The folder. It is removed in the end. */
  readonly folder: string;
  readonly #guard: ChildProcess;
  readonly #guardEnded: Promise<unknown>;
  #closed = false;

  /** Makes the folder, and begins to watch over it. */
  constructor(name: string) {
    this.folder = mkdtempSync(join(tmpdir(), `stompy-${name}-`));
    // In a session of its own: Ctrl+C, which goes to all programs of a terminal, must not be the end of the guard.
    this.#guard = spawn("/bin/sh", ["-c", GUARD, "sh", this.folder], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#guardEnded = new Promise((resolve) => {
      this.#guard.once("close", resolve);
      this.#guard.once("error", resolve);
    });
    this.#guard.stdin!.on("error", () => {}); // it ended first
    // Only who waits for a broker is kept alive by it.
    this.#guard.unref();
  }

  /** Starts a program. */
  start(command: string, args: readonly string[], { env, log }: ProgramOptions): Program {
    if (this.#closed) throw new Error(`Cannot start ${command}: the harness is stopped`);
    const path = join(this.folder, log);
    const child = spawn("/bin/sh", ["-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", path, command, ...args], {
      cwd: this.folder,
      detached: true, // a process group of its own, so that what it starts ends with it
      stdio: "ignore",
      env: { ...process.env, ...env },
    });
    const { pid } = child;
    if (pid === undefined) throw new Error(`Cannot start ${command}: the system refused`);
    this.#guard.stdin!.write(`+ ${pid}\n`);
    child.unref();
    let alive = true;
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => {
        alive = false;
        this.#guard.stdin!.write(`- ${pid}\n`);
        resolve();
      });
    });
    return {
      pid,
      log: path,
      get alive() {
        return alive;
      },
      ended,
    };
  }

  /** Ends a program at once, as a power failure would. */
  async kill(program: Program): Promise<void> {
    signal(program, "SIGKILL");
    if (!await within(program.ended, GONE)) throw new Error(`Cannot kill process ${program.pid}: it is still there`);
  }

  /** Asks a program to end; one that does not is made to. */
  async stop(program: Program): Promise<void> {
    signal(program, "SIGTERM");
    if (!await within(program.ended, GRACE)) await this.kill(program);
  }

  /** Waits until nothing is left of the folder; programs that run are ended. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#guard.ref();
      this.#guard.stdin!.end();
    }
    if (!await within(this.#guardEnded, GONE) || existsSync(this.folder)) {
      throw new Error(`Cannot remove ${this.folder}: programs still use it`);
    }
  }
}

/** The end of what a program has printed, for people: without the stacks that Java prints. */
export function tailOf(log: string): string {
  if (!existsSync(log)) return "(it printed nothing)";
  const lines = readFileSync(log, "utf8").split("\n").filter((line) => line.trim() !== "" && !/^\s+at /.test(line));
  return lines.slice(-20).join("\n") || "(it printed nothing)";
}

function signal(program: Program, name: "SIGKILL" | "SIGTERM"): void {
  if (!program.alive) return;
  try {
    // A program that is asked ends those it has started itself, in order.
    process.kill(name === "SIGKILL" ? -program.pid : program.pid, name);
  } catch {
    // It has ended between the two lines.
  }
}

/** Whether it is done in time. The timer keeps this process alive meanwhile, as programs do not. */
async function within(done: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), milliseconds));
  try {
    return await Promise.race([done.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
