/** Part S, how connections begin and end. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "#assert";
import { ALL, brokerRow, ESCAPING, refused } from "./harness.ts";

/** Returns CONNECT with these header lines, each with its line end. */
const connectFrame = (lines: string) => `CONNECT\n${lines}\n\0`;

/** Waits until bytes that were written in memory have arrived. */
async function arrived(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}

brokerRow("S12-01", "STOMP is treated as CONNECT", async ({ open }) => {
  for (const version of ESCAPING) {
    const peer = open();
    await peer.write(`STOMP\naccept-version:${version}\nhost:h\n\n\0`);
    assertEquals((await peer.frame("CONNECTED")).get("version"), version);
    assertEquals(await peer.framesBeforeReceipt(), []);
  }
});

brokerRow("S12-02", "CONNECTED has version", async ({ open }) => {
  for (const version of ALL) assertEquals((await open().connect(version)).get("version"), version);
});

brokerRow("S12-03", "the highest common version is chosen", async ({ open }) => {
  for (
    const [offer, version] of [
      ["1.2,1.0,2.0,1.1", "1.2"],
      ["1.1,1.0", "1.1"],
      ["1.10,1.0,0.9", "1.0"],
      ["1.0,1.1, 1.2", "1.2"],
    ] as const
  ) assertEquals((await open().connect(offer)).get("version"), version);
});

brokerRow("S12-04", "a missing accept-version means 1.0", async ({ open }) => {
  const peer = open();
  await peer.write(connectFrame("login:u\npasscode:p\n"));
  assertEquals((await peer.frame("CONNECTED")).get("version"), "1.0");
  await peer.write("SUBSCRIBE\ndestination:q\n\n\0SEND\ndestination:q\nx:a\\tb:c\n\n\0");
  assertEquals((await peer.frame("MESSAGE")).get("x"), "a\\tb:c");
});

brokerRow(
  "S12-05",
  "an offer without a common version is refused, and the ERROR names the supported ones",
  async ({ open }) => {
    for (const offer of ["9.0", "", "1", "1.2.0"]) {
      const { get, body } = await refused(open(), connectFrame(`accept-version:${offer}\nhost:h\n`));
      assertEquals([get("version"), get("content-type")], ["1.0,1.1,1.2", "text/plain"]);
      assertStringIncludes(body, "1.0, 1.1, 1.2");
    }
  },
);

brokerRow("S12-06", "CONNECTED has heart-beat, session and server", async ({ open }) => {
  const [one, other] = [await open().connect("1.2"), await open().connect("1.1")];
  assertMatch(one.get("server")!, /^[^\s/]+(\/\S+)?( .*)?$/);
  assertMatch(one.get("heart-beat")!, /^\d+,\d+$/);
  assert(one.get("session"));
  assertNotEquals(one.get("session"), other.get("session"));
});

brokerRow("S12-07", "a refusal gives the reason, and closes", async ({ open }) => {
  for (const version of ALL) {
    const error = await refused(open(), connectFrame(`accept-version:${version}\nhost:h\nlogin:u\npasscode:s3cret\n`));
    assertEquals(error.get("message"), "login refused");
    assert(!`${error.lines}${error.body}`.includes("s3cret"));
  }
}, { login: "u", passcode: "p" });

brokerRow("S12-08", "any host is accepted", async ({ open }) => {
  const peer = open();
  await peer.write(connectFrame("accept-version:1.2\nhost:nosuch\n"));
  await peer.frame("CONNECTED");
});

brokerRow("S12-09", "a CONNECT without host is accepted", async ({ open }) => {
  for (const version of ESCAPING) {
    const peer = open();
    await peer.write(connectFrame(`accept-version:${version}\n`));
    await peer.frame("CONNECTED");
  }
});

brokerRow("S12-10", "a frame before CONNECT is refused and has no effect", async ({ broker, open }) => {
  for (const data of ["SEND\ndestination:/q\n\nx\0", "SUBSCRIBE\nid:0\ndestination:/q\n\n\0", "DISCONNECT\n\n\0"]) {
    assertEquals((await refused(open(), data)).get("message"), "not connected");
  }
  assertEquals(broker.stats.destinations, 0);
});

brokerRow("S12-11", "a second CONNECT is refused", async ({ connect }) => {
  for (const version of ALL) {
    for (const command of ["CONNECT", "STOMP"]) {
      const error = await refused(await connect(version), `${command}\naccept-version:1.2\nhost:h\n\n\0`);
      assertEquals(error.get("message"), "already connected");
    }
  }
});

brokerRow("S12-12", "frames that only servers send are refused", async ({ connect }) => {
  for (const version of ALL) {
    for (const command of ["RECEIPT", "MESSAGE", "ERROR", "CONNECTED"]) {
      const error = await refused(await connect(version), `${command}\nreceipt-id:1\n\n\0`);
      assertEquals(error.get("message"), `${command} is not a client's command`);
    }
  }
});

brokerRow("S12-13", "CONNECT is not unescaped", async ({ open }) => {
  for (const version of ALL) {
    await open().connect(version, "login:u\npasscode:a\\cb\n");
    const error = await refused(open(), connectFrame(`accept-version:${version}\nhost:h\nlogin:u\npasscode:a:b\n`));
    assertEquals(error.get("message"), "login refused");
  }
}, { login: "u", passcode: "a\\cb" });

brokerRow("S12-14", "a missing heart-beat header disables heart-beats", async ({ clock, connect }) => {
  for (const version of ESCAPING) {
    const peer = await connect(version);
    assertEquals(clock.timers, 0);
    clock.pass(1_000_000);
    assertEquals(await peer.framesBeforeReceipt(), []);
    assertEquals(peer.heartbeats, 0);
  }
}, { heartbeat: { send: 10_000, receive: 10_000 } });

brokerRow("S12-15", "the longer interval applies in each direction", async ({ clock, connect }) => {
  const peer = await connect("1.2", "heart-beat:4000,700\n");
  for (let i = 0; i < 10; i++) {
    clock.pass(1000);
    await peer.bytes();
  }
  // 10 s of silence are tolerated: twice the 5 s that were negotiated.
  clock.pass(10_000);
  assertEquals((await peer.refusal()).get("message"), "heart-beat missed");
  assert(peer.heartbeats >= 10 && peer.heartbeats <= 40, `${peer.heartbeats}`);
}, { heartbeat: { send: 1000, receive: 5000 } });

brokerRow("S12-16", "a malformed heart-beat header is refused", async ({ connect, open }) => {
  for (const version of ESCAPING) {
    for (const value of ["0", "T,0", "100,10,50", "-1,0", "1.5,0", "1, x", "", ",", "+1,1", "1,"]) {
      const error = await refused(open(), connectFrame(`accept-version:${version}\nhost:h\nheart-beat:${value}\n`));
      assertEquals(error.get("message"), "malformed heart-beat");
    }
    await connect(version, "heart-beat:0,0\n");
  }
});

brokerRow("S12-17", "the broker sends an LF within each interval", async ({ clock, connect }) => {
  for (const version of ESCAPING) {
    const peer = await connect(version, "heart-beat:0,1000\n");
    for (let i = 0; i < 5; i++) {
      clock.pass(1000);
      await peer.bytes();
    }
    assertEquals(await peer.framesBeforeReceipt(), []); // fails on anything but line ends
    assert(peer.heartbeats >= 5);
  }
}, { heartbeat: { send: 1000, receive: 0 } });

brokerRow("S12-18", "late bytes are tolerated, and every byte counts", async ({ clock, connect }) => {
  const peer = await connect("1.2", "heart-beat:1000,0\n");
  for (const octet of "\nSEND\ndestination:/topic/a\n\nx\0\n") {
    clock.pass(1100);
    await peer.write(octet);
    await arrived();
  }
  assertEquals(await peer.framesBeforeReceipt(), []);
}, { heartbeat: { send: 0, receive: 1000 } });

brokerRow("S12-53", "DISCONNECT is answered, then the connection ends", async ({ broker, connect }) => {
  for (const version of ALL) {
    const peer = await connect(version);
    await peer.write("DISCONNECT\nreceipt:77\n\n\0SEND\ndestination:/q\n\nx\0");
    assertEquals((await peer.frame("RECEIPT")).lines, ["receipt-id:77"]);
    await peer.ended();
    const silent = await connect(version);
    await silent.write("DISCONNECT\n\n\0");
    await silent.ended();
  }
  assertEquals(broker.stats.messages, 0);
});

brokerRow(
  "S12-54",
  "frames that have arrived are carried out after their client has gone",
  async ({ broker, connect }) => {
    const peer = await connect();
    await peer.write(Array.from({ length: 1000 }, (_, i) => `SEND\ndestination:/q\n\n${i}\0`).join(""));
    await peer.finish();
    await peer.ended();
    assertEquals(broker.stats.messages, 1000);
  },
);

brokerRow("S12-55", "frames after an ERROR have no effect", async ({ broker, connect }) => {
  for (const version of ALL) {
    const fault = "SEND\nreceipt:1\n\nx\0SEND\ndestination:/q\nreceipt:2\n\nx\0";
    assertEquals((await refused(await connect(version), fault)).get("receipt-id"), "1");
  }
  assertEquals(broker.stats.messages, 0);
});

brokerRow("S12-56", "ERROR has message, and its body has content-type and content-length", async ({ connect }) => {
  for (const version of ALL) {
    for (const data of ["SUBSCRIBE\nid:0\n\n\0", "FOO\n\n\0", "SEND\ndestination:/q\ncontent-length:x\n\n\0"]) {
      const { get, octets } = await refused(await connect(version, "passcode:s3cret\n"), data);
      assert(get("message"));
      assertEquals([get("content-type"), get("content-length")], ["text/plain", String(octets.length)]);
    }
  }
});

brokerRow("S12-57", "unknown commands are refused, and none is mistaken for a known one", async ({ connect }) => {
  for (const version of ALL) {
    for (const command of ["FOO", "SENDX", "SUB", "CONNECTX", "MESSAGES"]) {
      assertStringIncludes((await refused(await connect(version), `${command}\n\n\0`)).body, command);
    }
  }
});

brokerRow("S12-58", "an undefined escape is fatal, and the frame has no effect", async ({ broker, connect }) => {
  for (const version of ESCAPING) {
    for (const line of ["x:a\\tb", "x\\:b", "x:a\\"]) {
      const error = await refused(await connect(version), `SEND\ndestination:/q\n${line}\n\nhi\0`);
      assertEquals(error.get("message"), "malformed frame");
    }
  }
  assertEquals(broker.stats.destinations, 0);
});

brokerRow("S12-59", "exceeding a limit is refused before the frame ends", async ({ connect }) => {
  const lines = Array.from({ length: 11 }, (_, i) => `h${i}:v\n`).join("");
  for (
    const [data, limit] of [
      [`SEND\n${lines}`, "maxHeaders"],
      [`SEND\nx:${"x".repeat(300)}`, "maxHeaderBytes"],
      ["SEND\ncontent-length:1001\n", "maxBodyBytes"],
      [`SEND\n\n${"x".repeat(1001)}`, "maxBodyBytes"],
    ] as const
  ) assertStringIncludes((await refused(await connect(), data)).body, limit);
}, { maxHeaders: 10, maxHeaderBytes: 300, maxBodyBytes: 1000 });

brokerRow("S12-60", "clients that come and go leave nothing behind", async ({ broker, clock, open, connect }) => {
  const ways = [
    `${connectFrame("accept-version:1.2\nhost:h\nheart-beat:1000,1000\n")}DISCONNECT\n\n\0`,
    `${connectFrame("accept-version:1.2\nhost:h\n")}SUBSCRIBE\nid:0\ndestination:/q\n\n\0BEGIN\ntransaction:t\n\n\0`,
    "CONNECT\nacc",
    "",
  ];
  for (let i = 0; i < 1000; i++) {
    const peer = open();
    await peer.write(ways[i % ways.length]!);
    await peer.close();
  }
  const last = await connect();
  assertEquals(await last.framesBeforeReceipt(), []);
  await last.close();
  while (broker.stats.peers > 0) await arrived();
  assertEquals([broker.stats.destinations, broker.stats.messages, clock.timers], [0, 0, 0]);
});

brokerRow("S12-61", "the ERROR can be read even while more input arrives", async ({ connect }) => {
  const peer = await connect();
  await peer.write("FOO\n\n\0");
  // More than the connection buffers: unless the broker goes on reading, this is never written.
  for (let i = 0; i < 16; i++) await peer.write(new Uint8Array(1 << 16));
  assertEquals((await peer.refusal()).get("message"), "malformed frame");
});

brokerRow("S12-62", "1.2: CRLF is read, and LF is written", async ({ connect }) => {
  const peer = await connect("1.2");
  await peer.write("SUBSCRIBE\r\nid:0\r\ndestination:/q\r\nreceipt:1\r\n\r\n\0\r\n");
  await peer.write("SEND\r\ndestination:/q\r\nx:1\r\n\r\nx\0");
  for (const { lines } of [await peer.frame("RECEIPT"), await peer.frame("MESSAGE")]) {
    assert(lines.every((line) => !line.includes("\r")), String(lines));
  }
});
