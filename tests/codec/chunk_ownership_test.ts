/** Chunk ownership: memory is not read into again while a caller has a view on it. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { Broker } from "../../broker/broker.ts";
import { holdsChunk } from "../../codec/decoder.ts";
import { Stomp } from "../../api/stomp.ts";
import { makeDecoder, octets } from "../fixtures/decoding.ts";

const WIRE = "MESSAGE\nfoo:bar\n\nhello\0MESSAGE\nfoo:baz\n\nworld\0";

test("`holdsChunk()` is true for a chunk that a caller has a view on, and false for other ASCII", () => {
  const bodies: Uint8Array[] = [];
  const decoder = makeDecoder({ onFrame: (frame) => frame.header("foo") === "baz" && bodies.push(frame.body) });
  decoder.push(octets(WIRE));
  assertEquals([holdsChunk(decoder), bodies.length], [true, 1]);
  const reading = makeDecoder({ onFrame: (frame) => [frame.text(), frame.headers, frame.bodyLength] });
  reading.push(octets(WIRE));
  assertEquals(holdsChunk(reading), false);
  reading.push(octets(WIRE.replace("hello", "h\xe9llo")));
  assertEquals(holdsChunk(reading), true);
  // Text in another charset is decoded from the body, also when the library itself reports an ERROR.
  reading.push(octets("ERROR\ncontent-type:text/plain;charset=iso-8859-1\n\nno\0"));
  assertEquals(holdsChunk(reading), true);
  reading.push(octets("\n\n"));
  assertEquals(holdsChunk(reading), false);
});

test("`holdsChunk()` is true for the chunk that a cut frame ends in, where the body is a view on it", () => {
  for (
    const { cut, body, holds } of [
      { cut: 4, body: "h\xe9llo", holds: true },
      { cut: 4, body: "hello", holds: false },
      { cut: 18, body: "h\xe9llo", holds: false }, // in the body, which is put together in other memory
    ]
  ) {
    const bodies: string[] = [];
    const decoder = makeDecoder({ onFrame: (frame) => bodies.push(frame.text()) });
    const wire = octets(`MESSAGE\nfoo:bar\n\n${body}\0`);
    decoder.push(wire.slice(0, cut));
    decoder.push(wire.slice(cut));
    assertEquals([bodies.length, holdsChunk(decoder)], [1, holds], `${body}, cut at ${cut}`);
  }
});

for (const [kind, letter] of [["ASCII", "x"], ["more than ASCII", "é"]] as const) {
  test(`\`Subscription.next()\` returns queued messages as they were sent after many reads, where bodies are ${kind}`, async () => {
    const broker = await Broker.listen();
    const stomp = await Stomp.connect(broker.url);
    // Some are a large share of a read, so the broker keeps them in their chunk.
    const bodies = Array.from({ length: 2000 }, (_, i) => `${i}:${letter.repeat(i % 100 === 99 ? 20_000 : i % 50)}`);
    // In many reads, each of which would overwrite the one before.
    for (let from = 0; from < bodies.length; from += 20) {
      await Promise.all(bodies.slice(from, from + 20).map((body) => stomp.send("/queue/held", body)));
    }
    const received: string[] = [];
    const views: Uint8Array[] = [];
    for await (const message of await stomp.subscribe("/queue/held")) {
      views.push(message.body);
      received.push(message.text());
      if (received.length === bodies.length) break;
    }
    assertEquals(received, bodies);
    assertEquals(views.map((view) => new TextDecoder().decode(view)), bodies);
    await stomp.disconnect();
    await broker.close();
  });
}
