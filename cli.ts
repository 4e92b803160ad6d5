/**
 * The command line: `demo` sends and receives messages and checks them, `broker` runs the embedded broker.
 *
 * ```sh
 * deno run --allow-net jsr:@x/stompy/cli demo --url stomp://guest:guest@localhost:61613
 * deno run --allow-net jsr:@x/stompy/cli broker --port 61613
 * ```
 *
 * Errors are one line on standard error, without passwords. Exit codes: 0 for success, 1 for a failure, 2 for a mistake
 * on the command line, 130 if `demo` was interrupted before its end, 141 if the reader of the output has closed it.
 * Ctrl-C and SIGTERM end a command gracefully; a second one ends it at once.
 *
 * @example The demo from a program
 * ```ts
 * import { main } from "@x/stompy/cli";
 *
 * const args = ["demo", "--url", "stomp://guest:guest@localhost:61613", "--count", "100"];
 * const code = await main(args, { print: console.log, printError: console.error });
 * console.log(code); // 0
 * ```
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
