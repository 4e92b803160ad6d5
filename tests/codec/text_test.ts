/** Bytes to text. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { charsetOf, decodeLenient, decodeStrict, isAscii, ownText } from "../../codec/text.ts";
import { octets } from "../fixtures/decoding.ts";

test("`decodeStrict()` throws on what is not UTF-8, and `decodeLenient()` replaces it", () => {
  assertEquals(decodeLenient(octets("xxhello").subarray(2, 6)), "hell");
  assertEquals([decodeStrict(octets("\xef\xbb\xbfa")), decodeLenient(octets("\xef\xbb\xbfa"))], [
    "\ufeffa",
    "\ufeffa",
  ]);
  for (const bad of ["\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "\xf0\x9f\x98"]) {
    assertThrows(() => decodeStrict(octets(bad)), TypeError);
    assertEquals(decodeLenient(octets(`a${bad}b`)).includes("\ufffd"), true);
  }
});

test("`isAscii()` is true below 128", () => {
  assertEquals([isAscii(octets("\0\x7f")), isAscii(octets("\x80")), isAscii(octets(""))], [true, false, true]);
});

test("`ownText()` returns the same text", () => {
  for (const text of ["", "a", "\ufeffé😀\0"]) assertEquals(ownText(`x${text}y`.slice(1, -1)), text);
});

test("F12-27 `charsetOf()` finds a charset that is not UTF-8", () => {
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
