/**
 * Renders docs/conformance.md.
 *
 * @module
 */
import { AMBIGUOUS } from "./ambiguous.ts";
import { NOT_TESTED, REMARKS, type Row, ROWS, type Side } from "./rows.ts";

/** Returns the result of a row's tests on one side: `passes`, or what failed. */
export type Outcome = (row: Row, side: Side) => string;

const PARTS: { letter: string; title: string; about: string; sides: readonly Side[] }[] = [
  {
    letter: "F",
    title: "Framing",
    about: "What frames look like, when the client and the embedded broker read them and when they write them.",
    sides: ["client", "broker"],
  },
  {
    letter: "C",
    title: "Client",
    about: "What the client sends, and how it treats what it receives.",
    sides: ["client"],
  },
  { letter: "S", title: "Server", about: "What the embedded broker does.", sides: ["broker"] },
];

/** Returns the beginning of the page. */
function renderHead(outcome: Outcome): string {
  const results = ROWS.flatMap((row) => {
    return row.sides.filter((side) => !NOT_TESTED[`${row.id} ${side}`]).map((side) => outcome(row, side));
  });
  const passing = results.filter((result) => result === "passes").length;
  const [framing, client, server] = PARTS.map(({ letter }) => ROWS.filter(({ id }) => id.startsWith(letter)).length);
  return `# Conformance

This page shows how far the client and the embedded broker conform to STOMP 1.0, 1.1 and 1.2. It lists the requirements
of the three specifications, ${ROWS.length} rows in our words: ${framing} on framing, for both sides,
${client} for clients and ${server} for servers. Tests check ${results.length} combinations of row and side, and
${passing} of them pass.

\`deno task conformance\` runs these tests and writes this page. Do not edit it: a test compares it with the rows in
\`tests/conformance/rows.ts\`.

- Each row has at least one test in \`tests/conformance/\`, whose name begins with the row's id, except where the table
  gives a reason for having none. The peer in every test is a script of bytes that shares no code with the library's
  framing.
- \`passes\` means that all tests of the row pass under Deno, Bun and Node.
- A level in lower case is not stated in a specification but follows from it.
- A row applies to the versions in its second column. In other versions the library often does the same.
- [Open points](#open-points) lists where the specifications leave a choice, and what was chosen.
`;
}

const OPEN_POINTS = `## Open points

What the specifications do not say, or what RabbitMQ, ActiveMQ and others read in different ways, and the choice made
here. Points named \`AMB\` are those where brokers are known to differ; \`OWN\` are those that came up in writing this
library.
`;

/** Renders the page, before it is formatted. */
export function renderPage(outcome: Outcome): string {
  const parts = PARTS.map(({ letter, title, about, sides }) => {
    const rows = ROWS.filter(({ id }) => id.startsWith(letter)).map((row) => [
      row.id,
      row.versions,
      row.level,
      row.requirement.replace(/\\[a-z\\]/g, "`$&`"),
      ...sides.map((side) => NOT_TESTED[`${row.id} ${side}`] ?? outcome(row, side)),
      REMARKS[row.id] ?? "",
    ]);
    return `## ${title}\n\n${about}\n\n${table(["row", "versions", "level", "requirement", ...sides, "remark"], rows)}`;
  });
  const points = AMBIGUOUS.map(({ id, question, choice }) => [id, question, choice]);
  const openPoints = `${OPEN_POINTS}\n${table(["point", "question", "choice"], points)}`;
  return [renderHead(outcome), ...parts, openPoints].join("\n");
}

function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map(() => "---"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

/** Removes from a page what the formatter may change: line breaks, and the width of columns. */
export function unformatted(page: string): string {
  return page.replace(/-{3,}/g, "---").replace(/\s+/g, " ").trim();
}
