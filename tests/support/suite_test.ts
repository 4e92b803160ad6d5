/** How the runtimes' reports are read. A failure that goes unnoticed would make every other test worthless. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { judge, readJunit, type ReportedTest } from "./suite.ts";

const DENO = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="3" failures="1" errors="0" time="0.246">
    <testsuite name="./a_test.ts" tests="3" disabled="1" errors="0" failures="1">
        <testcase name="fine" classname="./support/test_deno.ts" time="0.000" line="2" col="6">
        </testcase>
        <testcase name="leak" classname="./support/test_deno.ts" time="0.001" line="3" col="6">
            <failure message="Leaks detected">Leaks detected:
  - A file was opened during the test</failure>
        </testcase>
        <testcase name="not here" classname="./support/test_deno.ts" time="0.000" line="4" col="6">
            <skipped/>
        </testcase>
    </testsuite>
</testsuites>`;

const BUN = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="3" assertions="0" failures="1" skipped="1" time="0.122990832">
  <testsuite name="a_test.ts" file="a_test.ts" tests="3" assertions="0" failures="1" skipped="1" time="0.1">
    <testcase name="fine" classname="" time="0.000081" file="a_test.ts" line="2" assertions="0" />
    <testcase name="bad &lt;x&gt;" classname="" time="0.000775" file="a_test.ts" line="2" assertions="0">
      <failure type="Error" message="a &amp; &lt;b&gt;&#10;c">Error: boo&#10;      at a_test.ts:2:170&#10;</failure>
    </testcase>
    <testcase name="not here" classname="" time="0" file="a_test.ts" line="2" assertions="0">
      <skipped />
    </testcase>
  </testsuite>
</testsuites>`;

const NODE = `<?xml version="1.0" encoding="utf-8"?>
<testsuites>
	<testcase name="fine" time="0.002581" classname="test" file="/a_test.ts"/>
	<testcase name="bad &lt;x>" time="0.000185" classname="test" file="/a_test.ts" failure="a &amp; &lt;b>">
		<failure type="testCodeFailure" message="a &amp; &lt;b>">
[Error [ERR_TEST_FAILURE]: a &amp; &lt;b>] { code: 'ERR_TEST_FAILURE' }
		</failure>
	</testcase>
	<testcase name="not here" time="0.001826" classname="test" file="/a_test.ts">
		<skipped type="skipped" message="true"/>
	</testcase>
	<!-- tests 3 -->
</testsuites>`;

const fine: ReportedTest = { name: "fine", outcome: "passed", message: "", seconds: 0 };
const ignored: ReportedTest = { name: "not here", outcome: "ignored", message: "", seconds: 0 };
const failed = (name: string, message: string, seconds = 0): ReportedTest => {
  return { name, outcome: "failed", message, seconds };
};

test("`readJunit()` reads the reports of all three runtimes", () => {
  assertEquals(readJunit(DENO), [fine, failed("leak", "Leaks detected", 0.001), ignored]);
  const [bun, node] = [{ ...fine, seconds: 0.000081 }, { ...fine, seconds: 0.002581 }];
  assertEquals(readJunit(BUN), [bun, failed("bad <x>", "a & <b>\nc", 0.000775), ignored]);
  assertEquals(readJunit(NODE), [node, failed("bad <x>", "a & <b>", 0.000185), { ...ignored, seconds: 0.001826 }]);
});

test("`readJunit()` returns no tests for a report that was cut off", () => {
  for (const report of [DENO, BUN, NODE]) {
    for (let end = 0; end < report.length; end++) assertEquals(readJunit(report.slice(0, end)), []);
  }
});

test("`readJunit()` reads a report of 5 MB", () => {
  const message = "&lt;&amp;".repeat(1_000);
  const test = `<testcase name="bad"><failure message="${message}"/></testcase>`;
  const tests = readJunit(`<testsuites>${test.repeat(1_000)}</testsuites>`);
  assertEquals(tests.length, 1_000);
  assertEquals(tests[999], failed("bad", "<&".repeat(1_000)));
});

const SUCCESS = { ok: true, ending: "exit code 0" };
const FAILURE = { ok: false, ending: "exit code 1" };

test("`judge()` fails a file that ran no test or whose process failed", () => {
  const failures = (tests: ReportedTest[], filtered: boolean, result: typeof SUCCESS) =>
    judge(tests, filtered, result).failures.length;
  assertEquals(failures([fine], false, SUCCESS), 0);
  assertEquals(failures([fine, ignored], false, SUCCESS), 0);
  assertEquals(failures([], false, SUCCESS), 1);
  assertEquals(failures([], false, FAILURE), 1);
  assertEquals(failures([fine], false, FAILURE), 1);
  assertEquals(failures([fine, failed("a", "b")], false, FAILURE), 1);
  assertEquals(failures([failed("a", "b")], false, SUCCESS), 1);
});

test("`judge()` passes a file in which no name matches the filter, and fails one that does not load", () => {
  assertEquals(judge([], true, SUCCESS).failures, []);
  assertEquals(judge([ignored, ignored], true, FAILURE), { passed: 0, ignored: 2, failures: [] });
  assertEquals(judge([], true, FAILURE).failures.length, 1);
  assertEquals(judge([fine, ignored], true, FAILURE).failures.length, 1);
});
