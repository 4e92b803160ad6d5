/** When a client connects again, by a clock that the test moves. */
import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "#assert";
import {
  BrokerErrorResponse,
  ConnectionError,
  HandshakeRefusedError,
  NotConnectedError,
  type StompError,
  UnknownBrokerResponseError,
} from "../../base/errors.ts";
import type { ReconnectOptions } from "../../base/backoff.ts";
import type { Dialer, SessionEvents } from "../../client/dialer.ts";
import { Reconnector } from "../../client/reconnector.ts";
import { type Status, StatusHub } from "../../client/status.ts";
import type { Session } from "../../session/session.ts";
import { type ClientHarness, clientTest, frame, openSession } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, message, receiptFor } from "../support/raw_server.ts";

/** A reconnector whose attempts succeed, over memory, unless an error was put into `failures`. */
class ReconnectorHarness {
  readonly clock = new FakeClock();
  readonly hub = new StatusHub();
  readonly statuses: AsyncIterableIterator<Status> = this.hub.watch();
  /** What the next attempts fail with. */
  readonly failures: StompError[] = [];
  /** The time of each attempt. */
  readonly attempts: number[] = [];
  readonly reconnector: Reconnector;
  /** Resolves when the reconnector is closed. */
  readonly closed: Promise<StompError | undefined>;
  peer!: RawPeer;
  session!: Session;

  constructor(harness: ClientHarness, policy: ReconnectOptions | false = {}, renewsCredentials = false) {
    const dialer = {
      renewsCredentials,
      dial: async (events: SessionEvents) => {
        this.attempts.push(this.clock.now());
        const failure = this.failures.shift();
        if (failure) throw failure;
        const made = await openSession(harness, { ...events, clock: this.clock });
        ({ peer: this.peer, session: this.session } = made);
        return this.session;
      },
    };
    const { promise, resolve } = Promise.withResolvers<StompError | undefined>();
    this.closed = promise;
    this.reconnector = new Reconnector(dialer as unknown as Dialer, policy, {
      onOpen() {},
      onLost() {},
      onUnclaimed: undefined,
      async onReplacing() {},
      async onHandingOver() {},
      onClosed() {},
      onEnded: resolve,
      onStatus: (status) => this.hub.emit(status),
    }, this.clock);
    harness.atEnd(() => this.reconnector.close(undefined));
  }

  /** The next event of that type. */
  async until<T extends Status["type"]>(type: T): Promise<Extract<Status, { type: T }>> {
    for (;;) {
      const { done, value } = await this.statuses.next();
      if (done) throw new Error(`Expected "${type}", and the reconnector is closed`);
      if (value.type === type) return value as Extract<Status, { type: T }>;
    }
  }

  /** Has the session last, then ends it; gives the wait before the next attempt, and lets it pass. */
  async breakAfter(milliseconds: number, reason?: StompError): Promise<number> {
    this.clock.pass(milliseconds);
    this.session.close(reason ?? new ConnectionError("broken"));
    const { delay } = await this.until("reconnecting");
    this.clock.pass(delay);
    return delay;
  }
}

/** Each wait is as long as it can be, or as short. */
function withRandom(name: string, share: number, fn: (harness: ClientHarness) => Promise<void>): void {
  clientTest(name, async (harness) => {
    const { random } = Math;
    Math.random = () => share;
    try {
      await fn(harness);
    } finally {
      Math.random = random;
    }
  });
}

const FULL = 1 - Number.EPSILON;

const refusal = () =>
  new BrokerErrorResponse(frame("ERROR", { message: "Bad CONNECT" }, "Access refused for user 'u'"));

withRandom("`Reconnector` begins with short waits after a session of one second", FULL, async (harness) => {
  const one = new ReconnectorHarness(harness);
  await one.reconnector.connect({});
  const waits: number[] = [];
  for (const lasts of [0, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 999, 1000]) {
    waits.push(Math.round(await one.breakAfter(lasts)));
    await one.until("connected");
  }
  // One that lets us in and does nothing more is no new beginning.
  assertEquals(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 100, 200, 400, 100]);
});

withRandom(
  "`Reconnector` begins with short waits after up to 8 short sessions in which the broker did something",
  FULL,
  async (harness) => {
    for (const proof of ["MESSAGE", "RECEIPT"]) {
      const one = new ReconnectorHarness(harness);
      await one.reconnector.connect({});
      const waits: number[] = [];
      for (let i = 0; i < 12; i++) {
        if (proof === "MESSAGE") {
          await one.peer.write(message("1", "1"));
        } else {
          const confirmed = one.session.request(frame("BEGIN", { transaction: "t" }));
          await confirm(one.peer, "BEGIN");
          await confirmed;
        }
        while (!one.session.progress.isProven) await Promise.resolve();
        waits.push(Math.round(await one.breakAfter(0)));
        await one.until("connected");
      }
      assertEquals(waits, [100, 100, 100, 100, 100, 100, 100, 100, 200, 400, 800, 1600]);
    }
  },
);

withRandom(
  "`Reconnector` begins with short waits after each session that has found a refused message",
  FULL,
  async (harness) => {
    const one = new ReconnectorHarness(harness);
    await one.reconnector.connect({});
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      one.session.progress.foundCulprit();
      waits.push(Math.round(await one.breakAfter(0)));
      await one.until("connected");
    }
    assertEquals(waits, Array<number>(12).fill(100));
  },
);

withRandom("`Reconnector` tries a refused fixed password once more after a second, and closes", 0, async (harness) => {
  const one = new ReconnectorHarness(harness);
  await one.reconnector.connect({});
  one.failures.push(refusal(), refusal());
  await one.breakAfter(1000);
  const { delay, error } = await one.until("reconnecting");
  assertEquals(delay, 1000);
  assertInstanceOf(error, BrokerErrorResponse);
  assertStrictEquals(one.reconnector.trouble, error);
  one.clock.pass(999);
  assertEquals(one.attempts.length, 2);
  one.clock.pass(1);
  assertInstanceOf(await one.closed, BrokerErrorResponse);
  assertEquals(one.attempts, [0, 1000, 2000]);
});

withRandom("`Reconnector` with `credentials()` tries refused logins until one is accepted", 0, async (harness) => {
  const one = new ReconnectorHarness(harness, {}, true);
  await one.reconnector.connect({});
  for (let i = 0; i < 10; i++) one.failures.push(refusal());
  await one.breakAfter(1000);
  for (let i = 0; i < 10; i++) one.clock.pass((await one.until("reconnecting")).delay);
  await one.until("connected");
  assertEquals(one.attempts.slice(1), Array.from({ length: 11 }, (_, i) => 1000 * (i + 1)));
  assertEquals(one.reconnector.trouble, undefined);
});

withRandom("`Reconnector` with `credentials()` ends with `attempts` and `totalTime`", 0, async (harness) => {
  for (const policy of [{ attempts: 3 }, { totalTime: 2500 }]) {
    const one = new ReconnectorHarness(harness, policy, true);
    await one.reconnector.connect({});
    for (let i = 0; i < 10; i++) one.failures.push(refusal());
    await one.breakAfter(1000);
    for (let i = 0; i < 2; i++) one.clock.pass((await one.until("reconnecting")).delay);
    if ("totalTime" in policy) one.clock.pass((await one.until("reconnecting")).delay);
    const reason = await one.closed;
    assertInstanceOf(reason, BrokerErrorResponse);
    assert(reason.message.includes("Access refused"), reason.message);
  }
});

withRandom("`Reconnector` takes HTTP 401 and 403 for refused logins, and no other status", 0, async (harness) => {
  for (const [status, isRefusal] of [[401, true], [403, true], [404, false], [503, false]] as const) {
    const one = new ReconnectorHarness(harness);
    await one.reconnector.connect({});
    for (let i = 0; i < 3; i++) one.failures.push(new HandshakeRefusedError(`answered ${status}`, status));
    await one.breakAfter(1000);
    one.clock.pass((await one.until("reconnecting")).delay);
    if (isRefusal) {
      const reason = await one.closed;
      assertInstanceOf(reason!.cause, HandshakeRefusedError);
      assertEquals(one.attempts, [0, 1000, 2000]);
    } else {
      for (let i = 0; i < 2; i++) one.clock.pass((await one.until("reconnecting")).delay);
      await one.until("connected");
    }
  }
});

const unreadable = (what: string, peer = "127.0.0.1:1") =>
  new UnknownBrokerResponseError(`${what}, received from ${peer}`, { cause: new UnknownBrokerResponseError(what) });

withRandom(
  "`Reconnector` closes after three sessions in a row that end in the same unreadable bytes",
  0,
  async (harness) => {
    const one = new ReconnectorHarness(harness);
    await one.reconnector.connect({});
    const end = async (error: StompError, lasts = 0) => {
      await one.breakAfter(lasts, error);
      await one.until("connected");
    };
    // What differs, takes long, or was interrupted is not the same.
    await end(unreadable("a"));
    await end(unreadable("a"));
    await end(unreadable("b"));
    await end(unreadable("b"));
    await end(unreadable("b"), 30_001);
    await end(unreadable("b"));
    await end(new ConnectionError("broken"));
    await end(unreadable("b", "127.0.0.1:1"));
    await end(unreadable("b", "127.0.0.1:2"));
    const last = unreadable("b", "127.0.0.1:3");
    one.session.close(last);
    assertStrictEquals(await one.closed, last);
  },
);

withRandom("`Reconnector` ends the wait between two attempts with `totalTime`", FULL, async (harness) => {
  const one = new ReconnectorHarness(harness, { totalTime: 150, delay: 100 });
  await one.reconnector.connect({});
  for (let i = 0; i < 9; i++) one.failures.push(new ConnectionError("refused"));
  await one.breakAfter(1000);
  await one.until("reconnecting");
  one.clock.pass(50);
  assertEquals((await one.closed)!.message, "Cannot reconnect after 2 attempts: refused");
});

withRandom("`Reconnector.check()` and `connect()` reject with the phase and its cause", FULL, async (harness) => {
  const one = new ReconnectorHarness(harness);
  const told = async (call: () => unknown) => {
    try {
      await call();
    } catch (error) {
      assertInstanceOf(error, NotConnectedError);
      return error;
    }
    throw new Error("Expected an error");
  };
  const connect = () => one.reconnector.connect({});
  const use = () => one.reconnector.check("send to", "/q");
  assertEquals((await told(use)).message, "Cannot send to /q: the client is not connected, call connect first");
  const connecting = connect();
  assertEquals(
    (await told(connect)).message,
    "Cannot connect: the client is connecting already, wait for the connect that was called first",
  );
  use();
  await connecting;
  assertEquals((await told(connect)).message, "Cannot connect: the client is connected already");
  const reason = new ConnectionError("broken");
  one.session.close(reason);
  const reconnecting = await told(connect);
  assertEquals(reconnecting.message, "Cannot connect: the client is reconnecting by itself, wait for it");
  assertStrictEquals(reconnecting.cause, reason);
  assertStrictEquals(one.reconnector.trouble, reason);
  use();
  one.reconnector.leave();
  assertEquals((await told(use)).message, "Cannot send to /q: the client is disconnecting");
  one.reconnector.close(reason);
  assertEquals((await told(use)).message, "Cannot send to /q: the client is closed: broken");
  assertEquals((await told(connect)).message, "Cannot connect: the client is closed: broken");
});

withRandom(
  "`Reconnector` emits `blocked` once when the broker stops answering, and `unblocked` when it answers",
  0,
  async (harness) => {
    const one = new ReconnectorHarness(harness);
    await one.reconnector.connect({});
    await one.until("connected");
    const confirmed = one.session.request(frame("BEGIN", { transaction: "t" }), { timeout: Infinity });
    const begin = await one.peer.frame("BEGIN");
    one.clock.pass(4999);
    assertEquals(one.reconnector.trouble, undefined);
    one.clock.pass(1);
    const { pending, error } = await one.until("blocked");
    assertEquals(pending, 1);
    assert(/^The broker at .* has not answered for 5\.0 s while 1 receipt is awaited: it may/.test(error.message));
    assertStrictEquals(one.reconnector.trouble, error);
    one.clock.pass(60_000);
    await one.peer.write(receiptFor(begin));
    await confirmed;
    assertEquals((await one.statuses.next()).value!.type, "unblocked"); // and it was told once
    assertEquals(one.reconnector.trouble, undefined);
    one.clock.pass(2500);
    assertEquals(one.clock.timers, 0);
  },
);
