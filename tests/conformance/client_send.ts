/** Part C, what a client sends on a connection: SEND, receipts, transactions, ERROR, and the end. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "#assert";
import {
  BrokerErrorResponse,
  ConnectionError,
  NotConnectedError,
  type StompError,
  TransactionError,
  UnknownBrokerResponseError,
} from "../../base/errors.ts";
import type { Frame } from "../../codec/frame.ts";
import { type ClientHarness, flushMicrotasks, subscribed } from "../support/client_harness.ts";
import { confirm, errorFor, receiptFor } from "../support/raw_server.ts";
import { ALL, clientRow, ESCAPING, frame, listen, message, sent } from "./harness.ts";

const begin = (id: string) => frame("BEGIN", { transaction: id });

clientRow("C12-26", "SEND has destination, or is not sent", async (harness) => {
  for (const version of ALL) {
    assertEquals((await sent(harness, version, "/queue/a", "hi")).get("destination"), "/queue/a");
    const { stomp } = await harness.pair({}, version);
    await assertRejects(() => stomp.send("", "hi"), TypeError, "destination");
    await assertRejects(() => stomp.send({ destination: "", body: "hi" }), TypeError, "destination");
  }
});

clientRow("C12-27", "SEND has transaction, and the user's headers in their order", async (harness) => {
  for (const version of ALL) {
    const { lines } = await sent(harness, version, "/q", "", {
      persistent: false,
      headers: { "x-b": "1", "x-a": "2" },
    });
    assertEquals(lines.slice(0, 3), ["destination:/q", "x-b:1", "x-a:2"]);
  }
  const { stomp, peer } = await harness.pair();
  const [tx] = await Promise.all([stomp.begin({ transaction: "t1" }), confirm(peer, "BEGIN")]);
  await tx.send("/q", "hi");
  assertEquals((await peer.frame("SEND")).get("transaction"), "t1");
});

clientRow("C12-28", "a destination is sent unchanged", async (harness) => {
  for (const destination of ["//a b/../c", " ", "/", "a//b/", "../\u{1f600}?#%41"]) {
    assertEquals((await sent(harness, "1.2", destination, "")).get("destination"), destination);
  }
});

clientRow("C12-29", "a receipt may have any value", async (harness) => {
  for (const [value, onWire] of [["r:1", "r\\c1"], ["\u20ac \n\\", "\u20ac \\n\\\\"], ["0", "0"]] as const) {
    const { session, peer } = await listen(harness, "1.2");
    const answered = session.request(frame("BEGIN", { transaction: "t", receipt: value }));
    assertEquals((await peer.frame("BEGIN")).get("receipt"), onWire);
    await peer.write(`RECEIPT\nreceipt-id:${onWire}\n\n\0`);
    assertEquals((await answered).headers["receipt-id"], value);
  }
});

clientRow("C12-30", "receipts are matched by id, in any order", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    const order: number[] = [];
    const calls = [0, 1, 2].map((n) => stomp.send("/q", String(n)).then(() => order.push(n)));
    const frames = await peer.frames(3, "SEND");
    for (const n of [2, 0, 1]) {
      await peer.write(receiptFor(frames[n]!));
      await calls[n];
    }
    assertEquals(order, [2, 0, 1]);
  }
});

clientRow("C12-31", "a RECEIPT leaves earlier receipts open", async (harness) => {
  const { stomp, peer } = await harness.pair();
  let confirmed = false;
  const first = stomp.send("/q", "1").then(() => confirmed = true);
  const second = stomp.send("/q", "2");
  const [a, b] = await peer.frames(2, "SEND");
  await peer.write(receiptFor(b!));
  await second;
  await flushMicrotasks();
  assertEquals([confirmed, stomp.pending], [false, 1]);
  await peer.write(receiptFor(a!));
  await first;
});

clientRow("C12-47", "BEGIN, COMMIT and ABORT have transaction", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    for (const [how, command] of [["commit", "COMMIT"], ["abort", "ABORT"]] as const) {
      const [tx, begun] = await Promise.all([stomp.begin(), confirm(peer, "BEGIN")]);
      const [ended] = await Promise.all([confirm(peer, command), tx[how]()]);
      assert(begun.get("transaction"));
      assertEquals(ended.get("transaction"), begun.get("transaction"));
    }
  }
});

clientRow("C12-48", "a transaction that is open is not begun again", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const [tx] = await Promise.all([stomp.begin({ transaction: "t1" }), confirm(peer, "BEGIN")]);
  await assertRejects(() => stomp.begin({ transaction: "t1" }), TransactionError);
  const [other] = await Promise.all([confirm(peer, "BEGIN"), stomp.begin()]); // and nothing was sent for it
  assert(other.get("transaction") !== "t1");
  await Promise.all([tx.commit(), confirm(peer, "COMMIT")]);
  await Promise.all([stomp.begin({ transaction: "t1" }), confirm(peer, "BEGIN")]);
});

clientRow("C12-49", "a transaction ends with its connection", async (harness) => {
  const { stomp, peer, server } = await harness.pair({ reconnect: { delay: 1 } });
  const [tx] = await Promise.all([stomp.begin({ transaction: "t1" }), confirm(peer, "BEGIN")]);
  await peer.close();
  const again = await server.welcome();
  while (!stomp.connected) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(tx.isOpen, false);
  await assertRejects(() => tx.send("/q", "x"), TransactionError);
  await assertRejects(() => tx.commit(), TransactionError);
  await assertRejects(() => stomp.commit({ transaction: "t1" }), TransactionError);
  const [next] = await Promise.all([confirm(again), stomp.send("/q", "y")]); // the first thing that it hears
  assertEquals([next.command, next.get("transaction")], ["SEND", undefined]);
});

clientRow("C12-50", "an orderly end is DISCONNECT with a receipt, its RECEIPT, and FIN", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    let ended = false;
    const ending = stomp.disconnect().then(() => ended = true);
    const { get } = await peer.frame("DISCONNECT");
    assert(get("receipt"));
    await flushMicrotasks();
    assertEquals(ended, false);
    await peer.write(`RECEIPT\nreceipt-id:${get("receipt")}\n\n\0`);
    await peer.ended();
    await peer.finish();
    await ending;
    assertEquals(await stomp.closed, undefined);
  }
});

clientRow("C12-51", "nothing is sent after DISCONNECT", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const ending = stomp.disconnect();
  await assertRejects(() => stomp.send("/q", "x"), NotConnectedError);
  await assertRejects(() => stomp.send("/q", "x", { receipt: false }), NotConnectedError);
  await assertRejects(() => stomp.subscribe("/q"), NotConnectedError);
  await assertRejects(() => stomp.begin(), NotConnectedError);
  const asked = await peer.frame("DISCONNECT");
  await assertRejects(() => stomp.send("/q", "x"), NotConnectedError);
  await peer.write(receiptFor(asked));
  await peer.ended();
  await peer.finish();
  await ending;
});

clientRow("C12-52", "`disconnect()` ends without the RECEIPT as well", async (harness) => {
  for (const how of ["finish", "close"] as const) {
    const { stomp, peer } = await harness.pair();
    const ending = stomp.disconnect();
    await peer.frame("DISCONNECT");
    await peer[how]();
    await ending;
  }
  const { stomp, peer } = await harness.pair();
  await Promise.all([stomp.disconnect({ timeout: 30 }), peer.frame("DISCONNECT")]);
  await peer.rest();
});

clientRow(
  "C12-53",
  "a client that leaves without DISCONNECT does not know what became of unconfirmed frames",
  async (harness) => {
    const { session, peer } = await listen(harness, "1.2");
    const call = session.request(begin("t"));
    await peer.frame("BEGIN");
    const failed = assertRejects(() => call, ConnectionError);
    await session.close();
    await failed;
    await peer.ended();
  },
);

clientRow("C12-54", "messages that arrive before the RECEIPT of DISCONNECT do no harm", async (harness) => {
  for (const version of ALL) {
    const { stomp, peer } = await harness.pair({}, version);
    await subscribed(stomp, peer, "/queue/a", { id: "0" });
    const ending = stomp.disconnect();
    const asked = await peer.frame("DISCONNECT");
    await peer.write(message("", "1") + message("foo:a\\\\b\n", "2") + receiptFor(asked));
    await peer.ended();
    await peer.finish();
    await ending;
    assertEquals(await stomp.closed, undefined);
  }
});

/** Opens a client with a call that waits for its receipt. */
async function openCall(
  harness: ClientHarness,
  version: string,
): Promise<Awaited<ReturnType<typeof listen>> & { call: Promise<Frame>; asked: Awaited<ReturnType<typeof confirm>> }> {
  const listener = await listen(harness, version);
  const call = listener.session.request(begin("t"));
  call.catch(() => {});
  return { ...listener, call, asked: await listener.peer.frame("BEGIN") };
}

clientRow(
  "C12-58",
  "after an ERROR and the end of the connection nothing is sent, and calls fail with the ERROR's text",
  async (harness) => {
    for (const version of ALL) {
      const { session, peer, call, ended, errors } = await openCall(harness, version);
      await peer.write("ERROR\nmessage:bad\n\n\0");
      await peer.finish();
      await assertRejects(() => call, BrokerErrorResponse, "bad");
      const reason: StompError | undefined = await ended;
      assertInstanceOf(reason, BrokerErrorResponse);
      assertEquals(errors.length, 1);
      assertThrows(() => session.send(begin("u")), NotConnectedError);
      await peer.ended();
    }
  },
);

clientRow("C11-59", "a connection may survive an ERROR", async (harness) => {
  for (const version of ["1.0", "1.1"]) {
    const { session, peer, next, errors } = await listen(harness, version);
    await peer.write(`ERROR\nmessage:x\n\n\0${message("", "hi")}`);
    assertEquals((await next()).text(), "hi");
    assertEquals(errors.map((error) => error.frame?.headers["message"]), ["x"]);
    const answered = session.request(begin("t"));
    await confirm(peer, "BEGIN");
    await answered;
  }
});

clientRow("C12-60", "an ERROR with receipt-id fails that call alone", async (harness) => {
  for (const version of ESCAPING) {
    const { stomp, peer } = await harness.pair({}, version);
    const [bad, good] = [stomp.send("/q", "1"), stomp.send("/q", "2")];
    bad.catch(() => {});
    const [first, second] = await peer.frames(2, "SEND");
    await peer.write(errorFor(first!, "no") + receiptFor(second!));
    await assertRejects(() => bad, BrokerErrorResponse, "no");
    await good;
  }
});

clientRow("C12-61", "an ERROR without headers and body is an ERROR", async (harness) => {
  for (const version of ALL) {
    const { call, peer, errors } = await openCall(harness, version);
    await peer.write("ERROR\n\n\0");
    await assertRejects(() => call, BrokerErrorResponse);
    assertEquals(errors.length, 1);
  }
});

clientRow("C12-62", "`sendFrame()` sends frames that STOMP does not define", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await stomp.sendFrame(frame("CUSTOM", { "x-a": "1" }));
  assertEquals((await peer.frame("CUSTOM")).lines, ["x-a:1"]);
});

clientRow("C12-63", "malformed or unknown input ends the connection", async (harness) => {
  const faults = ["FOO\n\n\0", "CONNECTED\nversion:1.2\n\n\0", "SEND\ndestination:/q\n\n\0", "\0", "garbage"];
  for (const version of ALL) {
    for (const data of [...faults, message("nocolon\n"), message("content-length:x\n")]) {
      const { call, peer, ended, waiting } = await openCall(harness, version);
      await peer.write(data + message("", "behind it"));
      assertInstanceOf(await ended, UnknownBrokerResponseError);
      await assertRejects(() => call, ConnectionError);
      await peer.ended();
      assertEquals(waiting, []);
    }
  }
});
