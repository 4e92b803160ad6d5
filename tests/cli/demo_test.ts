/** The command `demo` on brokers that duplicate, reorder or add messages. */
import { assert, assertEquals, assertMatch } from "#assert";
import { main } from "../../cli/main.ts";
import { clientTest } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, type RawServer, receiptFor } from "../support/raw_server.ts";
import { withBroker } from "../support/broker_harness.ts";
import { test } from "#test";

const COUNT = 4;

/** Answers every receipt until DISCONNECT. */
async function answerUntilDisconnect(peer: RawPeer): Promise<void> {
  for (;;) {
    const frame = await peer.frame();
    if (frame.get("receipt") !== undefined) await peer.write(receiptFor(frame));
    if (frame.command === "DISCONNECT") return await peer.finish();
  }
}

/** Plays a broker that delivers what `deliver` returns for the bodies that were sent. */
async function play(server: RawServer, deliver: (bodies: string[]) => string[]): Promise<void> {
  const lines = "server:ActiveMQ/5\x1b[2J\n";
  const producer = await server.welcome("1.2", lines);
  const consumer = await server.welcome("1.2", lines);
  const subscription = (await confirm(consumer, "SUBSCRIBE")).get("id");
  const sent = await producer.frames(COUNT, "SEND");
  await producer.write(sent.map(receiptFor).join(""));
  const messages = deliver(sent.map(({ body }) => body)).map((body, i) =>
    `MESSAGE\nsubscription:${subscription}\nmessage-id:${i}\nack:${i}\ndestination:/queue/a\n\n${body}\0`
  );
  await consumer.write(messages.join(""));
  await Promise.all([answerUntilDisconnect(producer), answerUntilDisconnect(consumer)]);
}

type Deliver = (bodies: string[]) => string[];

/** What is delivered, the exit code, and the counts: duplicated, out of order, from other senders. */
const DELIVERIES: [what: string, deliver: Deliver, code: number, counts: [number, number, number]][] = [
  ["everything once and in order", (all) => all, 0, [0, 0, 0]],
  ["a message twice", ([a, b, c, d]) => [a!, a!, b!, c!, d!], 1, [1, 0, 0]],
  ["messages in another order", ([a, b, c, d]) => [b!, a!, c!, d!], 1, [0, 1, 0]],
  ["messages from other senders", ([a, b, c, d]) => ["other 1", a!, b!, "x", c!, d!], 0, [0, 0, 2]],
];

for (const [what, deliver, code, [duplicated, disorder, foreign]] of DELIVERIES) {
  clientTest(`\`demo\` exits with ${code} and counts when a broker delivers ${what}`, async (harness) => {
    const server = await harness.server();
    const printed: string[] = [];
    const complaints: string[] = [];
    const playing = play(server, deliver);
    const ended = await main(["demo", "--url", server.url, "--count", `${COUNT}`, "--destination", "/queue/a"], {
      print: (line) => void printed.push(line),
      printError: (line) => void complaints.push(line),
    });
    await playing;
    const text = printed.join("\n");
    assertEquals([ended, complaints.length], [code, code], text);
    assertMatch(text, new RegExp(`^Duplicated +${duplicated}$`, "m"));
    assertMatch(text, new RegExp(`^Out of order +${disorder}$`, "m"));
    assertMatch(text, /^Lost +0$/m);
    assertEquals(/^From other senders +(\d+)$/m.exec(text)?.[1], foreign === 0 ? undefined : `${foreign}`);
    assert(!text.includes("\x1b"), "control characters of the broker's name reach the terminal");
    assertEquals(text.includes("once and in order"), code === 0);
  });
}

test("`demo` prints each tenth of the progress once", async () => {
  await withBroker({}, async (broker) => {
    const printed: string[] = [];
    const print = (line: string) => void printed.push(line);
    assertEquals(await main(["demo", "--url", broker.url, "--count", "8000"], { print, printError: print }), 0);
    const tenths = printed.filter((line) => line.includes(" %:")).map((line) => Number.parseInt(line));
    assertEquals(tenths, [...new Set(tenths)].sort((a, b) => a - b));
    assertEquals([tenths.at(-1), tenths.length > 5], [100, true], printed.join("\n"));
  });
});
