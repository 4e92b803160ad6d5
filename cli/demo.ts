/**
 * The main job, to be watched: messages are sent with receipts, received and acknowledged, and counted.
 *
 * @module
 */
import type { WaitOptions } from "../base/timers.ts";
import type { Message } from "../client/message.ts";
import { Stomp } from "../client/stomp.ts";

/** What to run. */
export interface DemoOptions extends WaitOptions {
  /** The broker. */
  url: string;
  /** How many messages. */
  count: number;
  /** Bytes of each body, at least; what a body has to tell may take some more. */
  size: number;
  /** Where to. */
  destination: string;
  /** Called now and then with what was confirmed and what was acknowledged so far. */
  onProgress?: ((confirmed: number, acknowledged: number) => void) | undefined;
}

/** What came of it. */
export interface DemoResult {
  /** The `server` header of the broker. */
  server: string;
  /** The version of the protocol. */
  version: string;
  /** Messages for which the broker sent a receipt. */
  confirmed: number;
  /** Different messages that were received. */
  received: number;
  /** Messages that came more than once. */
  duplicated: number;
  /** Messages that came before one that was sent earlier. */
  outOfOrder: number;
  /** Messages of somebody else on the same destination; they were acknowledged as well. */
  foreign: number;
  /** Milliseconds from the first send to the last receipt. */
  sendTime: number;
  /** Milliseconds from the first send to the last acknowledgement. */
  totalTime: number;
}

/** Sends that wait for their receipt at the same time. */
const IN_FLIGHT = 256;
/** Messages that the broker may send ahead of our acknowledgements. */
const PREFETCH = 500;
const PROGRESS_EVERY = 500;

/** Sends `count` messages over one connection and receives them over another. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { url } = options;
  const connectOptions = { reconnect: false, signal: options.signal } as const;
  // Without `await using`, which Node 22 cannot parse.
  const producer = await Stomp.connect(url, connectOptions);
  try {
    const consumer = await Stomp.connect(url, connectOptions);
    try {
      return await runBetween(producer, consumer, options);
    } finally {
      await consumer.disconnect({ signal: options.signal });
    }
  } finally {
    await producer.disconnect({ signal: options.signal });
  }
}

async function runBetween(producer: Stomp, consumer: Stomp, options: DemoOptions): Promise<DemoResult> {
  const { count, destination, signal } = options;
  const run = crypto.randomUUID();
  const result: DemoResult = {
    server: consumer.server ?? "unknown",
    version: consumer.version ?? "",
    confirmed: 0,
    received: 0,
    duplicated: 0,
    outOfOrder: 0,
    foreign: 0,
    sendTime: 0,
    totalTime: 0,
  };
  const progress = () => options.onProgress?.(result.confirmed, result.received);
  const messages = await consumer.subscribe(destination, { ack: "client-individual", prefetch: PREFETCH });
  const begun = performance.now();

  let next = 0;
  const send = async () => {
    while (next < count) {
      await producer.send(destination, bodyOf(run, next++, options.size), { signal });
      if (++result.confirmed % PROGRESS_EVERY === 0) progress();
    }
  };
  const sending = Promise.all(Array.from({ length: IN_FLIGHT }, send)).then(() => {
    result.sendTime = performance.now() - begun;
  });

  const seen = new Uint8Array(count);
  let last = -1;
  const receive = async () => {
    for await (const message of messages) {
      const number = numberOf(run, message);
      await message.ack();
      if (number === undefined || number >= count) {
        result.foreign++;
        continue;
      }
      if (seen[number]) {
        result.duplicated++;
        continue;
      }
      seen[number] = 1;
      if (number < last) result.outOfOrder++;
      last = number;
      if (++result.received % PROGRESS_EVERY === 0) progress();
      if (result.received === count) break;
    }
    result.totalTime = performance.now() - begun;
  };
  await Promise.race([Promise.all([sending, receive()]), aborted(signal)]);
  progress();
  return result;
}

/** Rejects with the reason of a signal, once it is aborted. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function bodyOf(run: string, number: number, size: number): string {
  return `${run} ${number}`.padEnd(size);
}

/** The number of a message of this run. */
function numberOf(run: string, message: Message): number | undefined {
  const [id, number] = message.text().split(" ", 2);
  return id === run ? Number(number) : undefined;
}
