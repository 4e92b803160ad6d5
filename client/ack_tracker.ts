/**
 * Which messages of a subscription are settled, that is acknowledged or refused, and which messages a client refused.
 *
 * @module
 */
import type { Clock } from "../base/timers.ts";
import type { AckMode } from "../codec/protocol.ts";
import { Frame } from "../codec/frame.ts";
import { countedDeliveries, identityOf, isFirstDelivery } from "../dialects/redelivery.ts";
import { type Message, setSettledBy, settledBy } from "./message.ts";
import type { TransactionParticipant } from "./transaction.ts";

/**
 * The headers that name a message in ACK and NACK, and tell whether it comes from a stream. Keeping the message itself
 * would keep the chunk that it came in.
 */
interface MessageName {
  readonly number: number;
  readonly headers: Record<string, string>;
}

/** How a broker treats acknowledgements. */
export interface AckBehavior {
  /** Whether each message needs its own ACK even in mode `client`. */
  readonly oneByOne: boolean;
  /** Whether unsettled messages stay with the connection after UNSUBSCRIBE, until they are refused. */
  readonly keepsUnsettled: boolean;
  /** Why NACK is refused unless its header `requeue` is `false`; absent where it is not. */
  readonly whyNoNack?: string | undefined;
}

const NONE: readonly Frame[] = [];

/** Tracks which messages of one subscription are taken, settled and abandoned. Not used in mode `auto`. */
export class AckTracker {
  /** Messages for which ACK or NACK was sent. */
  count = 0;
  /** As in {@linkcode AckBehavior}, for the connection. */
  whyNoNack: string | undefined;
  /** Acknowledgements that came too late, after the connection of their message was lost. */
  stale = 0;
  readonly #mode: AckMode;
  #settledTo = 0; // mode client: messages up to this number are settled
  #lastTaken = 0;
  #unsettled = 0; // mode client-individual: messages that were taken and are neither settled nor abandoned
  #abandoned: WeakSet<Message> | undefined;
  #abandonedTo = 0; // mode client: messages up to this number are abandoned
  #tentative: Set<Message> | undefined; // settled in a transaction that is open
  #unsettledNames: MessageName[] | undefined; // mode client, where each message needs its own ACK
  #unsettledMessages: Set<Message> | undefined; // mode client-individual, where the broker keeps them after UNSUBSCRIBE
  #onAllSettled: (() => void) | undefined;

  /** Creates a tracker for a subscription with no messages yet. */
  constructor(mode: AckMode) {
    this.#mode = mode;
  }

  /** Starts on a new connection. */
  attach({ oneByOne, keepsUnsettled, whyNoNack }: AckBehavior): void {
    this.whyNoNack = whyNoNack;
    this.#unsettledNames = oneByOne && this.#mode === "client" ? [] : undefined;
    this.#unsettledMessages = keepsUnsettled && this.#mode === "client-individual" ? new Set() : undefined;
  }

  /** Forgets the messages of a lost connection: they can no longer be settled. */
  detach(): void {
    this.#unsettled = 0;
    this.#lastTaken = this.#settledTo;
    for (const message of this.#tentative ?? []) setSettledBy(message, undefined); // no broker has heard of it
    this.#tentative?.clear();
    this.#abandoned = undefined;
    this.#unsettledNames = undefined;
    this.#unsettledMessages = undefined;
    this.#onAllSettled?.();
  }

  /** Notes that the program took a message. */
  noteTaken(message: Message): void {
    this.#lastTaken = message.number;
    this.#unsettled++;
    this.#unsettledNames?.push(nameOf(message));
    this.#unsettledMessages?.add(message);
  }

  /** Returns the taken messages that are not settled, or frames that name them. Each is returned once. */
  takeUnsettled(): Frame[] {
    const named = this.#unsettledNames?.splice(0).map(frameFor);
    const messages = [...this.#unsettledMessages ?? []];
    this.#unsettledMessages?.clear();
    return [...named ?? [], ...messages];
  }

  /** Returns the messages that need their own ACK before this one, oldest first. */
  earlierThan(message: Message): readonly Frame[] {
    if (this.#unsettledNames === undefined) return NONE; // the common case
    const earlier: Frame[] = [];
    for (const name of this.#unsettledNames) {
      if (name.number >= message.number) break;
      earlier.push(frameFor(name));
    }
    return earlier;
  }

  /** Returns why a message cannot be settled; `undefined` when it can. */
  whyNot(
    message: Message,
    command: "ACK" | "NACK",
    headers: Readonly<Record<string, string>> | undefined,
  ): string | undefined {
    if (command === "NACK" && this.whyNoNack !== undefined && headers?.["requeue"] !== "false") return this.whyNoNack;
    if (this.#mode !== "client") return undefined;
    let to = this.#settledTo;
    for (const { number } of this.#tentative ?? []) to = Math.max(to, number);
    return message.number <= to ? "a later message was acknowledged" : undefined;
  }

  /** Notes that ACK or NACK was sent for a message. In a transaction, returns whom to notify when that ends. */
  settle(message: Message, command: "ACK" | "NACK", inTransaction: boolean): TransactionParticipant | undefined {
    setSettledBy(message, command);
    this.count++;
    if (!this.#abandoned?.delete(message)) this.#unsettled--;
    const names = this.#takeNamesTo(message.number);
    this.#unsettledMessages?.delete(message);
    if (!inTransaction) {
      this.#onSettled(message);
      return undefined;
    }
    const tentative = (this.#tentative ??= new Set()).add(message);
    return {
      onCommit: () => {
        if (tentative.delete(message)) this.#onSettled(message);
      },
      onAbort: () => {
        if (!tentative.delete(message)) return; // its connection is lost
        setSettledBy(message, undefined);
        this.count--;
        this.#unsettled++;
        if (names !== undefined) {
          this.#unsettledNames = [...names, ...this.#unsettledNames ?? []].sort((a, b) => a.number - b.number);
        }
        this.#unsettledMessages?.add(message);
        // The program may settle it again, but a drain that waited for that could wait forever.
        this.abandon(message);
      },
    };
  }

  /** Notes that the program will not settle a message: drains do not wait for it, and the broker requeues it later. */
  abandon(message: Message): void {
    if (settledBy(message) !== undefined) return;
    if (this.#mode === "client") {
      this.#abandonedTo = Math.max(this.#abandonedTo, message.number);
    } else {
      const abandoned = this.#abandoned ??= new WeakSet();
      if (abandoned.has(message)) return;
      abandoned.add(message);
      this.#unsettled--;
    }
    this.#checkAllSettled();
  }

  /** Resolves when every taken message is settled or abandoned, and no transaction with one of them is open. */
  whenSettled(): Promise<void> {
    if (this.#areAllSettled()) return Promise.resolve();
    const before = this.#onAllSettled;
    return new Promise((resolve) => {
      this.#onAllSettled = () => {
        before?.();
        resolve();
      };
    });
  }

  #takeNamesTo(number: number): MessageName[] | undefined {
    const names = this.#unsettledNames;
    if (names === undefined) return undefined;
    const next = names.findIndex((name) => name.number > number);
    return names.splice(0, next < 0 ? names.length : next);
  }

  #onSettled(message: Message): void {
    if (this.#mode === "client") this.#settledTo = Math.max(this.#settledTo, message.number);
    this.#checkAllSettled();
  }

  #checkAllSettled(): void {
    if (this.#onAllSettled && this.#areAllSettled()) this.#onAllSettled();
  }

  #areAllSettled(): boolean {
    if (this.#tentative !== undefined && this.#tentative.size > 0) return false;
    if (this.#mode !== "client") return this.#unsettled <= 0;
    return this.#lastTaken <= Math.max(this.#settledTo, this.#abandonedTo);
  }
}

/** What ACK, NACK and the end of a subscription need of a message. */
const NAMING_HEADERS = ["subscription", "message-id", "ack", "x-stream-offset"];

function nameOf(message: Message): MessageName {
  const headers: Record<string, string> = {};
  for (const name of NAMING_HEADERS) {
    const value = message.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return { number: message.number, headers };
}

function frameFor({ headers }: MessageName): Frame {
  return new Frame().buildFrame({ command: "MESSAGE", headers });
}

/** Refused messages that a client remembers. Beyond that it forgets the one that was refused longest ago. */
const MAX_REFUSED_MESSAGES = 1000;

/** The messages that a client refused, for brokers that do not count deliveries. */
export class RefusedMessages {
  readonly #clock: Clock;
  readonly #refused = new Map<string, { count: number; at: number }>();

  /** Creates an empty record. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes that a message was refused. */
  note(message: Message): void {
    const id = identityOf(message);
    // A first delivery is another message, though it may look like one that was refused before.
    const count = isFirstDelivery(message) ? 1 : (this.#refused.get(id)?.count ?? 0) + 1;
    this.#refused.delete(id); // it moves to the end
    this.#refused.set(id, { count, at: this.#clock.now() });
    if (this.#refused.size > MAX_REFUSED_MESSAGES) this.#refused.delete(this.#refused.keys().next().value!);
  }

  /** Returns how often a message was delivered as far as that is known: 1 for the first delivery. */
  attempts(message: Message): number {
    const counted = countedDeliveries(message);
    if (counted !== undefined) return counted + 1;
    if (isFirstDelivery(message)) return 1;
    const refusals = this.#refused.size > 0 ? this.#refused.get(identityOf(message))?.count ?? 0 : 0;
    return Math.max(refusals + 1, message.redelivered ? 2 : 1);
  }

  /** Returns when this client last refused a message, by the client's clock; `undefined` when it never did. */
  lastRefused(message: Message): number | undefined {
    return isFirstDelivery(message) ? undefined : this.#refused.get(identityOf(message))?.at;
  }
}
