/** Verbs of stompy's `Frame` that run at once over one socket, as `Promise.all` makes them. */
import { assertEquals, assertRejects } from "#assert";
import { test } from "#test";
import { BrokerErrorResponse, Frame, type FrameSocket, openSocket, TimeoutError } from "../../mod.ts";
import { Broker } from "../../broker/broker.ts";
import { Fifo } from "../../base/fifo.ts";
import type { ReadOptions } from "../../base/timers.ts";
import { clientTest } from "../support/client_harness.ts";
import { confirm } from "../support/raw_server.ts";

/** A socket on which the test says what arrives. */
class Scripted implements FrameSocket {
  readonly version = "1.2";
  readonly host = "/";
  readonly #frames = new Fifo<Frame>();
  readonly #waiters = new Fifo<(frame: Frame) => void>();

  say(command: string, headers: Record<string, string>): void {
    const frame = new Frame().buildFrame({ command, headers });
    const waiter = this.#waiters.shift();
    if (waiter) waiter(frame);
    else this.#frames.push(frame);
  }

  writeFrame(): Promise<void> {
    return Promise.resolve();
  }

  readFrame({ nb, signal }: ReadOptions = {}): Promise<Frame | undefined> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const frame = this.#frames.shift();
    if (frame || nb) return Promise.resolve(frame);
    return new Promise((resolve, reject) => {
      this.#waiters.push(resolve);
      signal?.addEventListener("abort", () => {
        this.#waiters.remove(resolve);
        reject(signal.reason);
      });
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function send(receipt: string): Frame {
  return new Frame().buildFrame({ command: "SEND", headers: { destination: "/queue/a", receipt } });
}

test("`Frame.sendFrame()` resolves with its own receipt, in whichever order they come", async () => {
  const sock = new Scripted();
  const frame = new Frame(sock);
  const both = Promise.all([frame.sendFrame(send("a")), frame.sendFrame(send("b"))]);
  sock.say("RECEIPT", { "receipt-id": "b" });
  sock.say("RECEIPT", { "receipt-id": "a" });
  assertEquals((await both).map((reply) => reply?.headers["receipt-id"]), ["a", "b"]);
});

test("`Frame.sendFrame()` gets its receipt while `getMessage()` waits", async () => {
  const sock = new Scripted();
  const frame = new Frame(sock);
  const message = frame.getMessage();
  const receipt = frame.sendFrame(send("a"));
  sock.say("RECEIPT", { "receipt-id": "a" });
  assertEquals((await receipt)?.command, "RECEIPT");
  sock.say("MESSAGE", { destination: "/queue/a", "message-id": "1" });
  assertEquals((await message)?.headers["message-id"], "1");
});

test("`Frame.getReply()` does not take the receipt that `sendFrame()` waits for", async () => {
  const sock = new Scripted();
  const frame = new Frame(sock);
  const receipt = frame.sendFrame(send("a"));
  const reply = frame.getReply();
  sock.say("RECEIPT", { "receipt-id": "a" });
  sock.say("RECEIPT", { "receipt-id": "other" });
  assertEquals([(await receipt)?.headers["receipt-id"], (await reply)?.headers["receipt-id"]], ["a", "other"]);
});

test("`Frame.getReply()` takes the receipt of a `sendFrame()` that was aborted", async () => {
  const sock = new Scripted();
  const frame = new Frame(sock);
  const abort = new AbortController();
  const sending = frame.sendFrame(send("a"), { signal: abort.signal });
  const reply = frame.getReply(); // waits beside it
  abort.abort(new Error("enough"));
  await assertRejects(() => sending, Error, "enough");
  sock.say("RECEIPT", { "receipt-id": "a" });
  sock.say("RECEIPT", { "receipt-id": "b" });
  assertEquals((await reply)?.headers["receipt-id"], "a");
  assertEquals((await frame.getReply())?.headers["receipt-id"], "b");
});

clientTest(
  "`Frame.getReply()` takes the receipt of a `sendFrame()` that timed out on a real socket",
  async (harness) => {
    const server = await harness.server();
    const [peer, sock] = await Promise.all([server.accept(), openSocket(server.url)]);
    harness.atEnd(() => sock.close());
    const frame = new Frame();
    const connecting = frame.connect(sock);
    await peer.frame("CONNECT");
    await peer.write("CONNECTED\nversion:1.2\n\n\0");
    await connecting;
    await assertRejects(() => frame.sendFrame(send("a"), { timeout: 20 }), TimeoutError);
    await confirm(peer, "SEND");
    assertEquals((await frame.getReply())?.headers["receipt-id"], "a");
  },
);

clientTest("`openSocket()` stops reading while no frame is taken, and loses none", async (harness) => {
  const server = await harness.server();
  const connect = async () => {
    const [peer, sock] = await Promise.all([server.accept(), openSocket(server.url)]);
    harness.atEnd(() => sock.close());
    return { peer, sock };
  };
  const [idle, busy] = [await connect(), await connect()];
  const COUNT = 512; // more than the system buffers
  const text = `MESSAGE\ndestination:/q\nmessage-id:1\n\n${"x".repeat(1 << 16)}\0`.repeat(COUNT);
  const takeAll = async ({ sock }: typeof idle) => {
    for (let i = 0; i < COUNT; i++) assertEquals((await sock.readFrame())?.body.length, 1 << 16);
  };
  let isWritten = false;
  const writing = idle.peer.write(text).then(() => isWritten = true);
  // By the time that as much has come over another connection, twice, this one would have been read as well.
  for (let i = 0; i < 2; i++) await Promise.all([busy.peer.write(text), takeAll(busy)]);
  assertEquals(isWritten, false);
  await takeAll(idle);
  await writing;
});

test("`Frame` verbs that wait all reject with an ERROR", async () => {
  const sock = new Scripted();
  const frame = new Frame(sock);
  const waiting = [frame.getMessage(), frame.getReply(), frame.sendFrame(send("a"))];
  sock.say("ERROR", { message: "no" });
  for (const one of waiting) await assertRejects(() => one, BrokerErrorResponse, "no");
});

test("`Frame.getMessage()` that is aborted leaves `getReply()` waiting", async () => {
  const sock = new Scripted();
  const frame = new Frame(sock);
  const abort = new AbortController();
  const first = frame.getMessage({ signal: abort.signal }).catch((error) => error);
  const second = frame.getReply();
  await frame.getMessage({ nb: true }); // now the first one reads, and the second one waits for it
  abort.abort("enough");
  assertEquals(await first, "enough");
  sock.say("RECEIPT", { "receipt-id": "1" });
  assertEquals((await second)?.headers["receipt-id"], "1");
});

test("`Frame.getMessage()` with `nb` does not wait for another verb that reads", async () => {
  const sock = new Scripted();
  const frame = new Frame(sock);
  const waiting = frame.getReply();
  assertEquals(await frame.getMessage({ nb: true }), undefined);
  sock.say("RECEIPT", { "receipt-id": "1" });
  await waiting;
});

test("`Frame` verbs can run at once over a real socket", async () => {
  await using broker = await Broker.listen();
  const sock = await openSocket(broker.url);
  const frame = new Frame();
  await frame.connect(sock);
  const subscribe = { destination: "/queue/a", id: "1", receipt: "s" };
  await frame.sendFrame(new Frame().buildFrame({ command: "SUBSCRIBE", headers: subscribe }));
  const messages = Promise.all(Array.from({ length: 20 }, () => frame.getMessage()));
  const receipts = Array.from({ length: 20 }, (_, n) => frame.sendFrame(send(String(n))));
  assertEquals((await Promise.all(receipts)).map((reply) => reply?.headers["receipt-id"]).length, 20);
  assertEquals(new Set((await messages).map((message) => message?.headers["message-id"])).size, 20);
  await sock.close();
});
