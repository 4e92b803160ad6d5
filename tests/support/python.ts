/**
 * Finds a Python that has stomp.py.
 *
 * @module
 */
import { spawnSync } from "node:child_process";

/** The first one on the PATH may not see Debian's packages, which belong to the second. */
const COMMANDS = ["python3", "/usr/bin/python3"];

let found: { command: string | undefined } | undefined;

/** Returns the command of a Python that has stomp.py, or `undefined`. Searches only once. */
export function findStompPy(): string | undefined {
  const works = (command: string) => spawnSync(command, ["-c", "import stomp"], { stdio: "ignore" }).status === 0;
  return (found ??= { command: COMMANDS.find(works) }).command;
}
