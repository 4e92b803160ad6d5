/**
 * Waits until a broker answers CONNECT with CONNECTED, since an open port is not enough.
 *
 * @module
 */
import { connect as connectTcp, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";

/** The address to ask, and the login. */
export interface Probe {
  /** A URL with the scheme `stomp`, `stomp+ssl`, `ws` or `wss`. */
  url: string;
  /** The certificate authority, in PEM. */
  ca?: string | undefined;
  /** The client certificate, if the broker requires one. */
  client?: { cert: string; key: string } | undefined;
  /** The server name for TLS. Default `localhost`. */
  serverName?: string | undefined;
  /** The user. */
  username: string;
  /** The password. */
  password: string;
}

/** Milliseconds for one attempt. */
const ATTEMPT_TIMEOUT_MS = 3_000;

/** Milliseconds between two attempts. */
const RETRY_DELAY_MS = 100;

/**
 * Waits until a broker answers.
 *
 * @param checkAlive throws when the broker has exited.
 */
export async function untilAnswered(probe: Probe, timeout: number, checkAlive: () => void): Promise<void> {
  const end = performance.now() + timeout;
  for (let last = "nothing";;) {
    checkAlive();
    const answer = await ask(probe);
    if (answer === undefined) return;
    last = answer;
    if (performance.now() > end) {
      throw new Error(`${withoutLogin(probe)} does not answer within ${timeout / 1000} s: ${last}`);
    }
    await sleep(RETRY_DELAY_MS);
  }
}

/** Resolves to `undefined` if the broker answers as it should, and otherwise to what it does. */
function ask(probe: Probe): Promise<string | undefined> {
  const url = new URL(probe.url.replace(/^[a-z+]+:/, "http:"));
  const [host, port] = [url.hostname, Number(url.port)];
  const isWebSocket = /^wss?:/.test(probe.url);
  const expected = isWebSocket ? /^HTTP\/1\.1 101 / : /^\s*CONNECTED\r?\n/;
  return new Promise((resolve) => {
    const socket: Socket = /^(wss|.*ssl):/.test(probe.url)
      ? connectTls({ host, port, servername: probe.serverName ?? "localhost", ca: probe.ca, ...probe.client }, hello)
      : connectTcp({ host, port }, hello);
    let received = "";
    const timer = setTimeout(() => end(`it sent only ${JSON.stringify(received)}`), ATTEMPT_TIMEOUT_MS);
    const end = (result: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    function hello() {
      socket.write(isWebSocket ? upgrade(url.pathname, url.host) : connectFrame(probe));
    }
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      received += text;
      if (expected.test(received)) end(undefined);
      else if (received.includes("\0")) end(JSON.stringify(received.slice(0, 200)));
    });
    socket.on("error", (error) => end(error.message));
    socket.on("close", () => end("it closed the connection"));
  });
}

function connectFrame({ username, password }: Probe): string {
  return `CONNECT\naccept-version:1.2\nhost:/\nlogin:${username}\npasscode:${password}\n\n\0`;
}

function upgrade(path: string, host: string): string {
  const key = "dGhlIHNhbXBsZSBub25jZQ=="; // the example of RFC 6455
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n`;
}

function withoutLogin({ url }: Probe): string {
  return url.replace(/\/\/.*@/, "//");
}
