/**
 * The workloads, and the figures that are derived from their results.
 *
 * @module
 */
import type { Runtime } from "../tests/support/runtime.ts";
import type { Job } from "./jobs.ts";
import type { Results } from "./results.ts";

/** The clients, and the floors to compare with. */
export type CandidateName = "stompy" | "stompit" | "stompjs" | "stomp.py" | "bare" | "loop";

/** The other clients that run in the same runtimes. */
export const NPM_PEERS = ["stompit", "stompjs"] as const;

/** The other clients. stomp.py runs where Python has it. */
export const PEERS: readonly CandidateName[] = [...NPM_PEERS, "stomp.py"];

/** One run of a round. */
export interface Run {
  /** Unique within the workload; the name of the candidate if it has only one run. */
  label: string;
  /** The candidate. */
  candidate: CandidateName;
  /** The job. */
  job: Job;
}

/** A number derived from the runs. */
export interface Figure {
  /** The name, also the key in baseline.json. */
  name: string;
  /** The goal; `undefined` for a figure without one. */
  goal?: number;
  /** The runtimes that the goal applies to. Default: all. */
  goalIn?: readonly Runtime[];
  /** Whether a higher or a lower number is better. */
  better: "higher" | "lower";
  /** The unit in which it is shown. */
  unit: "×" | "%" | "KiB" | "MiB" | "ms";
  /** Whether it is shown and not compared with the baseline: it depends on the runtime alone, or varies too much. */
  isStated?: boolean;
  /** Computes it from the runs. */
  of(results: Results): number;
}

/** One kind of work. */
export interface Workload {
  /** The id, for `--only`. */
  id: string;
  /** The title. */
  title: string;
  /** The unit of a rate, and how many counted items make one unit; `undefined` if rates mean nothing. */
  rate?: { unit: string; per: number };
  /** The program of a measurement: `work.ts`, `memory.ts`, or an empty one that only imports a module. */
  worker: "work" | "memory" | "start";
  /** Maximum number of rounds, because memory varies less than time. */
  rounds?: number;
  /** The runs, in order. */
  runs: Run[];
  /** The figures. */
  figures: Figure[];
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** Returns runs of several candidates with the same job. */
function each(job: Omit<Job, "seconds">, ...candidates: CandidateName[]): Run[] {
  return candidates.map((candidate) => ({ label: candidate, candidate, job: { ...job, seconds: 0 } }));
}

/** Returns runs of one candidate with several jobs. */
function variants(jobs: Record<string, Omit<Job, "seconds">>, candidate: CandidateName = "stompy"): Run[] {
  return Object.entries(jobs).map(([label, job]) => ({ label, candidate, job: { ...job, seconds: 0 } }));
}

function times(name: string, goal: number | undefined, of: Figure["of"]): Figure {
  return { name, ...(goal !== undefined && { goal }), better: "higher", unit: "×", of };
}

function percent(name: string, goal: number | undefined, of: Figure["of"]): Figure {
  return { name, ...(goal !== undefined && { goal }), better: "higher", unit: "%", of };
}

/** The names of the figures that compare a loop alone with the bare socket, and the library with the loop. */
export const LOOP_FIGURES = { loop: "a loop alone", own: "of a loop alone" } as const;

/** Returns the figures of every workload that measures speed; the goals apply to the rates. */
function speed(goals: { peer?: number; bare?: number }): Figure[] {
  return [
    times("of the best peer", goals.peer, (results) => results.ratio("stompy", results.bestPeer())),
    percent("of the bare socket", goals.bare, (results) => results.ratio("stompy", "bare")),
    times("of the best peer, per second of CPU", undefined, (results) => {
      return results.cpuRatio("stompy", results.leanestPeer());
    }),
  ];
}

/** Returns the figures that compare a loop alone with the maximum, and the library with the loop. */
function besideLoop(own: string, loop: string, max: string): Figure[] {
  const stated = { isStated: true } as const;
  return [
    { ...percent(LOOP_FIGURES.loop, undefined, (results) => results.ratio(loop, max)), ...stated },
    { ...percent(LOOP_FIGURES.own, undefined, (results) => results.ratio(own, loop)), ...stated },
  ];
}

const messages = { unit: "messages/s", per: 1 };

/** All workloads on the load peer. */
export const WORKLOADS: readonly Workload[] = [
  {
    id: "receive",
    title: "Receive 100-byte messages, ack auto",
    rate: messages,
    worker: "work",
    runs: each({ kind: "receive", first: 5000 }, "bare", "loop", "stompy", ...PEERS),
    figures: [...speed({ peer: 10, bare: 0.4 }), ...besideLoop("stompy", "loop", "bare")],
  },
  {
    id: "receive-headers",
    title: "Receive, and read all 8 headers of each",
    rate: messages,
    worker: "work",
    runs: each({ kind: "receive", readHeaders: true, first: 5000 }, "bare", "stompy", ...NPM_PEERS),
    figures: speed({}),
  },
  {
    id: "ack",
    title: "Receive and acknowledge each, client-individual",
    rate: messages,
    worker: "work",
    runs: each({ kind: "ack", first: 5000 }, "bare", "stompy", ...PEERS),
    figures: speed({ peer: 8 }),
  },
  {
    id: "receive-activemq",
    title: "Receive, written as ActiveMQ writes",
    rate: messages,
    worker: "work",
    runs: each({ kind: "receive", style: "activemq", first: 5000 }, "bare", "stompy", ...NPM_PEERS),
    figures: speed({ peer: 10 }),
  },
  {
    id: "ack-activemq",
    title: "Receive and acknowledge, written as ActiveMQ writes",
    rate: messages,
    worker: "work",
    runs: each({ kind: "ack", style: "activemq", first: 5000 }, "bare", "stompy", ...NPM_PEERS),
    figures: speed({ peer: 8 }),
  },
  {
    id: "send",
    title: "Send 100-byte messages, no receipt",
    rate: messages,
    worker: "work",
    runs: each({ kind: "send", first: 5000 }, "bare", "stompy", ...PEERS),
    figures: speed({ peer: 6 }),
  },
  {
    id: "send-headers",
    title: "Send each as persistent and with a correlation-id",
    rate: messages,
    worker: "work",
    runs: each({ kind: "send", withHeaders: true, first: 5000 }, "bare", "stompy", ...NPM_PEERS),
    figures: speed({}),
  },
  {
    id: "receipts",
    title: "Send with a receipt for each, 256 in flight",
    rate: messages,
    worker: "work",
    runs: each({ kind: "receipts", first: 5000 }, "bare", "stompy", ...PEERS),
    figures: speed({ peer: 4 }),
  },
  {
    id: "echo",
    title: "Request and echo, one at a time",
    rate: { unit: "round trips/s", per: 1 },
    worker: "work",
    runs: each({ kind: "echo", first: 500 }, "bare", "stompy", ...PEERS),
    figures: speed({ bare: 0.8 }),
  },
  {
    id: "large",
    title: "Receive 1 MiB messages",
    rate: { unit: "MiB/s", per: 1 },
    worker: "work",
    runs: each({ kind: "receive", size: MIB, first: 10 }, "bare", "loop", "stompy", ...PEERS),
    figures: [...speed({ bare: 0.8 }), ...besideLoop("stompy", "loop", "bare")],
  },
  {
    id: "subscriptions",
    title: "10,000 subscriptions on one connection, against 10",
    rate: messages,
    worker: "work",
    runs: [
      ...variants({
        "10": { kind: "many", subscriptions: 10, first: 20_000 },
        "10,000": { kind: "many", subscriptions: 10_000, first: 20_000 },
      }),
      ...variants({
        "10 loops": { kind: "many", subscriptions: 10, first: 20_000 },
        "10,000 loops": { kind: "many", subscriptions: 10_000, first: 20_000 },
      }, "loop"),
    ],
    figures: [
      percent("of the rate with 10", 0.9, (results) => results.ratio("10,000", "10")),
      ...besideLoop("10,000", "10,000 loops", "10 loops"),
    ],
  },
  {
    id: "headers",
    title: "40 headers a message (900 bytes), against 8 (320 bytes)",
    rate: messages,
    worker: "work",
    runs: [
      ...variants({
        "8, not read": { kind: "receive", headers: 8, first: 5000 },
        "40, not read": { kind: "receive", headers: 40, first: 5000 },
        "8, all read": { kind: "receive", headers: 8, readHeaders: true, first: 5000 },
        "40, all read": { kind: "receive", headers: 40, readHeaders: true, first: 5000 },
      }),
      ...variants({
        "8, bare socket": { kind: "receive", headers: 8, first: 5000 },
        "40, bare socket": { kind: "receive", headers: 40, first: 5000 },
      }, "bare"),
    ],
    figures: [
      percent("of the rate with 8, not read", 0.5, (results) => results.ratio("40, not read", "8, not read")),
      percent("of the rate with 8, all read", undefined, (results) => results.ratio("40, all read", "8, all read")),
      {
        ...percent("the bare socket, of its rate with 8", undefined, (results) => {
          return results.ratio("40, bare socket", "8, bare socket");
        }),
        isStated: true,
      },
    ],
  },
  {
    id: "chunks",
    title: "A 100 MiB body in 1 KiB chunks, against 10 MiB, time per byte",
    rate: { unit: "MiB/s", per: MIB },
    worker: "work",
    runs: variants({
      "10 MiB": { kind: "chunks", first: MIB, count: 10 * MIB },
      "100 MiB": { kind: "chunks", first: MIB, count: 100 * MIB },
    }),
    figures: [{
      ...times("of the time per byte of 10 MiB", 1.5, (results) => results.ratio("10 MiB", "100 MiB")),
      better: "lower",
    }],
  },
  {
    id: "decode",
    title: "The same in the decoder alone",
    rate: { unit: "MiB/s", per: MIB },
    worker: "memory",
    runs: variants({
      "10 MiB": { kind: "decode", first: 10 * MIB, count: 10 * MIB },
      "100 MiB": { kind: "decode", first: 10 * MIB, count: 100 * MIB },
    }),
    figures: [{
      ...times("of the time per byte of 10 MiB", 1.5, (results) => results.ratio("10 MiB", "100 MiB")),
      better: "lower",
    }],
  },
  {
    id: "stream",
    title: "Memory above idle while 2 GiB stream through in 1 MiB messages",
    worker: "memory",
    rounds: 3,
    runs: each({ kind: "stream", size: MIB, first: 0, count: 2048 }, "bare", "stompy", "stompit"),
    figures: [{
      name: "above idle, at most",
      goal: 64,
      better: "lower",
      unit: "MiB",
      of: (results) => results.bytes("stompy") / MIB,
    }],
  },
  {
    id: "connections",
    title: "Memory of each of 1,000 connections in one process",
    worker: "memory",
    rounds: 3,
    runs: each({ kind: "connections", first: 0, count: 1000 }, "bare", "stompy", ...NPM_PEERS),
    figures: [
      {
        name: "a connection",
        goal: 60,
        better: "lower",
        unit: "KiB",
        of: (results) => results.bytes("stompy") / KIB,
      },
      {
        ...times("of what stompit takes", 1, (results) => results.bytes("stompy") / results.bytes("stompit")),
        better: "lower",
      },
    ],
  },
  {
    id: "keep",
    title: "Memory of a message that is kept, 1 in 1,000",
    worker: "memory",
    rounds: 1,
    runs: [
      ...each({ kind: "keep", first: 0, count: 1_000_000 }, "stompy"),
      ...variants({ "stompy, detached": { kind: "keep", detach: true, first: 0, count: 1_000_000 } }),
      ...each({ kind: "keep", first: 0, count: 500_000 }, ...NPM_PEERS),
    ],
    figures: [
      {
        name: "a message as it is",
        better: "lower",
        unit: "KiB",
        of: (results) => results.bytes("stompy") / KIB,
      },
      {
        name: "a detached one",
        better: "lower",
        unit: "KiB",
        of: (results) => results.bytes("stompy, detached") / KIB,
      },
    ],
  },
  {
    id: "import",
    title: "Start a program that imports mod.ts, above an empty one",
    worker: "start",
    runs: [
      { label: "empty", candidate: "stompy", job: { kind: "stream", first: 0, seconds: 0 } },
      { label: "library", candidate: "stompy", job: { kind: "stream", first: 0, seconds: 0 } },
    ],
    figures: [{
      name: "longer",
      goal: 15,
      goalIn: ["deno"],
      better: "lower",
      unit: "ms",
      of: (results) => results.longer("library", "empty") * 1000,
    }],
  },
];

/** Returns the workloads on a real broker; `name` is the name of the broker. */
export function brokerWorkloads(name: string): Workload[] {
  const queue = "/queue/stompy-bench";
  const figures: Figure[] = [
    times("of the best peer", 1, (results) => results.ratio("stompy", results.bestPeer())),
    times("of the best peer, per second of CPU", 1, (results) => results.cpuRatio("stompy", results.leanestPeer())),
  ];
  return [
    {
      id: `${name}-receipts`,
      title: `${name}: send with a receipt for each, 256 in flight`,
      rate: messages,
      worker: "work",
      runs: each({ kind: "receipts", queue, first: 1000 }, "stompy", ...NPM_PEERS),
      figures,
    },
    {
      id: `${name}-ack`,
      title: `${name}: receive and acknowledge each, client-individual`,
      rate: messages,
      worker: "work",
      runs: each({ kind: "ack", queue, first: 1000 }, "stompy", ...NPM_PEERS),
      figures,
    },
  ];
}
