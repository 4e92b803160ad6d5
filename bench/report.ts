/**
 * Formats results: lines for the terminal, and docs/performance.md.
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
  loop: "bare loop",
};

/** Returns the display name of a runtime or a candidate. */
export function nameOf(id: string): string {
  return NAMES[id] ?? id;
}

/** Rounds to three digits and puts commas between thousands. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const short = Number(value.toPrecision(3));
  return short.toLocaleString("en-US", { maximumFractionDigits: short >= 100 ? 0 : short >= 10 ? 1 : 2 });
}

/** Formats a figure with its unit. */
export function formatFigure({ unit }: Figure, value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (unit === "%") return `${formatNumber(value * 100)} %`;
  return `${formatNumber(value)}${unit === "×" ? "×" : ` ${unit}`}`;
}

/** Formats the goal of a figure; empty without one. */
function formatGoal(figure: Figure): string {
  if (figure.goal === undefined) return "";
  const where = figure.goalIn === undefined ? "" : ` in ${figure.goalIn.map(nameOf).join(", ")}`;
  return `${figure.better === "higher" ? "at least" : "at most"} ${formatFigure(figure, figure.goal)}${where}`;
}

function isReached({ goal, goalIn = RUNTIMES, better }: Figure, value: number, runtime: Runtime): boolean {
  if (goal === undefined || !goalIn.includes(runtime)) return true;
  return better === "higher" ? value >= goal : value <= goal;
}

/** Returns the terminal lines of one workload in one runtime. */
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

/** What the page calls the figures that compare the library with other candidates. */
const COMPARISONS: Readonly<Record<string, string>> = {
  "of the best peer": "times the best other",
  "of the bare socket": "share of the bare socket",
  "of the best peer, per second of CPU": "times the best other by CPU time",
};

type Row = readonly string[];

function toTable(head: Row, rows: readonly Row[]): string {
  const line = (cells: Row) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const isSpeed = ({ runs }: Workload) =>
  runs.some(({ label }) => label === "bare") && runs[0]!.job.kind !== "stream" &&
  runs[0]!.job.kind !== "connections";

/** Calls `make` for each runtime in which a workload was measured. */
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
    ...Object.values(COMPARISONS),
  ];
  return toTable(head, rows);
}

/** Where the bare loop is measured: the run it is compared with, its own run, and the library's. */
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
    "bare loops",
    "this library",
    "loops / bare socket, or 10 loops",
    "library / loops",
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
  return toTable(["work", "figure", ...RUNTIMES.map(nameOf), "goal"], rows);
}

/** Returns the workloads that were measured with real brokers. */
function brokersOf(baseline: Baseline): Workload[] {
  const names = Object.keys(baseline.workloads).map((id) => /^(.+)-ack$/.exec(id)?.[1]).filter((name) =>
    name !== undefined
  );
  return names.flatMap(brokerWorkloads);
}

function brokerTable(baseline: Baseline): string {
  const labels = ["stompy", ...NPM_PEERS];
  const workloads = brokersOf(baseline);
  const rows = workloads.flatMap((workload) => {
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
  const head = [
    "work",
    "in",
    ...labels.map(nameOf),
    ...workloads[0]!.figures.map(({ name }) => COMPARISONS[name] ?? name),
  ];
  return `## Real brokers

Here the broker is the limit. The cells hold messages a second, and in brackets the microseconds of processor time that
the client spends on each.

${toTable(head, rows)}

`;
}

/** Returns the table of missed goals, and the reasons. */
function missedTable(baseline: Baseline): string {
  const rows = [...WORKLOADS, ...brokersOf(baseline)].flatMap((workload) => {
    return forEntries(baseline, workload, (runtime, { figures }) => {
      const missed = workload.figures.filter((figure) => !isReached(figure, figures[figure.name] ?? NaN, runtime));
      return missed.map((figure): Row => [
        workload.title,
        nameOf(runtime),
        COMPARISONS[figure.name] ?? figure.name,
        formatFigure(figure, figures[figure.name] ?? NaN),
        formatGoal(figure),
      ]);
    }).flat();
  });
  if (rows.length === 0) return "Nothing.";
  return `${toTable(["work", "in", "figure", "result", "goal"], rows)}\n\n${REASONS}`;
}

function goalsTable(): string {
  const asked = WORKLOADS.filter(isSpeed).filter(({ figures }) => figures.some(({ goal }) => goal !== undefined));
  const rows = asked.map((workload): Row => {
    const [peer, bare] = workload.figures;
    return [workload.title, formatGoal(peer!), formatGoal(bare!)];
  });
  return toTable(["work", ...Object.values(COMPARISONS).slice(0, 2)], rows);
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
  return toTable(["work", "client", ...RUNTIMES.map(nameOf)], rows);
}

/** Returns the least and the greatest value of a figure over all runtimes, for example "14 to 22". */
function rangeOf(baseline: Baseline, workloads: readonly Workload[], index: number): string {
  const values = workloads.flatMap((workload) => {
    return forEntries(baseline, workload, (_, { figures }) => figures[workload.figures[index]!.name] ?? NaN);
  }).filter(Number.isFinite).map((value) => Number(value.toPrecision(2)));
  return `${Math.min(...values)} to ${Math.max(...values)}`;
}

/** Says in a few sentences what the tables show. */
function summary(baseline: Baseline): string {
  const faster = (id: string) => rangeOf(baseline, WORKLOADS.filter((workload) => workload.id === id), 0);
  const brokers = brokersOf(baseline);
  const onBrokers = `

On a real broker the broker sets the pace: there this library is ${rangeOf(baseline, brokers, 0)} times as fast as the
fastest other client, and does ${rangeOf(baseline, brokers, 1)} times as much in a second of processor time as the one
that needs the least.`;
  return `This library receives ${faster("receive")} times as fast as the fastest of the other clients, receives and
acknowledges ${faster("ack")} times as fast, sends ${faster("send")} times as fast, and sends with a receipt for each
message ${faster("receipts")} times as fast. Its round trips, one at a time, are ${faster("echo")} times as fast.${
    brokers.length === 0 ? "" : onBrokers
  }`;
}

/** Why some goals were missed on the machine of the committed figures, as it was when this was written. */
const REASONS = `The reasons, as far as measurements and profiles showed them in November 2026:

- Receiving, compared with the bare socket: the bare socket delivers nothing to a program. A table above shows how far a
  bare loop gets; in Bun that is about the goal. On top of the loop, this library spends 0.1 to 0.3 µs on a message: it
  compares its head with the one before, creates the message and routes it to its subscription, and in Bun all that
  becomes garbage.
- 1 MiB messages: most bare loops in Bun and Node are below the goal as well, although they copy nothing that arrives:
  what is left is creating the text. In Node that text is outside the heap, as all texts above a million characters are,
  and for each 64 MiB of them the garbage collector marks everything once, on the other core. Deno and Node read a body
  straight into its place, which Bun's sockets cannot do.
- 10,000 subscriptions: a bare loop takes 0.3 to 0.5 µs more for each message when there are 10,000 of them. It has left
  the processor's cache since it last ran, and the garbage collector finds its promise alive each time. This library
  takes 0.3 to 0.7 µs more. With 10 subscriptions a message takes 0.6 to 0.7 µs, so 90 % would leave 0.07 µs for all that.
- 40 headers: three times as many bytes have to pass the socket, and the bare socket itself falls to less than two fifths
  of its rate.
- Memory of a stream: Node holds those 64 MiB of text, and what arrives while it collects them. The bare sockets of Node
  and Bun, which create no strings, come close to the goal or exceed it as well: their chunks are garbage in the same way.
- Memory of connections: heap and buffers of a connection are no larger than stompit's, and creating one allocates as
  much. What differs is when V8 enlarges its young generation. The measurement itself varies by a third.
- Import in Deno: 12 to 18 ms for the same code, depending on the state of the machine and of Deno's caches.
- The real brokers: ActiveMQ sends each receipt and each message separately. The cost is in reading and writing, for
  every client, and the broker's pace varies by a quarter. A client that is as fast as two others is usually slower than
  the faster of the two.
`;

/** Returns docs/performance.md, before it is formatted. */
export function toMarkdown(baseline: Baseline): string {
  const versions = RUNTIMES.filter((name) => baseline.versions[name]).map((
    name,
  ) => `${nameOf(name)} ${baseline.versions[name]}`);
  return `# Performance

How fast is this library beside other STOMP clients: stompit and stompjs, which are JavaScript as well, and stomp.py,
which is Python? All do the same work over TCP on one machine, with a peer made to be faster than any of them, so
that the client is what is measured.

${summary(baseline)}

![This library beside other STOMP clients, in each runtime: longer bars are faster](performance.svg)

Measured on ${baseline.machine}, with ${
    versions.join(", ")
  }. The numbers are of that machine on that day; the ratios are
what to look at. \`deno task bench\` measures on your machine in about a quarter of an hour: see [Run it](#run-it). The
goals that were missed are under [Goals missed](#goals-missed).

## Speed

Messages, round trips or MiB a second, each the median of several rounds. The bare socket is no client: it shows what
the runtime's sockets allow.

${speedTable(baseline)}

"Times the best other" compares with the fastest other client. The last column compares what the clients do in a second
of processor time, which other programs on the machine disturb less. These are the goals:

${goalsTable()}

## A bare loop

The bare socket delivers nothing to a program. To show what a \`for await\` loop costs, a bare loop has almost no client
around it: it cuts frames from a socket at their NULs and hands texts of the right size to loops. It looks at no header,
checks nothing, and makes a text of 1 MiB from memory it already has, not from what arrived. With 10,000 subscriptions
there are as many loops. What a client does beyond that, such as reading heads and giving messages that can be
acknowledged, comes on top.

${loopTable(baseline)}

${brokerTable(baseline)}## Size and memory

${otherTable(baseline)}

What the others take for the same:

${memoryTable(baseline)}

A message that is kept also keeps the chunk that it arrived in: \`message.detach()\` copies it out.

## Goals missed

${missedTable(baseline)}

## How it is measured

- The peer is \`bench/peer.ts\`, in a separate process, the same for all clients. It prepares its bytes in advance, so that
  the client is the bottleneck, and counts what arrives: a run that lost a message fails.
- Each client runs through its public interface with its default options, in a fresh process for every measurement, and
  warms up first. Every body is read as text. stompit and stompjs (over \`@stomp/tcp-wrapper\`) use \`node:net\`, which all
  three runtimes have. stompjs has no back-pressure; the bench watches its socket for it. stomp.py takes part where
  Python has it (Debian: \`python3-stomp\`); apart from noise it is the same in the rows of all three runtimes.
- The bare socket is \`Deno.connect\`, \`Bun.connect\` or \`node:net\`, and only counts NULs, or writes what is ready.
- Messages look like RabbitMQ's: 8 headers, a body of 100 bytes of ASCII, about 320 bytes in all. Where a row says
  ActiveMQ, they look like ActiveMQ's: ids with escapes, and no \`content-length\`.
- The candidates take turns, for several rounds. A ratio is taken within each round, and the tables show the median.
- Processor time is that of the client's process with all its threads.
- Memory is the resident set after garbage collections, and for the stream its peak. For kept messages it is the memory
  that can be reached.

## Run it

\`\`\`sh
deno task bench                                  # everything: about a quarter of an hour
deno task bench --only receive,echo --quick      # a first look
deno task bench --runtime bun --rounds 9
deno task bench --check                          # compares with bench/baseline.json
deno task bench --save                           # writes that file, this page and the picture
deno task bench --broker rabbitmq-3.10 --broker activemq-5   # real brokers; installs them where it may
deno task bench --broker mine=stomp://guest:guest@127.0.0.1:61613
deno bench bench/codec_bench.ts                  # encoder and decoder alone
\`\`\`

\`--check\` fails when a figure is worse than the committed one by more than a quarter, three times in a row.
`;
}
