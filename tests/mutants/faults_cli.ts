/**
 * Faults in `cli/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const CLI_FAULTS: readonly Fault[] = [
  {
    file: "cli/main.ts",
    name: "a number below the least passes",
    from: "number >= least && number <= most",
    to: "number <= most",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "passwords in an error are printed",
    from: "complain(showControls(withoutPasswords(line)))",
    to: "complain(showControls(line))",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "controls in an error reach the terminal",
    from: "complain(showControls(withoutPasswords(line)))",
    to: "complain(withoutPasswords(line))",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "controls of a broker reach the terminal",
    from: "print: (line) => print(showControls(line))",
    to: "print: (line) => print(line)",
    tests: ["cli/demo"],
  },
  {
    file: "cli/main.ts",
    name: "a mistake on the command line is a failure",
    from: "      return MISUSED;",
    to: "      return FAILED;",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "an interrupted demo went well",
    from: "      return INTERRUPTED;",
    to: "      return OK;",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "an argument without an option is ignored",
    from: "if (parsed.positionals.length > 0) {",
    to: "if (parsed.positionals.length > 9) {",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "a demo with duplicates went well",
    from: "if (good && result.duplicated === 0 && result.outOfOrder === 0) {",
    to: "if (good) {",
    tests: ["cli/demo"],
  },
  {
    file: "cli/main.ts",
    name: "the progress is told twice",
    from: "if (tenth <= told) return;",
    to: "if (tenth < told) return;",
    tests: ["cli/demo"],
  },
  {
    file: "cli/main.ts",
    name: "a refused login gives no hint",
    from: "if (error instanceof ConnectionError || error instanceof BrokerErrorResponse)",
    to: "if (error instanceof ConnectionError)",
    tests: ["cli/main"],
  },
  {
    file: "cli/demo.ts",
    name: "the messages of others count",
    from: "if (number === undefined || number >= count) {",
    to: "if (number === undefined && count < 0) {",
    tests: ["cli/demo"],
  },
  {
    file: "cli/demo.ts",
    name: "duplicates are not counted",
    from: "        result.duplicated++;\n",
    to: "",
    tests: ["cli/demo"],
  },
  {
    file: "cli/demo.ts",
    name: "disorder is not counted",
    from: "if (number < last) result.outOfOrder++;",
    to: "",
    tests: ["cli/demo"],
  },
];
