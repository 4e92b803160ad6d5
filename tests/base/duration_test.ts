/** Durations as milliseconds and as text. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { readDuration } from "../../base/duration.ts";

test("`readDuration()` reads milliseconds and text with a unit", () => {
  const cases: [unknown, number][] = [
    [0, 0],
    [1.4, 1],
    [1.5, 2],
    ["0s", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5s", 1500],
    ["10m", 600_000],
    ["1h", 3_600_000],
    ["0.25h", 900_000],
  ];
  for (const [given, expected] of cases) assertEquals(readDuration("send", "delay", given), expected, String(given));
});

test("`readDuration()` refuses everything else, and says what is allowed", () => {
  const texts = ["", "5", "5 s", "s", "-1s", "+1s", "1e3s", "1d", "1S", "1.s", ".5s", "1s2m", "Infinitys", "1h\n"];
  for (const text of texts) {
    const error = assertThrows(() => readDuration("send", "delay", text), RangeError, "Cannot send: delay is ");
    assertEquals(error.message.endsWith('"250ms", "30s", "10m" or "1h"'), true, error.message);
  }
  for (const value of [-1, NaN, Infinity, null, {}, [], true, "99999999999999999999h"]) {
    assertThrows(() => readDuration("send", "delay", value), RangeError, "Cannot send: delay is ");
  }
});
