/**
 * The program behind `deno task test:brokers`: starts RabbitMQ and ActiveMQ, and runs `tests/brokers/` on them under Deno,
 * Bun and Node, over each of their transports and in each version of the protocol.
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
import { detailsOf } from "./harness/broker.ts";
import {
  BROKER_NAMES,
  chooseBrokers,
  FAMILIES,
  installBrokers,
  type RealBroker,
  runningBroker,
  startBroker,
  TABLE,
} from "./harness/mod.ts";

const HELP = `deno task test:brokers [options] [test file…]

Runs the tests on a real RabbitMQ and a real ActiveMQ Classic, under Deno, Bun and Node. As root on Debian, it installs
them if they are missing. To use running brokers, set STOMPY_RABBITMQ_URL and STOMPY_ACTIVEMQ_URL to one or more URLs,
separated by commas, with user and password, and STOMPY_CA_FILE to the file of their certificate authority.

  --broker rabbitmq|activemq   use only this broker; can be repeated
  --only deno|bun|node         use only this runtime; can be repeated
  --transport stomp+ssl        use only this transport; can be repeated
  --filter text                run only the tests whose names contain the text
  --no-install                 do not install anything
  --verbose                    print the output of the tests even if they pass
  --help                       print this text
`;

/** The limit for bodies, small so that a body over it is sent quickly. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;

type Options = ReturnType<typeof readArgs>;

/**
 * Reads the command line.
 *
 * @throws {TypeError} when it is wrong.
 */
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
    broker: chooseBrokers(values.broker ?? BROKER_NAMES),
    only: choose("run under", values.only, RUNTIMES),
    files: positionals.length > 0 ? positionals : all,
  };
}

function choose<T extends string>(what: string, wanted: string[] | undefined, all: readonly T[]): T[] {
  return (wanted ?? all).map((name) => {
    const found = all.find((known) => known === name);
    if (found === undefined) throw new TypeError(`Cannot ${what} "${name}": the choices are ${all.join(", ")}`);
    return found;
  });
}

/** Starts the brokers in parallel. One that cannot be started is a failure. A running broker stands for its family. */
async function startBrokers({ broker: names, install }: Options, failures: Failure[]): Promise<RealBroker[]> {
  const running = FAMILIES.filter((family) => names.some((name) => TABLE[name].family === family))
    .map(runningBroker).filter((broker) => broker !== undefined);
  for (const { name, urls } of running) console.log(`${name}: running already, ${Object.keys(urls).join(", ")}`);
  const wanted = names.filter((name) => !running.some(({ family }) => family === TABLE[name].family));
  if (install) await installBrokers(wanted, console.log);
  const started = await Promise.all(wanted.map(async (name) => {
    const begun = performance.now();
    try {
      const broker = await startBroker(name, { maxBodyBytes: MAX_BODY_BYTES });
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      console.log(`${name}: started in ${seconds} s, ${Object.keys(broker.urls).join(", ")}`);
      return broker;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      console.log(message);
      failures.push({ name, message });
      return undefined;
    }
  }));
  return [...running, ...started.filter((broker) => broker !== undefined)];
}

/** Whether the client supports `ws://` in this runtime. */
async function hasWebSockets(): Promise<boolean> {
  try {
    await (await openTransport(parseUrl("ws://127.0.0.1:9/"), { timeout: 2000 })).close();
    return true;
  } catch (error) {
    return !(error instanceof TypeError);
  }
}

/** Runs all test files in one runtime. */
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
    console.log(`  ${file}: ${counts.filter(Boolean).join(", ")} (${seconds} s)`);
    if (report.failures.length > 0 && report.output !== "") console.log(`${report.output.trimEnd()}\n`);
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
    if (!webSockets) console.log("WebSocket: not tested, the client does not support it here");
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
        console.log(`\n${name} ${runtime.version}`);
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
  console.log("");
  for (const row of rows) console.log(row);
  for (const { name, message } of failures) {
    console.log(`FAILED ${name}\n${message.trim().split("\n").slice(0, 8).map((line) => `  ${line}`).join("\n")}`);
  }
  console.log(`${((performance.now() - begun) / 1000).toFixed(0)} s in total`);
  console.log(`${passed} passed, ${failures.length} failed`);
  return failures.length === 0;
}

/** Reads the command line, or prints what is wrong with it and exits. */
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
  console.log(HELP);
} else {
  const folder = makeFolder("brokers");
  const remove = () => rmSync(folder, { recursive: true, force: true });
  // The guard of the harness kills the brokers when this process ends.
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
  // The signal listeners would keep the process running.
  process.exit();
}
