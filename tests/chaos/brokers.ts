/**
 * The scenarios that kill real brokers while messages are under way.
 *
 * @module
 */
import {
  type BrokerName,
  installBrokers,
  type RabbitmqRelease,
  type RealBroker,
  startBroker,
  startRabbitmqCluster,
} from "../brokers/harness/mod.ts";
import type { SubscribeOptions } from "../../client/options.ts";
import type { Random } from "../support/fault_proxy.ts";
import { run, type RunReport } from "./ledger.ts";
import { type TransactionReport, Transactions } from "./transactions.ts";

/** Options of a scenario. */
export interface ScenarioOptions {
  /** The number of messages. */
  count: number;
  /** How many times the broker is killed. */
  kills: number;
  /** The source of random numbers, which decides when. */
  random: Random;
  /** Called with progress messages. */
  log: (line: string) => void;
}

/** The result of a scenario. */
export interface ScenarioReport {
  /** The messages that were sent and consumed one by one. */
  messages: RunReport;
  /** The messages that went through transactions. */
  transactions?: TransactionReport;
}

/** Kills a broker and starts it again with the same disk. */
export async function runBrokerChaos(name: BrokerName, options: ScenarioOptions): Promise<ScenarioReport> {
  await installBrokers([name], options.log);
  await using broker = await startBroker(name);
  // Where the broker counts bytes, as Artemis does, the number of messages is left to the client.
  const subscribe = broker.capabilities.includes("prefetch") ? {} : { prefetch: undefined };
  return await killAndRestart(broker, options, subscribe);
}

/** Kills a broker and starts it again. */
async function killAndRestart(
  broker: Pick<RealBroker, "urls" | "kill" | "restart">,
  options: ScenarioOptions,
  subscribe: SubscribeOptions,
): Promise<ScenarioReport> {
  const url = broker.urls["stomp"]!;
  const victim = { name: "the broker", url, process: broker, minDownMs: 0 };
  return await underFaults(url, "chaos", { subscribe }, options, () => Promise.resolve(victim));
}

/** The headers that create a quorum queue. SUBSCRIBE and SEND must agree on them. */
const QUORUM = { "x-queue-type": "quorum", durable: "true", "auto-delete": "false" };

/** Kills the node that leads a quorum queue in a cluster of three nodes, and starts it again. */
export async function runClusterChaos(release: RabbitmqRelease, options: ScenarioOptions): Promise<ScenarioReport> {
  await installBrokers([`rabbitmq-${release}`], options.log);
  await using cluster = await startRabbitmqCluster(release);
  const urls = cluster.nodes.map((node) => node.urls.stomp);
  const queue = "quorum-chaos";
  return await underFaults(urls, queue, { headers: QUORUM, subscribe: {} }, options, async () => {
    const leader = await cluster.leaderOf(queue);
    const node = cluster.nodes[leader]!;
    return { name: `node ${leader + 1}, the leader`, url: node.urls.stomp, process: node, minDownMs: 2000 };
  });
}

/** The broker or node to kill next. */
interface Victim {
  name: string;
  url: string;
  process: Pick<RealBroker, "kill" | "restart">;
  /** The shortest time before it is started again, in milliseconds. */
  minDownMs: number;
}

/** Runs senders, consumers, and producers and movers with transactions, while their broker is killed repeatedly. */
async function underFaults(
  url: string | readonly string[],
  queue: string,
  { headers = {}, subscribe }: { headers?: Record<string, string>; subscribe: SubscribeOptions },
  options: ScenarioOptions,
  choose: () => Promise<Victim>,
): Promise<ScenarioReport> {
  const moments = new Moments(options);
  const common = {
    send: { persistent: true, headers },
    subscribe: { headers, ...subscribe },
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
    faults: async (confirmed, end) => {
      let victim: Victim;
      await moments.pass(confirmed, end, async (nth) => {
        await transactions.hit(async () => {
          options.log(`kill -9 of ${victim.name}, number ${nth}, with ${confirmed()} messages confirmed`);
          await victim.process.kill();
        });
        await pause(victim.minDownMs + options.random() * 2000);
        await victim.process.restart();
        options.log(`${victim.name} is back`);
      }, async () => {
        victim = await choose();
        await transactions.prepare(victim.url);
      });
    },
  });
  return { messages, transactions: await transactions.end() };
}

/** Random moments of a run, one in the middle of each equal share of the messages. */
class Moments {
  readonly #options: ScenarioOptions;
  /** How many messages may be sent by now: those of a share wait until the fault of the share before it has passed. */
  allowed = 0;

  constructor(options: ScenarioOptions) {
    this.#options = options;
  }

  /** Calls `act` at each moment, and `prepare` before it. */
  async pass(
    confirmed: () => number,
    end: AbortSignal,
    act: (nth: number) => Promise<void>,
    prepare: () => Promise<void>,
  ): Promise<void> {
    const { count, kills, random } = this.#options;
    const share = count / kills;
    try {
      for (let nth = 1; nth <= kills; nth++) {
        const moment = share * (nth - 1 + 0.2 + 0.6 * random());
        // At least one message must be sent before the queue exists.
        this.allowed = share * (nth - 1) + 1;
        await prepare();
        this.allowed = share * nth;
        while (confirmed() < moment) {
          if (end.aborted) return;
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
