/** How RabbitMQ's queues are declared, and where messages wait for their delay. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { UnsupportedByBrokerError } from "../../base/errors.ts";
import { type BrokerFamily, queueHeaders } from "../../dialects/dialect.ts";
import { type QueueOptions, readQueue } from "../../dialects/queue.ts";
import { queueMaking } from "../../dialects/rabbitmq_queues.ts";
import { dialectFor } from "../../dialects/registry.ts";

const headersOf = (queue: QueueOptions, family: BrokerFamily = "rabbitmq") =>
  Object.fromEntries(queueHeaders(readQueue("/queue/a", queue), dialectFor(undefined, family)));

test("`queueHeaders()` writes each option that RabbitMQ takes over STOMP", () => {
  const cases: [QueueOptions, Record<string, string>][] = [
    [{ type: "classic" }, { "x-queue-type": "classic" }],
    [{ ttl: "1.5s", expires: "1h" }, { "x-message-ttl": "1500", "x-expires": "3600000" }],
    [{ maxLength: 0, maxLengthBytes: 9 }, { "x-max-length": "0", "x-max-length-bytes": "9" }],
    [{ type: "classic", maxPriority: 5 }, { "x-queue-type": "classic", "x-max-priority": "5" }],
    [{ deadLetter: "/queue/a%2Fb" }, { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "a/b" }],
    [{ deadLetter: "/amq/queue/b" }, { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "b" }],
    [{ deadLetter: "b" }, { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "b" }],
    [{ deadLetter: "/topic/b.c" }, { "x-dead-letter-exchange": "amq.topic", "x-dead-letter-routing-key": "b.c" }],
    [{ deadLetter: "/exchange/x" }, { "x-dead-letter-exchange": "x", "x-dead-letter-routing-key": "" }],
    [{ deadLetter: "/exchange/x/k" }, { "x-dead-letter-exchange": "x", "x-dead-letter-routing-key": "k" }],
    [{ deadLetter: { exchange: "x" } }, { "x-dead-letter-exchange": "x" }],
    [{ deadLetter: { exchange: "x", routingKey: "k" } }, {
      "x-dead-letter-exchange": "x",
      "x-dead-letter-routing-key": "k",
    }],
    [{ type: "stream", maxAge: "1501ms", maxSegmentBytes: 10, filterSizeBytes: 20, maxLengthBytes: 5 }, {
      "x-queue-type": "stream",
      "x-max-age": "2s",
      "x-stream-max-segment-size-bytes": "10",
      "x-stream-filter-size-bytes": "20",
      "x-max-length-bytes": "5",
    }],
    [{ singleActiveConsumer: false }, {}],
  ];
  for (const [queue, headers] of cases) assertEquals(headersOf(queue), headers, JSON.stringify(queue));
});

test("`queueHeaders()` refuses what RabbitMQ would ignore or close the connection for, and says what to do", () => {
  const command = 'by policy alone: rabbitmqctl set_policy NAME "^QUEUE$" \'';
  const cases: [QueueOptions, string, string][] = [
    [{ overflow: "reject-publish" }, "overflow", `${command}{"overflow":"reject-publish"}' --apply-to queues`],
    [{ deliveryLimit: 5 }, "deliveryLimit", `${command}{"delivery-limit":5}'`],
    [{ consumerTimeout: "1m" }, "consumerTimeout", `${command}{"consumer-timeout":60000}'`],
    [
      { deadLetterStrategy: "at-least-once" },
      "deadLetterStrategy",
      `${command}{"dead-letter-strategy":"at-least-once"}'`,
    ],
    [
      { singleActiveConsumer: true },
      "singleActiveConsumer",
      "neither over STOMP nor by policy; declare the queue over AMQP",
    ],
    [{ type: "quorum", maxPriority: 5 }, "maxPriority", "only for classic queues"],
    [{ type: "stream", maxPriority: 5 }, "maxPriority", "only for classic queues"],
    [{ type: "stream", ttl: 5 }, "ttl", "a stream of RabbitMQ has none"],
    [{ type: "stream", expires: 5 }, "expires", "a stream of RabbitMQ has none"],
    [{ type: "stream", maxLength: 5 }, "maxLength", "a stream of RabbitMQ has none"],
    [{ type: "stream", deadLetter: "/queue/b" }, "deadLetter", "a stream of RabbitMQ has none"],
    [{ maxAge: "1h" }, "maxAge", 'only for streams; set type: "stream"'],
    [{ maxSegmentBytes: 5 }, "maxSegmentBytes", "only for streams"],
    [{ filterSizeBytes: 20 }, "filterSizeBytes", "only for streams"],
    [{ deadLetter: "/queue/a/b" }, "deadLetter", "/queue/a/b is no /queue/NAME"],
    [{ deadLetter: "/nosuch" }, "deadLetter", "/nosuch is no /queue/NAME"],
  ];
  for (const [queue, option, text] of cases) {
    const error = assertThrows(() => headersOf(queue), UnsupportedByBrokerError, text);
    assertEquals([error.option, error.broker], [`queue.${option}`, "rabbitmq"]);
  }
});

test("`queueHeaders()` accepts durable queues where all are, and refuses the rest with the broker's own setting", () => {
  const all: QueueOptions[] = [
    { type: "stream" },
    { ttl: 1 },
    { expires: 1 },
    { maxLength: 1 },
    { maxLengthBytes: 1 },
    { maxPriority: 1 },
    { deadLetter: "/queue/b" },
    { maxAge: 1000 },
    { maxSegmentBytes: 1 },
    { filterSizeBytes: 16 },
    { singleActiveConsumer: true },
    { overflow: "drop-head" },
    { deliveryLimit: 1 },
    { consumerTimeout: 1 },
    { deadLetterStrategy: "at-most-once" },
  ];
  for (const family of ["activemq", "artemis", "embedded", "unknown"] as const) {
    for (const queue of all) assertThrows(() => headersOf(queue, family), UnsupportedByBrokerError, "queue.");
    for (const type of ["classic", "quorum"] as const) {
      if (family === "activemq" || family === "artemis") assertEquals(headersOf({ type }, family), {});
      else assertThrows(() => headersOf({ type }, family), UnsupportedByBrokerError, "queue.type");
    }
  }
  assertThrows(() => headersOf({ deadLetter: "/queue/b" }, "activemq"), UnsupportedByBrokerError, "deadLetterStrategy");
  assertThrows(() => headersOf({ deadLetter: "/queue/b" }, "artemis"), UnsupportedByBrokerError, "dead-letter-address");
});

test("`delayQueue()` names one queue for each destination and duration", () => {
  const cases: [string, string, string, string][] = [
    ["/queue/work", "/queue/stompy.delay.5000.work", "", "work"],
    ["work", "/queue/stompy.delay.5000.work", "", "work"],
    ["/amq/queue/work", "/queue/stompy.delay.5000.work", "", "work"],
    ["/reply-queue/amq.gen-1", "/queue/stompy.delay.5000.amq.gen-1", "", "amq.gen-1"],
    ["/queue/a%2Fb", "/queue/stompy.delay.5000.a%2Fb", "", "a/b"],
    ["/queue/ü: 1", "/queue/stompy.delay.5000.ü: 1", "", "ü: 1"],
    ["/topic/a.b", "/queue/stompy.delay.5000%2Ftopic%2Fa.b", "amq.topic", "a.b"],
    ["/exchange/x/k.1", "/queue/stompy.delay.5000%2Fexchange%2Fx%2Fk.1", "x", "k.1"],
    ["/exchange/x", "/queue/stompy.delay.5000%2Fexchange%2Fx", "x", ""],
    ["/exchange/x/", "/queue/stompy.delay.5000%2Fexchange%2Fx", "x", ""],
    ["/exchange/a%2Fb/c", "/queue/stompy.delay.5000%2Fexchange%2Fa%2fb%2Fc", "a/b", "c"],
    ["/exchange/a/b%2Fc", "/queue/stompy.delay.5000%2Fexchange%2Fa%2Fb%2fc", "a", "b/c"],
  ];
  for (const [destination, queue, exchange, key] of cases) {
    assertEquals(queueMaking.delayQueue(destination, 5000), {
      destination: queue,
      headers: [
        ["x-message-ttl", "5000"],
        ["x-dead-letter-exchange", exchange],
        ["x-dead-letter-routing-key", key],
      ],
    }, destination);
  }
  for (
    const destination of ["/queue/a/b", "/queue/", "/topic/a/b", "/exchange//k", "/temp-queue/a", "/nosuch", "/", ""]
  ) {
    assertEquals(typeof queueMaking.delayQueue(destination, 1), "string", destination);
  }
});

test("`make()` declares a queue by a SEND that is aborted, and checks that an exchange exists", () => {
  const made = (destination: string) =>
    queueMaking.make(destination, [["x-max-length", "1"]]).map(({ command, headers }) => [command, headers]);
  const transaction = "stompy-declare";
  for (const destination of ["/queue/a%2Fb", "a"]) {
    assertEquals(made(destination), [
      ["BEGIN", { transaction }],
      ["SEND", { "x-max-length": "1", destination, transaction }],
      ["ABORT", { transaction }],
    ]);
  }
  assertEquals(made("/exchange/x%2Fy/k"), [
    ["SUBSCRIBE", {
      id: "stompy-check",
      destination: "/exchange/x%2Fy/stompy-check",
      "ack": "client",
      "prefetch-count": "1",
    }],
    ["UNSUBSCRIBE", { id: "stompy-check", destination: "/exchange/x%2Fy/stompy-check" }],
  ]);
  for (const destination of ["/exchange/amq.fanout", "/topic/a", "/amq/queue/a"]) assertEquals(made(destination), []);
});
