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
  runActivemqChaos,
  runClusterChaos,
  runRabbitmqChaos,
  type ScenarioOptions,
  type ScenarioReport,
} from "./brokers.ts";
import { runProxyChaos } from "./proxy.ts";
import type { TransactionReport } from "./transactions.ts";

const HELP = `deno task chaos [options] [scenario…]

Scenarios: rabbitmq  kill -9 and restart of RabbitMQ
           cluster   three RabbitMQ nodes and a quorum queue: kill -9 and restart of the leader
           activemq  kill -9 and restart of ActiveMQ with KahaDB
           proxy     the embedded broker behind a proxy with random faults
The default is all of them.

  --short        send 10000 messages, and run the proxy for half a minute
  --count N      messages in each scenario except proxy; default 100000
  --minutes N    how long the proxy injects faults; default 10
  --seed N       repeat the random moments and faults of an earlier run
  --help         print this text`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
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

const SCENARIOS: Record<string, (options: ScenarioOptions) => Promise<ScenarioReport>> = {
  rabbitmq: runRabbitmqChaos,
  cluster: runClusterChaos,
  activemq: runActivemqChaos,
  // No number of messages, but a time.
  proxy: async () => ({ messages: await runProxyChaos(seed, Infinity, minutes * 60) }),
};

/** Whether no transaction was lost, and the broker was killed while there were open and fresh ones to lose. */
function isGood(report: TransactionReport): boolean {
  const { lost, unexplained, uncommitted, left, hits, failedCommits, freshest = 0 } = report;
  return lost === 0 && unexplained === 0 && uncommitted === 0 && left === 0 &&
    hits === KILLS && failedCommits >= KILLS && freshest > 0;
}

if (values.help) {
  console.log(HELP);
} else {
  const names = positionals.length > 0 ? positionals : Object.keys(SCENARIOS);
  const unknown = names.filter((name) => !(name in SCENARIOS));
  if (unknown.length > 0 || !(count >= 1) || !(minutes > 0) || !Number.isInteger(seed)) {
    console.error(`chaos: cannot run ${unknown.join(", ") || "with these numbers"}, see --help`);
    process.exit(2);
  }
  console.log(`Seed ${seed}`);
  let passed = 0;
  for (const name of names) {
    console.log(`\n${name}`);
    const report = await SCENARIOS[name]!({
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
  console.log(`\n${passed} passed, ${names.length - passed} failed`);
  process.exitCode = passed === names.length ? 0 : 1;
}
