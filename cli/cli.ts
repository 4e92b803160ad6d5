/**
 * The command line: reads arguments, runs a command, and says what went wrong in one line.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Broker } from "../broker/broker.ts";
import { type DemoResult, runDemo } from "./demo.ts";
import { StompError } from "../base/errors.ts";

/** Shows how far something is. */
export interface Progress {
  /** Called with what was confirmed and what was acknowledged so far. */
  update(confirmed: number, acknowledged: number): void;
  /** Called when it is over, however it ended. */
  stop(): void;
}

/** What a command needs of the world. */
export interface CommandEnvironment {
  /** Writes a line to standard output. */
  print: (line: string) => void;
  /** Writes a line to standard error. */
  complain: (line: string) => void;
  /** Makes a progress display for that many messages. Default: a line now and then. */
  progress?: ((count: number) => Progress) | undefined;
  /** Ends a command that runs until it is told to stop. */
  signal?: AbortSignal | undefined;
}

const USAGE = `Usage:
  demo    sends, receives and acknowledges messages, and checks that each arrived once and in order
    --url URL            the broker, for example stomp://user:pass@host:61613; default: an embedded one
    --count N            messages; default 100000
    --size N             bytes of each body; default 100
    --destination NAME   default /queue/stompy-demo
  broker  runs the embedded broker, which keeps everything in memory, until it is interrupted
    --port N             default 61613; 0 for a free one
    --hostname NAME      default 127.0.0.1
  --help                 shows this`;

/** A mistake on the command line. */
class UsageError extends Error {}

/**
 * Runs a command.
 *
 * @param args the command and its options
 * @returns the exit code: 0 when all went well, 1 when it did not, 2 for a mistake on the command line.
 */
export async function main(args: readonly string[], environment: CommandEnvironment): Promise<number> {
  const [command, ...rest] = args;
  try {
    switch (command) {
      case "demo":
        return await demo(rest, environment);
      case "broker":
        return await broker(rest, environment);
      case "--help":
      case "help":
        environment.print(USAGE);
        return 0;
      default:
        throw new UsageError(command === undefined ? "a command is missing" : `there is no command ${command}`);
    }
  } catch (error) {
    if (error instanceof UsageError) {
      environment.complain(`stompy: ${error.message}; see --help`);
      return 2;
    }
    // A mistake in a URL is a TypeError. What is neither is a fault of ours, and its stack belongs to the report.
    if (!(error instanceof StompError) && !(error instanceof TypeError)) throw error;
    environment.complain(`stompy ${command}: ${error.message}`);
    return 1;
  }
}

async function demo(args: readonly string[], environment: CommandEnvironment): Promise<number> {
  const options = read(args, {
    url: { type: "string" },
    count: { type: "string", default: "100000" },
    size: { type: "string", default: "100" },
    destination: { type: "string", default: "/queue/stompy-demo" },
    help: { type: "boolean" },
  });
  if (options["help"]) {
    environment.print(USAGE);
    return 0;
  }
  const count = wholeNumber("count", options["count"], 1, 100_000_000);
  const size = wholeNumber("size", options["size"], 0, 100_000_000);
  const destination = String(options["destination"]);
  await using embedded = options["url"] === undefined ? await Broker.listen() : undefined;
  const url = embedded?.url ?? String(options["url"]);
  if (embedded) environment.print(`Embedded broker on port ${embedded.port}, in memory`);
  const progress = environment.progress?.(count) ?? plainProgress(count, environment.print);
  let result: DemoResult;
  try {
    result = await runDemo({
      url,
      count,
      size,
      destination,
      signal: environment.signal,
      onProgress: (confirmed, acknowledged) => progress.update(confirmed, acknowledged),
    });
  } finally {
    progress.stop();
  }
  return report(result, count, environment);
}

function report(result: DemoResult, count: number, { print, complain }: CommandEnvironment): number {
  const rate = (messages: number, time: number) => `${Math.round(messages / time * 1000).toLocaleString("en")}/s`;
  const seconds = (time: number) => `${(time / 1000).toFixed(2)} s`;
  print(`Broker                 ${result.server}, STOMP ${result.version}`);
  print(`Sent and confirmed     ${result.confirmed} in ${seconds(result.sendTime)}, ${rate(count, result.sendTime)}`);
  print(`Received and acked     ${result.received} in ${seconds(result.totalTime)}, ${rate(count, result.totalTime)}`);
  print(`Duplicated             ${result.duplicated}`);
  print(`Out of order           ${result.outOfOrder}`);
  print(`Lost                   ${count - result.received}`);
  if (result.foreign > 0) print(`Of somebody else       ${result.foreign}`);
  const good = result.received === count && result.confirmed === count;
  if (good && result.duplicated === 0 && result.outOfOrder === 0) {
    print("Each message arrived once and in order");
    return 0;
  }
  complain("stompy demo: not every message arrived once and in order");
  return 1;
}

async function broker(args: readonly string[], { print, signal }: CommandEnvironment): Promise<number> {
  const options = read(args, {
    port: { type: "string", default: "61613" },
    hostname: { type: "string", default: "127.0.0.1" },
    help: { type: "boolean" },
  });
  if (options["help"]) {
    print(USAGE);
    return 0;
  }
  const port = wholeNumber("port", options["port"], 0, 65_535);
  await using running = await Broker.listen({ port, hostname: String(options["hostname"]) });
  print(`Listening on ${running.url}, in memory: what is not taken is gone when this ends`);
  await new Promise<void>((resolve) => {
    if (signal?.aborted) resolve();
    signal?.addEventListener("abort", () => resolve(), { once: true });
  });
  return 0;
}

type OptionTable = Record<string, { type: "string" | "boolean"; default?: string }>;

function read(args: readonly string[], options: OptionTable): Record<string, string | boolean | undefined> {
  try {
    return parseArgs({ args: [...args], options, strict: true }).values as Record<string, string | boolean | undefined>;
  } catch (error) {
    throw new UsageError((error as Error).message.split("\n", 1)[0]!.replace(/\.$/, ""));
  }
}

function wholeNumber(name: string, text: unknown, least: number, most: number): number {
  const number = Number(text);
  if (text !== "" && Number.isInteger(number) && number >= least && number <= most) return number;
  throw new UsageError(`--${name} is ${JSON.stringify(text)}, and has to be a whole number from ${least} to ${most}`);
}

/** A line for every tenth. */
function plainProgress(count: number, print: (line: string) => void): Progress {
  let told = 0;
  return {
    update(confirmed, acknowledged) {
      const tenth = Math.floor(acknowledged / count * 10);
      if (tenth <= told) return;
      told = tenth;
      print(`${tenth * 10} %: ${confirmed} confirmed, ${acknowledged} acknowledged`);
    },
    stop() {},
  };
}

/** What a command needs, taken from the process it runs in. */
export interface ProcessEnvironment {
  /** For `main`. */
  environment: CommandEnvironment;
  /** The arguments of the process. */
  args: string[];
  /** Sets the exit code; the process ends when nothing is left to do. */
  exit: (code: number) => void;
}

/** The environment of this process; `progress` is used where standard output is a terminal. */
export async function standardEnvironment(progress?: (count: number) => Progress): Promise<ProcessEnvironment> {
  const { default: process } = await import("node:process");
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort(new StompError("interrupted")));
  return {
    environment: {
      print: (line) => console.log(line),
      complain: (line) => console.error(line),
      progress: process.stdout.isTTY ? progress : undefined,
      signal: interrupt.signal,
    },
    args: process.argv.slice(2),
    exit: (code) => {
      process.exitCode = code;
    },
  };
}

/**
 * Runs a command with the arguments of this process, and sets its exit code.
 *
 * @param progress shows how far the command is, where standard output is a terminal.
 * @param command what stands before the arguments of the process.
 */
export async function run(progress?: (count: number) => Progress, command: readonly string[] = []): Promise<void> {
  const { environment, args, exit } = await standardEnvironment(progress);
  exit(await main([...command, ...args], environment));
}
