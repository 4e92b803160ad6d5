/**
 * The brokers that the harness can start, one row each, and the functions that bring and start them.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Version } from "../../../codec/protocol.ts";
import { ACTIVEMQ_NEEDS, type ActivemqRelease, startActivemq } from "./activemq.ts";
import { ARTEMIS_NEEDS, startArtemis } from "./artemis.ts";
import {
  ALL_CAPABILITIES,
  type BrokerName,
  type Capability,
  type Family,
  type HarnessOptions,
  type RealBroker,
  type StartedBroker,
  USER,
  USUAL_CAPABILITIES,
} from "./broker.ts";
import { adviceFor, bringAll, CHROMIUM, missing, type Need } from "./install.ts";
import { startRabbitmq } from "./rabbitmq.ts";
import { SPRING_NEEDS, startSpring } from "./spring.ts";
import { RABBITMQ_NEEDS, type RabbitmqRelease } from "./rabbitmq_programs.ts";

/** All that the harness knows of a broker. */
export interface BrokerRow {
  /** Its family. */
  readonly family: Family;
  /** What to call it in messages. */
  readonly title: string;
  /** The programs and files that it needs. */
  readonly needs: readonly Need[];
  /** What only tests need, in addition. */
  readonly extras?: readonly Need[];
  /** Its transports, as they are named in its URLs. */
  readonly transports: readonly string[];
  /** The versions of the protocol that it speaks. */
  readonly versions: readonly Version[];
  /** What it can do. */
  readonly capabilities: readonly Capability[];
  /** Starts it and waits until it answers. */
  start(options?: HarnessOptions): Promise<StartedBroker>;
}

const ALL_VERSIONS: readonly Version[] = ["1.0", "1.1", "1.2"];

/** A row for each broker. */
export const TABLE: Record<BrokerName, BrokerRow> = {
  "rabbitmq-3.10": rabbitmq("3.10"),
  "rabbitmq-4.0": rabbitmq("4.0"),
  "rabbitmq-4.3": rabbitmq("4.3"),
  "activemq-5": activemq("5"),
  "activemq-6": activemq("6"),
  "artemis": {
    family: "artemis",
    title: "Artemis",
    needs: ARTEMIS_NEEDS,
    transports: ["stomp", "stomp+ssl", "ws", "wss"],
    versions: ALL_VERSIONS,
    capabilities: USUAL_CAPABILITIES,
    start: startArtemis,
  },
  "spring": {
    family: "spring",
    title: "Spring",
    needs: SPRING_NEEDS,
    extras: [CHROMIUM],
    transports: ["ws", "sockjs", "wss"],
    versions: ALL_VERSIONS,
    capabilities: [],
    start: startSpring,
  },
};

function activemq(release: ActivemqRelease): BrokerRow {
  return {
    family: "activemq",
    title: `ActiveMQ Classic ${release}`,
    needs: ACTIVEMQ_NEEDS[release],
    transports: ["stomp", "stomp+nio", "stomp+ssl", "stomp+nio+ssl"],
    versions: ALL_VERSIONS,
    capabilities: ALL_CAPABILITIES,
    start: (options) => startActivemq(release, options),
  };
}

function rabbitmq(release: RabbitmqRelease): BrokerRow {
  return {
    family: "rabbitmq",
    title: `RabbitMQ ${release}`,
    needs: RABBITMQ_NEEDS[release],
    extras: [CHROMIUM],
    transports: ["stomp", "stomp+ssl", "ws", "wss"],
    versions: ALL_VERSIONS,
    capabilities: ALL_CAPABILITIES,
    start: (options) => startRabbitmq(release, options),
  };
}

/** The names of all brokers. */
export const BROKER_NAMES: readonly BrokerName[] = Object.keys(TABLE) as BrokerName[];

/** The names of those that keep messages until they are acknowledged. */
export const KEEPING_BROKERS: readonly BrokerName[] = BROKER_NAMES.filter((name) => {
  return TABLE[name].capabilities.includes("queues");
});

/** The families of all brokers. */
export const FAMILIES: readonly Family[] = familiesOf(BROKER_NAMES);

/** Returns the families of brokers, without repetition. */
export function familiesOf(names: readonly BrokerName[]): Family[] {
  return [...new Set(names.map((name) => TABLE[name].family))];
}

/**
 * Returns the brokers that names of brokers and families mean, without repetition.
 *
 * @param known are those to choose from; by default all.
 * @throws {TypeError} when a name is unknown.
 */
export function chooseBrokers(wanted: readonly string[], known: readonly BrokerName[] = BROKER_NAMES): BrokerName[] {
  const chosen = wanted.flatMap((given) => {
    const found = known.filter((name) => name === given || TABLE[name].family === given);
    if (found.length > 0) return found;
    const choices = new Set<string>([...familiesOf(known), ...known]);
    throw new TypeError(`Cannot use the broker "${given}": the choices are ${[...choices].join(", ")}`);
  });
  return BROKER_NAMES.filter((name) => chosen.includes(name));
}

/** Brings what the brokers and their tests lack. What cannot be brought is still missing afterwards. */
export async function installBrokers(names: readonly BrokerName[], log: (line: string) => void): Promise<void> {
  await bringAll(names.flatMap((name) => [...TABLE[name].needs, ...TABLE[name].extras ?? []]), log);
}

/**
 * Starts a broker and waits until it answers.
 *
 * @throws {Error} when it does not start, or this machine lacks what it needs. The message says how to get it.
 */
export async function startBroker(name: BrokerName, options?: HarnessOptions): Promise<RealBroker> {
  const { family, title, needs, versions, capabilities, start } = TABLE[name];
  if (missing(needs).length > 0) throw new Error(adviceFor(title, needs, variableFor(family)));
  return Object.assign(await start(options), { name, family, versions, capabilities });
}

/** Returns the environment variable that names a running broker. */
function variableFor(family: Family): string {
  return `STOMPY_${family.toUpperCase()}_URL`;
}

/**
 * Returns the running broker that `STOMPY_RABBITMQ_URL`, `STOMPY_ACTIVEMQ_URL` and so on name, if any: one or more URLs,
 * separated by commas, with user and password. `STOMPY_CA_FILE` names the file of its certificate authority.
 */
export function runningBroker(family: Family): RealBroker | undefined {
  const { env } = process;
  const list = env[variableFor(family)]?.split(",").map((url) => url.trim()).filter((url) => url !== "");
  if (list === undefined || list.length === 0) return undefined;
  const caFile = env["STOMPY_CA_FILE"];
  const urls = Object.fromEntries(
    list.map((url) => [url.slice(0, url.indexOf(":")).replace("stomps", "stomp+ssl"), url]),
  );
  const first = new URL(list[0]!.replace(/^[a-z+]+:/, "http:"));
  const cannot = (what: string) =>
    Promise.reject(new Error(`Cannot ${what} ${family}: it was not started by the harness`));
  const stop = () => Promise.resolve();
  const { versions, capabilities } = Object.values(TABLE).find((row) => row.family === family)!;
  return {
    name: family,
    family,
    versions,
    capabilities,
    urls,
    username: decodeURIComponent(first.username) || USER.username,
    password: decodeURIComponent(first.password) || USER.password,
    caCerts: caFile === undefined ? [] : [readFileSync(caFile, "utf8")],
    caFile,
    pid: undefined,
    kill: () => cannot("kill"),
    restart: () => cannot("restart"),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
