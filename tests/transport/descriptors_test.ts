/** No socket stays open: neither after a handshake without an answer, nor with data that the peer does not take. */
import { assertEquals, assertLess, assertRejects } from "#assert";
import { test } from "#test";
import process from "node:process";
import { parseUrl } from "../../transport/address.ts";
import { openTransport } from "../../transport/open.ts";
import { ConnectionError } from "../../base/errors.ts";
import { directIo, type TlsOptions } from "../../transport/transport.ts";
import { runtime } from "../support/runtime.ts";
import { Peer, pem, relay, silentPort, socketsTo, untilStable } from "../support/sockets.ts";
import { WebSocketPeer } from "../support/websocket_peer.ts";

const SERVER = { cert: pem("localhost.pem"), key: pem("localhost.key") };
const withCa: TlsOptions = { caCerts: [pem("ca.pem")] };
const TLS: Record<string, TlsOptions | undefined> = { "stomp+ssl": withCa, "wss": withCa };
const ignore = process.platform !== "linux";

/** Waits until no socket goes to the port: runtimes free some of them a moment after they report it. */
async function assertFreed(port: number): Promise<void> {
  const begun = performance.now();
  while (socketsTo(port) > 0) {
    assertLess(performance.now() - begun, 2000, `${socketsTo(port)} sockets are left`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Opens ten connections at a time that do not succeed, and gives them up by timeout, then by signal. */
async function giveUp(scheme: string, port: number, tls = TLS[scheme]): Promise<void> {
  const address = parseUrl(`${scheme}://127.0.0.1:${port}`);
  await Promise.all(Array.from({ length: 10 }, () => {
    return assertRejects(() => openTransport(address, { tls, timeout: 100 }), ConnectionError, "within 100 ms");
  }));
  await assertFreed(port);

  const controller = new AbortController();
  const { signal } = controller;
  const aborted = Array.from({ length: 10 }, () => {
    return assertRejects(() => openTransport(address, { tls, signal }), Error, "enough");
  });
  while (socketsTo(port) < aborted.length) await new Promise((resolve) => setTimeout(resolve, 5));
  controller.abort(new Error("enough"));
  await Promise.all(aborted);
  await assertFreed(port);
}

test({
  name: "`openTransport()` leaves no socket open when the host does not answer",
  ignore,
  fn: async () => {
    const silent = await silentPort();
    const own = socketsTo(silent.port); // the sockets that fill its queue
    const begun = performance.now();
    for (const scheme of ["stomp", "stomp+ssl"]) {
      const address = parseUrl(`${scheme}://127.0.0.1:${silent.port}`);
      const options = { tls: TLS[scheme], timeout: 50 };
      await Promise.all(Array.from({ length: 5 }, () => {
        return assertRejects(() => openTransport(address, options), ConnectionError, "within 50 ms");
      }));
      while (socketsTo(silent.port) > own) {
        assertLess(performance.now() - begun, 2000);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    await silent.close();
  },
});

for (const scheme of ["stomp+ssl", "ws", "wss"]) {
  test({
    name: `\`openTransport()\` leaves no socket open when the handshake of ${scheme}:// is not answered`,
    ignore,
    fn: async () => {
      const peer = await Peer.listen();
      await giveUp(scheme, peer.port);
      await peer.close();
    },
  });
}

test({
  name: "`openTransport()` leaves no socket open when the handshake with a client certificate is not answered",
  ignore,
  fn: async () => {
    const peer = await Peer.listen();
    const tls = { ...withCa, cert: pem("client.pem"), key: pem("client.key") };
    await giveUp("stomp+ssl", peer.port, tls);
    await giveUp("wss", peer.port, tls);
    await peer.close();
  },
});

test({
  name: "`openTransport()` leaves no socket open when TLS is refused",
  ignore,
  fn: async () => {
    const peer = await Peer.listen(SERVER);
    for (const [scheme, host] of [["stomp+ssl", "localhost"], ["wss", "localhost"]] as const) {
      const address = parseUrl(`${scheme}://${host}:${peer.port}`);
      for (let i = 0; i < 5; i++) await assertRejects(() => openTransport(address), ConnectionError, "unknown issuer");
      await assertFreed(peer.port);
    }
    await peer.close();
  },
});

for (const scheme of ["stomp", "stomp+ssl"]) {
  for (const first of ["near", "far"]) {
    test({
      name: `a socket of ${scheme}:// frees itself when both sides have ended cleanly, the ${first} one first`,
      ignore,
      fn: async () => {
        const tls = TLS[scheme];
        const peer = await Peer.listen(tls && SERVER);
        const accepting = peer.accept();
        const near = await openTransport(parseUrl(`${scheme}://localhost:${peer.port}`), { tls });
        const far = await accepting;
        const io = directIo(near);
        const over = new Promise((done) => io.read({ chunk: () => true, done }));
        assertEquals(socketsTo(peer.port), 1);
        if (first === "near") await io.end();
        else far.end();
        if (first === "near") far.resume().once("end", () => far.end());
        assertEquals(await over, undefined);
        if (first === "far") await io.end();
        await assertFreed(peer.port);
        await peer.close();
      },
    });
  }
}

for (const scheme of ["stomp", "stomp+ssl", "ws", "wss"]) {
  test({
    name: `\`close()\` of ${scheme}:// leaves no socket open when data is unsent`,
    // Deno's WebSocket cannot be freed: docs/decisions.md.
    ignore: ignore || (runtime === "deno" && scheme.startsWith("ws")),
    fn: async () => {
      const tls = TLS[scheme];
      const peer = scheme.startsWith("ws")
        ? await WebSocketPeer.listen({ tls: tls && SERVER })
        : await Peer.listen(tls && SERVER);
      for (let i = 0; i < 4; i++) {
        const way = await relay(peer.port);
        const accepting = peer.accept();
        const near = await openTransport(parseUrl(`${scheme}://localhost:${way.port}`), { tls });
        await accepting;
        way.stop();
        const io = directIo(near);
        let taken = 0;
        const size = i < 3 ? 32 * 1024 * 1024 : 65536;
        const writing = (async () => {
          for (; taken < 64 * 1024 * 1024; taken += size) await io.write(new Uint8Array(size));
        })();
        writing.catch(() => {});
        // Closes at once, and after the write has stalled.
        if (i >= 2) await untilStable(() => taken);
        assertEquals(socketsTo(way.port), 1);
        await near.close();
        await assertRejects(() => writing, ConnectionError);
        await assertFreed(way.port);
        await way.close();
      }
      await peer.close();
    },
  });
}
