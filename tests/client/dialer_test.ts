/** What each attempt to connect asks for: headers of CONNECT and of the WebSocket's handshake, and the URL. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "#assert";
import { inspect } from "node:util";
import { ConnectionError, ConnectionTimeoutError, HandshakeRefusedError } from "../../base/errors.ts";
import type { ConnectionAttempt } from "../../client/connection_options.ts";
import { addressesOf, Dialer } from "../../client/dialer.ts";
import type { StompOptions } from "../../client/options.ts";
import { Stomp } from "../../api/stomp.ts";
import { clientTest, Watcher } from "../support/client_harness.ts";
import { connected } from "../support/raw_server.ts";
import { bridgeTo } from "../support/websocket_bridge.ts";
import { WebSocketPeer } from "../support/websocket_peer.ts";

const SECRET = "hunter2-hunter2";
const QUIET = { heartbeat: false, reconnect: { delay: 0 } } as const;

clientTest("`headers()` makes the headers of each CONNECT, and learns of the attempt", async (harness) => {
  const server = await harness.server();
  const attempts: ConnectionAttempt[] = [];
  const headers = (attempt: ConnectionAttempt) => {
    attempts.push(attempt);
    const token = { Authorization: `Bearer ${attempts.length}` };
    return attempts.length % 2 ? token : Promise.resolve(new Map(Object.entries(token)));
  };
  const stomp = harness.client(server.url, { ...QUIET, headers });
  const connecting = stomp.connect();
  let peer = await server.accept();
  assertEquals((await peer.frame("CONNECT")).get("Authorization"), "Bearer 1");
  await peer.write(connected());
  await connecting;
  const watcher = new Watcher(stomp);
  await peer.close();
  // The next attempt fails, so the one after it is the second in a row.
  peer = await server.accept();
  assertEquals((await peer.frame("CONNECT")).get("Authorization"), "Bearer 2");
  await peer.finish();
  peer = await server.accept();
  assertEquals((await peer.frame("CONNECT")).get("Authorization"), "Bearer 3");
  await peer.write(connected());
  await watcher.until("connected");
  assertEquals(attempts.map(({ number }) => number), [1, 1, 2]);
  assertEquals(attempts[0]!.error, undefined);
  assertMatch(String(attempts[1]!.error), /lost/);
  assertMatch(String(attempts[2]!.error), /before CONNECTED/);
  assert(!attempts[0]!.signal.aborted);
});

/** Each function of an attempt, by the name that errors give it. */
const FUNCTIONS: [name: string, make: (fn: () => never) => { url?: () => string; options: StompOptions }][] = [
  ["headers() failed", (headers) => ({ options: { headers } })],
  ["credentials() failed", (credentials) => ({ options: { credentials } })],
  ["the function for the URL failed", (url) => ({ url, options: {} })],
];

for (const [name, make] of FUNCTIONS) {
  clientTest(`an attempt has failed when ${name}, and others follow as \`reconnect\` allows`, async (harness) => {
    const server = await harness.server();
    let failures = 2;
    const cause = new Error("the issuer is down");
    const fails = (): never => {
      if (failures-- > 0) throw cause;
      return (name.includes("URL") ? server.url : {}) as never;
    };
    const { url = server.url, options } = make(fails);
    const create = (more: StompOptions) => {
      const stomp = new Stomp(url, { ...QUIET, ...options, ...more });
      harness.atEnd(() => stomp.disconnect({ signal: AbortSignal.abort() }));
      return stomp;
    };
    const error = await assertRejects(() => create({}).connect(), ConnectionError);
    assertMatch(error.message, new RegExp(`^Cannot connect.*: ${name.replace(/[()]/g, "\\$&")}: the issuer is down$`));
    assertEquals(error.cause, cause);

    const stomp = create({ reconnect: { firstConnect: true, delay: 0 } });
    const watcher = new Watcher(stomp);
    await Promise.all([server.welcome(), stomp.connect()]);
    assertEquals(String((await watcher.until("reconnecting")).error), String(error));
  });

  clientTest(`\`connectTimeout\` and the signal of \`connect()\` end the wait before ${name}`, async (harness) => {
    const { url = "stomp://127.0.0.1:9", options } = make((() => new Promise(() => {})) as () => never);
    const slow = new Stomp(url, { ...options, connectTimeout: 30 });
    await assertRejects(() => slow.connect(), ConnectionTimeoutError, "Timed out after 30 ms");
    await slow.disconnect();
    const abort = new AbortController();
    const stomp = new Stomp(url, options);
    harness.atEnd(() => stomp.disconnect());
    const connecting = stomp.connect({ signal: abort.signal });
    abort.abort(new Error("enough"));
    await assertRejects(() => connecting, Error, "enough");
  });
}

clientTest("the signal of an attempt aborts when the attempt is given up", async (harness) => {
  const given = Promise.withResolvers<unknown>();
  const headers = ({ signal }: ConnectionAttempt) => {
    signal.addEventListener("abort", () => given.resolve(signal.reason));
    return new Promise<never>(() => {});
  };
  const stomp = harness.client("stomp://127.0.0.1:9", { headers, connectTimeout: 30 });
  await assertRejects(() => stomp.connect(), ConnectionTimeoutError);
  assertMatch(String(await given.promise), /Timed out after 30 ms/);
});

clientTest("headers that cannot be sent fail the attempt and not the program", async (harness) => {
  for (const [wrong, message] of [[{ receipt: "1" }, "must not have one"], [{ a: {} }, "must be text"]] as const) {
    const headers = () => wrong as Record<string, string>;
    const error = await assertRejects(() => harness.client("stomp://127.0.0.1:9", { headers }).connect());
    assertInstanceOf(error, ConnectionError);
    assertMatch(error.message, new RegExp(`headers\\(\\) failed: .*${message}`));
    assertInstanceOf(error.cause, TypeError);
  }
});

clientTest("a URL from a function is asked for on each attempt, and may be several", async (harness) => {
  const [dead, first, second] = await Promise.all([harness.server(), harness.server(), harness.server()]);
  await dead.stopListening();
  const answers = [first.url, [dead.url, second.url], new URL(first.url), `failover:(${dead.url},${second.url})`];
  const numbers: number[] = [];
  const stomp = new Stomp(({ number }) => {
    numbers.push(number);
    return answers[numbers.length - 1]!;
  }, QUIET);
  harness.atEnd(() => stomp.disconnect({ signal: AbortSignal.abort() }));
  const watcher = new Watcher(stomp);
  let peer = (await Promise.all([first.welcome(), stomp.connect()]))[0];
  for (const server of [second, first, second]) {
    await peer.close();
    peer = await server.welcome();
    await watcher.until("connected");
  }
  assertEquals(numbers, [1, 1, 1, 1]);
});

clientTest("a wrong URL from a function is an error that shows none of it", async (harness) => {
  for (const url of [`amqp://u:${SECRET}@h`, `stomp://h/${SECRET}?x`, `ws://h:${SECRET}`, 5 as unknown as string]) {
    const stomp = new Stomp(() => url);
    harness.atEnd(() => stomp.disconnect());
    const error = await assertRejects(() => stomp.connect(), ConnectionError, "the function for the URL failed");
    assertInstanceOf(error.cause, TypeError);
    assert(!inspect(error, { depth: 5 }).includes(SECRET), error.message);
  }
  const plain = new Stomp(() => "stomp://h", { tls: {} });
  harness.atEnd(() => plain.disconnect());
  await assertRejects(() => plain.connect(), ConnectionError, "its scheme has no TLS");
});

clientTest("a ticket in the query of a URL arrives, and is in no error, status or inspection", async (harness) => {
  const broker = await harness.broker();
  const bridge = await bridgeTo(broker);
  const refusing = await WebSocketPeer.listen({ answer: "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n" });
  const deaf = await harness.server();
  await deaf.stopListening();
  harness.atEnd(() => Promise.all([bridge.close(), refusing.close()]));
  const shown = (value: unknown) => inspect(value, { depth: 20, showHidden: true });

  const good = new Stomp(() => `${bridge.url}?ticket=${SECRET}`, QUIET);
  const statuses = new Watcher(good);
  await good.connect();
  assert(!shown([good, await statuses.until("connected")]).includes(SECRET));
  await good.disconnect();

  const accepting = refusing.accept();
  const urls = [`ws://127.0.0.1:${refusing.port}/ws?ticket=${SECRET}`, `ws://127.0.0.1:${deaf.port}/?t=${SECRET}`];
  for (const url of urls) {
    const stomp = new Stomp(() => url, QUIET);
    harness.atEnd(() => stomp.disconnect());
    const error = await assertRejects(() => stomp.connect(), ConnectionError);
    const text = `${shown(error)}\n${error.stack}\n${shown(error.cause)}`;
    assert(!text.includes(SECRET), text);
  }
  assertMatch((await accepting).request, new RegExp(`^GET /ws\\?ticket=${SECRET} `));
});

clientTest(
  "`webSocket.headers()` makes the headers of each handshake, and a refusal is tried again",
  async (harness) => {
    const broker = await harness.broker();
    const bridge = await bridgeTo(broker);
    const refusing = await WebSocketPeer.listen({ answer: "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n" });
    harness.atEnd(() => Promise.all([bridge.close(), refusing.close()]));
    let calls = 0;
    const headers = () => ({ Authorization: `Bearer ${SECRET}-${++calls}` });
    const stomp = harness.client([`ws://127.0.0.1:${refusing.port}/`], { ...QUIET, webSocket: { headers } });
    for (const call of [1, 2]) {
      const [far, error] = await Promise.all([refusing.accept(), assertRejects(() => stomp.connect())]);
      assertInstanceOf(error, HandshakeRefusedError);
      assertEquals(far.header("Authorization"), `Bearer ${SECRET}-${call}`);
    }
    const other = harness.client([bridge.url], { ...QUIET, webSocket: { headers, binary: true } });
    await other.connect();
    assertEquals(calls, 3);
    const wrong = harness.client(bridge.url, { webSocket: { headers: () => ({ a: "b\n" }) } });
    await assertRejects(() => wrong.connect(), ConnectionError, "webSocket.headers() failed: Cannot use the WebSocket");
  },
);

clientTest("a function for headers or the URL may follow a refused login, as `credentials` may", (): Promise<void> => {
  const renews = (options: StompOptions, url?: () => string) =>
    new Dialer(url ?? addressesOf("ws://h", undefined), options).renewsCredentials;
  assertEquals(renews({ password: "p" }), false);
  assertEquals(renews({ password: "p", headers: () => ({}) }), true);
  assertEquals(renews({ password: "p", webSocket: { headers: () => ({}) } }), true);
  assertEquals(renews({ password: "p" }, () => "ws://h"), true);
  return Promise.resolve();
});

clientTest("wrong options of the connection are refused at once", (): Promise<void> => {
  const wrong: [options: unknown, url: string, message: string][] = [
    [{ credentials: {} }, "stomp://h", "credentials is an Object, but must be a function"],
    [{ webSocket: { binary: true } }, "stomp://h", "no URL is ws:// or wss://"],
    [{ webSocket: { binary: 1 } }, "ws://h", "webSocket.binary is of type number"],
    [{ webSocket: null }, "ws://h", "webSocket is null"],
    [{ webSocket: {}, transport: () => {} }, "ws://h", "the option transport opens the connection in its place"],
  ];
  for (const [options, url, message] of wrong) {
    assertThrows(() => new Stomp(url, options as StompOptions), TypeError, message);
  }
  new Stomp(["stomp://h", "ws://h"], { webSocket: { binary: true } });
  return Promise.resolve();
});
