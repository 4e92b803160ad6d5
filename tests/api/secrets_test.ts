/** Passwords never appear: not in errors, statuses or what a log shows of a client. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "#assert";
import { inspect } from "node:util";
import { type ErrorFrame, Frame, openSocket, Simple, Stomp, StompError, type StompOptions } from "../../mod.ts";
import { clientTest, subscribed, Watcher } from "../support/client_harness.ts";

const SECRET = "hunter2-hunter2";

type Inspector = (value: unknown, options?: Record<string, unknown>) => string;

/** All that this runtime can show of a value. */
function shown(value: unknown): string {
  const globals = globalThis as unknown as Record<string, { inspect?: Inspector }>;
  const own = globals["Deno"]?.inspect ?? globals["Bun"]?.inspect;
  const deep = { depth: 100, showHidden: true, getters: true };
  const texts = [inspect(value), inspect(value, deep), `${value}`, JSON.stringify(value) ?? ""];
  if (own) texts.push(own(value), own(value, deep));
  if (value instanceof Error) texts.push(`${value.stack}`, shown(value.cause), shown({ ...value }));
  return texts.join("\n");
}

function hides(what: string, value: unknown): void {
  const text = shown(value);
  assert(!text.includes(SECRET), `${what}: ${text}`);
}

/** The ways a client gets to know a password. */
const WAYS: [name: string, open: (url: string) => [Stomp, () => Promise<void>]][] = [
  ["the URL", (url) => plain(new Stomp(url.replace("//", `//me:${SECRET}@`)))],
  ["options", (url) => plain(new Stomp(url, { username: "me", password: SECRET }))],
  ["credentials", (url) => plain(new Stomp(url, { credentials: () => ({ username: "me", password: SECRET }) }))],
  ["connect", (url) => connecting(new Stomp(url), { username: "me", password: SECRET })],
  ["connect as in stompy", (url) => {
    const stomp = new Stomp(url);
    return [stomp, () => stomp.connect("me", SECRET)];
  }],
];

function plain(stomp: Stomp): [Stomp, () => Promise<void>] {
  return [stomp, () => stomp.connect()];
}

function connecting(stomp: Stomp, options: StompOptions): [Stomp, () => Promise<void>] {
  return [stomp, () => stomp.connect({ username: options.username, password: options.password })];
}

for (const [way, open] of WAYS) {
  clientTest(`no error, status or inspection shows a password from ${way}`, async (harness) => {
    const server = await harness.server();
    const [stomp, connect] = open(server.url);
    harness.atEnd(() => stomp.disconnect({ signal: AbortSignal.abort() }));
    hides("a client that is not connected", stomp);
    const watcher = new Watcher(stomp);

    // Refused.
    const refused = connect().catch((error) => error);
    let peer = await server.accept();
    assertEquals((await peer.frame("CONNECT")).get("passcode"), SECRET); // it was the right one
    await peer.write("ERROR\nmessage:Access refused\n\n\0");
    hides("a refusal", await refused);

    // Cut off.
    const cut = connect().catch((error) => error);
    await (await server.accept()).close();
    hides("a connect that was cut off", await cut);

    // Connected, and lost.
    const connected = connect();
    peer = await server.welcome();
    await connected;
    hides("a client that is connected", stomp);
    hides("its socket", stomp.sock);
    const subscription = await subscribed(stomp, peer);
    hides("a subscription", subscription);
    await peer.close();
    hides("a lost connection", await watcher.until("disconnected"));
    hides("trying again", await watcher.until("reconnecting"));
    await server.close();
    await stomp.disconnect({ timeout: 20 });
    hides("what closed it", await stomp.closed);
    hides("what happened", watcher.events);
    hides("a closed client", stomp);
    hides("a call on a closed client", await stomp.send("/q", "x").catch((error) => error));
  });
}

clientTest("no error about invalid options and URLs shows a password", () => {
  const wrong: (() => unknown)[] = [
    () => new Stomp(`stomp://me:${SECRET}@localhost:99999`),
    () => new Stomp(`stomp://me:${SECRET}@`),
    () => new Stomp(`http://me:${SECRET}@localhost`),
    () => new Stomp(`stomp://me:${SECRET}%@localhost`),
    () => new Stomp(`stomp://me:${SECRET}/x@localhost`),
    () => new Stomp(`failover:(stomp://me:${SECRET}@a,stomp://me:${SECRET}@b:x)`),
    () => new Stomp("stomp://localhost", { password: SECRET, timeout: -1 }),
    () => new Simple(`stomp://me:${SECRET}@localhost:x`),
  ];
  for (const make of wrong) hides(`${make}`.replace("${SECRET}", ""), assertThrows(make));
  return Promise.resolve();
});

clientTest("no error about a password that CONNECT cannot carry shows it", async (harness) => {
  const server = await harness.server();
  const stomp = harness.client(server.url, { username: "me", password: `${SECRET}\nx:y` });
  const error = await stomp.connect().catch((error) => error);
  assertInstanceOf(error, TypeError);
  hides("the refusal to encode it", error);
});

clientTest("`Simple` and `openSocket()` show no password", async (harness) => {
  const broker = await harness.broker({ login: "me", passcode: SECRET });
  const simple = new Simple(broker.url, { username: "me", password: SECRET });
  await simple.connect();
  hides("a simple client", simple);
  await simple.disconnect();
  const sock = await openSocket(broker.url.replace("//", `//me:${SECRET}@`));
  hides("a socket", sock);
  await sock.close();
});

/** How a broker may say back what it was told. */
const ECHOES: [name: string, answer: string][] = [
  ["in the message", `ERROR\nmessage:Bad CONNECT for me with ${SECRET}!\n\n\0`],
  ["in another header, and in its name", `ERROR\nmessage:no\npasscode:${SECRET}\n${SECRET}:1\n\n\0`],
  ["in the body", `ERROR\nmessage:no\n\nCONNECT\nlogin:me\npasscode:${SECRET}\n\0`],
  ["in a body of an unknown charset", `ERROR\nmessage:no\ncontent-type:text/plain;charset=x-y\n\n<<"${SECRET}">>\0`],
  ["in a body that claims another charset", `ERROR\ncontent-type:text/plain;charset=utf-16le\n\n<<"${SECRET}">>\0`],
  ["in a body of a known size", `ERROR\nmessage:no\ncontent-length:${SECRET.length + 2}\n\n<${SECRET}>\0`],
  ["in a RECEIPT", `RECEIPT\nreceipt-id:${SECRET}\n\n\0`],
  ["in the version", `CONNECTED\nversion:${SECRET}\n\n\0`],
  ["in the heart-beat", `CONNECTED\nversion:1.2\nheart-beat:${SECRET}\n\n\0`],
];

for (const [name, answer] of ECHOES) {
  clientTest(`no error shows a password that the broker echoes ${name}`, async (harness) => {
    const server = await harness.server();
    const stomp = harness.client(server.url, { username: "me", password: SECRET, reconnect: false });
    const refused = stomp.connect().catch((error) => error);
    await (await server.accept()).write(answer);
    const error = await refused;
    assertInstanceOf(error, StompError);
    hides("the refusal", error);
    const told = JSON.stringify([error.message, error.frame!.headers, textOf(error.frame!)]);
    hides("its frame", told + (error.frame as Frame).asString());
    assert(told.includes("***"), told);
    assertEquals(error.frame!.headers["content-length"], undefined); // which is another now

    // The verbs of a frame, as stompy has them.
    const sock = await openSocket(server.url);
    harness.atEnd(() => sock.close());
    const byFrame = new Frame().connect(sock, { username: "me", password: SECRET }).catch((error) => error);
    await (await server.accept()).write(answer);
    const other = await byFrame;
    if (answer.startsWith("CONNECTED")) return;
    hides("the refusal of the frame", other);
    hides("what it keeps", JSON.stringify([other.frame.headers, textOf(other.frame)]));
  });
}

function textOf(frame: ErrorFrame): string {
  try {
    return frame.text();
  } catch (error) {
    return `${error}`;
  }
}

clientTest(
  "tokens in headers of CONNECT are hidden like a password, also where a broker echoes them",
  async (harness) => {
    const server = await harness.server();
    for (const name of ["Authorization", "authorization", "Cookie", "X-CSRF-TOKEN", "token"]) {
      for (const echo of [`Bearer ${SECRET}`, SECRET]) {
        const headers = () => ({ [name]: `Bearer ${SECRET}` });
        const stomp = harness.client(server.url, { headers, reconnect: false });
        const refused = stomp.connect().catch((error) => error);
        const peer = await server.accept();
        assertEquals((await peer.frame("CONNECT")).get(name), `Bearer ${SECRET}`);
        await peer.write(`ERROR\nmessage:who is ${echo}?\n${name}:${echo}\n\nbody with ${echo}\n\0`);
        const error = await refused;
        hides("the refusal", error);
        hides("its frame", JSON.stringify([error.message, error.frame.headers, textOf(error.frame)]));
        assert(error.message.includes("who is ***?"), error.message);
      }
      const frame = new Frame().buildFrame({ command: "CONNECT", headers: { [name]: SECRET } });
      hides("a frame", frame);
      assertEquals(frame.headers[name], SECRET);
    }
  },
);

clientTest("a short password is masked where it stands alone, and the login stays", async (harness) => {
  const server = await harness.server();
  for (
    const [username, password, said, expected] of [
      ["me", "a", "Access refused for me with a, and 'a'", "Access refused for me with ***, and '***'"],
      ["guest", "guest", "Access refused for guest", "Access refused for guest"],
      ["me", "", "Access refused for me", "Access refused for me"],
      ["me", ".*", "Access refused for me with .*", "Access refused for me with ***"],
    ] as const
  ) {
    const stomp = harness.client(server.url, { username, password, reconnect: false });
    const refused = stomp.connect().catch((error) => error);
    await (await server.accept()).write(`ERROR\nmessage:${said}\n\n\0`);
    assertEquals((await refused).message.split(": ").at(-1), expected);
  }
});
