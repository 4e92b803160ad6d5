/**
 * How the test processes control the brokers, which run under the process of `main.ts`: the brokers are described in
 * environment variables, and requests to kill or restart them go over HTTP.
 *
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { RealBroker } from "./harness/broker.ts";

/** The environment variables that `main.ts` sets for the tests. */
export const VARIABLES = {
  /** The brokers: `BrokerDetails[]` as JSON. */
  brokers: "STOMPY_TEST_BROKERS",
  /** The transports and versions to use, and whether slow tests run: `Cells` as JSON. */
  cells: "STOMPY_TEST_CELLS",
  /** The URL of the control server. */
  control: "STOMPY_TEST_CONTROL",
} as const;

/**
 * What a test can ask for: kill or restart a broker; have RabbitMQ send binary or (its default) text messages over
 * WebSockets; raise or end RabbitMQ's memory alarm; give consumers of RabbitMQ two seconds or (its default) half an hour to
 * acknowledge.
 */
export type ControlAction = "kill" | "restart" | "binary" | "text" | "alarm" | "calm" | "impatient" | "patient";

/** The control server. */
export interface Control extends AsyncDisposable {
  /** The URL of the server. */
  readonly url: string;
}

/** Starts the control server for the brokers. */
export async function listenForControl(brokers: readonly RealBroker[]): Promise<Control> {
  const actions: Record<string, (broker: RealBroker) => Promise<unknown>> = {
    kill: (broker) => broker.kill(),
    restart: (broker) => broker.restart(),
    binary: (broker) => setWebSocketFrames(broker, "binary"),
    text: (broker) => setWebSocketFrames(broker, "text"),
    alarm: (broker) => rabbitmqctl(broker, "set_vm_memory_high_watermark", "0.00001"),
    calm: (broker) => rabbitmqctl(broker, "set_vm_memory_high_watermark", "0.6"),
    impatient: (broker) => setConsumerTimeout(broker, 2000, 500),
    patient: (broker) => setConsumerTimeout(broker, 1_800_000, 60_000),
  };
  const server = createServer(async (request, response) => {
    const [name, action] = (request.url ?? "").slice(1).split("/");
    const broker = brokers.find((one) => one.name === name);
    try {
      const act = actions[action ?? ""];
      if (broker === undefined || act === undefined) throw new Error("there is no such broker or action");
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

async function rabbitmqctl(broker: RealBroker, ...args: string[]): Promise<string> {
  if (broker.ctl === undefined) throw new Error("it has no rabbitmqctl, or was not started by the harness");
  return await broker.ctl(...args);
}

/** Sets how long consumers may take to acknowledge, and how often 3.10 and 4.0 look, in milliseconds. */
async function setConsumerTimeout(rabbitmq: RealBroker, timeout: number, tick: number): Promise<void> {
  const set = (key: string, value: number) => `application:set_env(rabbit, ${key}, ${value})`;
  await rabbitmqctl(rabbitmq, "eval", `${set("consumer_timeout", timeout)}, ${set("channel_tick_interval", tick)}.`);
}

/**
 * Restarts the plugin, which reads the setting at its start. Its ports may still be in use for a moment, so it retries. 4.0
 * leaves the listeners open, with the old setting, so they are stopped as well.
 */
async function setWebSocketFrames(rabbitmq: RealBroker, frames: "binary" | "text"): Promise<void> {
  const start = "application:start(rabbitmq_web_stomp) =:= ok orelse timer:sleep(100) =:= never";
  const ports = [rabbitmq.urls["ws"], rabbitmq.urls["wss"]].map((url) => url?.match(/:(\d+)\/ws$/)?.[1]);
  await rabbitmqctl(
    rabbitmq,
    "eval",
    `application:stop(rabbitmq_web_stomp),
     [ranch:stop_listener(Ref) || {acceptor, _, Port} = Ref <- maps:keys(ranch:info()), lists:member(Port, [${ports}])],
     application:set_env(rabbitmq_web_stomp, ws_frame, ${frames}),
     true = lists:any(fun(_) -> ${start} end, lists:seq(1, 100)).`,
  );
}

/** Has an action done, and resolves after that. */
export async function control(url: string, broker: string, action: ControlAction): Promise<void> {
  // A connection kept alive would look like a leak to the test.
  const response = await fetch(`${url}/${broker}/${action}`, { method: "POST", headers: { connection: "close" } });
  const text = await response.text();
  if (!response.ok) throw new Error(`Cannot do "${action}" with ${broker}: ${text}`);
}
