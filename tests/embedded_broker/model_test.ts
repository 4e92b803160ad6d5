/** Random conversations with the broker's core, checked against a model. */
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import type { Frame } from "../../codec/frame.ts";
import type { Version } from "../../codec/protocol.ts";
import { testCore, type TestPeer } from "../support/test_core.ts";

/** A message that a peer received. */
interface Got {
  id: string;
  number: number;
  ack: Record<string, string>;
}

/** A subscription. */
interface Mode {
  mode: string;
  open: Got[];
}

/** A peer, with the state that it knows of. */
interface Actor extends TestPeer {
  version: Version;
  modes: Map<string, Mode>;
  /** Its open transaction: what it sent, and what it acknowledged or refused in it. */
  transaction: { sent: string[]; done: { subscription: Mode; some: Got[]; isNack: boolean }[] } | undefined;
}

/** Returns a random number generator that repeats for the same seed. */
function generator(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
}

const VERSIONS: Version[] = ["1.0", "1.1", "1.2"];
const MODES = ["auto", "client", "client-individual"];

async function converse(seed: number, steps: number): Promise<void> {
  const random = generator(seed);
  const pick = <T>(items: readonly T[]): T | undefined => items[random(items.length)];
  const { core, join } = testCore();
  const actors: Actor[] = [];
  const expected = new Set<string>(); // messages that the broker must hold or have delivered
  const settled = new Set<string>();
  let ids = 0;
  let deliveries = 0;

  const settle = (id: string) => {
    assert(expected.has(id), `${id} was never sent`);
    assert(!settled.has(id), `${id} was settled twice`);
    settled.add(id);
  };
  const take = (actor: Actor, frame: Frame) => {
    const { headers } = frame;
    if (frame.command !== "MESSAGE") return assertEquals(frame.command, "CONNECTED", frame.text());
    const id = frame.text();
    const subscription = actor.modes.get(headers["subscription"]!)!;
    assert(subscription, `${id} came for a subscription that has ended`);
    if (subscription.mode === "auto") return settle(id);
    const ack: Record<string, string> = actor.version === "1.2"
      ? { id: headers["ack"]! }
      : { "message-id": headers["message-id"]!, subscription: headers["subscription"]! };
    subscription.open.push({ id, number: ++deliveries, ack });
  };
  const receive = () => {
    for (const actor of actors) {
      for (const frame of actor.wire.sent.splice(0)) take(actor, frame);
      assert(!actor.wire.ended);
    }
  };
  const actions: ((actor: Actor) => void | Promise<void>)[] = [
    (actor) => {
      const id = String(++ids);
      const within = actor.transaction && random(2) === 0;
      actor.say("SEND", { destination: `/queue/${random(3)}`, ...(within ? { transaction: "t" } : {}) }, id);
      if (within) actor.transaction!.sent.push(id);
      else expected.add(id);
    },
    (actor) => {
      const id = String(++ids);
      const mode = pick(MODES)!;
      actor.modes.set(id, { mode, open: [] });
      const prefetch = random(2) === 0 ? { "prefetch-count": String(1 + random(4)) } : {};
      actor.say("SUBSCRIBE", { id, destination: `/queue/${random(3)}`, ack: mode, ...prefetch });
    },
    (actor) => {
      const [id] = pick([...actor.modes]) ?? [];
      if (id === undefined) return;
      actor.say("UNSUBSCRIBE", { id });
      actor.modes.delete(id);
    },
    (actor) => {
      const subscription = pick([...actor.modes.values()].filter(({ open }) => open.length > 0));
      if (subscription === undefined) return;
      const { mode, open } = subscription;
      const at = random(open.length);
      const some = mode === "client" ? open.splice(0, at + 1) : open.splice(at, 1);
      const isNack = actor.version !== "1.0" && random(4) === 0;
      const within = actor.transaction && random(2) === 0;
      // A refused message is redelivered: this core drops none.
      if (within) actor.transaction!.done.push({ subscription, some, isNack });
      else if (!isNack) { for (const { id } of some) settle(id); }
      actor.say(isNack ? "NACK" : "ACK", { ...some.at(-1)!.ack, ...(within ? { transaction: "t" } : {}) });
    },
    (actor) => {
      const { transaction } = actor;
      if (transaction === undefined) {
        actor.transaction = { sent: [], done: [] };
        return actor.say("BEGIN", { transaction: "t" });
      }
      const isCommit = random(2) === 0;
      for (const id of isCommit ? transaction.sent : []) expected.add(id);
      for (const { subscription, some, isNack } of transaction.done) {
        if (!isCommit) subscription.open = [...subscription.open, ...some].sort((a, b) => a.number - b.number);
        else if (!isNack) { for (const { id } of some) settle(id); }
      }
      actor.transaction = undefined;
      actor.say(isCommit ? "COMMIT" : "ABORT", { transaction: "t" });
    },
    (actor) => actor.wire.fill(),
    (actor) => actor.wire.drain(),
    (actor) => {
      if (random(4) > 0) return;
      actors.splice(actors.indexOf(actor), 1);
      if (random(2) === 0) core.leave(actor.peer);
      else actor.say("DISCONNECT", {});
    },
  ];
  for (let step = 0; step < steps; step++) {
    if (actors.length === 0 || random(20) === 0) {
      const version = pick(VERSIONS)!;
      actors.push({ ...join(version), version, modes: new Map(), transaction: undefined });
    }
    await pick(actions)!(pick(actors)!);
    receive();
  }
  for (let actor; (actor = actors.shift()) !== undefined;) {
    core.leave(actor.peer);
    receive();
  }

  // Drained and settled messages add up to all.
  const heir = join();
  for (let queue = 0; queue < 3; queue++) heir.say("SUBSCRIBE", { id: String(queue), destination: `/queue/${queue}` });
  const left = heir.wire.sent.splice(1);
  for (const frame of left) settle(frame.text());
  assertEquals([...expected].filter((id) => !settled.has(id)), []);
  core.leave(heir.peer);
  assertEquals(core.stats, { destinations: 0, messages: 0 });
}

test("the core loses no message and settles none twice in 100 random conversations", async () => {
  for (let seed = 1; seed <= 100; seed++) {
    try {
      await converse(seed, 400);
    } catch (error) {
      throw new Error(`Conversation ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
});
