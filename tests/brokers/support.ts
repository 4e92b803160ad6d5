/**
 * What the tests on real brokers share: which brokers there are, and a client that is gone when the test ends.
 *
 * @module
 */
import { test } from "#test";
import process from "node:process";
import { Stomp } from "../../client/stomp.ts";
import type { StompOptions } from "../../client/options.ts";
import type { Version } from "../../codec/protocol.ts";
import type { Message } from "../../client/message.ts";
import type { Subscription } from "../../client/subscription.ts";
import { control, type ControlAction, VARIABLES } from "./control.ts";
import type { BrokerDetails, BrokerName, RigDetails } from "./rig/broker.ts";

export type { BrokerDetails, BrokerName, RigDetails } from "./rig/broker.ts";

/** The versions of the protocol. */
export const VERSIONS: readonly Version[] = ["1.0", "1.1", "1.2"];

/** How to talk to a broker. */
export interface Target {
  /** The broker. */
  readonly broker: BrokerDetails;
  /** One of its transports. */
  readonly transport: string;
  /** The version to speak. */
  readonly version: Version;
}

/** What a test gets. */
export interface Rig extends Target {
  /** What only the rig's own brokers have. */
  readonly own: RigDetails;
  /** Connects a client, which is disconnected when the test ends. It does not reconnect unless told to. */
  connect(options?: StompOptions & { url?: string }): Promise<Stomp>;
  /** The options of `connect`, for who makes a client in another way. */
  options(options?: StompOptions): StompOptions;
  /** The URL of the transport. */
  readonly url: string;
  /** A queue that nobody else has. */
  queue(prefix?: string): string;
  /** A topic that nobody else has. */
  topic(): string;
  /** Has the broker killed or restarted. */
  control(action: ControlAction): Promise<void>;
}

/** A test, and what it is for. */
export interface BrokerTest {
  /** Only for this broker. Default all. */
  broker?: BrokerName;
  /** Only for these versions. Default all for {@linkcode everywhere}, else 1.2. */
  versions?: readonly Version[];
  /** Only over these transports. Default all. */
  transports?: readonly string[];
  /** Makes its connections itself, so not over a transport where that needs care. Default `false`. */
  raw?: boolean;
  /** Only for brokers of the rig, not for those that were running already. Default `false`. */
  own?: boolean;
  /** Milliseconds. Default 20,000. */
  timeout?: number;
  /** The test. */
  fn: (rig: Rig) => Promise<void>;
}

/** The brokers that there are. */
export const brokers: readonly BrokerDetails[] = readBrokers();

/**
 * ActiveMQ 5.17 may take the first frame of such a connection twice, when another was opened shortly before: it answers
 * CONNECT with CONNECTED, CONNECTED and ERROR. Any client sees that; here it would only stand in the way of the tests.
 */
const FLAKY = "stomp+nio+ssl";

let names = 0;
const run = Math.random().toString(36).slice(2, 8);

/** Registers a test for each broker, each of its transports and each version. */
export function everywhere(name: string, test: BrokerTest | BrokerTest["fn"]): void {
  const definition = typeof test === "function" ? { fn: test } : test;
  const targets = chosen(definition).flatMap((broker) => {
    const transports = transportsOf(broker).filter((transport) =>
      (definition.transports?.includes(transport) ?? true) && !(definition.raw && transport === FLAKY)
    );
    return transports.flatMap((transport) =>
      (definition.versions ?? VERSIONS).map((version) => ({ broker, transport, version }))
    );
  });
  registerAll(name, definition, targets);
}

/** Registers a test for each broker: over TCP where it is possible, and in version 1.2 unless others are asked for. */
export function once(name: string, test: BrokerTest | BrokerTest["fn"]): void {
  const definition = typeof test === "function" ? { fn: test } : test;
  const targets = chosen(definition).flatMap((broker) => {
    const transport = "stomp" in broker.urls ? "stomp" : transportsOf(broker)[0];
    if (transport === undefined) return [];
    return (definition.versions ?? ["1.2" as const]).map((version) => ({ broker, transport, version }));
  });
  registerAll(name, definition, targets);
}

/** Registers one test that does the same for each broker over each of its transports, all at the same time. */
export function allAtOnce(name: string, fn: BrokerTest["fn"]): void {
  test(name, async () => {
    const clients: Stomp[] = [];
    try {
      await Promise.all(
        brokers.flatMap((broker) =>
          transportsOf(broker).map((transport) => fn(makeRig({ broker, transport, version: "1.2" }, clients)))
        ),
      );
    } finally {
      await disconnect(clients);
    }
  });
}

/** The transports of a broker that are to be tested. */
export function transportsOf(broker: BrokerDetails): string[] {
  const wanted = process.env[VARIABLES.transports]?.split(",");
  return Object.keys(broker.urls).filter((transport) => wanted?.includes(transport) ?? true);
}

/** Takes the next messages; fails when they do not come. */
export async function take(subscription: Subscription, count: number, timeout = 8000): Promise<Message[]> {
  const messages: Message[] = [];
  while (messages.length < count) {
    const message = await subscription.take({ timeout });
    if (message === undefined) throw new Error(`The subscription ended after ${messages.length} of ${count} messages`);
    messages.push(message);
  }
  return messages;
}

/** The texts of the next messages. */
export async function takeTexts(subscription: Subscription, count: number, timeout?: number): Promise<string[]> {
  return (await take(subscription, count, timeout)).map((message) => message.text());
}

/**
 * The texts of all that is delivered before what is sent now. Where the broker keeps the order, that is all that was to
 * come: no test has to wait for messages that do not come.
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

/** Waits until something is so; for what a broker does later and does not tell. */
export async function eventually(what: string, check: () => boolean | Promise<boolean>, timeout = 8000): Promise<void> {
  const end = performance.now() + timeout;
  while (!await check()) {
    if (performance.now() > end) throw new Error(`Not within ${timeout / 1000} s: ${what}`);
    await delay(20);
  }
}

/** Waits: for tests on time itself, and on what must not happen within it. */
export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function chosen({ broker: wanted }: BrokerTest): readonly BrokerDetails[] {
  return brokers.filter((broker) => wanted === undefined || broker.name === wanted);
}

function registerAll(name: string, definition: BrokerTest, targets: readonly Target[]): void {
  // A test that has nothing to run on is seen to be left out.
  if (targets.length === 0) test({ name, ignore: true, fn() {} });
  for (const target of targets) register(name, definition, target);
}

function register(name: string, { fn, own, timeout = 20_000 }: BrokerTest, target: Target): void {
  const { broker, transport, version } = target;
  test({
    name: `${broker.name} ${transport} ${version}: ${name}`,
    timeout,
    ignore: own === true && broker.rig === undefined,
    async fn() {
      const clients: Stomp[] = [];
      try {
        await fn(makeRig(target, clients));
      } finally {
        await disconnect(clients);
      }
    },
  });
}

async function disconnect(clients: readonly Stomp[]): Promise<void> {
  await Promise.all(clients.map((client) => client.disconnect({ timeout: 3000 })));
}

function makeRig(target: Target, clients: Stomp[]): Rig {
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
      if (broker.rig === undefined) throw new Error(`Cannot test on ${broker.name}: it is not the rig's own`);
      return broker.rig;
    },
    options,
    async connect({ url: to = url, ...more } = {}) {
      for (let attempt = 1;; attempt++) {
        const client = await Stomp.connect(to, options(more, to));
        clients.push(client);
        if (transport !== FLAKY || await isWhole(client) || attempt === 5) return client;
      }
    },
    queue: (prefix = "") => `/queue/${prefix}stompy-${run}-${process.pid}-${++names}`,
    topic: () => `/topic/stompy-${run}-${process.pid}-${++names}`,
    async control(action) {
      const address = process.env[VARIABLES.control];
      if (address === undefined) {
        throw new Error(`Cannot get "${action}" done with ${broker.name}: there is nobody to ask`);
      }
      await control(address, broker.name, action);
    },
  };
}

/** Whether the connection holds. */
async function isWhole(client: Stomp): Promise<boolean> {
  return await client.send("/queue/stompy-scratch", "", { expires: 1 }).then(() => true, () => false);
}

function isTls(url: string): boolean {
  return url.startsWith("stomp+ssl:") || url.startsWith("wss:");
}

function readBrokers(): BrokerDetails[] {
  const json = process.env[VARIABLES.brokers];
  if (json === undefined) throw new Error("Cannot test on real brokers: run this with deno task test:brokers");
  return JSON.parse(json);
}
