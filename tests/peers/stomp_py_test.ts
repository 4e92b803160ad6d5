/** stomp.py, a client for Python, on the embedded broker. Needs a Python that has it (Debian: python3-stomp). */
import { assertEquals } from "#assert";
import { test } from "#test";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { withBroker } from "../support/broker_harness.ts";
import { findStompPy } from "../support/python.ts";

const command = findStompPy();

test({
  name: "stomp.py 1.0, 1.1 and 1.2: sends, subscribes, acknowledges, uses transactions, is refused, and disconnects",
  ignore: command === undefined,
  timeout: 60_000,
  async fn() {
    await withBroker({ login: "user", passcode: "right" }, async (broker) => {
      const script = fileURLToPath(new URL("stomp_py.py", import.meta.url));
      const python = spawn(command!, [script, String(broker.port)], { stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      for (const stream of [python.stdout, python.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => output += text);
      }
      await new Promise((resolve) => python.on("close", resolve));
      assertEquals(output.trim(), "passed");
      assertEquals(broker.stats.messages, 0);
    });
  },
});
