/**
 * The command line: `demo` runs the main job, `broker` the embedded broker.
 *
 * ```sh
 * deno run --allow-net jsr:@x/stompy/cli demo --url stomp://guest:guest@localhost:61613
 * deno run --allow-net jsr:@x/stompy/cli broker --port 61613
 * ```
 *
 * @module
 */
import { run } from "./cli/cli.ts";

export {
  type CommandEnvironment,
  main,
  type ProcessEnvironment,
  type Progress,
  standardEnvironment,
} from "./cli/cli.ts";

if (import.meta.main) await run();
