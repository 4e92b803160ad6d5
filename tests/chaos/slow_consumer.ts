/**
 * A program that measures how much memory a consumer of ten messages per second needs on a queue with a million messages,
 * compared with an idle one. The broker runs in a separate process.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Broker } from "../../broker/broker.ts";
import { Stomp } from "../../mod.ts";

const HELP = `deno run --allow-all tests/chaos/slow_consumer.ts [options]

  --messages N   messages in the queue; default 1000000
  --seconds N    how long to measure; default 20
  --bytes N      size of each body; default 100
  --prefetch N   option of the subscription, in mode client-individual; without it the mode is auto, and the broker sends
                 as fast as it can
  --sends        also send over the same connection, so that the receipts arrive after the messages
  --url URL      a running broker; the queue is /queue/slow-consumer
  --help         print this text`;

/** The largest allowed difference to an idle process in MiB. */
const MAX_MIB = 32;

/** Runs the broker in the other process, with the messages in its queue. */
async function serve(messages: number, bytes: number): Promise<void> {
  await using broker = await Broker.listen({ maxStoredBytes: 2 ** 33 });
  await fill(broker.url, messages, bytes);
  console.log(broker.url);
  await new Promise<void>((resolve) => process.stdin.on("end", resolve).resume());
}

/** Sends the messages, with a receipt only for the last one, which confirms all before it. */
async function fill(url: string, messages: number, bytes: number): Promise<void> {
  await using stomp = await Stomp.connect(url, { timeout: 120_000 });
  const body = "x".repeat(bytes);
  for (let i = 1; i < messages; i++) {
    const sent = stomp.send("/queue/slow-consumer", body, { receipt: false });
    if (i % 100 === 0) await sent;
  }
  await stomp.send("/queue/slow-consumer", body);
}

/** Collects garbage and returns the resident memory of this process in MiB. */
async function measureIdle(): Promise<number> {
  (globalThis as { gc?: () => void }).gc?.();
  await pause(100);
  return process.memoryUsage().rss / 2 ** 20;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Consumes, prints how much more memory that needed, and returns whether it is within the limit. */
async function measure(url: string, seconds: number, prefetch: number | undefined, sends: boolean): Promise<boolean> {
  await using stomp = await Stomp.connect(url);
  // Load all code first, by one message each way.
  const first = await stomp.subscribe("/queue/slow-consumer-warm");
  await stomp.send("/queue/slow-consumer-warm", "warm");
  await first.take();
  await first.unsubscribe();
  const idle = await measureIdle();
  const subscription = await stomp.subscribe(
    "/queue/slow-consumer",
    prefetch === undefined ? {} : { ack: "client-individual", prefetch },
  );
  let peak = 0;
  let taken = 0;
  let isOver = false;
  let confirmed = 0;
  const sending = Promise.all(Array.from({ length: sends ? 16 : 0 }, async () => {
    while (!isOver) {
      // Sends that are still open at the end reject.
      await stomp.send("/topic/slow-consumer", "x").then(() => confirmed++, () => {});
    }
  }));
  const end = performance.now() + seconds * 1000;
  for await (const message of subscription) {
    taken++;
    if (prefetch !== undefined) await message.ack();
    peak = Math.max(peak, process.memoryUsage().rss / 2 ** 20);
    if (performance.now() > end) break;
    await pause(100);
  }
  isOver = true;
  await stomp.disconnect({ signal: AbortSignal.abort() });
  await sending;
  const needed = peak - idle;
  console.log(
    `${taken} messages in ${seconds} s, ${confirmed} sends confirmed; idle ${idle.toFixed(1)} MiB, peak ${
      peak.toFixed(1)
    } MiB: ` +
      `${needed.toFixed(1)} MiB more, the limit is ${MAX_MIB}`,
  );
  return needed <= MAX_MIB && taken > seconds * 5;
}

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "1000000" },
    seconds: { type: "string", default: "20" },
    bytes: { type: "string", default: "100" },
    prefetch: { type: "string" },
    sends: { type: "boolean", default: false },
    url: { type: "string" },
    serve: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const [messages, seconds, bytes] = [Number(values.messages), Number(values.seconds), Number(values.bytes)];
const prefetch = values.prefetch === undefined ? undefined : Number(values.prefetch);

if (values.help) {
  console.log(HELP);
} else if (values.serve) {
  await serve(messages, bytes);
} else if (values.url !== undefined) {
  await fill(values.url, messages, bytes);
  process.exitCode = await measure(values.url, seconds, prefetch, values.sends) ? 0 : 1;
} else {
  const program = fileURLToPath(import.meta.url);
  const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-check"] : [];
  const args = [...flags, program, "--serve", "--messages", String(messages), "--bytes", String(bytes)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`Cannot start the broker: it exited with code ${code}`)));
    child.stdout!.once("data", (data) => resolve(String(data).trim()));
  });
  console.log(`${messages} messages are in the queue`);
  process.exitCode = await measure(url, seconds, prefetch, values.sends) ? 0 : 1;
  child.stdin!.end();
}
