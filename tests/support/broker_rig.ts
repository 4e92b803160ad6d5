/**
 * A test with a broker of its own, and peers that are gone when it ends.
 *
 * @module
 */
import { test } from "#test";
import { Broker, type BrokerOptions, type ListenOptions } from "../../broker/broker.ts";
import { memoryPair } from "./memory_transport.ts";
import { RawPeer } from "./raw_peer.ts";

/** What such a test gets. */
export interface BrokerRig {
  /** The broker. It listens on a free port. */
  broker: Broker;
  /** Opens a connection over TCP. */
  open(): Promise<RawPeer>;
  /** Opens a connection over TCP and connects as that version. */
  connected(version?: string): Promise<RawPeer>;
  /** Opens a connection in memory. */
  openMemory(): RawPeer;
}

/** Runs a function with a broker that listens, and closes the broker. Node 22 does not know `await using`. */
export async function withBroker(options: ListenOptions, fn: (broker: Broker) => Promise<void>): Promise<void> {
  const broker = await Broker.listen(options);
  try {
    await fn(broker);
  } finally {
    await broker.close();
  }
}

/** Registers a test. Where it is about a row of the conformance checklist, its name begins with the row's id. */
export function brokerTest(name: string, fn: (rig: BrokerRig) => Promise<void>, options: BrokerOptions = {}): void {
  test(name, () =>
    withBroker(options, async (broker) => {
      const peers: RawPeer[] = [];
      const keep = (peer: RawPeer) => {
        peers.push(peer);
        return peer;
      };
      const open = async () => keep(await RawPeer.tcp(broker.port));
      const connected = async (version = "1.2") => {
        const peer = await open();
        await peer.connect(version);
        return peer;
      };
      const openMemory = () => {
        const [near, far] = memoryPair();
        broker.accept(far);
        return keep(RawPeer.over(near));
      };
      try {
        await fn({ broker, open, connected, openMemory });
      } finally {
        await Promise.all(peers.map((peer) => peer.close()));
      }
    }));
}
