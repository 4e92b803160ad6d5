/**
 * This library with its default options.
 *
 * @module
 */
import { type Message, Stomp } from "../../mod.ts";
import { look } from "../text.ts";
import type { Candidate, Target } from "./candidate.ts";

/** Connects. */
export async function connect({ port, login, sync }: Target): Promise<Candidate> {
  const stomp = await Stomp.connect(`stomp://${login}:${login}@127.0.0.1:${port}`);
  return {
    async receive(destination, count, readHeaders = false) {
      let left = count;
      for await (const message of await stomp.subscribe(destination)) {
        if (readHeaders) message.headers;
        look(message.text());
        if (--left === 0) break;
      }
    },

    async receiveAndAck(destination, count) {
      let left = count;
      for await (const message of await stomp.subscribe(destination, { ack: "client-individual" })) {
        look(message.text());
        await message.ack();
        if (--left === 0) break;
      }
      await stomp.send(sync(0, count), "");
    },

    async receiveMany(destinations, count, go) {
      const subscriptions = await Promise.all(destinations.map((destination) => stomp.subscribe(destination)));
      return async () => {
        const all = Promise.withResolvers<void>();
        let left = count;
        for (const subscription of subscriptions) {
          (async () => {
            for await (const message of subscription) {
              look(message.text());
              if (--left === 0) all.resolve();
            }
          })();
        }
        await stomp.send(go, "", { receipt: false });
        await all.promise;
      };
    },

    async send(destination, body, count, withHeaders = false) {
      const receipt = false;
      for (let i = 0; i < count; i++) {
        const options = withHeaders ? { receipt, persistent: true, correlationId: String(i) } : { receipt };
        await stomp.send(destination, body, options);
      }
      await stomp.send(sync(count, 0), "");
    },

    async sendWithReceipts(destination, body, count, inFlight) {
      let left = count;
      const one = async () => {
        while (left-- > 0) await stomp.send(destination, body);
      };
      await Promise.all(Array.from({ length: inFlight }, one));
    },

    async echo(destination, body, count) {
      let left = count;
      const messages = await stomp.subscribe(destination);
      await stomp.send(destination, body, { receipt: false });
      for await (const message of messages) {
        look(message.text());
        if (--left === 0) break;
        await stomp.send(destination, body, { receipt: false });
      }
    },

    async keep(destination, count, every, detach) {
      const kept: Message[] = [];
      let left = count;
      for await (const message of await stomp.subscribe(destination)) {
        look(message.text());
        if (left % every === 0) kept.push(detach ? message.detach() : message);
        if (--left === 0) break;
      }
      return kept;
    },

    close: () => stomp.disconnect({ timeout: 1000 }),
  };
}
