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
} from "../brokers/rig/mod.ts";
import type { Random } from "../fault_proxy.ts";
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

/** A broker is killed under senders, consumers, producers by transaction and movers, and started again. */
export async function killAndRestart(
  broker: Pick<RealBroker, "urls" | "kill" | "restart">,
  options: ScenarioOptions,
  headers: Record<string, string> = {},
  queue = "chaos",
): Promise<ScenarioReport> {
  const url = broker.urls["stomp"]!;
  return await underFaults(url, queue, headers, options, async (nth, confirmed, transactions) => {
    await transactions.hit(url, async () => {
      options.say(`kill -9, the ${nth}. time, with ${confirmed()} confirmed`);
      await broker.kill();
    });
    await pause(options.random() * 2000);
    await broker.restart();
    options.say("started again");
  });
}

/** The headers that make a quorum queue; whoever declares it or sends to it has to say the same. */
const QUORUM = { "x-queue-type": "quorum", durable: "true", "auto-delete": "false" };

/** A cluster of three nodes with a quorum queue loses the node of the queue's leader, again and again. */
export async function runClusterChaos(options: ScenarioOptions): Promise<ScenarioReport> {
  await installBrokers(["rabbitmq"], options.say);
  await using cluster = await startRabbitmqCluster({ say: options.say });
  const urls = cluster.nodes.map((node) => node.urls.stomp);
  const queue = "quorum-chaos";
  let leader = -1;
  return await underFaults(urls, queue, QUORUM, options, async (nth, confirmed, transactions) => {
    const node = cluster.nodes[leader]!;
    await transactions.hit(node.urls.stomp, async () => {
      options.say(`kill -9 of node ${leader + 1}, the leader's, the ${nth}. time, with ${confirmed()} confirmed`);
      await node.kill();
    });
    await pause(2000 + options.random() * 2000);
    await node.restart();
    options.say(`node ${leader + 1} is back`);
  }, async () => void (leader = await cluster.leaderOf(queue)));
}

/** Sends and consumes messages, and others in transactions, while faults are made at random moments. */
async function underFaults(
  url: string | readonly string[],
  queue: string,
  headers: Record<string, string>,
  options: ScenarioOptions,
  act: (nth: number, confirmed: () => number, transactions: Transactions) => Promise<void>,
  prepare?: () => Promise<void>,
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
    faults: (confirmed, over) => moments.pass(confirmed, over, (nth) => act(nth, confirmed, transactions), prepare),
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
    prepare: () => Promise<void> = () => Promise.resolve(),
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
