/**
 * The command `demo`: sends messages with receipts, receives and acknowledges them, and counts.
 *
 * @module
 */
import { type WaitOptions, within } from "../base/timers.ts";
import type { Message } from "../client/message.ts";
import { Stomp } from "../api/stomp.ts";

/** What the demo sends, and where. */
export interface DemoOptions extends WaitOptions {
  /** The URL of the broker. */
  url: string;
  /** The number of messages. */
  count: number;
  /** Minimum bytes of each body; the run's id and the message's number may take more. */
  size: number;
  /** The destination of all messages. */
  destination: string;
  /** Called every 500 messages with the number of confirmed sends and of acknowledged messages so far. */
  onProgress?: ((confirmed: number, acknowledged: number) => void) | undefined;
}

/** What the demo counted. */
export interface DemoResult {
  /** The `server` header of the broker's CONNECTED. */
  server: string;
  /** The negotiated version. */
  version: string;
  /** Messages that the broker confirmed with a receipt. */
  confirmed: number;
  /** Messages that were received, without duplicates. */
  received: number;
  /** Further deliveries of messages that were received before. */
  duplicated: number;
  /** Messages that arrived after one that was sent later. */
  outOfOrder: number;
  /** Messages of other senders on the same destination, which are acknowledged as well. */
  foreign: number;
  /** Milliseconds from the first send to the last receipt. */
  sendTime: number;
  /** Milliseconds from the first send to the last acknowledgement. */
  totalTime: number;
}

/** How many sends wait for their receipts at the same time. */
const SENDS_IN_FLIGHT = 256;
/** How many messages the broker may deliver before they are acknowledged. */
const PREFETCH = 500;
/** How many messages lie between two reports of progress. */
const PROGRESS_INTERVAL = 500;

/** Sends `count` messages over one connection and receives them over another. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { url } = options;
  const connectOptions = { reconnect: false, signal: options.signal } as const;
  // Without `await using`, which Node 22 cannot parse.
  const producer = await Stomp.connect(url, connectOptions);
  try {
    const consumer = await Stomp.connect(url, connectOptions);
    try {
      return await runOn(producer, consumer, options);
    } finally {
      await consumer.disconnect({ signal: options.signal });
    }
  } finally {
    await producer.disconnect({ signal: options.signal });
  }
}

async function runOn(producer: Stomp, consumer: Stomp, options: DemoOptions): Promise<DemoResult> {
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
  const start = performance.now();

  let next = 0;
  const send = async () => {
    while (next < count) {
      await producer.send(destination, `${run} ${next++}`.padEnd(options.size), { signal });
      if (++result.confirmed % PROGRESS_INTERVAL === 0) progress();
    }
  };
  const sending = Promise.all(Array.from({ length: SENDS_IN_FLIGHT }, send)).then(() => {
    result.sendTime = performance.now() - start;
  });

  const seen = new Uint8Array(count);
  let latest = -1;
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
      if (number < latest) result.outOfOrder++;
      latest = number;
      if (++result.received % PROGRESS_INTERVAL === 0) progress();
      if (result.received === count) break;
    }
    result.totalTime = performance.now() - start;
  };
  await within(Promise.all([sending, receive()]), { signal }, "the messages");
  progress();
  return result;
}

/** Returns the number of a message; `undefined` if it is not from this run. */
function numberOf(run: string, message: Message): number | undefined {
  const [id, number] = message.text().split(" ", 2);
  return id === run ? Number(number) : undefined;
}
