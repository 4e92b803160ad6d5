/** The order of the broker's queues, whatever comes back to them when. */
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { type Entry, Queue, type QueueKeeper, StoredMessage, type Taker } from "../../broker/queue.ts";

const KEEPER: QueueKeeper = { touch: () => {}, count: () => {} };

class TestTaker implements Taker {
  inLine = false;
  ready = true;
  readonly taken: Entry[] = [];
  passed = 0;

  take(entry: Entry): void {
    this.taken.push(entry);
  }

  passedOver(): void {
    this.passed++;
  }

  tooSlow(): void {}

  get ids(): string {
    return this.taken.map(({ message }) => message.id).join(" ");
  }
}

function message(id: number | string): StoredMessage {
  return new StoredMessage(String(id), {}, new Uint8Array(0));
}

test("takers take turns; one that is not ready is passed over once and waits to be woken", () => {
  const queue = new Queue("q", KEEPER);
  const takers = [new TestTaker(), new TestTaker(), new TestTaker()];
  for (const taker of takers) queue.join(taker);
  takers[1]!.ready = false;
  for (let i = 0; i < 4; i++) queue.add(message(i));
  queue.serve();
  assertEquals(takers.map(({ ids }) => ids), ["0 2", "", "1 3"]);
  assertEquals(takers[1]!.passed, 1);
  takers[1]!.ready = true;
  for (let i = 4; i < 7; i++) queue.add(message(i));
  queue.wake(takers[1]!);
  queue.wake(takers[1]!);
  queue.serve();
  assertEquals(takers.map(({ ids }) => ids), ["0 2 4", "6", "1 3 5"]);
});

test("a taker that leaves gets nothing more, and cannot be woken", () => {
  const queue = new Queue("q", KEEPER);
  const [one, two] = [new TestTaker(), new TestTaker()];
  queue.join(one);
  queue.join(two);
  queue.leave(one);
  queue.wake(one);
  queue.add(message(1));
  queue.add(message(2));
  queue.serve();
  assertEquals([one.ids, two.ids], ["", "1 2"]);
});

test("what comes back takes its old place, in whatever order it comes", () => {
  // A small generator of our own: the same numbers in every run.
  let seed = 42;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
  const queue = new Queue("q", KEEPER);
  const taker = new TestTaker();
  queue.join(taker);
  taker.ready = false;
  const waiting = new Set<number>();
  let added = 0;
  for (let round = 0; round < 3000; round++) {
    const dice = random(3);
    if (dice === 0) {
      waiting.add(added);
      queue.add(message(added++));
    } else if (dice === 1 && taker.taken.length > 0) {
      const [entry] = taker.taken.splice(random(taker.taken.length), 1);
      queue.putBack(entry!);
      assert(entry!.redelivered);
      waiting.add(Number(entry!.message.id));
    } else if (waiting.size > 0) {
      // One, and it must be the first of those that wait.
      const before = taker.taken.length;
      Object.defineProperty(taker, "ready", { get: () => taker.taken.length === before, configurable: true });
      queue.wake(taker);
      queue.serve();
      const id = Number(taker.taken.at(-1)!.message.id);
      assertEquals(id, Math.min(...waiting));
      waiting.delete(id);
    }
  }
  assertEquals(queue.messages, added);
  for (const entry of taker.taken) queue.settle(entry);
  assertEquals(queue.messages, waiting.size);
});

test("bytes and messages are counted until they are settled; when the queue closes, those that wait are dropped", () => {
  let kept = 0;
  const queue = new Queue(undefined, { touch: () => {}, count: (bytes) => void (kept += bytes) });
  const taker = new TestTaker();
  queue.join(taker);
  for (let i = 0; i < 3; i++) queue.add(message(i));
  queue.serve();
  assertEquals([queue.messages, kept >= queue.bytes, queue.bytes > 0], [3, true, true]);
  queue.settle(taker.taken[0]!);
  assertEquals(queue.messages, 2);
  queue.putBack(taker.taken[1]!);
  queue.close();
  // What is out is still held by somebody, and counts until it comes back.
  assertEquals([queue.messages, kept > 0], [1, true]);
  queue.putBack(taker.taken[2]!);
  assertEquals([queue.messages, queue.bytes, kept], [0, 0, 0]);
  queue.leave(taker);
  assert(queue.idle);
});

test("a message in several queues counts once, until the last of them is done with it", () => {
  let kept = 0;
  const reconnector: QueueKeeper = { touch: () => {}, count: (bytes) => void (kept += bytes) };
  const one = new StoredMessage("1", {}, new Uint8Array(100_000));
  const queues = Array.from({ length: 10 }, () => new Queue(undefined, reconnector));
  for (const queue of queues) queue.add(one);
  assert(kept >= 100_000 && kept < 110_000, String(kept));
  for (const queue of queues) {
    assert(kept >= 100_000);
    queue.close();
  }
  assertEquals(kept, 0);
});
