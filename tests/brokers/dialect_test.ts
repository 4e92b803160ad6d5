/**
 * The portable options: each option in `dialects/`, and its effect on the broker.
 */
import { assert, assertEquals, assertGreater, assertRejects } from "#assert";
import type { PortableSendOptions, PortableSubscribeOptions } from "../../dialects/dialect.ts";
import { UnsupportedByBrokerError } from "../../base/errors.ts";
import type { Stomp } from "../../api/stomp.ts";
import type { SendOptions, SubscribeOptions } from "../../client/options.ts";
import { PRIORITY_QUEUES } from "./harness/activemq.ts";
import {
  delay,
  eventually,
  type Family,
  type Harness,
  once,
  take,
  takeTexts,
  takeTextsUntilMark,
  VERSIONS,
} from "./support.ts";
import { browse, ignoredArguments, queueArguments } from "./option_effects.ts";

/** A test of the effect of an option, or the option that must be refused. */
type Cell = ((harness: Harness) => Promise<void>) | { refused: SendOptions | SubscribeOptions };

/** The options. This does not compile unless all options of `dialect.ts` are in the table. */
type Option = keyof PortableSendOptions | keyof PortableSubscribeOptions | "contentLength" | "queue arguments";

/** The brokers that have most options. `spring_test.ts` tests those of Spring. */
type Column = Exclude<Family, "spring">;

const NAMES: Partial<Record<Family, RegExp>> = { rabbitmq: /RabbitMQ/, activemq: /ActiveMQ/, artemis: /Artemis/ };

const CELLS: Record<Option, Record<Column, Cell>> = {
  persistent: { rabbitmq: persistent, activemq: persistent, artemis: persistent }, // restart_test.ts tests that it survives a restart
  expires: { rabbitmq: expires, activemq: expires, artemis: expires },
  priority: {
    rabbitmq: (harness) => priority(harness, harness.queue(), { "x-max-priority": "9" }),
    activemq: (harness) => priority(harness, harness.queue(PRIORITY_QUEUES), {}),
    artemis: (harness) => priority(harness, harness.queue(), {}),
  },
  delay: { rabbitmq: delayed, activemq: delayed, artemis: delayed }, // and delay_test.ts
  replyTo: { rabbitmq: replyTo, activemq: replyTo, artemis: replyTo },
  correlationId: { rabbitmq: correlationId, activemq: correlationId, artemis: correlationId },
  deduplicationId: {
    rabbitmq: { refused: { deduplicationId: "1" } },
    activemq: { refused: { deduplicationId: "1" } },
    artemis: deduplicationId,
  },
  group: { rabbitmq: { refused: { group: "g" } }, activemq: group, artemis: group },
  filterValue: {
    rabbitmq: filterValue,
    activemq: { refused: { filterValue: "red" } },
    artemis: { refused: { filterValue: "red" } },
  },
  prefetch: {
    rabbitmq: prefetch,
    activemq: prefetch,
    artemis: { refused: { prefetch: 2, ack: "client" } }, // see artemis_test.ts
  },
  durable: { rabbitmq: durable, activemq: durable, artemis: durable },
  selector: { rabbitmq: { refused: { selector: "colour = 'red'" } }, activemq: selector, artemis: selector },
  exclusive: {
    rabbitmq: { refused: { exclusive: true } },
    activemq: exclusive,
    artemis: { refused: { exclusive: true } },
  },
  browse: {
    rabbitmq: { refused: { browse: true } },
    activemq: browse,
    artemis: { refused: { browse: true } },
  },
  contentLength: { rabbitmq: plainText, activemq: textOnActivemq, artemis: plainText },
  "queue arguments": { rabbitmq: queueArguments, activemq: ignoredArguments, artemis: ignoredArguments },
};

const SUBSCRIBE_OPTIONS: readonly string[] = ["prefetch", "durable", "selector", "exclusive", "browse"];

for (const [option, cells] of Object.entries(CELLS) as [Option, Record<Column, Cell>][]) {
  for (const [broker, cell] of Object.entries(cells) as [Column, Cell][]) {
    const refused = typeof cell === "function" ? undefined : cell.refused;
    once(`\`${option}\` ${refused ? "is refused" : "has its effect"}`, {
      broker,
      versions: VERSIONS,
      own: true, // for the priority of ActiveMQ's queues, and for its scheduler
      fn: typeof cell === "function" ? cell : (harness) => refuses(harness, option, refused!),
    });
  }
}

once("`prefetch` is refused in mode auto, where the broker counts nothing", {
  versions: VERSIONS,
  fn: (harness) => refuses(harness, "prefetch", { prefetch: 3 }),
});

once("`durable` is refused for a client without a `clientId`", {
  broker: ["activemq", "artemis"],
  versions: VERSIONS,
  fn: (harness) => refuses(harness, "durable", { durable: "any name" }),
});

once("`deleteDurable` is refused if the broker would keep the durable subscription", {
  broker: "rabbitmq",
  async fn({ connect, topic, broker }) {
    const stomp = await connect();
    const destination = topic().replace("/topic/", "/exchange/amq.topic/");
    const subscription = await stomp.subscribe(destination, { durable: destination });
    const error = await assertRejects(
      () => subscription.unsubscribe({ deleteDurable: true }),
      UnsupportedByBrokerError,
    );
    assertEquals([error.option, error.broker], ["deleteDurable", broker.family]);
  },
});

once("`exclusive: false` and `persistent: false` are accepted by every broker", async ({ connect, queue }) => {
  const stomp = await connect();
  const destination = queue();
  const subscription = await stomp.subscribe(destination, { exclusive: false });
  await stomp.send(destination, "one", { persistent: false });
  assertEquals(await takeTexts(subscription, 1), ["one"]);
});

async function refuses({ connect, queue, broker }: Harness, option: string, options: object): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const call = () =>
    SUBSCRIBE_OPTIONS.includes(option)
      ? stomp.subscribe(destination, options as SubscribeOptions)
      : stomp.send(destination, "never", options as SendOptions);
  const error = await assertRejects(call, UnsupportedByBrokerError);
  assertEquals([error.option, error.broker], [option, broker.family]);
  assert(NAMES[broker.family]!.test(error.message) && error.message.includes(option), error.message);
  // Nothing was sent, and the connection still works.
  assertEquals(await takeTextsUntilMark(stomp, await stomp.subscribe(destination)), []);
}

async function persistent({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  await stomp.send(destination, "kept", { persistent: true });
  const [message] = await take(await stomp.subscribe(destination), 1);
  assertEquals(message!.headers["persistent"], "true");
  assertEquals(message!.text(), "kept");
}

async function expires({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  await stomp.send(destination, "expires soon", { expires: 150 });
  await stomp.send(destination, "expires at a time", { expires: new Date(Date.now() + 150) });
  await assertRejects(() => stomp.send(destination, "has expired", { expires: new Date(0) }), RangeError, "expired");
  await stomp.send(destination, "expires later", { expires: 60_000 });
  await delay(400);
  const subscription = await stomp.subscribe(destination);
  assertEquals(await takeTextsUntilMark(stomp, subscription), ["expires later"]);
}

async function priority({ connect }: Harness, destination: string, headers: Record<string, string>): Promise<void> {
  const stomp = await connect();
  for (const [text, priority] of [["low", 1], ["normal", undefined], ["high", 8]] as const) {
    await stomp.send(destination, text, { headers, ...(priority !== undefined && { priority }) });
  }
  const subscription = await stomp.subscribe(destination, { headers });
  const messages = await take(subscription, 3);
  const texts = messages.map((message) => message.text());
  assertEquals(texts[0], "high");
  assertEquals(messages[0]!.headers["priority"], "8");
  // The default priority is 0 on RabbitMQ, and 4 on ActiveMQ.
  assertEquals(texts.toSorted(), ["high", "low", "normal"]);
}

async function delayed({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const subscription = await stomp.subscribe(destination);
  const begun = performance.now();
  await stomp.send(destination, "later", { delay: 700 });
  await stomp.send(destination, "now");
  assertEquals(await takeTexts(subscription, 2), ["now", "later"]);
  assertGreater(performance.now() - begun, 600);
}

/** A group sticks to the consumer of its first message, and the other consumers get only the rest. */
async function group({ connect, queue, prefetch }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const options = { ack: "client", ...prefetch(100) } as const;
  const consumers = await Promise.all([1, 2].map(() => stomp.subscribe(destination, options)));
  for (let n = 0; n < 40; n++) await stomp.send(destination, `${n}`, n % 2 === 0 ? { group: "even" } : {});
  await eventually("all have arrived", () => consumers[0]!.received + consumers[1]!.received === 40);
  // ActiveMQ does not send the name of the group.
  const texts = await Promise.all(consumers.map((consumer) => takeTexts(consumer, consumer.received)));
  const groups = texts.map((all) => all.filter((text) => Number(text) % 2 === 0));
  const even = Array.from({ length: 20 }, (_, n) => `${2 * n}`);
  assertEquals(groups.toSorted((a, b) => a.length - b.length), [[], even]);
  assertGreater(Math.min(...texts.map(({ length }) => length)), 0);
}

async function filterValue({ connect, queue, broker }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const events = stomp.destination(destination, { queue: { type: "stream" } });
  for (const [text, filterValue] of [["b", "blue"], ["c", undefined], ["a", "red"]] as const) {
    await events.send(text, { filterValue });
  }
  const headers = { "x-stream-offset": "first", "x-stream-filter": "red" };
  const subscription = await events.subscribe({ ack: "client", prefetch: 10, headers });
  // 3.10 has no filters. The later ones filter by chunks of the log, here one for each message.
  assertEquals(await takeTexts(subscription, 1), [broker.name === "rabbitmq-3.10" ? "b" : "a"]);
}

async function replyTo({ connect, queue }: Harness): Promise<void> {
  const asking = await connect();
  const answering = await connect();
  const [questions, answers] = [queue(), queue()];
  const replies = await asking.subscribe(answers);
  await asking.send(questions, "how many?", { replyTo: answers });
  const [question] = await take(await answering.subscribe(questions), 1);
  const destination = question!.headers["reply-to"];
  assertEquals(destination, answers);
  await answering.send(destination!, "two");
  assertEquals(await takeTexts(replies, 1), ["two"]);
}

async function correlationId({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  await stomp.send(destination, "one", { correlationId: "id: 1" });
  const [message] = await take(await stomp.subscribe(destination), 1);
  // RabbitMQ escapes headers in 1.0 as well, although that version has no escapes.
  assertEquals(message!.headers["correlation-id"]?.replace("\\c", ":"), "id: 1");
}

async function deduplicationId({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const id = `id ${destination}`;
  await stomp.send(destination, "first", { deduplicationId: id });
  await stomp.send(destination, "again", { deduplicationId: id });
  await stomp.send(destination, "other", { deduplicationId: `${id} 2` });
  assertEquals(await takeTextsUntilMark(stomp, await stomp.subscribe(destination)), ["first", "other"]);
}

/** The broker sends exactly `prefetch` messages, and one more after each ACK. */
async function prefetch({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  for (let n = 1; n <= 8; n++) await stomp.send(destination, `${n}`);
  const subscription = await stomp.subscribe(destination, { ack: "client", prefetch: 3 });
  await eventually("three messages have arrived", () => subscription.received === 3);
  await delay(200);
  assertEquals(subscription.received, 3);
  const [first, second] = await take(subscription, 2);
  await first!.ack();
  await eventually("the fourth message has arrived", () => subscription.received === 4);
  await delay(100);
  assertEquals(subscription.received, 4);
  await second!.ack();
  await eventually("the fifth message has arrived", () => subscription.received === 5);

  // The other messages are free for another consumer.
  const other = await stomp.subscribe(destination, { ack: "client", prefetch: 3 });
  assertEquals(await takeTexts(other, 3), ["6", "7", "8"]);
}

async function durable({ connect, topic, version }: Harness): Promise<void> {
  const destination = topic();
  const name = `durable ${destination}`;
  // In 1.0 ActiveMQ deletes a durable subscription only if its name is the client id.
  const clientId = version === "1.0" ? name : `client ${destination}`;
  const sender = await connect();
  const away = async (fn: (stomp: Stomp) => Promise<void>) => {
    const stomp = await connect({ clientId });
    await fn(stomp);
    await stomp.disconnect();
  };

  await sender.send(destination, "before it was created");
  await away(async (stomp) => {
    const subscription = await stomp.subscribe(destination, { durable: name });
    await sender.send(destination, "while it is subscribed");
    assertEquals(await takeTexts(subscription, 1), ["while it is subscribed"]);
  });
  await sender.send(destination, "while the client was away");
  await away(async (stomp) => {
    const subscription = await stomp.subscribe(destination, { durable: name });
    assertEquals(await takeTexts(subscription, 1), ["while the client was away"]);
    await subscription.unsubscribe();
    await sender.send(destination, "while it was unsubscribed");
    const again = await stomp.subscribe(destination, { durable: name });
    assertEquals(await takeTexts(again, 1), ["while it was unsubscribed"]);
    await again.unsubscribe({ deleteDurable: true });
  });
  await sender.send(destination, "after it was deleted");
  await away(async (stomp) => {
    const subscription = await stomp.subscribe(destination, { durable: name });
    await sender.send(destination, "after it was created again");
    assertEquals(await takeTexts(subscription, 1), ["after it was created again"]);
    await subscription.unsubscribe({ deleteDurable: true });
  });
}

async function selector({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  for (const [text, colour, size] of [["a", "red", "5"], ["b", "blue", "7"], ["c", "red", "9"]] as const) {
    await stomp.send(destination, text, { headers: { colour, size } });
  }
  const red = await stomp.subscribe(destination, { selector: "colour = 'red' AND size <> '5'", ack: "client" });
  const [message] = await take(red, 1);
  assertEquals(message!.text(), "c");
  await message!.ack();
  await red.unsubscribe();
  const rest = await stomp.subscribe(destination);
  assertEquals(await takeTextsUntilMark(stomp, rest), ["a", "b"]);
}

async function exclusive({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const first = await stomp.subscribe(destination, { exclusive: true });
  const second = await stomp.subscribe(destination, { exclusive: true });
  for (let n = 0; n < 10; n++) await stomp.send(destination, `${n}`);
  assertEquals((await takeTexts(first, 10)).length, 10);
  assertEquals(second.received, 0);
  await first.unsubscribe();
  await stomp.send(destination, "next");
  assertEquals(await takeTexts(second, 1), ["next"]);
}

async function textOnActivemq({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const subscription = await stomp.subscribe(destination);
  // ActiveMQ sends `content-length` with bytes messages, and not with text messages.
  await stomp.send(destination, "bytes ☃");
  await stomp.send(destination, "text ☃", { contentLength: false });
  const messages = await take(subscription, 2);
  assertEquals(messages.map((message) => message.text()), ["bytes ☃", "text ☃"]);
  assertEquals(messages.map((message) => "content-length" in message.headers), [true, false]);
  await assertRejects(() => stomp.send(destination, "a\0b", { contentLength: false }), TypeError);

  const talker = await connect({ contentLength: false });
  await talker.send(destination, "text");
  await talker.send(destination, "bytes", { contentLength: true });
  const more = await take(subscription, 2);
  assertEquals(more.map((message) => "content-length" in message.headers), [false, true]);
}

async function plainText({ connect, queue }: Harness): Promise<void> {
  const stomp = await connect();
  const destination = queue();
  const subscription = await stomp.subscribe(destination);
  await stomp.send(destination, "text ☃", { contentLength: false });
  assertEquals(await takeTexts(subscription, 1), ["text ☃"]);
}
