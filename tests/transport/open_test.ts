/** From an address to a transport: adapters, TLS, deadlines and signals. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { test } from "#test";
import { ConnectionError, ConnectionTimeoutError } from "../../base/errors.ts";
import { parseUrl } from "../../transport/address.ts";
import { listen, openTransport, runtime } from "../../transport/open.ts";
import { runtime as expectedRuntime } from "../support/runtime.ts";
import { pattern, Peer, pem, readTransport, silentPort } from "../support/sockets.ts";

test("`runtime()` names the current runtime", () => assertEquals(runtime(), expectedRuntime));

/** An address at 127.0.0.1. */
const local = (port: number, scheme = "stomp") => parseUrl(`${scheme}://u:s3cret@127.0.0.1:${port}`);

test("`openTransport()` opens a connection with the adapter of this runtime", async () => {
  const listener = await listen({ hostname: "127.0.0.1", port: 0 }, async (accepted) => {
    const writer = accepted.writable.getWriter();
    for await (const chunk of accepted.readable) await writer.write(chunk);
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

test("`openTransport()` uses TLS if the scheme asks for it, and verifies it without any option", async () => {
  const peer = await Peer.listen({ cert: pem("localhost.pem"), key: pem("localhost.key") });
  const address = local(peer.port, "stomp+ssl");
  const error = await assertRejects(() => openTransport(address), ConnectionError, "unknown issuer");
  assert(!error.message.includes("s3cret"));
  const near = await openTransport(address, { tls: { caCerts: [pem("ca.pem")] } });
  await near.close();
  await peer.close();
});

test("`openTransport()` rejects TLS options for a scheme without TLS", async () => {
  await assertRejects(() => openTransport(local(1), { tls: {} }), TypeError, "has no TLS, use stomp+ssl://");
  await assertRejects(() => openTransport(local(1, "ws"), { tls: {} }), TypeError, "has no TLS, use wss://");
});

test("`openTransport()` gives up a host that does not answer at the deadline", async () => {
  const silent = await silentPort();
  const error = await assertRejects(() => openTransport(local(silent.port), { timeout: 50 }), ConnectionTimeoutError);
  assertEquals(error.message, `Cannot connect to 127.0.0.1:${silent.port}: no answer within 50 ms`);
  await silent.close();
});

test("`openTransport()` gives up a host that does not answer the TLS handshake at the deadline", async () => {
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

test("`openTransport()` takes no limit and a very long one as `timeout`, and rejects a negative one and NaN", async () => {
  const peer = await Peer.listen();
  for (const timeout of [0, Infinity, 2 ** 40]) {
    const near = await openTransport(local(peer.port), { timeout });
    await near.close();
  }
  await peer.close();
  // A host that does not answer shows it: only the signal ends the attempt.
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

test("the signal of `openTransport()` rejects with its reason before and during the attempt, and does nothing after it", async () => {
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

test("the error of a refused port names the address, keeps the cause, and has no password", async () => {
  const peer = await Peer.listen();
  await peer.close();
  const error = await assertRejects(() => openTransport(local(peer.port)), ConnectionError);
  assertEquals(error.message, `Cannot connect to 127.0.0.1:${peer.port}: connection refused`);
  assertInstanceOf(error.cause, Error);
});
