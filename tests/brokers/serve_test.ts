/**
 * `deno task test:brokers --serve`, which keeps a broker running.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { assertEquals } from "#assert";
import { runtime } from "../support/runtime.ts";
import { test } from "#test";
import { type BrokerTest, eventually, once } from "./support.ts";

/** The program runs in Deno, like all of them. */
function inDeno(name: string, definition: BrokerTest): void {
  if (runtime === "deno") once(name, definition);
  else test({ name, ignore: true, fn() {} });
}

inDeno("`--serve` starts a broker, prints its URLs, and stops it on SIGTERM", {
  broker: "activemq-6",
  own: true,
  timeout: 60_000,
  async fn({ connect }) {
    const main = ["run", "--allow-all", "--no-check", "tests/brokers/main.ts"];
    const args = [...main, "--serve", "activemq-6", "--no-install"];
    const program = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise((resolve) => program.once("exit", resolve));
    try {
      // The output is read to its end: the program would die of a closed pipe.
      const url = await new Promise<string>((resolve) => {
        const lines = createInterface({ input: program.stdout });
        lines.on("line", (line) => void (line.trim().startsWith("stomp://") && resolve(line.trim())));
      });
      const stomp = await connect({ url });
      assertEquals((await stomp.send("/queue/served", "one"))?.command, "RECEIPT");
      await stomp.disconnect();
      program.kill("SIGTERM");
      await ended;
      await eventually("the broker has ended", () => connect({ url }).then(() => false, () => true));
    } finally {
      program.kill("SIGKILL");
      await ended;
    }
  },
});
