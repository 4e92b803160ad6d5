/** How a WebSocket is opened: what is offered, who is trusted, and what is said when it fails. */
import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects } from "#assert";
import { test } from "#test";
import process from "node:process";
import type { TlsOptions as ServerOptions, TLSSocket } from "node:tls";
import { parseUrl } from "../../transport/address.ts";
import { openTransport } from "../../transport/open.ts";
import { ConnectionError, ConnectionTimeoutError, HandshakeRefusedError } from "../../base/errors.ts";
import type { TlsOptions } from "../../transport/transport.ts";
import { runtime } from "../support/runtime.ts";
import { Peer, pem, silentPort } from "../support/sockets.ts";
import { WebSocketPeer, type WebSocketPeerOptions } from "../support/websocket_peer.ts";

function withPeer(
  title: string,
  fn: (peer: WebSocketPeer, url: string) => Promise<void>,
  options: WebSocketPeerOptions = {},
): void {
  test(title, async () => {
    const peer = await WebSocketPeer.listen(options);
    try {
      await fn(peer, `${options.tls ? "wss" : "ws"}://localhost:${peer.port}/ws`);
    } finally {
      await peer.close();
    }
  });
}

/** Checks that there is no connection, and what is said of it. */
async function assertFails(url: string, reason: RegExp, tls?: TlsOptions): Promise<ConnectionError> {
  const error = await assertRejects(() => openTransport(parseUrl(url), { tls }), ConnectionError);
  assertInstanceOf(error.cause, Error);
  const { hostname, port } = parseUrl(url);
  const prefix = `Cannot connect to ${hostname}:${port}: `;
  assert(error.message.startsWith(prefix), error.message);
  assert(reason.test(error.message.slice(prefix.length)), error.message);
  assert(!error.message.includes("-----BEGIN"), error.message);
  return error;
}

withPeer("path, query and subprotocols go on the wire, user and password do not", async (peer) => {
  const accepting = peer.accept();
  const url = `ws://guest:s3cret@127.0.0.1:${peer.port}/a%20b/ws?x=1&y=%2F`;
  const near = await openTransport(parseUrl(url));
  const { request } = await accepting;
  assert(request.startsWith("GET /a%20b/ws?x=1&y=%2F HTTP/1.1\r\n"), request);
  assert(/^sec-websocket-protocol: *v12\.stomp, *v11\.stomp, *v10\.stomp$/im.test(request), request);
  assert(!/s3cret|guest|authorization/i.test(request), request);
  assertEquals(near.peer, `127.0.0.1:${peer.port}`);
  await near.close();
});

withPeer("only the versions that were asked for are offered, newest first", async (peer, url) => {
  for (const [versions, offered] of [[["1.1"], "v11.stomp"], [["1.0", "1.2"], "v12.stomp,v10.stomp"]] as const) {
    const [near, far] = await Promise.all([openTransport(parseUrl(url), { versions }), peer.accept()]);
    assertEquals(far.header("sec-websocket-protocol")?.replaceAll(" ", ""), offered);
    await near.close();
  }
});

withPeer("the server may choose any version that was offered", async (peer, url) => {
  const [near] = await Promise.all([openTransport(parseUrl(url)), peer.accept()]);
  await near.close();
}, { protocol: "v10.stomp" });

for (const status of ["404 Not Found", "401 Unauthorized", "403 Forbidden", "200 OK"]) {
  withPeer(`an answer of HTTP ${status} is told`, async (peer, url) => {
    peer.accept();
    const code = Number(status.slice(0, 3));
    if (code === 401 && runtime === "node") peer.accept(); // as its `fetch`, Node asks once more then
    const words = code === 401 || code === 403
      ? `the server answered ${status}: it refuses the login`
      : `it answers HTTP ${code} and opens no WebSocket; the path may be wrong`;
    const error = await assertFails(url, new RegExp(`^${words}$`));
    assertInstanceOf(error, HandshakeRefusedError);
    assertEquals(error.status, code);
  }, { answer: `HTTP/1.1 ${status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno` });
}

withPeer("what does not speak HTTP is told", async (peer, url) => {
  peer.accept();
  await assertFails(url, /^it does not speak HTTP \(STOMP over TCP is stomp:/);
}, { answer: "ERROR\nmessage:what is that?\n\n\0" });

for (const [what, protocol] of [["another subprotocol", "mqtt"], ["no subprotocol", null]] as const) {
  withPeer(`an answer with ${what} is refused`, async (peer, url) => {
    peer.accept();
    await assertFails(url, /^it speaks none of the subprotocols v12.stomp, v11.stomp, v10.stomp$/);
  }, { protocol });
}

test("nothing listening is told", async () => {
  const peer = await Peer.listen();
  await peer.close();
  for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
    const error = await assertRejects(() => openTransport(parseUrl(`ws://${host}:${peer.port}`)), ConnectionError);
    assertInstanceOf(error.cause, Error);
    // Deno does not tell this from a host that cannot be reached.
    const reason = `connection refused${runtime === "deno" ? ", or no route to the host" : ""}`;
    assertEquals(error.message, `Cannot connect to ${host}:${peer.port}: ${reason}`);
  }
});

test("a name that nobody has is told", async () => {
  await assertFails("ws://no-such-host.invalid:80/", /^host name (not found|could not be looked up)$/);
});

test("a far end that closes in the handshake is told", async () => {
  const peer = await Peer.listen();
  peer.accept().then((socket) => {
    socket.resume();
    socket.once("data", () => socket.end());
  });
  await assertFails(`ws://127.0.0.1:${peer.port}/`, /^it closed the connection$/);
  await peer.close();
});

test("a host that does not answer, or does not answer the handshake, is left in time", async () => {
  const silent = await silentPort();
  const mute = await Peer.listen();
  for (const port of [silent.port, mute.port]) {
    const address = parseUrl(`ws://127.0.0.1:${port}/`);
    const begun = performance.now();
    const error = await assertRejects(() => openTransport(address, { timeout: 50 }), ConnectionTimeoutError);
    assertEquals(error.message, `Cannot connect to 127.0.0.1:${port}: no answer within 50 ms`);
    const controller = new AbortController();
    const connecting = openTransport(address, { signal: controller.signal });
    const reason = new Error("the caller's own reason");
    setTimeout(() => controller.abort(reason), 20);
    assertEquals(await assertRejects(() => connecting), reason);
    assertLess(performance.now() - begun, 3000);
  }
  await mute.close();
  await silent.close();
});

withPeer("a signal counts at any moment of opening", async (peer, url) => {
  const address = parseUrl(url);
  const before = AbortSignal.abort(new Error("before"));
  await assertRejects(() => openTransport(address, { signal: before }), Error, "before");
  for (let turns = 0; turns < 12; turns++) {
    const controller = new AbortController();
    const connecting = openTransport(address, { signal: controller.signal });
    peer.accept();
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    controller.abort(new Error("during"));
    // Either it was in time, or there is a connection, which the signal has no more to do with.
    await connecting.then((near) => near.close(), (error) => assertEquals(error.message, "during"));
  }
});

const CA = pem("ca.pem");
const LOCALHOST: ServerOptions = { cert: pem("localhost.pem"), key: pem("localhost.key") };
const ELSEWHERE: ServerOptions = { cert: pem("elsewhere.pem"), key: pem("elsewhere.key") };
const EXPIRED: ServerOptions = { cert: pem("expired.pem"), key: pem("expired.key") };
const WANTS_CLIENT: ServerOptions = { ...LOCALHOST, ca: CA, requestCert: true, rejectUnauthorized: true };
const trusted = { caCerts: [CA] };
const withClient = { ...trusted, cert: pem("client.pem"), key: pem("client.key") };
const UNKNOWN_ISSUER = /^its certificate is from an unknown issuer \(a private authority goes into tls\.caCerts\)$/;
const OTHER_HOST = /^its certificate is for another host \(tls\.serverName names another\)$/;

/** Opens, and exchanges a message. */
async function assertWorks(peer: WebSocketPeer, url: string, tls: TlsOptions): Promise<TLSSocket> {
  const [near, far] = await Promise.all([openTransport(parseUrl(url), { tls }), peer.accept()]);
  await near.writable.getWriter().write(new TextEncoder().encode("CONNECT\n\n\0"));
  assertEquals(await far.nextText(), "CONNECT\n\n\0");
  await near.close();
  return far.socket as TLSSocket;
}

withPeer("wss: a certificate of a trusted issuer for this host", async (peer, url) => {
  await assertWorks(peer, url, trusted);
  await assertWorks(peer, url.replace("localhost", "127.0.0.1"), trusted);
}, { tls: LOCALHOST });

withPeer("wss: an issuer that is not trusted", async (_peer, url) => {
  await assertFails(url, UNKNOWN_ISSUER);
  await assertFails(url, UNKNOWN_ISSUER, { caCerts: [pem("foreign_ca.pem")] });
}, { tls: LOCALHOST });

withPeer("wss: the variable that turns verification off in Node does not", async (_peer, url) => {
  const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    await assertFails(url, UNKNOWN_ISSUER);
  } finally {
    if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
  }
}, { tls: LOCALHOST });

withPeer("wss: a certificate for another host", async (_peer, url) => {
  await assertFails(url, OTHER_HOST, trusted);
  await assertFails(url.replace("localhost", "127.0.0.1"), OTHER_HOST, trusted);
  await assertFails(url, OTHER_HOST, withClient);
}, { tls: ELSEWHERE });

withPeer("wss: an expired certificate", async (_peer, url) => {
  await assertFails(url, /^its certificate has expired$/, trusted);
}, { tls: EXPIRED });

withPeer("wss: a client certificate", async (peer, url) => {
  const socket = await assertWorks(peer, url, withClient);
  assert(socket.authorized);
}, { tls: WANTS_CLIENT });

withPeer("wss: a client certificate that is missing", async (_peer, url) => {
  await assertFails(
    url,
    /^it asks for a client certificate \(tls\.cert and tls\.key\)$|^it closed the connection$/,
    trusted,
  );
}, { tls: WANTS_CLIENT });

withPeer("wss: a key that is none, or another's", async (_peer, url) => {
  await assertFails(url, /./, { ...withClient, key: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0" });
  await assertFails(url, /./, { ...withClient, key: pem("localhost.key") });
}, { tls: WANTS_CLIENT });

withPeer("wss: another server name, or none that is checked, where the runtime can do it", async (peer, url) => {
  const unchecked = { ...trusted, unsafelyDisableHostnameVerification: true };
  const named = { ...trusted, serverName: "broker.example" };
  if (runtime === "deno") {
    for (const [option, tls] of [["serverName", named], ["unsafelyDisableHostnameVerification", unchecked]] as const) {
      const error = await assertRejects(() => openTransport(parseUrl(url), { tls }), TypeError);
      const what = `Cannot use TLS option ${option} for wss://localhost:${peer.port}: `;
      assertEquals(error.message, `${what}Deno has it only for stomp+ssl://`);
    }
    await assertFails(url, OTHER_HOST, { ...trusted, serverName: "localhost" }); // its name anyway
    return;
  }
  const socket = await assertWorks(peer, url, named);
  assertEquals((socket as { servername?: unknown }).servername, "broker.example");
  await assertWorks(peer, url, unchecked);
  await assertFails(url, UNKNOWN_ISSUER, { unsafelyDisableHostnameVerification: true });
  await assertFails(url, OTHER_HOST, { ...trusted, serverName: "other.example" });
}, { tls: ELSEWHERE });

test("TLS options with ws:// are refused", async () => {
  await assertRejects(() => openTransport(parseUrl("ws://localhost/ws"), { tls: {} }), TypeError, "no TLS");
});

test("wss:// to a port without TLS is told", async () => {
  const peer = await Peer.listen();
  for (let tries = 0; tries < 2; tries++) { // Deno tries once more, for HTTP/2
    peer.accept().then((socket) => {
      socket.resume();
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
  }
  await assertFails(`wss://127.0.0.1:${peer.port}/`, /^it does not speak TLS \(/);
  await peer.close();
});
