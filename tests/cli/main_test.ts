/** The command line: exit codes, and one line that says what went wrong and what to do. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "#assert";
import { test } from "#test";
import { main } from "../../cli/main.ts";
import { withBroker } from "../support/broker_harness.ts";

interface Outcome {
  code: number;
  printed: string[];
  complaints: string[];
}

async function call(args: string[], signal?: AbortSignal): Promise<Outcome> {
  const outcome: Outcome = { code: -1, printed: [], complaints: [] };
  outcome.code = await main(args, {
    print: (line) => void outcome.printed.push(line),
    printError: (line) => void outcome.complaints.push(line),
    signal,
  });
  return outcome;
}

const SECRET = "hunter2";

/** The arguments, the exit code, and what the only line on standard error says. */
const MISTAKES: [args: string[], code: number, says: RegExp][] = [
  [[], 2, /^stompy: no command given, use demo or broker; see --help$/],
  [["foo"], 2, /unknown command foo, use demo or broker; see --help/],
  [[`stomp://me:${SECRET}@h`], 2, /the first argument is not a command, use demo or broker/],
  [["demo", `stomp://me:${SECRET}@h`], 2, /an argument without an option.*--url/],
  [["demo", `--password=${SECRET}`], 2, /Unknown option '--password'; see --help/],
  [["demo", "--count", "0"], 2, /--count is "0", use a whole number from 1/],
  [["demo", "--count", `stomp://me:${SECRET}@h`], 2, /--count is "stomp:\/\/\*\*\*@h"/],
  [["demo", "--count", "1\x1b[2J\u202e"], 2, /--count/],
  [["demo", "--url"], 2, /--url.*argument missing/],
  [["demo", "--url", `http://me:${SECRET}@h`], 1, /http/],
  [["demo", "--url", `stomp://me:${SECRET}@h:x`], 1, /port/],
  [
    ["demo", "--url", `stomp://me:${SECRET}@127.0.0.1:1`],
    1,
    /connection refused; check --url, including user and password/,
  ],
  [["demo", "--destination", "", "--count", "1"], 1, /destination/],
  [["broker", "--port", "65536"], 2, /--port is "65536", use a whole number from 0 to 65535/],
  [["broker", "--port", "0", "--hostname", "192.0.2.1"], 1, /Cannot listen on 192\.0\.2\.1.*--hostname/],
];

for (const [args, code, says] of MISTAKES) {
  test(
    `\`${args.join(" ").replace(SECRET, "…")}\` exits with ${code} and says why in one line`.replace(/[^ -~…]/g, "?"),
    async () => {
      const outcome = await call(args);
      assertEquals(outcome.code, code, outcome.complaints.join());
      assertEquals(outcome.complaints.length, 1);
      const [line] = outcome.complaints;
      assertMatch(line!, says);
      assertMatch(line!, /^stompy[^\n]*$/);
      for (const text of [SECRET, "    at ", "\x1b", "\u202e"]) assert(!line!.includes(text), line);
    },
  );
}

test("`--help` prints the commands and the exit codes at any position", async () => {
  for (const args of [["--help"], ["help"], ["demo", "--help"], ["broker", "--port", "1", "--help"]]) {
    const { code, printed, complaints } = await call(args);
    assertEquals([code, complaints], [0, []]);
    for (const word of ["demo", "broker", "--url", "Exit codes: 0", "130"]) {
      assertStringIncludes(printed.join("\n"), word);
    }
  }
});

test("`broker` on a port in use suggests `--port 0`", async () => {
  await withBroker({}, async ({ port }) => {
    const { code, complaints } = await call(["broker", "--port", String(port)]);
    assertEquals(code, 1);
    assertMatch(
      complaints.join("\n"),
      new RegExp(`^stompy broker: Cannot listen on 127\\.0\\.0\\.1:${port}: .*; use --port 0 `),
    );
  });
});

test("`demo` with a refused login prints the reason of the broker and suggests to check `--url`", async () => {
  await withBroker({ login: "me", passcode: SECRET }, async ({ port }) => {
    const { code, complaints } = await call(["demo", "--url", `stomp://me:x${SECRET}@127.0.0.1:${port}`]);
    assertEquals(code, 1);
    assertMatch(complaints.join("\n"), /login refused.*; check --url, including user and password/);
    assert(!complaints.join().includes(SECRET));
  });
});

test("`demo` and `broker` end when their signal aborts", async () => {
  assertEquals(await call(["broker", "--port", "0"], AbortSignal.abort()).then(({ code }) => code), 0);
  const stop = new AbortController();
  const call1 = main(["demo", "--count", "100000000"], {
    print: () => stop.abort(new Error("enough")),
    printError: (line) => assertEquals(line, "stompy demo: interrupted"),
    signal: stop.signal,
  });
  assertEquals(await call1, 130);
});
