/**
 * What the process of the harness and those of the tests say to each other: what there is to test in environment variables,
 * and over HTTP that a broker be killed and started. The tests run in other processes, in other runtimes even.
 *
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { RabbitmqBroker, RealBroker } from "./harness/mod.ts";

/** The variables in which `main.ts` says what there is to test against. */
export const VARIABLES = {
  /** The brokers as JSON: a list of `BrokerDetails`. */
  brokers: "STOMPY_TEST_BROKERS",
  /** The transports to use, with commas in between. */
  transports: "STOMPY_TEST_TRANSPORTS",
  /** Where to ask for a broker to be killed and started. */
  control: "STOMPY_TEST_CONTROL",
} as const;

/**
 * What can be asked for: that a broker be killed, or started (again); that RabbitMQ send what it has over WebSockets in
 * binary messages or, as it does where nothing else is configured, in text; that it be short of memory, or not any more.
 */
export type ControlAction = "kill" | "restart" | "binary" | "text" | "alarm" | "calm";

/** The listening end, beside the harness. */
export interface Control extends AsyncDisposable {
  /** Where to ask. */
  readonly url: string;
}

/** Listens for what tests ask of these brokers. */
export async function listenForControl(brokers: readonly RealBroker[]): Promise<Control> {
  const actions: Record<string, (broker: RealBroker) => Promise<unknown>> = {
    kill: (broker) => broker.kill(),
    restart: (broker) => broker.restart(),
    binary: (broker) => setWebSocketFrames(broker as RabbitmqBroker, "binary"),
    text: (broker) => setWebSocketFrames(broker as RabbitmqBroker, "text"),
    alarm: (broker) => (broker as RabbitmqBroker).ctl("set_vm_memory_high_watermark", "0.00001"),
    calm: (broker) => (broker as RabbitmqBroker).ctl("set_vm_memory_high_watermark", "0.6"),
  };
  const server = createServer(async (request, response) => {
    const [name, action] = (request.url ?? "").slice(1).split("/");
    const broker = brokers.find((one) => one.name === name);
    try {
      const act = actions[action ?? ""];
      if (broker === undefined || act === undefined) throw new Error("there is no such thing");
      await act(broker);
      response.writeHead(204).end();
    } catch (error) {
      response.writeHead(500).end(error instanceof Error ? error.message : String(error));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** The plugin reads it when it starts; then its ports may still be in use by what it was before. */
async function setWebSocketFrames(rabbitmq: RabbitmqBroker, frames: "binary" | "text"): Promise<void> {
  const start = "application:start(rabbitmq_web_stomp) =:= ok orelse timer:sleep(100) =:= never";
  await rabbitmq.ctl(
    "eval",
    `application:stop(rabbitmq_web_stomp),
     application:set_env(rabbitmq_web_stomp, ws_frame, ${frames}),
     true = lists:any(fun(_) -> ${start} end, lists:seq(1, 100)).`,
  );
}

/** Asks. Resolves when it is done. */
export async function control(url: string, broker: string, action: ControlAction): Promise<void> {
  // A connection of its own: one that is kept for later would look like a leak to the test.
  const response = await fetch(`${url}/${broker}/${action}`, { method: "POST", headers: { connection: "close" } });
  const text = await response.text();
  if (!response.ok) throw new Error(`Cannot get "${action}" done with ${broker}: ${text}`);
}
