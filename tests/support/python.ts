/**
 * Python, for who wants to see what stomp.py does.
 *
 * @module
 */
import { spawnSync } from "node:child_process";

/** The first on the PATH may be one that has nothing of Debian's packages, which are for the second. */
const COMMANDS = ["python3", "/usr/bin/python3"];

/** How to start a Python that has stomp.py; `undefined` when there is none. */
export function findStompPy(): string | undefined {
  return COMMANDS.find((command) => spawnSync(command, ["-c", "import stomp"], { stdio: "ignore" }).status === 0);
}
