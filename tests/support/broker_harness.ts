/**
 * Tests that each get an embedded broker, and peers that are closed when the test ends.
 *
 * @module
 */
import { test } from "#test";
import { Broker, type BrokerOptions, type ListenOptions } from "../../broker/broker.ts";
import { memoryPair } from "./memory_transport.ts";
import { RawPeer } from "./raw_peer.ts";

/** What a test receives. */
export interface BrokerHarness {
  /** The broker, which listens on a free port. */
  broker: Broker;
  /** Opens a connection over TCP. */
  open(): Promise<RawPeer>;
  /** Opens a connection over TCP and sends CONNECT for the version. */
  connected(version?: string): Promise<RawPeer>;
  /** Opens a connection in memory. */
  openMemory(): RawPeer;
}

/** Runs a function with a broker that listens, then closes the broker. Node 22 cannot parse `await using`. */
export async function withBroker(options: ListenOptions, fn: (broker: Broker) => Promise<void>): Promise<void> {
  const broker = await Broker.listen(options);
  try {
    await fn(broker);
  } finally {
    await broker.close();
  }
}

/** Registers a test. The name begins with the id of the row of the conformance checklist that it tests, if any. */
export function brokerTest(
  name: string,
  fn: (harness: BrokerHarness) => Promise<void>,
  options: BrokerOptions = {},
): void {
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
