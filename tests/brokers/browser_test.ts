/**
 * The bundled library in a page of a headless Chromium, on the brokers that speak STOMP over WebSocket.
 */
import { assertEquals, assertMatch } from "#assert";
import { test } from "#test";
import { runInChromium } from "../browser/chromium.ts";
import { textOf } from "../browser/page.ts";
import { runtime } from "../support/runtime.ts";
import { brokers, transportsOf } from "./support.ts";

const NAME = "a page in Chromium sends and receives";
const targets = brokers.filter((broker) =>
  transportsOf(broker).includes("ws") && broker.capabilities.includes("receipts")
);

for (const { name, urls } of brokers.filter(({ family }) => family === "spring")) {
  test({
    name: `${name} ws 1.2: a page in Chromium greets the application of Spring's guide`,
    ignore: runtime !== "deno",
    timeout: 180_000,
    async fn() {
      const report = await runInChromium({ url: urls["ws"]!, destination: "/app/hello", count: 1 });
      const greeting = '{"content":"Hello, page!"}';
      assertEquals([report.error, report.version, report.received, report.last], [undefined, "1.2", 1, greeting]);
    },
  });
}

if (targets.length === 0) test({ name: NAME, ignore: true, fn() {} });
for (const { name, urls } of targets) {
  test({
    name: `${name} ws 1.2: ${NAME}`,
    // Only Deno has the bundler, and the browser is the same for all runtimes.
    ignore: runtime !== "deno",
    timeout: 180_000,
    async fn() {
      const destination = `/queue/stompy-page-${Math.random().toString(36).slice(2)}`;
      const { refusals, ...report } = await runInChromium({ url: urls["ws"]!, destination, count: 200 });
      assertEquals(report, { foreign: [], version: "1.2", received: 200, last: textOf(199), large: 200_000 });
      assertMatch(
        refusals["a socket"]!,
        /^TypeError: Cannot connect to 127\.0\.0\.1:61613: .* use ws:\/\/ or wss:\/\//,
      );
      assertMatch(refusals["TLS options"]!, /^TypeError: Cannot use TLS option caCerts for wss:\/\/127\.0\.0\.1:443: /);
      assertMatch(refusals["no broker"]!, /^ConnectionError: Cannot connect to 127\.0\.0\.1:1: /);
    },
  });
}
