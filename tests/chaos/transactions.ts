/**
 * Transactions under faults: producers commit messages to one queue, and movers move each message to another queue, with
 * its acknowledgement in the same transaction. Afterwards, what was committed is compared with what was received.
 *
 * @module
 */
import { type SendOptions, Stomp, type StompOptions, type SubscribeOptions, type Transaction } from "../../mod.ts";
import { collect, Ledger, persevering, type RunReport, watch } from "./ledger.ts";

/** Options of the transactions. */
export interface TransactionOptions {
  /** The URLs for all clients. */
  url: string | readonly string[];
  /** The first queue, which producers send to. */
  from: string;
  /** The second queue, which movers send to. */
  to: string;
  /** The options of all clients. */
  client?: StompOptions;
  /** The options of each send. */
  send?: SendOptions;
  /** The options of the subscriptions. */
  subscribe?: SubscribeOptions;
  /** The number of messages in a producer's transaction. Default 5. */
  each?: number;
  /** The number of transactions that producers have open at a time. Default 4. */
  producers?: number;
  /** The number of connections that move messages. Default 2. */
  movers?: number;
  /** The number of messages that one of them moves at a time. Default 8. */
  moving?: number;
  /** How many messages producers may be ahead of the second queue. Default 500. */
  ahead?: number;
  /** Milliseconds without a message after which the run ends. Default 60,000. */
  patience?: number;
}

/** The result. `confirmed` and `rejected` count the messages that producers sent in transactions. */
export interface TransactionReport extends RunReport {
  /** The producers' transactions that were committed. */
  commits: number;
  /** The producers' transactions that failed. */
  failedCommits: number;
  /** Moves that failed. Their messages are delivered again. */
  failedMoves: number;
  /** The faults injected while transactions were open and another one had just been committed. */
  hits: number;
  /** The smallest number of messages committed in the second before such a fault. */
  freshest: number | undefined;
  /** Received messages of transactions that ended before their commit, which is a bug. */
  uncommitted: number;
  /** Messages in the first queue at the end, which is a bug. */
  left: number;
}

/** The greatest age of the last commit before a fault, in milliseconds. */
const FRESH_COMMIT_MS = 100;

/** Milliseconds for which messages stay in a queue before a fault, so that the broker may not have stored some yet. */
const HOLD_MS = 500;

/** Producers and movers that run until `end()`. */
export class Transactions implements AsyncDisposable {
  readonly #options: TransactionOptions;
  readonly #client: StompOptions;
  readonly #ledger = new Ledger();
  readonly #begun = performance.now();
  readonly #stop = new AbortController();
  readonly #never = new Set<number>(); // sent in transactions that ended before their commit
  readonly #commits: number[] = []; // times
  readonly #stomps: Stomp[] = [];
  readonly #watching: Promise<void>[] = [];
  readonly #hits: number[] = []; // messages committed in the second before each fault
  readonly #stopMovers = new AbortController();
  readonly #sends: Promise<void>[] = [];
  readonly #moves: { done: Promise<void> }[] = [];
  readonly #sent = new WeakMap<Transaction, number[]>();
  #endReceiving: () => Promise<void> = () => Promise.resolve();
  #held: "from" | "to" | undefined; // the queue that no message leaves
  #released = Promise.withResolvers<void>();
  #open = 0; // open transactions of producers
  #moving = 0;
  #failedCommits = 0;
  #failedMoves = 0;
  #from = 0; // the lowest number from which `ahead` counts

  private constructor(options: TransactionOptions) {
    this.#options = options;
    this.#client = persevering(options.client);
  }

  /** Connects the clients and starts. */
  static async start(options: TransactionOptions): Promise<Transactions> {
    const transactions = new Transactions(options);
    await transactions.#start();
    return transactions;
  }

  async #start(): Promise<void> {
    const { producers = 4, movers = 2, moving = 8, url, to, subscribe } = this.#options;
    this.#endReceiving = await collect(
      { consumerUrl: url, destination: to, subscribe },
      this.#client,
      this.#ledger,
      () => this.#held === "to" ? this.#released.promise : Promise.resolve(),
    );
    for (let count = 0; count < movers; count++) this.#moves.push(await this.#move(moving));
    const stomp = await this.#connect();
    for (let count = 0; count < producers; count++) this.#sends.push(this.#produce(stomp));
  }

  /**
   * Prepares for a fault: holds the messages in one of the queues, in turn the first and the second, so that what is
   * committed to it is nowhere else, and opens a transaction on a connection to `url` that commits after the fault.
   */
  async prepare(url: string): Promise<void> {
    this.#held = this.#hits.length % 2 === 0 ? "from" : "to";
    const { promise } = this.#released = Promise.withResolvers();
    const witness = await this.#connect(url);
    await new Promise<void>((resolve) => {
      const outcome = this.#transact(witness, async (tx) => {
        await this.#send(tx);
        resolve();
        await promise;
      });
      this.#sends.push(outcome.finally(resolve));
    });
    await pause(HOLD_MS);
  }

  /**
   * Calls `fault` at a moment when transactions are open and another one has just been committed.
   *
   * @throws {Error} when there is no such moment within 30 s.
   */
  async hit(fault: () => Promise<void>): Promise<void> {
    try {
      await this.#until(
        "a transaction that was committed while others were open",
        () => this.#open > 1 && performance.now() - (this.#commits.at(-1) ?? -Infinity) < FRESH_COMMIT_MS,
      );
      const { each = 5 } = this.#options;
      const second = performance.now() - 1000;
      this.#hits.push(each * (this.#commits.length - this.#commits.findLastIndex((at) => at < second) - 1));
      await fault();
    } finally {
      this.#release();
    }
  }

  #release(): void {
    this.#from = this.#ledger.sent; // lost messages do not stop the producers
    this.#held = undefined;
    this.#released.resolve();
  }

  /** Stops the producers, waits until all messages are moved, and computes the result. */
  async end(): Promise<TransactionReport> {
    const { patience = 60_000 } = this.#options;
    this.#stop.abort();
    this.#release();
    const ledger = this.#ledger;
    const isDone = () => this.#open === 0 && this.#moving === 0 && ledger.complete;
    while (!isDone() && ledger.silence < patience) await pause(50);
    if (isDone()) await this.#passMark();
    this.#stopMovers.abort(); // movers finish what they have
    await Promise.all(this.#moves.map(({ done }) => done));
    const left = await this.#sweep();
    await this.#endReceiving();
    await Promise.all(this.#stomps.map((stomp) => stomp.disconnect()));
    await Promise.all([...this.#sends, ...this.#watching]);
    return {
      commits: this.#commits.length,
      failedCommits: this.#failedCommits,
      failedMoves: this.#failedMoves,
      hits: this.#hits.length,
      freshest: this.#hits.length > 0 ? Math.min(...this.#hits) : undefined,
      ...ledger.report((performance.now() - this.#begun) / 1000),
      uncommitted: [...this.#never].filter((number) => ledger.deliveries.has(number)).length,
      left,
    };
  }

  /** Ends everything at once, after something else has failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#stopMovers.abort();
    this.#release();
    await Promise.all(this.#stomps.map((stomp) => stomp.disconnect().catch(() => {})));
  }

  async #connect(url = this.#options.url, onLost = () => {}): Promise<Stomp> {
    const stomp = await Stomp.connect(url, this.#client);
    this.#stomps.push(stomp);
    this.#watching.push(watch(stomp, this.#ledger, onLost));
    return stomp;
  }

  async #produce(stomp: Stomp): Promise<void> {
    const { each = 5, ahead = 500 } = this.#options;
    while (!this.#stop.signal.aborted) {
      if (this.#held === undefined && this.#ledger.sent - Math.max(this.#from, this.#ledger.highest) > ahead) {
        await pause(5);
        continue;
      }
      await this.#transact(stomp, async (tx) => {
        for (let count = 0; count < each; count++) await this.#send(tx);
      });
    }
  }

  /** Sends the next message. */
  async #send(tx: Transaction): Promise<void> {
    const number = ++this.#ledger.sent;
    this.#sent.get(tx)?.push(number);
    await tx.send(this.#options.from, String(number), this.#options.send);
  }

  /** Runs `work` in a transaction of a producer, and records the result. */
  async #transact(stomp: Stomp, work: (tx: Transaction) => Promise<void>): Promise<void> {
    const numbers: number[] = [];
    let commits = false;
    this.#open++;
    try {
      await stomp.transaction(async (tx) => {
        this.#sent.set(tx, numbers);
        await work(tx);
        commits = tx.isOpen;
      });
      for (const number of numbers) this.#ledger.confirmed.add(number);
      this.#commits.push(performance.now());
    } catch (error) {
      this.#failedCommits++;
      this.#ledger.rejected += numbers.length;
      this.#ledger.firstRejection ??= error;
      for (const number of numbers) (commits ? this.#ledger.doubtful : this.#never).add(number);
    } finally {
      this.#open--;
    }
  }

  /** Starts a client that moves messages. */
  async #move(concurrency: number): Promise<{ done: Promise<void> }> {
    const { from, to, send, subscribe } = this.#options;
    let connection: number[] = []; // the messages received over the open connection
    const stomp = await this.#connect(undefined, () => {
      for (const number of connection) this.#ledger.doubtful.add(number);
      connection = [];
    });
    const done = stomp.consume(from, async (message) => {
      const number = Number(message.text());
      connection.push(number);
      this.#moving++;
      try {
        await stomp.transaction(async (tx) => {
          await tx.send(to, String(number), send);
          if (this.#held === "from") await this.#released.promise;
          await tx.ack(message);
        });
      } catch (error) {
        this.#failedMoves++;
        this.#ledger.doubtful.add(number);
        throw error;
      } finally {
        this.#moving--;
      }
      // The broker redelivers a message whose connection is gone; otherwise it is retried here.
    }, { ...subscribe, concurrency, signal: this.#stopMovers.signal, retry: { attempts: 10, delay: 20 } });
    done.catch(() => {}); // awaited in `end`
    return { done };
  }

  /** Sends a last message through both queues, so that all messages before it have left the first one. */
  async #passMark(): Promise<void> {
    const { from, send } = this.#options;
    const stomp = await this.#connect();
    const mark = ++this.#ledger.sent;
    await stomp.send(from, String(mark), send);
    this.#ledger.confirmed.add(mark);
    await this.#until("the last message", () => this.#ledger.deliveries.has(mark) && this.#moving === 0);
  }

  /** Returns the number of messages in the first queue. */
  async #sweep(): Promise<number> {
    const { from, send, subscribe } = this.#options;
    const stomp = await this.#connect();
    const subscription = await stomp.subscribe(from, { ...subscribe, ack: "client-individual" });
    await stomp.send(from, "end", send);
    let left = 0;
    for await (const message of subscription) {
      await message.ack();
      if (message.text() === "end") break;
      left++;
    }
    return left;
  }

  async #until(what: string, check: () => boolean): Promise<void> {
    const end = performance.now() + 30_000;
    while (!check()) {
      if (performance.now() > end) throw new Error(`Cannot continue: waited 30 s for ${what}`);
      await pause(2);
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
