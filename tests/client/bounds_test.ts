/** The memory of a client that is sent more than it takes: at most 32 MiB, measured in a separate process. */
import { assert, assertEquals, assertGreater, assertLess } from "#assert";
import { test } from "#test";
import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import process from "node:process";
import type { Bounds } from "../support/bounds_client.ts";
import { run } from "../support/process.ts";
import { inRoot } from "../support/project.ts";
import { runtime } from "../support/runtime.ts";

const MIB = 2 ** 20;

/** Bytes that may be needed beside what an idle process needs. */
const MOST = 32 * MIB;

/** Writes what `next` returns while the peer reads, until that is `undefined`. */
function pour(socket: Socket, next: () => Uint8Array | undefined): void {
  const on = () => {
    for (let i = 0; i < 16; i++) {
      if (socket.destroyed) return;
      const bytes = next();
      if (bytes === undefined) return;
      if (!socket.write(bytes)) return void socket.once("drain", on);
    }
    setImmediate(on); // so that what the peer sends is read as well
  };
  on();
}

const encoder = new TextEncoder();

/** A broker that sends as fast as it can, and says nothing of what is sent to /queue/silent. */
async function flooding(octet: number): Promise<{ server: Server; url: string }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (bytes) => {
      const frames = (text + bytes.toString()).split("\0");
      text = frames.pop()!;
      for (const frame of frames) {
        const get = (name: string) => new RegExp(`^${name}:(.*)$`, "m").exec(frame)?.[1];
        const [command] = frame.trimStart().split("\n");
        if (command === "CONNECT") socket.write("CONNECTED\nversion:1.2\n\n\0");
        const [id, destination, receipt] = [get("id"), get("destination"), get("receipt")];
        if (receipt && destination !== "/queue/silent") socket.write(`RECEIPT\nreceipt-id:${receipt}\n\n\0`);
        if (command !== "SUBSCRIBE") continue;
        const head = `MESSAGE\nsubscription:${id}\nmessage-id:1\nack:1\ndestination:${destination}\n\n`;
        const dense = encoder.encode(`${head}${"x".repeat(1000)}\0`.repeat(50));
        const sparse = new Uint8Array(128 * 1024).fill(10); // heart-beats
        sparse.set(encoder.encode(`${head}x\0`));
        sparse[head.length] = octet;
        let count = 0;
        if (destination === "/queue/flood") pour(socket, () => dense);
        if (destination === "/queue/warm") pour(socket, () => count++ < 400 ? dense : undefined);
        if (destination === "/queue/sparse") pour(socket, () => count++ < 1100 ? sparse : undefined);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `stomp://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Measures a client that does something in a separate process. */
async function measure(what: string, octet = 120): Promise<Bounds> {
  const { server, url } = await flooding(octet);
  const flags = {
    deno: ["run", "--allow-all", "--no-check", "--v8-flags=--expose-gc"],
    node: ["--expose-gc"],
    bun: [],
  }[runtime];
  try {
    const args = [...flags, inRoot("tests/support/bounds_client.ts"), what, url];
    const env = { DENO_NO_PACKAGE_JSON: "1", NO_COLOR: "1" };
    const { ok, output } = await run(process.execPath, args, { timeout: 60_000, env });
    assert(ok, output);
    return JSON.parse(output.trim().split("\n").at(-1)!) as Bounds;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

function measured(name: string, fn: () => Promise<void>): void {
  test({ name, timeout: 90_000, fn });
}

for (const what of ["send", "request"]) {
  measured(`a ${what} that is not answered, and a broker that floods: memory is bounded`, async () => {
    const { needed, queued, blocked } = await measure(what);
    assertEquals(blocked, true);
    assertLess(queued, 800 + 600); // and a chunk
    assertLess(needed, MOST);
  });
}

measured("a slow consumer, and sends that are answered all the time: memory is bounded", async () => {
  const { needed, queued, confirmed } = await measure("sends");
  assertGreater(confirmed, 0);
  assertLess(queued, 8192 + 600);
  assertLess(needed, MOST);
});

for (const [name, octet] of [["text", 120], ["octets", 255]] as const) {
  measured(`a queue of a thousand small messages among heart-beats (${name}): memory is bounded`, async () => {
    const { needed, queued } = await measure("sparse", octet);
    assertEquals(queued >= 1024, true);
    assertLess(needed, MOST);
  });
}
