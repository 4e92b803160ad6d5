/** TLS: what is verified and what is sent. */
import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects } from "#assert";
import { test } from "#test";
import process from "node:process";
import type { TlsOptions as ServerOptions, TLSSocket } from "node:tls";
import { ConnectionError } from "../../base/errors.ts";
import { listen } from "../../transport/open.ts";
import { directIo, type TlsOptions, type Transport } from "../../transport/transport.ts";
import {
  ownAdapter,
  pattern,
  Peer,
  pem,
  readSocket,
  readTransport,
  relay,
  untilStable,
  writeSocket,
} from "../support/sockets.ts";

const CA = pem("ca.pem");
const LOCALHOST: ServerOptions = { cert: pem("localhost.pem"), key: pem("localhost.key") };
const ELSEWHERE: ServerOptions = { cert: pem("elsewhere.pem"), key: pem("elsewhere.key") };
const EXPIRED: ServerOptions = { cert: pem("expired.pem"), key: pem("expired.key") };
const WANTS_CLIENT_OR_NOT: ServerOptions = { ...LOCALHOST, ca: CA, requestCert: true, rejectUnauthorized: false };
const WANTS_CLIENT: ServerOptions = { ...LOCALHOST, ca: CA, requestCert: true, rejectUnauthorized: true };

/** The server name that a client sent; `false` when it sent none. Deno's types do not know the property. */
function nameSent(far: TLSSocket): string | false {
  return (far as TLSSocket & { servername?: string | false | null }).servername || false;
}

/** Connects to a TLS server; `hostname` is the name that the client uses for it. */
const withServer = (
  title: string,
  options: { server: ServerOptions; hostname?: string; tls: TlsOptions },
  fn: (connect: () => Promise<Transport>, peer: Peer, address: string) => Promise<void>,
) =>
  test(`\`connect()\` with TLS ${title}`, async () => {
    const { server, hostname = "localhost", tls } = options;
    const adapter = await ownAdapter();
    const peer = await Peer.listen(server);
    try {
      const connect = () => adapter.connect({ hostname, port: peer.port, tls });
      await fn(connect, peer, `${hostname}:${peer.port}`);
    } finally {
      await peer.close();
    }
  });

/** Checks that the handshake succeeds, and that bytes go both ways. */
const works =
  (seen: (socket: TLSSocket) => void = () => {}) => async (connect: () => Promise<Transport>, peer: Peer) => {
    const near = await connect();
    const far = await peer.accept() as TLSSocket;
    seen(far);
    const received = readSocket(far);
    const writer = near.writable.getWriter();
    await writer.write(pattern(100_000));
    await writer.close();
    assertEquals(await received, pattern(100_000));
    far.end(pattern(50_000));
    assertEquals(await readTransport(near), pattern(50_000));
    await near.close();
  };

/** Checks that the handshake fails with an error that names the address and the reason. */
const fails = (why: RegExp) => async (connect: () => Promise<Transport>, _peer: Peer, address: string) => {
  const error = await assertRejects(connect, ConnectionError);
  assertInstanceOf(error.cause, Error);
  assert(error.message.startsWith(`Cannot connect to ${address}: `), error.message);
  assert(why.test(error.message), error.message);
  assert(!error.message.includes("-----BEGIN"), error.message);
};

const withCa = { caCerts: [CA] };
const withClient = { ...withCa, cert: pem("client.pem"), key: pem("client.key") };
const UNKNOWN_ISSUER = /its certificate is from an unknown issuer \(a private authority goes into tls\.caCerts\)$/;
const OTHER_HOST = /its certificate is for another host \(tls\.serverName names another\)$/;

withServer("accepts a certificate of a trusted issuer for this host", { server: LOCALHOST, tls: withCa }, works());
withServer(
  "accepts a certificate for this IP address, and sends no address as a server name",
  { server: LOCALHOST, hostname: "127.0.0.1", tls: withCa },
  works((far) => assertEquals(nameSent(far), false)),
);
withServer(
  "sends the host as the server name",
  { server: LOCALHOST, tls: withCa },
  works((far) => {
    assertEquals(nameSent(far), "localhost");
  }),
);
withServer(
  "accepts a certificate that is its own authority",
  {
    server: { cert: pem("own_authority.pem"), key: pem("own_authority.key") },
    tls: { caCerts: [pem("own_authority.pem")] },
  },
  works(),
);
withServer("refuses an issuer that the runtime does not know", { server: LOCALHOST, tls: {} }, fails(UNKNOWN_ISSUER));
withServer(
  "refuses an issuer that is not trusted",
  { server: LOCALHOST, tls: { caCerts: [pem("foreign_ca.pem")] } },
  fails(UNKNOWN_ISSUER),
);
withServer("refuses a certificate for another host", { server: ELSEWHERE, tls: withCa }, fails(OTHER_HOST));
withServer(
  "refuses a certificate for another IP address",
  { server: ELSEWHERE, hostname: "127.0.0.1", tls: withCa },
  fails(OTHER_HOST),
);
withServer(
  "refuses an expired certificate",
  { server: EXPIRED, tls: withCa },
  fails(/its certificate has expired$/),
);
withServer(
  "accepts a certificate for `serverName`",
  { server: ELSEWHERE, tls: { ...withCa, serverName: "broker.example" } },
  works(),
);
withServer(
  "refuses a certificate for this host that is not for `serverName`",
  { server: LOCALHOST, tls: { ...withCa, serverName: "broker.example" } },
  fails(OTHER_HOST),
);
withServer(
  "accepts an IP address as `serverName`, and does not send it",
  { server: LOCALHOST, tls: { ...withCa, serverName: "127.0.0.1" } },
  works((far) => assertEquals(nameSent(far), false)),
);
withServer(
  "accepts a certificate for another host with `unsafelyDisableHostnameVerification`",
  { server: ELSEWHERE, tls: { ...withCa, unsafelyDisableHostnameVerification: true } },
  works(),
);
withServer(
  "refuses an unknown issuer with `unsafelyDisableHostnameVerification`",
  { server: ELSEWHERE, tls: { unsafelyDisableHostnameVerification: true } },
  fails(UNKNOWN_ISSUER),
);
withServer(
  "refuses an expired certificate with `unsafelyDisableHostnameVerification`",
  { server: EXPIRED, tls: { ...withCa, unsafelyDisableHostnameVerification: true } },
  fails(/its certificate has expired$/),
);
withServer(
  "sends a client certificate",
  { server: WANTS_CLIENT, tls: withClient },
  works((far) => {
    assert(far.authorized);
    assertEquals(far.getPeerCertificate().subject?.CN, "stompy-client");
  }),
);
withServer(
  "sends a client certificate, and refuses a certificate for another host",
  { server: { ...WANTS_CLIENT, ...ELSEWHERE }, tls: withClient },
  fails(OTHER_HOST),
);
withServer(
  "sends a client certificate, and refuses an issuer that is not trusted",
  { server: WANTS_CLIENT, tls: { ...withClient, caCerts: [pem("foreign_ca.pem")] } },
  fails(UNKNOWN_ISSUER),
);
withServer(
  "fails without the client certificate that the server asks for",
  { server: WANTS_CLIENT, tls: withCa },
  async (connect) => {
    // With TLS 1.3 the server's refusal comes after the client's side of the handshake.
    const error = await assertRejects(async () => {
      const near = await connect();
      await readTransport(near).finally(() => near.close());
      throw new ConnectionError("Cannot read: it closed the connection"); // what Bun makes of the alert
    });
    assertInstanceOf(error, ConnectionError);
  },
);
withServer(
  "refuses a client key that cannot be read",
  { server: WANTS_CLIENT, tls: { ...withCa, cert: pem("client.pem"), key: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0" } },
  fails(/: ./),
);

for (const [how, tls] of [["", withCa], [", with a client certificate", withClient]] as const) {
  test(`a peer that does not read TLS holds the writer back until \`close()\`${how}`, async () => {
    const adapter = await ownAdapter();
    const peer = await Peer.listen(WANTS_CLIENT_OR_NOT);
    const way = await relay(peer.port);
    const near = await adapter.connect({ hostname: "localhost", port: way.port, tls });
    await peer.accept();
    way.stop();
    const writer = near.writable.getWriter();
    let taken = 0;
    const pending = (async () => {
      for (; taken < 64 * 1024 * 1024; taken += 65536) await writer.write(new Uint8Array(65536));
    })();
    pending.catch(() => {});
    assertLess(await untilStable(() => taken), 32 * 1024 * 1024);
    const read = near.readable.getReader().read();
    await near.close();
    assertEquals((await read).done, true);
    await assertRejects(() => pending, ConnectionError);
    await way.close();
    await peer.close();
  });

  test(`a reader that does not read TLS holds the peer back${how}`, async () => {
    const adapter = await ownAdapter();
    const peer = await Peer.listen(WANTS_CLIENT_OR_NOT);
    const near = await adapter.connect({ hostname: "localhost", port: peer.port, tls });
    const far = await peer.accept();
    const chunk = pattern(65536);
    const total = 48 * 1024 * 1024;
    let taken = 0;
    const writing = (async () => {
      for (; taken < total; taken += chunk.length) await writeSocket(far, chunk);
      far.end();
    })();
    const io = directIo(near);
    let received = 0;
    let open = false;
    const over = new Promise((done) => {
      io.read({
        chunk(bytes) {
          received += bytes.length;
          return open;
        },
        done,
      });
    });
    assertLess(await untilStable(() => taken), total / 2);
    open = true;
    io.resume();
    assertEquals(await over, undefined);
    await writing;
    assertEquals(received, total);
    await near.close();
    await peer.close();
  });
}

withServer(
  "ends or fails a pending read when the peer resets",
  { server: LOCALHOST, tls: withCa },
  async (connect, peer) => {
    const near = await connect();
    const far = await peer.accept();
    const read = near.readable.getReader().read();
    const ended = read.then(
      ({ done }) => assertEquals(done, true),
      (error) => assertInstanceOf(error, ConnectionError),
    );
    far.destroy(); // without the closing alert of TLS
    await ended;
    await near.close();
  },
);

test("`connect()` with TLS says that a port does not speak TLS", async () => {
  const adapter = await ownAdapter();
  const listener = await listen({ hostname: "127.0.0.1", port: 0 }, async (far) => {
    await far.writable.getWriter().write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await far.close();
  });
  const error = await assertRejects(() => adapter.connect({ hostname: "127.0.0.1", port: listener.port, tls: {} }));
  assertInstanceOf(error, ConnectionError);
  assertEquals(
    error.message,
    `Cannot connect to 127.0.0.1:${listener.port}: it does not speak TLS (brokers have another port for TLS)`,
  );
  await listener.close();
});

test("`connect()` with TLS says that a port closes instead of a handshake", async () => {
  const adapter = await ownAdapter();
  const listener = await listen({ hostname: "127.0.0.1", port: 0 }, (far) => void far.close());
  const error = await assertRejects(() => adapter.connect({ hostname: "127.0.0.1", port: listener.port, tls: {} }));
  assertInstanceOf(error, ConnectionError);
  assert(/: (it closed the connection|connection reset)$/.test(error.message), error.message);
  await listener.close();
});

test("the signal of `connect()` with TLS ends the wait for a handshake", async () => {
  const adapter = await ownAdapter();
  const peer = await Peer.listen();
  const controller = new AbortController();
  const connecting = adapter.connect({ hostname: "127.0.0.1", port: peer.port, tls: {}, signal: controller.signal });
  await peer.accept();
  controller.abort(new Error("enough"));
  await assertRejects(() => connecting, Error, "enough");
  await peer.close();
});

test("`connect()` with a malformed `serverName` rejects and leaves nothing open", async () => {
  const adapter = await ownAdapter();
  const peer = await Peer.listen(LOCALHOST);
  const tls = { ...withCa, serverName: "not a name" };
  await assertRejects(() => adapter.connect({ hostname: "localhost", port: peer.port, tls }), ConnectionError);
  await peer.close();
});

test("`connect()` with TLS verifies in spite of NODE_TLS_REJECT_UNAUTHORIZED=0", async () => {
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    const adapter = await ownAdapter();
    const peer = await Peer.listen(LOCALHOST);
    await assertRejects(() => adapter.connect({ hostname: "localhost", port: peer.port, tls: {} }), ConnectionError);
    await peer.close();
  } finally {
    delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  }
});
