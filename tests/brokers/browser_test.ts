/**
 * The bundled library in a page of a headless Chromium, on RabbitMQ's Web STOMP, or else on the embedded broker behind a
 * WebSocket; and on Spring.
 */
import { assertEquals, assertMatch } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import { runInChromium } from "../browser/chromium.ts";
import { textOf } from "../browser/page.ts";
import { runtime } from "../support/runtime.ts";
import { bridgeTo } from "../support/websocket_bridge.ts";
import { brokers, transportsOf } from "./support.ts";

const rabbitmq = brokers.find((broker) => broker.family === "rabbitmq" && transportsOf(broker).includes("ws"));

/** Returns the broker that the page connects to. */
async function openBroker(): Promise<{ url: string; close(): Promise<void> }> {
  if (rabbitmq !== undefined) return { url: rabbitmq.urls["ws"]!, close: () => Promise.resolve() };
  const broker = await Broker.listen();
  const bridge = await bridgeTo(broker);
  const close = async () => {
    await bridge.close();
    await broker.close();
  };
  return { url: bridge.url, close };
}

for (const { name, urls } of brokers.filter(({ family }) => family === "spring")) {
  test({
    name: `${name} ws: a page in Chromium greets the application of Spring's guide`,
    ignore: runtime !== "deno",
    timeout: 180_000,
    async fn() {
      const report = await runInChromium({ url: urls["ws"]!, destination: "/app/hello", count: 1 });
      const greeting = '{"content":"Hello, page!"}';
      assertEquals([report.error, report.version, report.received, report.last], [undefined, "1.2", 1, greeting]);
    },
  });
}

test({
  name: `${rabbitmq?.name ?? "embedded broker"} ws: a page in Chromium sends and receives`,
  // Only Deno has the bundler, and the browser is the same for all runtimes.
  ignore: runtime !== "deno",
  timeout: 180_000,
  async fn() {
    const { url, close } = await openBroker();
    try {
      const destination = `/queue/stompy-page-${Math.random().toString(36).slice(2)}`;
      const { refusals, ...report } = await runInChromium({ url, destination, count: 200 });
      assertEquals(report, { foreign: [], version: "1.2", received: 200, last: textOf(199), large: 200_000 });
      assertMatch(
        refusals["a socket"]!,
        /^TypeError: Cannot connect to 127\.0\.0\.1:61613: .* use ws:\/\/ or wss:\/\//,
      );
      assertMatch(refusals["TLS options"]!, /^TypeError: Cannot use TLS option caCerts for wss:\/\/127\.0\.0\.1:443: /);
      assertMatch(refusals["no broker"]!, /^ConnectionError: Cannot connect to 127\.0\.0\.1:1: /);
    } finally {
      await close();
    }
  },
});
