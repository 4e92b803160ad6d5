/** Waits that end by a signal, a timeout, or a clock. */
import { assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { beginSteps, delay, onGiveUp, SECOND_LOOK_MS, within } from "../../base/timers.ts";
import { TimeoutError } from "../../base/errors.ts";
import { FakeClock } from "../support/fake_clock.ts";

const NEVER = new Promise<never>(() => {});

test("`beginSteps()` gives each step the time that is left, never less than 0", () => {
  const clock = new FakeClock();
  const left = beginSteps({ timeout: 1000, clock });
  const lasting = (milliseconds: number) => {
    clock.pass(milliseconds);
    return left();
  };
  assertEquals(lasting(5).timeout, 995);
  assertEquals(lasting(5).timeout, 990);
  assertEquals(lasting(1000), { signal: undefined, total: 1000, timeout: 0, clock });
});

test("`beginSteps()` without a clock measures real time", () => {
  const left = beginSteps({ timeout: 60_000 });
  const first = left();
  const until = performance.now() + 5;
  while (performance.now() < until);
  const second = left();
  assertLess(second.timeout!, first.timeout! - 4);
  assertGreater(second.timeout!, 0);
  assertEquals(second, { signal: undefined, total: 60_000, timeout: second.timeout });
});

test("`within()` names the timeout of the whole call when a step takes too long", async () => {
  await assertRejects(
    () => within(NEVER, { timeout: 1, total: 500 }, "the last step"),
    TimeoutError,
    "Timed out after 500 ms waiting for the last step",
  );
  // Also in a step that has steps itself.
  const left = beginSteps(beginSteps({ timeout: 20 })());
  await assertRejects(() => within(NEVER, left(), "it"), TimeoutError, "Timed out after 20 ms");
});

test("`beginSteps()` uses the default timeout where none is given, and refuses an invalid one", () => {
  assertEquals(beginSteps(undefined)().timeout, Infinity);
  assertEquals(beginSteps({}, 50)().total, 50);
  assertEquals(beginSteps({ timeout: Infinity }, 50)().timeout, Infinity);
  assertThrows(() => beginSteps({ timeout: -1 }), RangeError);
  assertThrows(() => beginSteps({ signal: AbortSignal.abort(new Error("before")) }), Error, "before");
});

test("`within()` and `beginSteps()` measure the timeout by the given clock", async () => {
  const clock = new FakeClock();
  const left = beginSteps({}, 30_000, clock);
  clock.pass(10_000);
  assertEquals(left().timeout, 20_000);
  const waiting = within(NEVER, left(), "the last step");
  clock.pass(20_000);
  await assertRejects(() => waiting, TimeoutError, "Timed out after 30000 ms waiting for the last step");
  assertEquals(clock.timers, 0);
});

test("`onGiveUp()` gives a busy process time to read before it times out", () => {
  const clock = new FakeClock();
  const errors: unknown[] = [];
  onGiveUp({ timeout: 1000, clock }, "an answer", (error) => errors.push(error));
  clock.sleep(5000);
  assertEquals(errors, []);
  clock.pass(SECOND_LOOK_MS);
  assertEquals(errors.map((error) => error instanceof TimeoutError), [true]);
});

test("`delay()` resolves to whether the time has passed before a signal aborts", async () => {
  const clock = new FakeClock();
  const [one, other] = [new AbortController(), new AbortController()];
  const signals = [one.signal, other.signal];
  const waits = [delay(1000, signals, clock), delay(1001, signals, clock)];
  clock.pass(1000);
  other.abort();
  assertEquals([...await Promise.all(waits), await delay(0, signals, clock)], [true, false, false]);
  assertEquals(clock.timers, 0);
});
