/**
 * Sends and consumes messages under faults, and records for each message whether it was sent, confirmed and received.
 *
 * @module
 */
import { type SendOptions, Stomp, type StompOptions, type SubscribeOptions } from "../../mod.ts";

/** Options of a run. */
export interface RunOptions {
  /** The URLs for the producer. */
  producerUrl: string | readonly string[];
  /** The URLs for the consumers. */
  consumerUrl: string | readonly string[];
  /** The queue. */
  destination: string;
  /** The number of messages. With `Infinity`, the run sends until `faults` has resolved. */
  count: number;
  /** The options of all clients. */
  client?: StompOptions;
  /** The options of each send. */
  send?: SendOptions;
  /** The options of the subscriptions. */
  subscribe?: SubscribeOptions | undefined;
  /** The number of connections that consume. Default 2. */
  consumers?: number;
  /** The number of sends that wait for their receipts at a time. Default 100. */
  inFlight?: number;
  /** Injects faults during the run. `confirmed` returns the number of confirmed messages. */
  faults?: (confirmed: () => number, end: AbortSignal) => Promise<void>;
  /** Returns how many messages may be sent by now, so that the producer does not run ahead of the faults. */
  allowed?: () => number;
  /** Milliseconds without a message after which the run ends. Default 60,000. */
  patience?: number;
}

/** The result of a run. */
export interface RunReport {
  sent: number;
  confirmed: number;
  /** Sends that were rejected, so that the program knows that they are in doubt. */
  rejected: number;
  /** The error of the first of them. */
  firstRejection: string | undefined;
  /** Received messages, without duplicates. */
  received: number;
  /** Deliveries after the first one of each message. */
  duplicated: number;
  /** Messages that were delivered twice and never in doubt, which is a bug. */
  unexplained: number;
  /** Messages that were confirmed and never received, which is a bug. */
  lost: number;
  reconnects: number;
  /** The longest time between two messages in milliseconds. */
  longestGap: number;
  seconds: number;
}

/**
 * The record of a run. A message is in doubt after it was sent again or rejected, or after the connection that it came
 * over was lost.
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
  /** The highest number of a received message. */
  highest = 0;
  #last = performance.now();

  /** Records a received message. */
  received(number: number): void {
    this.highest = Math.max(this.highest, number);
    this.deliveries.set(number, (this.deliveries.get(number) ?? 0) + 1);
    const now = performance.now();
    this.longestGap = Math.max(this.longestGap, now - this.#last);
    this.#last = now;
  }

  /** Milliseconds since the last message. */
  get silence(): number {
    return performance.now() - this.#last;
  }

  /** Whether all confirmed messages have been received. */
  get complete(): boolean {
    for (const number of this.confirmed) if (!this.deliveries.has(number)) return false;
    return true;
  }

  /** Computes the result. */
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

/** Sends and receives under faults. */
export async function run(options: RunOptions): Promise<RunReport> {
  const { consumers = 2, inFlight = 100, patience = 60_000, faults, allowed = () => Infinity } = options;
  const ledger = new Ledger();
  const begun = performance.now();
  const client = persevering(options.client);
  const end = new AbortController();
  const consuming = await Promise.all(Array.from({ length: consumers }, () => collect(options, client, ledger)));
  const producer = await Stomp.connect(options.producerUrl, client);
  const watching = watch(producer, ledger, () => {
    for (const number of ledger.unconfirmed) ledger.doubtful.add(number);
  });
  const faulting = faults?.(() => ledger.confirmed.size, end.signal);
  faulting?.catch(() => {}); // awaited below
  let isOver = false;
  if (options.count === Infinity) faulting?.finally(() => isOver = true).catch(() => {});
  const send = async () => {
    while (ledger.sent < options.count && !isOver) {
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
  await faulting;
  while (!ledger.complete && ledger.silence < patience) await new Promise((resolve) => setTimeout(resolve, 100));
  end.abort();
  await Promise.all([...consuming.map((stop) => stop()), producer.disconnect()]);
  await watching;
  return ledger.report((performance.now() - begun) / 1000);
}

/** Returns options for a client that keeps reconnecting during a run. */
export function persevering(options: StompOptions = {}): StompOptions {
  const reconnect = { firstConnect: true, delay: 50, maxDelay: 1000, ...options.reconnect };
  return { timeout: 120_000, ...options, reconnect };
}

/**
 * Consumes messages and records them. Returns a function that ends it.
 *
 * @param gate awaited for each message before it counts as received.
 */
export async function collect(
  { consumerUrl, destination, subscribe }: Pick<RunOptions, "consumerUrl" | "destination" | "subscribe">,
  client: StompOptions,
  ledger: Ledger,
  gate?: () => Promise<void>,
): Promise<() => Promise<void>> {
  const stomp = await Stomp.connect(consumerUrl, client);
  let connection: number[] = []; // the messages received over the open connection
  const watching = watch(stomp, ledger, () => {
    for (const number of connection) ledger.doubtful.add(number);
    connection = [];
  });
  const subscription = await stomp.subscribe(destination, { ack: "client-individual", prefetch: 100, ...subscribe });
  const loop = (async () => {
    for await (const message of subscription) {
      await gate?.();
      const number = Number(message.text());
      ledger.received(number);
      connection.push(number);
      // Its connection is gone, so the broker redelivers it.
      if (!await message.ack()) ledger.doubtful.add(number);
    }
  })();
  return async () => {
    await stomp.drain({ timeout: 5000 });
    await loop;
    await watching;
  };
}

/** Counts the reconnects of a client, and calls `onLost` when its connection is lost. */
export async function watch(stomp: Stomp, ledger: Ledger, onLost: () => void): Promise<void> {
  let connections = 1;
  for await (const status of stomp.status()) {
    if (status.type === "disconnected") onLost();
    if (status.type === "connected" && ++connections > 1) ledger.reconnects++;
  }
}
