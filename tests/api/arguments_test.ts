/** Invalid arguments: refused at once, with their name, before anything is written. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "#assert";
import { Frame, FrameDecoder, type Message, openSocket, Simple, Stomp, StompError } from "../../mod.ts";
import { type ClientHarness, clientTest, subscribed } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, message } from "../support/raw_server.ts";
import { test } from "#test";

type Options = Record<string, unknown>;
// deno-lint-ignore no-explicit-any -- the tests give what types do not allow
const given = (value: unknown) => value as any;

/** Fails unless nothing was written: the next frame is one that is sent now. */
async function assertNothingWritten(stomp: Stomp, peer: RawPeer): Promise<void> {
  const sent = stomp.send("/queue/last", "x");
  assertEquals((await confirm(peer, "SEND")).get("destination"), "/queue/last");
  await sent;
}

/** A call that must be refused with an error of that type which says this. */
type Refusal = [call: (stomp: Stomp) => Promise<unknown>, type: new (message?: string) => Error, words: string];

async function refusesAll(harness: ClientHarness, refusals: Refusal[]): Promise<void> {
  const { stomp, peer } = await harness.pair({}, "1.2", "server:ActiveMQ/5.17\n");
  for (const [call, type, words] of refusals) {
    const error = await assertRejects(() => call(stomp), type, words, words);
    assertEquals(error instanceof StompError, false, words);
  }
  await assertNothingWritten(stomp, peer);
}

const send = (options: Options) => (stomp: Stomp) => stomp.send("/q", "x", options);
const subscribe = (options: Options) => (stomp: Stomp) => stomp.subscribe("/q", { ack: "client", ...options });
const consume = (options: Options) => (stomp: Stomp) => stomp.consume("/q", () => {}, options);

clientTest("`send()` refuses numbers that are out of range", async (harness) => {
  await refusesAll(harness, [
    [send({ priority: -1 }), RangeError, "Cannot send: priority is -1, the minimum is 0"],
    ...[10, Infinity].map((priority): Refusal => [
      send({ priority }),
      RangeError,
      `Cannot send: priority is ${priority}, the maximum is 9`,
    ]),
    ...[4.5, NaN, "4"].map((priority): Refusal => [
      send({ priority }),
      RangeError,
      `Cannot send: priority is ${
        typeof priority === "string" ? '"4"' : priority
      }, but must be a whole number from 0 to 9`,
    ]),
    ...[-3, NaN, Infinity, "5"].flatMap((value): Refusal[] => [
      [send({ delay: value }), RangeError, "Cannot send: delay is "],
      [send({ expires: value }), RangeError, "Cannot send: expires is "],
      [send({ expires: value, headers: { receipt: "mine" } }), RangeError, "Cannot send: expires is "],
    ]),
    [send({ expires: new Date(Date.now() - 5) }), RangeError, "ms ago: the message has expired already"],
    [send({ expires: new Date(NaN) }), RangeError, "expires is an invalid Date, but must be a Date in the future"],
    [send({ timeout: -1 }), RangeError, "timeout is -1, the minimum is 0"],
    [send({ timeout: "5" }), RangeError, 'timeout is "5", but must be 0 or more milliseconds, or Infinity'],
    [(stomp) => stomp.request("/q", "x", { priority: 10 }), RangeError, "priority is 10"],
    [(stomp) => stomp.request("/q", "x", { timeout: NaN }), RangeError, "timeout is NaN"],
  ]);
});

clientTest("`send()` accepts the numbers at the ends of the ranges", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.2", "server:ActiveMQ/5.17\n");
  for (
    const [options, line] of [
      [{ priority: 0 }, "priority:0"],
      [{ priority: 9 }, "priority:9"],
      [{ delay: 0 }, "AMQ_SCHEDULED_DELAY:0"],
      [{ delay: 1.5 }, "AMQ_SCHEDULED_DELAY:2"],
    ] as const
  ) {
    const sending = stomp.send("/q", "x", options);
    assert((await confirm(peer, "SEND")).lines.includes(line), line);
    await sending;
  }
});

clientTest("`subscribe()`, `consume()` and `respond()` refuse numbers that are out of range", async (harness) => {
  await refusesAll(harness, [
    ...[0, -1].map((prefetch): Refusal => [
      subscribe({ prefetch }),
      RangeError,
      `Cannot subscribe: prefetch is ${prefetch}, the minimum is 1`,
    ]),
    ...[NaN, 1.5, Infinity, "1"].map((prefetch): Refusal => [
      subscribe({ prefetch }),
      RangeError,
      `Cannot subscribe: prefetch is ${
        typeof prefetch === "string" ? '"1"' : prefetch
      }, but must be a whole number of 1 or more`,
    ]),
    [consume({ prefetch: 0 }), RangeError, "prefetch is 0"],
    [subscribe({ maxQueuedMessages: 0 }), RangeError, "maxQueuedMessages is 0, the minimum is 1"],
    [subscribe({ maxQueuedBytes: NaN }), RangeError, "maxQueuedBytes is NaN"],
    [consume({ concurrency: 1.5 }), RangeError, "concurrency is 1.5, but must be a whole number of 1 or more"],
    [consume({ drainTimeout: -1 }), RangeError, "Cannot consume: drainTimeout is -1"],
    [consume({ retry: { attempts: 0 } }), RangeError, "retry.attempts is 0, the minimum is 1"],
    [consume({ retry: { attempts: 1.5 } }), RangeError, "retry.attempts is 1.5"],
    [consume({ retry: { delay: NaN } }), RangeError, "retry.delay is NaN, but must be 0 or more milliseconds"],
    [(stomp) => stomp.respond("/q", () => "", { concurrency: 0 }), RangeError, "Cannot respond: concurrency is 0"],
    [(stomp) => stomp.drain({ timeout: NaN }), RangeError, "timeout is NaN"],
    [(stomp) => stomp.disconnect({ timeout: -1 }), RangeError, "timeout is -1"],
  ]);
});

test("`new Stomp()` refuses numbers that are out of range, and names the option", () => {
  for (
    const [options, words] of [
      [{ timeout: NaN }, "Cannot connect: timeout is NaN, but must be 0 or more milliseconds, or Infinity"],
      [{ connectTimeout: -1 }, "Cannot connect: connectTimeout is -1"],
      [{ outbox: { messages: 0 } }, "outbox.messages is 0, the minimum is 1"],
      [{ outbox: { bytes: "1" } }, 'outbox.bytes is "1"'],
      [{ reconnect: { maxDelay: NaN } }, "reconnect.maxDelay is NaN, but must be a number of 0 or more"],
      [{ reconnect: { attempts: "1" } }, 'reconnect.attempts is "1"'],
    ] as const
  ) {
    assertThrows(() => new Stomp("stomp://localhost", given(options)), RangeError, words);
  }
});

clientTest("`timeout: 0` is no limit as an option of the client, and no time in a call", async (harness) => {
  const broker = await harness.broker();
  const stomp = await harness.connect(broker.url, { timeout: 0, connectTimeout: 0 });
  const sock = await openSocket(broker.url, { timeout: 0 });
  await sock.close();
  const subscription = await stomp.subscribe("/queue/a");
  await stomp.send("/queue/a", "x");
  assertEquals((await subscription.take())?.text(), "x");
  await assertRejects(() => subscription.take({ timeout: 0 }), StompError, "Timed out after 0 ms");
  const other = await Stomp.connect(broker.url, { timeout: 0 });
  await other.send("/queue/b", "x");
  await other.disconnect();
  // A peer that gives no receipt: a broker could give it before a timer of no time has ended.
  const { stomp: unanswered } = await harness.pair();
  await assertRejects(() => unanswered.send("/queue/a", "x", { timeout: 0 }), StompError, "Timed out after 0 ms");
});

clientTest("`send()` refuses an invalid body, and says what to do", async (harness) => {
  const body = (value: unknown) => (stomp: Stomp) => stomp.send("/q", given(value));
  const missing = "but must be a string or a Uint8Array";
  await refusesAll(harness, [
    [body(undefined), TypeError, `Cannot send: the body is undefined, ${missing}; "" is an empty one`],
    [body(null), TypeError, `Cannot send: the body is null, ${missing}`],
    [(stomp) => given(stomp).send("/q"), TypeError, "the body is undefined"],
    [(stomp) => stomp.send({ destination: "/q", body: given(null) }), TypeError, "body is null"],
    [body({ ok: true }), TypeError, `the body is an Object, ${missing}; JSON.stringify makes text of it`],
    [body(new ArrayBuffer(1)), TypeError, "new Uint8Array makes bytes of it"],
    [body(7), TypeError, "of type number"],
    [body(() => "x"), TypeError, `of type function, ${missing}`],
    [(stomp) => stomp.request("/q", given(undefined)), TypeError, "the body is undefined"],
    [() => new Simple("localhost").put(given(undefined), "/q"), TypeError, "the body is undefined"],
  ]);
});

clientTest("`send()` by conf without a body sends an empty one", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const sending = stomp.send({ destination: "/q" });
  assertEquals((await confirm(peer, "SEND")).body, "");
  await sending;
});

clientTest("each call refuses arguments of the wrong type, and names them", async (harness) => {
  await refusesAll(harness, [
    [(stomp) => stomp.send(given(7)), TypeError, "Cannot read conf: it is of type number"],
    [(stomp) => stomp.request(given(7), "x"), TypeError, "the destination is of type number, but must be text"],
    [(stomp) => stomp.subscribe("", {}), TypeError, "the destination is missing"],
    [
      (stomp) => stomp.send("/q", "x", given("text/plain")),
      TypeError,
      "options is of type string, but must be an object",
    ],
    [
      (stomp) => stomp.send("/q", "x", given({ signal: {} })),
      TypeError,
      "signal is an Object, but must be an AbortSignal",
    ],
    [send({ signal: new AbortController() }), TypeError, "must be an AbortSignal: pass its signal"],
    [subscribe({ signal: new AbortController() }), TypeError, "must be an AbortSignal: pass its signal"],
    [consume({ signal: new AbortController() }), TypeError, "must be an AbortSignal: pass its signal"],
    [(stomp) => stomp.disconnect({ signal: given({}) }), TypeError, "must be an AbortSignal"],
    [send({ replyTo: () => "/q" }), TypeError, "Cannot send: replyTo is of type function, but must be a string"],
    [send({ correlationId: {} }), TypeError, "correlationId is an Object"],
    [send({ persistent: "false" }), TypeError, "persistent is of type string, but must be a boolean"],
    [send({ headers: "a:b" }), TypeError, "headers is of type string"],
    [send({ headers: ["a", "b"] }), TypeError, "must give pairs of a name and a value"],
    [subscribe({ ack: true }), TypeError, "ack is true, not auto, client or client-individual"],
    [subscribe({ durable: true }), TypeError, "durable is of type boolean"],
    [subscribe({ selector: () => true }), TypeError, "selector is of type function"],
    [subscribe({ id: 7 }), TypeError, "id is of type number"],
    [(stomp) => stomp.subscribe("/q", given(() => {})), TypeError, "or use consume()"],
    [(stomp) => stomp.consume("/q", given(undefined)), TypeError, "the handler is undefined, but must be a function"],
    [(stomp) => stomp.respond("/q", given("x")), TypeError, "the handler is of type string"],
    [consume({ onError: true }), TypeError, "onError is of type boolean"],
    [consume({ retry: 3 }), TypeError, "retry is of type number, but must be an object"],
    [(stomp) => stomp.transaction(given(undefined)), TypeError, "work is null, but must be a function"],
  ]);
});

clientTest("`respond()` refuses an invalid reply, and both sides get an error", async (harness) => {
  const stomp = await harness.connect((await harness.broker()).url);
  const errors: unknown[] = [];
  const replies: unknown[] = [{ ok: true }, 7, null];
  await stomp.respond("/queue/a", () => given(replies.shift()), { onError: (error) => void errors.push(error) });
  for (const words of ["an Object without a body", "of type number without", "null without"]) {
    const error = await assertRejects(() => stomp.request("/queue/a", "x"), StompError, words);
    assert(error.message.includes("return a string, a Uint8Array, { body, options }, or nothing"), error.message);
    assertInstanceOf(errors.pop(), TypeError);
  }
});

clientTest("`disconnect()` refuses a header that cannot be encoded, and the client goes on", async (harness) => {
  const { stomp, peer } = await harness.pair({}, "1.1");
  for (const conf of [{ "x-a": "1\r2" }, { "": "1" }, { "x-a": "\ud800" }]) {
    await assertRejects(() => stomp.disconnect(conf), TypeError, "Cannot encode header");
  }
  await assertNothingWritten(stomp, peer);
  const ending = stomp.disconnect({ "x-a": "1:2" });
  assertEquals((await confirm(peer, "DISCONNECT")).get("x-a"), "1\\c2");
  await peer.close();
  await ending;
});

/** The same headers in every shape that is taken. */
const SHAPES: [string, () => Options][] = [
  ["an object", () => ({ "x-a": "1", "x-b": "2" })],
  ["a Map", () => given(new Map([["x-a", "1"], ["x-b", "2"]]))],
  ["Headers", () => given(new Headers({ "X-A": "1", "X-B": "2" }))],
  ["pairs", () => given([["x-a", "1"], ["x-b", "2"], ["x-a", "3"], ["x-no", undefined]])],
  ["an iterator", () => given(Object.entries({ "x-a": "1", "x-b": "2" })[Symbol.iterator]())],
];

for (const [shape, make] of SHAPES) {
  clientTest(`each call with headers accepts ${shape}`, async (harness) => {
    const { stomp, peer, server } = await harness.pair({ headers: given(make()), reconnect: { delay: 1 } });
    const check = async (command: string, call: Promise<unknown> | undefined, hasReceipt = true) => {
      const frame = hasReceipt ? await confirm(peer, command) : await peer.frame(command);
      assertEquals([frame.get("x-a"), frame.get("x-b"), frame.get("x-no")], ["1", "2", undefined], command);
      await call;
    };
    const headers = () => given(make());
    await check("SEND", stomp.send("/q", "x", { headers: headers() }));
    await check("SEND", stomp.send("/q", "x", { headers: headers(), contentLength: false }));
    const [subscription] = await Promise.all([
      stomp.subscribe("/q", { ack: "client-individual", headers: headers() }),
      check("SUBSCRIBE", undefined),
    ]);
    for (const command of ["ACK", "NACK"] as const) {
      await peer.write(message(subscription.id, command));
      const one = (await subscription.take()) as Message;
      await check(
        command,
        command === "ACK" ? one.ack({ headers: headers() }) : stomp.nack(one, { headers: headers() }),
        false,
      );
    }
    const [tx] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
    await check("COMMIT", tx.commit({ headers: headers() }));
    await check("UNSUBSCRIBE", subscription.unsubscribe({ headers: headers() }));
    const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/q" } });
    Object.assign(frame.headers, new Frame().buildFrame({ command: "SEND", headers: headers() }).headers);
    await check("SEND", stomp.sendFrame(frame), false);
    // CONNECT, on the second connection as on the first.
    await peer.close();
    const next = await server.accept();
    const connect = await next.frame("CONNECT");
    assertEquals([connect.get("x-a"), connect.get("x-b")], ["1", "2"]);
  });
}

clientTest("`send()` reads receipt and content-length from a Map of headers", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const headers = new Map([["receipt", "mine"], ["content-length", "99"], ["content-type", "a/b"]]);
  const sending = stomp.send("/q", "xy", { headers });
  const said = await confirm(peer, "SEND");
  assertEquals([said.get("receipt"), said.get("content-length"), said.get("content-type")], ["mine", "2", "a/b"]);
  await sending;
});

clientTest("`consume()` accepts `nackHeaders` as a Map", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const over = new AbortController();
  const options = { nackHeaders: new Map([["requeue", "false"]]), signal: over.signal };
  const consuming = stomp.consume("/q", () => Promise.reject(new Error("no")), options);
  const { get } = await confirm(peer, "SUBSCRIBE");
  for (let i = 0; i < 2; i++) {
    await peer.write(message(get("id")!, `${i}`));
    assertEquals((await peer.frame("NACK")).get("requeue"), "false");
  }
  over.abort();
  await confirm(peer, "UNSUBSCRIBE");
  await consuming;
});

clientTest("`send()` refuses text whose UTF-8 is not valid in the charset of its `contentType`", async (harness) => {
  const type = (contentType: string, text = "é") => (stomp: Stomp) => stomp.send("/q", text, { contentType });
  const words = "encode it and pass the bytes, or leave the charset out";
  await refusesAll(harness, [
    [type("text/plain;charset=ISO-8859-1"), TypeError, words],
    [type("text/plain; charset=utf-16le", "abc"), TypeError, words],
    [type("text/plain;charset=nonsense", "abc"), TypeError, "content-type says nonsense"],
    [(stomp) => stomp.send("/q", "é", { headers: { "content-type": "a/b;charset=latin1" } }), TypeError, words],
    [
      (stomp) => stomp.send("/q", "é", { headers: { "content-type": "a/b;charset=latin1", receipt: "mine" } }),
      TypeError,
      words,
    ],
    [(stomp) => stomp.send({ destination: "/q", body: "é", "content-type": "a/b;charset=latin1" }), TypeError, words],
  ]);
  const { stomp, peer } = await harness.pair();
  for (
    const [contentType, body] of [
      ["text/plain;charset=UTF-8", "é"],
      ["text/plain;charset=us-ascii", "abc"],
      ["text/plain;charset=iso-8859-1", "abc"],
      ["text/plain;charset=iso-8859-1", Uint8Array.of(0xe9)],
      ["text/plain;charset=nonsense", Uint8Array.of(1)],
    ] as const
  ) {
    const sending = stomp.send("/q", body, { contentType });
    assertEquals((await confirm(peer, "SEND")).get("content-type"), contentType);
    await sending;
  }
  const build = () =>
    new Frame().buildFrame({ command: "SEND", headers: { "content-type": "a;charset=latin1" }, body: "é" });
  assertThrows(build, TypeError, words);
});

clientTest(
  "`text()` of a message in an unknown charset throws a StompError, and `body` has the octets",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const subscription = await subscribed(stomp, peer);
    await peer.write(message(subscription.id, "hi", "content-type:text/plain;charset=nonsense\n"));
    const received = (await subscription.take())!;
    const error = assertThrows(() => received.text(), StompError, "the charset nonsense is unknown here");
    assertInstanceOf(error.cause, RangeError);
    assertEquals([...received.body], [104, 105]);
    assertEquals(await new Blob([received.body]).text(), "hi");
  },
);

test("bytes in shared memory are copied when they are sent and received", () => {
  const wire = new TextEncoder().encode("MESSAGE\ncontent-length:2\n\né\0");
  const chunk = new Uint8Array(new SharedArrayBuffer(wire.length));
  chunk.set(wire);
  let received: Frame | undefined;
  new FrameDecoder({ version: "1.2", onFrame: (got) => received = got }).push(chunk);
  chunk.fill(0);
  assertEquals([received!.text(), received!.body.buffer instanceof ArrayBuffer], ["é", true]);
  const shared = new Uint8Array(new SharedArrayBuffer(2)).fill(97);
  const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/q" }, body: shared });
  frame.body = shared;
  shared.fill(98);
  assertEquals([frame.text(), frame.body.buffer instanceof ArrayBuffer], ["aa", true]);
});
