/**
 * A consumer that handles ten messages a second, on a queue with a million: how much memory does its process need beside
 * what it needs when idle? The broker is a process of its own.
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

  --messages N   in the queue; default 1000000
  --seconds N    how long is measured; default 20
  --bytes N      of each body; default 100
  --prefetch N   as an option of the subscription, in mode client-individual; without it the mode is auto, and the broker
                 sends as fast as it may
  --sends        while sends go on over the same connection, whose receipts stand behind the messages
  --url URL      a broker that runs; the queue is /queue/slow-consumer
  --help         this text`;

/** MiB that may be needed beside what an idle process needs. */
const MOST = 32;

/** The other process: a broker with a queue that is full. */
async function serve(messages: number, bytes: number): Promise<void> {
  await using broker = await Broker.listen({ maxStoredBytes: 2 ** 33 });
  await fill(broker.url, messages, bytes);
  console.log(broker.url);
  await new Promise<void>((resolve) => process.stdin.on("end", resolve).resume());
}

/** Without receipts for each: the last one stands for all before it. */
async function fill(url: string, messages: number, bytes: number): Promise<void> {
  await using stomp = await Stomp.connect(url, { timeout: 120_000 });
  const body = "x".repeat(bytes);
  for (let i = 1; i < messages; i++) {
    const sent = stomp.send("/queue/slow-consumer", body, { receipt: false });
    if (i % 100 === 0) await sent;
  }
  await stomp.send("/queue/slow-consumer", body);
}

/** The memory of this process in MiB, when it has nothing else to do. */
async function memory(): Promise<number> {
  (globalThis as { gc?: () => void }).gc?.();
  await pause(100);
  return process.memoryUsage().rss / 2 ** 20;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Consumes, and says how much memory was needed on top. */
async function measure(url: string, seconds: number, prefetch: number | undefined, sends: boolean): Promise<boolean> {
  await using stomp = await Stomp.connect(url);
  // Idle, but with all code in place: one message each way.
  const first = await stomp.subscribe("/queue/slow-consumer-warm");
  await stomp.send("/queue/slow-consumer-warm", "warm");
  await first.take();
  await first.unsubscribe();
  const idle = await memory();
  const subscription = await stomp.subscribe(
    "/queue/slow-consumer",
    prefetch === undefined ? {} : { ack: "client-individual", prefetch },
  );
  let most = 0;
  let taken = 0;
  let over = false;
  let confirmed = 0;
  const sending = Promise.all(Array.from({ length: sends ? 16 : 0 }, async () => {
    while (!over) {
      // Sends that wait are given up at the end.
      await stomp.send("/topic/slow-consumer", "x").then(() => confirmed++, () => {});
    }
  }));
  const end = performance.now() + seconds * 1000;
  for await (const message of subscription) {
    taken++;
    if (prefetch !== undefined) await message.ack();
    most = Math.max(most, process.memoryUsage().rss / 2 ** 20);
    if (performance.now() > end) break;
    await pause(100);
  }
  over = true;
  await stomp.disconnect({ signal: AbortSignal.abort() });
  await sending;
  const needed = most - idle;
  console.log(
    `${taken} messages in ${seconds} s, ${confirmed} sends confirmed; idle ${idle.toFixed(1)} MiB, at most ${
      most.toFixed(1)
    } MiB: ` +
      `${needed.toFixed(1)} MiB on top, ${MOST} are allowed`,
  );
  return needed <= MOST && taken > seconds * 5;
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
  const own = fileURLToPath(import.meta.url);
  const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-check"] : [];
  const args = [...flags, own, "--serve", "--messages", String(messages), "--bytes", String(bytes)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`Cannot start the broker: it ended with code ${code}`)));
    child.stdout!.once("data", (data) => resolve(String(data).trim()));
  });
  console.log(`${messages} messages wait`);
  process.exitCode = await measure(url, seconds, prefetch, values.sends) ? 0 : 1;
  child.stdin!.end();
}
