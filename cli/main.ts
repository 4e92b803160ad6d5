/**
 * The command line: reads the arguments, runs a command, and reports an error in one line.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BrokerErrorResponse, ConnectionError, showControls, StompError } from "../base/errors.ts";
import { onGiveUp } from "../base/timers.ts";
import { Broker } from "../broker/broker.ts";
import { type DemoResult, runDemo } from "./demo.ts";

/** A display of how far `demo` is. */
export interface Progress {
  /** Called with the number of confirmed sends and of acknowledged messages so far. */
  update(confirmed: number, acknowledged: number): void;
  /** Called once at the end, also after an error. */
  stop(): void;
}

/** What a command uses to talk to the outside. */
export interface CommandEnvironment {
  /** Writes a line to standard output. */
  print: (line: string) => void;
  /** Writes a line to standard error. */
  printError: (line: string) => void;
  /**
   * Creates a display for that many messages. Without it, `demo` prints a line for every tenth of the messages.
   *
   * @default {undefined}
   */
  progress?: ((count: number) => Progress) | undefined;
  /**
   * Ends the command when it aborts. Without it, `broker` runs until the process ends.
   *
   * @default {undefined}
   */
  signal?: AbortSignal | undefined;
}

const USAGE = `Usage: <command> [options]

Commands:
  demo    sends, receives and acknowledges messages, and checks that each arrives once and in order
    --url URL            the broker, such as stomp://user:pass@host:61613 (default: an embedded one)
    --count N            number of messages (default: 100000)
    --size N             minimum bytes of each body (default: 100)
    --destination NAME   destination of the messages (default: /queue/stompy-demo)
  broker  runs the embedded broker, in memory, until it is interrupted
    --port N             port to listen on, 0 for a free one (default: 61613)
    --hostname NAME      address to listen on (default: 127.0.0.1)

Options:
  --help                 shows this help

Exit codes: 0 success, 1 failure, 2 mistake on the command line, 130 demo interrupted before its end, 141 output closed
by its reader`;

const SUCCESS = 0;
const FAILURE = 1;
const USAGE_MISTAKE = 2;
// As shells report a program that a signal has ended: 128 plus the number of SIGINT, of SIGPIPE.
const INTERRUPTED = 130;
const OUTPUT_CLOSED = 141;

/** What to do when a command cannot get its connection. */
const HINTS: Readonly<Record<string, string>> = {
  demo: "check --url, including user and password, or leave it out to use an embedded broker",
  broker: "use --port 0 for a free port, or --hostname with an address of this machine",
};

/** A mistake on the command line. */
class UsageError extends Error {}

/** The reason to end a command whose output is not read any more. */
class OutputClosedError extends StompError {}

function isOutputClosed(signal: AbortSignal | undefined): boolean {
  return signal?.reason instanceof OutputClosedError;
}

/**
 * Runs a command. Never rejects: an error becomes one line on standard error, without control characters and passwords.
 *
 * @example The demo on an embedded broker
 * ```ts
 * import { main } from "@x/stompy/cli";
 *
 * const code = await main(["demo", "--count", "100"], { print: console.log, printError: console.error });
 * console.log(code); // 0
 * ```
 *
 * @param args the command and its options
 * @returns the exit code: 0 for success, 1 for a failure, 2 for a mistake on the command line, 130 if `demo` was
 * interrupted before its end, 141 if the reader of the output has closed it.
 */
export async function main(args: readonly string[], environment: CommandEnvironment): Promise<number> {
  const [command, ...rest] = args;
  const { print, printError, signal } = environment;
  const safe: CommandEnvironment = {
    ...environment,
    print: (line) => print(showControls(line)),
    printError: (line) => printError(showControls(withoutPasswords(line))),
  };
  try {
    if (command === "help" || args.includes("--help")) {
      print(USAGE);
      return SUCCESS;
    }
    const run = COMMANDS.get(command ?? "");
    if (run === undefined) {
      throw new UsageError(`${describeCommand(command)}, use ${[...COMMANDS.keys()].join(" or ")}`);
    }
    return await run(rest, safe);
  } catch (error) {
    if (error instanceof UsageError) {
      safe.printError(`stompy: ${error.message}; see --help`);
      return USAGE_MISTAKE;
    }
    if (signal?.aborted && error === signal.reason) {
      if (isOutputClosed(signal)) return OUTPUT_CLOSED;
      safe.printError(`stompy ${command}: interrupted`);
      return INTERRUPTED;
    }
    safe.printError(`stompy ${command}: ${describeError(error, HINTS[command!] ?? "")}`);
    return FAILURE;
  }
}

const COMMANDS: ReadonlyMap<string, (args: readonly string[], environment: CommandEnvironment) => Promise<number>> =
  new Map([["demo", demo], ["broker", broker]]);

function describeCommand(command: string | undefined): string {
  if (command === undefined) return "no command given";
  // It may be a URL with a password, so it is quoted only if it looks like a command.
  return /^[\w-]{1,20}$/.test(command) ? `unknown command ${command}` : "the first argument is not a command";
}

/** Describes an error in one line. An unexpected one keeps its name, which may be all that it says. */
function describeError(error: unknown, hint: string): string {
  if (error instanceof ConnectionError || error instanceof BrokerErrorResponse) return `${error.message}; ${hint}`;
  if (error instanceof StompError || error instanceof TypeError || error instanceof RangeError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Removes user and password from URLs, even if the password has an `@` or a space in it. */
function withoutPasswords(text: string): string {
  return text.replace(/:\/\/.*@/g, "://***@");
}

async function demo(args: readonly string[], environment: CommandEnvironment): Promise<number> {
  const { print, signal } = environment;
  const options = readOptions(args, {
    url: { type: "string" },
    count: { type: "string", default: "100000" },
    size: { type: "string", default: "100" },
    destination: { type: "string", default: "/queue/stompy-demo" },
  });
  const count = readInteger("count", options["count"], 1, 100_000_000);
  const size = readInteger("size", options["size"], 0, 100_000_000);
  const destination = options["destination"]!;
  // Without `await using`, which Node 22 cannot parse.
  const embedded = options["url"] === undefined ? await Broker.listen() : undefined;
  try {
    if (embedded !== undefined) print(`Embedded broker on port ${embedded.port}, in memory`);
    const progress = environment.progress?.(count) ?? printedProgress(count, print);
    const onProgress = (confirmed: number, acknowledged: number) => progress.update(confirmed, acknowledged);
    const url = options["url"] ?? embedded!.url;
    const running = runDemo({ url, count, size, destination, signal, onProgress });
    return report(await running.finally(() => progress.stop()), count, environment);
  } finally {
    await embedded?.close();
  }
}

function report(result: DemoResult, count: number, { print, printError }: CommandEnvironment): number {
  const rate = (messages: number, time: number) => `${Math.round(messages / time * 1000).toLocaleString("en")}/s`;
  const seconds = (time: number) => `${(time / 1000).toFixed(2)} s`;
  print(`Broker                 ${result.server}, STOMP ${result.version}`);
  print(`Sent and confirmed     ${result.confirmed} in ${seconds(result.sendTime)}, ${rate(count, result.sendTime)}`);
  print(`Received and acked     ${result.received} in ${seconds(result.totalTime)}, ${rate(count, result.totalTime)}`);
  print(`Duplicated             ${result.duplicated}`);
  print(`Out of order           ${result.outOfOrder}`);
  print(`Lost                   ${count - result.received}`);
  if (result.foreign > 0) print(`From other senders     ${result.foreign}`);
  const isComplete = result.received === count && result.confirmed === count;
  if (isComplete && result.duplicated === 0 && result.outOfOrder === 0) {
    print("Each message arrived once and in order");
    return SUCCESS;
  }
  printError("stompy demo: some messages were lost, duplicated or out of order");
  return FAILURE;
}

async function broker(args: readonly string[], { print, signal }: CommandEnvironment): Promise<number> {
  const options = readOptions(args, {
    port: { type: "string", default: "61613" },
    hostname: { type: "string", default: "127.0.0.1" },
  });
  const port = readInteger("port", options["port"], 0, 65_535);
  const running = await Broker.listen({ port, hostname: options["hostname"] });
  try {
    print(`Listening on ${running.url}; messages are in memory and are lost when the broker ends`);
    await new Promise<unknown>((resolve) => onGiveUp({ signal }, "the end", resolve));
  } finally {
    await running.close();
  }
  return isOutputClosed(signal) ? OUTPUT_CLOSED : SUCCESS;
}

type OptionTable = Record<string, { type: "string"; default?: string }>;

function readOptions(args: readonly string[], options: OptionTable): Record<string, string | undefined> {
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message.split(/\.?\n|\. /, 1)[0]!);
  }
  if (parsed.positionals.length > 0) {
    const names = Object.keys(options).map((name) => `--${name}`).join(", ");
    throw new UsageError(`there is an argument without an option, use ${names}`);
  }
  return parsed.values as Record<string, string | undefined>;
}

function readInteger(name: string, text: unknown, min: number, max: number): number {
  const number = Number(text);
  if (text !== "" && Number.isInteger(number) && number >= min && number <= max) return number;
  throw new UsageError(`--${name} is ${JSON.stringify(text)}, use a whole number from ${min} to ${max}`);
}

/** Prints a line for every tenth of the messages. */
function printedProgress(count: number, print: (line: string) => void): Progress {
  let lastTenth = 0;
  return {
    update(confirmed, acknowledged) {
      const tenth = Math.floor(acknowledged / count * 10);
      if (tenth <= lastTenth) return;
      lastTenth = tenth;
      print(`${tenth * 10} %: ${confirmed} confirmed, ${acknowledged} acknowledged`);
    },
    stop() {},
  };
}

/** What {@linkcode standardEnvironment} returns: the arguments of this process, and how to report to it. */
export interface ProcessEnvironment {
  /** The environment for {@linkcode main}. */
  environment: CommandEnvironment;
  /** The arguments of the process, without the program. */
  args: string[];
  /** Sets the exit code of the process, which ends when nothing is left to do. */
  exit: (code: number) => void;
}

/**
 * Returns the environment of this process. Its signal aborts on Ctrl-C and SIGTERM, and when the reader of standard
 * output closes it. A second Ctrl-C or SIGTERM ends the process at once.
 *
 * @example A program that runs the command line
 * ```ts no-run
 * import { main, standardEnvironment } from "@x/stompy/cli";
 *
 * const { environment, args, exit } = standardEnvironment();
 * exit(await main(args, environment));
 * ```
 *
 * @param progress creates the display of `demo`, used if standard output is a terminal
 */
export function standardEnvironment(progress?: (count: number) => Progress): ProcessEnvironment {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => stop.abort(new StompError("interrupted")));
  }
  // Without a listener, a closed pipe would end the process with a stack trace.
  process.stdout.on("error", () => stop.abort(new OutputClosedError("the output is closed")));
  process.stderr.on("error", () => {});
  return {
    environment: {
      print: (line) => void (isOutputClosed(stop.signal) || process.stdout.write(`${line}\n`)),
      printError: (line) => void process.stderr.write(`${line}\n`),
      progress: process.stdout.isTTY ? progress : undefined,
      signal: stop.signal,
    },
    args: process.argv.slice(2),
    exit: (code) => {
      process.exitCode = isOutputClosed(stop.signal) ? OUTPUT_CLOSED : code;
    },
  };
}

/**
 * Runs a command with the arguments of this process, and sets its exit code.
 *
 * @param progress creates the display of `demo`, used if standard output is a terminal
 * @param command what to put before the arguments of the process
 */
export async function run(progress?: (count: number) => Progress, command: readonly string[] = []): Promise<void> {
  const { environment, args, exit } = standardEnvironment(progress);
  const code = await main([...command, ...args], environment);
  // After this write it is known whether the output is still read.
  await new Promise<void>((resolve) => process.stdout.write("", () => resolve()));
  exit(code);
}

/** Whether the module of an `import.meta` is the program that was started; older Node does not say. */
export function isProgram(meta: { readonly main?: boolean; readonly url: string }): boolean {
  if (meta.main !== undefined || !meta.url.startsWith("file:") || process.argv[1] === undefined) {
    return meta.main === true;
  }
  try {
    return realpathSync(process.argv[1]) === fileURLToPath(meta.url);
  } catch {
    return false; // There is no such file: the program is text on the command line.
  }
}
