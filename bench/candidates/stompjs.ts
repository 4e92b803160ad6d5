/**
 * `@stomp/stompjs` over `@stomp/tcp-wrapper`, with its default options.
 *
 * @module
 */
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { look } from "../text.ts";
import { type Candidate, countdown, type Target } from "./candidate.ts";

/** The parts of stompjs that are used here. */
interface StompjsMessage {
  readonly body: string;
  ack(): void;
}

interface StompjsClient {
  onConnect: () => void;
  onStompError: (frame: { headers: Record<string, string> }) => void;
  activate(): void;
  subscribe(
    destination: string,
    onMessage: (message: StompjsMessage) => void,
    headers?: Record<string, string>,
  ): unknown;
  publish(message: { destination: string; body: string; headers?: Record<string, string> }): void;
  watchForReceipt(id: string, onReceipt: () => void): void;
}

// Loaded at run time, so that the project type-checks without them.
const require = createRequire(import.meta.url);
const stompjs = require("@stomp/stompjs") as { Client: new (options: object) => StompjsClient };
const { TCPWrapper } = require("@stomp/tcp-wrapper") as {
  TCPWrapper: new (host: string, port: number) => { readonly socket: Socket };
};

const TEXT = { "content-type": "text/plain" };

/** Connects. */
export async function connect({ port, login, sync }: Target): Promise<Candidate> {
  let socket!: Socket;
  const client = new stompjs.Client({
    connectHeaders: { host: "/", login, passcode: login },
    reconnectDelay: 0,
    webSocketFactory() {
      const wrapper = new TCPWrapper("127.0.0.1", port);
      socket = wrapper.socket;
      return wrapper;
    },
  });
  client.onStompError = ({ headers }) => {
    throw new Error(headers["message"]);
  };
  await new Promise<void>((resolve) => {
    client.onConnect = resolve;
    client.activate();
  });

  let receipts = 0;
  function sendWithReceipt(destination: string, body: string, onReceipt: () => void): void {
    const receipt = `receipt-${++receipts}`;
    client.watchForReceipt(receipt, onReceipt);
    client.publish({ destination, body, headers: { ...TEXT, receipt } });
  }
  const arrived = (sends: number, acks: number) =>
    new Promise<void>((resolve) => sendWithReceipt(sync(sends, acks), "", resolve));

  /** Subscribes; resolves after that many messages. */
  function receive(
    destinations: string[],
    count: number,
    ack: "auto" | "client-individual",
    onMessage: (message: StompjsMessage) => void = () => {},
  ): Promise<void> {
    const { done, tick } = countdown(count);
    for (const destination of destinations) {
      client.subscribe(destination, (message) => {
        look(message.body);
        onMessage(message);
        tick();
      }, { ack });
    }
    return done;
  }

  return {
    receive: (destination, count) => receive([destination], count, "auto"),

    async receiveAndAck(destination, count) {
      await receive([destination], count, "client-individual", (message) => message.ack());
      await arrived(0, count);
    },

    receiveMany(destinations, count, go) {
      const received = receive(destinations, count, "auto");
      return Promise.resolve(() => {
        client.publish({ destination: go, body: "" });
        return received;
      });
    },

    async send(destination, body, count, withHeaders = false) {
      for (let i = 0; i < count; i++) {
        const headers = withHeaders ? { ...TEXT, persistent: "true", "correlation-id": String(i) } : TEXT;
        client.publish({ destination, body, headers });
        // It has no back-pressure, so the bench waits for the socket instead.
        if (socket.writableNeedDrain) await new Promise<void>((resolve) => socket.once("drain", resolve));
      }
      await arrived(count, 0);
    },

    async sendWithReceipts(destination, body, count, inFlight) {
      const { done, tick } = countdown(count);
      let left = count;
      const next = () => {
        if (left-- > 0) sendWithReceipt(destination, body, onReceipt);
      };
      const onReceipt = () => {
        tick();
        next();
      };
      for (let i = 0; i < inFlight; i++) next();
      await done;
    },

    async echo(destination, body, count) {
      let left = count;
      const next = () => {
        if (left-- > 0) client.publish({ destination, body, headers: TEXT });
      };
      const echoed = receive([destination], count, "auto", next);
      next();
      await echoed;
    },

    async keep(destination, count, every) {
      const kept: StompjsMessage[] = [];
      let left = count;
      await receive([destination], count, "auto", (message) => left-- % every === 0 && kept.push(message));
      return kept;
    },

    close: () => void socket.destroy(),
  };
}
