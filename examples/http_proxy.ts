/**
 * Connects to a broker through an HTTP proxy, by its CONNECT method, with TLS inside the tunnel for `stomp+ssl://`. Run it
 * with the URLs of the proxy and of the broker, and the file of a private authority if the broker's certificate is from one:
 *
 * ```sh
 * deno run --allow-net --allow-env --allow-read examples/http_proxy.ts http://me:secret@proxy:3128 stomp+ssl://broker:61614 ca.pem
 * bun examples/http_proxy.ts http://me:secret@proxy:3128 stomp+ssl://broker:61614 ca.pem
 * node examples/http_proxy.ts http://me:secret@proxy:3128 stomp+ssl://broker:61614 ca.pem
 * ```
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, isIP, type Socket } from "node:net";
import process from "node:process";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { ConnectionError, Stomp, type TlsOptions, type TransportFactory, type TransportStreams } from "../mod.ts";

/** The most bytes that the head of a proxy's answer may have. */
const MAX_ANSWER_BYTES = 16_384;

/** Returns a transport through the proxy. User and password of its URL, if any, are sent to it as `Proxy-Authorization`. */
export function throughProxy(proxy: string | URL): TransportFactory {
  const { hostname, port, username, password } = new URL(proxy);
  return async (address, { signal, tls }) => {
    const socket = connect(Number(port || 80), hostname.replace(/^\[|\]$/g, ""));
    const abort = () => socket.destroy();
    signal.addEventListener("abort", abort, { once: true });
    try {
      await once(socket, "connect"); // or rejects
      socket.setNoDelay(true);
      const login = username && `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
      await openTunnel(socket, address, login);
      // The library leaves TLS to this function. Without this, user and password would travel in the clear.
      const end = address.tls ? await startTls(socket, address.hostname, tls) : socket;
      return Duplex.toWeb(end) as unknown as TransportStreams;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
}

/** Asks the proxy to connect to the broker. What follows its answer comes from the broker, and stays in the socket. */
async function openTunnel(socket: Socket, { hostname, port }: { hostname: string; port: number }, login: string) {
  const target = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  const authorization = login && `Proxy-Authorization: Basic ${Buffer.from(login).toString("base64")}\r\n`;
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`);
  let answer = Buffer.alloc(0);
  while (!answer.includes("\r\n\r\n")) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) {
      answer = Buffer.concat([answer, chunk]);
    } else {
      if (socket.readableEnded || socket.destroyed || answer.length > MAX_ANSWER_BYTES) {
        throw new ConnectionError(`Cannot connect to ${target}: the proxy did not answer CONNECT`);
      }
      await Promise.race([once(socket, "readable"), once(socket, "end"), once(socket, "close")]);
    }
  }
  const end = answer.indexOf("\r\n\r\n") + 4;
  const [, status, reason] = /^HTTP\/1\.[01] (\d{3}) ?(.*)/.exec(answer.toString("latin1", 0, end)) ?? [];
  if (status?.[0] !== "2") {
    const words = status === undefined ? "something that is not HTTP" : `${status} ${reason}`.trim();
    throw new ConnectionError(`Cannot connect to ${target}: the proxy answered CONNECT with ${words}`);
  }
  if (end < answer.length) socket.unshift(answer.subarray(end));
}

/** Starts TLS inside the tunnel. The certificate is verified against the broker's host. */
async function startTls(socket: Socket, hostname: string, tls: TlsOptions = {}): Promise<Socket> {
  const name = tls.serverName ?? hostname;
  const secured = connectTls({
    socket,
    host: name,
    servername: isIP(name) ? "" : name,
    rejectUnauthorized: true,
    ...(tls.caCerts && { ca: tls.caCerts }),
    ...(tls.cert && { cert: tls.cert }),
    ...(tls.key && { key: tls.key }),
    ...(tls.passphrase && { passphrase: tls.passphrase }),
  });
  await once(secured, "secureConnect"); // or rejects
  return secured;
}

async function main(proxy: string, url: string, authority: string | undefined): Promise<void> {
  const stomp = await Stomp.connect(url, {
    transport: throughProxy(proxy),
    ...(authority !== undefined && { tls: { caCerts: [readFileSync(authority, "utf8")] } }),
  });
  const messages = await stomp.subscribe("/queue/http-proxy");
  await stomp.send("/queue/http-proxy", `Hello through the proxy`);
  const { value: message } = await messages.next();
  console.log(message?.text());
  await stomp.disconnect();
}

const [, program, proxy = "http://localhost:3128", url = "stomp://localhost:61613", authority] = process.argv;
if (program === fileURLToPath(import.meta.url)) await main(proxy, url, authority);
