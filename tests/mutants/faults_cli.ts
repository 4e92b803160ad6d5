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
    name: "a number below the minimum is accepted",
    from: "number >= min && number <= max",
    to: "number <= max",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "passwords in an error are printed",
    from: "printError(showControls(withoutPasswords(line)))",
    to: "printError(showControls(line))",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "control characters of an error reach the terminal",
    from: "printError(showControls(withoutPasswords(line)))",
    to: "printError(withoutPasswords(line))",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "control characters of a broker reach the terminal",
    from: "print: (line) => print(showControls(line))",
    to: "print: (line) => print(line)",
    tests: ["cli/demo"],
  },
  {
    file: "cli/main.ts",
    name: "a mistake on the command line exits as a failure",
    from: "      return USAGE_MISTAKE;",
    to: "      return FAILURE;",
    tests: ["cli/main"],
  },
  {
    file: "cli/main.ts",
    name: "an interrupted demo exits as a success",
    from: "      return INTERRUPTED;",
    to: "      return SUCCESS;",
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
    name: "a demo with duplicates exits as a success",
    from: "if (isComplete && result.duplicated === 0 && result.outOfOrder === 0) {",
    to: "if (isComplete) {",
    tests: ["cli/demo"],
  },
  {
    file: "cli/main.ts",
    name: "the progress is printed twice",
    from: "if (tenth <= lastTenth) return;",
    to: "if (tenth < lastTenth) return;",
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
    name: "messages of other senders are counted",
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
    name: "messages out of order are not counted",
    from: "if (number < latest) result.outOfOrder++;",
    to: "",
    tests: ["cli/demo"],
  },
];
