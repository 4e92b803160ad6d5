/** Part F for the client: what it writes. */
import { assert, assertEquals, assertRejects, assertThrows } from "#assert";
import { Session } from "../../session/session.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { confirm } from "../support/raw_server.ts";
import { ALL, bytes, clientRow, dial, ESCAPING, frame, listen, sent } from "./harness.ts";

const NO_BODY = [
  "SUBSCRIBE",
  "UNSUBSCRIBE",
  "BEGIN",
  "COMMIT",
  "ABORT",
  "ACK",
  "NACK",
  "DISCONNECT",
  "CONNECT",
  "STOMP",
];

clientRow("F12-12", "colons are written as escapes", async (harness) => {
  for (const version of ESCAPING) {
    const { lines } = await sent(harness, version, "a:b", "", { headers: { "c:d": ":e:" } });
    assert(lines.includes("destination:a\\cb"), String(lines));
    assert(lines.includes("c\\cd:\\ce\\c"), String(lines));
  }
});

clientRow("F12-16", "a body is refused on frames that have none", async (harness) => {
  for (const version of ALL) {
    const { session, peer } = await listen(harness, version);
    for (const command of NO_BODY) assertThrows(() => session.send(frame(command, { id: "1" }, "x")), TypeError);
    await session.close();
    assertEquals(await peer.rest(), []);
  }
});

clientRow("F12-21", "a body with a NUL has content-length, or is not sent", async (harness) => {
  for (const version of ALL) {
    for (const body of [new Uint8Array([0, 1]), "\0\x01"]) {
      const { octets, get } = await sent(harness, version, "/queue/a", body);
      assertEquals([octets, get("content-length")], [bytes(0, 1), "2"]);
      const { stomp } = await harness.pair({}, version);
      await assertRejects(() => stomp.send("/queue/a", body, { contentLength: false }), TypeError);
    }
  }
});

clientRow("F12-22", "a body has content-length, in bytes", async (harness) => {
  for (const version of ALL) {
    assertEquals((await sent(harness, version, "/queue/a", "h\xe9\u20ac")).get("content-length"), "6");
    assertEquals((await sent(harness, version, "/queue/a", new Uint8Array(300))).get("content-length"), "300");
    const wrong = await sent(harness, version, "/queue/a", "hi", { headers: { "content-length": "7" } });
    assertEquals(wrong.lines.filter((line) => line.startsWith("content-length")), ["content-length:2"]);
  }
});

clientRow("F12-24", "a text body has content-type", async (harness) => {
  for (const version of ESCAPING) {
    assertEquals((await sent(harness, version, "/queue/a", "hi")).get("content-type"), "text/plain");
    const options = { contentType: "application/octet-stream" };
    assertEquals(
      (await sent(harness, version, "/queue/a", bytes(1), options)).get("content-type"),
      options.contentType,
    );
    // Only the caller knows what the bytes are.
    assertEquals((await sent(harness, version, "/queue/a", bytes(1))).get("content-type"), undefined);
  }
});

clientRow("F12-29", "text is sent as UTF-8", async (harness) => {
  for (const version of ESCAPING) {
    const text = "\ufeffh\xe9\u20ac\u{1f600}";
    assertEquals((await sent(harness, version, "/queue/a", text)).octets, bytes(text));
  }
});

clientRow("F12-28", "names and values are written as UTF-8", async (harness) => {
  for (const version of ESCAPING) {
    const { lines } = await sent(harness, version, "/queue/\xe9", "", { headers: { "k\xe9": "\u{1f600}" } });
    assert(lines.includes("destination:/queue/\xe9") && lines.includes("k\xe9:\u{1f600}"), String(lines));
  }
});

clientRow("F12-30", "half a surrogate pair is not UTF-8, and is refused", async (harness) => {
  for (const version of ALL) {
    const { session } = await listen(harness, version);
    for (const headers of [{ a: "\ud800" }, { "\udc00": "a" }, { a: "\ude00\ud83d" }] as Record<string, string>[]) {
      assertThrows(() => session.send(frame("SEND", { destination: "/queue/a", ...headers })), TypeError);
    }
  }
});

clientRow("F12-31", "a body is sent byte for byte", async (harness) => {
  for (const version of ALL) {
    for (const body of ["\n\r\n", "\ufeffa\r\n", "\\n:\\", " a "]) {
      assertEquals((await sent(harness, version, "/queue/a", body)).octets, bytes(body));
      assertEquals((await sent(harness, version, "/queue/a", bytes(body))).octets, bytes(body));
    }
  }
});

clientRow("F12-32", "no space is added or removed", async (harness) => {
  for (const version of ALL) {
    const { lines } = await sent(harness, version, " a ", "", {
      persistent: false,
      headers: { " b ": " c ", d: "", e: " " },
    });
    assertEquals(lines.slice(0, 4), ["destination: a ", " b : c ", "d:", "e: "]);
  }
});

clientRow("F12-39", "LF, CR, colon and backslash are written as escapes", async (harness) => {
  const headers = { "n\n:\\": "a\nb\\c:\\n" };
  for (const version of ESCAPING) {
    const { lines } = await sent(harness, version, "/a\n", "", { persistent: false, headers });
    assertEquals(lines.slice(0, 2), ["destination:/a\\n", "n\\n\\c\\\\:a\\nb\\\\c\\c\\\\n"]);
  }
  assertEquals(
    (await sent(harness, "1.2", "a", "", { persistent: false, headers: { "r\r": "\r" } })).lines[1],
    "r\\r:\\r",
  );
});

clientRow("F10-40", "1.0: backslash and colon are written unchanged", async (harness) => {
  const { lines } = await sent(harness, "1.0", "a:b\\n", "", { persistent: false, headers: { "x\\": "C:\\temp" } });
  assertEquals(lines.slice(0, 2), ["destination:a:b\\n", "x\\:C:\\temp"]);
});

clientRow("F12-41", "CONNECT and CONNECTED have no escapes", async (harness) => {
  const { connect, opening, peer } = await dial(harness, { login: "a:b", passcode: "c\\cd\\", host: "x\\n" });
  for (const line of ["login:a:b", "passcode:c\\cd\\", "host:x\\n"]) assert(connect.lines.includes(line), line);
  await peer.write("CONNECTED\nversion:1.2\nsession:a\\cb\\t\nserver:a:b\n\n\0");
  const { connected } = await opening;
  assertEquals([connected["session"], connected["server"]], ["a\\cb\\t", "a:b"]);
});

clientRow("F12-42", "what cannot be carried is refused, and nothing is written", async (harness) => {
  for (const login of ["x\nheart-beat:1,1", "x\ry"]) {
    const [transport, peer] = harness.memory();
    const heartbeat = { send: 0, receive: 0 };
    await assertRejects(() => Session.open(transport, { host: "/", heartbeat, timeout: 5000, login }), TypeError);
    assertEquals(await peer.rest(), []);
  }
  const impossible: [version: string, headers: Record<string, string>][] = [
    ["1.0", { x: "a\nb:c" }],
    ["1.0", { x: "a\rb" }],
    ["1.0", { "a:b": "c" }],
    ["1.0", { "a\nb": "c" }],
    ["1.1", { x: "a\rb" }],
  ];
  for (const [version, headers] of impossible) {
    const { stomp, peer } = await harness.pair({}, version);
    await assertRejects(() => stomp.send("/queue/a", "", { headers }), TypeError);
    await assertRejects(() => stomp.send("/queue/a", "", { headers, receipt: false }), TypeError);
    const good = stomp.send("/queue/a", "good");
    assertEquals((await confirm(peer, "SEND")).body, "good");
    await good;
  }
});

clientRow("F12-44", "a heart-beat waits until the frame before it has been sent", async (harness) => {
  const clock = new FakeClock();
  const options = { heartbeat: { send: 1000, receive: 0 }, clock };
  const { session, peer } = await listen(harness, "1.2", options, "heart-beat:0,1000\n");
  const body = new Uint8Array(1 << 20).fill(120);
  session.send(frame("SEND", { destination: "/queue/a" }, body)); // far more than the connection takes at once
  for (let i = 0; i < 10; i++) clock.pass(1000);
  session.send(frame("SEND", { destination: "/queue/b" }));
  const { octets } = await peer.frame("SEND");
  assertEquals(octets.length, body.length);
  assert(octets.every((octet) => octet === 120));
  assertEquals((await peer.frame("SEND")).get("destination"), "/queue/b");
  clock.pass(1000);
  await peer.bytes();
  await session.close();
  await peer.ended();
  assert(peer.heartbeats > 0);
});
