/** Custom transports: what the function gets, what it may return, and its faults. */
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "#assert";
import { Buffer } from "node:buffer";
import { Socket } from "node:net";
import { ConnectionError, ConnectionTimeoutError, HandshakeRefusedError } from "../../base/errors.ts";
import { Stomp } from "../../api/stomp.ts";
import { Frame } from "../../codec/frame.ts";
import { openSocket } from "../../session/open_socket.ts";
import {
  directIo,
  type TransportAddress,
  type TransportFactory,
  type TransportRequest,
} from "../../transport/transport.ts";
import { completeTransport } from "../../transport/custom.ts";
import { type ClientHarness, clientTest, Watcher } from "../support/client_harness.ts";
import { memoryPair } from "../support/memory_transport.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { confirm, connected } from "../support/raw_server.ts";

/** Transports in memory, whose other ends are peers. */
class MemoryWay {
  readonly calls: { address: TransportAddress; request: TransportRequest }[] = [];
  readonly peers: RawPeer[] = [];
  /** What each call returns in addition to the streams. */
  extra: Record<string, unknown> = {};
  readonly #arrivals: ((peer: RawPeer) => void)[] = [];

  constructor(harness: ClientHarness) {
    harness.atEnd(() => Promise.all(this.peers.map((peer) => peer.close())));
  }

  /** A plain pair of streams, and nothing else of a transport. */
  readonly open: TransportFactory = (address, request) => {
    this.calls.push({ address, request });
    const [{ readable, writable }, far] = memoryPair();
    const peer = RawPeer.over(far);
    this.peers.push(peer);
    this.#arrivals.shift()?.(peer);
    return { readable, writable, ...this.extra };
  };

  /** Answers CONNECT on the next connection. */
  async welcome(): Promise<RawPeer> {
    const peer = await new Promise<RawPeer>((resolve) => this.#arrivals.push(resolve));
    await peer.frame("CONNECT");
    await peer.write(connected());
    return peer;
  }
}

const QUIET = { heartbeat: false, reconnect: { delay: 0 } } as const;

async function connectOver(harness: ClientHarness, way: MemoryWay, url = "memory://u:s3cret@somewhere:7/p%20q?t=1") {
  const stomp = harness.client(url, { ...QUIET, transport: way.open });
  const [peer] = await Promise.all([way.welcome(), stomp.connect()]);
  return { stomp, peer };
}

clientTest("a plain pair of streams is a transport, under any scheme", async (harness) => {
  const way = new MemoryWay(harness);
  const { stomp, peer } = await connectOver(harness, way);
  const [receipt] = await Promise.all([stomp.send("/queue/a", "x"), confirm(peer, "SEND")]);
  assertEquals(receipt?.command, "RECEIPT");
  const { address, request } = way.calls[0]!;
  assertEquals({ ...address }, {
    ...{ scheme: "memory", hostname: "somewhere", port: 7, tls: false, host: "/" },
    path: "/p%20q?t=1",
  });
  assertEquals(request.tls, undefined);
  assert(request.timeout > 5000 && request.timeout <= 10_000, `${request.timeout}`);
  assertEquals(request.signal.aborted, false);
});

clientTest("CONNECT has user and password of the URL, which the function does not get", async (harness) => {
  const way = new MemoryWay(harness);
  const stomp = harness.client("memory://u:s3cret@h", { ...QUIET, transport: way.open });
  const connecting = stomp.connect();
  while (way.peers.length === 0) await Promise.resolve();
  const frame = await way.peers[0]!.frame("CONNECT");
  assertEquals([frame.get("login"), frame.get("passcode"), frame.get("host")], ["u", "s3cret", "/"]);
  await way.peers[0]!.write(connected());
  await connecting;
  assert(!JSON.stringify(way.calls[0]!.address).includes("s3cret"));
});

clientTest("`peer` of a custom transport is in messages, by default host and port, or the path", async (harness) => {
  for (
    const [url, extra, peer] of [
      ["memory://h:7/x?ticket=s3cret", {}, "h:7"],
      ["memory://h/x", {}, "h"],
      ["memory:///run/broker.sock?ticket=s3cret", {}, "/run/broker.sock"],
      ["stomp://h", {}, "h:61613"],
      ["stomp://h", { peer: "the tunnel" }, "the tunnel"],
    ] as const
  ) {
    const way = new MemoryWay(harness);
    way.extra = extra;
    const stomp = harness.client(url, { ...QUIET, transport: way.open });
    const watcher = new Watcher(stomp);
    await Promise.all([way.welcome(), stomp.connect()]);
    assertEquals((await watcher.until("connected")).peer, peer);
  }
});

clientTest("the function gets the TLS options, also of other schemes", async (harness) => {
  const way = new MemoryWay(harness);
  const tls = { serverName: "broker.example" };
  for (const [url, isTls] of [["stomp+ssl://h", true], ["quic://h", false]] as const) {
    const stomp = harness.client(url, { ...QUIET, tls, transport: way.open });
    await Promise.all([way.welcome(), stomp.connect()]);
    const { address, request } = way.calls.at(-1)!;
    assertEquals([address.tls, request.tls], [isTls, tls]);
  }
  // A caller who gives TLS options for a scheme without TLS expects TLS.
  assertThrows(() => new Stomp("stomp://h", { tls, transport: way.open }), TypeError, "its scheme has no TLS");
});

clientTest("`openSocket()` takes a custom transport as well", async (harness) => {
  const way = new MemoryWay(harness);
  const sock = await openSocket("memory://h", { transport: way.open });
  await sock.writeFrame(new Frame().buildFrame({ command: "CONNECT", headers: { host: "a" } }));
  assertEquals((await way.peers[0]!.frame("CONNECT")).get("host"), "a");
  await way.peers[0]!.write(connected());
  assertEquals((await sock.readFrame())?.command, "CONNECTED");
  await Promise.all([sock.close(), way.peers[0]!.finish()]);
});

clientTest("other schemes need `transport`, which has to be a function", (): Promise<void> => {
  assertThrows(() => new Stomp("stomp+unix:///run/x.sock"), TypeError, "any other needs the option transport");
  const transport = {} as unknown as TransportFactory;
  assertThrows(
    () => new Stomp("stomp://h", { transport }),
    TypeError,
    "transport is an Object, but must be a function",
  );
  return Promise.resolve();
});

clientTest("a transport that throws or rejects fails the attempt, and is tried again", async (harness) => {
  const way = new MemoryWay(harness);
  const cause = new Error("no tunnel");
  let failures = 2;
  const transport: TransportFactory = (address, request) => {
    if (failures === 2) {
      failures--;
      throw cause;
    }
    return failures-- === 1 ? Promise.reject(cause) : way.open(address, request);
  };
  const once = harness.client("memory://h:7", { ...QUIET, transport });
  const error = await assertRejects(() => once.connect(), ConnectionError);
  assertEquals(error.message, "Cannot connect to h:7: transport() failed: no tunnel");
  assertStrictEquals(error.cause, cause);

  const stomp = harness.client("memory://h:7", { ...QUIET, transport, reconnect: { firstConnect: true, delay: 0 } });
  const watcher = new Watcher(stomp);
  await Promise.all([way.welcome(), stomp.connect()]);
  assertEquals(((await watcher.until("reconnecting")).error as Error).message, error.message);
});

clientTest(
  "a `ConnectionError` of the function is passed on, so it can say that the login was refused",
  async (harness) => {
    const refused = new HandshakeRefusedError("Cannot connect to the tunnel: 401", 401);
    const transport = () => Promise.reject(refused);
    const stomp = harness.client("memory://h:7", { ...QUIET, transport });
    assertStrictEquals(await assertRejects(() => stomp.connect()), refused);
  },
);

clientTest(
  "a transport that never opens is given up at `connectTimeout`, and closed when it comes later",
  async (harness) => {
    const late = Promise.withResolvers<Awaited<ReturnType<TransportFactory>>>();
    const closed = Promise.withResolvers<void>();
    let aborted: unknown;
    const transport: TransportFactory = (_address, { signal }) => {
      signal.addEventListener("abort", () => aborted = signal.reason);
      return late.promise;
    };
    const stomp = harness.client("memory://h:7", { ...QUIET, transport, connectTimeout: 50 });
    const error = await assertRejects(() => stomp.connect(), ConnectionTimeoutError, "no answer within 50 ms");
    assertStrictEquals(aborted, error);
    const [{ readable, writable }] = memoryPair();
    late.resolve({ readable, writable, close: closed.resolve });
    await closed.promise;
  },
);

clientTest("the signal of `connect()` ends a transport that never opens", async (harness) => {
  const abort = new AbortController();
  const transport: TransportFactory = () => new Promise(() => queueMicrotask(() => abort.abort(new Error("enough"))));
  const stomp = harness.client("memory://h:7", { ...QUIET, transport });
  await assertRejects(() => stomp.connect({ signal: abort.signal }), Error, "enough");
  const reconnecting = harness.client("memory://h:7", { ...QUIET, transport: () => new Promise(() => {}) });
  const connecting = assertRejects(() => reconnecting.connect());
  await reconnecting.disconnect();
  await connecting;
});

clientTest("a readable that errors ends the session, and the client connects again", async (harness) => {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const way = new MemoryWay(harness);
  way.extra = {};
  const transport: TransportFactory = async (address, request) => {
    const { readable, writable } = await way.open(address, request);
    const reader = readable.getReader();
    const broken = new ReadableStream<Uint8Array>({
      start: (given) => void (controller = given),
      async pull(controller) {
        const { value } = await reader.read();
        if (value) controller.enqueue(value);
      },
    });
    return { readable: broken, writable };
  };
  const stomp = harness.client("memory://h:7", { ...QUIET, transport });
  const watcher = new Watcher(stomp);
  await Promise.all([way.welcome(), stomp.connect()]);
  const again = way.welcome();
  controller.error(new Error("the tunnel fell in"));
  const { error } = await watcher.until("disconnected");
  assertEquals(error.message, "Cannot read from h:7: the tunnel fell in");
  const [peer] = await Promise.all([again, watcher.until("connected")]);
  await Promise.all([stomp.send("/queue/a", "x"), confirm(peer, "SEND")]);
});

clientTest("chunks may be Buffers, and anything but bytes ends the session with an error", async (harness) => {
  const toBuffer = (bytes: Uint8Array) => Buffer.from(bytes);
  const toText = (bytes: Uint8Array) => String.fromCharCode(...bytes) as unknown as Uint8Array;
  for (const [convert, isGood] of [[toBuffer, true], [toText, false]] as const) {
    const [near, far] = memoryPair();
    const peer = RawPeer.over(far);
    harness.atEnd(() => peer.close());
    const transform = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => controller.enqueue(convert(chunk)),
    });
    const readable = near.readable.pipeThrough(transform);
    const stomp = harness.client("memory://h:7", {
      ...QUIET,
      transport: () => ({ readable, writable: near.writable }),
    });
    const connecting = stomp.connect();
    await peer.frame("CONNECT");
    await peer.write(connected());
    if (isGood) await connecting;
    else {await assertRejects(
        () => connecting,
        ConnectionError,
        "a chunk of its readable is of type string, but must be a Uint8Array",
      );}
  }
});

clientTest(
  "a transport that never closes, or fails to, holds up `disconnect()` for a second at most",
  async (harness) => {
    const fails = () => {
      throw new Error("cannot close");
    };
    for (const close of [() => new Promise<void>(() => {}), fails, () => Promise.reject(new Error("cannot close"))]) {
      const [near, far] = memoryPair();
      const peer = RawPeer.over(far);
      harness.atEnd(() => peer.close());
      let first = true;
      const readable = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (!first) return new Promise<void>(() => {});
          first = false;
          controller.enqueue(new TextEncoder().encode(connected()));
          return undefined;
        },
        cancel: () => new Promise<void>(() => {}),
      });
      const stomp = harness.client("memory://h:7", {
        ...QUIET,
        transport: () => ({ readable, writable: near.writable, close }),
      });
      await stomp.connect();
      const start = performance.now();
      await stomp.disconnect({ timeout: 100 });
      assertLess(performance.now() - start, 5000);
      assertEquals(await stomp.closed, undefined);
    }
  },
);

clientTest("`close` of the program is called once, when the client ends", async (harness) => {
  const way = new MemoryWay(harness);
  let calls = 0;
  way.extra = { close: () => calls++ };
  const { stomp, peer } = await connectOver(harness, way);
  await Promise.all([stomp.disconnect(), confirm(peer, "DISCONNECT").then(() => peer.finish())]);
  assertEquals(calls, 1);
});

const [{ readable, writable }] = memoryPair();

const WRONG: [returned: unknown, message: string][] = [
  [undefined, "it is undefined, but must be an object with readable and writable"],
  ["x", "it is of type string"],
  [{ writable }, "its readable is undefined, but must be a ReadableStream"],
  [{ readable, writable: readable }, "its writable is a ReadableStream, but must be a WritableStream"],
  [new Socket(), "Duplex.toWeb(socket) of node:stream makes both"],
  [{ readyState: 1, send() {} }, "the URL of a WebSocket is ws:// or wss://, and needs no transport"],
  [{ readable, writable, peer: 5 }, "its peer is of type number, but must be text"],
  [{ readable, writable, close: true }, "its close is of type boolean, but must be a function"],
];

clientTest("what the function returns is checked, and the error says what is wrong", async (harness) => {
  for (const [returned, message] of WRONG) {
    const transport = () => returned as Awaited<ReturnType<TransportFactory>>;
    const error = await assertRejects(() => harness.client("memory://h", { transport }).connect(), TypeError, message);
    assertMatch(error.message, /^Cannot use what transport\(\) returned: /);
  }
  const [near] = memoryPair();
  near.readable.getReader();
  const locked = { readable: near.readable, writable: near.writable };
  assertThrows(() => completeTransport(locked, "h"), TypeError, "its readable is locked");
});

clientTest("a transport with plain calls is used as it is", (): Promise<void> => {
  const [near] = memoryPair();
  assertStrictEquals(completeTransport(near, "h"), near);
  directIo(near); // its streams were not touched, which would forbid this
  return Promise.resolve();
});
