/**
 * A WebSocket server in front of the embedded broker, which only listens on TCP.
 *
 * @module
 */
import type { Broker } from "../../broker/broker.ts";
import { memoryPair } from "./memory_transport.ts";
import { WebSocketPeer } from "./websocket_peer.ts";

/** A WebSocket server that passes connections on to a broker. */
export interface WebSocketBridge {
  /** The URL to connect to. */
  readonly url: string;
  /** Breaks all connections without a closing handshake. */
  breakAll(): void;
  /** Breaks all connections and stops listening. */
  close(): Promise<void>;
}

/** Listens on a free port, and passes bytes from each WebSocket to the broker and back in binary messages. */
export async function bridgeTo(broker: Broker): Promise<WebSocketBridge> {
  const peer = await WebSocketPeer.listen();
  const breaks: (() => void)[] = [];
  let open = true;
  const serve = async () => {
    const end = await peer.accept();
    if (!open) return;
    void serve();
    const [near, far] = memoryPair();
    broker.accept(far);
    breaks.push(() => {
      end.socket.destroy();
      void near.close();
    });
    const writer = near.writable.getWriter();
    const inbound = (async () => {
      for (;;) await writer.write((await end.next()).bytes);
    })();
    inbound.catch(() => near.close());
    (async () => {
      for await (const bytes of near.readable) end.send(bytes);
      end.close(1000);
    })().catch(() => end.socket.destroy());
  };
  void serve();
  return {
    url: `ws://127.0.0.1:${peer.port}/ws`,
    breakAll() {
      for (const close of breaks.splice(0)) close();
    },
    async close() {
      open = false;
      for (const close of breaks) close();
      await peer.close();
    },
  };
}
