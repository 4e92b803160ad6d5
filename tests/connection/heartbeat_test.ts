/** Heart-beats: the header, the negotiation, and the timers, on a clock that the test moves. */
import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "#assert";
import { test } from "#test";
import {
  formatHeartbeat,
  Heartbeat,
  type HeartbeatConnection,
  type HeartbeatOptions,
  type HeartbeatPlan,
  negotiate,
  NO_HEARTBEAT,
  parseHeartbeat,
} from "../../connection/heartbeat.ts";
import { type Clock, systemClock } from "../../base/timers.ts";

test("S12-16 AMB-26 AMB-46 `parseHeartbeat()` takes two non-negative integers and a comma, and nothing else", () => {
  assertEquals(parseHeartbeat("0,0"), { send: 0, receive: 0 });
  assertEquals(parseHeartbeat("10000,5000"), { send: 10_000, receive: 5000 });
  assertEquals(parseHeartbeat("007,1"), { send: 7, receive: 1 });
  const malformed = [
    "",
    "0",
    "T,0",
    "100,10,50",
    "-1,0",
    "1.5,0",
    "1 2, 3",
    "1,\t2",
    "1,",
    ",1",
    "1;2",
    "+1,2",
    "1,2\n",
  ];
  for (const header of [...malformed, "1e3,0", "0x1,0", "Infinity,0", "１,２", "9".repeat(16) + ",0"]) {
    assertEquals(parseHeartbeat(header), undefined, header);
  }
});

test("`parseHeartbeat()` takes spaces beside the numbers", () => {
  for (const header of ["10000, 10000", " 10000,10000", "10000 ,10000 "]) {
    assertEquals(parseHeartbeat(header), { send: 10_000, receive: 10_000 }, header);
  }
});

test("C12-09 `parseHeartbeat()` reads what `formatHeartbeat()` writes", () => {
  assertEquals(formatHeartbeat({ send: 10_000, receive: 0 }), "10000,0");
  assertEquals(parseHeartbeat(formatHeartbeat({ send: 1, receive: 2 })), { send: 1, receive: 2 });
});

const NEGOTIATIONS: [row: string, client: string | undefined, server: string | undefined, plan: [number, number]][] = [
  ["C12-17 no header from the server", "1000,1000", undefined, [0, 0]],
  ["C12-17 S12-14 no header from the client", undefined, "1000,1000", [0, 0]],
  ["C12-18 client to server is the longer of both", "1000,0", "0,3000", [3000, 0]],
  ["C12-18 client to server is the longer of both, also if it is the client's", "3000,0", "0,1000", [3000, 0]],
  ["C12-18 none if the server wants none", "1000,0", "0,0", [0, 0]],
  ["C12-18 none if the client sends none", "0,0", "0,3000", [0, 0]],
  ["C12-19 server to client is the longer of both", "0,1000", "5000,0", [0, 5000]],
  ["C12-19 server to client is the longer of both, also if it is the client's", "0,5000", "1000,0", [0, 5000]],
  ["C12-19 none if the server sends none", "0,1000", "0,0", [0, 0]],
  ["C12-20 a zero switches one direction off, not both", "1000,1000", "0,1000", [1000, 0]],
  ["C12-20 zero of the server switches one direction off, not both", "1000,1000", "1000,0", [0, 1000]],
  ["S12-15 each direction is negotiated separately", "4000,700", "1000,5000", [5000, 1000]],
];

for (const [row, client, server, [send, receive]] of NEGOTIATIONS) {
  test(row.replace(/(^(?:[A-Z]\d+-\d+ )+)/, "$1`negotiate()`: "), () => {
    const [own, peer] = [parseHeartbeat(client)!, parseHeartbeat(server)!];
    assertEquals(negotiate(own, peer), { send, receive });
    assertEquals(negotiate(peer, own), { send: receive, receive: send });
  });
}

test("`negotiate()` returns no heart-beats for `NO_HEARTBEAT`", () => {
  assertEquals(negotiate(NO_HEARTBEAT, { send: 1, receive: 1 }), { send: 0, receive: 0 });
});

/** A clock that stands still until the test moves it. */
class FakeClock implements Clock {
  time = 1000;
  timers: { at: number; fire: () => void }[] = [];

  now(): number {
    return this.time;
  }

  after(milliseconds: number, fire: () => void): () => void {
    const timer = { at: this.time + milliseconds, fire };
    this.timers.push(timer);
    return () => this.timers = this.timers.filter((other) => other !== timer);
  }

  /** Lets time pass; timers fire when they are due. */
  pass(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      const next = this.timers.sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.time = Math.max(this.time, next.at);
      this.#fire(next);
    }
    this.time = end;
  }

  /** Lets time pass while nothing runs, as when the process sleeps; then the timers that are due fire once. */
  sleep(milliseconds: number): void {
    this.time += milliseconds;
    for (const timer of this.timers.filter(({ at }) => at <= this.time)) this.#fire(timer);
  }

  #fire(timer: { at: number; fire: () => void }): void {
    this.timers = this.timers.filter((other) => other !== timer);
    timer.fire();
  }
}

/** A heartbeat on a connection, with all that it does. */
function start(plan: HeartbeatPlan, options: Partial<HeartbeatOptions> = {}, parts: Partial<HeartbeatConnection> = {}) {
  const clock = new FakeClock();
  const beats: number[] = [];
  const stopped: number[] = [];
  const connection = {
    lastReceived: clock.time,
    lastSent: clock.time,
    paused: false,
    beat() {
      beats.push(clock.time);
      connection.lastSent = clock.time;
    },
    ...parts,
  };
  const heartbeat = new Heartbeat(plan, connection, { clock, stopped: (silence) => stopped.push(silence), ...options });
  return { clock, connection, heartbeat, beats, stopped };
}

test("C12-17 `Heartbeat` starts no timer without a plan", () => {
  assertEquals(start({ send: 0, receive: 0 }).clock.timers, []);
});

test("C12-22 S12-17 `Heartbeat` sends a line end in good time when nothing else is sent", () => {
  const { clock, beats } = start({ send: 1000, receive: 0 });
  clock.pass(10_000);
  const gaps = [1000, ...beats].map((at, i, all) => at - (all[i - 1] ?? 1000)).slice(1);
  assertGreaterOrEqual(beats.length, 10);
  // AMB-25: clearly less than the interval, and no flood.
  for (const gap of gaps) assert(gap >= 300 && gap <= 800, `${gaps}`);
});

test("C12-21 `Heartbeat` sends nothing while frames are sent", () => {
  const { clock, connection, beats } = start({ send: 1000, receive: 0 });
  for (let i = 0; i < 100; i++) {
    clock.pass(400);
    connection.lastSent = clock.time;
  }
  assertEquals(beats, []);
  clock.pass(800);
  assertEquals(beats.length, 1);
});

test("C12-22 `Heartbeat` never lets a whole interval pass without sending", () => {
  const { clock, connection } = start({ send: 1000, receive: 0 });
  for (let i = 0; i < 500; i++) {
    clock.pass(13);
    assertLessOrEqual(clock.time - connection.lastSent, 800);
    if (i % 29 === 0) connection.lastSent = clock.time;
  }
});

test("`Heartbeat` waits on when a timer fires early", () => {
  const { clock, connection, beats } = start({ send: 1000, receive: 0 });
  clock.timers[0]!.at -= 2;
  clock.pass(498);
  assertEquals([beats, clock.timers.length], [[], 1]);
  clock.pass(10);
  assertEquals([beats.length, connection.lastSent > 1000], [1, true]);
});

test("`Heartbeat` does not pile up line ends while nothing goes out", () => {
  const beats: number[] = [];
  const { clock } = start({ send: 1000, receive: 0 }, {}, { beat: () => void beats.push(1) });
  clock.pass(10_000);
  assertLessOrEqual(beats.length, 20);
});

test("C12-24 `Heartbeat` reports silence once, and never before the interval is over", () => {
  const { clock, stopped } = start({ send: 0, receive: 5000 });
  clock.pass(9999);
  assertEquals(stopped, []);
  clock.pass(1000);
  assertEquals(stopped.length, 1);
  assertGreaterOrEqual(stopped[0]!, 10_000);
  assertEquals(clock.timers, []);
  clock.pass(100_000);
  assertEquals(stopped.length, 1);
});

test("C12-25 S12-18 `Heartbeat` allows at least a second beyond a short interval", () => {
  const { clock, stopped } = start({ send: 0, receive: 100 });
  clock.pass(1099);
  assertEquals(stopped, []);
  clock.pass(200);
  assertEquals(stopped.length, 1);
});

test("`Heartbeat` takes `factor` and `floor`", () => {
  const { clock, stopped } = start({ send: 0, receive: 1000 }, { factor: 1, floor: 200 });
  clock.pass(1199);
  assertEquals(stopped, []);
  clock.pass(200);
  assertEquals(stopped.length, 1);
  const patient = start({ send: 0, receive: 1000 }, { factor: 5 });
  patient.clock.pass(4999);
  assertEquals(patient.stopped, []);
});

test("C12-23 `Heartbeat` takes any byte for a sign of life", () => {
  const { clock, connection, stopped } = start({ send: 0, receive: 1000 });
  for (let i = 0; i < 20; i++) {
    clock.pass(1900);
    connection.lastReceived = clock.time;
  }
  assertEquals(stopped, []);
  clock.pass(2200);
  assertEquals(stopped.length, 1);
});

test("`Heartbeat` checks twice after a timer that is late", () => {
  const { clock, connection, stopped } = start({ send: 0, receive: 1000 });
  clock.sleep(60_000);
  assertEquals(stopped, []);
  // Bytes had been waiting in the socket.
  connection.lastReceived = clock.time;
  clock.pass(1900);
  assertEquals(stopped, []);
  clock.sleep(60_000);
  clock.pass(200);
  assertEquals(stopped.length, 1);
});

test("`Heartbeat` forgets the first sight of a silence when bytes come", () => {
  const { clock, connection, stopped } = start({ send: 0, receive: 1000 });
  for (let i = 0; i < 10; i++) {
    clock.pass(2050);
    assertEquals(stopped, []);
    connection.lastReceived = clock.time;
  }
});

test("`Heartbeat` reports no silence while reading is paused, nor right after it", () => {
  const { clock, connection, stopped } = start({ send: 0, receive: 1000 });
  connection.paused = true;
  clock.pass(600_000);
  assertEquals(stopped, []);
  connection.paused = false;
  clock.pass(50);
  connection.lastReceived = clock.time;
  clock.pass(1900);
  assertEquals(stopped, []);
  // A pause between the two checks starts them again.
  clock.pass(150);
  connection.paused = true;
  clock.pass(10_000);
  assertEquals(stopped, []);
  connection.paused = false;
  clock.pass(3000);
  assertEquals(stopped.length, 1);
});

test("`stop()` cancels both timers, and may be called again", () => {
  const { clock, heartbeat, beats, stopped } = start({ send: 1000, receive: 1000 });
  assertEquals(clock.timers.length, 2);
  heartbeat.stop();
  heartbeat.stop();
  assertEquals(clock.timers, []);
  clock.pass(100_000);
  assertEquals([beats, stopped], [[], []]);
});

test("`stop()` inside `beat()` and inside `stopped()` leaves no timer", () => {
  const made = start({ send: 1000, receive: 0 }, {}, { beat: () => made.heartbeat.stop() });
  made.clock.pass(10_000);
  assertEquals(made.clock.timers, []);
  const other = start({ send: 1000, receive: 1000 }, { stopped: () => other.heartbeat.stop() });
  other.clock.pass(10_000);
  assertEquals(other.clock.timers, []);
});

test("`systemClock` fires, can be cancelled, and does not fire at once for a very long wait", async () => {
  const fired: string[] = [];
  const before = systemClock.now();
  await new Promise<void>((resolve) => {
    const cancel = systemClock.after(5, () => fired.push("cancelled"));
    const cancelLong = systemClock.after(1e12, () => fired.push("long"));
    systemClock.after(20, () => {
      cancelLong();
      resolve();
    });
    cancel();
  });
  assertEquals(fired, []);
  assertGreaterOrEqual(systemClock.now() - before, 15);
  assertLessOrEqual(Math.abs(systemClock.wall!() - Date.now()), 1000);
});
