/**
 * stompit with its default options, and the heart-beats of the other clients.
 *
 * @module
 */
import { createRequire } from "node:module";
import { look } from "../text.ts";
import { type Candidate, countdown, type Target } from "./candidate.ts";

/** The parts of stompit that are used here. */
interface StompitMessage {
  readString(encoding: string, callback: (error: Error | null, body: string) => void): void;
}

interface StompitFrame {
  end(body?: string, callback?: () => void): void;
}

interface StompitClient {
  subscribe(headers: Record<string, string>, listener: (error: Error | null, message: StompitMessage) => void): unknown;
  send(headers: Record<string, string>, options?: { onReceipt?: () => void }): StompitFrame;
  ack(message: StompitMessage): void;
  on(event: "error", listener: (error: Error) => void): void;
  destroy(): void;
}

// Loaded at run time, so that the project type-checks without it.
const stompit = createRequire(import.meta.url)("stompit") as {
  connect(options: object, callback: (error: Error | null, client: StompitClient) => void): void;
};

/** How many messages are passed to stompit before it has written the first one: more do not make it faster. */
const SENDS_AHEAD = 256;

const TEXT = { "content-type": "text/plain" };

/** Connects. */
export async function connect({ port, login, sync }: Target): Promise<Candidate> {
  const client = await new Promise<StompitClient>((resolve, reject) => {
    const connectHeaders = { host: "/", login, passcode: login, "heart-beat": "10000,10000" };
    stompit.connect({ host: "127.0.0.1", port, connectHeaders }, (error, client) => {
      if (error) reject(error);
      else resolve(client);
    });
  });
  client.on("error", (error) => {
    throw error;
  });

  const arrived = (sends: number, acks: number) =>
    new Promise<void>((resolve) => {
      client.send({ destination: sync(sends, acks) }, { onReceipt: resolve }).end();
    });

  /** Subscribes; resolves after that many messages. */
  function receive(
    destinations: string[],
    count: number,
    ack: "auto" | "client-individual",
    onMessage: (message: StompitMessage) => void = () => {},
  ): Promise<void> {
    const { done, tick, fail } = countdown(count);
    for (const destination of destinations) {
      client.subscribe({ destination, ack }, (error, message) => {
        if (error) return fail(error);
        message.readString("utf8", (error, body) => {
          if (error) return fail(error);
          look(body);
          onMessage(message);
          tick();
        });
      });
    }
    return done;
  }

  return {
    receive: (destination, count) => receive([destination], count, "auto"),

    async receiveAndAck(destination, count) {
      await receive([destination], count, "client-individual", (message) => client.ack(message));
      await arrived(0, count);
    },

    receiveMany(destinations, count, go) {
      const received = receive(destinations, count, "auto");
      return Promise.resolve(() => {
        client.send({ destination: go }).end();
        return received;
      });
    },

    async send(destination, body, count, withHeaders = false) {
      const { done, tick } = countdown(count);
      let left = count;
      const next = () => {
        const more = withHeaders ? { persistent: "true", "correlation-id": String(left) } : undefined;
        if (left-- > 0) client.send({ destination, ...TEXT, ...more }).end(body, written);
      };
      const written = () => {
        tick();
        next();
      };
      for (let i = 0; i < SENDS_AHEAD; i++) next();
      await done;
      await arrived(count, 0);
    },

    async sendWithReceipts(destination, body, count, inFlight) {
      const { done, tick } = countdown(count);
      let left = count;
      const next = () => {
        if (left-- > 0) client.send({ destination, ...TEXT }, { onReceipt }).end(body);
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
        if (left-- > 0) client.send({ destination, ...TEXT }).end(body);
      };
      const echoed = receive([destination], count, "auto", next);
      next();
      await echoed;
    },

    async keep(destination, count, every) {
      const kept: StompitMessage[] = [];
      let left = count;
      await receive([destination], count, "auto", (message) => left-- % every === 0 && kept.push(message));
      return kept;
    },

    close: () => client.destroy(),
  };
}
