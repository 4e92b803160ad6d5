/**
 * One measurement in a separate process: `work.ts <candidate> <job as JSON> <port> [<user and password>]`. Prints the
 * result as JSON.
 *
 * @module
 */
import process from "node:process";
import type { Candidate, CandidateModule, Target } from "./candidates/candidate.ts";
import type { Job, Measured } from "./jobs.ts";
import { textOf } from "./text.ts";

const [name = "", text = "", port = "", login = "guest"] = process.argv.slice(2);
const job = JSON.parse(text) as Job;
const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const { connect } = await import(`./candidates/${name === "bare" ? `bare_${runtime}` : name}.ts`) as CandidateModule;
const { queue } = job;
const peer: Target = {
  port: Number(port),
  login,
  sync: (sends, acks) => queue === undefined ? `/sync/${sends}/${acks}` : `${queue}-sync`,
};

/** How many sends wait for their receipts at the same time. */
const SENDS_IN_FLIGHT = 256;

/** Prepares the job for that many messages. Returns the function to measure. */
async function prepare(candidate: Candidate, count: number): Promise<() => Promise<unknown>> {
  const { kind, size = 100, headers = 8, style = "rabbitmq" } = job;
  const destination = `/receive/${count}/${size}/${headers}/${style}`;
  const body = textOf(size);
  switch (kind) {
    case "receive":
      return () => candidate.receive(destination, count, job.readHeaders);
    case "chunks":
      return () => candidate.receive(`/chunks/${count}/1024`, 1);
    case "ack":
      if (queue !== undefined) await candidate.sendWithReceipts(queue, body, count, SENDS_IN_FLIGHT);
      return () => candidate.receiveAndAck(queue ?? destination, count);
    case "many": {
      const all = Array.from({ length: job.subscriptions! }, () => `/many/${count}/${size}`);
      return await candidate.receiveMany(all, count, "/go");
    }
    case "send":
      return () => candidate.send("/queue/bench", body, count, job.withHeaders);
    case "receipts":
      return () => candidate.sendWithReceipts(queue ?? "/queue/bench", body, count, SENDS_IN_FLIGHT);
    case "echo":
      return () => candidate.echo("/echo", body, count);
  }
  throw new Error(`Cannot measure ${kind}: it is not a job of work.ts`);
}

async function measure(count: number): Promise<Measured> {
  const candidate = await connect(peer);
  const run = await prepare(candidate, count);
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if (queue !== undefined && job.kind === "receipts") await candidate.receive(queue, count);
  await candidate.close();
  return { count, seconds, cpu: (user + system) / 1e6 };
}

let measured = await measure(job.first);
if (job.count !== undefined) {
  measured = await measure(job.count);
} else {
  const { seconds } = job;
  const pace = () => measured.count / measured.seconds;
  // Until the code is compiled and the pace is known.
  for (let warm = measured.seconds; warm < seconds / 2; warm += measured.seconds) {
    measured = await measure(Math.max(1, Math.round(pace() * seconds / 4)));
  }
  measured = await measure(Math.max(1, Math.round(pace() * seconds)));
}
console.log(JSON.stringify(measured));
process.exit();
