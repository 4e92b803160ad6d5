/** Heart-beats when time jumps: who is probed then, who is lost, and who is left alone. */
import { assertEquals, assertGreaterOrEqual } from "#assert";
import { test } from "#test";
import { Heartbeat, type HeartbeatPlan } from "../../connection/heartbeat.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A heart that can be probed; `answers` is whether something comes at once. */
function probed(plan: HeartbeatPlan, { timeout, answers = false }: { timeout?: number; answers?: boolean } = {}) {
  const clock = new FakeClock();
  const asked: number[] = [];
  const stopped: number[] = [];
  const jumps: (number | undefined)[] = [];
  const state = { onAsk: () => true };
  const heart = {
    lastReceived: 0,
    lastSent: 0,
    paused: false,
    beat: () => void (heart.lastSent = clock.now()),
  };
  const ask = () => {
    if (!state.onAsk()) return false;
    asked.push(clock.now());
    if (answers) heart.lastReceived = clock.now();
    return true;
  };
  const heartbeat = new Heartbeat(plan, heart, {
    clock,
    probe: { ask, timeout },
    stopped: (silence, jump) => {
      stopped.push(silence);
      jumps.push(jump);
    },
  });
  return { clock, heart, heartbeat, asked, stopped, jumps, state };
}

const HOUR = 3_600_000;

for (const plan of [{ send: 0, receive: 10_000 }, { send: 10_000, receive: 0 }, { send: 60_000, receive: 60_000 }]) {
  test(`a calendar that jumps while the clock stands still is a sleep: who does not answer is lost ${JSON.stringify(plan)}`, () => {
    const { clock, asked, stopped, jumps } = probed(plan);
    clock.pass(1000);
    clock.suspend(HOUR);
    clock.pass(5000); // noticed within 5 s
    assertEquals([asked.length, stopped], [1, []]);
    clock.pass(asked[0]! + 5000 - clock.now());
    assertEquals(stopped, []);
    clock.pass(200);
    assertEquals([stopped, jumps, clock.timers], [[5100], [HOUR], 0]);
    clock.pass(HOUR);
    assertEquals([asked.length, stopped.length], [1, 1]);
  });
}

test("who answers a probe stays, and is probed again only when time jumps again", () => {
  const { clock, heart, asked, stopped } = probed({ send: 10_000, receive: 10_000 }, { answers: true });
  for (let jump = 1; jump <= 3; jump++) {
    clock.suspend(HOUR);
    for (let i = 0; i < 20; i++) {
      clock.pass(5000);
      heart.lastReceived = clock.now();
    }
    assertEquals([asked.length, stopped, clock.timers], [jump, [], 2]);
  }
});

test("a sign of life that comes late, but in time, is one", () => {
  const { clock, heart, asked, stopped } = probed({ send: 10_000, receive: 10_000 }, { timeout: 8000 });
  clock.suspend(HOUR);
  clock.pass(5000);
  assertEquals(asked.length, 1);
  clock.pass(7900);
  heart.lastReceived = clock.now();
  clock.pass(10_000);
  assertEquals(stopped, []);
});

test("a calendar that is set back, or a little ahead, or slowly, costs nothing", () => {
  const { clock, heart, asked, stopped } = probed({ send: 10_000, receive: 10_000 });
  for (const step of [-HOUR, 4000, -1, 2000, 2000, 2000, 2000, -24 * HOUR]) {
    clock.suspend(step);
    clock.pass(5000);
    heart.lastReceived = clock.now();
  }
  assertEquals([asked, stopped], [[], []]);
});

test("a timer that is very late and finds silence asks before it judges", () => {
  // What sleeps with its clock going on, or was stopped by a signal, or computed for a minute.
  const { clock, heart, asked, stopped, jumps } = probed({ send: 0, receive: 10_000 });
  clock.pass(3000);
  clock.sleep(60_000);
  clock.pass(1000);
  assertEquals([asked.length, stopped], [1, []]);
  heart.lastReceived = clock.now();
  clock.pass(10_000);
  assertEquals(stopped, []);
  heart.lastReceived = clock.now();
  clock.sleep(60_000);
  clock.pass(5200);
  assertEquals([asked.length, stopped], [2, [5100]]);
  assertGreaterOrEqual(jumps[0]!, 50_000);
});

test("timers that are late all the time, as in a suspended tab, are no jump while bytes come", () => {
  const { clock, heart, asked, stopped } = probed({ send: 0, receive: 10_000 });
  for (let minute = 0; minute < 10; minute++) {
    clock.sleep(60_000, () => heart.lastReceived = clock.now());
  }
  assertEquals([asked, stopped], [[], []]);
});

test("and when none come any more, that is found out all the same", () => {
  const { clock, asked, stopped } = probed({ send: 0, receive: 10_000 });
  for (let minute = 0; minute < 4; minute++) clock.sleep(60_000);
  assertEquals([asked.length, stopped.length, clock.timers], [1, 1, 0]);
});

test("a second sleep during a probe gives it its time once more", () => {
  const { clock, heart, asked, stopped } = probed({ send: 10_000, receive: 10_000 });
  clock.suspend(HOUR);
  clock.pass(5000);
  assertEquals(asked.length, 1);
  clock.pass(1000);
  clock.suspend(HOUR);
  clock.pass(7000);
  assertEquals(stopped, []);
  heart.lastReceived = clock.now();
  clock.pass(6000);
  assertEquals([stopped, asked.length], [[], 2]); // for the second sleep
});

test("while we do not read nobody is probed; afterwards, yes", () => {
  const { clock, heart, asked, stopped } = probed({ send: 10_000, receive: 10_000 });
  heart.paused = true;
  clock.suspend(HOUR);
  clock.pass(60_000);
  assertEquals([asked, stopped], [[], []]);
  heart.paused = false;
  clock.pass(5000);
  assertEquals([asked.length, stopped], [1, []]);
  // The answer may lie there unread.
  heart.paused = true;
  clock.pass(600_000);
  assertEquals([asked.length, stopped], [1, []]);
  heart.paused = false;
  heart.lastReceived = clock.now();
  clock.pass(9000);
  assertEquals([asked.length, stopped], [1, []]);
});

test("where nothing can be asked any more, nothing is awaited", () => {
  const { clock, state, stopped } = probed({ send: 10_000, receive: 0 });
  state.onAsk = () => false;
  clock.suspend(HOUR);
  clock.pass(60_000);
  assertEquals([stopped, clock.timers], [[], 1]);
});

test("stop ends a probe, also from within it", () => {
  const { clock, heartbeat, asked, stopped } = probed({ send: 10_000, receive: 10_000 });
  clock.suspend(HOUR);
  clock.pass(5000);
  assertEquals([asked.length, clock.timers], [1, 3]);
  heartbeat.stop();
  assertEquals(clock.timers, 0);
  clock.pass(60_000);
  assertEquals(stopped, []);
  const within = probed({ send: 10_000, receive: 10_000 });
  within.state.onAsk = () => {
    within.heartbeat.stop();
    return false;
  };
  within.clock.suspend(HOUR);
  within.clock.pass(60_000);
  assertEquals([within.clock.timers, within.stopped], [0, []]);
});
