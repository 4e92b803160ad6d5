/** Bytes to text: with `node:buffer`, and as in a browser, without. */
import { assertEquals, assertStrictEquals, assertThrows } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import process from "node:process";
import { runInNewContext } from "node:vm";
import * as native from "../../codec/text.ts";
import { latin1, octets, utf8 } from "../fixtures/decoding.ts";

/** The module as a browser has it: nothing there to reach `node:buffer` through. */
async function importWithoutBuffer(): Promise<typeof native> {
  const found = Object.getOwnPropertyDescriptor(process, "getBuiltinModule");
  Object.defineProperty(process, "getBuiltinModule", { value: undefined, configurable: true, writable: true });
  try {
    const path = "../../codec/text.ts?browser";
    return await import(path);
  } finally {
    if (found) Object.defineProperty(process, "getBuiltinModule", found);
    else delete (process as Partial<typeof process>).getBuiltinModule;
  }
}

const browser = await importWithoutBuffer();

test("the browser's module is another one", () => {
  assertEquals(browser.Chunk === native.Chunk, false);
});

const EVERY_OCTET = Uint8Array.from({ length: 256 }, (_, i) => i);
const LARGE = 3 << 20;

for (const [kind, { Chunk, decodeLenient, decodeStrict, isAscii }] of Object.entries({ native, browser })) {
  test(`${kind}: a range is one character an octet, whatever the octets`, () => {
    const chunk = new Chunk(EVERY_OCTET);
    assertEquals(chunk.latin1(0, 128), latin1(EVERY_OCTET.subarray(0, 128)));
    assertEquals(chunk.latin1(0, 256).length, 256);
    assertEquals(chunk.latin1(200, 210).length, 10);
    assertEquals(chunk.latin1(60, 70), "<=>?@ABCDE");
    assertEquals(chunk.latin1(5, 5), "");
  });

  test(`${kind}: large chunks are read range by range`, () => {
    const bytes = new Uint8Array(LARGE).fill(120);
    bytes.set(octets("hello\xc3\xa9"), LARGE - 7);
    const chunk = new Chunk(bytes);
    assertEquals([chunk.latin1(LARGE - 7, LARGE - 2), chunk.text(LARGE - 7, LARGE)], ["hello", "helloé"]);
    assertEquals([chunk.latin1(0, 3), chunk.text(0, 3), chunk.isAscii, chunk.isPlain], ["xxx", "xxx", false, false]);
  });

  test(`${kind}: a chunk knows whether headers in it need a second look`, () => {
    const plain = (text: string) => new Chunk(octets(text)).isPlain;
    assertEquals(["", "abc\n:\0\x7f", "a\\b", "a\rb", "\x80", "\xc3\xa9"].map(plain), [
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    assertEquals([isAscii(octets("\0\x7f")), isAscii(octets("\x80")), isAscii(octets(""))], [true, false, true]);
  });

  test(`${kind}: text of a range is UTF-8, and a BOM is data`, () => {
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

  test(`${kind}: text of octets is what a TextDecoder makes of them, whatever they are`, () => {
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

  test(`${kind}: a BOM at the beginning is data as well, however much was decoded before`, () => {
    new Chunk(new Uint8Array(1 << 19)).latin1(0, 1 << 19);
    assertEquals(new Chunk(new TextEncoder().encode("\ufeffé")).text(0, 5), "\ufeffé");
  });

  test(`${kind}: decodeStrict refuses what is no UTF-8, decodeLenient replaces it`, () => {
    assertEquals([decodeStrict(octets("\xef\xbb\xbfa")), decodeLenient(octets("\xef\xbb\xbfa"))], [
      "\ufeffa",
      "\ufeffa",
    ]);
    for (const bad of ["\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "\xf0\x9f\x98"]) {
      assertThrows(() => decodeStrict(octets(bad)), TypeError);
      assertEquals(decodeLenient(octets(`a${bad}b`)).includes("\ufffd"), true);
    }
  });

  test(`${kind}: views are read from where they begin`, () => {
    const view = octets("xxhello").subarray(2, 6);
    const chunk = new Chunk(view);
    assertEquals([chunk.latin1(0, 4), chunk.text(1, 3), decodeLenient(view)], ["hell", "el", "hell"]);
  });
}

test("F12-27 charsetOf finds a charset that is not UTF-8", () => {
  const { charsetOf } = native;
  const none = [undefined, "", "text/plain", ";", "text/plain;", "text/plain;charset", "text/plain;charset=utf-8"];
  for (
    const type of [...none, "text/plain;charset=UTF-8", 'a/b;charset="utf8"', "a/b;xcharset=latin1", "charset=latin1"]
  ) {
    assertEquals(charsetOf(type), undefined, type);
  }
  for (
    const type of ["a/b;charset=latin1", "a/b; CharSet = latin1", 'a/b;x=y;charset="latin1";z', ";charset=latin1 "]
  ) {
    assertEquals(charsetOf(type), "latin1", type);
  }
});

test("isBytes takes Uint8Array of any realm, and nothing else", () => {
  const { isBytes } = native;
  const foreign: unknown = runInNewContext("new Uint8Array(1)");
  assertEquals([isBytes(new Uint8Array(1)), isBytes(octets("x").subarray(0, 0)), isBytes(foreign)], [true, true, true]);
  const spoof = { [Symbol.toStringTag]: "Uint8Array", length: 0 };
  assertEquals(isBytes(spoof), false);
  for (const value of ["x", undefined, null, [1], new Uint16Array(1), new ArrayBuffer(1), new Uint8ClampedArray(1)]) {
    assertEquals(isBytes(value), false);
  }
});
