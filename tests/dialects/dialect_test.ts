/** One option, one meaning, and the headers of each broker: what is written, and what is refused rather than dropped. */
import { assertEquals, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import {
  type BrokerFamily,
  brokerFamily,
  brokerName,
  consumerHeaders,
  deleteDurableHeaders,
  hasMessageOptions,
  isLoginRefusal,
  messageHeaders,
  type PortableSendOptions,
  type PortableSubscribeOptions,
} from "../../dialects/dialect.ts";
import { StompError, UnsupportedByBrokerError } from "../../base/errors.ts";
import { clientTest } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

const FAMILIES: BrokerFamily[] = ["rabbitmq", "activemq", "artemis", "embedded", "unknown"];

test("a broker is known by what it calls itself", () => {
  const names: [string | undefined, BrokerFamily][] = [
    ["RabbitMQ/3.10.8", "rabbitmq"],
    [" RabbitMQ/3.13.1 (a comment)", "rabbitmq"],
    ["ActiveMQ/5.17.2", "activemq"],
    ["ActiveMQ-Artemis/2.31.0 ActiveMQ Artemis Messaging Engine", "artemis"],
    ["stompy/0.1.0", "embedded"],
    ["apache-apollo/1.7.1", "unknown"],
    ["NotRabbitMQ/1", "unknown"],
    ["", "unknown"],
    [undefined, "unknown"],
  ];
  for (const [server, family] of names) assertEquals(brokerFamily(server), family, `${server}`);
  for (const family of FAMILIES) assertEquals(brokerName(family).length > 0, true);
});

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
  [{ delay: 100 }, {
    rabbitmq: null,
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

test("the options of a message", () => {
  for (const [options, table] of MESSAGES) {
    assertEquals(hasMessageOptions(options), Object.values(options).some((value) => value !== undefined));
    for (const [family, expected] of Object.entries(table) as [BrokerFamily, Record<string, string> | null][]) {
      check(JSON.stringify(options), () => Object.fromEntries(messageHeaders(options, family)), expected, family);
    }
  }
});

test("the options of a subscription", () => {
  for (const [options, table] of CONSUMERS) {
    for (const [family, expected] of Object.entries(table) as [BrokerFamily, Record<string, string> | null][]) {
      const make = () => consumerHeaders({ ...options, clientId: "me" }, family);
      check(JSON.stringify(options), make, expected, family);
    }
  }
});

test("a durable subscription wants a client id where the broker would forget it without", () => {
  for (const family of ["activemq", "artemis"] as const) {
    assertThrows(() => consumerHeaders({ durable: "d" }, family), UnsupportedByBrokerError, "wants a clientId");
  }
  assertEquals(consumerHeaders({ durable: "d" }, "rabbitmq")["durable"], "true");
});

test("expires is a span or a moment, and each broker's own of the two", () => {
  const moment = new Date(Date.now() + 60_000);
  for (const expires of [60_000, moment]) {
    const left = Number(Object.fromEntries(messageHeaders({ expires }, "rabbitmq"))["expiration"]);
    assertEquals(left > 59_000 && left <= 60_000, true, `${left}`);
    for (const family of ["activemq", "artemis"] as const) {
      const at = Number(Object.fromEntries(messageHeaders({ expires }, family))["expires"]);
      assertEquals(Math.abs(at - moment.getTime()) < 1000, true, `${at}`);
    }
  }
  assertEquals(Object.fromEntries(messageHeaders({ expires: new Date(0) }, "rabbitmq")), { expiration: "0" });
});

test("deleting a durable subscription", () => {
  assertEquals(deleteDurableHeaders("d", "/topic/a", "rabbitmq"), { durable: "true", "auto-delete": "false" });
  assertEquals(deleteDurableHeaders("d", "/topic/a", "activemq"), { "activemq.subscriptionName": "d" });
  assertEquals(deleteDurableHeaders("d", "/topic/a", "artemis"), { "durable-subscription-name": "d" });
  for (const family of ["embedded", "unknown"] as const) {
    assertThrows(() => deleteDurableHeaders("d", "/topic/a", family), UnsupportedByBrokerError);
  }
});

test("which refusals are about user and password", () => {
  const words: [string, boolean][] = [
    ["Bad CONNECT (Access refused for user 'guest')", true],
    ["User name [guest] or password is invalid.", true],
    ["Security Error occurred: User name [guest] or password is invalid", true],
    ["AMQ229031: Unable to validate user from /127.0.0.1:1", true],
    ["login refused (The login or the passcode is wrong)", true],
    ["Authentication failed", true],
    ["Bad credentials", true],
    ["Login Failed: not_authorized", true],
    ["Broker: localhost - Client: me already connected from tcp://127.0.0.1:5", false],
    ["Bad CONNECT (Virtual host '/' access denied)", false],
    ["Supported protocol versions are 1.2", false],
    ["it gave no reason", false],
  ];
  for (const [text, expected] of words) assertEquals(isLoginRefusal(text), expected, text);
});

clientTest("the option broker says which one it is", async (rig) => {
  const { stomp, peer } = await rig.pair({ broker: "artemis" }, "1.2", "server:RabbitMQ/3\n");
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

clientTest("the option broker also says how its ERRORs are to be read", async (rig) => {
  const { stomp, peer, server } = await rig.pair({ broker: "rabbitmq", reconnect: { delay: 0 } });
  const sending = stomp.send("/q", "x");
  await peer.frame("SEND");
  // About the connection, and about none of the frames: they go out again.
  await peer.write("ERROR\nmessage:connection_forced\n\nbroker forced connection closure with reason 'shutdown'\0");
  const next = await server.welcome();
  assertEquals((await confirm(next)).body, "x");
  await sending;
});

clientTest("what the broker cannot do is refused, and nothing is sent", async (rig) => {
  const { stomp, peer } = await rig.pair();
  await assertRejects(() => stomp.send("/q", "x", { expires: 5 }), UnsupportedByBrokerError, "the broker option can");
  await assertRejects(() => stomp.send("/q", "x", { expires: 5, receipt: false }), UnsupportedByBrokerError);
  await assertRejects(() => stomp.subscribe("/q", { durable: "d" }), UnsupportedByBrokerError);
  const sending = stomp.send("/q", "last");
  assertEquals((await confirm(peer)).body, "last");
  await sending;
});

clientTest("ActiveMQ deletes a durable subscription in two steps, RabbitMQ in one", async (rig) => {
  for (const [server, steps] of [["ActiveMQ/5", 2], ["RabbitMQ/3", 1]] as const) {
    const { stomp, peer } = await rig.pair({ clientId: "me" }, "1.2", `server:${server}\n`);
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
});
