/**
 * The program behind `deno task test:brokers`: starts the real brokers, and runs `tests/brokers/` on them under Deno, Bun
 * and Node, over each of their transports and in each version of the protocol.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { endAll } from "../support/process.ts";
import { files, makeFolder } from "../support/project.ts";
import { type Runtime, RUNTIMES } from "../support/runtime.ts";
import { canReachJsr, findBun, findDeno, findNode, type FoundRuntime, installPackages } from "../support/runtimes.ts";
import { writeImportMapWithoutJsr } from "../support/types.ts";
import { ALL_VERSIONS, cellsFor, slowRuntime } from "./cells.ts";
import type { BrokerName } from "./harness/broker.ts";
import {
  BROKER_NAMES,
  chooseBrokers,
  FAMILIES,
  installBrokers,
  runningBroker,
  startBroker,
  TABLE,
} from "./harness/mod.ts";
import { BrokerRun, type Subject } from "./runner.ts";

const HELP = `deno task test:brokers [options] [test file…]

Runs the tests on real brokers, under Deno, Bun and Node, and brings what they need: files go to .runtimes/brokers/ (delete
that folder to get them again), and as root on Debian, packages are installed. To use a running broker, set
${FAMILIES.map((family) => `STOMPY_${family.toUpperCase()}_URL`).join(", ")} to one or more URLs, separated by
commas, with user and password, and STOMPY_CA_FILE to the file of their certificate authority.

  --broker name        use only this broker or family; can be repeated
  --only deno|bun|node use only this runtime; can be repeated
  --transport name     use only this transport, such as stomp+ssl; can be repeated
  --version 1.2        use only this version of the protocol; can be repeated
  --all                run the tests that wait for seconds in every runtime, not in one of them, as each night
  --filter text        run only the tests whose names contain the text
  --jobs N             test N brokers at a time; default ${defaultJobs()}
  --serve name         start this broker, print its URLs, and keep it running until Ctrl-C; runs no test
  --no-install         do not install or download anything
  --verbose            print the output of the tests even if they pass
  --help               print this text

Brokers:  ${BROKER_NAMES.join(", ")}
Families: ${FAMILIES.join(", ")}
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
      version: { type: "string", multiple: true },
      all: { type: "boolean", default: false },
      jobs: { type: "string" },
      filter: { type: "string" },
      serve: { type: "string" },
      install: { type: "boolean", default: true },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const all = files("tests/brokers/*_test.ts");
  for (const file of positionals) {
    if (!all.includes(file)) throw new TypeError(`Cannot run "${file}": the test files are ${all.join(", ")}`);
  }
  const transports = [...new Set(Object.values(TABLE).flatMap((row) => row.transports))];
  return {
    ...values,
    broker: chooseBrokers(values.broker ?? BROKER_NAMES),
    serve: values.serve === undefined ? undefined : chooseOne(values.serve),
    only: choose("run under", values.only, RUNTIMES),
    version: choose("test version", values.version, ALL_VERSIONS),
    transport: choose("test over", values.transport, transports),
    jobs: readJobs(values.jobs),
    files: positionals.length > 0 ? positionals : all,
  };
}

function chooseOne(given: string): BrokerName {
  const [name, ...more] = chooseBrokers([given]);
  if (more.length > 0) throw new TypeError(`Cannot start all of "${given}": choose ${name} or ${more.join(" or ")}`);
  return name!;
}

function readJobs(given: string | undefined): number {
  const jobs = given === undefined ? defaultJobs() : Number(given);
  if (!(Number.isInteger(jobs) && jobs > 0)) throw new TypeError(`Cannot run "${given}" jobs: give a number from 1`);
  return jobs;
}

function choose<T extends string>(what: string, wanted: string[] | undefined, all: readonly T[]): T[] {
  return (wanted ?? all).map((name) => {
    const found = all.find((known) => known === name);
    if (found === undefined) throw new TypeError(`Cannot ${what} "${name}": the choices are ${all.join(", ")}`);
    return found;
  });
}

/** How many brokers are tested at a time: most tests wait most of the time, but some measure it. */
function defaultJobs(): number {
  return Math.min(Math.max(2, availableParallelism()), 4);
}

/** Returns the brokers to test. A running broker stands for its family. */
function findSubjects({ broker: names, ...choice }: Options): { wanted: typeof names; subjects: Subject[] } {
  const running = FAMILIES.filter((family) => names.some((name) => TABLE[name].family === family))
    .map(runningBroker).filter((broker) => broker !== undefined);
  const wanted = names.filter((name) => !running.some(({ family }) => family === TABLE[name].family));
  const subjects = [
    ...running.map((broker) => ({ name: broker.name, start: () => Promise.resolve(broker) })),
    ...wanted.map((name) => ({ name, start: () => startBroker(name, { maxBodyBytes: MAX_BODY_BYTES }) })),
  ];
  return {
    wanted,
    subjects: subjects.map((subject) => ({
      ...subject,
      cellsFor: (broker, runtime) => cellsFor(broker, runtime, choice),
    })),
  };
}

async function main(options: Options, folder: string): Promise<boolean> {
  const begun = performance.now();
  const importMap = await canReachJsr() ? undefined : writeImportMapWithoutJsr(folder);
  await installPackages();
  const find: Record<Runtime, () => Promise<FoundRuntime>> = { deno: findDeno, bun: findBun, node: () => findNode() };
  const runtimes = await Promise.all(options.only.map((name) => find[name]()));
  const { wanted, subjects } = findSubjects(options);
  if (options.install) await installBrokers(wanted, console.log);
  const run = new BrokerRun({ ...options, folder, importMap, runtimes, log: (line) => console.log(line) });
  await run.test(subjects, options.jobs);
  if (run.passed === 0 && run.failures.length === 0) run.failures.push({ name: "(all)", message: "no test ran" });
  console.log("");
  for (const line of run.tally.toLines(options.only)) console.log(line);
  console.log("");
  for (const line of run.summary) console.log(line);
  if (!options.all) {
    const tested = subjects.map(({ name }) => `${name} in ${slowRuntime(name, options.only)}`).join(", ");
    console.log(`Tests that wait for seconds ran only on ${tested}; --all runs them in every runtime`);
  }
  for (const { name, message } of run.failures) {
    console.log(`FAILED ${name}\n${message.trim().split("\n").slice(0, 8).map((line) => `  ${line}`).join("\n")}`);
  }
  console.log(`${((performance.now() - begun) / 1000).toFixed(0)} s in total`);
  console.log(`${run.passed} passed, ${run.failures.length} failed`);
  return run.failures.length === 0;
}

/** Starts a broker, prints how to reach it, and runs until a signal ends the process. */
async function serve(name: BrokerName, mayInstall: boolean): Promise<never> {
  if (mayInstall) await installBrokers([name], console.log);
  const { urls, username, password, caFile } = await startBroker(name);
  console.log(`${name} runs with user "${username}" and password "${password}" until Ctrl-C:`);
  for (const url of Object.values(urls)) console.log(`  ${url}`);
  if (caFile !== undefined) console.log(`For TLS, trust the certificate authority in ${caFile}`);
  return await new Promise(() => {});
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
    if (options.serve !== undefined) await serve(options.serve, options.install);
    process.exitCode = await main(options, folder) ? 0 : 1;
  } finally {
    remove();
  }
  // The signal listeners would keep the process running.
  process.exit();
}
