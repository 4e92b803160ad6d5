/** The options that mean the same on every broker: the headers each broker gets, and what is refused, not dropped. */
import { assertEquals, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import {
  type BrokerFamily,
  deleteDurableHeaders,
  hasMessageOptions,
  messageHeaders,
  type PortableSendOptions,
  type PortableSubscribeOptions,
  subscribeHeaders,
} from "../../dialects/dialect.ts";
import { dialectFor } from "../../dialects/registry.ts";
import { StompError, UnsupportedByBrokerError } from "../../base/errors.ts";
import type { HeaderEntries } from "../../codec/headers.ts";
import { clientTest } from "../support/client_harness.ts";
import { readText } from "../support/project.ts";
import { confirm } from "../support/raw_server.ts";

const FAMILIES: BrokerFamily[] = ["rabbitmq", "activemq", "artemis", "embedded", "unknown"]; // Spring refuses most

const dialectOf = (family: BrokerFamily) => dialectFor(undefined, family);

/** For each option: its value, and the headers on each broker; `null` where it is refused. */
const MESSAGES: [PortableSendOptions, Partial<Record<BrokerFamily, Record<string, string> | null>>][] = [
  [{ persistent: true }, Object.fromEntries(FAMILIES.map((family) => [family, { persistent: "true" }]))],
  [{ persistent: false }, Object.fromEntries(FAMILIES.map((family) => [family, {}]))],
  [
    { replyTo: "/q", correlationId: "c" },
    Object.fromEntries(FAMILIES.map((family) => {
      return [family, { "reply-to": "/q", "correlation-id": "c" }];
    })),
  ],
  [{ priority: 0 }, {
    rabbitmq: { priority: "0" },
    activemq: { priority: "0" },
    artemis: { priority: "0" },
    embedded: null,
    unknown: { priority: "0" },
  }],
  [{ expires: 5000 }, { rabbitmq: { expiration: "5000" }, embedded: null, unknown: null }],
  [{ delay: "1.5s" }, {
    rabbitmq: {}, // it goes to another queue, see rabbitmq_queues_test.ts
    activemq: { AMQ_SCHEDULED_DELAY: "1500" },
    artemis: { AMQ_SCHEDULED_DELAY: "1500" },
  }],
  [{ delay: 100, expires: 1000 }, { rabbitmq: null, embedded: null, unknown: null }],
  [{ delay: 0, expires: 1000 }, { rabbitmq: { expiration: "1000" } }],
  [{ group: "g" }, {
    rabbitmq: null,
    activemq: { JMSXGroupID: "g" },
    artemis: { JMSXGroupID: "g" },
    embedded: null,
    unknown: null,
  }],
  [{ filterValue: "red" }, {
    rabbitmq: { "x-stream-filter-value": "red" },
    activemq: null,
    artemis: null,
    embedded: null,
    unknown: null,
  }],
  [{ delay: 100 }, {
    rabbitmq: {},
    activemq: { AMQ_SCHEDULED_DELAY: "100" },
    artemis: { AMQ_SCHEDULED_DELAY: "100" },
    embedded: null,
    unknown: null,
  }],
  [{ deduplicationId: "d" }, {
    rabbitmq: null,
    activemq: null,
    artemis: { _AMQ_DUPL_ID: "d" },
    embedded: null,
    unknown: null,
  }],
  [{ persistent: undefined, expires: undefined, delay: undefined }, Object.fromEntries(FAMILIES.map((f) => [f, {}]))],
];

const CONSUMERS: [
  PortableSubscribeOptions & { ack?: string },
  Partial<Record<BrokerFamily, Record<string, string> | null>>,
][] = [
  [{ prefetch: 10, ack: "client" }, {
    rabbitmq: { "prefetch-count": "10" },
    activemq: { "activemq.prefetchSize": "10" },
    artemis: null,
    embedded: { "prefetch-count": "10" },
    unknown: null,
  }],
  [{ selector: "a = 1" }, {
    rabbitmq: null,
    activemq: { selector: "a = 1" },
    artemis: { selector: "a = 1" },
    embedded: null,
    unknown: { selector: "a = 1" },
  }],
  [{ durable: "d" }, {
    rabbitmq: { durable: "true", "auto-delete": "false" },
    activemq: { "activemq.subscriptionName": "d" },
    artemis: { "durable-subscription-name": "d" },
    embedded: null,
    unknown: null,
  }],
  [{ exclusive: true }, {
    rabbitmq: null,
    activemq: { "activemq.exclusive": "true" },
    artemis: null,
    embedded: null,
    unknown: null,
  }],
  [{ browse: true }, {
    rabbitmq: null,
    activemq: { browser: "true" },
    artemis: null,
    embedded: null,
    unknown: null,
  }],
  [{ exclusive: false }, Object.fromEntries(FAMILIES.map((family) => [family, {}]))],
];

/** Checks a row of a table. */
function check(
  what: string,
  write: () => unknown,
  expected: Record<string, string> | null,
  family: BrokerFamily,
): void {
  if (expected !== null) return assertEquals(write(), expected, `${what} on ${family}`);
  const error = assertThrows(write, UnsupportedByBrokerError, "Cannot use option ", `${what} on ${family}`);
  assertEquals([error.broker, error instanceof StompError], [family, true]);
  assertEquals(what.includes(`"${error.option}"`), true, `${what}: ${error.option}`);
}

test("`messageHeaders()` writes or refuses each option on each broker", () => {
  for (const [options, table] of MESSAGES) {
    assertEquals(hasMessageOptions(options), Object.values(options).some((value) => value !== undefined));
    for (const [family, expected] of Object.entries(table) as [BrokerFamily, Record<string, string> | null][]) {
      check(
        JSON.stringify(options),
        () => Object.fromEntries(messageHeaders(options, dialectOf(family))),
        expected,
        family,
      );
    }
  }
});

test("`subscribeHeaders()` writes or refuses each option on each broker", () => {
  for (const [options, table] of CONSUMERS) {
    for (const [family, expected] of Object.entries(table) as [BrokerFamily, Record<string, string> | null][]) {
      const make = () => subscribeHeaders({ ...options, clientId: "me" }, dialectOf(family));
      check(JSON.stringify(options), make, expected, family);
    }
  }
});

test("`subscribeHeaders()` refuses `durable` without a client id where the broker would lose the subscription", () => {
  for (const family of ["activemq", "artemis"] as const) {
    const subscribe = () => subscribeHeaders({ durable: "d" }, dialectOf(family));
    assertThrows(subscribe, UnsupportedByBrokerError, "needs a clientId");
  }
  assertEquals(subscribeHeaders({ durable: "d" }, dialectOf("rabbitmq"))["durable"], "true");
});

test("README.md has a row for each option, with the headers of each broker", () => {
  const columns: BrokerFamily[] = ["rabbitmq", "activemq", "artemis", "embedded"];
  const rows = new Map(
    [...readText("README.md").matchAll(/^\| `(\w+)` +\|(.*)\|$/gm)]
      .map(([, option, cells]) => [option!, cells!.split("|").map((cell) => cell.trim())] as const)
      .filter(([, cells]) => cells.length === columns.length),
  );
  const values = { expires: 1, priority: 1, delay: 1, prefetch: 1, persistent: true, exclusive: true, browse: true };
  for (const [column, family] of columns.entries()) {
    const { message, subscription } = dialectOf(family);
    for (const [option, rule] of Object.entries({ ...message, ...subscription })) {
      const cell = rows.get(option)?.[column] ?? "";
      const value = values[option as keyof typeof values] ?? "text";
      const written = typeof rule === "string"
        ? rule
        : (rule as (value: unknown, options: object) => unknown)(value, {});
      const expected = typeof written === "string"
        ? ["refused"]
        : (written as HeaderEntries).map(([name]) => `\`${name}\``);
      const isRight = expected.every((text) => cell.includes(text)) || cell === "the same" || cell === "passed on";
      assertEquals(isRight, true, `${option} on ${family}: ${cell}`);
    }
  }
});

test("`expires` is milliseconds or a Date, and is written as the broker expects it", () => {
  const moment = new Date(Date.now() + 60_000);
  for (const expires of [60_000, moment]) {
    const left = Number(Object.fromEntries(messageHeaders({ expires }, dialectOf("rabbitmq")))["expiration"]);
    assertEquals(left > 59_000 && left <= 60_000, true, `${left}`);
    for (const family of ["activemq", "artemis"] as const) {
      const at = Number(Object.fromEntries(messageHeaders({ expires }, dialectOf(family)))["expires"]);
      assertEquals(Math.abs(at - moment.getTime()) < 1000, true, `${at}`);
    }
  }
  assertEquals(Object.fromEntries(messageHeaders({ expires: new Date(0) }, dialectOf("rabbitmq"))), {
    expiration: "0",
  });
});

test("`deleteDurableHeaders()` deletes by name or by destination, or refuses", () => {
  const headers = (family: BrokerFamily, destination = "/topic/a") =>
    deleteDurableHeaders({ name: "d", destination }, dialectOf(family));
  assertEquals(headers("rabbitmq"), { durable: "true", "auto-delete": "false" });
  assertEquals(headers("activemq"), { "activemq.subscriptionName": "d" });
  assertEquals(headers("artemis"), { "durable-subscription-name": "d" });
  assertThrows(() => headers("rabbitmq", "/queue/a"), UnsupportedByBrokerError, "deleteDurable");
  for (const family of ["embedded", "unknown"] as const) {
    assertThrows(() => headers(family), UnsupportedByBrokerError, "deleteDurable");
  }
});

clientTest("the option `broker` overrides the `server` header", async (harness) => {
  const { stomp, peer } = await harness.pair({ broker: "artemis" }, "1.2", "server:RabbitMQ/3\n");
  const sending = stomp.send("/q", "x", { deduplicationId: "d", expires: 1000 });
  const said = await confirm(peer, "SEND");
  assertEquals([said.get("_AMQ_DUPL_ID"), said.get("expiration")], ["d", undefined]);
  await sending;
  const error = await assertRejects(
    () => stomp.subscribe("/q", { prefetch: 5, ack: "client" }),
    UnsupportedByBrokerError,
  );
  assertEquals([error.option, error.broker], ["prefetch", "artemis"]);
});

clientTest("the option `broker` decides how ERRORs are read", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ broker: "rabbitmq", reconnect: { delay: 0 } });
  const sending = stomp.send("/q", "x");
  await peer.frame("SEND");
  // About the connection and not about a frame, so that the frames are sent again.
  await peer.write("ERROR\nmessage:connection_forced\n\nbroker forced connection closure with reason 'shutdown'\0");
  const next = await server.welcome();
  assertEquals((await confirm(next)).body, "x");
  await sending;
});

clientTest("an option that the broker cannot honour is refused, and nothing is sent", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await assertRejects(() => stomp.send("/q", "x", { expires: 5 }), UnsupportedByBrokerError, "set the option broker");
  await assertRejects(() => stomp.send("/q", "x", { expires: 5, receipt: false }), UnsupportedByBrokerError);
  await assertRejects(() => stomp.subscribe("/q", { durable: "d" }), UnsupportedByBrokerError);
  const sending = stomp.send("/q", "last");
  assertEquals((await confirm(peer)).body, "last");
  await sending;
});

clientTest(
  "`unsubscribe({ deleteDurable })` takes two UNSUBSCRIBEs on ActiveMQ, and one on RabbitMQ",
  async (harness) => {
    for (const [server, steps] of [["ActiveMQ/5", 2], ["RabbitMQ/3", 1]] as const) {
      const { stomp, peer } = await harness.pair({ clientId: "me" }, "1.2", `server:${server}\n`);
      const [subscription] = await Promise.all([stomp.subscribe("/topic/a", { durable: "d" }), confirm(peer)]);
      assertEquals(subscription.id, "d");
      const ending = subscription.unsubscribe({ deleteDurable: true });
      const frames = [];
      while (frames.length < steps) frames.push(await confirm(peer, "UNSUBSCRIBE"));
      await ending;
      assertEquals(frames.map((one) => one.get("id")), Array(steps).fill("d"));
      const last = frames.at(-1)!;
      assertEquals(
        [last.get("activemq.subscriptionName"), last.get("durable")],
        steps === 2 ? ["d", undefined] : [undefined, "true"],
      );
    }
  },
);
