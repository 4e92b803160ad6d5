/**
 * A connection in the embedded broker: its subscriptions, its transactions, and what is sent to it.
 *
 * @module
 */
import { Fifo } from "../base/fifo.ts";
import { Frame } from "../codec/frame.ts";
import { headerRules } from "../codec/headers.ts";
import type { Version } from "../codec/protocol.ts";
import type { FrameConnection } from "../connection/frame_connection.ts";
import type { HeartbeatPlan } from "../connection/heartbeat.ts";
import type { Consumer, ConsumerHost, Delivery } from "./consumer.ts";
import type { Store } from "./store.ts";
import { textBytes } from "./stored_message.ts";

/** What carries the frames of one connection, and its heart-beats: a socket, or a list in a test. */
export interface PeerWire {
  /** The connection. */
  readonly socket: Pick<FrameConnection, "version" | "send" | "sendEncoded" | "pause" | "resume">;
  /** Called once, after CONNECTED: heart-beats begin. */
  connected(plan: HeartbeatPlan): void;
  /** Called once, after the last frame: heart-beats stop, and the connection is closed gracefully. */
  end(): void;
}

/** A reason to close a connection: the content of its ERROR frame. */
export class Refusal extends Error {
  override name = "Refusal";
  /** More than the `message` header says, for the body. */
  readonly detail: string;
  /** Further headers of the ERROR frame. */
  readonly headers: Readonly<Record<string, string>>;

  /**
   * Creates a refusal. The message may be sent before a version is negotiated, so it has no colon and nothing that a
   * client sent.
   */
  constructor(message: string, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.detail = detail;
    this.headers = headers;
  }
}

/** What one frame of a transaction does in the end. */
export interface Action {
  /** Does what the frame asks for. */
  commit(): void;
  /** Restores what was before the frame. */
  abort(): void;
}

/** Roughly what a transaction costs beside its name, and an action beside its text. */
const TRANSACTION_OVERHEAD_BYTES = 256;

/** The actions of an open transaction. */
export class Transaction {
  /** Bytes that count towards the broker's limits, without its actions. */
  readonly size: number;
  readonly #store: Store;
  readonly #actions: Action[] = [];
  #actionBytes = 0;

  /** Creates a transaction without actions. */
  constructor(name: string, store: Store) {
    this.size = TRANSACTION_OVERHEAD_BYTES + textBytes(name);
    this.#store = store;
  }

  /** Adds an action; `text` is the text that it keeps in memory. */
  add(action: Action, text = ""): void {
    this.#actions.push(action);
    const size = TRANSACTION_OVERHEAD_BYTES + textBytes(text);
    this.#actionBytes += size;
    this.#store.addBytes(size);
  }

  /** Commits or aborts all actions, in order. */
  end(outcome: "commit" | "abort"): void {
    for (const action of this.#actions) action[outcome]();
    this.#store.addBytes(-this.#actionBytes);
  }
}

/** Once a peer leaves this many bytes of receipts unread, the broker stops reading from it. */
const MAX_UNREAD_RECEIPT_BYTES = 1 << 20;

/** What a RECEIPT frame costs beside its id. */
const RECEIPT_OVERHEAD_BYTES = 32;

/** One connection to the broker. */
export class Peer implements ConsumerHost {
  /** The number of the connection within the broker. */
  readonly number: number;
  /** `connecting` until CONNECT is accepted; when `closed`, whatever it still sends is ignored. */
  state: "connecting" | "connected" | "closed" = "connecting";
  readonly #consumers = new Map<string, Consumer>();
  readonly #transactions = new Map<string, Transaction>();
  readonly #deliveries = new Map<string, Delivery>();
  // In 1.0 a client may also name a subscription by its destination, and a delivery by its message alone.
  readonly #byDestination = new Map<string, Set<Consumer>>();
  readonly #byMessage = new Map<string, Set<Delivery>>();
  readonly #wire: PeerWire;
  readonly #store: Store;
  readonly #waiting = new Fifo<Consumer>();
  #isVersion10 = false;
  /** `full` until the wire is writable again, and `paused` if reading stops meanwhile. */
  #output: "writable" | "full" | "paused" = "writable";
  #unreadReceiptBytes = 0;
  #lastId = 0;

  /** Creates the state of a new connection. */
  constructor(number: number, wire: PeerWire, store: Store) {
    this.number = number;
    this.#wire = wire;
    this.#store = store;
  }

  /** The negotiated version. */
  get version(): Version {
    return this.#wire.socket.version;
  }

  /** Whether a frame can be sent without piling up in memory. */
  get isWritable(): boolean {
    return this.#output === "writable";
  }

  /** How many subscriptions it has. */
  get subscriptionCount(): number {
    return this.#consumers.size;
  }

  /** How many transactions are open. */
  get transactionCount(): number {
    return this.#transactions.size;
  }

  /** Returns an id that includes the connection, so that an ACK for a message of an earlier one finds nothing. */
  nextId(): string {
    return `${this.number}-${++this.#lastId}`;
  }

  /** Whether the version can carry a value in a header of the broker's frames. */
  canCarry(value: string): boolean {
    const rules = headerRules("RECEIPT", this.version);
    return (rules.escapes || !value.includes("\n")) && (rules.escapesCr || !value.includes("\r"));
  }

  /** Accepts the connection with CONNECTED. */
  accept(version: Version, plan: HeartbeatPlan, headers: Readonly<Record<string, string>>): void {
    this.state = "connected";
    this.send(new Frame().buildFrame({ command: "CONNECTED", headers: { version, ...headers } }));
    this.#wire.socket.version = version;
    this.#isVersion10 = version === "1.0";
    this.#wire.connected(plan);
  }

  /** Sends a frame. */
  send(frame: Frame): void {
    if (this.state !== "closed") this.#afterSend(this.#wire.socket.send(frame));
  }

  /** Sends a MESSAGE with a head that is encoded already. */
  sendMessage(head: string, body: Uint8Array): void {
    if (this.state !== "closed") this.#afterSend(this.#wire.socket.sendEncoded(head, body));
  }

  #afterSend(drained: Promise<void> | undefined): void {
    if (drained === undefined || this.#output !== "writable") return;
    this.#output = "full";
    // It rejects when the connection breaks, which the core learns by `leave`.
    drained.then(() => this.#onDrain(), () => {});
  }

  /** Sends a RECEIPT. Stops reading from a peer that leaves too many of them unread. */
  sendReceipt(id: string): void {
    this.send(new Frame().buildFrame({ command: "RECEIPT", headers: { "receipt-id": id } }));
    if (this.#output !== "full") return;
    this.#unreadReceiptBytes += id.length + RECEIPT_OVERHEAD_BYTES;
    if (this.#unreadReceiptBytes < MAX_UNREAD_RECEIPT_BYTES) return;
    this.#output = "paused";
    this.#wire.socket.pause();
  }

  /** Wakes a consumer when the connection is writable again. */
  wakeWhenWritable(consumer: Consumer): void {
    if (consumer.isWaiting) return;
    consumer.isWaiting = true;
    this.#waiting.push(consumer);
  }

  /** Closes the connection because the backlog of a consumer is over the limit. */
  disconnectSlow({ destination }: Consumer): void {
    const detail = `Too many messages to ${JSON.stringify(destination)} wait for this subscriber (maxBacklogBytes)`;
    this.fail(new Refusal("subscriber is too slow", detail), undefined);
  }

  /** Closes the connection after an ERROR frame, which names the receipt that the failed frame asked for. */
  fail(refusal: Refusal, receipt: string | undefined): void {
    if (this.state === "closed") return;
    this.endAll();
    const { message, detail } = refusal;
    const id = receipt !== undefined && this.canCarry(receipt) ? receipt : undefined;
    const headers = { message, "receipt-id": id, "content-type": "text/plain", ...refusal.headers };
    this.send(new Frame().buildFrame({ command: "ERROR", headers, body: `${detail}\n` }));
    this.close();
  }

  /** Closes the connection gracefully. Whatever it still sends is ignored. */
  close(): void {
    this.state = "closed";
    this.#wire.end();
  }

  /** Aborts all transactions and ends all subscriptions, which requeues what was not acknowledged. */
  endAll(): void {
    for (const name of this.#transactions.keys()) this.endTransaction(name, "abort");
    for (const consumer of this.#consumers.values()) this.unsubscribe(consumer);
  }

  /** Returns the subscription with an id or, without an id in 1.0, the one to a destination. */
  subscription(id: string | undefined, destination = ""): Consumer | undefined {
    return this.#consumers.get(consumerKey(id, destination));
  }

  /** Returns the first subscription to a destination, with or without an id: in 1.0 UNSUBSCRIBE may name either. */
  subscriptionTo(destination: string): Consumer | undefined {
    return this.subscription(undefined, destination) ?? first(this.#byDestination, destination);
  }

  /** Begins a subscription, and returns whether it fits in memory. */
  subscribe(consumer: Consumer): boolean {
    if (!this.#store.reserve(consumer.size)) return false;
    const { id, destination } = consumer;
    consumer.queue = this.#store.subscribe(destination, consumer);
    this.#consumers.set(consumerKey(id, destination), consumer);
    if (this.#isVersion10) addTo(this.#byDestination, destination, consumer);
    return true;
  }

  /** Ends a subscription. */
  unsubscribe(consumer: Consumer): void {
    const { id, destination, queue } = consumer;
    this.#consumers.delete(consumerKey(id, destination));
    this.#store.free(consumer.size);
    if (this.#isVersion10) removeFrom(this.#byDestination, destination, consumer);
    // It leaves the queue before it requeues its messages, which must not come back to itself.
    this.#store.unsubscribe(destination, consumer, queue);
    consumer.close();
  }

  /** Adds a delivery, so that an ACK or NACK finds it. */
  addDelivery(delivery: Delivery): void {
    this.#deliveries.set(delivery.key, delivery);
    if (this.#isVersion10) addTo(this.#byMessage, delivery.entry.message.id, delivery);
  }

  /** Removes a delivery that is settled. */
  removeDelivery(delivery: Delivery): void {
    this.#deliveries.delete(delivery.key);
    if (this.#isVersion10) removeFrom(this.#byMessage, delivery.entry.message.id, delivery);
  }

  /** Returns the open delivery with a key. */
  delivery(key: string): Delivery | undefined {
    const delivery = this.#deliveries.get(key);
    return delivery?.consumer.isOpen(delivery) ? delivery : undefined;
  }

  /** Returns the first open delivery of a message, on any subscription. */
  deliveryOf(messageId: string): Delivery | undefined {
    const all = this.#byMessage.get(messageId);
    for (let left = all?.size ?? 0; left > 0; left--) {
      const delivery = first(this.#byMessage, messageId)!;
      if (delivery.consumer.isOpen(delivery)) return delivery;
      // A transaction holds it: it moves behind the others, so that the next call need not skip it again.
      all!.delete(delivery);
      all!.add(delivery);
    }
    return undefined;
  }

  /** Returns the open transaction with a name. */
  transaction(name: string): Transaction | undefined {
    return this.#transactions.get(name);
  }

  /** Opens a transaction, and returns whether it fits in memory. `name` must not be a slice of a received chunk. */
  begin(name: string): boolean {
    const transaction = new Transaction(name, this.#store);
    if (!this.#store.reserve(transaction.size)) return false;
    this.#transactions.set(name, transaction);
    return true;
  }

  /** Ends an open transaction. */
  endTransaction(name: string, outcome: "commit" | "abort"): void {
    const transaction = this.#transactions.get(name)!;
    this.#transactions.delete(name);
    this.#store.free(transaction.size);
    transaction.end(outcome);
  }

  #onDrain(): void {
    const wasPaused = this.#output === "paused";
    this.#output = "writable";
    this.#unreadReceiptBytes = 0;
    if (wasPaused) this.#wire.socket.resume();
    // A consumer that fills the wire again waits behind the others for the next drain.
    for (let consumer; this.isWritable && (consumer = this.#waiting.shift()) !== undefined;) {
      consumer.isWaiting = false;
      consumer.wake();
      this.#store.dispatch();
    }
  }
}

// Two kinds of keys, so that an id is never mistaken for a destination.
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
