/** Chunks and the text that is cut from them. */
import { assertEquals, assertStrictEquals } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import { BufferPool } from "../../base/buffer_pool.ts";
import { Chunk } from "../../codec/chunk.ts";
import { latin1, octets, utf8 } from "../fixtures/decoding.ts";

const EVERY_OCTET = Uint8Array.from({ length: 256 }, (_, i) => i);
const LARGE = 3 << 20;

test("`Chunk.latin1()` returns one character an octet, whatever the octets", () => {
  const chunk = new Chunk(EVERY_OCTET);
  assertEquals(chunk.latin1(0, 128), latin1(EVERY_OCTET.subarray(0, 128)));
  assertEquals(chunk.latin1(0, 256).length, 256);
  assertEquals(chunk.latin1(200, 210).length, 10);
  assertEquals(chunk.latin1(60, 70), "<=>?@ABCDE");
  assertEquals(chunk.latin1(5, 5), "");
});

test("`Chunk` reads large chunks range by range", () => {
  const bytes = new Uint8Array(LARGE).fill(120);
  bytes.set(octets("hello\xc3\xa9"), LARGE - 7);
  const chunk = new Chunk(bytes);
  assertEquals([chunk.latin1(LARGE - 7, LARGE - 2), chunk.text(LARGE - 7, LARGE)], ["hello", "helloé"]);
  assertEquals([chunk.latin1(0, 3), chunk.text(0, 3), chunk.isAscii, chunk.isPlain], ["xxx", "xxx", false, false]);
});

test("`Chunk.isPlain` is false where headers need a second look", () => {
  const plain = (text: string) => new Chunk(octets(text)).isPlain;
  assertEquals(["", "abc\n:\0\x7f", "a\\b", "a\rb", "\x80", "\xc3\xa9"].map(plain), [
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("`Chunk.text()` decodes UTF-8, and keeps a BOM", () => {
  for (
    const [wire, text] of [["plain", "plain"], [utf8("é😀\ufeffa"), "é😀\ufeffa"], ["\xff", "\ufffd"], [
      "",
      "",
    ]] as const
  ) {
    for (const [before, after] of [["", ""], ["xx", "yy"], ["x".repeat(1000), ""], ["\xff", "\xff"]] as const) {
      const bytes = octets(before + wire + after);
      const [start, end] = [before.length, before.length + wire.length];
      const chunk = new Chunk(bytes);
      assertEquals(chunk.text(start, end), text);
      chunk.latin1(0, 1);
      assertEquals(chunk.text(start, end), text);
      assertStrictEquals(chunk.bytes, bytes);
    }
  }
});

test("`Chunk.text()` decodes any octets as a TextDecoder does", () => {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  new Chunk(new Uint8Array(1 << 19)).latin1(0, 1 << 19); // from there on as fast as it can
  const octet = fc.constantFrom(
    0x41,
    0x80,
    0xbf,
    0xc2,
    0xc3,
    0xe0,
    0xa0,
    0xed,
    0xef,
    0xbb,
    0xf0,
    0x90,
    0xf4,
    0xff,
    0,
  );
  fc.assert(fc.property(fc.array(octet, { minLength: 1, maxLength: 12 }), (octets) => {
    const chunk = new Chunk(Uint8Array.of(0xff, ...octets, 0xff));
    assertEquals(chunk.text(1, octets.length + 1), decoder.decode(Uint8Array.from(octets)));
  }));
});

test("`Chunk.text()` keeps a BOM at the beginning, however much was decoded before", () => {
  new Chunk(new Uint8Array(1 << 19)).latin1(0, 1 << 19);
  assertEquals(new Chunk(new TextEncoder().encode("\ufeffé")).text(0, 5), "\ufeffé");
});

test("`Chunk` reads a view from where it begins", () => {
  const view = octets("xxhello").subarray(2, 6);
  const chunk = new Chunk(view);
  assertEquals([chunk.latin1(0, 4), chunk.text(1, 3)], ["hell", "el"]);
});

test("`Chunk.view()` returns a view or a copy, as the kind of its memory allows", () => {
  const views = (["received", "lent", "owned", "borrowed"] as const).map((kind) => {
    const bytes = octets("hello");
    const view = new Chunk(bytes, kind).view(1, 3);
    assertEquals(latin1(view), "el", kind);
    return view.buffer === bytes.buffer;
  });
  assertEquals(views, [true, true, true, false]);
});

test("`Chunk.release()` gives up ASCII that no one has a view on, and keeps its text", () => {
  for (
    const { kind, wire, isViewed, released } of [
      { kind: "received", wire: "hello", isViewed: false, released: true },
      { kind: "received", wire: "h\xe9llo", isViewed: false, released: false },
      { kind: "received", wire: "hello", isViewed: true, released: false },
      { kind: "owned", wire: "hello", isViewed: false, released: false },
      { kind: "borrowed", wire: "hello", isViewed: true, released: true },
    ] as const
  ) {
    const bytes = octets(wire);
    const chunk = new Chunk(bytes, kind);
    if (isViewed) chunk.view(0, 1);
    assertEquals(chunk.release(), released, `${kind} ${wire}`);
    if (released) bytes.fill(0);
    assertEquals([latin1(chunk.view(0, 5)), chunk.text(2, 5)], [wire, "llo"]);
  }
});

test("`Chunk.moveOut()` keeps the contents of borrowed memory", () => {
  for (const wire of ["hello", "h\xe9llo"]) {
    const bytes = octets(wire);
    const chunk = new Chunk(bytes, "borrowed");
    chunk.moveOut();
    bytes.fill(0);
    assertEquals([latin1(chunk.view(0, 5)), chunk.text(2, 5)], [wire, "llo"]);
  }
});

test("`Chunk` gives pooled memory back once it was read, and not while a caller has it", () => {
  for (
    const { size, read, given } of [
      { size: 5, read: "text", given: 1 },
      { size: 5, read: "view", given: 0 },
      { size: 8, read: "view", given: 1 }, // a copy was handed out
    ] as const
  ) {
    const pool = new BufferPool(4);
    const bytes = new Uint8Array(size);
    bytes.set(octets("hello"));
    const chunk = new Chunk(bytes.subarray(0, 5), "pooled", pool);
    const first = read === "text" ? chunk.text(0, 5) : latin1(chunk.view(0, 5));
    assertEquals([first, pool.take() === undefined ? 0 : 1], ["hello", given], `${read} of ${size}`);
    if (given) bytes.fill(0);
    assertEquals([chunk.text(0, 5), latin1(chunk.view(0, 5)), latin1(chunk.view(0, 5))], ["hello", "hello", "hello"]);
  }
});
