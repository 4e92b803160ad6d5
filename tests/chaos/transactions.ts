/**
 * Transactions under faults: producers commit messages to one queue, movers take them to another one, each with its
 * acknowledgement in the same transaction, and the books are balanced afterwards.
 *
 * @module
 */
import { type SendOptions, Stomp, type StompOptions, type SubscribeOptions, type Transaction } from "../../mod.ts";
import { collect, Ledger, persevering, type RunReport, watch } from "./ledger.ts";

/** What transactions do. */
export interface TransactionOptions {
  /** Where all of them connect to. */
  url: string | readonly string[];
  /** The queue that producers send to. */
  from: string;
  /** The queue that movers send to. */
  to: string;
  /** Options of all clients. */
  client?: StompOptions;
  /** Options of each send. */
  send?: SendOptions;
  /** Options of the subscriptions. */
  subscribe?: SubscribeOptions;
  /** Messages in a transaction. */
  each?: number;
  /** Transactions that producers have open at the same time. */
  producers?: number;
  /** Connections that move. */
  movers?: number;
  /** Messages that a connection moves at the same time. */
  moving?: number;
  /** How many messages producers may be ahead of the second queue. */
  ahead?: number;
  /** Milliseconds without a single message after which the run is held for stuck. */
  patience?: number;
}

/** What came of it: `confirmed` and `rejected` count messages that were sent in transactions of the producers. */
export interface TransactionReport extends RunReport {
  /** Transactions of producers that were committed. */
  commits: number;
  /** Those that were rejected. */
  failedCommits: number;
  /** Moves that were rejected. Each message comes again. */
  failedMoves: number;
  /** The faults that were made while transactions were open and another had just been committed. */
  hits: number;
  /** The fewest messages that were committed in the second before such a fault. */
  freshest: number | undefined;
  /** Messages of transactions that ended before their commit, and were received: a fault. */
  uncommitted: number;
  /** Messages in the first queue when all was over: a fault. */
  left: number;
}

/** How fresh a commit is that a fault follows, in milliseconds. */
const FRESH = 100;

/** For how long messages stay in a queue before a fault, in milliseconds: those that a broker may not have kept yet. */
const HOLD = 500;

/** Transactions that go on until they are told to end. */
export class Transactions implements AsyncDisposable {
  readonly #options: TransactionOptions;
  readonly #client: StompOptions;
  readonly #ledger = new Ledger();
  readonly #begun = performance.now();
  readonly #stop = new AbortController();
  readonly #never = new Set<number>(); // sent in transactions that ended before their commit
  readonly #commits: number[] = []; // when
  readonly #stomps: Stomp[] = [];
  readonly #watching: Promise<void>[] = [];
  readonly #hits: number[] = []; // messages that were committed in the second before each
  readonly #over = new AbortController();
  readonly #sends: Promise<void>[] = [];
  readonly #moves: { done: Promise<void> }[] = [];
  readonly #sent = new WeakMap<Transaction, number[]>();
  #endReceiving: () => Promise<void> = () => Promise.resolve();
  #held: "from" | "to" | undefined; // the queue that nothing leaves
  #released = Promise.withResolvers<void>();
  #open = 0; // transactions of producers
  #moving = 0;
  #failedCommits = 0;
  #failedMoves = 0;
  #from = 0; // the number that producers are ahead of, when none that is higher was received

  private constructor(options: TransactionOptions) {
    this.#options = options;
    this.#client = persevering(options.client);
  }

  /** Begins. */
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
   * Gets ready for a fault. From now on nothing leaves one of the queues, in turn the first and the second, so that what
   * is committed to it is nowhere else, and a transaction on a connection to `url` is open that commits after the fault.
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
    await pause(HOLD);
  }

  /**
   * Makes a fault at a moment when transactions are open and another has just been committed.
   *
   * @throws when there is no such moment within half a minute.
   */
  async hit(fault: () => Promise<void>): Promise<void> {
    try {
      await this.#until(
        "a transaction that was committed while others were open",
        () => this.#open > 1 && performance.now() - (this.#commits.at(-1) ?? -Infinity) < FRESH,
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
    this.#from = this.#ledger.sent; // what is lost does not stop the producers
    this.#held = undefined;
    this.#released.resolve();
  }

  /** Ends the producers, waits until everything is moved, and balances the books. */
  async end(): Promise<TransactionReport> {
    const { patience = 60_000 } = this.#options;
    this.#stop.abort();
    this.#release();
    const ledger = this.#ledger;
    const isDone = () => this.#open === 0 && this.#moving === 0 && ledger.complete;
    while (!isDone() && ledger.silence < patience) await pause(50);
    if (isDone()) await this.#passMark();
    this.#over.abort(); // movers finish what they have
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

  /** Ends it all at once, when something else has failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#over.abort();
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

  /** Does something in a transaction of a producer, and enters into the books what has become of it. */
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

  /** Moves messages. */
  async #move(concurrency: number): Promise<{ done: Promise<void> }> {
    const { from, to, send, subscribe } = this.#options;
    let connection: number[] = []; // what came over the connection that is open
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
      // The broker delivers it again when its connection is gone. When it is not, it is tried again here.
    }, { ...subscribe, concurrency, signal: this.#over.signal, retry: { attempts: 10, delay: 20 } });
    done.catch(() => {}); // awaited in `end`
    return { done };
  }

  /** A last message through both queues: what the first one had before it has been taken. */
  async #passMark(): Promise<void> {
    const { from, send } = this.#options;
    const stomp = await this.#connect();
    const mark = ++this.#ledger.sent;
    await stomp.send(from, String(mark), send);
    this.#ledger.confirmed.add(mark);
    await this.#until("the last message", () => this.#ledger.deliveries.has(mark) && this.#moving === 0);
  }

  /** Counts what is in the first queue. */
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

  async #until(what: string, isSo: () => boolean): Promise<void> {
    const end = performance.now() + 30_000;
    while (!isSo()) {
      if (performance.now() > end) throw new Error(`Cannot go on: there is no ${what}`);
      await pause(2);
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
