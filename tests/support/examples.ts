/**
 * Finds the examples of the documentation: the blocks marked `ts` in Markdown and in docstrings.
 *
 * @module
 */
import { readModule } from "./modules.ts";

/** An example. */
export interface Example {
  /** The file and the line, for example `README.md:12`. */
  place: string;
  /** The program. */
  code: string;
  /** Whether it is marked `no-run` or `ignore`, and so only type-checked. */
  noRun: boolean;
}

/** Returns the examples in the text of a file. */
export function findExamples(file: string, text: string): Example[] {
  if (!file.endsWith(".ts")) return findBlocks(file, text, 1);
  return readModule(text).docs.flatMap(({ text, line }) => {
    const markdown = text.split("\n").map((row) => row.replace(/^\s*\*? ?/, "")).join("\n");
    return findBlocks(file, markdown, line);
  });
}

function findBlocks(file: string, markdown: string, firstLine: number): Example[] {
  const examples: Example[] = [];
  let block: { fence: string; indent: number; line: number; info: string[]; rows: string[] } | undefined;
  for (const [index, row] of markdown.split("\n").entries()) {
    const [, indent = "", fence = "", info = ""] = /^(\s*)(`{3,}|~{3,})(.*)$/.exec(row) ?? [];
    if (block === undefined) {
      if (fence === "") continue;
      const words = info.trim().split(/[\s,]+/);
      block = { fence, indent: indent.length, line: firstLine + index, info: words, rows: [] };
    } else if (fence.startsWith(block.fence) && info.trim() === "") {
      const { info: [language, ...marks], line, rows } = block;
      if (language === "ts" || language === "typescript") {
        const noRun = marks.includes("no-run") || marks.includes("ignore");
        examples.push({ place: `${file}:${line}`, code: rows.join("\n") + "\n", noRun });
      }
      block = undefined;
    } else {
      block.rows.push(row.slice(Math.min(block.indent, row.length - row.trimStart().length)));
    }
  }
  return examples;
}

/** The address that examples connect to, in a URL or as two arguments. */
const ADDRESS = /\blocalhost:61613\b|(["'])localhost\1,\s*61613\b/g;

/** Whether the example connects to a broker. */
export function needsBroker(code: string): boolean {
  return code.search(ADDRESS) >= 0;
}

/** Returns the example as a program that uses this checkout and connects to the broker on `port`. */
export function toProgram(code: string, port: number | undefined): string {
  const program = code.replaceAll("jsr:@x/stompy", "@x/stompy");
  return port === undefined ? program : program.replaceAll(
    ADDRESS,
    (match) => match.startsWith("localhost") ? `127.0.0.1:${port}` : `"127.0.0.1", ${port}`,
  );
}
