/** The short way to write an ACK: it says what the long way does. */
import { assertEquals } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import { acknowledgement, plainAcknowledgement } from "../../session/acknowledgement.ts";
import { FrameDecoder } from "../../codec/decoder.ts";
import { Frame } from "../../codec/frame.ts";

/** A MESSAGE as it is received. */
function received(ack: string): Frame {
  let message: Frame | undefined;
  const sent = new Frame().buildFrame({ command: "MESSAGE", headers: { "message-id": "1", ack } });
  new FrameDecoder({ onFrame: (frame) => message = frame }).push(sent.encode("1.2"));
  return message!;
}

const ways: Record<string, (message: Frame) => unknown> = {
  "unread": () => {},
  "of which one header was read": (message) => message.header("ack"),
  "of which all headers were read": (message) => message.headers,
  "that was detached": (message) => message.detach(),
};

for (const [way, read] of Object.entries(ways)) {
  test(`an acknowledgement of a message ${way} names it by its ack header, escaped where it has to be`, () => {
    const part = fc.constantFrom("ID", ":", "\\", "\n", "\r", "-1", " ", "é", "\t", "\\c");
    fc.assert(fc.property(fc.array(part, { minLength: 1 }).map((parts) => parts.join("")), (id) => {
      const message = received(id);
      read(message);
      const plain = plainAcknowledgement("ACK", message, "1.2");
      const long = acknowledgement("ACK", message, "1.2", {}).asString("1.2");
      // What is not ASCII takes the long way.
      assertEquals(plain, /[^ -~\n\r]/.test(id) ? undefined : long.slice(0, -1), JSON.stringify(id));
    }));
  });
}

test("a colon that the broker has not escaped is escaped in the answer", () => {
  let message: Frame | undefined;
  const wire = new TextEncoder().encode("MESSAGE\nmessage-id:1\nack:a:b\n\n\0");
  new FrameDecoder({ onFrame: (frame) => message = frame }).push(wire);
  assertEquals(plainAcknowledgement("ACK", message!, "1.2"), undefined);
  assertEquals(acknowledgement("ACK", message!, "1.2", {}).asString("1.2"), "ACK\nid:a\\cb\n\n\0");
});

test("ActiveMQ's ack header goes back as it came, in 1.2 only", () => {
  const message = received("ID:broker-44771-1735689600000-6:10");
  const plain = "NACK\nid:ID\\cbroker-44771-1735689600000-6\\c10\n\n";
  assertEquals(plainAcknowledgement("NACK", message, "1.2"), plain);
  assertEquals(plainAcknowledgement("NACK", message, "1.1"), undefined);
});
