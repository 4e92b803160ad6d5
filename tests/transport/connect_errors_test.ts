/** The errors of a client that cannot connect: what failed, why, and what to do. */
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

/** A peer that is not a STOMP broker, and what it does once something came. */
type BadPeer = (socket: net.Socket) => void;
const says = (text: string): BadPeer => (socket) => socket.once("data", () => socket.end(text, "latin1")).resume();
const closes: BadPeer = (socket) => socket.once("data", () => socket.end()).resume();
const silent: BadPeer = (socket) => void socket.resume();

const UNKNOWN_ISSUER = "its certificate is from an unknown issuer (a private authority goes into tls.caCerts)";
const OTHER_HOST = "its certificate is for another host (tls.serverName names another)";
const NO_TLS = "it does not speak TLS (brokers have another port for TLS)";
const NO_HTTP =
  "it does not speak HTTP (STOMP over TCP is stomp://, with TLS stomp+ssl://; WebSocket with TLS is wss://)";

/** Accepts every connection of a server, as clients may try again. */
async function serve(peer: Peer, act: BadPeer): Promise<never> {
  while (true) act(await peer.accept());
}

interface Row {
  /** The schemes that connect to it. */
  schemes: string[];
  server?: { cert: string; key: string };
  act: BadPeer;
  tls?: TlsOptions;
  /** The message after "Cannot connect to host:port: ". */
  reason: string | RegExp;
}

const ROWS: Record<string, Row> = {
  "a port without TLS": { schemes: ["stomp+ssl", "wss"], act: says("ERROR\n\nwhat?\0"), tls: trusted, reason: NO_TLS },
  "a web server": {
    schemes: ["stomp+ssl", "wss"],
    act: says("HTTP/1.1 400 Bad\r\n\r\n"),
    tls: trusted,
    reason: NO_TLS,
  },
  "a STOMP port over TCP": { schemes: ["ws"], act: says("ERROR\nmessage:what?\n\n\0"), reason: NO_HTTP },
  "a TLS port": { schemes: ["ws"], act: says("\x15\x03\x03\x00\x02\x02\x32"), reason: NO_HTTP },
  "a peer that closes": {
    schemes: ["stomp+ssl", "ws", "wss"],
    act: closes,
    reason: "it closed the connection",
  },
  "a broker that closes": {
    schemes: ["stomp"],
    act: closes,
    reason: "the broker closed the connection before CONNECTED",
  },
  "an issuer that is not known": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    act: silent,
    reason: UNKNOWN_ISSUER,
  },
  "an issuer that is not trusted": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    act: silent,
    tls: { caCerts: [pem("foreign_ca.pem")] },
    reason: UNKNOWN_ISSUER,
  },
  "an expired certificate": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("expired"),
    act: silent,
    tls: trusted,
    reason: "its certificate has expired",
  },
  "a certificate for another host": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("elsewhere"),
    act: silent,
    tls: trusted,
    reason: OTHER_HOST,
  },
  "a key of another certificate": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    act: silent,
    tls: { ...trusted, cert, key: pem("localhost.key") },
    reason: "tls.key is not the key of tls.cert",
  },
  "a key that cannot be read": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    act: silent,
    tls: { ...trusted, cert, key: BROKEN_KEY },
    reason: "tls.key cannot be read: it is not a valid PEM text",
  },
  "a certificate that cannot be read": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    act: silent,
    tls: { ...trusted, cert: BROKEN, key },
    reason: "tls.cert cannot be read: it is not a valid PEM text",
  },
  "an authority that cannot be read": {
    schemes: ["stomp+ssl", "wss"],
    server: tls("localhost"),
    act: silent,
    tls: { caCerts: [CA, BROKEN] },
    reason: "one of tls.caCerts cannot be read: it is not a valid PEM text",
  },
};

for (const [what, { schemes, server, act, tls, reason }] of Object.entries(ROWS)) {
  for (const scheme of schemes) {
    test(`\`connect()\` by ${scheme}:// says why it fails at ${what}`, async () => {
      const peer = await Peer.listen(server);
      serve(peer, act);
      const url = `${scheme}://u:s3cret@localhost:${peer.port}`;
      const error = await assertRejects(() => Stomp.connect(url, { tls, reconnect: false }), ConnectionError);
      assertEquals(error.message, `Cannot connect to localhost:${peer.port}: ${reason}`);
      assertInstanceOf(error, ConnectionError);
      await peer.close();
    });
  }
}

/** The first bytes of other protocols, and their names in the error. */
const PROTOCOLS: [bytes: string, words: string][] = [
  ["\x15\x03\x03\x00\x02\x02\x32", "TLS; use stomp+ssl://"],
  ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP; for STOMP over WebSocket use ws://"],
  ["AMQP\0\0\x09\x01", "AMQP; STOMP has another port, by default 61613"],
  ["SSH-2.0-OpenSSH_9.2\r\n", "SSH"],
];

test("the error of `connect()` by stomp:// names the other protocol that a port speaks", async () => {
  for (const [bytes, words] of PROTOCOLS) {
    const peer = await Peer.listen();
    serve(peer, says(bytes));
    const url = `stomp://u:s3cret@localhost:${peer.port}`;
    const error = await assertRejects(() => Stomp.connect(url, { reconnect: false }), UnknownBrokerResponseError);
    assertEquals(error.message, `Cannot read from localhost:${peer.port}: it does not speak STOMP: it speaks ${words}`);
    await peer.close();
  }
});

test("the error of `connect()` says that the connection was refused, and that the host name does not exist", async () => {
  const peer = await Peer.listen();
  await peer.close();
  for (const scheme of ["stomp", "stomp+ssl", "ws", "wss"]) {
    const connect = (host: string) => Stomp.connect(`${scheme}://${host}:${peer.port}`, { reconnect: false });
    const refused = await assertRejects(() => connect("127.0.0.1"), ConnectionError);
    // Deno's WebSocket has the same error for a host that cannot be reached.
    const more = runtime === "deno" && scheme.startsWith("ws") ? ", or no route to the host" : "";
    assertEquals(refused.message, `Cannot connect to 127.0.0.1:${peer.port}: connection refused${more}`);
    const unknown = await assertRejects(() => connect("no-such-host.invalid"), ConnectionError);
    assert(/: host name (not found|could not be looked up)$/.test(unknown.message), unknown.message);
  }
});

test("the error of a timeout says how long `connect()` or `within()` waited, and for what", async () => {
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
