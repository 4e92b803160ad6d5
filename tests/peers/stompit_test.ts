/** stompit, a client for Node, on the embedded broker. */
import { assertEquals } from "#assert";
import { test } from "#test";
import type { Broker } from "../../broker/broker.ts";
import { withBroker } from "../support/broker_harness.ts";

/** The part of stompit that is used here. The package has no types. */
interface Stompit {
  connect(options: object, done: (error: Error | null, client: StompitClient) => void): void;
}

interface StompitClient {
  headers: Record<string, string>;
  sendString(headers: object, body: string, options: { onReceipt(): void; onError?(error: Error): void }): void;
  subscribe(headers: object, listener: (error: Error | null, message: StompitMessage) => void): void;
  ack(message: StompitMessage, headers?: object): void;
  nack(message: StompitMessage, headers?: object): void;
  begin(): StompitTransaction;
  disconnect(done: (error: Error | null) => void): void;
}

interface StompitTransaction {
  id: number;
  send(headers: object): { end(body: string): void };
  commit(options?: { onReceipt(): void }): void;
  abort(options?: { onReceipt(): void }): void;
}

interface StompitMessage {
  headers: Record<string, string>;
  readString(encoding: string, done: (error: Error | null, text: string) => void): void;
}

// Not a literal, because the package has no types.
const NAME: string = "stompit";
const stompit = (await import(NAME)).default as Stompit;

function connect(broker: Broker, connectHeaders: object = {}): Promise<StompitClient> {
  const { promise, resolve, reject } = Promise.withResolvers<StompitClient>();
  const options = { host: "127.0.0.1", port: broker.port, connectHeaders: { host: "/", ...connectHeaders } };
  stompit.connect(options, (error, client) => error ? reject(error) : resolve(client));
  return promise;
}

function send(client: StompitClient, headers: object, body: string): Promise<void> {
  return new Promise((resolve, reject) => client.sendString(headers, body, { onReceipt: resolve, onError: reject }));
}

function disconnect(client: StompitClient): Promise<void> {
  return new Promise((resolve, reject) => client.disconnect((error) => error ? reject(error) : resolve()));
}

/** Subscribes, and returns a function that resolves to the next message. */
function subscribe(client: StompitClient, headers: object) {
  const waiting: { message: StompitMessage; text: string }[] = [];
  let wake = () => {};
  client.subscribe(headers, (error, message) => {
    if (error) return;
    message.readString("utf-8", (_, text) => {
      waiting.push({ message, text });
      wake();
    });
  });
  return async () => {
    while (waiting.length === 0) await new Promise<void>((resolve) => wake = resolve);
    return waiting.shift()!;
  };
}

for (const version of ["1.0", "1.1", "1.2"]) {
  test(`stompit ${version}: sends, subscribes, acknowledges, rejects, and disconnects`, async () => {
    await withBroker({}, async (broker) => {
      const client = await connect(broker, { "accept-version": version });
      assertEquals(client.headers["version"], version);
      await send(client, { destination: "/queue/a", "content-type": "text/plain", note: "a:b\\c" }, "h\u00e9llo");
      await send(client, { destination: "/queue/a" }, "two");
      const next = subscribe(client, { destination: "/queue/a", ack: "client-individual" });
      const one = await next();
      assertEquals([one.text, one.message.headers["note"]], ["h\u00e9llo", "a:b\\c"]);
      const two = await next();
      client.ack(two.message);
      if (version === "1.0") {
        client.ack(one.message);
      } else {
        client.nack(one.message);
        const again = await next();
        assertEquals([again.text, again.message.headers["redelivered"]], ["h\u00e9llo", "true"]);
        client.ack(again.message);
      }
      await disconnect(client);
      assertEquals(broker.stats.messages, 0);
    });
  });
}

test("stompit: commits and aborts transactions", async () => {
  await withBroker({}, async (broker) => {
    const client = await connect(broker);
    const next = subscribe(client, { destination: "/queue/a", ack: "client-individual" });
    const dropped = client.begin();
    dropped.send({ destination: "/queue/a" }).end("never");
    await new Promise<void>((onReceipt) => dropped.abort({ onReceipt }));
    const kept = client.begin();
    kept.send({ destination: "/queue/a" }).end("in the transaction");
    await send(client, { destination: "/queue/a" }, "outside");
    const first = await next();
    assertEquals(first.text, "outside");
    client.ack(first.message, { transaction: kept.id });
    await new Promise<void>((onReceipt) => kept.commit({ onReceipt }));
    const second = await next();
    assertEquals(second.text, "in the transaction");
    client.ack(second.message);
    await disconnect(client);
    assertEquals(broker.stats.messages, 0);
  });
});

// There is no test of an ERROR: stompit 1.0.0 turns a short ERROR in text/plain, from any broker, into an exception that
// cannot be caught.
