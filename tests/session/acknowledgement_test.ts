/** ACK and NACK frames, as frames and as text. */
import { assertEquals, assertThrows } from "#assert";
import { test } from "#test";
import fc from "fast-check";
import { acknowledgement, plainAcknowledgement } from "../../session/acknowledgement.ts";
import { FrameDecoder } from "../../codec/decoder.ts";
import { Frame } from "../../codec/frame.ts";
import { clientTest, frame, openSession } from "../support/client_harness.ts";
import { AcknowledgeError } from "../../base/errors.ts";

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
  test(`\`plainAcknowledgement()\` names a message ${way} by its escaped ack header`, () => {
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

test("`plainAcknowledgement()` escapes a colon that the broker did not escape", () => {
  let message: Frame | undefined;
  const wire = new TextEncoder().encode("MESSAGE\nmessage-id:1\nack:a:b\n\n\0");
  new FrameDecoder({ onFrame: (frame) => message = frame }).push(wire);
  assertEquals(plainAcknowledgement("ACK", message!, "1.2"), undefined);
  assertEquals(acknowledgement("ACK", message!, "1.2", {}).asString("1.2"), "ACK\nid:a\\cb\n\n\0");
});

test("`plainAcknowledgement()` returns ActiveMQ's ack header as received, in 1.2 only", () => {
  const message = received("ID:broker-44771-1735689600000-6:10");
  const plain = "NACK\nid:ID\\cbroker-44771-1735689600000-6\\c10\n\n";
  assertEquals(plainAcknowledgement("NACK", message, "1.2"), plain);
  assertEquals(plainAcknowledgement("NACK", message, "1.1"), undefined);
});

const ACKS: [version: string, headers: string, expected: string[]][] = [
  ["1.2", "ack:T_1@@s\\c1", ["id:T_1@@s\\c1"]], // C12-40 C12-44
  ["1.2", "x:1", ["id:7\\c7"]],
  ["1.1", "x:1", ["subscription:0", "message-id:7\\c7"]], // C11-41
  ["1.0", "x:1", ["subscription:0", "message-id:7:7"]], // C10-42
];

for (const [version, headers, expected] of ACKS) {
  clientTest(
    `C12-40 C11-41 C10-42 \`acknowledge()\` writes ACK for a message with ${headers} in ${version}`,
    async (harness) => {
      const { session, peer } = await openSession(harness, {}, version);
      const one = { id: "0", destination: "/q", deliver: (message: Frame) => void session.acknowledge("ACK", message) };
      session.subscriptions.expect(one);
      const id = version === "1.0" ? "7:7" : "7\\c7";
      await peer.write(`MESSAGE\nsubscription:0\nmessage-id:${id}\ndestination:/q\n${headers}\n\n\0`);
      assertEquals((await peer.frame("ACK")).lines, expected);
    },
  );
}

clientTest("C10-42 `acknowledge()` refuses NACK in 1.0", async (harness) => {
  const { session } = await openSession(harness, {}, "1.0");
  assertThrows(() => session.acknowledge("NACK", frame("MESSAGE")), AcknowledgeError, "1.0");
});
