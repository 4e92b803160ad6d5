/**
 * CONNECT at the embedded broker: versions, login, heart-beats. Test names begin with the row of the conformance
 * checklist.
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import { isSameText } from "../../broker/core.ts";
import { memoryPair } from "../support/memory_transport.ts";
import { brokerTest } from "../support/broker_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { RawPeer } from "../support/raw_peer.ts";

brokerTest("S12-01 STOMP is answered like CONNECT", async ({ open }) => {
  const peer = await open();
  await peer.write("STOMP\naccept-version:1.2\nhost:h\n\n\0");
  assertEquals((await peer.frame("CONNECTED")).get("version"), "1.2");
});

for (const version of ["1.0", "1.1", "1.2"]) {
  brokerTest(`S12-02 CONNECTED has version ${version}`, async ({ open }) => {
    const connected = await (await open()).connect(version);
    assertEquals(connected.get("version"), version);
    assertEquals(connected.body, "");
  });
}

brokerTest("S12-03 CONNECT negotiates the highest common version, in any order of accept-version", async ({ open }) => {
  assertEquals((await (await open()).connect("1.2,1.0,2.0,1.1")).get("version"), "1.2");
  assertEquals((await (await open()).connect("1.0,1.1,9.0")).get("version"), "1.1");
  // A space after the comma is a mistake, but no reason to negotiate a lower version.
  assertEquals((await (await open()).connect("1.1, 1.2")).get("version"), "1.2");
});

brokerTest("S12-03 CONNECT negotiates only versions in `versions`", async ({ open }) => {
  assertEquals((await (await open()).connect("1.0,1.1,1.2")).get("version"), "1.1");
  const peer = await open();
  await peer.write("CONNECT\nhost:h\n\n\0");
  assertEquals((await peer.refusal()).get("version"), "1.1");
}, { versions: ["1.1"] });

brokerTest("S12-04 CONNECT without accept-version negotiates 1.0", async ({ open }) => {
  const peer = await open();
  await peer.write("CONNECT\nlogin:u\npasscode:p\n\n\0");
  const connected = await peer.frame("CONNECTED");
  assertEquals(connected.get("version"), "1.0");
  assertEquals(connected.get("heart-beat"), undefined);
});

brokerTest("S12-05 CONNECT without a common version is refused", async ({ open }) => {
  const peer = await open();
  await peer.write("CONNECT\naccept-version:9.0\nhost:h\n\n\0");
  const error = await peer.refusal();
  assertEquals(error.get("version"), "1.0,1.1,1.2");
  assertEquals(error.get("content-type"), "text/plain");
  assertStringIncludes(error.body, "1.0, 1.1, 1.2");
});

brokerTest("S12-06 CONNECTED has heart-beat, session and server", async ({ open }) => {
  const one = await (await open()).connect("1.2");
  const other = await (await open()).connect("1.2");
  assertEquals(one.get("server"), "stompy");
  assertEquals(one.get("heart-beat"), "1000,1000");
  assertNotEquals(one.get("session"), other.get("session"));
});

const LOGIN = { login: "user", passcode: "a\\cb" };

brokerTest("S12-07 CONNECT with a wrong passcode is refused, and ERROR does not repeat it", async ({ open }) => {
  for (const lines of ["login:user\npasscode:s3cret", "login:user", "passcode:a\\cb", "login:User\npasscode:a\\cb"]) {
    const peer = await open();
    await peer.write(`CONNECT\naccept-version:1.2\nhost:h\n${lines}\n\n\0`);
    const error = await peer.refusal();
    assertEquals(error.get("message"), "login refused");
    assert(!`${error.lines} ${error.body}`.includes("s3cret") && !`${error.lines} ${error.body}`.includes("a\\cb"));
  }
}, LOGIN);

brokerTest("S12-13 CONNECT headers are not unescaped", async ({ open }) => {
  await (await open()).connect("1.2", "login:user\npasscode:a\\cb\n");
  await (await open()).connect("1.0", "login:user\npasscode:a\\cb\n");
}, LOGIN);

brokerTest("S12-08 S12-09 CONNECT is accepted with any host and without one", async ({ open }) => {
  const peer = await open();
  await peer.write("CONNECT\naccept-version:1.2\nhost:nosuch\n\n\0");
  await peer.frame("CONNECTED");
  const without = await open();
  await without.write("CONNECT\naccept-version:1.2\n\n\0");
  await without.frame("CONNECTED");
});

brokerTest("S12-10 SEND before CONNECT is refused and stores nothing", async ({ broker, open }) => {
  const peer = await open();
  await peer.write("SEND\ndestination:/queue/a\nreceipt:1\n\nx\0");
  const error = await peer.refusal();
  assertEquals(error.get("message"), "not connected");
  assertEquals(error.get("receipt-id"), "1");
  assertEquals(broker.stats.messages, 0);
});

brokerTest("S12-11 CONNECT on an open connection is refused", async ({ connected }) => {
  const peer = await connected();
  await peer.write("CONNECT\naccept-version:1.2\nhost:h\n\n\0");
  assertEquals((await peer.refusal()).get("message"), "already connected");
});

brokerTest("S12-12 RECEIPT, MESSAGE, ERROR and CONNECTED from a client are refused", async ({ connected }) => {
  for (const command of ["RECEIPT", "MESSAGE", "ERROR", "CONNECTED"]) {
    const peer = await connected();
    await peer.write(`${command}\nreceipt-id:1\n\n\0`);
    assertStringIncludes((await peer.refusal()).get("message")!, command);
  }
});

brokerTest("CONNECT with a receipt gets no RECEIPT", async ({ open }) => {
  const peer = await open();
  await peer.connect("1.2", "receipt:1\n");
  assertEquals(await peer.framesBeforeReceipt(), []);
});

brokerTest("CONNECT is accepted after line ends and with CRLF lines", async ({ open }) => {
  const peer = await open();
  await peer.write("\n\r\nCONNECT\r\naccept-version:1.2\r\nhost:h\r\n\r\n\0");
  assertEquals((await peer.frame("CONNECTED")).get("version"), "1.2");
});

brokerTest("S12-16 CONNECT with a malformed heart-beat is refused", async ({ open }) => {
  for (const value of ["0", "T,0", "100,10,50", "-1,0", "1.5,0", "1000, x", "", "+1,1"]) {
    const peer = await open();
    await peer.write(`CONNECT\naccept-version:1.2\nhost:h\nheart-beat:${value}\n\n\0`);
    assertEquals((await peer.refusal()).get("message"), "malformed heart-beat");
  }
  // 1.0 has no heart-beats, so it ignores the header.
  await (await open()).connect("1.0", "heart-beat:T,0\n");
});

/** Runs a function with a broker on a fake clock and a peer in memory that connected with that heart-beat. */
async function withHeartbeats(
  offer: { send: number; receive: number },
  wanted: string | undefined,
  fn: (peer: RawPeer, clock: FakeClock, broker: Broker) => Promise<void>,
): Promise<void> {
  const clock = new FakeClock();
  const broker = new Broker({ heartbeat: offer, clock });
  const [near, far] = memoryPair();
  broker.accept(far);
  const peer = RawPeer.over(near);
  await peer.connect("1.2", wanted === undefined ? "" : `heart-beat:${wanted}\n`);
  try {
    await fn(peer, clock, broker);
  } finally {
    await peer.close();
    await broker.close();
  }
}

test("S12-14 CONNECT without heart-beat turns heart-beats off in both directions", async () => {
  await withHeartbeats({ send: 10_000, receive: 10_000 }, undefined, async (peer, clock) => {
    assertEquals(clock.timers, 0);
    clock.pass(1_000_000);
    assertEquals(await peer.framesBeforeReceipt(), []);
    assertEquals(peer.heartbeats, 0);
  });
});

test("S12-15 S12-17 heart-beats use the longer interval of the two sides in each direction", async () => {
  await withHeartbeats({ send: 1000, receive: 5000 }, "4000,700", async (peer, clock) => {
    clock.pass(1000);
    await peer.bytes();
    await peer.framesBeforeReceipt();
    assert(peer.heartbeats > 0);
    // The other direction has 5000 ms, and the peer is not disconnected within twice that.
    const { heartbeats } = peer;
    clock.pass(9000);
    assertEquals(await peer.framesBeforeReceipt(), []);
    assert(peer.heartbeats > heartbeats);
    clock.pass(20_000);
    assertEquals((await peer.refusal()).get("message"), "heart-beat missed");
  });
});

brokerTest("S12-17 heart-beats arrive over TCP in real time", async ({ open }) => {
  const peer = await open();
  await peer.connect("1.1", "heart-beat:0,100\n");
  for (let i = 0; i < 3; i++) await peer.bytes();
  assertEquals(await peer.framesBeforeReceipt(), []);
  assert(peer.heartbeats >= 3);
}, { heartbeat: { send: 100, receive: 0 } });

test("S12-15 heart-beat with a zero turns one direction off", async () => {
  await withHeartbeats({ send: 1000, receive: 0 }, "1000,1000", async (peer, clock) => {
    assertEquals(clock.timers, 1);
    clock.pass(100_000);
    assertEquals(await peer.framesBeforeReceipt(), []);
  });
});

test("S12-18 any octet counts as a heart-beat, even a little late", async () => {
  await withHeartbeats({ send: 0, receive: 1000 }, "1000,0", async (peer, clock) => {
    for (const octets of ["\n", "SEND\ndest", "ination:/queue/a\n\n", "x", "\0"]) {
      clock.pass(1100);
      await peer.write(octets);
      await delivered();
    }
    assertEquals(await peer.framesBeforeReceipt(), []);
  });
});

/** Waits until bytes that were written in memory have arrived, which takes a few turns of the event loop. */
async function delivered(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}

test("`connectTimeout` closes a connection without CONNECT", async () => {
  const clock = new FakeClock();
  const broker = new Broker({ clock, connectTimeout: 500 });
  const [near, far] = memoryPair();
  broker.accept(far);
  const peer = RawPeer.over(near);
  await peer.write("CONNECT\naccept-ver");
  clock.pass(500);
  assertEquals((await peer.refusal()).get("message"), "no CONNECT in time");
  await peer.close();
  await broker.close();
  assertEquals(clock.timers, 0);
});

for (const version of ["1.0", "1.1", "1.2"]) {
  brokerTest(
    `AMB-05 ${version}: CRLF line ends are accepted after a CONNECT with CRLF`,
    async ({ open }) => {
      const peer = await open();
      await peer.write(`CONNECT\r\naccept-version:${version}\r\nhost:h\r\n\r\n\0\r\n`);
      await peer.frame("CONNECTED");
      await peer.write("SUBSCRIBE\r\nid:0\r\ndestination:/queue/a\r\n\r\n\0\r\n\r\n");
      await peer.write("SEND\r\ndestination:/queue/a\r\ncontent-length:4\r\nfoo:b a\r\n\r\na\r\nb\0\r\n");
      const message = await peer.frame("MESSAGE");
      assertEquals([message.get("destination"), message.get("foo"), message.body], ["/queue/a", "b a", "a\r\nb"]);
      // In single bytes, too.
      const wire = "SEND\r\ndestination:/queue/a\r\nfoo:c\r\n\r\nd\0\r\n";
      for (const octet of wire) await peer.write(octet);
      assertEquals([(await peer.frame("MESSAGE")).get("foo")], ["c"]);
      // A frame that ends its command line with LF is read as the version says.
      await peer.write("SEND\ndestination:/queue/a\nfoo:d\r\n\ne\0");
      // 1.0 and 1.1 cannot carry the CR to the receiver, so the header is left out.
      assertEquals((await peer.frame("MESSAGE")).get("foo"), version === "1.2" ? "d" : undefined);
      assertEquals(await peer.framesBeforeReceipt(), []);
    },
  );
}

brokerTest("AMB-05 CRLF between frames is malformed before 1.2 after a CONNECT with LF", async ({ connected }) => {
  const peer = await connected("1.1");
  await peer.write("SEND\ndestination:/topic/a\n\n\0\r\n");
  assertEquals((await peer.refusal()).get("message"), "malformed frame");
});

brokerTest("CONNECTED in 1.0 has heart-beat:0,0 if CONNECT has the header", async ({ open }) => {
  const peer = await open();
  await peer.write("CONNECT\nheart-beat:10,10\n\n\0");
  const connected = await peer.frame("CONNECTED");
  assertEquals([connected.get("version"), connected.get("heart-beat")], ["1.0", "0,0"]);
});

brokerTest(
  "AMB-05 CRLF line ends before 1.2 are accepted only after a CONNECT with CRLF",
  async ({ open, connected }) => {
    for (const version of ["1.0", "1.1"]) {
      const peer = await connected(version);
      await peer.write("SEND\r\ndestination:/topic/a\r\n\r\n\0");
      assertEquals((await peer.refusal()).get("message"), "malformed frame");
      const typing = await open();
      await typing.write(`CONNECT\r\naccept-version:${version}\n\n\0SEND\r\ndestination:/queue/${version}\n\n\0`);
      await typing.frame("CONNECTED");
      await typing.write(`SUBSCRIBE\nid:0\ndestination:/queue/${version}\n\n\0`);
      await typing.frame("MESSAGE");
    }
  },
);

test("`isSameText()` is true only for the same text", () => {
  const texts = ["", "a", "aa", "b", "ab", "abab", "passcode", "passcodepasscode", "é", "\u00e9\0", "\0", "😀"];
  for (const given of texts) {
    for (const expected of texts) {
      assertEquals(isSameText(given, expected), given === expected, `${given} and ${expected}`);
    }
  }
  for (const expected of ["", "a"]) assertEquals(isSameText(undefined, expected), false);
});

test("`isSameText()` takes the same time wherever the texts differ", () => {
  const expected = "x".repeat(1 << 20);
  const time = (given: string) => {
    const times = Array.from({ length: 7 }, () => {
      const start = performance.now();
      isSameText(given, expected);
      return performance.now() - start;
    });
    return Math.min(...times);
  };
  const late = `${expected.slice(1)}y`;
  const early = `y${expected.slice(1)}`;
  time(late);
  const ratio = time(late) / time(early);
  // With `===` the ratio is above a thousand.
  assert(ratio > 0.2 && ratio < 5, `${ratio}`);
});

brokerTest("CONNECT with a wrong login is refused like one with a wrong passcode", async ({ open }) => {
  for (
    const lines of ["", "login:me\n", "passcode:secret\n", "login:you\npasscode:secret\n", "login:me\npasscode:s\n"]
  ) {
    const peer = await open();
    await peer.write(`CONNECT\naccept-version:1.2\nhost:h\n${lines}\n\0`);
    assertEquals((await peer.refusal()).get("message"), "login refused");
  }
  await (await open()).connect("1.2", "login:me\npasscode:secret\n");
}, { login: "me", passcode: "secret" });
