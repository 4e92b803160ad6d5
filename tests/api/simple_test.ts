/** stompy's simple client, row by row of the table, against a broker over TCP. */
import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "#assert";
import {
  AcknowledgeError,
  BrokerErrorResponse,
  Client,
  Empty,
  type Message,
  NotConnectedError,
  Simple,
  StompError,
  SubscriptionError,
  TimeoutError,
  TransactionError,
} from "../../mod.ts";
import type { BrokerOptions } from "../../broker/broker.ts";
import { type ClientHarness, clientTest, Watcher } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

/** A client of a broker. */
async function connected(harness: ClientHarness, options?: BrokerOptions): Promise<Simple> {
  const broker = await harness.broker(options);
  const client = new Simple("127.0.0.1", broker.port);
  harness.atEnd(() => client.disconnect({ signal: AbortSignal.abort() }));
  await client.connect();
  return client;
}

clientTest("Client(host, port), connect(username, password, clientid), disconnect(conf)", async (harness) => {
  assertStrictEquals(Client, Simple);
  const broker = await harness.broker({ login: "guest", passcode: "secret" });
  const client = new Client("127.0.0.1", broker.port);
  await assertRejects(() => client.connect("guest", "wrong"), BrokerErrorResponse, "login refused");
  await client.connect("guest", "secret", "me");
  assertEquals(client.stomp.connected, true);
  const conf = { "x-why": "done" };
  await client.disconnect(conf);
  await client.disconnect();
  assertEquals([client.stomp.connected, conf], [false, { "x-why": "done" }]);
  await assertRejects(() => client.put("x", "/q"), NotConnectedError, "the client is closed");
});

clientTest("`new Simple()` takes a URL and options", async (harness) => {
  const broker = await harness.broker({ login: "guest", passcode: "secret" });
  for (
    const client of [
      new Simple(`stomp://guest:secret@127.0.0.1:${broker.port}`),
      new Simple(broker.url, { username: "guest", password: "secret" }),
    ]
  ) {
    await client.connect();
    await client.disconnect();
  }
});

clientTest(
  "put(item, destination, persistent, conf) and get(): persistent by default, confs stay unchanged",
  async (harness) => {
    const client = await connected(harness);
    const confs = {
      put: { "x-a": "1", persistent: "maybe" },
      subscribe: { "x-b": "2", id: "0" },
      unsubscribe: { "x-c": "3" },
    };
    const before = structuredClone(confs);
    await client.subscribe("/queue/a", { ack: "client", conf: confs.subscribe });
    assertEquals((await client.put("one", "/queue/a"))?.command, "RECEIPT");
    await client.put(new Uint8Array([0, 1]), "/queue/a", { persistent: false });
    await client.put("three", "/queue/a", { conf: confs.put });
    const one = await client.get();
    assertEquals([one.text(), one.headers["persistent"], one.headers["subscription"]], ["one", "true", "0"]);
    const two = await client.get({ timeout: 5000 });
    assertEquals([[...two.body], two.headers["persistent"]], [[0, 1], "false"]);
    const three = await client.get();
    assertEquals([three.headers["x-a"], three.headers["persistent"]], ["1", "maybe"]);
    await client.ack(three);
    await client.unsubscribe("/queue/a", { conf: confs.unsubscribe });
    assertEquals(confs, before);
    await assertRejects(() => client.unsubscribe("/queue/a"), SubscriptionError);
  },
);

clientTest("get(block, callback), get_nowait(), Empty", async (harness) => {
  const client = await connected(harness);
  await assertRejects(() => client.get({ block: false }), Empty, "Cannot get a message: none is queued");
  await assertRejects(() => client.getNowait(), Simple.Empty);
  await client.subscribe("/queue/a");
  await assertRejects(() => client.getNowait(), Empty);
  await assertRejects(() => client.get({ timeout: 20 }), TimeoutError, "Timed out after 20 ms waiting for ");
  await assertRejects(() => client.get({ signal: AbortSignal.abort(new Error("enough")) }), Error, "enough");
  const seen: Message[] = [];
  const getting = client.get({ callback: (message) => seen.push(message) });
  await client.put("one", "/queue/a");
  const one = await getting;
  assertEquals([one.text(), seen], ["one", [one]]);
  await client.put("two", "/queue/a");
  await client.put("x", "/queue/b"); // when this is confirmed, the message has come as well
  assertEquals((await client.getNowait()).text(), "two");
});

clientTest("`get()` rejects with what its callback throws", async (harness) => {
  const client = await connected(harness);
  await client.subscribe("/queue/a");
  await client.put("one", "/queue/a");
  await client.put("two", "/queue/a");
  const callback = () => {
    throw new Error("mine");
  };
  await assertRejects(() => client.get({ callback }), Error, "mine");
  assertEquals((await client.get()).text(), "two");
});

clientTest("begin, commit, abort: `put()` and `ack()` belong to the transaction", async (harness) => {
  const client = await connected(harness);
  await client.subscribe("/queue/a", { ack: "client-individual" });
  await client.begin();
  assertEquals(await client.put("dropped", "/queue/a"), undefined);
  await client.abort();
  await client.begin();
  await client.put("kept", "/queue/a", { conf: { "x-a": "1" } });
  await client.stomp.send("/queue/b", "x"); // when this is confirmed, the other one is at the broker as well
  await assertRejects(() => client.getNowait(), Empty);
  await client.commit();
  const message = await client.get();
  assertEquals([message.text(), message.headers["x-a"], message.headers["transaction"]], ["kept", "1", undefined]);
  // An acknowledgement that was aborted can be said again.
  await client.begin();
  await client.ack(message);
  await assertRejects(() => client.ack(message), AcknowledgeError, "it was sent ACK already");
  await client.abort();
  await client.ack(message);
  // And outside of a transaction puts have a receipt again.
  assertEquals((await client.put("last", "/queue/a"))?.command, "RECEIPT");
});

clientTest(
  "TransactionError: a second `begin()`, and `commit()` and `abort()` without a transaction",
  async (harness) => {
    const client = await connected(harness);
    await assertRejects(
      () => client.commit(),
      TransactionError,
      "Cannot commit: there is no transaction, call begin first",
    );
    await assertRejects(() => client.abort(), Simple.TransactionError, "Cannot abort: there is no transaction");
    const beginning = client.begin();
    await assertRejects(() => client.begin(), TransactionError, "there is a transaction already");
    await beginning;
    await assertRejects(() => client.begin(), TransactionError, "Cannot begin: there is a transaction already");
    await client.commit();
    await client.begin();
    await client.abort();
  },
);

clientTest("`commit()` and `abort()` that fail before they write leave the transaction open", async (harness) => {
  const client = await connected(harness);
  const aborted = { signal: AbortSignal.abort(new Error("no time")) };
  await assertRejects(() => client.begin(aborted), Error, "no time");
  await client.begin();
  await assertRejects(() => client.commit(aborted), Error, "no time");
  await client.put("x", "/queue/a");
  await client.commit();
  await client.subscribe("/queue/a");
  assertEquals((await client.get()).text(), "x");
});

clientTest("a transaction that died with its connection rejects every call until it is ended", async (harness) => {
  const server = await harness.server();
  const client = new Simple(server.url, { heartbeat: false, reconnect: { delay: 0 } });
  harness.atEnd(() => client.disconnect({ signal: AbortSignal.abort() }));
  const [peer] = await Promise.all([server.welcome(), client.connect()]);
  await Promise.all([client.begin(), confirm(peer, "BEGIN")]);
  const watcher = new Watcher(client.stomp);
  await peer.close();
  const [next] = await Promise.all([server.welcome(), watcher.until("connected")]);
  await assertRejects(() => client.put("x", "/q"), TransactionError);
  await assertRejects(() => client.begin(), TransactionError, "there is a transaction already");
  await assertRejects(() => client.commit(), TransactionError, "it died with its connection");
  await Promise.all([client.begin(), confirm(next, "BEGIN")]);
  await Promise.all([client.commit(), confirm(next, "COMMIT")]);
});

clientTest("a call of a client that is not connected rejects", async () => {
  const client = new Simple();
  const calls = [
    () => client.put("x", "/q"),
    () => client.get(),
    () => client.getNowait(),
    () => client.subscribe("/q"),
    () => client.unsubscribe("/q"),
    () => client.begin(),
  ];
  for (const call of calls) {
    assertInstanceOf(await assertRejects(call, NotConnectedError, "the client is not connected"), StompError);
  }
  await client.disconnect();
});

clientTest("`Symbol.asyncDispose` disconnects", async (harness) => {
  const broker = await harness.broker();
  const client = new Simple("127.0.0.1", broker.port);
  await client.connect();
  await client[Symbol.asyncDispose](); // as `await using` does, which Node 22 cannot read
  assertEquals(await client.stomp.closed, undefined);
});
