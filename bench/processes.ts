/**
 * The processes of a bench: the load peer, and one for each measurement.
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
  startBroker as startRealBroker,
} from "../tests/brokers/harness/mod.ts";
import { run } from "../tests/support/process.ts";
import { inRoot } from "../tests/support/project.ts";
import { findStompPy } from "../tests/support/python.ts";
import { findBun, findDeno, findNode, type FoundRuntime } from "../tests/support/runtimes.ts";
import type { Runtime } from "../tests/support/runtime.ts";
import type { Job, Measured } from "./jobs.ts";
import type { Run, Workload } from "./workloads.ts";

/** A measurement that takes longer than this hangs. */
const MEASUREMENT_TIMEOUT_MS = 90_000;

/** The arguments of a runtime to start a program; `memory` exposes the garbage collector. */
const START: Record<Runtime, { plain: string[]; memory: string[] }> = {
  deno: {
    plain: ["run", "--allow-all", "--no-check", "--quiet"],
    memory: ["run", "--allow-all", "--no-check", "--quiet", "--v8-flags=--expose-gc"],
  },
  bun: { plain: ["run"], memory: ["run"] },
  node: { plain: ["--disable-warning=ExperimentalWarning"], memory: ["--expose-gc"] },
};

/** Finds the runtimes on this machine. */
export async function findRuntimes(names: readonly Runtime[]): Promise<FoundRuntime[]> {
  const find = { deno: findDeno, bun: findBun, node: findNode };
  return await Promise.all(names.map((name) => find[name]()));
}

/** Installs the other clients if they are missing. */
export async function installPeers(): Promise<void> {
  if (existsSync(inRoot("bench/node_modules/stompit")) && existsSync(inRoot("bench/node_modules/@stomp"))) return;
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const result = await run("npm", args, { cwd: inRoot("bench"), timeout: 5 * 60_000 });
  if (!result.ok) throw new Error(`Cannot install the other clients with npm: ${result.ending}\n${result.output}`);
}

/** Whether the candidate is installed on this machine. */
export function isInstalled({ candidate }: Run): boolean {
  return candidate !== "stomp.py" || findStompPy() !== undefined;
}

/** The load peer. */
export interface PeerProcess extends AsyncDisposable {
  /** The port that it listens on. */
  readonly port: number;
}

/** Starts the load peer, which runs in Node for every candidate. */
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

/** Starts a real broker, and installs it if that is allowed. */
export async function startBroker(name: BrokerName): Promise<RealBroker> {
  const say = (line: string) => console.log(line);
  await installBrokers([name], say);
  return await startRealBroker(name);
}

/** The load peer or a broker, on this machine. */
export interface Endpoint {
  /** The port on 127.0.0.1. */
  port: number;
  /** User and password. Default `guest`. */
  login?: string;
}

/** Measures once. Throws when the process fails. */
export async function measure(
  runtime: FoundRuntime,
  workload: Workload,
  one: Run,
  { port, login }: Endpoint,
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
  const result = await run(command, args, { env: { DENO_NO_PACKAGE_JSON: "1" }, timeout: MEASUREMENT_TIMEOUT_MS });
  const line = result.output.trim().split("\n").at(-1) ?? "";
  // The result is printed last, so the exit code does not matter: about once in hundreds of runs Node hangs at exit
  // (nodejs/node#54918) and is killed.
  if (!line.startsWith("{")) throw new Error(`${result.ending}\n${result.output.trim()}`);
  return JSON.parse(line);
}

/** How often a program is started for one measurement. */
const STARTS_PER_MEASUREMENT = 5;

/** Measures the time from the start of a process to its end. */
async function measureStart({ name, command }: FoundRuntime, module: string): Promise<Measured> {
  const args = [...(name === "deno" ? ["run", "--no-check", "--allow-net"] : []), inRoot(`bench/start/${module}.ts`)];
  const times: number[] = [];
  // The first start does not count: a runtime may cache a compiled module on disk.
  for (let i = 0; i <= STARTS_PER_MEASUREMENT; i++) {
    const start = performance.now();
    const child = spawn(command, args, { stdio: "ignore", env: { ...process.env, DENO_NO_PACKAGE_JSON: "1" } });
    const [code] = await once(child, "exit");
    times.push((performance.now() - start) / 1000);
    if (code !== 0) throw new Error(`exit code ${code}`);
  }
  return { count: 1, seconds: Math.min(...times.slice(1)), cpu: 0 };
}
