/** The whole client over WebSocket: on the embedded broker, and on stomp-broker-js, which answers no receipt at all. */
import { assert, assertEquals, assertInstanceOf, assertLess, assertMatch, assertRejects } from "#assert";
import { test } from "#test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Broker } from "../../broker/broker.ts";
import { StompError, TimeoutError } from "../../base/errors.ts";
import { Frame, type FrameSocket } from "../../codec/frame.ts";
import type { Message } from "../../client/message.ts";
import { openSocket } from "../../session/open_socket.ts";
import { BoundedQueue } from "../../base/bounded_queue.ts";
import { NO_HEARTBEAT } from "../../connection/heartbeat.ts";
import { Backlog } from "../../session/backlog.ts";
import { Session } from "../../session/session.ts";
import { connectWebSocket } from "../../transport/websocket.ts";
import { Simple } from "../../api/simple.ts";
import { Stomp } from "../../api/stomp.ts";
import type { StompOptions } from "../../client/options.ts";
import { bundle } from "../browser/bundle.ts";
import { readModule } from "../support/modules.ts";
import { runtime } from "../support/runtime.ts";
import { pattern } from "../support/sockets.ts";
import { bridgeTo } from "../support/websocket_bridge.ts";
import { OPCODES, WebSocketPeer } from "../support/websocket_peer.ts";

/** The embedded broker behind a WebSocket. */
interface Rig {
  url: string;
  /** Breaks all connections. */
  breakAll(): void;
  /** Connects a client, which is disconnected when the test ends. */
  connect(options?: StompOptions): Promise<Stomp>;
}

function withBroker(title: string, fn: (harness: Rig) => Promise<void>): void {
  test(title, async () => {
    const broker = await Broker.listen();
    const bridge = await bridgeTo(broker);
    const clients: Stomp[] = [];
    try {
      await fn({
        url: bridge.url,
        breakAll: () => bridge.breakAll(),
        async connect(options) {
          clients.push(await Stomp.connect(bridge.url, options));
          return clients.at(-1)!;
        },
      });
    } finally {
      await Promise.all(clients.map((client) => client.disconnect()));
      await bridge.close();
      await broker.close();
    }
  });
}

withBroker("messages go both ways, are acknowledged, and the client ends", async ({ connect }) => {
  const stomp = await connect();
  assertEquals(stomp.version, "1.2");
  const messages = await stomp.subscribe("/queue/a", { ack: "client-individual" });
  const bodies = ["žluťoučký kůň 🐎", "a\0b\n\n", pattern(300_000)];
  for (const body of bodies) {
    await stomp.send("/queue/a", body, { headers: { colour: "žlutá:\n" } });
    const { value: message } = await messages.next();
    assertEquals(typeof body === "string" ? message!.text() : message!.body, body);
    assertEquals(message!.headers["colour"], "žlutá:\n");
    await message!.ack();
  }
  await messages.unsubscribe();
});

withBroker("many messages at once arrive in order", async ({ connect }) => {
  const stomp = await connect({ versions: ["1.1"] });
  assertEquals(stomp.version, "1.1");
  const messages = await stomp.subscribe("/queue/a");
  const count = 3000;
  const sending = Promise.all(Array.from({ length: count }, (_, i) => stomp.send("/queue/a", String(i))));
  let next = 0;
  for await (const message of messages) {
    assertEquals(message.text(), String(next));
    if (++next === count) break;
  }
  await sending;
});

withBroker("a transaction, NACK, and the faces of stompy", async ({ connect, url }) => {
  const stomp = await connect();
  await stomp.transaction(async (tx) => {
    await tx.send("/queue/a", "within");
  });
  const client = new Simple(url);
  await client.connect();
  await client.subscribe("/queue/a", { ack: "client" });
  const message = await client.get() as Message;
  assertEquals(message.text(), "within");
  await client.ack(message);
  await client.disconnect();

  const sock = await openSocket(url);
  const frame = new Frame();
  await frame.connect(sock, { username: "guest", password: "guest" });
  const reply = await frame.sendFrame(
    new Frame().buildFrame({ command: "SEND", headers: { destination: "/queue/b" }, body: "b" }, { wantReceipt: true }),
  );
  assertEquals((reply as Frame | undefined)?.command, "RECEIPT");
  await sock.close();
});

withBroker(
  "the client reconnects, and sends unconfirmed messages again",
  async ({ connect, breakAll }) => {
    const stomp = await connect();
    const messages = await stomp.subscribe("/queue/a", { ack: "client-individual" });
    await stomp.send("/queue/a", "before");
    const { value: before } = await messages.next();
    await before!.ack();
    breakAll();
    await stomp.send("/queue/a", "after");
    for await (const message of messages) {
      await message.ack();
      if (message.text() === "after") break; // the first one may come again: its ACK may not have arrived
    }
  },
);

test("heart-beats are received by default, and sent when `heartbeat` asks for them", async () => {
  const peer = await WebSocketPeer.listen();
  for (const [heartbeat, offered] of [[undefined, "0,10000"], [5000, "5000,5000"], [false, "0,0"]] as const) {
    const connecting = Stomp.connect(`ws://127.0.0.1:${peer.port}/`, { heartbeat, reconnect: false });
    const end = await peer.accept();
    assertMatch(await end.nextText(), new RegExp(`^heart-beat:${offered}$`, "m"));
    end.send("CONNECTED\nversion:1.2\n\n\0");
    await (await connecting).disconnect({ timeout: 50 });
  }
  await peer.close();
});

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** stomp-broker-js, as far as it is used here; it has no types. */
type StompServerClass = new (options: object) => {
  send(destination: string, headers: Record<string, string>, body: string): void;
  subscribe(destination: string, callback: (body: string, headers: Record<string, string>) => void): string;
};

test("each call on stomp-broker-js, which sends no receipts, ends by its timeout at the latest", async () => {
  const name: string = "stomp-broker-js"; // not a literal, as it has no types
  const { default: StompServer } = await import(name) as { default: StompServerClass };
  const http = createServer();
  const server = new StompServer({ server: http, path: "/stomp", heartbeat: [0, 0] });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/stomp`;
  let sock: FrameSocket | undefined;
  let stomp: Stomp | undefined;
  try {
    const begun = performance.now();
    const client = stomp = new Stomp(url, { timeout: 300, reconnect: false, broker: "unknown" });
    await client.connect(); // for which there is more time
    assertEquals(client.version, "1.1");

    // What asks for no receipt works.
    const received: string[] = [];
    server.subscribe("/queue/there", (body) => received.push(body));
    await client.send("/queue/there", "žluťoučký kůň", { receipt: false });
    await client.send("/queue/there", "a second frame", { receipt: false });

    // Calls that wait for a receipt reject.
    const late: [string, () => Promise<unknown>][] = [
      ["send", () => client.send("/queue/there", "confirmed?")],
      ["send with a timeout", () => client.send("/queue/there", "confirmed?", { timeout: 50 })],
      ["subscribe", () => client.subscribe("/queue/here")],
      ["begin", () => client.transaction((tx) => tx.send("/queue/there", "x"))],
    ];
    for (const [what, call] of late) {
      const error = await assertRejects(call, StompError);
      assertInstanceOf(error, TimeoutError, `${what}: ${error}`);
    }
    assertEquals(received.slice(0, 2), ["žluťoučký kůň", "a second frame"]);

    // Once the broker is recognized, they do not wait for one.
    await using other = await Stomp.connect(url, { timeout: 5000, reconnect: false });
    const subscription = await other.subscribe("/queue/between");
    assertEquals(await other.send("/queue/there", "no receipt"), undefined);
    await subscription.unsubscribe();
    await other.disconnect({ timeout: 300 });

    // And what it sends arrives.
    sock = await openSocket(url);
    const frame = new Frame();
    await frame.connect(sock);
    const subscribe = { command: "SUBSCRIBE", headers: { id: "1", destination: "/queue/here" } };
    await frame.sendFrame(new Frame().buildFrame(subscribe));
    const message = frame.getMessage({ timeout: 5000 });
    let waiting = true;
    message.finally(() => waiting = false).catch(() => {});
    while (waiting) { // it says nothing of when the subscription is there
      // It adds no destination, and counts characters for content-length, so the text is ASCII.
      server.send("/queue/here", { destination: "/queue/here" }, "from there");
      await delay(20);
    }
    assertEquals((await message)?.text(), "from there");

    const disconnecting = performance.now();
    await client.disconnect({ timeout: 300 });
    assertLess(performance.now() - disconnecting, 3000);
    assertEquals(await client.closed, undefined);
    assert(performance.now() - begun < 15_000);
  } finally {
    await Promise.all([sock?.close(), stomp?.disconnect({ timeout: 300 })]);
    http.closeAllConnections();
    await new Promise<void>((resolve) => http.close(() => resolve()));
  }
});

test({
  // That it works in one is for tests/brokers/browser_test.ts to show.
  name: "a bundle for browsers imports nothing",
  ignore: runtime !== "deno", // Deno has the bundler
  timeout: 150_000,
  async fn() {
    const script = await bundle("mod.ts");
    assertMatch(script, /^export \{[^}]*\bStomp\b/m);
    assertEquals(readModule(script).imports, []);
    assertEquals(script.match(/\brequire\(/g), null);
  },
});

test("unread data above `maxUnread` ends the connection, even while an answer is awaited", async () => {
  const server = await WebSocketPeer.listen();
  try {
    const [transport, far] = await Promise.all([
      connectWebSocket({ hostname: "127.0.0.1", port: server.port, maxUnread: 1 << 20 }),
      server.accept(),
    ]);
    const opening = Session.open(transport, { host: "/", heartbeat: NO_HEARTBEAT, timeout: 10_000 });
    far.send("CONNECTED\nversion:1.2\n\n\0");
    const session = await opening;
    const inbox = new BoundedQueue<Frame>(new Backlog(), (fill) => session.gate.close(inbox, fill === "blocked"), {
      items: 10,
    });
    session.subscriptions.expect({ id: "1", destination: "/queue/a", deliver: (message) => inbox.put(message) });
    const answer = session.request(new Frame().buildFrame({ command: "BEGIN", headers: { transaction: "a" } }));
    answer.catch(() => {});
    const body = "x".repeat(10_000);
    const large = new TextEncoder().encode(`MESSAGE\nsubscription:1\nmessage-id:1\n\n${body}\0`);
    for (let i = 0; i < 1000; i++) far.frame(OPCODES.text, large);
    await far.rest();
    assertEquals([far.closeCode, inbox.fill, inbox.length], [1000, "blocked", 80]);
    // What was received before is still given out.
    let taken = 0;
    while (session.isOpen) {
      if (inbox.takeNow() !== undefined) taken++;
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assertLess(taken, 80 + 120);
    const error = await assertRejects(() => answer, StompError);
    assertMatch(error.message, /Cannot confirm BEGIN: .* more than 1048576 bytes wait to be read/);
  } finally {
    await server.close();
  }
});
