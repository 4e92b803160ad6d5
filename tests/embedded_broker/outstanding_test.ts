/** What went out on a subscription of the embedded broker: spans of it are taken, given back, and joined again. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { Outstanding, type Placed } from "../../broker/outstanding.ts";

/** So many deliveries of one subscription in mode client. */
function sent(count: number): { outstanding: Outstanding<Placed>; deliveries: Placed[] } {
  const outstanding = new Outstanding<Placed>(true);
  const deliveries = Array.from({ length: count }, () => {
    const delivery = { place: outstanding.nextPlace, open: true };
    outstanding.add(delivery);
    return delivery;
  });
  return { outstanding, deliveries };
}

test("spans that are given back are one again, in whichever order they come", () => {
  for (const order of [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]) {
    const { outstanding, deliveries } = sent(9);
    const taken = [2, 5, 8].map((at) => outstanding.take(deliveries[at]!));
    assertEquals(taken, [[{ first: 1, last: 3 }], [{ first: 4, last: 6 }], [{ first: 7, last: 9 }]]);
    assertEquals(deliveries.map((one) => outstanding.isOpen(one)), Array(9).fill(false));
    for (const at of order) outstanding.reopen(taken[at]!);
    assertEquals(outstanding.takeAll(), [{ first: 1, last: 9 }], `${order}`);
  }
});

test("what is taken ends with its delivery, and what comes after it stays open", () => {
  const { outstanding, deliveries } = sent(5);
  outstanding.take(deliveries[1]!);
  assertEquals(deliveries.map((one) => outstanding.isOpen(one)), [false, false, true, true, true]);
  const settled: number[] = [];
  outstanding.settle(outstanding.take(deliveries[3]!), ({ place }) => settled.push(place));
  assertEquals([settled, outstanding.size], [[3, 4], 3]);
});
