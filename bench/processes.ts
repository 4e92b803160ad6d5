/**
 * The processes of a bench: the peer, and one for each measurement.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import process from "node:process";
import {
  type BrokerName,
  installBrokers,
  type RealBroker,
  startActivemq,
  startRabbitmq,
} from "../tests/brokers/harness/mod.ts";
import { run } from "../tests/support/process.ts";
import { inRoot } from "../tests/support/project.ts";
import { findStompPy } from "../tests/support/python.ts";
import { findBun, findDeno, findNode, type FoundRuntime } from "../tests/support/runtimes.ts";
import type { Runtime } from "../tests/support/runtime.ts";
import type { Job, Measured } from "./jobs.ts";
import type { Run, Workload } from "./workloads.ts";

/** No measurement takes longer than this many milliseconds, unless it hangs. */
const LIMIT = 90_000;

/** How a runtime starts a program; the second is for the programs about memory, which ask for a garbage collection. */
const START: Record<Runtime, { plain: string[]; memory: string[] }> = {
  deno: {
    plain: ["run", "--allow-all", "--no-check", "--quiet"],
    memory: ["run", "--allow-all", "--no-check", "--quiet", "--v8-flags=--expose-gc"],
  },
  bun: { plain: ["run"], memory: ["run"] },
  node: { plain: ["--disable-warning=ExperimentalWarning"], memory: ["--expose-gc"] },
};

/** The runtimes. */
export async function findRuntimes(names: readonly Runtime[]): Promise<FoundRuntime[]> {
  const find = { deno: findDeno, bun: findBun, node: findNode };
  return await Promise.all(names.map((name) => find[name]()));
}

/** Installs the other clients, unless they are there. */
export async function installPeers(): Promise<void> {
  if (existsSync(inRoot("bench/node_modules/stompit")) && existsSync(inRoot("bench/node_modules/@stomp"))) return;
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const result = await run("npm", args, { cwd: inRoot("bench"), timeout: 5 * 60_000 });
  if (!result.ok) throw new Error(`Cannot install the other clients with npm: ${result.ending}\n${result.output}`);
}

/** Whether the candidate can be run on this machine. */
export function isThere({ candidate }: Run): boolean {
  return candidate !== "stomp.py" || findStompPy() !== undefined;
}

/** The load peer. */
export interface PeerProcess extends AsyncDisposable {
  /** Where it listens. */
  readonly port: number;
}

/** Starts the load peer. It is the same program in the same runtime, whoever is measured. */
export async function startPeer(): Promise<PeerProcess> {
  const { command } = await findNode();
  const child = spawn(command, [inRoot("bench/peer.ts")], { stdio: ["pipe", "pipe", "inherit"] });
  const [port] = await once(child.stdout, "data") as [Uint8Array];
  return {
    port: Number(new TextDecoder().decode(port)),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}

/** A broker of the rig. It is installed, where it may be. */
export async function startBroker(name: BrokerName): Promise<RealBroker> {
  const say = (line: string) => console.log(line);
  await installBrokers([name], say);
  return await { rabbitmq: startRabbitmq, activemq: startActivemq }[name]();
}

/** The far end: the load peer, or a broker on this machine. */
export interface FarEnd {
  /** Its port on 127.0.0.1. */
  port: number;
  /** User and password, if it asks for others than guest. */
  login?: string;
}

/** Measures once. Throws when the process fails. */
export async function measure(
  runtime: FoundRuntime,
  workload: Workload,
  one: Run,
  { port, login }: FarEnd,
): Promise<Measured> {
  if (workload.worker === "start") return await measureStart(runtime, one.label);
  const [command = "", ...start] = one.candidate === "stomp.py"
    ? [findStompPy()!, inRoot("bench/candidates/stomp_py.py")]
    : [
      runtime.command,
      ...START[runtime.name][workload.worker === "memory" ? "memory" : "plain"],
      inRoot(`bench/${workload.worker}.ts`),
      one.candidate,
    ];
  const args = [
    ...start,
    JSON.stringify(one.job satisfies Job),
    String(port),
    ...(login === undefined ? [] : [login]),
  ];
  const result = await run(command, args, { env: { DENO_NO_PACKAGE_JSON: "1" }, timeout: LIMIT });
  const line = result.output.trim().split("\n").at(-1) ?? "";
  // The last thing that it does. How it ends then does not matter: Node, once in hundreds of times, does not
  // (nodejs/node#54918), and is made to.
  if (!line.startsWith("{")) throw new Error(`${result.ending}\n${result.output.trim()}`);
  return JSON.parse(line);
}

/** How often a program is started for one measurement. */
const STARTS = 5;

/** Measures from the start of a process to its end. */
async function measureStart({ name, command }: FoundRuntime, module: string): Promise<Measured> {
  const args = [...(name === "deno" ? ["run", "--no-check", "--allow-net"] : []), inRoot(`bench/start/${module}.ts`)];
  const times: number[] = [];
  // Once more: what a runtime makes of a module, it may keep on disk.
  for (let i = 0; i <= STARTS; i++) {
    const start = performance.now();
    const child = spawn(command, args, { stdio: "ignore", env: { ...process.env, DENO_NO_PACKAGE_JSON: "1" } });
    const [code] = await once(child, "exit");
    times.push((performance.now() - start) / 1000);
    if (code !== 0) throw new Error(`exit code ${code}`);
  }
  return { count: 1, seconds: Math.min(...times.slice(1)), cpu: 0 };
}
