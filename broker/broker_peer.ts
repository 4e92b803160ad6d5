/**
 * A connection as the embedded broker sees it: its subscriptions, its transactions, and what is sent to it.
 *
 * @module
 */
import type { Consumer, ConsumerHost, Delivery } from "./broker_consumer.ts";
import type { Store } from "./broker_store.ts";
import { Frame } from "../codec/frame.ts";
import { headerRules, type Version } from "../codec/headers.ts";
import type { HeartbeatPlan } from "../connection/heartbeat.ts";
import { Fifo } from "../base/queue.ts";

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

/** A transaction that is open. */
export class Transaction {
  readonly #actions: Action[] = [];

  /** Adds something to do at its end. */
  add(action: Action): void {
    this.#actions.push(action);
  }

  /** Ends it. */
  end(outcome: "commit" | "abort"): void {
    for (const action of this.#actions) action[outcome]();
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
  /** Subscriptions by key: see `BrokerCore`. */
  readonly consumers: Map<string, Consumer> = new Map();
  /** Open transactions by name. */
  readonly transactions: Map<string, Transaction> = new Map();
  /** What waits for its ACK or NACK. */
  readonly deliveries: Map<string, Delivery> = new Map();
  readonly #wire: PeerWire;
  readonly #store: Store;
  readonly #waiting = new Fifo<Consumer>();
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

  /** The number of the next delivery. */
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
    for (const transaction of this.transactions.values()) transaction.end("abort");
    this.transactions.clear();
    for (const consumer of this.consumers.values()) this.unsubscribe(consumer);
    this.consumers.clear();
  }

  /** Ends a subscription. */
  unsubscribe(consumer: Consumer): void {
    const { queue } = consumer;
    // It must be out of line first: what it gives back is not for itself.
    this.#store.unsubscribe(consumer.destination, consumer, queue);
    consumer.release();
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
