/**
 * A test with clients, and far ends for them, which are all gone when it ends.
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
import { type Stomp, stompWithClock } from "../../client/stomp.ts";
import type { StompOptions, SubscribeOptions } from "../../client/options.ts";
import type { Subscription } from "../../client/subscription.ts";
import { memoryPair, type Transport } from "../../transport/transport.ts";
import { RawPeer } from "./raw_peer.ts";
import { confirm, connected, RawServer } from "./raw_server.ts";

/** Options of a client, and its clock. */
export interface ClientOptions extends StompOptions {
  /** The clock; the real one by default. */
  clock?: Clock;
}

/** What such a test gets. */
export interface ClientRig {
  /** A broker that listens on a free port. */
  broker(options?: BrokerOptions): Promise<Broker>;
  /** A scripted broker that listens on a free port. */
  server(port?: number): Promise<RawServer>;
  /** A client that is not connected. */
  client(target: string | readonly string[], options?: ClientOptions): Stomp;
  /** A client that is connected. */
  connect(target: string | readonly string[], options?: ClientOptions): Promise<Stomp>;
  /** A client of a scripted broker, and that broker's end of the connection. */
  pair(options?: ClientOptions, version?: string, lines?: string): Promise<{
    stomp: Stomp;
    peer: RawPeer;
    server: RawServer;
  }>;
  /** Both ends of a connection in memory. */
  memory(): [Transport, RawPeer];
  /** Has something done at the end of the test. */
  atEnd(done: () => unknown): void;
}

/** Registers a test. */
export function clientTest(
  nameOrDefinition: string | { name: string; ignore?: boolean; timeout?: number },
  fn: (rig: ClientRig) => Promise<void>,
): void {
  const definition = typeof nameOrDefinition === "string" ? { name: nameOrDefinition } : nameOrDefinition;
  test({
    ...definition,
    fn: async () => {
      const ends: (() => unknown)[] = [];
      try {
        await fn(makeRig(ends));
      } finally {
        while (ends.length > 0) await ends.pop()!();
      }
    },
  });
}

function makeRig(ends: (() => unknown)[]): ClientRig {
  const rig: ClientRig = {
    async broker(options) {
      const broker = await Broker.listen(options);
      ends.push(() => broker.close());
      return broker;
    },
    async server(port) {
      const server = await RawServer.listen(port);
      ends.push(() => server.close());
      return server;
    },
    client(target, options = {}) {
      const stomp = stompWithClock(target, options, options.clock ?? systemClock);
      ends.push(() => stomp.disconnect({ signal: AbortSignal.abort() }));
      return stomp;
    },
    async connect(target, options) {
      const stomp = rig.client(target, options);
      await stomp.connect();
      return stomp;
    },
    async pair(options, version, lines) {
      const server = await rig.server();
      const stomp = rig.client(server.url, { heartbeat: false, ...options });
      const [peer] = await Promise.all([server.welcome(version, lines), stomp.connect()]);
      return { stomp, peer, server };
    },
    memory() {
      const [near, far] = memoryPair();
      const peer = RawPeer.over(far);
      ends.push(() => peer.close(), () => near.close());
      return [near, peer];
    },
    atEnd: (done) => void ends.push(done),
  };
  return rig;
}

/** Subscribes, and confirms it at the other end. */
export async function subscribed(
  stomp: Stomp,
  peer: RawPeer,
  destination = "/queue/a",
  options: SubscribeOptions = {},
): Promise<Subscription> {
  const [subscription] = await Promise.all([stomp.subscribe(destination, options), confirm(peer, "SUBSCRIBE")]);
  return subscription;
}

/** Collects what happens to a client; `until` waits for the next event of a type. */
export class Watcher {
  /** What has happened so far. */
  readonly events: Status[] = [];
  readonly #statuses: AsyncIterableIterator<Status>;

  /** Watches from now on. */
  constructor(stomp: Stomp) {
    this.#statuses = stomp.status();
  }

  /** The next event of that type; fails when the client is closed before. */
  async until<T extends Status["type"]>(type: T): Promise<Extract<Status, { type: T }>> {
    for (;;) {
      const { done, value } = await this.#statuses.next();
      if (done) throw new Error(`Expected "${type}", seen were ${this.events.map((event) => event.type)}`);
      this.events.push(value);
      if (value.type === type) return value as Extract<Status, { type: T }>;
    }
  }
}

/** Breaks the connection; resolves when the client knows. */
export async function breakOff(stomp: Stomp, peer: RawPeer): Promise<void> {
  const watcher = new Watcher(stomp);
  await peer.close();
  await watcher.until("disconnected");
}

/** Lets everything happen that is not waiting for a socket or a timer. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

/** A session over memory, and the other end of it. */
export async function openSession(
  rig: ClientRig,
  options: Partial<SessionOptions> = {},
  version = "1.2",
  lines = "",
): Promise<{ session: Session; peer: RawPeer }> {
  const [transport, peer] = rig.memory();
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
  rig.atEnd(() => session.close());
  return { session, peer };
}

/** A frame. */
export function frame(command: string, headers: Record<string, string> = {}, body?: string): Frame {
  return new Frame().buildFrame({ command, headers, body });
}
