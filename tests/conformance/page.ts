/**
 * docs/conformance.md as text.
 *
 * @module
 */
import { AMBIGUOUS } from "./ambiguous.ts";
import { NOT_TESTED, REMARKS, type Row, ROWS, type Side } from "./rows.ts";

/** What came of the tests of a row on one side; `passes`, or what failed. */
export type Outcome = (row: Row, side: Side) => string;

const PARTS: { letter: string; title: string; about: string; sides: readonly Side[] }[] = [
  {
    letter: "F",
    title: "Framing",
    about: "What frames look like, for the client and for the embedded broker, both as they read and as they write.",
    sides: ["client", "broker"],
  },
  {
    letter: "C",
    title: "Client",
    about: "What the client says, and what it makes of what it hears.",
    sides: ["client"],
  },
  { letter: "S", title: "Server", about: "What the embedded broker does.", sides: ["broker"] },
];

const HEAD = `# Conformance

What the texts of STOMP 1.0, 1.1 and 1.2 ask for, row by row, and whether it is so here. Each row has at least one test
whose name begins with its id, in \`tests/conformance/\`; the far end of every test is a script of bytes that knows
nothing of the library's framing. \`passes\` means that all of them pass under Deno, Bun and Node.

This page is written by \`deno task conformance\`, which runs those tests. Do not edit it: a test compares it with the
rows in \`tests/conformance/rows.ts\`.

A level in small letters does not stand in the texts, but follows from them. A row holds for the versions in its second
column; what the library does in the others is often the same.
`;

const AMBIGUITIES = `## Where the texts leave a choice

What is not said, or is read in different ways by RabbitMQ, ActiveMQ and others, and what was chosen here. \`AMB\` are the
spots where brokers are known to differ, \`OWN\` those that came up in writing this library.
`;

/** The page, before it is formatted. */
export function renderPage(outcome: Outcome): string {
  const parts = PARTS.map(({ letter, title, about, sides }) => {
    const rows = ROWS.filter(({ id }) => id.startsWith(letter)).map((row) => [
      row.id,
      row.versions,
      row.level,
      row.requirement.replace(/\\[a-z\\]/g, "\`$&\`"),
      ...sides.map((side) => NOT_TESTED[`${row.id} ${side}`] ?? outcome(row, side)),
      REMARKS[row.id] ?? "",
    ]);
    return `## ${title}\n\n${about}\n\n${
      table(["row", "versions", "level", "what is asked for", ...sides, "remark"], rows)
    }`;
  });
  const spots = AMBIGUOUS.map(({ id, question, choice }) => [id, question, choice]);
  return [HEAD, ...parts, `${AMBIGUITIES}\n${table(["spot", "question", "here"], spots)}`].join("\n");
}

function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map(() => "---"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

/** A page without what the formatter may change: line breaks, and the width of columns. */
export function unformatted(page: string): string {
  return page.replace(/-{3,}/g, "---").replace(/\s+/g, " ").trim();
}
