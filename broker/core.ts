/**
 * What the embedded broker does with each frame. No sockets, no timers: frames come in through `handle`, and go out
 * through the wire of the peer that they are for.
 *
 * @module
 */
import { Consumer, type Delivery } from "./consumer.ts";
import { isAckMode, type Version, VERSIONS } from "../codec/protocol.ts";
import { Peer, type PeerWire, Refusal, type Transaction } from "./peer.ts";
import { ownText, Store, type StoreLimits } from "./store.ts";
import { sameText } from "./same_text.ts";
import type { Frame } from "../codec/frame.ts";
import { withoutPadding } from "../codec/headers.ts";
import {
  formatHeartbeat,
  type HeartbeatOffer,
  negotiate,
  NO_HEARTBEAT,
  parseHeartbeat,
} from "../connection/heartbeat.ts";

/** How a broker behaves. */
export interface BrokerCoreOptions extends StoreLimits {
  /** The `login` that CONNECT must have; any when it is `undefined`. */
  readonly login: string | undefined;
  /** The `passcode` that CONNECT must have; any when it is `undefined`. */
  readonly passcode: string | undefined;
  /** The heart-beats it offers and wants. */
  readonly heartbeat: HeartbeatOffer;
  /** The versions it speaks. */
  readonly versions: readonly Version[];
  /** How often a message is delivered again that was refused with NACK. */
  readonly maxRedeliveries: number;
}

/** The `server` header of CONNECTED; `dialect.ts` knows it. */
const SERVER = "stompy";

/** Subscriptions, and transactions, that one connection may have open. */
const MAX_OPEN = 10_000;

/** The broker without its sockets. */
export class BrokerCore {
  readonly #options: BrokerCoreOptions;
  readonly #session = crypto.randomUUID().slice(0, 8);
  readonly #store: Store;
  #peers = 0;

  /** Creates a broker that holds nothing. */
  constructor(options: BrokerCoreOptions) {
    this.#options = options;
    this.#store = new Store(this.#session, options);
  }

  /** How much it holds. */
  get counts(): Store["counts"] {
    return this.#store.counts;
  }

  /** Takes in a connection that has just been made. */
  join(wire: PeerWire): Peer {
    return new Peer(++this.#peers, wire, this.#store);
  }

  /** Does what a frame says, and answers it. */
  handle(peer: Peer, frame: Frame): void {
    if (peer.over) return;
    const isConnect = frame.command === "CONNECT" || frame.command === "STOMP";
    // The answer to CONNECT is CONNECTED, whatever it asks for ("receipt" in the 1.2 text).
    const receipt = isConnect ? undefined : frame.header("receipt");
    try {
      if (peer.connected === isConnect) throw isConnect ? alreadyConnected() : notConnected(frame);
      if (receipt !== undefined && !peer.carries(receipt)) throw notCarried(peer, "receipt");
      this.#execute(peer, frame);
      // Before what it sets free: so a subscriber hears that it is one before its first message.
      if (receipt !== undefined) peer.receipt(receipt);
      if (frame.command === "DISCONNECT") peer.end();
    } catch (error) {
      peer.fail(asRefusal(error), receipt);
    }
    this.#store.serve();
  }

  /** Ends a connection with an ERROR frame, for a reason that is in no frame. */
  fail(peer: Peer, refusal: Refusal): void {
    peer.fail(refusal, undefined);
    this.#store.serve();
  }

  /** Forgets a connection that is lost: transactions are aborted, messages go back to their queues. */
  leave(peer: Peer): void {
    if (peer.over) return;
    peer.over = true;
    peer.release();
    this.#store.serve();
  }

  #execute(peer: Peer, frame: Frame): void {
    switch (frame.command) {
      case "CONNECT":
      case "STOMP":
        return this.#connect(peer, frame);
      case "SEND":
        return this.#send(peer, frame);
      case "SUBSCRIBE":
        return this.#subscribe(peer, frame);
      case "UNSUBSCRIBE":
        return this.#unsubscribe(peer, frame);
      case "ACK":
        return this.#acknowledge(peer, frame, true);
      case "NACK":
        if (peer.version === "1.0") throw new Refusal("NACK is unknown", "STOMP 1.0 has no NACK");
        return this.#acknowledge(peer, frame, false);
      case "BEGIN":
        return this.#begin(peer, frame);
      case "COMMIT":
        return this.#endTransaction(peer, frame, "commit");
      case "ABORT":
        return this.#endTransaction(peer, frame, "abort");
      case "DISCONNECT":
        return peer.release();
      default:
        throw new Refusal(`${frame.command} is not a client's command`, `Only a broker sends ${frame.command}`);
    }
  }

  #connect(peer: Peer, frame: Frame): void {
    const { headers } = frame;
    const { versions, heartbeat } = this.#options;
    const offered = (headers["accept-version"] ?? "1.0").split(",").map((version) => version.trim());
    const version = VERSIONS.findLast((known) => versions.includes(known) && offered.includes(known));
    if (version === undefined) {
      const spoken = VERSIONS.filter((known) => versions.includes(known));
      throw new Refusal("no common version", `This broker speaks STOMP ${spoken.join(", ")}`, {
        version: spoken.join(","),
      });
    }
    const who = version === "1.0" ? withoutPadding(headers) : headers;
    const { login, passcode } = this.#options;
    const isLogin = login === undefined || sameText(who["login"], login);
    const isPasscode = passcode === undefined || sameText(who["passcode"], passcode);
    if (!isLogin || !isPasscode) {
      throw new Refusal("login refused", "The login or the passcode is wrong");
    }
    // 1.0 has no heart-beats: what the header says there means nothing.
    const wanted = version === "1.0" ? NO_HEARTBEAT : parseHeartbeat(headers["heart-beat"]);
    if (wanted === undefined) {
      throw new Refusal("malformed heart-beat", "The header heart-beat has two integers, as in heart-beat:10000,10000");
    }
    // A client that sends the header may wait for it, whatever the version.
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
    const message = store.message(headers, frame.body);
    if (message === undefined) {
      throw noRoom("message");
    }
    if (transaction === undefined) return store.publish(destination, message);
    const target = ownText(destination);
    transaction.add({
      commit: () => {
        store.publish(target, message);
        store.count(-message.release());
      },
      abort: () => store.count(-message.release()),
    }, target);
    store.count(message.hold());
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
      throw new Refusal("malformed prefetch-count", "The header prefetch-count has a number, 0 for no limit");
    }
    // To ignore it would deliver what the subscriber asked not to get.
    if (headers["selector"]) throw new Refusal("selectors are not supported", "This broker delivers all or nothing");
    if (peer.subscription(id, destination) !== undefined) {
      throw new Refusal(
        "subscription is open already",
        `This connection has a subscription ${JSON.stringify(id ?? destination)}; UNSUBSCRIBE ends it`,
      );
    }
    if (peer.subscriptions >= MAX_OPEN) {
      throw new Refusal("too many subscriptions", `One connection may have ${MAX_OPEN} subscriptions`);
    }
    if (!peer.carries(destination)) throw notCarried(peer, "destination");
    if (id !== undefined && !peer.carries(id)) throw notCarried(peer, "id");
    const options = { id: id && ownText(id), destination, ack, prefetch: Number(prefetch) };
    const consumer = new Consumer(options, peer);
    if (!peer.subscribe(consumer)) throw noRoom("subscription");
  }

  #unsubscribe(peer: Peer, frame: Frame): void {
    const { id, destination } = frame.headers;
    const byDestination = peer.version === "1.0" && id === undefined && destination !== undefined;
    if (id === undefined && !byDestination) throw lacks(frame, "id", "id:0");
    const consumer = byDestination ? peer.subscriptionOf(destination) : peer.subscription(id);
    if (consumer === undefined) {
      throw new Refusal("subscription is not open", "UNSUBSCRIBE names no open subscription of this connection");
    }
    peer.unsubscribe(consumer);
  }

  #acknowledge(peer: Peer, frame: Frame, consumed: boolean): void {
    const transaction = openTransaction(peer, frame);
    const delivery = findDelivery(peer, frame);
    if (delivery === undefined) {
      throw new Refusal(
        "no such message to acknowledge",
        `${frame.command} names a message that is not waiting for it: unknown, settled already, or delivered in ack:auto`,
      );
    }
    const { consumer } = delivery;
    const spans = consumer.acknowledge(delivery);
    // A message that nobody can use must not go round for ever. Python writes False.
    const isLast = !consumed && frame.header("requeue")?.toLowerCase() === "false";
    const { maxRedeliveries } = this.#options;
    const settle = () => {
      consumer.settle(spans, (entry) => {
        if (consumed || isLast || ++entry.nacks > maxRedeliveries) consumer.queue.settle(entry);
        else consumer.queue.putBack(entry);
      });
      consumer.wake();
    };
    if (transaction === undefined) return settle();
    transaction.add({ commit: settle, abort: () => consumer.reopen(spans) });
  }

  #begin(peer: Peer, frame: Frame): void {
    const name = ownText(need(frame, "transaction", "transaction:t1"));
    if (peer.transaction(name) !== undefined) {
      throw new Refusal("transaction is open already", "BEGIN names a transaction that was begun and has not ended");
    }
    if (peer.transactions >= MAX_OPEN) {
      throw new Refusal("too many transactions", `One connection may have ${MAX_OPEN} open transactions`);
    }
    if (!peer.begin(name)) throw noRoom("transaction");
  }

  #endTransaction(peer: Peer, frame: Frame, outcome: "commit" | "abort"): void {
    const name = need(frame, "transaction", "transaction:t1");
    openTransaction(peer, frame);
    peer.endTransaction(name, outcome);
  }
}

/** The transaction that a frame belongs to; `undefined` when it belongs to none. */
function openTransaction(peer: Peer, frame: Frame): Transaction | undefined {
  const name = frame.header("transaction");
  if (name === undefined) return undefined;
  const transaction = peer.transaction(name);
  if (transaction === undefined) {
    throw new Refusal(
      "transaction is not open",
      `${frame.command} names a transaction that is not open; BEGIN opens one`,
    );
  }
  return transaction;
}

/** What an ACK or NACK names: each version has its own way ("ACK" in the three texts). */
function findDelivery(peer: Peer, frame: Frame): Delivery | undefined {
  if (peer.version === "1.2") return peer.delivery(need(frame, "id", "id:1-1"));
  const messageId = need(frame, "message-id", "message-id:x-1");
  const id = peer.version === "1.0" ? frame.header("subscription") : need(frame, "subscription", "subscription:0");
  // 1.0 names the message alone.
  if (id === undefined) return peer.deliveryOf(messageId);
  const consumer = peer.subscription(id);
  return consumer && peer.delivery(consumer.key(messageId));
}

function need(frame: Frame, name: string, example: string): string {
  const value = frame.header(name);
  // An empty id is one; an empty destination is more likely a mistake.
  if (value === undefined || (value === "" && name === "destination")) throw lacks(frame, name, example);
  return value;
}

function lacks(frame: Frame, name: string, example: string): Refusal {
  return new Refusal(`${frame.command} has no ${name}`, `${frame.command} needs the header ${name}, as in ${example}`);
}

function noRoom(what: string): Refusal {
  return new Refusal(`no room for the ${what}`, "The broker holds as much as it may (maxStoredBytes)");
}

function notConnected(frame: Frame): Refusal {
  return new Refusal("not connected", `${frame.command} came before CONNECT`);
}

function alreadyConnected(): Refusal {
  return new Refusal("connected already", "CONNECT came a second time on this connection");
}

function notCarried(peer: Peer, name: string): Refusal {
  return new Refusal(
    "header cannot be answered",
    `The header ${name} has a line feed or a carriage return, which a ${peer.version} frame cannot carry back`,
  );
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  return new Refusal(
    "broker failed",
    `This is a fault of the broker: ${error instanceof Error ? error.message : error}`,
  );
}
