/**
 * Free ports on loopback, for servers that need to know their ports before they start.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const HOST = "127.0.0.1";
const LOWEST_PORT = 10_000;

/** The ports handed out: a port looks free until its server listens, and two brokers may start at once. */
const reserved = new Set<number>();

/**
 * Finds free ports outside the range that the system uses for outgoing connections: otherwise a broker that restarts
 * could find its port in use, and a client that keeps reconnecting could even connect to itself.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  const end = firstOutgoingPort();
  for (let attempt = 0; ports.length < count; attempt++) {
    if (attempt > 1000) throw new Error(`Cannot find ${count} free ports between ${LOWEST_PORT} and ${end}`);
    const port = LOWEST_PORT + Math.floor(Math.random() * (end - LOWEST_PORT));
    if (reserved.has(port) || !await isFree(port)) continue;
    reserved.add(port);
    ports.push(port);
  }
  return ports;
}

/** Makes ports available to later calls of {@linkcode freePorts}. */
export function releasePorts(ports: readonly number[]): void {
  for (const port of ports) reserved.delete(port);
}

/**
 * Calls `start`, up to three times if an address is in use: another process may take a port after it was found free and
 * before its server listens.
 */
export async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === 3 || !/eaddrinuse|address already in use/i.test(String(error))) throw error;
    }
  }
}

function firstOutgoingPort(): number {
  try {
    const first = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/)[0]);
    if (first > LOWEST_PORT + 1000) return first;
  } catch {
    // Not Linux: use the usual value.
  }
  return 32_768;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}
