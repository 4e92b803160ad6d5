/** The heads of SEND frames that are kept for the next one. */
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import { dialectFor } from "../../dialects/registry.ts";
import { SendHeadCache } from "../../session/send_head_cache.ts";

test("`SendHeadCache.headFor()` encodes a head once, and keeps at most 1,000", () => {
  const all = new SendHeadCache("1.2", dialectFor(undefined));
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
