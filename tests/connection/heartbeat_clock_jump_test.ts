/** `Heartbeat` when time jumps: when a peer is probed, and when it is lost. */
import { assertEquals, assertGreaterOrEqual } from "#assert";
import { test } from "#test";
import { Heartbeat, type HeartbeatPlan } from "../../connection/heartbeat.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A heartbeat on a connection that can be probed; `answers` is whether something comes at once. */
function probed(plan: HeartbeatPlan, { timeout, answers = false }: { timeout?: number; answers?: boolean } = {}) {
  const clock = new FakeClock();
  const asked: number[] = [];
  const stopped: number[] = [];
  const jumps: (number | undefined)[] = [];
  const state = { onAsk: () => true };
  const connection = {
    lastReceived: 0,
    lastSent: 0,
    paused: false,
    beat: () => void (connection.lastSent = clock.now()),
  };
  const ask = () => {
    if (!state.onAsk()) return false;
    asked.push(clock.now());
    if (answers) connection.lastReceived = clock.now();
    return true;
  };
  const heartbeat = new Heartbeat(plan, connection, {
    clock,
    probe: { ask, timeout },
    stopped: (silence, jump) => {
      stopped.push(silence);
      jumps.push(jump);
    },
  });
  return { clock, connection, heartbeat, asked, stopped, jumps, state };
}

const HOUR = 3_600_000;

for (const plan of [{ send: 0, receive: 10_000 }, { send: 10_000, receive: 0 }, { send: 60_000, receive: 60_000 }]) {
  test(`a calendar that jumps while the clock stands still causes a probe; without an answer the peer is lost ${JSON.stringify(plan)}`, () => {
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

test("a peer that answers is probed again only when time jumps again", () => {
  const { clock, connection, asked, stopped } = probed({ send: 10_000, receive: 10_000 }, { answers: true });
  for (let jump = 1; jump <= 3; jump++) {
    clock.suspend(HOUR);
    for (let i = 0; i < 20; i++) {
      clock.pass(5000);
      connection.lastReceived = clock.now();
    }
    assertEquals([asked.length, stopped, clock.timers], [jump, [], 2]);
  }
});

test("an answer counts until the timeout of the probe", () => {
  const { clock, connection, asked, stopped } = probed({ send: 10_000, receive: 10_000 }, { timeout: 8000 });
  clock.suspend(HOUR);
  clock.pass(5000);
  assertEquals(asked.length, 1);
  clock.pass(7900);
  connection.lastReceived = clock.now();
  clock.pass(10_000);
  assertEquals(stopped, []);
});

test("a calendar that is set back, ahead by less than 5 s, or slowly, causes no probe", () => {
  const { clock, connection, asked, stopped } = probed({ send: 10_000, receive: 10_000 });
  for (const step of [-HOUR, 4000, -1, 2000, 2000, 2000, 2000, -24 * HOUR]) {
    clock.suspend(step);
    clock.pass(5000);
    connection.lastReceived = clock.now();
  }
  assertEquals([asked, stopped], [[], []]);
});

test("a timer that is very late and finds silence causes a probe", () => {
  // A machine whose clock runs on while it sleeps, a process that a signal stopped, or one that computed for a minute.
  const { clock, connection, asked, stopped, jumps } = probed({ send: 0, receive: 10_000 });
  clock.pass(3000);
  clock.sleep(60_000);
  clock.pass(1000);
  assertEquals([asked.length, stopped], [1, []]);
  connection.lastReceived = clock.now();
  clock.pass(10_000);
  assertEquals(stopped, []);
  connection.lastReceived = clock.now();
  clock.sleep(60_000);
  clock.pass(5200);
  assertEquals([asked.length, stopped], [2, [5100]]);
  assertGreaterOrEqual(jumps[0]!, 50_000);
});

test("timers that are always late, as in a suspended tab, cause no probe while bytes come", () => {
  const { clock, connection, asked, stopped } = probed({ send: 0, receive: 10_000 });
  for (let minute = 0; minute < 10; minute++) {
    clock.sleep(60_000, () => connection.lastReceived = clock.now());
  }
  assertEquals([asked, stopped], [[], []]);
});

test("timers that are always late find a peer that is lost", () => {
  const { clock, asked, stopped } = probed({ send: 0, receive: 10_000 });
  for (let minute = 0; minute < 4; minute++) clock.sleep(60_000);
  assertEquals([asked.length, stopped.length, clock.timers], [1, 1, 0]);
});

test("a second sleep during a probe gives the answer its time once more", () => {
  const { clock, connection, asked, stopped } = probed({ send: 10_000, receive: 10_000 });
  clock.suspend(HOUR);
  clock.pass(5000);
  assertEquals(asked.length, 1);
  clock.pass(1000);
  clock.suspend(HOUR);
  clock.pass(7000);
  assertEquals(stopped, []);
  connection.lastReceived = clock.now();
  clock.pass(6000);
  assertEquals([stopped, asked.length], [[], 2]); // for the second sleep
});

test("a probe waits while reading is paused", () => {
  const { clock, connection, asked, stopped } = probed({ send: 10_000, receive: 10_000 });
  connection.paused = true;
  clock.suspend(HOUR);
  clock.pass(60_000);
  assertEquals([asked, stopped], [[], []]);
  connection.paused = false;
  clock.pass(5000);
  assertEquals([asked.length, stopped], [1, []]);
  // The answer may wait unread.
  connection.paused = true;
  clock.pass(600_000);
  assertEquals([asked.length, stopped], [1, []]);
  connection.paused = false;
  connection.lastReceived = clock.now();
  clock.pass(9000);
  assertEquals([asked.length, stopped], [1, []]);
});

test("a probe that cannot be sent is not waited for", () => {
  const { clock, state, stopped } = probed({ send: 10_000, receive: 0 });
  state.onAsk = () => false;
  clock.suspend(HOUR);
  clock.pass(60_000);
  assertEquals([stopped, clock.timers], [[], 1]);
});

test("`stop()` cancels a probe, also inside `ask()`", () => {
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
