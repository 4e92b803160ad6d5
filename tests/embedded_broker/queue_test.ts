/** `Queue`: the order of messages, the turns of consumers, and the bytes in use. */
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { type Entry, Queue, type QueueConsumer, type QueueOwner } from "../../broker/queue.ts";
import { StoredMessage } from "../../broker/stored_message.ts";

const OWNER: QueueOwner = { schedule: () => {}, addBytes: () => {} };

class TestConsumer implements QueueConsumer {
  inRotation = false;
  isReady = true;
  readonly delivered: Entry[] = [];
  skips = 0;

  deliver(entry: Entry): void {
    this.delivered.push(entry);
  }

  onSkipped(): void {
    this.skips++;
  }

  onBacklogFull(): void {}

  get ids(): string {
    return this.delivered.map(({ message }) => message.id).join(" ");
  }
}

function message(id: number | string): StoredMessage {
  return new StoredMessage(String(id), {}, new Uint8Array(0));
}

test("`Queue.dispatch()` gives each consumer its turn and skips one that is not ready until `wake()`", () => {
  const queue = new Queue("q", OWNER);
  const consumers = [new TestConsumer(), new TestConsumer(), new TestConsumer()];
  for (const consumer of consumers) queue.addConsumer(consumer);
  consumers[1]!.isReady = false;
  for (let i = 0; i < 4; i++) queue.add(message(i));
  queue.dispatch();
  assertEquals(consumers.map(({ ids }) => ids), ["0 2", "", "1 3"]);
  assertEquals(consumers[1]!.skips, 1);
  consumers[1]!.isReady = true;
  for (let i = 4; i < 7; i++) queue.add(message(i));
  queue.wake(consumers[1]!);
  queue.wake(consumers[1]!);
  queue.dispatch();
  assertEquals(consumers.map(({ ids }) => ids), ["0 2 4", "6", "1 3 5"]);
});

test("`Queue.removeConsumer()` ends deliveries, also after `wake()`", () => {
  const queue = new Queue("q", OWNER);
  const [one, two] = [new TestConsumer(), new TestConsumer()];
  queue.addConsumer(one);
  queue.addConsumer(two);
  queue.removeConsumer(one);
  queue.wake(one);
  queue.add(message(1));
  queue.add(message(2));
  queue.dispatch();
  assertEquals([one.ids, two.ids], ["", "1 2"]);
});

test("`Queue.requeue()` restores the old positions in any order", () => {
  // Repeats the same numbers in every run.
  let seed = 42;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
  const queue = new Queue("q", OWNER);
  const consumer = new TestConsumer();
  queue.addConsumer(consumer);
  consumer.isReady = false;
  const waiting = new Set<number>();
  let added = 0;
  for (let round = 0; round < 3000; round++) {
    const dice = random(3);
    if (dice === 0) {
      waiting.add(added);
      queue.add(message(added++));
    } else if (dice === 1 && consumer.delivered.length > 0) {
      const [entry] = consumer.delivered.splice(random(consumer.delivered.length), 1);
      queue.requeue(entry!);
      assert(entry!.isRedelivered);
      waiting.add(Number(entry!.message.id));
    } else if (waiting.size > 0) {
      // Ready for one message, which must be the first of those that wait.
      const before = consumer.delivered.length;
      Object.defineProperty(consumer, "isReady", {
        get: () => consumer.delivered.length === before,
        configurable: true,
      });
      queue.wake(consumer);
      queue.dispatch();
      const id = Number(consumer.delivered.at(-1)!.message.id);
      assertEquals(id, Math.min(...waiting));
      waiting.delete(id);
    }
  }
  assertEquals(queue.messages, added);
  for (const entry of consumer.delivered) queue.remove(entry);
  assertEquals(queue.messages, waiting.size);
});

test("`Queue` counts messages until `remove()`, and `close()` drops those that are queued", () => {
  let kept = 0;
  const queue = new Queue(undefined, { schedule: () => {}, addBytes: (bytes) => void (kept += bytes) });
  const consumer = new TestConsumer();
  queue.addConsumer(consumer);
  for (let i = 0; i < 3; i++) queue.add(message(i));
  queue.dispatch();
  assertEquals([queue.messages, kept >= queue.bytes, queue.bytes > 0], [3, true, true]);
  queue.remove(consumer.delivered[0]!);
  assertEquals(queue.messages, 2);
  queue.requeue(consumer.delivered[1]!);
  queue.close();
  // A delivered message counts until it is requeued.
  assertEquals([queue.messages, kept > 0], [1, true]);
  queue.requeue(consumer.delivered[2]!);
  assertEquals([queue.messages, queue.bytes, kept], [0, 0, 0]);
  queue.removeConsumer(consumer);
  assert(queue.isUnused);
});

test("`StoredMessage` in several queues counts once until the last of them drops it", () => {
  let kept = 0;
  const owner: QueueOwner = { schedule: () => {}, addBytes: (bytes) => void (kept += bytes) };
  const one = new StoredMessage("1", {}, new Uint8Array(100_000));
  const queues = Array.from({ length: 10 }, () => new Queue(undefined, owner));
  for (const queue of queues) queue.add(one);
  assert(kept >= 100_000 && kept < 110_000, String(kept));
  for (const queue of queues) {
    assert(kept >= 100_000);
    queue.close();
  }
  assertEquals(kept, 0);
});
