/** `Backoff`: how long to wait between attempts to connect, and when to give up. */
import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "#assert";
import { test } from "#test";
import { Backoff } from "../../base/backoff.ts";
import { seededRandom } from "../support/fault_proxy.ts";

test("`Backoff.next()` is a random share of a bound that doubles up to `maxDelay`", () => {
  let share = 1;
  let now = 0;
  const backoff = new Backoff({ delay: 100, maxDelay: 1000 }, () => share, () => now);
  assertEquals([1, 2, 3, 4, 5, 6].map(() => backoff.next()), [100, 200, 400, 800, 1000, 1000]);
  assertEquals(backoff.attempt, 6);
  share = 0.25;
  assertEquals(backoff.next(), 250);
  share = 0;
  assertEquals(backoff.next(), 0);
  now = 1e9;
  assertEquals([backoff.next(), backoff.left], [0, Infinity]);
  const usual = new Backoff({}, () => 1);
  const waits = Array.from({ length: 20 }, () => usual.next());
  assertEquals([waits[0], waits[1], waits[19]], [100, 200, 5000]);
});

test("`Backoff.next()` ends with `attempts` and `totalTime`, and the constructor refuses what is no number", () => {
  const few = new Backoff({ attempts: 2, delay: 10 }, () => 1);
  assertEquals([few.next(), few.next(), few.next(), few.next()], [10, 20, undefined, undefined]);
  let now = 1000;
  const short = new Backoff({ totalTime: 50, delay: 40 }, () => 1, () => now);
  assertEquals([short.next(), short.left], [40, 50]);
  now = 1030;
  assertEquals([short.next(), short.left], [20, 20]); // no longer than there is time
  now = 1050;
  assertEquals([short.next(), short.left], [undefined, 0]);
  for (const options of [{ attempts: NaN }, { totalTime: -1 }, { delay: -1 }, { maxDelay: NaN }]) {
    assertThrows(() => new Backoff(options), RangeError);
  }
});

test("`Backoff.next()` is at most 5 s after 20 s without a broker", () => {
  for (const down of [15_000, 20_000]) {
    const late = Array.from({ length: 1000 }, () => {
      let now = 0;
      const backoff = new Backoff({}, Math.random, () => now);
      while (now < down) now += backoff.next()!;
      return now - down;
    }).sort((a, b) => a - b);
    assertLess(late[999]!, 5001);
    assertGreater(late[999]! - late[0]!, 2000); // and they do not all come at once
  }
});

test("`Backoff.restart()` counts from the start, and waits as after that many attempts", () => {
  let now = 0;
  const backoff = new Backoff({ attempts: 2, totalTime: 1000 }, () => 1, () => now);
  assertEquals([backoff.next(), backoff.next(), backoff.next()], [100, 200, undefined]);
  now = 1000;
  assertEquals(backoff.left, 0);
  backoff.restart(2);
  assertEquals([backoff.left, backoff.attempt, backoff.next(), backoff.attempt], [1000, 0, 400, 1]);
});

test("`Backoff.next()` spreads a thousand first waits over the whole delay", () => {
  const waits = Array.from({ length: 1000 }, () => new Backoff({ delay: 1000 }).next()!).sort((a, b) => a - b);
  assertLess(waits[99]!, 250);
  assertGreater(waits[900]!, 750);
});

test("`Backoff.next()` spreads the waits of a thousand clients evenly, attempt by attempt", () => {
  const random = seededRandom(1);
  const clients = Array.from({ length: 1000 }, () => new Backoff({}, random));
  for (const bound of [100, 200, 400, 800]) {
    const tenths = new Array<number>(10).fill(0);
    for (const client of clients) {
      const delay = client.next()!;
      assert(delay >= 0 && delay < bound);
      tenths[Math.floor(delay / bound * 10)]!++;
    }
    // 100 in each tenth of the time, and no crowd anywhere.
    for (const count of tenths) assert(count > 60 && count < 140, `of ${bound} ms: ${tenths}`);
  }
});
