/**
 * Results for people: lines for the terminal, and docs/performance.md.
 *
 * @module
 */
import { type Runtime, RUNTIMES } from "../tests/support/runtime.ts";
import type { Baseline, Entry } from "./baseline.ts";
import type { Summary } from "./results.ts";
import { brokerWorkloads, type Figure, LOOP_FIGURES, NPM_PEERS, PEERS, type Workload, WORKLOADS } from "./workloads.ts";

const NAMES: Record<string, string> = {
  deno: "Deno",
  bun: "Bun",
  node: "Node",
  stompy: "this library",
  bare: "bare socket",
  loop: "a loop alone",
};

/** What people call a runtime or a candidate. */
export function nameOf(id: string): string {
  return NAMES[id] ?? id;
}

/** Three digits, with commas between thousands. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const short = Number(value.toPrecision(3));
  return short.toLocaleString("en-US", { maximumFractionDigits: short >= 100 ? 0 : short >= 10 ? 1 : 2 });
}

/** A figure with its unit. */
export function formatFigure({ unit }: Figure, value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (unit === "%") return `${formatNumber(value * 100)} %`;
  return `${formatNumber(value)}${unit === "×" ? "×" : ` ${unit}`}`;
}

/** What a figure should be. */
function formatGoal(figure: Figure): string {
  if (figure.goal === undefined) return "";
  const where = figure.goalIn === undefined ? "" : ` in ${figure.goalIn.map(nameOf).join(", ")}`;
  return `${figure.better === "higher" ? "at least" : "at most"} ${formatFigure(figure, figure.goal)}${where}`;
}

function isReached({ goal, goalIn = RUNTIMES, better }: Figure, value: number, runtime: Runtime): boolean {
  if (goal === undefined || !goalIn.includes(runtime)) return true;
  return better === "higher" ? value >= goal : value <= goal;
}

/** The lines of one workload in one runtime, for the terminal. */
export function toLines(workload: Workload, runtime: Runtime, entry: Entry): string[] {
  const runs = Object.entries(entry.runs).map(([label, run]) => `${nameOf(label)} ${formatRun(workload, run)}`);
  const figures = workload.figures.map((figure) => {
    const value = entry.figures[figure.name] ?? NaN;
    const goal = formatGoal(figure);
    const mark = goal === "" ? "" : isReached(figure, value, runtime) ? ` (${goal}: reached)` : ` (${goal}: MISSED)`;
    return `    ${formatFigure(figure, value)} ${figure.name}${mark}`;
  });
  return [`  ${nameOf(runtime)}: ${runs.join(", ")}`, ...figures];
}

function formatRun({ rate: unit, worker }: Workload, { rate, cpu, bytes }: Summary): string {
  if (bytes !== undefined) {
    return bytes > 1 << 20 ? `${formatNumber(bytes / (1 << 20))} MiB` : `${formatNumber(bytes / 1024)} KiB`;
  }
  if (worker === "start") return `${formatNumber(1000 / rate)} ms`;
  const { unit: name, per } = unit!;
  return `${formatNumber(rate / per)} ${name}${per === 1 ? `, ${formatNumber(cpu)} µs CPU each` : ""}`;
}

type Row = readonly string[];

function toTable(head: Row, rows: readonly Row[]): string {
  const line = (cells: Row) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const isSpeed = ({ runs }: Workload) =>
  runs.some(({ label }) => label === "bare") && runs[0]!.job.kind !== "stream" &&
  runs[0]!.job.kind !== "connections";

/** Calls back for each runtime in which a workload was measured. */
function forEntries<T>(baseline: Baseline, workload: Workload, make: (runtime: Runtime, entry: Entry) => T): T[] {
  const entries = baseline.workloads[workload.id] ?? {};
  return RUNTIMES.filter((runtime) => entries[runtime] !== undefined).map((runtime) =>
    make(runtime, entries[runtime]!)
  );
}

function speedTable(baseline: Baseline): string {
  const labels = ["stompy", ...PEERS, "bare"];
  const rows = WORKLOADS.filter(isSpeed).flatMap((workload) => {
    return forEntries(baseline, workload, (runtime, { runs, figures }): Row => {
      const [peer, bare, cpu] = workload.figures;
      return [
        workload.title,
        nameOf(runtime),
        ...labels.map((label) => runs[label] ? formatNumber(runs[label].rate) : "–"),
        formatFigure(peer!, figures[peer!.name] ?? NaN),
        formatFigure(bare!, figures[bare!.name] ?? NaN),
        formatFigure(cpu!, figures[cpu!.name] ?? NaN),
      ];
    });
  });
  const head = [
    "work",
    "in",
    ...labels.map(nameOf),
    "of the best other client",
    "of the bare socket",
    "the same by CPU",
  ];
  return toTable(head, rows);
}

/** Where a loop alone is measured: what it is held against, its run, and the library's. */
const LOOPS = {
  receive: ["bare", "loop", "stompy"],
  large: ["bare", "loop", "stompy"],
  subscriptions: ["10 loops", "10,000 loops", "10,000"],
} as const;

function loopTable(baseline: Baseline): string {
  const rows = Object.entries(LOOPS).flatMap(([id, labels]) => {
    const workload = WORKLOADS.find((workload) => workload.id === id)!;
    const [loop, own] = [LOOP_FIGURES.loop, LOOP_FIGURES.own].map((name) => {
      return workload.figures.find((figure) => figure.name === name)!;
    });
    return forEntries(baseline, workload, (runtime, { runs, figures }): Row => [
      workload.title,
      nameOf(runtime),
      ...labels.map((label) => formatNumber((runs[label]?.rate ?? NaN) / workload.rate!.per)),
      formatFigure(loop!, figures[loop!.name] ?? NaN),
      formatFigure(own!, figures[own!.name] ?? NaN),
    ]);
  });
  const head = [
    "work",
    "in",
    "bare socket, or 10 loops",
    "loops",
    "this library",
    "loops, of those",
    "library, of loops",
  ];
  return toTable(head, rows);
}

const loopFigures: readonly string[] = Object.values(LOOP_FIGURES);

function otherTable(baseline: Baseline): string {
  const rows = WORKLOADS.filter((workload) => !isSpeed(workload)).flatMap((workload) => {
    return workload.figures.filter(({ name }) => !loopFigures.includes(name)).map((figure): Row => [
      workload.title,
      figure.name,
      ...RUNTIMES.map((runtime) => {
        return formatFigure(figure, baseline.workloads[workload.id]?.[runtime]?.figures[figure.name] ?? NaN);
      }),
      formatGoal(figure),
    ]);
  });
  return toTable(["work", "what", ...RUNTIMES.map(nameOf), "goal"], rows);
}

/** The workloads that were measured with real brokers. */
function brokersOf(baseline: Baseline): Workload[] {
  const names = Object.keys(baseline.workloads).map((id) => /^(.+)-ack$/.exec(id)?.[1]).filter((name) =>
    name !== undefined
  );
  return names.flatMap(brokerWorkloads);
}

function brokerTable(baseline: Baseline): string {
  const labels = ["stompy", ...NPM_PEERS];
  const rows = brokersOf(baseline).flatMap((workload) => {
    return forEntries(baseline, workload, (runtime, { runs, figures }): Row => [
      workload.title,
      nameOf(runtime),
      ...labels.map((label) =>
        runs[label] ? `${formatNumber(runs[label].rate)} (${formatNumber(runs[label].cpu)})` : "–"
      ),
      ...workload.figures.map((figure) => formatFigure(figure, figures[figure.name] ?? NaN)),
    ]);
  });
  if (rows.length === 0) return "";
  const head = ["work", "in", ...labels.map(nameOf), "of the best other client", "the same by CPU"];
  return `## Real brokers

Here the broker is the limit. Messages a second, and in brackets the microseconds of the client's processor time for
each.

${toTable(head, rows)}

`;
}

/** The goals that were missed, by how much. */
function missedTable(baseline: Baseline): string {
  const rows = [...WORKLOADS, ...brokersOf(baseline)].flatMap((workload) => {
    return forEntries(baseline, workload, (runtime, { figures }) => {
      const missed = workload.figures.filter((figure) => !isReached(figure, figures[figure.name] ?? NaN, runtime));
      return missed.map((figure): Row => [
        workload.title,
        nameOf(runtime),
        figure.name,
        formatFigure(figure, figures[figure.name] ?? NaN),
        formatGoal(figure),
      ]);
    }).flat();
  });
  if (rows.length === 0) return "Nothing.";
  return `${toTable(["work", "in", "what", "is", "goal"], rows)}\n\n${REASONS}`;
}

function goalsTable(): string {
  const asked = WORKLOADS.filter(isSpeed).filter(({ figures }) => figures.some(({ goal }) => goal !== undefined));
  const rows = asked.map((workload): Row => {
    const [peer, bare] = workload.figures;
    return [workload.title, formatGoal(peer!), formatGoal(bare!)];
  });
  return toTable(["work", "of the best other client", "of the bare socket"], rows);
}

function memoryTable(baseline: Baseline): string {
  const rows = WORKLOADS.filter(({ worker, rate }) => worker === "memory" && rate === undefined).flatMap((workload) => {
    return workload.runs.map(({ label }): Row => [
      workload.title,
      label.replace("stompy", nameOf("stompy")).replace("bare", nameOf("bare")),
      ...RUNTIMES.map((runtime) => {
        const run = baseline.workloads[workload.id]?.[runtime]?.runs[label];
        return run ? formatRun(workload, run) : "–";
      }),
    ]);
  });
  return toTable(["work", "who", ...RUNTIMES.map(nameOf)], rows);
}

/** Why some goals were missed on the machine of the committed figures, as it was when this was written. */
const REASONS = `What stands in the way, as far as measurements and profiles told in November 2026:

- Receiving, against the bare socket: that hands nothing to anybody. How far a loop alone comes is in a table above; in
  Bun that is about as far as the goal. On top of the loop a message takes 0.1 to 0.3 µs here: its head is compared with
  the one before, the message is made and goes to its subscription, and in Bun all that is waste for the collector.
- 1 MiB messages: of the loops alone, for which nothing of what came is even copied, those in Bun and Node are mostly
  below the goal as well: what is left is the making of the text. In Node that text is outside of the heap, as all are
  above a million characters, and for each 64 MiB of them the collector marks everything once, on the other core. Deno and
  Node read a body right into its place, Bun's sockets cannot.
- 10,000 subscriptions: a loop alone takes 0.3 to 0.5 µs more for each message when there are 10,000 of them. It has left
  the processor's cache since it was woken last, and the collector finds its promise alive each time. This library takes
  0.3 to 0.7 µs more. With 10 subscriptions a message takes 0.6 to 0.7 µs, so that 90 % would leave 0.07 µs for all that.
- 40 headers: three times as many bytes have to come through the socket, and the bare socket itself falls to less than
  two fifths of its rate.
- Memory of a stream: Node has those 64 MiB of text and what comes while it collects them. The bare sockets of Node and
  Bun, which make no strings, come close to the goal or are over it as well: their chunks are garbage in the same way.
- Memory of connections: heap and buffers of a connection are no larger than stompit's, and making one allocates as much.
  What differs is when V8 makes its young generation larger. The measurement itself varies by a third.
- Import in Deno: 12 to 18 ms for the same code, as the machine and Deno's caches happen to be.
- The real brokers: ActiveMQ sends each receipt and each message by itself. What they cost is reading and writing, for
  every client, and the broker's pace varies by a quarter. A client that is as fast as two others is mostly slower than
  the faster one of the two.
`;

/** docs/performance.md. */
export function toMarkdown(baseline: Baseline): string {
  const versions = RUNTIMES.filter((name) => baseline.versions[name]).map((name) =>
    `${nameOf(name)} ${baseline.versions[name]}`
  );
  return `# Performance

This page and its picture are made by \`deno task bench --save\`. Measured on ${baseline.machine}, with
${versions.join(", ")}. The numbers are of that machine on that day; the ratios are what to look at.

![Messages a second, in each runtime](performance.svg)

## Speed

Messages, round trips or MiB a second, each the median of several rounds.

${speedTable(baseline)}

The last column compares what the clients do in a second of processor time, which other programs on the machine disturb
less. The goals:

${goalsTable()}

## A loop alone

The bare socket hands nothing to anybody. What a \`for await\` loop takes shows with hardly a client around it: a socket
whose frames are cut at their NULs and handed to loops as texts of the right size. No header is looked at, nothing is
checked, and a text of 1 MiB is made of memory at hand and not of what came. With 10,000 subscriptions each has a loop.
What a client gives more than that, a head that was read and a message that can be acknowledged, comes on top.

${loopTable(baseline)}

${brokerTable(baseline)}## Size and memory

${otherTable(baseline)}

What the others take for the same:

${memoryTable(baseline)}

A message that is kept keeps the chunk that it came in: \`message.detach()\` copies it out.

## Not reached

${missedTable(baseline)}

## How it is measured

- The far end is \`bench/peer.ts\`, in a process of its own, the same for all. It has its bytes ready before they are
  wanted, so that the client is the bottleneck, and counts what comes: a run that lost a message fails.
- Each client runs by its public interface and at its default options, in a fresh process for every measurement, and
  warms up first. Every body is read as text. stompit and stompjs (over \`@stomp/tcp-wrapper\`) use \`node:net\`, which all
  three runtimes have. stompjs knows no back-pressure; the bench watches its socket for it. stomp.py takes part where
  Python has it (Debian: \`python3-stomp\`); it is the same in each of the three runtimes' rows, but for the noise.
- The bare socket is \`Deno.connect\`, \`Bun.connect\` or \`node:net\`, and only counts NULs, or writes what is ready.
- Messages are as RabbitMQ writes them: 8 headers, a body of 100 bytes of ASCII, about 320 bytes in all. Where it says
  ActiveMQ, they are as that writes them: ids with escapes, and no \`content-length\`.
- The candidates take turns, for several rounds. A ratio is taken within each round, and the median of those is shown.
- Processor time is that of the client's process with all its threads.
- Memory is the resident set, after garbage collections, and for the stream its highest point. Of kept messages it is
  what can be reached.

## Run it

\`\`\`sh
deno task bench                                  # everything: about a quarter of an hour
deno task bench --only receive,echo --quick      # a first look
deno task bench --runtime bun --rounds 9
deno task bench --check                          # compares with bench/baseline.json
deno task bench --save                           # writes that file, this page and the picture
deno task bench --broker rabbitmq --broker activemq   # real brokers; installs them where it may
deno task bench --broker mine=stomp://guest:guest@127.0.0.1:61613
deno bench bench/codec_bench.ts                  # encoder and decoder alone
\`\`\`

\`--check\` fails when a figure is worse than the committed one by more than a quarter, three times in a row.
`;
}
