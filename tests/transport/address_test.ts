/** URLs to addresses, addresses to transports, and deadlines. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "#assert";
import { test } from "#test";
import { listen, openTransport, type ParsedAddress, parseUrl, parseUrls, runtime } from "../../transport/connect.ts";
import { ConnectionError, ConnectionTimeoutError } from "../../base/errors.ts";
import { runtime as expectedRuntime } from "../support/runtime.ts";
import { pattern, Peer, pem, readTransport, silentPort } from "../support/sockets.ts";

const STOMP: ParsedAddress = { scheme: "stomp", hostname: "h", port: 61613, tls: false, host: "/" };

const URLS: [url: string, address: Partial<ParsedAddress>][] = [
  ["stomp://h", {}],
  ["stomp://h/", {}],
  ["stomp://h:", {}],
  ["stomp://h:1234", { port: 1234 }],
  ["STOMP://H", {}],
  ["  stomp://h\n", {}],
  ["stomp+ssl://h", { scheme: "stomp+ssl", port: 61614, tls: true }],
  ["stomps://h:1", { scheme: "stomp+ssl", port: 1, tls: true }],
  ["stomp://guest:guest@h", { login: "guest", passcode: "guest" }],
  ["stomp://guest@h", { login: "guest" }],
  ["stomp://guest:@h", { login: "guest", passcode: "" }],
  ["stomp://a%40b:c%2Fd%3A%25@h", { login: "a@b", passcode: "c/d:%" }],
  ["stomp://us:p@ss:w,rd@h", { login: "us", passcode: "p@ss:w,rd" }],
  ["stomp://ü:ñ@h", { login: "ü", passcode: "ñ" }],
  ["stomp://h/prod", { host: "prod" }],
  ["stomp://h/my%2Fvhost", { host: "my/vhost" }],
  ["stomp://h/a/b", { host: "a/b" }],
  ["stomp://h//", { host: "/" }],
  ["stomp://h/%2F", { host: "/" }],
  ["stomp://h/caf%C3%A9", { host: "café" }],
  ["stomp://127.0.0.1", { hostname: "127.0.0.1" }],
  ["stomp://[::1]", { hostname: "::1" }],
  ["stomp://u:p@[2001:DB8::1]:5/v", { hostname: "2001:db8::1", port: 5, login: "u", passcode: "p", host: "v" }],
  ["stomp://my_broker-1.example.", { hostname: "my_broker-1.example." }],
  ["stomp://bücher.example", { hostname: "xn--bcher-kva.example" }],
  ["ws://h", { scheme: "ws", port: 80, path: "/" }],
  ["ws://h/ws?x=1", { scheme: "ws", port: 80, path: "/ws?x=1" }],
  ["wss://u:p@h:15673/a%20b", { scheme: "wss", port: 15673, tls: true, login: "u", passcode: "p", path: "/a%20b" }],
];

test("a URL is taken apart and decoded", () => {
  for (const [url, address] of URLS) assertEquals(parseUrl(url), { ...STOMP, ...address }, url);
  assertEquals(parseUrl(new URL("stomp://u:p%23@h:1/v")), { ...STOMP, port: 1, login: "u", passcode: "p#", host: "v" });
});

/** URLs that are none, each with the password `s3cret` somewhere, and a word of the complaint. */
const NO_URLS: [url: string, complaint: string][] = [
  ["", "scheme://host:port"],
  ["localhost:61613", "scheme://host:port"],
  ["u:s3cret@localhost:61613", "scheme://host:port"],
  ["//u:s3cret@h", "scheme://host:port"],
  ["stomp:u:s3cret@h", "scheme://host:port"],
  ["stomp://u:s3cret@h:1:2/x y", "port"],
  ["stomp://u:s3cret", "port"],
  ["stomp://u:s3/cret@h", "behind the host"],
  ["stomp://u:s3?cret@h", "behind the host"],
  ["stomp://u:s3#cret@h", "behind the host"],
  ["stomp://u/s3cret@h", "behind the host"],
  ["stomp://u:s3cret@", "no host"],
  ["stomp:///vhost", "no host"],
  ["stomp://u:s3cret@:61613", "no host"],
  ["stomp://u:s3cret@h:0", "port"],
  ["stomp://u:s3cret@h:65536", "port"],
  ["stomp://u:s3cret@h:-1", "port"],
  ["stomp://u:s3cret@h:1e3", "port"],
  ["stomp://u:s3cret@h:http", "port"],
  ["stomp://u:s3cret@good\\evil.example", "a backslash"],
  ["stomp://good.example\\@evil.example", "a backslash"],
  ["ws://good.example\\:s3cret@evil.example", "a backslash"],
  ["stomp://u:s3cret@go\tod", "a control character"],
  ["stomp://u:s3cret@good\n.example", "a control character"],
  ["stomp://u:s3\rcret@h", "a control character"],
  ["failover:(stomp://a,stomp://u:s3cret@b\n)x", "form"],
  ["stomp://u:s3cret@%67ood", "host name"],
  ["stomp://u:s3cret@h h", "host name"],
  ["stomp://u:s3cret@h,", "host name"],
  ["stomp://u:s3cret@[::1", "host"],
  ["stomp://u:s3cret@[::g]", "host name"],
  ["stomp://u:s3cret%zz@h", "password has a %"],
  ["stomp://%ff:s3cret@h", "user has a %"],
  ["stomp://u:s3cret@h/%e4", "path has a %"],
  ["stomp://u:s3cret@h?heartbeat=1", "query"],
  ["stomp://u:s3cret@h#there", "fragment"],
  ["ws://u:s3cret@h/#there", "fragment"],
  ["amqp://u:s3cret@h", "the schemes are"],
  ["constructor://u:s3cret@h", "the schemes are"],
  ["http://u:s3cret@h", "the schemes are"],
  ["failover:(stomp://u:s3cret@a,failover:(stomp://b))", "for several brokers"],
  ["failover:", "scheme://host:port"],
  ["failover:()", "scheme://host:port"],
  ["failover:(a:1,u:s3cret@b:2)", "scheme://host:port"],
  ["failover:(stomp://u:s3cret@a", "form"],
  ["failover:(stomp://u:s3cret@a)x", "form"],
  ["failover:(stomp://u:s3cret@a,)", "host name"],
  ["failover:(stomp://u:s3cret@a)?randomise=true", "only option"],
  ["failover:(stomp://u:s3cret@a)?randomize=yes", "only option"],
];

test("what is no URL is a TypeError that says why and never shows the password", () => {
  for (const [url, complaint] of NO_URLS) {
    const error = assertThrows(() => parseUrls(url), TypeError, complaint, url);
    assert(error.message.startsWith("Cannot parse the broker's URL"), error.message);
    assert(!/s3|cret/.test(`${error.message}${error.stack}${error.cause ?? ""}`), error.message);
  }
});

test("what is neither text nor URL is a TypeError that says what to write", () => {
  for (const input of [undefined, null, 5, {}, { brokerURL: "ws://u:s3cret@h" }, Symbol("x"), [["stomp://h"]], [5]]) {
    const error = assertThrows(() => parseUrls(input as string), TypeError, 'write the URL first: ("stomp://');
    assert(!error.message.includes("s3cret"));
  }
  for (const input of [undefined, {}]) assertThrows(() => parseUrl(input as string), TypeError, "write the URL first");
});

test("one URL, a list, and failover name brokers in the order given", () => {
  const names = (input: Parameters<typeof parseUrls>[0]) => {
    const { addresses, randomize } = parseUrls(input);
    return [...addresses.map(({ scheme, hostname, port }) => `${scheme} ${hostname} ${port}`), randomize];
  };
  const both = ["stomp a 61613", "stomp+ssl b 2", false];
  assertEquals(names("stomp://a"), ["stomp a 61613", false]);
  assertEquals(names(["stomp://a", new URL("stomp+ssl://b:2")]), both);
  for (
    const url of [
      "failover:(stomp://a,stomp+ssl://b:2)",
      "failover:( stomp://a , stomp+ssl://b:2 )",
      "failover://(stomp://a,stomp+ssl://b:2)",
      "failover:stomp://a,stomp+ssl://b:2",
      "FAILOVER:(stomp://a,stomps://b:2)?randomize=false",
    ]
  ) assertEquals(names(url), both, url);
  assertEquals(names("failover:(stomp://a,stomp+ssl://b:2)?randomize=true"), ["stomp a 61613", "stomp+ssl b 2", true]);
  assertEquals(names(new URL("failover:(stomp://a,stomp://b)")), ["stomp a 61613", "stomp b 61613", false]);
  assertEquals(names("failover:(stomp://a)"), ["stomp a 61613", false]);
  assertThrows(() => parseUrls([]), TypeError, "empty list");
  assertThrows(() => parseUrls(["failover:(stomp://a)"]), TypeError, "for several brokers");
});

test("a comma in a password does not end a URL of a list", () => {
  const { addresses } = parseUrls("failover:(stomp://u:a,b)c@h1,stomp://u:d%2Ce@h2/v)?randomize=true");
  assertEquals(addresses, [
    { ...STOMP, hostname: "h1", login: "u", passcode: "a,b)c" },
    { ...STOMP, hostname: "h2", login: "u", passcode: "d,e", host: "v" },
  ]);
});

test("this runtime is known by its name", () => assertEquals(runtime(), expectedRuntime));

/** An address at 127.0.0.1. */
const local = (port: number, scheme = "stomp") => parseUrl(`${scheme}://u:s3cret@127.0.0.1:${port}`);

test("a transport is opened with the adapter of this runtime", async () => {
  const listener = await listen({ hostname: "127.0.0.1", port: 0 }, async (far) => {
    const writer = far.writable.getWriter();
    for await (const chunk of far.readable) await writer.write(chunk);
    await writer.close();
  });
  const near = await openTransport(local(listener.port));
  assertEquals(near.peer, `127.0.0.1:${listener.port}`);
  const writer = near.writable.getWriter();
  await writer.write(pattern(10));
  await writer.close();
  assertEquals(await readTransport(near), pattern(10));
  await Promise.all([near.close(), listener.close()]);
});

test("TLS is used where the scheme asks for it, verified without any option", async () => {
  const peer = await Peer.listen({ cert: pem("localhost.pem"), key: pem("localhost.key") });
  const address = local(peer.port, "stomp+ssl");
  const error = await assertRejects(() => openTransport(address), ConnectionError, "unknown issuer");
  assert(!error.message.includes("s3cret"));
  const near = await openTransport(address, { tls: { caCerts: [pem("ca.pem")] } });
  await near.close();
  await peer.close();
});

test("TLS options for a scheme without TLS are a TypeError", async () => {
  await assertRejects(() => openTransport(local(1), { tls: {} }), TypeError, "stomp+ssl:// has");
  await assertRejects(() => openTransport(local(1, "ws"), { tls: {} }), TypeError, "wss:// has");
});

test("a host that does not answer is given up at the deadline", async () => {
  const silent = await silentPort();
  const error = await assertRejects(() => openTransport(local(silent.port), { timeout: 50 }), ConnectionTimeoutError);
  assertEquals(error.message, `Cannot connect to 127.0.0.1:${silent.port}: no answer within 50 ms`);
  await silent.close();
});

test("a host that accepts and does not speak TLS is given up at the deadline", async () => {
  const peer = await Peer.listen();
  const address = local(peer.port, "stomps");
  await assertRejects(() => openTransport(address, { timeout: 50 }), ConnectionTimeoutError, "within 50 ms");
  const client = { cert: pem("client.pem"), key: pem("client.key") };
  await assertRejects(
    () => openTransport(address, { timeout: 50, tls: client }),
    ConnectionTimeoutError,
    "within 50 ms",
  );
  await peer.close();
});

test("no limit, a very long one, and none that is a time", async () => {
  const peer = await Peer.listen();
  for (const timeout of [0, Infinity, 2 ** 40]) {
    const near = await openTransport(local(peer.port), { timeout });
    await near.close();
  }
  await peer.close();
  // Where nobody answers it shows: only the signal ends it.
  const silent = await silentPort();
  const stop = new AbortController();
  const connecting = openTransport(local(silent.port), { timeout: 0, signal: stop.signal });
  setTimeout(() => stop.abort(new Error("enough")), 20);
  await assertRejects(() => connecting, Error, "enough");
  await silent.close();
  for (const timeout of [-1, NaN]) {
    await assertRejects(() => openTransport(local(1), { timeout }), RangeError, "timeout");
  }
});

test("a signal rejects with its reason: before, while, and not after", async () => {
  const peer = await Peer.listen();
  const silent = await silentPort();
  const controller = new AbortController();
  const { signal } = controller;
  const near = await openTransport(local(peer.port), { signal });
  const connecting = openTransport(local(silent.port), { signal });
  controller.abort(new Error("enough"));
  await assertRejects(() => connecting, Error, "enough");
  await assertRejects(() => openTransport(local(peer.port), { signal }), Error, "enough");
  const writer = near.writable.getWriter();
  await writer.write(pattern(1));
  await near.close();
  await silent.close();
  await peer.close();
});

test("a refused port names the address, keeps the cause, and has no password", async () => {
  const peer = await Peer.listen();
  await peer.close();
  const error = await assertRejects(() => openTransport(local(peer.port)), ConnectionError);
  assertEquals(error.message, `Cannot connect to 127.0.0.1:${peer.port}: connection refused`);
  assertInstanceOf(error.cause, Error);
});
