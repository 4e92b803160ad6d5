/**
 * `Broker`: the embedded broker's listener and its connections. What it does with each frame is in `broker_core.ts`.
 *
 * @module
 */
import { BrokerCore } from "./core.ts";
import { type Peer, type PeerWire, Refusal } from "./peer.ts";
import { listen } from "../transport/open.ts";
import { StompError, UnknownBrokerResponseError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { assertVersion, type Version, VERSIONS } from "../codec/headers.ts";
import {
  formatHeartbeat,
  Heartbeat,
  type HeartbeatOffer,
  type HeartbeatPlan,
  NO_HEARTBEAT,
  parseHeartbeat,
} from "../connection/heartbeat.ts";
import { type Clock, systemClock } from "../base/timers.ts";
import { completeLimits, type DecoderLimits } from "../codec/limits.ts";
import { FrameConnection } from "../connection/frame_connection.ts";
import { addressText } from "../transport/address.ts";
import type { Listener, Transport } from "../transport/transport.ts";

/** How a broker behaves; also {@linkcode DecoderLimits}, which hold for everything that it receives. */
export interface BrokerOptions extends DecoderLimits {
  /** The login that clients need. Default: any, or none. */
  login?: string | undefined;
  /** The passcode that clients need. Default: any, or none. */
  passcode?: string | undefined;
  /**
   * The heart-beats that the broker offers and wants, in milliseconds; the longer of the two sides' intervals counts.
   * `false` is for none. Default `{ send: 1000, receive: 1000 }`.
   */
  heartbeat?: HeartbeatOffer | false | undefined;
  /** The versions that it speaks. Default all three. */
  versions?: readonly Version[] | undefined;
  /** How often a message comes again that was refused with NACK. Default 5. */
  maxRedeliveries?: number | undefined;
  /**
   * Bytes of messages and queues that it keeps in all; a SEND above that is an error. Subscriptions and transactions have
   * a quarter as much for themselves; a SUBSCRIBE or BEGIN above that is one, too. Default 1,073,741,824 (1 GiB).
   */
  maxStoredBytes?: number | undefined;
  /** Bytes that may wait for one subscriber of a topic; one further behind is cut off. Default 268,435,456 (256 MiB). */
  maxBacklogBytes?: number | undefined;
  /** Milliseconds that a client may take to send CONNECT. Default 10,000. */
  connectTimeout?: number | undefined;
  /** The time; tests bring their own. */
  clock?: Clock | undefined;
}

/** Where a broker listens. */
export interface ListenOptions extends BrokerOptions {
  /** The address. Default `127.0.0.1`, which only this machine can reach. */
  hostname?: string | undefined;
  /** The port. Default 0: one that is free. */
  port?: number | undefined;
}

/** How much a broker holds. */
export interface BrokerStats {
  /** Connections. */
  peers: number;
  /** Queues and topics. */
  destinations: number;
  /** Messages that wait, or that were delivered and not acknowledged; for topics, once for each subscriber. */
  messages: number;
}

/** An embedded broker. See the module's documentation for what it does. */
export class Broker implements AsyncDisposable {
  readonly #core: BrokerCore;
  readonly #settings: ConnectionSettings;
  readonly #connections = new Set<Connection>();
  #listener: Listener | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Creates a broker that does not listen: {@linkcode accept} gives it its connections.
   *
   * @throws {TypeError} on a version that there is not.
   * @throws {RangeError} on a number that is none, or below 0.
   */
  constructor(options: BrokerOptions = {}) {
    const { heartbeat, versions = VERSIONS } = options;
    for (const version of versions) assertVersion(version);
    const offer = heartbeat === false ? NO_HEARTBEAT : heartbeat ?? { send: 1000, receive: 1000 };
    if (parseHeartbeat(formatHeartbeat(offer)) === undefined) {
      throw new RangeError(`Cannot use heartbeat ${formatHeartbeat(offer)}: it has two integers of 0 or more`);
    }
    this.#settings = {
      ...completeLimits(options),
      connectTimeout: amount("connectTimeout", options.connectTimeout, 10_000),
      clock: options.clock ?? systemClock,
    };
    this.#core = new BrokerCore({
      login: options.login,
      passcode: options.passcode,
      heartbeat: offer,
      versions,
      maxRedeliveries: amount("maxRedeliveries", options.maxRedeliveries, 5),
      maxStoredBytes: amount("maxStoredBytes", options.maxStoredBytes, 2 ** 30),
      maxBacklogBytes: amount("maxBacklogBytes", options.maxBacklogBytes, 2 ** 28),
    });
  }

  /**
   * Creates a broker that listens on TCP.
   *
   * @throws {ConnectionError} when the address or the port cannot be had.
   */
  static async listen(options: ListenOptions = {}): Promise<Broker> {
    const { hostname = "127.0.0.1", port = 0 } = options;
    const broker = new Broker(options);
    broker.#listener = await listen({ hostname, port }, (transport) => broker.accept(transport));
    return broker;
  }

  /** The port that it listens on; 0 when it does not listen. */
  get port(): number {
    return this.#listener?.port ?? 0;
  }

  /**
   * Where clients of this machine connect to. There is no user and no password in it.
   *
   * @throws {TypeError} when the broker does not listen.
   */
  get url(): string {
    if (this.#listener === undefined) throw new TypeError("Cannot give url: the broker does not listen");
    const { hostname, port } = this.#listener;
    // The names for "all addresses" are none to connect to.
    const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
    return `stomp://${addressText({ hostname: host, port })}`;
  }

  /** How much it holds at this moment. */
  get stats(): BrokerStats {
    return { peers: this.#connections.size, ...this.#core.counts };
  }

  /** Serves a client at the other end of a transport. */
  accept(transport: Transport): void {
    if (this.#closing) return void transport.close();
    const connection = new Connection(transport, this.#core, this.#settings);
    this.#connections.add(connection);
    connection.ended.then(() => this.#connections.delete(connection));
  }

  /** Stops listening and drops all connections and messages. Idempotent; always resolves. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The same as {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const connections = [...this.#connections];
    await Promise.all([this.#listener?.close(), ...connections.map((connection) => connection.close())]);
  }
}

function amount(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value === "number" && value >= 0) return value;
  throw new RangeError(`Cannot use ${name} ${value}: it is a number of 0 or more, or Infinity`);
}

/** Milliseconds that a client may take to read the last frame. */
const LINGER = 3000;

/** What the connections of a broker have in common. */
interface ConnectionSettings extends DecoderLimits {
  readonly connectTimeout: number;
  readonly clock: Clock;
}

/** One connection: the socket, its timers, and what ties them to the core. */
class Connection implements PeerWire {
  /** Resolves when socket and timers are gone. */
  readonly ended: Promise<void>;
  readonly #core: BrokerCore;
  readonly #clock: Clock;
  readonly #socket: FrameConnection;
  readonly #peer: Peer;
  readonly #resolveEnded: () => void;
  #heartbeat: Heartbeat | undefined;
  readonly #cancelDeadline: () => void;

  constructor(transport: Transport, core: BrokerCore, settings: ConnectionSettings) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.#core = core;
    this.#clock = settings.clock;
    this.#socket = new FrameConnection(transport, { ...settings, followsCrlf: true });
    const peer = this.#peer = core.join(this);
    const { clock, connectTimeout } = settings;
    this.#cancelDeadline = clock.after(connectTimeout, () => {
      core.fail(peer, new Refusal("no CONNECT in time", `A client has ${connectTimeout} ms to send CONNECT`));
    });
    this.#socket.start({
      onFrame: (frame) => core.handle(peer, frame),
      onEnd: (error) => this.#lost(error),
    });
  }

  get version(): Version {
    return this.#socket.version;
  }

  set version(version: Version) {
    this.#socket.version = version;
  }

  send(frame: Frame): Promise<void> | undefined {
    return this.#socket.send(frame);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  connected(plan: HeartbeatPlan): void {
    this.#cancelDeadline();
    this.#heartbeat = new Heartbeat(plan, this.#socket, {
      clock: this.#clock,
      stopped: (silence) => {
        const detail = `Nothing was received for ${Math.round(silence)} ms, in spite of the heart-beats agreed on`;
        this.#core.fail(this.#peer, new Refusal("heart-beat missed", detail));
      },
    });
  }

  end(): void {
    this.#stopTimers();
    this.#socket.end(LINGER).then(this.#resolveEnded);
  }

  async close(): Promise<void> {
    this.#stopTimers();
    this.#peer.over = true;
    await this.#socket.close();
    this.#resolveEnded();
  }

  #lost(error: StompError | undefined): void {
    if (error instanceof UnknownBrokerResponseError) {
      // The decoder's own words: the socket has put its address behind them.
      const { message } = error.cause instanceof Error ? error.cause : error;
      this.#core.fail(this.#peer, new Refusal("malformed frame", message));
      return;
    }
    this.#core.leave(this.#peer);
    // A client that has said its last word may still be reading what it is owed.
    if (error === undefined) this.end();
    else this.close();
  }

  #stopTimers(): void {
    this.#cancelDeadline();
    this.#heartbeat?.stop();
  }
}
