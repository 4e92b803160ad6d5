/** Streams of RabbitMQ: each message once and in order, over lost connections and a killed broker. */
import { assert, assertEquals, assertRejects } from "#assert";
import { BrokerErrorResponse, UnsupportedByBrokerError } from "../../base/errors.ts";
import type { Stomp } from "../../api/stomp.ts";
import type { StreamMessage } from "../../work/stream.ts";
import { once } from "./support.ts";

/** RabbitMQ 4.0 now and then ends the channel that reads a stream made a moment before ("AMQP channel died", shutdown). */
const RECONNECTING = { reconnect: { delay: 20, maxDelay: 500 }, timeout: 60_000 } as const;

/** Declares a stream, and sends messages with these texts to it. */
async function fill(client: Stomp, name: string, from: number, to: number): Promise<void> {
  const stream = client.destination(name, { queue: { type: "stream" } });
  const sent = [];
  for (let i = from; i < to; i++) sent.push(stream.send(`m${i}`));
  await Promise.all(sent);
}

/** Sends as `fill`, to a stream that RabbitMQ has not restored yet: it refuses messages for as long as that takes. */
async function fillAgain(client: Stomp, name: string, from: number, to: number): Promise<void> {
  for (let i = from; i < to;) {
    await client.send(name, `m${i}`).then(() => i++, (error) => {
      if (!(error instanceof BrokerErrorResponse)) throw error;
    });
  }
}

/** Takes `count` messages, and returns their numbers. */
async function take(stream: AsyncIterator<StreamMessage>, count: number): Promise<number[]> {
  const numbers: number[] = [];
  while (numbers.length < count) {
    const { value } = await stream.next();
    if (value === undefined) throw new Error(`The stream ended after ${numbers.length} of ${count} messages`);
    numbers.push(Number(value.text().slice(1)));
  }
  return numbers;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

once("a stream is read from the first message, an offset, the last batch, the next message, and a time", {
  broker: "rabbitmq",
  versions: ["1.0", "1.1", "1.2"],
  async fn({ connect, queue }) {
    const client = await connect(RECONNECTING);
    const name = queue();
    await fill(client, name, 0, 50);
    const next = client.stream(name, { from: "next" });
    await next.open();
    await fill(client, name, 50, 60);
    assertEquals(await take(next, 10), range(50, 60));
    await next.close();
    const read = async (from: "first" | "last" | { offset: number } | { time: Date | number }, count: number) => {
      await using stream = client.stream(`/amq/queue/${name.slice("/queue/".length)}`, { from, prefetch: 10 });
      return await take(stream, count);
    };
    assertEquals(await read("first", 60), range(0, 60));
    assertEquals(await read({ offset: 45 }, 15), range(45, 60));
    assertEquals(await read({ time: Date.now() - 3_600_000 }, 60), range(0, 60));
    const [first] = await read("last", 1);
    assert(first! >= 50, `The last batch begins with message ${first}`);
  },
});

once("a stream loses nothing and repeats nothing when its connection breaks again and again", {
  broker: "rabbitmq",
  timeout: 60_000,
  async fn({ connect, queue }) {
    const producer = await connect(RECONNECTING);
    const name = queue();
    await fill(producer, name, 0, 300);
    const reader = await connect(RECONNECTING);
    const [first, next, last] = (["first", "next", "last"] as const).map((from) => reader.stream(name, { from }));
    await Promise.all([next!.open(), last!.open()]);
    reader.reconnect(); // before any of them has delivered a message
    const seen = await take(first!, 50);
    let sent = 300;
    for (let round = 0; round < 5; round++) {
      reader.reconnect();
      await fill(producer, name, sent, sent += 100);
      seen.push(...await take(first!, 70));
    }
    seen.push(...await take(first!, sent - seen.length));
    assertEquals(seen, range(0, sent));
    assertEquals(await take(next!, sent - 300), range(300, sent));
    const [start] = await take(last!, 1);
    assertEquals(await take(last!, sent - 1 - start!), range(start! + 1, sent));
  },
});

once("a stream loses nothing and repeats nothing when the broker is killed", {
  // 3.10.8 restores a stream after most kills; after some it stays "down or inaccessible" for everyone.
  broker: ["rabbitmq-4.0", "rabbitmq-4.3"],
  own: true,
  timeout: 150_000,
  async fn({ connect, queue, control }) {
    const producer = await connect({ ...RECONNECTING, timeout: 120_000 });
    const name = queue();
    await fill(producer, name, 0, 200);
    const reader = await connect({ ...RECONNECTING, timeout: 120_000 });
    const saved: number[] = [];
    const checkpoint = { load: () => undefined, save: (offset: number) => void saved.push(offset) };
    const next = reader.stream(name, { from: "next" });
    await next.open();
    // The producer may have sent a message twice, at two offsets.
    const seen = new Set<number>();
    const offsets: number[] = [];
    let restarting: Promise<void> | undefined;
    for await (const event of reader.stream(name, { from: "first", checkpoint, prefetch: 20 })) {
      const number = Number(event.text().slice(1));
      offsets.push(event.offset);
      seen.add(number);
      if (number === 100 && restarting === undefined) {
        await control("kill");
        restarting = control("restart").then(() => fillAgain(producer, name, 200, 300));
        restarting.catch(() => {});
      }
      if (number === 299) break;
    }
    await restarting;
    assertEquals([...seen], range(0, 300));
    assertEquals(offsets, range(0, offsets.length));
    assertEquals(saved, range(0, offsets.length - 1));
    const sinceNext = offsets.filter((offset) => offset >= 200).length;
    assertEquals([...new Set(await take(next, sinceNext))], range(200, 300));
    await next.close();
  },
});

once("a filter lets through only what was sent with its values", {
  broker: "rabbitmq",
  async fn({ connect, queue }) {
    const client = await connect(RECONNECTING);
    const name = queue();
    const stream = client.destination(name, { queue: { type: "stream" } });
    for (let i = 0; i < 30; i++) {
      const filterValue = [undefined, "red", "blue"][i % 3];
      await stream.send(`m${i}`, filterValue === undefined ? {} : { filterValue });
    }
    const red = range(0, 30).filter((i) => i % 3 === 1);
    await using onlyRed = client.stream(name, { from: "first", filter: "red" });
    assertEquals(await take(onlyRed, red.length), red);
    const others = range(0, 30).filter((i) => i % 3 !== 1);
    await using notRed = client.stream(name, { from: "first", filter: ["blue"], matchUnfiltered: true });
    assertEquals(await take(notRed, others.length), others);
  },
});

once("two streams and a checkpoint share a connection", {
  broker: "rabbitmq",
  async fn({ connect, queue }) {
    const client = await connect(RECONNECTING);
    const name = queue();
    await fill(client, name, 0, 20);
    let stored: number | undefined;
    const checkpoint = { load: () => stored, save: (offset: number) => void (stored = offset) };
    const one = client.stream(name, { from: "first", checkpoint });
    assertEquals(await take(one, 8), range(0, 8));
    await one.close();
    assertEquals(stored, 6); // the last one was delivered, and not handled
    const [again, other] = [client.stream(name, { checkpoint }), client.stream(name, { from: { offset: 15 } })];
    assertEquals([await take(again, 3), await take(other, 3)], [[7, 8, 9], [15, 16, 17]]);
    await Promise.all([again.close(), other.close()]);
    assertEquals(stored, 8);
  },
});

once("the broker's error says that a queue is not a stream, or does not exist", {
  broker: "rabbitmq",
  async fn({ connect, queue }) {
    const client = await connect(RECONNECTING);
    const name = queue();
    await client.send(name, "classic");
    const bare = name.slice("/queue/".length);
    const other = await connect(RECONNECTING);
    const refused = (destination: string, words: RegExp) =>
      assertRejects(() => other.stream(destination, { from: "first" }).next(), BrokerErrorResponse).then((error) =>
        assert(words.test(error.message), error.message)
      );
    await refused(name, /inequivalent arg 'x-queue-type'/);
    await refused("/amq/queue/no-such-stream", /no queue 'no-such-stream'/);
    await refused(`/amq/queue/${bare}`, /invalid arg|x-stream-offset/);
    // The message is still there.
    const subscription = await client.subscribe(name, { ack: "client-individual" });
    assertEquals((await subscription.take({ timeout: 8000 }))?.text(), "classic");
  },
});

once("a broker without streams is refused", {
  broker: ["activemq", "artemis"],
  async fn({ connect, queue }) {
    const client = await connect();
    await assertRejects(() => client.stream(queue()).next(), UnsupportedByBrokerError, "no streams");
  },
});
