/**
 * `Transaction`: sends and acknowledgements that take effect together, or not at all.
 *
 * @module
 */
import { checkType } from "../base/checks.ts";
import { beginSteps, type WaitOptions, within } from "../base/timers.ts";
import { ConnectionError, NotConnectedError, type StompError, TimeoutError, TransactionError } from "../base/errors.ts";
import { type FrameHeadersInit, toHeaders } from "../codec/encoder.ts";
import type { Frame } from "../codec/frame.ts";
import { acknowledgement } from "../session/acknowledgement.ts";
import { isInDoubt, type ReceiptWaiter } from "../session/receipts.ts";
import type { AcknowledgeOptions, Message } from "./message.ts";
import type { Session } from "../session/session.ts";
import type { Reconnector } from "./reconnector.ts";
import type { Sender } from "./sender.ts";
import { type Conf, readConf, type SendOptions } from "./options.ts";

/** What transactions need of their client. */
interface TransactionOwner {
  readonly reconnector: Reconnector;
  readonly sender: Sender;
  readonly timeout: number;
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
  #settled: PromiseWithResolvers<void> | undefined;

  constructor(transaction: string) {
    this.#transaction = transaction;
  }

  /** Why the transaction cannot be committed, if one of them was refused. */
  get failure(): StompError | undefined {
    return this.#failure;
  }

  /** Sends a SEND and waits for its receipt. */
  confirm(session: Session, frame: Frame): void {
    this.#session = session;
    this.#open.add(session.sender.confirm(frame, this));
  }

  /** Resolves when all have come; rejects with the first failure. */
  all(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#open.size === 0) return Promise.resolve();
    this.#settled = Promise.withResolvers();
    return this.#settled.promise;
  }

  /** Waits for none of them any more. */
  giveUp(): void {
    for (const id of this.#open) this.#session?.sender.giveUp(id);
    this.#open.clear();
  }

  describe(): string {
    return `SEND in transaction ${this.#transaction}`;
  }

  confirmed(receipt: Frame): void {
    this.#open.delete(receipt.header("receipt-id") ?? "");
    if (this.#open.size === 0) this.#settled?.resolve();
  }

  failed(error: StompError): void {
    this.#failure ??= error;
    this.#settled?.reject(this.#failure);
  }
}

/** What is to be told how a transaction ends. */
export interface TransactionParticipant {
  /** It was committed. */
  keep(): void;
  /** It was not. */
  undo(): void;
}

/** Options of a send within a transaction: the receipt is that of the commit. */
export type TransactionSendOptions = Omit<SendOptions, "transaction" | "receipt" | "wait">;

/** Options of an acknowledgement within a transaction. */
export type TransactionAcknowledgeOptions = Omit<AcknowledgeOptions, "transaction">;

/** How a transaction is ended. */
export interface TransactionEndOptions extends WaitOptions {
  /** Further headers of COMMIT or ABORT. */
  headers?: FrameHeadersInit | undefined;
}

/** What the rest of the client does with a transaction. */
export interface TransactionAccess {
  /**
   * The connection to use.
   *
   * @throws {TransactionError} when the transaction is over.
   */
  use(transaction: Transaction, what: string): Session;
  /** Sends a message as part of it. Resolves when the connection can take more. */
  send(
    transaction: Transaction,
    destination: string,
    body: string | Uint8Array,
    options: SendOptions,
  ): Promise<undefined>;
  /**
   * Sends ACK or NACK as part of it: at once, or where the broker does not take it into the transaction, when all that
   * was sent in it is confirmed. Returns a promise to wait for before more is sent.
   */
  acknowledge(
    transaction: Transaction,
    command: "ACK" | "NACK",
    message: Frame,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<void> | undefined;
  /** Tells the participant how it ends. */
  onEnd(transaction: Transaction, participant: TransactionParticipant): void;
}

/** Set by {@linkcode Transaction}, whose users see none of it. */
export let inTransaction: TransactionAccess;

/** An open transaction. It lives on one connection, and dies with it. */
export class Transaction {
  /** The id. */
  readonly id: string;
  readonly #session: Session;
  readonly #owner: TransactionOwner;
  readonly #onEnd: () => void;
  readonly #participants: TransactionParticipant[] = [];
  readonly #receipts: SendReceipts;
  readonly #acknowledgements: Frame[] = []; // to be sent once the SENDs are confirmed
  #over = false;

  static {
    inTransaction = {
      use: (transaction, what) => transaction.#use(what),
      send: (transaction, destination, body, options) => transaction.#send(destination, body, options),
      acknowledge: (transaction, command, message, headers) => transaction.#acknowledge(command, message, headers),
      onEnd: (transaction, participant) => void transaction.#participants.push(participant),
    };
  }

  /** Made by `Stomp.begin`. */
  constructor(id: string, session: Session, owner: TransactionOwner, onEnd: () => void) {
    this.id = id;
    this.#session = session;
    this.#owner = owner;
    this.#onEnd = onEnd;
    this.#receipts = new SendReceipts(id);
  }

  /** Whether it can still be used. */
  get isOpen(): boolean {
    return !this.#over && this.#session.isOpen;
  }

  /** Whether it was committed or aborted; how that went is another question. */
  get ended(): boolean {
    return this.#over;
  }

  /**
   * Sends a message with the commit. Resolves when the connection has room for more; whether the broker takes it is
   * known when `commit` resolves. The message is persistent unless `persistent: false` is said.
   */
  async send(destination: string, body: string | Uint8Array, options: TransactionSendOptions = {}): Promise<void> {
    await this.#send(destination, body, { ...options, transaction: this });
  }

  /**
   * Acknowledges a message with the commit.
   *
   * @returns `true`: it was written.
   * @throws {StaleMessageError} when the connection of the message is gone; a `TransactionError` when the transaction is
   * over.
   */
  ack(message: Message, options: TransactionAcknowledgeOptions = {}): Promise<boolean> {
    return message.ack({ ...options, transaction: this });
  }

  /** Refuses a message with the commit. Returns and throws as {@linkcode ack}. */
  nack(message: Message, options: TransactionAcknowledgeOptions = {}): Promise<boolean> {
    return message.nack({ ...options, transaction: this });
  }

  /**
   * Makes it all happen. Resolves when the broker has confirmed the commit and each message that was sent in it.
   *
   * What a transaction is differs between brokers. On ActiveMQ and the embedded broker it is atomic. On RabbitMQ it is a
   * buffer that COMMIT empties: messages are confirmed one by one, and acknowledgements are sent once all messages are
   * confirmed. So when the broker or the connection breaks during the commit, a message that was moved from one queue to
   * another may be in both, and is never in neither. Artemis does not take acknowledgements into its transactions; they
   * are sent after the commit as well.
   *
   * @throws {TransactionError} when it is over, or its connection is gone: then nothing of it happened, unless the
   * connection broke during the commit.
   * @throws {BrokerErrorResponse} when the broker refuses the commit or a message. Of a message that it refuses before
   * the commit, the whole transaction is aborted.
   * @throws {TimeoutError} when the broker does not confirm in time: whether it happened is then unknown.
   */
  commit(options: TransactionEndOptions = {}): Promise<void> {
    return this.#end("COMMIT", options);
  }

  /** Makes none of it happen: messages acknowledged in it can be acknowledged again. */
  abort(options: TransactionEndOptions = {}): Promise<void> {
    return this.#end("ABORT", options);
  }

  async #send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<undefined> {
    // RabbitMQ sends such a receipt after that of COMMIT, so a wait for it before the commit would never end.
    if (options.receipt) {
      throw new TypeError("Cannot send with a receipt in a transaction: the receipt of the commit stands for all");
    }
    const { reconnector, sender } = this.#owner;
    reconnector.check("send to", destination);
    const ready = this.#confirm(sender.frameFor(destination, body, options, this.#use("send")));
    if (ready !== undefined) await within(ready, options, "room to send");
    return undefined;
  }

  /** The connection to use. */
  #use(what: string): Session {
    if (this.#over) throw new TransactionError(`Cannot ${what} in transaction ${this.id}: it has ended`);
    if (!this.#session.isOpen) {
      throw new TransactionError(`Cannot ${what} in transaction ${this.id}: it died with its connection`);
    }
    return this.#session;
  }

  #confirm(frame: Frame): Promise<void> | undefined {
    const session = this.#use("send");
    frame.headers["transaction"] = this.id;
    this.#receipts.confirm(session, frame);
    return session.ready();
  }

  #acknowledge(
    command: "ACK" | "NACK",
    message: Frame,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<void> | undefined {
    const session = this.#use(`send ${command}`);
    if (session.dialect.transactsAcknowledgements) {
      return session.acknowledge(command, message, { transaction: this.id, ...headers });
    }
    this.#acknowledgements.push(acknowledgement(command, message, session.version, headers ?? {}));
    return undefined;
  }

  async #end(command: "COMMIT" | "ABORT", { headers: given, ...wait }: TransactionEndOptions): Promise<void> {
    const what = command.toLowerCase();
    const headers = toHeaders(given);
    const session = this.#use(what);
    const left = beginSteps(wait, this.#owner.timeout);
    const refused = command === "COMMIT" ? this.#receipts.failure : undefined;
    this.#receipts.isPostponed = false;
    const answered = session.transactions.end(refused ? "ABORT" : command, this.id, headers, left()); // may throw
    this.#over = true;
    this.#onEnd();
    let isDone = false;
    try {
      isDone = await this.#finish(session, answered, command === "COMMIT" && !refused, left);
      if (refused) throw refused;
    } catch (error) {
      // Where there is no answer in time the broker may have acknowledged, so nothing is said a second time.
      isDone = error instanceof TimeoutError && command === "COMMIT" && this.#acknowledgements.length === 0;
      if (error instanceof TimeoutError && command === "COMMIT") {
        const cause = this.#owner.reconnector.trouble ?? error;
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
        if (isDone) participant.keep();
        else participant.undo();
      }
    }
  }

  /** Waits until COMMIT or ABORT is done. Returns whether acknowledgements took effect. */
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

/** The open transactions of a client. */
export class Transactions {
  readonly #owner: TransactionOwner;
  readonly #open = new Map<string, Transaction>();
  #count = 0;

  /** Begins with none. */
  constructor(reconnector: Reconnector, sender: Sender, timeout: number) {
    this.#owner = { reconnector, sender, timeout };
  }

  /** Begins one, with the id that the conf gives as `transaction` or a new one. */
  async begin(conf: Conf): Promise<Transaction> {
    const { headers: { transaction: id, ...headers }, wait } = readConf(conf);
    return await this.#begin(id, headers, wait);
  }

  /** The transaction that is meant: by its id, or itself. */
  find(reference: string | { readonly id: string } | undefined, what: string): Transaction {
    if (reference instanceof Transaction) return reference;
    const id = typeof reference === "string" ? reference : reference?.id;
    const transaction = id === undefined ? undefined : this.#open.get(id);
    if (transaction !== undefined) return transaction;
    this.#owner.reconnector.check(what);
    throw new TransactionError(`Cannot ${what}: there is no open transaction ${id ?? "in the conf"}`);
  }

  /** Sends a message in the transaction that its options name. */
  async send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<undefined> {
    return await inTransaction.send(this.find(options.transaction, "send"), destination, body, options);
  }

  /** Runs `work` in one: committed when it returns, aborted when it throws. */
  async run<T>(work: (tx: Transaction) => T | Promise<T>, options: WaitOptions): Promise<T> {
    // The time is for all of it, if one is given; else the broker's answers have the usual one.
    checkType("run transaction", "work", work ?? null, "function");
    const left = options.timeout === undefined ? () => options : beginSteps(options);
    const tx = await this.#begin(undefined, {}, left());
    try {
      const result = await within((async () => await work(tx))(), left(), "the work of the transaction");
      if (!tx.ended) await tx.commit(left());
      return result;
    } catch (error) {
      // What went wrong first is what the caller has to know, and a caller who has given up does not wait.
      if (tx.isOpen) await within(tx.abort(), left(), "the receipt of ABORT").catch(() => {});
      throw error;
    }
  }

  /** The connection is gone, and all of them with it. */
  clear(): void {
    this.#open.clear();
  }

  async #begin(given: string | undefined, headers: Record<string, string>, wait: WaitOptions): Promise<Transaction> {
    const left = beginSteps(wait, this.#owner.timeout);
    const id = given ?? this.#freeId();
    const session = await this.#beginOnSession(id, headers, left);
    const transaction = new Transaction(id, session, this.#owner, () => {
      if (this.#open.get(id) === transaction) this.#open.delete(id);
    });
    if (session.isOpen) this.#open.set(id, transaction);
    return transaction;
  }

  /** Says BEGIN on the open connection; when that breaks meanwhile, on the next one. */
  async #beginOnSession(id: string, headers: Record<string, string>, left: () => WaitOptions): Promise<Session> {
    for (;;) {
      const session = await this.#owner.reconnector.ready("begin transaction", left());
      try {
        await session.transactions.begin(id, headers, left());
        return session;
      } catch (error) {
        // One that the broker refuses is refused for certain once nothing else is open.
        const isLost = error instanceof ConnectionError || error instanceof NotConnectedError || isInDoubt(error);
        if (session.isOpen || !isLost) throw error;
      }
    }
  }

  #freeId(): string {
    let id: string;
    do id = `tx-${++this.#count}`; while (this.#open.has(id));
    return id;
  }
}
