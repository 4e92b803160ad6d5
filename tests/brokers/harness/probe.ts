/**
 * Whether a broker really answers: not only the port, but CONNECTED.
 *
 * @module
 */
import { connect as connectTcp, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";

/** Where to ask. */
export interface Probe {
  /** The URL: `stomp`, `stomp+ssl`, `ws` or `wss`. */
  url: string;
  /** The authority for TLS, PEM. */
  ca?: string | undefined;
  /** The client's certificate, where the broker wants one. */
  client?: { cert: string; key: string } | undefined;
  /** The name to ask for in TLS. */
  serverName?: string | undefined;
  /** Who connects. */
  username: string;
  /** The password. */
  password: string;
}

/** Milliseconds for one attempt, and between two. */
const ATTEMPT = 3_000;
const PAUSE = 100;

/**
 * Waits until a broker answers.
 *
 * @param alive throws where there is nothing to wait for any more.
 */
export async function untilAnswered(probe: Probe, timeout: number, alive: () => void): Promise<void> {
  const end = performance.now() + timeout;
  for (let last = "nothing";;) {
    alive();
    const answer = await ask(probe);
    if (answer === undefined) return;
    last = answer;
    if (performance.now() > end) throw new Error(`${shown(probe)} does not answer within ${timeout / 1000} s: ${last}`);
    await sleep(PAUSE);
  }
}

/** `undefined` where the broker answers as it should; else what it does. */
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
    const timer = setTimeout(() => end(`only ${JSON.stringify(received)} came`), ATTEMPT);
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
  const key = "dGhlIHNhbXBsZSBub25jZQ=="; // the one of RFC 6455
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n`;
}

function shown({ url }: Probe): string {
  return url.replace(/\/\/.*@/, "//");
}
