/**
 * One measurement of memory in a separate process: `memory.ts <candidate> <job as JSON> <port>`. Prints the result as
 * JSON.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { FrameDecoder } from "../codec/decoder.ts";
import type { Candidate, CandidateModule, Target } from "./candidates/candidate.ts";
import type { Job, Measured } from "./jobs.ts";
import { textOf } from "./text.ts";

const [name = "", text = "", port = ""] = process.argv.slice(2);
const job = JSON.parse(text) as Job;
const { size = 100 } = job;
const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const { connect } = await import(`./candidates/${name === "bare" ? `bare_${runtime}` : name}.ts`) as CandidateModule;
const peer: Target = { port: Number(port), login: "guest", sync: (sends, acks) => `/sync/${sends}/${acks}` };

/** How many connections are opened at the same time. */
const MAX_CONNECTING = 50;

const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };

/** Collects all garbage. */
async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    if (Bun) Bun.gc(true);
    else gc!();
    await sleep(50);
  }
}

/** Returns the resident memory of the process. */
async function resident(): Promise<number> {
  await collectGarbage();
  return process.memoryUsage().rss;
}

/** Returns the reachable memory, which is exact: resident memory includes pages that the runtime has not returned. */
async function reachable(): Promise<number> {
  await collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return Bun ? heapUsed : heapUsed + external; // Bun counts external memory as heap
}

/** Measures how far memory rises above idle while large messages stream through. */
async function stream(count: number): Promise<number> {
  const candidate = await connect(peer);
  const idle = await resident();
  let peak = 0;
  const sample = () => void (peak = Math.max(peak, process.memoryUsage().rss));
  const timer = setInterval(sample, 5);
  await candidate.receive(`/receive/${count}/${size}/8`, count);
  sample();
  clearInterval(timer);
  await candidate.close();
  return peak - idle;
}

/** Measures the memory of one idle connection. */
async function connections(count: number): Promise<number> {
  await (await connect(peer)).close(); // the first one loads what stays loaded
  const before = await resident();
  const open: Candidate[] = [];
  while (open.length < count) {
    open.push(
      ...await Promise.all(Array.from({ length: Math.min(MAX_CONNECTING, count - open.length) }, () => connect(peer))),
    );
  }
  const bytes = (await resident() - before) / count;
  await Promise.all(open.map((one) => one.close()));
  return bytes;
}

/** Measures the memory of one message that is kept, of a thousand received ones. */
async function keep(count: number): Promise<number> {
  const every = 1000;
  const candidate = await connect(peer);
  await candidate.keep!(`/receive/50000/${size}/8`, 50_000, every, false);
  const before = await reachable();
  const kept = await candidate.keep!(`/receive/${count}/${size}/8`, count, every, job.detach ?? false);
  const bytes = (await reachable() - before) / kept.length;
  await candidate.close();
  return bytes;
}

/** Decodes one large body in chunks of 1 KiB. */
function decode(size: number): Measured {
  let text = "";
  const decoder = new FrameDecoder({ onFrame: (frame) => void (text = frame.text()) });
  const chunk = new TextEncoder().encode(textOf(1024));
  const cpu = process.cpuUsage();
  const start = performance.now();
  decoder.push(new TextEncoder().encode(`MESSAGE\nsubscription:1\ncontent-length:${size}\n\n`));
  // A separate buffer for each chunk, as from a socket.
  for (let left = size; left > 0; left -= chunk.length) decoder.push(chunk.slice());
  decoder.push(new Uint8Array(1));
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if (text.length !== size) throw new Error(`Cannot measure: ${text.length} of ${size} bytes were decoded`);
  return { count: size, seconds, cpu: (user + system) / 1e6 };
}

let measured: Measured;
if (job.kind === "decode") {
  for (let i = 0; i < 3; i++) decode(job.first);
  measured = decode(job.count!);
} else {
  const run = { stream, connections, keep }[job.kind as "stream" | "connections" | "keep"];
  measured = { count: job.count!, seconds: 0, cpu: 0, bytes: await run(job.count!) };
}
console.log(JSON.stringify(measured));
process.exit();
