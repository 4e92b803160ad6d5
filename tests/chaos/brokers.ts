/**
 * Real brokers that die in the middle of the work.
 *
 * @module
 */
import type { SendOptions, SubscribeOptions } from "../../mod.ts";
import {
  installBrokers,
  type RealBroker,
  startActivemq,
  startRabbitmq,
  startRabbitmqCluster,
} from "../brokers/rig/mod.ts";
import type { Random } from "../fault_proxy.ts";
import { run, type RunReport } from "./ledger.ts";

/** How a scenario is run. */
export interface ScenarioOptions {
  /** Messages. */
  count: number;
  /** How often the broker is killed. */
  kills: number;
  /** Where the moments come from. */
  random: Random;
  /** Told what happens. */
  say: (line: string) => void;
}

/** RabbitMQ is killed and started again, with the same disk. */
export async function runRabbitmqChaos(options: ScenarioOptions): Promise<RunReport> {
  await installBrokers(["rabbitmq"], options.say);
  await using broker = await startRabbitmq({ say: options.say });
  return await killAndRestart(broker, options);
}

/** ActiveMQ with KahaDB is killed and started again, with the same disk. */
export async function runActivemqChaos(options: ScenarioOptions): Promise<RunReport> {
  await installBrokers(["activemq"], options.say);
  await using broker = await startActivemq({ say: options.say });
  return await killAndRestart(broker, options);
}

async function killAndRestart(broker: RealBroker, options: ScenarioOptions): Promise<RunReport> {
  const url = broker.urls["stomp"]!;
  return await run({
    producerUrl: url,
    consumerUrl: url,
    destination: "/queue/chaos",
    count: options.count,
    send: { persistent: true },
    patience: 90_000,
    client: { connectTimeout: 20_000, timeout: 300_000 },
    faults: (confirmed, over) =>
      atMoments(options, confirmed, over, async (nth) => {
        options.say(`kill -9, the ${nth}. time, with ${confirmed()} confirmed`);
        await broker.kill();
        await pause(options.random() * 2000);
        await broker.restart();
        options.say("started again");
      }),
  });
}

/** The headers that make a quorum queue; whoever declares it or sends to it has to say the same. */
const QUORUM = { "x-queue-type": "quorum", durable: "true", "auto-delete": "false" };

/** A cluster of three nodes with a quorum queue loses the node of the queue's leader, again and again. */
export async function runClusterChaos(options: ScenarioOptions): Promise<RunReport> {
  await installBrokers(["rabbitmq"], options.say);
  await using cluster = await startRabbitmqCluster({ say: options.say });
  const urls = cluster.nodes.map((node) => node.urls.stomp);
  const queue = "quorum-chaos";
  const send: SendOptions = { persistent: true, headers: QUORUM };
  const subscribe: SubscribeOptions = { headers: QUORUM };
  return await run({
    producerUrl: urls,
    consumerUrl: urls,
    destination: `/queue/${queue}`,
    count: options.count,
    send,
    subscribe,
    patience: 90_000,
    client: { connectTimeout: 20_000, timeout: 300_000 },
    faults: (confirmed, over) =>
      atMoments(options, confirmed, over, async (nth) => {
        const leader = await cluster.leaderOf(queue);
        options.say(`kill -9 of node ${leader + 1}, the leader's, the ${nth}. time, with ${confirmed()} confirmed`);
        const node = cluster.nodes[leader]!;
        await node.kill();
        await pause(2000 + options.random() * 2000);
        await node.restart();
        options.say(`node ${leader + 1} is back`);
      }),
  });
}

/** Does something at random moments of the run, in order, and not all at once. */
async function atMoments(
  { count, kills, random }: ScenarioOptions,
  confirmed: () => number,
  over: AbortSignal,
  act: (nth: number) => Promise<void>,
): Promise<void> {
  for (let nth = 1; nth <= kills; nth++) {
    // In the middle of its share of the messages.
    const moment = count * (nth - 1 + 0.2 + 0.6 * random()) / kills;
    while (confirmed() < moment) {
      if (over.aborted) return;
      await pause(5);
    }
    await act(nth);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
