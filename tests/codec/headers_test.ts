/** Header lines: escaping, unescaping, parsing and finding one, by the rules of each version. */
import { assertEquals, assertStrictEquals, assertThrows } from "#assert";
import { test } from "#test";
import { UnknownBrokerResponseError } from "../../base/errors.ts";
import {
  checkHeaderLine,
  encodeHeader,
  findHeader,
  headerRules,
  isPlainHeader,
  parseHeaders,
  unescapeHeader,
} from "../../codec/headers.ts";
import { assertVersion, isVersion, VERSIONS } from "../../codec/protocol.ts";

const V10 = headerRules("MESSAGE", "1.0");
const V11 = headerRules("MESSAGE", "1.1");
const V12 = headerRules("MESSAGE", "1.2");
const CONNECT = headerRules("CONNECT", "1.2");
const ALL = [V10, V11, V12, CONNECT];

test("`isVersion()` and `assertVersion()` accept only versions", () => {
  assertEquals(VERSIONS.filter(isVersion), ["1.0", "1.1", "1.2"]);
  for (const text of ["1", "1.20", "01.2", " 1.2", "toString", ""]) {
    assertEquals(isVersion(text), false);
    assertThrows(() => assertVersion(text), TypeError, JSON.stringify(text));
  }
});

test("`headerRules()` has no escapes for CONNECT, CONNECTED and STOMP in any version", () => {
  for (const version of VERSIONS) {
    for (const command of ["CONNECT", "CONNECTED", "STOMP"]) {
      const { escapes, crlf } = headerRules(command, version);
      assertEquals([escapes, crlf], [false, true]);
    }
    assertEquals(headerRules("SEND", version).escapes, version !== "1.0");
  }
});

test("`encodeHeader()` writes plain text as it is by all rules", () => {
  for (const rules of ALL) assertEquals(encodeHeader("a b", " é\t😀\0 ", rules), "a b: é\t😀\0 \n");
});

test("F12-39 `encodeHeader()` escapes every special character once", () => {
  assertEquals(encodeHeader("\\:\n\r", "\\\\::\n\n\r\r", V12), "\\\\\\c\\n\\r:\\\\\\\\\\c\\c\\n\\n\\r\\r\n");
  assertEquals(encodeHeader("\\n", "\\c", V11), "\\\\n:\\\\c\n");
  assertEquals(isPlainHeader("aé 😀"), true);
  for (const special of ["\\", ":", "\n", "\r", "\ud800", "\udfff"]) assertEquals(isPlainHeader(`a${special}b`), false);
});

test("`unescapeHeader()` reverses `encodeHeader()`", () => {
  const pieces = ["\\", ":", "\n", "\r", "n", "c", "r", "é", "😀", ""];
  for (const a of pieces) {
    for (const b of pieces) {
      for (const c of pieces) {
        const text = a + b + c;
        const line = encodeHeader("x", text, V12);
        assertEquals(/[\n\r:]/.test(line.slice(2, -1)), false);
        assertEquals(unescapeHeader(line.slice(2, -1), V12), text);
        assertEquals({ ...parseHeaders(line, V12) }, { x: text });
        assertEquals(findHeader(`\n${line}`, "x", V12), text);
        checkHeaderLine(line.slice(0, -1), V12);
      }
    }
  }
});

test("F12-37 F12-38 `unescapeHeader()` is one pass, and throws on undefined escapes", () => {
  assertEquals(unescapeHeader("\\\\n\\\\\\n", V12), "\\n\\\n");
  assertStrictEquals(unescapeHeader("plain", V12), "plain");
  assertEquals(unescapeHeader("a\\tb", V10), "a\\tb");
  for (const bad of ["\\", "\\t", "\\R", "a\\", "\\\\\\", "\\ n", "\\é", "\\\n"]) {
    for (const rules of [V11, V12]) {
      assertThrows(() => unescapeHeader(bad, rules), UnknownBrokerResponseError, "undefined escape");
    }
  }
  assertEquals(unescapeHeader("\\r", V12), "\r");
  assertThrows(() => unescapeHeader("\\r", V11), UnknownBrokerResponseError, "undefined escape");
});

test("`parseHeaders()` takes the last line with its LF or without", () => {
  for (const block of ["a:1\nb:2", "a:1\nb:2\n"]) assertEquals({ ...parseHeaders(block, V12) }, { a: "1", b: "2" });
  for (const rules of ALL) {
    assertEquals({ ...parseHeaders("", rules) }, {});
    assertStrictEquals(Object.getPrototypeOf(parseHeaders("", rules)), null);
    assertThrows(() => parseHeaders("a:1\nb", rules), UnknownBrokerResponseError, "no colon");
    assertThrows(() => parseHeaders("a\nb:1", rules), UnknownBrokerResponseError, "no colon");
    assertThrows(() => parseHeaders(":1", rules), UnknownBrokerResponseError, "no name");
  }
});

test("`findHeader()` agrees with `parseHeaders()` by all rules", () => {
  const block = "a:1\r\na:2\nb:\r\nc:\nab:  x \nd::\ne:1\n";
  for (const rules of ALL) {
    const headers = parseHeaders(block, rules);
    for (const name of ["a", "b", "c", "ab", "d", "e", "f", "A", "1"]) {
      assertEquals(findHeader(`\n${block}`, name, rules), headers[name], `${rules.name} ${name}`);
    }
  }
});

test("F11-03 F12-02 `parseHeaders()` takes CR for a part of the line end only by some rules", () => {
  for (const rules of ALL) {
    const value = rules === V12 || rules === CONNECT ? "1" : "1\r";
    assertEquals(parseHeaders("a:1\r\n", rules)["a"], value);
    assertEquals(parseHeaders("a:\r\n", rules)["a"], value.slice(1));
  }
});

test("`checkHeaderLine()` throws on what the rules do not allow", () => {
  for (const line of ["a:b\rc", "a\rb:c", "a:b\r\r", "\ra:b"]) {
    for (const rules of [V12, CONNECT]) {
      assertThrows(() => checkHeaderLine(line, rules), UnknownBrokerResponseError, "carriage return");
    }
    for (const rules of [V10, V11]) checkHeaderLine(line, rules);
  }
  for (const rules of ALL) {
    assertThrows(() => checkHeaderLine("a", rules), UnknownBrokerResponseError, "no colon");
    assertThrows(() => checkHeaderLine(":a", rules), UnknownBrokerResponseError, "no name");
  }
  assertThrows(() => checkHeaderLine("a\\x:b", V12), UnknownBrokerResponseError, "undefined escape");
  assertThrows(() => checkHeaderLine("a:b\\\r", V12), UnknownBrokerResponseError, "undefined escape");
  checkHeaderLine("a\\x:b\\", V10);
  checkHeaderLine("a\\x:b\\", CONNECT);
});
