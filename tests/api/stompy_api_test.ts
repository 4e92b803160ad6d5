/**
 * Everything that stompy documents, one test for each row of the table in README.md, against a broker over TCP.
 * stompy's `Simple` is tested in simple_test.ts.
 */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "#assert";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  Frame,
  IntermediateMessageQueue,
  type Message,
  NotConnectedError,
  openSocket,
  Stomp,
  StompError,
  SubscriptionError,
  UnknownBrokerResponseError,
} from "../../mod.ts";
import type { FrameSocket } from "../../codec/frame.ts";
import { type ClientHarness, clientTest } from "../support/client_harness.ts";

/** A frame on a socket that is connected to a broker: its own, or that of a `Stomp`. */
async function connectedFrame(harness: ClientHarness, by: "openSocket" | "Stomp"): Promise<Frame> {
  const broker = await harness.broker({ login: "guest", passcode: "secret" });
  if (by === "Stomp") {
    const stomp = await harness.connect(broker.url, { username: "guest", password: "secret" });
    return new Frame(stomp.sock);
  }
  const sock = await openSocket(broker.url);
  harness.atEnd(() => sock.close());
  const frame = new Frame();
  await frame.connect(sock, { username: "guest", password: "secret" });
  return frame;
}

/** Sends a frame made by hand with a receipt, and gives the receipt. */
async function say(frame: Frame, command: string, headers: Record<string, string> = {}, body?: string): Promise<Frame> {
  const made = new Frame(frame.sock).buildFrame({ command, headers, body }, { wantReceipt: true });
  return (await frame.sendFrame(made))!;
}

clientTest("Frame(sock), connect(sock, username, password, clientid), session", async (harness) => {
  const broker = await harness.broker({ login: "guest", passcode: "secret" });
  const sock = await openSocket(broker.url);
  harness.atEnd(() => sock.close());
  assertEquals(sock.host, "/");
  const frame = new Frame(sock);
  assertStrictEquals(frame.sock, sock);
  assertEquals(frame.session, undefined);
  await frame.connect(sock, { username: "guest", password: "secret", clientId: "me" });
  assertEquals([frame.session?.["version"], sock.version], ["1.2", "1.2"]);

  const refused = await openSocket(broker.url);
  harness.atEnd(() => refused.close());
  const error = await assertRejects(
    () => new Frame().connect(refused, { username: "guest", password: "wrong" }),
    BrokerErrorResponse,
  );
  assertEquals(error.frame?.command, "ERROR");
  assert(error.frame!.text() !== ""); // stompy loses it
});

clientTest("build_frame(args, want_receipt), as_string(): the caller's object stays unchanged", async (harness) => {
  const frame = await connectedFrame(harness, "openSocket");
  const parts = { command: "SEND", headers: { destination: "/queue/a", "x-a": "b:c\n" }, body: "hi" };
  const before = structuredClone(parts);
  const made = new Frame(frame.sock);
  assertStrictEquals(made.buildFrame(parts, { wantReceipt: true }), made);
  assertEquals(parts, before);
  assert(made.headers["receipt"] !== undefined);
  const text = made.asString();
  assert(text.startsWith("SEND\ndestination:/queue/a\nx-a:b\\cc\\n\n"), text);
  assert(text.endsWith("\n\nhi\0"), text);
  assertEquals(new TextDecoder().decode(made.encode("1.2")), text);
});

for (const by of ["openSocket", "Stomp"] as const) {
  clientTest(`send_frame, get_message, get_reply, parse_frame, over ${by}`, async (harness) => {
    const frame = await connectedFrame(harness, by);
    assertEquals(await frame.getMessage({ nb: true }), undefined);
    assertEquals(await frame.getReply({ nb: true }), undefined);
    assertEquals(await frame.parseFrame({ nb: true }), undefined);

    const made = new Frame(frame.sock).buildFrame({
      command: "SUBSCRIBE",
      headers: { destination: "/queue/a", id: "0", ack: "client" },
    }, { wantReceipt: true });
    const reply = await frame.sendFrame(made);
    assertEquals([reply?.command, reply?.headers["receipt-id"]], ["RECEIPT", made.headers["receipt"]]);

    // Without a receipt there is no reply.
    const plain = new Frame().buildFrame({ command: "SEND", headers: { destination: "/queue/a" }, body: "one" });
    assertEquals(await frame.sendFrame(plain), undefined);
    // The message may come before the receipt, and is kept.
    await say(frame, "SEND", { destination: "/queue/a" }, "two");
    const one = await frame.getMessage();
    assertEquals([one?.command, one?.text(), one?.headers["subscription"]], ["MESSAGE", "one", "0"]);
    assertEquals((await frame.getMessage())?.text(), "two");
    await frame.sendFrame(new Frame().buildFrame({ command: "ACK", headers: { id: one!.headers["ack"]! } }));

    const asked = new Frame(frame.sock).buildFrame({ command: "BEGIN", headers: { transaction: "t" } }, {
      wantReceipt: true,
    });
    await frame.sock!.writeFrame(asked);
    assertEquals((await frame.parseFrame())?.headers["receipt-id"], asked.headers["receipt"]);
    await frame.sock!.writeFrame(
      new Frame(frame.sock).buildFrame({ command: "ABORT", headers: { transaction: "t" } }, { wantReceipt: true }),
    );
    assertEquals((await frame.getReply())?.command, "RECEIPT");
    await say(frame, "UNSUBSCRIBE", { id: "0" });
  });

  clientTest(`get_reply throws an ERROR with its frame, over ${by}`, async (harness) => {
    const frame = await connectedFrame(harness, by);
    const error = await assertRejects(
      () => say(frame, "COMMIT", { transaction: "nosuch" }),
      BrokerErrorResponse,
      "Broker answered ERROR",
    );
    assert(error.frame!.headers["receipt-id"] !== undefined);
    await assertRejects(() => frame.getReply(), StompError); // and then the connection is over
  });
}

clientTest(
  "Frame over the socket of a Stomp: refuses subscription ids in use, CONNECT and DISCONNECT",
  async (harness) => {
    const broker = await harness.broker();
    const stomp = await harness.connect(broker.url);
    await stomp.subscribe("/queue/a", { id: "0" });
    const frame = new Frame(stomp.sock);
    await assertRejects(
      () => say(frame, "SUBSCRIBE", { destination: "/queue/b", id: "0" }),
      SubscriptionError,
      "in use",
    );
    await assertRejects(() => frame.connect(stomp.sock!), TypeError, "connected already");
    await assertRejects(() => say(frame, "DISCONNECT"), TypeError, "call its disconnect()");
    await stomp.send("/queue/x", "both live on");
    await stomp.disconnect();
    await assertRejects(() => frame.getMessage(), NotConnectedError);
    await assertRejects(() => say(frame, "BEGIN", { transaction: "t" }), NotConnectedError);
  },
);

clientTest("parse_command, parse_headers", async (harness) => {
  const frame = await connectedFrame(harness, "openSocket");
  assertEquals(frame.parseCommand("MESSAGE\nfoo:bar\n\n"), "MESSAGE");
  assertEquals({ ...frame.parseHeaders("foo:bar\na\\cb:c\\nd\n") }, { foo: "bar", "a:b": "c\nd" });
});

clientTest("Frame without a socket: its verbs reject", async () => {
  const calls = (frame: Frame) => [frame.getMessage(), frame.getReply(), frame.parseFrame(), frame.sendFrame(frame)];
  for (const call of calls(new Frame())) await assertRejects(() => call, NotConnectedError, "it has no socket");
});

clientTest("IntermediateMessageQueue.put(frame), .get(frame, nb)", async (harness) => {
  const frame = await connectedFrame(harness, "openSocket");
  const queue = new IntermediateMessageQueue<Frame>();
  const kept = new Frame().buildFrame({ command: "MESSAGE", headers: { destination: "/queue/a" } });
  queue.put(kept);
  queue.put(new Frame().buildFrame({ command: "RECEIPT", headers: { "receipt-id": "1" } })); // has no destination
  assertStrictEquals(await queue.get(frame), kept);
  assertEquals(await queue.get(frame, { nb: true }), undefined);
  await say(frame, "SUBSCRIBE", { destination: "/queue/a", id: "0" });
  await frame.sendFrame(new Frame().buildFrame({ command: "SEND", headers: { destination: "/queue/a" }, body: "x" }));
  assertEquals((await queue.get(frame))?.text(), "x"); // pulled from the socket
});

clientTest("BrokerErrorResponse and UnknownBrokerResponseError", async (harness) => {
  const server = await harness.server();
  for (
    const [answer, expected] of [["ERROR\n\n\0", BrokerErrorResponse], [
      "FOO\n\n\0",
      UnknownBrokerResponseError,
    ]] as const
  ) {
    const sock: FrameSocket = await openSocket(server.url);
    harness.atEnd(() => sock.close());
    const peer = await server.accept();
    const connecting = new Frame().connect(sock);
    await peer.write(answer);
    assertInstanceOf(await assertRejects(() => connecting, expected), StompError);
  }
});

clientTest("`openSocket()`: `frame.connect()` rejects when the broker chooses an unknown version", async (harness) => {
  const server = await harness.server();
  const sock = await openSocket(server.url);
  harness.atEnd(() => sock.close());
  const peer = await server.accept();
  const connecting = new Frame().connect(sock);
  await peer.write("CONNECTED\nversion:9.9\n\n\0");
  await assertRejects(() => connecting, UnknownBrokerResponseError, 'the broker chose version "9.9"');
});

clientTest(
  "Stomp(hostname, port), connect(username, password, clientid), connected, disconnect(conf)",
  async (harness) => {
    const broker = await harness.broker({ login: "guest", passcode: "secret" });
    const stomp = new Stomp("127.0.0.1", broker.port);
    assertEquals(stomp.connected, false);
    await stomp.connect("guest", "secret", "me");
    assertEquals(stomp.connected, true);
    const conf = { "x-why": "done", timeout: 5000 };
    await stomp.disconnect(conf);
    assertEquals([stomp.connected, conf], [false, { "x-why": "done", timeout: 5000 }]);

    const wrong = harness.client(broker.url);
    await assertRejects(() => wrong.connect("guest", "wrong"), BrokerErrorResponse, "login refused");
    await wrong.connect({ username: "guest", password: "secret" }); // a failed connect can be tried again
    assertEquals(wrong.connected, true);
    assertThrows(() => new Stomp("127.0.0.1", 0), TypeError, "Cannot use port 0");
    assertThrows(() => new Stomp("localhost:61613", 61613), TypeError, "includes a port");
  },
);

clientTest(
  "send, subscribe, receive_frame, poll, ack, unsubscribe, subscribed; confs stay unchanged",
  async (harness) => {
    const broker = await harness.broker();
    const stomp = await harness.connect(broker.url);
    const destination = { destination: "/queue/a" };
    const confs = {
      subscribe: { ...destination, ack: "client", "x-a": "1" },
      send: { ...destination, body: "one", "x-b": "2" },
      unsubscribe: { ...destination },
    };
    const before = structuredClone(confs);
    assertEquals(stomp.subscribed, undefined);
    await stomp.subscribe(confs.subscribe);
    assertEquals(stomp.subscribed, "/queue/a");
    assertEquals(await stomp.poll(), undefined);
    assertEquals(await stomp.receiveFrame(null, true), undefined);
    await stomp.send(confs.send);
    await stomp.send({ ...destination, body: new Uint8Array([1, 0, 2]) });

    const seen: Message[] = [];
    const callback = (message: Message) => seen.push(message);
    const one = await stomp.receiveFrame(callback);
    assertEquals([one?.text(), one?.headers["x-b"]], ["one", "2"]);
    const two = await stomp.receiveFrame(callback, false);
    assertEquals([...two!.body], [1, 0, 2]);
    assertEquals(seen, [one, two]);
    assertEquals(await stomp.poll(callback), undefined);
    assertEquals(seen.length, 2);
    await stomp.ack(two!);

    await stomp.unsubscribe(confs.unsubscribe);
    assertEquals([stomp.subscribed, confs], [undefined, before]);
    await assertRejects(() => stomp.unsubscribe(confs.unsubscribe), SubscriptionError, "there is no such subscription");
    await stomp.send({ ...destination, body: "kept" });
    assertEquals(await stomp.poll(), undefined);
    await stomp.subscribe({ ...destination, id: "mine" });
    let told: Message | undefined;
    assertStrictEquals(await stomp.receiveFrame((message) => told = message), told);
    assertEquals([told?.text(), told?.headers["subscription"]], ["kept", "mine"]);
    await stomp.unsubscribe({ id: "mine" });
  },
);

clientTest("`subscribe()` by conf shares one queue; with options each subscription has its own", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url);
  const typed = await stomp.subscribe("/queue/c");
  await stomp.subscribe({ destination: "/queue/a" });
  await stomp.subscribe({ destination: "/queue/b", id: "b" });
  assertEquals(stomp.subscribed, "/queue/a");
  for (const name of ["a", "b", "c"]) await stomp.send(`/queue/${name}`, name);
  assertEquals([(await stomp.receiveFrame())?.text(), (await stomp.receiveFrame())?.text()], ["a", "b"]);
  assertEquals((await typed.take())?.text(), "c");
});

clientTest("begin, commit, abort by conf", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url);
  await stomp.subscribe({ destination: "/queue/a", ack: "client" });
  const conf = { transaction: "t1" };
  for (const how of ["abort", "commit"] as const) {
    await stomp.begin(conf);
    await stomp.send({ destination: "/queue/a", body: how, ...conf });
    assertEquals(await stomp.poll(), undefined);
    await stomp[how](conf);
  }
  const message = await stomp.receiveFrame();
  assertEquals([message?.text(), message?.headers["transaction"], conf], ["commit", undefined, { transaction: "t1" }]);
});

clientTest("send_frame(frame): receipts, SUBSCRIBE and UNSUBSCRIBE by hand", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url);
  const made = (command: string, headers: Record<string, string>, body?: string) =>
    new Frame().buildFrame({ command, headers, body });
  const subscribe = made("SUBSCRIBE", { destination: "/queue/a", receipt: "r1" });
  assertEquals((await stomp.sendFrame(subscribe))?.headers["receipt-id"], "r1");
  assertEquals([stomp.subscribed, Object.keys(subscribe.headers)], ["/queue/a", ["destination", "receipt"]]);
  assertEquals(await stomp.sendFrame(made("SEND", { destination: "/queue/a" }, "one")), undefined);
  assertEquals((await stomp.receiveFrame())?.text(), "one");
  const unsubscribe = made("UNSUBSCRIBE", { destination: "/queue/a", receipt: "r2" });
  assertEquals((await stomp.sendFrame(unsubscribe))?.headers["receipt-id"], "r2");
  assertEquals(Object.keys(unsubscribe.headers), ["destination", "receipt"]);
  assertEquals(stomp.subscribed, undefined);
  assertEquals(await stomp.sendFrame(made("SUBSCRIBE", { destination: "/queue/a", id: "0" })), undefined);
  assertEquals(await stomp.sendFrame(made("UNSUBSCRIBE", { id: "0" })), undefined);
  for (const command of ["CONNECT", "STOMP", "DISCONNECT"]) {
    await assertRejects(() => stomp.sendFrame(made(command, { receipt: "r" })), TypeError, `Cannot send ${command}`);
  }
  await assertRejects(
    () => stomp.sendFrame(made("COMMIT", { transaction: "nosuch", receipt: "r3" })),
    BrokerErrorResponse,
  );
});

clientTest("ConnectionError, ConnectionTimeoutError, NotConnectedError", async (harness) => {
  const server = await harness.server();
  const { port } = server;
  const silent = harness.client(server.url, { connectTimeout: 20 });
  assertInstanceOf(await assertRejects(() => silent.connect(), ConnectionTimeoutError), ConnectionError);
  await server.close();
  const stomp = new Stomp("127.0.0.1", port);
  await assertRejects(() => stomp.connect(), ConnectionError, `127.0.0.1:${port}`);
  await assertRejects(() => stomp.receiveFrame(), NotConnectedError, "Cannot receive: the client is not connected");
});
