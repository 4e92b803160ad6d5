/** Spring's simple broker and stomp-broker-js: how they are recognized, and what is refused there. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import { UnsupportedByBrokerError } from "../../base/errors.ts";
import { messageHeaders, subscribeHeaders } from "../../dialects/dialect.ts";
import { dialectOf } from "../../dialects/registry.ts";
import { spring, stompBrokerJs } from "../../dialects/spring.ts";

test("Spring is recognized over a WebSocket, by a CONNECTED that has its headers and no others", () => {
  const cases: [headers: Record<string, string>, isWebSocket: boolean, family: string][] = [
    [{ version: "1.2", "heart-beat": "0,0" }, true, "spring"],
    [{ version: "1.0", "heart-beat": "10000,10000" }, true, "spring"],
    [{ version: "1.2", "heart-beat": "0,0", "user-name": "ada" }, true, "spring"],
    [{ version: "1.2", "heart-beat": "0,0" }, false, "unknown"],
    [{ version: "1.2", "heart-beat": "0,0", session: "1" }, true, "unknown"],
    [{ version: "1.2", "heart-beat": "0,0", server: "x/1" }, true, "unknown"],
    [{ version: "1.2" }, true, "unknown"],
    [{}, true, "unknown"],
  ];
  for (const [headers, isWebSocket, family] of cases) {
    assertEquals(dialectOf(headers, isWebSocket).family, family, JSON.stringify(headers));
    assertEquals(dialectOf(headers, isWebSocket, "rabbitmq").family, "rabbitmq");
  }
});

test("stomp-broker-js is recognized by its `server` header", () => {
  assertEquals(dialectOf({ server: "STOMP-JS/1.3.0", version: "1.1", "heart-beat": "0,0" }, true), stompBrokerJs);
});

test("Spring takes `replyTo` and `correlationId`, and refuses all other options", () => {
  assertEquals(messageHeaders({ replyTo: "/topic/a", correlationId: "1", persistent: false }, spring), [
    ["reply-to", "/topic/a"],
    ["correlation-id", "1"],
  ]);
  const refused = [{ priority: 1 }, { persistent: true }, { expires: 1 }, { delay: 1 }, { group: "g" }];
  for (const options of refused) assertThrows(() => messageHeaders(options, spring), UnsupportedByBrokerError);
  for (
    const options of [{ durable: "d" }, { selector: "a = 1" }, { exclusive: true }, { prefetch: 1, ack: "client" }]
  ) {
    assertThrows(() => subscribeHeaders(options, spring), UnsupportedByBrokerError);
  }
});

test("only bytes that are no text have a type on Spring, which would decode them", () => {
  assertEquals(spring.usualType?.("☃"), undefined);
  assertEquals(spring.usualType?.(new TextEncoder().encode("☃")), undefined);
  assertEquals(spring.usualType?.(new Uint8Array([0xff, 0])), "application/octet-stream");
});
