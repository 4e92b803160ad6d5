/**
 * The program behind `deno task chaos`, which checks that nothing confirmed is lost: it kills brokers and breaks
 * connections while messages are sent with receipts and consumed with acknowledgements, or sent and moved in transactions,
 * and then compares what was confirmed with what was received.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { seededRandom } from "../support/fault_proxy.ts";
import {
  type BrokerName,
  chooseBrokers,
  familiesOf,
  KEEPING_BROKERS,
  RABBITMQ_RELEASES,
} from "../brokers/harness/mod.ts";
import { runBrokerChaos, runClusterChaos, type ScenarioOptions, type ScenarioReport } from "./brokers.ts";
import { runProxyChaos } from "./proxy.ts";
import type { TransactionReport } from "./transactions.ts";

const HELP = `deno task chaos [options] [scenario…]

Scenarios: kill      kill -9 and restart of each broker that keeps messages on disk
           cluster   three RabbitMQ nodes and a quorum queue: kill -9 and restart of the leader
           proxy     the embedded broker behind a proxy with random faults
The default is all of them. The name of a broker or a family as a scenario means kill on that.
Brokers: ${KEEPING_BROKERS.join(", ")}
Families: ${familiesOf(KEEPING_BROKERS).join(", ")}

  --broker NAME  use only this broker or family for kill and cluster; can be repeated
  --short        send 10000 messages, and run the proxy for half a minute
  --count N      messages in each scenario except proxy; default 100000
  --minutes N    how long the proxy injects faults; default 10
  --seed N       repeat the random moments and faults of an earlier run
  --help         print this text`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    broker: { type: "string", multiple: true },
    short: { type: "boolean", default: false },
    count: { type: "string" },
    minutes: { type: "string" },
    seed: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const count = Number(values.count ?? (values.short ? 10_000 : 100_000));
const minutes = Number(values.minutes ?? (values.short ? 0.5 : 10));
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));

/** How many times each scenario kills its broker. */
const KILLS = 2;

/** Something to run, with the name to print. */
interface Scenario {
  name: string;
  run: (options: ScenarioOptions) => Promise<ScenarioReport>;
}

/**
 * Returns what the names on the command line mean.
 *
 * @throws {TypeError} when a name is unknown.
 */
function findScenarios(names: readonly string[], brokers: readonly BrokerName[]): Scenario[] {
  const kill = (name: BrokerName): Scenario => ({ name, run: (options) => runBrokerChaos(name, options) });
  return names.flatMap((name): Scenario[] => {
    if (name === "kill") return brokers.map(kill);
    // It has no number of messages, but a time.
    if (name === "proxy") {
      return [{ name, run: async () => ({ messages: await runProxyChaos(seed, Infinity, minutes * 60) }) }];
    }
    if (name !== "cluster") return chooseBrokers([name], KEEPING_BROKERS).map(kill);
    return RABBITMQ_RELEASES.filter((release) => brokers.includes(`rabbitmq-${release}`)).map((release) => ({
      name: `cluster of RabbitMQ ${release}`,
      run: (options) => runClusterChaos(release, options),
    }));
  });
}

/** Whether no transaction was lost, and the broker was killed while there were open and fresh ones to lose. */
function isGood(report: TransactionReport): boolean {
  const { lost, unexplained, uncommitted, left, hits, failedCommits, freshest = 0 } = report;
  return lost === 0 && unexplained === 0 && uncommitted === 0 && left === 0 &&
    hits === KILLS && failedCommits >= KILLS && freshest > 0;
}

/** Returns what the command line asks for, or prints what is wrong with it and exits. */
function readScenariosOrExit(): Scenario[] {
  try {
    const brokers = chooseBrokers(values.broker ?? KEEPING_BROKERS, KEEPING_BROKERS);
    const scenarios = findScenarios(positionals.length > 0 ? positionals : ["kill", "cluster", "proxy"], brokers);
    if (scenarios.length === 0) throw new TypeError("these brokers are not in these scenarios");
    return scenarios;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`chaos: ${error.message}, see --help`);
    return process.exit(2);
  }
}

if (values.help) {
  console.log(HELP);
} else {
  if (!(count >= 1) || !(minutes > 0) || !Number.isInteger(seed)) {
    console.error("chaos: cannot run with these numbers, see --help");
    process.exit(2);
  }
  const scenarios = readScenariosOrExit();
  console.log(`Seed ${seed}`);
  let passed = 0;
  for (const { name, run } of scenarios) {
    console.log(`\n${name}`);
    const report = await run({
      count,
      kills: KILLS,
      random: seededRandom(seed),
      log: (line) => console.log(`  ${line}`),
    });
    const { messages, transactions } = report;
    for (const [part, values] of Object.entries(report)) {
      console.log(`  ${part}`);
      for (const [what, value] of Object.entries(values)) {
        if (value !== undefined) console.log(`    ${what.padEnd(16)} ${value}`);
      }
    }
    const good = messages.lost === 0 && messages.unexplained === 0 && messages.confirmed > 0 &&
      (transactions === undefined || isGood(transactions));
    console.log(good ? "  nothing confirmed was lost" : `  FAILED: see above; --seed ${seed} repeats it`);
    if (good) passed++;
  }
  console.log(`\n${passed} passed, ${scenarios.length - passed} failed`);
  process.exitCode = passed === scenarios.length ? 0 : 1;
}
