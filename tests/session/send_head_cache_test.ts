/** The heads of SEND frames that are kept for the next one. */
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { dialectFor } from "../../dialects/registry.ts";
import { Declarations } from "../../dialects/queue.ts";
import type { HeaderEntries } from "../../codec/headers.ts";
import { QueueMaker } from "../../session/queue_maker.ts";
import { SendHeadCache } from "../../session/send_head_cache.ts";

/** Creates a cache, and the maker of its queues. */
function cacheFor(family: "rabbitmq" | "unknown", declarations: Declarations = new Declarations()) {
  const dialect = dialectFor(undefined, family);
  const made: string[] = [];
  const queues = new QueueMaker(declarations, dialect, (frame) => void made.push(frame.command));
  return { cache: new SendHeadCache("1.2", dialect, queues), made };
}

const textDecoder = new TextDecoder();

test("`SendHeadCache.headFor()` encodes a head once, and keeps at most 1,000", () => {
  const { cache: all } = cacheFor("unknown");
  const heads = {
    of: (destination: string, contentType: string | undefined) =>
      all.headFor({ destination, contentType, persistent: false, headers: [], options: undefined, body: "" }),
  };
  const first = heads.of("/queue/0", "text/plain");
  for (let i = 1; i < 1000; i++) {
    heads.of(`/queue/${i}`, i % 2 === 0 ? "text/plain" : undefined);
    assert(heads.of("/queue/0", "text/plain") === first, `after ${i}`);
  }
  heads.of("/queue/1000", "text/plain");
  const again = heads.of("/queue/0", "text/plain");
  assertEquals([again === first, again], [false, first]);
  assert(heads.of("/queue/0", "text/plain") === again);
});

test("`SendHeadCache` writes the declaration of a queue into its head, where a header of the message takes precedence", () => {
  const declarations = new Declarations();
  declarations.declare("/queue/a", { ttl: "1s", maxLength: 2 });
  const { cache } = cacheFor("rabbitmq", declarations);
  const message = (headers: HeaderEntries, destination = "/queue/a") => {
    const parts = { destination, contentType: undefined, persistent: true, headers, options: undefined, body: "" };
    const head = cache.headFor(parts);
    const all = headers.length === 0 ? head : cache.headBeside(parts, head);
    return textDecoder.decode(all).split("\n").filter((line) => line.includes(":"));
  };
  const declared = ["destination:/queue/a", "persistent:true", "x-message-ttl:1000", "x-max-length:2"];
  assertEquals(message([]), declared);
  assertEquals(message([["colour", "red"]]), declared);
  assertEquals(message([["x-max-length", "9"]]), declared.slice(0, 3));
  assertEquals(message([]), declared);
  assertEquals(message([], "/queue/b"), ["destination:/queue/b", "persistent:true"]);
});

test("`SendHeadCache.clear()` puts a new declaration into the next head, and makes its dead letter queue", () => {
  const declarations = new Declarations();
  const { cache, made } = cacheFor("rabbitmq", declarations);
  const head = () => {
    const parts = { destination: "/queue/a", contentType: undefined, headers: [], options: undefined, body: "" };
    return textDecoder.decode(cache.headFor({ ...parts, persistent: false }));
  };
  assertEquals(head(), "SEND\ndestination:/queue/a\n");
  declarations.declare("/queue/a", { deadLetter: "/queue/b" });
  assertEquals(head(), "SEND\ndestination:/queue/a\n");
  cache.clear();
  const declared = "SEND\ndestination:/queue/a\nx-dead-letter-exchange:\nx-dead-letter-routing-key:b\n";
  assertEquals(head(), declared);
  assertEquals(head(), declared);
  assertEquals(made, ["BEGIN", "SEND", "ABORT"]);
});
