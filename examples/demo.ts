/**
 * `deno task demo`: the command `demo` with progress bars if the output is a terminal. It is not in the published package,
 * because that has no dependencies.
 */
import cliProgress from "cli-progress";
import { type Progress, run } from "../cli/main.ts";

function bars(count: number): Progress {
  const multi = new cliProgress.MultiBar({
    format: "{name} [{bar}] {percentage} % | {value}/{total} | {eta} s left",
    hideCursor: true,
  });
  const confirmed = multi.create(count, 0, { name: "confirmed   " });
  const acknowledged = multi.create(count, 0, { name: "acknowledged" });
  return {
    update(confirmedSoFar, acknowledgedSoFar) {
      confirmed.update(confirmedSoFar);
      acknowledged.update(acknowledgedSoFar);
    },
    stop: () => multi.stop(),
  };
}

await run(bars, ["demo"]);
