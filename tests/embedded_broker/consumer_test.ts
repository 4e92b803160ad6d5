/** `OutstandingDeliveries` of a `Consumer`: claims of transactions, as spans. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { type Delivery, OutstandingDeliveries } from "../../broker/consumer.ts";

/** Adds that many deliveries to a subscription in mode client. */
function deliver(count: number): { outstanding: OutstandingDeliveries; deliveries: Delivery[] } {
  const outstanding = new OutstandingDeliveries(true);
  const deliveries = Array.from({ length: count }, () => {
    const delivery = { position: outstanding.nextPosition, isOpen: true } as Delivery;
    outstanding.add(delivery);
    return delivery;
  });
  return { outstanding, deliveries };
}

test("`OutstandingDeliveries.reopen()` merges spans in any order", () => {
  for (const order of [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]) {
    const { outstanding, deliveries } = deliver(9);
    const claimed = [2, 5, 8].map((at) => outstanding.claim(deliveries[at]!));
    assertEquals(claimed, [[{ first: 1, last: 3 }], [{ first: 4, last: 6 }], [{ first: 7, last: 9 }]]);
    assertEquals(deliveries.map((one) => outstanding.isOpen(one)), Array(9).fill(false));
    for (const at of order) outstanding.reopen(claimed[at]!);
    assertEquals(outstanding.claimAll(), [{ first: 1, last: 9 }], `${order}`);
  }
});

test("`OutstandingDeliveries.claim()` leaves later deliveries open", () => {
  const { outstanding, deliveries } = deliver(5);
  outstanding.claim(deliveries[1]!);
  assertEquals(deliveries.map((one) => outstanding.isOpen(one)), [false, false, true, true, true]);
  const settled: number[] = [];
  outstanding.remove(outstanding.claim(deliveries[3]!), ({ position }) => settled.push(position));
  assertEquals([settled, outstanding.size], [[3, 4], 3]);
});
