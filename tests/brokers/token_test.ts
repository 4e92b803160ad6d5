/**
 * Tokens of OAuth2 as passwords on RabbitMQ. When one expires, 4.3.6 closes the connection, and earlier releases do so when
 * they next look at the permissions for a frame.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "#assert";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { Stomp } from "../../api/stomp.ts";
import { BrokerErrorResponse } from "../../base/errors.ts";
import { Watcher } from "../support/client_harness.ts";
import { eventually, everywhere, once, takeTexts } from "./support.ts";

/** Returns a token with all rights that is valid for the given seconds. */
function tokenFor(seconds: number, key: string): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const scope = ["configure", "read", "write"].map((what) => `rabbitmq.${what}:*/*/*`);
  const claims = { aud: ["rabbitmq"], sub: "bearer", scope, exp: Math.floor(Date.now() / 1000) + seconds };
  const text = `${encode({ alg: "HS256", typ: "JWT", kid: "key" })}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", Buffer.from(key, "base64url")).update(text).digest("base64url")}`;
}

everywhere("a token is a password, and an expired one is refused without being shown", {
  broker: "rabbitmq",
  versions: ["1.2"],
  own: true,
  async fn({ own, connect, queue, options, url }) {
    const good = await connect({ username: "", password: tokenFor(60, own.tokenKey!) });
    assertEquals((await good.send(queue(), "x"))?.command, "RECEIPT");
    const old = tokenFor(-10, own.tokenKey!);
    const stomp = new Stomp(url, options({ username: "", password: old }));
    const error = await assertRejects(() => stomp.connect(), BrokerErrorResponse, "Access refused for user");
    assert(!`${error.stack} ${error.message}`.includes(old));
  },
});

once("after a token has expired, all sends are confirmed over a connection with a fresh one", {
  broker: "rabbitmq",
  own: true,
  slow: true,
  timeout: 60_000,
  async fn({ own, connect, queue, control }) {
    await control("impatient"); // up to 4.0 it checks the permissions again at each tick of a channel
    try {
      let tokens = 0;
      const credentials = () => ({ username: "", password: tokenFor(++tokens === 1 ? 2 : 60, own.tokenKey!) });
      const stomp = await connect({ credentials, reconnect: { delay: 10 }, timeout: 30_000 });
      const watcher = new Watcher(stomp);
      const destination = queue();
      const subscription = await stomp.subscribe(destination);
      await stomp.send(destination, "before");
      assertEquals(await takeTexts(subscription, 1), ["before"]);
      const sends: Promise<unknown>[] = [];
      const sending = setInterval(() => sends.push(stomp.send(destination, `${sends.length}`)), 10);
      try {
        const { error } = await watcher.until("disconnected");
        assertMatch(error.message, /token has expired|credential used to authenticate this connection has expired/);
        await watcher.until("connected");
      } finally {
        clearInterval(sending);
      }
      await Promise.all(sends);
      await eventually("all have arrived", () => subscription.received > sends.length); // with the one before
      assertEquals(tokens, 2);
    } finally {
      await control("patient");
    }
  },
});
