/**
 * `Transaction`: sends and acknowledgements that take effect together, or not at all.
 *
 * @module
 */
import { beginSteps, type WaitOptions, within } from "../base/timers.ts";
import { ConnectionError, type StompError, TimeoutError, TransactionError } from "../base/errors.ts";
import { type FrameHeadersInit, toHeaders } from "../codec/encoder.ts";
import type { Frame } from "../codec/frame.ts";
import { acknowledgement } from "../session/acknowledgement.ts";
import { isInDoubt, type ReceiptWaiter } from "../session/receipts.ts";
import type { Session } from "../session/session.ts";
import type { AcknowledgeOptions, Message } from "./message.ts";
import type { SendOptions } from "./options.ts";
import type { Reconnector } from "./reconnector.ts";
import type { Sender } from "./sender.ts";

/** Options of a send in a transaction. It has no receipt: the commit confirms all that was sent. */
export type TransactionSendOptions = Omit<SendOptions, "transaction" | "receipt" | "wait">;

/** Options of an acknowledgement in a transaction. */
export type TransactionAcknowledgeOptions = Omit<AcknowledgeOptions, "transaction">;

/** Options of `commit()` and `abort()` of a transaction. */
export interface TransactionEndOptions extends WaitOptions {
  /**
   * Additional headers of COMMIT or ABORT.
   *
   * @default {{}}
   */
  headers?: FrameHeadersInit | undefined;
}

/** Is notified when a transaction ends. */
export interface TransactionParticipant {
  /** The transaction was committed. */
  onCommit(): void;
  /** The transaction was aborted, or failed. */
  onAbort(): void;
}

/** The receipts of the SENDs in one transaction. */
class SendReceipts implements ReceiptWaiter {
  readonly isSend = true;
  /** RabbitMQ confirms nothing before the COMMIT. */
  isPostponed = true;
  readonly #transaction: string;
  readonly #open = new Set<string>();
  #session: Session | undefined;
  #failure: StompError | undefined;
  #all: PromiseWithResolvers<void> | undefined;

  constructor(transaction: string) {
    this.#transaction = transaction;
  }

  /** The error of the first SEND that was refused. The transaction cannot be committed then. */
  get failure(): StompError | undefined {
    return this.#failure;
  }

  /** Sends a SEND with a receipt. */
  confirm(session: Session, frame: Frame): void {
    this.#session = session;
    this.#open.add(session.sender.confirm(frame, this));
  }

  /** Resolves when all receipts have come; rejects with the first failure. */
  all(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#open.size === 0) return Promise.resolve();
    this.#all = Promise.withResolvers();
    return this.#all.promise;
  }

  /** Stops waiting for receipts. */
  giveUp(): void {
    for (const id of this.#open) this.#session?.sender.giveUp(id);
    this.#open.clear();
  }

  describe(): string {
    return `SEND in transaction ${this.#transaction}`;
  }

  confirmed(receipt: Frame): void {
    this.#open.delete(receipt.header("receipt-id") ?? "");
    if (this.#open.size === 0) this.#all?.resolve();
  }

  failed(error: StompError): void {
    this.#failure ??= error;
    this.#all?.reject(this.#failure);
  }
}

/** Sends a message in a transaction, with the options of any send. Resolves when the connection accepts more. */
export let sendIn: (
  transaction: Transaction,
  destination: string,
  body: string | Uint8Array,
  options: SendOptions,
) => Promise<undefined>;

/**
 * Returns the session of a transaction, to do `what` with it.
 *
 * @throws {TransactionError} when the transaction has ended.
 */
export let sessionOf: (transaction: Transaction, what: string) => Session;

/**
 * Sends ACK or NACK as part of a transaction: at once, or, where the broker keeps acknowledgements out of transactions,
 * after all SENDs of it are confirmed. Returns a promise to wait for before more is sent.
 */
export let acknowledgeIn: (
  transaction: Transaction,
  command: "ACK" | "NACK",
  message: Frame,
  headers: Readonly<Record<string, string>> | undefined,
) => Promise<void> | undefined;

/** Notifies a participant when a transaction ends. */
export let joinTransaction: (transaction: Transaction, participant: TransactionParticipant) => void;

/**
 * An open transaction. It belongs to one connection, and is lost with it.
 *
 * What a transaction is differs between brokers. On ActiveMQ and the embedded broker it is atomic. On RabbitMQ it is a
 * buffer that COMMIT empties: messages are confirmed one by one, and acknowledgements are sent once all messages are
 * confirmed. So when the broker or the connection breaks during the commit, a message that was moved from one queue to
 * another may be in both, and is never in neither. Artemis does not include acknowledgements in its transactions; they
 * are sent after the commit as well.
 */
export class Transaction {
  /** The id, in the `transaction` header of its frames. */
  readonly id: string;
  readonly #session: Session;
  readonly #reconnector: Reconnector;
  readonly #sender: Sender;
  readonly #timeout: number;
  readonly #onEnd: (transaction: Transaction) => void;
  readonly #participants: TransactionParticipant[] = [];
  readonly #receipts: SendReceipts;
  readonly #acknowledgements: Frame[] = []; // to be sent once the SENDs are confirmed
  #ended = false;

  static {
    sendIn = (transaction, destination, body, options) => transaction.#send(destination, body, options);
    sessionOf = (transaction, what) => transaction.#sessionFor(what);
    acknowledgeIn = (transaction, command, message, headers) => transaction.#acknowledge(command, message, headers);
    joinTransaction = (transaction, participant) => void transaction.#participants.push(participant);
  }

  /** Created by `stomp.begin()`. */
  constructor(
    id: string,
    session: Session,
    reconnector: Reconnector,
    sender: Sender,
    timeout: number,
    onEnd: (transaction: Transaction) => void,
  ) {
    this.id = id;
    this.#session = session;
    this.#reconnector = reconnector;
    this.#sender = sender;
    this.#timeout = timeout;
    this.#onEnd = onEnd;
    this.#receipts = new SendReceipts(id);
  }

  /** Whether the transaction can still be used. */
  get isOpen(): boolean {
    return !this.#ended && this.#session.isOpen;
  }

  /** Whether a commit or an abort was sent, successful or not. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Sends a message with the commit. Resolves as soon as the connection accepts more; `commit()` tells whether the
   * broker has the message. The message is persistent unless `persistent` is `false`.
   *
   * @throws {TypeError} when an argument or an option is of the wrong type.
   * @throws {RangeError} when a number is out of range.
   * @throws {TransactionError} when the transaction has ended.
   * @throws {NotConnectedError} when the client is closed.
   * @throws {UnsupportedByBrokerError} when the broker cannot do what an option means.
   * @throws {TimeoutError} when the connection accepts nothing more within `timeout`.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const tx = await stomp.begin();
   * await tx.send("/queue/orders", "an order", { contentType: "text/plain" });
   * await tx.commit();
   * ```
   */
  async send(destination: string, body: string | Uint8Array, options: TransactionSendOptions = {}): Promise<void> {
    await this.#send(destination, body, { ...options, transaction: this });
  }

  /**
   * Acknowledges a message with the commit.
   *
   * @returns `true`, since the ACK was written or will be.
   * @throws {AcknowledgeError} as `message.ack()`.
   * @throws {StaleMessageError} when the connection of the message is lost.
   * @throws {TransactionError} when the transaction has ended.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "an order");
   * const orders = await stomp.subscribe("/queue/orders", { ack: "client-individual" });
   * const message = await orders.take();
   * await stomp.transaction(async (tx) => {
   *   await tx.send("/queue/invoices", `invoice for ${message!.text()}`);
   *   await tx.ack(message!);
   * });
   * ```
   */
  ack(message: Message, options: TransactionAcknowledgeOptions = {}): Promise<boolean> {
    return message.ack({ ...options, transaction: this });
  }

  /**
   * Refuses a message with the commit.
   *
   * @returns as {@linkcode ack}.
   * @throws {AcknowledgeError} as `message.nack()`.
   * @throws {StaleMessageError} when the connection of the message is lost.
   * @throws {TransactionError} when the transaction has ended.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await stomp.send("/queue/orders", "no order");
   * const orders = await stomp.subscribe("/queue/orders", { ack: "client-individual" });
   * const message = await orders.take();
   * await stomp.transaction((tx) => tx.nack(message!, { headers: { requeue: "false" } }));
   * ```
   */
  nack(message: Message, options: TransactionAcknowledgeOptions = {}): Promise<boolean> {
    return message.nack({ ...options, transaction: this });
  }

  /**
   * Makes everything in the transaction take effect. Resolves when the broker has confirmed the commit and each message
   * that was sent in it.
   *
   * @throws {TransactionError} when the transaction has ended, or its connection is lost: then nothing of it took effect,
   * unless the connection was lost during the commit.
   * @throws {BrokerErrorResponse} when the broker refuses the commit or a message. When it refuses a message before the
   * commit, the whole transaction is aborted.
   * @throws {TimeoutError} when the broker does not confirm in time: whether it took effect is then unknown.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const tx = await stomp.begin();
   * await tx.send("/queue/orders", "an order");
   * await tx.commit({ timeout: 5000 });
   * ```
   */
  commit(options: TransactionEndOptions = {}): Promise<void> {
    return this.#end("COMMIT", options);
  }

  /**
   * Drops everything in the transaction. Messages that were acknowledged in it can be acknowledged again.
   *
   * @throws {TransactionError} when the transaction has ended, or its connection is lost.
   * @throws {BrokerErrorResponse} when the broker refuses the abort.
   * @throws {TimeoutError} when the broker does not confirm in time.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const tx = await stomp.begin();
   * await tx.send("/queue/orders", "never sent");
   * await tx.abort();
   * ```
   */
  abort(options: TransactionEndOptions = {}): Promise<void> {
    return this.#end("ABORT", options);
  }

  async #send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<undefined> {
    // RabbitMQ sends such a receipt after that of COMMIT, so a wait for it before the commit would never end.
    if (options.receipt) {
      throw new TypeError("Cannot send with a receipt in a transaction: the receipt of the commit stands for all");
    }
    this.#reconnector.check("send to", destination);
    const session = this.#sessionFor("send");
    const frame = this.#sender.frameFor(destination, body, options, session);
    frame.headers["transaction"] = this.id;
    this.#receipts.confirm(session, frame);
    const ready = session.ready();
    if (ready !== undefined) await within(ready, options, "the connection to accept more");
    return undefined;
  }

  #sessionFor(what: string): Session {
    if (this.#ended) throw new TransactionError(`Cannot ${what} in transaction ${this.id}: it has ended`);
    if (!this.#session.isOpen) {
      throw new TransactionError(`Cannot ${what} in transaction ${this.id}: it died with its connection`);
    }
    return this.#session;
  }

  #acknowledge(
    command: "ACK" | "NACK",
    message: Frame,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<void> | undefined {
    const session = this.#sessionFor(`send ${command}`);
    if (session.dialect.transactsAcknowledgements) {
      return session.acknowledge(command, message, { transaction: this.id, ...headers });
    }
    this.#acknowledgements.push(acknowledgement(command, message, session.version, headers ?? {}));
    return undefined;
  }

  async #end(command: "COMMIT" | "ABORT", { headers: given, ...wait }: TransactionEndOptions): Promise<void> {
    const what = command.toLowerCase();
    const headers = toHeaders(given);
    const session = this.#sessionFor(what);
    const left = beginSteps(wait, this.#timeout, this.#reconnector.clock);
    const refused = command === "COMMIT" ? this.#receipts.failure : undefined;
    this.#receipts.isPostponed = false;
    const answered = session.transactions.end(refused ? "ABORT" : command, this.id, headers, left()); // may throw
    this.#ended = true;
    this.#onEnd(this);
    let hasAcknowledged = false;
    try {
      hasAcknowledged = await this.#finish(session, answered, command === "COMMIT" && !refused, left);
      if (refused) throw refused;
    } catch (error) {
      const isUnanswered = error instanceof TimeoutError && command === "COMMIT";
      // Without an answer in time the broker may have acknowledged, so no ACK is sent a second time.
      hasAcknowledged = isUnanswered && this.#acknowledgements.length === 0;
      if (isUnanswered) {
        const cause = this.#reconnector.trouble ?? error;
        throw new TimeoutError(`${error.message}: whether transaction ${this.id} happened is unknown`, { cause });
      }
      if (isInDoubt(error)) {
        const outcome = refused ? "it was aborted" : "whether it happened is unknown";
        const why = `${(error as StompError).message}, which may be about another frame; ${outcome}`;
        throw new TransactionError(`Cannot ${what} transaction ${this.id}: ${why}`, { cause: error });
      }
      if (!(error instanceof ConnectionError)) throw error;
      throw new TransactionError(`Cannot ${what} transaction ${this.id}: ${error.message}`, { cause: error });
    } finally {
      this.#receipts.giveUp();
      for (const participant of this.#participants) {
        if (hasAcknowledged) participant.onCommit();
        else participant.onAbort();
      }
    }
  }

  /** Waits until COMMIT or ABORT is done. Resolves to whether acknowledgements took effect. */
  async #finish(
    session: Session,
    answered: Promise<unknown>,
    commits: boolean,
    left: () => WaitOptions,
  ): Promise<boolean> {
    await answered;
    if (!commits) return false;
    // RabbitMQ answers COMMIT at once. Only the receipts of the SENDs mean that they are on disk, or at a quorum.
    await within(this.#receipts.all(), left(), `the receipts of what was sent in transaction ${this.id}`);
    const last = this.#acknowledgements.pop();
    for (const frame of this.#acknowledgements) session.send(frame);
    if (last !== undefined) await session.request(last, left());
    return true;
  }
}
