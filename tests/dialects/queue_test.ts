/** What a queue is made of: checks, and what a client remembers. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { Declarations, readQueue } from "../../dialects/queue.ts";

const readOrders = (queue: unknown) => readQueue("/queue/orders", queue);

test("`readQueue()` returns a copy with durations in milliseconds, without what is undefined", () => {
  const given = {
    type: "quorum",
    ttl: "1h",
    expires: 1,
    maxLength: 0,
    maxLengthBytes: 5,
    maxPriority: 255,
    deadLetter: { exchange: "", routingKey: "dead" },
    maxAge: "1s",
    maxSegmentBytes: 1,
    filterSizeBytes: 16,
    singleActiveConsumer: false,
    overflow: undefined,
    deliveryLimit: 0,
    consumerTimeout: "30m",
    deadLetterStrategy: "at-least-once",
  };
  assertEquals(readOrders(given), {
    type: "quorum",
    ttl: 3_600_000,
    expires: 1,
    maxLength: 0,
    maxLengthBytes: 5,
    maxPriority: 255,
    deadLetter: { exchange: "", routingKey: "dead" },
    maxAge: 1000,
    maxSegmentBytes: 1,
    filterSizeBytes: 16,
    singleActiveConsumer: false,
    deliveryLimit: 0,
    consumerTimeout: 1_800_000,
    deadLetterStrategy: "at-least-once",
  });
  assertEquals(readOrders({ deadLetter: "/queue/dead" }), { deadLetter: "/queue/dead" });
});

test("`readQueue()` refuses wrong values, and names the option and what is allowed", () => {
  const cases: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [null, TypeError, "queue is null, but must be an object"],
    ["quorum", TypeError, "queue is of type string, but must be an object"],
    [{ maxlength: 1 }, TypeError, "queue has no option maxlength; its options are consumerTimeout, deadLetter, "],
    [{ "x-max-length": 1 }, TypeError, "queue has no option x-max-length"],
    [{ constructor: 1 }, TypeError, "queue has no option constructor"],
    [{ type: "lazy" }, RangeError, 'queue.type is "lazy", but must be "classic", "quorum" or "stream"'],
    [{ type: 1 }, TypeError, "queue.type is of type number, but must be a string"],
    [{ ttl: -1 }, RangeError, "queue.ttl is -1, the minimum is 0"],
    [{ ttl: "1 h" }, RangeError, 'queue.ttl is "1 h", but must be milliseconds, or text such as '],
    [{ expires: "0s" }, RangeError, 'queue.expires is "0s", the minimum is 1 ms'],
    [{ maxAge: "999ms" }, RangeError, 'queue.maxAge is "999ms", the minimum is 1000 ms'],
    [{ maxLength: 1.5 }, RangeError, "queue.maxLength is 1.5, but must be a whole number of 0 or more"],
    [{ maxLengthBytes: "1" }, RangeError, 'queue.maxLengthBytes is "1", but must be a whole number of 0 or more'],
    [{ maxPriority: 0 }, RangeError, "queue.maxPriority is 0, the minimum is 1"],
    [{ maxPriority: 256 }, RangeError, "queue.maxPriority is 256, the maximum is 255"],
    [{ deadLetter: "" }, TypeError, "queue.deadLetter is empty, but must be a destination or { exchange, routingKey }"],
    [{ deadLetter: {} }, TypeError, "queue.deadLetter is an Object, but must be a destination"],
    [{ deadLetter: null }, TypeError, "queue.deadLetter is null, but must be a destination"],
    [
      { deadLetter: { exchange: "", routingkey: "dead" } },
      TypeError,
      "queue.deadLetter has no option routingkey; its ",
    ],
    [{ deadLetter: { exchange: "", routingKey: 1 } }, TypeError, "queue.deadLetter.routingKey is of type number"],
    [{ singleActiveConsumer: 1 }, TypeError, "queue.singleActiveConsumer is of type number, but must be a boolean"],
    [{ overflow: "reject" }, RangeError, 'queue.overflow is "reject", but must be "drop-head", "reject-publish" or '],
  ];
  for (const [queue, type, text] of cases) {
    assertThrows(() => readOrders(queue), type, `Cannot declare /queue/orders: ${text}`);
  }
});

test("`Declarations` remembers the first declaration of a destination, and refuses another one by its difference", () => {
  const declarations = new Declarations();
  assertEquals(declarations.get("/queue/a"), undefined);
  assertEquals(declarations.declare("/queue/a", {}), false);
  assertEquals(declarations.declare("/queue/a", { ttl: "1s", deadLetter: { exchange: "x" } }), true);
  assertEquals(declarations.declare("/queue/a", { deadLetter: { exchange: "x" }, ttl: 1000 }), false);
  assertEquals(declarations.declare("/queue/a", {}), false);
  const again = (queue: unknown) => () => declarations.declare("/queue/a", queue);
  const refused = "Cannot declare /queue/a: ";
  assertThrows(
    again({ ttl: 2000, deadLetter: { exchange: "x" } }),
    TypeError,
    `${refused}ttl is 2000, but was 1000 before`,
  );
  assertThrows(again({ ttl: 1000 }), TypeError, `${refused}deadLetter is not set, but was {"exchange":"x"} before`);
  assertThrows(
    again({ ttl: 1000, deadLetter: { exchange: "x" }, type: "quorum" }),
    TypeError,
    `${refused}type is "quorum", but was not set before`,
  );
  assertEquals(declarations.get("/queue/a"), { ttl: 1000, deadLetter: { exchange: "x" } });
  assertEquals(declarations.declare("/queue/b", { ttl: 2000 }), true);
});

test("`Declarations.noteDelay()` accepts 32 durations for each destination", () => {
  const declarations = new Declarations();
  for (let n = 1; n <= 32; n++) declarations.noteDelay("/queue/a", n);
  declarations.noteDelay("/queue/a", 7);
  assertThrows(() => declarations.noteDelay("/queue/a", 33), RangeError, "more than 32 durations");
  declarations.noteDelay("/queue/b", 33);
  declarations.noteDelay("/queue/a", 32);
});
