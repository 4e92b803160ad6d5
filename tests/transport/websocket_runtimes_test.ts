/** How a WebSocket is opened: what is offered, what is verified, and the errors. */
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

/** Checks that there is no connection, and the error. */
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

withPeer("`openTransport()` sends path, query and subprotocols of ws://, but not user and password", async (peer) => {
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

withPeer("`versions` of `openTransport()` are offered newest first, and no others", async (peer, url) => {
  for (const [versions, offered] of [[["1.1"], "v11.stomp"], [["1.0", "1.2"], "v12.stomp,v10.stomp"]] as const) {
    const [near, far] = await Promise.all([openTransport(parseUrl(url), { versions }), peer.accept()]);
    assertEquals(far.header("sec-websocket-protocol")?.replaceAll(" ", ""), offered);
    await near.close();
  }
});

withPeer("`openTransport()` accepts any version that was offered", async (peer, url) => {
  const [near] = await Promise.all([openTransport(parseUrl(url)), peer.accept()]);
  await near.close();
}, { protocol: "v10.stomp" });

for (const status of ["404 Not Found", "401 Unauthorized", "403 Forbidden", "200 OK"]) {
  withPeer(`the error of ws:// says that the answer was HTTP ${status}`, async (peer, url) => {
    peer.accept();
    const code = Number(status.slice(0, 3));
    if (code === 401 && runtime === "node") peer.accept(); // like its `fetch`, Node then asks once more
    const words = code === 401 || code === 403
      ? `the server answered ${status}: it refuses the login`
      : `it answers HTTP ${code} and opens no WebSocket; the path may be wrong`;
    const error = await assertFails(url, new RegExp(`^${words}$`));
    assertInstanceOf(error, HandshakeRefusedError);
    assertEquals(error.status, code);
  }, { answer: `HTTP/1.1 ${status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno` });
}

withPeer("the error of ws:// says that a port does not speak HTTP", async (peer, url) => {
  peer.accept();
  await assertFails(url, /^it does not speak HTTP \(STOMP over TCP is stomp:/);
}, { answer: "ERROR\nmessage:what is that?\n\n\0" });

for (const [what, protocol] of [["another subprotocol", "mqtt"], ["no subprotocol", null]] as const) {
  withPeer(`\`openTransport()\` refuses an answer with ${what}`, async (peer, url) => {
    peer.accept();
    await assertFails(url, /^it speaks none of the subprotocols v12.stomp, v11.stomp, v10.stomp$/);
  }, { protocol });
}

test("the error of ws:// says that the connection was refused", async () => {
  const peer = await Peer.listen();
  await peer.close();
  for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
    const error = await assertRejects(() => openTransport(parseUrl(`ws://${host}:${peer.port}`)), ConnectionError);
    assertInstanceOf(error.cause, Error);
    // Deno has the same error for a host that cannot be reached.
    const reason = `connection refused${runtime === "deno" ? ", or no route to the host" : ""}`;
    assertEquals(error.message, `Cannot connect to ${host}:${peer.port}: ${reason}`);
  }
});

test("the error of ws:// says that the host name does not exist", async () => {
  await assertFails("ws://no-such-host.invalid:80/", /^host name (not found|could not be looked up)$/);
});

test("the error of ws:// says that the peer closed during the handshake", async () => {
  const peer = await Peer.listen();
  peer.accept().then((socket) => {
    socket.resume();
    socket.once("data", () => socket.end());
  });
  await assertFails(`ws://127.0.0.1:${peer.port}/`, /^it closed the connection$/);
  await peer.close();
});

test("`timeout` and `signal` of ws:// end the wait for a host, and for a handshake, without an answer", async () => {
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

withPeer("the signal of ws:// counts at any moment", async (peer, url) => {
  const address = parseUrl(url);
  const before = AbortSignal.abort(new Error("before"));
  await assertRejects(() => openTransport(address, { signal: before }), Error, "before");
  for (let turns = 0; turns < 12; turns++) {
    const controller = new AbortController();
    const connecting = openTransport(address, { signal: controller.signal });
    peer.accept();
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    controller.abort(new Error("during"));
    // Either the signal was in time, or there is a connection, which it does not affect.
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

withPeer("wss:// accepts a certificate of a trusted issuer for this host", async (peer, url) => {
  await assertWorks(peer, url, trusted);
  await assertWorks(peer, url.replace("localhost", "127.0.0.1"), trusted);
}, { tls: LOCALHOST });

withPeer("wss:// refuses an issuer that is not trusted", async (_peer, url) => {
  await assertFails(url, UNKNOWN_ISSUER);
  await assertFails(url, UNKNOWN_ISSUER, { caCerts: [pem("foreign_ca.pem")] });
}, { tls: LOCALHOST });

withPeer("wss:// verifies in spite of NODE_TLS_REJECT_UNAUTHORIZED=0", async (_peer, url) => {
  const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    await assertFails(url, UNKNOWN_ISSUER);
  } finally {
    if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
  }
}, { tls: LOCALHOST });

withPeer("wss:// refuses a certificate for another host", async (_peer, url) => {
  await assertFails(url, OTHER_HOST, trusted);
  await assertFails(url.replace("localhost", "127.0.0.1"), OTHER_HOST, trusted);
  await assertFails(url, OTHER_HOST, withClient);
}, { tls: ELSEWHERE });

withPeer("wss:// refuses an expired certificate", async (_peer, url) => {
  await assertFails(url, /^its certificate has expired$/, trusted);
}, { tls: EXPIRED });

withPeer("wss:// sends a client certificate", async (peer, url) => {
  const socket = await assertWorks(peer, url, withClient);
  assert(socket.authorized);
}, { tls: WANTS_CLIENT });

withPeer("wss:// fails without the client certificate that the server asks for", async (_peer, url) => {
  await assertFails(
    url,
    /^it asks for a client certificate \(tls\.cert and tls\.key\)$|^it closed the connection$/,
    trusted,
  );
}, { tls: WANTS_CLIENT });

withPeer("wss:// refuses a key that cannot be read, and one of another certificate", async (_peer, url) => {
  await assertFails(url, /./, { ...withClient, key: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0" });
  await assertFails(url, /./, { ...withClient, key: pem("localhost.key") });
}, { tls: WANTS_CLIENT });

withPeer(
  "wss:// takes `serverName` and `unsafelyDisableHostnameVerification` where the runtime can, else refuses them",
  async (peer, url) => {
    const unchecked = { ...trusted, unsafelyDisableHostnameVerification: true };
    const named = { ...trusted, serverName: "broker.example" };
    if (runtime === "deno") {
      for (
        const [option, tls] of [["serverName", named], ["unsafelyDisableHostnameVerification", unchecked]] as const
      ) {
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
  },
  { tls: ELSEWHERE },
);

test("`openTransport()` refuses TLS options for ws://", async () => {
  await assertRejects(() => openTransport(parseUrl("ws://localhost/ws"), { tls: {} }), TypeError, "no TLS");
});

test("the error of wss:// says that a port does not speak TLS", async () => {
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
