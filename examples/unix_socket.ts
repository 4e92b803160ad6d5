/**
 * Connects to a broker over a unix socket, for example through `socat UNIX-LISTEN:/tmp/broker.sock,fork TCP:localhost:61613`,
 * an SSH tunnel or a sidecar. Run it with the path of the socket:
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-write --allow-env examples/unix_socket.ts /tmp/broker.sock
 * bun examples/unix_socket.ts /tmp/broker.sock
 * node examples/unix_socket.ts /tmp/broker.sock
 * ```
 */
import { once } from "node:events";
import { connect } from "node:net";
import process from "node:process";
import { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { Stomp, type TransportFactory, type TransportStreams } from "../mod.ts";

/** Opens the unix socket that the path of the URL names, as in `stomp+unix:///tmp/broker.sock`. */
export const unixSocket: TransportFactory = async ({ path = "" }, { signal }) => {
  const name = decodeURIComponent(path);
  // A `Deno.Conn` has streams and a `close`, so it is all that a transport needs.
  if ("Deno" in globalThis) return await Deno.connect({ transport: "unix", path: name });
  const socket = connect(name);
  signal.addEventListener("abort", () => socket.destroy(), { once: true });
  await once(socket, "connect"); // or rejects
  return Duplex.toWeb(socket) as unknown as TransportStreams;
};

async function main(path: string): Promise<void> {
  // An absolute path: /tmp/broker.sock becomes stomp+unix:///tmp/broker.sock.
  const stomp = await Stomp.connect(`stomp+unix://${encodeURI(path)}`, {
    username: "guest",
    password: "guest",
    transport: unixSocket,
  });
  const messages = await stomp.subscribe("/queue/unix-socket");
  await stomp.send("/queue/unix-socket", `Hello over ${path}`);
  const { value: message } = await messages.next();
  console.log(message?.text());
  await stomp.disconnect();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2] ?? "/tmp/broker.sock");
