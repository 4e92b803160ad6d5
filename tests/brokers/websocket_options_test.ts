/** The options of WebSockets on real brokers. */
import { assertEquals } from "#assert";
import type { ClientWebSocketOptions } from "../../client/connection_options.ts";
import { everywhere, take } from "./support.ts";

const VARIANTS: [name: string, options: ClientWebSocketOptions][] = [
  ["no subprotocol", { protocols: false }],
  ["binary messages only", { binary: true }],
  ["messages of 1 KiB", { maxMessageBytes: 1024 }],
  ["binary messages of 1 KiB", { binary: true, maxMessageBytes: 1024 }],
  ["headers", { headers: { Authorization: "Bearer unused", Cookie: "a=b" } }],
  ["default", {}],
];

for (const [name, webSocket] of VARIANTS) {
  everywhere(`a client with ${name} sends and receives`, {
    versions: ["1.2"],
    transports: ["ws", "wss"],
    async fn({ connect, topic }) {
      const stomp = await connect({ webSocket });
      const destination = topic();
      const messages = await stomp.subscribe(destination);
      const bodies = ["žluťoučký kůň 🐎\n", "ž🐎".repeat(3000)];
      for (const body of bodies) {
        await stomp.send(destination, body);
        assertEquals((await take(messages, 1))[0]!.text(), body);
      }
    },
  });
}
