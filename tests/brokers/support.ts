/**
 * Registers tests on real brokers, and gives each test clients that are disconnected when it ends.
 *
 * @module
 */
import { test } from "#test";
import process from "node:process";
import { Stomp } from "../../api/stomp.ts";
import type { StompOptions } from "../../client/options.ts";
import type { Version } from "../../codec/protocol.ts";
import type { Message } from "../../client/message.ts";
import type { Subscription } from "../../client/subscription.ts";
import type { Cells } from "./cells.ts";
import { control, type ControlAction, VARIABLES } from "./control.ts";
import {
  type BrokerDetails,
  type BrokerName,
  type Capability,
  type Family,
  type HarnessDetails,
  USUAL_CAPABILITIES,
} from "./harness/broker.ts";

export type { BrokerDetails, BrokerName, Family, HarnessDetails } from "./harness/broker.ts";

/** The versions of the protocol. */
export const VERSIONS: readonly Version[] = ["1.0", "1.1", "1.2"];

/** A combination that a test runs on. */
export interface Target {
  /** The broker. */
  readonly broker: BrokerDetails;
  /** One of its transports. */
  readonly transport: string;
  /** The version of the protocol. */
  readonly version: Version;
}

/** What a test receives. */
export interface Harness extends Target {
  /** What only a broker that the harness started has. */
  readonly own: HarnessDetails;
  /** Connects a client, which is disconnected when the test ends. It does not reconnect by default. */
  connect(options?: StompOptions & { url?: string }): Promise<Stomp>;
  /** Returns the options that `connect` uses, for tests that make a client themselves. */
  options(options?: StompOptions): StompOptions;
  /** The URL of the transport. */
  readonly url: string;
  /** Returns the option `prefetch` where the broker counts messages, and otherwise nothing. */
  prefetch(count: number): { prefetch?: number };
  /** Returns the name of a new queue. */
  queue(prefix?: string): string;
  /** Returns the name of a new topic. */
  topic(): string;
  /** Kills or restarts the broker, or changes its settings. */
  control(action: ControlAction): Promise<void>;
}

/** A test, and the brokers, versions and transports that it is for. */
export interface BrokerTest {
  /** The brokers, or the families of brokers. Default all. */
  broker?: BrokerName | Family | readonly (BrokerName | Family)[];
  /** What the broker must be capable of. Default all that there is. */
  needs?: readonly Capability[];
  /** The versions, as far as the broker speaks them. Default all for {@linkcode everywhere}, else 1.2. */
  versions?: readonly Version[];
  /** The transports. Default all. */
  transports?: readonly string[];
  /** Whether the test waits for seconds, and so runs in one of the runtimes unless all is wanted. Default `false`. */
  slow?: boolean;
  /** Whether the test makes its connections itself, and so skips {@linkcode FLAKY_TRANSPORT}. Default `false`. */
  raw?: boolean;
  /** Whether the test is only for brokers that the harness started. Default `false`. */
  own?: boolean;
  /** The timeout in milliseconds. Default 20,000. */
  timeout?: number;
  /** The test. */
  fn: (harness: Harness) => Promise<void>;
}

/** The brokers to test on. */
export const brokers: readonly BrokerDetails[] = readVariable(VARIABLES.brokers);

/** What to test of them. */
const cells: Cells = readVariable(VARIABLES.cells);

/**
 * On this transport ActiveMQ 5.17 and 6.3 sometimes take the frame after CONNECT for another CONNECT, and drop it. The first
 * send of a client shows whether that has happened. It happens to any client, so tests connect again.
 */
const FLAKY_TRANSPORT = "stomp+nio+ssl";

/** With two connections opened at a time, ActiveMQ 6.3 spoils 6 of 100, so that this many in a row means something else. */
const MAX_FLAKY_CONNECTIONS = 10;

/** A first send that is dropped without an ERROR, which is rare, gets no answer. */
const FLAKY_TIMEOUT_MS = 3000;

let names = 0;
const run = Math.random().toString(36).slice(2, 8);

/** Registers a test for each broker, transport and version. */
export function everywhere(name: string, test: BrokerTest | BrokerTest["fn"]): void {
  const definition = typeof test === "function" ? { fn: test } : test;
  const targets = chosen(definition).flatMap((broker) => {
    const transports = transportsOf(broker).filter((transport) =>
      (definition.transports?.includes(transport) ?? true) && !(definition.raw && transport === FLAKY_TRANSPORT)
    );
    return transports.flatMap((transport) =>
      versionsOf(transport, definition.versions ?? VERSIONS).map((version) => ({ broker, transport, version }))
    );
  });
  registerAll(name, definition, targets);
}

/** Registers a test for each broker, over TCP if possible, and in version 1.2 unless the test names versions. */
export function once(name: string, test: BrokerTest | BrokerTest["fn"]): void {
  const definition = typeof test === "function" ? { fn: test } : test;
  const targets = chosen(definition).flatMap((broker) => {
    const transport = "stomp" in broker.urls ? "stomp" : transportsOf(broker)[0];
    if (transport === undefined) return [];
    return versionsOf(transport, definition.versions ?? ["1.2"]).map((version) => ({ broker, transport, version }));
  });
  registerAll(name, definition, targets);
}

/** Registers one test that runs the function for all brokers and transports in parallel. */
export function allAtOnce(name: string, fn: BrokerTest["fn"]): void {
  test(name, async () => {
    const clients: Stomp[] = [];
    try {
      await Promise.all(
        brokers.flatMap((broker) =>
          transportsOf(broker).map((transport) => fn(makeHarness({ broker, transport, version: "1.2" }, clients)))
        ),
      );
    } finally {
      await disconnect(clients);
    }
  });
}

/** Returns the transports of a broker that the command line has chosen. */
export function transportsOf(broker: BrokerDetails): string[] {
  return Object.keys(broker.urls).filter((transport) => transport in cells.versions);
}

/** Resolves to the next messages. Fails when they do not come in time. */
export async function take(subscription: Subscription, count: number, timeout = 8000): Promise<Message[]> {
  const messages: Message[] = [];
  while (messages.length < count) {
    const message = await subscription.take({ timeout });
    if (message === undefined) throw new Error(`The subscription ended after ${messages.length} of ${count} messages`);
    messages.push(message);
  }
  return messages;
}

/** Resolves to the texts of the next messages. */
export async function takeTexts(subscription: Subscription, count: number, timeout?: number): Promise<string[]> {
  return (await take(subscription, count, timeout)).map((message) => message.text());
}

/**
 * Sends a marker, and resolves to the texts of all messages before it. Since brokers keep the order, these are all
 * messages there are, so a test need not wait for messages that do not come.
 */
export async function takeTextsUntilMark(stomp: Stomp, subscription: Subscription): Promise<string[]> {
  const mark = `mark ${++names}`;
  await stomp.send(subscription.destination, mark);
  const texts: string[] = [];
  for (;;) {
    const [text] = await takeTexts(subscription, 1);
    if (text === mark) return texts;
    texts.push(text!);
  }
}

/**
 * Resolves to the texts of all messages, of which there are `count`. Unlike a mark, it also finds those that a broker gives
 * back only after it has confirmed DISCONNECT, as Artemis does.
 */
export async function takeAllTexts(stomp: Stomp, subscription: Subscription, count: number): Promise<string[]> {
  return [...await takeTexts(subscription, count), ...await takeTextsUntilMark(stomp, subscription)];
}

/** Polls until the check passes, for what a broker does without telling. */
export async function eventually(what: string, check: () => boolean | Promise<boolean>, timeout = 8000): Promise<void> {
  const end = performance.now() + timeout;
  while (!await check()) {
    if (performance.now() > end) throw new Error(`Not within ${timeout / 1000} s: ${what}`);
    await delay(20);
  }
}

/** Waits, for tests about time and about what must not happen. */
export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function chosen({ broker: wanted, needs = USUAL_CAPABILITIES, slow }: BrokerTest): readonly BrokerDetails[] {
  if (slow === true && !cells.isSlow) return [];
  return brokers.filter(({ name, family, capabilities }) =>
    (wanted === undefined || [wanted].flat().some((one) => one === name || one === family)) &&
    needs.every((need) => capabilities.includes(need))
  );
}

function versionsOf(transport: string, wanted: readonly Version[]): readonly Version[] {
  return wanted.filter((version) => cells.versions[transport]?.includes(version));
}

function registerAll(name: string, definition: BrokerTest, targets: readonly Target[]): void {
  // A test without a target is reported as ignored.
  if (targets.length === 0) test({ name, ignore: true, fn() {} });
  for (const target of targets) register(name, definition, target);
}

function register(name: string, { fn, own, timeout = 20_000 }: BrokerTest, target: Target): void {
  const { broker, transport, version } = target;
  test({
    name: `${broker.name} ${transport} ${version}: ${name}`,
    timeout,
    ignore: own === true && broker.harness === undefined,
    async fn() {
      const clients: Stomp[] = [];
      try {
        await fn(makeHarness(target, clients));
      } finally {
        await disconnect(clients);
      }
    },
  });
}

async function disconnect(clients: readonly Stomp[]): Promise<void> {
  await Promise.all(clients.map((client) => client.disconnect({ timeout: 3000 })));
}

function makeHarness(target: Target, clients: Stomp[]): Harness {
  const { broker, transport, version } = target;
  const url = broker.urls[transport]!;
  const options = (more: StompOptions = {}, to = url): StompOptions => ({
    versions: [version],
    reconnect: false,
    timeout: 10_000,
    ...(isTls(to) && broker.caCerts.length > 0 && { tls: { caCerts: [...broker.caCerts] } }),
    ...more,
  });
  return {
    ...target,
    url,
    get own() {
      if (broker.harness === undefined) {
        throw new Error(`Cannot test on ${broker.name}: it was not started by the harness`);
      }
      return broker.harness;
    },
    options,
    async connect({ url: to = url, ...more } = {}) {
      for (let attempt = 1;; attempt++) {
        const client = await Stomp.connect(to, options(more, to));
        clients.push(client);
        if (transport !== FLAKY_TRANSPORT) return client;
        const error = await failureOf(client);
        if (error === undefined) return client;
        if (attempt === MAX_FLAKY_CONNECTIONS) {
          throw new Error(`None of ${attempt} connections works`, { cause: error });
        }
      }
    },
    prefetch: (count) => broker.capabilities.includes("prefetch") ? { prefetch: count } : {},
    queue: (prefix = "") => `/queue/${prefix}stompy-${run}-${process.pid}-${++names}`,
    topic: () => `/topic/stompy-${run}-${process.pid}-${++names}`,
    async control(action) {
      const address = process.env[VARIABLES.control];
      if (address === undefined) {
        throw new Error(`Cannot do "${action}" with ${broker.name}: ${VARIABLES.control} is not set`);
      }
      await control(address, broker.name, action);
    },
  };
}

/** Resolves to why the first send of a client fails; to `undefined` when the connection works. */
function failureOf(client: Stomp): Promise<unknown> {
  const send = client.send("/queue/stompy-scratch", "", { expires: 1, timeout: FLAKY_TIMEOUT_MS });
  return send.then(() => undefined, (error) => error);
}

function isTls(url: string): boolean {
  return url.startsWith("stomp+ssl:") || url.startsWith("wss:");
}

/** Reads what `main.ts` hands over in an environment variable. */
function readVariable<T>(name: string): T {
  const json = process.env[name];
  if (json === undefined) throw new Error("Cannot test on real brokers: run this with deno task test:brokers");
  return JSON.parse(json);
}
