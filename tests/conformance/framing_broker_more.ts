/** Part F for the embedded broker, the rest: what is read and written unchanged, and limits. */
import { assert, assertEquals } from "#assert";
import { ALL, brokerRow, bytes, deliver, refused } from "./harness.ts";

brokerRow("F10-40", "1.0: a backslash is a backslash, when read and when written", async ({ connect }) => {
  const { lines } = await deliver(await connect("1.0"), "SEND\ndestination:/queue/a\np:C:\\temp\\n\\\n\n\0");
  assert(lines.includes("p:C:\\temp\\n\\"), String(lines));
});

brokerRow("F12-41", "CONNECT has no escapes", async ({ connect, open }) => {
  for (const version of ALL) await connect(version, "login:a\\cb\npasscode:\\t:\\\n");
  const error = await refused(open(), "CONNECT\naccept-version:1.2\nhost:h\nlogin:a:b\npasscode:\\t:\\\n\n\0");
  assertEquals(error.get("message"), "login refused");
}, { login: "a\\cb", passcode: "\\t:\\" });

brokerRow("F12-42", "what a version cannot carry is left out or refused", async ({ connect }) => {
  for (const [version, line] of [["1.0", "x:a\\nSEND"], ["1.0", "a\\cb:c"], ["1.0", "x:\\r"], ["1.1", "x:\\r"]]) {
    await (await connect("1.2")).write(`SEND\ndestination:/queue/a\n${line}\ny:1\n\nhi\0`);
    const { lines, body } = await deliver(await connect(version), "");
    assertEquals([lines.slice(3), body], [["y:1", "content-length:2"], "hi"]);
  }
  for (const data of ["BEGIN\ntransaction:t\nreceipt:a\r\n\n\0", "SUBSCRIBE\nid:a\r\ndestination:/queue/a\n\n\0"]) {
    const error = await refused(await connect("1.1"), data);
    assertEquals([error.get("message"), error.get("receipt-id")], ["header cannot be answered", undefined]);
  }
});

brokerRow("F12-43", "input over a limit is refused at once", async ({ connect }) => {
  for (
    const data of [
      "SEND\ndestination:/queue/a\ncontent-length:99999999999999999999\n",
      "SEND\ndestination:/queue/a\ncontent-length:101\n",
      `SEND\ndestination:/queue/a\n\n${"x".repeat(101)}`,
      `SEND\ndestination:${"x".repeat(200)}`,
      "SEND\na:1\nb:2\nc:3\nd:4\ne:5\nf:6\n",
    ]
  ) assertEquals((await refused(await connect(), data)).get("message"), "malformed frame");
}, { maxHeaders: 5, maxHeaderBytes: 200, maxBodyBytes: 100 });

brokerRow("F12-44", "a heart-beat waits until the frame before it has been sent", async ({ clock, connect }) => {
  const peer = await connect("1.2", "heart-beat:0,1000\n");
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\nreceipt:0\n\n\0");
  await peer.frame("RECEIPT");
  const body = new Uint8Array(1 << 20).fill(120);
  const sender = await connect();
  const data = new Uint8Array([...bytes(`SEND\ndestination:/queue/a\ncontent-length:${body.length}\n\n`), ...body, 0]);
  await sender.write(data);
  for (let i = 0; i < 10; i++) clock.pass(1000);
  const { octets } = await peer.frame("MESSAGE");
  assertEquals(octets.length, body.length);
  assert(octets.every((octet) => octet === 120));
}, { heartbeat: { send: 1000, receive: 0 } });

brokerRow("F12-45", "CONNECT is read with either line end", async ({ open }) => {
  for (const version of ALL) {
    for (
      const data of [
        `CONNECT\r\naccept-version:${version}\r\nhost:h\r\n\r\n\0`,
        `CONNECT\naccept-version:${version}\r\nhost:h\n\r\n\0\r\n`,
        `\r\nSTOMP\r\naccept-version:${version}\nhost:h\n\n\0`,
      ]
    ) {
      const peer = open();
      await peer.write(data);
      assertEquals((await peer.frame("CONNECTED")).get("version"), version);
      assertEquals(await peer.framesBeforeReceipt(), []);
    }
  }
});

brokerRow("F12-46", "the rules change with the frame after CONNECT, in the same chunk or not", async ({ open }) => {
  const expected: Record<string, string | undefined> = { "1.0": "a\\cb\\r", "1.1": undefined, "1.2": "a\\cb\\r" };
  for (const version of ALL) {
    for (const cut of [0, 10, 40, 60]) {
      const peer = open();
      const name = `${version} ${cut}`;
      const data = `CONNECT\naccept-version:${version}\nhost:h\n\n\0SUBSCRIBE\nid:0\ndestination:/queue/${name}\n\n\0` +
        `SEND\ndestination:/queue/${name}\nx:a\\cb\\r\n\n\0`;
      await peer.write(data.slice(0, cut));
      await peer.write(data.slice(cut));
      await peer.frame("CONNECTED");
      // \r is an escape in 1.2 only, data in 1.0, and an error in 1.1.
      if (version === "1.1") assertEquals((await peer.refusal()).get("message"), "malformed frame");
      else assertEquals((await peer.frame("MESSAGE")).get("x"), expected[version]);
    }
  }
});
