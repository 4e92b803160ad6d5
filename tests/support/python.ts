/**
 * Python, for who wants to see what stomp.py does.
 *
 * @module
 */
import { spawnSync } from "node:child_process";

/** The first on the PATH may be one that has nothing of Debian's packages, which are for the second. */
const COMMANDS = ["python3", "/usr/bin/python3"];

let found: { command: string | undefined } | undefined;

/** How to start a Python that has stomp.py; `undefined` when there is none. Looked for once. */
export function findStompPy(): string | undefined {
  const works = (command: string) => spawnSync(command, ["-c", "import stomp"], { stdio: "ignore" }).status === 0;
  return (found ??= { command: COMMANDS.find(works) }).command;
}
