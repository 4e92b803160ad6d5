/** Waiting with an end. */
import { assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { beginSteps, within } from "../../base/timers.ts";
import { TimeoutError } from "../../base/errors.ts";

const NEVER = new Promise<never>(() => {});

test("`beginSteps()` gives each step what is left, and no step less than nothing", () => {
  const left = beginSteps({ timeout: 1000 });
  const lasting = (milliseconds: number) => {
    const until = performance.now() + milliseconds;
    while (performance.now() < until);
    return left();
  };
  const first = lasting(5);
  assertLess(first.timeout!, 996);
  const second = lasting(5);
  assertLess(second.timeout!, first.timeout! - 4);
  assertGreater(second.timeout!, 0);
  assertEquals(lasting(1000), { signal: undefined, total: 1000, timeout: 0 });
});

test("a step that takes too long is told with the time of all steps", async () => {
  await assertRejects(
    () => within(NEVER, { timeout: 1, total: 500 }, "the last step"),
    TimeoutError,
    "Timed out after 500 ms waiting for the last step",
  );
  // Also where it has steps of its own.
  const left = beginSteps(beginSteps({ timeout: 20 })());
  await assertRejects(() => within(NEVER, left(), "it"), TimeoutError, "Timed out after 20 ms");
});

test("`beginSteps()` has the usual timeout where none is given, and refuses what is none", () => {
  assertEquals(beginSteps(undefined)().timeout, Infinity);
  assertEquals(beginSteps({}, 50)().total, 50);
  assertEquals(beginSteps({ timeout: Infinity }, 50)().timeout, Infinity);
  assertThrows(() => beginSteps({ timeout: -1 }), RangeError);
  assertThrows(() => beginSteps({ signal: AbortSignal.abort(new Error("before")) }), Error, "before");
});
