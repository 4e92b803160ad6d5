/**
 * What was said of the messages of one subscription: which were acknowledged, which still have to be, and how often a
 * message was refused.
 *
 * @module
 */
import type { AckMode } from "../codec/protocol.ts";
import { toHeaders } from "../codec/encoder.ts";
import { Frame } from "../codec/frame.ts";
import { countedDeliveries, identityOf, isFirstDelivery } from "../dialects/redelivery.ts";
import { checkWait, within } from "../base/timers.ts";
import { AcknowledgeError, NotConnectedError, StaleMessageError } from "../base/errors.ts";
import type { Reconnector } from "./reconnector.ts";
import type { AcknowledgeOptions, Message } from "./message.ts";
import type { Session } from "../session/session.ts";
import { inTransaction, type Transaction } from "./transaction.ts";

/** What was said of a message within a transaction. */
export interface TentativeAck {
  /** The transaction was committed. */
  keep(): void;
  /** It was not: the message can be acknowledged again. */
  undo(): void;
}

/** What names a message in ACK and NACK. A message itself would hold the chunk that it came in. */
interface MessageName {
  readonly number: number;
  readonly headers: Record<string, string>;
}

/** How a broker deals with acknowledgements. */
export interface AcknowledgingBroker {
  /** Whether an ACK stands for one message also in mode `client`. */
  readonly oneByOne: boolean;
  /** Whether it keeps messages that are not settled after UNSUBSCRIBE, until they are refused. */
  readonly keepsUnsettled: boolean;
}

/** Keeps the account of one subscription. */
export class AckTracker {
  /** Messages for which ACK or NACK was sent. */
  count = 0;
  /** Acknowledgements that came too late: the connection of their message was gone. */
  stale = 0;
  readonly #mode: AckMode;
  #to = 0; // in mode client: everything up to this number is settled
  #lastTaken = 0;
  #unsettled = 0; // in mode client-individual: messages that were taken, not settled and not let go
  #letGo: WeakSet<Message> | undefined; // messages that nobody is going to settle
  #letGoTo = 0; // the same in mode client: everything up to this number
  #tentative: Set<Message> | undefined; // settled in a transaction that is open
  #open: MessageName[] | undefined; // in mode client, where each message needs an ACK of its own: what was taken
  #taken: Set<Message> | undefined; // in mode client-individual, where the broker keeps it after UNSUBSCRIBE
  #onSettled: (() => void) | undefined;

  /** Nothing was taken yet. */
  constructor(mode: AckMode) {
    this.#mode = mode;
  }

  /** A new connection. */
  enter({ oneByOne, keepsUnsettled }: AcknowledgingBroker): void {
    this.#open = oneByOne && this.#mode === "client" ? [] : undefined;
    this.#taken = keepsUnsettled && this.#mode === "client-individual" ? new Set() : undefined;
  }

  /** Notes that a message was taken. */
  taken(message: Message): void {
    this.#lastTaken = message.number;
    this.#unsettled++;
    this.#open?.push(nameOf(message));
    this.#taken?.add(message);
  }

  /** The messages that were taken and are not settled, or what names them; each is given once. */
  takeUnsettled(): Frame[] {
    const named = this.#open?.splice(0).map(({ headers }) => new Frame().buildFrame({ command: "MESSAGE", headers }));
    const messages = [...this.#taken ?? []];
    this.#taken?.clear();
    return [...named ?? [], ...messages];
  }

  /**
   * The messages that have to be acknowledged before this one, because an ACK of it does not stand for them; oldest
   * first.
   */
  before(message: Message): readonly Frame[] {
    if (this.#open === undefined) return NONE; // the common case
    const earlier: Frame[] = [];
    for (const { number, headers } of this.#open) {
      if (number >= message.number) break;
      earlier.push(new Frame().buildFrame({ command: "MESSAGE", headers }));
    }
    return earlier;
  }

  /**
   * Notes what was said of a message.
   *
   * @returns within a transaction, what is to be called when that ends.
   */
  settle(message: Message, command: "ACK" | "NACK", inTransaction: boolean): TentativeAck | undefined {
    message.settled = command;
    this.count++;
    if (!this.#letGo?.delete(message)) this.#unsettled--;
    const names = this.#closeTo(message.number);
    this.#taken?.delete(message);
    if (!inTransaction) {
      this.#settled(message);
      return undefined;
    }
    const tentative = (this.#tentative ??= new Set()).add(message);
    return {
      keep: () => {
        if (tentative.delete(message)) this.#settled(message);
      },
      undo: () => {
        if (!tentative.delete(message)) return; // its connection is gone
        message.settled = undefined;
        this.count--;
        this.#unsettled++;
        if (names !== undefined) this.#open = [...names, ...this.#open ?? []].sort((a, b) => a.number - b.number);
        this.#taken?.add(message);
        // It may be settled once more, but a drain that waited for that could wait for nothing.
        this.letGo(message);
      },
    };
  }

  /** Why a message cannot be settled, if it cannot. */
  whyNot(message: Message): string | undefined {
    if (this.#mode !== "client") return undefined;
    let to = this.#to;
    for (const { number } of this.#tentative ?? []) to = Math.max(to, number);
    return message.number <= to ? "a later message was acknowledged" : undefined;
  }

  /** Nobody is going to settle a message: its subscription's end gives it back, and a drain does not wait for it. */
  letGo(message: Message): void {
    if (message.settled !== undefined) return;
    if (this.#mode === "client") {
      this.#letGoTo = Math.max(this.#letGoTo, message.number);
    } else {
      const letGo = this.#letGo ??= new WeakSet();
      if (letGo.has(message)) return;
      letGo.add(message);
      this.#unsettled--;
    }
    this.#tellIfSettled();
  }

  /** The connection is gone: of what came over it nothing can be said any more. */
  forget(): void {
    this.#unsettled = 0;
    this.#lastTaken = this.#to;
    for (const message of this.#tentative ?? []) message.settled = undefined; // no broker has heard of it
    this.#tentative?.clear();
    this.#letGo = undefined;
    this.#open = undefined;
    this.#taken = undefined;
    this.#onSettled?.();
  }

  /** Resolves when all that was taken is settled, also by transactions that have ended, or let go. */
  whenSettled(): Promise<void> {
    if (this.#isSettled()) return Promise.resolve();
    return new Promise((resolve) => this.#onSettled = resolve);
  }

  /** Takes the names up to that number out. */
  #closeTo(number: number): MessageName[] | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    const next = open.findIndex((name) => name.number > number);
    return open.splice(0, next < 0 ? open.length : next);
  }

  #settled(message: Message): void {
    if (this.#mode === "client") this.#to = Math.max(this.#to, message.number);
    this.#tellIfSettled();
  }

  #tellIfSettled(): void {
    if (this.#onSettled && this.#isSettled()) this.#onSettled();
  }

  #isSettled(): boolean {
    if (this.#tentative !== undefined && this.#tentative.size > 0) return false;
    return this.#mode === "client" ? this.#lastTaken <= Math.max(this.#to, this.#letGoTo) : this.#unsettled <= 0;
  }
}

function nameOf(message: Message): MessageName {
  const headers: Record<string, string> = {};
  for (const name of ["subscription", "message-id", "ack"]) {
    const value = message.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return { number: message.number, headers };
}

/** Messages that are remembered: beyond that the one that was refused longest ago is forgotten. */
const MAX_REFUSALS = 1000;

/** The messages that were refused by a client, for brokers that do not count deliveries. */
export class RefusedMessages {
  readonly #refused = new Map<string, { count: number; at: number }>();

  /** Notes that a message was refused. */
  note(message: Message): void {
    const id = identityOf(message);
    // A first delivery is another message, though it may look like one that was refused before.
    const count = isFirstDelivery(message) ? 1 : (this.#refused.get(id)?.count ?? 0) + 1;
    this.#refused.delete(id); // it moves to the end
    this.#refused.set(id, { count, at: performance.now() });
    if (this.#refused.size > MAX_REFUSALS) this.#refused.delete(this.#refused.keys().next().value!);
  }

  /** How often a message was delivered, as far as it is known; 1 for the first delivery. */
  attempts(message: Message): number {
    const counted = countedDeliveries(message);
    if (counted !== undefined) return counted + 1;
    if (isFirstDelivery(message)) return 1;
    const seen = this.#refused.size > 0 ? this.#refused.get(identityOf(message))?.count ?? 0 : 0;
    return Math.max(seen + 1, message.redelivered ? 2 : 1);
  }

  /** When a message was refused last, by `performance.now()`; `undefined` where this client has not done it. */
  lastRefused(message: Message): number | undefined {
    return isFirstDelivery(message) ? undefined : this.#refused.get(identityOf(message))?.at;
  }
}

const WRITTEN: Promise<boolean> = Promise.resolve(true);
const NONE: readonly Frame[] = [];

function acknowledge(
  session: Session,
  transaction: Transaction | undefined,
  command: "ACK" | "NACK",
  message: Frame,
  headers: Readonly<Record<string, string>> | undefined,
): Promise<void> | undefined {
  return transaction
    ? inTransaction.acknowledge(transaction, command, message, headers)
    : session.acknowledge(command, message, headers);
}

/** What acknowledgements need of their client. */
export interface AcknowledgementsOwner {
  /** Keeps the connection. */
  readonly reconnector: Reconnector;
  /** The open transaction that is meant. */
  transaction(reference: string | { readonly id: string }, what: string): Transaction;
}

/** Sends the ACKs and NACKs of one client. */
export class Acknowledgements {
  /** What was refused by a NACK. */
  readonly refused: RefusedMessages = new RefusedMessages();
  readonly #owner: AcknowledgementsOwner;

  /** Nothing was sent yet. */
  constructor(owner: AcknowledgementsOwner) {
    this.#owner = owner;
  }

  /**
   * Sends ACK or NACK for a message. Resolves to whether it was written.
   *
   * @param isCurrent whether the subscription goes on
   * @throws at once what the caller did wrong.
   */
  send(
    { settlement, destination }: { readonly settlement: AckTracker | undefined; readonly destination: string },
    isCurrent: boolean,
    command: "ACK" | "NACK",
    message: Message,
    { transaction: reference, headers: given, ...wait }: AcknowledgeOptions,
  ): Promise<boolean> {
    checkWait(wait);
    const headers = given && toHeaders(given);
    const what = `send ${command}`;
    if (settlement === undefined) {
      throw new AcknowledgeError(`Cannot ${what}: the subscription to ${destination} is in mode auto`);
    }
    if (message.settled !== undefined) {
      throw new AcknowledgeError(`Cannot ${what}: it was sent ${message.settled} already`);
    }
    const { reconnector } = this.#owner;
    if (reference !== undefined && reconnector.closed) {
      throw new NotConnectedError(`Cannot ${what}: the client is closed`);
    }
    const transaction = reference === undefined ? undefined : this.#owner.transaction(reference, what);
    const session = transaction ? inTransaction.use(transaction, what) : reconnector.session;
    if (session === undefined || !session.isOpen || message.epoch !== session.epoch) {
      if (transaction) throw new StaleMessageError(`Cannot ${what}: the message came over a connection that is gone`);
      settlement.stale++;
      return Promise.resolve(false);
    }
    const obstacle = settlement.whyNot(message);
    if (obstacle !== undefined) throw new AcknowledgeError(`Cannot ${what}: ${obstacle}`);
    if (!isCurrent) {
      throw new AcknowledgeError(`Cannot ${what}: the subscription to ${destination} has ended`);
    }
    for (const earlier of settlement.before(message)) acknowledge(session, transaction, command, earlier, headers);
    const room = acknowledge(session, transaction, command, message, headers);
    const tentative = settlement.settle(message, command, transaction !== undefined);
    if (tentative) inTransaction.onEnd(transaction!, tentative);
    if (command === "NACK" && headers?.["requeue"] !== "false") this.refused.note(message);
    if (room === undefined) return WRITTEN;
    const written = room.then(() => true, (cause) => {
      // The connection broke under it. Whether the broker has read it is unknown; if not, it delivers again.
      if (transaction) throw new StaleMessageError(`Cannot ${what}: the connection of the message is gone`, { cause });
      settlement.stale++;
      return false;
    });
    return within(written, wait, `room to ${what}`);
  }
}
