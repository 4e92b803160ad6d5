/**
 * Refused connections: wrong passwords, virtual hosts and certificates. `connect()` rejects at once, with the broker's
 * message if there is one, and without the password.
 */
import { assert, assertEquals, assertInstanceOf, assertLess, assertMatch, assertRejects } from "#assert";
import { inspect } from "node:util";
import { BrokerErrorResponse, ConnectionError, StompError } from "../../base/errors.ts";
import { Stomp } from "../../api/stomp.ts";
import type { TlsOptions } from "../../transport/transport.ts";
import { OTHER_HOST } from "./harness/rabbitmq.ts";
import {
  type BrokerDetails,
  everywhere,
  type Family,
  once,
  takeTexts,
  takeTextsUntilMark,
  VERSIONS,
} from "./support.ts";

const SECRET = "s3cret: p@ss/wörd";

/** The broker's message about a wrong password. */
const WRONG_PASSWORD: Partial<Record<Family, RegExp>> = {
  rabbitmq: /Bad CONNECT \(Access refused for user 'guest'\)/,
  activemq: /User name \[guest\] or password is invalid/,
  artemis: /User name \[guest\] or password is invalid/,
};

/**
 * Returns the error of a refused attempt to connect. Once in several hundred times ActiveMQ closes the connection without an
 * ERROR, which happens to a bare socket as well, so the attempt is repeated.
 */
async function refusal(broker: BrokerDetails, connect: () => Promise<unknown>): Promise<BrokerErrorResponse> {
  for (let attempt = 1;; attempt++) {
    const error = await assertRejects(connect, StompError);
    if (broker.family === "activemq" && attempt < 3 && error instanceof ConnectionError) continue;
    assertInstanceOf(error, BrokerErrorResponse);
    return error;
  }
}

/** Fails if printing the value shows the password. */
function assertSecret(value: unknown): void {
  const deno = (globalThis as { Deno?: { inspect(value: unknown, options: object): string } }).Deno;
  const shown = [
    inspect(value, { depth: 10, showHidden: true }),
    deno?.inspect(value, { depth: 10, showHidden: true }) ?? "",
    value instanceof Error ? `${value.stack} ${value.message} ${inspect(value.cause)}` : String(value),
    JSON.stringify(value) ?? "",
  ].join("\n");
  for (const form of [SECRET, encodeURIComponent(SECRET), SECRET.replaceAll(":", "\\c"), "s3cret"]) {
    assert(!shown.includes(form), `the password is shown: ${shown}`);
  }
}

everywhere(
  "`connect()` rejects at once with the broker's message about a wrong password",
  async ({ broker, url, options }) => {
    const secret = url.replace(/\/\/.*@/, `//guest:${encodeURIComponent(SECRET)}@`);
    const begun = performance.now();
    const error = await refusal(broker, () => Stomp.connect(secret, options()));
    // RabbitMQ keeps the connection open for another 10 s, which the client must not wait for.
    assertLess(performance.now() - begun, 5000);
    assertMatch(error.message, WRONG_PASSWORD[broker.family]!);
    assertEquals(error.frame?.command, "ERROR");
    assertSecret(error);
    assertSecret(new Stomp(secret, options()));
  },
);

once(
  "a wrong password given as an option is not shown, and `connect()` accepts a right one later",
  async ({ broker, url, options }) => {
    const stomp = new Stomp(url, options({ username: "guest", password: SECRET }));
    const error = await refusal(broker, () => stomp.connect());
    assertMatch(error.message, WRONG_PASSWORD[broker.family]!);
    assertSecret(error);
    assertSecret(stomp);
    await stomp.connect(broker.username, broker.password);
    assertSecret(stomp);
    await stomp.disconnect();
  },
);

once("`firstConnect` gives up after the same password is refused twice", async ({ broker, url, options }) => {
  const stomp = new Stomp(url, options({ password: SECRET, reconnect: { firstConnect: true } }));
  const error = await assertRejects(() => stomp.connect({ timeout: 15_000 }), BrokerErrorResponse);
  assertMatch(error.message, WRONG_PASSWORD[broker.family]!);
});

once("`connect()` without a login rejects if the broker requires one", {
  broker: "activemq",
  own: true,
  async fn({ broker, url, options }) {
    const error = await refusal(broker, () => Stomp.connect(url.replace(/\/\/.*@/, "//"), options()));
    assertMatch(error.message, /User name \[null\] or password is invalid/);
  },
});

once("`connect()` rejects with the broker's message about an unknown virtual host", {
  broker: "rabbitmq",
  versions: VERSIONS,
  async fn({ broker, connect }) {
    for (const url of [broker.urls["stomp"], broker.urls["stomp+ssl"]]) {
      if (url === undefined) continue;
      const error = await assertRejects(() => connect({ url: `${url}/nosuch` }), BrokerErrorResponse);
      assertMatch(error.message, /Virtual host 'nosuch' access denied/);
    }
  },
});

once("`firstConnect` retries an unknown virtual host, which may be created later", {
  broker: "rabbitmq",
  async fn({ url, options }) {
    const stomp = new Stomp(`${url}/nosuch`, options({ reconnect: { firstConnect: true, attempts: 3, maxDelay: 50 } }));
    const events: string[] = [];
    const statuses = stomp.status();
    const watching = (async () => {
      for await (const { type } of statuses) events.push(type);
    })();
    const error = await assertRejects(() => stomp.connect(), BrokerErrorResponse);
    assertMatch(error.message, /Virtual host 'nosuch' access denied/);
    assertEquals(events, ["reconnecting", "reconnecting", "reconnecting"]);
    await stomp.disconnect();
    await watching;
  },
});

once("the virtual host in the URL selects the queues", {
  broker: "rabbitmq",
  own: true,
  async fn({ url, connect, queue }) {
    const destination = queue();
    const [here, there] = [await connect(), await connect({ url: `${url}/${encodeURIComponent(OTHER_HOST)}` })];
    await here.send(destination, "here");
    await there.send(destination, "there");
    assertEquals(await takeTextsUntilMark(there, await there.subscribe(destination)), ["there"]);
    assertEquals(await takeTextsUntilMark(here, await here.subscribe(destination)), ["here"]);
  },
});

once("ActiveMQ ignores the virtual host", {
  broker: "activemq",
  async fn({ url, connect, queue }) {
    const stomp = await connect({ url: `${url}/nosuch` });
    assertEquals((await stomp.send(queue(), "x"))?.command, "RECEIPT");
  },
});

once("`connect()` rejects an expired, foreign or misnamed certificate", {
  own: true,
  async fn({ own, broker, options }) {
    const tls = { caCerts: broker.caCerts };
    const url = broker.urls["stomp+ssl"]!;
    const { url: expiredUrl, ...expired } = own.expired;
    const cases: [url: string, tls: TlsOptions, words: RegExp][] = [
      [expiredUrl, { ...tls, ...expired }, /expired/i],
      [url, { caCerts: [own.foreignCa] }, /issuer|authority|self.signed/i],
      [url, { ...tls, serverName: "elsewhere.test" }, /another host|elsewhere\.test/i],
      [url, {}, /issuer|authority|self.signed/i], // no public authority has signed it
    ];
    for (const [to, how, words] of cases) {
      const error = await assertRejects(() => Stomp.connect(to, options({ tls: how })), ConnectionError);
      assertMatch(error.message, words);
      assert(error.cause instanceof Error);
    }
    const { wss } = broker.urls; // runtimes do not say why a WebSocket fails
    if (wss !== undefined) {
      await assertRejects(() => Stomp.connect(wss, options({ tls: { caCerts: [own.foreignCa] } })), ConnectionError);
    }
    const lenient = { ...tls, serverName: "elsewhere.test", unsafelyDisableHostnameVerification: true };
    const stomp = await Stomp.connect(url, options({ tls: lenient }));
    await stomp.disconnect();
  },
});

once("`connect()` succeeds with the client certificate that the broker requires, and rejects without it", {
  own: true,
  async fn({ own, broker, options, queue }) {
    const { url, ...name } = own.mutual;
    const tls = { caCerts: broker.caCerts, ...name };
    for (const wrong of [tls, { ...tls, ...own.foreignClient }]) {
      const error = await assertRejects(() => Stomp.connect(url, options({ tls: wrong })), ConnectionError);
      assert(error.message.includes(new URL(url.replace("stomp+ssl", "http")).host), error.message);
    }
    const stomp = await Stomp.connect(url, options({ tls: { ...tls, ...own.client } }));
    assertEquals((await stomp.send(queue(), "x"))?.command, "RECEIPT");
    await stomp.disconnect();
  },
});

once("`connect()` rejects TLS to a plain port, and plain TCP to a TLS port", {
  own: true,
  async fn({ broker, url, options }) {
    const port = (of: string) => of.slice(of.lastIndexOf(":"));
    const plain = url.slice(0, url.lastIndexOf(":")) + port(broker.urls["stomp+ssl"]!);
    await assertRejects(() => Stomp.connect(plain, options({ connectTimeout: 3000 })), StompError);
    const tls = broker.urls["stomp+ssl"]!.slice(0, broker.urls["stomp+ssl"]!.lastIndexOf(":")) + port(url);
    const error = await assertRejects(
      () => Stomp.connect(tls, options({ tls: { caCerts: broker.caCerts }, connectTimeout: 3000 })),
      ConnectionError,
    );
    assert(error.message.startsWith("Cannot connect to"), error.message);
  },
});

once("`connect()` rejects a client id that is in use, and the owner is unaffected", {
  broker: "activemq",
  versions: VERSIONS,
  async fn({ broker, connect, queue, url, options }) {
    const clientId = `client of ${queue()}`;
    const owner = await connect({ clientId });
    const subscription = await owner.subscribe(queue());
    const error = await refusal(broker, () => connect({ clientId }));
    assertMatch(error.message, /Client: .* already connected/);
    await owner.send(subscription.destination, "undisturbed");
    assertEquals(await takeTexts(subscription, 1), ["undisturbed"]);

    // A client that retries gets the id after its owner has disconnected.
    const patient = new Stomp(url, options({ clientId, reconnect: { firstConnect: true } }));
    const connected = patient.connect({ timeout: 15_000 });
    await owner.disconnect();
    await connected;
    await patient.disconnect();
  },
});
