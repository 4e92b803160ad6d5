/** What a client says when it cannot connect: what, why, and what to do where something can be done. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { test } from "#test";
import type net from "node:net";
import {
  ConnectionError,
  ConnectionTimeoutError,
  TimeoutError,
  UnknownBrokerResponseError,
} from "../../base/errors.ts";
import { within } from "../../base/timers.ts";
import { Stomp } from "../../mod.ts";
import type { TlsOptions } from "../../transport/transport.ts";
import { runtime } from "../support/runtime.ts";
import { Peer, pem } from "../support/sockets.ts";

const CA = pem("ca.pem");
const trusted: TlsOptions = { caCerts: [CA] };
const cert = pem("client.pem");
const key = pem("client.key");
const BROKEN = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
const BROKEN_KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

/** A server's certificate. */
const tls = (name: string) => ({ cert: pem(`${name}.pem`), key: pem(`${name}.key`) });

/** What a far end that is no STOMP broker does, once something came. */
type FarEnd = (socket: net.Socket) => void;
const says = (text: string): FarEnd => (socket) => socket.once("data", () => socket.end(text, "latin1")).resume();
const hangsUp: FarEnd = (socket) => socket.once("data", () => socket.end()).resume();
const silent: FarEnd = (socket) => void socket.resume();

const UNKNOWN_ISSUER = "its certificate is from an unknown issuer (a private authority goes into tls.caCerts)";
const OTHER_HOST = "its certificate is for another host (tls.serverName names another)";
const NO_TLS = "it does not speak TLS (brokers have another port for TLS)";
const NO_HTTP =
  "it does not speak HTTP (STOMP over TCP is stomp://, with TLS stomp+ssl://; WebSocket with TLS is wss://)";

/** Has all connections of a server, as clients may try again. */
async function serve(peer: Peer, far: FarEnd): Promise<never> {
  while (true) far(await peer.accept());
}

interface Row {
  /** The schemes that are used on it. */
  schemes: string[];
  server?: { cert: string; key: string };
  far: FarEnd;
  tls?: TlsOptions;
  /** What stands behind "Cannot connect to host:port: ". */
  reason: string | RegExp;
}

const ROWS: Record<string, Row> = {
  "a port without TLS": { schemes: ["stomp+ssl", "wss"], far: says("ERROR\n\nwhat?\0"), tls: trusted, reason: NO_TLS },
  "a web server": {
    schemes: ["stomp+ssl", "wss"],
    far: says("HTTP/1.1 400 Bad\r\n\r\n"),
    tls: trusted,
    reason: NO_TLS,
  },
  "a STOMP port over TCP": { schemes: ["ws"], far: says("ERROR\nmessage:what?\n\n\0"), reason: NO_HTTP },
  "a TLS port": { schemes: ["ws"], far: says("\x15\x03\x03\x00\x02\x02\x32"), reason: NO_HTTP },
  "a far end that hangs up": {
    schemes: ["stomp+ssl", "ws", "wss"],
    far: hangsUp,
    reason: "it closed the connection",
  },
  "a broker that hangs up": {
    schemes: ["stomp"],
    far: hangsUp,
    reason: "the broker closed the connection before CONNECTED",
  },
  "an issuer that is not known": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    far: silent,
    reason: UNKNOWN_ISSUER,
  },
  "an issuer that is not trusted": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    far: silent,
    tls: { caCerts: [pem("foreign_ca.pem")] },
    reason: UNKNOWN_ISSUER,
  },
  "an expired certificate": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("expired"),
    far: silent,
    tls: trusted,
    reason: "its certificate has expired",
  },
  "a certificate for another host": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("elsewhere"),
    far: silent,
    tls: trusted,
    reason: OTHER_HOST,
  },
  "a key of another certificate": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    far: silent,
    tls: { ...trusted, cert, key: pem("localhost.key") },
    reason: "tls.key is not the key of tls.cert",
  },
  "a key that cannot be read": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    far: silent,
    tls: { ...trusted, cert, key: BROKEN_KEY },
    reason: "tls.key cannot be read: it is not a valid PEM text",
  },
  "a certificate that cannot be read": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    far: silent,
    tls: { ...trusted, cert: BROKEN, key },
    reason: "tls.cert cannot be read: it is not a valid PEM text",
  },
  "an authority that cannot be read": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    far: silent,
    tls: { caCerts: [CA, BROKEN] },
    reason: "one of tls.caCerts cannot be read: it is not a valid PEM text",
  },
};

for (const [what, { schemes, server, far, tls, reason }] of Object.entries(ROWS)) {
  for (const scheme of schemes) {
    test(`\`connect()\` by ${scheme}:// says why it fails at ${what}`, async () => {
      const peer = await Peer.listen(server);
      serve(peer, far);
      const url = `${scheme}://u:s3cret@localhost:${peer.port}`;
      const error = await assertRejects(() => Stomp.connect(url, { tls, reconnect: false }), ConnectionError);
      assertEquals(error.message, `Cannot connect to localhost:${peer.port}: ${reason}`);
      assertInstanceOf(error, ConnectionError);
      await peer.close();
    });
  }
}

/** What is not STOMP, and what is said of it. */
const PROTOCOLS: [bytes: string, words: string][] = [
  ["\x15\x03\x03\x00\x02\x02\x32", "TLS; use stomp+ssl://"],
  ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP; for STOMP over WebSocket use ws://"],
  ["AMQP\0\0\x09\x01", "AMQP; STOMP has a port of its own, by default 61613"],
  ["SSH-2.0-OpenSSH_9.2\r\n", "SSH"],
];

test("`connect()` by stomp:// says what else a port speaks", async () => {
  for (const [bytes, words] of PROTOCOLS) {
    const peer = await Peer.listen();
    serve(peer, says(bytes));
    const url = `stomp://u:s3cret@localhost:${peer.port}`;
    const error = await assertRejects(() => Stomp.connect(url, { reconnect: false }), UnknownBrokerResponseError);
    assertEquals(error.message, `Cannot read from localhost:${peer.port}: it does not speak STOMP: it speaks ${words}`);
    await peer.close();
  }
});

test("`connect()` says that nothing listens, and that nobody has the name", async () => {
  const peer = await Peer.listen();
  await peer.close();
  for (const scheme of ["stomp", "stomp+ssl", "ws", "wss"]) {
    const connect = (host: string) => Stomp.connect(`${scheme}://${host}:${peer.port}`, { reconnect: false });
    const refused = await assertRejects(() => connect("127.0.0.1"), ConnectionError);
    // Deno's WebSocket does not tell this from a host that cannot be reached.
    const more = runtime === "deno" && scheme.startsWith("ws") ? ", or no route to the host" : "";
    assertEquals(refused.message, `Cannot connect to 127.0.0.1:${peer.port}: connection refused${more}`);
    const unknown = await assertRejects(() => connect("no-such-host.invalid"), ConnectionError);
    assert(/: host name (not found|could not be looked up)$/.test(unknown.message), unknown.message);
  }
});

test("what takes too long says how long it waited, and for what", async () => {
  const peer = await Peer.listen();
  for (
    const [scheme, words] of [["stomp", "CONNECTED"], ["stomp+ssl", "answer"], ["ws", "answer"], ["wss", "answer"]]
  ) {
    const url = `${scheme}://127.0.0.1:${peer.port}`;
    const late = await assertRejects(
      () => Stomp.connect(url, { reconnect: false, connectTimeout: 50 }),
      ConnectionTimeoutError,
    );
    assertEquals(late.message, `Cannot connect to 127.0.0.1:${peer.port}: no ${words} within 50 ms`);
  }
  await peer.close();
  const never = new Promise<never>(() => {});
  const error = await assertRejects(() => within(never, { timeout: 5 }, "the broker's receipt"), TimeoutError);
  assertEquals(error.message, "Timed out after 5 ms waiting for the broker's receipt");
});
