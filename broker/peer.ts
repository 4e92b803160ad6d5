/**
 * A connection as the embedded broker sees it: its subscriptions, its transactions, and what is sent to it.
 *
 * @module
 */
import type { Consumer, ConsumerHost, Delivery } from "./consumer.ts";
import { textBytes } from "./queue.ts";
import type { Store } from "./store.ts";
import { Frame } from "../codec/frame.ts";
import { headerRules } from "../codec/headers.ts";
import type { Version } from "../codec/protocol.ts";
import type { HeartbeatPlan } from "../connection/heartbeat.ts";
import { Fifo } from "../base/fifo.ts";

/** What carries the frames of one connection; a `FramedSocket` and its heart-beats, or a test's list. */
export interface PeerWire {
  /** The version of decoder and encoder. */
  version: Version;
  /** Sends a frame. Returns a promise to wait for when there is no room for more. */
  send(frame: Frame): Promise<void> | undefined;
  /** Stops reading. */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /** Called once, when CONNECTED was sent: heart-beats begin. */
  connected(plan: HeartbeatPlan): void;
  /** Called once, when the last frame was sent: heart-beats stop, and the connection is ended in order. */
  end(): void;
}

/** Why the broker will not go on with a connection: what its ERROR frame says. */
export class Refusal extends Error {
  override name = "Refusal";
  /** More than the `message` header says, for the body. */
  readonly detail: string;
  /** Further headers of the ERROR frame. */
  readonly headers: Readonly<Record<string, string>>;

  /** Creates a refusal. The message goes out before the version is known, too: no colon, and nothing of the user's. */
  constructor(message: string, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.detail = detail;
    this.headers = headers;
  }
}

/** Something that happens at COMMIT, or does not. */
export interface Action {
  /** Does it. */
  commit(): void;
  /** Leaves everything as it was before. */
  abort(): void;
}

/** What a transaction, and an action in one, cost beside their texts, roughly. */
const OVERHEAD = 256;

/** A transaction that is open. */
export class Transaction {
  /** Bytes that it counts for, without its actions. */
  readonly size: number;
  readonly #store: Store;
  readonly #actions: Action[] = [];
  #actionBytes = 0;

  /** Creates a transaction without actions. */
  constructor(name: string, store: Store) {
    this.size = OVERHEAD + textBytes(name);
    this.#store = store;
  }

  /** Adds something to do at its end; `text` is what is kept for it. */
  add(action: Action, text = ""): void {
    this.#actions.push(action);
    const size = OVERHEAD + textBytes(text);
    this.#actionBytes += size;
    this.#store.count(size);
  }

  /** Ends it. */
  end(outcome: "commit" | "abort"): void {
    for (const action of this.#actions) action[outcome]();
    this.#store.count(-this.#actionBytes);
  }
}

/** How many bytes of answers may wait for a peer that does not read them, before nothing more is read from it. */
const MAX_UNREAD = 1 << 20;
/** What an answer costs beside its id. */
const ANSWER = 32;

/** One connection to the broker. */
export class Peer implements ConsumerHost {
  /** Which of the broker's connections it is. */
  readonly number: number;
  /** Whether CONNECT was accepted. */
  connected = false;
  /** Whether nothing that it says counts any more. */
  over = false;
  readonly #consumers = new Map<string, Consumer>();
  readonly #transactions = new Map<string, Transaction>();
  readonly #deliveries = new Map<string, Delivery>();
  // What 1.0 lets a client name in another way: a subscription by its destination, a delivery by its message alone.
  readonly #byDestination = new Map<string, Set<Consumer>>();
  readonly #byMessage = new Map<string, Set<Delivery>>();
  readonly #wire: PeerWire;
  readonly #store: Store;
  readonly #waiting = new Fifo<Consumer>();
  #namesLess = false; // the client, as 1.0 lets it
  #hasRoom = true;
  #unread = 0;
  #paused = false;
  #numbers = 0;

  /** Creates the state of a connection that has just been made. */
  constructor(number: number, wire: PeerWire, store: Store) {
    this.number = number;
    this.#wire = wire;
    this.#store = store;
  }

  /** The version that was negotiated. */
  get version(): Version {
    return this.#wire.version;
  }

  /** Whether more can be sent without piling up in memory. */
  get hasRoom(): boolean {
    return this.#hasRoom;
  }

  /** How many subscriptions it has. */
  get subscriptions(): number {
    return this.#consumers.size;
  }

  /** How many transactions are open. */
  get transactions(): number {
    return this.#transactions.size;
  }

  /** The next number: no other subscription or delivery of the connection has it. */
  nextNumber(): number {
    return ++this.#numbers;
  }

  /** An `ack` header. It tells the connection too, so that an ACK for a message of an earlier one finds nothing. */
  ackId(number: number): string {
    return `${this.number}-${number}`;
  }

  /** Whether the version can carry a value in a header of the broker's frames. */
  carries(value: string): boolean {
    const rules = headerRules("RECEIPT", this.version);
    return (rules.escapes || !value.includes("\n")) && (rules.escapesCr || !value.includes("\r"));
  }

  /** Accepts the connection. */
  accept(version: Version, plan: HeartbeatPlan, headers: Readonly<Record<string, string>>): void {
    this.connected = true;
    this.send(new Frame().buildFrame({ command: "CONNECTED", headers: { version, ...headers } }));
    this.#wire.version = version;
    this.#namesLess = version === "1.0";
    this.#wire.connected(plan);
  }

  /** Sends a frame. */
  send(frame: Frame): void {
    if (this.over) return;
    const full = this.#wire.send(frame);
    if (full === undefined || !this.#hasRoom) return;
    this.#hasRoom = false;
    // When the connection broke instead, its end is about to be told.
    full.then(() => this.#roomAgain(), () => {});
  }

  /** Answers a frame that asked for a receipt. A peer that reads no answers is soon asked for no more frames. */
  receipt(id: string): void {
    this.send(new Frame().buildFrame({ command: "RECEIPT", headers: { "receipt-id": id } }));
    if (this.#hasRoom || this.#paused || (this.#unread += id.length + ANSWER) < MAX_UNREAD) return;
    this.#paused = true;
    this.#wire.pause();
  }

  /** Wakes a consumer when there is room again. */
  waitForRoom(consumer: Consumer): void {
    if (consumer.waiting) return;
    consumer.waiting = true;
    this.#waiting.push(consumer);
  }

  /** Sends a subscriber away that is too far behind. */
  tooSlow(consumer: Consumer): void {
    this.fail(
      new Refusal(
        "subscriber is too slow",
        `Too many messages to ${JSON.stringify(consumer.destination)} wait for this subscriber (maxBacklogBytes)`,
      ),
      undefined,
    );
  }

  /** Ends the connection with an ERROR frame, which names the receipt that the failed frame asked for. */
  fail(refusal: Refusal, receipt: string | undefined): void {
    if (this.over) return;
    this.release();
    const { message, detail, headers } = refusal;
    this.send(
      new Frame().buildFrame({
        command: "ERROR",
        headers: {
          message,
          ...(receipt !== undefined && this.carries(receipt) ? { "receipt-id": receipt } : {}),
          "content-type": "text/plain",
          ...headers,
        },
        body: `${detail}\n`,
      }),
    );
    this.end();
  }

  /** Ends the connection in order. Nothing that it says counts from here on. */
  end(): void {
    this.over = true;
    this.#wire.end();
  }

  /** Aborts what it had begun, and gives back what it had not acknowledged. */
  release(): void {
    for (const name of this.#transactions.keys()) this.endTransaction(name, "abort");
    for (const consumer of this.#consumers.values()) this.unsubscribe(consumer);
  }

  /** The subscription of that id; in 1.0, of an `id` that is `undefined`, the one of that destination. */
  subscription(id: string | undefined, destination = ""): Consumer | undefined {
    return this.#consumers.get(consumerKey(id, destination));
  }

  /** The first subscription of a destination, be it one with an id: 1.0 lets the client choose what to name. */
  subscriptionOf(destination: string): Consumer | undefined {
    return this.subscription(undefined, destination) ?? first(this.#byDestination, destination);
  }

  /** Begins a subscription. Returns whether there was room for it. */
  subscribe(consumer: Consumer): boolean {
    if (!this.#store.reserve(consumer.size)) return false;
    const { id, destination } = consumer;
    consumer.start(this.#store.subscribe(destination, consumer));
    this.#consumers.set(consumerKey(id, destination), consumer);
    if (this.#namesLess) addTo(this.#byDestination, destination, consumer);
    return true;
  }

  /** Ends a subscription. */
  unsubscribe(consumer: Consumer): void {
    const { id, destination, queue } = consumer;
    this.#consumers.delete(consumerKey(id, destination));
    this.#store.free(consumer.size);
    if (this.#namesLess) removeFrom(this.#byDestination, destination, consumer);
    // It must be out of line first: what it gives back is not for itself.
    this.#store.unsubscribe(destination, consumer, queue);
    consumer.release();
  }

  /** Keeps a delivery that an ACK or NACK will name. */
  expect(delivery: Delivery): void {
    this.#deliveries.set(delivery.key, delivery);
    if (this.#namesLess) addTo(this.#byMessage, delivery.entry.message.id, delivery);
  }

  /** Forgets a delivery that is settled. */
  forget(delivery: Delivery): void {
    this.#deliveries.delete(delivery.key);
    if (this.#namesLess) removeFrom(this.#byMessage, delivery.entry.message.id, delivery);
  }

  /** The open delivery of that key. */
  delivery(key: string): Delivery | undefined {
    const delivery = this.#deliveries.get(key);
    return delivery?.consumer.isOpen(delivery) ? delivery : undefined;
  }

  /** The first open delivery of a message, on whichever subscription. */
  deliveryOf(messageId: string): Delivery | undefined {
    const all = this.#byMessage.get(messageId);
    for (let left = all?.size ?? 0; left > 0; left--) {
      const delivery = first(this.#byMessage, messageId)!;
      if (delivery.consumer.isOpen(delivery)) return delivery;
      // A transaction has acknowledged it: behind the others, so that the next call need not pass by it.
      all!.delete(delivery);
      all!.add(delivery);
    }
    return undefined;
  }

  /** The open transaction of that name. */
  transaction(name: string): Transaction | undefined {
    return this.#transactions.get(name);
  }

  /** Opens a transaction; `name` is a copy of its own. Returns whether there was room for it. */
  begin(name: string): boolean {
    const transaction = new Transaction(name, this.#store);
    if (!this.#store.reserve(transaction.size)) return false;
    this.#transactions.set(name, transaction);
    return true;
  }

  /** Ends a transaction that is open. */
  endTransaction(name: string, outcome: "commit" | "abort"): void {
    const transaction = this.#transactions.get(name)!;
    this.#transactions.delete(name);
    this.#store.free(transaction.size);
    transaction.end(outcome);
  }

  #roomAgain(): void {
    this.#hasRoom = true;
    this.#unread = 0;
    if (this.#paused) {
      this.#paused = false;
      this.#wire.resume();
    }
    // One that takes all the room waits behind the others for the next.
    for (let consumer; this.#hasRoom && (consumer = this.#waiting.shift()) !== undefined;) {
      consumer.waiting = false;
      consumer.wake();
      this.#store.serve();
    }
  }
}

// Two kinds of keys, so that an id cannot be taken for a destination.
function consumerKey(id: string | undefined, destination: string): string {
  return id === undefined ? `destination ${destination}` : `id ${id}`;
}

function first<T>(sets: ReadonlyMap<string, ReadonlySet<T>>, key: string): T | undefined {
  return sets.get(key)?.values().next().value;
}

function addTo<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([item]));
  else set.add(item);
}

function removeFrom<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  const set = sets.get(key);
  set?.delete(item);
  if (set?.size === 0) sets.delete(key);
}
