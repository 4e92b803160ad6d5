/**
 * `deno task test:brokers`: starts a real RabbitMQ and a real ActiveMQ, and runs the suite on them under Deno, Bun and
 * Node, over each transport that they offer, in each version of the protocol.
 *
 * @module
 */
import { rmSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { parseUrl } from "../../transport/address.ts";
import { openTransport } from "../../transport/open.ts";
import { endAll } from "../support/process.ts";
import { files, makeFolder } from "../support/project.ts";
import { type Runtime, RUNTIMES } from "../support/runtime.ts";
import { canReachJsr, findBun, findDeno, findNode, type FoundRuntime, installPackages } from "../support/runtimes.ts";
import { type Failure, runFile } from "../support/suite.ts";
import { writeImportMapWithoutJsr } from "../support/types.ts";
import { listenForControl, VARIABLES } from "./control.ts";
import { detailsOf } from "./rig/broker.ts";
import {
  adviceFor,
  BROKER_NAMES,
  type BrokerName,
  installBrokers,
  missingFor,
  type RealBroker,
  startActivemq,
  startRabbitmq,
} from "./rig/mod.ts";

const HELP = `deno task test:brokers [options] [test file…]

Runs the suite on a real RabbitMQ and a real ActiveMQ Classic, under Deno, Bun and Node. As root on Debian it installs
them where they are absent. STOMPY_RABBITMQ_URL and STOMPY_ACTIVEMQ_URL name brokers that run already: one URL or several
with commas in between, with user and password; STOMPY_CA_FILE is the file of their authority.

  --broker rabbitmq|activemq   only this broker
  --only deno|bun|node         only this runtime; may be given more than once
  --transport stomp+ssl        only this transport; may be given more than once
  --filter text                only tests with this text in their name
  --no-install                 install nothing
  --verbose                    what the tests print, also where they pass
  --help                       this text
`;

const START: Record<BrokerName, (options: { say: typeof say; maxBodyBytes: number }) => Promise<RealBroker>> = {
  rabbitmq: startRabbitmq,
  activemq: startActivemq,
};

/** Small, so that a body over the limit is sent in no time. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;

type Options = ReturnType<typeof readArgs>;

/** Reads the command line. A `TypeError` says what is wrong with it. */
function readArgs(args: string[]) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    allowNegative: true,
    options: {
      broker: { type: "string", multiple: true },
      only: { type: "string", multiple: true },
      transport: { type: "string", multiple: true },
      filter: { type: "string" },
      install: { type: "boolean", default: true },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const all = files("tests/brokers/*_test.ts");
  for (const file of positionals) {
    if (!all.includes(file)) throw new TypeError(`Cannot run "${file}": the test files are ${all.join(", ")}`);
  }
  return {
    ...values,
    broker: choose("test on", values.broker, BROKER_NAMES),
    only: choose("run under", values.only, RUNTIMES),
    files: positionals.length > 0 ? positionals : all,
  };
}

function choose<T extends string>(what: string, wanted: string[] | undefined, all: readonly T[]): T[] {
  return (wanted ?? all).map((name) => {
    const found = all.find((known) => known === name);
    if (found === undefined) throw new TypeError(`Cannot ${what} "${name}": there are ${all.join(", ")}`);
    return found;
  });
}

function say(line: string): void {
  console.log(line);
}

/** Starts the brokers, all at once. One that cannot be had is a failure of the whole. */
async function startBrokers({ broker: names, install }: Options, failures: Failure[]): Promise<RealBroker[]> {
  const wanted = names.filter((name) => !process.env[`STOMPY_${name.toUpperCase()}_URL`]);
  if (install) await installBrokers(wanted, say);
  const started = await Promise.all(names.map(async (name) => {
    const begun = performance.now();
    try {
      if (wanted.includes(name) && missingFor(name).length > 0) throw new Error(adviceFor(name));
      const broker = await START[name]({ say, maxBodyBytes: MAX_BODY_BYTES });
      const how = broker.rig ? `started in ${((performance.now() - begun) / 1000).toFixed(1)} s` : "running already";
      say(`${name}: ${how}, ${Object.keys(broker.urls).join(", ")}`);
      return broker;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      say(message);
      failures.push({ name, message });
      return undefined;
    }
  }));
  return started.filter((broker) => broker !== undefined);
}

/** Whether the client can do `ws://`, or refuses the very scheme. */
async function hasWebSockets(): Promise<boolean> {
  try {
    await (await openTransport(parseUrl("ws://127.0.0.1:9/"), { timeout: 2000 })).close();
    return true;
  } catch (error) {
    return !(error instanceof TypeError);
  }
}

/** Runs all files in one runtime. */
async function runIn(
  runtime: FoundRuntime,
  options: Options & { importMap: string | undefined; folder: string; env: Record<string, string> },
  failures: Failure[],
): Promise<{ passed: number; failed: number; ignored: number }> {
  const total = { passed: 0, failed: 0, ignored: 0 };
  for (const file of options.files) {
    const begun = performance.now();
    const report = await runFile(runtime, file, options);
    const counts = [
      `${report.passed} ok`,
      report.ignored > 0 && `${report.ignored} ignored`,
      report.failures.length > 0 && `${report.failures.length} FAILED`,
    ];
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    say(`  ${file}: ${counts.filter(Boolean).join(", ")} (${seconds} s)`);
    if (report.failures.length > 0 && report.output !== "") say(`${report.output.trimEnd()}\n`);
    failures.push(...report.failures.map((one) => ({ ...one, name: `${runtime.name} ${file} ${one.name}` })));
    total.passed += report.passed;
    total.failed += report.failures.length;
    total.ignored += report.ignored;
  }
  return total;
}

async function main(options: Options, folder: string): Promise<boolean> {
  const begun = performance.now();
  const failures: Failure[] = [];
  let passed = 0;
  const importMap = await canReachJsr() ? undefined : writeImportMapWithoutJsr(folder);
  await installPackages();
  const brokers = await startBrokers(options, failures);
  const rows: string[] = [];
  try {
    await using control = await listenForControl(brokers);
    const webSockets = await hasWebSockets();
    if (!webSockets) say("WebSocket: not tested, the client has none yet");
    const transports = new Set(brokers.flatMap(({ urls }) => Object.keys(urls)));
    const chosen = [...transports].filter((name) =>
      (webSockets || !/^wss?$/.test(name)) && (options.transport?.includes(name) ?? true)
    );
    const env = {
      [VARIABLES.brokers]: JSON.stringify(brokers.map(detailsOf)),
      [VARIABLES.transports]: chosen.join(","),
      [VARIABLES.control]: control.url,
    };
    const find: Record<Runtime, () => Promise<FoundRuntime>> = { deno: findDeno, bun: findBun, node: () => findNode() };
    for (const name of brokers.length > 0 ? options.only : []) {
      const started = performance.now();
      try {
        const runtime = await find[name]();
        say(`\n${name} ${runtime.version}`);
        const total = await runIn(runtime, { ...options, importMap, folder, env }, failures);
        if (total.passed + total.failed === 0) failures.push({ name, message: "no test ran" });
        passed += total.passed;
        const seconds = ((performance.now() - started) / 1000).toFixed(0);
        rows.push(`${name} ${runtime.version}: ${total.passed} passed, ${total.failed} failed, ${seconds} s`);
      } catch (error) {
        failures.push({ name, message: error instanceof Error ? error.message : String(error) });
      }
    }
  } finally {
    await Promise.all(brokers.map((broker) => broker.stop()));
  }
  say("");
  for (const row of rows) say(row);
  for (const { name, message } of failures) {
    say(`FAILED ${name}\n${message.trim().split("\n").slice(0, 8).map((line) => `  ${line}`).join("\n")}`);
  }
  say(`${((performance.now() - begun) / 1000).toFixed(0)} s in all`);
  say(`${passed} passed, ${failures.length} failed`);
  return failures.length === 0;
}

/** What the command line asks for; says so and ends the program where it makes no sense. */
function readArgsOrExit(): Options {
  try {
    return readArgs(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${HELP}`);
    return process.exit(2);
  }
}

const options = readArgsOrExit();
if (options.help) {
  say(HELP);
} else {
  const folder = makeFolder("brokers");
  const remove = () => rmSync(folder, { recursive: true, force: true });
  // The brokers end with this process in any case: the rig sees to that.
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    process.once(signal, () => {
      endAll();
      remove();
      process.exit(code);
    });
  }
  try {
    process.exitCode = await main(options, folder) ? 0 : 1;
  } finally {
    remove();
  }
  // What listens to signals would keep it waiting.
  process.exit();
}
