/**
 * The command line: reads arguments, runs a command, and says what went wrong in one line.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Broker } from "../broker/broker.ts";
import { type DemoResult, runDemo } from "./demo.ts";
import { BrokerErrorResponse, ConnectionError, showControls, StompError } from "../base/errors.ts";

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
  --help                 shows this

Exit codes: 0 when all went well, 1 when it did not, 2 for a mistake on the command line, 130 when demo was interrupted
before its end, 141 when nobody reads the output any more`;

/** All went well. */
const OK = 0;
const FAILED = 1;
const MISUSED = 2;
// As shells tell that a signal has ended a program: 128 and the number of SIGINT, of SIGPIPE.
const INTERRUPTED = 130;
const UNREAD = 141;

/** What to do when a command does not get the connection that it needs. */
const HINTS: Readonly<Record<string, string>> = {
  demo: "--url names the broker, with user and password; without it demo brings its own",
  broker: "--port 0 takes a free port, and --hostname an address of this machine",
};

/** A mistake on the command line. */
class UsageError extends Error {}

/** Why a command is told to end before its work is done. */
class Stopped extends StompError {
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

/**
 * Runs a command. Never rejects: what went wrong is told in one line, without control characters and passwords.
 *
 * @param args the command and its options
 * @returns the exit code: 0 when all went well, 1 when it did not, 2 for a mistake on the command line, 130 when the
 * work was interrupted before its end, 141 when nobody reads the output any more.
 */
export async function main(args: readonly string[], environment: CommandEnvironment): Promise<number> {
  const [command, ...rest] = args;
  const { print, complain, signal } = environment;
  const plain: CommandEnvironment = {
    ...environment,
    print: (line) => print(showControls(line)),
    complain: (line) => complain(showControls(withoutPasswords(line))),
  };
  try {
    if (command === "help" || args.includes("--help")) {
      print(USAGE);
      return OK;
    }
    const run = COMMANDS.get(command ?? "");
    if (run === undefined) throw new UsageError(command === undefined ? "a command is missing" : unknown(command));
    return await run(rest, plain);
  } catch (error) {
    if (error instanceof UsageError) {
      plain.complain(`stompy: ${error.message}; see --help`);
      return MISUSED;
    }
    if (signal?.aborted && error === signal.reason) {
      if (error instanceof Stopped && error.code === UNREAD) return UNREAD;
      plain.complain(`stompy ${command}: interrupted`);
      return INTERRUPTED;
    }
    plain.complain(`stompy ${command}: ${describe(error, HINTS[command!] ?? "")}`);
    return FAILED;
  }
}

const COMMANDS: ReadonlyMap<string, (args: readonly string[], environment: CommandEnvironment) => Promise<number>> =
  new Map([["demo", demo], ["broker", broker]]);

/** It may be a URL with a password in it, so it is quoted only where it looks like a command. */
function unknown(command: string): string {
  const known = [...COMMANDS.keys()].join(" and ");
  const what = /^[\w-]{1,20}$/.test(command) ? `there is no command ${command}` : "the first argument is no command";
  return `${what}, only ${known}`;
}

/** An error in one line, and what to do about it. One that nobody foresaw says its name, which may be all it says. */
function describe(error: unknown, hint: string): string {
  if (error instanceof ConnectionError || error instanceof BrokerErrorResponse) return `${error.message}; ${hint}`;
  if (error instanceof StompError || error instanceof TypeError || error instanceof RangeError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Takes the user and the password out of URLs, be the password one that has an `@` or a space in it. */
function withoutPasswords(text: string): string {
  return text.replace(/:\/\/.*@/g, "://***@");
}

async function demo(args: readonly string[], environment: CommandEnvironment): Promise<number> {
  const options = read(args, {
    url: { type: "string" },
    count: { type: "string", default: "100000" },
    size: { type: "string", default: "100" },
    destination: { type: "string", default: "/queue/stompy-demo" },
  });
  const count = wholeNumber("count", options["count"], 1, 100_000_000);
  const size = wholeNumber("size", options["size"], 0, 100_000_000);
  const destination = String(options["destination"]);
  if (options["url"] !== undefined) return await demoOn(String(options["url"]), count, size, destination, environment);
  // Without `await using`, which Node 22 cannot parse.
  const embedded = await Broker.listen();
  try {
    environment.print(`Embedded broker on port ${embedded.port}, in memory`);
    return await demoOn(embedded.url, count, size, destination, environment);
  } finally {
    await embedded.close();
  }
}

async function demoOn(
  url: string,
  count: number,
  size: number,
  destination: string,
  environment: CommandEnvironment,
): Promise<number> {
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
    return OK;
  }
  complain("stompy demo: not every message arrived once and in order");
  return FAILED;
}

async function broker(args: readonly string[], { print, signal }: CommandEnvironment): Promise<number> {
  const options = read(args, {
    port: { type: "string", default: "61613" },
    hostname: { type: "string", default: "127.0.0.1" },
  });
  const port = wholeNumber("port", options["port"], 0, 65_535);
  const running = await Broker.listen({ port, hostname: String(options["hostname"]) });
  try {
    print(`Listening on ${running.url}, in memory: what is not taken is gone when this ends`);
    await new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    await running.close();
  }
  return signal?.reason instanceof Stopped && signal.reason.code === UNREAD ? UNREAD : OK;
}

type OptionTable = Record<string, { type: "string"; default?: string }>;

function read(args: readonly string[], options: OptionTable): Record<string, string | undefined> {
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message.split(/\.?\n|\. /, 1)[0]!);
  }
  if (parsed.positionals.length > 0) {
    const names = Object.keys(options).map((name) => `--${name}`).join(", ");
    throw new UsageError(`there is an argument without an option before it; the options are ${names}`);
  }
  return parsed.values as Record<string, string | undefined>;
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

/**
 * The environment of this process; `progress` is used where standard output is a terminal. The signal aborts on Ctrl-C
 * and SIGTERM, a second one of which ends the process at once, and when nobody reads standard output any more.
 */
export function standardEnvironment(progress?: (count: number) => Progress): ProcessEnvironment {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => stop.abort(new Stopped("interrupted", INTERRUPTED)));
  }
  // Without a listener, a closed pipe would end the process with a stack trace.
  process.stdout.on("error", () => stop.abort(new Stopped("nobody reads the output", UNREAD)));
  process.stderr.on("error", () => {});
  const unread = () => stop.signal.reason instanceof Stopped && stop.signal.reason.code === UNREAD;
  return {
    environment: {
      print: (line) => void (unread() || process.stdout.write(`${line}\n`)),
      complain: (line) => void process.stderr.write(`${line}\n`),
      progress: process.stdout.isTTY ? progress : undefined,
      signal: stop.signal,
    },
    args: process.argv.slice(2),
    exit: (code) => {
      process.exitCode = unread() ? UNREAD : code;
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
  const { environment, args, exit } = standardEnvironment(progress);
  const code = await main([...command, ...args], environment);
  await new Promise<void>((resolve) => process.stdout.write("", () => resolve())); // by then it is known who reads it
  exit(code);
}

/** Whether the module of that `import.meta` is the program; older Node does not tell. */
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
