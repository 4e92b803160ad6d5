/** What one connection does to make the queues that a client has declared. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { UnsupportedByBrokerError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import type { HeaderEntries } from "../../codec/headers.ts";
import type { BrokerFamily } from "../../dialects/dialect.ts";
import { Declarations } from "../../dialects/queue.ts";
import { dialectFor } from "../../dialects/registry.ts";
import { QueueMaker } from "../../session/queue_maker.ts";

/** Creates a maker, and the list of what it writes. */
function makerFor(family: BrokerFamily = "rabbitmq") {
  const declarations = new Declarations();
  const written: string[] = [];
  const maker = new QueueMaker(declarations, dialectFor(undefined, family), ({ command, headers }) => {
    written.push(command === "SEND" ? `SEND ${headers["destination"]}` : command);
  });
  return { declarations, maker, written };
}

const madeBy = (...destinations: string[]) => destinations.flatMap((name) => ["BEGIN", `SEND ${name}`, "ABORT"]);

test("`headersFor()` makes the dead letter queue once, before what leads to it", () => {
  const { declarations, maker, written } = makerFor();
  declarations.declare("/queue/a", { ttl: 1, deadLetter: "/queue/b" });
  const expected: HeaderEntries = [["x-message-ttl", "1"], ["x-dead-letter-exchange", ""], [
    "x-dead-letter-routing-key",
    "b",
  ]];
  assertEquals(maker.headersFor("SEND", "/queue/a"), expected);
  assertEquals(maker.headersFor("SUBSCRIBE", "/queue/a"), expected);
  assertEquals(written, madeBy("/queue/b"));
  assertEquals([maker.headersFor("SEND", "/queue/c"), maker.isDeclared("/queue/a"), maker.isDeclared("/queue/c")], [
    [],
    true,
    false,
  ]);
});

test("`headersFor()` terminates for queues that lead to each other, and makes a whole chain", () => {
  const { declarations, maker, written } = makerFor();
  declarations.declare("/queue/a", { deadLetter: "/queue/b" });
  declarations.declare("/queue/b", { ttl: 1, deadLetter: "/queue/c" });
  declarations.declare("/queue/c", { ttl: 1, deadLetter: "/queue/a" });
  maker.headersFor("SEND", "/queue/a");
  assertEquals(written, madeBy("/queue/a", "/queue/c", "/queue/b"));
});

test("`headersFor()` makes nothing for a dead letter exchange, for which the program may lack permissions", () => {
  const { declarations, maker, written } = makerFor();
  declarations.declare("/queue/a", { deadLetter: { exchange: "", routingKey: "b" } });
  maker.headersFor("SEND", "/queue/a");
  assertEquals(written, []);
});

test("`headersFor()` declares the queues of topic subscriptions only with SUBSCRIBE, and refuses what is not declared", () => {
  const { declarations, maker } = makerFor();
  declarations.declare("/topic/a", { ttl: 1 });
  declarations.declare("/amq/queue/a", { ttl: 1 });
  assertEquals(maker.headersFor("SEND", "/topic/a"), []);
  assertEquals(maker.headersFor("SUBSCRIBE", "/topic/a"), [["x-message-ttl", "1"]]);
  for (const command of ["SEND", "SUBSCRIBE"] as const) {
    assertThrows(() => maker.headersFor(command, "/amq/queue/a"), UnsupportedByBrokerError, "declares only the queues");
  }
});

test("`headersFor()` refuses again what the broker cannot declare, also as the target of a dead letter", () => {
  const { declarations, maker, written } = makerFor();
  declarations.declare("/queue/a", { deadLetter: "/queue/b" });
  declarations.declare("/queue/b", { overflow: "reject-publish" });
  for (let n = 0; n < 2; n++) {
    assertThrows(() => maker.headersFor("SEND", "/queue/a"), UnsupportedByBrokerError, "by policy alone");
  }
  assertEquals(written, []);
});

test("`headersFor()` writes nothing for a broker that is not told what a queue is made of", () => {
  const { declarations, maker, written } = makerFor("activemq");
  declarations.declare("/queue/a", { type: "quorum" });
  assertEquals([maker.headersFor("SEND", "/queue/a"), maker.delaysInQueues, maker.declares("x-expires")], [
    [],
    false,
    false,
  ]);
  assertEquals(written, []);
});

test("`completeSubscribe()` leaves the headers of the frame as they are", () => {
  const { declarations, maker } = makerFor();
  declarations.declare("/queue/a", { ttl: 1, maxLength: 2 });
  const headers = { id: "1", destination: "/queue/a", "x-message-ttl": "9" };
  const frame = new Frame().buildFrame({ command: "SUBSCRIBE", headers });
  maker.completeSubscribe(frame);
  assertEquals({ ...frame.headers }, { ...headers, "x-max-length": "2" });
});

test("`delay()` makes the destination once, with its declaration and that of the sender", () => {
  const { declarations, maker, written } = makerFor();
  declarations.declare("/queue/a", { type: "quorum" });
  const { destination } = maker.delay("/queue/a", 5, [["x-max-length", "1"]]);
  assertEquals(destination, "/queue/stompy.delay.5.a");
  maker.delay("/queue/a", 6, []);
  assertEquals(written, madeBy("/queue/a"));
  maker.delay("/exchange/x/k", 5, []);
  maker.delay("/exchange/amq.topic/k", 5, []);
  assertEquals(written, [...madeBy("/queue/a"), "SUBSCRIBE", "UNSUBSCRIBE"]);
  assertThrows(() => maker.delay("/queue/a/b", 5, []), UnsupportedByBrokerError, "/queue/a/b is no ");
});
