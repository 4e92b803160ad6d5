/** Private keys that are encrypted: TLS decrypts them with `passphrase`, over TCP and over WebSocket. */
import { assert, assertEquals, assertRejects } from "#assert";
import { test } from "#test";
import { createPrivateKey } from "node:crypto";
import { inspect } from "node:util";
import type { TLSSocket } from "node:tls";
import { ConnectionError } from "../../base/errors.ts";
import { parseUrl } from "../../transport/address.ts";
import { openTransport } from "../../transport/open.ts";
import type { TlsOptions } from "../../transport/transport.ts";
import { Peer, pem } from "../support/sockets.ts";
import { WebSocketPeer } from "../support/websocket_peer.ts";

const SERVER = {
  cert: pem("localhost.pem"),
  key: pem("localhost.key"),
  ca: pem("ca.pem"),
  requestCert: true,
  rejectUnauthorized: true,
};
const PASSPHRASE = "příliš žluťoučký";

/** The client's key in the formats that OpenSSL writes and every runtime reads. */
function encrypted(format: "pkcs8" | "sec1", cipher: string): string {
  const key = createPrivateKey(pem("client.key"));
  return key.export({ type: format, format: "pem", cipher, passphrase: PASSPHRASE }) as string;
}

const KEYS: [name: string, tls: TlsOptions][] = [
  ["of openssl", { key: pem("client_encrypted.key"), passphrase: "secret" }],
  ["in PKCS #8 with AES-256", { key: encrypted("pkcs8", "aes-256-cbc"), passphrase: PASSPHRASE }],
  ["in PKCS #8 with AES-128", { key: encrypted("pkcs8", "aes-128-cbc"), passphrase: PASSPHRASE }],
  ["in the older format", { key: encrypted("sec1", "aes-256-cbc"), passphrase: PASSPHRASE }],
];

const CLIENT: TlsOptions = { caCerts: [pem("ca.pem")], cert: pem("client.pem") };

for (const [name, key] of KEYS) {
  test(`\`passphrase\` decrypts a key ${name} for stomp+ssl://`, async () => {
    const peer = await Peer.listen(SERVER);
    try {
      const url = parseUrl(`stomp+ssl://localhost:${peer.port}`);
      const [near, far] = await Promise.all([openTransport(url, { tls: { ...CLIENT, ...key } }), peer.accept()]);
      assertEquals((far as TLSSocket).getPeerCertificate().subject.CN, "stompy-client");
      await near.close();
    } finally {
      await peer.close();
    }
  });

  test(`\`passphrase\` decrypts a key ${name} for wss://`, async () => {
    const peer = await WebSocketPeer.listen({ tls: SERVER });
    try {
      const url = parseUrl(`wss://localhost:${peer.port}/ws`);
      const [near] = await Promise.all([openTransport(url, { tls: { ...CLIENT, ...key } }), peer.accept()]);
      await near.close();
    } finally {
      await peer.close();
    }
  });
}

test("a wrong `passphrase` is a ConnectionError that says so, and shows neither it nor the key", async () => {
  const peer = await Peer.listen(SERVER);
  try {
    for (const scheme of ["stomp+ssl", "wss"]) {
      const url = parseUrl(`${scheme}://localhost:${peer.port}`);
      for (const [, { key }] of KEYS) {
        const tls = { ...CLIENT, key: key!, passphrase: "hunter2-hunter2" };
        const error = await assertRejects(() => openTransport(url, { tls }), ConnectionError);
        const prefix = `Cannot connect to localhost:${peer.port}: tls.key cannot be decrypted: tls.passphrase is wrong`;
        assert(error.message.startsWith(prefix), error.message);
        const shown = `${inspect(error, { depth: 10, showHidden: true })} ${error.stack}`;
        assert(!/hunter2|BEGIN/.test(shown), shown);
      }
    }
  } finally {
    await peer.close();
  }
});

test("a `passphrase` for a key that is not encrypted changes nothing", async () => {
  const peer = await Peer.listen(SERVER);
  try {
    const url = parseUrl(`stomp+ssl://localhost:${peer.port}`);
    const tls = { ...CLIENT, key: pem("client.key"), passphrase: "unused" };
    const [near] = await Promise.all([openTransport(url, { tls }), peer.accept()]);
    await near.close();
  } finally {
    await peer.close();
  }
});
