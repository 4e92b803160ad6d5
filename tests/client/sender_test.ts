/** SEND on the wire, for all ways to give a message and its options. */
import { assertEquals } from "#assert";
import type { SendOptions } from "../../client/options.ts";
import { clientTest } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

clientTest(
  "C12-26 F12-22 F12-24 `send()` writes destination, content-type and content-length, and resolves to the RECEIPT",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const sending = stomp.send("//q a/../b", "hé");
    const said = await confirm(peer, "SEND");
    assertEquals([said.get("destination"), said.get("content-type"), said.get("content-length"), said.body], [
      "//q a/../b",
      "text/plain",
      "3",
      "hé",
    ]);
    const receipt = await sending;
    assertEquals([receipt?.command, receipt?.headers["receipt-id"]], ["RECEIPT", said.get("receipt")]);
    assertEquals(stomp.pending, 0);

    const bytes = stomp.send("/q", new TextEncoder().encode("a b"), { headers: { "x-a": "1:2" } });
    const next = await confirm(peer, "SEND");
    assertEquals([next.get("content-type"), next.get("content-length"), next.get("x-a")], [undefined, "3", "1\\c2"]);
    await bytes;
  },
);

clientTest("C12-27 `send()` writes options and headers in the order given", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const sending = stomp.send("/q", "{}", {
    contentType: "application/json",
    contentLength: false,
    persistent: true,
    replyTo: "/temp-queue/a",
    correlationId: "c",
    headers: { "x-b": "2", "x-a": "1", receipt: "mine", destination: "/elsewhere" },
  });
  const said = await confirm(peer, "SEND");
  assertEquals(said.lines, [
    "destination:/q",
    "x-b:2",
    "x-a:1",
    "receipt:mine",
    "content-type:application/json",
    "persistent:true",
    "reply-to:/temp-queue/a",
    "correlation-id:c",
  ]);
  assertEquals((await sending)?.headers["receipt-id"], "mine");
});

clientTest("`send()` writes the same frame with few and with many options", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const bodies = ["", "plain", "hé€\u{1f600}", "x".repeat(70_000), "é".repeat(40_000), new Uint8Array([0, 1, 255])];
  for (const body of bodies) {
    for (const contentType of [undefined, "application/json", "text/plain;charset=utf-8", "a:\u00e9"]) {
      const header = { "x-a": "é:1" };
      const short = stomp.send("/queue/ü", body, { contentType });
      const first = await confirm(peer, "SEND");
      const long = stomp.send("/queue/ü", body, { contentType, headers: header });
      const second = await confirm(peer, "SEND");
      await Promise.all([short, long]);
      const without = (lines: string[]) => lines.filter((line) => !/^(receipt|x-a):/.test(line));
      assertEquals(without(second.lines), without(first.lines));
      assertEquals(second.body, first.body);
      assertEquals(second.get("x-a"), "é\\c1");
      const size = typeof body === "string" ? new TextEncoder().encode(body).length : body.length;
      assertEquals(first.get("content-length"), size === 0 ? undefined : String(size));
    }
  }
});

clientTest(
  "`send()` writes the same headers with and without a receipt id of the caller",
  async (harness) => {
    const { stomp, peer } = await harness.pair();
    const given = (options: unknown) => options as SendOptions; // what types do not allow
    class Options {
      get persistent() {
        return true;
      }
    }
    const all: [SendOptions, string[]][] = [
      [{ headers: { "x-a": "é:\\\n\r", "x-\u{1f600}": "", "x-b": "\u{1f600}" } }, [
        "x-a:é\\c\\\\\\n\\r",
        "x-\u{1f600}:",
        "x-b:\u{1f600}",
        "content-type:text/plain",
      ]],
      [given({ headers: { "x-n": 7, "x-t": true, "x-no": undefined, "content-type": 1 } }), [
        "x-n:7",
        "x-t:true",
        "content-type:1",
      ]],
      [{ headers: { "content-type": "a/b", destination: "/elsewhere", "x-a": "1" } }, ["content-type:a/b", "x-a:1"]],
      [{ headers: { "content-type": "a/b" }, contentType: "c/d" }, ["content-type:c/d"]],
      [given({ headers: { destination: null, "content-type": null } }), ["content-type:text/plain"]],
      [given({ headers: null }), ["content-type:text/plain"]],
      [{ headers: {} }, ["content-type:text/plain"]],
      [{ headers: { persistent: "perhaps", "x-a": "1" }, correlationId: "ü:1", replyTo: "/q", persistent: true }, [
        "persistent:true",
        "x-a:1",
        "content-type:text/plain",
        "reply-to:/q",
        "correlation-id:ü\\c1",
      ]],
      [{ persistent: false, correlationId: "2", timeout: 1000 }, ["content-type:text/plain", "correlation-id:2"]],
      [new Options(), ["content-type:text/plain", "persistent:true"]],
      [given({ toString: "x", __proto__: { replyTo: "/q" } }), ["content-type:text/plain", "reply-to:/q"]],
    ];
    for (const [options, lines] of all) {
      const before = { ...options };
      // Where the options do not say otherwise, a message is persistent; that stands first, as it is part of each.
      const isDefault = options.persistent === undefined && !("persistent" in (options.headers ?? {}));
      const persistent = isDefault ? ["persistent:true"] : [];
      const short = stomp.send("/q", "é", options);
      const first = await confirm(peer, "SEND");
      const receipt = "receipt:" + first.get("receipt");
      assertEquals(first.lines, ["destination:/q", ...persistent, ...lines, receipt, "content-length:2"]);
      assertEquals(first.body, "é");
      const mine = { ...options.headers, receipt: "mine" };
      const long = stomp.send("/q", "é", Object.create(options, { headers: { value: mine } }));
      const second = await confirm(peer, "SEND");
      const rest = lines.filter((line) => !line.startsWith("content-type"));
      assertEquals(second.lines.filter((line) => rest.includes(line)), rest);
      assertEquals(
        second.lines.toSorted(),
        ["destination:/q", ...persistent, ...lines, "receipt:mine", "content-length:2"].toSorted(),
      );
      assertEquals(second.body, "é");
      await Promise.all([short, long]);
      assertEquals({ ...options }, before);
    }
  },
);

clientTest("`send()` by conf writes the same frame, and leaves the conf unchanged", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const conf = { destination: "/q", body: "x", persistent: true, "x-n": 7, "x-no": undefined };
  const before = structuredClone(conf);
  const sending = stomp.send(conf);
  const said = await confirm(peer, "SEND");
  assertEquals([said.get("persistent"), said.get("x-n"), said.get("x-no"), said.body], ["true", "7", undefined, "x"]);
  await sending;
  assertEquals(conf, before);
});

clientTest("`send()` with a receipt is persistent unless the caller says otherwise", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const cases: [SendOptions, string | undefined][] = [
    [{}, "true"],
    [{ correlationId: "1" }, "true"],
    [{ headers: { "x-a": "1" } }, "true"],
    [{ headers: { receipt: "mine" } }, "true"],
    [{ contentLength: false }, "true"],
    [{ persistent: false }, undefined],
    [{ headers: { persistent: "false" } }, "false"],
    [{ receipt: false }, undefined],
    [{ receipt: false, headers: { "x-a": "1" } }, undefined],
    [{ receipt: false, persistent: true }, "true"],
  ];
  for (const [options, expected] of cases) {
    const sending = stomp.send("/q", "x", options);
    const said = options.receipt === false ? await peer.frame("SEND") : await confirm(peer, "SEND");
    assertEquals(said.get("persistent"), expected, JSON.stringify(options));
    await sending;
  }
});

clientTest(
  "`persistent: false` is no header on RabbitMQ, where it would make the queue end with the connection",
  async (harness) => {
    const { stomp, peer } = await harness.pair({}, "1.2", "server:RabbitMQ/4.0.5\n");
    const cases: SendOptions[] = [
      { persistent: false },
      { headers: { persistent: "false" } },
      { headers: { persistent: false } },
      { headers: { persistent: "False", "x-a": "1" }, contentLength: false },
    ];
    for (const options of cases) {
      const sending = stomp.send("/q", "x", options);
      assertEquals((await confirm(peer, "SEND")).get("persistent"), undefined, JSON.stringify(options));
      await sending;
    }
    const byConf = stomp.send({ destination: "/q", body: "x", persistent: false });
    assertEquals((await confirm(peer, "SEND")).get("persistent"), undefined);
    await byConf;
  },
);

clientTest("`send()` does not ask the embedded broker for persistence", async (harness) => {
  const stomp = await harness.connect((await harness.broker()).url);
  const subscription = await stomp.subscribe("/queue/a");
  await stomp.send("/queue/a", "x");
  assertEquals((await subscription.take())?.headers["persistent"], undefined);
});
