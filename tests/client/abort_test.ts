/**
 * A walk along everything that waits: with a signal that has aborted already, with one that aborts while it waits, and
 * with a time that is over. Each call rejects with the reason or a `TimeoutError`, nothing is left open, which the
 * sanitizers prove, and the client goes on.
 */
import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects, assertStrictEquals } from "#assert";
import { test } from "#test";
import { ConnectionTimeoutError, Frame, type Message, openSocket, Simple, Stomp, TimeoutError } from "../../mod.ts";
import type { WaitOptions } from "../../base/timers.ts";
import type { FrameSocket } from "../../codec/frame.ts";
import type { Subscription } from "../../client/subscription.ts";
import type { Transaction } from "../../client/transaction.ts";
import { type ClientHarness, clientTest, frame, subscribed } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, message } from "../support/raw_server.ts";

/** What the calls are made on. */
interface Scene {
  stomp: Stomp;
  simple: Simple;
  peer: RawPeer;
  simplePeer: RawPeer;
  tx: Transaction;
  subscription: Subscription;
  received: Message;
  sock: FrameSocket;
  silentUrl: string;
}

let begun = 0;

/** A BEGIN with a receipt id of the test. */
function begin(): Frame {
  const id = `own-${++begun}`;
  return frame("BEGIN", { transaction: id, receipt: id });
}

type Call = [name: string, call: (scene: Scene, wait: WaitOptions) => Promise<unknown>];

/** Calls that wait for an answer, or a message, that does not come. */
const WAITING: Call[] = [
  ["Stomp.connect", ({ silentUrl }, wait) => Stomp.connect(silentUrl, { connectTimeout: 20_000, ...wait })],
  ["stomp.connect", ({ silentUrl }, wait) => new Stomp(silentUrl).connect(wait)],
  ["send", ({ stomp }, wait) => stomp.send("/q", "x", wait)],
  ["send with options", ({ stomp }, wait) => stomp.send("/q", "x", { ...wait, persistent: true })],
  ["send by conf", ({ stomp }, wait) => stomp.send({ destination: "/q", body: "x", ...wait })],
  ["subscribe", ({ stomp }, wait) => stomp.subscribe("/q", wait)],
  ["subscribe by conf", ({ stomp }, wait) => stomp.subscribe({ destination: "/q", ...wait })],
  ["request", ({ stomp }, wait) => stomp.request("/q", "x", wait)],
  ["respond", ({ stomp }, wait) => stomp.respond("/q", () => "x", wait)],
  ["begin", ({ stomp }, wait) => stomp.begin({ ...wait })],
  ["transaction", ({ stomp }, wait) => stomp.transaction(() => new Promise(() => {}), wait)],
  ["receiveFrame", ({ stomp }, wait) => stomp.receiveFrame(null, wait)],
  ["sendFrame", ({ stomp }, wait) => stomp.sendFrame(begin(), wait)],
  ["sendFrame SUBSCRIBE", ({ stomp }, wait) => stomp.sendFrame(frame("SUBSCRIBE", { destination: "/q" }), wait)],
  ["subscription.take", ({ subscription }, wait) => subscription.take(wait)],
  ["frame.getMessage", ({ stomp }, wait) => new Frame(stomp.sock).getMessage(wait)],
  ["frame.getReply", ({ stomp }, wait) => new Frame(stomp.sock).getReply(wait)],
  ["frame.parseFrame", ({ stomp }, wait) => new Frame(stomp.sock).parseFrame(wait)],
  ["frame.sendFrame", ({ stomp }, wait) => new Frame(stomp.sock).sendFrame(begin(), wait)],
  ["frame.getMessage over openSocket", ({ sock }, wait) => new Frame(sock).getMessage(wait)],
  ["frame.sendFrame over openSocket", ({ sock }, wait) => new Frame(sock).sendFrame(begin(), wait)],
  ["frame.connect over openSocket", ({ sock }, wait) => new Frame().connect(sock, wait)],
  ["simple.connect", ({ silentUrl }, wait) => new Simple(silentUrl).connect(wait)],
  ["simple.put", ({ simple }, wait) => simple.put("x", "/q", wait)],
  ["simple.get", ({ simple }, wait) => simple.get(wait)],
  ["simple.subscribe", ({ simple }, wait) => simple.subscribe("/q", wait)],
  ["simple.begin", ({ simple }, wait) => simple.begin(wait)],
  // These end something, so they come last.
  ["unsubscribe by conf", ({ stomp }, wait) => stomp.unsubscribe({ destination: "/conf", ...wait })],
  ["simple.unsubscribe", ({ simple }, wait) => simple.unsubscribe("/conf", wait)],
  ["subscription.unsubscribe", ({ subscription }, wait) => subscription.unsubscribe(wait)],
  ["tx.commit", ({ tx }, wait) => tx.commit(wait)],
];

/** Calls that wait for nothing but room, which there is: only a signal that has aborted already keeps them. */
const AT_ONCE: Call[] = [
  ["send without receipt", ({ stomp }, wait) => stomp.send("/q", "x", { ...wait, receipt: false })],
  ["send in a transaction", ({ stomp, tx }, wait) => stomp.send("/q", "x", { ...wait, transaction: tx })],
  ["tx.send", ({ tx }, wait) => tx.send("/q", "x", wait)],
  ["tx.ack", ({ tx, received }, wait) => tx.ack(received, wait)],
  ["tx.nack", ({ tx, received }, wait) => tx.nack(received, wait)],
  ["ack", ({ received }, wait) => received.ack(wait)],
  ["nack", ({ received }, wait) => received.nack(wait)],
  ["stomp.ack", ({ stomp, received }, wait) => stomp.ack(received, wait)],
  ["stomp.nack", ({ stomp, received }, wait) => stomp.nack(received, wait)],
  ["sendFrame without receipt", ({ stomp }, wait) => stomp.sendFrame(frame("BEGIN", { transaction: "r" }), wait)],
  ["frame.sendFrame without receipt", ({ stomp }, wait) => {
    return new Frame(stomp.sock).sendFrame(frame("BEGIN", { transaction: "f" }), wait);
  }],
  ["stomp.commit", ({ stomp, tx }, wait) => stomp.commit({ transaction: tx.id, ...wait })],
  ["stomp.abort", ({ stomp, tx }, wait) => stomp.abort({ transaction: tx.id, ...wait })],
  ["tx.abort", ({ tx }, wait) => tx.abort(wait)],
  ["poll with receiveFrame", ({ stomp }, wait) => stomp.receiveFrame(null, { ...wait, nb: true })],
  ["openSocket", ({ silentUrl }, wait) => openSocket(silentUrl, wait)],
];

async function setScene(harness: ClientHarness): Promise<Scene> {
  const { stomp, peer } = await harness.pair({ timeout: 20_000 });
  const server = await harness.server();
  const simple = new Simple(server.url, { heartbeat: false, timeout: 20_000 });
  harness.atEnd(() => simple.disconnect({ signal: AbortSignal.abort() }));
  const [simplePeer] = await Promise.all([server.welcome(), simple.connect()]);
  await Promise.all([simple.subscribe("/conf"), confirm(simplePeer)]);
  await Promise.all([stomp.subscribe({ destination: "/conf" }), confirm(peer)]);
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  await peer.write(message(subscription.id, "m1"));
  const received = (await subscription.take())!;
  const [tx] = await Promise.all([stomp.begin({ transaction: "tx" }), confirm(peer)]);
  harness.atEnd(() => sock.close());
  const silent = await harness.server();
  const sock = await openSocket(silent.url);
  return { stomp, simple, peer, simplePeer, tx, subscription, received, sock, silentUrl: silent.url };
}

/** Fails a call that does not settle, by its name. */
async function soon(name: string, work: Promise<unknown>): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((_, reject) => timer = setTimeout(() => reject(new Error(`${name} goes on waiting`)), 5000));
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

clientTest("no call begins when its signal has aborted already", async (harness) => {
  const scene = await setScene(harness);
  const reason = new Error("before");
  for (const [name, call] of [...WAITING, ...AT_ONCE]) {
    const signal = AbortSignal.abort(reason);
    const error = await soon(name, call(scene, { signal }).then(() => "resolved", (error) => error));
    assertStrictEquals(error, reason, name);
  }
  // Nothing of it was sent, and nothing is over.
  const sending = scene.stomp.send("/q", "last");
  assertEquals((await confirm(scene.peer)).body, "last");
  await sending;
  await scene.tx.ack(scene.received);
  await scene.peer.frame("ACK");
  const putting = scene.simple.put("last", "/q");
  assertEquals((await confirm(scene.simplePeer)).body, "last");
  await putting;
  assertEquals([scene.stomp.pending, scene.tx.isOpen, scene.stomp.subscribed], [0, true, "/conf"]);
});

clientTest("each call rejects with the reason of a signal that aborts while it waits", async (harness) => {
  const scene = await setScene(harness);
  for (const [name, call] of WAITING) {
    const abort = new AbortController();
    const reason = new Error("during");
    const waiting = call(scene, { signal: abort.signal }).then(() => "resolved", (error) => error);
    await new Promise((resolve) => setTimeout(resolve, 5)); // wherever it is by then
    abort.abort(reason);
    assertStrictEquals(await soon(name, waiting), reason, name);
  }
  await goesOn(scene);
});

clientTest("each call rejects when its signal aborts at any microtask", async (harness) => {
  const scene = await setScene(harness);
  for (const [name, call] of WAITING.slice(0, -4)) {
    for (let steps = 0; steps < 12; steps++) {
      const abort = new AbortController();
      const reason = new Error(`after ${steps}`);
      const waiting = call(scene, { signal: abort.signal }).then(() => "resolved", (error) => error);
      for (let step = 0; step < steps; step++) await Promise.resolve();
      abort.abort(reason);
      assertStrictEquals(await soon(name, waiting), reason, name);
    }
  }
  await goesOn(scene);
});

clientTest("each call times out while it waits", async (harness) => {
  const scene = await setScene(harness);
  for (const [name, call] of WAITING) {
    const start = performance.now();
    const error = await soon(name, call(scene, { timeout: 10 }).then(() => "resolved", (error) => error));
    assert(error instanceof TimeoutError || error instanceof ConnectionTimeoutError, `${name}: ${error}`);
    assert(/\b10 ms/.test(error.message), `${name}: ${error.message}`);
    assertLess(performance.now() - start, 2000, name);
  }
  await goesOn(scene);
});

clientTest("a signal that aborts after a call changes nothing", async (harness) => {
  const { stomp, peer, subscription, tx } = await setScene(harness);
  const abort = new AbortController();
  const { signal } = abort;
  const wait = { signal };
  await Promise.all([stomp.send("/q", "x", wait), confirm(peer)]);
  const [other] = await Promise.all([stomp.subscribe("/q", wait), confirm(peer)]);
  await Promise.all([stomp.begin({ transaction: "t", ...wait }), confirm(peer)]);
  await Promise.all([tx.commit(wait), confirm(peer)]);
  await peer.write(message(subscription.id, "m2") + message(other.id, "m3"));
  const received = (await subscription.take(wait))!;
  await received.ack(wait);
  await peer.frame("ACK");
  abort.abort(new Error("after"));
  assertEquals((await other.take())?.id, "m3");
  await Promise.all([stomp.commit({ transaction: "t" }), confirm(peer, "COMMIT")]); // and nothing was taken back
  assertEquals(stomp.connected, true);
});

clientTest("each call that waits to write times out when the peer does not read", async (harness) => {
  const { stomp, peer, sock, received, tx } = await setScene(harness);
  const body = new Uint8Array(1 << 20);
  // A write that has room ends within a few turns of the event loop, however busy the machine is.
  const fill = async (write: () => Promise<unknown>) => {
    for (let isDone = true; isDone;) {
      isDone = false;
      write().then(() => isDone = true);
      for (let turn = 0; turn < 10 && !isDone; turn++) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await fill(() => stomp.send("/q", body, { receipt: false, signal: AbortSignal.timeout(60_000) }).catch(() => {}));
  const big = () => new Frame().buildFrame({ command: "SEND", headers: { destination: "/q" }, body });
  await fill(() => new Frame(sock).sendFrame(big()).catch(() => {}));
  const calls: Call[] = [
    ["send without receipt", (_, wait) => stomp.send("/q", "x", { ...wait, receipt: false })],
    ["send without receipt, with options", (_, wait) => {
      return stomp.send("/q", "x", { ...wait, receipt: false, persistent: true });
    }],
    ["send in a transaction", (_, wait) => tx.send("/q", "x", wait)],
    ["ack", (_, wait) => received.ack(wait)],
    ["sendFrame", (_, wait) => stomp.sendFrame(frame("BEGIN", { transaction: "b" }), wait)],
    ["frame.sendFrame", (_, wait) => new Frame(sock).sendFrame(frame("BEGIN", { transaction: "b" }), wait)],
  ];
  for (const [name, call] of calls) {
    const error = await soon(name, call({} as Scene, { timeout: 10 }).then(() => "resolved", (error) => error));
    assertInstanceOf(error, TimeoutError, name);
  }
  await peer.close();
});

/** After all that, the clients still work. */
async function goesOn({ stomp, simple, peer, simplePeer }: Scene): Promise<void> {
  for (const [say, at] of [[stomp.send("/q", "last"), peer], [simple.put("last", "/q"), simplePeer]] as const) {
    for (;;) {
      const said = await at.frame();
      if (said.body !== "last") continue;
      await at.write(`RECEIPT\nreceipt-id:${said.get("receipt")}\n\n\0`);
      break;
    }
    await say;
  }
  assertEquals([stomp.connected, stomp.pending], [true, 0]);
}

test("each call rejects with a RangeError for an invalid timeout", async () => {
  const stomp = new Stomp("stomp://localhost");
  for (const timeout of [NaN, -1, "5" as unknown as number]) {
    for (
      const call of [
        () => stomp.connect({ timeout }),
        () => stomp.drain({ timeout }),
        () => stomp.disconnect({ timeout }),
      ]
    ) {
      await assertRejects(call, RangeError, "Cannot wait: timeout is ");
    }
  }
});
