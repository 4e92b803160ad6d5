/**
 * Free ports on loopback, for servers that have to be told their ports before they start.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const HOST = "127.0.0.1";
const LOWEST = 10_000;

/** Handed out already: a port is free until its server listens, and two brokers may start at once. */
const taken = new Set<number>();

/**
 * Finds free ports. None is one that the system gives to outgoing connections: a broker that is down for a restart
 * could find its port in use, and a client that connects again and again can even be connected to itself.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  const end = firstOutgoingPort();
  for (let attempt = 0; ports.length < count; attempt++) {
    if (attempt > 1000) throw new Error(`Cannot find ${count} free ports between ${LOWEST} and ${end}`);
    const port = LOWEST + Math.floor(Math.random() * (end - LOWEST));
    if (taken.has(port) || !await isFree(port)) continue;
    taken.add(port);
    ports.push(port);
  }
  return ports;
}

/** Gives ports back. */
export function releasePorts(ports: readonly number[]): void {
  for (const port of ports) taken.delete(port);
}

/**
 * Starts something on free ports, and once more on others where one of them was taken meanwhile: between the moment when
 * a port is found free and the one when its server listens, another harness may have found the same.
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
    if (first > LOWEST + 1000) return first;
  } catch {
    // Not Linux: the usual value will do.
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
