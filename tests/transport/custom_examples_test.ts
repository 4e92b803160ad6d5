/** The examples of custom transports: a unix socket and an HTTP proxy, as programs and with faults. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "#assert";
import process from "node:process";
import { throughProxy } from "../../examples/http_proxy.ts";
import { unixSocket } from "../../examples/unix_socket.ts";
import { ConnectionError, ConnectionTimeoutError } from "../../base/errors.ts";
import { type ClientHarness, clientTest, Watcher } from "../support/client_harness.ts";
import {
  type Forwarder,
  type HttpProxyOptions,
  listenAsHttpProxy,
  listenOnUnixSocket,
  listenWithTls,
} from "../support/forwarders.ts";
import { run } from "../support/process.ts";
import { inRoot, ROOT } from "../support/project.ts";
import { runtime } from "../support/runtime.ts";
import { pattern, pem } from "../support/sockets.ts";

const SERVER = { cert: pem("localhost.pem"), key: pem("localhost.key") };

/** Runs an example with the permissions that its documentation names. */
async function runExample(name: string, permissions: string[], args: string[]): Promise<string> {
  const start = { deno: ["run", "--no-prompt", ...permissions], bun: ["run"], node: [] }[runtime];
  const env = { DENO_NO_PACKAGE_JSON: "1", NO_COLOR: "1" };
  const all = [...start, inRoot("examples", name), ...args];
  const result = await run(process.execPath, all, { cwd: ROOT, timeout: 20_000, env });
  assert(result.ok, `${name} failed with ${result.ending}\n${result.output}`);
  return result.output;
}

function keep<F extends Forwarder>(harness: ClientHarness, forwarder: F): F {
  harness.atEnd(() => forwarder.close());
  return forwarder;
}

async function proxyFor(harness: ClientHarness, options?: HttpProxyOptions) {
  return keep(harness, await listenAsHttpProxy(options));
}

clientTest("examples/unix_socket.ts runs", async (harness) => {
  const broker = await harness.broker();
  const { path } = keep(harness, await listenOnUnixSocket(broker.port));
  const output = await runExample("unix_socket.ts", ["--allow-net", "--allow-read", "--allow-write", "--allow-env"], [
    path,
  ]);
  assertMatch(output, new RegExp(`^Hello over ${path}$`, "m"));
});

clientTest("a client over a unix socket carries bytes, and reconnects", async (harness) => {
  const broker = await harness.broker();
  const way = keep(harness, await listenOnUnixSocket(broker.port));
  const url = `stomp+unix://${way.path}`;
  const stomp = await harness.connect(url, { transport: unixSocket, reconnect: { delay: 1 } });
  const watcher = new Watcher(stomp);
  const messages = await stomp.subscribe("/queue/a");
  await stomp.send("/queue/a", pattern(1_000_000));
  const { value: message } = await messages.next();
  assertEquals(message!.body, pattern(1_000_000));

  way.breakAll();
  await watcher.until("disconnected");
  assertEquals((await watcher.until("connected")).peer, way.path);
  await stomp.send("/queue/a", "again");
  assertEquals((await messages.next()).value!.text(), "again");
});

clientTest("the error of a unix socket that does not exist names it", async (harness) => {
  const stomp = harness.client("stomp+unix:///nowhere/broker.sock", { transport: unixSocket });
  const error = await assertRejects(() => stomp.connect(), ConnectionError);
  assertMatch(error.message, /^Cannot connect to \/nowhere\/broker\.sock: transport\(\) failed: /);
  assertInstanceOf(error.cause, Error);
});

clientTest("examples/http_proxy.ts runs with TLS in the tunnel", async (harness) => {
  const broker = await harness.broker();
  const secured = keep(harness, await listenWithTls(SERVER, broker.port));
  const proxy = await proxyFor(harness, { login: "me:s3cret" });
  const output = await runExample("http_proxy.ts", ["--allow-net", "--allow-env", "--allow-read"], [
    `http://me:s3cret@127.0.0.1:${proxy.port}`,
    `stomp+ssl://localhost:${secured.port}`,
    inRoot("tests/fixtures/tls/ca.pem"),
  ]);
  assertMatch(output, /^Hello through the proxy$/m);
  assertEquals(proxy.targets, [`localhost:${secured.port}`]);
});

for (const scheme of ["stomp", "stomp+ssl"]) {
  clientTest(`a client of ${scheme}:// through a proxy carries bytes, and reconnects`, async (harness) => {
    const broker = await harness.broker();
    const secured = keep(harness, await listenWithTls(SERVER, broker.port));
    const proxy = await proxyFor(harness);
    const port = scheme === "stomp" ? broker.port : secured.port;
    const stomp = await harness.connect(`${scheme}://localhost:${port}`, {
      transport: throughProxy(`http://127.0.0.1:${proxy.port}`),
      reconnect: { delay: 1 },
      ...(scheme === "stomp+ssl" && { tls: { caCerts: [pem("ca.pem")] } }),
    });
    const watcher = new Watcher(stomp);
    const messages = await stomp.subscribe("/queue/a");
    await stomp.send("/queue/a", pattern(1_000_000));
    const { value: message } = await messages.next();
    assertEquals(message!.body, pattern(1_000_000));
    proxy.breakAll();
    await watcher.until("disconnected");
    await watcher.until("connected");
    await stomp.send("/queue/a", "again");
    assertEquals((await messages.next()).value!.text(), "again");
    assertEquals(proxy.targets, [`localhost:${port}`, `localhost:${port}`]);
  });
}

clientTest("through a proxy, the broker's certificate is verified", async (harness) => {
  const broker = await harness.broker();
  const secured = keep(harness, await listenWithTls(SERVER, broker.port));
  const proxy = await proxyFor(harness);
  const transport = throughProxy(`http://127.0.0.1:${proxy.port}`);
  const stomp = harness.client(`stomp+ssl://localhost:${secured.port}`, { transport });
  await assertRejects(() => stomp.connect(), ConnectionError, "transport() failed");
  const elsewhere = keep(
    harness,
    await listenWithTls({ cert: pem("elsewhere.pem"), key: pem("elsewhere.key") }, broker.port),
  );
  const tls = { caCerts: [pem("ca.pem")] };
  const other = harness.client(`stomp+ssl://localhost:${elsewhere.port}`, { transport, tls });
  await assertRejects(() => other.connect(), ConnectionError, "transport() failed");
});

clientTest("what a proxy answers in place of a tunnel is in the error", async (harness) => {
  const answers: [HttpProxyOptions, RegExp][] = [
    [{ login: "me:s3cret" }, /^Cannot connect to localhost:1: the proxy answered CONNECT with 407 Proxy Auth/],
    [{}, /the proxy answered CONNECT with 502 Bad Gateway$/],
    [{ answer: "ERROR\n\n\0\r\n\r\n" }, /the proxy answered CONNECT with something that is not HTTP$/],
  ];
  for (const [options, message] of answers) {
    const proxy = await proxyFor(harness, options);
    const transport = throughProxy(`http://me:hunter2@127.0.0.1:${proxy.port}`);
    const error = await assertRejects(() => harness.client("stomp://localhost:1", { transport }).connect());
    assertInstanceOf(error, ConnectionError);
    assertMatch(error.message, message);
    assert(!error.message.includes("hunter2"));
  }
});

clientTest("a proxy that does not answer is given up at the deadline, and nothing stays open", async (harness) => {
  const proxy = await proxyFor(harness, { answer: "" });
  const transport = throughProxy(`http://127.0.0.1:${proxy.port}`);
  const stomp = harness.client("stomp://localhost:1", { transport, connectTimeout: 100 });
  await assertRejects(() => stomp.connect(), ConnectionTimeoutError, "within 100 ms");
});
