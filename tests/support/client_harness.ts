/**
 * Tests that each get clients and peers for them, all of which are closed when the test ends.
 *
 * @module
 */
import { test } from "#test";
import { type Clock, systemClock } from "../../base/timers.ts";
import { Broker, type BrokerOptions } from "../../broker/broker.ts";
import { Frame } from "../../codec/frame.ts";
import { Message } from "../../client/message.ts";
import { Session, type SessionOptions } from "../../session/session.ts";
import type { Status } from "../../client/status.ts";
import { type Stomp, stompWithClock } from "../../api/stomp.ts";
import type { StompOptions, SubscribeOptions } from "../../client/options.ts";
import type { Subscription } from "../../client/subscription.ts";
import { FakeClock } from "./fake_clock.ts";
import { memoryPair } from "./memory_transport.ts";
import type { Transport } from "../../transport/transport.ts";
import { RawPeer } from "./raw_peer.ts";
import { confirm, connected, RawServer } from "./raw_server.ts";

/** Options of a client, and its clock. */
export interface ClientOptions extends StompOptions {
  /** The clock; the real one by default. */
  clock?: Clock;
}

/** What a test receives. */
export interface ClientHarness {
  /** Starts an embedded broker on a free port. */
  broker(options?: BrokerOptions): Promise<Broker>;
  /** Starts a scripted broker, on a free port by default. */
  server(port?: number): Promise<RawServer>;
  /** Makes a client that is not connected. */
  client(target: string | readonly string[], options?: ClientOptions): Stomp;
  /** Makes a client and connects it. */
  connect(target: string | readonly string[], options?: ClientOptions): Promise<Stomp>;
  /** Connects a client to a scripted broker, and returns that broker's end of the connection as `peer`. */
  pair(options?: ClientOptions, version?: string, lines?: string): Promise<{
    stomp: Stomp;
    peer: RawPeer;
    server: RawServer;
  }>;
  /** Makes a connection in memory and returns both of its ends. */
  memory(): [Transport, RawPeer];
  /** Registers a function to call when the test ends. */
  atEnd(cleanUp: () => unknown): void;
}

/** Registers a test with a harness. */
export function clientTest(
  nameOrDefinition: string | { name: string; ignore?: boolean; timeout?: number },
  fn: (harness: ClientHarness) => Promise<void>,
): void {
  const definition = typeof nameOrDefinition === "string" ? { name: nameOrDefinition } : nameOrDefinition;
  test({
    ...definition,
    fn: async () => {
      const cleanUps: (() => unknown)[] = [];
      try {
        await fn(makeHarness(cleanUps));
      } finally {
        while (cleanUps.length > 0) await cleanUps.pop()!();
      }
    },
  });
}

function makeHarness(cleanUps: (() => unknown)[]): ClientHarness {
  const harness: ClientHarness = {
    async broker(options) {
      const broker = await Broker.listen(options);
      cleanUps.push(() => broker.close());
      return broker;
    },
    async server(port) {
      const server = await RawServer.listen(port);
      cleanUps.push(() => server.close());
      return server;
    },
    client(target, options = {}) {
      const stomp = stompWithClock(target, options, options.clock ?? systemClock);
      cleanUps.push(() => stomp.disconnect({ signal: AbortSignal.abort() }));
      return stomp;
    },
    async connect(target, options) {
      const stomp = harness.client(target, options);
      await stomp.connect();
      return stomp;
    },
    async pair(options, version, lines) {
      const server = await harness.server();
      const stomp = harness.client(server.url, { heartbeat: false, ...options });
      const [peer] = await Promise.all([server.welcome(version, lines), stomp.connect()]);
      return { stomp, peer, server };
    },
    memory() {
      const [near, far] = memoryPair();
      const peer = RawPeer.over(far);
      cleanUps.push(() => peer.close(), () => near.close());
      return [near, peer];
    },
    atEnd: (cleanUp) => void cleanUps.push(cleanUp),
  };
  return harness;
}

/** Subscribes, and confirms the SUBSCRIBE as the peer. */
export async function subscribed(
  stomp: Stomp,
  peer: RawPeer,
  destination = "/queue/a",
  options: SubscribeOptions = {},
): Promise<Subscription> {
  const [subscription] = await Promise.all([stomp.subscribe(destination, options), confirm(peer, "SUBSCRIBE")]);
  return subscription;
}

/** Collects the status events of a client. `until` waits for the next event of a type. */
export class Watcher {
  /** The events that `until` has read. */
  readonly events: Status[] = [];
  readonly #statuses: AsyncIterableIterator<Status>;

  /** Starts watching. */
  constructor(stomp: Stomp) {
    this.#statuses = stomp.status();
  }

  /** Resolves to the next event of the type. Rejects when the client is closed before it. */
  async until<T extends Status["type"]>(type: T): Promise<Extract<Status, { type: T }>> {
    for (;;) {
      const { done, value } = await this.#statuses.next();
      if (done) throw new Error(`Expected "${type}", seen were ${this.events.map((event) => event.type)}`);
      this.events.push(value);
      if (value.type === type) return value as Extract<Status, { type: T }>;
    }
  }
}

/** Closes the connection as the peer, and resolves when the client has noticed. */
export async function dropConnection(stomp: Stomp, peer: RawPeer): Promise<void> {
  const watcher = new Watcher(stomp);
  await peer.close();
  await watcher.until("disconnected");
}

/**
 * Lets the wait before each new connection pass at once.
 *
 * @returns the milliseconds of each wait, also of those to come
 */
export function skipWaits(stomp: Stomp, clock: FakeClock): number[] {
  const waits: number[] = [];
  (async () => {
    for await (const status of stomp.status()) {
      if (status.type !== "reconnecting") continue;
      waits.push(status.delay);
      clock.pass(status.delay);
    }
  })();
  return waits;
}

/** Makes a pair whose client waits for no time before it reconnects. All its waits go by the clock. */
export async function quickPair(
  harness: ClientHarness,
  options: StompOptions = {},
  version?: string,
  lines?: string,
): Promise<{ stomp: Stomp; peer: RawPeer; server: RawServer; clock: FakeClock }> {
  const clock = new FakeClock();
  const pair = await harness.pair({ reconnect: { delay: 0 }, ...options, clock }, version, lines);
  skipWaits(pair.stomp, clock);
  return { ...pair, clock };
}

/** Runs all microtasks: everything that waits neither for a socket nor for a timer. */
export async function flushMicrotasks(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

/** Opens a session over a connection in memory, and returns the peer's end as well. */
export async function openSession(
  harness: ClientHarness,
  options: Partial<SessionOptions> = {},
  version = "1.2",
  lines = "",
): Promise<{ session: Session; peer: RawPeer }> {
  const [transport, peer] = harness.memory();
  const opening = Session.open(transport, {
    host: "/",
    heartbeat: { send: 0, receive: 0 },
    timeout: 5000,
    messageType: Message,
    ...options,
  });
  await peer.frame("CONNECT");
  await peer.write(connected(version, lines));
  const session = await opening;
  harness.atEnd(() => session.close());
  return { session, peer };
}

/** A sink that keeps the texts that are delivered. */
export function collectingSink(
  id: string,
  destination = "/queue/a",
): { id: string; destination: string; got: string[]; deliver(message: Frame): void } {
  const got: string[] = [];
  return { id, destination, got, deliver: (message) => got.push(message.text()) };
}

/** Builds a frame. */
export function frame(command: string, headers: Record<string, string> = {}, body?: string): Frame {
  return new Frame().buildFrame({ command, headers, body });
}
