/**
 * `Broker`: the embedded broker's listener and its connections. `core.ts` executes the frames.
 *
 * @module
 */
import { checkLimit } from "../base/checks.ts";
import { StompError, UnknownBrokerResponseError } from "../base/errors.ts";
import { type Clock, systemClock } from "../base/timers.ts";
import { completeLimits, type DecoderLimits } from "../codec/limits.ts";
import { FrameConnection } from "../connection/frame_connection.ts";
import {
  formatHeartbeat,
  Heartbeat,
  type HeartbeatOffer,
  type HeartbeatPlan,
  NO_HEARTBEAT,
  parseHeartbeat,
} from "../connection/heartbeat.ts";
import { addressText } from "../transport/address.ts";
import { listen } from "../transport/open.ts";
import type { Listener, Transport } from "../transport/transport.ts";
import { BrokerCore } from "./core.ts";
import { type Peer, type PeerWire, Refusal } from "./peer.ts";
import { assertVersion, type Version, VERSIONS } from "../codec/protocol.ts";

/** Options of an embedded broker, including the {@linkcode DecoderLimits} for what it receives. */
export interface BrokerOptions extends DecoderLimits {
  /**
   * The login that clients must send; `undefined` accepts any login, or none.
   *
   * @default {undefined}
   */
  login?: string | undefined;
  /**
   * The passcode that clients must send; `undefined` accepts any passcode, or none.
   *
   * @default {undefined}
   */
  passcode?: string | undefined;
  /**
   * The heart-beats that the broker offers and wants, in milliseconds; `false` turns them off. For each direction the
   * longer interval of the two sides counts.
   *
   * @default {{ send: 1000, receive: 1000 }}
   */
  heartbeat?: HeartbeatOffer | false | undefined;
  /**
   * The versions that the broker speaks. Each connection gets the highest one that the client knows.
   *
   * @default {["1.0", "1.1", "1.2"]}
   */
  versions?: readonly Version[] | undefined;
  /**
   * How often a message that was refused with NACK is delivered again before it is dropped.
   *
   * @default {5}
   */
  maxRedeliveries?: number | undefined;
  /**
   * Bytes of all messages and queues together, by default 1 GiB; a SEND beyond that is answered by ERROR. Subscriptions
   * and transactions may take a quarter as much on top; a SUBSCRIBE or BEGIN beyond that is answered by ERROR, too.
   *
   * @default {1_073_741_824}
   */
  maxStoredBytes?: number | undefined;
  /**
   * Bytes of messages that may wait for one subscriber of a topic, by default 256 MiB. The connection of a subscriber
   * that is further behind is closed with ERROR.
   *
   * @default {268_435_456}
   */
  maxBacklogBytes?: number | undefined;
  /**
   * Milliseconds within which a client must send CONNECT.
   *
   * @default {10_000}
   */
  connectTimeout?: number | undefined;
  /**
   * The clock for heart-beats and timeouts, by default the system's. Tests replace it.
   *
   * @default {systemClock}
   */
  clock?: Clock | undefined;
}

/** Options of a broker that listens: {@linkcode BrokerOptions}, and the address. */
export interface ListenOptions extends BrokerOptions {
  /**
   * The address to listen on. The default is only reachable from this machine.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string | undefined;
  /**
   * The port to listen on; 0 picks a free one.
   *
   * @default {0}
   */
  port?: number | undefined;
}

/** What a broker holds at one moment. */
export interface BrokerStats {
  /** Open connections. */
  peers: number;
  /** Queues and topics that have a message or a subscriber. */
  destinations: number;
  /** Messages that wait or are not acknowledged yet; a topic's messages count once per subscriber. */
  messages: number;
}

/**
 * An embedded STOMP broker for development and tests, in memory. The page of the module says how it behaves.
 *
 * @example A broker for a test
 * ```ts
 * import { Stomp } from "@x/stompy";
 * import { Broker } from "@x/stompy/broker";
 *
 * await using broker = await Broker.listen();
 * await using stomp = await Stomp.connect(broker.url);
 * await stomp.send("/queue/orders", "an order");
 * console.log(broker.stats.messages); // 1
 * ```
 */
export class Broker implements AsyncDisposable {
  readonly #core: BrokerCore;
  readonly #settings: ConnectionSettings;
  readonly #connections = new Set<Connection>();
  #listener: Listener | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Creates a broker that does not listen; {@linkcode accept} adds connections to it.
   *
   * @example Without a port
   * ```ts
   * import { Broker } from "@x/stompy/broker";
   *
   * await using broker = new Broker({ heartbeat: false });
   * console.log(broker.port); // 0
   * ```
   *
   * @throws {TypeError} if a version does not exist.
   * @throws {RangeError} if a number is negative or not a number.
   */
  constructor(options: BrokerOptions = {}) {
    const { login, passcode, heartbeat, versions = VERSIONS, connectTimeout = 10_000, clock = systemClock } = options;
    const { maxRedeliveries = 5, maxStoredBytes = 2 ** 30, maxBacklogBytes = 2 ** 28 } = options;
    for (const version of versions) assertVersion(version);
    const numbers = { connectTimeout, maxRedeliveries, maxStoredBytes, maxBacklogBytes };
    for (const [name, value] of Object.entries(numbers)) checkLimit("create a broker", name, value, 0);
    const offer = heartbeat === false ? NO_HEARTBEAT : heartbeat ?? { send: 1000, receive: 1000 };
    if (parseHeartbeat(formatHeartbeat(offer)) === undefined) {
      throw new RangeError(
        `Cannot create a broker: heartbeat is ${formatHeartbeat(offer)}, but must be two whole numbers of 0 or more`,
      );
    }
    this.#settings = { ...completeLimits(options), connectTimeout, clock };
    this.#core = new BrokerCore({ login, passcode, heartbeat: offer, versions, ...numbers });
  }

  /**
   * Creates a broker that listens on TCP.
   *
   * @example On a free port, with a password
   * ```ts
   * import { Broker } from "@x/stompy/broker";
   *
   * await using broker = await Broker.listen({ login: "guest", passcode: "guest" });
   * console.log(broker.port > 0); // true
   * ```
   *
   * @throws {ConnectionError} if it cannot listen on the address or the port.
   * @throws {TypeError} if a version does not exist.
   * @throws {RangeError} if a number is negative or not a number.
   */
  static async listen(options: ListenOptions = {}): Promise<Broker> {
    const { hostname = "127.0.0.1", port = 0 } = options;
    const broker = new Broker(options);
    broker.#listener = await listen({ hostname, port }, (transport) => broker.accept(transport));
    return broker;
  }

  /** The port that the broker listens on; 0 if it does not listen. */
  get port(): number {
    return this.#listener?.port ?? 0;
  }

  /**
   * The URL for clients on this machine, without login and passcode.
   *
   * @throws {TypeError} if the broker does not listen.
   */
  get url(): string {
    if (this.#listener === undefined) {
      throw new TypeError("Cannot get url: the broker does not listen, create it with Broker.listen()");
    }
    const { hostname, port } = this.#listener;
    // The names for "all addresses" cannot be connected to.
    const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
    return `stomp://${addressText({ hostname: host, port })}`;
  }

  /** What the broker holds at this moment. */
  get stats(): BrokerStats {
    return { peers: this.#connections.size, ...this.#core.stats };
  }

  /**
   * Serves the client at the other end of a transport. A broker that is closed closes the transport.
   *
   * @example A client in the same process
   * ```ts
   * import { Broker } from "@x/stompy/broker";
   *
   * const toBroker = new TransformStream<Uint8Array, Uint8Array>();
   * const toClient = new TransformStream<Uint8Array, Uint8Array>();
   * const broker = new Broker();
   * broker.accept({
   *   readable: toBroker.readable,
   *   writable: toClient.writable,
   *   peer: "memory",
   *   close: () => toBroker.writable.abort(),
   * });
   * console.log(broker.stats.peers); // 1
   * await broker.close();
   * ```
   */
  accept(transport: Transport): void {
    if (this.#closing) return void transport.close();
    const connection = new Connection(transport, this.#core, this.#settings);
    this.#connections.add(connection);
    connection.closed.then(() => this.#connections.delete(connection));
  }

  /**
   * Stops listening, closes all connections and drops all messages. Always resolves; further calls return the same
   * promise.
   *
   * @example At the end of a test
   * ```ts
   * import { Broker } from "@x/stompy/broker";
   *
   * const broker = await Broker.listen();
   * await broker.close();
   * console.log(broker.stats.peers); // 0
   * ```
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** Closes the broker, as {@linkcode close} does, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const connections = [...this.#connections];
    await Promise.all([this.#listener?.close(), ...connections.map((connection) => connection.close())]);
  }
}

/** How long a client may take to read the last frame before its socket is closed. */
const LINGER_MS = 3000;

/** The settings that all connections of a broker share. */
interface ConnectionSettings extends DecoderLimits {
  readonly connectTimeout: number;
  readonly clock: Clock;
}

/** One connection: a socket and its timers, tied to a peer of the core. */
class Connection implements PeerWire {
  /** Resolves after the socket is closed. */
  readonly closed: Promise<void>;
  readonly socket: FrameConnection;
  readonly #core: BrokerCore;
  readonly #clock: Clock;
  readonly #peer: Peer;
  readonly #resolveClosed: () => void;
  #heartbeat: Heartbeat | undefined;
  readonly #cancelDeadline: () => void;

  constructor(transport: Transport, core: BrokerCore, settings: ConnectionSettings) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#core = core;
    this.#clock = settings.clock;
    this.socket = new FrameConnection(transport, { ...settings, followsCrlf: true });
    const peer = this.#peer = core.join(this);
    const { clock, connectTimeout } = settings;
    this.#cancelDeadline = clock.after(connectTimeout, () => {
      core.fail(peer, new Refusal("no CONNECT in time", `A client must send CONNECT within ${connectTimeout} ms`));
    });
    this.socket.start({
      onFrame: (frame) => core.handle(peer, frame),
      onEnd: (error) => this.#onEnd(error),
    });
  }

  connected(plan: HeartbeatPlan): void {
    this.#cancelDeadline();
    this.#heartbeat = new Heartbeat(plan, this.socket, {
      clock: this.#clock,
      stopped: (silence) => {
        const detail = `The client promised heart-beats and sent nothing for ${Math.round(silence)} ms`;
        this.#core.fail(this.#peer, new Refusal("heart-beat missed", detail));
      },
    });
  }

  end(): void {
    this.#stopTimers();
    this.socket.end(LINGER_MS).then(this.#resolveClosed);
  }

  async close(): Promise<void> {
    this.#stopTimers();
    this.#peer.state = "closed";
    await this.socket.close();
    this.#resolveClosed();
  }

  #onEnd(error: StompError | undefined): void {
    if (error instanceof UnknownBrokerResponseError) {
      // The cause is the decoder's own error, without the address that the socket appends.
      const { message } = error.cause instanceof Error ? error.cause : error;
      this.#core.fail(this.#peer, new Refusal("malformed frame", message));
      return;
    }
    this.#core.leave(this.#peer);
    // A client that has closed its writing side may still be reading.
    if (error === undefined) this.end();
    else this.close();
  }

  #stopTimers(): void {
    this.#cancelDeadline();
    this.#heartbeat?.stop();
  }
}
