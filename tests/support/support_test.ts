/** What the tests are built on: the stand-ins for `@std/assert` and `@std/streams`, `test()`, `run()` and `findTests()`. */
import { test } from "#test";
import { assertEquals as stdAssertEquals, assertStringIncludes as stdAssertStringIncludes } from "#assert";
import { toBytes as anyToBytes, toJson as anyToJson, toText as anyToText } from "#streams";
import process from "node:process";
import { inspect } from "node:util";
import * as standIn from "./assert_node.ts";
import * as streams from "./streams_node.ts";
import { run } from "./process.ts";
import { findTests, inRoot } from "./project.ts";
import { runtime } from "./runtime.ts";
import { type Test, testWith } from "./test.ts";

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);
const bare = (entries: Record<string, unknown>): Record<string, unknown> => Object.assign(Object.create(null), entries);

const streamOf = <T>(...chunks: T[]): ReadableStream<T> =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });

/** Whether an assertion of the stand-in fails with an `AssertionError`. */
function refuses(fn: () => unknown): boolean {
  try {
    fn();
    return false;
  } catch (error) {
    if (error instanceof standIn.AssertionError) return true;
    throw error;
  }
}

class Point {
  x: number;
  constructor(x: number) {
    this.x = x;
  }
}

const CIRCLE: { self?: unknown } = {};
CIRCLE.self = CIRCLE;

const EQUAL: [actual: unknown, expected: unknown][] = [
  [1, 1],
  [0, -0],
  [NaN, NaN],
  ["a", "a"],
  [[1, [2]], [1, [2]]],
  [{ a: 1 }, { a: 1 }],
  [bare({ a: 1 }), { a: 1 }],
  [{ a: bare({ b: [bare({})] }) }, { a: { b: [{}] } }],
  [bare({ ["__proto__"]: 1 }), bare({ ["__proto__"]: 1 })],
  [bytes(1, 2), bytes(1, 2)],
  [bytes(0, 1, 2).subarray(1), bytes(1, 2)],
  [new Map([["a", bare({})]]), new Map([["a", {}]])],
  [new Set([1]), new Set([1])],
  [new Date(1), new Date(1)],
  [new Point(1), new Point(1)],
  [CIRCLE, CIRCLE],
];

const DIFFERENT: [actual: unknown, expected: unknown][] = [
  [1, 2],
  [1, "1"],
  [null, undefined],
  [[1, 2], [1]],
  [{ a: 1 }, { a: 2 }],
  [{ a: undefined }, {}],
  [bare({ a: 1 }), { b: 1 }],
  [bytes(1, 2), bytes(1, 3)],
  [bytes(1, 2), [1, 2]],
  [new Map([["a", 1]]), new Map([["a", 2]])],
  [new Point(1), { x: 1 }],
  [new Date(1), new Date(2)],
];

test("`assertEquals()` of the stand-in agrees with that of @std/assert", () => {
  for (const [actual, expected] of EQUAL) {
    standIn.assertEquals(actual, expected);
    stdAssertEquals(actual, expected);
    standIn.assert(refuses(() => standIn.assertNotEquals(actual, expected)));
  }
  for (const [actual, expected] of DIFFERENT) {
    standIn.assertNotEquals(actual, expected);
    standIn.assert(refuses(() => standIn.assertEquals(actual, expected)), inspect({ actual, expected }));
    standIn.assertThrows(() => stdAssertEquals(actual, expected));
  }
});

test("`assertEquals()` says what differs, after the caller's message", () => {
  const error = standIn.assertThrows(
    () => standIn.assertEquals({ a: "left" }, { a: "right" }, "words"),
    Error,
    "words",
  );
  stdAssertStringIncludes(error.message, "left");
  stdAssertStringIncludes(error.message, "right");
});

/** For each assertion, a call that passes and a call that fails. */
const PAIRS: Record<string, [passes: () => unknown, fails: () => unknown]> = {
  assert: [() => standIn.assert(1), () => standIn.assert(0)],
  assertFalse: [() => standIn.assertFalse(""), () => standIn.assertFalse("a")],
  assertStrictEquals: [() => standIn.assertStrictEquals(NaN, NaN), () => standIn.assertStrictEquals({}, {})],
  assertNotStrictEquals: [() => standIn.assertNotStrictEquals({}, {}), () => standIn.assertNotStrictEquals(1, 1)],
  assertObjectMatch: [
    () => standIn.assertObjectMatch({ a: [{ b: 1, c: 2 }], d: 3 }, { a: [{ b: 1 }] }),
    () => standIn.assertObjectMatch({ a: 1 }, { a: 1, b: undefined }),
  ],
  assertArrayIncludes: [
    () => standIn.assertArrayIncludes([1, { a: 2 }], [{ a: 2 }]),
    () => standIn.assertArrayIncludes([1], [2]),
  ],
  assertExists: [() => standIn.assertExists(0), () => standIn.assertExists(null)],
  assertInstanceOf: [
    () => standIn.assertInstanceOf(new Point(1), Point),
    () => standIn.assertInstanceOf({}, Point),
  ],
  assertNotInstanceOf: [
    () => standIn.assertNotInstanceOf({}, Point),
    () => standIn.assertNotInstanceOf(new Point(1), Point),
  ],
  assertMatch: [() => standIn.assertMatch("abc", /b/), () => standIn.assertMatch("abc", /d/)],
  assertNotMatch: [() => standIn.assertNotMatch("abc", /d/), () => standIn.assertNotMatch("abc", /b/)],
  assertStringIncludes: [
    () => standIn.assertStringIncludes("abc", "b"),
    () => standIn.assertStringIncludes("abc", "d"),
  ],
  assertGreater: [() => standIn.assertGreater(2, 1), () => standIn.assertGreater(1, 1)],
  assertGreaterOrEqual: [() => standIn.assertGreaterOrEqual(1, 1), () => standIn.assertGreaterOrEqual(0, 1)],
  assertLess: [() => standIn.assertLess(1, 2), () => standIn.assertLess(1, 1)],
  assertLessOrEqual: [() => standIn.assertLessOrEqual(1, 1), () => standIn.assertLessOrEqual(2, 1)],
  assertAlmostEquals: [
    () => standIn.assertAlmostEquals(0.1 + 0.2, 0.3),
    () => standIn.assertAlmostEquals(1, 1.1, 0.01),
  ],
  assertIsError: [
    () => standIn.assertIsError(new RangeError("abc"), RangeError, /b/),
    () => standIn.assertIsError(new RangeError("abc"), TypeError),
  ],
  "assertThrows, the class": [
    () => standIn.assertThrows(() => JSON.parse("{"), SyntaxError),
    () => standIn.assertThrows(() => JSON.parse("{"), RangeError),
  ],
  "assertThrows, the message": [
    () => standIn.assertThrows(() => bytes().set([1]), RangeError, ""),
    () => standIn.assertThrows(() => bytes().set([1]), RangeError, "no such words"),
  ],
  "assertThrows, nothing thrown": [() => {}, () => standIn.assertThrows(() => {})],
  fail: [() => {}, () => standIn.fail("words")],
  unreachable: [() => {}, () => standIn.unreachable()],
};

for (const [name, [passes, fails]] of Object.entries(PAIRS)) {
  test(`the stand-in for ${name} passes and fails as it should`, () => {
    passes();
    stdAssertEquals(refuses(fails), true);
  });
}

test("`assertThrows()` and `assertRejects()` return the error", async () => {
  const error = new RangeError("abc");
  stdAssertEquals(
    standIn.assertThrows(() => {
      throw error;
    }) === error,
    true,
  );
  stdAssertEquals(await standIn.assertRejects(() => Promise.reject(error), RangeError, "b") === error, true);
});

test("`assertRejects()` fails when nothing rejects, the error does not match, or the function throws", async () => {
  const failing: (() => Promise<unknown>)[] = [
    () => standIn.assertRejects(() => Promise.resolve()),
    () => standIn.assertRejects(() => Promise.reject(new Error("abc")), TypeError),
    () => standIn.assertRejects(() => Promise.reject(new Error("abc")), Error, "d"),
    () =>
      standIn.assertRejects(() => {
        throw new Error("abc");
      }),
  ];
  for (const fn of failing) {
    const error = await fn().then(() => undefined, (error: unknown) => error);
    standIn.assertInstanceOf(error, standIn.AssertionError);
  }
});

test("`#streams` and its stand-in read a stream to its end", async () => {
  const stream = () => streamOf(bytes(0x22, 0xe2, 0x82), bytes(0xac, 0x22));
  for (const { toBytes, toJson, toText } of [streams, { toBytes: anyToBytes, toJson: anyToJson, toText: anyToText }]) {
    stdAssertEquals(await toBytes(stream()), bytes(0x22, 0xe2, 0x82, 0xac, 0x22));
    stdAssertEquals(await toText(stream()), '"€"');
    stdAssertEquals(await toText(streamOf("a", "b")), "ab");
    stdAssertEquals(await toJson(stream()), "€");
  }
  stdAssertEquals((await streams.toArrayBuffer(stream())).byteLength, 5);
});

test("`test()` takes a name and a function, or a definition", () => {
  const seen: unknown[] = [];
  const register: Test = testWith(({ name, ignore, timeout }) => seen.push([name, ignore, timeout]));
  register("a", () => {});
  register({ name: "b", fn: () => {}, ignore: true, timeout: 1 });
  stdAssertEquals(seen, [["a", false, 30_000], ["b", true, 1]]);
});

/** The arguments with which this runtime runs a program given as text. */
const evaluate: string[] = { deno: ["eval"], bun: ["-e"], node: ["-e"] }[runtime];

test("`run()` tells how a program ended and what it printed", async () => {
  const { output, ...rest } = await run(process.execPath, [...evaluate, "console.log(40 + 2)"], { timeout: 20_000 });
  stdAssertEquals(rest, { ok: true, ending: "exit code 0" });
  stdAssertStringIncludes(output, "42");
  const missing = await run("no-program-has-this-name", [], { timeout: 20_000 });
  stdAssertEquals(missing.ok, false);
});

test("`run()` kills a program that does not end before its timeout", async () => {
  const result = await run(process.execPath, [...evaluate, "setInterval(() => {}, 1000)"], { timeout: 300 });
  stdAssertEquals([result.ok, result.ending], [false, "no end within 0.3 s"]);
});

test("`findTests()` takes files and folders, returns each test file once, and refuses anything else", () => {
  const [file, folder] = ["tests/support/suite_test.ts", "tests/support"].map((path) => inRoot(path)) as [
    string,
    string,
  ];
  stdAssertEquals(findTests([file]), ["tests/support/suite_test.ts"]);
  stdAssertEquals(findTests([folder, file]), ["tests/support/suite_test.ts", "tests/support/support_test.ts"]);
  stdAssertEquals(findTests([`${folder}/`]), findTests([folder]));
  stdAssertEquals(findTests().includes("tests/support/suite_test.ts"), true);
  for (const path of ["tests/support/suite.ts", "tests/supp", "tests/brokers", "tests/brokers/core_test.ts", "base"]) {
    standIn.assertThrows(() => findTests([inRoot(path)]), TypeError, "neither a test file nor a folder of tests");
  }
});
