/**
 * Books of a run under faults: what was sent, confirmed and received, message by message.
 *
 * @module
 */
import { type SendOptions, Stomp, type StompOptions, type SubscribeOptions } from "../../mod.ts";

/** What a run does. */
export interface RunOptions {
  /** Where producers connect to. */
  producerUrl: string | readonly string[];
  /** Where consumers connect to. */
  consumerUrl: string | readonly string[];
  /** The queue. */
  destination: string;
  /** How many messages; with `Infinity` as many as there is time for, until `faults` is done. */
  count: number;
  /** Options of both sides' clients. */
  client?: StompOptions;
  /** Options of each send. */
  send?: SendOptions;
  /** Options of the subscriptions. */
  subscribe?: SubscribeOptions | undefined;
  /** Connections that consume. */
  consumers?: number;
  /** Sends that wait for their receipt at the same time. */
  inFlight?: number;
  /** Makes trouble while the run goes on; is told how many messages were confirmed. */
  faults?: (confirmed: () => number, over: AbortSignal) => Promise<void>;
  /** How many may be sent by now, so that senders do not run ahead of the faults. */
  allowed?: () => number;
  /** Milliseconds without a single message after which the run is held for stuck. */
  patience?: number;
}

/** What came of it. */
export interface RunReport {
  sent: number;
  confirmed: number;
  /** Sends that were rejected: their senders know that they are in doubt. */
  rejected: number;
  /** Why the first of them was. */
  firstRejection: string | undefined;
  /** Different messages. */
  received: number;
  /** Deliveries beyond the first of each message. */
  duplicated: number;
  /** Duplicates of messages that were never in doubt: a fault. */
  unexplained: number;
  /** Confirmed and never received: a fault. */
  lost: number;
  reconnects: number;
  /** Milliseconds between two messages, at the longest. */
  longestGap: number;
  seconds: number;
}

/**
 * The books. A message is in doubt once it was sent again, or was rejected, or had come over a connection that was lost.
 */
export class Ledger {
  readonly confirmed: Set<number> = new Set();
  readonly deliveries: Map<number, number> = new Map();
  readonly doubtful: Set<number> = new Set();
  readonly unconfirmed: Set<number> = new Set();
  sent = 0;
  rejected = 0;
  firstRejection: unknown;
  reconnects = 0;
  longestGap = 0;
  /** The highest number that was received. */
  highest = 0;
  #last = performance.now();

  /** A message has come. */
  received(number: number): void {
    this.highest = Math.max(this.highest, number);
    this.deliveries.set(number, (this.deliveries.get(number) ?? 0) + 1);
    const now = performance.now();
    this.longestGap = Math.max(this.longestGap, now - this.#last);
    this.#last = now;
  }

  /** Milliseconds since a message has come. */
  get silence(): number {
    return performance.now() - this.#last;
  }

  /** Whether all that was confirmed has come. */
  get complete(): boolean {
    for (const number of this.confirmed) if (!this.deliveries.has(number)) return false;
    return true;
  }

  /** Balances the books. */
  report(seconds: number): RunReport {
    let duplicated = 0;
    let unexplained = 0;
    for (const [number, times] of this.deliveries) {
      duplicated += times - 1;
      if (times > 1 && !this.doubtful.has(number)) unexplained++;
    }
    return {
      sent: this.sent,
      confirmed: this.confirmed.size,
      rejected: this.rejected,
      firstRejection: this.firstRejection === undefined ? undefined : String(this.firstRejection),
      received: this.deliveries.size,
      duplicated,
      unexplained,
      lost: [...this.confirmed].filter((number) => !this.deliveries.has(number)).length,
      reconnects: this.reconnects,
      longestGap: Math.round(this.longestGap),
      seconds: Math.round(seconds * 10) / 10,
    };
  }
}

/** Sends and receives while things go wrong. */
export async function run(options: RunOptions): Promise<RunReport> {
  const { consumers = 2, inFlight = 100, patience = 60_000, faults, allowed = () => Infinity } = options;
  const ledger = new Ledger();
  const begun = performance.now();
  const client = persevering(options.client);
  const over = new AbortController();
  const consuming = await Promise.all(Array.from({ length: consumers }, () => collect(options, client, ledger)));
  const producer = await Stomp.connect(options.producerUrl, client);
  const watching = watch(producer, ledger, () => {
    for (const number of ledger.unconfirmed) ledger.doubtful.add(number);
  });
  const trouble = faults?.(() => ledger.confirmed.size, over.signal);
  trouble?.catch(() => {}); // awaited below
  let enough = false;
  if (options.count === Infinity) trouble?.finally(() => enough = true).catch(() => {});
  const send = async () => {
    while (ledger.sent < options.count && !enough) {
      if (ledger.sent >= allowed()) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      const number = ledger.sent++;
      ledger.unconfirmed.add(number);
      try {
        await producer.send(options.destination, String(number), options.send);
        ledger.confirmed.add(number);
      } catch (error) {
        ledger.rejected++;
        ledger.doubtful.add(number);
        ledger.firstRejection ??= error;
      }
      ledger.unconfirmed.delete(number);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, send));
  await trouble;
  while (!ledger.complete && ledger.silence < patience) await new Promise((resolve) => setTimeout(resolve, 100));
  over.abort();
  await Promise.all([...consuming.map((end) => end()), producer.disconnect()]);
  await watching;
  return ledger.report((performance.now() - begun) / 1000);
}

/** Options of a client that sees a run through. */
export function persevering(options: StompOptions = {}): StompOptions {
  const reconnect = { firstConnect: true, delay: 50, maxDelay: 1000, ...options.reconnect };
  return { timeout: 120_000, ...options, reconnect };
}

/**
 * Receives messages, and enters them into the books. Returns what ends that.
 *
 * @param held what each message waits for before it counts as received
 */
export async function collect(
  { consumerUrl, destination, subscribe }: Pick<RunOptions, "consumerUrl" | "destination" | "subscribe">,
  client: StompOptions,
  ledger: Ledger,
  held?: () => Promise<void>,
): Promise<() => Promise<void>> {
  const stomp = await Stomp.connect(consumerUrl, client);
  let connection: number[] = []; // what came over the connection that is open
  const watching = watch(stomp, ledger, () => {
    for (const number of connection) ledger.doubtful.add(number);
    connection = [];
  });
  const subscription = await stomp.subscribe(destination, { ack: "client-individual", prefetch: 100, ...subscribe });
  const loop = (async () => {
    for await (const message of subscription) {
      await held?.();
      const number = Number(message.text());
      ledger.received(number);
      connection.push(number);
      // Its connection is gone: it comes again, and so is in doubt.
      if (!await message.ack()) ledger.doubtful.add(number);
    }
  })();
  return async () => {
    await stomp.drain({ timeout: 5000 });
    await loop;
    await watching;
  };
}

/** Counts the reconnects of a client, and tells when its connection is lost. */
export async function watch(stomp: Stomp, ledger: Ledger, onLost: () => void): Promise<void> {
  let connections = 1;
  for await (const status of stomp.status()) {
    if (status.type === "disconnected") onLost();
    if (status.type === "connected" && ++connections > 1) ledger.reconnects++;
  }
}
