/** Credentials that expire: when new ones are asked for, and what happens when there are none. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { ConnectionError } from "../../base/errors.ts";
import { readExpiry, Renewal } from "../../client/renewal.ts";
import type { Status } from "../../client/status.ts";
import { clientTest, flushMicrotasks, Watcher } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm, connected } from "../support/raw_server.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** A renewal whose source answers as the test says. */
class Rig {
  readonly clock = new FakeClock();
  readonly asked: number[] = [];
  readonly renewed: number[] = [];
  readonly statuses: Status[] = [];
  /** What the next calls fail with. */
  readonly failures: Error[] = [];
  readonly renewal: Renewal;

  constructor() {
    const renewCredentials = () => {
      this.asked.push(this.clock.now());
      const failure = this.failures.shift();
      return failure ? Promise.reject(failure) : Promise.resolve();
    };
    this.renewal = new Renewal({ renewCredentials }, {
      onRenewed: () => void this.renewed.push(this.clock.now()),
      onStatus: (status) => void this.statuses.push(status),
    }, this.clock);
  }

  /** Starts with credentials that live so long. */
  start(lifetime: number): void {
    this.renewal.start(readExpiry(this.clock.wall() + lifetime, this.clock));
  }

  /** Lets time pass, and what follows from it happen. */
  async pass(milliseconds: number): Promise<void> {
    this.clock.pass(milliseconds);
    await flushMicrotasks();
  }
}

const MARGINS: [lifetime: number, margin: number, why: string][] = [
  [1500, 750, "half of a very short lifetime; but no sooner than after a second"],
  [5000, 1000, "a second at least"],
  [100_000, 10_000, "a tenth"],
  [10 * MINUTE, 30_000, "half a minute at most"],
  [40 * DAY, 30_000, "beyond the longest timer of the runtimes"],
];

for (const [lifetime, margin, why] of MARGINS) {
  test(`\`Renewal\` asks ${margin} ms before ${lifetime} ms are over: ${why}`, async () => {
    const rig = new Rig();
    rig.start(lifetime);
    const due = Math.max(lifetime - margin, 1000);
    await rig.pass(due - 1);
    assertEquals(rig.asked, []);
    await rig.pass(1);
    assertEquals([rig.asked, rig.renewed], [[due], [due]]);
    assertEquals(rig.statuses, [{
      type: "renewing",
      expiresAt: new Date(1_700_000_000_000 + lifetime),
      error: undefined,
    }]);
    assertEquals(rig.clock.timers, 0);
  });
}

test("`Renewal` notices within an hour that the machine has slept", async () => {
  const rig = new Rig();
  rig.start(DAY);
  rig.clock.suspend(DAY);
  await rig.pass(60 * MINUTE);
  assertEquals(rig.asked, [60 * MINUTE]);
});

test("`Renewal` does nothing without an expiry, and after `stop()`", async () => {
  const rig = new Rig();
  rig.renewal.start(undefined);
  rig.start(10_000);
  rig.renewal.stop();
  assertEquals(rig.clock.timers, 0);
  await rig.pass(DAY);
  assertEquals(rig.asked, []);
});

test("`Renewal` asks again when there are no new credentials, sooner as time runs out, and says why", async () => {
  const rig = new Rig();
  rig.failures.push(new Error("a"), new Error("b"), new Error("c"));
  rig.start(100_000);
  await rig.pass(90_000);
  await rig.pass(2500); // a quarter of what is left
  await rig.pass(1875);
  assertEquals(rig.asked, [90_000, 92_500, 94_375]);
  assertEquals(rig.renewed, []);
  await rig.pass(1407);
  assertEquals(rig.renewed.length, 1);
  const errors = rig.statuses.map((status) => status.type === "renewing" && String(status.error));
  assertEquals(errors, ["undefined", "Error: a", "Error: b", "Error: c"]);
});

test("`Renewal` goes on asking every half minute once they have expired", async () => {
  const rig = new Rig();
  rig.failures.push(...Array.from({ length: 50 }, () => new Error("down")));
  rig.start(10_000);
  await rig.pass(9000);
  for (let i = 0; i < 10; i++) await rig.pass(1000);
  const before = rig.asked.length;
  for (let i = 0; i < 10; i++) await rig.pass(30_000);
  assertEquals(rig.asked.length - before, 10);
});

test("`stop()` while new credentials are awaited drops them", async () => {
  const clock = new FakeClock();
  const answer = Promise.withResolvers<void>();
  let signal: AbortSignal | undefined;
  const renewCredentials = (_current: unknown, wait: { signal?: AbortSignal | undefined }) => {
    signal = wait.signal;
    return answer.promise;
  };
  const renewed: unknown[] = [];
  const renewal = new Renewal({ renewCredentials }, { onRenewed: (one) => renewed.push(one), onStatus() {} }, clock);
  renewal.start(readExpiry(clock.wall() + 10_000, clock));
  clock.pass(9000);
  renewal.stop();
  assertEquals(signal!.aborted, true);
  answer.resolve();
  await flushMicrotasks();
  assertEquals(renewed, []);
});

test("`readExpiry()` takes a Date or milliseconds, and no expiry", () => {
  const clock = new FakeClock();
  const at = clock.wall() + 5;
  assertEquals(readExpiry(at, clock), { at, askedAt: clock.wall() });
  assertEquals(readExpiry(new Date(at), clock), { at, askedAt: clock.wall() });
  for (const none of [undefined, Infinity]) assertEquals(readExpiry(none, clock), undefined);
});

test("`readExpiry()` refuses what is not a time or has passed, and says so", () => {
  const clock = new FakeClock();
  const wrong: [unknown, typeof TypeError | typeof RangeError, RegExp][] = [
    ["2030-01-01", TypeError, /^expiresAt is of type string, but must be a Date or milliseconds since 1970$/],
    [null, TypeError, /^expiresAt is null/],
    [NaN, RangeError, /^expiresAt is NaN/],
    [new Date("x"), RangeError, /^expiresAt is an invalid Date/],
    [1e300, RangeError, /^expiresAt is 1e\+300/],
    [new Date(clock.wall()), RangeError, /^expiresAt is 2023-11-14T22:13:20\.000Z, so the credentials have expired al/],
    [1_800_000_000, RangeError, /^expiresAt is 1970-.* already; it is in seconds, write 1000 \* expiresAt$/],
    [0, RangeError, /already$/],
    [-5e15, RangeError, /already$/],
  ];
  for (const [value, kind, message] of wrong) {
    assertMatch(assertThrows(() => readExpiry(value, clock), kind).message, message);
  }
});

clientTest("credentials that have expired fail the attempt in words that say so", async (harness) => {
  const server = await harness.server();
  const credentials = () => ({ password: "hunter2-hunter2", expiresAt: Math.floor(Date.now() / 1000) + 60 });
  const stomp = harness.client(server.url, { credentials });
  const error = await assertRejects(() => stomp.connect(), ConnectionError);
  assertMatch(error.message, /: credentials\(\) failed: expiresAt is 1970-.*; it is in seconds, write 1000 \* expires/);
  assert(!`${error.stack}`.includes("hunter2"));
  assertEquals(server.count, 0);
});

clientTest(
  "new credentials that expire no later than the old ones are not used, and others are asked for",
  async (harness) => {
    const clock = new FakeClock();
    const server = await harness.server();
    const expiries = [100_000, 100_000, 200_000].map((after) => clock.wall() + after);
    let calls = 0;
    const credentials = () => ({ password: `token-${++calls}`, expiresAt: expiries[calls - 1]! });
    const stomp = harness.client(server.url, { clock, credentials, heartbeat: false });
    const [peer] = await Promise.all([server.welcome(), stomp.connect()]);
    const watcher = new Watcher(stomp);
    clock.pass(90_000);
    await watcher.until("renewing");
    while (clock.timers === 0) await flushMicrotasks();
    assertEquals([calls, stomp.connected], [2, true]);
    clock.pass(2500);
    const { error } = await watcher.until("renewing");
    assertMatch(String(error), /credentials\(\) returned some that expire no later than those in use$/);
    await confirm(peer, "DISCONNECT");
    await peer.finish();
    const next = await server.accept();
    assertEquals((await next.frame("CONNECT")).get("passcode"), "token-3");
    await next.write(connected());
    await watcher.until("connected");
  },
);
