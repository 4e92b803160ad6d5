/**
 * What the embedded broker does with each frame. No sockets and no timers: frames come in through `handle` and go out
 * through the wire of their peer.
 *
 * @module
 */
import type { Frame } from "../codec/frame.ts";
import { withoutPadding } from "../codec/headers.ts";
import { ownText } from "../codec/text.ts";
import {
  formatHeartbeat,
  type HeartbeatOffer,
  negotiate,
  NO_HEARTBEAT,
  parseHeartbeat,
} from "../connection/heartbeat.ts";
import { Consumer, type Delivery } from "./consumer.ts";
import { Peer, type PeerWire, Refusal, type Transaction } from "./peer.ts";
import { Store, type StoreLimits } from "./store.ts";
import { isAckMode, type Version, VERSIONS } from "../codec/protocol.ts";

/** The options of a broker, with all defaults filled in. */
export interface BrokerCoreOptions extends StoreLimits {
  /** The required `login`; `undefined` accepts any, or none. */
  readonly login: string | undefined;
  /** The required `passcode`; `undefined` accepts any, or none. */
  readonly passcode: string | undefined;
  /** The heart-beats that the broker offers and wants. */
  readonly heartbeat: HeartbeatOffer;
  /** The versions that the broker speaks. */
  readonly versions: readonly Version[];
  /** How often a message that was refused with NACK is delivered again. */
  readonly maxRedeliveries: number;
}

/** The `server` header of CONNECTED, by which the client recognizes the embedded broker. */
const SERVER = "stompy";

/** How many subscriptions, and how many transactions, one connection may have. */
const MAX_OPEN_PER_CONNECTION = 10_000;

/** The broker without its sockets. */
export class BrokerCore {
  readonly #options: BrokerCoreOptions;
  readonly #session = crypto.randomUUID().slice(0, 8);
  readonly #store: Store;
  readonly #commands: ReadonlyMap<string, (peer: Peer, frame: Frame) => void> = new Map([
    ["CONNECT", (peer, frame) => this.#connect(peer, frame)],
    ["STOMP", (peer, frame) => this.#connect(peer, frame)],
    ["SEND", (peer, frame) => this.#send(peer, frame)],
    ["SUBSCRIBE", (peer, frame) => this.#subscribe(peer, frame)],
    ["UNSUBSCRIBE", (peer, frame) => this.#unsubscribe(peer, frame)],
    ["ACK", (peer, frame) => this.#acknowledge(peer, frame, true)],
    ["NACK", (peer, frame) => this.#acknowledge(peer, frame, false)],
    ["BEGIN", (peer, frame) => this.#begin(peer, frame)],
    ["COMMIT", (peer, frame) => this.#endTransaction(peer, frame, "commit")],
    ["ABORT", (peer, frame) => this.#endTransaction(peer, frame, "abort")],
    ["DISCONNECT", (peer) => peer.endAll()],
  ]);
  #peers = 0;

  /** Creates an empty broker. */
  constructor(options: BrokerCoreOptions) {
    this.#options = options;
    this.#store = new Store(this.#session, options);
  }

  /** How many destinations and messages there are. */
  get stats(): Store["stats"] {
    return this.#store.stats;
  }

  /** Adds a new connection. */
  join(wire: PeerWire): Peer {
    return new Peer(++this.#peers, wire, this.#store);
  }

  /** Executes a frame and answers it. */
  handle(peer: Peer, frame: Frame): void {
    if (peer.state === "closed") return;
    const isConnect = frame.command === "CONNECT" || frame.command === "STOMP";
    // CONNECT is answered by CONNECTED only: it may not ask for a receipt ("receipt" in the 1.2 text).
    const receipt = isConnect ? undefined : frame.header("receipt");
    try {
      if (isConnect && peer.state === "connected") {
        throw new Refusal("already connected", "This connection sent a second CONNECT");
      }
      if (!isConnect && peer.state !== "connected") {
        throw new Refusal("not connected", `${frame.command} arrived before CONNECT`);
      }
      if (receipt !== undefined && !peer.canCarry(receipt)) throw notCarried(peer, "receipt");
      this.#execute(peer, frame);
      // Before any delivery that the frame allows: a subscriber gets its receipt before its first message.
      if (receipt !== undefined) peer.sendReceipt(receipt);
      if (frame.command === "DISCONNECT") peer.close();
    } catch (error) {
      peer.fail(asRefusal(error), receipt);
    }
    this.#store.dispatch();
  }

  /** Closes a connection with an ERROR frame, for a reason that no frame gave. */
  fail(peer: Peer, refusal: Refusal): void {
    peer.fail(refusal, undefined);
    this.#store.dispatch();
  }

  /** Removes a connection that was lost: its transactions are aborted, and its deliveries are requeued. */
  leave(peer: Peer): void {
    if (peer.state === "closed") return;
    peer.state = "closed";
    peer.endAll();
    this.#store.dispatch();
  }

  #execute(peer: Peer, frame: Frame): void {
    const run = this.#commands.get(frame.command);
    if (run !== undefined) return run(peer, frame);
    throw new Refusal(`${frame.command} is not a client's command`, `Only a broker sends ${frame.command}`);
  }

  #connect(peer: Peer, frame: Frame): void {
    const { headers } = frame;
    const { versions, heartbeat } = this.#options;
    const offered = (headers["accept-version"] ?? "1.0").split(",").map((version) => version.trim());
    const spoken = VERSIONS.filter((known) => versions.includes(known));
    const version = spoken.findLast((known) => offered.includes(known));
    if (version === undefined) {
      const detail = `This broker speaks STOMP ${spoken.join(", ")}`;
      throw new Refusal("no common version", detail, { version: spoken.join(",") });
    }
    const credentials = version === "1.0" ? withoutPadding(headers) : headers;
    const { login, passcode } = this.#options;
    const isLogin = login === undefined || isSameText(credentials["login"], login);
    const isPasscode = passcode === undefined || isSameText(credentials["passcode"], passcode);
    if (!isLogin || !isPasscode) throw new Refusal("login refused", "The login or the passcode is wrong");
    // 1.0 has no heart-beats, so the header has no meaning there.
    const wanted = version === "1.0" ? NO_HEARTBEAT : parseHeartbeat(headers["heart-beat"]);
    if (wanted === undefined) {
      const detail = "The heart-beat header needs two integers, such as heart-beat:10000,10000";
      throw new Refusal("malformed heart-beat", detail);
    }
    // A client that sends the header may wait for it in any version.
    const offersHeartbeat = version !== "1.0" || headers["heart-beat"] !== undefined;
    peer.accept(version, negotiate(heartbeat, wanted), {
      server: SERVER,
      session: `${this.#session}-${peer.number}`,
      ...(offersHeartbeat ? { "heart-beat": formatHeartbeat(version === "1.0" ? NO_HEARTBEAT : heartbeat) } : {}),
    });
  }

  #send(peer: Peer, frame: Frame): void {
    const { headers } = frame;
    const store = this.#store;
    const destination = need(frame, "destination", "destination:/queue/a");
    const transaction = openTransaction(peer, frame);
    const message = store.createMessage(headers, frame.body);
    if (message === undefined) throw noRoom("message");
    if (transaction === undefined) return store.publish(destination, message);
    const target = ownText(destination);
    transaction.add({
      commit: () => {
        store.publish(target, message);
        store.addBytes(-message.release());
      },
      abort: () => store.addBytes(-message.release()),
    }, target);
    store.addBytes(message.retain());
  }

  #subscribe(peer: Peer, frame: Frame): void {
    const { headers } = frame;
    const destination = ownText(need(frame, "destination", "destination:/queue/a"));
    const id = peer.version === "1.0" ? headers["id"] : need(frame, "id", "id:0");
    const ack = headers["ack"] ?? "auto";
    if (!isAckMode(ack)) {
      throw new Refusal("unknown ack mode", "The modes are ack:auto, ack:client and ack:client-individual");
    }
    const prefetch = headers["prefetch-count"] ?? "0";
    if (!/^\d{1,9}$/.test(prefetch)) {
      throw new Refusal("malformed prefetch-count", "The prefetch-count header needs a whole number; 0 means no limit");
    }
    // Ignoring it would deliver messages that the subscriber asked not to get.
    if (headers["selector"]) {
      throw new Refusal("selectors are not supported", "This broker delivers all messages; remove the selector header");
    }
    if (peer.subscription(id, destination) !== undefined) {
      const name = JSON.stringify(id ?? destination);
      const detail = `This connection already has a subscription ${name}; UNSUBSCRIBE ends it`;
      throw new Refusal("subscription is already open", detail);
    }
    if (peer.subscriptionCount >= MAX_OPEN_PER_CONNECTION) {
      throw new Refusal("too many subscriptions", `One connection may have ${MAX_OPEN_PER_CONNECTION} subscriptions`);
    }
    if (!peer.canCarry(destination)) throw notCarried(peer, "destination");
    if (id !== undefined && !peer.canCarry(id)) throw notCarried(peer, "id");
    const options = { id: id && ownText(id), destination, ack, prefetch: Number(prefetch) || Infinity };
    const consumer = new Consumer(options, peer);
    if (!peer.subscribe(consumer)) throw noRoom("subscription");
  }

  #unsubscribe(peer: Peer, frame: Frame): void {
    const { id, destination } = frame.headers;
    const byDestination = peer.version === "1.0" && id === undefined && destination !== undefined;
    if (id === undefined && !byDestination) throw lacks(frame, "id", "id:0");
    const consumer = byDestination ? peer.subscriptionTo(destination) : peer.subscription(id);
    if (consumer === undefined) {
      const detail = "UNSUBSCRIBE names a subscription that this connection does not have";
      throw new Refusal("subscription is not open", detail);
    }
    peer.unsubscribe(consumer);
  }

  #acknowledge(peer: Peer, frame: Frame, isAck: boolean): void {
    if (!isAck && peer.version === "1.0") throw new Refusal("NACK is unknown", "STOMP 1.0 has no NACK");
    const transaction = openTransaction(peer, frame);
    const delivery = findDelivery(peer, frame);
    if (delivery === undefined) {
      const detail = "names a message that is unknown, already acknowledged, or delivered in ack:auto";
      throw new Refusal("no such message to acknowledge", `${frame.command} ${detail}`);
    }
    const { consumer } = delivery;
    const spans = consumer.claim(delivery);
    // Python clients write False.
    const isFinal = isAck || frame.header("requeue")?.toLowerCase() === "false";
    const { maxRedeliveries } = this.#options;
    const settle = () => {
      consumer.settle(spans, (entry) => {
        // A message that no consumer can handle must not circulate forever.
        if (isFinal || ++entry.nacks > maxRedeliveries) consumer.queue.remove(entry);
        else consumer.queue.requeue(entry);
      });
      consumer.wake();
    };
    if (transaction === undefined) return settle();
    transaction.add({ commit: settle, abort: () => consumer.reopen(spans) });
  }

  #begin(peer: Peer, frame: Frame): void {
    const name = ownText(need(frame, "transaction", "transaction:t1"));
    if (peer.transaction(name) !== undefined) {
      throw new Refusal("transaction is already open", "BEGIN names an open transaction; COMMIT or ABORT ends it");
    }
    if (peer.transactionCount >= MAX_OPEN_PER_CONNECTION) {
      const detail = `One connection may have ${MAX_OPEN_PER_CONNECTION} open transactions`;
      throw new Refusal("too many transactions", detail);
    }
    if (!peer.begin(name)) throw noRoom("transaction");
  }

  #endTransaction(peer: Peer, frame: Frame, outcome: "commit" | "abort"): void {
    const name = need(frame, "transaction", "transaction:t1");
    openTransaction(peer, frame);
    peer.endTransaction(name, outcome);
  }
}

/** Returns the transaction that a frame names; `undefined` when it names none. */
function openTransaction(peer: Peer, frame: Frame): Transaction | undefined {
  const name = frame.header("transaction");
  if (name === undefined) return undefined;
  const transaction = peer.transaction(name);
  if (transaction === undefined) {
    const detail = `${frame.command} names a transaction that is not open; BEGIN opens one`;
    throw new Refusal("transaction is not open", detail);
  }
  return transaction;
}

/** Returns the open delivery that an ACK or NACK names, which each version does differently ("ACK" in the three texts). */
function findDelivery(peer: Peer, frame: Frame): Delivery | undefined {
  if (peer.version === "1.2") return peer.delivery(need(frame, "id", "id:1-1"));
  const messageId = need(frame, "message-id", "message-id:x-1");
  const id = peer.version === "1.0" ? frame.header("subscription") : need(frame, "subscription", "subscription:0");
  // In 1.0 the message id alone is enough.
  if (id === undefined) return peer.deliveryOf(messageId);
  const consumer = peer.subscription(id);
  return consumer && peer.delivery(consumer.key(messageId));
}

function need(frame: Frame, name: string, example: string): string {
  const value = frame.header(name);
  // An empty id is valid; an empty destination is more likely a mistake.
  if (value === undefined || (value === "" && name === "destination")) throw lacks(frame, name, example);
  return value;
}

function lacks(frame: Frame, name: string, example: string): Refusal {
  const { command } = frame;
  return new Refusal(`${command} has no ${name}`, `${command} needs the header ${name}, for example ${example}`);
}

function noRoom(what: string): Refusal {
  return new Refusal(`no room for the ${what}`, "The broker has reached its memory limit (maxStoredBytes)");
}

function notCarried(peer: Peer, name: string): Refusal {
  return new Refusal(
    "header cannot be answered",
    `The header ${name} has a line feed or a carriage return, which a ${peer.version} frame cannot carry back`,
  );
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  return new Refusal("broker failed", `This is a bug in the broker: ${error instanceof Error ? error.message : error}`);
}

const textEncoder = new TextEncoder();

/**
 * Whether a secret is the expected one. The time that this takes depends on the given text alone: unlike `===` it does
 * not reveal how much of the text is right.
 */
export function isSameText(given: string | undefined, expected: string): boolean {
  const some = textEncoder.encode(given ?? "");
  const others = textEncoder.encode(expected);
  let difference = some.length ^ others.length;
  for (let i = 0; i < some.length; i++) difference |= some[i]! ^ (others[i % others.length] ?? 0);
  return given !== undefined && difference === 0;
}
