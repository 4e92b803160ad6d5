/**
 * Real brokers that die in the middle of the work.
 *
 * @module
 */
import {
  installBrokers,
  type RealBroker,
  startActivemq,
  startRabbitmq,
  startRabbitmqCluster,
} from "../brokers/harness/mod.ts";
import type { Random } from "../support/fault_proxy.ts";
import { run, type RunReport } from "./ledger.ts";
import { type TransactionReport, Transactions } from "./transactions.ts";

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

/** What came of a scenario. */
export interface ScenarioReport {
  /** Of messages that were sent and consumed one by one. */
  messages: RunReport;
  /** Of those that went through transactions. */
  transactions?: TransactionReport;
}

/** RabbitMQ is killed and started again, with the same disk. */
export async function runRabbitmqChaos(options: ScenarioOptions): Promise<ScenarioReport> {
  await installBrokers(["rabbitmq"], options.say);
  await using broker = await startRabbitmq({ say: options.say });
  return await killAndRestart(broker, options);
}

/** ActiveMQ with KahaDB is killed and started again, with the same disk. */
export async function runActivemqChaos(options: ScenarioOptions): Promise<ScenarioReport> {
  await installBrokers(["activemq"], options.say);
  await using broker = await startActivemq({ say: options.say });
  return await killAndRestart(broker, options);
}

/** A broker is killed and started again, with queues that are made with these headers. */
export async function killAndRestart(
  broker: Pick<RealBroker, "urls" | "kill" | "restart">,
  options: ScenarioOptions,
  headers: Record<string, string> = {},
  queue = "chaos",
): Promise<ScenarioReport> {
  const url = broker.urls["stomp"]!;
  const victim = { name: "the broker", url, process: broker, down: 0 };
  return await underFaults(url, queue, headers, options, () => Promise.resolve(victim));
}

/** The headers that make a quorum queue; whoever declares it or sends to it has to say the same. */
const QUORUM = { "x-queue-type": "quorum", durable: "true", "auto-delete": "false" };

/** A cluster of three nodes with a quorum queue loses the node of the queue's leader, again and again. */
export async function runClusterChaos(options: ScenarioOptions): Promise<ScenarioReport> {
  await installBrokers(["rabbitmq"], options.say);
  await using cluster = await startRabbitmqCluster({ say: options.say });
  const urls = cluster.nodes.map((node) => node.urls.stomp);
  const queue = "quorum-chaos";
  return await underFaults(urls, queue, QUORUM, options, async () => {
    const leader = await cluster.leaderOf(queue);
    const node = cluster.nodes[leader]!;
    return { name: `node ${leader + 1}, the leader's`, url: node.urls.stomp, process: node, down: 2000 };
  });
}

/** What is killed next. */
interface Victim {
  name: string;
  url: string;
  process: Pick<RealBroker, "kill" | "restart">;
  /** The fewest milliseconds before it is started again. */
  down: number;
}

/** Senders, consumers, producers by transaction and movers, while what they are connected to is killed again and again. */
async function underFaults(
  url: string | readonly string[],
  queue: string,
  headers: Record<string, string>,
  options: ScenarioOptions,
  choose: () => Promise<Victim>,
): Promise<ScenarioReport> {
  const moments = new Moments(options);
  const common = {
    send: { persistent: true, headers },
    subscribe: { headers },
    client: { connectTimeout: 20_000, timeout: 300_000 },
    patience: 90_000,
  };
  await using transactions = await Transactions.start({
    ...common,
    url,
    from: `/queue/${queue}-from`,
    to: `/queue/${queue}-to`,
  });
  const messages = await run({
    ...common,
    allowed: () => moments.allowed,
    producerUrl: url,
    consumerUrl: url,
    destination: `/queue/${queue}`,
    count: options.count,
    faults: async (confirmed, over) => {
      let victim: Victim;
      await moments.pass(confirmed, over, async (nth) => {
        await transactions.hit(async () => {
          options.say(`kill -9 of ${victim.name}, the ${nth}. time, with ${confirmed()} confirmed`);
          await victim.process.kill();
        });
        await pause(victim.down + options.random() * 2000);
        await victim.process.restart();
        options.say(`${victim.name} is back`);
      }, async () => {
        victim = await choose();
        await transactions.prepare(victim.url);
      });
    },
  });
  return { messages, transactions: await transactions.end() };
}

/** Random moments of a run, each in the middle of its share of the messages. */
class Moments {
  readonly #options: ScenarioOptions;
  /** How many messages may be sent by now: those of a share wait until what happened in the one before it is over. */
  allowed = 0;

  constructor(options: ScenarioOptions) {
    this.#options = options;
  }

  /** Does something at each of them, and before each what has to be known by then. */
  async pass(
    confirmed: () => number,
    over: AbortSignal,
    act: (nth: number) => Promise<void>,
    prepare: () => Promise<void>,
  ): Promise<void> {
    const { count, kills, random } = this.#options;
    const share = count / kills;
    try {
      for (let nth = 1; nth <= kills; nth++) {
        const moment = share * (nth - 1 + 0.2 + 0.6 * random());
        // Some have to be sent before anything can be known of the queue.
        this.allowed = share * (nth - 1) + 1;
        await prepare();
        this.allowed = share * nth;
        while (confirmed() < moment) {
          if (over.aborted) return;
          await pause(5);
        }
        await act(nth);
      }
    } finally {
      this.allowed = Infinity;
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
