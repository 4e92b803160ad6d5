/** How often a client connects, and to what: attempts, failover, credentials, refusals, and `reconnect()`. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "#assert";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  NotConnectedError,
  StompError,
  UnknownBrokerResponseError,
} from "../../base/errors.ts";
import { addressesOf, Dialer } from "../../client/dialer.ts";
import {
  clientTest,
  dropConnection,
  flushMicrotasks,
  skipWaits,
  subscribed,
  Watcher,
} from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm } from "../support/raw_server.ts";

const REFUSAL = "ERROR\nmessage:Bad CONNECT\n\nAccess refused for user 'u'\n\0";

clientTest("`reconnect.attempts` ends the client, and `closed` has the reason", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer, server } = await harness.pair({ reconnect: { attempts: 3 }, clock });
  const watcher = new Watcher(stomp);
  skipWaits(stomp, clock);
  await server.stopListening();
  await peer.close();
  for (const attempt of [1, 2, 3]) assertEquals((await watcher.until("reconnecting")).attempt, attempt);
  const reason = await stomp.closed;
  assertInstanceOf(reason, ConnectionError);
  assert(/^Cannot reconnect after 3 attempts: Cannot connect to 127.0.0.1/.test(reason.message), reason.message);
  assertInstanceOf(reason.cause, ConnectionError);
  assertEquals((await watcher.until("closed")).error, reason);
});

clientTest("`reconnect.totalTime` ends the client, even during an attempt", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0, totalTime: 50 }, clock });
  skipWaits(stomp, clock);
  await peer.close();
  await (await server.accept()).frame("CONNECT"); // and the server does not answer it
  clock.pass(50);
  const reason = await stomp.closed;
  assertInstanceOf(reason, ConnectionError);
  assert(reason.message.startsWith("Cannot reconnect after 1 attempts: "), reason.message);
});

clientTest("`connect()` makes one attempt, or more with `firstConnect`", async (harness) => {
  const server = await harness.server();
  const once = harness.client(server.url);
  const connecting = once.connect();
  await (await server.accept()).finish();
  await assertRejects(() => connecting, ConnectionError, "before CONNECTED");
  assertEquals(server.count, 1);

  const again = harness.client(server.url, { reconnect: { firstConnect: true, delay: 0 } });
  const persistent = again.connect();
  const sending = again.send("/q", "x"); // which waits for it
  for (let i = 0; i < 3; i++) await (await server.accept()).finish();
  const [peer] = await Promise.all([server.welcome(), persistent]);
  await confirm(peer, "SEND");
  await sending;
});

clientTest(
  "`connect()` with `firstConnect` ends with `attempts`, `totalTime`, its timeout and its signal",
  async (harness) => {
    const server = await harness.server();
    await server.stopListening();
    const few = harness.client(server.url, { reconnect: { firstConnect: true, delay: 0, attempts: 2 } });
    const watcher = new Watcher(few);
    await assertRejects(() => few.connect(), ConnectionError, "connection refused");
    await few.disconnect();
    await watcher.until("closed");
    assertEquals(watcher.events.filter(({ type }) => type === "reconnecting").length, 2);

    const clock = new FakeClock();
    const short = harness.client(server.url, { reconnect: { firstConnect: true, totalTime: 250 }, clock });
    skipWaits(short, clock);
    await assertRejects(() => short.connect(), ConnectionError, "connection refused");
    const endless = { reconnect: { firstConnect: true }, clock };
    const late = harness.client(server.url, endless);
    skipWaits(late, clock);
    await assertRejects(() => late.connect({ timeout: 300 }), ConnectionTimeoutError, "300 ms");
    const abort = new AbortController();
    const connecting = harness.client(server.url, endless).connect({ signal: abort.signal });
    abort.abort(new Error("enough"));
    await assertRejects(() => connecting, Error, "enough");
  },
);

clientTest("`subscribe()` that waits for `connect()` rejects with its error", async (harness) => {
  const server = await harness.server();
  const stomp = harness.client(server.url);
  const connecting = stomp.connect();
  const subscribing = stomp.subscribe("/q");
  await (await server.accept()).finish();
  const error = await assertRejects(() => connecting, ConnectionError, "before CONNECTED");
  assertEquals(await assertRejects(() => subscribing), error);
  // And then it can be tried again.
  await Promise.all([stomp.connect(), server.welcome()]);
  assertEquals(stomp.connected, true);
});

clientTest("`connect()` and each reconnect try the next broker of a list", async (harness) => {
  const [dead, refusing, alive] = await Promise.all([harness.server(), harness.server(), harness.server()]);
  await dead.stopListening();
  const stomp = harness.client([dead.url, refusing.url, alive.url], {
    ...{ heartbeat: false },
    reconnect: { delay: 0 },
  });
  const connecting = stomp.connect();
  await (await refusing.accept()).write(REFUSAL);
  const peer = await alive.welcome();
  await connecting;
  const watcher = new Watcher(stomp);
  await peer.close();
  await refusing.welcome();
  assertEquals((await watcher.until("connected")).peer, `127.0.0.1:${refusing.port}`);
});

clientTest("`connect()` rejects with the errors of all brokers of a list", async (harness) => {
  const [one, two] = await Promise.all([harness.server(), harness.server()]);
  await Promise.all([one.stopListening(), two.stopListening()]);
  const stomp = harness.client(`failover:(${one.url},${two.url})?randomize=true`);
  const error = await assertRejects(() => stomp.connect(), ConnectionError, "Cannot connect to any of 2 addresses: ");
  assertInstanceOf(error.cause, AggregateError);
  assertEquals(error.cause.errors.length, 2);
  for (const { port } of [one, two]) assert(error.message.includes(`127.0.0.1:${port}`), error.message);
});

clientTest("`connectTimeout` limits the attempt at each broker of a list", async (harness) => {
  const [silent, alive] = await Promise.all([harness.server(), harness.server()]);
  const clock = new FakeClock();
  const stomp = harness.client([silent.url, alive.url], { connectTimeout: 60, clock });
  const connecting = stomp.connect();
  await (await silent.accept()).frame("CONNECT");
  clock.pass(60);
  await Promise.all([connecting, alive.welcome()]);
  assertEquals([silent.count, stomp.connected], [1, true]);
});

clientTest(
  "user and password of `connect()` win over `credentials()`, those over options, and those over the URL",
  async (harness) => {
    const all = { u: "url", o: "option", a: "asked", c: "connect" };
    type Source = keyof typeof all;
    /** User and password, each given in these places. */
    const login = async (users: Source[], passwords: Source[]) => {
      const server = await harness.server();
      const of = (source: Source) => ({
        ...(users.includes(source) && { username: all[source] }),
        ...(passwords.includes(source) && { password: all[source] }),
      });
      const url = of("u");
      const target = server.url.replace("//", `//${url.username ?? ""}${url.password ? `:${url.password}` : ""}@`);
      const stomp = harness.client(target, { ...of("o"), credentials: () => of("a"), heartbeat: false });
      const connecting = stomp.connect(of("c"));
      const peer = await server.accept();
      const said = await peer.frame("CONNECT");
      await peer.write("CONNECTED\nversion:1.2\n\n\0");
      await connecting;
      return [said.get("login"), said.get("passcode")];
    };
    assertEquals(await login(["u"], ["u"]), ["url", "url"]);
    assertEquals(await login(["u", "o"], ["u"]), ["option", "url"]);
    assertEquals(await login(["u"], ["u", "o"]), ["url", "option"]);
    assertEquals(await login(["u", "o", "a"], ["u", "o"]), ["asked", "option"]);
    assertEquals(await login(["u", "o"], ["u", "o", "a"]), ["option", "asked"]);
    assertEquals(await login(["u", "o", "a", "c"], ["u", "o", "a"]), ["connect", "asked"]);
    assertEquals(await login(["u", "o", "a"], ["u", "o", "a", "c"]), ["asked", "connect"]);
  },
);

clientTest("`credentials()` is called for each attempt", async (harness) => {
  const server = await harness.server();
  let count = 0;
  const stomp = harness.client(server.url, {
    credentials: () => Promise.resolve({ username: "me", password: `token ${++count}` }),
    username: "not me",
    reconnect: { delay: 0 },
  });
  const connecting = stomp.connect();
  let peer = await server.accept();
  let said = await peer.frame("CONNECT");
  assertEquals([said.get("login"), said.get("passcode")], ["me", "token 1"]);
  await peer.write("CONNECTED\nversion:1.2\n\n\0");
  await connecting;
  await dropConnection(stomp, peer);
  peer = await server.accept();
  said = await peer.frame("CONNECT");
  assertEquals([said.get("login"), said.get("passcode")], ["me", "token 2"]);
});

clientTest("`credentials()` that throws fails the attempt, and the next one follows", async (harness) => {
  const server = await harness.server();
  let count = 0;
  const credentials = () => {
    if (++count % 2 === 0) throw new TypeError("fetch failed");
    return {};
  };
  const stomp = harness.client(server.url, { credentials, reconnect: { delay: 0 }, heartbeat: false });
  const [peer] = await Promise.all([server.welcome(), stomp.connect()]);
  const watcher = new Watcher(stomp);
  await peer.close();
  await watcher.until("reconnecting");
  const failed = await watcher.until("reconnecting");
  assertInstanceOf(failed.error, ConnectionError);
  assert(failed.error.message.endsWith("credentials() failed: fetch failed"), failed.error.message);
  await server.welcome();
  await watcher.until("connected");
});

clientTest("`credentials()` that never resolves ends with `connectTimeout` or the signal", async (harness) => {
  const server = await harness.server();
  const clock = new FakeClock();
  const stomp = harness.client(server.url, { credentials: () => new Promise(() => {}), connectTimeout: 30, clock });
  const late = assertRejects(() => stomp.connect(), ConnectionTimeoutError, "credentials() failed");
  await flushMicrotasks();
  clock.pass(30);
  await late;
  const abort = new AbortController();
  const connecting = stomp.connect({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await assertRejects(() => connecting, Error, "enough");
  assertEquals(server.count, 0);
});

clientTest("two equal refusals of user and password end the client", async (harness) => {
  for (const brokers of [1, 2]) {
    const servers = await Promise.all(Array.from({ length: brokers }, () => harness.server()));
    const clock = new FakeClock();
    const options = { reconnect: { delay: 0 }, heartbeat: false, clock } as const;
    const stomp = harness.client(servers.map(({ url }) => url), options);
    const [peer] = await Promise.all([servers[0]!.welcome(), stomp.connect()]);
    const watcher = new Watcher(stomp);
    await peer.close();
    for (let attempt = 0; attempt < 2; attempt++) {
      clock.pass((await watcher.until("reconnecting")).delay);
      for (const server of servers) await (await server.accept()).write(REFUSAL);
    }
    const reason = await stomp.closed;
    assertInstanceOf(reason, brokers === 1 ? BrokerErrorResponse : ConnectionError);
    assert(reason.message.includes("Access refused for user 'u'"), reason.message);
    assertEquals(servers.map(({ count }) => count), brokers === 1 ? [3] : [3, 2]);
  }
});

clientTest("two equal refusals of user and password end `connect()` with `firstConnect`", async (harness) => {
  const server = await harness.server();
  const clock = new FakeClock();
  const stomp = harness.client(server.url, { reconnect: { delay: 0, firstConnect: true }, heartbeat: false, clock });
  const watcher = new Watcher(stomp);
  const connecting = stomp.connect();
  connecting.catch(() => {}); // awaited below
  await (await server.accept()).write(REFUSAL);
  clock.pass((await watcher.until("reconnecting")).delay);
  await (await server.accept()).write(REFUSAL);
  await assertRejects(() => connecting, BrokerErrorResponse, "Access refused for user 'u'");
  assertEquals([server.count, stomp.connected], [2, false]);
});

clientTest(
  "`credentials()` is called again after each refusal; `renewsCredentials` is false with a fixed password",
  async (harness) => {
    const server = await harness.server();
    let count = 0;
    const credentials = () => ({ username: "me", password: `token ${++count}` });
    const clock = new FakeClock();
    const stomp = harness.client(server.url, { credentials, reconnect: { delay: 0 }, heartbeat: false, clock });
    const [peer] = await Promise.all([server.welcome(), stomp.connect()]);
    const watcher = new Watcher(stomp);
    await peer.close();
    for (let i = 2; i <= 3; i++) {
      clock.pass((await watcher.until("reconnecting")).delay);
      const refusing = await server.accept();
      assertEquals((await refusing.frame("CONNECT")).get("passcode"), `token ${i}`);
      await refusing.write(REFUSAL);
    }
    clock.pass((await watcher.until("reconnecting")).delay);
    const sending = stomp.send("/queue/a", "x");
    await confirm(await server.welcome(), "SEND");
    await sending;
    assertEquals(count, 4);

    const dialer = new Dialer(addressesOf(server.url, undefined), { credentials });
    assertEquals(dialer.renewsCredentials, true);
    dialer.login({ username: "me", password: "fixed" });
    assertEquals(dialer.renewsCredentials, false);
    assertEquals(new Dialer(addressesOf(server.url, undefined), { password: "p" }).renewsCredentials, false);
  },
);

clientTest("an unreadable message that comes on three connections ends the client", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 0 } });
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  const watcher = new Watcher(stomp);
  let now = peer;
  for (let connection = 1; connection <= 3; connection++) {
    if (connection > 1) await confirm(now = await server.welcome(), "SUBSCRIBE");
    await now.write(`MESSAGE\nsubscription:${subscription.id}\nmessage-id:1\nack:1\npath:C\\temp\n\n\0`);
    const { error } = await watcher.until("disconnected");
    assertInstanceOf(error, UnknownBrokerResponseError);
  }
  const reason = await stomp.closed;
  assertInstanceOf(reason, UnknownBrokerResponseError);
  assertStrictEquals(await subscription.closed, reason);
  assertEquals(server.count, 3);
});

clientTest("ERRORs to CONNECT that are not about the login do not end the client", async (harness) => {
  const server = await harness.server();
  const stomp = harness.client(server.url, { reconnect: { delay: 0 }, heartbeat: false });
  const [peer] = await Promise.all([server.welcome(), stomp.connect()]);
  await peer.close();
  // As ActiveMQ says while it holds the connection that was lost for alive.
  for (let i = 0; i < 4; i++) {
    await (await server.accept()).write("ERROR\nmessage:Client: me already connected from tcp://127.0.0.1:9\n\n\0");
  }
  const watcher = new Watcher(stomp);
  await server.welcome();
  await watcher.until("connected");
});

clientTest("a broker that drops each session at once gets longer waits", async (harness) => {
  const clock = new FakeClock();
  const { stomp, peer, server } = await harness.pair({ clock });
  const watcher = new Watcher(stomp);
  skipWaits(stomp, clock);
  await peer.close();
  for (let attempt = 1; attempt <= 6; attempt++) {
    assertEquals((await watcher.until("reconnecting")).attempt, attempt); // it does not start again
    const next = await server.welcome();
    await watcher.until("connected");
    await next.close();
  }
});

clientTest(
  "`reconnect()` reconnects at once: while connected, while waiting, and with `reconnect: false`",
  async (harness) => {
    const slow = { delay: 60_000, maxDelay: 60_000 };
    const { stomp, peer, server } = await harness.pair({ reconnect: slow });
    const subscription = await subscribed(stomp, peer);
    const watcher = new Watcher(stomp);
    stomp.reconnect();
    assertEquals(stomp.connected, false);
    const lost = await watcher.until("disconnected");
    assertEquals(lost.error.message, "Connection dropped: reconnect() was called");
    let next = await server.welcome();
    assertEquals((await confirm(next, "SUBSCRIBE")).get("id"), subscription.id);
    await watcher.until("connected");
    await peer.ended();

    await next.close();
    await watcher.until("reconnecting"); // in up to a minute
    stomp.reconnect();
    next = await server.welcome();
    await watcher.until("connected");

    const other = await harness.pair({ reconnect: false });
    const events = new Watcher(other.stomp);
    other.stomp.reconnect();
    next = await other.server.welcome();
    await events.until("connected");
    // Once: it is still a client that does not reconnect by itself.
    await other.server.stopListening();
    other.stomp.reconnect();
    assertInstanceOf(await other.stomp.closed, StompError);
    assertThrows(() => other.stomp.reconnect(), NotConnectedError, "Cannot reconnect: the client is closed");
  },
);

clientTest("a broker that falls silent is reconnected to", async (harness) => {
  const clock = new FakeClock();
  const options = {
    heartbeat: { send: 0, receive: 20 },
    heartbeatTolerance: { factor: 1, floor: 20 },
    reconnect: { delay: 0 },
    clock,
  };
  const { stomp, server } = await harness.pair(options, "1.2", "heart-beat:20,0\n");
  const watcher = new Watcher(stomp);
  skipWaits(stomp, clock);
  clock.pass(140); // 40 ms of silence, and a second look 100 ms later
  const lost = await watcher.until("disconnected");
  assert(/nothing came for 0\.\d s$/.test(lost.error.message), lost.error.message);
  await server.welcome();
  await watcher.until("connected");
});
