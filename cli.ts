/**
 * The command line: `demo` runs the main job, `broker` the embedded broker.
 *
 * ```sh
 * deno run --allow-net jsr:@x/stompy/cli demo --url stomp://guest:guest@localhost:61613
 * deno run --allow-net jsr:@x/stompy/cli broker --port 61613
 * ```
 *
 * What goes wrong is told in one line on standard error, without passwords. Exit codes: 0 when all went well, 1 when it
 * did not, 2 for a mistake on the command line, 130 when `demo` was interrupted before its end, 141 when nobody reads the
 * output any more. Ctrl-C and SIGTERM end a command in order; a second one ends it at once.
 *
 * @module
 */
import { isProgram, run } from "./cli/main.ts";

export {
  type CommandEnvironment,
  main,
  type ProcessEnvironment,
  type Progress,
  standardEnvironment,
} from "./cli/main.ts";

if (isProgram(import.meta)) await run();
